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
use crate::deploy::{Client, Plans, Written, deploy};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  trefoil deploy plans --server s.example.org:7001 --helper h.example.net:7002 --client alice -o deployment
  trefoil deploy plans --client bob -o deployment
  trefoil deploy plans2 -o deployment
  trefoil deploy --remove bob -o deployment

The second adds a client to a deployment, the third a model, and the last takes a client out of it.")]
pub(super) struct Arguments {
    /// The folder of plans that `trefoil compile` wrote. It can be left out if nothing needs a plan.
    plans: Option<PathBuf>,
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
    /// A client that is to be none any more. With --client of the same name it gets another key.
    #[arg(long = "remove", value_name = "NAME", help_heading = PARTIES)]
    removed: Vec<String>,
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
    let plans = arguments.plans.as_deref().map(read).transpose()?;
    let folder = arguments.output;
    let wanted = Wanted {
        server: arguments.server,
        server_key: arguments.server_key,
        helper: arguments.helper,
        helper_key: arguments.helper_key,
        clients: arguments.clients,
        removed: arguments.removed,
    };
    let written = deploy(plans.as_ref(), &wanted, &folder)?;
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
    let Written { record, .. } = written;
    if written.added_to {
        return told_of_changes(written, folder);
    }
    let dir = folder.display();
    let names: Vec<&str> = record.clients.iter().map(|client| &*client.name).collect();
    let mut text = format!(
        "server   give {dir}/server to the administrator of {}: there, `trefoil-party serve --config party.toml`\n\
         helper   give {dir}/helper to the administrator of {}: there, `trefoil-party serve --config party.toml`\n\
         clients  give each its folder in {dir}/clients ({}), and no helper any of them: \
         `trefoil-party client --config party.toml --data IMAGES`",
        record.server.address,
        record.helper.address,
        names.join(", ")
    );
    for line in told_of_keys(written) {
        text += &format!("\n{line}");
    }
    if written.made.len() < names.len() + 2 {
        text += "\nwho has made a key puts it beside party.toml, as party.key or client.key";
    }
    text
}

/// Keys that were made, and that should go.
fn told_of_keys(written: &Written) -> Vec<String> {
    let made = written
        .made
        .iter()
        .map(|path| format!("made     {}", path.display()));
    let stale = written.stale.iter().map(|path| {
        format!(
            "{} is no longer the party's key: remove it, and have the new one put in its place",
            path.display()
        )
    });
    made.chain(stale).collect()
}

/// What server, helper and clients have to take over of what is new.
fn told_of_changes(written: &Written, folder: &Path) -> String {
    let mut lines = told_of_folders(written, folder);
    for path in &written.changed {
        lines.push(format!(
            "{} has changed: hand it over again, and have that party restart",
            path.display()
        ));
    }
    for path in &written.beside {
        lines.push(format!(
            "{} says what is new in a file that was edited: put both together, and hand it over again",
            path.display()
        ));
    }
    lines.extend(told_of_keys(written));
    lines.extend(told_of_lists(written));
    match lines.is_empty() {
        true => "nothing has changed".to_owned(),
        false => lines.join("\n"),
    }
}

fn told_of_folders(written: &Written, folder: &Path) -> Vec<String> {
    let dir = folder.display();
    let mut lines = Vec::new();
    let lists_change = !written.new_clients.is_empty() || !written.removed.is_empty();
    for role in ["server", "helper"] {
        let mut tasks = Vec::new();
        if let Some(plan) = &written.new_plan {
            tasks.push(format!("put {dir}/{role}/plans/{plan} into its plans/"));
        }
        if lists_change {
            tasks.push("change its clients.toml as below".to_owned());
        }
        if !tasks.is_empty() {
            tasks.push("reload (SIGHUP)".to_owned());
            lines.push(format!("{role}   {}", tasks.join(", ")));
        }
    }
    let names: Vec<&str> = written.new_clients.iter().map(|one| &*one.name).collect();
    if !names.is_empty() {
        lines.push(format!(
            "clients  give each its folder in {dir}/clients: {}",
            names.join(", ")
        ));
    }
    if let Some(plan) = &written.new_client_plan
        && names.len() < written.record.clients.len()
    {
        lines.push(format!(
            "clients  give those that were there {plan} of their folders in {dir}/clients, for `trefoil-party client \
             --plan {plan}`"
        ));
    }
    lines
}

fn told_of_lists(written: &Written) -> Vec<String> {
    let mut lines = Vec::new();
    let now = |name: &str| written.new_clients.iter().find(|one| one.name == name);
    for client in &written.removed {
        lines.push(match now(&client.name) {
            Some(new) => format!(
                "in clients.toml: the key of `{}` becomes {}, and its limits stay",
                client.name, new.key
            ),
            None => format!("out of clients.toml: `{}` with {}", client.name, client.key),
        });
    }
    let is_new = |one: &&Client| written.removed.iter().all(|old| old.name != one.name);
    let added: Vec<&Client> = written.new_clients.iter().filter(is_new).collect();
    if !added.is_empty() {
        lines.push("into clients.toml:".to_owned());
    }
    for Client { name, key } in added {
        lines.push(format!("[[client]]\nname = \"{name}\"\nkey = \"{key}\""));
    }
    lines
}
