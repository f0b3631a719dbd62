//! The answerer's side of the handshake, one frame after the other: whoever reads the frames, waiting
//! for each or looking after hundreds of connections at once, feeds them in and sends what comes out.

use trefoil_ir::mpc::Party;

use super::SESSION_MEMORY;
use super::error::SessionError;
use super::handshake::{Agreed, PairSecret, at, misbehaved, proves, seed, statement};
use super::numbers::kib;
use super::statement::{Identity, SessionId, Statement};
use crate::keys::PublicKey;
use crate::prg::Seed;
use crate::wire::{AbortReason, Count, FrameKind, Link, LinkError, Metered, Peer, Tag};

/// Which of the plans that a party holds a hello is about.
pub trait Hosts {
    /// This party with the plan of that compilation; if it has none, with another one, by which the opener
    /// is told what does not fit.
    fn host(&self, hello: &Statement) -> Identity;
}

impl Hosts for Identity {
    fn host(&self, _hello: &Statement) -> Identity {
        self.clone()
    }
}

/// What both ends of a connection derive from it.
pub type Bind<'a> = dyn Fn(&[u8]) -> Result<[u8; 32], LinkError> + 'a;

/// The connection under a handshake, as far as the handshake looks at it.
pub struct Far<'a> {
    /// Who is at its other end.
    pub peer: &'a Peer,
    /// The key that the opener has shown, and whose it is; none within one process.
    pub key: Option<(PublicKey, Party)>,
    /// [`Link::bind`].
    pub bind: &'a Bind<'a>,
}

/// A handshake as far as it has come at the answerer's end.
pub struct Greeting {
    state: State,
    /// The frames that have passed, in both directions.
    control: Count,
}

enum State {
    /// The hello is due.
    Hello,
    /// The opener's half is due.
    Half(Box<Met>, Seed),
    /// The opener's proof is due.
    Proof(Box<Met>, PairSecret),
    /// It has failed, or it has succeeded.
    Over,
}

/// The two ends have agreed.
struct Met {
    own: Identity,
    hello: Statement,
    answer: Statement,
    agreed: Agreed,
}

impl Met {
    fn opener(&self) -> Party {
        self.hello.from.party
    }
}

/// What follows from a frame.
pub enum Step {
    /// This is to be sent, and another frame is due.
    Answer(Tag, Vec<u8>),
    /// This is to be sent, and then the connection to be given up.
    Refuse(Tag, Vec<u8>, SessionError),
    /// The opener has proved that it holds its plan.
    Proven(Proven),
}

/// What a handshake came to, apart from its connection.
pub struct Proven {
    agreed: Agreed,
    secret: PairSecret,
    identity: Identity,
    own: Statement,
    control: Count,
}

impl Proven {
    /// Who opened the connection.
    pub fn opener(&self) -> Party {
        self.agreed.opener()
    }
}

impl Default for Greeting {
    fn default() -> Self {
        Self {
            state: State::Hello,
            control: Count::default(),
        }
    }
}

impl Greeting {
    /// The frame that is due and its length.
    pub fn expects(&self) -> (Tag, usize) {
        let (kind, length) = match self.state {
            State::Hello => (FrameKind::Hello, Statement::BYTES),
            State::Half(..) => (FrameKind::Contribution, Seed::LEN),
            State::Proof(..) | State::Over => (FrameKind::Proof, blake3::OUT_LEN),
        };
        (Tag::control(kind), length)
    }

    /// Goes on with the payload of the frame that was due.
    ///
    /// # Errors
    /// If it makes no sense, or shows that the opener has not the plan that it claims.
    pub fn take(&mut self, hosts: &dyn Hosts, payload: &[u8], far: &Far<'_>) -> Result<Step, SessionError> {
        self.count(payload.len());
        let peer = far.peer;
        let step = match std::mem::replace(&mut self.state, State::Over) {
            State::Hello => {
                let hello = statement(peer, payload)?;
                refuse_other_role(&hello, far)?;
                self.meet(hosts.host(&hello), hello)?
            }
            State::Half(met, half) => self.join(met, &half, &seed(payload, peer)?, far)?,
            State::Proof(met, secret) => {
                proves(&secret, met.opener(), payload)?;
                Step::Proven(Proven {
                    agreed: met.agreed,
                    secret,
                    identity: met.own,
                    own: met.answer,
                    control: self.control,
                })
            }
            State::Over => return Err(misbehaved(peer, "nothing more", "another frame")),
        };
        if let Step::Answer(_, payload) | Step::Refuse(_, payload, _) = &step {
            self.count(payload.len());
        }
        Ok(step)
    }

    fn meet(&mut self, own: Identity, hello: Statement) -> Result<Step, SessionError> {
        let answer = own.statement(hello.from.party, hello.session);
        let agreed = match Agreed::new(&hello, &answer) {
            Ok(agreed) => agreed,
            // The statement says more than a code.
            Err(error) => {
                let refuse = Tag::control(FrameKind::Refuse);
                return Ok(Step::Refuse(refuse, answer.encode(), error));
            }
        };
        let half = Seed::random()?;
        let payload = half.expose("the peer needs this half").to_vec();
        let met = Met {
            own,
            hello,
            answer,
            agreed,
        };
        self.state = State::Half(Box::new(met), half);
        Ok(Step::Answer(Tag::control(FrameKind::Contribution), payload))
    }

    fn join(
        &mut self,
        met: Box<Met>,
        half: &Seed,
        others: &Seed,
        far: &Far<'_>,
    ) -> Result<Step, SessionError> {
        let claimed = met.opener();
        let key = far.key.map(|(key, _)| key);
        let shared = met.own.key_with(claimed, key);
        let shared = shared.ok_or(SessionError::Stranger { claimed })?;
        let tie = (far.bind)(&met.hello.encode()).map_err(at(far.peer))?;
        let secret = PairSecret::new(&shared, &met.hello, &tie, [others, half]);
        let proof = secret.proof(met.own.party()).as_bytes().to_vec();
        self.state = State::Proof(met, secret);
        Ok(Step::Answer(Tag::control(FrameKind::Proof), proof))
    }

    fn count(&mut self, bytes: usize) {
        self.control += Count {
            messages: 1,
            bytes: bytes as u64,
        };
    }
}

/// A connection whose opener has said hello and shown that it holds its plan; it awaits its
/// welcome.
pub struct Greeted<L> {
    pub(super) link: Metered<L>,
    pub(super) agreed: Agreed,
    pub(super) secret: PairSecret,
    identity: Identity,
    own: Statement,
}

impl<L: Link> Greeted<L> {
    /// Waits for a hello and its proof. An opener that does not agree is told so, with this end's
    /// statement.
    ///
    /// # Errors
    /// If no hello comes, the two ends do not agree, or the opener has not the plan that it claims.
    pub fn new(mut link: L, own: &Identity) -> Result<Self, SessionError> {
        match greet(&mut link, own) {
            Ok(proven) => Ok(Self::over(link, proven)),
            Err(error) => {
                link.abort(error.reason());
                Err(error)
            }
        }
    }

    /// The connection on which a handshake came to this.
    pub fn over(link: L, proven: Proven) -> Self {
        let mut own = proven.own;
        if own.from.party == Party::Server {
            own.memory = kib(SESSION_MEMORY);
        }
        Self {
            link: Metered::resume(link, proven.control),
            agreed: proven.agreed,
            secret: proven.secret,
            identity: proven.identity,
            own,
        }
    }

    /// The same with another limit than [`SESSION_MEMORY`](super::SESSION_MEMORY) on what the session
    /// may take at this end, if that is the server. The opener is told it with the welcome.
    #[must_use]
    pub fn with_memory(mut self, bytes: u64) -> Self {
        self.own.memory = kib(bytes);
        self
    }

    /// That limit, in KiB.
    pub(super) fn memory(&self) -> u32 {
        self.own.memory
    }

    /// The connection to the greeted party.
    pub fn link(&self) -> &L {
        self.link.get_ref()
    }

    /// The connection, for what only its own kind can do.
    pub fn link_mut(&mut self) -> &mut L {
        self.link.get_mut()
    }

    /// Who opened the connection.
    pub fn opener(&self) -> Party {
        self.agreed.opener()
    }

    /// This party with the plan that the session is of.
    pub fn identity(&self) -> &Identity {
        &self.identity
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
        sent.and_then(|()| self.link.flush())
            .map_err(at(self.link.peer()))
    }

    /// Gives the connection up.
    pub fn abort(mut self, reason: AbortReason) {
        self.link.abort(reason);
    }
}

/// The answerer's side on a link, waiting for each frame.
fn greet(link: &mut dyn Link, own: &Identity) -> Result<Proven, SessionError> {
    let mut greeting = Greeting::default();
    loop {
        let (tag, length) = greeting.expects();
        let received = link.receive(tag, length);
        let payload = received.map_err(at(link.peer()))?;
        let far = Far {
            peer: link.peer(),
            // Whose key it is only a listener knows, which reads handshakes itself.
            key: None,
            bind: &|context| link.bind(context),
        };
        match greeting.take(own, &payload, &far)? {
            Step::Answer(tag, payload) => send(link, tag, payload).map_err(at(link.peer()))?,
            Step::Refuse(tag, payload, error) => {
                // The abort behind it closes politely.
                let _ = link.send(tag, payload);
                return Err(error);
            }
            Step::Proven(proven) => return Ok(proven),
        }
    }
}

/// Whoever has the key of one party plays no other.
fn refuse_other_role(hello: &Statement, far: &Far<'_>) -> Result<(), SessionError> {
    let claimed = hello.from.party;
    match far.key {
        Some((_, party)) if party != claimed => Err(SessionError::OtherRole { claimed, party }),
        _ => Ok(()),
    }
}

fn send(link: &mut dyn Link, tag: Tag, payload: Vec<u8>) -> Result<(), LinkError> {
    link.send(tag, payload)?;
    link.flush()
}
