//! A link that counts what passes: bytes of payload by step and message, headers apart, round trips
//! and the time spent waiting. Counts are exact; they are compared with what the plan predicts.

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::time::{Duration, Instant};

use trefoil_ir::mpc::cost::Bytes;
use trefoil_ir::mpc::{Link as Direction, Phase, Stage};

use super::abort::AbortReason;
use super::error::LinkError;
use super::frame::{HEADER_BYTES, Header, Tag};
use super::link::Link;
use super::peer::Peer;
use crate::keys::PublicKey;

/// Messages and their payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Number of messages.
    pub messages: u64,
    /// Bytes of payload.
    pub bytes: u64,
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.messages += other.messages;
        self.bytes += other.bytes;
    }
}

/// What one end of a link has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Messages sent, by step and stage.
    pub sent: BTreeMap<(u32, Stage), Count>,
    /// Messages received, by step and stage.
    pub received: BTreeMap<(u32, Stage), Count>,
    /// Control frames of either direction and their payload (which only the set-up has).
    pub control: Count,
    /// How often this end waited for messages after it had sent some: control frames, which no
    /// result depends on, count neither way.
    pub round_trips: u64,
    /// Time spent waiting for frames and reading them.
    pub waiting: Duration,
}

impl Traffic {
    /// Bytes of all headers.
    pub fn header_bytes(&self) -> u64 {
        let counts = self.sent.values().chain(self.received.values());
        let messages: u64 = counts.map(|count| count.messages).sum();
        (messages + self.control.messages) * HEADER_BYTES as u64
    }

    /// Bytes of payload that were sent and received, those of control frames counted as sent.
    pub fn bytes_each_way(&self) -> [u64; 2] {
        let sum =
            |counts: &BTreeMap<(u32, Stage), Count>| counts.values().map(|count| count.bytes).sum::<u64>();
        [sum(&self.sent) + self.control.bytes, sum(&self.received)]
    }

    /// Bytes of payload of one step.
    pub fn step_bytes(&self, step: u32) -> Bytes {
        let mut bytes = Bytes::default();
        for (at, stage, count) in self.messages() {
            if at == step {
                bytes.add(stage.phase(), count.bytes);
            }
        }
        bytes
    }

    /// Bytes of payload by direction and phase, as a program's cost gives them.
    pub fn links(&self) -> BTreeMap<(Direction, Phase), u64> {
        let mut links = BTreeMap::new();
        for (_, stage, count) in self.messages() {
            *links.entry((stage.link(), stage.phase())).or_default() += count.bytes;
        }
        links
    }

    /// Every message, whichever way it went: step, stage, count.
    pub fn messages(&self) -> impl Iterator<Item = (u32, Stage, Count)> + '_ {
        let all = self.sent.iter().chain(&self.received);
        all.map(|(&(step, stage), &count)| (step, stage, count))
    }

    /// Adds what another link, or this one at another time, has seen.
    pub fn merge(&mut self, other: &Traffic) {
        for (own, others) in [
            (&mut self.sent, &other.sent),
            (&mut self.received, &other.received),
        ] {
            for (&key, &count) in others {
                *own.entry(key).or_default() += count;
            }
        }
        self.control += other.control;
        self.round_trips += other.round_trips;
        self.waiting += other.waiting;
    }
}

/// A link that counts.
pub struct Metered<L> {
    link: L,
    traffic: Traffic,
    /// Whether a message was sent since one was last received.
    asked: bool,
}

impl<L: Link> Metered<L> {
    /// Counts on this link from now on.
    pub fn new(link: L) -> Self {
        Self {
            link,
            traffic: Traffic::default(),
            asked: false,
        }
    }

    /// Counts on, where these control frames have passed already.
    pub(crate) fn resume(link: L, control: Count) -> Self {
        let mut metered = Self::new(link);
        metered.traffic.control = control;
        metered
    }

    /// What has passed so far.
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// What has passed since the last call, and counts from nothing again.
    pub fn take(&mut self) -> Traffic {
        self.asked = false;
        std::mem::take(&mut self.traffic)
    }

    /// The link itself.
    pub(crate) fn get_ref(&self) -> &L {
        &self.link
    }

    /// The link itself, for what only its own kind can do.
    pub fn get_mut(&mut self) -> &mut L {
        &mut self.link
    }

    fn count_sent(&mut self, tag: Tag, bytes: u64) {
        let counter = match tag.stage() {
            Some(stage) => {
                self.asked = true;
                self.traffic.sent.entry((tag.step, stage)).or_default()
            }
            None => &mut self.traffic.control,
        };
        *counter += Count { messages: 1, bytes };
    }

    fn count_received(&mut self, header: &Header) {
        let counter = match header.tag.stage() {
            Some(stage) => {
                self.traffic.round_trips += u64::from(std::mem::take(&mut self.asked));
                self.traffic.received.entry((header.tag.step, stage)).or_default()
            }
            None => &mut self.traffic.control,
        };
        *counter += Count {
            messages: 1,
            bytes: u64::from(header.length),
        };
    }
}

impl<L: Link> Link for Metered<L> {
    fn peer(&self) -> &Peer {
        self.link.peer()
    }

    fn send(&mut self, tag: Tag, payload: Vec<u8>) -> Result<(), LinkError> {
        let bytes = payload.len() as u64;
        self.link.send(tag, payload)?;
        self.count_sent(tag, bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), LinkError> {
        self.link.flush()
    }

    fn header(&mut self) -> Result<Header, LinkError> {
        let start = Instant::now();
        let header = self.link.header();
        self.traffic.waiting += start.elapsed();
        let header = header?;
        self.count_received(&header);
        Ok(header)
    }

    fn body(&mut self, length: usize) -> Result<Vec<u8>, LinkError> {
        let start = Instant::now();
        let payload = self.link.body(length);
        self.traffic.waiting += start.elapsed();
        payload
    }

    fn abort(&mut self, reason: AbortReason) {
        self.link.abort(reason);
    }

    fn bind(&self, context: &[u8]) -> Result<[u8; 32], LinkError> {
        self.link.bind(context)
    }

    fn peer_key(&self) -> Option<PublicKey> {
        self.link.peer_key()
    }

    fn await_request(&mut self, request: bool) {
        self.link.await_request(request);
    }

    fn last_words(&mut self) -> Option<LinkError> {
        self.link.last_words()
    }
}

#[cfg(test)]
mod tests {
    use trefoil_ir::mpc::{Party, ValueId};

    use super::*;
    use crate::wire::{FrameKind, pair};

    #[test]
    fn both_ends_count_the_same_exactly() {
        let (client, server) = pair(Party::Client, Party::Server, 16);
        let (mut client, mut server) = (Metered::new(client), Metered::new(server));
        let tag = |step, stage| Tag::message(0, ValueId(step), stage);
        client.send(tag(0, Stage::Input), vec![0; 10]).unwrap();
        server.receive(tag(0, Stage::Input), 10).unwrap();
        for step in [1, 2] {
            server.send(tag(step, Stage::M1), vec![0; 5]).unwrap();
        }
        for step in [1, 2] {
            client.receive(tag(step, Stage::M1), 5).unwrap();
        }
        client.send(tag(1, Stage::M2), vec![0; 3]).unwrap();
        server.receive(tag(1, Stage::M2), 3).unwrap();
        server.send(tag(3, Stage::Reveal), vec![]).unwrap();
        client.receive(tag(3, Stage::Reveal), 0).unwrap();
        client.send(Tag::control(FrameKind::End), vec![]).unwrap();

        let traffic = client.take();
        // Input then M1 twice is one, M2 then Reveal the other.
        assert_eq!(traffic.round_trips, 2);
        assert_eq!(traffic.header_bytes(), 16 * 6);
        assert_eq!(
            traffic.step_bytes(1),
            Bytes {
                offline: 0,
                online: 8,
                total: 8
            }
        );
        let links = traffic.links();
        assert_eq!(links[&(Direction::ClientToServer, Phase::Online)], 13);
        assert_eq!(links[&(Direction::ServerToClient, Phase::Online)], 10);
        assert_eq!(server.traffic().links(), links);
        assert_eq!(server.traffic().received, traffic.sent);
        assert_eq!(client.traffic(), &Traffic::default());
    }
}
