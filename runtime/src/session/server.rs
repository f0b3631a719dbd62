//! The server's session: it answers a client and opens its own connection to the helper, which it
//! keeps, without a byte, for as long as the session lasts.

use std::collections::VecDeque;
use std::error::Error;
use std::time::Instant;

use trefoil_ir::mpc::memory::Memory;
use trefoil_ir::mpc::{Party, Phase};

use super::announce::{Announcement, Span};
use super::error::{SessionError, failed, lost};
use super::greeting::Greeted;
use super::handshake::{Agreed, await_welcome, introduce, say_hello, say_wait};
use super::numbers::{Numbers, Room};
use super::oversee::Overseer;
use super::statement::{Identity, SessionId};
use super::{Record, Setup};
use crate::exec::{self, Measured, ServerStock};
use crate::prg::StreamKey;
use crate::wire::{AbortReason, FrameKind, Link, Metered, Tag};

/// An open session of the server's.
pub struct ServerSession<L, H> {
    client: Metered<L>,
    helper: Metered<H>,
    agreed: Agreed,
    key: StreamKey,
    /// KiB.
    memory: u32,
    setup: Setup,
}

impl<L: Link, H: Link> ServerSession<L, H> {
    /// Answers a client: waits for its hello and proof, then goes on as [`open`](Self::open) does.
    ///
    /// # Errors
    /// If the client does not agree, or the helper cannot be reached or does not agree. The client
    /// is told.
    pub fn accept<E>(
        own: &Identity,
        client: L,
        dial: impl FnOnce() -> Result<H, E>,
    ) -> Result<Self, SessionError>
    where
        E: Error + Send + Sync + 'static,
    {
        Self::open(own, Greeted::new(client, own)?, dial)
    }

    /// Opens the session of a client that has proved who it is: calls `dial` for a connection to the
    /// helper.
    ///
    /// # Errors
    /// If the helper cannot be reached or does not agree. The client is told.
    pub fn open<E>(
        own: &Identity,
        mut client: Greeted<L>,
        dial: impl FnOnce() -> Result<H, E>,
    ) -> Result<Self, SessionError>
    where
        E: Error + Send + Sync + 'static,
    {
        let start = Instant::now();
        let session = client.session();
        // While all places of the helper are taken the client is to know that somebody is there.
        let mut waiting = |before| drop(say_wait(&mut client.link, before));
        let (key, mut helper) = match join_helper(own, session, dial, &mut waiting) {
            Ok(joined) => joined,
            Err(error) => {
                client.abort(error.reason());
                return Err(error);
            }
        };
        if let Err(error) = client.welcome() {
            tell(&mut helper, error.reason());
            return Err(error);
        }
        let memory = client.memory();
        let mut traffic = client.link.take();
        traffic.merge(&helper.take());
        Ok(Self {
            client: client.link,
            helper,
            agreed: client.agreed,
            key,
            memory,
            setup: Setup {
                traffic,
                time: start.elapsed(),
            },
        })
    }

    /// The session's name.
    pub fn id(&self) -> SessionId {
        self.agreed.session()
    }

    /// The connection to the client, for what only its own kind can do.
    pub fn link_mut(&mut self) -> &mut L {
        self.client.get_mut()
    }

    /// The connection to the helper, for what only its own kind can do.
    pub fn helper_mut(&mut self) -> &mut H {
        self.helper.get_mut()
    }

    /// What opening it cost.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Serves images until the client ends the session; `overseer` is asked before each stock and each
    /// batch. Returns how many images were run.
    ///
    /// # Errors
    /// If the client fails, breaks the protocol, or wants more memory than a session may take. It
    /// is told, and so is the helper.
    pub fn serve(
        mut self,
        party: &mut exec::Server,
        mut overseer: impl Overseer,
    ) -> Result<u32, SessionError> {
        let predicted = Memory::predict(party.plan().program()).server;
        let mut shelf = Shelf {
            numbers: Numbers::default(),
            stock: VecDeque::new(),
            room: Room::new(self.memory, &predicted),
        };
        loop {
            let followed = self.follow(party, &mut shelf, &mut overseer);
            overseer.stock(shelf.numbers.stock(), shelf.bytes());
            match followed {
                Ok(Some(done)) => overseer.done(done),
                Ok(None) => return Ok(shelf.numbers.run_so_far()),
                Err(error) => {
                    tell(&mut self.helper, error.reason());
                    self.client.abort(error.reason());
                    return Err(error);
                }
            }
        }
    }

    /// Does what the client announces next; nothing if that is the end.
    fn follow(
        &mut self,
        party: &mut exec::Server,
        shelf: &mut Shelf,
        overseer: &mut impl Overseer,
    ) -> Result<Option<Record>, SessionError> {
        let announcement = Announcement::receive(&mut self.client);
        match announcement.map_err(lost(shelf.numbers.run_so_far()))? {
            Announcement::Prepare(span) => {
                overseer.allow(Phase::Offline, span.count)?;
                self.prepare(party, shelf, span).map(Some)
            }
            Announcement::Run(span) => {
                overseer.allow(Phase::Online, span.count)?;
                self.run(party, shelf, span).map(Some)
            }
            Announcement::End => Ok(None),
        }
    }

    fn prepare(
        &mut self,
        party: &mut exec::Server,
        shelf: &mut Shelf,
        span: Span,
    ) -> Result<Record, SessionError> {
        let inferences = shelf.numbers.prepare(span)?;
        shelf.room.for_stock(shelf.numbers.stock())?;
        let mut measured = Measured::default();
        let mut held = shelf.bytes();
        for inference in inferences {
            let stock = party
                .offline(inference, &mut self.client)
                .map_err(failed(inference, Phase::Offline))?;
            measured.merge(&with_stock(party.measured(), held));
            held += stock.bytes();
            shelf.stock.push_back(stock);
        }
        ready(&mut self.client, span.first)?;
        Ok(self.record(Phase::Offline, span, measured))
    }

    fn run(
        &mut self,
        party: &mut exec::Server,
        shelf: &mut Shelf,
        span: Span,
    ) -> Result<Record, SessionError> {
        let stock = shelf.numbers.stock();
        let inferences = shelf.numbers.run(span)?;
        shelf.room.for_batch(span.count, stock)?;
        let batch: Vec<_> = shelf.stock.drain(..inferences.len()).collect();
        party
            .online_batch(&self.key, batch, &mut self.client)
            .map_err(failed(inferences.start, Phase::Online))?;
        // The last message must not wait for the next receive.
        self.client.flush().map_err(lost(inferences.start))?;
        let measured = with_stock(party.measured(), shelf.bytes());
        Ok(self.record(Phase::Online, span, measured))
    }

    fn record(&mut self, phase: Phase, span: Span, measured: Measured) -> Record {
        Record {
            phase,
            inferences: span.count,
            measured,
            traffic: self.client.take(),
        }
    }
}

/// What a session has in stock at the server.
struct Shelf {
    numbers: Numbers,
    /// One for each inference in stock, in the order of their numbers. Dropped with the session, and wiped then.
    stock: VecDeque<ServerStock>,
    room: Room,
}

impl Shelf {
    fn bytes(&self) -> u64 {
        self.stock.iter().map(ServerStock::bytes).sum()
    }
}

/// What was measured while so many bytes of other inferences were in stock.
pub(super) fn with_stock(mut measured: Measured, bytes: u64) -> Measured {
    measured.peak_memory += bytes;
    measured
}

/// Tells the client that what it announced from this inference on is done.
pub(super) fn ready(client: &mut dyn Link, first: u32) -> Result<(), SessionError> {
    let sent = client.send(Tag::of_inference(first, FrameKind::Ready), Vec::new());
    sent.and_then(|()| client.flush()).map_err(lost(first))
}

/// Gives the connection between server and helper up. Nothing is under way on it that would have to
/// be read first.
pub(super) fn tell(link: &mut dyn Link, reason: AbortReason) {
    // Whoever gives up has an error of its own to report.
    let _ = link
        .send(Tag::abort(reason), Vec::new())
        .and_then(|()| link.flush());
}

/// Agrees with the helper on a key. The connection stays, and shows that this party does, too.
fn join_helper<H: Link, E>(
    own: &Identity,
    session: SessionId,
    dial: impl FnOnce() -> Result<H, E>,
    waiting: &mut dyn FnMut(u32),
) -> Result<(StreamKey, Metered<H>), SessionError>
where
    E: Error + Send + Sync + 'static,
{
    let helper = dial().map_err(|error| SessionError::HelperUnreachable(Box::new(error)))?;
    let mut helper = Metered::new(helper);
    match key_with(&mut helper, own, session, waiting) {
        Ok(key) => Ok((key, helper)),
        Err(error) => {
            helper.abort(error.reason());
            Err(error)
        }
    }
}

/// Agrees on a key over a connection to the helper.
fn key_with<H: Link>(
    helper: &mut Metered<H>,
    own: &Identity,
    session: SessionId,
    waiting: &mut dyn FnMut(u32),
) -> Result<StreamKey, SessionError> {
    let hello = own.statement(Party::Helper, session);
    say_hello(helper, &hello)?;
    let secret = introduce(helper, own, &hello)?;
    await_welcome(helper, &hello, waiting)?;
    Ok(secret.stream_key())
}
