//! `serve`: a server or a helper, as its settings say.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use trefoil_ir::mpc::Party;

use super::args::ServeArgs;
use super::error::CliError;
use super::{log, plans, print, set_threads};
use crate::accounts::{Accounts, Clients, Ledger};
use crate::amount::counted;
use crate::exec;
use crate::keys::{PublicKey, SecretKey};
use crate::net::address::{is_address, resolve};
use crate::net::{
    self, Circle, Credentials, Door, Hosted, Listener, Offer, Post, Purpose, Reload, ServeOptions, Stop,
    Vitals,
};
use crate::operations::{Metrics, Operations};
use crate::session::Identity;
use crate::settings::{Hall, HelperSettings, Port, ServerSettings, SettingsError};

/// Runs the command.
///
/// # Errors
/// If it cannot start, or its one session failed.
pub fn run(args: &ServeArgs) -> Result<(), CliError> {
    let settings = args.party.all()?;
    match settings.role {
        Some(Party::Server) => server(&settings.server()?, args.once),
        Some(Party::Helper) => helper(&settings.helper_of()?, args.once),
        Some(role @ Party::Client) => Err(CliError::Settings(SettingsError::Role {
            command: "serve",
            role,
            remedy: "run `trefoil-party client`",
        })),
        None => Err(CliError::Settings(SettingsError::NoRole)),
    }
}

fn server(settings: &ServerSettings, once: bool) -> Result<(), CliError> {
    let ServerSettings { hall, helper } = settings;
    log::start(hall.log);
    let own = Own::read(hall, &[(Party::Helper, helper.key)])?;
    let [look, go] =
        [Purpose::Probe, Purpose::Session].map(|purpose| own.door(Party::Helper, helper, purpose));
    let doors = (look?, go?);
    let start = Start::new(own, hall, Party::Server, &[])?;
    let shelf = Shelf {
        path: hall.plans.clone(),
        read: |path| {
            let plan = plans::server(path)?;
            Ok(Hosted {
                identity: Identity::from(&plan),
                party: exec::Server::new(plan),
            })
        },
    };
    let post = start.post(&shelf)?;
    let options = ServeOptions {
        once,
        ..hall.options.clone()
    };
    start.serve(&post, &shelf, |listener, stop| {
        net::server::serve(listener, &doors, &post, &options, stop, &log::line)
    })
}

fn helper(settings: &HelperSettings, once: bool) -> Result<(), CliError> {
    let HelperSettings { hall, server_key } = settings;
    log::start(hall.log);
    let peers = [(Party::Server, *server_key)];
    let own = Own::read(hall, &peers)?;
    let start = Start::new(own, hall, Party::Helper, &peers)?;
    let shelf = Shelf {
        path: hall.plans.clone(),
        read: |path| {
            let plan = plans::helper(path)?;
            Ok(Hosted {
                identity: Identity::from(&plan),
                party: exec::Helper::new(plan),
            })
        },
    };
    let post = start.post(&shelf)?;
    let options = ServeOptions {
        once,
        ..hall.options.clone()
    };
    start.serve(&post, &shelf, |listener, stop| {
        net::helper::serve(listener, &post, &options, stop, &log::line)
    })
}

/// A party's own key, and its clients, checked against each other.
pub(super) struct Own {
    credentials: Credentials,
    pub(super) clients: Clients,
    /// Keys that no client may have.
    taken: Vec<(Party, PublicKey)>,
}

impl Own {
    pub(super) fn read(hall: &Hall, peers: &[(Party, PublicKey)]) -> Result<Self, CliError> {
        let key = SecretKey::read(&hall.key)?;
        let credentials = Credentials::new(&key)?;
        let own = match peers {
            [(Party::Helper, _)] => Party::Server,
            _ => Party::Helper,
        };
        if let Some(&(other, key)) = peers.iter().find(|(_, key)| *key == credentials.public()) {
            return Err(CliError::Settings(SettingsError::OneKey { one: own, other, key }));
        }
        let taken: Vec<_> = peers
            .iter()
            .copied()
            .chain([(own, credentials.public())])
            .collect();
        Ok(Self {
            clients: clients(&hall.clients, &taken)?,
            credentials,
            taken,
        })
    }
}

impl Own {
    /// How another party is reached.
    fn door(&self, party: Party, port: &Port, purpose: Purpose) -> Result<Door, CliError> {
        door(&self.credentials, party, port, purpose)
    }
}

/// How another party is reached by whoever has these credentials.
pub(super) fn door(
    credentials: &Credentials,
    party: Party,
    port: &Port,
    purpose: Purpose,
) -> Result<Door, CliError> {
    if !is_address(&port.address) {
        return Err(CliError::Address {
            party,
            address: port.address.clone(),
        });
    }
    Ok(Door {
        party,
        address: port.address.clone(),
        tls: credentials.opening(port.key, purpose)?,
    })
}

/// Reads who the clients are; none of them may have a party's key.
fn clients(path: &Path, taken: &[(Party, PublicKey)]) -> Result<Clients, CliError> {
    let clients = Clients::read(path)?;
    let named: Vec<_> = taken
        .iter()
        .map(|(party, key)| (party_name(*party), *key))
        .collect();
    clients
        .check_distinct(&named)
        .map_err(|source| CliError::Clients {
            path: path.to_owned(),
            source,
        })?;
    Ok(clients)
}

fn party_name(party: Party) -> &'static str {
    match party {
        Party::Client => "the client",
        Party::Server => "the server",
        Party::Helper => "the helper",
    }
}

/// All that stands before the plans are read: a wrong address fails before a large plan does.
struct Start<'a> {
    hall: &'a Hall,
    own: Credentials,
    taken: Vec<(Party, PublicKey)>,
    accounts: Arc<Accounts>,
    circle: Arc<Circle>,
    listener: Listener,
    stop: Stop,
    vitals: Arc<Vitals>,
    metrics: Arc<Metrics>,
}

impl<'a> Start<'a> {
    fn new(own: Own, hall: &'a Hall, party: Party, peers: &[(Party, PublicKey)]) -> Result<Self, CliError> {
        let listener = Listener::bind(&hall.listen)?;
        let ledger = hall.state.as_deref().map(Ledger::open).transpose()?;
        let accounts = Arc::new(Accounts::new(own.clients, ledger));
        set_threads(hall.threads)?;
        Ok(Self {
            hall,
            own: own.credentials,
            taken: own.taken,
            circle: Arc::new(Circle::new(Arc::clone(&accounts), peers)),
            accounts,
            listener,
            stop: Stop::on_signals()?,
            vitals: Arc::new(Vitals::new(party)),
            metrics: Metrics::new(party),
        })
    }

    fn post<P>(&self, shelf: &Shelf<P>) -> Result<Post<P>, CliError> {
        let found = plan_files(&shelf.path)?;
        let plans: Result<Vec<_>, CliError> = found.iter().map(|path| (shelf.read)(path)).collect();
        let plans = Offer::new(plans?).map_err(|source| CliError::NoPlan {
            path: shelf.path.clone(),
            source,
        })?;
        self.metrics.set_plans(plans.ids().len());
        Ok(Post {
            credentials: self.own.clone(),
            known: Arc::clone(&self.circle) as _,
            plans,
            vitals: Arc::clone(&self.vitals),
            metrics: Arc::clone(&self.metrics),
            trace: self.hall.trace.clone(),
        })
    }

    /// Serves until it is stopped; reads plans and clients again on request.
    fn serve<P: Send + Sync>(
        &self,
        post: &Post<P>,
        shelf: &Shelf<P>,
        serve: impl FnOnce(&Listener, &Stop) -> Result<(), net::NetError> + Send,
    ) -> Result<(), CliError> {
        let operations = self.operations()?;
        let reload = Reload::on_signal()?;
        print(&format!("listening on {}\n", self.listener.address()))?;
        if let Some(operations) = &operations {
            print(&format!("operations on {}\n", operations.address()))?;
        }
        let outcome = std::thread::scope(|scope| {
            scope.spawn(|| {
                reload.follow(&self.stop, || {
                    // Whoever is revoked is so whatever lies among the plans.
                    say("clients", self.reload_clients());
                    say("plans", self.reload_plans(post, shelf));
                })
            });
            let outcome = serve(&self.listener, &self.stop);
            // However it ended, nobody has to be followed any more.
            self.stop.request();
            outcome
        });
        self.accounts.close()?;
        Ok(outcome?)
    }

    fn operations(&self) -> Result<Option<Operations>, CliError> {
        let Some(address) = &self.hall.operations else {
            return Ok(None);
        };
        let accounts = Arc::clone(&self.accounts);
        self.metrics
            .ask_allowances(move || net::circle::allowances(&accounts));
        let address = resolve(address)?;
        if !address.ip().to_canonical().is_loopback() {
            log::warn(&format!(
                "{address} is an address that others can reach: names of clients and counts of their inferences are \
                 to be read there without a key"
            ));
        }
        let vitals = Arc::clone(&self.vitals);
        Ok(Some(Operations::start(
            address,
            Arc::clone(&self.metrics),
            vitals,
        )?))
    }

    /// Reads the list of clients again. If anything is wrong with it, all stays as it was.
    fn reload_clients(&self) -> Result<String, CliError> {
        let clients = clients(&self.hall.clients, &self.taken)?;
        let count = clients.len();
        self.accounts.replace(clients);
        Ok(counted(count, "client"))
    }

    /// The same of the plans.
    fn reload_plans<P>(&self, post: &Post<P>, shelf: &Shelf<P>) -> Result<String, CliError> {
        let found = plan_files(&shelf.path)?;
        let read: Result<Vec<_>, CliError> = found.iter().map(|path| (shelf.read)(path)).collect();
        let mut offered = HashMap::new();
        for plan in read? {
            offered.insert(plan.identity.plan_id(), plan);
        }
        if offered.is_empty() {
            return Err(CliError::NoPlan {
                path: shelf.path.clone(),
                source: net::offer::NoPlan,
            });
        }
        let ids: Vec<_> = offered.keys().copied().collect();
        let added = offered
            .into_values()
            .map(|plan| usize::from(post.plans.add(plan)));
        let added: usize = added.sum();
        let withdrawn = post.plans.withdraw(|identity| ids.contains(&identity.plan_id()));
        let withdrawn = withdrawn.map_or(0, |gone| gone.len());
        self.metrics.set_plans(post.plans.ids().len());
        Ok(format!(
            "{}, {added} new, {withdrawn} withdrawn",
            counted(ids.len(), "plan")
        ))
    }
}

/// Logs how a reload went.
fn say(what: &str, reloaded: Result<String, CliError>) {
    match reloaded {
        Ok(said) => log::info(&format!("reloaded: {said}")),
        Err(error) => log::warn(&format!(
            "the {what} were not reloaded, and stay as they were: {}",
            net::listen::sentence(&error)
        )),
    }
}

/// Where plans lie, and how one is read.
struct Shelf<P> {
    path: PathBuf,
    read: fn(&Path) -> Result<Hosted<P>, CliError>,
}

/// The files of plans that a path names, a folder's in the order of their names.
///
/// # Errors
/// If the folder cannot be read.
pub(super) fn plan_files(path: &Path) -> Result<Vec<PathBuf>, CliError> {
    let unread = |source| CliError::ReadPlan {
        path: path.to_owned(),
        source,
    };
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unread)? {
        let path = entry.map_err(unread)?.path();
        if path.extension().is_some_and(|extension| extension == "plan") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
