//! Zeros around a value: zero in every share, zero masked by zero. Local. The positions are public
//! and every later message hides them like any other value.

use serde::{Deserialize, Serialize};

use super::{Class, Effort, Local, OpError, Rule, invalid, unary};
use crate::geometry;
use crate::mpc::emulate::{Emulation, IntMap};
use crate::mpc::program::{ConstId, Constant};
use crate::mpc::types::{Kind, Type};
use crate::text::{AttrError, Attrs};

/// Zeros around a value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pad {
    /// How many, on which sides.
    pub pad: geometry::Pad,
}

impl Rule for Pad {
    const NAME: &'static str = "pad";

    fn infer(&self, args: &[&Type], _: &[Constant]) -> Result<Type, OpError> {
        let ty = unary(args, &[Kind::Activation, Kind::Accumulator])?;
        match self.pad.output(ty.shape) {
            Some(shape) => Ok(Type { kind: ty.kind, shape }),
            None => invalid("the padded value is beyond all measure"),
        }
    }

    fn attrs(&self) -> Attrs {
        self.pad.to_attrs()
    }

    fn from_attrs(attrs: &mut Attrs) -> Result<Self, AttrError> {
        Ok(Self {
            pad: geometry::Pad::read_attrs(attrs)?,
        })
    }

    fn constants(&self) -> Vec<ConstId> {
        Vec::new()
    }

    fn class(&self) -> Class<'_> {
        Class::Local(Local::Pad(self))
    }

    fn effort(&self, _: &[&Type], _: &Type) -> Effort {
        Effort::NOTHING
    }

    fn emulate(&self, _: &mut Emulation<'_>, args: &[&IntMap], ty: &Type) -> IntMap {
        IntMap::new(
            ty.shape,
            self.pad.apply(args[0].values(), args[0].shape(), ty.shape, 0),
        )
    }
}
