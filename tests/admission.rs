//! Who is let in, and to what: keys, lists of clients with their limits, and plans that come and go, between
//! processes as users start them.

#[path = "support/commands.rs"]
#[allow(dead_code)] // the end-to-end tests need more of it
mod commands;
#[path = "support/plans.rs"]
mod plans;
#[path = "support/ring.rs"]
#[allow(dead_code)] // the end-to-end tests need more of it
mod ring;
#[path = "support/site.rs"]
#[allow(dead_code)] // tests of faults need more of it
mod site;

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use commands::{LIMIT, REFUSAL_LIMIT, Running, run};
use plans::IMAGE;
use site::{Site, program};
use trefoil_runtime::keys::SecretKey;

/// Whoever has a plan and no key, a key and no plan, or another's key, gets nothing, and is told what is wrong.
#[test]
fn keys_and_plans_that_do_not_belong_together() {
    let site = Site::with_clients(1, &["client", "other"]);
    let (_helper, helper_address) = site.helper(&[]);
    let (mut server, server_address) = site.server(&helper_address, &[]);
    let client = || site.client(&server_address, &helper_address);
    // A stolen plan with a key that nobody knows.
    let fresh = SecretKey::generate().unwrap();
    fresh.write(&site.path("fresh.key")).unwrap();
    let message = run(client().arg("--key").arg(site.path("fresh.key")), REFUSAL_LIMIT).refused_with(4);
    assert!(message.contains("does not take this party's key"), "{message}");
    // A stolen plan with the key of another client.
    let message = run(client().arg("--key").arg(site.path("other.key")), REFUSAL_LIMIT).refused();
    assert!(
        message.contains("does not hold the helper's plan") || message.contains("did not prove"),
        "{message}"
    );
    // A stolen key with the plan of another client, and with the one that all have.
    for plan in [site.ring.plan("other"), site.path("client.plan")] {
        let message = run(client().arg("--plan").arg(plan), REFUSAL_LIMIT).refused();
        assert!(message.contains("plan"), "{message}");
    }
    // The server has another key than the one that the client was told of.
    let other = fresh.public().to_string();
    let message = run(client().args(["--server-key", &other]), REFUSAL_LIMIT).refused_with(1);
    assert!(
        message.contains(&site.ring.server.to_string()) && message.contains("the server at"),
        "{message}"
    );
    // With the server's key, and a client's plan besides, nobody is a client: neither of the server's, which
    // does not take it, nor of the helper's, which knows whose it is.
    let message = run(client().arg("--key").arg(site.path("server.key")), REFUSAL_LIMIT).refused_with(4);
    assert!(
        message.contains("does not take this party's key") || message.contains("did not prove"),
        "{message}"
    );
    let mut two = site.ring.helper(program());
    two.arg("--key").arg(site.path("server.key"));
    let message = run(&mut two, REFUSAL_LIMIT).refused_with(1);
    assert!(message.contains("have the same key"), "{message}");
    let mut two = site.ring.helper(program());
    two.arg("--key").arg(site.path("client.key"));
    let message = run(&mut two, REFUSAL_LIMIT).refused_with(1);
    assert!(message.contains("client"), "{message}");
    assert!(server.is_alive());
    run(&mut client(), LIMIT).succeeded();
}

#[test]
fn a_client_that_is_struck_off_amid_a_session_is_cut_off_and_others_are_not() {
    let site = Site::with_clients(1, &["client", "other"]);
    let (_helper, helper_address) = site.helper(&[]);
    let (server, server_address) = site.server(&helper_address, &[]);
    let client = site.long(&server_address, &helper_address);
    site.relist(&server, |text| {
        let second = text.rfind("[[client]]").unwrap();
        let first = text.find("[[client]]").unwrap();
        text[..first].to_owned() + &text[second..]
    });
    let message = client.wait(REFUSAL_LIMIT).refused_with(6);
    assert!(message.contains("struck off"), "{message}");
    let message = run(&mut site.client(&server_address, &helper_address), REFUSAL_LIMIT).refused_with(4);
    assert!(message.contains("does not take this party's key"), "{message}");
    run(
        &mut site.named("other", "x.npy", &server_address, &helper_address),
        LIMIT,
    )
    .succeeded();
    // A list that makes no sense changes nothing.
    site.relist(&server, |text| text + "[[client]]\n");
    run(
        &mut site.named("other", "x.npy", &server_address, &helper_address),
        LIMIT,
    )
    .succeeded();
    server.signal("TERM");
    let log = server.wait(REFUSAL_LIMIT).succeeded().stderr;
    assert!(
        log.contains("reloaded: 1 client\n") && log.contains("the clients were not reloaded"),
        "{log}"
    );
}

/// The list with this limit for its first client.
fn limited(site: &Site, limit: &str) -> String {
    let text = std::fs::read_to_string(site.path("clients.toml")).unwrap();
    let key = text.lines().find(|line| line.starts_with("key = ")).unwrap();
    text.replacen(key, &format!("{key}\n{limit}"), 1)
}

/// Writes that list.
fn limit(site: &Site, limit: &str) {
    std::fs::write(site.path("clients.toml"), limited(site, limit)).unwrap();
}

#[test]
fn quotas_hold_over_restarts() {
    let site = Site::new(1);
    limit(&site, "inferences-per-day = 6");
    let state = site.path("state").display().to_string();
    let (helper, helper_address) = site.helper(&[]);
    let start = || site.server(&helper_address, &["--state", &state]);
    let (server, address) = start();
    run(&mut site.client(&address, &helper_address), LIMIT).succeeded();
    server.signal("TERM");
    server.wait(REFUSAL_LIMIT).succeeded();
    // Two are left of six, and four are wanted.
    let (server, address) = start();
    let message = run(&mut site.client(&address, &helper_address), REFUSAL_LIMIT).refused_with(6);
    assert!(
        message.contains("as many inferences as it may on a day"),
        "{message}"
    );
    server.signal("KILL");
    drop(server);
    let (server, address) = start();
    let message = run(&mut site.client(&address, &helper_address), REFUSAL_LIMIT).refused_with(4);
    assert!(
        message.contains("as many inferences as it may on a day"),
        "{message}"
    );
    // Its administrator gives it more, at once.
    site.relist(&server, |text| {
        text.replace("inferences-per-day = 6", "inferences-per-day = 600")
    });
    site.relist(&helper, |text| text);
    run(&mut site.client(&address, &helper_address), LIMIT).succeeded();
}

#[test]
fn an_admission_that_has_ended() {
    let site = Site::new(1);
    limit(&site, "expires = 2020-01-01");
    let (_helper, helper_address) = site.helper(&[]);
    let (_server, address) = site.server(&helper_address, &[]);
    let message = run(&mut site.client(&address, &helper_address), REFUSAL_LIMIT).refused_with(4);
    assert!(message.contains("admission has ended"), "{message}");
    // It can be seen without a session.
    let mut doctor = site.ring.client(program(), "client", &address, &helper_address);
    let ended = run(&mut as_doctor(&mut doctor), REFUSAL_LIMIT);
    assert_eq!(ended.code, Some(1));
    assert_eq!(
        ended.stdout.matches("it would turn this client away").count(),
        2,
        "{}",
        ended.stdout
    );
}

/// The same settings for `doctor`.
fn as_doctor(client: &mut Command) -> Command {
    let mut doctor = Command::new(program());
    doctor.args(["doctor", "--role", "client"]);
    doctor.args(client.get_args().skip(1));
    doctor
}

/// Plans come and go with SIGHUP; sessions of several run side by side.
#[test]
fn plans_are_added_and_withdrawn_without_a_restart() {
    let (site, other) = (Site::new(1), Site::new(2));
    for (party, plan) in [("server", "server.plan"), ("helper", "helper.plan")] {
        let folder = site.path(&format!("{party}.plans"));
        std::fs::create_dir(&folder).unwrap();
        std::fs::copy(site.path(plan), folder.join("1.plan")).unwrap();
    }
    let folder = |party: &str| site.path(&format!("{party}.plans")).display().to_string();
    let (helper, helper_address) = site.helper(&["--plans", &folder("helper")]);
    let (server, address) = site.server(&helper_address, &["--plans", &folder("server")]);
    // The second model, for the same key.
    let key = SecretKey::read(&site.path("client.key")).unwrap().public();
    other.ring.personalise("second", &key);
    let second = || {
        let mut client = site.client(&address, &helper_address);
        client.arg("--plan").arg(other.ring.plan("second"));
        client
    };
    run(&mut second(), REFUSAL_LIMIT).refused_with(4);
    for party in ["server", "helper"] {
        let plan = format!("{party}.plan");
        std::fs::copy(other.path(&plan), Path::new(&folder(party)).join("2.plan")).unwrap();
    }
    let reload = || {
        for party in [&server, &helper] {
            party.signal("HUP");
        }
        thread::sleep(Duration::from_millis(700));
    };
    reload();
    run(&mut second(), LIMIT).succeeded();
    run(&mut site.client(&address, &helper_address), LIMIT).succeeded();
    for party in ["server", "helper"] {
        std::fs::remove_file(Path::new(&folder(party)).join("1.plan")).unwrap();
    }
    reload();
    run(&mut site.client(&address, &helper_address), REFUSAL_LIMIT).refused_with(4);
    run(&mut second(), LIMIT).succeeded();
}

/// A client is one of both parties: a list that lacks it, or says that its time is over, is enough at either.
#[test]
fn a_client_of_one_party_alone() {
    let site = Site::with_clients(1, &["client", "other"]);
    let text = std::fs::read_to_string(site.path("clients.toml")).unwrap();
    let head = text.find("[[client]]").unwrap();
    let without = text[..head].to_owned() + &text[text.rfind("[[client]]").unwrap()..];
    let over = limited(&site, "expires = 2020-01-01");
    for (list, words) in [
        (without, "does not take this party's key"),
        (over, "admission has ended"),
    ] {
        std::fs::write(site.path("short.toml"), list).unwrap();
        let short = site.path("short.toml").display().to_string();
        for at in ["server", "helper"] {
            let flags = |party: &str| match party == at {
                true => vec!["--clients", &short],
                false => vec![],
            };
            let (helper, helper_address) = site.helper(&flags("helper"));
            let (server, address) = site.server(&helper_address, &flags("server"));
            let message = run(&mut site.client(&address, &helper_address), REFUSAL_LIMIT).refused_with(4);
            assert!(message.contains(words) && message.contains(at), "{at}: {message}");
            // Whoever is on both lists is served.
            run(
                &mut site.named("other", "x.npy", &address, &helper_address),
                LIMIT,
            )
            .succeeded();
            drop((server, helper));
        }
    }
}

/// A list that names one key or one name twice is none, and no party starts with it.
#[test]
fn lists_that_contradict_themselves() {
    let site = Site::with_clients(1, &["client", "other"]);
    let text = std::fs::read_to_string(site.path("clients.toml")).unwrap();
    let keys: Vec<&str> = text.lines().filter(|line| line.starts_with("key = ")).collect();
    for (list, words) in [
        (text.replace(keys[1], keys[0]), "has the key of client"),
        (text.replace("\"other\"", "\"client\""), "two clients are called"),
        (
            text.replace(keys[1], "key = \"ed25519:AAAA\""),
            "the key of client `other` is none",
        ),
        (text.replace("[[client]]", "[client]"), "clients.toml"),
    ] {
        std::fs::write(site.path("clients.toml"), list).unwrap();
        for mut party in [
            site.ring.helper(program()),
            site.ring.server(program(), "127.0.0.1:1"),
        ] {
            let message = run(&mut party, REFUSAL_LIMIT).refused_with(1);
            assert!(message.contains(words), "{words}: {message}");
        }
    }
}

/// Each party pins the others' keys: whoever stands in a helper's place with another one is named, by the client
/// and by the server.
#[test]
fn another_key_than_the_pinned_one_at_the_helper() {
    let site = Site::new(1);
    let (_helper, helper_address) = site.helper(&[]);
    let (_server, address) = site.server(&helper_address, &[]);
    let other = SecretKey::generate().unwrap().public().to_string();
    let mut client = site.client(&address, &helper_address);
    let message = run(client.args(["--helper-key", &other]), REFUSAL_LIMIT).refused_with(1);
    assert!(
        message.contains("the helper at") && message.contains(&site.ring.helper.to_string()),
        "{message}"
    );
    let (server, address) = site.server(&helper_address, &["--helper-key", &other]);
    let message = run(&mut site.client(&address, &helper_address), REFUSAL_LIMIT).refused();
    assert!(message.contains("helper"), "{message}");
    server.signal("TERM");
    let log = server.wait(REFUSAL_LIMIT).succeeded().stderr;
    assert!(log.contains(&site.ring.helper.to_string()), "{log}");
    // One key for both is refused before anything is sent.
    let mut client = site.client("127.0.0.1:1", "127.0.0.1:2");
    let message = run(
        client.args(["--helper-key", &site.ring.server.to_string()]),
        REFUSAL_LIMIT,
    )
    .refused_with(1);
    assert!(message.contains("have the same key"), "{message}");
}

/// Who has waited for as long as the server lets anybody is told so.
#[test]
fn a_queue_has_an_end() {
    let site = Site::new(1);
    let (_helper, helper_address) = site.helper(&[]);
    let (_server, address) = site.server(&helper_address, &["--sessions", "1", "--queue-time", "0.5"]);
    let _first = site.long(&address, &helper_address);
    let mut second = site.client(&address, &helper_address);
    let message = run(second.args(["--timeout", "2"]), REFUSAL_LIMIT).refused_with(3);
    assert!(message.contains("as many sessions as it may"), "{message}");
}

/// A session whose plan is withdrawn goes on to its end; a party that would be left without any plan keeps what
/// it has, and says so.
#[test]
fn a_plan_is_withdrawn_under_a_session() {
    let (site, other) = (Site::new(1), Site::new(2));
    let plans = site.path("plans");
    std::fs::create_dir(&plans).unwrap();
    std::fs::copy(site.path("server.plan"), plans.join("1.plan")).unwrap();
    let (_helper, helper_address) = site.helper(&[]);
    let (server, address) = site.server(&helper_address, &["--plans", &plans.display().to_string()]);
    let [c, h, w] = IMAGE;
    let many = ndarray::Array4::<f32>::zeros((4000, c, h, w));
    ndarray_npy::write_npy(site.path("many.npy"), &many).unwrap();
    let mut client = Running::start(&mut site.client_of("many.npy", &address, &helper_address));
    client.line("");
    client.line("");
    std::fs::copy(other.path("server.plan"), plans.join("2.plan")).unwrap();
    std::fs::remove_file(plans.join("1.plan")).unwrap();
    server.signal("HUP");
    thread::sleep(Duration::from_millis(500));
    run(&mut site.client(&address, &helper_address), REFUSAL_LIMIT).refused_with(4);
    let ended = client.wait(LIMIT).succeeded();
    assert!(ended.stdout.contains("images       4000"), "{}", ended.stdout);
    std::fs::remove_file(plans.join("2.plan")).unwrap();
    server.signal("HUP");
    thread::sleep(Duration::from_millis(500));
    server.signal("TERM");
    let log = server.wait(REFUSAL_LIMIT).succeeded().stderr;
    assert!(log.contains("the plans were not reloaded"), "{log}");
}

/// What a client with a key that is known says within TLS is looked at as what a stranger says: garbage ends its
/// connection, and nobody else's.
#[test]
fn garbage_under_a_key_that_is_known() {
    use std::io::{Read, Write};
    use trefoil_ir::mpc::Party;
    use trefoil_runtime::net::{Credentials, Purpose};

    let site = Site::new(1);
    let (helper, helper_address) = site.helper(&[]);
    let (server, address) = site.server(&helper_address, &[]);
    let own = Credentials::new(&SecretKey::read(&site.path("client.key")).unwrap()).unwrap();
    for (party, key, address) in [
        (Party::Server, site.ring.server, &address),
        (Party::Helper, site.ring.helper, &helper_address),
    ] {
        for garbage in [&[0xee; 4000][..], b"GET / HTTP/1.1\r\n\r\n", &[0x81; 12], &[]] {
            let config = own.opening(key, Purpose::Session).unwrap();
            let stream = std::net::TcpStream::connect(address).unwrap();
            let channel = trefoil_runtime::net::Channel::opener(stream, &config).unwrap();
            channel
                .shake_hands(std::time::Instant::now() + REFUSAL_LIMIT, &|| false)
                .unwrap();
            (&channel).write_all(garbage).unwrap();
            channel.close().unwrap();
            let mut answer = Vec::new();
            // The reason, or the end.
            let _ = (&channel).read_to_end(&mut answer);
            assert!(answer.len() < 100, "{party}: {} bytes", answer.len());
        }
    }
    run(&mut site.client(&address, &helper_address), LIMIT).succeeded();
    for party in [server, helper] {
        party.signal("TERM");
        let log = party.wait(REFUSAL_LIMIT).succeeded().stderr;
        assert!(!log.contains("panicked") && log.contains("the client"), "{log}");
    }
}
