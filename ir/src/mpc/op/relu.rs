//! ReLU of an activation, without truncation: behind a max-pool, or wherever no accumulator is at
//! hand.

use serde::{Deserialize, Serialize};

use super::{Class, Effort, Gate, OpError, Rule, invalid, unary};
use crate::geometry::{Patch, Patches};
use crate::mpc::emulate::{Emulation, IntMap};
use crate::mpc::gate::{NARROW, Rounds};
use crate::mpc::program::{ConstId, Constant};
use crate::mpc::types::{Kind, Type};
use crate::text::{AttrError, Attrs};

/// ReLU of an activation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Relu {
    /// Per channel a pixel, or the identity.
    pub patches: Patches,
    /// In how many rounds signs are taken.
    pub rounds: Rounds,
}

impl Relu {
    /// With these patches, in two rounds.
    pub fn new(patches: Patches) -> Self {
        Self {
            patches,
            rounds: Rounds::Two,
        }
    }
}

impl Rule for Relu {
    const NAME: &'static str = "relu";

    fn infer(&self, args: &[&Type], _: &[Constant]) -> Result<Type, OpError> {
        let ty = unary(args, &[Kind::Activation])?;
        let are_simple = self.patches.iter().all(|p| p.is_pixel() || *p == Patch::Identity);
        if self.patches.len() != ty.shape.c || !are_simple {
            return invalid(format!(
                "the patch of each of {} channels must be a pixel or the identity; lift and truncate for larger ones",
                ty.shape.c
            ));
        }
        Ok(ty.clone())
    }

    fn attrs(&self) -> Attrs {
        self.rounds
            .write(Attrs::new().with("patches", self.patches.clone()))
    }

    fn from_attrs(attrs: &mut Attrs) -> Result<Self, AttrError> {
        Ok(Self {
            patches: attrs.require("patches")?,
            rounds: Rounds::read(attrs)?,
        })
    }

    fn constants(&self) -> Vec<ConstId> {
        Vec::new()
    }

    fn class(&self) -> Class<'_> {
        Class::Gate(Gate::Activation {
            patches: &self.patches,
            rounds: self.rounds,
        })
    }

    fn effort(&self, _: &[&Type], _: &Type) -> Effort {
        Effort::NOTHING
    }

    fn emulate(&self, _: &mut Emulation<'_>, args: &[&IntMap], ty: &Type) -> IntMap {
        let mut values = Vec::with_capacity(ty.shape.len());
        for (c, &patch) in self.patches.iter().enumerate() {
            let channel = args[0].channel(c);
            if patch == Patch::Identity {
                values.extend_from_slice(channel);
            } else {
                values.extend(channel.iter().map(|&x| Emulation::relu(x, NARROW)));
            }
        }
        IntMap::new(ty.shape, values)
    }
}
