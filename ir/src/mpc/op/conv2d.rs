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

impl Rule for Conv2d {
    const NAME: &'static str = "conv2d";

    fn infer(&self, args: &[&Type], constants: &[Constant]) -> Result<Type, OpError> {
        let input = unary(args, &[Kind::Activation])?.shape;
        let divides = |n: usize| self.groups > 0 && n > 0 && n.is_multiple_of(self.groups);
        if !divides(self.channels) || !divides(input.c) {
            return invalid(format!(
                "{} groups must divide {} input and {} output channels",
                self.groups, input.c, self.channels
            ));
        }
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
        Attrs::new()
            .with("weight", Attr::Constant(self.weight.0))
            .with_some("bias", self.bias.map(|b| Attr::Constant(b.0)))
            .with("channels", self.channels)
            .with("kernel", self.window.kernel)
            .with_unless([1, 1], "stride", self.window.stride)
            .with_unless([1, 1], "dilation", self.window.dilation)
            .with_unless([0; 4], "pads", self.window.pads)
            .with_unless(1, "groups", self.groups)
    }

    fn from_attrs(attrs: &mut Attrs) -> Result<Self, AttrError> {
        Ok(Self {
            weight: attrs.require("weight")?,
            bias: attrs.optional("bias")?,
            channels: attrs.require("channels")?,
            window: Window {
                kernel: attrs.require("kernel")?,
                stride: attrs.optional("stride")?.unwrap_or([1, 1]),
                dilation: attrs.optional("dilation")?.unwrap_or([1, 1]),
                pads: attrs.optional("pads")?.unwrap_or([0; 4]),
            },
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
