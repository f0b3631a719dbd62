//! Input: the client sends x - a for its image x, with a of the stream that it shares with the
//! helper. Adds to the server's view a uniform value that hides x.

use serde::{Deserialize, Serialize};

use super::{Class, Effort, OpError, Rule, invalid};
use crate::geometry::Shape;
use crate::mpc::emulate::{Emulation, IntMap, reduce};
use crate::mpc::message::{Message, Section, Stage};
use crate::mpc::program::{ConstId, Constant};
use crate::mpc::types::Type;
use crate::text::{AttrError, Attrs};

/// The client's image, masked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// Shape of the image.
    pub shape: Shape,
}

impl Input {
    /// The one message: the image, masked.
    pub(super) fn messages(ty: &Type) -> Vec<Message> {
        vec![Message {
            stage: Stage::Input,
            sections: vec![Section::fields(ty.shape.len(), 32)],
        }]
    }
}

impl Rule for Input {
    const NAME: &'static str = "input";

    fn infer(&self, args: &[&Type], _: &[Constant]) -> Result<Type, OpError> {
        if !args.is_empty() || !self.shape.is_sane() {
            return invalid("an input has no operand, and its shape is neither empty nor beyond all measure");
        }
        Ok(Type::activation(self.shape))
    }

    fn attrs(&self) -> Attrs {
        let Shape { c, h, w } = self.shape;
        Attrs::new().with("shape", [c, h, w])
    }

    fn from_attrs(attrs: &mut Attrs) -> Result<Self, AttrError> {
        let [c, h, w] = attrs.require("shape")?;
        Ok(Self {
            shape: Shape::new(c, h, w),
        })
    }

    fn constants(&self) -> Vec<ConstId> {
        Vec::new()
    }

    fn class(&self) -> Class<'_> {
        Class::Input
    }

    fn effort(&self, _: &[&Type], _: &Type) -> Effort {
        Effort::NOTHING
    }

    fn emulate(&self, emulation: &mut Emulation<'_>, _: &[&IntMap], _: &Type) -> IntMap {
        let image = emulation.image();
        emulation.check_activation(image);
        IntMap::new(image.shape(), image.values().iter().map(|&x| reduce(x)).collect())
    }
}
