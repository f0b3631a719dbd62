//! Fields of a fixed number of bits, packed without gaps.
//!
//! 64 fields of `W` bits are exactly `W` words of 64 bits, so everything works on 64 values at a
//! time with `W` a constant: neighbours are joined within a word (two of 32 bits, four of 16) by
//! masks and shifts, and the resulting pieces are strung together. What is left at the end goes
//! through the same code, filled up with zeros.

use super::{BitsError, check_section};

/// Values that are packed at a time.
const BLOCK: usize = 64;

/// Bytes of a section of `count` fields of `bits` bits: `count · bits / 8`, rounded up.
pub fn field_bytes(count: usize, bits: u32) -> usize {
    let bits = bits as usize;
    count / 8 * bits + (count % 8 * bits).div_ceil(8)
}

/// Calls a function that is generic over a width with the width at hand, of up to 16 or 32.
macro_rules! with_width {
    (16, $bits:expr, $function:ident $arguments:tt) => {
        with_width!($bits, $function $arguments, 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16)
    };
    (32, $bits:expr, $function:ident $arguments:tt) => {
        with_width!($bits, $function $arguments,
            1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16
            17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32)
    };
    ($bits:expr, $function:ident $arguments:tt, $($width:literal)*) => {
        match $bits {
            $($width => $function::<$width> $arguments,)*
            bits => panic!("a field cannot have {bits} bits: widths come from a checked plan"),
        }
    };
}

/// Appends the low `bits` bits (1 to 16) of each value as a section.
///
/// # Panics
/// If `bits` is not a width from 1 to 16: widths come from a checked plan.
pub fn pack_fields_u16(values: &[u16], bits: u32, out: &mut Vec<u8>) {
    pack_u16(values, bits, appended(out, field_bytes(values.len(), bits)));
}

/// Writes the low `bits` bits (1 to 16) of each value over a section, of the length that they fill.
pub(crate) fn pack_u16(values: &[u16], bits: u32, section: &mut [u8]) {
    with_width!(16, bits, pack_halves(values, section));
}

/// Reads a section whose length and padding were checked.
pub(crate) fn unpack_u16(section: &[u8], bits: u32, out: &mut [u16]) {
    with_width!(16, bits, unpack_halves(section, out));
}

/// Reads a section of `out.len()` fields of `bits` bits (1 to 16). On an error nothing is written.
pub fn unpack_fields_u16(bytes: &[u8], bits: u32, out: &mut [u16]) -> Result<(), BitsError> {
    check_width(bits, u16::BITS)?;
    check_section(bytes, out.len(), bits)?;
    unpack_u16(bytes, bits, out);
    Ok(())
}

/// Appends the low `bits` bits (1 to 32) of each value as a section.
///
/// # Panics
/// If `bits` is not a width from 1 to 32: widths come from a checked plan.
pub fn pack_fields_u32(values: &[u32], bits: u32, out: &mut Vec<u8>) {
    pack_u32(values, bits, appended(out, field_bytes(values.len(), bits)));
}

/// Writes the low `bits` bits (1 to 32) of each value over a section, of the length that they fill.
pub(crate) fn pack_u32(values: &[u32], bits: u32, section: &mut [u8]) {
    with_width!(32, bits, pack_words(values, section));
}

/// Reads a section whose length and padding were checked.
pub(crate) fn unpack_u32(section: &[u8], bits: u32, out: &mut [u32]) {
    with_width!(32, bits, unpack_words(section, out));
}

/// The next `bytes` bytes of a payload that grows.
fn appended(out: &mut Vec<u8>, bytes: usize) -> &mut [u8] {
    let start = out.len();
    out.resize(start + bytes, 0);
    &mut out[start..]
}

/// Reads a section of `out.len()` fields of `bits` bits (1 to 32). On an error nothing is written.
pub fn unpack_fields_u32(bytes: &[u8], bits: u32, out: &mut [u32]) -> Result<(), BitsError> {
    check_width(bits, u32::BITS)?;
    check_section(bytes, out.len(), bits)?;
    unpack_u32(bytes, bits, out);
    Ok(())
}

fn check_width(bits: u32, most: u32) -> Result<(), BitsError> {
    if (1..=most).contains(&bits) {
        Ok(())
    } else {
        Err(BitsError::Width { bits, most })
    }
}

/// Packing and unpacking of one type of value: the loops over blocks, and the joining of
/// neighbours into pieces of `PER_WORD * W` bits.
macro_rules! fields {
    ($value:ty, $per_word:literal, $pack:ident, $unpack:ident, $join:ident, $part:ident) => {
        fn $pack<const W: usize>(values: &[$value], section: &mut [u8]) {
            if W == <$value>::BITS as usize {
                for (bytes, value) in section.chunks_exact_mut(W / 8).zip(values) {
                    bytes.copy_from_slice(&value.to_le_bytes());
                }
                return;
            }
            let (blocks, rest) = values.as_chunks::<BLOCK>();
            let (whole, tail) = section.split_at_mut(blocks.len() * W * 8);
            let packed = whole.as_chunks_mut::<8>().0.as_chunks_mut::<W>().0;
            for (block, packed) in blocks.iter().zip(packed) {
                pack_block::<W>(block, packed);
            }
            if !rest.is_empty() {
                let mut block = [0; BLOCK];
                block[..rest.len()].copy_from_slice(rest);
                let mut packed = [[0; 8]; W];
                pack_block::<W>(&block, &mut packed);
                tail.copy_from_slice(&packed.as_flattened()[..tail.len()]);
            }

            // Out of line: its two calls would double the code of every width, for no speed.
            #[inline(never)]
            fn pack_block<const W: usize>(block: &[$value; BLOCK], packed: &mut [[u8; 8]; W]) {
                let pieces: [u64; BLOCK / $per_word] =
                    std::array::from_fn(|i| $join::<W>(std::array::from_fn(|j| block[$per_word * i + j])));
                string(&pieces, $per_word * W, packed);
            }
        }

        fn $unpack<const W: usize>(section: &[u8], out: &mut [$value]) {
            if W == <$value>::BITS as usize {
                let bytes = section.as_chunks::<{ size_of::<$value>() }>().0;
                for (value, &bytes) in out.iter_mut().zip(bytes) {
                    *value = <$value>::from_le_bytes(bytes);
                }
                return;
            }
            let (blocks, rest) = out.as_chunks_mut::<BLOCK>();
            let (whole, tail) = section.split_at(blocks.len() * W * 8);
            let packed = whole.as_chunks::<8>().0.as_chunks::<W>().0;
            for (block, packed) in blocks.iter_mut().zip(packed) {
                unpack_block::<W>(packed, block);
            }
            if !rest.is_empty() {
                let mut packed = [[0; 8]; W];
                packed.as_flattened_mut()[..tail.len()].copy_from_slice(tail);
                let mut block = [0; BLOCK];
                unpack_block::<W>(&packed, &mut block);
                rest.copy_from_slice(&block[..rest.len()]);
            }

            // Out of line, as above.
            #[inline(never)]
            fn unpack_block<const W: usize>(packed: &[[u8; 8]; W], block: &mut [$value; BLOCK]) {
                let pieces: [u64; BLOCK / $per_word] = unstring(packed, $per_word * W);
                for (values, piece) in block.as_chunks_mut::<$per_word>().0.iter_mut().zip(pieces) {
                    *values = $part::<W>(piece);
                }
            }
        }
    };
}
fields!(u16, 4, pack_halves, unpack_halves, join_u16, part_u16);
fields!(u32, 2, pack_words, unpack_words, join_u32, part_u32);

/// Four values side by side without gaps: 4 · W bits.
#[inline(always)]
fn join_u16<const W: usize>(values: [u16; 4]) -> u64 {
    let lanes = values
        .iter()
        .rev()
        .fold(0, |lanes, &value| lanes << 16 | u64::from(value));
    let lanes = lanes & (low(W) * 0x0001_0001_0001_0001);
    let pairs = lanes & 0x0000_ffff_0000_ffff | (lanes & 0xffff_0000_ffff_0000) >> (16 - W);
    pairs & 0xffff_ffff | pairs >> 32 << (2 * W)
}

/// The inverse of [`join_u16`]; bits above 4 · W do not matter.
#[inline(always)]
fn part_u16<const W: usize>(piece: u64) -> [u16; 4] {
    let pairs = piece & low(2 * W) | (piece >> (2 * W) & low(2 * W)) << 32;
    let lanes = pairs & (low(W) * 0x0000_0001_0000_0001)
        | (pairs & ((low(W) << W) * 0x0000_0001_0000_0001)) << (16 - W);
    [
        lanes as u16,
        (lanes >> 16) as u16,
        (lanes >> 32) as u16,
        (lanes >> 48) as u16,
    ]
}

/// Two values side by side without gaps: 2 · W bits.
#[inline(always)]
fn join_u32<const W: usize>([first, second]: [u32; 2]) -> u64 {
    u64::from(first) & low(W) | (u64::from(second) & low(W)) << W
}

/// The inverse of [`join_u32`]; bits above 2 · W do not matter.
#[inline(always)]
fn part_u32<const W: usize>(piece: u64) -> [u32; 2] {
    [(piece & low(W)) as u32, (piece >> W & low(W)) as u32]
}

/// The lowest `bits` bits set, 1 to 64 of them.
const fn low(bits: usize) -> u64 {
    u64::MAX >> (64 - bits)
}

/// Writes a statement out 32 times with `$index` a constant from 0 to 31, so that every shift below
/// is by a constant; left as loops, the wider widths take two to three times as long.
macro_rules! unroll {
    ($index:ident => $body:expr) => {
        unroll!($index => $body,
            0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31)
    };
    ($index:ident => $body:expr, $($value:literal)*) => {
        $({ const $index: usize = $value; $body })*
    };
}

/// Strings pieces of `bits` bits together, `PIECES · bits` being `WORDS` words.
#[inline(always)]
fn string<const PIECES: usize, const WORDS: usize>(
    pieces: &[u64; PIECES],
    bits: usize,
    words: &mut [[u8; 8]; WORDS],
) {
    unroll!(WORD => if WORD < WORDS {
        let first = 64 * WORD / bits;
        let offset = 64 * WORD % bits;
        let mut word = pieces[first] >> offset;
        for next in 1..=64 / bits + 1 {
            let have = next * bits - offset;
            if have < 64 {
                word |= pieces[first + next] << have;
            }
        }
        words[WORD] = word.to_le_bytes();
    });
}

/// The inverse of [`string`]; what stands above a piece's `bits` bits is of its neighbours.
#[inline(always)]
fn unstring<const PIECES: usize, const WORDS: usize>(words: &[[u8; 8]; WORDS], bits: usize) -> [u64; PIECES] {
    let mut pieces = [0; PIECES];
    unroll!(PIECE => if PIECE < PIECES {
        let word = PIECE * bits / 64;
        let offset = PIECE * bits % 64;
        pieces[PIECE] = u64::from_le_bytes(words[word]) >> offset;
        if offset + bits > 64 {
            pieces[PIECE] |= u64::from_le_bytes(words[word + 1]) << (64 - offset);
        }
    });
    pieces
}
