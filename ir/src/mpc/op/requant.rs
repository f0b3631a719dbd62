//! Requantise: a truncated accumulator as an activation, every channel the identity.

use serde::{Deserialize, Serialize};

use super::{Class, Effort, Gate, OpError, Rule, unary};
use crate::geometry::Patch;
use crate::mpc::emulate::{Emulation, GateOperand, IntMap, Limit};
use crate::mpc::gate::Rounds;
use crate::mpc::program::{ConstId, Constant};
use crate::mpc::types::{Kind, Type};
use crate::text::{AttrError, Attrs};

/// A truncated accumulator as an activation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Requant;

impl Rule for Requant {
    const NAME: &'static str = "requant";

    fn infer(&self, args: &[&Type], _: &[Constant]) -> Result<Type, OpError> {
        Ok(Type::activation(unary(args, &[Kind::Truncated])?.shape))
    }

    fn attrs(&self) -> Attrs {
        Attrs::new()
    }

    fn from_attrs(_: &mut Attrs) -> Result<Self, AttrError> {
        Ok(Self)
    }

    fn constants(&self) -> Vec<ConstId> {
        Vec::new()
    }

    fn class(&self) -> Class<'_> {
        Class::Gate(Gate::Truncated(None))
    }

    fn effort(&self, _: &[&Type], _: &Type) -> Effort {
        Effort::NOTHING
    }

    fn emulate(&self, emulation: &mut Emulation<'_>, args: &[&IntMap], ty: &Type) -> IntMap {
        let operand = GateOperand::new(args, &[], None);
        let mut values = Vec::with_capacity(ty.shape.len());
        for c in 0..ty.shape.c {
            values.extend(emulation.gate(&operand, c, ([Patch::Identity; 2], Rounds::Two), Limit::default()));
        }
        let result = IntMap::new(ty.shape, values);
        emulation.check_activation(&result);
        result
    }
}
