//! The client's session: it opens both connections and leads through the images.

use std::time::{Duration, Instant};

use trefoil_ir::mpc::{Party, Phase};

use super::error::SessionError;
use super::handshake::{Agreed, await_welcome, introduce, say_hello};
use super::statement::{Identity, SessionId};
use super::{ImageRecord, Setup};
use crate::exec;
use crate::prg::StreamKey;
use crate::wire::{AbortReason, FrameKind, Link, LinkError, Metered, Tag, Traffic};

/// An open session of the client's.
pub struct ClientSession<L> {
    server: Metered<L>,
    helper: Metered<L>,
    agreed: Agreed,
    key: StreamKey,
    next: u32,
    setup: Setup,
}

/// One image's result, and what it took.
pub struct ImageRun {
    /// What the program revealed, in units.
    pub units: Vec<i64>,
    /// From the announcement of the image until all three parties had done their offline part.
    pub offline: Duration,
    /// From there to the result.
    pub online: Duration,
    /// What the client measured and its links counted.
    pub record: ImageRecord,
}

impl<L: Link> ClientSession<L> {
    /// Opens a session over fresh connections.
    ///
    /// # Errors
    /// If a party is gone, does not agree, or has not the plan that it claims; the other one is told.
    pub fn open(own: &Identity, server: L, helper: L) -> Result<Self, SessionError> {
        let start = Instant::now();
        let (mut server, mut helper) = (Metered::new(server), Metered::new(helper));
        match shake_hands(own, &mut server, &mut helper) {
            Ok((agreed, key)) => {
                let mut traffic = server.take();
                traffic.merge(&helper.take());
                let time = start.elapsed();
                Ok(Self {
                    server,
                    helper,
                    agreed,
                    key,
                    next: 0,
                    setup: Setup { traffic, time },
                })
            }
            Err(error) => {
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

    /// What opening it cost.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Runs one image, given in units.
    ///
    /// # Errors
    /// If a party fails. The session is over then: both parties are told, and no number is used
    /// again.
    pub fn infer(&mut self, party: &mut exec::Client, image: &[i32]) -> Result<ImageRun, SessionError> {
        let run = self.try_infer(party, image);
        if let Err(error) = &run {
            self.abort(error.reason());
        }
        run
    }

    /// Gives the session up, telling both parties why.
    pub fn abort(&mut self, reason: AbortReason) {
        self.server.abort(reason);
        self.helper.abort(reason);
    }

    /// Ends the session.
    ///
    /// # Errors
    /// If a party is gone already.
    pub fn end(mut self) -> Result<(), SessionError> {
        self.announce(FrameKind::End, 0).map_err(link_error(self.next))
    }

    fn try_infer(&mut self, party: &mut exec::Client, image: &[i32]) -> Result<ImageRun, SessionError> {
        let inference = self.next;
        self.next = inference.checked_add(1).ok_or(SessionError::NumbersUsedUp)?;
        let failed = |phase| {
            move |source| SessionError::Exec {
                inference,
                phase,
                source: Box::new(source),
            }
        };

        let start = Instant::now();
        self.announce(FrameKind::Begin, inference)
            .map_err(link_error(inference))?;
        let stock = party
            .offline(&self.key, inference, &mut self.server, &mut self.helper)
            .map_err(failed(Phase::Offline))?;
        let ready = Tag::of_inference(inference, FrameKind::Ready);
        for link in [&mut self.server, &mut self.helper] {
            link.receive(ready, 0).map_err(link_error(inference))?;
        }
        let offline = start.elapsed();

        let start = Instant::now();
        let units = party
            .online(&self.key, stock, image, &mut self.server)
            .map_err(failed(Phase::Online))?;
        Ok(ImageRun {
            units,
            offline,
            online: start.elapsed(),
            record: ImageRecord {
                measured: party.measured(),
                traffic: self.take_traffic(),
            },
        })
    }

    fn announce(&mut self, kind: FrameKind, inference: u32) -> Result<(), LinkError> {
        for link in [&mut self.server, &mut self.helper] {
            link.send(Tag::of_inference(inference, kind), Vec::new())?;
            link.flush()?;
        }
        Ok(())
    }

    fn take_traffic(&mut self) -> Traffic {
        let mut traffic = self.server.take();
        traffic.merge(&self.helper.take());
        traffic
    }
}

fn shake_hands<L: Link>(
    own: &Identity,
    server: &mut Metered<L>,
    helper: &mut Metered<L>,
) -> Result<(Agreed, StreamKey), SessionError> {
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
    await_welcome(server, &to_server)?;
    let agreed = await_welcome(helper, &to_helper)?;
    Ok((agreed, secret.stream_key()))
}

fn link_error(inference: u32) -> impl Fn(LinkError) -> SessionError {
    move |source| SessionError::Link { inference, source }
}
