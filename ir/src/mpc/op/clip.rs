//! Clip on a truncated accumulator: y = b0 z - b1 (z - h), the signs on one opening
//! where they share patches.

use serde::{Deserialize, Serialize};

use super::block_relu::check_patches;
use super::{OpError, Rule, constant, unary};
use crate::mpc::emulate::{Emulation, IntMap};
use crate::mpc::gate::{self, Group};
use crate::mpc::message::Message;
use crate::mpc::program::{ConstId, ConstKind, Constant};
use crate::mpc::types::{Kind, Type};
use crate::patch::Patches;
use crate::text::{Attr, AttrError, Attrs};

/// Clip to [0, level].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Clip {
    /// The upper limit in units, per channel.
    pub level: ConstId,
    /// Patches of the sign of z.
    pub lower: Patches,
    /// Patches of the sign of z - level.
    pub upper: Patches,
}

impl Rule for Clip {
    const NAME: &'static str = "clip";

    fn infer(&self, args: &[&Type], constants: &[Constant]) -> Result<Type, OpError> {
        let shape = unary(args, &[Kind::Truncated])?.shape;
        check_patches(&self.lower, shape)?;
        check_patches(&self.upper, shape)?;
        constant(constants, self.level, ConstKind::Level, &[shape.c])?;
        Ok(Type::activation(shape))
    }

    fn attrs(&self) -> Attrs {
        Attrs::new()
            .with("level", Attr::Constant(self.level.0))
            .with("lower", self.lower.clone())
            .with("upper", self.upper.clone())
    }

    fn from_attrs(attrs: &mut Attrs) -> Result<Self, AttrError> {
        Ok(Self {
            level: attrs.require("level")?,
            lower: attrs.require("lower")?,
            upper: attrs.require("upper")?,
        })
    }

    fn messages(&self, args: &[&Type], _: &Type) -> Vec<Message> {
        self.gate_groups(args[0])
            .map(|g| gate::messages(&g))
            .unwrap_or_default()
    }

    fn gate_groups(&self, arg: &Type) -> Option<Vec<Group>> {
        Some(gate::groups(&self.lower, Some(&self.upper), arg.shape))
    }

    fn constants(&self) -> Vec<ConstId> {
        vec![self.level]
    }

    fn emulate(&self, emulation: &mut Emulation<'_>, args: &[&IntMap], ty: &Type) -> IntMap {
        let levels = emulation.constant(self.level);
        let mut values = Vec::with_capacity(ty.shape.len());
        for (c, &level) in levels.iter().enumerate() {
            let high = i64::from(level);
            let (below, above) = self.signs(emulation, args[0], c, high);
            let gate = |((z, b0), b1): ((&i64, bool), bool)| match (b0, b1) {
                (false, false) => 0,
                (true, false) => *z,
                (false, true) => high - z,
                (true, true) => high,
            };
            values.extend(args[0].channel(c).iter().zip(below).zip(above).map(gate));
        }
        let result = IntMap::new(ty.shape, values);
        emulation.check_activation(&result);
        result
    }
}

impl Clip {
    /// The signs of z and of z - high on channel `c`.
    fn signs(
        &self,
        emulation: &mut Emulation<'_>,
        z: &IntMap,
        c: usize,
        high: i64,
    ) -> (Vec<bool>, Vec<bool>) {
        let constant = |sign: bool| vec![sign; z.shape().plane()];
        if self.lower[c] == self.upper[c] {
            return match emulation
                .signs(z, c, self.lower[c], &[0, high])
                .map(<[_; 2]>::try_from)
            {
                Some(Ok([below, above])) => (below, above),
                _ => (constant(true), constant(false)),
            };
        }
        let mut one = |patch, level, identity| match emulation.signs(z, c, patch, &[level]) {
            Some(mut signs) => signs.remove(0),
            None => constant(identity),
        };
        (one(self.lower[c], 0, true), one(self.upper[c], high, false))
    }
}
