//! Concatenation along the channels, of masked values or of shares. Local.

use serde::{Deserialize, Serialize};

use super::{Class, Effort, Local, OpError, Rule, invalid};
use crate::geometry::Shape;
use crate::mpc::emulate::{Emulation, IntMap};
use crate::mpc::program::{ConstId, Constant};
use crate::mpc::types::{Kind, Type};
use crate::text::{AttrError, Attrs};

/// Concatenation along the channels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Concat;

impl Rule for Concat {
    const NAME: &'static str = "concat";

    fn infer(&self, args: &[&Type], _: &[Constant]) -> Result<Type, OpError> {
        let Some(first) = args.first() else {
            return invalid("at least one operand is needed");
        };
        let alike =
            |t: &&&Type| t.kind == first.kind && (t.shape.h, t.shape.w) == (first.shape.h, first.shape.w);
        let local = matches!(first.kind, Kind::Activation | Kind::Accumulator);
        if !local || !args.iter().all(|t| alike(&t)) {
            return invalid("the operands must be all activations or all accumulators, of one map size");
        }
        let channels = args.iter().map(|t| t.shape.c).sum();
        Ok(Type {
            kind: first.kind,
            shape: Shape {
                c: channels,
                ..first.shape
            },
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
        Class::Local(Local::Concat)
    }

    fn effort(&self, _: &[&Type], _: &Type) -> Effort {
        Effort::NOTHING
    }

    fn emulate(&self, _: &mut Emulation<'_>, args: &[&IntMap], ty: &Type) -> IntMap {
        let parts: Vec<&[i64]> = args.iter().map(|a| a.values()).collect();
        IntMap::new(ty.shape, parts.concat())
    }
}
