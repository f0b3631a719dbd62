//! The header of a `.npy` file: a Python dictionary of element type, order and shape.

use std::io::Read;

use super::super::error::NpyError;
use super::MAGIC;

/// Longest header that is read; numpy itself refuses beyond 10,000 characters.
const MAX_HEADER: u32 = 1 << 16;
/// More axes than any array here has, and as many as numpy allows.
const MAX_AXES: usize = 64;

/// What a header says.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) element: Element,
    pub(super) fortran_order: bool,
    pub(super) shape: Vec<usize>,
}

impl Header {
    /// Reads a header and leaves the file at its first element.
    pub(super) fn read(file: &mut impl Read) -> Result<Self, NpyError> {
        let mut start = [0; 8];
        read_or(file, &mut start, NpyError::NotNpy)?;
        if !start.starts_with(MAGIC) {
            return Err(NpyError::NotNpy);
        }
        let mut length = [0; 4];
        match start[6] {
            1 => read_or(file, &mut length[..2], ends_early())?,
            2 | 3 => read_or(file, &mut length, ends_early())?,
            _ => return Err(NpyError::Header("unknown version of the format")),
        }
        let length = u32::from_le_bytes(length);
        if length > MAX_HEADER {
            return Err(NpyError::Header("longer than any header is"));
        }
        let mut text = vec![0; length as usize];
        read_or(file, &mut text, ends_early())?;
        let text = str::from_utf8(&text).map_err(|_| NpyError::Header("not text"))?;
        Parser { rest: text }.header()
    }

    /// The length of all elements.
    pub(super) fn byte_len(&self) -> Result<u64, NpyError> {
        let size = self.element.size();
        // An axis of 0 must not hide axes whose product overflows.
        let mut axes = self.shape.iter().map(|&len| len.max(1));
        axes.try_fold(size, usize::checked_mul)
            .filter(|&bytes| bytes <= isize::MAX as usize)
            .map(|bytes| if self.shape.contains(&0) { 0 } else { bytes as u64 })
            .ok_or_else(|| NpyError::Overflow(self.shape.clone()))
    }
}

/// Fills `buffer`; a file that ends before gives `early`.
fn read_or(file: &mut impl Read, buffer: &mut [u8], early: NpyError) -> Result<(), NpyError> {
    file.read_exact(buffer).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => early,
        _ => NpyError::Io(error),
    })
}

fn ends_early() -> NpyError {
    NpyError::Header("the file ends within it")
}

/// The type of an array's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::data) struct Element {
    kind: Kind,
    big_endian: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    F32,
    F64,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
}

impl Element {
    fn parse(text: &str) -> Option<Self> {
        let (order, kind) = text.split_at_checked(1)?;
        let big_endian = match order {
            "<" | "|" => false,
            ">" => true,
            "=" => cfg!(target_endian = "big"),
            _ => return None,
        };
        let kind = match kind {
            "f4" => Kind::F32,
            "f8" => Kind::F64,
            "i1" => Kind::I8,
            "i2" => Kind::I16,
            "i4" => Kind::I32,
            "i8" => Kind::I64,
            "u1" => Kind::U8,
            "u2" => Kind::U16,
            "u4" => Kind::U32,
            "u8" => Kind::U64,
            _ => return None,
        };
        Some(Self { kind, big_endian })
    }

    /// The name that numpy gives it.
    pub(in crate::data) fn name(self) -> &'static str {
        match self.kind {
            Kind::F32 => "float32",
            Kind::F64 => "float64",
            Kind::I8 => "int8",
            Kind::I16 => "int16",
            Kind::I32 => "int32",
            Kind::I64 => "int64",
            Kind::U8 => "uint8",
            Kind::U16 => "uint16",
            Kind::U32 => "uint32",
            Kind::U64 => "uint64",
        }
    }

    /// Bytes of one element.
    pub(in crate::data) fn size(self) -> usize {
        match self.kind {
            Kind::I8 | Kind::U8 => 1,
            Kind::I16 | Kind::U16 => 2,
            Kind::F32 | Kind::I32 | Kind::U32 => 4,
            Kind::F64 | Kind::I64 | Kind::U64 => 8,
        }
    }

    pub(in crate::data) fn is_float(self) -> bool {
        matches!(self.kind, Kind::F32 | Kind::F64)
    }

    pub(in crate::data) fn is_integer(self) -> bool {
        !self.is_float()
    }

    pub(in crate::data) fn is_u8(self) -> bool {
        self.kind == Kind::U8
    }

    /// The elements in `bytes` as float32; too large a float64 becomes infinite.
    pub(in crate::data) fn floats(self, bytes: &[u8]) -> Vec<f32> {
        match self.kind {
            Kind::F32 => self.words(bytes).map(f32::from_le_bytes).collect(),
            Kind::F64 => {
                let doubles = self.words(bytes).map(f64::from_le_bytes);
                doubles.map(|value| value as f32).collect()
            }
            _ => self
                .integers(bytes)
                .into_iter()
                .map(|value| value.map_or(f32::NAN, |value| value as f32))
                .collect(),
        }
    }

    /// The elements in `bytes` as integers, `None` for those beyond 64 bits with a sign.
    pub(in crate::data) fn integers(self, bytes: &[u8]) -> Vec<Option<i64>> {
        fn all(values: impl Iterator<Item = impl TryInto<i64>>) -> Vec<Option<i64>> {
            values.map(|value| value.try_into().ok()).collect()
        }
        match self.kind {
            Kind::I8 => all(self.words(bytes).map(i8::from_le_bytes)),
            Kind::I16 => all(self.words(bytes).map(i16::from_le_bytes)),
            Kind::I32 => all(self.words(bytes).map(i32::from_le_bytes)),
            Kind::I64 => all(self.words(bytes).map(i64::from_le_bytes)),
            Kind::U8 => all(self.words(bytes).map(u8::from_le_bytes)),
            Kind::U16 => all(self.words(bytes).map(u16::from_le_bytes)),
            Kind::U32 => all(self.words(bytes).map(u32::from_le_bytes)),
            Kind::U64 => all(self.words(bytes).map(u64::from_le_bytes)),
            Kind::F32 | Kind::F64 => vec![None; bytes.len() / self.size()],
        }
    }

    /// The elements of `SIZE` bytes, least significant byte first.
    fn words<const SIZE: usize>(self, bytes: &[u8]) -> impl Iterator<Item = [u8; SIZE]> {
        let (words, _) = bytes.as_chunks::<SIZE>();
        words.iter().map(move |&(mut word)| {
            if self.big_endian {
                word.reverse();
            }
            word
        })
    }
}

/// Reads the subset of Python literals that numpy writes.
struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn header(mut self) -> Result<Header, NpyError> {
        let (mut element, mut fortran_order, mut shape) = (None, None, None);
        self.expect("{")?;
        while !self.accept("}") {
            let key = self.string()?;
            self.expect(":")?;
            match key {
                "descr" => element = Some(self.element()?),
                "fortran_order" => fortran_order = Some(self.boolean()?),
                "shape" => shape = Some(self.shape()?),
                _ => return Err(NpyError::Header("unknown key")),
            }
            if !self.accept(",") {
                self.expect("}")?;
                break;
            }
        }
        match (element, fortran_order, shape) {
            (Some(element), Some(fortran_order), Some(shape)) => Ok(Header {
                element,
                fortran_order,
                shape,
            }),
            _ => Err(NpyError::Header(
                "one of descr, fortran_order and shape is missing",
            )),
        }
    }

    fn element(&mut self) -> Result<Element, NpyError> {
        if self.rest.trim_start().starts_with('[') {
            return Err(NpyError::ElementType("record".to_owned()));
        }
        let text = self.string()?;
        Element::parse(text).ok_or_else(|| {
            // The text comes from outside, so no more of it than a type's name needs.
            let shown = text.chars().take(16).filter(|c| c.is_ascii_graphic());
            NpyError::ElementType(format!("'{}'", shown.collect::<String>()))
        })
    }

    fn boolean(&mut self) -> Result<bool, NpyError> {
        if self.accept("True") {
            Ok(true)
        } else {
            self.expect("False")?;
            Ok(false)
        }
    }

    fn shape(&mut self) -> Result<Vec<usize>, NpyError> {
        let mut shape = Vec::new();
        self.expect("(")?;
        while !self.accept(")") {
            shape.push(self.number()?);
            if shape.len() > MAX_AXES {
                return Err(NpyError::Header("too many axes"));
            }
            if !self.accept(",") {
                self.expect(")")?;
                break;
            }
        }
        Ok(shape)
    }

    fn number(&mut self) -> Result<usize, NpyError> {
        let text = self.rest.trim_start();
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = text.split_at(digits);
        self.rest = rest;
        number
            .parse()
            .map_err(|_| NpyError::Header("an axis is no number of 64 bits"))
    }

    fn string(&mut self) -> Result<&'a str, NpyError> {
        let malformed = NpyError::Header("a string is expected");
        let text = self.rest.trim_start();
        let Some(quote) = text.chars().next().filter(|c| matches!(c, '\'' | '"')) else {
            return Err(malformed);
        };
        let (string, rest) = text[1..].split_once(quote).ok_or(malformed)?;
        self.rest = rest;
        Ok(string)
    }

    fn accept(&mut self, token: &str) -> bool {
        let rest = self.rest.trim_start().strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, token: &str) -> Result<(), NpyError> {
        if self.accept(token) {
            Ok(())
        } else {
            Err(NpyError::Header("unexpected punctuation"))
        }
    }
}
