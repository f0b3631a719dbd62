//! TLS 1.3 on every connection: both ends show an Ed25519 key (RFC 7250, raw public keys), and each
//! takes no other than those that it was told of beforehand.
//!
//! One version, one key exchange (X25519 with ML-KEM-768: what is recorded today stays closed), no
//! resumption, no early data, no certificate, no clock. Nothing is negotiated that somebody could
//! talk down.
//!
//! * [`Credentials`]: a party's key, made ready
//! * [`Known`]: whom an answerer takes
//! * [`channel`]: a connection
//! * [`fault`]: why one fails
//! * `verify`: the check of keys

pub mod channel;
pub mod fault;
mod verify;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};
use trefoil_ir::mpc::Party;

use crate::accounts::{Guest, Refusal};
use crate::keys::{PublicKey, SecretKey};
use verify::{Openers, Pinned};

pub use channel::Channel;
pub use fault::{TlsError, TlsFault};

/// What a connection is for. It is part of the handshake, so that no message of one can pass for one of
/// the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A session of inferences.
    Session,
    /// A look at whether and how well the party can be reached.
    Probe,
}

impl Purpose {
    /// All of them.
    pub const ALL: [Purpose; 2] = [Purpose::Session, Purpose::Probe];

    /// Its name in the handshake (ALPN, RFC 7301).
    pub(crate) fn protocol(self) -> &'static [u8] {
        match self {
            Purpose::Session => b"trefoil/5",
            Purpose::Probe => b"trefoil-probe/1",
        }
    }
}

/// Whom a listening party takes connections from.
pub trait Known: Send + Sync {
    /// Whose key this is; none if it is nobody's.
    fn role_of(&self, key: &PublicKey) -> Option<Party>;

    /// Takes one of the places of a client, within its limits; other parties have none.
    ///
    /// # Errors
    /// If there is no such client, or it has what it may have.
    fn admit(&self, key: &PublicKey) -> Result<Option<Guest>, Refusal>;
}

/// A party's own key, ready to open and to answer connections with.
#[derive(Clone)]
pub struct Credentials {
    key: Arc<CertifiedKey>,
    public: PublicKey,
    provider: Arc<CryptoProvider>,
}

impl Credentials {
    /// Makes a key ready.
    ///
    /// # Errors
    /// If the key cannot be used.
    pub fn new(key: &SecretKey) -> Result<Self, TlsError> {
        let public = key.public();
        let signing = aws_lc_rs::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(key.pkcs8()))?;
        let shown = CertificateDer::from(public.to_spki());
        Ok(Self {
            key: Arc::new(CertifiedKey::new(vec![shown], signing)),
            public,
            provider: Arc::new(provider()),
        })
    }

    /// The key that is shown to others.
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// How a connection to the holder of the key `pinned` is opened.
    ///
    /// # Errors
    /// If the library refuses what it is made of, which is the same in every build.
    pub fn opening(&self, pinned: PublicKey, purpose: Purpose) -> Result<Arc<ClientConfig>, TlsError> {
        let shown = AlwaysResolvesClientRawPublicKeys::new(Arc::clone(&self.key));
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13])?
            .dangerous() // What it calls dangerous is a check of its own: here that of the pinned key.
            .with_custom_certificate_verifier(Arc::new(Pinned(pinned)))
            .with_client_cert_resolver(Arc::new(shown));
        config.resumption = Resumption::disabled();
        config.enable_sni = false;
        config.enable_early_data = false;
        config.alpn_protocols = vec![purpose.protocol().to_vec()];
        Ok(Arc::new(config))
    }

    /// How connections of those whom `known` knows are answered.
    ///
    /// # Errors
    /// As [`opening`](Self::opening).
    pub fn answering(&self, known: Arc<dyn Known>) -> Result<Arc<ServerConfig>, TlsError> {
        let shown = AlwaysResolvesServerRawPublicKeys::new(Arc::clone(&self.key));
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(Arc::new(Openers(known)))
            .with_cert_resolver(Arc::new(shown));
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.max_early_data_size = 0;
        config.alpn_protocols = Purpose::ALL.map(|purpose| purpose.protocol().to_vec()).to_vec();
        Ok(Arc::new(config))
    }
}

/// The one way in which keys are agreed on, and the ciphers: the first of them everywhere but on
/// processors without AES.
fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![
            aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256,
            aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384,
            aws_lc_rs::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![aws_lc_rs::kx_group::X25519MLKEM768],
        ..aws_lc_rs::default_provider()
    }
}
