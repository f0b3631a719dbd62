//! How a network becomes integers.

use clap::ValueEnum;
use thiserror::Error;

use super::NUMBERS;
use crate::lower::{HEAD_ROOM, LowerError};

/// How ReLU6 is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Relu6 {
    /// With both signs.
    Exact,
    /// As a ReLU, with one sign; the model should have been tuned for it.
    AsRelu,
}

#[derive(Debug, clap::Args)]
pub(super) struct LoweringArguments {
    /// How ReLU6 is computed.
    #[arg(long, value_enum, default_value = "exact", help_heading = NUMBERS)]
    pub(super) relu6: Relu6,
    /// Bits of room above the ranges that the calibration images show, 0 to 8.
    #[arg(
        long,
        value_name = "BITS",
        default_value_t = 1.0,
        allow_negative_numbers = true,
        value_parser = head_room,
        help_heading = NUMBERS
    )]
    pub(super) head_room: f64,
}

/// Refuses at once what lowering would refuse after the calibration.
fn head_room(text: &str) -> Result<f64, HeadRoomError> {
    let bits = text.trim().parse().map_err(|_| HeadRoomError::NoNumber)?;
    match HEAD_ROOM.contains(&bits) {
        true => Ok(bits),
        false => Err(HeadRoomError::OutOfRange(LowerError::HeadRoom(bits))),
    }
}

#[derive(Debug, Error)]
enum HeadRoomError {
    #[error("it is no number")]
    NoNumber,
    #[error(transparent)]
    OutOfRange(LowerError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_rooms_are_refused_before_any_work() {
        assert_eq!(
            ["0", "1.5", "8"].map(|text| head_room(text).ok()),
            [Some(0.0), Some(1.5), Some(8.0)]
        );
        for text in ["", "-0.1", "8.1", "nan", "inf", "one"] {
            assert!(head_room(text).is_err(), "{text}");
        }
    }
}
