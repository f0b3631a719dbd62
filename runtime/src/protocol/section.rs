//! The payloads that are one vector of numbers: the masked image, and the server's half of what is
//! revealed. (Those of gates and truncations are written and read in [`block`](super::block)s.)

use crate::pool;
use crate::wire::bits::{BitsError, pack_fields_u16, pack_fields_u32, unpack_fields_u16, unpack_fields_u32};

/// The payload of whole 32-bit words.
pub fn of_u32s(values: &[u32]) -> Vec<u8> {
    let mut payload = pool::with_capacity(4 * values.len());
    pack_fields_u32(values, u32::BITS, &mut payload);
    payload
}

/// The `count` words of a payload.
///
/// # Errors
/// If it is longer or shorter.
pub fn to_u32s(payload: &[u8], count: usize) -> Result<Vec<u32>, BitsError> {
    let mut values = pool::zeroed(count);
    unpack_fields_u32(payload, u32::BITS, &mut values)?;
    Ok(values)
}

/// The payload of whole 16-bit words.
pub fn of_u16s(values: &[u16]) -> Vec<u8> {
    let mut payload = pool::with_capacity(2 * values.len());
    pack_fields_u16(values, u16::BITS, &mut payload);
    payload
}

/// The `count` words of a payload.
///
/// # Errors
/// If it is longer or shorter.
pub fn to_u16s(payload: &[u8], count: usize) -> Result<Vec<u16>, BitsError> {
    let mut values = pool::zeroed(count);
    unpack_fields_u16(payload, u16::BITS, &mut values)?;
    Ok(values)
}
