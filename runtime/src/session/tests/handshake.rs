//! Somebody between the two ends who has recorded an old handshake, or changes this one: without the
//! pair's key nothing of it is worth anything.

use super::super::handshake::PairSecret;
use super::*;
use crate::prg::Seed;
use crate::wire::recording::Recording;

/// A handshake as a reader of the connection has it, and the key that both ends came to.
struct Handshake {
    /// The opener's hello, half and proof.
    opener: Vec<(Tag, Vec<u8>)>,
    /// The answerer's half and proof.
    answerer: Vec<Vec<u8>>,
    key: StreamKey,
}

fn record(opener: &Identity, answerer: Identity, session: SessionId) -> Handshake {
    let (left, right) = ends(opener.party(), answerer.party());
    let hello = opener.statement(answerer.party(), session);
    let answering = thread::spawn(move || Greeted::new(right, &answerer).map(|_| ()));
    let mut link = Recording::new(left);
    say_hello(&mut link, &hello).unwrap();
    let key = introduce(&mut link, opener, &hello).unwrap().stream_key();
    answering.join().unwrap().unwrap();
    Handshake {
        opener: link.sent,
        answerer: link.received,
        key,
    }
}

fn client() -> Identity {
    Identity::from(&client_plan(1))
}

fn server() -> Identity {
    Identity::from(&server_plan(1))
}

fn helper() -> Identity {
    Identity::from(&helper_plan(1))
}

/// The three pairs, the opener first.
fn pairs_of_parties() -> [[Identity; 2]; 3] {
    [[client(), server()], [client(), helper()], [server(), helper()]]
}

fn assert_stranger(result: Result<(), SessionError>, claimed: Party) {
    let error = result.unwrap_err();
    assert!(
        matches!(error, SessionError::Stranger { claimed: c } if c == claimed),
        "{error}"
    );
}

#[test]
fn an_opener_that_was_recorded_is_a_stranger_the_next_time() {
    for [opener, answerer] in pairs_of_parties() {
        let old = record(&opener, answerer.clone(), SessionId::random().unwrap());
        let (mut far, near) = ends(opener.party(), answerer.party());
        let answering = thread::spawn(move || Greeted::new(near, &answerer).map(|_| ()));
        for (tag, payload) in old.opener {
            far.send(tag, payload).unwrap();
        }
        assert_stranger(answering.join().unwrap(), opener.party());
    }
}

#[test]
fn an_answerer_that_was_recorded_is_a_stranger_the_next_time() {
    for [opener, answerer] in pairs_of_parties() {
        // Even if the session's name is the same.
        let session = SessionId::random().unwrap();
        let old = record(&opener, answerer.clone(), session);
        let (mut near, mut far) = ends(opener.party(), answerer.party());
        let kinds = [FrameKind::Contribution, FrameKind::Proof];
        for (kind, payload) in kinds.into_iter().zip(old.answerer) {
            far.send(Tag::control(kind), payload).unwrap();
        }
        let hello = opener.statement(answerer.party(), session);
        say_hello(&mut near, &hello).unwrap();
        let introduced = introduce(&mut near, &opener, &hello).map(|_| ());
        assert_stranger(introduced, answerer.party());
    }
}

#[test]
fn who_changes_the_session_on_its_way_makes_strangers_of_both_ends() {
    for [opener, answerer] in pairs_of_parties() {
        let (mut left, mut from_opener) = ends(opener.party(), answerer.party());
        let (mut from_answerer, right) = ends(opener.party(), answerer.party());
        let [one, other] = [(); 2].map(|()| SessionId::random().unwrap());
        let hello = opener.statement(answerer.party(), one);
        let changed = opener.statement(answerer.party(), other);
        thread::scope(|scope| {
            let opening = scope.spawn(|| {
                say_hello(&mut left, &hello).unwrap();
                introduce(&mut left, &opener, &hello).map(|_| ())
            });
            let answering = scope.spawn(|| Greeted::new(right, &answerer).map(|_| ()));
            say_hello(&mut from_answerer, &changed).unwrap();
            from_opener
                .receive(Tag::control(FrameKind::Hello), Statement::BYTES)
                .unwrap();
            for kind in [FrameKind::Contribution, FrameKind::Proof] {
                let tag = Tag::control(kind);
                from_opener
                    .send(tag, from_answerer.receive(tag, 32).unwrap())
                    .unwrap();
                from_answerer
                    .send(tag, from_opener.receive(tag, 32).unwrap())
                    .unwrap();
            }
            assert_stranger(opening.join().unwrap(), answerer.party());
            assert_stranger(answering.join().unwrap(), opener.party());
        });
    }
}

/// No 32 bytes that passed, wherever they begin, are the seed of the masks, or lead to it.
#[test]
fn a_reader_has_no_key_of_masks() {
    for [opener, answerer] in pairs_of_parties() {
        let handshake = record(&opener, answerer, SessionId::random().unwrap());
        let key = first_word(&handshake.key);
        let opener = handshake.opener.into_iter().map(|(_, payload)| payload);
        let passed: Vec<u8> = opener.chain(handshake.answerer).flatten().collect();
        assert_eq!(passed.len(), Statement::BYTES + 4 * Seed::LEN);
        for window in passed.windows(Seed::LEN) {
            let seed = Seed::from_bytes(window.try_into().unwrap());
            let derived = seed.derive("trefoil 1 session key", &[]);
            for guess in [seed, derived] {
                assert_ne!(first_word(&StreamKey::new(&guess)), key);
            }
        }
    }
}

/// The pair's secret is another one if any single thing that it is made of is.
#[test]
fn all_that_the_ends_agreed_on_is_in_the_pairs_secret() {
    let hello = client().statement(Server, SessionId([7; 16]));
    let seed = |byte| Seed::from_bytes([byte; Seed::LEN]);
    let changed = |change: &dyn Fn(&mut Statement)| {
        let mut hello = hello;
        change(&mut hello);
        PairSecret::new(&seed(1), &hello, &[4; 32], [&seed(2), &seed(3)])
    };
    let secrets = [
        PairSecret::new(&seed(1), &hello, &[4; 32], [&seed(2), &seed(3)]),
        PairSecret::new(&seed(9), &hello, &[4; 32], [&seed(2), &seed(3)]),
        PairSecret::new(&seed(1), &hello, &[4; 32], [&seed(9), &seed(3)]),
        PairSecret::new(&seed(1), &hello, &[4; 32], [&seed(2), &seed(9)]),
        PairSecret::new(&seed(1), &hello, &[4; 32], [&seed(3), &seed(2)]),
        PairSecret::new(&seed(1), &hello, &[5; 32], [&seed(2), &seed(3)]),
        changed(&|hello| hello.session.0[15] ^= 1),
        changed(&|hello| hello.from.digest.0[31] ^= 1),
        changed(&|hello| hello.from.plan_id.0[31] ^= 1),
        changed(&|hello| hello.from.party = Helper),
        changed(&|hello| hello.to = Helper),
    ];
    let mut seen: Vec<_> = secrets
        .iter()
        .flat_map(|secret| [secret.proof(Client), secret.proof(Server)])
        .map(|proof| *proof.as_bytes())
        .collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 2 * secrets.len());
}

/// A client that is killed at any frame and started again, with the same plan: no session of server or helper
/// has ever the keys of an earlier one, even under the same session id, since nothing of a session is kept.
#[test]
fn whoever_is_killed_and_starts_again_comes_to_other_masks() {
    let mut seen = std::collections::BTreeSet::new();
    let session = SessionId([9; 16]);
    for frames in 0..6 {
        for [opener, answerer] in pairs_of_parties() {
            let (left, right) = ends(opener.party(), answerer.party());
            let hello = opener.statement(answerer.party(), session);
            let answering =
                thread::spawn(move || Greeted::new(right, &answerer).map(|one| one.secret.stream_key()));
            let mut link = Dying::after(frames, left);
            let said = say_hello(&mut link, &hello);
            let opened = said.and_then(|()| introduce(&mut link, &opener, &hello));
            drop(link);
            let keys = [
                opened.map(|secret| secret.stream_key()),
                answering.join().unwrap(),
            ];
            let words: Vec<u64> = keys.iter().flatten().map(first_word).collect();
            // Where both ends came to a key, it is the same one; each belongs to this attempt alone.
            assert!(words.windows(2).all(|pair| pair[0] == pair[1]));
            let own: std::collections::BTreeSet<u64> = words.into_iter().collect();
            assert!(own.iter().all(|word| seen.insert(*word)), "frame {frames}");
        }
    }
    assert!(seen.len() >= 3, "{}", seen.len());
}
