//! What is written where. Keys are never written over, and no file is for anybody but its owner.

use std::path::{Path, PathBuf};

use trefoil_ir::plan::{ClientPlan, Public};
use trefoil_runtime::accounts::{Client as Listed, Clients};
use trefoil_runtime::files::{create_private_folder, write_private};
use trefoil_runtime::keys::{PublicKey, SecretKey};
use zeroize::Zeroizing;

use super::record::{Client, FILE, Place, Record};
use super::template::{CLIENT, COMPOSE, CONTAINER, HELPER, SERVER, UNIT};
use super::{DeployError, Plans};

/// Who is to take part, as far as it is said.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Where the server is.
    pub server: Option<String>,
    /// Its key, if it has made one.
    pub server_key: Option<PublicKey>,
    /// Where the helper is.
    pub helper: Option<String>,
    /// Its key, if it has made one.
    pub helper_key: Option<PublicKey>,
    /// Clients, with their keys where they have made them.
    pub clients: Vec<(String, Option<PublicKey>)>,
}

/// What a deployment came to.
#[derive(Debug)]
pub struct Written {
    /// Who takes part.
    pub record: Record,
    /// Clients that were not in it before.
    pub new_clients: Vec<Client>,
    /// Whether there was a deployment before.
    pub added_to: bool,
    /// The file's name of the plan.
    pub plan: String,
}

/// Writes the folders of a deployment, or adds clients and a model to one.
///
/// # Errors
/// If something is missing or makes no sense, or a file cannot be written.
pub fn deploy(plans: &Plans, wanted: &Wanted, folder: &Path) -> Result<Written, DeployError> {
    if plans.client.digest() != plans.server.digest() || plans.client.digest() != plans.helper.digest() {
        return Err(DeployError::Apart);
    }
    let known = Record::read(folder)?;
    let added_to = known.is_some();
    check_names(wanted)?;
    // All that can be refused is, before a key is made.
    let addresses = [
        address(
            wanted.server.as_ref(),
            known.as_ref().map(|known| &known.server),
            "--server HOST:PORT",
        )?,
        address(
            wanted.helper.as_ref(),
            known.as_ref().map(|known| &known.helper),
            "--helper HOST:PORT",
        )?,
    ];
    if known.is_none() && wanted.clients.is_empty() {
        return Err(DeployError::Missing {
            what: "--client NAME, or NAME=PUBLIC_KEY if the client has made a key with `trefoil-party keygen`",
        });
    }
    let mut pending = Pending::default();
    let [server, helper] = addresses;
    let record = Record {
        server: Place {
            address: server,
            key: pending.key_of(
                wanted.server_key,
                known.as_ref().map(|known| known.server.key),
                folder.join("server/party.key"),
            )?,
        },
        helper: Place {
            address: helper,
            key: pending.key_of(
                wanted.helper_key,
                known.as_ref().map(|known| known.helper.key),
                folder.join("helper/party.key"),
            )?,
        },
        clients: known.map(|known| known.clients).unwrap_or_default(),
    };
    let (record, new_clients) = with_clients(record, wanted, folder, &mut pending)?;
    record.check()?;
    let plan = format!("{}.plan", &plans.client.plan_id().to_string()[..8]);
    let files = Files {
        folder,
        record: &record,
        plan: &plan,
    };
    files.write(plans, pending)?;
    Ok(Written {
        record,
        new_clients,
        added_to,
        plan,
    })
}

fn check_names(wanted: &Wanted) -> Result<(), DeployError> {
    let mut names = wanted.clients.iter().map(|(name, _)| name);
    match names.find(|name| !trefoil_runtime::accounts::is_client_name(name)) {
        Some(name) => Err(DeployError::Name { name: name.clone() }),
        None => Ok(()),
    }
}

fn address(
    wanted: Option<&String>,
    known: Option<&Place>,
    what: &'static str,
) -> Result<String, DeployError> {
    let address = wanted.cloned().or(known.map(|known| known.address.clone()));
    address.ok_or(DeployError::Missing { what })
}

/// Adds the clients that are wanted and not there.
fn with_clients(
    mut record: Record,
    wanted: &Wanted,
    folder: &Path,
    pending: &mut Pending,
) -> Result<(Record, Vec<Client>), DeployError> {
    let mut new = Vec::new();
    for (name, given) in &wanted.clients {
        let known = record
            .clients
            .iter()
            .find(|one| one.name == *name)
            .map(|one| one.key);
        if let (Some(old), Some(given)) = (known, given)
            && old != *given
        {
            return Err(DeployError::Other {
                name: name.clone(),
                old,
            });
        }
        if known.is_some() {
            continue;
        }
        let key = pending.key_of(*given, None, folder.join("clients").join(name).join("client.key"))?;
        let client = Client {
            name: name.clone(),
            key,
        };
        record.clients.push(client.clone());
        new.push(client);
    }
    Ok((record, new))
}

/// Keys that were made and not yet written.
#[derive(Default)]
struct Pending(Vec<(PathBuf, SecretKey)>);

impl Pending {
    /// The key that was given, or is known; else a new one, which is to be written there.
    fn key_of(
        &mut self,
        given: Option<PublicKey>,
        known: Option<PublicKey>,
        path: PathBuf,
    ) -> Result<PublicKey, DeployError> {
        if let Some(key) = given.or(known) {
            return Ok(key);
        }
        let key = SecretKey::generate()?;
        let public = key.public();
        self.0.push((path, key));
        Ok(public)
    }
}

/// The files of a deployment.
struct Files<'a> {
    folder: &'a Path,
    record: &'a Record,
    /// The file's name of the plan.
    plan: &'a str,
}

impl Files<'_> {
    fn write(&self, plans: &Plans, pending: Pending) -> Result<(), DeployError> {
        for part in ["", "server", "server/plans", "helper", "helper/plans", "clients"] {
            self.make_folder(&self.folder.join(part))?;
        }
        for client in &self.record.clients {
            self.make_folder(&self.client(client))?;
        }
        for (path, key) in pending.0 {
            key.write(&path)?;
        }
        self.put("server/plans", self.plan, &plans.server_file)?;
        self.put("helper/plans", self.plan, &plans.helper_file)?;
        let Record { server, helper, .. } = self.record;
        let key = helper.key.to_string();
        let party = SERVER.fill(&[
            ("ADDRESS", &server.address),
            ("PORT", port(server)),
            ("HELPER", &helper.address),
            ("HELPER_KEY", &key),
        ]);
        self.listening("server", &party, server)?;
        let key = server.key.to_string();
        let party = HELPER.fill(&[
            ("ADDRESS", &helper.address),
            ("PORT", port(helper)),
            ("SERVER_KEY", &key),
        ]);
        self.listening("helper", &party, helper)?;
        for client in &self.record.clients {
            self.of_client(plans, client)?;
        }
        // Last, so that what it says is there.
        self.put("", FILE, self.record.to_text().as_bytes())
    }

    fn make_folder(&self, path: &Path) -> Result<(), DeployError> {
        create_private_folder(path).map_err(|source| DeployError::Write {
            path: path.to_owned(),
            source,
        })
    }

    fn put(&self, folder: &str, name: &str, bytes: &[u8]) -> Result<(), DeployError> {
        put(&self.folder.join(folder).join(name), bytes)
    }

    fn client(&self, client: &Client) -> PathBuf {
        self.folder.join("clients").join(&client.name)
    }

    /// What server and helper have alike. What an administrator may have changed is not written over.
    fn listening(&self, role: &str, party: &str, place: &Place) -> Result<(), DeployError> {
        let fields = [("ROLE", role)];
        self.put_new(role, "party.toml", party)?;
        self.put_new(role, &format!("trefoil-{role}.service"), &UNIT.fill(&fields))?;
        self.put_new(
            role,
            "compose.yaml",
            &COMPOSE.fill(&[("ROLE", role), ("PORT", port(place))]),
        )?;
        self.put_new(role, "Containerfile", &CONTAINER.fill(&fields))?;
        let listed = self
            .record
            .clients
            .iter()
            .map(|one| Listed::new(&one.name, one.key));
        let clients = Clients::new(listed).map_err(|fault| DeployError::Record {
            path: self.folder.join(FILE),
            source: Box::new(fault),
        })?;
        self.put(role, "clients.toml", clients.to_toml().as_bytes())
    }

    fn put_new(&self, folder: &str, name: &str, text: &str) -> Result<(), DeployError> {
        let path = self.folder.join(folder).join(name);
        match path.exists() {
            true => Ok(()),
            false => put(&path, text.as_bytes()),
        }
    }

    fn of_client(&self, plans: &Plans, client: &Client) -> Result<(), DeployError> {
        let folder = self.client(client);
        let part = plans
            .client
            .for_client(&plans.server, &plans.helper, client.key.as_bytes());
        let part = part.ok_or(DeployError::Apart)?;
        let public = Public {
            program: (**plans.client.program()).clone(),
            plan_id: plans.client.plan_id(),
        };
        let file = Zeroizing::new(ClientPlan::encode(&public, &part));
        put(&folder.join(self.plan), &file)?;
        let Record { server, helper, .. } = self.record;
        let (server_key, helper_key) = (server.key.to_string(), helper.key.to_string());
        let party = CLIENT.fill(&[
            ("NAME", &client.name),
            ("PLAN", self.plan),
            ("SERVER", &server.address),
            ("SERVER_KEY", &server_key),
            ("HELPER", &helper.address),
            ("HELPER_KEY", &helper_key),
        ]);
        put(&folder.join("party.toml"), party.as_bytes())
    }
}

/// The port of an address that was checked.
fn port(place: &Place) -> &str {
    place.address.rsplit_once(':').map_or("", |(_, port)| port)
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), DeployError> {
    write_private(path, bytes).map_err(|source| DeployError::Write {
        path: path.to_owned(),
        source,
    })
}
