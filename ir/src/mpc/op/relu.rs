//! ReLU of an activation, without truncation: behind a max-pool, or wherever no accumulator is at
//! hand.

use serde::{Deserialize, Serialize};

use super::{Class, Effort, Gate, OpError, Rule, invalid, unary};
use crate::geometry::{Patch, Patches};
use crate::mpc::emulate::{Emulation, IntMap};
use crate::mpc::gate::NARROW;
use crate::mpc::program::{ConstId, Constant};
use crate::mpc::types::{Kind, Type};
use crate::text::{AttrError, Attrs};

/// ReLU of an activation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Relu {
    /// Per channel a pixel, or the identity.
    pub patches: Patches,
}

impl Rule for Relu {
    const NAME: &'static str = "relu";

    fn infer(&self, args: &[&Type], _: &[Constant]) -> Result<Type, OpError> {
        let ty = unary(args, &[Kind::Activation])?;
        let simple = |p: &Patch| p.is_pixel() || *p == Patch::Identity;
        if self.patches.len() != ty.shape.c || !self.patches.iter().all(simple) {
            return invalid(format!(
                "the patch of each of {} channels must be a pixel or the identity; lift and truncate for larger ones",
                ty.shape.c
            ));
        }
        Ok(ty.clone())
    }

    fn attrs(&self) -> Attrs {
        Attrs::new().with("patches", self.patches.clone())
    }

    fn from_attrs(attrs: &mut Attrs) -> Result<Self, AttrError> {
        Ok(Self {
            patches: attrs.require("patches")?,
        })
    }

    fn constants(&self) -> Vec<ConstId> {
        Vec::new()
    }

    fn class(&self) -> Class<'_> {
        Class::Gate(Gate::Activation(&self.patches))
    }

    fn effort(&self, _: &[&Type], _: &Type) -> Effort {
        Effort::NOTHING
    }

    fn emulate(&self, _: &mut Emulation<'_>, args: &[&IntMap], ty: &Type) -> IntMap {
        let mut values = Vec::with_capacity(ty.shape.len());
        for (c, &patch) in self.patches.iter().enumerate() {
            let pass = patch == Patch::Identity;
            values.extend(
                args[0]
                    .channel(c)
                    .iter()
                    .map(|&x| if pass { x } else { Emulation::relu(x, NARROW) }),
            );
        }
        IntMap::new(ty.shape, values)
    }
}
