//! Whole inferences: three parties on threads, linked by queues, as in `trefoil-party local`. Every
//! call of `exec` that `networks` measures is here.

use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use trefoil_ir::mpc::{Party, ValueId};
use trefoil_ir::plan::{ClientPlan, HelperPlan, ServerPlan};
use trefoil_runtime::exec::{Client, Helper, Server};
use trefoil_runtime::prg::{Seed, StreamKey};
use trefoil_runtime::wire::pair;

/// Frames that may wait on a link, as in `trefoil-party local`.
const CAPACITY: usize = 64;

/// Three parties that hold plans of one compilation.
pub(crate) struct Parties {
    client: Client,
    server: Server,
    helper: Helper,
    /// The keys as each party holds them: of client and helper, of server and helper.
    client_helper: [StreamKey; 2],
    server_helper: [StreamKey; 2],
    next: u32,
}

/// What one inference took, as the client sees it.
pub(crate) struct Phases {
    pub(crate) offline: Duration,
    pub(crate) online: Duration,
}

impl Phases {
    /// Both.
    pub(crate) fn total(&self) -> Duration {
        self.offline + self.online
    }
}

impl Parties {
    /// Parties with these plans.
    pub(crate) fn new(client: ClientPlan, server: ServerPlan, helper: HelperPlan) -> Self {
        let key = |byte| StreamKey::new(&Seed::from_bytes([byte; Seed::LEN]));
        Self {
            client: Client::new(client),
            server: Server::new(server),
            helper: Helper::new(helper),
            client_helper: [key(1), key(1)],
            server_helper: [key(2), key(2)],
            next: 0,
        }
    }

    /// The client's plan.
    pub(crate) fn plan(&self) -> &ClientPlan {
        self.client.plan()
    }

    /// Values of the image.
    pub(crate) fn image_len(&self) -> usize {
        self.plan().program().ty(ValueId(0)).shape.len()
    }

    /// Runs one image, given in units.
    pub(crate) fn infer(&mut self, image: &[i32]) -> Phases {
        let inference = self.next;
        self.next += 1;
        let Self {
            client,
            server,
            helper,
            client_helper,
            server_helper,
            ..
        } = self;
        let (mut client_server, mut server_client) = pair(Party::Client, Party::Server, CAPACITY);
        let (mut client_helper_link, mut helper_client) = pair(Party::Client, Party::Helper, CAPACITY);
        let (ready, all_ready) = channel();
        let helper_ready = ready.clone();
        thread::scope(|scope| {
            scope.spawn(|| {
                let dealt = helper.offline(
                    &client_helper[1],
                    &server_helper[1],
                    inference,
                    &mut helper_client,
                );
                dealt.expect("the client is there");
                helper_ready.send(()).expect("the client waits for it");
            });
            scope.spawn(|| {
                let stock = server.offline(inference, &mut server_client);
                ready.send(()).expect("the client waits for it");
                let stock = stock.expect("the client is there");
                let served = server.online(&server_helper[0], stock, &mut server_client);
                served.expect("the client is there");
            });
            let key = &client_helper[0];
            let start = Instant::now();
            let stock = client.offline(key, inference, &mut client_server, &mut client_helper_link);
            let stock = stock.expect("server and helper are there");
            // As in a session, the offline phase ends when all parties are done with it.
            for _ in 0..2 {
                all_ready.recv().expect("server and helper are there");
            }
            let offline = start.elapsed();
            let start = Instant::now();
            let output = client.online(key, stock, image, &mut client_server);
            let online = start.elapsed();
            std::hint::black_box(output.expect("the server is there"));
            Phases { offline, online }
        })
    }
}
