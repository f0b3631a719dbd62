//! The client's session: it opens both connections, keeps a stock of prepared inferences, and leads
//! through the images.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use trefoil_ir::mpc::memory::Memory;
use trefoil_ir::mpc::{Party, Phase};

use super::announce::{Announcement, Span};
use super::error::{SessionError, failed, lost};
use super::handshake::{Agreed, await_welcome, introduce, say_hello};
use super::numbers::{AnnouncementError, Numbers, Room};
use super::server::with_stock;
use super::statement::{Identity, SessionId};
use super::{Record, Setup};
use crate::exec::{self, ClientStock, Measured};
use crate::keys::PublicKey;
use crate::prg::StreamKey;
use crate::wire::{AbortReason, FrameKind, Header, Link, LinkError, Metered, Peer, Tag, Traffic};

/// An open session of the client's.
pub struct ClientSession<L> {
    server: Metered<L>,
    helper: Metered<L>,
    agreed: Agreed,
    /// KiB that the server gives.
    memory: u32,
    key: StreamKey,
    numbers: Numbers,
    /// One for each inference in stock, in the order of their numbers. Dropped with the session, and wiped then.
    stock: VecDeque<ClientStock>,
    setup: Setup,
}

/// What the preparation of some inferences took.
pub struct Preparation {
    /// From the announcement until all three parties had prepared all of them; where an image followed at once,
    /// until client and helper had.
    pub time: Duration,
    /// What the client measured and its links counted.
    pub record: Record,
}

/// The results of images that were run together, and what they took.
pub struct BatchRun {
    /// What the program revealed of each image, in units.
    pub units: Vec<Vec<i64>>,
    /// From handing in the images to their results.
    pub time: Duration,
    /// What the client measured and its links counted.
    pub record: Record,
}

/// One image's result, and what it took.
pub struct ImageRun {
    /// What the program revealed, in units.
    pub units: Vec<i64>,
    /// What its preparation took, unless it was taken from a stock.
    pub preparation: Option<Preparation>,
    /// From handing in the image to its result.
    pub online: Duration,
    /// What the client measured of the online phase and its links counted.
    pub record: Record,
}

impl<L: Link> ClientSession<L> {
    /// Opens a session over fresh connections.
    ///
    /// # Errors
    /// If a party is gone, does not agree, or has not the plan that it claims; the other one is told.
    pub fn open(own: &Identity, server: L, helper: L) -> Result<Self, SessionError> {
        Self::open_patiently(own, server, helper, &mut |_, _| ())
    }

    /// The same; `waiting` is told of the party at which all places are taken, and of how many wait there
    /// before this client, as often as the party says so.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_patiently(
        own: &Identity,
        server: L,
        helper: L,
        waiting: &mut dyn FnMut(Party, u32),
    ) -> Result<Self, SessionError> {
        let start = Instant::now();
        let mut server = Metered::new(server);
        let mut helper = Metered::new(helper);
        match shake_hands(own, &mut server, &mut helper, waiting) {
            Ok((agreed, memory, key)) => {
                let mut traffic = server.take();
                traffic.merge(&helper.take());
                let time = start.elapsed();
                Ok(Self {
                    server,
                    helper,
                    agreed,
                    memory,
                    key,
                    numbers: Numbers::default(),
                    stock: VecDeque::new(),
                    setup: Setup { traffic, time },
                })
            }
            Err(error) => {
                let error = cause(error, &mut server, &mut helper);
                server.abort(error.reason());
                helper.abort(error.reason());
                Err(error)
            }
        }
    }

    /// The session's name.
    pub fn id(&self) -> SessionId {
        self.agreed.session()
    }

    /// The connections to server and helper, for what only their own kind can do.
    pub fn links_mut(&mut self) -> [&mut L; 2] {
        [self.server.get_mut(), self.helper.get_mut()]
    }

    /// What opening it cost.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Whether the server has memory for stocks and batches of these sizes, which it has said with its
    /// welcome. It refuses what is beyond, in the midst of other messages.
    ///
    /// # Errors
    /// If it has not: how many it has it for. The session goes on.
    pub fn expect_room(&self, party: &exec::Client, stock: u32, batch: u32) -> Result<(), SessionError> {
        let predicted = Memory::predict(party.plan().program()).server;
        let room = Room::new(self.memory, &predicted);
        room.for_stock(stock.max(batch))?;
        room.for_batch(batch, stock.max(batch))?;
        Ok(())
    }

    /// How many inferences are prepared and not yet run.
    pub fn stock(&self) -> usize {
        self.stock.len()
    }

    /// Prepares inferences, in addition to those in stock.
    ///
    /// # Errors
    /// If a party fails, or does not allow a stock as large as that. The session is over then: both
    /// parties are told, and no number is used again.
    pub fn prepare(&mut self, party: &mut exec::Client, count: u32) -> Result<Preparation, SessionError> {
        let preparation = self.try_prepare(party, count);
        preparation.map_err(|error| self.fail(error))
    }

    /// Runs images, given in units, together: each takes a prepared inference, and all of them take
    /// the round trips of one.
    ///
    /// # Errors
    /// If there are more of them than inferences in stock, a party fails, or does not allow a batch
    /// as large as that. The session is over then: both parties are told.
    pub fn run(&mut self, party: &mut exec::Client, images: &[&[i32]]) -> Result<BatchRun, SessionError> {
        let run = self.try_run(party, images);
        run.map_err(|error| self.fail(error))
    }

    /// Runs one image, given in units, and prepares an inference for it if none is in stock.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare) and [`run`](Self::run).
    pub fn infer(&mut self, party: &mut exec::Client, image: &[i32]) -> Result<ImageRun, SessionError> {
        let (preparation, mut run) = match self.stock() {
            0 => {
                let (preparation, run) = self.prepare_and_run(party, 1, &[image])?;
                (Some(preparation), run)
            }
            _ => (None, self.run(party, &[image])?),
        };
        Ok(ImageRun {
            units: run.units.pop().unwrap_or_default(),
            preparation,
            online: run.time,
            record: run.record,
        })
    }

    /// Prepares inferences, in addition to those in stock, and runs images at once: they follow upon the last
    /// share, without a round trip for the server's word that it has them all. It says so ahead of its first
    /// message.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare) and [`run`](Self::run).
    pub fn prepare_and_run(
        &mut self,
        party: &mut exec::Client,
        count: u32,
        images: &[&[i32]],
    ) -> Result<(Preparation, BatchRun), SessionError> {
        let both = self.try_prepare_and_run(party, count, images);
        both.map_err(|error| self.fail(error))
    }

    fn try_prepare_and_run(
        &mut self,
        party: &mut exec::Client,
        count: u32,
        images: &[&[i32]],
    ) -> Result<(Preparation, BatchRun), SessionError> {
        let (preparation, span) = self.prepare_at_two(party, count)?;
        let run = self.run_owed(party, images, Some(ready_for(span)))?;
        Ok((preparation, run))
    }

    /// Gives the session up, telling both parties why.
    pub fn abort(&mut self, reason: AbortReason) {
        self.server.abort(reason);
        self.helper.abort(reason);
    }

    /// Gives the session up for this error, or for the one that it followed from.
    fn fail(&mut self, error: SessionError) -> SessionError {
        let error = cause(error, &mut self.server, &mut self.helper);
        self.abort(error.reason());
        error
    }

    /// Ends the session. What is left in stock is wiped.
    ///
    /// # Errors
    /// If a party is gone already.
    pub fn end(mut self) -> Result<(), SessionError> {
        self.announce(Announcement::End)
    }

    fn try_prepare(&mut self, party: &mut exec::Client, count: u32) -> Result<Preparation, SessionError> {
        let start = Instant::now();
        let (mut preparation, span) = self.prepare_at_two(party, count)?;
        await_ready(&mut self.server, span)?;
        preparation.time = start.elapsed();
        preparation.record.traffic.merge(&self.take_traffic());
        Ok(preparation)
    }

    /// Prepares inferences, and waits for the helper's word alone that it has; the server still owes its own.
    fn prepare_at_two(
        &mut self,
        party: &mut exec::Client,
        count: u32,
    ) -> Result<(Preparation, Span), SessionError> {
        let start = Instant::now();
        let span = self.numbers.to_prepare(count);
        // Used up before the first message.
        let inferences = self.numbers.prepare(span)?;
        self.announce(Announcement::Prepare(span))?;
        let mut measured = Measured::default();
        let mut held = self.stock_bytes();
        for inference in inferences {
            let stock = party
                .offline(&self.key, inference, &mut self.server, &mut self.helper)
                .map_err(failed(inference, Phase::Offline))?;
            measured.merge(&with_stock(party.measured(), held));
            held += stock.bytes();
            self.stock.push_back(stock);
        }
        await_ready(&mut self.helper, span)?;
        let preparation = Preparation {
            time: start.elapsed(),
            record: self.record(Phase::Offline, span, measured),
        };
        Ok((preparation, span))
    }

    fn try_run(&mut self, party: &mut exec::Client, images: &[&[i32]]) -> Result<BatchRun, SessionError> {
        self.run_owed(party, images, None)
    }

    /// Runs images where the server still owes this word.
    fn run_owed(
        &mut self,
        party: &mut exec::Client,
        images: &[&[i32]],
        owed: Option<Tag>,
    ) -> Result<BatchRun, SessionError> {
        let start = Instant::now();
        let span = self
            .numbers
            .to_run(u32::try_from(images.len()).unwrap_or(u32::MAX));
        let inferences = self.numbers.run(span)?;
        if images.len() > self.stock.len() {
            // A preparation has failed before, and the session is over.
            return Err(AnnouncementError::NotPrepared {
                first: span.first,
                count: span.count,
                stock: self.stock.len() as u32,
            }
            .into());
        }
        let batch = self.stock.drain(..inferences.len()).collect();
        self.announce(Announcement::Run(span))?;
        let mut server = Owing {
            link: &mut self.server,
            owed,
        };
        let units = party
            .online_batch(&self.key, batch, images, &mut server)
            .map_err(failed(span.first, Phase::Online))?;
        let time = start.elapsed();
        await_ready(&mut self.helper, span)?;
        let measured = with_stock(party.measured(), self.stock_bytes());
        Ok(BatchRun {
            units,
            time,
            record: self.record(Phase::Online, span, measured),
        })
    }

    fn announce(&mut self, announcement: Announcement) -> Result<(), SessionError> {
        let next = self.numbers.run_so_far();
        for link in [&mut self.server, &mut self.helper] {
            announcement.send(link).map_err(lost(next))?;
        }
        Ok(())
    }

    fn stock_bytes(&self) -> u64 {
        self.stock.iter().map(ClientStock::bytes).sum()
    }

    fn record(&mut self, phase: Phase, span: Span, measured: Measured) -> Record {
        Record {
            phase,
            inferences: span.count,
            measured,
            traffic: self.take_traffic(),
        }
    }

    fn take_traffic(&mut self) -> Traffic {
        let mut traffic = self.server.take();
        traffic.merge(&self.helper.take());
        traffic
    }
}

/// Where one party has only lost another one, or closed without a word: what the other one says of it.
fn cause<L: Link>(error: SessionError, server: &mut Metered<L>, helper: &mut Metered<L>) -> SessionError {
    if !error.link_error().is_some_and(LinkError::is_vague) {
        return error;
    }
    for link in [server, helper] {
        match link.last_words() {
            Some(said) if !said.is_vague() => return SessionError::Told(said),
            _ => {}
        }
    }
    error
}

fn shake_hands<L: Link>(
    own: &Identity,
    server: &mut Metered<L>,
    helper: &mut Metered<L>,
    waiting: &mut dyn FnMut(Party, u32),
) -> Result<(Agreed, u32, StreamKey), SessionError> {
    let session = SessionId::random()?;
    let to_server = own.statement(Party::Server, session);
    let to_helper = own.statement(Party::Helper, session);
    // Both at once, and the helper's proof first: it has time to wait for the server, while the
    // server will want the helper.
    say_hello(server, &to_server)?;
    say_hello(helper, &to_helper)?;
    let secret = introduce(helper, own, &to_helper)?;
    // The client and the server draw no masks together: their secret is for the proof alone.
    introduce(server, own, &to_server)?;
    // The server is ready when it has agreed with the helper, the helper when it has heard of both.
    let memory = await_welcome(server, &to_server, &mut |n| waiting(Party::Server, n))?.memory();
    let agreed = await_welcome(helper, &to_helper, &mut |n| waiting(Party::Helper, n))?;
    Ok((agreed, memory, secret.stream_key()))
}

/// Waits until a party has done what was announced.
fn await_ready(link: &mut dyn Link, span: Span) -> Result<(), SessionError> {
    link.receive(ready_for(span), 0).map_err(lost(span.first))?;
    Ok(())
}

/// How a party says that it has done what was announced.
fn ready_for(span: Span) -> Tag {
    Tag::of_inference(span.first, FrameKind::Ready)
}

/// A link on which a frame without content comes first that nobody has waited for yet.
struct Owing<'a, L> {
    link: &'a mut Metered<L>,
    owed: Option<Tag>,
}

impl<L: Link> Link for Owing<'_, L> {
    fn peer(&self) -> &Peer {
        self.link.peer()
    }

    fn send(&mut self, tag: Tag, payload: Vec<u8>) -> Result<(), LinkError> {
        self.link.send(tag, payload)
    }

    fn flush(&mut self) -> Result<(), LinkError> {
        self.link.flush()
    }

    fn header(&mut self) -> Result<Header, LinkError> {
        if let Some(owed) = self.owed.take() {
            self.link.receive(owed, 0)?;
        }
        self.link.header()
    }

    fn body(&mut self, length: usize) -> Result<Vec<u8>, LinkError> {
        self.link.body(length)
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
