//! TCP: the one module that knows sockets.
//!
//! * [`address`]: which addresses are allowed (loopback alone, until links are encrypted)
//! * [`tcp`]: a connection as a [`Link`](crate::wire::Link)
//! * [`mod@connect`]: opens one, with patience for a party that is just starting
//! * [`listen`]: accepts them, each in a thread of its own, until told to stop
//! * [`server`], [`helper`]: what a listening party does with a connection
//! * [`stop`]: the signals that end it

pub mod address;
pub mod connect;
pub mod error;
pub mod helper;
pub mod listen;
pub mod server;
pub mod stop;
pub mod tcp;

#[cfg(test)]
mod tests;

pub use connect::connect;
pub use error::NetError;
pub use listen::{Listener, ServeOptions};
pub use stop::Stop;
pub use tcp::TcpLink;
