//! Blocks of pixels as channels, or channels as blocks of pixels. Local: every share and every mask
//! goes the same way.

use serde::{Deserialize, Serialize};

use super::{Class, Effort, Local, OpError, Rule, invalid, unary};
use crate::geometry;
use crate::mpc::emulate::{Emulation, IntMap};
use crate::mpc::program::{ConstId, Constant};
use crate::mpc::types::{Kind, Type};
use crate::text::{AttrError, Attrs};

/// Blocks of pixels as channels, or channels as blocks of pixels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shuffle {
    /// Which elements go where.
    pub shuffle: geometry::Shuffle,
}

impl Rule for Shuffle {
    const NAME: &'static str = "shuffle";

    fn infer(&self, args: &[&Type], _: &[Constant]) -> Result<Type, OpError> {
        let ty = unary(args, &[Kind::Activation, Kind::Accumulator])?;
        match self.shuffle.output(ty.shape) {
            Some(shape) => Ok(Type { kind: ty.kind, shape }),
            None => invalid(format!(
                "blocks of {0} x {0} pixels do not divide the operand",
                self.shuffle.block
            )),
        }
    }

    fn attrs(&self) -> Attrs {
        self.shuffle.to_attrs()
    }

    fn from_attrs(attrs: &mut Attrs) -> Result<Self, AttrError> {
        Ok(Self {
            shuffle: geometry::Shuffle::read_attrs(attrs)?,
        })
    }

    fn constants(&self) -> Vec<ConstId> {
        Vec::new()
    }

    fn class(&self) -> Class<'_> {
        Class::Local(Local::Shuffle(self))
    }

    fn effort(&self, _: &[&Type], _: &Type) -> Effort {
        Effort::NOTHING
    }

    fn emulate(&self, _: &mut Emulation<'_>, args: &[&IntMap], ty: &Type) -> IntMap {
        IntMap::new(
            ty.shape,
            self.shuffle.apply(args[0].values(), args[0].shape(), ty.shape),
        )
    }
}
