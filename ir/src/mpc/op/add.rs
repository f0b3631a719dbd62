//! Sum of two accumulators of one scale: every party adds its shares. Local.

use serde::{Deserialize, Serialize};

use super::{Class, Effort, Local, OpError, Rule, invalid};
use crate::mpc::emulate::{Emulation, IntMap};
use crate::mpc::program::{ConstId, Constant};
use crate::mpc::types::{Kind, Type};
use crate::text::{AttrError, Attrs};

/// Sum of two accumulators.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Add;

impl Rule for Add {
    const NAME: &'static str = "add";

    fn infer(&self, args: &[&Type], _: &[Constant]) -> Result<Type, OpError> {
        match args {
            [a, b] if a == b && a.kind == Kind::Accumulator => Ok((*a).clone()),
            [a, b] => invalid(format!(
                "two accumulators of one shape are needed, and these are {a} and {b}"
            )),
            _ => invalid("two operands are needed"),
        }
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
        Class::Local(Local::Add)
    }

    fn effort(&self, _: &[&Type], _: &Type) -> Effort {
        Effort::NOTHING
    }

    fn emulate(&self, _: &mut Emulation<'_>, args: &[&IntMap], ty: &Type) -> IntMap {
        let pairs = args[0].values().iter().zip(args[1].values());
        IntMap::new(ty.shape, pairs.map(|(a, b)| a.wrapping_add(*b)).collect())
    }
}
