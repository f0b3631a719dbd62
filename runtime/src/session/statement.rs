//! What each end says of itself in a handshake.

use std::fmt;

use trefoil_ir::mpc::Party;
use trefoil_ir::plan::{ClientPlan, Digest, HelperPlan, LOCAL_CLIENT, PlanId, SecretSeed, ServerPlan};

use super::error::SessionError;
use crate::keys::PublicKey;
use crate::prg::{EntropyError, Seed};

/// Version of the messages between parties; other versions are refused.
pub const PROTOCOL_VERSION: u16 = 5;

const MAGIC: &[u8; 8] = b"TREFOIL\0";

/// Names a session among those of one server and helper. Drawn by the client; not a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionId(pub(super) [u8; 16]);

impl SessionId {
    /// A fresh one from the operating system.
    ///
    /// # Errors
    /// If the operating system gives no random bytes.
    pub fn random() -> Result<Self, EntropyError> {
        let seed = Seed::random()?;
        let public = seed.derive("trefoil 1 session id", &[]);
        let (id, _) = public
            .expose("a session id is public")
            .split_first_chunk()
            .expect("a seed is longer than a session id");
        Ok(Self(*id))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What a party says that it is and holds. Every part of it is public.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The party's role.
    pub party: Party,
    /// Hash of the public part of its plan.
    pub digest: Digest,
    /// Which compilation its plan is of.
    pub plan_id: PlanId,
}

/// A party with its plan: what it claims, and the keys with which it proves that.
#[derive(Clone)]
pub struct Identity {
    pub(super) claim: Claim,
    /// The keys that it shares with each of its two peers.
    pub(super) keys: [(Party, SecretSeed); 2],
}

macro_rules! identity_of {
    ($plan:ty, $party:ident, $($peer:ident: $key:ident),*) => {
        impl From<&$plan> for Identity {
            fn from(plan: &$plan) -> Self {
                Self {
                    claim: Claim {
                        party: Party::$party,
                        digest: plan.digest(),
                        plan_id: plan.plan_id(),
                    },
                    keys: [$((Party::$peer, plan.part.$key.clone())),*],
                }
            }
        }
    };
}
identity_of!(ClientPlan, Client, Server: with_server, Helper: with_helper);
identity_of!(ServerPlan, Server, Client: with_client, Helper: with_helper);
identity_of!(HelperPlan, Helper, Client: with_client, Server: with_server);

impl Identity {
    /// The party's role.
    pub fn party(&self) -> Party {
        self.claim.party
    }

    /// Which compilation its plan is of.
    pub fn plan_id(&self) -> PlanId {
        self.claim.plan_id
    }

    /// Whether both are the same party with the same plan.
    pub(crate) fn is(&self, other: &Identity) -> bool {
        self.claim == other.claim
    }

    /// What this party says to `to` in this session.
    pub fn statement(&self, to: Party, session: SessionId) -> Statement {
        Statement {
            version: PROTOCOL_VERSION,
            from: self.claim,
            to,
            session,
            memory: 0,
        }
    }

    /// The key that this party shares with `peer` alone; none with itself. Of clients each has another
    /// one, and this is the one of the client with this public key.
    pub(super) fn key_with(&self, peer: Party, client: Option<PublicKey>) -> Option<Seed> {
        let (_, key) = self.keys.iter().find(|(party, _)| *party == peer)?;
        Some(match peer {
            Party::Client => {
                let client = client.map_or(LOCAL_CLIENT, |client| *client.as_bytes());
                Seed::of_plan(&key.for_client(&client))
            }
            Party::Server | Party::Helper => Seed::of_plan(key),
        })
    }
}

/// What one end says of itself: the payload of hello, welcome and refuse. Its length is the same
/// in every version of the protocol, so that a newer peer is recognised as such.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Its version of the protocol.
    pub version: u16,
    /// Who it is.
    pub from: Claim,
    /// Whom it takes the other end for.
    pub to: Party,
    /// The session that the sender means.
    pub session: SessionId,
    /// In a server's welcome: KiB that it gives to the stock and the batch of a session, so that the
    /// client need not try. 0 in every other statement.
    pub memory: u32,
}

impl Statement {
    /// Bytes on the wire.
    pub const BYTES: usize = 96;

    /// The bytes on the wire: magic, version, roles, memory, digest, plan id, session id.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&self.version.to_le_bytes());
        bytes.extend_from_slice(&[party_byte(self.from.party), party_byte(self.to)]);
        bytes.extend_from_slice(&self.memory.to_le_bytes());
        bytes.extend_from_slice(&self.from.digest.0);
        bytes.extend_from_slice(&self.from.plan_id.0);
        bytes.extend_from_slice(&self.session.0);
        bytes
    }

    /// Reads a statement; `None` if these bytes are none.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk::<8>()?;
        let (version, rest) = rest.split_first_chunk::<2>()?;
        let (&[from, to], rest) = rest.split_first_chunk::<2>()?;
        let (memory, rest) = rest.split_first_chunk::<4>()?;
        let from = party_of(from)?;
        let memory = u32::from_le_bytes(*memory);
        if memory != 0 && from != Party::Server {
            return None;
        }
        let (digest, rest) = rest.split_first_chunk::<32>()?;
        let (plan_id, rest) = rest.split_first_chunk::<32>()?;
        let session = rest.try_into().ok()?;
        (magic == MAGIC).then_some(())?;
        Some(Self {
            version: u16::from_le_bytes(*version),
            from: Claim {
                party: from,
                digest: Digest(*digest),
                plan_id: PlanId(*plan_id),
            },
            to: party_of(to)?,
            session: SessionId(session),
            memory,
        })
    }

    /// Whether the opener's statement and the answer agree. Both ends call this with the same two
    /// statements, so both come to the same error.
    ///
    /// # Errors
    /// If versions, roles or plans do not fit each other.
    pub fn agree(hello: &Statement, answer: &Statement) -> Result<(), SessionError> {
        let one = hello.from.party;
        let other = answer.from.party;
        if hello.version != answer.version {
            return Err(SessionError::Versions {
                one,
                one_version: hello.version,
                other,
                other_version: answer.version,
            });
        }
        if hello.to != other || !serves(other, one) {
            return Err(SessionError::Roles {
                opener: one,
                wanted: hello.to,
                found: other,
            });
        }
        if hello.from.digest != answer.from.digest || hello.from.plan_id != answer.from.plan_id {
            return Err(SessionError::Plans {
                one,
                one_plan: short(&hello.from),
                other,
                other_plan: short(&answer.from),
            });
        }
        Ok(())
    }
}

/// Who answers whose hello.
fn serves(answerer: Party, opener: Party) -> bool {
    matches!(
        (opener, answerer),
        (Party::Client, Party::Server) | (Party::Client | Party::Server, Party::Helper)
    )
}

/// Enough of the plan's names to tell two apart: of the id where a program was compiled twice.
fn short(claim: &Claim) -> String {
    format!("{:.8}/{:.8}", claim.digest.to_string(), claim.plan_id.to_string())
}

pub(super) fn party_byte(party: Party) -> u8 {
    match party {
        Party::Client => 1,
        Party::Server => 2,
        Party::Helper => 3,
    }
}

fn party_of(byte: u8) -> Option<Party> {
    [Party::Client, Party::Server, Party::Helper]
        .into_iter()
        .find(|&party| party_byte(party) == byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> Statement {
        Statement {
            version: PROTOCOL_VERSION,
            from: Claim {
                party: Party::Client,
                digest: Digest([0xaa; 32]),
                plan_id: PlanId([0xbb; 32]),
            },
            to: Party::Server,
            session: SessionId([7; 16]),
            memory: 0,
        }
    }

    fn answer() -> Statement {
        let mut answer = hello();
        (answer.from.party, answer.to) = (Party::Server, Party::Client);
        answer
    }

    #[test]
    fn statements_read_back_and_nothing_else_does() {
        let bytes = hello().encode();
        assert_eq!(bytes.len(), Statement::BYTES);
        assert_eq!(Statement::decode(&bytes), Some(hello()));
        let memory = 0x0102_0304;
        let welcome = Statement { memory, ..answer() };
        assert_eq!(Statement::decode(&welcome.encode()), Some(welcome));
        assert_eq!(Statement::decode(&Statement { memory, ..hello() }.encode()), None);
        for length in 0..bytes.len() {
            assert_eq!(Statement::decode(&bytes[..length]), None);
        }
        for at in (0..8).chain(10..16) {
            let mut broken = bytes.clone();
            broken[at] ^= 0x80;
            assert_eq!(Statement::decode(&broken), None, "byte {at}");
        }
    }

    #[test]
    fn whatever_differs_is_named() {
        assert!(Statement::agree(&hello(), &answer()).is_ok());
        let message = |change: fn(&mut Statement)| {
            let mut other = answer();
            change(&mut other);
            Statement::agree(&hello(), &other).unwrap_err().to_string()
        };
        assert_eq!(
            message(|s| s.version = 9),
            "the client speaks version 5 of the protocol and the server version 9: \
             install the same version of this program at all parties"
        );
        assert_eq!(
            message(|s| s.from.party = Party::Helper),
            "the client wanted the server and reached the helper: check the addresses"
        );
        let plans = "the client's plan (aaaaaaaa/bbbbbbbb) and the server's";
        assert!(message(|s| s.from.digest.0[0] = 1).starts_with(plans));
        assert!(message(|s| s.from.plan_id.0[0] = 1).starts_with(plans));
    }

    #[test]
    fn nobody_opens_a_connection_to_a_client() {
        let mut hello = answer();
        hello.to = Party::Client;
        let mut client = self::hello();
        client.to = Party::Server;
        assert!(Statement::agree(&hello, &client).is_err());
    }

    #[test]
    fn session_ids_differ() {
        assert_ne!(SessionId::random().unwrap(), SessionId::random().unwrap());
    }
}
