//! A map as a vector. Local.

use serde::{Deserialize, Serialize};

use super::{Class, Effort, Local, OpError, Rule, unary};
use crate::geometry::Shape;
use crate::mpc::emulate::{Emulation, IntMap};
use crate::mpc::program::{ConstId, Constant};
use crate::mpc::types::{Kind, Type};
use crate::text::{AttrError, Attrs};

/// A map as a vector, channel after channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reshape;

impl Rule for Reshape {
    const NAME: &'static str = "flatten";

    fn infer(&self, args: &[&Type], _: &[Constant]) -> Result<Type, OpError> {
        let ty = unary(args, &[Kind::Activation, Kind::Accumulator])?;
        Ok(Type {
            kind: ty.kind,
            shape: Shape::vector(ty.shape.len()),
        })
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
        Class::Local(Local::Reshape)
    }

    fn effort(&self, _: &[&Type], _: &Type) -> Effort {
        Effort::NOTHING
    }

    fn emulate(&self, _: &mut Emulation<'_>, args: &[&IntMap], ty: &Type) -> IntMap {
        IntMap::new(ty.shape, args[0].values().to_vec())
    }
}
