//! The handshake: statements first, then, if they agree, the two halves of a key.

use trefoil_ir::mpc::Party;
use zeroize::Zeroize;

use super::error::SessionError;
use super::statement::{Identity, SessionId, Statement, party_byte};
use crate::prg::{Seed, StreamKey};
use crate::wire::{AbortReason, FrameKind, Link, LinkError, Metered, Tag};

/// The proof that the two ends of a connection hold the same plan. Only the handshake makes one.
#[derive(Clone, Copy, Debug)]
pub struct Agreed {
    hello: Statement,
    answer: Party,
}

impl Agreed {
    /// The session.
    pub fn session(&self) -> SessionId {
        self.hello.session
    }

    fn new(hello: &Statement, answer: &Statement) -> Result<Self, SessionError> {
        Statement::agree(hello, answer)?;
        Ok(Self {
            hello: *hello,
            answer: answer.from.party,
        })
    }

    /// The key of these two ends: both contributions, and all that the two have agreed on.
    fn key(&self, opener: &Seed, answerer: &Seed) -> StreamKey {
        let parts: [&[u8]; 5] = [
            answerer.expose("both halves are hashed into the key"),
            &self.hello.session.0,
            &self.hello.from.digest.0,
            &self.hello.from.plan_id.0,
            &[party_byte(self.hello.from.party), party_byte(self.answer)],
        ];
        StreamKey::new(&opener.derive("trefoil 1 session key", &parts))
    }
}

/// Opens the handshake.
pub(super) fn say_hello(link: &mut dyn Link, hello: &Statement) -> Result<(), SessionError> {
    let sent = link.send(Tag::control(FrameKind::Hello), hello.encode());
    sent.and_then(|()| link.flush()).map_err(at(link))
}

/// Waits for the answer to [`say_hello`].
pub(super) fn await_welcome(link: &mut dyn Link, hello: &Statement) -> Result<Agreed, SessionError> {
    let welcome = (Tag::control(FrameKind::Welcome), Statement::BYTES);
    let refuse = (Tag::control(FrameKind::Refuse), Statement::BYTES);
    let (tag, payload) = link.receive_one_of(&[welcome, refuse]).map_err(at(link))?;
    let answer = statement(link, &payload)?;
    let agreed = Agreed::new(hello, &answer)?;
    if tag != welcome.0 || answer.session != hello.session {
        return Err(misbehaved(
            link,
            "a welcome to this session",
            "a refusal without a reason, or another session",
        ));
    }
    Ok(agreed)
}

/// A connection whose opener has said hello and agrees with this end; it awaits its welcome.
pub struct Greeted<L> {
    pub(super) link: Metered<L>,
    pub(super) agreed: Agreed,
    own: Statement,
}

impl<L: Link> Greeted<L> {
    /// Waits for a hello. An opener that does not agree is told so, with this end's statement.
    ///
    /// # Errors
    /// If no hello comes, or the two ends do not agree.
    pub fn new(link: L, own: Identity) -> Result<Self, SessionError> {
        let mut link = Metered::new(link);
        let hello = link.receive(Tag::control(FrameKind::Hello), Statement::BYTES);
        let hello = match hello
            .map_err(at(&link))
            .and_then(|bytes| statement(&link, &bytes))
        {
            Ok(hello) => hello,
            Err(error) => {
                link.abort(error.reason());
                return Err(error);
            }
        };
        let own = own.statement(hello.from.party, hello.session);
        match Agreed::new(&hello, &own) {
            Ok(agreed) => Ok(Self { link, agreed, own }),
            Err(error) => {
                // The statement says more than a code; the abort behind it closes politely.
                let _ = link.send(Tag::control(FrameKind::Refuse), own.encode());
                link.abort(error.reason());
                Err(error)
            }
        }
    }

    /// The connection, for what only its own kind can do.
    pub fn link_mut(&mut self) -> &mut L {
        self.link.get_mut()
    }

    /// Who opened the connection.
    pub fn opener(&self) -> Party {
        self.agreed.hello.from.party
    }

    /// The session that it wants to join.
    pub fn session(&self) -> SessionId {
        self.agreed.session()
    }

    /// Says that the session begins.
    pub(super) fn welcome(&mut self) -> Result<(), SessionError> {
        let sent = self
            .link
            .send(Tag::control(FrameKind::Welcome), self.own.encode());
        sent.and_then(|()| self.link.flush()).map_err(at(&self.link))
    }

    /// Gives the connection up.
    pub fn abort(mut self, reason: AbortReason) {
        self.link.abort(reason);
    }
}

/// The opener's side of the key exchange.
pub(super) fn open_key(link: &mut dyn Link, agreed: &Agreed) -> Result<StreamKey, SessionError> {
    let own = Seed::random()?;
    let other = swap(link, &own)?;
    Ok(agreed.key(&own, &other))
}

/// The answerer's side of the key exchange.
pub(super) fn answer_key(link: &mut dyn Link, agreed: &Agreed) -> Result<StreamKey, SessionError> {
    let own = Seed::random()?;
    let other = swap(link, &own)?;
    Ok(agreed.key(&other, &own))
}

fn swap(link: &mut dyn Link, own: &Seed) -> Result<Seed, SessionError> {
    let tag = Tag::control(FrameKind::Contribution);
    let half = own.expose("the peer needs this half of the key").to_vec();
    let received = link.send(tag, half).and_then(|()| link.receive(tag, Seed::LEN));
    let mut received = received.map_err(at(link))?;
    let mut half = [0; Seed::LEN];
    half.copy_from_slice(&received);
    received.zeroize();
    let seed = Seed::from_bytes(half);
    half.zeroize();
    Ok(seed)
}

fn statement(link: &dyn Link, payload: &[u8]) -> Result<Statement, SessionError> {
    Statement::decode(payload).ok_or_else(|| {
        misbehaved(
            link,
            "a statement of version, role and plan",
            "something unreadable",
        )
    })
}

fn misbehaved(link: &dyn Link, expected: &str, got: &str) -> SessionError {
    at(link)(LinkError::PeerMisbehaved {
        peer: link.peer().clone(),
        expected: expected.into(),
        got: got.into(),
    })
}

fn at(link: &dyn Link) -> impl FnOnce(LinkError) -> SessionError + use<> {
    let peer = link.peer().clone();
    move |source| SessionError::Handshake { peer, source }
}
