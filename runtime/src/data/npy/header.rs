//! The header of a `.npy` file, looked through before `npyz` parses it: that believes any length,
//! any depth, and any product of axes.

use std::io::Read;

use npyz::NpyHeader;

use super::super::error::NpyError;
use super::MAGIC;

/// Longest header that is read; numpy itself refuses beyond 10,000 characters.
const MAX_HEADER: u32 = 1 << 16;
/// More axes than any array here has, and as many as numpy allows.
const MAX_AXES: usize = 64;

/// Reads a header and leaves the file at its first element.
pub(in crate::data) fn read(file: &mut impl Read) -> Result<NpyHeader, NpyError> {
    let (bytes, text) = bytes(file)?;
    let text = str::from_utf8(&bytes[text..]).map_err(|_| NpyError::Header("not text"))?;
    check(text)?;
    let header = NpyHeader::from_reader(bytes.as_slice());
    // What the parser says would repeat the text, which comes from outside.
    let header = header.map_err(|_| NpyError::Header("it is not what numpy writes"))?;
    match header.shape().len() {
        0..=MAX_AXES => Ok(header),
        _ => Err(NpyError::Header("too many axes")),
    }
}

/// All bytes before the first element, and where among them the text begins: it is not longer than any
/// header's.
fn bytes(file: &mut impl Read) -> Result<(Vec<u8>, usize), NpyError> {
    let mut bytes = vec![0; MAGIC.len() + 2];
    read_or(file, &mut bytes, NpyError::NotNpy)?;
    if !bytes.starts_with(MAGIC) {
        return Err(NpyError::NotNpy);
    }
    let mut length = [0; 4];
    let width = match bytes[MAGIC.len()] {
        1 => 2,
        2 | 3 => 4,
        _ => return Err(NpyError::Header("unknown version of the format")),
    };
    read_or(file, &mut length[..width], ends_early())?;
    bytes.extend(&length[..width]);
    let start = bytes.len();
    let length = u32::from_le_bytes(length);
    if length > MAX_HEADER {
        return Err(NpyError::Header("longer than any header is"));
    }
    bytes.resize(start + length as usize, 0);
    read_or(file, &mut bytes[start..], ends_early())?;
    Ok((bytes, start))
}

/// Refuses what a parser, or a product of axes, should not see.
fn check(text: &str) -> Result<(), NpyError> {
    if text.contains('[') {
        return Err(NpyError::ElementType("record".to_owned()));
    }
    // A dictionary, and the shape in it.
    if text.matches(['{', '(']).count() > 2 {
        return Err(NpyError::Header("it is nested"));
    }
    // Every number of the text is an axis or an element's size. An axis of 0 must not hide axes whose
    // product overflows.
    let numbers = text
        .split(|c: char| !c.is_ascii_digit())
        .filter(|digits| !digits.is_empty());
    let mut axes = numbers.map(|digits| digits.parse::<u64>().ok().map(|axis| axis.max(1)));
    let bytes = axes.try_fold(1_u64, |product, axis| product.checked_mul(axis?));
    match bytes {
        Some(bytes) if bytes <= isize::MAX as u64 => Ok(()),
        _ => Err(NpyError::Overflow),
    }
}

/// The length of all elements. [`read`] has multiplied the numbers of the text, and of some types an
/// element has more bytes than its number says.
pub(super) fn byte_len(header: &NpyHeader) -> Result<u64, NpyError> {
    let size = header.dtype().num_bytes().unwrap_or(0) as u64;
    header.len().checked_mul(size).ok_or(NpyError::Overflow)
}

/// Lengths of the axes, the first one outermost.
pub(super) fn shape(header: &NpyHeader) -> Result<Vec<usize>, NpyError> {
    let axes = header.shape().iter().map(|&axis| usize::try_from(axis));
    axes.collect::<Result<_, _>>().map_err(|_| NpyError::Overflow)
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
