//! Three parties in one process, on threads, with keys that are always the same: a run's rounding
//! coins are then always the same, and a test that passed will pass again.

use std::collections::BTreeMap;
use std::thread;

use rayon::{ThreadPool, ThreadPoolBuilder};
use trefoil_ir::mpc::cost::Cost;
use trefoil_ir::mpc::{Party, Program, Stage};
use trefoil_ir::plan::{ClientPlan, HelperPlan, ServerPlan};
use trefoil_runtime::exec::{Client, Helper, Measured, Server};
use trefoil_runtime::prg::{Seed, StreamKey};
use trefoil_runtime::wire::{Metered, Traffic, pair};

/// Three parties that hold plans of one compilation.
pub(crate) struct Parties {
    client: Client,
    server: Server,
    helper: Helper,
    /// The keys as each party holds them: of client and helper, of server and helper.
    client_helper: [StreamKey; 2],
    server_helper: [StreamKey; 2],
    /// Threads of client, server and helper, as each session has its own.
    threads: [ThreadPool; 3],
    next: u32,
}

/// What one image came to.
pub(crate) struct Ran {
    /// What the client learns, in units.
    pub(crate) units: Vec<i64>,
    /// What the client's links counted.
    pub(crate) client: Traffic,
    /// What the server's link to the client counted.
    pub(crate) server: Traffic,
    /// What the helper's link to the client counted.
    pub(crate) helper: Traffic,
    /// What the client measured.
    pub(crate) measured: Measured,
}

impl Parties {
    /// Parties with these plans.
    pub(crate) fn new(client: ClientPlan, server: ServerPlan, helper: HelperPlan) -> Self {
        let key = |byte| StreamKey::new(&Seed::from_bytes([byte; 32]));
        Self {
            client: Client::new(client),
            server: Server::new(server),
            helper: Helper::new(helper),
            client_helper: [key(1), key(1)],
            server_helper: [key(2), key(2)],
            threads: [(); 3].map(|()| ThreadPoolBuilder::new().build().expect("threads can be had")),
            next: 0,
        }
    }

    /// The client's plan.
    pub(crate) fn plan(&self) -> &ClientPlan {
        self.client.plan()
    }

    /// Runs one image, given in units. Fails where the traffic is not what the plan predicts.
    pub(crate) fn run(&mut self, image: &[i32]) -> Result<Ran, String> {
        let ran = self.infer(image)?;
        check_traffic(self.client.plan().program(), &ran)?;
        Ok(ran)
    }

    fn infer(&mut self, image: &[i32]) -> Result<Ran, String> {
        let inference = self.next;
        self.next += 1;
        let (to_server, at_server) = pair(Party::Client, Party::Server, 64);
        let (to_helper, at_helper) = pair(Party::Client, Party::Helper, 64);
        let Self {
            client,
            server,
            helper,
            client_helper,
            server_helper,
            threads: [of_client, of_server, of_helper],
            ..
        } = self;
        thread::scope(|scope| {
            let help = || {
                let mut link = Metered::new(at_helper);
                helper
                    .offline(&client_helper[1], &server_helper[1], inference, &mut link)
                    .map_err(|error| format!("helper: {error}"))?;
                Ok::<_, String>(link.take())
            };
            let helper = scope.spawn(|| of_helper.install(help));
            let serve = || {
                let mut link = Metered::new(at_server);
                let stock = server
                    .offline(inference, &mut link)
                    .map_err(|e| format!("server: {e}"))?;
                server
                    .online(&server_helper[0], stock, &mut link)
                    .map_err(|e| format!("server: {e}"))?;
                Ok::<_, String>(link.take())
            };
            let server = scope.spawn(|| of_server.install(serve));
            let (mut to_server, mut to_helper) = (Metered::new(to_server), Metered::new(to_helper));
            let key = &client_helper[0];
            let units = of_client.install(|| {
                let stock = client.offline(key, inference, &mut to_server, &mut to_helper)?;
                client.online(key, stock, image, &mut to_server)
            });
            let mut traffic = to_server.take();
            traffic.merge(&to_helper.take());
            // The other two wait for these ends.
            drop((to_server, to_helper));
            let panicked = |_| "a party panicked".to_owned();
            let (server, helper) = (server.join().map_err(panicked)?, helper.join().map_err(panicked)?);
            Ok(Ran {
                units: units.map_err(|error| format!("client: {error}"))?,
                client: traffic,
                server: server?,
                helper: helper?,
                measured: client.measured(),
            })
        })
    }
}

/// Compares what the links counted with the prediction: per step and message (hence link and phase),
/// in all, and in round trips; at both ends of each link.
fn check_traffic(program: &Program, ran: &Ran) -> Result<(), String> {
    let predicted: BTreeMap<(u32, Stage), u64> = program
        .ids()
        .flat_map(|id| {
            program
                .messages(id)
                .into_iter()
                .map(move |m| ((id.0, m.stage), m.bytes() as u64))
        })
        .collect();
    let mut others = ran.server.clone();
    others.merge(&ran.helper);
    for (who, traffic) in [("client", &ran.client), ("server and helper", &others)] {
        let mut measured = BTreeMap::new();
        for (step, stage, count) in traffic.messages() {
            if count.messages != 1 {
                return Err(format!(
                    "{who}: {stage:?} of %{step} passed {} times",
                    count.messages
                ));
            }
            measured.insert((step, stage), count.bytes);
        }
        if measured != predicted {
            let differ = |key: &&(u32, Stage)| measured.get(key) != predicted.get(key);
            let first = measured.keys().chain(predicted.keys()).find(differ);
            return Err(format!(
                "{who}: the traffic is not the predicted one, first at {first:?}"
            ));
        }
    }
    let cost = Cost::new(program);
    let mut links = cost.links.clone();
    links.retain(|_, bytes| *bytes > 0);
    if ran.client.links() != links {
        return Err(format!(
            "links: {:?} measured, {links:?} predicted",
            ran.client.links()
        ));
    }
    if ran.client.round_trips != cost.round_trips as u64 {
        return Err(format!(
            "{} round trips measured, {} predicted",
            ran.client.round_trips, cost.round_trips
        ));
    }
    Ok(())
}
