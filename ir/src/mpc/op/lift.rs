//! Lift: an activation times a multiplier that server and client know, as an accumulator. The
//! server multiplies x - a, the client a; the helper's share is zero. No message.

use serde::{Deserialize, Serialize};

use super::{Class, Effort, Local, OpError, Rule, constant, unary};
use crate::mpc::emulate::{Emulation, IntMap};
use crate::mpc::program::{ConstId, ConstKind, Constant};
use crate::mpc::types::{Kind, Type};
use crate::text::{Attr, AttrError, Attrs};

/// An activation as an accumulator, such as a residual that joins a convolution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lift {
    /// One multiplier per channel.
    pub multiplier: ConstId,
}

impl Rule for Lift {
    const NAME: &'static str = "lift";

    fn infer(&self, args: &[&Type], constants: &[Constant]) -> Result<Type, OpError> {
        let shape = unary(args, &[Kind::Activation])?.shape;
        constant(constants, self.multiplier, ConstKind::Multiplier, &[shape.c])?;
        Ok(Type::accumulator(shape))
    }

    fn attrs(&self) -> Attrs {
        Attrs::new().with("multiplier", Attr::Constant(self.multiplier.0))
    }

    fn from_attrs(attrs: &mut Attrs) -> Result<Self, AttrError> {
        Ok(Self {
            multiplier: attrs.require("multiplier")?,
        })
    }

    fn constants(&self) -> Vec<ConstId> {
        vec![self.multiplier]
    }

    fn class(&self) -> Class<'_> {
        Class::Local(Local::Lift(self))
    }

    fn effort(&self, _: &[&Type], _: &Type) -> Effort {
        Effort::NOTHING
    }

    fn emulate(&self, emulation: &mut Emulation<'_>, args: &[&IntMap], ty: &Type) -> IntMap {
        let multiplier = emulation.constant(self.multiplier);
        let channels = args[0].values().chunks(ty.shape.plane()).zip(multiplier);
        let values = channels
            .flat_map(|(x, m)| x.iter().map(|v| v.wrapping_mul(i64::from(*m))))
            .collect();
        IntMap::new(ty.shape, values)
    }
}
