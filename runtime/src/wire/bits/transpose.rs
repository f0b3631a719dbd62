//! Bit slicing by transposition, for every machine: 64 values of 16 bits are 16 words, and so are
//! their 16 planes.

/// Values that are transposed at a time.
pub(super) const BLOCK: usize = 64;

/// The planes of 64 values: bit `i` of word `j` is bit `j` of value `i`.
pub(super) fn slice_block(values: &[u16; BLOCK]) -> [u64; 16] {
    let mut rows = std::array::from_fn(|row| {
        u64::from(values[row])
            | u64::from(values[16 + row]) << 16
            | u64::from(values[32 + row]) << 32
            | u64::from(values[48 + row]) << 48
    });
    transpose(&mut rows);
    rows
}

/// The inverse of [`slice_block`].
pub(super) fn merge_block(mut planes: [u64; 16], values: &mut [u16; BLOCK]) {
    transpose(&mut planes);
    for (row, lanes) in planes.into_iter().enumerate() {
        values[row] = lanes as u16;
        values[16 + row] = (lanes >> 16) as u16;
        values[32 + row] = (lanes >> 32) as u16;
        values[48 + row] = (lanes >> 48) as u16;
    }
}

/// Transposes four 16 × 16 bit matrices, one in each 16-bit lane of 16 rows: swaps the upper right
/// with the lower left quarter, then the same within each quarter, and so on.
fn transpose(rows: &mut [u64; 16]) {
    swap_quarters::<8>(rows, 0x00ff_00ff_00ff_00ff);
    swap_quarters::<4>(rows, 0x0f0f_0f0f_0f0f_0f0f);
    swap_quarters::<2>(rows, 0x3333_3333_3333_3333);
    swap_quarters::<1>(rows, 0x5555_5555_5555_5555);
}

#[inline(always)]
fn swap_quarters<const HALF: usize>(rows: &mut [u64; 16], low_columns: u64) {
    for pair in rows.chunks_exact_mut(2 * HALF) {
        let (upper, lower) = pair.split_at_mut(HALF);
        for (upper, lower) in upper.iter_mut().zip(lower) {
            let changed = (*upper >> HALF ^ *lower) & low_columns;
            *upper ^= changed << HALF;
            *lower ^= changed;
        }
    }
}

/// One plane of 64 values: four values at a time, their bits gathered by a multiplication.
pub(super) fn plane_block(values: &[u16; BLOCK], bit: u32) -> u64 {
    values.as_chunks::<4>().0.iter().rev().fold(0, |word, four| {
        let lanes = four
            .iter()
            .rev()
            .fold(0, |lanes, &value| lanes << 16 | u64::from(value));
        // Lane k's bit moves to bit 48 + k; no two terms of the product meet.
        let bits = (lanes >> bit & 0x0001_0001_0001_0001).wrapping_mul(0x0001_0002_0004_0008);
        word << 4 | bits >> 48 & 0xf
    })
}
