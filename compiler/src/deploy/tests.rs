//! What a deployment writes can be used, and what makes no sense is refused before a key is made.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use trefoil_ir::Shape;
use trefoil_ir::plan::{LOCAL_CLIENT, ServerPlan};
use trefoil_runtime::accounts::Clients;
use trefoil_runtime::settings::Settings;
use zeroize::Zeroizing;

use super::template::ALL;
use super::write::Wanted;
use super::*;
use crate::lower::{LowerOptions, lower};
use crate::pass::testing::{Net, Rng};
use crate::ranges::calibrate;
use crate::split::split;

/// The smallest network with a weight, compiled with this secret.
fn plans(secret: u8) -> Plans {
    let mut net = Net::new(7);
    let x = net.input(Shape::new(1, 3, 3));
    let a = net.conv(x, 2, 3);
    let y = net.flatten(a);
    let y = net.linear(y, 2);
    let graph = net.finish(y).verify().unwrap();
    let mut rng = Rng::new(1);
    let images = (0..2).map(|_| rng.image(Shape::new(1, 3, 3)));
    let calibration = calibrate(&graph, images.collect::<Vec<_>>(), |_| {}).unwrap();
    let lowered = lower(&graph, &calibration, &LowerOptions::default()).unwrap();
    let secret = trefoil_ir::plan::SecretSeed::new([secret; 32]);
    let split = split(&lowered, &secret, None, vec![]);
    let server_file = Zeroizing::new(ServerPlan::encode(&split.public, &split.server));
    let helper_file = Zeroizing::new(HelperPlan::encode(&split.public, &split.helper));
    Plans {
        client: ClientPlan::decode(&ClientPlan::encode(&split.public, &split.client)).unwrap(),
        server: ServerPlan::decode(&server_file).unwrap(),
        helper: HelperPlan::decode(&helper_file).unwrap(),
        server_file,
        helper_file,
    }
}

fn wanted(clients: &[&str]) -> Wanted {
    Wanted {
        server: Some("s.example.org:7001".into()),
        helper: Some("h.example.net:7002".into()),
        clients: clients.iter().map(|name| ((*name).to_owned(), None)).collect(),
        ..Wanted::default()
    }
}

fn settings(path: &Path) -> Settings {
    Settings::read(path).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn what_is_written_is_what_parties_read() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("deployment");
    let plans = plans(1);
    let written = deploy(Some(&plans), &wanted(&["alice", "bob"]), &dir).unwrap();
    assert_eq!(written.new_clients.len(), 2);
    let server = settings(&dir.join("server/party.toml")).server().unwrap();
    let helper = settings(&dir.join("helper/party.toml")).helper_of().unwrap();
    assert_eq!(server.helper.key, written.record.helper.key);
    assert_eq!(helper.server_key, written.record.server.key);
    assert_eq!(server.hall.listen, "0.0.0.0:7001");
    for hall in [&server.hall, &helper.hall] {
        let key = trefoil_runtime::keys::SecretKey::read(&hall.key)
            .unwrap()
            .public();
        let record = &written.record;
        assert!(key == record.server.key || key == record.helper.key);
        assert_eq!(Clients::read(&hall.clients).unwrap().len(), 2);
        assert!(hall.plans.join(written.new_plan.as_ref().unwrap()).is_file());
    }
    let mut pair_keys = vec![plans.server.part.with_client.for_client(&LOCAL_CLIENT)];
    for client in &written.record.clients {
        let own = dir.join("clients").join(&client.name);
        let settings = settings(&own.join("party.toml")).client().unwrap();
        assert_eq!(settings.server.key, written.record.server.key);
        assert_eq!(settings.helper.address, "h.example.net:7002");
        let plan = ClientPlan::decode(&fs::read(&settings.plan).unwrap()).unwrap();
        assert_eq!(plan.digest(), plans.server.digest());
        let key = client.key.as_bytes();
        assert!(plan.part.with_server == plans.server.part.with_client.for_client(key));
        assert!(plan.part.with_helper == plans.helper.part.with_client.for_client(key));
        // Each has another one, and none has that of all.
        assert!(
            !pair_keys.contains(&plan.part.with_server)
                && plan.part.with_server != plans.server.part.with_client
        );
        pair_keys.push(plan.part.with_server);
    }
}

/// Every setting that a role takes stands in its file, set or as a comment with its default.
#[test]
fn the_files_name_every_setting_of_their_role() {
    for (template, role) in [("SERVER", "server"), ("HELPER", "helper"), ("CLIENT", "client")] {
        let text = ALL.iter().find(|(name, _)| *name == template).unwrap().1;
        for (name, _) in Settings::NAMES {
            let name = name.replace('_', "-");
            let stands = text
                .lines()
                .any(|line| line.trim_start_matches('#').starts_with(&format!("{name} = ")));
            let error = Settings::parse(&format!("{name} = 1"), Path::new("x"));
            let settings = error.unwrap_or_default();
            // A setting that the role refuses must not stand there, and one that it takes must.
            let takes = match role {
                "server" => !settings
                    .server()
                    .is_err_and(|error| error.to_string().contains("has no")),
                "helper" => !settings
                    .helper_of()
                    .is_err_and(|error| error.to_string().contains("has no")),
                _ => !settings
                    .client()
                    .is_err_and(|error| error.to_string().contains("has no")),
            };
            assert!(takes || !stands, "{role}: {name}");
        }
        let uncommented: String = text
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(setting) if setting.contains(" = ") && !setting.starts_with(' ') => setting,
                _ => line,
            })
            .map(|line| line.to_owned() + "\n")
            .collect();
        let filled = uncommented
            .replace("{{PORT}}", "1")
            .replace("{{HELPER}}", "h:1")
            .replace("{{SERVER}}", "s:1");
        let key = |byte: u8| PublicKey::from_bytes([byte; 32]).to_string();
        let filled = filled
            .replace("{{SERVER_KEY}}", &key(1))
            .replace("{{HELPER_KEY}}", &key(2));
        // All defaults that stand there are taken, and are the defaults.
        Settings::parse(&filled, Path::new("party.toml")).unwrap_or_else(|error| panic!("{role}: {error}"));
    }
}

#[test]
fn files_are_for_their_owner_alone() {
    fn check(path: &Path) {
        let mode = fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(
            mode,
            if path.is_dir() { 0o700 } else { 0o600 },
            "{}",
            path.display()
        );
        if path.is_dir() {
            fs::read_dir(path)
                .unwrap()
                .for_each(|entry| check(&entry.unwrap().path()));
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("deployment");
    deploy(Some(&plans(1)), &wanted(&["alice"]), &dir).unwrap();
    check(&dir);
}

#[test]
fn clients_and_models_are_added_and_keys_stay() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let first = deploy(Some(&plans(1)), &wanted(&["alice"]), dir).unwrap();
    let key = fs::read(dir.join("server/party.key")).unwrap();
    fs::write(dir.join("server/party.toml"), "# changed by its administrator").unwrap();
    let own = PublicKey::from_bytes([9; 32]);
    let more = Wanted {
        clients: vec![("alice".into(), None), ("carol".into(), Some(own))],
        ..Wanted::default()
    };
    let second = deploy(Some(&plans(2)), &more, dir).unwrap();
    assert!(second.added_to && second.new_plan != first.new_plan);
    assert_eq!(
        second
            .new_clients
            .iter()
            .map(|one| &*one.name)
            .collect::<Vec<_>>(),
        ["carol"]
    );
    assert_eq!(second.record.server, first.record.server);
    assert_eq!(fs::read(dir.join("server/party.key")).unwrap(), key);
    assert!(!dir.join("clients/carol/client.key").exists());
    for plan in [first.new_plan, second.new_plan] {
        let plan = plan.unwrap();
        assert!(dir.join("server/plans").join(&plan).is_file());
        assert!(dir.join("clients/alice").join(&plan).is_file());
    }
    assert_eq!(Clients::read(&dir.join("helper/clients.toml")).unwrap().len(), 2);
    assert!(
        fs::read_to_string(dir.join("server/party.toml"))
            .unwrap()
            .starts_with("# changed")
    );
    let other = Wanted {
        clients: vec![("carol".into(), Some(PublicKey::from_bytes([8; 32])))],
        ..Wanted::default()
    };
    assert!(matches!(
        deploy(Some(&plans(2)), &other, dir),
        Err(DeployError::Other { .. })
    ));
}

#[test]
fn what_makes_no_sense_is_refused_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("deployment");
    let key = PublicKey::from_bytes([9; 32]);
    let plans = plans(1);
    let refused = |change: &dyn Fn(&mut Wanted), words: &str| {
        let mut wanted = wanted(&["alice"]);
        change(&mut wanted);
        let error = deploy(Some(&plans), &wanted, &dir).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
        assert!(!dir.exists(), "{words}");
    };
    refused(&|wanted| wanted.server = None, "needs --server");
    refused(
        &|wanted| wanted.helper = Some("h".into()),
        "`h` is no address of the helper",
    );
    refused(&|wanted| wanted.clients.clear(), "needs --client");
    refused(
        &|wanted| wanted.helper = wanted.server.clone(),
        "would both be at",
    );
    refused(
        &|wanted| wanted.clients[0].0 = "../x".into(),
        "is no name of a client",
    );
    refused(
        &|wanted| {
            wanted.server_key = Some(key);
            wanted.helper_key = Some(key);
        },
        "no party plays two roles",
    );
    refused(
        &|wanted| {
            wanted.server_key = Some(key);
            wanted.clients[0].1 = Some(key);
        },
        "would have the same key",
    );
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("file"), "").unwrap();
    let error = deploy(Some(&plans), &wanted(&["alice"]), &dir).unwrap_err();
    assert!(matches!(error, DeployError::Folder { .. }), "{error}");
}

/// Limits and comments of a list are its administrator's, and so is who was struck off.
#[test]
fn a_list_keeps_what_its_administrator_wrote() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    deploy(Some(&plans(1)), &wanted(&["alice", "bob"]), dir).unwrap();
    let [server, helper] = ["server", "helper"].map(|role| dir.join(role).join("clients.toml"));
    // A limit, and bob revoked by hand.
    let text = fs::read_to_string(&server).unwrap();
    let end = text.match_indices("[[client]]").nth(1).unwrap().0;
    let edited = text[..end].replace("# inferences-per-day = 10000", "inferences-per-day = 7");
    fs::write(&server, &edited).unwrap();
    // The helper's list is on its own machine.
    fs::remove_file(&helper).unwrap();
    let carol = Wanted {
        clients: vec![("carol".into(), None)],
        ..Wanted::default()
    };
    deploy(Some(&plans(1)), &carol, dir).unwrap();
    let text = fs::read_to_string(&server).unwrap();
    assert!(text.starts_with(&edited), "{text}");
    let names = |path| {
        let listed = Clients::read(path).unwrap();
        listed.iter().map(|one| one.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(&server), ["alice", "carol"]);
    assert_eq!(
        Clients::read(&server)
            .unwrap()
            .iter()
            .next()
            .unwrap()
            .inferences_per_day,
        Some(7)
    );
    assert!(!helper.exists());
    // A new key is no reason for another limit.
    let again = Wanted {
        clients: vec![("alice".into(), None)],
        removed: vec!["alice".into()],
        ..Wanted::default()
    };
    let before = Clients::read(&server).unwrap().iter().next().unwrap().clone();
    let rekeyed = deploy(Some(&plans(1)), &again, dir).unwrap();
    let after = Clients::read(&server).unwrap().iter().next().unwrap().clone();
    assert_eq!(after.key, rekeyed.new_clients[0].key);
    assert_ne!(after.key, before.key);
    assert_eq!((after.name, after.inferences_per_day), (before.name, Some(7)));
    let text = fs::read_to_string(&server).unwrap();
    // The same again, and another model, change nothing in it.
    for plans in [plans(1), plans(2)] {
        let written = deploy(Some(&plans), &carol, dir).unwrap();
        assert!(
            written.changed.is_empty() && written.beside.is_empty(),
            "{written:?}"
        );
        assert_eq!(fs::read_to_string(&server).unwrap(), text);
    }
}

#[test]
fn a_client_that_is_removed_stays_away() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let first = deploy(Some(&plans(1)), &wanted(&["alice", "bob"]), dir).unwrap();
    fs::write(dir.join("clients/bob/notes"), "").unwrap();
    let remove = |name: &str, again: bool| Wanted {
        clients: again.then(|| (name.to_owned(), None)).into_iter().collect(),
        removed: vec![name.to_owned()],
        ..Wanted::default()
    };
    // It takes no plans.
    let written = deploy(None, &remove("alice", false), dir).unwrap();
    assert_eq!(written.removed[0].key, first.new_clients[0].key);
    assert!(!dir.join("clients/alice").exists());
    for role in ["server", "helper"] {
        let listed = Clients::read(&dir.join(role).join("clients.toml")).unwrap();
        assert_eq!(listed.iter().map(|one| &*one.name).collect::<Vec<_>>(), ["bob"]);
    }
    // A key that lies there may be one that was revoked: it is nobody's new key.
    let old = dir.join("clients/alice/client.key");
    fs::create_dir_all(old.parent().unwrap()).unwrap();
    trefoil_runtime::keys::SecretKey::generate()
        .unwrap()
        .write(&old)
        .unwrap();
    let error = deploy(Some(&plans(2)), &wanted(&["alice"]), dir).unwrap_err();
    assert!(matches!(error, DeployError::KeyThere { .. }), "{error}");
    fs::remove_dir_all(old.parent().unwrap()).unwrap();
    let again = deploy(Some(&plans(2)), &Wanted::default(), dir).unwrap();
    assert_eq!(again.record.clients.len(), 1);
    assert!(!dir.join("clients/alice").exists());
    // With another key, whatever lay in its folder.
    let bob = deploy(Some(&plans(2)), &remove("bob", true), dir).unwrap();
    assert_ne!(bob.new_clients[0].key, first.new_clients[1].key);
    let key = trefoil_runtime::keys::SecretKey::read(&dir.join("clients/bob/client.key")).unwrap();
    assert_eq!(key.public(), bob.new_clients[0].key);
    assert!(dir.join("clients/bob/notes").exists());
    let listed = Clients::read(&dir.join("server/clients.toml")).unwrap();
    assert_eq!(
        listed.iter().map(|one| one.key).collect::<Vec<_>>(),
        [key.public()]
    );
    assert!(matches!(
        deploy(None, &remove("alice", false), dir),
        Err(DeployError::Nobody { .. })
    ));
    // Who comes needs a plan.
    let error = deploy(None, &remove("bob", true), dir).unwrap_err().to_string();
    assert!(error.contains("the folder of plans"), "{error}");
}

/// Another address or key reaches every file that has it.
#[test]
fn a_party_moves() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    deploy(Some(&plans(1)), &wanted(&["alice", "bob"]), dir).unwrap();
    let edited = dir.join("clients/bob/party.toml");
    let text = fs::read_to_string(&edited).unwrap() + "# mine\n";
    fs::write(&edited, &text).unwrap();
    let key = PublicKey::from_bytes([9; 32]);
    let moved = Wanted {
        server: Some("other.example.org:7777".into()),
        helper_key: Some(key),
        ..Wanted::default()
    };
    let written = deploy(None, &moved, dir).unwrap();
    assert_eq!(written.stale, [dir.join("helper/party.key")]);
    let server = settings(&dir.join("server/party.toml")).server().unwrap();
    assert_eq!((server.helper.key, &*server.hall.listen), (key, "0.0.0.0:7777"));
    assert!(
        fs::read_to_string(dir.join("server/compose.yaml"))
            .unwrap()
            .contains("7777")
    );
    let alice = settings(&dir.join("clients/alice/party.toml")).client().unwrap();
    assert_eq!(
        (alice.helper.key, &*alice.server.address),
        (key, "other.example.org:7777")
    );
    assert_eq!(fs::read_to_string(&edited).unwrap(), text);
    let beside = dir.join("clients/bob/party.toml.new");
    assert_eq!(written.beside, std::slice::from_ref(&beside));
    assert_eq!(settings(&beside).client().unwrap().helper.key, key);
    assert_eq!(written.changed.len(), 3, "{:?}", written.changed);
}
