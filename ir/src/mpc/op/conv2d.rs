//! Convolution: W x = W (x - a) + F a + B a with W = F + B (mod 2^32). The server computes the
//! first term and adds the bias, the client the second, the helper the third. No message.

use serde::{Deserialize, Serialize};

use super::{Class, Effort, Local, OpError, Rule, constant, invalid, unary};
use crate::geometry::{Shape, Window};
use crate::mpc::emulate::{Emulation, IntMap};
use crate::mpc::program::{ConstId, ConstKind, Constant};
use crate::mpc::types::{Kind, Type};
use crate::text::{Attr, AttrError, Attrs};

/// Convolution of an activation with a shared weight; a fully connected layer is one on a map of
/// one pixel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conv2d {
    /// `[out channels, in channels / groups, kernel height, kernel width]`.
    pub weight: ConstId,
    /// One value per output channel, the server's.
    pub bias: Option<ConstId>,
    /// Output channels.
    pub channels: usize,
    /// Geometry; padding is with zeros.
    pub window: Window,
    /// Groups into which the channels fall.
    pub groups: usize,
}

/// Groups must divide the channels of the operand and of the result.
pub(super) fn check_groups(groups: usize, input: usize, output: usize) -> Result<(), OpError> {
    let all_positive = groups > 0 && input > 0 && output > 0;
    if !all_positive || !input.is_multiple_of(groups) || !output.is_multiple_of(groups) {
        return invalid(format!(
            "{groups} groups must divide {input} input and {output} output channels"
        ));
    }
    Ok(())
}

impl Rule for Conv2d {
    const NAME: &'static str = "conv2d";

    fn infer(&self, args: &[&Type], constants: &[Constant]) -> Result<Type, OpError> {
        let input = unary(args, &[Kind::Activation])?.shape;
        check_groups(self.groups, input.c, self.channels)?;
        let [kh, kw] = self.window.kernel;
        let dims = [self.channels, input.c / self.groups, kh, kw];
        constant(constants, self.weight, ConstKind::Weight, &dims)?;
        if let Some(bias) = self.bias {
            constant(constants, bias, ConstKind::Bias, &[self.channels])?;
        }
        let [h, w] = self.window.output(input.h, input.w)?;
        Ok(Type::accumulator(Shape::new(self.channels, h, w)))
    }

    fn attrs(&self) -> Attrs {
        let attrs = Attrs::new()
            .with("weight", Attr::Constant(self.weight.0))
            .with_some("bias", self.bias.map(|b| Attr::Constant(b.0)))
            .with("channels", self.channels)
            .with("kernel", self.window.kernel);
        self.window.add_attrs(attrs).with_unless(1, "groups", self.groups)
    }

    fn from_attrs(attrs: &mut Attrs) -> Result<Self, AttrError> {
        Ok(Self {
            weight: attrs.require("weight")?,
            bias: attrs.optional("bias")?,
            channels: attrs.require("channels")?,
            window: Window::read_attrs(attrs.require("kernel")?, attrs)?,
            groups: attrs.optional("groups")?.unwrap_or(1),
        })
    }

    fn constants(&self) -> Vec<ConstId> {
        std::iter::once(self.weight).chain(self.bias).collect()
    }

    fn class(&self) -> Class<'_> {
        Class::Local(Local::Conv2d(self))
    }

    fn effort(&self, args: &[&Type], ty: &Type) -> Effort {
        let [kh, kw] = self.window.kernel;
        let per_output = args[0].shape.c / self.groups * kh * kw;
        let macs = (ty.shape.len() * per_output) as u64;
        Effort {
            macs,
            ..Effort::NOTHING
        }
    }

    fn emulate(&self, emulation: &mut Emulation<'_>, args: &[&IntMap], ty: &Type) -> IntMap {
        let mut values = emulation.convolve(args[0], self, ty.shape);
        if let Some(bias) = self.bias {
            let bias = emulation.constant(bias);
            for (channel, b) in values.chunks_mut(ty.shape.plane()).zip(bias) {
                channel
                    .iter_mut()
                    .for_each(|v| *v = v.wrapping_add(i64::from(*b)));
            }
        }
        IntMap::new(ty.shape, values)
    }
}
