//! What the client does at the two ends of a program: image to units, units to prediction.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::geometry::Shape;
use crate::mpc::ACTIVATION_BOUND;
use crate::nn;
use crate::nn::eval::FeatureMap;
use crate::tail::{Prediction, Tail};

/// How the client turns its image into integers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputEncoding {
    /// Real value of one unit, per channel.
    pub unit: Vec<f64>,
}

/// Why an image cannot be encoded. Says where a value is at fault, never which value it is.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum EncodeError {
    /// The image has another shape than the plan expects.
    #[error(
        "the image has {found} values and the plan expects {expected}: resize it, or fix the preprocessing"
    )]
    Size {
        /// Number of the image's values.
        found: usize,
        /// Shape that the plan expects.
        expected: Shape,
    },
    /// A value is not finite.
    #[error("the image's value at {0} is not a number")]
    NotANumber(Position),
    /// A value leaves the range for which the plan was made.
    #[error(
        "the image's value at {0} is outside the range that the plan was calibrated for: check the preprocessing, \
         or compile with calibration data that covers it"
    )]
    OutOfRange(Position),
}

/// Where in an image a value stands, each number counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Channel of the image.
    pub channel: usize,
    /// Row of the channel's map.
    pub row: usize,
    /// Column of the channel's map.
    pub column: usize,
}

impl Position {
    /// The position of the value number `at` of an image of this shape.
    fn of(at: usize, shape: Shape) -> Self {
        let pixel = at % shape.plane();
        Self {
            channel: at / shape.plane(),
            row: pixel / shape.w,
            column: pixel % shape.w,
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { channel, row, column } = self;
        write!(f, "channel {channel}, row {row}, column {column}")
    }
}

impl InputEncoding {
    /// The image in units.
    ///
    /// # Errors
    /// If the image has another shape, or one of its values is not finite or out of range: the first
    /// such value.
    pub fn encode(&self, image: &[f32], shape: Shape) -> Result<Vec<i32>, EncodeError> {
        if image.len() != shape.len() || self.unit.len() != shape.c {
            return Err(EncodeError::Size {
                found: image.len(),
                expected: shape,
            });
        }
        let mut units = Vec::with_capacity(image.len());
        for (at, &value) in image.iter().enumerate() {
            let scaled = (f64::from(value) / self.unit[at / shape.plane()]).round();
            if !value.is_finite() {
                return Err(EncodeError::NotANumber(Position::of(at, shape)));
            }
            if scaled.abs() > ACTIVATION_BOUND as f64 {
                return Err(EncodeError::OutOfRange(Position::of(at, shape)));
            }
            units.push(scaled as i32);
        }
        Ok(units)
    }
}

/// How the client turns what it learns into the network's output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutputDecoding {
    /// Real value of one unit, per channel.
    pub unit: Vec<f64>,
    /// Linear operators without weights that the client runs in the clear behind the last gate: what
    /// they give are the logits.
    pub linear: Vec<nn::Op>,
    /// What the network makes of its logits.
    pub tail: Tail,
    /// Names of the classes.
    pub classes: Vec<String>,
}

impl OutputDecoding {
    /// Real values of the revealed units.
    pub fn decode(&self, units: &[i64], shape: Shape) -> Vec<f32> {
        let mut values = Vec::with_capacity(units.len());
        for (at, &count) in units.iter().enumerate() {
            let unit = self.unit[at / shape.plane()];
            values.push((count as f64 * unit) as f32);
        }
        values
    }

    /// The logits that the revealed values stand for.
    pub fn logits(&self, revealed: Vec<f32>, shape: Shape) -> FeatureMap {
        let mut map = FeatureMap::new(shape, revealed);
        for op in &self.linear {
            // Plans are only made and decoded with operators whose shapes fit.
            let Ok(shape) = op.infer(&[map.shape()]) else {
                break;
            };
            map = op.eval(&[&map], shape);
        }
        map
    }

    /// What one image comes to, from the revealed units.
    pub fn predict(&self, units: &[i64], shape: Shape) -> Prediction {
        let logits = self.logits(self.decode(units, shape), shape);
        self.tail.run(logits.values())
    }
}
