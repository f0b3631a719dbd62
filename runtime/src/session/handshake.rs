//! The handshake: statements first; then, if they agree, both halves of a secret; then the proof
//! of both ends that they came to the same one, as only the holders of these two parties' plans
//! do. Nothing else is sent before that.

use trefoil_ir::mpc::Party;

use super::error::SessionError;
use super::statement::{Identity, SessionId, Statement, party_byte};
use crate::prg::{Seed, StreamKey};
use crate::wire::{AbortReason, FrameKind, Link, LinkError, Metered, Tag};

/// The two ends of a connection hold plans of one compilation. Only the handshake makes one.
#[derive(Clone, Copy, Debug)]
pub struct Agreed {
    session: SessionId,
    opener: Party,
}

impl Agreed {
    /// The session.
    pub fn session(&self) -> SessionId {
        self.session
    }

    fn new(hello: &Statement, answer: &Statement) -> Result<Self, SessionError> {
        Statement::agree(hello, answer)?;
        Ok(Self {
            session: hello.session,
            opener: hello.from.party,
        })
    }
}

/// What the two ends of a connection know and nobody else. The key that the two plans share stands
/// behind it, so that neither a third party nor who reads the halves comes to it.
pub(super) struct PairSecret(Seed);

impl PairSecret {
    /// Of the key in both plans, both halves, and all that the two have agreed on.
    fn new(shared: &Seed, hello: &Statement, opener: &Seed, answerer: &Seed) -> Self {
        let parts: [&[u8]; 6] = [
            opener.expose("both halves are hashed into the secret"),
            answerer.expose("both halves are hashed into the secret"),
            &hello.session.0,
            &hello.from.digest.0,
            &hello.from.plan_id.0,
            &[party_byte(hello.from.party), party_byte(hello.to)],
        ];
        Self(shared.derive("trefoil 1 pair secret", &parts))
    }

    /// The key of the masks that the two draw.
    pub(super) fn stream_key(&self) -> StreamKey {
        StreamKey::new(&self.0.derive("trefoil 1 session key", &[]))
    }

    /// What this party sends to show that it knows the secret: another for each end, so that none
    /// can be sent back.
    fn proof(&self, of: Party) -> blake3::Hash {
        let proof = self.0.derive("trefoil 1 proof", &[&[party_byte(of)]]);
        blake3::Hash::from_bytes(*proof.expose("a proof is sent, and tells nothing of the secret"))
    }
}

/// Opens the handshake.
pub(super) fn say_hello(link: &mut dyn Link, hello: &Statement) -> Result<(), SessionError> {
    let sent = link.send(Tag::control(FrameKind::Hello), hello.encode());
    sent.and_then(|()| link.flush()).map_err(at(link))
}

/// Waits until the other end, once introduced, is ready for the session.
pub(super) fn await_welcome(link: &mut dyn Link, hello: &Statement) -> Result<Agreed, SessionError> {
    let welcome = link.receive(Tag::control(FrameKind::Welcome), Statement::BYTES);
    let answer = statement(link, &welcome.map_err(at(link))?)?;
    let agreed = Agreed::new(hello, &answer)?;
    if answer.session != hello.session {
        return Err(misbehaved(link, "a welcome to this session", "one to another"));
    }
    Ok(agreed)
}

/// A connection whose opener has said hello and shown that it holds its plan; it awaits its
/// welcome.
pub struct Greeted<L> {
    pub(super) link: Metered<L>,
    pub(super) agreed: Agreed,
    pub(super) secret: PairSecret,
    own: Statement,
}

impl<L: Link> Greeted<L> {
    /// Waits for a hello and its proof. An opener that does not agree is told so, with this end's
    /// statement.
    ///
    /// # Errors
    /// If no hello comes, the two ends do not agree, or the opener has not the plan that it claims.
    pub fn new(link: L, own: &Identity) -> Result<Self, SessionError> {
        let mut link = Metered::new(link);
        match greet(&mut link, own) {
            Ok((agreed, secret, own)) => Ok(Self {
                link,
                agreed,
                secret,
                own,
            }),
            Err(error) => {
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
        self.agreed.opener
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

/// The answerer's side, up to the proof of both.
fn greet(link: &mut dyn Link, own: &Identity) -> Result<(Agreed, PairSecret, Statement), SessionError> {
    let hello = link.receive(Tag::control(FrameKind::Hello), Statement::BYTES);
    let hello = statement(link, &hello.map_err(at(link))?)?;
    let answer = own.statement(hello.from.party, hello.session);
    let agreed = Agreed::new(&hello, &answer).inspect_err(|_| {
        // The statement says more than a code; the abort behind it closes politely.
        let _ = link.send(Tag::control(FrameKind::Refuse), answer.encode());
    })?;
    let secret = introduce(link, own, &hello)?;
    Ok((agreed, secret, answer))
}

/// Both ends show each other that they hold their plans. Whoever stops here has learnt nothing but
/// two random numbers and the other's statement.
pub(super) fn introduce(
    link: &mut dyn Link,
    own: &Identity,
    hello: &Statement,
) -> Result<PairSecret, SessionError> {
    let opens = own.party() == hello.from.party;
    let peer = if opens { hello.to } else { hello.from.party };
    let stranger = || SessionError::Stranger { claimed: peer };
    let shared = own.key_with(peer).ok_or_else(stranger)?;
    let half = Seed::random()?;
    let others = swap_halves(link, &half, hello, opens)?;
    let (opener, answerer) = if opens { (&half, &others) } else { (&others, &half) };
    let secret = PairSecret::new(&shared, hello, opener, answerer);

    let tag = Tag::control(FrameKind::Proof);
    let sent = link.send(tag, secret.proof(own.party()).as_bytes().to_vec());
    let received = sent.and_then(|()| link.receive(tag, blake3::OUT_LEN));
    let received = blake3::Hash::from_slice(&received.map_err(at(link))?);
    // Hashes are compared in constant time.
    if received.is_ok_and(|proof| proof == secret.proof(peer)) {
        Ok(secret)
    } else {
        Err(stranger())
    }
}

/// Sends this end's half and waits for the other's. Halves are not secret, only fresh.
fn swap_halves(
    link: &mut dyn Link,
    own: &Seed,
    hello: &Statement,
    opens: bool,
) -> Result<Seed, SessionError> {
    let half = (Tag::control(FrameKind::Contribution), Seed::LEN);
    let refuse = (Tag::control(FrameKind::Refuse), Statement::BYTES);
    let own = own.expose("the peer needs this half").to_vec();
    // The answerer's first: its refusal must be read before anything is sent after it.
    let received = if opens {
        let received = link.receive_one_of(&[half, refuse]);
        received.and_then(|(tag, payload)| match tag == half.0 {
            true => link.send(half.0, own).map(|()| (tag, payload)),
            false => Ok((tag, payload)),
        })
    } else {
        link.send(half.0, own).and_then(|()| link.receive_one_of(&[half]))
    };
    let (tag, payload) = received.map_err(at(link))?;
    if tag == refuse.0 {
        let answer = statement(link, &payload)?;
        Statement::agree(hello, &answer)?;
        return Err(misbehaved(
            link,
            "its half of a key",
            "a refusal without a reason",
        ));
    }
    let mut others = [0; Seed::LEN];
    others.copy_from_slice(&payload);
    Ok(Seed::from_bytes(others))
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
