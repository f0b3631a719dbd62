//! `trefoil deploy`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use trefoil_ir::plan::{ClientPlan, HelperPlan, ServerPlan};
use trefoil_runtime::keys::PublicKey;
use zeroize::Zeroizing;

use super::OUTPUT;
use super::print::say;
use crate::deploy::write::Wanted;
use crate::deploy::{Plans, Written, deploy};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  trefoil deploy plans --server s.example.org:7001 --helper h.example.net:7002 --client alice -o deployment
  trefoil deploy plans --client bob -o deployment
  trefoil deploy plans2 -o deployment

The second adds a client to a deployment, and the third a model.")]
pub(super) struct Arguments {
    /// The folder of plans that `trefoil compile` wrote.
    plans: PathBuf,
    /// Where clients will reach the server.
    #[arg(long, value_name = "HOST:PORT", help_heading = PARTIES)]
    server: Option<String>,
    /// The server's public key, if its administrator has made one with `trefoil-party keygen`.
    #[arg(long, value_name = "KEY", help_heading = PARTIES)]
    server_key: Option<PublicKey>,
    /// Where server and clients will reach the helper.
    #[arg(long, value_name = "HOST:PORT", help_heading = PARTIES)]
    helper: Option<String>,
    /// The helper's public key, if its administrator has made one.
    #[arg(long, value_name = "KEY", help_heading = PARTIES)]
    helper_key: Option<PublicKey>,
    /// A client, and its public key if it has made one.
    #[arg(long = "client", value_name = "NAME[=KEY]", value_parser = client, help_heading = PARTIES)]
    clients: Vec<(String, Option<PublicKey>)>,
    /// The folder of the deployment: a new one, or one that is to be added to.
    #[arg(short, long = "out", value_name = "DIR", help_heading = OUTPUT)]
    output: PathBuf,
}

const PARTIES: &str = "Parties";

/// `NAME`, or `NAME=KEY`.
fn client(text: &str) -> Result<(String, Option<PublicKey>), trefoil_runtime::keys::NoPublicKey> {
    match text.split_once('=') {
        Some((name, key)) => Ok((name.to_owned(), Some(key.parse()?))),
        None => Ok((text.to_owned(), None)),
    }
}

pub(super) fn run(arguments: Arguments) -> Result<()> {
    let plans = read(&arguments.plans)?;
    let folder = arguments.output;
    let wanted = Wanted {
        server: arguments.server,
        server_key: arguments.server_key,
        helper: arguments.helper,
        helper_key: arguments.helper_key,
        clients: arguments.clients,
    };
    let written = deploy(&plans, &wanted, &folder)?;
    say!("{}", told(&written, &folder));
    Ok(())
}

fn read(folder: &Path) -> Result<Plans> {
    let file = |name: &str| {
        let path = folder.join(name);
        let read = fs::read(&path).map(Zeroizing::new);
        read.with_context(|| {
            format!(
                "{} cannot be read: give the folder that `trefoil compile` wrote",
                path.display()
            )
        })
    };
    let [client, server, helper] = ["client.plan", "server.plan", "helper.plan"].map(file);
    let (server_file, helper_file) = (server?, helper?);
    Ok(Plans {
        client: ClientPlan::decode(&client?).context("client.plan cannot be used")?,
        server: ServerPlan::decode(&server_file).context("server.plan cannot be used")?,
        helper: HelperPlan::decode(&helper_file).context("helper.plan cannot be used")?,
        server_file,
        helper_file,
    })
}

/// What to do with each folder.
fn told(written: &Written, folder: &Path) -> String {
    let Written {
        record,
        new_clients,
        added_to,
        plan,
    } = written;
    let dir = folder.display();
    if *added_to {
        let clients: Vec<&str> = new_clients.iter().map(|client| &*client.name).collect();
        let news = match clients[..] {
            [] => "no new client".to_owned(),
            _ => format!("the new lines of clients.toml (for {})", clients.join(", ")),
        };
        return format!(
            "server   copy {dir}/server/plans/{plan} and {news} to the server's machine, and send SIGHUP\n\
             helper   copy {dir}/helper/plans/{plan} and {news} to the helper's machine, and send SIGHUP\n\
             clients  give each its folder in {dir}/clients: {plan} is its plan for this model"
        );
    }
    let names: Vec<&str> = record.clients.iter().map(|client| &*client.name).collect();
    format!(
        "server   give {dir}/server to the administrator of {}: there, `trefoil-party serve --config party.toml`\n\
         helper   give {dir}/helper to the administrator of {}: there, `trefoil-party serve --config party.toml`\n\
         clients  give each its folder in {dir}/clients ({}), and no helper any of them: \
         `trefoil-party client --config party.toml --data IMAGES`",
        record.server.address,
        record.helper.address,
        names.join(", ")
    )
}
