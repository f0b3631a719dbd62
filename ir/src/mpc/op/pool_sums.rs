//! Patch sums of window sums times a multiplier that server and client know: of a mean, or (a window
//! of one pixel) of an activation that is lifted. The server adds up x - a, the client a; the
//! helper's share is zero. No message.

use serde::{Deserialize, Serialize};

use super::{Class, Effort, Local, OpError, Rule, constant, unary};
use crate::geometry::{Shape, Window};
use crate::mpc::emulate::{Emulation, IntMap};
use crate::mpc::patch_sums::{Reach, SumList};
use crate::mpc::program::{ConstId, ConstKind, Constant};
use crate::mpc::types::{Kind, Type};
use crate::text::{Attr, AttrError, Attrs};

/// Patch sums of an activation, or of a pool of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PoolSums {
    /// Geometry; padding counts as zero.
    pub window: Window,
    /// One multiplier per entry.
    pub multiplier: ConstId,
    /// Which channels are summed over which patches.
    pub sums: SumList,
}

impl PoolSums {
    /// Rows and columns of the pool's map, if the window fits the operand.
    pub fn map(&self, input: Shape) -> Option<[usize; 2]> {
        self.window.output(input.h, input.w).ok()
    }

    /// Words that are written on the way to the sums; `None` if a `usize` does not hold their number.
    fn scratch_words(&self, input: Shape) -> Option<usize> {
        self.sums.scratch_words(&self.window, input, self.map(input)?)
    }
}

impl Rule for PoolSums {
    const NAME: &'static str = "pool_sums";

    fn infer(&self, args: &[&Type], constants: &[Constant]) -> Result<Type, OpError> {
        let input = unary(args, &[Kind::Activation])?.shape;
        let [h, w] = self.window.output(input.h, input.w)?;
        let entries = self.sums.patches.len();
        constant(constants, self.multiplier, ConstKind::Multiplier, &[entries])?;
        let vector = self.sums.vector(Shape::new(input.c, h, w))?;
        Ok(Type::accumulator(vector))
    }

    fn attrs(&self) -> Attrs {
        let attrs = Attrs::new()
            .with("multiplier", Attr::Constant(self.multiplier.0))
            .with("of", self.sums.channels.clone())
            .with("patches", self.sums.patches.clone())
            .with_unless([1, 1], "kernel", self.window.kernel);
        self.window.add_attrs(attrs)
    }

    fn from_attrs(attrs: &mut Attrs) -> Result<Self, AttrError> {
        Ok(Self {
            multiplier: attrs.require("multiplier")?,
            sums: SumList {
                channels: attrs.require("of")?,
                patches: attrs.require("patches")?,
            },
            window: Window::read_attrs(attrs.optional("kernel")?.unwrap_or([1, 1]), attrs)?,
        })
    }

    fn constants(&self) -> Vec<ConstId> {
        vec![self.multiplier]
    }

    fn class(&self) -> Class<'_> {
        Class::Local(Local::PoolSums(self))
    }

    fn effort(&self, args: &[&Type], _: &Type) -> Effort {
        Effort {
            scratch_words: self.scratch_words(args[0].shape),
            ..Effort::NOTHING
        }
    }

    fn emulate(&self, emulation: &mut Emulation<'_>, args: &[&IntMap], ty: &Type) -> IntMap {
        let input = args[0].shape();
        let [h, w] = self.map(input).unwrap_or_default();
        let output = Shape::new(input.c, h, w);
        let multiplier = emulation.constant(self.multiplier);
        let mut values = Vec::with_capacity(ty.shape.len());
        for ((channel, patch), &m) in self.sums.iter().zip(multiplier) {
            let reach = Reach::new(&self.window, input, output, patch);
            let patches = patch.signs(h, w);
            let boxed = reach.box_sums(args[0].channel(channel));
            for p in 0..patches {
                let sum: i64 = boxed.iter().skip(p).step_by(patches).sum();
                values.push(sum.wrapping_mul(i64::from(m)));
            }
        }
        IntMap::new(ty.shape, values)
    }
}
