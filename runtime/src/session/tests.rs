//! Sessions of three parties in one process: agreement, refusals, and failures at every message.

mod handshake;
mod stock;

use std::collections::BTreeMap;
use std::io;
use std::thread;
use std::time::Duration;

use trefoil_ir::mpc::Party::{self, Client, Helper, Server};
use trefoil_ir::mpc::cost::Cost;
use trefoil_ir::mpc::memory::Memory;
use trefoil_ir::mpc::{Phase, Stage};
use trefoil_ir::plan::{ClientPlan, HelperPlan, SecretSeed, ServerPlan};

use super::handshake::{await_welcome, introduce, say_hello};
use super::testing::{
    Files, client_plan, files, files_with_a_gate, helper_plan, image, revealed, server_plan,
};
use super::*;
use crate::exec;
use crate::prg::{Purpose, StreamKey};
use crate::wire::{
    AbortReason, Count, FrameKind, Header, Link, LinkError, MemoryLink, Peer, Tag, Traffic, pair,
};

const PATIENCE: Duration = Duration::from_millis(500);

/// A link that fails after a number of frames, as if the process had died.
struct Dying {
    link: Option<MemoryLink>,
    left: usize,
    peer: Peer,
}

impl Dying {
    fn after(left: usize, link: MemoryLink) -> Self {
        let peer = link.peer().clone();
        Self {
            link: Some(link),
            left,
            peer,
        }
    }

    fn live(&mut self, costs: usize) -> Result<&mut MemoryLink, LinkError> {
        if self.left < costs {
            self.link = None;
        }
        self.left = self.left.saturating_sub(costs);
        self.link.as_mut().ok_or_else(|| LinkError::PeerDisconnected {
            peer: self.peer.clone(),
        })
    }
}

impl Link for Dying {
    fn peer(&self) -> &Peer {
        &self.peer
    }

    fn send(&mut self, tag: Tag, payload: Vec<u8>) -> Result<(), LinkError> {
        self.live(1)?.send(tag, payload)
    }

    fn flush(&mut self) -> Result<(), LinkError> {
        self.live(0)?.flush()
    }

    fn header(&mut self) -> Result<Header, LinkError> {
        self.live(1)?.header()
    }

    fn body(&mut self, length: usize) -> Result<Vec<u8>, LinkError> {
        self.live(0)?.body(length)
    }
}

/// A server's link that keeps the word that all is prepared back until the image is there: a client that waits
/// for the one before it sends the other waits for ever.
struct Withholding {
    link: MemoryLink,
    held: Option<Tag>,
}

impl Link for Withholding {
    fn peer(&self) -> &Peer {
        self.link.peer()
    }

    fn send(&mut self, tag: Tag, payload: Vec<u8>) -> Result<(), LinkError> {
        if tag.kind == FrameKind::Ready {
            self.held = Some(tag);
            return Ok(());
        }
        self.link.send(tag, payload)
    }

    fn flush(&mut self) -> Result<(), LinkError> {
        self.link.flush()
    }

    fn header(&mut self) -> Result<Header, LinkError> {
        let header = self.link.header()?;
        if header.tag.stage() == Some(Stage::Input)
            && let Some(ready) = self.held.take()
        {
            self.link.send(ready, Vec::new())?;
        }
        Ok(header)
    }

    fn body(&mut self, length: usize) -> Result<Vec<u8>, LinkError> {
        self.link.body(length)
    }
}

fn ends(left: Party, right: Party) -> (MemoryLink, MemoryLink) {
    let (one, other) = pair(left, right, 64);
    (one.with_timeout(PATIENCE), other.with_timeout(PATIENCE))
}

/// What the three parties came to: the client's results, the numbers of images that the others
/// count, and the helper's and server's records of the last image.
struct Outcome {
    client: Result<Vec<ImageRun>, SessionError>,
    server: Result<u32, SessionError>,
    helper: Result<u32, SessionError>,
}

/// Runs a session whose parties hold plans of these compilations and whose links between client
/// and server die after so many frames at the client's end.
fn session(plans: [u8; 3], images: i32, dies_after: usize) -> Outcome {
    session_of(plans.map(files), (0..images).map(image).collect(), dies_after)
}

/// The same, of the client's, the server's and the helper's files.
fn session_of(
    [of_client, of_server, of_helper]: [Files; 3],
    images: Vec<Vec<i32>>,
    dies_after: usize,
) -> Outcome {
    let (client_server, server_client) = ends(Client, Server);
    let (client_helper, helper_client) = ends(Client, Helper);
    let (server_helper, helper_server) = ends(Server, Helper);
    thread::scope(|scope| {
        let client = scope.spawn(move || {
            let plan = ClientPlan::decode(&of_client.client).unwrap();
            let own = Identity::from(&plan);
            let mut party = exec::Client::new(plan);
            let (server, helper) = (
                Dying::after(dies_after, client_server),
                Dying::after(usize::MAX, client_helper),
            );
            let mut session = ClientSession::open(&own, server, helper)?;
            let runs = images
                .iter()
                .map(|image| session.infer(&mut party, image))
                .collect::<Result<Vec<_>, _>>()?;
            session.end()?;
            Ok(runs)
        });
        let server = scope.spawn(move || {
            let plan = ServerPlan::decode(&of_server.server).unwrap();
            let own = Identity::from(&plan);
            let dial = || Ok::<_, io::Error>(server_helper);
            let link = Withholding {
                link: server_client,
                held: None,
            };
            ServerSession::accept(&own, link, dial)?.serve(&mut exec::Server::new(plan), |_| ())
        });
        let helper = scope.spawn(move || {
            let plan = HelperPlan::decode(&of_helper.helper).unwrap();
            let own = Identity::from(&plan);
            let (client, server) = (
                Greeted::new(helper_client, &own),
                Greeted::new(helper_server, &own),
            );
            HelperSession::open(client?, server?)?.serve(&mut exec::Helper::new(plan), |_| ())
        });
        Outcome {
            client: client.join().unwrap(),
            server: server.join().unwrap(),
            helper: helper.join().unwrap(),
        }
    })
}

/// Whether the traffic is that of so many images in one phase, besides headers and so many announcements.
fn check_traffic(traffic: &Traffic, phase: Phase, images: u64, announcements: u64) {
    let cost = Cost::new(client_plan(1).program());
    let links = cost
        .links
        .iter()
        .filter(|((_, at), bytes)| *at == phase && **bytes > 0);
    let links: BTreeMap<_, _> = links.map(|(&link, bytes)| (link, bytes * images)).collect();
    assert_eq!(traffic.links(), links);
    let round_trips = match phase {
        Phase::Offline => 0,
        Phase::Online => cost.round_trips,
    };
    assert_eq!(traffic.round_trips, round_trips as u64);
    assert_eq!(
        traffic.control,
        Count {
            messages: announcements,
            bytes: 8
        }
    );
}

#[test]
fn images_pass_and_bytes_are_the_predicted_ones() {
    let outcome = session([1; 3], 3, usize::MAX);
    let runs = outcome.client.unwrap();
    for (run, first) in runs.iter().zip(0..) {
        assert_eq!(run.units, revealed(first));
        // Run, of two links; the server's word that all is prepared, and the helper's answer.
        check_traffic(&run.record.traffic, Phase::Online, 1, 4);
        let preparation = run.preparation.as_ref().unwrap();
        // Prepare, of two links, and the helper's word.
        check_traffic(&preparation.record.traffic, Phase::Offline, 1, 3);
    }
    assert_eq!((outcome.server.unwrap(), outcome.helper.unwrap()), (3, 3));
}

#[test]
fn plans_of_two_compilations_are_refused_on_both_ends() {
    let refused = |error: SessionError, one, other| {
        let message = error.to_string();
        let names = format!("the {one}'s plan");
        assert!(
            message.starts_with(&names) && message.contains(&format!("the {other}'s (")),
            "{message}"
        );
    };
    let outcome = session([2, 1, 1], 1, usize::MAX);
    refused(outcome.client.err().unwrap(), Client, Helper);
    refused(outcome.server.unwrap_err(), Client, Server);
    refused(outcome.helper.unwrap_err(), Client, Helper);

    let outcome = session([1, 1, 2], 1, usize::MAX);
    refused(outcome.client.err().unwrap(), Client, Helper);
    // The client found out before the server had asked the helper.
    let told = outcome.server.unwrap_err();
    let reason = AbortReason::PlanMismatch;
    assert!(
        matches!(told.link_error(), Some(LinkError::PeerAborted { reason: r, .. }) if *r == reason),
        "{told}"
    );
    refused(outcome.helper.unwrap_err(), Client, Helper);
}

#[test]
fn a_lost_connection_at_any_frame_ends_all_three() {
    let whole = (0..60).find(|&frames| session([1; 3], 2, frames).client.is_ok());
    let whole = whole.expect("the session needs a limited number of frames");
    assert!(whole > 8, "{whole}");
    for frames in 0..whole {
        let outcome = session([1; 3], 2, frames);
        assert!(outcome.client.err().unwrap().is_consequence(), "{frames}");
        assert!(outcome.server.is_err(), "{frames}");
        assert!(outcome.helper.is_err(), "{frames}");
    }
}

/// The client's side of a session with a server, up to its proof.
fn enter(link: &mut MemoryLink, own: &Identity) -> Result<Statement, SessionError> {
    let hello = own.statement(Server, SessionId::random()?);
    say_hello(link, &hello)?;
    introduce(link, own, &hello)?;
    Ok(hello)
}

#[test]
fn an_unreachable_helper_is_said_to_the_client() {
    let (mut client, server) = ends(Client, Server);
    let entering = thread::spawn(move || {
        let hello = enter(&mut client, &Identity::from(&client_plan(1))).unwrap();
        await_welcome(&mut client, &hello, &mut |_| ()).unwrap_err()
    });
    let dial = || Err::<MemoryLink, _>(io::Error::other("nobody listens"));
    let identity = Identity::from(&server_plan(1));
    let error = ServerSession::accept(&identity, server, dial).err().unwrap();
    assert!(matches!(error, SessionError::HelperUnreachable(_)), "{error}");
    let error = entering.join().unwrap();
    let link = error.link_error().unwrap();
    assert!(matches!(
        link,
        LinkError::PeerAborted {
            reason: AbortReason::HelperUnreachable,
            ..
        }
    ));
}

/// Each of the three keys that a gate's masks come from must be that of its pair: the image alone
/// comes back whatever they are.
#[test]
fn a_gate_draws_from_the_keys_of_its_pairs() {
    let images = [-60, -50, -40].map(image).to_vec();
    let outcome = session_of([1; 3].map(files_with_a_gate), images, usize::MAX);
    for (first, run) in [-60, -50, -40].into_iter().zip(outcome.client.unwrap()) {
        let relu: Vec<i64> = revealed(first).iter().map(|&x| x.max(0)).collect();
        assert_eq!(run.units, relu);
    }
    assert_eq!((outcome.server.unwrap(), outcome.helper.unwrap()), (3, 3));
}

/// What a key begins its first stream with.
fn first_word(key: &StreamKey) -> u64 {
    let mut word = [0];
    key.stream(0, 0, Purpose::InputMask).fill(&mut word);
    word[0]
}

#[test]
fn both_ends_derive_one_key_and_every_connection_another() {
    let exchange = |session, opener: &Identity| {
        let (mut left, right) = ends(opener.party(), Helper);
        let hello = opener.statement(Helper, session);
        let answerer = thread::spawn(move || {
            let greeted = Greeted::new(right, &Identity::from(&helper_plan(1))).unwrap();
            greeted.secret.stream_key()
        });
        say_hello(&mut left, &hello).unwrap();
        let key = first_word(&introduce(&mut left, opener, &hello).unwrap().stream_key());
        assert_eq!(key, first_word(&answerer.join().unwrap()));
        key
    };
    let id = SessionId::random().unwrap();
    let client = Identity::from(&client_plan(1));
    let keys = [
        exchange(id, &client),
        exchange(id, &client),
        exchange(id, &Identity::from(&server_plan(1))),
    ];
    assert!(keys[0] != keys[1] && keys[0] != keys[2] && keys[1] != keys[2]);
}

/// Opens a connection from `opener` to `answerer` and returns what each end makes of the other.
fn meet(opener: Identity, answerer: Identity) -> (Result<(), SessionError>, Result<(), SessionError>) {
    let (mut left, right) = ends(opener.party(), answerer.party());
    let hello = opener.statement(answerer.party(), SessionId::random().unwrap());
    let answering = thread::spawn(move || Greeted::new(right, &answerer).map(|_| ()));
    let opened =
        say_hello(&mut left, &hello).and_then(|()| introduce(&mut left, &opener, &hello).map(|_| ()));
    (opened, answering.join().unwrap())
}

#[test]
fn nobody_plays_a_role_with_another_partys_keys() {
    let client = || Identity::from(&client_plan(1));
    let server = || Identity::from(&server_plan(1));
    let helper = || Identity::from(&helper_plan(1));
    for (opener, answerer) in [(client(), server()), (client(), helper()), (server(), helper())] {
        assert!(matches!(meet(opener, answerer), (Ok(()), Ok(()))));
    }
    let refused = |(at_opener, at_answerer): (Result<(), _>, Result<(), _>), opener, answerer| {
        for (result, claimed) in [(at_opener, answerer), (at_answerer, opener)] {
            let error: SessionError = result.unwrap_err();
            assert!(
                matches!(error, SessionError::Stranger { claimed: c } if c == claimed),
                "{error}"
            );
            assert_eq!(error.reason(), AbortReason::Stranger);
        }
    };
    let opening = [
        (helper(), client(), server()),
        (client(), server(), helper()),
        (server(), client(), helper()),
    ];
    for (own, role, answerer) in opening {
        for impostor in impostors(&own, &role, answerer.party()) {
            refused(meet(impostor, answerer.clone()), role.party(), answerer.party());
        }
    }
    let answering = [
        (helper(), server(), client()),
        (server(), helper(), client()),
        (client(), helper(), server()),
    ];
    for (own, role, opener) in answering {
        for impostor in impostors(&own, &role, opener.party()) {
            refused(meet(opener.clone(), impostor), opener.party(), role.party());
        }
    }
}

/// The holder of one plan in another's role towards `peer`: it says of itself what is public, and
/// tries each of the keys that it has.
fn impostors(own: &Identity, role: &Identity, peer: Party) -> [Identity; 2] {
    let with = |key: &SecretSeed| Identity {
        claim: role.claim,
        keys: [(peer, key.clone()), (role.party(), key.clone())],
    };
    [with(&own.keys[0].1), with(&own.keys[1].1)]
}

#[test]
fn a_proof_is_of_its_own_session_and_end() {
    let (mut far, near) = ends(Client, Server);
    let answering = thread::spawn(move || Greeted::new(near, &Identity::from(&server_plan(1))).map(|_| ()));
    let hello = Identity::from(&client_plan(1)).statement(Server, SessionId::random().unwrap());
    say_hello(&mut far, &hello).unwrap();
    // Whatever the server sends is sent back to it.
    for (kind, length) in [(FrameKind::Contribution, 32), (FrameKind::Proof, 32)] {
        let tag = Tag::control(kind);
        let payload = far.receive(tag, length).unwrap();
        far.send(tag, payload).unwrap();
    }
    let error = answering.join().unwrap().unwrap_err();
    assert!(
        matches!(error, SessionError::Stranger { claimed: Client }),
        "{error}"
    );
}

#[test]
fn a_server_welcomes_nobody_before_the_proof_and_does_not_bother_the_helper() {
    let (mut far, near) = ends(Client, Server);
    let hello = Identity::from(&client_plan(1)).statement(Server, SessionId::random().unwrap());
    let thief = thread::spawn(move || {
        let own = Identity::from(&helper_plan(1));
        let [impostor, _] = impostors(&own, &Identity::from(&client_plan(1)), Server);
        say_hello(&mut far, &hello).unwrap();
        introduce(&mut far, &impostor, &hello).map(|_| ()).unwrap_err();
        far.receive(Tag::control(FrameKind::Welcome), Statement::BYTES)
    });
    let dial = || -> Result<MemoryLink, io::Error> { panic!("the helper is not asked") };
    let accepted = ServerSession::accept(&Identity::from(&server_plan(1)), near, dial);
    assert!(matches!(
        accepted.err(),
        Some(SessionError::Stranger { claimed: Client })
    ));
    let told = thief.join().unwrap().unwrap_err();
    let reason = AbortReason::Stranger;
    assert!(
        matches!(told, LinkError::PeerAborted { reason: r, .. } if r == reason),
        "{told}"
    );
}

/// A connection of `party` that has been greeted in `session`, and its far end.
fn waiting(party: Party, session: SessionId) -> (MemoryLink, Greeted<MemoryLink>) {
    waiting_with(1, party, session)
}

/// The same with the plan of this compilation.
fn waiting_with(number: u8, party: Party, session: SessionId) -> (MemoryLink, Greeted<MemoryLink>) {
    let (mut far, near) = ends(party, Helper);
    let own = match party {
        Client => Identity::from(&client_plan(number)),
        _ => Identity::from(&server_plan(number)),
    };
    let answering = thread::spawn(move || Greeted::new(near, &Identity::from(&helper_plan(number))));
    let hello = own.statement(Helper, session);
    say_hello(&mut far, &hello).unwrap();
    introduce(&mut far, &own, &hello).unwrap();
    (far, answering.join().unwrap().ok().unwrap())
}

/// A helper with several plans never brings two of them together, whatever a client says to whom.
#[test]
fn the_helper_pairs_within_one_plan() {
    let session = SessionId::random().unwrap();
    let mut room = Pairing::new(Duration::from_secs(60), 8);
    let (_a, client) = waiting_with(2, Client, session);
    let (_b, server) = waiting_with(1, Server, session);
    assert!(matches!(room.offer(client), Ok(None)));
    let (_, error) = *room.offer(server).err().unwrap();
    assert!(matches!(error, SessionError::PlansApart { .. }), "{error}");
    assert_eq!(error.reason(), AbortReason::PlanMismatch);
    let (_c, server) = waiting_with(2, Server, session);
    assert!(matches!(room.offer(server), Ok(Some(_))));
}

#[test]
fn the_helper_pairs_by_session_id() {
    let (one, other) = (SessionId::random().unwrap(), SessionId::random().unwrap());
    let mut room = Pairing::new(Duration::from_secs(60), 8);
    let (_a, client_one) = waiting(Client, one);
    let (_b, server_other) = waiting(Server, other);
    let (_c, server_one) = waiting(Server, one);
    let (_d, client_again) = waiting(Client, one);
    assert!(matches!(room.offer(client_one), Ok(None)));
    assert!(matches!(room.offer(server_other), Ok(None)));
    let (turned, taken) = *room.offer(client_again).err().unwrap();
    assert!(matches!(taken, SessionError::SessionTaken { .. }), "{taken}");
    assert_eq!(turned.session(), one);
    let Ok(Some(Pair { client, server })) = room.offer(server_one) else {
        panic!("both are there");
    };
    assert_eq!((client.session(), client.opener()), (one, Client));
    assert_eq!((server.session(), server.opener()), (one, Server));
    assert!(room.clear(|_| false).is_empty());
}

#[test]
fn half_a_session_does_not_wait_for_ever() {
    let mut room = Pairing::new(Duration::ZERO, 8);
    let (_far, client) = waiting(Client, SessionId::random().unwrap());
    assert!(matches!(room.offer(client), Ok(None)));
    let late = room.clear(|_| false);
    assert_eq!(late.len(), 1);
    assert!(
        late[0].1.to_string().starts_with("the server of session "),
        "{}",
        late[0].1
    );
    assert!(room.is_empty());
}

#[test]
fn half_a_session_that_has_gone_or_is_the_oldest_of_too_many_waits_no_more() {
    let mut room = Pairing::new(Duration::from_secs(60), 2);
    let ids = [(); 4].map(|()| SessionId::random().unwrap());
    let _far: Vec<_> = ids
        .map(|id| {
            let (far, client) = waiting(Client, id);
            assert!(matches!(room.offer(client), Ok(None)));
            far
        })
        .into();
    let crowded = room.clear(|_| false);
    assert_eq!(
        crowded.iter().map(|(one, _)| one.session()).collect::<Vec<_>>(),
        ids[..2]
    );
    assert!(
        crowded
            .iter()
            .all(|(_, error)| error.reason() == AbortReason::Busy)
    );
    let gone = room.clear(|_| true);
    assert_eq!(gone.len(), 2);
    let words = gone[0].1.to_string();
    assert!(
        words.contains("had not come to the helper when the client left it"),
        "{words}"
    );
    assert!(room.is_empty());
}

#[test]
fn garbage_instead_of_a_hello_is_the_peers_fault() {
    let (mut far, near) = ends(Client, Server);
    far.send(Tag::control(FrameKind::Hello), vec![0; Statement::BYTES])
        .unwrap();
    let error = Greeted::new(near, &Identity::from(&server_plan(1)))
        .err()
        .unwrap();
    assert!(
        matches!(error.link_error(), Some(LinkError::PeerMisbehaved { .. })),
        "{error}"
    );
    let told = far.receive(Tag::control(FrameKind::Welcome), 0).unwrap_err();
    assert!(matches!(
        told,
        LinkError::PeerAborted {
            reason: AbortReason::Misbehaviour,
            ..
        }
    ));
}
