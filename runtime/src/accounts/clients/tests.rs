use std::fs;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::*;

const GOOD: &str = r#"
# Whose access ends.
[[client]]
name = "alice"
key = "ed25519:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE"
expires = 2027-03-01
sessions = 3
inferences-per-day = 10000
stock = "500MB"

[[client]]
key = "ed25519:AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI"
name = "b.o_b-2"
"#;

fn key(byte: u8) -> PublicKey {
    PublicKey::from_bytes([byte; 32])
}

fn at(text: &str) -> SystemTime {
    text.parse::<jiff::Timestamp>().unwrap().try_into().unwrap()
}

#[test]
fn a_file_is_read() {
    let clients = Clients::parse(GOOD).unwrap();
    let [alice, bob] = &clients.0[..] else {
        panic!("{clients:?}")
    };
    assert_eq!(
        (alice.name.as_str(), alice.key, alice.sessions),
        ("alice", key(1), 3)
    );
    assert_eq!(
        (alice.inferences_per_day, alice.stock),
        (Some(10_000), Some(500_000_000))
    );
    assert_eq!(*bob, Client::new("b.o_b-2", key(2)));
    assert_eq!((bob.sessions, bob.inferences_per_day, bob.stock), (2, None, None));
    assert_eq!(bob.expires, None);
    assert!(Clients::parse("").unwrap().is_empty());
}

#[test]
fn access_ends_with_a_day_or_at_an_instant() {
    for (expires, last) in [
        ("2027-03-01", "2027-03-01T23:59:59.999999999Z"),
        ("2028-02-29", "2028-02-29T23:59:59.999999999Z"),
        ("2027-03-01T12:00:00Z", "2027-03-01T11:59:59.999999999Z"),
        ("2027-03-01 12:00:00.5+02:00", "2027-03-01T10:00:00.499999999Z"),
    ] {
        let text = GOOD.replace("2027-03-01", expires);
        let clients = Clients::parse(&text).unwrap();
        let expiry = clients.0[0].expires.clone().unwrap();
        let last = at(last);
        assert!(!expiry.is_over(last), "{expires}");
        assert!(expiry.is_over(last + Duration::from_nanos(1)), "{expires}");
        assert_eq!(expiry.to_string(), expires.replace(' ', "T"));
    }
}

/// The good file with a part replaced; where and why it is refused.
fn refused(from: &str, to: &str) -> (Option<usize>, String) {
    assert!(GOOD.contains(from), "{from}");
    let fault = Clients::parse(&GOOD.replacen(from, to, 1)).unwrap_err();
    (fault.line, fault.to_string())
}

#[test]
fn what_is_wrong_is_refused_with_line_client_and_remedy() {
    let bobs = "ed25519:AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI";
    let alices = "ed25519:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE";
    for (from, to, line, words) in [
        (
            "b.o_b-2",
            "alice",
            13,
            "two clients are called `alice`: rename one",
        ),
        (bobs, alices, 12, "client `b.o_b-2` has the key of client `alice`"),
        (alices, "ed25519:AQEB", 5, "the key of client `alice` is none"),
        (alices, "MC4CAQAwBQYDK2VwBCIEIAEB", 5, "`trefoil-party keygen`"),
        ("\"alice\"", "\"\"", 4, "`` is no name of a client"),
        ("\"alice\"", "\"a b\"", 4, "`a b` is no name of a client"),
        ("\"alice\"", "\"-a\"", 4, "a letter or digit first"),
        ("\"alice\"", "\"..\"", 4, "`..` is no name"),
        ("\"alice\"", "\"élise\"", 4, "`élise` is no name"),
        ("\"alice\"", "\"a\\u001b[31m\"", 4, "`a\\u{1b}[31m` is no name"),
        (
            "\"alice\"",
            "7",
            4,
            "invalid type: integer `7`, expected a string",
        ),
        (
            "sessions = 3",
            "sessions = 0",
            7,
            "`sessions` of client `alice` must be 1 or more",
        ),
        ("sessions = 3", "sessions = -1", 7, "must be 1 or more"),
        ("sessions = 3", "sessions = 10001", 7, "give at most 10000"),
        ("sessions = 3", "sessions = 99999999999", 7, "give at most 10000"),
        ("sessions = 3", "sessions = 99999999999999999999", 7, "[[client]]"),
        ("sessions = 3", "sessions = \"3\"", 7, "invalid type: string"),
        (
            "= 10000",
            "= 0",
            8,
            "`inferences-per-day` of client `alice` must be 1 or more",
        ),
        ("= 10000", "= 1.5", 8, "invalid type: floating point"),
        (
            "\"500MB\"",
            "\"0\"",
            9,
            "`stock` of client `alice` must be 1 or more",
        ),
        (
            "\"500MB\"",
            "\"much\"",
            9,
            "`stock = \"much\"` of client `alice` is no number of bytes",
        ),
        ("\"500MB\"", "\"99999P\"", 9, "500MB or 3GiB"),
        ("\"500MB\"", "500", 9, "expected a string"),
        ("2027-03-01", "2027-02-30", 6, "[[client]]"),
        (
            "2027-03-01",
            "2027-03-01T12:00:00",
            6,
            "`expires = 2027-03-01T12:00:00` of client `alice` is no time",
        ),
        (
            "2027-03-01",
            "12:00:00",
            6,
            "is no time: give a date such as 2027-03-01",
        ),
        (
            "2027-03-01",
            "9999-12-31",
            6,
            "or leave it out for a client that stays",
        ),
        ("2027-03-01", "\"2027-03-01\"", 6, "invalid type: string"),
        ("stock", "stocks", 9, "unknown field `stocks`"),
        ("sessions", "session", 7, "unknown field `session`"),
        ("[[client]]", "[[clients]]", 3, "unknown field `clients`"),
        ("name = \"alice\"", "", 3, "missing field `name`"),
        ("sessions = 3", "name = \"carol\"", 7, "duplicate key"),
        ("sessions = 3", "sessions", 7, "`name` and `key`"),
    ] {
        let (found, text) = refused(from, to);
        assert!(text.contains(words), "{to}: {text}");
        assert_eq!(found, Some(line), "{to}: {text}");
        assert!(text.starts_with(&format!("line {line}: ")), "{text}");
    }
}

#[test]
fn what_stands_for_a_key_is_not_shown() {
    let secret = "MC4CAQAwBQYDK2VwBCIEIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB";
    let (_, text) = refused("ed25519:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE", secret);
    assert!(!text.contains("MC4"), "{text}");
}

#[test]
fn lists_beyond_reason_are_refused() {
    let long = " ".repeat(LONGEST as usize + 1);
    assert_eq!(Clients::parse(&long).unwrap_err().fault, Fault::TooLong);
    assert!(Clients::parse(&long[1..]).is_ok());
    let client = |number: usize| {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        Client::new(format!("c{number}"), PublicKey::from_bytes(bytes))
    };
    assert_eq!(
        Clients::new((0..MOST_CLIENTS).map(client)).unwrap().len(),
        MOST_CLIENTS
    );
    let fault = Clients::new((0..=MOST_CLIENTS).map(client)).unwrap_err();
    assert_eq!(fault, Fault::TooMany.into());
    // Nor do brackets within brackets exhaust the stack.
    assert!(Clients::parse(&format!("client = {}", "[".repeat(2_000_000))).is_err());
}

#[test]
fn names_are_short_and_plain() {
    for name in ["a", "7", "A.b-c_d", &"x".repeat(64)] {
        assert!(is_client_name(name), "{name}");
    }
    for name in [
        "",
        ".",
        "..",
        "-x",
        "_x",
        "a/b",
        "a b",
        "a\n",
        "ä",
        "a\"",
        &"x".repeat(65),
    ] {
        assert!(!is_client_name(name), "{name}");
        let fault = Clients::new([Client::new(name, key(1))]).unwrap_err();
        assert!(matches!(fault.fault, Fault::Name(_)), "{fault}");
    }
}

#[test]
fn clients_made_here_are_checked_like_those_read() {
    let client = |change: fn(&mut Client)| {
        let mut client = Client::new("alice", key(1));
        change(&mut client);
        Clients::new([client]).map(drop).map_err(|fault| fault.fault)
    };
    assert_eq!(client(|_| {}), Ok(()));
    assert!(matches!(
        client(|it| it.sessions = 0),
        Err(Fault::Zero {
            limit: "sessions",
            ..
        })
    ));
    assert!(matches!(
        client(|it| it.sessions = 10_001),
        Err(Fault::TooLarge { .. })
    ));
    assert!(matches!(
        client(|it| it.inferences_per_day = Some(0)),
        Err(Fault::Zero { .. })
    ));
    assert!(matches!(
        client(|it| it.stock = Some(0)),
        Err(Fault::Zero { limit: "stock", .. })
    ));
}

#[test]
fn no_client_has_a_partys_key() {
    let clients = Clients::parse(GOOD).unwrap();
    assert_eq!(
        clients.check_distinct(&[("the server", key(8)), ("the helper", key(9))]),
        Ok(())
    );
    let fault = clients.check_distinct(&[("the server", key(8)), ("the helper", key(2))]);
    let text = fault.unwrap_err().to_string();
    assert!(
        text.starts_with("client `b.o_b-2` has the key of the helper: "),
        "{text}"
    );
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clients.toml");
    let error = |path: &Path| Clients::read(path).unwrap_err();
    assert!(matches!(error(&path), ClientsError::Read { .. }));
    assert!(matches!(error(folder.path()), ClientsError::Read { .. }));
    fs::write(&path, b"\xff\xfe").unwrap();
    assert!(matches!(error(&path), ClientsError::Read { .. }));
    fs::write(&path, vec![b'\n'; LONGEST as usize + 1]).unwrap();
    assert!(matches!(error(&path), ClientsError::Content { source, .. } if source.fault == Fault::TooLong));
    fs::write(&path, "[[client]]\nname = 'a'").unwrap();
    let text = error(&path).to_string();
    assert!(text.contains("clients.toml"), "{text}");
    fs::write(&path, GOOD).unwrap();
    assert_eq!(Clients::read(&path).unwrap(), Clients::parse(GOOD).unwrap());
}

#[test]
fn what_is_written_as_a_comment_can_be_turned_on() {
    let text = Clients::new([Client::new("alice", key(1))]).unwrap().to_toml();
    let options = text.split_once("[[client]]").unwrap().1.replace("# ", "");
    let clients = Clients::parse(&format!("[[client]]{options}")).unwrap();
    let mut wanted = Client::new("alice", key(1));
    wanted.expires = clients.0[0].expires.clone();
    wanted.inferences_per_day = Some(10_000);
    wanted.stock = Some(500_000_000);
    assert_eq!(clients.0, [wanted]);
    let expires = clients.0[0].expires.as_ref().unwrap();
    assert!(!expires.is_over(at("2030-12-31T23:59:59Z")));
    // And left alone they say nothing.
    assert_eq!(Clients::parse(&text).unwrap().0, [Client::new("alice", key(1))]);
}

prop_compose! {
    fn any_client()(
        name in "[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}",
        bytes: [u8; 32],
        expires in prop_oneof![
            Just(None),
            (1u16..=9998, 1u8..=12, 1u8..=28).prop_map(|(y, m, d)| Some(format!("{y:04}-{m:02}-{d:02}"))),
            (2000u16..3000, 0u8..24, 0u8..60).prop_map(|(y, h, m)| Some(format!("{y}-05-06T{h:02}:{m:02}:07-03:30"))),
        ],
        sessions in 1..=MOST_SESSIONS,
        inferences_per_day in proptest::option::of(1..=i64::MAX as u64),
        stock in proptest::option::of(1u64..=9_000_000_000_000_000),
    ) -> Client {
        let expires = expires.map(|text| Expiry::of(&text.parse().unwrap()).unwrap());
        Client { name, key: PublicKey::from_bytes(bytes), expires, sessions, inferences_per_day, stock }
    }
}

proptest! {
    #[test]
    fn what_is_written_reads_back(clients in proptest::collection::vec(any_client(), 0..6)) {
        let clients = Clients::new(clients);
        prop_assume!(clients.is_ok());
        let clients = clients.unwrap();
        prop_assert_eq!(Clients::parse(&clients.to_toml()), Ok(clients));
    }

    #[test]
    fn no_text_makes_the_reader_panic(text: String, at: prop::sample::Index, cut in 0usize..20) {
        let _ = Clients::parse(&text);
        // Nor a good file into which it was put.
        let mut bytes = GOOD.as_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes.splice(at..(at + cut).min(bytes.len()), text.bytes());
        if let Err(fault) = Clients::parse(&String::from_utf8_lossy(&bytes)) {
            prop_assert!(trefoil_ir::text::is_printable(&fault.to_string()));
        }
    }
}

/// What a list says besides the clients that are added or removed stays as it was, to the letter.
#[test]
fn a_change_leaves_the_other_lines_alone() {
    let text = format!(
        "# ours\n[[client]] # the first\nname = \"alice\"\nkey = \"{}\"\nsessions = 5 # she asked\n\n# for a month\n\
         [[client]]\nkey = \"{}\"\nname = 'bob'\nexpires = 2030-01-01",
        key(1),
        key(2)
    );
    let more = edit::added(
        &text,
        &[Client::new("alice", key(1)), Client::new("carol", key(3))],
    )
    .unwrap();
    assert!(more.starts_with(&text), "{more}");
    let listed = Clients::parse(&more).unwrap();
    assert_eq!(listed.len(), 3);
    assert_eq!(listed.0[0].sessions, 5);
    let less = edit::removed(&more, &["alice", "nobody"]).unwrap();
    let left = Clients::parse(&less).unwrap();
    assert_eq!(left.0, listed.0[1..]);
    assert!(
        less.contains("# removed: sessions = 5 # she asked\n\n# for a month\n[[client]]"),
        "{less}"
    );
    assert_eq!(less.lines().count(), more.lines().count());
    // It can be put back as it was.
    assert_eq!(less.replace("# removed: ", ""), more);
    assert_eq!(edit::removed(&less, &["alice"]).unwrap(), less);
    let none = edit::removed(&less, &["bob", "carol"]).unwrap();
    assert!(Clients::parse(&none).unwrap().is_empty());
    // Names and keys of others are not taken.
    for taken in [Client::new("bob", key(9)), Client::new("dave", key(2))] {
        assert!(edit::added(&text, &[taken]).is_err());
    }
    let rekeyed = edit::rekeyed(&text, "alice", key(7)).unwrap();
    assert_eq!(rekeyed, text.replace(&key(1).to_string(), &key(7).to_string()));
    assert_eq!(edit::rekeyed(&text, "nobody", key(7)).unwrap(), text);
    assert!(edit::rekeyed(&text, "alice", key(2)).is_err());
    let inline = format!("client = [{{ name = \"alice\", key = \"{}\" }}]\n", key(1));
    let error = edit::removed(&inline, &["alice"]).unwrap_err();
    assert!(error.to_string().contains("remove them by hand"), "{error}");
}
