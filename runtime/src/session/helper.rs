//! The helper's session: two connections of one session id, two keys, and a stream of dealt
//! randomness to the client. After the handshake the helper receives announcements only.

use std::time::Instant;

use trefoil_ir::mpc::Phase;

use super::error::SessionError;
use super::handshake::{Agreed, Greeted};
use super::server::begins;
use super::statement::SessionId;
use super::{ImageRecord, Setup};
use crate::exec;
use crate::prg::StreamKey;
use crate::wire::{FrameKind, Link, Metered, Tag, Traffic};

/// An open session of the helper's.
pub struct HelperSession<L> {
    client: Metered<L>,
    agreed: Agreed,
    key_ch: StreamKey,
    key_sh: StreamKey,
    next: u32,
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
        Ok(Self {
            key_ch: client.secret.stream_key(),
            key_sh: server.secret.stream_key(),
            client: client.link,
            agreed: client.agreed,
            next: 0,
            setup: Setup {
                traffic,
                time: start.elapsed(),
            },
            server_setup: server.link.take(),
        })
    }

    /// The session's name.
    pub fn id(&self) -> SessionId {
        self.agreed.session()
    }

    /// What opening it cost on the client's connection.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// What it cost on the server's connection, which is closed since.
    pub fn server_setup(&self) -> &Traffic {
        &self.server_setup
    }

    /// Deals for images until the client ends the session; `record` is called after each. Returns
    /// how many there were.
    ///
    /// # Errors
    /// If the client fails or breaks the protocol. It is told.
    pub fn serve(
        mut self,
        party: &mut exec::Helper,
        mut record: impl FnMut(ImageRecord),
    ) -> Result<u32, SessionError> {
        loop {
            match self.try_image(party) {
                Ok(Some(image)) => record(image),
                Ok(None) => return Ok(self.next),
                Err(error) => {
                    self.client.abort(error.reason());
                    return Err(error);
                }
            }
        }
    }

    fn try_image(&mut self, party: &mut exec::Helper) -> Result<Option<ImageRecord>, SessionError> {
        let inference = self.next;
        let lost = |source| SessionError::Link { inference, source };
        if !begins(&mut self.client, inference).map_err(lost)? {
            return Ok(None);
        }
        // Used up before the first message of the image.
        self.next = inference.checked_add(1).ok_or(SessionError::NumbersUsedUp)?;
        party
            .offline(&self.key_ch, &self.key_sh, inference, &mut self.client)
            .map_err(|source| SessionError::Exec {
                inference,
                phase: Phase::Offline,
                source: Box::new(source),
            })?;
        let ready = Tag::of_inference(inference, FrameKind::Ready);
        let sent = self.client.send(ready, Vec::new());
        sent.and_then(|()| self.client.flush()).map_err(lost)?;
        Ok(Some(ImageRecord {
            measured: party.measured(),
            traffic: self.client.take(),
        }))
    }
}
