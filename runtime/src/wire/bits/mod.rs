//! Bits on the wire: fields of 1 to 32 bits, packed without gaps.
//!
//! A section of `count` fields of `bits` bits is one bit stream, the lowest bit of the first field
//! first, and fills [`field_bytes`]`(count, bits)` bytes; the last byte is padded with zero bits.
//! A reader knows `count` and `bits` from the plan and refuses every other length and every
//! padding bit that is set, so that a section has exactly one encoding.
//!
//! * [`pack_fields_u16`], [`unpack_fields_u16`], [`pack_fields_u32`], [`unpack_fields_u32`]

mod fields;
#[cfg(test)]
mod tests;

pub use fields::{field_bytes, pack_fields_u16, pack_fields_u32, unpack_fields_u16, unpack_fields_u32};
pub(crate) use fields::{pack_u16, pack_u32, unpack_u16, unpack_u32};

/// A section of packed bits that is not what the plan says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BitsError {
    /// The section is longer or shorter than its fields.
    #[error(
        "a section of packed bits has {got} bytes where the plan calls for {expected}: \
         check that both parties run the same plan"
    )]
    Length {
        /// Bytes that the plan calls for.
        expected: usize,
        /// Bytes that came.
        got: usize,
    },
    /// Bits behind the last field are set.
    #[error(
        "a section of packed bits ends in padding that is not zero: the message was damaged or \
         packed by something else than this protocol"
    )]
    Padding,
    /// The fields have no bits, or more than the integers that they are unpacked to.
    #[error(
        "fields of {bits} bits cannot be unpacked to integers of {most}: widths run from 1 to \
         {most}; the plan that calls for this is damaged, compile it anew"
    )]
    Width {
        /// The width asked for.
        bits: u32,
        /// The widest that fits.
        most: u32,
    },
}

/// Checks a section's length and padding.
pub(crate) fn check_section(bytes: &[u8], count: usize, bits: u32) -> Result<(), BitsError> {
    let expected = field_bytes(count, bits);
    let got = bytes.len();
    if got != expected {
        return Err(BitsError::Length { expected, got });
    }
    let used_of_last = (count % 8 * bits as usize) % 8;
    match bytes.last() {
        Some(last) if used_of_last != 0 && last >> used_of_last != 0 => Err(BitsError::Padding),
        _ => Ok(()),
    }
}
