//! Parties that fail: whoever disconnects, falls silent or sends something else, at whichever
//! message, the other parties end with an error and nobody waits forever. In one process at every
//! message of a small program; between processes for what only sockets and commands can do.

#[path = "support/commands.rs"]
#[allow(dead_code)] // the end-to-end tests need more of it
mod commands;
#[path = "support/faulty.rs"]
mod faulty;
#[path = "support/plans.rs"]
mod plans;
#[path = "support/ring.rs"]
#[allow(dead_code)] // the end-to-end tests need more of it
mod ring;
#[path = "support/site.rs"]
#[allow(dead_code)] // tests of admission need more of it
mod site;

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use commands::{LIMIT, REFUSAL_LIMIT, Running, run};
use faulty::{Failure, Fault, FaultyLink};
use plans::{IMAGE, Plans};
use site::{Site, program};
use trefoil_ir::mpc::Party;
use trefoil_ir::plan::{ClientPlan, HelperPlan, ServerPlan};
use trefoil_runtime::exec;
use trefoil_runtime::session::{
    ClientSession, Greeted, HelperSession, Identity, ServerSession, SessionError,
};
use trefoil_runtime::wire::{MemoryLink, pair};

const PARTIES: [Party; 3] = [Party::Client, Party::Server, Party::Helper];

/// How a session ended for each party, in the order of [`PARTIES`].
type Ends = [Result<(), SessionError>; 3];

/// A session of a single image and of a batch of two, out of a stock of which one is left; `faulty`
/// fails. `None` if it does not end.
fn session(plans: &Plans, faulty: Party, failure: &Arc<Failure>, timeout: Option<Duration>) -> Option<Ends> {
    let (plans, failure) = (plans.clone(), Arc::clone(failure));
    let (tell, ended) = channel();
    thread::spawn(move || {
        // The one who waits may have given up.
        let _ = tell.send(session_to_its_end(&plans, faulty, &failure, timeout));
    });
    ended.recv_timeout(Duration::from_secs(20)).ok()
}

fn session_to_its_end(
    plans: &Plans,
    faulty: Party,
    failure: &Arc<Failure>,
    timeout: Option<Duration>,
) -> Ends {
    let ends = |left, right| {
        let (one, other) = pair(left, right, 64);
        let end = |link: MemoryLink, party| {
            let link = match timeout {
                Some(timeout) => link.with_timeout(timeout),
                None => link,
            };
            FaultyLink::new(link, (party == faulty).then(|| Arc::clone(failure)))
        };
        (end(one, left), end(other, right))
    };
    let (client_server, server_client) = ends(Party::Client, Party::Server);
    let (client_helper, helper_client) = ends(Party::Client, Party::Helper);
    let (server_helper, helper_server) = ends(Party::Server, Party::Helper);
    thread::scope(|scope| {
        let server = scope.spawn(|| {
            let plan = ServerPlan::decode(&plans.server).unwrap_or_else(|error| panic!("{error}"));
            let own = Identity::from(&plan);
            let dial = || Ok::<_, Infallible>(server_helper);
            let session = ServerSession::accept(&own, server_client, dial)?;
            session.serve(&mut exec::Server::new(plan), |_| ()).map(drop)
        });
        let helper = scope.spawn(|| {
            let plan = HelperPlan::decode(&plans.helper).unwrap_or_else(|error| panic!("{error}"));
            let own = Identity::from(&plan);
            let (client, server) = (
                Greeted::new(helper_client, &own),
                Greeted::new(helper_server, &own),
            );
            let session = HelperSession::open(client?, server?)?;
            session.serve(&mut exec::Helper::new(plan), |_| ()).map(drop)
        });
        let client = || {
            let plan = ClientPlan::decode(&plans.client).unwrap_or_else(|error| panic!("{error}"));
            let mut session = ClientSession::open(&Identity::from(&plan), client_server, client_helper)?;
            let image: Vec<i32> = (0..IMAGE.iter().product::<usize>() as i32)
                .map(|at| 37 * at - 1000)
                .collect();
            let mut party = exec::Client::new(plan);
            session.infer(&mut party, &image)?;
            session.prepare(&mut party, 3)?;
            session.run(&mut party, &[&image, &image])?;
            session.end()
        };
        let client = client();
        [
            client,
            server.join().expect("no panic"),
            helper.join().expect("no panic"),
        ]
    })
}

/// Frames of an undisturbed session that count for this fault.
fn frames(plans: &Plans, party: Party, fault: Fault) -> usize {
    let failure = Failure::new(fault, usize::MAX);
    let ends = session(plans, party, &failure, None).expect("an undisturbed session ends");
    assert!(
        ends.iter().all(Result::is_ok),
        "an undisturbed session succeeds: {ends:?}"
    );
    failure.frames()
}

/// Lets each party fail at every `stride`th frame; all three must end with an error each. The ends
/// that the client announces are left out: whoever has heard of the end is done.
fn fail_everywhere(fault: Fault, stride: usize, timeout: Option<Duration>) {
    let plans = Plans::new(1);
    let mut tried = 0;
    for party in PARTIES {
        let announcements = match (party, fault) {
            (Party::Client, _) => 2,
            (_, Fault::Disconnect) => 1,
            _ => 0,
        };
        for at in (0..frames(&plans, party, fault) - announcements).step_by(stride) {
            let Some(ends) = session(&plans, party, &Failure::new(fault, at), timeout) else {
                panic!("{fault:?} of the {party} at frame {at}: somebody waits forever");
            };
            let unharmed = Fault::Shorter == fault && ends.iter().all(Result::is_ok);
            tried += usize::from(!unharmed);
            for (other, end) in PARTIES.iter().zip(&ends) {
                let failed = unharmed || end.is_err();
                assert!(
                    failed,
                    "{fault:?} of the {party} at frame {at}: the {other} noticed nothing: {ends:?}"
                );
            }
        }
    }
    assert!(tried * stride >= 20, "{tried} frames were tried");
}

#[test]
fn a_party_that_disconnects_at_any_message() {
    fail_everywhere(Fault::Disconnect, 1, None);
}

#[test]
fn a_frame_that_is_too_long() {
    fail_everywhere(Fault::Longer, 1, None);
}

#[test]
fn a_frame_that_is_too_short() {
    fail_everywhere(Fault::Shorter, 1, None);
}

#[test]
fn a_frame_of_another_step_image_or_kind() {
    for fault in [Fault::OtherStep, Fault::OtherImage, Fault::OtherKind] {
        fail_everywhere(fault, 1, None);
    }
}

#[test]
fn a_party_that_falls_silent() {
    fail_everywhere(Fault::Silence, 3, Some(Duration::from_millis(100)));
}

/// An address where nobody listens.
fn nobody() -> String {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().to_string()
}

/// A peer that takes connections and says nothing.
fn silent_listener() -> (TcpListener, String) {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    (socket, address)
}

/// Sends something to a listening party and hangs up.
fn disturb(address: &str, bytes: &[u8]) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(bytes).unwrap();
}

#[test]
fn whatever_strangers_send_the_next_client_is_served() {
    let site = Site::new(1);
    let (mut helper, helper_address) = site.helper(&[]);
    let (mut server, server_address) = site.server(&helper_address, &[]);
    let hello = [&[0x81, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &96u32.to_le_bytes()].concat();
    let endless = [&hello[..12], &u32::MAX.to_le_bytes()].concat();
    let nonsense = [&hello[..], &[0xee; 96]].concat();
    let garbage: [&[u8]; 6] = [
        b"",
        b"GET / HTTP/1.1\r\n\r\n",
        &[0xff; 5000],
        &hello,
        &endless,
        &nonsense,
    ];
    for address in [&server_address, &helper_address] {
        for bytes in garbage {
            disturb(address, bytes);
        }
    }
    // Held open without a byte, meanwhile.
    let held = [&server_address, &helper_address].map(|address| TcpStream::connect(address).unwrap());
    let ended = run(&mut site.client(&server_address, &helper_address), LIMIT).succeeded();
    assert!(ended.stdout.contains("images       4"), "{}", ended.stdout);
    drop(held);
    assert!(server.is_alive() && helper.is_alive());
    for party in [server, helper] {
        party.signal("TERM");
        let ended = party.wait(REFUSAL_LIMIT).succeeded();
        assert!(
            ended.stderr.contains("a session failed: ") && !ended.stderr.contains("panicked"),
            "{}",
            ended.stderr
        );
    }
}

#[test]
fn wrong_addresses() {
    let site = Site::new(1);
    let (_helper, helper_address) = site.helper(&[]);
    let (_server, server_address) = site.server(&helper_address, &[]);
    let nowhere = nobody();
    thread::scope(|scope| {
        // The one whom the client cannot reach is named.
        for (server, helper, word) in [
            (&nowhere, &helper_address, "cannot connect to the server"),
            (&server_address, &nowhere, "cannot connect to the helper"),
            (&helper_address, &server_address, "it has the key"),
        ] {
            let site = &site;
            scope.spawn(move || {
                let message = run(&mut site.client(server, helper), REFUSAL_LIMIT).refused();
                assert!(message.contains(word), "{word}: {message}");
            });
        }
    });
}

#[test]
fn a_server_that_cannot_reach_the_helper_tells_the_client() {
    let site = Site::new(1);
    let (_helper, helper_address) = site.helper(&[]);
    let (server, server_address) = site.server(&nobody(), &["--once"]);
    // More patient than the server, which tries for some seconds.
    let client = Running::start(
        site.client(&server_address, &helper_address)
            .args(["--images", "1"]),
    );
    let told = client.wait(REFUSAL_LIMIT).refused();
    assert!(told.contains("cannot reach the helper"), "{told}");
    let message = server.wait(REFUSAL_LIMIT).refused();
    assert!(
        message.contains("the server cannot reach the helper"),
        "{message}"
    );
}

#[test]
fn peers_that_say_nothing() {
    let site = Site::new(1);
    let (_helper, helper_address) = site.helper(&[]);
    let (_socket, silent) = silent_listener();
    let start = Instant::now();
    let mut client = site.client(&silent, &helper_address);
    client.args(["--timeout", "1", "--connect-timeout", "1"]);
    let message = run(&mut client, REFUSAL_LIMIT).refused_with(5);
    assert!(message.contains("cannot connect to the server"), "{message}");
    assert!(start.elapsed() < Duration::from_secs(10));
    // A server gives up a client that begins and does not go on.
    let (server, address) = site.server(&helper_address, &["--once", "--timeout", "1"]);
    let mut stream = TcpStream::connect(address).unwrap();
    // What is no beginning of a handshake is told so at once.
    stream.write_all(&[0x81; 16]).unwrap();
    let message = server.wait(REFUSAL_LIMIT).refused();
    assert!(message.contains("what came is not encrypted"), "{message}");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(answer.first(), Some(&0x15), "an alert");
}

#[test]
fn plans_of_another_compilation_are_refused_and_the_next_client_is_served() {
    let (site, other) = (Site::new(1), Site::new(2));
    let (_helper, helper_address) = site.helper(&[]);
    let (mut server, server_address) = site.server(&helper_address, &[]);
    // The same keys, and plans of another compilation.
    for name in ["client.plan", "server.plan", "helper.plan"] {
        std::fs::copy(other.path(name), site.path(&format!("other.{name}"))).unwrap();
    }
    let mut stranger = site.client(&server_address, &helper_address);
    stranger.arg("--plan").arg(site.path("other.client.plan"));
    let message = run(&mut stranger, REFUSAL_LIMIT).refused_with(4);
    assert!(message.contains("not of the same compilation"), "{message}");
    assert!(server.is_alive());
    run(&mut site.client(&server_address, &helper_address), LIMIT).succeeded();
}

/// More clients than places: those that find none ask again.
#[test]
fn many_clients_at_once() {
    let site = Site::new(1);
    let (_helper, helper_address) = site.helper(&["--sessions", "2"]);
    let (_server, server_address) = site.server(&helper_address, &["--sessions", "2"]);
    let clients: Vec<Running> = (0..10)
        .map(|_| Running::start(&mut site.client(&server_address, &helper_address)))
        .collect();
    for client in clients {
        client.wait(LIMIT).succeeded();
    }
}

#[test]
fn a_second_client_of_a_server_that_serves_one_is_told_so() {
    let site = Site::new(1);
    let (_helper, helper_address) = site.helper(&[]);
    let (server, server_address) = site.server(&helper_address, &["--sessions", "1", "--queue", "0"]);
    let first = site.long(&server_address, &helper_address);
    // It asks again, and gives up in the end.
    let mut second = site.client(&server_address, &helper_address);
    let message = run(second.args(["--timeout", "2"]), REFUSAL_LIMIT).refused_with(3);
    assert!(message.contains("as many sessions as it may"), "{message}");
    drop((first, server));
    // Where there is a queue it waits, is told so, and has the place when the first one leaves.
    let (_server, server_address) = site.server(&helper_address, &["--sessions", "1"]);
    let first = site.long(&server_address, &helper_address);
    let second = Running::start(&mut site.client(&server_address, &helper_address));
    thread::sleep(Duration::from_millis(2500));
    first.signal("KILL");
    let told = second.wait(LIMIT).succeeded().stderr;
    assert!(
        told.contains("waiting for a place at the server: 0 others before"),
        "{told}"
    );
}

#[test]
fn a_party_that_is_stopped_amid_a_session_says_so() {
    let site = Site::new(1);
    for stopped in 0..2 {
        let (helper, helper_address) = site.helper(&["--grace", "0.5"]);
        let (server, server_address) = site.server(&helper_address, &["--grace", "0.5"]);
        let client = site.long(&server_address, &helper_address);
        let (first, other) = if stopped == 0 {
            (server, helper)
        } else {
            (helper, server)
        };
        first.signal("TERM");
        let message = client.wait(REFUSAL_LIMIT).refused();
        assert!(message.contains("it is being stopped"), "{message}");
        let log = first.wait(REFUSAL_LIMIT).succeeded().stderr;
        assert!(
            log.contains("stopping: running sessions (1) may go on for 0.5 seconds"),
            "{log}"
        );
        other.signal("TERM");
        let log = other.wait(REFUSAL_LIMIT).succeeded().stderr;
        assert!(log.contains("stopping: no session runs"), "{log}");
    }
}

/// Kills one party in the middle of a long run; the others must end with errors of their own, and
/// those that serve must go on serving.
#[test]
fn parties_that_are_killed_amid_a_session() {
    let site = Site::new(1);
    let (mut helper, helper_address) = site.helper(&[]);
    let (server, server_address) = site.server(&helper_address, &[]);
    let client = site.long(&server_address, &helper_address);
    server.signal("KILL");
    let message = client.wait(REFUSAL_LIMIT).refused();
    assert!(message.contains("the client gives up"), "{message}");
    drop(server);

    let (mut server, server_address) = site.server(&helper_address, &[]);
    let client = site.long(&server_address, &helper_address);
    client.signal("KILL");
    drop(client);
    thread::sleep(Duration::from_millis(200));
    assert!(server.is_alive() && helper.is_alive(), "they serve on");

    let client = site.long(&server_address, &helper_address);
    helper.signal("KILL");
    client.wait(REFUSAL_LIMIT).refused();
    assert!(server.is_alive(), "it serves on");
}

#[test]
fn the_one_session_of_once_decides_the_exit() {
    let site = Site::new(1);
    let (helper, helper_address) = site.helper(&["--once"]);
    let (server, server_address) = site.server(&helper_address, &["--once"]);
    run(&mut site.client(&server_address, &helper_address), LIMIT).succeeded();
    server.wait(REFUSAL_LIMIT).succeeded();
    helper.wait(REFUSAL_LIMIT).succeeded();

    let (server, server_address) = site.server(&nobody(), &["--once"]);
    disturb(&server_address, b"GET / HTTP/1.1\r\n\r\n");
    server.wait(REFUSAL_LIMIT).refused();
    let (server, _) = site.server(&nobody(), &["--once"]);
    server.signal("TERM");
    let message = server.wait(REFUSAL_LIMIT).refused();
    assert!(message.contains("stopped by a signal"), "{message}");
}

#[test]
fn files_that_are_missing_are_named() {
    let site = Site::new(1);
    for mut party in [
        site.ring.server(program(), "127.0.0.1:1"),
        site.ring.helper(program()),
    ] {
        party.args(["--plans", "/none/p.plan"]);
        let message = run(&mut party, REFUSAL_LIMIT).refused_with(1);
        assert!(message.contains("/none/p.plan"), "{message}");
    }
    let mut client = site
        .ring
        .client(program(), "client", "127.0.0.1:1", "127.0.0.1:1");
    client.arg("--data").arg(Path::new("/none/x.npy"));
    assert!(
        run(&mut client, REFUSAL_LIMIT)
            .refused_with(1)
            .contains("/none/x.npy")
    );
}

/// The server is killed and another one started in its place: the client goes on in a new session behind the last
/// image that has a result. None is lost, none is answered twice.
#[test]
fn a_client_goes_on_when_its_server_comes_back() {
    let site = Site::new(1);
    let (_helper, helper_address) = site.helper(&[]);
    let (server, address) = site.server(&helper_address, &[]);
    let [c, h, w] = IMAGE;
    let images = ndarray::Array4::from_shape_fn((400, c, h, w), |(n, ..)| n as f32 / 400.0 - 0.5);
    ndarray_npy::write_npy(site.path("many.npy"), &images).unwrap();
    let mut client = site.named("client", "many.npy", &address, &helper_address);
    client.arg("--output").arg(site.path("o.npy"));
    let mut client = Running::start(&mut client);
    for _ in 0..5 {
        client.line("");
    }
    server.signal("KILL");
    drop(server);
    let _server = {
        let mut again = site.ring.server(program(), &helper_address);
        again.args(["--listen", &address]);
        let mut again = Running::start(&mut again);
        assert_eq!(again.address(), address);
        again
    };
    let ended = client.wait(LIMIT).succeeded();
    assert!(
        ended.stderr.contains("a new session goes on behind the"),
        "{}",
        ended.stderr
    );
    let rows = ended
        .stdout
        .lines()
        .filter(|line| line.starts_with(|c: char| c.is_ascii_digit()))
        .count();
    assert_eq!(rows, 400, "{}", ended.stdout);
    let output: ndarray::ArrayD<f32> = ndarray_npy::read_npy(site.path("o.npy")).unwrap();
    assert_eq!(output.shape()[0], 400);
}

/// The same of a helper: another one stands in its place, with the same key.
#[test]
fn a_client_goes_on_when_its_helper_comes_back() {
    let site = Site::new(1);
    let (helper, helper_address) = site.helper(&[]);
    let (mut server, address) = site.server(&helper_address, &[]);
    let [c, h, w] = IMAGE;
    let images = ndarray::Array4::from_shape_fn((400, c, h, w), |(n, ..)| n as f32 / 400.0 - 0.5);
    ndarray_npy::write_npy(site.path("many.npy"), &images).unwrap();
    let mut client = site.named("client", "many.npy", &address, &helper_address);
    client.args(["--batch", "1", "--output"]).arg(site.path("o.npy"));
    let mut client = Running::start(&mut client);
    for _ in 0..5 {
        client.line("");
    }
    helper.signal("KILL");
    drop(helper);
    let _helper = {
        let mut again = site.ring.helper(program());
        again.args(["--listen", &helper_address]);
        let mut again = Running::start(&mut again);
        assert_eq!(again.address(), helper_address);
        again
    };
    client.wait(LIMIT).succeeded();
    assert!(server.is_alive());
    let output: ndarray::ArrayD<f32> = ndarray_npy::read_npy(site.path("o.npy")).unwrap();
    // What an undisturbed run gives, but for the coins of the last bit.
    let mut whole = site.named("client", "many.npy", &address, &helper_address);
    run(whole.arg("--output").arg(site.path("w.npy")), LIMIT).succeeded();
    let whole: ndarray::ArrayD<f32> = ndarray_npy::read_npy(site.path("w.npy")).unwrap();
    assert_eq!(output.shape(), whole.shape());
    for (row, (one, other)) in output.outer_iter().zip(whole.outer_iter()).enumerate() {
        let far = (&one - &other).iter().fold(0.0_f32, |far, d| far.max(d.abs()));
        let near = (&one - &whole.index_axis(ndarray::Axis(0), (row + 200) % 400))
            .iter()
            .fold(0.0_f32, |far, d| far.max(d.abs()));
        assert!(far < 0.05 && far < near, "row {row}: {far}, {near}");
    }
}
