//! A list of clients from its text.

use serde::Deserialize;
use toml::Spanned;
use toml::value::Datetime;

use super::expiry::Expiry;
use super::fault::{ClientsFault, Fault};
use super::{Client, Clients, LONGEST, MOST_SESSIONS, is_client_name};
use crate::amount;

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sheet {
    #[serde(default)]
    client: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Entry {
    name: Spanned<String>,
    key: Spanned<String>,
    expires: Option<Spanned<Datetime>>,
    sessions: Option<Spanned<i64>>,
    inferences_per_day: Option<Spanned<i64>>,
    stock: Option<Spanned<String>>,
}

/// A place in a text: bytes from its beginning.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place(Option<usize>);

impl Place {
    pub(super) fn of(self, fault: Fault) -> Placed {
        Placed { at: self, fault }
    }
}

/// Where a client's name and key stand.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Places {
    pub(super) name: Place,
    pub(super) key: Place,
}

/// A fault and its place.
pub(super) struct Placed {
    at: Place,
    fault: Fault,
}

impl Placed {
    fn in_text(self, text: &str) -> ClientsFault {
        let before = self.at.0.and_then(|at| text.as_bytes().get(..at));
        let line = before.map(|before| 1 + before.iter().filter(|&&byte| byte == b'\n').count());
        ClientsFault {
            line,
            fault: self.fault,
        }
    }
}

impl From<Placed> for ClientsFault {
    fn from(placed: Placed) -> Self {
        placed.fault.into()
    }
}

impl Clients {
    /// The clients that a text lists.
    ///
    /// # Errors
    /// At the first thing that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, ClientsFault> {
        if text.len() as u64 > LONGEST {
            return Err(Fault::TooLong.into());
        }
        let clients = sheet(text).and_then(|sheet| {
            let clients: Result<Vec<_>, _> = sheet.client.into_iter().map(Entry::client).collect();
            Self::gather(clients?)
        });
        clients.map_err(|placed| placed.in_text(text))
    }
}

fn sheet(text: &str) -> Result<Sheet, Placed> {
    toml::from_str(text).map_err(|error| {
        let place = Place(error.span().map(|span| span.start));
        place.of(Fault::toml(error.message()))
    })
}

impl Entry {
    fn client(self) -> Result<(Client, Places), Placed> {
        let places = Places {
            name: place(&self.name),
            key: place(&self.key),
        };
        let name = self.name.into_inner();
        if !is_client_name(&name) {
            return Err(places.name.of(Fault::name(&name)));
        }
        let key = self.key.get_ref().parse();
        let key = key.map_err(|_| places.key.of(Fault::Key { name: name.clone() }))?;
        let mut client = Client::new(name, key);
        client.expires = self.expires.map(|it| expiry(&client.name, &it)).transpose()?;
        if let Some(sessions) = &self.sessions {
            let sessions = limit(&client.name, "sessions", sessions, MOST_SESSIONS.into())?;
            client.sessions = u32::try_from(sessions).unwrap_or(MOST_SESSIONS);
        }
        let per_day = self.inferences_per_day.as_ref();
        let per_day = per_day.map(|it| limit(&client.name, "inferences-per-day", it, u64::MAX));
        client.inferences_per_day = per_day.transpose()?;
        client.stock = self.stock.map(|it| stock(&client.name, &it)).transpose()?;
        Ok((client, places))
    }
}

fn place<T>(value: &Spanned<T>) -> Place {
    Place(Some(value.span().start))
}

fn limit(name: &str, limit: &'static str, value: &Spanned<i64>, most: u64) -> Result<u64, Placed> {
    let fault = match u64::try_from(*value.get_ref()) {
        Err(_) | Ok(0) => Fault::zero(name, limit),
        Ok(value) if value > most => Fault::too_large(name, limit, most),
        Ok(value) => return Ok(value),
    };
    Err(place(value).of(fault))
}

fn stock(name: &str, text: &Spanned<String>) -> Result<u64, Placed> {
    let fault = match amount::bytes(text.get_ref()) {
        Ok(0) => Fault::zero(name, "stock"),
        Ok(bytes) => return Ok(bytes),
        Err(_) => Fault::stock(name, text.get_ref()),
    };
    Err(place(text).of(fault))
}

fn expiry(name: &str, value: &Spanned<Datetime>) -> Result<Expiry, Placed> {
    let fault = || Fault::Expires {
        name: name.to_owned(),
        text: value.get_ref().to_string(),
    };
    Expiry::of(value.get_ref()).ok_or_else(|| place(value).of(fault()))
}
