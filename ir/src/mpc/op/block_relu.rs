//! Block-ReLU on a truncated accumulator: y = z [sum of z over its patch >= 0].

use serde::{Deserialize, Serialize};

use super::{OpError, Rule, invalid, unary};
use crate::mpc::emulate::{Emulation, IntMap};
use crate::mpc::gate::{self, Group};
use crate::mpc::message::Message;
use crate::mpc::program::Constant;
use crate::mpc::types::{Kind, Type};
use crate::patch::Patches;
use crate::shape::Shape;
use crate::text::{AttrError, Attrs};

/// Block-ReLU; with patches of one pixel, ReLU.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BlockRelu {
    /// One patch per channel.
    pub patches: Patches,
}

pub(super) fn check_patches(patches: &Patches, shape: Shape) -> Result<(), OpError> {
    if patches.len() != shape.c || !patches.iter().all(|p| p.fits(shape)) {
        return invalid(format!(
            "one patch for each of {} channels is needed, no larger than the map",
            shape.c
        ));
    }
    Ok(())
}

impl Rule for BlockRelu {
    const NAME: &'static str = "block_relu";

    fn infer(&self, args: &[&Type], _: &[Constant]) -> Result<Type, OpError> {
        let shape = unary(args, &[Kind::Truncated])?.shape;
        check_patches(&self.patches, shape)?;
        Ok(Type::activation(shape))
    }

    fn attrs(&self) -> Attrs {
        Attrs::new().with("patches", self.patches.clone())
    }

    fn from_attrs(attrs: &mut Attrs) -> Result<Self, AttrError> {
        Ok(Self {
            patches: attrs.require("patches")?,
        })
    }

    fn messages(&self, args: &[&Type], _: &Type) -> Vec<Message> {
        self.gate_groups(args[0])
            .map(|g| gate::messages(&g))
            .unwrap_or_default()
    }

    fn gate_groups(&self, arg: &Type) -> Option<Vec<Group>> {
        Some(gate::groups(&self.patches, None, arg.shape))
    }

    fn emulate(&self, emulation: &mut Emulation<'_>, args: &[&IntMap], ty: &Type) -> IntMap {
        let mut values = Vec::with_capacity(ty.shape.len());
        for (c, &patch) in self.patches.iter().enumerate() {
            let below = match emulation.signs(args[0], c, patch, &[0]) {
                Some(mut signs) => signs.remove(0),
                None => vec![true; ty.shape.plane()],
            };
            values.extend(
                args[0]
                    .channel(c)
                    .iter()
                    .zip(below)
                    .map(|(z, b)| if b { *z } else { 0 }),
            );
        }
        let result = IntMap::new(ty.shape, values);
        emulation.check_activation(&result);
        result
    }
}
