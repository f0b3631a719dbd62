//! A block's part of a message.

use trefoil_ir::mpc::gate::{BLOCK, Field};

use super::{Bits, Halves, WORDS, Words};
use crate::kernel::Isa;
use crate::wire::bits::{BitsError, check_section, field_bytes, pack_u16, pack_u32, unpack_u16, unpack_u32};

/// A block's part of a payload being written: field after field, each packed to a whole byte.
pub struct BlockWriter<'a> {
    isa: Isa,
    rest: &'a mut [u8],
    count: usize,
}

impl<'a> BlockWriter<'a> {
    /// Writes the fields of `count` values over `bytes`, which they fill.
    pub fn new(isa: Isa, bytes: &'a mut [u8], count: usize) -> Self {
        Self {
            isa,
            rest: bytes,
            count,
        }
    }

    /// Takes the next field: `bits` bits for each value, in whole bytes.
    fn section(&mut self, bits: u32) -> &'a mut [u8] {
        let rest = std::mem::take(&mut self.rest);
        let (section, rest) = rest.split_at_mut(field_bytes(self.count, bits));
        self.rest = rest;
        section
    }

    /// Single bits of each value, plane after plane.
    pub fn planes(&mut self, planes: &[Bits]) {
        if self.count == BLOCK {
            // Whole blocks, which nearly all are, without a call for each plane.
            let rest = std::mem::take(&mut self.rest);
            let (sections, rest) = rest.split_at_mut(size_of_val(planes));
            self.rest = rest;
            let words = sections.as_chunks_mut::<8>().0.iter_mut();
            for (word, bits) in words.zip(planes.as_flattened()) {
                *word = bits.to_le_bytes();
            }
            return;
        }
        for plane in planes {
            let bytes: [[u8; 8]; WORDS] = plane.map(u64::to_le_bytes);
            let section = self.section(1);
            section.copy_from_slice(&bytes.as_flattened()[..section.len()]);
            let used = self.count % 8;
            if used > 0
                && let Some(last) = section.last_mut()
            {
                *last &= (1 << used) - 1;
            }
        }
    }

    /// The low `bits` bits of each value, 16 at most.
    pub fn halves(&mut self, values: &Halves, bits: u32) {
        let section = self.section(bits);
        #[cfg(target_arch = "x86_64")]
        if self.isa.runs_avx512() && super::avx512::pack_u16(values, bits, self.count, section) {
            return;
        }
        pack_u16(&values[..self.count], bits, section);
    }

    /// The low `bits` bits of each value.
    pub fn words(&mut self, values: &Words, bits: u32) {
        let section = self.section(bits);
        #[cfg(target_arch = "x86_64")]
        if self.isa.runs_avx512() && super::avx512::pack_u32(values, bits, self.count, section) {
            return;
        }
        pack_u32(&values[..self.count], bits, section);
    }
}

/// A block's part of a payload being read. Padding bits must be zero, so that a message has one
/// form only.
pub struct BlockReader<'a> {
    isa: Isa,
    rest: &'a [u8],
    count: usize,
}

impl<'a> BlockReader<'a> {
    /// Reads the fields of `count` values from `bytes`.
    pub fn new(isa: Isa, bytes: &'a [u8], count: usize) -> Self {
        Self {
            isa,
            rest: bytes,
            count,
        }
    }

    fn section(&mut self, bits: u32) -> Result<&'a [u8], BitsError> {
        let expected = field_bytes(self.count, bits);
        let (section, rest) = self.rest.split_at_checked(expected).ok_or(BitsError::Length {
            expected,
            got: self.rest.len(),
        })?;
        self.rest = rest;
        check_section(section, self.count, bits)?;
        Ok(section)
    }

    /// Passes over fields that another step reads.
    pub fn skip(&mut self, fields: &[Field]) {
        let bytes: usize = fields.iter().map(|f| f.section(self.count).bytes()).sum();
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    /// Single bits; those behind the last value are zero.
    ///
    /// # Errors
    /// If the payload is too short or padding bits are set.
    pub fn planes(&mut self, planes: &mut [Bits]) -> Result<(), BitsError> {
        let whole = size_of_val(planes);
        if self.count == BLOCK
            && let Some((sections, rest)) = self.rest.split_at_checked(whole)
        {
            // Whole blocks, which nearly all are, without a call for each plane.
            self.rest = rest;
            let words = sections.as_chunks::<8>().0.iter();
            for (word, bits) in words.zip(planes.as_flattened_mut()) {
                *bits = u64::from_le_bytes(*word);
            }
            return Ok(());
        }
        for plane in planes {
            let section = self.section(1)?;
            let mut bytes = [[0; 8]; WORDS];
            bytes.as_flattened_mut()[..section.len()].copy_from_slice(section);
            *plane = bytes.map(u64::from_le_bytes);
        }
        Ok(())
    }

    /// One bit of each value.
    ///
    /// # Errors
    /// As [`planes`](Self::planes).
    pub fn plane(&mut self) -> Result<Bits, BitsError> {
        let mut plane = [Bits::default()];
        self.planes(&mut plane)?;
        Ok(plane[0])
    }

    /// Numbers of `bits` bits, 16 at most; behind the last value there is anything.
    ///
    /// # Errors
    /// As [`planes`](Self::planes).
    pub fn halves(&mut self, bits: u32, values: &mut Halves) -> Result<(), BitsError> {
        let section = self.section(bits)?;
        #[cfg(target_arch = "x86_64")]
        if self.isa.runs_avx512() && super::avx512::unpack_u16(section, bits, self.count, values) {
            return Ok(());
        }
        unpack_u16(section, bits, &mut values[..self.count]);
        Ok(())
    }

    /// Numbers of `bits` bits; behind the last value there is anything.
    ///
    /// # Errors
    /// As [`planes`](Self::planes).
    pub fn words(&mut self, bits: u32, values: &mut Words) -> Result<(), BitsError> {
        let section = self.section(bits)?;
        #[cfg(target_arch = "x86_64")]
        if self.isa.runs_avx512() && super::avx512::unpack_u32(section, bits, self.count, values) {
            return Ok(());
        }
        unpack_u32(section, bits, &mut values[..self.count]);
        Ok(())
    }
}
