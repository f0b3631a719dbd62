//! What is wrong with a list of clients.

use std::fmt;
use std::io;
use std::path::PathBuf;

use trefoil_ir::text::printable;

use super::{LONGEST, LONGEST_NAME, MOST_CLIENTS};
use crate::amount::{counted, size};

/// Why there are no clients to be had from a file.
#[derive(Debug, thiserror::Error)]
pub enum ClientsError {
    /// It cannot be read.
    #[error(
        "cannot read the clients in `{}`: check that the file exists, is text, and this party may read it",
        path.display()
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// It says something that no file of clients says.
    #[error("the clients in `{}` cannot be taken", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: ClientsFault,
    },
}

/// What is wrong with a list of clients, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{fault}", Line(*line))]
pub struct ClientsFault {
    /// The line in the file, from 1, where there is one.
    pub line: Option<usize>,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with a list of clients.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No TOML, or not what is expected.
    #[error(
        "{0}; a client is a table `[[client]]` with `name` and `key`, and, if you like, `expires`, `sessions`, \
         `inferences-per-day` and `stock`"
    )]
    Toml(String),
    /// No name.
    #[error(
        "`{0}` is no name of a client: give it 1 to {LONGEST_NAME} letters (a-z, A-Z), digits and `.`, `_`, `-`, \
         a letter or digit first"
    )]
    Name(String),
    /// No key. What stands there is not shown: it may be a secret key.
    #[error(
        "the key of client `{name}` is none: it is written as `trefoil-party keygen` prints it, `ed25519:` and \
         43 letters"
    )]
    Key {
        /// The client.
        name: String,
    },
    /// Two clients of one name.
    #[error("two clients are called `{name}`: rename one")]
    SameName {
        /// Their name.
        name: String,
    },
    /// Two clients with one key.
    #[error(
        "client `{name}` has the key of client `{other}`: have one of them make a key of its own with \
         `trefoil-party keygen`"
    )]
    SameKey {
        /// The one that comes later.
        name: String,
        /// The one before it.
        other: String,
    },
    /// A client with a party's key.
    #[error(
        "client `{name}` has the key of {party}: nobody may have two roles, so have the client make a key of its \
         own with `trefoil-party keygen`"
    )]
    TwoRoles {
        /// The client.
        name: String,
        /// The party.
        party: String,
    },
    /// A limit that lets nothing through.
    #[error(
        "`{limit}` of client `{name}` must be 1 or more: leave the line out for no limit but what all have, or \
         remove the client to turn it away"
    )]
    Zero {
        /// The client.
        name: String,
        /// The key in the file.
        limit: &'static str,
    },
    /// A limit beyond reason.
    #[error("`{limit}` of client `{name}` is beyond reason: give at most {most}")]
    TooLarge {
        /// The client.
        name: String,
        /// The key in the file.
        limit: &'static str,
        /// The largest.
        most: u64,
    },
    /// A size that is none.
    #[error("`stock = \"{text}\"` of client `{name}` is no number of bytes: give one such as 500MB or 3GiB")]
    Stock {
        /// The client.
        name: String,
        /// What stands there.
        text: String,
    },
    /// An expiry that is no instant.
    #[error(
        "`expires = {text}` of client `{name}` is no time: give a date such as 2027-03-01 (to the end of that day, \
         UTC), a time with its offset such as 2027-03-01T12:00:00Z, or leave it out for a client that stays"
    )]
    Expires {
        /// The client.
        name: String,
        /// What stands there.
        text: String,
    },
    /// Clients whose lines cannot be told from others'.
    #[error(
        "the lines of `{names}` cannot be told from others': remove them by hand, and all else that is theirs"
    )]
    Inseparable {
        /// The clients.
        names: String,
    },
    /// A long file.
    #[error(
        "the file is longer than {}: remove clients that are none any more",
        size(LONGEST)
    )]
    TooLong,
    /// A long list.
    #[error(
        "there are more than {}: remove those that are none any more",
        counted(MOST_CLIENTS, "client")
    )]
    TooMany,
}

impl Fault {
    pub(super) fn toml(message: &str) -> Self {
        Self::Toml(shown(message, 200))
    }

    pub(super) fn name(name: &str) -> Self {
        Self::Name(shown(name, LONGEST_NAME))
    }

    pub(super) fn stock(name: &str, text: &str) -> Self {
        Self::Stock {
            name: name.to_owned(),
            text: shown(text, 20),
        }
    }

    pub(super) fn zero(name: &str, limit: &'static str) -> Self {
        let name = name.to_owned();
        Self::Zero { name, limit }
    }

    pub(super) fn too_large(name: &str, limit: &'static str, most: u64) -> Self {
        let name = name.to_owned();
        Self::TooLarge { name, limit, most }
    }
}

/// The beginning of a text, as a terminal may show it.
fn shown(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}...", printable(&text[..end])),
        None => printable(text).into_owned(),
    }
}

impl From<Fault> for ClientsFault {
    fn from(fault: Fault) -> Self {
        Self { line: None, fault }
    }
}

/// How a sentence about a line begins.
struct Line(Option<usize>);

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(line) => write!(f, "line {line}: "),
            None => Ok(()),
        }
    }
}
