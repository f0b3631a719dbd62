//! The server's session: it answers a client and opens its own connection to the helper.

use std::error::Error;
use std::time::Instant;

use trefoil_ir::mpc::{Party, Phase};

use super::error::SessionError;
use super::handshake::{Agreed, Greeted, await_welcome, introduce, say_hello};
use super::statement::{Identity, SessionId};
use super::{ImageRecord, Setup};
use crate::exec;
use crate::prg::StreamKey;
use crate::wire::{FrameKind, Link, LinkError, Metered, Tag, Traffic};

/// An open session of the server's.
pub struct ServerSession<L> {
    client: Metered<L>,
    agreed: Agreed,
    key: StreamKey,
    next: u32,
    setup: Setup,
}

impl<L: Link> ServerSession<L> {
    /// Answers a client: waits for its hello and proof, then calls `dial` for a connection to the helper.
    ///
    /// # Errors
    /// If the client does not agree, or the helper cannot be reached or does not agree. The client
    /// is told.
    pub fn accept<H: Link, E>(
        own: &Identity,
        client: L,
        dial: impl FnOnce() -> Result<H, E>,
    ) -> Result<Self, SessionError>
    where
        E: Error + Send + Sync + 'static,
    {
        let start = Instant::now();
        let mut client = Greeted::new(client, own)?;
        let (key, helped) = match join_helper(own, client.session(), dial) {
            Ok(joined) => joined,
            Err(error) => {
                client.abort(error.reason());
                return Err(error);
            }
        };
        client.welcome()?;
        let mut traffic = client.link.take();
        traffic.merge(&helped);
        Ok(Self {
            client: client.link,
            agreed: client.agreed,
            key,
            next: 0,
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

    /// What opening it cost.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Serves images until the client ends the session; `record` is called after each. Returns
    /// how many there were.
    ///
    /// # Errors
    /// If the client fails or breaks the protocol. It is told.
    pub fn serve(
        mut self,
        party: &mut exec::Server,
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

    fn try_image(&mut self, party: &mut exec::Server) -> Result<Option<ImageRecord>, SessionError> {
        let inference = self.next;
        let lost = |source| SessionError::Link { inference, source };
        if !begins(&mut self.client, inference).map_err(lost)? {
            return Ok(None);
        }
        // Used up before the first message of the image.
        self.next = inference.checked_add(1).ok_or(SessionError::NumbersUsedUp)?;
        let failed = |phase| {
            move |source| SessionError::Exec {
                inference,
                phase,
                source: Box::new(source),
            }
        };
        let stock = party
            .offline(inference, &mut self.client)
            .map_err(failed(Phase::Offline))?;
        let ready = Tag::of_inference(inference, FrameKind::Ready);
        let sent = self.client.send(ready, Vec::new());
        sent.and_then(|()| self.client.flush()).map_err(lost)?;
        party
            .online(&self.key, stock, &mut self.client)
            .map_err(failed(Phase::Online))?;
        // The last message must not wait for the next receive.
        self.client.flush().map_err(lost)?;
        Ok(Some(ImageRecord {
            measured: party.measured(),
            traffic: self.client.take(),
        }))
    }
}

/// Waits for the client: whether the image of this number begins, or the session ends.
pub(super) fn begins(client: &mut dyn Link, inference: u32) -> Result<bool, LinkError> {
    let begin = (Tag::of_inference(inference, FrameKind::Begin), 0);
    let end = (Tag::control(FrameKind::End), 0);
    client
        .receive_one_of(&[begin, end])
        .map(|(tag, _)| tag == begin.0)
}

/// Agrees with the helper on a key; the connection is of no use afterwards.
fn join_helper<H: Link, E>(
    own: &Identity,
    session: SessionId,
    dial: impl FnOnce() -> Result<H, E>,
) -> Result<(StreamKey, Traffic), SessionError>
where
    E: Error + Send + Sync + 'static,
{
    let helper = dial().map_err(|error| SessionError::HelperUnreachable(Box::new(error)))?;
    let mut helper = Metered::new(helper);
    let hello = own.statement(Party::Helper, session);
    let mut agree = || -> Result<StreamKey, SessionError> {
        say_hello(&mut helper, &hello)?;
        let secret = introduce(&mut helper, own, &hello)?;
        await_welcome(&mut helper, &hello)?;
        Ok(secret.stream_key())
    };
    match agree() {
        Ok(key) => Ok((key, helper.take())),
        Err(error) => {
            helper.abort(error.reason());
            Err(error)
        }
    }
}
