//! Bilinear interpolation with public coefficients of sum 2^16, as an accumulator. Local.

use serde::{Deserialize, Serialize};

use super::{Class, Effort, Local, OpError, Rule, invalid, unary};
use crate::geometry::{MAX_ELEMENTS, Resize, ResizeMode, Shape, Tap};
use crate::mpc::UNIT;
use crate::mpc::emulate::{Emulation, IntMap};
use crate::mpc::program::{ConstId, Constant};
use crate::mpc::types::{Kind, Type};
use crate::text::{AttrError, Attrs};

/// Bilinear interpolation as an accumulator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interpolate {
    /// Sizes and coordinates; the mode is bilinear.
    pub resize: Resize,
}

/// A summand of an interpolated pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coefficient {
    /// Pixel of the input map (row * width + column).
    pub pixel: usize,
    /// Factor in 2^-16: 65536 stands for 1.
    pub factor: u32,
}

/// Words of memory of an output pixel's list of coefficients.
const LIST_WORDS: usize = 26;

impl Interpolate {
    /// Words that the coefficients of all output pixels take; `None` if a `usize` does not hold their
    /// number.
    fn scratch_words(&self) -> Option<usize> {
        let [h, w] = self.resize.size;
        h.checked_mul(w)?.checked_mul(LIST_WORDS)
    }

    /// Summands of each output pixel in row-major order; the factors of one add up to 2^16.
    pub fn coefficients(&self, input: Shape) -> Vec<Vec<Coefficient>> {
        let rows = self.resize.taps(0, input.h);
        let columns = self.resize.taps(1, input.w);
        let pairs = rows.iter().flat_map(|r| columns.iter().map(move |c| (r, c)));
        pairs
            .map(|(row, column)| coefficients_of(row, column, input.w))
            .collect()
    }
}

/// Rounds the products of the weights so that they still add up to 2^16: the last summand takes
/// what is left.
fn coefficients_of(row: &[Tap], column: &[Tap], width: usize) -> Vec<Coefficient> {
    let mut coefficients = Vec::with_capacity(row.len() * column.len());
    let mut left = UNIT as u32;
    for r in row {
        for c in column {
            let rounded = (r.weight * c.weight * UNIT as f64).round() as u32;
            let factor = rounded.min(left);
            left -= factor;
            coefficients.push(Coefficient {
                pixel: r.index * width + c.index,
                factor,
            });
        }
    }
    if let Some(last) = coefficients.last_mut() {
        last.factor += left;
    }
    coefficients
}

impl Rule for Interpolate {
    const NAME: &'static str = "interpolate";

    fn infer(&self, args: &[&Type], _: &[Constant]) -> Result<Type, OpError> {
        let input = unary(args, &[Kind::Activation])?.shape;
        if self.resize.mode != ResizeMode::Bilinear {
            return invalid("the mode must be bilinear; a nearest-neighbour resize is a gather");
        }
        match self.resize.output(input) {
            Some(shape) => Ok(Type::accumulator(shape)),
            None => invalid(format!(
                "the size is empty or makes more than {MAX_ELEMENTS} elements, or a scale is not positive"
            )),
        }
    }

    fn attrs(&self) -> Attrs {
        self.resize.to_attrs()
    }

    fn from_attrs(attrs: &mut Attrs) -> Result<Self, AttrError> {
        Ok(Self {
            resize: Resize::read_attrs(attrs)?,
        })
    }

    fn constants(&self) -> Vec<ConstId> {
        Vec::new()
    }

    fn class(&self) -> Class<'_> {
        Class::Local(Local::Interpolate(self))
    }

    fn effort(&self, _: &[&Type], _: &Type) -> Effort {
        Effort {
            scratch_words: self.scratch_words(),
            ..Effort::NOTHING
        }
    }

    fn emulate(&self, _: &mut Emulation<'_>, args: &[&IntMap], ty: &Type) -> IntMap {
        let coefficients = self.coefficients(args[0].shape());
        let mut values = Vec::with_capacity(ty.shape.len());
        for channel in args[0].values().chunks(args[0].shape().plane()) {
            for summands in &coefficients {
                let products = summands.iter().map(|c| channel[c.pixel] * i64::from(c.factor));
                values.push(products.sum());
            }
        }
        IntMap::new(ty.shape, values)
    }
}
