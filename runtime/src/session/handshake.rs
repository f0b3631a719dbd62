//! The handshake: statements first; then, if they agree, both halves of a secret; then the proof
//! of both ends that they came to the same one, as only the holders of these two parties' plans
//! do. Nothing else is sent before that. Here is what both ends share and the opener's side; the
//! answerer's is `greeting`.

use trefoil_ir::mpc::Party;

use super::error::SessionError;
use super::statement::{Identity, SessionId, Statement, party_byte};
use crate::prg::{Seed, StreamKey};
use crate::wire::{FrameKind, Link, LinkError, Peer, Tag};

/// The two ends of a connection hold plans of one compilation. Only the handshake makes one.
#[derive(Clone, Copy, Debug)]
pub struct Agreed {
    session: SessionId,
    opener: Party,
    /// KiB that the answerer gives to the session.
    memory: u32,
}

impl Agreed {
    /// The session that the connection belongs to.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// What the answerer says that a session may take of its memory, in KiB.
    pub(super) fn memory(&self) -> u32 {
        self.memory
    }

    /// Who opened the connection.
    pub(super) fn opener(&self) -> Party {
        self.opener
    }

    pub(super) fn new(hello: &Statement, answer: &Statement) -> Result<Self, SessionError> {
        Statement::agree(hello, answer)?;
        Ok(Self {
            session: hello.session,
            opener: hello.from.party,
            memory: answer.memory,
        })
    }
}

/// What the two ends of a connection know and nobody else. The key that the two plans share stands
/// behind it, so that neither a third party nor who reads the halves comes to it.
pub(super) struct PairSecret(Seed);

impl PairSecret {
    /// Hashes the key in both plans, both halves, all that the two have agreed on, and what ties the secret
    /// to this connection ([`Link::bind`] of the hello).
    pub(super) fn new(
        shared: &Seed,
        hello: &Statement,
        tie: &[u8; 32],
        [opener, answerer]: [&Seed; 2],
    ) -> Self {
        let parts: [&[u8]; 7] = [
            opener.expose("both halves are hashed into the secret"),
            answerer.expose("both halves are hashed into the secret"),
            &hello.session.0,
            &hello.from.digest.0,
            &hello.from.plan_id.0,
            &[party_byte(hello.from.party), party_byte(hello.to)],
            tie,
        ];
        Self(shared.derive("trefoil 2 pair secret", &parts))
    }

    /// The key of the masks that the two draw.
    pub(super) fn stream_key(&self) -> StreamKey {
        StreamKey::new(&self.0.derive("trefoil 1 session key", &[]))
    }

    /// What this party sends to show that it knows the secret: another for each end, so that none
    /// can be sent back.
    pub(super) fn proof(&self, of: Party) -> blake3::Hash {
        let proof = self.0.derive("trefoil 1 proof", &[&[party_byte(of)]]);
        blake3::Hash::from_bytes(*proof.expose("a proof is sent, and tells nothing of the secret"))
    }
}

/// Opens the handshake.
pub(super) fn say_hello(link: &mut dyn Link, hello: &Statement) -> Result<(), SessionError> {
    let sent = link.send(Tag::control(FrameKind::Hello), hello.encode());
    sent.and_then(|()| link.flush()).map_err(at(link.peer()))
}

/// Bytes of a place in a queue.
const PLACE: usize = size_of::<u32>();

/// Says to an opener that it has to wait, and that so many do before it.
pub(crate) fn say_wait(link: &mut dyn Link, before: u32) -> Result<(), LinkError> {
    link.send(Tag::control(FrameKind::Wait), before.to_le_bytes().to_vec())?;
    link.flush()
}

/// Waits until the other end, once introduced, is ready for the session. As long as it says that all places
/// are taken, `waiting` is told how many wait before this party.
pub(super) fn await_welcome(
    link: &mut dyn Link,
    hello: &Statement,
    waiting: &mut dyn FnMut(u32),
) -> Result<Agreed, SessionError> {
    let wait = (Tag::control(FrameKind::Wait), PLACE);
    let welcome = (Tag::control(FrameKind::Welcome), Statement::BYTES);
    let payload = loop {
        let received = link.receive_one_of(&[welcome, wait]);
        let (tag, payload) = received.map_err(at(link.peer()))?;
        match <[u8; PLACE]>::try_from(payload.as_slice()) {
            Ok(before) if tag == wait.0 => waiting(u32::from_le_bytes(before)),
            _ => break payload,
        }
    };
    let answer = statement(link.peer(), &payload)?;
    let agreed = Agreed::new(hello, &answer)?;
    if answer.session != hello.session {
        return Err(misbehaved(
            link.peer(),
            "a welcome to this session",
            "one to another",
        ));
    }
    Ok(agreed)
}

/// Both ends show each other that they hold their plans, at the opener's end. Whoever stops here has
/// learnt nothing but two random numbers and the other's statement.
pub(super) fn introduce(
    link: &mut dyn Link,
    own: &Identity,
    hello: &Statement,
) -> Result<PairSecret, SessionError> {
    let peer = hello.to;
    let shared = own
        .key_with(peer, None)
        .ok_or(SessionError::Stranger { claimed: peer })?;
    let tie = link.bind(&hello.encode()).map_err(at(link.peer()))?;
    let half = Seed::random()?;
    let others = swap_halves(link, &half, hello)?;
    let secret = PairSecret::new(&shared, hello, &tie, [&half, &others]);

    let tag = Tag::control(FrameKind::Proof);
    let sent = link.send(tag, secret.proof(own.party()).as_bytes().to_vec());
    let received = sent.and_then(|()| link.receive(tag, blake3::OUT_LEN));
    let received = received.map_err(at(link.peer()))?;
    proves(&secret, peer, &received)?;
    Ok(secret)
}

/// Whether this is the proof of a peer that came to the same secret.
pub(super) fn proves(secret: &PairSecret, peer: Party, proof: &[u8]) -> Result<(), SessionError> {
    // Hashes are compared in constant time.
    match blake3::Hash::from_slice(proof) {
        Ok(proof) if proof == secret.proof(peer) => Ok(()),
        _ => Err(SessionError::Stranger { claimed: peer }),
    }
}

/// Waits for the answerer's half and sends this end's. Halves are not secret, only fresh. The
/// answerer's comes first: its refusal must be read before anything is sent after it.
fn swap_halves(link: &mut dyn Link, own: &Seed, hello: &Statement) -> Result<Seed, SessionError> {
    let half = (Tag::control(FrameKind::Contribution), Seed::LEN);
    let refuse = (Tag::control(FrameKind::Refuse), Statement::BYTES);
    let received = link.receive_one_of(&[half, refuse]);
    let (tag, payload) = received.map_err(at(link.peer()))?;
    if tag == refuse.0 {
        let answer = statement(link.peer(), &payload)?;
        Statement::agree(hello, &answer)?;
        return Err(misbehaved(
            link.peer(),
            "its half of a key",
            "a refusal without a reason",
        ));
    }
    let own = own.expose("the peer needs this half").to_vec();
    link.send(half.0, own).map_err(at(link.peer()))?;
    seed(&payload, link.peer())
}

/// The half that a peer has sent.
pub(super) fn seed(payload: &[u8], peer: &Peer) -> Result<Seed, SessionError> {
    let half = payload.try_into().map(Seed::from_bytes);
    half.map_err(|_| misbehaved(peer, "its half of a key", "something else"))
}

pub(super) fn statement(peer: &Peer, payload: &[u8]) -> Result<Statement, SessionError> {
    Statement::decode(payload).ok_or_else(|| {
        misbehaved(
            peer,
            "a statement of version, role and plan",
            "something unreadable",
        )
    })
}

pub(super) fn misbehaved(peer: &Peer, expected: &str, got: &str) -> SessionError {
    at(peer)(LinkError::PeerMisbehaved {
        peer: peer.clone(),
        expected: expected.into(),
        got: got.into(),
    })
}

/// An error during the handshake with this peer.
pub(super) fn at(peer: &Peer) -> impl FnOnce(LinkError) -> SessionError + use<> {
    let peer = peer.clone();
    move |source| SessionError::Handshake { peer, source }
}
