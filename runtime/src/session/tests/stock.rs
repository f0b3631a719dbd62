//! Stocks and batches: what a client may announce, what it gets, and what it is told otherwise.

use super::*;

/// What the client does in its session; the other two serve with this limit at the server.
struct Ends<T> {
    client: T,
    server: Result<u32, SessionError>,
    helper: Result<u32, SessionError>,
    /// What server and helper recorded.
    records: [Vec<Record>; 2],
}

fn lead<T: Send>(
    memory: u64,
    client: impl FnOnce(ClientSession<MemoryLink>, exec::Client) -> T + Send,
) -> Ends<T> {
    let (client_server, server_client) = ends(Client, Server);
    let (client_helper, helper_client) = ends(Client, Helper);
    let (server_helper, helper_server) = ends(Server, Helper);
    thread::scope(|scope| {
        let client = scope.spawn(move || {
            let plan = client_plan(1);
            let session = ClientSession::open(&Identity::from(&plan), client_server, client_helper);
            client(session.ok().unwrap(), exec::Client::new(plan))
        });
        let server = scope.spawn(move || {
            let plan = server_plan(1);
            let dial = || Ok::<_, io::Error>(server_helper);
            let own = Identity::from(&plan);
            let greeted = Greeted::new(server_client, &own).ok().unwrap();
            let session = ServerSession::open(&own, greeted.with_memory(memory), dial)
                .ok()
                .unwrap();
            let mut records = vec![];
            let party = &mut exec::Server::new(plan);
            let served = session.serve(party, |record| records.push(record));
            (served, records)
        });
        let helper = scope.spawn(move || {
            let plan = helper_plan(1);
            let own = Identity::from(&plan);
            let (client, server) = (
                Greeted::new(helper_client, &own),
                Greeted::new(helper_server, &own),
            );
            let session = HelperSession::open(client.ok().unwrap(), server.ok().unwrap())
                .ok()
                .unwrap();
            let mut records = vec![];
            let served = session.serve(&mut exec::Helper::new(plan), |record| records.push(record));
            (served, records)
        });
        let client = client.join().unwrap();
        let ((server, at_server), (helper, at_helper)) = (server.join().unwrap(), helper.join().unwrap());
        Ends {
            client,
            server,
            helper,
            records: [at_server, at_helper],
        }
    })
}

/// Runs the images of these first values together.
fn run(
    session: &mut ClientSession<MemoryLink>,
    party: &mut exec::Client,
    firsts: &[i32],
) -> Result<BatchRun, SessionError> {
    let images: Vec<Vec<i32>> = firsts.iter().map(|&first| image(first)).collect();
    let images: Vec<&[i32]> = images.iter().map(Vec::as_slice).collect();
    session.run(party, &images)
}

#[test]
fn stocks_and_batches_give_each_image_its_own_result() {
    let ends = lead(SESSION_MEMORY, |mut session, mut party| {
        let preparation = session.prepare(&mut party, 5).unwrap();
        // Prepare and ready, of two links each; then run, of both, and the helper's answer.
        check_traffic(&preparation.record.traffic, Phase::Offline, 5, 4);
        assert_eq!((preparation.record.inferences, session.stock()), (5, 5));
        let batch = run(&mut session, &mut party, &[3, -8, 12]).unwrap();
        assert_eq!(batch.units, [revealed(3), revealed(-8), revealed(12)]);
        check_traffic(&batch.record.traffic, Phase::Online, 3, 3);
        // In addition to what is left.
        session.prepare(&mut party, 1).unwrap();
        assert_eq!(session.stock(), 3);
        let batch = run(&mut session, &mut party, &[7, 7, 7]).unwrap();
        assert_eq!(batch.units, vec![revealed(7); 3]);
        let single = session.infer(&mut party, &image(9)).unwrap();
        assert!(single.preparation.is_some_and(|one| one.record.inferences == 1));
        assert_eq!((single.units, session.stock()), (revealed(9), 0));
        session.end()
    });
    ends.client.unwrap();
    assert_eq!((ends.server.unwrap(), ends.helper.unwrap()), (7, 7));
    let seen = |record: &Record| (record.phase, record.inferences);
    let [server, helper] = ends
        .records
        .map(|records| records.iter().map(seen).collect::<Vec<_>>());
    let (prepared, ran) = (Phase::Offline, Phase::Online);
    let wanted = [
        (prepared, 5),
        (ran, 3),
        (prepared, 1),
        (ran, 3),
        (prepared, 1),
        (ran, 1),
    ];
    assert_eq!(server, wanted);
    assert_eq!(helper, [(prepared, 5), (prepared, 1), (prepared, 1)]);
}

#[test]
fn what_is_left_in_stock_is_never_used() {
    let ends = lead(SESSION_MEMORY, |mut session, mut party| {
        session.prepare(&mut party, 4).unwrap();
        run(&mut session, &mut party, &[1]).unwrap();
        session.end()
    });
    ends.client.unwrap();
    // One was run. The other three went with the session, and with its keys.
    assert_eq!((ends.server.unwrap(), ends.helper.unwrap()), (1, 1));
}

#[test]
fn memory_counts_what_is_in_stock() {
    let ends = lead(SESSION_MEMORY, |mut session, mut party| {
        let one = session.prepare(&mut party, 1).unwrap();
        let more = session.prepare(&mut party, 9).unwrap();
        let peaks = [one, more].map(|preparation| preparation.record.measured.peak_memory);
        let batch = run(&mut session, &mut party, &[1, 2]).unwrap();
        let stock = Memory::predict(party.plan().program()).client.stock;
        assert!(stock > 0);
        assert_eq!(peaks[1] - peaks[0], 9 * stock);
        assert_eq!(batch.record.measured.peak_memory, peaks[1]);
        session.end()
    });
    ends.client.unwrap();
}

#[test]
fn a_batch_beyond_the_stock_is_refused_before_it_is_sent() {
    let ends = lead(SESSION_MEMORY, |mut session, mut party| {
        session.prepare(&mut party, 2).unwrap();
        run(&mut session, &mut party, &[1, 2, 3]).err().unwrap()
    });
    let words = "3 inferences are to be run from number 0 on, and 2 are prepared: \
                 prepare a stock first that is as large as the batch";
    assert_eq!(ends.client.to_string(), words);
    for told in [ends.server, ends.helper] {
        let told = told.unwrap_err();
        assert!(told.is_consequence(), "{told}");
    }
}

/// What a client is told that wants too much, and what the server says of it.
fn refused(ends: Ends<SessionError>, words: &str) {
    let told = ends.client.link_error().unwrap();
    let reason = AbortReason::SessionMemory;
    assert!(
        matches!(told, LinkError::PeerAborted { peer, reason: r } if peer.party == Some(Server) && *r == reason),
        "{told}"
    );
    let remedy = "take a smaller --stock or --batch, or start it with a higher --session-memory";
    assert!(told.to_string().contains(remedy), "{told}");
    let error = ends.server.unwrap_err();
    assert!(
        error.to_string().contains(words) && !error.is_consequence(),
        "{error}"
    );
    assert_eq!(error.reason(), reason);
    assert!(ends.helper.unwrap_err().is_consequence());
}

#[test]
fn a_stock_beyond_the_servers_memory_is_refused() {
    // Enough for a good many of these small images, and not for all that are wanted.
    let ends = lead(10_000_000, |mut session, mut party| {
        session.prepare(&mut party, 3000).err().unwrap()
    });
    refused(ends, "the client wants a stock of 3000 inferences, and the 10 MB");
    // Neither in one go nor bit by bit.
    let ends = lead(100_000, |mut session, mut party| {
        let fill = |_| session.prepare(&mut party, 4);
        (0..1000).map(fill).find_map(Result::err).unwrap()
    });
    refused(ends, "give the client a --stock of ");
}

#[test]
fn a_client_is_told_with_the_welcome_what_the_server_has_room_for() {
    for memory in [0, 100_000, 10_000_000, u64::MAX] {
        let ends = lead(memory, |mut session, mut party| {
            let Err(error) = session.expect_room(&party, 60_000, 1) else {
                assert!(session.expect_room(&party, 60_000, 60_000).is_ok());
                return session.end().map(|()| None);
            };
            let SessionError::Announcement(AnnouncementError::Stock { fits, .. }) = error else {
                panic!("{error}");
            };
            let fits = u32::try_from(fits).unwrap();
            session.expect_room(&party, fits, 1).unwrap();
            assert!(session.expect_room(&party, fits, 2).is_err() || fits > 1);
            // It is the server's own count: so many it takes, and not one more.
            session.prepare(&mut party, fits).unwrap();
            assert!(session.prepare(&mut party, 1).is_err());
            Ok(Some(fits))
        });
        assert_eq!(ends.client.unwrap().is_none(), memory == u64::MAX);
        assert_eq!(ends.server.is_ok(), memory == u64::MAX);
    }
}

#[test]
fn a_batch_beyond_the_servers_memory_is_refused() {
    let ends = lead(100_000, |mut session, mut party| {
        session.prepare(&mut party, 20).unwrap();
        run(&mut session, &mut party, &[5; 20]).err().unwrap()
    });
    refused(
        ends,
        "the client wants 20 images run together, and beside a stock of 20",
    );
}

#[test]
fn a_single_image_is_served_whatever_the_memory() {
    let ends = lead(0, |mut session, mut party| {
        let runs = (0..3).map(|first| session.infer(&mut party, &image(first)).unwrap().units);
        assert_eq!(runs.collect::<Vec<_>>(), [revealed(0), revealed(1), revealed(2)]);
        session.end()
    });
    ends.client.unwrap();
    assert_eq!(ends.server.unwrap(), 3);
}

/// A client's connections to both others, after the handshakes.
struct Hostile {
    server: MemoryLink,
    helper: MemoryLink,
}

impl Hostile {
    fn announce(&mut self, kind: FrameKind, first: u32, count: u32) {
        for link in [&mut self.server, &mut self.helper] {
            // Who has given up already does not listen.
            let _ = link.send(Tag::of_inference(first, kind), count.to_le_bytes().to_vec());
        }
    }

    /// Sends the image's message as the server of these plans wants it.
    fn input(&mut self, inference: u32) {
        let tag = Tag::message(
            inference,
            trefoil_ir::mpc::ValueId(0),
            trefoil_ir::mpc::Stage::Input,
        );
        self.server
            .send(tag, vec![0; 4 * super::super::testing::SHAPE.len()])
            .unwrap();
    }
}

/// The server's side of a session.
fn serve(client: MemoryLink, helper: MemoryLink) -> Result<u32, SessionError> {
    let plan = server_plan(1);
    let dial = || Ok::<_, io::Error>(helper);
    let session = ServerSession::accept(&Identity::from(&plan), client, dial)?;
    session.serve(&mut exec::Server::new(plan), |_| ())
}

/// The helper's.
fn help(client: MemoryLink, server: MemoryLink) -> Result<u32, SessionError> {
    let plan = helper_plan(1);
    let own = Identity::from(&plan);
    let (client, server) = (Greeted::new(client, &own), Greeted::new(server, &own));
    HelperSession::open(client?, server?)?.serve(&mut exec::Helper::new(plan), |_| ())
}

/// What server and helper make of a client that speaks as it likes after its handshakes.
fn attack(client: impl FnOnce(&mut Hostile) + Send) -> [SessionError; 2] {
    let (mut server, server_client) = ends(Client, Server);
    let (mut helper, helper_client) = ends(Client, Helper);
    let (server_helper, helper_server) = ends(Server, Helper);
    thread::scope(|scope| {
        let serving = scope.spawn(move || serve(server_client, server_helper));
        let helping = scope.spawn(move || help(helper_client, helper_server));
        let own = Identity::from(&client_plan(1));
        let session = SessionId::random().unwrap();
        let (to_server, to_helper) = (own.statement(Server, session), own.statement(Helper, session));
        say_hello(&mut server, &to_server).unwrap();
        say_hello(&mut helper, &to_helper).unwrap();
        introduce(&mut helper, &own, &to_helper).unwrap();
        introduce(&mut server, &own, &to_server).unwrap();
        await_welcome(&mut server, &to_server, &mut |_| ()).unwrap();
        await_welcome(&mut helper, &to_helper, &mut |_| ()).unwrap();
        let mut hostile = Hostile { server, helper };
        client(&mut hostile);
        [
            serving.join().unwrap().unwrap_err(),
            helping.join().unwrap().unwrap_err(),
        ]
    })
}

/// Kind, first number and count.
type Announced = (FrameKind, u32, u32);

#[test]
fn announcements_that_cannot_be_are_refused_by_both() {
    use FrameKind::{Prepare, Run};
    // The last one of each row is at fault.
    let cases: [(&[Announced], &str); 11] = [
        (
            &[(Run, 0, 1)],
            "1 inferences are to be run from number 0 on, and 0 are prepared",
        ),
        (
            &[(Prepare, 0, 2), (Run, 0, 3)],
            "3 inferences are to be run from number 0 on, and 2",
        ),
        (&[(Prepare, 0, 2), (Run, 0, u32::MAX)], "and 2 are prepared"),
        (
            &[(Prepare, 0, 2), (Run, 2, 1)],
            "1 inferences are to be run from number 2 on",
        ),
        (&[(Prepare, 0, 2), (Run, 1, 1)], "inference 1 run, and 0 is next"),
        (
            &[(Prepare, 0, 2), (Run, 0, 1), (Run, 0, 1)],
            "inference 0 run again: its masks are used up, and 1",
        ),
        (
            &[(Prepare, 0, 2), (Prepare, 0, 2)],
            "inference 0 prepared, and 2 is next",
        ),
        (&[(Prepare, 1, 1)], "inference 1 prepared, and 0 is next"),
        (
            &[(Prepare, u32::MAX, 1)],
            "inference 4294967295 prepared, and 0 is next",
        ),
        (&[(Prepare, 0, 0)], "announced no inference at all"),
        (&[(Prepare, 0, 2), (Run, 0, 0)], "announced no inference at all"),
    ];
    for (announcements, words) in cases {
        let errors = attack(|hostile| {
            for (at, &(kind, first, count)) in announcements.iter().enumerate() {
                hostile.announce(kind, first, count);
                // After the last one, which is at fault, nobody may listen any more.
                if kind == Run && at + 1 < announcements.len() {
                    hostile.input(first);
                }
            }
        });
        for error in errors {
            let message = error.to_string();
            assert!(message.contains(words), "{message}");
            assert_eq!(error.reason(), AbortReason::Misbehaviour, "{message}");
        }
    }
}

#[test]
fn the_limits_hold_against_any_client() {
    let prepare = |count| {
        attack(move |hostile: &mut Hostile| {
            hostile.announce(FrameKind::Prepare, 0, count);
            hostile.announce(FrameKind::Prepare, count, count);
        })
    };
    for error in prepare(u32::MAX) {
        let message = error.to_string();
        assert!(
            message
                .starts_with("a stock of 4294967295 inferences is wanted, and there are none beyond 65536"),
            "{message}"
        );
    }
    // The server's memory, and the bound for a helper that has nothing to fill a memory with.
    let [_, helper] = prepare(MOST_IN_STOCK);
    assert!(
        helper.to_string().starts_with("a stock of 131072 inferences"),
        "{helper}"
    );
}

#[test]
fn frames_that_are_no_announcements_are_refused() {
    let tag = Tag::of_inference;
    let prepare = FrameKind::Prepare;
    let frames = [
        (tag(0, FrameKind::Ready), vec![]),
        (tag(0, prepare), vec![1]),
        (tag(0, prepare), vec![1, 0, 0, 0, 0]),
        (
            Tag {
                step: 1,
                ..tag(0, prepare)
            },
            vec![1, 0, 0, 0],
        ),
        (tag(1, FrameKind::End), vec![]),
        (tag(0, FrameKind::End), vec![0]),
    ];
    for (tag, payload) in frames {
        let errors = attack(|hostile| {
            for link in [&mut hostile.server, &mut hostile.helper] {
                link.send(tag, payload.clone()).unwrap();
            }
        });
        for error in errors {
            let link = error.link_error();
            assert!(matches!(link, Some(LinkError::PeerMisbehaved { .. })), "{error}");
        }
    }
}

#[test]
fn a_batch_lost_at_any_frame_ends_all_three() {
    let ended = |frames| {
        let (client_server, server_client) = ends(Client, Server);
        let (client_helper, helper_client) = ends(Client, Helper);
        let (server_helper, helper_server) = ends(Server, Helper);
        thread::scope(|scope| {
            let client = scope.spawn(move || {
                let plan = client_plan(1);
                let own = Identity::from(&plan);
                let mut party = exec::Client::new(plan);
                let server = Dying::after(frames, client_server);
                let helper = Dying::after(usize::MAX, client_helper);
                let mut session = ClientSession::open(&own, server, helper)?;
                session.prepare(&mut party, 3)?;
                session.run(&mut party, &[&image(1), &image(2)])?;
                session.end()
            });
            let server = scope.spawn(move || serve(server_client, server_helper));
            let helper = scope.spawn(move || help(helper_client, helper_server));
            let (client, server, helper) = (client.join(), server.join(), helper.join());
            [
                client.unwrap().is_ok(),
                server.unwrap().is_ok(),
                helper.unwrap().is_ok(),
            ]
        })
    };
    let whole = (0..60).find(|&frames| ended(frames) == [true; 3]);
    let whole = whole.expect("the session needs a limited number of frames");
    assert!(whole > 10, "{whole}");
    for frames in 0..whole {
        assert_eq!(ended(frames), [false; 3], "{frames}");
    }
}

#[test]
fn a_session_that_is_over_gives_errors_and_no_panic() {
    let ends = lead(100_000, |mut session, mut party| {
        session.prepare(&mut party, 1).unwrap();
        let refused = session.prepare(&mut party, 2000).err().unwrap();
        assert!(session.prepare(&mut party, 1).is_err());
        for images in [0, 1, 2, 3000] {
            let image = image(0);
            assert!(
                session.run(&mut party, &vec![&image[..]; images]).is_err(),
                "{images}"
            );
        }
        refused
    });
    refused(ends, "the client wants a stock of 2001 inferences");
}
