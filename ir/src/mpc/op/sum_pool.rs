//! Sums over windows times a multiplier that server and client know: an average pool. Local.

use serde::{Deserialize, Serialize};

use super::{Class, Effort, Local, OpError, Rule, constant, unary};
use crate::geometry::{Shape, Window, for_each_window};
use crate::mpc::emulate::{Emulation, IntMap};
use crate::mpc::program::{ConstId, ConstKind, Constant};
use crate::mpc::types::{Kind, Type};
use crate::text::{Attr, AttrError, Attrs};

/// Sums over windows as an accumulator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SumPool {
    /// Geometry; padding counts as zero.
    pub window: Window,
    /// One multiplier per output element (`[channels, height, width]`), since windows at the
    /// border may have another divisor.
    pub multiplier: ConstId,
}

impl Rule for SumPool {
    const NAME: &'static str = "sum_pool";

    fn infer(&self, args: &[&Type], constants: &[Constant]) -> Result<Type, OpError> {
        let input = unary(args, &[Kind::Activation])?.shape;
        let [h, w] = self.window.output(input.h, input.w)?;
        constant(
            constants,
            self.multiplier,
            ConstKind::Multiplier,
            &[input.c, h, w],
        )?;
        Ok(Type::accumulator(Shape::new(input.c, h, w)))
    }

    fn attrs(&self) -> Attrs {
        Attrs::new()
            .with("kernel", self.window.kernel)
            .with_unless([1, 1], "stride", self.window.stride)
            .with_unless([1, 1], "dilation", self.window.dilation)
            .with_unless([0; 4], "pads", self.window.pads)
            .with("multiplier", Attr::Constant(self.multiplier.0))
    }

    fn from_attrs(attrs: &mut Attrs) -> Result<Self, AttrError> {
        Ok(Self {
            window: Window {
                kernel: attrs.require("kernel")?,
                stride: attrs.optional("stride")?.unwrap_or([1, 1]),
                dilation: attrs.optional("dilation")?.unwrap_or([1, 1]),
                pads: attrs.optional("pads")?.unwrap_or([0; 4]),
            },
            multiplier: attrs.require("multiplier")?,
        })
    }

    fn constants(&self) -> Vec<ConstId> {
        vec![self.multiplier]
    }

    fn class(&self) -> Class<'_> {
        Class::Local(Local::SumPool(self))
    }

    fn effort(&self, _: &[&Type], _: &Type) -> Effort {
        Effort::NOTHING
    }

    fn emulate(&self, emulation: &mut Emulation<'_>, args: &[&IntMap], ty: &Type) -> IntMap {
        let multiplier = emulation.constant(self.multiplier);
        let mut values = Vec::with_capacity(ty.shape.len());
        for channel in args[0].values().chunks(args[0].shape().plane()) {
            for_each_window(&self.window, args[0].shape(), ty.shape, |taps| {
                let sum: i64 = taps.iter().map(|&i| channel[i]).sum();
                values.push(sum.wrapping_mul(i64::from(multiplier[values.len()])));
            });
        }
        IntMap::new(ty.shape, values)
    }
}
