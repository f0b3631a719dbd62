//! Maximum of two activations of one scale: y + ReLU(x - y), without truncation.
//!
//! Differences of signed activations reach 2^15 and take 16 bits; those of non-negative ones take
//! 15. The result of the ReLU is never negative, so the extension needs no offset.

use serde::{Deserialize, Serialize};

use super::{Class, Effort, Gate, OpError, Rule, invalid};
use crate::mpc::emulate::{Emulation, IntMap, reduce};
use crate::mpc::gate::{NARROW, Rounds, WIDE};
use crate::mpc::program::{ConstId, Constant};
use crate::mpc::types::{Kind, Type};
use crate::text::{AttrError, Attrs};

/// Maximum of two activations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Max {
    /// Whether both operands are known not to be negative, behind a ReLU.
    pub non_negative: bool,
    /// In how many rounds signs are taken.
    pub rounds: Rounds,
}

impl Max {
    /// In two rounds.
    pub fn new(non_negative: bool) -> Self {
        Self {
            non_negative,
            rounds: Rounds::Two,
        }
    }

    /// Bits of the difference.
    pub fn ring(&self) -> u32 {
        if self.non_negative { NARROW } else { WIDE }
    }
}

impl Rule for Max {
    const NAME: &'static str = "max";

    fn infer(&self, args: &[&Type], _: &[Constant]) -> Result<Type, OpError> {
        match args {
            [a, b] if a == b && a.kind == Kind::Activation => Ok((*a).clone()),
            _ => invalid("two activations of one shape are needed"),
        }
    }

    fn attrs(&self) -> Attrs {
        self.rounds
            .write(Attrs::new().with("non_negative", self.non_negative))
    }

    fn from_attrs(attrs: &mut Attrs) -> Result<Self, AttrError> {
        Ok(Self {
            non_negative: attrs.require("non_negative")?,
            rounds: Rounds::read(attrs)?,
        })
    }

    fn constants(&self) -> Vec<ConstId> {
        Vec::new()
    }

    fn class(&self) -> Class<'_> {
        Class::Gate(Gate::Difference {
            ring: self.ring(),
            rounds: self.rounds,
        })
    }

    fn effort(&self, _: &[&Type], _: &Type) -> Effort {
        Effort::NOTHING
    }

    fn emulate(&self, emulation: &mut Emulation<'_>, args: &[&IntMap], ty: &Type) -> IntMap {
        for arg in args {
            emulation.check_activation(arg);
            if self.non_negative {
                emulation.check_non_negative(arg);
            }
        }
        let pairs = args[0].values().iter().zip(args[1].values());
        let maxima = pairs.map(|(x, y)| reduce(y + Emulation::relu(x - y, self.ring())));
        IntMap::new(ty.shape, maxima.collect())
    }
}
