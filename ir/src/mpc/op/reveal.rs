//! Reveal: the client learns a value.
//!
//! Of a truncated accumulator the server sends its top 16 bits, to which the client adds the top
//! bits of R that it has: the client learns the value rounded to a unit, with a coin that is
//! independent of its view, and not the accumulator itself, whose 32 bits would be exact linear
//! equations in the last layer's weights. Of an activation the server sends the low 16 bits of
//! x - a, which the client completes with a. In both cases the message is the value minus a number
//! that the client knows: given the output, it can be simulated.

use serde::{Deserialize, Serialize};

use super::{Class, Effort, OpError, Rule, unary};
use crate::mpc::emulate::{Emulation, IntMap};
use crate::mpc::gate::WIDE;
use crate::mpc::message::{Message, Section, Stage};
use crate::mpc::program::{ConstId, Constant};
use crate::mpc::types::{Kind, Type};
use crate::text::{AttrError, Attrs};

/// The client learns a value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reveal;

impl Reveal {
    /// The one message: the server's half of the value.
    pub(super) fn messages(ty: &Type) -> Vec<Message> {
        vec![Message {
            stage: Stage::Reveal,
            sections: vec![Section::fields(ty.shape.len(), WIDE)],
        }]
    }
}

impl Rule for Reveal {
    const NAME: &'static str = "reveal";

    fn infer(&self, args: &[&Type], _: &[Constant]) -> Result<Type, OpError> {
        Ok(Type::output(
            unary(args, &[Kind::Truncated, Kind::Activation])?.shape,
        ))
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
        Class::Reveal
    }

    fn effort(&self, _: &[&Type], _: &Type) -> Effort {
        Effort::NOTHING
    }

    fn emulate(&self, _: &mut Emulation<'_>, args: &[&IntMap], ty: &Type) -> IntMap {
        let values = args[0].values().iter();
        IntMap::new(ty.shape, values.map(|&x| Emulation::reveal(x)).collect())
    }
}
