//! Clip on a truncated accumulator: y = b0 z - b1 (z - h), the signs on one opening
//! where they share patches. A second operand, if there is one, holds the sums over large patches.

use serde::{Deserialize, Serialize};

use super::block_relu::check_operands;
use super::{Class, Effort, Gate, OpError, Rule, Signs, Upper, constant, invalid};
use crate::geometry::Patches;
use crate::mpc::emulate::{Emulation, GateOperand, IntMap, Limit};
use crate::mpc::gate::Rounds;
use crate::mpc::patch_sums::is_large;
use crate::mpc::program::{ConstId, ConstKind, Constant};
use crate::mpc::types::Type;
use crate::text::{Attr, AttrError, Attrs};

/// Clip to [0, level].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Clip {
    /// The upper limit in units, per channel.
    pub level: ConstId,
    /// The same for sums of the second operand, in 2^-16 of their units; given if an upper sign is
    /// taken from there.
    pub sum_level: Option<ConstId>,
    /// Patches of the sign of z.
    pub lower: Patches,
    /// Patches of the sign of z - level.
    pub upper: Patches,
    /// In how many rounds signs are taken.
    pub rounds: Rounds,
}

impl Rule for Clip {
    const NAME: &'static str = "clip";

    fn infer(&self, args: &[&Type], constants: &[Constant]) -> Result<Type, OpError> {
        let shape = check_operands(args, &self.lower, Some(&self.upper))?;
        constant(constants, self.level, ConstKind::Level, &[shape.c])?;
        if self.sum_level.is_some() != (args.len() > 1 && self.upper.iter().copied().any(is_large)) {
            return invalid("`sum_level` goes with upper signs of patch sums from a second operand");
        }
        if let Some(level) = self.sum_level {
            constant(constants, level, ConstKind::SumLevel, &[shape.c])?;
        }
        Ok(Type::activation(shape))
    }

    fn attrs(&self) -> Attrs {
        let attrs = Attrs::new()
            .with("level", Attr::Constant(self.level.0))
            .with_some("sum_level", self.sum_level.map(|l| Attr::Constant(l.0)))
            .with("lower", self.lower.clone())
            .with("upper", self.upper.clone());
        self.rounds.write(attrs)
    }

    fn from_attrs(attrs: &mut Attrs) -> Result<Self, AttrError> {
        Ok(Self {
            level: attrs.require("level")?,
            sum_level: attrs.optional("sum_level")?,
            lower: attrs.require("lower")?,
            upper: attrs.require("upper")?,
            rounds: Rounds::read(attrs)?,
        })
    }

    fn constants(&self) -> Vec<ConstId> {
        std::iter::once(self.level).chain(self.sum_level).collect()
    }

    fn class(&self) -> Class<'_> {
        let upper = Upper {
            patches: &self.upper,
            level: self.level,
            sum_level: self.sum_level,
        };
        Class::Gate(Gate::Truncated(Some(Signs {
            lower: &self.lower,
            upper: Some(upper),
            rounds: self.rounds,
        })))
    }

    fn effort(&self, _: &[&Type], _: &Type) -> Effort {
        Effort::NOTHING
    }

    fn emulate(&self, emulation: &mut Emulation<'_>, args: &[&IntMap], ty: &Type) -> IntMap {
        let levels = emulation.constant(self.level);
        let sum_levels = self.sum_level.map(|l| emulation.constant(l));
        let operand = GateOperand::new(args, &self.lower, Some(&self.upper));
        let mut values = Vec::with_capacity(ty.shape.len());
        for (c, &level) in levels.iter().enumerate() {
            let limit = Limit {
                level: i64::from(level),
                sum_level: sum_levels.map_or(0, |l| i64::from(l[c])),
            };
            values.extend(emulation.gate(&operand, c, ([self.lower[c], self.upper[c]], self.rounds), limit));
        }
        let result = IntMap::new(ty.shape, values);
        emulation.check_activation(&result);
        result
    }
}
