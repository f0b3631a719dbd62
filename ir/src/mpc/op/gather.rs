//! Chosen indices of one axis: slices, nearest-neighbour upsampling, the windows of a max-pool.
//! Local.

use serde::{Deserialize, Serialize};

use super::{Class, Effort, Local, OpError, Rule, invalid, unary};
use crate::geometry::Axis;
use crate::mpc::emulate::{Emulation, IntMap};
use crate::mpc::program::{ConstId, Constant};
use crate::mpc::types::{Kind, Type};
use crate::text::{AttrError, Attrs};

/// Chosen indices of one axis; an index may occur more than once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gather {
    /// The axis.
    pub axis: Axis,
    /// The indices, in the order of the result.
    pub index: Vec<usize>,
}

impl Rule for Gather {
    const NAME: &'static str = "gather";

    fn infer(&self, args: &[&Type], _: &[Constant]) -> Result<Type, OpError> {
        let ty = unary(args, &[Kind::Activation, Kind::Accumulator])?;
        let size = self.axis.size(ty.shape);
        if self.index.is_empty() || self.index.iter().any(|&i| i >= size) {
            return invalid(format!("the indices are empty or leave the axis of size {size}"));
        }
        Ok(Type {
            kind: ty.kind,
            shape: self.axis.resized(ty.shape, self.index.len()),
        })
    }

    fn attrs(&self) -> Attrs {
        Attrs::new()
            .with("axis", self.axis)
            .with("index", self.index.clone())
    }

    fn from_attrs(attrs: &mut Attrs) -> Result<Self, AttrError> {
        Ok(Self {
            axis: attrs.require("axis")?,
            index: attrs.require("index")?,
        })
    }

    fn constants(&self) -> Vec<ConstId> {
        Vec::new()
    }

    fn class(&self) -> Class<'_> {
        Class::Local(Local::Gather(self))
    }

    fn effort(&self, _: &[&Type], _: &Type) -> Effort {
        Effort::NOTHING
    }

    fn emulate(&self, _: &mut Emulation<'_>, args: &[&IntMap], ty: &Type) -> IntMap {
        IntMap::new(
            ty.shape,
            self.axis.gather(args[0].values(), args[0].shape(), &self.index),
        )
    }
}
