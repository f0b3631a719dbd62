//! Keys for tests: one for each party, and one for a stranger.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use trefoil_ir::mpc::Party;

use super::{Channel, Credentials, Known, Purpose};
use crate::accounts::{Guest, Refusal};
use crate::keys::{PublicKey, SecretKey};
use crate::net::connect::Door;
use crate::net::pace::set_intervals;

/// A ring of keys, and whose they are.
#[derive(Default)]
pub(crate) struct Ring(pub(crate) HashMap<PublicKey, Party>);

impl Known for Ring {
    fn admit(&self, _key: &PublicKey) -> Result<Option<Guest>, Refusal> {
        Ok(None)
    }

    fn role_of(&self, key: &PublicKey) -> Option<Party> {
        self.0.get(key).copied()
    }
}

/// The credentials of all parties of a test, always the same within a process.
pub(crate) struct Keys {
    pub(crate) client: Credentials,
    pub(crate) server: Credentials,
    pub(crate) helper: Credentials,
    pub(crate) stranger: Credentials,
}

/// They are made once.
pub(crate) fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let fresh = || Credentials::new(&SecretKey::generate().unwrap()).unwrap();
        Keys {
            client: fresh(),
            server: fresh(),
            helper: fresh(),
            stranger: fresh(),
        }
    })
}

impl Keys {
    /// Those of a party.
    pub(crate) fn of(&self, party: Party) -> &Credentials {
        match party {
            Party::Client => &self.client,
            Party::Server => &self.server,
            Party::Helper => &self.helper,
        }
    }

    /// Whom a listening party knows: the client, and at the helper the server.
    pub(crate) fn known_to(&self, party: Party) -> Arc<dyn Known> {
        let mut ring = HashMap::from([(self.client.public(), Party::Client)]);
        if party == Party::Helper {
            ring.insert(self.server.public(), Party::Server);
        }
        Arc::new(Ring(ring))
    }

    /// How `from` reaches `party`.
    pub(crate) fn door(
        &self,
        from: &Credentials,
        party: Party,
        address: SocketAddr,
        purpose: Purpose,
    ) -> Door {
        let tls = from.opening(self.of(party).public(), purpose).unwrap();
        Door {
            party,
            address: address.to_string(),
            tls,
        }
    }

    /// An encrypted connection of the client's, to write anything to.
    pub(crate) fn channel(&self, party: Party, address: SocketAddr) -> Spoken {
        const LONG: Duration = Duration::from_secs(20);
        let stream = TcpStream::connect(address).unwrap();
        set_intervals(&stream, LONG).unwrap();
        let tls = self.door(&self.client, party, address, Purpose::Session).tls;
        let channel = Channel::opener(stream, &tls).unwrap();
        channel.shake_hands(Instant::now() + LONG, &|| false).unwrap();
        channel.socket().set_read_timeout(Some(LONG)).unwrap();
        channel.socket().set_write_timeout(Some(LONG)).unwrap();
        Spoken(channel)
    }
}

/// A connection on which a test says what it likes.
pub(crate) struct Spoken(pub(crate) Channel);

impl Read for Spoken {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.0).read(buffer)
    }
}

impl Write for Spoken {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&self.0).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&self.0).flush()
    }
}
