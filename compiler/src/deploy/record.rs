//! Who takes part in a deployment: what its owner keeps, so that clients and models can be added later. It
//! holds public keys alone.

use std::path::Path;

use serde::{Deserialize, Serialize};
use trefoil_runtime::accounts::is_client_name;
use trefoil_runtime::keys::PublicKey;
use trefoil_runtime::net::address::is_address;

use super::DeployError;

/// Name of the record in the folder of a deployment.
pub(super) const FILE: &str = "deployment.toml";

/// A deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The server.
    pub server: Place,
    /// The helper.
    pub helper: Place,
    /// The clients.
    #[serde(rename = "client", default)]
    pub clients: Vec<Client>,
}

/// Where a party is, and its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Where others reach it: host and port.
    pub address: String,
    /// Its public key.
    pub key: PublicKey,
}

/// A client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// What server and helper call it.
    pub name: String,
    /// Its public key.
    pub key: PublicKey,
}

impl Record {
    /// The record in a folder; none if the folder is new or empty.
    ///
    /// # Errors
    /// If the folder is something else, or its record cannot be used.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>, DeployError> {
        let path = folder.join(FILE);
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| DeployError::Record {
            path: path.clone(),
            source,
        };
        match std::fs::read_to_string(&path) {
            Ok(text) => toml::from_str(&text)
                .map(Some)
                .map_err(|error| failed(Box::new(error))),
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(Box::new(error))),
            Err(_) => {
                let is_empty = std::fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none());
                match is_empty {
                    true => Ok(None),
                    false => Err(DeployError::Folder {
                        path: folder.to_owned(),
                    }),
                }
            }
        }
    }

    /// The text of the file.
    pub(super) fn to_text(&self) -> String {
        let body = toml::to_string(self).expect("names and keys can be written as TOML");
        format!(
            "# Who takes part, for whoever deploys: `trefoil deploy` reads and writes it. Public keys alone.\n\n{body}"
        )
    }

    /// Refuses addresses that are none, names that are none, and one key for two.
    pub(super) fn check(&self) -> Result<(), DeployError> {
        for (party, place, port) in [("server", &self.server, 7001), ("helper", &self.helper, 7002)] {
            if !is_address(&place.address) {
                return Err(DeployError::Address {
                    party,
                    address: place.address.clone(),
                    port,
                });
            }
        }
        if self.server.address == self.helper.address {
            return Err(DeployError::OneAddress {
                address: self.server.address.clone(),
            });
        }
        let parties = [("the server", self.server.key), ("the helper", self.helper.key)];
        let mut seen: Vec<(String, PublicKey)> = Vec::new();
        let clients = self
            .clients
            .iter()
            .map(|one| (format!("the client `{}`", one.name), one.key));
        for (name, key) in parties
            .map(|(name, key)| (name.to_owned(), key))
            .into_iter()
            .chain(clients)
        {
            if let Some((one, _)) = seen.iter().find(|(_, known)| *known == key) {
                return Err(DeployError::OneKey {
                    one: one.clone(),
                    other: name,
                    key,
                });
            }
            seen.push((name, key));
        }
        match self.clients.iter().find(|one| !is_client_name(&one.name)) {
            Some(one) => Err(DeployError::Name {
                name: one.name.clone(),
            }),
            None => Ok(()),
        }
    }
}
