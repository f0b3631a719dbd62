//! Truncation of patch sums, as [`Truncate`](super::Truncate) does it to pixels: server and helper
//! re-randomise with a fresh p, the client sends its share minus a fresh r1 in all 32 bits, and the
//! rounding coin is a function of the low bits of the helper's R, which are uniform given all that
//! the client sees. The client needs nothing of R, since sums are only opened under a mask that the
//! helper deals with.

use serde::{Deserialize, Serialize};

use super::{Class, Effort, OpError, Rule, Truncation, unary};
use crate::mpc::emulate::{Emulation, IntMap};
use crate::mpc::message::{Message, Section, Stage};
use crate::mpc::program::{ConstId, Constant};
use crate::mpc::types::{Kind, Type};
use crate::text::{AttrError, Attrs};

/// Patch sums between the two halves of the gate that takes their signs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TruncateSums;

impl TruncateSums {
    /// The one message: the client's share, masked.
    pub(super) fn messages(ty: &Type) -> Vec<Message> {
        vec![Message {
            stage: Stage::MaskedShare,
            sections: vec![Section::fields(ty.shape.len(), 32)],
        }]
    }
}

impl Rule for TruncateSums {
    const NAME: &'static str = "truncate_sums";

    fn infer(&self, args: &[&Type], _: &[Constant]) -> Result<Type, OpError> {
        let shape = unary(args, &[Kind::Accumulator])?.shape;
        Ok(Type::sums(shape))
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
        Class::Truncate(Truncation::Sums)
    }

    fn effort(&self, _: &[&Type], _: &Type) -> Effort {
        Effort::NOTHING
    }

    fn emulate(&self, emulation: &mut Emulation<'_>, args: &[&IntMap], _: &Type) -> IntMap {
        emulation.truncate_sums(args[0])
    }
}
