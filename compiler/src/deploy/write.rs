//! What is written where. Keys are never written over, and no file is for anybody but its owner.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use trefoil_ir::plan::{ClientPlan, Public};
use trefoil_runtime::accounts::{Client as Listed, Clients, ClientsFault, edit};
use trefoil_runtime::files::{create_private_folder, write_private};
use trefoil_runtime::keys::{PublicKey, SecretKey};
use trefoil_runtime::settings::Settings;
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
    /// Clients that are none any more. They go before others come.
    pub removed: Vec<String>,
}

/// What a deployment came to.
#[derive(Debug)]
pub struct Written {
    /// Who takes part.
    pub record: Record,
    /// Clients that were not in it before.
    pub new_clients: Vec<Client>,
    /// Clients that are no longer in it.
    pub removed: Vec<Client>,
    /// Whether there was a deployment before.
    pub added_to: bool,
    /// The file's name of the plan, if server and helper had none of it before.
    pub new_plan: Option<String>,
    /// The same, if any client had none.
    pub new_client_plan: Option<String>,
    /// Files of keys that were made.
    pub made: Vec<PathBuf>,
    /// Files of keys that are no longer anybody's.
    pub stale: Vec<PathBuf>,
    /// Files that were written again, since addresses or keys have changed.
    pub changed: Vec<PathBuf>,
    /// Files beside those that somebody has edited: they say what is new in them.
    pub beside: Vec<PathBuf>,
}

/// Writes the folders of a deployment, or changes one: adds clients and a model, removes clients, gives parties
/// other addresses or keys. Plans may be left out where there are no new clients.
///
/// What an administrator may have edited is never written over: lists of clients get lines and lose
/// lines, and of other files that must change and were edited a new one is put beside them.
///
/// # Errors
/// If something is missing or makes no sense, or a file cannot be written.
pub fn deploy(plans: Option<&Plans>, wanted: &Wanted, folder: &Path) -> Result<Written, DeployError> {
    if let Some(Plans {
        client,
        server,
        helper,
        ..
    }) = plans
        && (client.digest() != server.digest() || client.digest() != helper.digest())
    {
        return Err(DeployError::Apart);
    }
    let known = Record::read(folder)?;
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
        clients: known.as_ref().map_or(Vec::new(), |known| known.clients.clone()),
    };
    let (record, removed) = without_clients(record, wanted)?;
    let (record, new_clients) = with_clients(record, wanted, folder, &removed, &mut pending)?;
    record.check()?;
    if plans.is_none() && (known.is_none() || !new_clients.is_empty()) {
        return Err(DeployError::Missing {
            what: "the folder of plans that `trefoil compile` wrote: each client has a plan of its own",
        });
    }
    let plan = plans.map(|plans| format!("{}.plan", &plans.client.plan_id().to_string()[..8]));
    let is_new = |plan: &String| !folder.join("server/plans").join(plan).exists();
    let mut written = Written {
        added_to: known.is_some(),
        new_plan: plan.clone().filter(is_new),
        new_client_plan: None,
        made: pending.0.iter().map(|(path, _)| path.clone()).collect(),
        stale: Vec::new(),
        record,
        new_clients,
        removed,
        changed: Vec::new(),
        beside: Vec::new(),
    };
    let mut files = Files {
        folder,
        known: known.as_ref(),
        plans: plans.zip(plan.as_deref()),
        written: &mut written,
    };
    files.write(pending)?;
    Ok(written)
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

/// Takes out the clients that are to go.
fn without_clients(mut record: Record, wanted: &Wanted) -> Result<(Record, Vec<Client>), DeployError> {
    for name in &wanted.removed {
        if !record.clients.iter().any(|one| one.name == *name) {
            return Err(DeployError::Nobody { name: name.clone() });
        }
    }
    let is_to_go = |one: &mut Client| wanted.removed.contains(&one.name);
    let removed = record.clients.extract_if(.., is_to_go).collect();
    Ok((record, removed))
}

/// Adds the clients that are wanted and not there.
fn with_clients(
    mut record: Record,
    wanted: &Wanted,
    folder: &Path,
    removed: &[Client],
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
        // A key that was made for the one who had the name before is not the new one's.
        let path = folder.join("clients").join(name).join("client.key");
        let key = match removed.iter().any(|one| one.name == *name) {
            true => pending.new_key(*given, path)?,
            false => pending.key_of(*given, None, path)?,
        };
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
    /// The key that was given, or is known; else a new one, which is to be written there. One that lies there
    /// already may be of somebody who was turned away: it is not taken silently.
    fn key_of(
        &mut self,
        given: Option<PublicKey>,
        known: Option<PublicKey>,
        path: PathBuf,
    ) -> Result<PublicKey, DeployError> {
        if let Some(key) = given.or(known) {
            return Ok(key);
        }
        if path.exists() {
            return Err(DeployError::KeyThere { path });
        }
        self.new_key(None, path)
    }

    /// The key that was given, or a new one.
    fn new_key(&mut self, given: Option<PublicKey>, path: PathBuf) -> Result<PublicKey, DeployError> {
        if let Some(key) = given {
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
    /// Who took part before.
    known: Option<&'a Record>,
    /// Plans to be added, and the name of their files.
    plans: Option<(&'a Plans, &'a str)>,
    written: &'a mut Written,
}

impl Files<'_> {
    fn write(&mut self, pending: Pending) -> Result<(), DeployError> {
        // What may be wrong with a list is told before anything is written.
        let lists = ["server", "helper"].map(|role| {
            let path = self.folder.join(role).join("clients.toml");
            self.list(&path).map(|text| (path, text))
        });
        let [server, helper] = lists;
        let lists = [server?, helper?];
        for part in ["", "server", "server/plans", "helper", "helper/plans", "clients"] {
            self.make_folder(&self.folder.join(part))?;
        }
        for client in &self.written.removed {
            self.clear(&self.client(client))?;
        }
        let clients = self.written.record.clients.clone();
        for client in &clients {
            self.make_folder(&self.client(client))?;
        }
        for (path, key) in pending.0 {
            key.write(&path)?;
        }
        if let Some((plans, name)) = self.plans {
            put(&self.folder.join("server/plans").join(name), &plans.server_file)?;
            put(&self.folder.join("helper/plans").join(name), &plans.helper_file)?;
        }
        self.listening("server", |record| &record.server, server_text)?;
        self.listening("helper", |record| &record.helper, helper_text)?;
        for (path, text) in lists {
            if let Some(text) = text {
                put(&path, text.as_bytes())?;
            }
        }
        for client in &clients {
            self.of_client(client)?;
        }
        // Last, so that what it says is there.
        put(&self.folder.join(FILE), self.written.record.to_text().as_bytes())
    }

    fn make_folder(&self, path: &Path) -> Result<(), DeployError> {
        create_private_folder(path).map_err(failed(path))
    }

    fn client(&self, client: &Client) -> PathBuf {
        self.folder.join("clients").join(&client.name)
    }

    /// Removes what was written for a client, and the folder if nothing else is in it.
    fn clear(&self, folder: &Path) -> Result<(), DeployError> {
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(failed(folder))?,
        };
        let mut is_empty = true;
        for entry in entries {
            let path = entry.map_err(failed(folder))?.path();
            let name = path.file_name().unwrap_or_default();
            let is_ours = name == "client.key"
                || name == "party.toml"
                || path.extension().is_some_and(|kind| kind == "plan");
            match is_ours {
                true => fs::remove_file(&path).map_err(failed(&path))?,
                false => is_empty = false,
            }
        }
        match is_empty {
            true => fs::remove_dir(folder).map_err(failed(folder)),
            false => Ok(()),
        }
    }

    /// What server and helper have alike.
    fn listening(
        &mut self,
        role: &str,
        place: fn(&Record) -> &Place,
        party: fn(&Record) -> String,
    ) -> Result<(), DeployError> {
        let fields = [("ROLE", role)];
        let unit = format!("trefoil-{role}.service");
        let compose = |record: &Record| COMPOSE.fill(&[("ROLE", role), ("PORT", port(place(record)))]);
        self.settle(&format!("{role}/party.toml"), &party)?;
        self.settle(&format!("{role}/{unit}"), &|_| UNIT.fill(&fields))?;
        self.settle(&format!("{role}/compose.yaml"), &compose)?;
        self.settle(&format!("{role}/Containerfile"), &|_| CONTAINER.fill(&fields))?;
        // The record may have another key by now.
        let key = self.folder.join(role).join("party.key");
        let lies = SecretKey::read(&key).ok().map(|key| key.public());
        if lies.is_some_and(|lies| lies != place(&self.written.record).key) {
            self.written.stale.push(key);
        }
        Ok(())
    }

    /// Writes a file that is not there; one that is there is written again where the record has
    /// changed and nobody else has changed it, and gets a new one beside it where somebody has.
    fn settle(&mut self, name: &str, text: &dyn Fn(&Record) -> String) -> Result<(), DeployError> {
        let path = self.folder.join(name);
        let new = text(&self.written.record);
        let there = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return put(&path, new.as_bytes()),
            there => there.map_err(failed(&path))?,
        };
        let old = self.known.map(text);
        let beside = self.folder.join(format!("{name}.new"));
        if there == new && beside.exists() {
            fs::remove_file(&beside).map_err(failed(&beside))?;
        }
        if there == new || old.as_ref() == Some(&new) {
            return Ok(());
        }
        if old.as_ref() == Some(&there) {
            self.written.changed.push(path.clone());
            return put(&path, new.as_bytes());
        }
        self.written.beside.push(beside.clone());
        put(&beside, new.as_bytes())
    }

    /// The list of clients: all of them at first; later it is its administrator's, and only the lines of
    /// those who come and go are touched. Where it is no longer here, nothing is written: what is
    /// missing from a list would be taken for revoked.
    fn list(&self, path: &Path) -> Result<Option<String>, DeployError> {
        let Written {
            record,
            new_clients,
            removed,
            added_to,
            ..
        } = &*self.written;
        let listed = |clients: &[Client]| -> Vec<Listed> {
            clients
                .iter()
                .map(|one| Listed::new(&one.name, one.key))
                .collect()
        };
        let fault = |fault: ClientsFault| DeployError::Record {
            path: path.to_owned(),
            source: Box::new(fault),
        };
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if *added_to {
                    return Ok(None);
                }
                let clients = Clients::new(listed(&record.clients)).map_err(fault)?;
                return Ok(Some(clients.to_toml()));
            }
            text => text.map_err(failed(path))?,
        };
        let mut new = text.clone();
        // Who only has another key keeps its limits.
        let comes_back = |one: &&Client| new_clients.iter().any(|other| other.name == one.name);
        for client in new_clients
            .iter()
            .filter(|one| removed.iter().any(|old| old.name == one.name))
        {
            new = edit::rekeyed(&new, &client.name, client.key).map_err(fault)?;
        }
        let gone = removed.iter().filter(|one| !comes_back(one));
        let names: Vec<&str> = gone.map(|one| &*one.name).collect();
        if !names.is_empty() {
            new = edit::removed(&new, &names).map_err(fault)?;
        }
        if !new_clients.is_empty() {
            new = edit::added(&new, &listed(new_clients)).map_err(fault)?;
        }
        Ok((new != text).then_some(new))
    }

    fn of_client(&mut self, client: &Client) -> Result<(), DeployError> {
        let folder = self.client(client);
        if let Some((plans, name)) = self.plans {
            let part = plans
                .client
                .for_client(&plans.server, &plans.helper, client.key.as_bytes());
            let part = part.ok_or(DeployError::Apart)?;
            let public = Public {
                program: (**plans.client.program()).clone(),
                plan_id: plans.client.plan_id(),
            };
            let file = Zeroizing::new(ClientPlan::encode(&public, &part));
            let path = folder.join(name);
            if !path.exists() {
                self.written.new_client_plan = Some(name.to_owned());
            }
            put(&path, &file)?;
        }
        // The plan that its file names stays the one it names.
        let named = Settings::read(&folder.join("party.toml"))
            .ok()
            .and_then(|settings| Some(settings.plan?.file_name()?.to_str()?.to_owned()));
        let Some(plan) = named.or(self.plans.map(|(_, name)| name.to_owned())) else {
            return Ok(());
        };
        let text = |record: &Record| client_text(record, &client.name, &plan);
        self.settle(&format!("clients/{}/party.toml", client.name), &text)
    }
}

fn server_text(record: &Record) -> String {
    let Record { server, helper, .. } = record;
    SERVER.fill(&[
        ("ADDRESS", &server.address),
        ("PORT", port(server)),
        ("HELPER", &helper.address),
        ("HELPER_KEY", &helper.key.to_string()),
    ])
}

fn helper_text(record: &Record) -> String {
    let Record { server, helper, .. } = record;
    HELPER.fill(&[
        ("ADDRESS", &helper.address),
        ("PORT", port(helper)),
        ("SERVER_KEY", &server.key.to_string()),
    ])
}

fn client_text(record: &Record, name: &str, plan: &str) -> String {
    let Record { server, helper, .. } = record;
    CLIENT.fill(&[
        ("NAME", name),
        ("PLAN", plan),
        ("SERVER", &server.address),
        ("SERVER_KEY", &server.key.to_string()),
        ("HELPER", &helper.address),
        ("HELPER_KEY", &helper.key.to_string()),
    ])
}

fn failed(path: &Path) -> impl Fn(io::Error) -> DeployError {
    move |source| DeployError::Write {
        path: path.to_owned(),
        source,
    }
}

/// The port of an address that was checked.
fn port(place: &Place) -> &str {
    place.address.rsplit_once(':').map_or("", |(_, port)| port)
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), DeployError> {
    write_private(path, bytes).map_err(failed(path))
}
