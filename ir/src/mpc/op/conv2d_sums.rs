//! Patch sums of a convolution, out of box sums of its operand: with B the box sums (linear, so each
//! party takes them of what it holds), W B = W B(x - a) + F B(a) + B' B(a). The weight is one of its
//! own, coarser than the convolution's, and so are its F and B'. No message.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::conv2d::check_groups;
use super::{Class, Effort, Local, OpError, Rule, constant, unary};
use crate::geometry::{Patch, Shape, Window, patch_area};
use crate::mpc::emulate::{Emulation, IntMap};
use crate::mpc::patch_sums::{FEWEST_SIDE_BY_SIDE, Reach, SIDE_BY_SIDE, SumList};
use crate::mpc::program::{ConstId, ConstKind, Constant};
use crate::mpc::types::{Kind, Type};
use crate::text::{Attr, AttrError, Attrs};

/// Patch sums of a convolution of an activation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conv2dSums {
    /// `[entries, in channels / groups, kernel height, kernel width]`.
    pub weight: ConstId,
    /// One value per entry, the server's: what every pixel of a patch adds.
    pub bias: Option<ConstId>,
    /// Output channels of the convolution.
    pub channels: usize,
    /// Geometry; padding is with zeros.
    pub window: Window,
    /// Groups into which the channels fall.
    pub groups: usize,
    /// Which channels are summed over which patches.
    pub sums: SumList,
}

impl Conv2dSums {
    /// Rows and columns of the convolution's map, if the window fits the operand.
    pub fn map(&self, input: Shape) -> Option<[usize; 2]> {
        self.window.output(input.h, input.w).ok()
    }

    /// Words that are written on the way to the sums; `None` if a `usize` does not hold their number.
    fn scratch_words(&self, input: Shape) -> Option<usize> {
        let in_group = input.c / self.groups.max(1);
        let side_by_side = match in_group < FEWEST_SIDE_BY_SIDE {
            true => in_group,
            false => in_group.checked_next_multiple_of(SIDE_BY_SIDE)?,
        };
        let filled_up = Shape {
            c: side_by_side.checked_mul(self.groups)?,
            ..input
        };
        self.sums.scratch_words(&self.window, filled_up, self.map(input)?)
    }

    /// The group in which an entry's channel lies.
    pub fn group_of(&self, entry: usize) -> usize {
        self.sums.channels[entry] / (self.channels / self.groups)
    }
}

impl Rule for Conv2dSums {
    const NAME: &'static str = "conv2d_sums";

    fn infer(&self, args: &[&Type], constants: &[Constant]) -> Result<Type, OpError> {
        let input = unary(args, &[Kind::Activation])?.shape;
        check_groups(self.groups, input.c, self.channels)?;
        let entries = self.sums.patches.len();
        let [kh, kw] = self.window.kernel;
        let dims = [entries, input.c / self.groups, kh, kw];
        constant(constants, self.weight, ConstKind::Weight, &dims)?;
        if let Some(bias) = self.bias {
            constant(constants, bias, ConstKind::Bias, &[entries])?;
        }
        let [h, w] = self.window.output(input.h, input.w)?;
        let vector = self.sums.vector(Shape::new(self.channels, h, w))?;
        Ok(Type::accumulator(vector))
    }

    fn attrs(&self) -> Attrs {
        let attrs = Attrs::new()
            .with("weight", Attr::Constant(self.weight.0))
            .with_some("bias", self.bias.map(|b| Attr::Constant(b.0)))
            .with("channels", self.channels)
            .with("of", self.sums.channels.clone())
            .with("patches", self.sums.patches.clone())
            .with("kernel", self.window.kernel);
        self.window.add_attrs(attrs).with_unless(1, "groups", self.groups)
    }

    fn from_attrs(attrs: &mut Attrs) -> Result<Self, AttrError> {
        Ok(Self {
            weight: attrs.require("weight")?,
            bias: attrs.optional("bias")?,
            channels: attrs.require("channels")?,
            sums: SumList {
                channels: attrs.require("of")?,
                patches: attrs.require("patches")?,
            },
            window: Window::read_attrs(attrs.require("kernel")?, attrs)?,
            groups: attrs.optional("groups")?.unwrap_or(1),
        })
    }

    fn constants(&self) -> Vec<ConstId> {
        std::iter::once(self.weight).chain(self.bias).collect()
    }

    fn class(&self) -> Class<'_> {
        Class::Local(Local::Conv2dSums(self))
    }

    fn effort(&self, args: &[&Type], ty: &Type) -> Effort {
        let [kh, kw] = self.window.kernel;
        // A product for every weight and patch; box sums take additions alone.
        let per_sum = args[0].shape.c / self.groups * kh * kw;
        let macs = (ty.shape.len() * per_sum) as u64;
        Effort {
            macs,
            sum_macs: macs,
            scratch_words: self.scratch_words(args[0].shape),
        }
    }

    fn emulate(&self, emulation: &mut Emulation<'_>, args: &[&IntMap], ty: &Type) -> IntMap {
        let input = args[0].shape();
        let [h, w] = self.map(input).unwrap_or_default();
        let output = Shape::new(self.channels, h, w);
        let weight = emulation.constant(self.weight);
        let bias = self.bias.map(|b| emulation.constant(b));
        let per_group = input.c / self.groups;
        let taps = self.window.kernel.iter().product::<usize>();
        let mut boxes = BoxSums::default();
        let mut values = Vec::with_capacity(ty.shape.len());
        for (entry, (_, patch)) in self.sums.iter().enumerate() {
            let reach = Reach::new(&self.window, input, output, patch);
            let [rows, columns] = reach.grid();
            let bias = bias.map_or(0, |b| i64::from(b[entry]));
            let mut sums: Vec<i64> = (0..rows * columns)
                .map(|p| bias * patch_area(patch, p / columns, p % columns, h, w) as i64)
                .collect();
            let first = self.group_of(entry) * per_group;
            let row = &weight[entry * per_group * taps..][..per_group * taps];
            for (c, weights) in (first..first + per_group).zip(row.chunks(taps)) {
                let boxed = boxes.of(&reach, args[0], c, patch);
                for (weight, boxed) in weights.iter().zip(boxed.chunks(rows * columns)) {
                    for (sum, x) in sums.iter_mut().zip(boxed) {
                        *sum = sum.wrapping_add(x.wrapping_mul(i64::from(*weight)));
                    }
                }
            }
            values.extend(sums);
        }
        IntMap::new(ty.shape, values)
    }
}

/// Box sums by patch size and channel, made once for all entries that use them.
#[derive(Default)]
struct BoxSums(BTreeMap<(Patch, usize), Vec<i64>>);

impl BoxSums {
    fn of(&mut self, reach: &Reach<'_>, x: &IntMap, channel: usize, patch: Patch) -> &[i64] {
        let sums = self.0.entry((patch, channel));
        sums.or_insert_with(|| reach.box_sums(x.channel(channel)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words on the way to one sum a map of each output channel.
    fn scratch_words(in_channels: usize, groups: usize) -> usize {
        let mut sums = SumList::default();
        (0..groups).for_each(|channel| sums.push(channel, Patch::Block { h: 6, w: 5 }));
        let op = Conv2dSums {
            weight: ConstId(0),
            bias: None,
            channels: groups,
            window: Window::dense([1, 1]),
            groups,
            sums,
        };
        op.scratch_words(Shape::new(in_channels, 6, 5)).unwrap()
    }

    #[test]
    fn channels_of_deep_groups_alone_are_filled_up() {
        let of_one = scratch_words(1, 1);
        let of_two = scratch_words(2, 1);
        let a_channel = of_two - of_one;
        // One channel a group, of 32 groups; then groups of 7, 8 and 17.
        let others = [(32, 32), (7, 7), (8, 16), (17, 32)];
        let groups = [
            scratch_words(32, 32),
            scratch_words(7, 1),
            scratch_words(8, 1),
            scratch_words(17, 1),
        ];
        for ((channels, stored), words) in others.into_iter().zip(groups) {
            assert_eq!(words, of_one + (stored - 1) * a_channel, "{channels} channels");
        }
    }
}
