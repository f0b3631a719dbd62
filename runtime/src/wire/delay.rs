//! Links within one process that behave like a network: frames arrive when they would over a link
//! of a given bandwidth and round trip, and no earlier.
//!
//! * Each direction of each connection has its whole bandwidth to itself, as on machines with full
//!   duplex and no shared bottleneck. A frame leaves when all earlier ones of its direction have
//!   left, takes its bits (those of its header included) over the bandwidth, and arrives half a round
//!   trip after its last bit left. [`Lane`] is this law; predictions use the same one.
//! * Sending never waits: it stamps the frame with its arrival and queues it, as a kernel does whose
//!   socket buffer has room. The queue has no bound. A bound would stall a sender that real machines
//!   would let run on (two rounds of a slow link hold thousands of frames that the peer could not
//!   have read yet), and what can queue up is bounded by the protocol: what a party sends before it
//!   waits for an answer, which is less than the receiver keeps of it.
//! * Receiving waits until the stamp. Whoever computes meanwhile loses nothing: transfer and
//!   computation overlap by themselves.
//!
//! What this leaves out: losses, congestion, slow start, and the kernel's own work.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use trefoil_ir::mpc::Party;
use trefoil_ir::mpc::time::{Lane, LinkModel};

use super::clock::{Clock, WallClock, duration};
use super::error::LinkError;
use super::frame::{HEADER_BYTES, Header, Tag};
use super::link::Link;
use super::memory::{MemoryLink, unbounded_pair};
use super::peer::Peer;
use crate::trace::Recorder;

/// One end of a connection whose frames take their time.
pub struct DelayedLink<C = WallClock> {
    link: MemoryLink,
    clock: C,
    lane: Lane,
    /// Arrivals of the frames that this end sent, in their order.
    stamps: Sender<Duration>,
    /// Arrivals of the frames that the peer sent.
    arrivals: Receiver<Duration>,
    /// How many frames this end sent.
    sent: u64,
    recorder: Option<Recorder>,
}

/// A connection between `left` and `right` over this link: the ends that they hold, in this order.
pub fn delayed_pair<C: Clock + Clone>(
    left: Party,
    right: Party,
    link: LinkModel,
    clock: C,
) -> (DelayedLink<C>, DelayedLink<C>) {
    let (left, right) = unbounded_pair(left, right);
    let (to_right, from_left) = channel();
    let (to_left, from_right) = channel();
    (
        DelayedLink::new(left, link, clock.clone(), to_right, from_right),
        DelayedLink::new(right, link, clock, to_left, from_left),
    )
}

impl<C> DelayedLink<C> {
    fn new(
        link: MemoryLink,
        model: LinkModel,
        clock: C,
        stamps: Sender<Duration>,
        arrivals: Receiver<Duration>,
    ) -> Self {
        Self {
            link,
            clock,
            lane: Lane::new(model),
            stamps,
            arrivals,
            sent: 0,
            recorder: None,
        }
    }

    /// The link that tells this recorder, whose trace has the same clock, when each of its frames was
    /// on the wire.
    #[must_use]
    pub fn with_recorder(mut self, recorder: Option<Recorder>) -> Self {
        self.recorder = recorder;
        self
    }
}

impl<C: Clock> Link for DelayedLink<C> {
    fn peer(&self) -> &Peer {
        self.link.peer()
    }

    fn send(&mut self, tag: Tag, payload: Vec<u8>) -> Result<(), LinkError> {
        let bytes = payload.len() as u64;
        let now = self.clock.now().as_secs_f64();
        let passage = self.lane.send(now, bytes + HEADER_BYTES as u64);
        // The stamp first: who finds the frame must find it. If the peer is gone the frame's own
        // error says so.
        let _ = self.stamps.send(duration(passage.arrives));
        self.link.send(tag, payload)?;
        if let Some(recorder) = &self.recorder
            && let Some(to) = self.link.peer().party
        {
            recorder.on_the_wire(recorder.frame_to(to, self.sent, tag, bytes), &passage);
        }
        self.sent += 1;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), LinkError> {
        self.link.flush()
    }

    fn header(&mut self) -> Result<Header, LinkError> {
        let header = self.link.header()?;
        if let Ok(arrival) = self.arrivals.try_recv() {
            self.clock.wait_until(arrival);
        }
        Ok(header)
    }

    fn body(&mut self, length: usize) -> Result<Vec<u8>, LinkError> {
        self.link.body(length)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use trefoil_ir::mpc::{Stage, ValueId};

    use super::*;
    use crate::wire::{FrameKind, Metered};

    const M1: Tag = Tag::message(0, ValueId(3), Stage::M1);
    const M2: Tag = Tag::message(0, ValueId(3), Stage::M2);

    /// A clock that stands still but for waiting.
    #[derive(Clone, Default)]
    struct MockClock(Arc<Mutex<Duration>>);

    impl MockClock {
        fn set(&self, seconds: f64) {
            *self.0.lock().unwrap() = Duration::from_secs_f64(seconds);
        }

        fn seconds(&self) -> f64 {
            self.now().as_secs_f64()
        }
    }

    impl Clock for MockClock {
        fn now(&self) -> Duration {
            *self.0.lock().unwrap()
        }

        fn wait_until(&self, time: Duration) {
            let mut now = self.0.lock().unwrap();
            *now = time.max(*now);
        }
    }

    /// A byte a second, a round trip of 10 seconds.
    const SLOW: LinkModel = LinkModel {
        bits_per_second: 8.0,
        round_trip: 10.0,
    };

    fn mocked() -> (DelayedLink<MockClock>, DelayedLink<MockClock>, MockClock) {
        let clock = MockClock::default();
        let (client, server) = delayed_pair(Party::Client, Party::Server, SLOW, clock.clone());
        (client, server, clock)
    }

    #[test]
    fn a_frame_arrives_when_its_bits_have_and_half_a_round_trip_later() {
        let (mut client, mut server, clock) = mocked();
        clock.set(100.0);
        client.send(M2, vec![0; 4]).unwrap();
        assert_eq!(clock.seconds(), 100.0, "sending takes no time");
        server.receive(M2, 4).unwrap();
        assert_eq!(clock.seconds(), 100.0 + 20.0 + 5.0);
    }

    #[test]
    fn frames_queue_behind_each_other_in_their_direction_alone() {
        let (mut client, mut server, clock) = mocked();
        client.send(M2, vec![0; 4]).unwrap();
        client.send(M2, vec![0; 14]).unwrap();
        client.send(Tag::control(FrameKind::End), vec![]).unwrap();
        server.send(M1, vec![]).unwrap();
        client.receive(M1, 0).unwrap();
        assert_eq!(clock.seconds(), 16.0 + 5.0, "the other direction is free");
        for (tag, length, arrives) in [
            (M2, 4, 20.0 + 5.0),
            (M2, 14, 50.0 + 5.0),
            (Tag::control(FrameKind::End), 0, 66.0 + 5.0),
        ] {
            server.receive(tag, length).unwrap();
            assert_eq!(clock.seconds(), arrives, "{tag}");
        }
    }

    #[test]
    fn who_comes_late_does_not_wait() {
        let (mut client, mut server, clock) = mocked();
        client.send(M2, vec![0; 4]).unwrap();
        clock.set(1000.0);
        server.receive(M2, 4).unwrap();
        assert_eq!(clock.seconds(), 1000.0);
    }

    #[test]
    fn sending_never_waits_for_a_reader() {
        let (mut client, mut server, clock) = mocked();
        for number in 0..10_000u32 {
            client
                .send(
                    Tag {
                        inference: number,
                        ..M2
                    },
                    vec![],
                )
                .unwrap();
        }
        assert_eq!(clock.seconds(), 0.0);
        for number in 0..10_000u32 {
            server
                .receive(
                    Tag {
                        inference: number,
                        ..M2
                    },
                    0,
                )
                .unwrap();
        }
        assert_eq!(clock.seconds(), 160_000.0 + 5.0);
    }

    #[test]
    fn counts_are_those_of_any_link_and_waiting_is_the_links() {
        let (client, server, _) = mocked();
        let (mut client, mut server) = (Metered::new(client), Metered::new(server));
        client.send(M2, vec![1, 2, 3]).unwrap();
        assert_eq!(server.receive(M2, 3).unwrap(), [1, 2, 3]);
        assert_eq!(client.traffic().sent, server.traffic().received);
        assert_eq!(client.traffic().header_bytes(), 16);
    }

    #[test]
    fn a_lost_peer_is_noticed_after_what_it_sent() {
        let (mut client, mut server, _) = mocked();
        client.send(M2, vec![9]).unwrap();
        drop(client);
        assert_eq!(server.receive(M2, 1).unwrap(), [9]);
        for error in [
            server.receive(M2, 1).unwrap_err(),
            server.send(M1, vec![]).unwrap_err(),
        ] {
            assert!(matches!(error, LinkError::PeerDisconnected { .. }), "{error}");
        }
    }

    #[test]
    fn on_the_wall_clock_nothing_comes_early() {
        let link = LinkModel {
            bits_per_second: 8e6,
            round_trip: 10e-3,
        };
        let clock = WallClock::start();
        let (mut client, mut server) = delayed_pair(Party::Client, Party::Server, link, clock);
        let begin = clock.now();
        // 4 ms of bytes each, 5 ms of latency.
        client.send(M2, vec![0; 3984]).unwrap();
        client.send(M1, vec![0; 3984]).unwrap();
        server.receive(M2, 3984).unwrap();
        assert!(clock.now() - begin >= Duration::from_millis(9));
        server.receive(M1, 3984).unwrap();
        assert!(clock.now() - begin >= Duration::from_millis(13));
    }
}
