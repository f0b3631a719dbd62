//! The helper's session: two connections of one session id, two keys, and a stream of dealt
//! randomness to the client. After the handshake the helper receives announcements only, from the
//! client; the server's connection stays open, without a byte, as long as the server is there.

use std::ops::Range;
use std::time::Instant;

use trefoil_ir::mpc::Phase;

use super::announce::Announcement;
use super::error::{SessionError, failed, lost};
use super::greeting::Greeted;
use super::handshake::Agreed;
use super::numbers::Numbers;
use super::oversee::Overseer;
use super::server::{ready, tell};
use super::statement::SessionId;
use super::{Record, Setup};
use crate::exec::{self, Measured};
use crate::prg::StreamKey;
use crate::wire::{Link, Metered, Traffic};

/// An open session of the helper's.
pub struct HelperSession<L> {
    client: Metered<L>,
    server: Metered<L>,
    agreed: Agreed,
    key_ch: StreamKey,
    key_sh: StreamKey,
    setup: Setup,
    server_setup: Traffic,
}

impl<L: Link> HelperSession<L> {
    /// Opens the session of two connections that [`Pairing`](super::Pairing) brought together.
    ///
    /// # Errors
    /// If one of them fails; the other one is told.
    pub fn open(mut client: Greeted<L>, mut server: Greeted<L>) -> Result<Self, SessionError> {
        let start = Instant::now();
        // The server's first: the client goes on when it has the server's welcome.
        if let Err(error) = server.welcome().and_then(|()| client.welcome()) {
            client.abort(error.reason());
            server.abort(error.reason());
            return Err(error);
        }
        let traffic = client.link.take();
        let server_setup = server.link.take();
        Ok(Self {
            key_ch: client.secret.stream_key(),
            key_sh: server.secret.stream_key(),
            client: client.link,
            server: server.link,
            agreed: client.agreed,
            setup: Setup {
                traffic,
                time: start.elapsed(),
            },
            server_setup,
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

    /// What opening it cost on the client's connection.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// What it cost on the server's connection, on which nothing passes since.
    pub fn server_setup(&self) -> &Traffic {
        &self.server_setup
    }

    /// Deals for images until the client ends the session; `overseer` is asked before each stock, and told of it after.
    /// Returns how many images were run.
    ///
    /// # Errors
    /// If the client fails or breaks the protocol. It is told, and so is the server.
    pub fn serve(
        mut self,
        party: &mut exec::Helper,
        mut overseer: impl Overseer,
    ) -> Result<u32, SessionError> {
        let mut numbers = Numbers::default();
        loop {
            match self.follow(party, &mut numbers, &mut overseer) {
                Ok(true) => {}
                Ok(false) => return Ok(numbers.run_so_far()),
                Err(error) => {
                    tell(&mut self.server, error.reason());
                    self.client.abort(error.reason());
                    return Err(error);
                }
            }
        }
    }

    /// Does what the client announces next; `false` if that is the end.
    fn follow(
        &mut self,
        party: &mut exec::Helper,
        numbers: &mut Numbers,
        overseer: &mut impl Overseer,
    ) -> Result<bool, SessionError> {
        let announcement = Announcement::receive(&mut self.client);
        match announcement.map_err(lost(numbers.run_so_far()))? {
            Announcement::End => return Ok(false),
            Announcement::Prepare(span) => {
                overseer.allow(Phase::Offline, span.count)?;
                let done = self.prepare(party, numbers.prepare(span)?)?;
                overseer.done(done);
            }
            // Nothing to be done: the answer tells the client that the helper is there.
            Announcement::Run(span) => {
                let inferences = numbers.run(span)?;
                ready(&mut self.client, inferences.start)?;
            }
        }
        Ok(true)
    }

    /// Nothing of an inference stays here, so that any number of them may be wanted: they are dealt
    /// as fast as the client takes them.
    fn prepare(&mut self, party: &mut exec::Helper, inferences: Range<u32>) -> Result<Record, SessionError> {
        let mut measured = Measured::default();
        for inference in inferences.clone() {
            party
                .offline(&self.key_ch, &self.key_sh, inference, &mut self.client)
                .map_err(failed(inference, Phase::Offline))?;
            measured.merge(&party.measured());
        }
        ready(&mut self.client, inferences.start)?;
        Ok(Record {
            phase: Phase::Offline,
            inferences: inferences.end - inferences.start,
            measured,
            traffic: self.client.take(),
        })
    }
}
