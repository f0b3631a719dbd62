//! Deployment: from the plans of a compilation to a folder for each party, with all that its administrator
//! needs to start it.
//!
//! ```text
//! DIR/deployment.toml      the owner's own record: addresses, public keys
//! DIR/server/              party.toml, party.key, clients.toml, plans/, trefoil-server.service, ...
//! DIR/helper/              the same of the helper
//! DIR/clients/NAME/        party.toml, client.key, a plan with keys of this client's own
//! ```
//!
//! * [`record`]: who takes part, as the owner keeps it
//! * [`template`]: the files that are filled in
//! * [`write`](mod@write): what is written where

pub mod record;
pub mod template;
pub mod write;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use trefoil_ir::plan::{ClientPlan, HelperPlan, ServerPlan};
use trefoil_runtime::keys::{KeyError, PublicKey};

pub use record::{Client, Place, Record};
pub use write::{Written, deploy};

/// The plans of one compilation, and their files as they are.
pub struct Plans {
    /// The client's.
    pub client: ClientPlan,
    /// The server's.
    pub server: ServerPlan,
    /// The helper's.
    pub helper: HelperPlan,
    /// The server's file.
    pub server_file: zeroize::Zeroizing<Vec<u8>>,
    /// The helper's file.
    pub helper_file: zeroize::Zeroizing<Vec<u8>>,
}

/// Why a deployment cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// The three plans do not belong together.
    #[error(
        "the three plans are not of one compilation: compile again into an empty folder, and deploy that"
    )]
    Apart,
    /// An address that is none.
    #[error("`{address}` is no address of the {party}: write host:port, as in {party}.example.org:{port}")]
    Address {
        /// Whose it should be.
        party: &'static str,
        /// What was given.
        address: String,
        /// A port, for the example.
        port: u16,
    },
    /// Two parties would be at one address.
    #[error("server and helper would both be at {address}: they are two parties, on two machines")]
    OneAddress {
        /// The address.
        address: String,
    },
    /// Something that is needed.
    #[error("a deployment needs {what}")]
    Missing {
        /// What to give.
        what: &'static str,
    },
    /// A client's name that is none.
    #[error(
        "`{name}` is no name of a client: take 1 to 64 letters, digits, `.`, `_` and `-`, a letter or digit first"
    )]
    Name {
        /// What was given.
        name: String,
    },
    /// Two parties would have one key.
    #[error(
        "{one} and {other} would have the same key {key}: no party plays two roles, and no two clients are one"
    )]
    OneKey {
        /// One of them.
        one: String,
        /// The other.
        other: String,
        /// The key.
        key: PublicKey,
    },
    /// A client that is there with another key.
    #[error(
        "the client `{name}` is deployed with the key {old}: give --remove {name} as well, if it is to have another"
    )]
    Other {
        /// The client.
        name: String,
        /// The key that it has.
        old: PublicKey,
    },
    /// A key where one is to be made.
    #[error(
        "`{}` is there already, of an earlier time: remove it, or give the client's public key with --client NAME=KEY",
        path.display()
    )]
    KeyThere {
        /// The file.
        path: PathBuf,
    },
    /// A client that is to go and is not there.
    #[error("there is no client `{name}` to be removed: deployment.toml lists those there are")]
    Nobody {
        /// What was given.
        name: String,
    },
    /// The folder is something else.
    #[error(
        "`{}` is there and holds no deployment: give a folder that is new or empty, or one that `trefoil deploy` made",
        path.display()
    )]
    Folder {
        /// The folder.
        path: PathBuf,
    },
    /// The record, or a list of clients, cannot be used.
    #[error("`{}` cannot be used", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A key cannot be made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A file cannot be written.
    #[error("cannot write `{}`: check that it and its folder can be written and have space", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
}
