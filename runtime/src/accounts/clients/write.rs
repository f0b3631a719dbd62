//! A list of clients as its text.

use std::fmt::{Display, Write};

use super::{Client, Clients, SESSIONS};

/// What stands at the top of a file.
const HEAD: &str = "\
# The clients of this server or helper: who may connect, and how much each may take.
# To take a client's access away remove its table, to add one write another, then have the party reload
# the file (`systemctl reload`, or SIGHUP). A client that is removed loses its sessions, too.
#
#   name                what logs and metrics call it: letters, digits, `.`, `_` and `-`
#   key                 its public key, which `trefoil-party keygen` printed for the client
#   expires             the last day of its access (UTC), or a time such as 2030-12-31T18:00:00+01:00
#   sessions            sessions at once, running and waiting together
#   inferences-per-day  inferences in a day (UTC); without it as many as it likes
#   stock               bytes that what it prepares ahead may take, in each session; without it as many
#                       as the party allows anybody
";

impl Clients {
    /// The text of a file that lists these clients. What a client could have and has not stands there as
    /// a comment.
    pub fn to_toml(&self) -> String {
        let mut text = HEAD.to_owned();
        for client in self {
            // Writing to a String does not fail.
            let _ = push(&mut text, client);
        }
        text
    }
}

/// The lines of a client.
pub(super) fn entry(client: &Client) -> String {
    let mut text = String::new();
    let _ = push(&mut text, client);
    text
}

fn push(text: &mut String, client: &Client) -> std::fmt::Result {
    let Client { name, key, .. } = client;
    write!(text, "\n[[client]]\nname = \"{name}\"\nkey = \"{key}\"\n")?;
    option(text, "expires", client.expires.as_ref(), "2030-12-31")?;
    let sessions = (client.sessions != SESSIONS).then_some(client.sessions);
    option(text, "sessions", sessions, SESSIONS)?;
    option(text, "inferences-per-day", client.inferences_per_day, 10_000)?;
    let stock = client.stock.map(|bytes| format!("\"{bytes}\""));
    option(text, "stock", stock, "\"500MB\"")
}

fn option<T: Display>(
    text: &mut String,
    key: &str,
    value: Option<T>,
    example: impl Display,
) -> std::fmt::Result {
    match value {
        Some(value) => writeln!(text, "{key} = {value}"),
        None => writeln!(text, "# {key} = {example}"),
    }
}
