//! Secret keys, and the files that they are kept in: PKCS #8 (RFC 8410) as PEM, which other tools read, too.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use pem_rfc7468::LineEnding;
use zeroize::Zeroizing;

use super::public::PublicKey;

/// What stands around a key in its file.
const LABEL: &str = "PRIVATE KEY";

/// A file that is longer is not read to its end.
const LONGEST: u64 = 4096;

/// A party's or a client's secret key. It has no `Debug`, and is wiped when it is dropped.
#[derive(Clone)]
pub struct SecretKey {
    /// PKCS #8.
    der: Zeroizing<Vec<u8>>,
    public: PublicKey,
}

/// Why a key cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The system gives no random bytes.
    #[error("cannot make a key: the operating system gives no random bytes")]
    Random,
    /// The file cannot be read.
    #[error(
        "cannot read the key `{}`: `trefoil-party keygen -o FILE` makes one", path.display()
    )]
    Read {
        /// The key's file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error(
        "cannot write the key `{}`: no key is ever written over, so choose a name that is free in a folder that \
         you may write to",
        path.display()
    )]
    Write {
        /// The key's file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Others may read the file.
    #[error(
        "others may read the key `{0}`: run `chmod 600 {0}`, and make a new one if somebody has", path.display()
    )]
    Exposed {
        /// The key's file.
        path: PathBuf,
    },
    /// The file holds something else.
    #[error(
        "`{}` is not an Ed25519 key in PKCS #8 (PEM): `trefoil-party keygen -o FILE` makes one", path.display()
    )]
    NoKey {
        /// The key's file.
        path: PathBuf,
    },
}

impl SecretKey {
    /// A fresh key.
    ///
    /// # Errors
    /// If the operating system gives no random bytes.
    pub fn generate() -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::generate().map_err(|_| KeyError::Random)?;
        let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| KeyError::Random)?;
        let der = Zeroizing::new(der.as_ref().to_vec());
        Self::from_der(der).ok_or(KeyError::Random)
    }

    fn from_der(der: Zeroizing<Vec<u8>>) -> Option<Self> {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).ok()?;
        let public = pair.public_key().as_ref().try_into().ok()?;
        Some(Self {
            der,
            public: PublicKey::from_bytes(public),
        })
    }

    /// Reads a key's file.
    ///
    /// # Errors
    /// If it cannot be read, others may read it, or it holds no key.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let path = path.to_owned();
        let mut text = Zeroizing::new(String::new());
        let file = File::open(&path).and_then(|file| {
            let open = is_exposed(&file)?;
            (&file).take(LONGEST).read_to_string(&mut text)?;
            Ok(open)
        });
        match file {
            Err(source) if source.kind() == io::ErrorKind::InvalidData => Err(KeyError::NoKey { path }),
            Err(source) => Err(KeyError::Read { path, source }),
            Ok(true) => Err(KeyError::Exposed { path }),
            Ok(false) => Self::from_pem(&text).ok_or(KeyError::NoKey { path }),
        }
    }

    fn from_pem(text: &str) -> Option<Self> {
        let (label, der) = pem_rfc7468::decode_vec(text.as_bytes()).ok()?;
        let der = Zeroizing::new(der);
        (label == LABEL).then_some(())?;
        Self::from_der(der)
    }

    /// Writes the key to a file that was not there, for its owner alone.
    ///
    /// # Errors
    /// If the file exists, or cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), KeyError> {
        let failed = |source| KeyError::Write {
            path: path.to_owned(),
            source,
        };
        let text = pem_rfc7468::encode_string(LABEL, LineEnding::LF, &self.der);
        let text = Zeroizing::new(text.map_err(|error| failed(io::Error::other(error)))?);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path).map_err(failed)?;
        let written = file.write_all(text.as_bytes());
        written.and_then(|()| file.sync_all()).map_err(failed)
    }

    /// What others may know of it.
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// The key, to sign with.
    pub(crate) fn pkcs8(&self) -> &[u8] {
        &self.der
    }
}

/// Whether others than the owner may read or change a file.
#[cfg(unix)]
fn is_exposed(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt;
    Ok(file.metadata()?.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn is_exposed(_file: &File) -> io::Result<bool> {
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_reads_back_and_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("party.key");
        let key = SecretKey::generate().unwrap();
        key.write(&path).unwrap();
        assert_eq!(SecretKey::read(&path).unwrap().public(), key.public());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_ne!(SecretKey::generate().unwrap().public(), key.public());
        // Never written over.
        let error = SecretKey::generate().unwrap().write(&path).unwrap_err();
        assert!(matches!(error, KeyError::Write { .. }), "{error}");
        assert_eq!(SecretKey::read(&path).unwrap().public(), key.public());
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("party.key");
        SecretKey::generate().unwrap().write(&path).unwrap();
        for mode in [0o640, 0o604, 0o620] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let error = SecretKey::read(&path).map(drop).unwrap_err();
            assert!(matches!(error, KeyError::Exposed { .. }), "{mode:o}: {error}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("party.key");
        let key = SecretKey::generate().unwrap();
        key.write(&path).unwrap();
        let text = fs::read(&path).unwrap();
        let mut damaged = text.clone();
        damaged[60] ^= 1;
        let other =
            pem_rfc7468::encode_string("PUBLIC KEY", LineEnding::LF, &key.public().to_spki()).unwrap();
        for bytes in [
            &b""[..],
            b"\xff\xfe",
            &text[..40],
            other.as_bytes(),
            &[b'-'; 9000],
        ] {
            fs::write(&path, bytes).unwrap();
            let error = SecretKey::read(&path).map(drop).unwrap_err();
            assert!(matches!(error, KeyError::NoKey { .. }), "{error}");
        }
        // A damaged key is none, or another one: never the same.
        fs::write(&path, damaged).unwrap();
        if let Ok(read) = SecretKey::read(&path) {
            assert_ne!(read.public(), key.public());
        }
    }
}
