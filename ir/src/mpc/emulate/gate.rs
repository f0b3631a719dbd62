//! What gates make of values, in the rings in which they work.
//!
//! A gate knows a value modulo 2^k, k = 15 or 16, takes signs modulo 2^k (2^16 where they are patches'), and
//! computes its result modulo 2^k. All of that is a function of the value, whatever its size. Extending
//! the result to 32 bits is not: moved up by 2^14 if it may be negative, a result in the upper half of the
//! ring comes out right, or 2^k too small if exactly one of its two shares has its top bit set. The
//! client's share is uniform, so that result W + 2^(k-1) is too small with the probability (W + 1) /
//! 2^(k-1); within the ranges there is none.
//!
//! A gate in one round extends the value first, in the same way (its shares being the opened value and its
//! mask), and makes its result of that, modulo 2^32.

use super::map::reduce;
use super::masks::{NEAREST, truncate};
use super::{Bound, Emulation, IntMap};
use crate::geometry::{Patch, Shape, patch_area};
use crate::mpc::gate::{Form, Grain, Rounds, WIDE};
use crate::mpc::patch_sums::{SumList, SumPlaces, sum_threshold};
use crate::mpc::{ACTIVATION_OFFSET, TRUNCATED_BITS, UNIT};

/// The operands of a gate: a truncated accumulator, and perhaps sums over its large patches.
pub struct GateOperand<'a> {
    value: &'a IntMap,
    /// Truncated patch sums, and where those of a channel's patch begin.
    sums: Option<(&'a IntMap, SumPlaces)>,
}

impl<'a> GateOperand<'a> {
    /// The operands of a gate with these patches.
    pub fn new(args: &[&'a IntMap], lower: &[Patch], upper: Option<&[Patch]>) -> Self {
        let Shape { h, w, .. } = args[0].shape();
        let sums = args.get(1).copied();
        Self {
            value: args[0],
            sums: sums.map(|sums| (sums, SumList::of_gate(lower, upper).places(h, w))),
        }
    }

    /// Where the sums over a patch stand, if they are computed apart.
    fn apart(&self, c: usize, patch: Patch) -> Option<(&'a IntMap, usize)> {
        let (sums, places) = self.sums.as_ref()?;
        Some((sums, *places.get(&(c, patch))?))
    }
}

/// The upper limit of a clip in one channel.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limit {
    /// Limit of a pixel, in units.
    pub level: i64,
    /// For each pixel of a sum that is computed apart, in 2^-16 of its units.
    pub sum_level: i64,
}

impl Limit {
    /// The limit of a sum over `area` pixels, in units of the sum.
    fn of(self, area: i64, apart: bool) -> i64 {
        if apart {
            sum_threshold(self.sum_level, area)
        } else {
            self.level * area
        }
    }
}

/// Sums over the patches of a channel.
struct PatchSums {
    /// The sums before they wrap, in 2^-16 of their units.
    exact: Vec<i64>,
    /// The sums rounded to units and modulo 2^16, as they are opened.
    units: Vec<i64>,
    /// Whether they are computed apart.
    apart: bool,
}

impl Emulation<'_> {
    /// The result of a gate in channel `c`, with these patches below and above.
    pub fn gate(
        &mut self,
        operand: &GateOperand<'_>,
        c: usize,
        ([lower, upper], rounds): ([Patch; 2], Rounds),
        limit: Limit,
    ) -> Vec<i64> {
        let form = Form::of(lower, upper);
        if form == Form::Lower(Grain::Pixel) {
            let values = operand.value.channel(c).iter();
            return values.map(|&z| Self::relu(z, form.ring())).collect();
        }
        let ring = form.ring();
        let none = Limit::default();
        let [below, above] = if lower == upper {
            // Both signs of one opening, and so of one rounding.
            self.signs(operand, c, lower, ring, [none, limit])
        } else {
            let [below] = self.signs(operand, c, lower, ring, [none]);
            let [above] = self.signs(operand, c, upper, ring, [limit]);
            [below, above]
        };
        let first = c * operand.value.shape().plane();
        let mut results = Vec::with_capacity(operand.value.shape().plane());
        for (at, &z) in operand.value.channel(c).iter().enumerate() {
            // The identity has no signs, and its form does not ask for them.
            let signs = [&below, &above].map(|signs| signs.get(at).copied().unwrap_or(false));
            let element = (operand.value, first + at);
            results.push(match rounds {
                Rounds::One if form.has_signs() => {
                    let extended = self.extend(element, z, (form, form.takes_signed_values()));
                    select(form, extended, signs, limit.level)
                }
                Rounds::One | Rounds::Two => {
                    let selected = select(form, z, signs, limit.level);
                    self.extend(element, selected, (form, form.is_signed()))
                }
            });
        }
        results
    }

    /// A ReLU of an activation, or of a difference of two, of which `ring` bits are opened: what is
    /// left is in the lower half of the ring, and its extension exact.
    pub fn relu(x: i64, ring: u32) -> i64 {
        if is_positive(x, ring) { low(x, ring) } else { 0 }
    }

    /// What the client learns of a value: 16 bits.
    pub fn reveal(x: i64) -> i64 {
        i64::from(x as i16)
    }

    /// An accumulator as the two halves D and R, in units.
    pub fn truncate(&mut self, z: &IntMap) -> IntMap {
        let exact: Vec<i64> = z.values().iter().map(|&z| reduce(z)).collect();
        self.halves(z, exact)
    }

    /// Patch sums as the two halves D and R, in units. They are not reduced first: the gate reports
    /// those that have wrapped.
    pub fn truncate_sums(&mut self, z: &IntMap) -> IntMap {
        self.halves(z, z.values().to_vec())
    }

    fn halves(&mut self, z: &IntMap, exact: Vec<i64>) -> IntMap {
        let masks = self.source.truncation(self.current, exact.len());
        let units = match &masks {
            None => exact.iter().map(|&z| truncate(z, NEAREST)).collect(),
            Some(masks) => exact.iter().zip(masks).map(|(&z, &r)| truncate(z, r)).collect(),
        };
        IntMap::new(z.shape(), units).with_exact(exact, masks)
    }

    /// The signs of `z - limit` for every pixel of channel `c`, taken over its patch, for each of
    /// `limits`: they share one opening. None for the identity.
    fn signs<const N: usize>(
        &mut self,
        operand: &GateOperand<'_>,
        c: usize,
        patch: Patch,
        ring: u32,
        limits: [Limit; N],
    ) -> [Vec<bool>; N] {
        let Patch::Block { h, w } = patch else {
            return [const { Vec::new() }; N];
        };
        if patch.is_pixel() {
            let pixels = operand.value.channel(c);
            return limits.map(|l| pixels.iter().map(|&z| is_positive(z - l.level, ring)).collect());
        }
        let Shape {
            h: height, w: width, ..
        } = operand.value.shape();
        let columns = patch.grid(height, width)[1];
        let sums = self.patch_sums(operand, c, patch);
        let areas: Vec<i64> = (0..sums.exact.len())
            .map(|p| patch_area(patch, p / columns, p % columns, height, width) as i64)
            .collect();
        for (exact, &area) in sums.exact.iter().zip(&areas) {
            let distances = limits.map(|limit| {
                let threshold = limit.of(area, sums.apart) * UNIT;
                exact.saturating_sub(threshold).saturating_abs()
            });
            let largest = distances.into_iter().fold(exact.saturating_abs(), i64::max);
            self.record(Bound::PatchSum, c, largest);
        }
        limits.map(|limit| {
            let units = sums.units.iter().zip(&areas);
            let positive: Vec<bool> = units
                .map(|(units, &area)| is_positive(units - limit.of(area, sums.apart), WIDE))
                .collect();
            (0..width * height)
                .map(|i| {
                    let row = i / width / usize::from(h);
                    let column = i % width / usize::from(w);
                    positive[row * columns + column]
                })
                .collect()
        })
    }

    fn patch_sums(&self, operand: &GateOperand<'_>, c: usize, patch: Patch) -> PatchSums {
        let Shape { h, w, .. } = operand.value.shape();
        if let Some((sums, start)) = operand.apart(c, patch) {
            let own = start..start + patch.signs(h, w);
            return PatchSums {
                exact: sums.exact()[own.clone()].to_vec(),
                units: sums.values()[own].to_vec(),
                apart: true,
            };
        }
        let channel = c * h * w..(c + 1) * h * w;
        let exact = add_up(patch, w, &operand.value.exact()[channel.clone()]);
        let units = match operand.value.masks() {
            None => exact.iter().map(|&z| truncate(z, NEAREST)).collect(),
            Some(masks) => {
                // D and R of a sum are the sums of those of its pixels.
                let masks: Vec<i64> = masks[channel].iter().map(|&r| i64::from(r)).collect();
                let masks = add_up(patch, w, &masks);
                exact
                    .iter()
                    .zip(masks)
                    .map(|(&z, r)| truncate(z, r as u32))
                    .collect()
            }
        };
        PatchSums {
            exact,
            units,
            apart: false,
        }
    }

    /// What a gate has in its form's ring, its result or (in one round) its value, as an activation.
    fn extend(
        &mut self,
        (operand, element): (&IntMap, usize),
        y: i64,
        (form, is_signed): (Form, bool),
    ) -> i64 {
        let ring = form.ring();
        let offset = if is_signed { ACTIVATION_OFFSET } else { 0 };
        let moved = low(y + offset, ring);
        if is_positive(moved, ring) {
            return moved - offset;
        }
        let client = match (form, operand.masks()) {
            // What is requantised keeps its two halves.
            (Form::Requant, Some(masks)) => masks[element] >> TRUNCATED_BITS,
            _ => self.source.result(self.current, element),
        };
        let client = low(i64::from(client), ring);
        let server = low(moved - client, ring);
        let wraps = !is_positive(client, ring) || !is_positive(server, ring);
        server + client - (i64::from(wraps) << ring) - offset
    }
}

/// What a form makes of a value and its two signs, see the table in [`gate`](crate::mpc::gate).
fn select(form: Form, z: i64, [below, above]: [bool; 2], level: i64) -> i64 {
    match form {
        Form::Pass | Form::Requant => z,
        Form::Lower(_) => i64::from(below) * z,
        Form::Upper(_) => z - i64::from(above) * (z - level),
        Form::Paired(_) => i64::from(below != above) * z + i64::from(above) * level,
        Form::Both(..) => i64::from(below) * z - i64::from(above) * (z - level),
    }
}

/// The low bits of a value.
fn low(value: i64, bits: u32) -> i64 {
    value & ((1 << bits) - 1)
}

/// Whether the top one of so many low bits is zero.
fn is_positive(value: i64, bits: u32) -> bool {
    value >> (bits - 1) & 1 == 0
}

/// Sums over the patches of a channel.
fn add_up(patch: Patch, width: usize, pixels: &[i64]) -> Vec<i64> {
    let [h, w] = patch.to_pair().map(usize::from);
    let columns = width.div_ceil(w);
    let rows = pixels.len() / width;
    let mut sums = vec![0; rows.div_ceil(h) * columns];
    for (y, row) in pixels.chunks(width).enumerate() {
        let sums = &mut sums[y / h * columns..][..columns];
        for (sum, pixels) in sums.iter_mut().zip(row.chunks(w)) {
            *sum += pixels.iter().sum::<i64>();
        }
    }
    sums
}
