//! Truncate, the first half of every gate on an accumulator z = s + c + h.
//!
//! Server and helper re-randomise with a fresh p: s + p and h - p. The client sends c - r1, masked
//! in all 32 bits: now z = D + R, the server holds D = s + p + c - r1, the helper R = h - p + r1,
//! and the helper tells the client the top bits of R alone. The rounding coin of
//! (D >> 16) + (R >> 16) is a function of the low bits of R, which are uniform given all that the
//! client sees. Everything that a gate needs of z comes from this one truncation.

use serde::{Deserialize, Serialize};

use super::{Class, Effort, OpError, Rule, Truncation, invalid, unary};
use crate::mpc::emulate::{Emulation, IntMap};
use crate::mpc::gate::{NARROW, WIDE};
use crate::mpc::message::{Message, Section, Stage};
use crate::mpc::program::{ConstId, Constant};
use crate::mpc::types::{Kind, Type};
use crate::text::{AttrError, Attrs};

/// The first half of every gate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Truncate {
    /// Bits of the result that the gates behind need, per channel: 15 where only non-negative
    /// values survive, else 16.
    pub keep: Vec<u8>,
}

impl Truncate {
    /// The channels that keep `bits` bits.
    pub fn channels(&self, bits: u32) -> Vec<usize> {
        (0..self.keep.len())
            .filter(|&c| u32::from(self.keep[c]) == bits)
            .collect()
    }

    /// Two messages: the client's share, masked, and the top bits of R, those of channels that keep 15
    /// bits first.
    pub(super) fn messages(&self, ty: &Type) -> Vec<Message> {
        let mut top_bits = Vec::new();
        for bits in [NARROW, WIDE] {
            let count = self.channels(bits).len() * ty.shape.plane();
            if count > 0 {
                top_bits.push(Section::fields(count, bits));
            }
        }
        vec![
            Message {
                stage: Stage::MaskedShare,
                sections: vec![Section::fields(ty.shape.len(), 32)],
            },
            Message {
                stage: Stage::TruncationMask,
                sections: top_bits,
            },
        ]
    }
}

impl Rule for Truncate {
    const NAME: &'static str = "truncate";

    fn infer(&self, args: &[&Type], _: &[Constant]) -> Result<Type, OpError> {
        let shape = unary(args, &[Kind::Accumulator])?.shape;
        let are_known = self
            .keep
            .iter()
            .all(|&bits| [NARROW, WIDE].contains(&u32::from(bits)));
        if self.keep.len() != shape.c || !are_known {
            return invalid(format!(
                "`keep` must hold 15 or 16 for each of {} channels",
                shape.c
            ));
        }
        Ok(Type::truncated(shape))
    }

    fn attrs(&self) -> Attrs {
        Attrs::new().with("keep", self.keep.clone())
    }

    fn from_attrs(attrs: &mut Attrs) -> Result<Self, AttrError> {
        Ok(Self {
            keep: attrs.require("keep")?,
        })
    }

    fn constants(&self) -> Vec<ConstId> {
        Vec::new()
    }

    fn class(&self) -> Class<'_> {
        Class::Truncate(Truncation::Pixels(self))
    }

    fn effort(&self, _: &[&Type], _: &Type) -> Effort {
        Effort::NOTHING
    }

    fn emulate(&self, emulation: &mut Emulation<'_>, args: &[&IntMap], _: &Type) -> IntMap {
        emulation.check_accumulator(args[0]);
        emulation.truncate(args[0])
    }
}
