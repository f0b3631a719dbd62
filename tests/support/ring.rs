//! Keys for the parties of a folder of plans, and the commands that use them: what `trefoil deploy` does, for
//! tests that have no compiler.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use trefoil_ir::plan::{ClientPlan, HelperPlan, Public, ServerPlan};
use trefoil_runtime::accounts::{Client, Clients};
use trefoil_runtime::keys::{PublicKey, SecretKey};

/// The keys of a folder's parties. The folder holds client.plan, server.plan and helper.plan, as `trefoil
/// compile` writes them; beside them come keys, lists of clients, and a plan for each client.
pub(crate) struct Ring {
    folder: PathBuf,
    pub(crate) server: PublicKey,
    pub(crate) helper: PublicKey,
}

impl Ring {
    /// Makes keys for both parties and for these clients, each with as many sessions as it likes.
    pub(crate) fn new(folder: &Path, clients: &[&str]) -> Self {
        let ring = Self {
            folder: folder.to_owned(),
            server: key(folder, "server"),
            helper: key(folder, "helper"),
        };
        let listed = clients.iter().map(|name| {
            let public = key(folder, name);
            ring.personalise(name, &public);
            Client {
                sessions: 1000,
                ..Client::new(*name, public)
            }
        });
        let text = Clients::new(listed)
            .expect("names and keys are distinct")
            .to_toml();
        fs::write(folder.join("clients.toml"), text).expect("the folder is writable");
        ring
    }

    /// Writes the plan of a client with this key.
    pub(crate) fn personalise(&self, name: &str, key: &PublicKey) {
        let read = |file: &str| fs::read(self.folder.join(file)).expect("the plan is there");
        // A folder may hold a plan that is to be refused.
        let (Ok(plan), Ok(server), Ok(helper)) = (
            ClientPlan::decode(&read("client.plan")),
            ServerPlan::decode(&read("server.plan")),
            HelperPlan::decode(&read("helper.plan")),
        ) else {
            return;
        };
        let public = Public {
            program: (**plan.program()).clone(),
            plan_id: plan.plan_id(),
        };
        let part = plan.for_client(&server, &helper, key.as_bytes());
        let part = part.unwrap_or_else(|| plan.part.clone());
        fs::write(self.plan(name), ClientPlan::encode(&public, &part)).expect("the folder is writable");
    }

    /// The file of a client's own plan.
    pub(crate) fn plan(&self, client: &str) -> PathBuf {
        self.folder.join(format!("{client}.own.plan"))
    }

    /// `serve` as the helper, on a free port.
    pub(crate) fn helper(&self, program: &Path) -> Command {
        let mut command = self.serve(program, "helper");
        command.arg("--server-key").arg(self.server.to_string());
        command
    }

    /// `serve` as the server, on a free port, with the helper at this address.
    pub(crate) fn server(&self, program: &Path, helper: &str) -> Command {
        let mut command = self.serve(program, "server");
        command
            .args(["--helper", helper, "--helper-key"])
            .arg(self.helper.to_string());
        command
    }

    fn serve(&self, program: &Path, role: &str) -> Command {
        let mut command = bare(program);
        let file = |name: String| self.folder.join(name);
        command.args(["serve", "--role", role, "--listen", "127.0.0.1:0", "--key"]);
        command.arg(file(format!("{role}.key")));
        command.arg("--plans").arg(file(format!("{role}.plan")));
        command.arg("--clients").arg(file("clients.toml".to_owned()));
        command
    }

    /// `client` as this client.
    pub(crate) fn client(&self, program: &Path, name: &str, server: &str, helper: &str) -> Command {
        let mut command = bare(program);
        command
            .arg("client")
            .arg("--key")
            .arg(self.folder.join(format!("{name}.key")));
        command.arg("--plan").arg(self.plan(name));
        command
            .args(["--server", server, "--server-key"])
            .arg(self.server.to_string());
        command
            .args(["--helper", helper, "--helper-key"])
            .arg(self.helper.to_string());
        command
    }
}

/// The program, without settings of whoever runs the tests.
fn bare(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (_, variable) in trefoil_runtime::settings::Settings::NAMES {
        command.env_remove(variable);
    }
    command.env_remove("TREFOIL_CONFIG");
    command
}

/// A fresh key in the folder, unless there is one.
fn key(folder: &Path, name: &str) -> PublicKey {
    let path = folder.join(format!("{name}.key"));
    let key = SecretKey::read(&path).unwrap_or_else(|_| {
        let key = SecretKey::generate().expect("the system gives random bytes");
        key.write(&path).expect("the folder is writable");
        key
    });
    key.public()
}
