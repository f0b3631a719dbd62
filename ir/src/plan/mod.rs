//! Plans: what one party needs to execute a program, and no more.
//!
//! | part | client | server | helper |
//! | --- | --- | --- | --- |
//! | [`Public`]: program, plan id | yes | yes | yes |
//! | weights | F = W - B | W | seed of B |
//! | biases | | yes | |
//! | multipliers, levels of clips | yes | yes | |
//! | encoding of image and output, labels | yes | | |
//! | key shared with the client | | yes | yes |
//! | key shared with the server | yes | | yes |
//! | key shared with the helper | yes | yes | |
//!
//! A helper that got hold of a client's plan would have F and B, hence the weights: a client's
//! plan must never reach the helper. Plan files are therefore written for their owner's eyes only.
//!
//! [`Owner`] is the model owner's own record of a compilation, from which the emulator runs; it
//! holds everything and is shipped to nobody.

mod check;
mod codec;
mod encoding;
mod identity;
mod parts;
mod seed;

pub use check::PartError;
pub use codec::{FORMAT_VERSION, PlanError, Role, decode_role};
pub use encoding::{EncodeError, InputEncoding, OutputDecoding, Position};
pub use identity::{Digest, LOCAL_CLIENT, PairKeys, PlanId, plan_id, weight_seed};
pub use parts::{ClientPart, ClientPlan, HelperPart, HelperPlan, Owner, Public, ServerPart, ServerPlan};
pub use seed::SecretSeed;
