//! What an operator's monitoring looks at, at a party that listens.
//!
//! * [`metrics`]: [`Metrics`], which sessions and loops count into, written as OpenMetrics; [`labels`]:
//!   what is told apart there; [`allowance`]: what clients have left today; [`session`]: one session's
//!   and one client's part of it
//! * [`health`]: a [`Heartbeat`] and what [`Readiness`] asks for
//! * [`http`]: [`Operations`], which serves them at an address of its own; `door`: who may come there,
//!   and for how long
//!
//! Nothing in here is a secret, or depends on what is in an image or in a weight: it counts sessions,
//! inferences, bytes and seconds, which whoever watches the network knows as well, and names clients as
//! the operator's own file does.

pub mod allowance;
mod door;
pub mod health;
pub mod http;
pub mod labels;
pub mod metrics;
pub mod session;

#[cfg(test)]
mod tests;

pub use allowance::Allowance;
pub use health::{Heartbeat, Hindrance, Readiness};
pub use http::{Operations, OperationsError};
pub use labels::{Direction, InferencePhase, Outcome, Refusal, SessionPhase, TlsFailure};
pub use metrics::Metrics;
pub use session::{ClientMetrics, RunningSession};
