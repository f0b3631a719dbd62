//! Connections between machines: the one module that knows sockets.
//!
//! * [`tls`]: encryption, and whose keys are taken; [`address`]: what addresses are
//! * [`tcp`]: a connection as a [`Link`](crate::wire::Link); `pace`: what ends its waits
//! * [`mod@connect`]: opens one, with patience for a party that is just starting
//! * [`listen`]: a listening socket; `service`: the loop of a party that has one, until told to stop;
//!   [`options`]: how it serves
//! * `unproven`: connections before their proof, `sessions`: places for those after it, `leaving`:
//!   connections that are given up
//! * `line`, `journal`: lines for people to read, of which no peer can cause more than a few
//! * [`post`]: what a listening party is; [`offer`]: its plans; [`circle`]: whom it takes;
//!   [`vitals`]: how it is; [`probe`]: how it looks from outside
//! * [`server`], [`helper`]: what a listening party does with a proven connection
//! * [`stop`]: the signals that end it

pub mod address;
pub mod circle;
pub mod connect;
mod control;
mod desk;
pub mod error;
pub mod helper;
mod journal;
mod leaving;
mod line;
pub mod listen;
pub mod offer;
pub mod options;
mod pace;
pub mod post;
pub mod probe;
pub mod server;
mod service;
mod sessions;
pub mod stop;
pub mod tcp;
pub mod tls;
mod unproven;
pub mod vitals;

#[cfg(test)]
mod tests;

pub use circle::Circle;
pub use connect::{Door, connect};
pub use error::NetError;
pub use line::{Figures, Level, Line, Whose};
pub use listen::Listener;
pub use offer::{Hosted, Offer};
pub use options::{QUEUE_TIME, SESSION_TIME, ServeOptions};
pub use post::Post;
pub use stop::{Reload, Stop};
pub use tcp::TcpLink;
pub use tls::{Channel, Credentials, Known, Purpose};
pub use vitals::Vitals;
