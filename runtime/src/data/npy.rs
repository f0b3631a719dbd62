//! The `.npy` format: one array, read item by item.
//!
//! An array stays on disk and one item of its first axis is read at a time, so that a set of any
//! size costs the memory of one image. Nothing is allocated by a header's word: the file's length
//! must fit the shape first.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use trefoil_ir::tail::DType;

use super::error::NpyError;

mod header;
#[cfg(test)]
mod tests;

pub(super) use header::Element;
use header::Header;

const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// Reads the header of an array, and leaves the reader at its elements: the shape, and the bytes of all
/// elements. A file may say anything: compare before you allocate.
///
/// # Errors
/// If it is no `.npy` array, or of an element type that is not numbers.
pub fn read_npy_header(reader: &mut impl Read) -> Result<(Vec<usize>, u64), NpyError> {
    let header = Header::read(reader)?;
    let bytes = header.byte_len()?;
    Ok((header.shape, bytes))
}

/// Whether a file begins as `.npy` files do.
pub(super) fn is_npy(path: &Path) -> io::Result<bool> {
    let mut start = Vec::new();
    File::open(path)?
        .take(MAGIC.len() as u64)
        .read_to_end(&mut start)?;
    Ok(start == MAGIC)
}

/// An array in a file.
pub(super) struct NpyArray {
    header: Header,
    storage: Storage,
}

enum Storage {
    /// C order: items lie one after another from `start`.
    OnDisk { file: Mutex<File>, start: u64 },
    /// Fortran order: every item is spread over the whole file.
    InMemory(Vec<u8>),
}

impl NpyArray {
    /// Reads the header and checks the file's length against it.
    pub(super) fn open(path: &Path) -> Result<Self, NpyError> {
        let mut file = File::open(path)?;
        let header = Header::read(&mut file)?;
        let start = file.stream_position()?;
        let announced = header.byte_len()?;
        let found = file.metadata()?.len().saturating_sub(start);
        if announced != found {
            return Err(NpyError::Length { announced, found });
        }
        let storage = if header.fortran_order {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Storage::InMemory(exactly(bytes, announced)?)
        } else {
            let file = Mutex::new(file);
            Storage::OnDisk { file, start }
        };
        Ok(Self { header, storage })
    }

    pub(super) fn shape(&self) -> &[usize] {
        &self.header.shape
    }

    pub(super) fn element(&self) -> Element {
        self.header.element
    }

    /// Puts an axis of one item in front: a batch of one.
    pub(super) fn into_batch(mut self) -> Self {
        self.header.shape.insert(0, 1);
        self
    }

    /// The bytes of one item of the first axis, in C order; `index` must lie within that axis.
    pub(super) fn item(&self, index: usize) -> Result<Vec<u8>, NpyError> {
        let item_len = self.shape()[1..].iter().product::<usize>() * self.element().size();
        match &self.storage {
            Storage::OnDisk { file, start } => {
                let offset = start + index as u64 * item_len as u64;
                read_at(file, offset, item_len as u64)
            }
            Storage::InMemory(bytes) => Ok(self.gather(bytes, index, item_len)),
        }
    }

    /// The bytes of a one-dimensional array, whose orders are the same.
    pub(super) fn all(&self) -> Result<Vec<u8>, NpyError> {
        match &self.storage {
            Storage::OnDisk { file, start } => read_at(file, *start, self.header.byte_len()?),
            Storage::InMemory(bytes) => Ok(bytes.clone()),
        }
    }

    /// One item of an array in Fortran order, whose first axis varies fastest.
    fn gather(&self, bytes: &[u8], index: usize, item_len: usize) -> Vec<u8> {
        let (shape, size) = (self.shape(), self.element().size());
        let mut item = Vec::with_capacity(item_len);
        for flat in 0..item_len / size {
            let (mut rest, mut place) = (flat, 0);
            let mut stride: usize = shape.iter().product();
            for &len in shape[1..].iter().rev() {
                stride /= len;
                place += rest % len * stride;
                rest /= len;
            }
            let at = (place + index) * size;
            item.extend_from_slice(&bytes[at..at + size]);
        }
        item
    }
}

fn read_at(file: &Mutex<File>, offset: u64, len: u64) -> Result<Vec<u8>, NpyError> {
    // A reader that panicked leaves at worst another position, and every read seeks first.
    let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::with_capacity(len as usize);
    (&mut *file).take(len).read_to_end(&mut bytes)?;
    exactly(bytes, len)
}

/// A file may have shrunk since its length was checked.
fn exactly(bytes: Vec<u8>, announced: u64) -> Result<Vec<u8>, NpyError> {
    let found = bytes.len() as u64;
    if found == announced {
        Ok(bytes)
    } else {
        Err(NpyError::Length { announced, found })
    }
}

/// Writes the header of an array in C order; its elements are to follow.
pub(super) fn write_header(out: &mut impl Write, dtype: DType, shape: &[usize]) -> io::Result<()> {
    let word = descr(dtype);
    let axes: String = shape.iter().map(|len| format!("{len}, ")).collect();
    let mut text = format!("{{'descr': '{word}', 'fortran_order': False, 'shape': ({axes}), }}");
    // The elements begin at a multiple of 64, after magic, version, length, text and newline.
    let unpadded = MAGIC.len() + 2 + 2 + text.len() + 1;
    text.push_str(&" ".repeat(unpadded.next_multiple_of(64) - unpadded));
    text.push('\n');
    let length = u16::try_from(text.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    out.write_all(MAGIC)?;
    out.write_all(&[1, 0])?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(text.as_bytes())
}

/// NumPy's word for an element type.
fn descr(dtype: DType) -> &'static str {
    match dtype {
        DType::Bool => "|b1",
        DType::U8 => "|u1",
        DType::U16 => "<u2",
        DType::U32 => "<u4",
        DType::U64 => "<u8",
        DType::I8 => "|i1",
        DType::I16 => "<i2",
        DType::I32 => "<i4",
        DType::I64 => "<i8",
        DType::F16 => "<f2",
        DType::F32 => "<f4",
        DType::F64 => "<f8",
    }
}
