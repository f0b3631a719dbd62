//! Block-ReLU on a truncated accumulator: y = z [sum of z over its patch >= 0]. A second operand, if
//! there is one, holds the sums over large patches.

use serde::{Deserialize, Serialize};

use super::{Class, Effort, Gate, OpError, Rule, Signs, invalid};
use crate::geometry::{Patch, Patches, Shape};
use crate::mpc::emulate::{Emulation, GateOperand, IntMap, Limit};
use crate::mpc::gate::Rounds;
use crate::mpc::patch_sums::SumList;
use crate::mpc::program::{ConstId, Constant};
use crate::mpc::types::{Kind, Type};
use crate::text::{AttrError, Attrs};

/// Block-ReLU; with patches of one pixel, ReLU.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BlockRelu {
    /// One patch per channel.
    pub patches: Patches,
    /// In how many rounds signs are taken.
    pub rounds: Rounds,
}

impl BlockRelu {
    /// With these patches, in two rounds.
    pub fn new(patches: Patches) -> Self {
        Self {
            patches,
            rounds: Rounds::Two,
        }
    }
}

fn check_patches(patches: &[Patch], shape: Shape) -> Result<(), OpError> {
    if patches.len() != shape.c || !patches.iter().all(|p| p.fits(shape)) {
        return invalid(format!(
            "one patch for each of {} channels is needed, no larger than the map",
            shape.c
        ));
    }
    Ok(())
}

/// The operands of a gate with these patches: a truncated value, and perhaps the sums over its large
/// patches. Gives the value's shape.
pub(super) fn check_operands(
    args: &[&Type],
    lower: &[Patch],
    upper: Option<&[Patch]>,
) -> Result<Shape, OpError> {
    let (value, sums) = match args {
        [value] => (value, None),
        [value, sums] => (value, Some(sums)),
        _ => {
            return invalid(format!(
                "a truncated value is needed and at most a vector of patch sums, and {} operands are given",
                args.len()
            ));
        }
    };
    if value.kind != Kind::Truncated {
        return invalid(format!("the operand must be tr, and it is {value}"));
    }
    for patches in [Some(lower), upper].into_iter().flatten() {
        check_patches(patches, value.shape)?;
    }
    if let Some(sums) = sums {
        check_sums(sums, &SumList::of_gate(lower, upper), value.shape)?;
    }
    Ok(value.shape)
}

/// A second operand must be the vector of the sums that the gate needs.
fn check_sums(ty: &Type, list: &SumList, map: Shape) -> Result<(), OpError> {
    if list.is_empty() {
        return invalid("no patch of this gate is large, so it takes no patch sums as a second operand");
    }
    let expected = list.vector(map)?;
    if ty.kind != Kind::Sums || ty.shape != expected {
        return invalid(format!(
            "the second operand must be the sums over its large patches, sums<{expected}>, and it is {ty}"
        ));
    }
    Ok(())
}

impl Rule for BlockRelu {
    const NAME: &'static str = "block_relu";

    fn infer(&self, args: &[&Type], _: &[Constant]) -> Result<Type, OpError> {
        let shape = check_operands(args, &self.patches, None)?;
        Ok(Type::activation(shape))
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
        Class::Gate(Gate::Truncated(Some(Signs {
            lower: &self.patches,
            upper: None,
            rounds: self.rounds,
        })))
    }

    fn effort(&self, _: &[&Type], _: &Type) -> Effort {
        Effort::NOTHING
    }

    fn emulate(&self, emulation: &mut Emulation<'_>, args: &[&IntMap], ty: &Type) -> IntMap {
        let mut values = Vec::with_capacity(ty.shape.len());
        let operand = GateOperand::new(args, &self.patches, None);
        for (c, &patch) in self.patches.iter().enumerate() {
            values.extend(emulation.gate(
                &operand,
                c,
                ([patch, Patch::Identity], self.rounds),
                Limit::default(),
            ));
        }
        let result = IntMap::new(ty.shape, values);
        emulation.check_activation(&result);
        result
    }
}
