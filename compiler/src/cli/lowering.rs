//! How a network becomes integers.

use anyhow::{Result, bail};
use clap::ValueEnum;
use thiserror::Error;
use trefoil_ir::mpc::time::LinkModel;

use super::NUMBERS;
use crate::budget::Goal;
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
    /// Network between the parties: lan, wan, or bandwidth and round trip as in 100Mbit,20ms. Gates with signs are
    /// done in one round trip in place of two where that is quicker there, for more bytes. With a budget in seconds
    /// it is that budget's, if it is not given.
    #[arg(long, value_name = "LINK", help_heading = NUMBERS)]
    pub(super) link: Option<LinkModel>,
}

impl LoweringArguments {
    /// The link, which goes with no budget in bytes, nor with a layer's cap in bytes.
    pub(super) fn link<'g>(&self, goals: impl IntoIterator<Item = &'g Goal>) -> Result<Option<LinkModel>> {
        let bytes = goals.into_iter().find(|goal| goal.counts_bytes());
        if let (Some(_), Some(budget)) = (self.link, bytes) {
            bail!(
                "--link makes gates quicker for more bytes, and the budget {budget} counts bytes: leave one of them out"
            );
        }
        Ok(self.link)
    }
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
    fn a_link_goes_with_no_budget_in_bytes() {
        let arguments = LoweringArguments {
            relu6: Relu6::Exact,
            head_room: 1.0,
            link: Some(LinkModel::WAN),
        };
        let with = |budget: &str| arguments.link(&[budget.parse().unwrap()]);
        assert_eq!(with("6%").unwrap(), Some(LinkModel::WAN));
        let error = with("online-bytes=20MB").unwrap_err().to_string();
        assert!(
            error.contains("--link") && error.contains("online-bytes"),
            "{error}"
        );
        assert_eq!(
            LoweringArguments {
                link: None,
                ..arguments
            }
            .link(&["bytes=1MB".parse().unwrap()])
            .unwrap(),
            None
        );
    }

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
