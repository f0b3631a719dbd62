//! Masks that are misused on purpose, in what a receiver sees of them.

use super::table::Column;
use crate::prg::{Purpose, StreamKey};

/// A purpose whose masks are misused.
#[derive(Clone, Copy, Debug)]
pub(super) struct Broken {
    pub(super) purpose: Purpose,
    pub(super) misuse: Misuse,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Misuse {
    /// The values go without a mask.
    Omitted,
    /// A value's mask has no upper half, or no mask if it is a bit.
    Narrow,
    /// The top bit of a value's mask is missing.
    NoTopBit,
    /// Two neighbours share a mask.
    SharedByNeighbours,
    /// All fields of a step that this purpose masks have the first one's mask.
    SharedByFields,
}

impl Misuse {
    pub(super) const ALL: [Self; 5] = [
        Self::Omitted,
        Self::Narrow,
        Self::NoTopBit,
        Self::SharedByNeighbours,
        Self::SharedByFields,
    ];
}

impl Broken {
    /// Puts other masks under the columns of a view than those of `key`.
    pub(super) fn break_columns(&self, columns: &mut [Column], key: &dyn Fn() -> StreamKey, inference: u32) {
        let mut first: Option<(u32, Vec<u32>)> = None;
        for column in columns.iter_mut().filter(|column| column.purpose == self.purpose) {
            let masks = masks(column, &key(), inference);
            let (step, of_first) = first.get_or_insert_with(|| (column.step, masks.clone()));
            let others: Vec<u32> = (0..masks.len())
                .map(|at| match self.misuse {
                    Misuse::Omitted => 0,
                    Misuse::Narrow => masks[at] & ((1 << (column.bits / 2)) - 1),
                    Misuse::NoTopBit => masks[at] & ((1 << (column.bits - 1)) - 1),
                    Misuse::SharedByNeighbours => masks[at & !1],
                    Misuse::SharedByFields if *step == column.step => of_first[at % of_first.len()],
                    Misuse::SharedByFields => masks[at],
                })
                .collect();
            self.exchange(column, &masks, &others);
        }
    }

    fn exchange(&self, column: &mut Column, masks: &[u32], others: &[u32]) {
        let added = matches!(self.purpose, Purpose::OpeningMask | Purpose::PatchMask);
        let limit = u32::MAX >> (32 - column.bits);
        for ((value, mask), other) in column.values.iter_mut().zip(masks).zip(others) {
            let [more, less] = if added { [other, mask] } else { [mask, other] };
            *value = value.wrapping_add(*more).wrapping_sub(*less) & limit;
        }
    }
}

/// The masks of a column's values.
fn masks(column: &Column, key: &StreamKey, inference: u32) -> Vec<u32> {
    let len = column.place.bit(column.values.len(), 0) / 8 + 1;
    let mut bytes = vec![0u8; len as usize];
    key.stream(inference, column.step, column.purpose)
        .fill(&mut bytes);
    let bit = |at: u64| u32::from(bytes[(at / 8) as usize] >> (at % 8) & 1);
    let mask = |value| {
        let bits = 0..column.bits;
        bits.fold(0, |mask, j| mask | bit(column.place.bit(value, j)) << j)
    };
    (0..column.values.len()).map(mask).collect()
}
