//! Payloads: sections of packed fields, written and read in the order that the plan gives.

use crate::wire::bits::{
    BitPlane, BitsError, field_bytes, pack_fields_u16, pack_fields_u32, pack_plane, unpack_fields_u16,
    unpack_fields_u32, unpack_plane,
};

/// A payload being written.
#[derive(Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// An empty payload.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a section of fields.
    pub fn u16s(&mut self, values: &[u16], bits: u32) {
        pack_fields_u16(values, bits, &mut self.0);
    }

    /// Appends a section of fields.
    pub fn u32s(&mut self, values: &[u32], bits: u32) {
        pack_fields_u32(values, bits, &mut self.0);
    }

    /// Appends planes of single bits.
    pub fn planes(&mut self, planes: &[BitPlane]) {
        planes.iter().for_each(|p| self.plane(p));
    }

    /// Appends one plane.
    pub fn plane(&mut self, plane: &BitPlane) {
        pack_plane(plane, &mut self.0);
    }

    /// The payload.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// A payload being read. Its length has been checked against the plan on arrival, so that only
/// set padding bits can still be wrong.
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Reads from the beginning.
    pub fn new(payload: &'a [u8]) -> Self {
        Self(payload)
    }

    fn take(&mut self, bytes: usize) -> Result<&'a [u8], BitsError> {
        let (section, rest) = self.0.split_at_checked(bytes).ok_or(BitsError::Length {
            expected: bytes,
            got: self.0.len(),
        })?;
        self.0 = rest;
        Ok(section)
    }

    /// Reads a section of fields.
    ///
    /// # Errors
    /// If the payload is too short or padding bits are set.
    pub fn u16s(&mut self, count: usize, bits: u32) -> Result<Vec<u16>, BitsError> {
        let mut values = vec![0; count];
        unpack_fields_u16(self.take(field_bytes(count, bits))?, bits, &mut values)?;
        Ok(values)
    }

    /// Reads a section of fields.
    ///
    /// # Errors
    /// If the payload is too short or padding bits are set.
    pub fn u32s(&mut self, count: usize, bits: u32) -> Result<Vec<u32>, BitsError> {
        let mut values = vec![0; count];
        unpack_fields_u32(self.take(field_bytes(count, bits))?, bits, &mut values)?;
        Ok(values)
    }

    /// Reads one plane.
    ///
    /// # Errors
    /// If the payload is too short or padding bits are set.
    pub fn plane(&mut self, len: usize) -> Result<BitPlane, BitsError> {
        unpack_plane(self.take(field_bytes(len, 1))?, len)
    }

    /// Reads several planes.
    ///
    /// # Errors
    /// If the payload is too short or padding bits are set.
    pub fn planes(&mut self, count: usize, len: usize) -> Result<Vec<BitPlane>, BitsError> {
        (0..count).map(|_| self.plane(len)).collect()
    }

    /// Checks that everything has been read.
    ///
    /// # Errors
    /// If something is left.
    pub fn finish(self) -> Result<(), BitsError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(BitsError::Length {
                expected: 0,
                got: self.0.len(),
            })
        }
    }
}
