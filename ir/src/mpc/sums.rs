//! Patch sums that are computed apart: a second, coarser accumulator for the signs of large patches.
//!
//! The sum of an accumulator over a patch of n pixels is up to n times as large as the accumulator,
//! and has to stay below 2^31 all the same. Taken from the pixels' own shares it would cost them up
//! to log2(n) bits. But a linear layer may be summed up first: its sum over a patch is the layer's
//! weights times *box sums* of its input, one product per weight and patch. So a gate may have a
//! second operand, a vector of patch sums, made with weights of their own ("coarse": divided by what
//! the sum is too large by), biases, masks and one truncation. Only signs are taken of it, so that
//! its scale need not have anything to do with the pixels'.
//!
//! Which signs are taken from it is a matter of the patch's size alone ([`is_large`]): a choice by
//! the sizes of values would tell all parties something about the model.
//!
//! A [`SumList`] says which sums a vector holds, and [`Reach`] which pixels a box sum adds up.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::iter::StepBy;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::op::{Class, Conv2dSums, Local, OpError, PoolSums, Truncation, invalid};
use super::program::{Program, ValueId};
use super::{Kind, Op, TRUNCATED_BITS, UNIT};
use crate::geometry::{Patch, Patches, Shape, Window};

/// Patches of this many pixels and more are large. Their sums cost 32 bits a patch to truncate, 2
/// bits a pixel for 4x4, and the same sums out of the pixels' accumulator about as many bits of its
/// precision. For smaller patches the price per pixel grows and the loss shrinks.
pub const LARGE_PATCH: usize = 16;

/// Words of a span: where the rows, or columns, that a tap meets in a patch begin and end.
const SPAN_WORDS: usize = 4;

/// Whether the sums of this patch are taken from a gate's second operand, if it has one.
pub fn is_large(patch: Patch) -> bool {
    match patch {
        Patch::Identity => false,
        Patch::Block { h, w } => usize::from(h) * usize::from(w) >= LARGE_PATCH,
    }
}

/// Where the sums over a channel's patches begin.
pub type SumPlaces = BTreeMap<(usize, Patch), usize>;

/// The sums that a vector holds: entry after entry, of each the patches in row-major order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SumList {
    /// The channel of each entry.
    pub channels: Vec<usize>,
    /// Its patch.
    pub patches: Patches,
}

impl SumList {
    /// The sums that a gate with these patches takes from its second operand: per channel that of
    /// the lower sign, then that of the upper one unless it is the same.
    pub fn of_gate(lower: &[Patch], upper: Option<&[Patch]>) -> Self {
        let mut list = Self::default();
        for (channel, &below) in lower.iter().enumerate() {
            let above = upper.and_then(|u| u.get(channel).copied());
            let above = above.filter(|above| *above != below);
            for patch in [Some(below), above]
                .into_iter()
                .flatten()
                .filter(|p| is_large(*p))
            {
                list.push(channel, patch);
            }
        }
        list
    }

    /// Appends an entry.
    pub fn push(&mut self, channel: usize, patch: Patch) {
        self.channels.push(channel);
        self.patches.push(patch);
    }

    /// Words that these sums take on their way from a map of `input` through a window to a map of
    /// `output`, all patch sizes together: prefix sums, box sums (of every tap and patch), and the
    /// spans that each tap reaches along both axes. None if they are beyond all measure.
    pub(super) fn scratch_words(&self, window: &Window, input: Shape, output: [usize; 2]) -> Option<usize> {
        let product = |factors: &[usize]| factors.iter().try_fold(1usize, |n, &f| n.checked_mul(f));
        let ([down, across], [height, width]) = (window.step_within(input.h, input.w), window.kernel);
        let (rows, columns) = (input.h.checked_add(down)?, input.w.checked_add(across)?);
        let prefixes = product(&[input.c, rows, columns])?;
        let sizes: BTreeSet<Patch> = self.patches.iter().copied().collect();
        sizes.iter().try_fold(prefixes, |words, patch| {
            let [rows, columns] = patch.grid(output[0], output[1]);
            let boxes = product(&[input.c, height, width, rows, columns])?;
            let spans = product(&[height, rows])?.checked_add(product(&[width, columns])?)?;
            let spans = product(&[SPAN_WORDS, spans])?;
            words.checked_add(boxes)?.checked_add(spans)
        })
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.patches.is_empty()
    }

    /// Channel and patch of every entry.
    pub fn iter(&self) -> impl Iterator<Item = (usize, Patch)> + '_ {
        self.channels.iter().copied().zip(self.patches.iter().copied())
    }

    /// Where each entry's sums begin on a map of `h` x `w` pixels.
    pub fn starts(&self, h: usize, w: usize) -> Vec<usize> {
        let mut start = 0;
        let begin = |patch: &Patch| {
            let begin = start;
            start += patch.signs(h, w);
            begin
        };
        self.patches.iter().map(begin).collect()
    }

    /// Where the sums of each channel's patches begin on a map of `h` x `w` pixels.
    pub fn places(&self, h: usize, w: usize) -> SumPlaces {
        self.iter().zip(self.starts(h, w)).collect()
    }

    /// The shape of the vector for a map of this shape.
    ///
    /// # Errors
    /// If an entry's channel or patch does not fit the map, or there is no entry.
    pub fn vector(&self, map: Shape) -> Result<Shape, OpError> {
        let fits =
            |(channel, patch): (usize, Patch)| channel < map.c && patch != Patch::Identity && patch.fits(map);
        if self.is_empty() || self.channels.len() != self.patches.len() || !self.iter().all(fits) {
            return invalid(format!(
                "`of` and `patches` must name as many channels of {map} as patches, each no larger than the map"
            ));
        }
        let count = |n: usize, patch: &Patch| n.checked_add(patch.signs(map.h, map.w));
        match self.patches.iter().try_fold(0, count) {
            Some(count) => Ok(Shape::vector(count)),
            None => invalid("the sums are beyond all measure"),
        }
    }
}

/// Which pixels the box sums of one patch size add up: the pixels that one tap of a window meets
/// while the window takes every place of the patch.
#[derive(Clone, Debug)]
pub struct Reach<'a> {
    window: &'a Window,
    input: [usize; 2],
    output: [usize; 2],
    patch: [usize; 2],
    grid: [usize; 2],
}

impl<'a> Reach<'a> {
    /// The reach of `patch` on the map of `output` that the window makes of one of `input`.
    pub fn new(window: &'a Window, input: Shape, output: Shape, patch: Patch) -> Self {
        let [h, w] = patch.to_pair();
        Self {
            window,
            input: [input.h, input.w],
            output: [output.h, output.w],
            patch: [usize::from(h), usize::from(w)],
            grid: patch.grid(output.h, output.w),
        }
    }

    /// Rows and columns of patches.
    pub fn grid(&self) -> [usize; 2] {
        self.grid
    }

    /// Taps along each axis.
    pub fn taps(&self) -> [usize; 2] {
        self.window.kernel
    }

    /// How far apart the rows and the columns are that one tap meets.
    pub fn step(&self) -> [usize; 2] {
        self.window.step_within(self.input[0], self.input[1])
    }

    /// The rows (`axis` 0) or columns (1) of the input that tap `tap` meets in patch `at`; those in
    /// the padding are left out.
    pub fn sources(&self, axis: usize, at: usize, tap: usize) -> StepBy<Range<usize>> {
        let (step, pad) = (self.window.stride[axis], self.window.pads[axis]);
        let ahead = tap * self.window.dilation[axis];
        // The places from which the tap meets rows `0..end` of the map.
        let places_below = |end: usize| (end + pad).saturating_sub(ahead).div_ceil(step);
        let first = (at * self.patch[axis]).max(places_below(0));
        let last = ((at + 1) * self.patch[axis]).min(self.output[axis]);
        let last = last.min(places_below(self.input[axis]));
        if first >= last {
            return (0..0).step_by(1);
        }
        let row = |place: usize| place * step + ahead - pad;
        (row(first)..row(last - 1) + 1).step_by(step)
    }

    /// The box sums of one channel, `[taps, patches]`, in plain integers.
    pub fn box_sums(&self, channel: &[i64]) -> Vec<i64> {
        let width = self.input[1];
        let mut sums = Vec::new();
        for (ky, kx) in self.every_tap() {
            for row in 0..self.grid[0] {
                let mut line = vec![0i64; width];
                for y in self.sources(0, row, ky) {
                    let pixels = &channel[y * width..(y + 1) * width];
                    line.iter_mut().zip(pixels).for_each(|(sum, x)| *sum += x);
                }
                let sum = |column| self.sources(1, column, kx).map(|x| line[x]).sum::<i64>();
                sums.extend((0..self.grid[1]).map(sum));
            }
        }
        sums
    }

    fn every_tap(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let [height, width] = self.taps();
        (0..height).flat_map(move |ky| (0..width).map(move |kx| (ky, kx)))
    }
}

/// The threshold of a sum over `area` pixels, in units of sums, for a level in 2^-16 of them.
pub fn sum_threshold(level: i64, area: i64) -> i64 {
    (level * area + UNIT / 2) >> TRUNCATED_BITS
}

/// Where the values that sums are made of stand, in all gates of a program. Each has one place, so
/// that a check of all gates takes no more steps than the program has, whatever its chains.
#[derive(Default)]
pub(super) struct Origins {
    /// Number of each list of patches on a map.
    lists: HashMap<(Patches, [usize; 2]), usize>,
    /// Of each value the list's number, and the entry with which it begins.
    places: HashMap<ValueId, (usize, usize)>,
}

impl Origins {
    /// Checks that a vector of sums was made of the entries in `list`, patch for patch, on a map of
    /// `map` pixels, by the steps that make such vectors.
    ///
    /// # Errors
    /// The first step that does not fit, and why.
    pub(super) fn check(
        &mut self,
        program: &Program,
        sums: ValueId,
        list: &SumList,
        map: [usize; 2],
    ) -> Result<(), (ValueId, String)> {
        let count = self.lists.len();
        let number = *self.lists.entry((list.patches.clone(), map)).or_insert(count);
        self.walk(program, sums, number, list, map)
    }

    /// Whether the value is new here.
    ///
    /// # Errors
    /// If it stands elsewhere.
    fn place(&mut self, id: ValueId, list: usize, first: usize) -> Result<bool, (ValueId, String)> {
        match self.places.insert(id, (list, first)) {
            None => Ok(true),
            Some(place) if place == (list, first) => Ok(false),
            Some(_) => Err((id, PLACES.to_owned())),
        }
    }

    fn walk(
        &mut self,
        program: &Program,
        sums: ValueId,
        number: usize,
        list: &SumList,
        map: [usize; 2],
    ) -> Result<(), (ValueId, String)> {
        let starts = list.starts(map[0], map[1]);
        let mut open = vec![(sums, 0, list.patches.len())];
        while let Some((id, first, last)) = open.pop() {
            if !self.place(id, number, first)? {
                continue;
            }
            let step = program.step(id);
            let (made, of) = match source(&step.op) {
                Source::Conv2d(op) => (&op.sums, op.map(program.ty(step.args[0]).shape)),
                Source::Pool(op) => (&op.sums, op.map(program.ty(step.args[0]).shape)),
                Source::Operands => {
                    open.extend(step.args.iter().map(|&arg| (arg, first, last)));
                    continue;
                }
                Source::Parts => {
                    split(program, &step.args, &starts, (first, last), &mut open)
                        .ok_or((id, PARTS.to_owned()))?;
                    continue;
                }
                Source::None => return Err((id, format!("`{}` makes no patch sums", step.op.name()))),
            };
            if made.patches != list.patches[first..last] || of != Some(map) {
                let message = "these are not the sums over the patches of the gate that uses them";
                return Err((id, message.to_owned()));
            }
        }
        Ok(())
    }
}

/// Where a step has patch sums from.
enum Source<'a> {
    /// It makes them, of a convolution.
    Conv2d(&'a Conv2dSums),
    /// It makes them, of an activation or a pool.
    Pool(&'a PoolSums),
    /// Each of its operands holds the same sums.
    Operands,
    /// Its operands hold them one behind the other.
    Parts,
    /// It has none.
    None,
}

fn source(op: &Op) -> Source<'_> {
    match op.class() {
        Class::Local(local) => local_source(local),
        Class::Truncate(Truncation::Sums) => Source::Operands,
        Class::Input | Class::Truncate(Truncation::Pixels(_)) | Class::Gate(_) | Class::Reveal => {
            Source::None
        }
    }
}

fn local_source(local: Local<'_>) -> Source<'_> {
    match local {
        Local::Conv2dSums(op) => Source::Conv2d(op),
        Local::PoolSums(op) => Source::Pool(op),
        Local::Add => Source::Operands,
        Local::Concat => Source::Parts,
        Local::Conv2d(_)
        | Local::Lift(_)
        | Local::SumPool(_)
        | Local::Interpolate(_)
        | Local::Gather(_)
        | Local::Pad(_)
        | Local::Reshape => Source::None,
    }
}

const PLACES: &str = "these patch sums stand at two places of the gates that use them: compute them for each";

const PARTS: &str = "a part of these patch sums ends within an entry of the gate that uses them";

/// The entries that each part of a concatenation holds.
fn split(
    program: &Program,
    parts: &[ValueId],
    starts: &[usize],
    (first, last): (usize, usize),
    open: &mut Vec<(ValueId, usize, usize)>,
) -> Option<()> {
    let (mut entry, mut position) = (first, *starts.get(first)?);
    for (at, &part) in parts.iter().enumerate() {
        position += program.ty(part).shape.len();
        // All parts together are as long as all entries, and none is empty.
        let end = if at + 1 == parts.len() {
            last
        } else {
            entry + starts[entry..last].binary_search(&position).ok()?
        };
        open.push((part, entry, end));
        entry = end;
    }
    Some(())
}

/// Kind and length of a gate's second operand.
///
/// # Errors
/// If it is not a vector of the sums that the gate needs.
pub(super) fn check_operand(ty: &super::Type, list: &SumList, map: Shape) -> Result<(), OpError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: Patch = Patch::Block { h: 4, w: 4 };
    const ROW: Patch = Patch::Block { h: 2, w: 8 };

    #[test]
    fn sixteen_pixels_are_large() {
        assert!(is_large(LARGE) && is_large(ROW) && is_large(Patch::Block { h: 1, w: 16 }));
        assert!(!is_large(Patch::Identity) && !is_large(Patch::Block { h: 3, w: 5 }));
    }

    #[test]
    fn a_gate_takes_each_large_patch_once() {
        let lower = [LARGE, LARGE, Patch::PIXEL, Patch::Identity];
        let upper = [LARGE, ROW, ROW, LARGE];
        let list = SumList::of_gate(&lower, Some(&upper));
        assert_eq!(list.channels, [0, 1, 1, 2, 3]);
        assert_eq!(list.patches, [LARGE, LARGE, ROW, ROW, LARGE]);
        // On 5 x 9 pixels: 2 x 3 patches, and 3 x 2 in rows.
        assert_eq!(list.starts(5, 9), [0, 6, 12, 18, 24]);
        assert_eq!(list.vector(Shape::new(4, 5, 9)), Ok(Shape::vector(30)));
        assert!(list.vector(Shape::new(3, 5, 9)).is_err());
        assert!(list.vector(Shape::new(4, 3, 9)).is_err());
    }

    #[test]
    fn box_sums_are_sums_of_what_each_tap_meets() {
        let window = Window {
            kernel: [3, 2],
            stride: [2, 1],
            dilation: [1, 2],
            pads: [1, 0, 1, 2],
        };
        let input = Shape::new(1, 7, 6);
        let [h, w] = window.output(7, 6).unwrap();
        let output = Shape::new(1, h, w);
        let patch = Patch::Block { h: 3, w: 4 };
        let channel: Vec<i64> = (0..42).map(|i| (i * i * 31) % 101 - 50).collect();
        let reach = Reach::new(&window, input, output, patch);
        let [rows, columns] = reach.grid();
        let sums = reach.box_sums(&channel);
        for (at, sum) in sums.iter().enumerate() {
            let (tap, place) = (at / (rows * columns), at % (rows * columns));
            let mut expected = 0;
            for (y, x) in (0..h).flat_map(|y| (0..w).map(move |x| (y, x))) {
                let source = |axis, at, tap, size| window.source(axis, at, tap, size);
                if (y / 3, x / 4) == (place / columns, place % columns)
                    && let (Some(r), Some(c)) = (source(0, y, tap / 2, 7), source(1, x, tap % 2, 6))
                {
                    expected += channel[r * 6 + c];
                }
            }
            assert_eq!(*sum, expected, "tap {tap} of patch {place}");
        }
    }
}
