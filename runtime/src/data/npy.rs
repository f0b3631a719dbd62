//! The `.npy` format: one array, read item by item, through `npyz`.
//!
//! An array stays on disk and one item of its first axis is read at a time, so that a set of any
//! size costs the memory of one image. Nothing is allocated or multiplied by a header's word before
//! [`header`] has seen it: the file's length must fit the shape.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use npyz::{DType, Deserialize, NpyFile, NpyHeader, NpyReader, Order, TypeChar, WriterBuilder};
use trefoil_ir::tail;

use super::error::NpyError;

mod header;
#[cfg(test)]
mod tests;

pub(super) use header::read as read_header;

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// Where the text of a header of version 1 begins.
const TEXT: usize = 10;

/// Reads the header of an array, and leaves the reader at its elements: the shape, and the bytes of all
/// elements. A file may say anything: compare before you allocate.
///
/// # Errors
/// If it is no `.npy` array.
pub fn read_npy_header(reader: &mut impl Read) -> Result<(Vec<usize>, u64), NpyError> {
    let header = read_header(reader)?;
    Ok((header::shape(&header)?, header::byte_len(&header)?))
}

/// Whether a file begins as `.npy` files do.
pub(super) fn is_npy(path: &Path) -> io::Result<bool> {
    let mut start = Vec::new();
    File::open(path)?
        .take(MAGIC.len() as u64)
        .read_to_end(&mut start)?;
    Ok(start == MAGIC)
}

/// A file whose header is sound and whose length is what it says.
fn open(path: &Path) -> Result<NpyFile<BufReader<File>>, NpyError> {
    let mut file = File::open(path)?;
    let header = read_header(&mut file)?;
    let start = file.stream_position()?;
    let announced = header::byte_len(&header)?;
    let found = file.metadata()?.len().saturating_sub(start);
    if announced != found {
        return Err(NpyError::Length { announced, found });
    }
    Ok(NpyFile::with_header(header, BufReader::new(file)))
}

/// Images in a file, of the kinds that images have.
pub(super) struct NpyArray {
    shape: Vec<usize>,
    elements: Elements,
}

enum Elements {
    F32(Items<f32>),
    F64(Items<f64>),
    U8(Items<u8>),
}

impl NpyArray {
    /// Reads the header, and checks it and the file's length.
    pub(super) fn open(path: &Path) -> Result<Self, NpyError> {
        let file = open(path)?;
        let shape = header::shape(file.header())?;
        let elements = match kind(&file.dtype()) {
            Some((TypeChar::Float, 4)) => Elements::F32(Items::new(file)?),
            Some((TypeChar::Float, 8)) => Elements::F64(Items::new(file)?),
            Some((TypeChar::Uint, 1)) => Elements::U8(Items::new(file)?),
            _ => return Err(NpyError::ElementType(name(&file.dtype()))),
        };
        Ok(Self { shape, elements })
    }

    pub(super) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Whether its elements are floats; else they are bytes.
    pub(super) fn is_float(&self) -> bool {
        !matches!(self.elements, Elements::U8(_))
    }

    /// Puts an axis of one item in front: a batch of one.
    pub(super) fn into_batch(mut self) -> Self {
        self.shape.insert(0, 1);
        self
    }

    /// One item of the first axis as float32, in C order; too large a float64 becomes infinite.
    /// `index` must lie within that axis.
    pub(super) fn floats(&self, index: usize) -> Result<Vec<f32>, NpyError> {
        match &self.elements {
            Elements::F32(items) => items.item(index, &self.shape),
            Elements::F64(items) => Ok(converted(items.item(index, &self.shape)?, |value| value as f32)),
            Elements::U8(items) => Ok(converted(items.item(index, &self.shape)?, f32::from)),
        }
    }

    /// One item of the first axis as bytes, in C order; an error if the elements are floats.
    pub(super) fn bytes(&self, index: usize) -> Result<Vec<u8>, NpyError> {
        match &self.elements {
            Elements::U8(items) => items.item(index, &self.shape),
            Elements::F32(_) => Err(NpyError::ElementType("float32".to_owned())),
            Elements::F64(_) => Err(NpyError::ElementType("float64".to_owned())),
        }
    }
}

fn converted<T, U>(values: Vec<T>, convert: impl Fn(T) -> U) -> Vec<U> {
    values.into_iter().map(convert).collect()
}

/// Elements of one type.
enum Items<T: Deserialize> {
    /// C order: items lie one after another.
    OnDisk(Mutex<NpyReader<T, BufReader<File>>>),
    /// Fortran order: every item is spread over the whole file.
    InMemory(Vec<T>),
}

impl<T: Deserialize + Copy> Items<T> {
    fn new(file: NpyFile<BufReader<File>>) -> Result<Self, NpyError> {
        Ok(match file.order() {
            // The type is that of the header, so a reader of it there is.
            Order::C => match file.data() {
                Ok(reader) => Items::OnDisk(Mutex::new(reader)),
                Err(error) => return Err(io::Error::other(error.to_string()).into()),
            },
            Order::Fortran => Items::InMemory(file.into_vec()?),
        })
    }

    fn item(&self, index: usize, shape: &[usize]) -> Result<Vec<T>, NpyError> {
        let length: usize = shape[1..].iter().product();
        match self {
            Items::OnDisk(reader) => {
                // A reader that panicked leaves at worst another position, and every read seeks first.
                let mut reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
                reader.seek_to((index * length) as u64)?;
                let item: io::Result<Vec<T>> = reader.by_ref().take(length).collect();
                Ok(item?)
            }
            Items::InMemory(values) => Ok((0..length)
                .map(|flat| values[index + fortran(flat, shape)])
                .collect()),
        }
    }
}

/// Where an element of the first item lies in Fortran order, in which the first axis varies fastest.
fn fortran(flat: usize, shape: &[usize]) -> usize {
    let mut stride: usize = shape.iter().product();
    let mut rest = flat;
    let mut place = 0;
    for &length in shape[1..].iter().rev() {
        stride /= length;
        place += rest % length * stride;
        rest /= length;
    }
    place
}

/// An array of integers: its shape, and its elements in the order of the file, `None` where one is
/// beyond 64 bits with a sign.
pub(super) type Integers = (Vec<usize>, Vec<Option<i64>>);

/// An array of integers of any type; no array at all if its elements are no integers.
pub(super) fn integers(path: &Path) -> Result<Option<Integers>, NpyError> {
    let file = open(path)?;
    let shape = header::shape(file.header())?;
    let values = match kind(&file.dtype()) {
        Some((TypeChar::Int, 1)) => elements::<i8>(file)?,
        Some((TypeChar::Int, 2)) => elements::<i16>(file)?,
        Some((TypeChar::Int, 4)) => elements::<i32>(file)?,
        Some((TypeChar::Int, 8)) => elements::<i64>(file)?,
        Some((TypeChar::Uint, 1)) => elements::<u8>(file)?,
        Some((TypeChar::Uint, 2)) => elements::<u16>(file)?,
        Some((TypeChar::Uint, 4)) => elements::<u32>(file)?,
        Some((TypeChar::Uint, 8)) => elements::<u64>(file)?,
        _ => return Ok(None),
    };
    Ok(Some((shape, values)))
}

/// All elements of an array of this type, `None` where one is beyond 64 bits with a sign.
fn elements<T: Deserialize + TryInto<i64>>(file: NpyFile<BufReader<File>>) -> io::Result<Vec<Option<i64>>> {
    let values = file.into_vec::<T>()?.into_iter();
    Ok(values.map(|value| value.try_into().ok()).collect())
}

/// Kind and bytes of elements that are no records.
fn kind(dtype: &DType) -> Option<(TypeChar, u64)> {
    match dtype {
        DType::Plain(plain) => Some((plain.type_char(), plain.size_field())),
        DType::Array(..) | DType::Record(_) => None,
    }
}

/// The name that numpy gives to a type of elements.
fn name(dtype: &DType) -> String {
    let word = match kind(dtype) {
        Some((TypeChar::Int, _)) => "int",
        Some((TypeChar::Uint, _)) => "uint",
        Some((TypeChar::Float, _)) => "float",
        Some((TypeChar::Bool, _)) => return "bool".to_owned(),
        Some(_) => return dtype.descr(),
        None => return "record".to_owned(),
    };
    let bytes = kind(dtype).map_or(0, |(_, bytes)| bytes);
    format!("{word}{}", 8 * bytes)
}

/// The header of an array in C order; its elements are to follow.
pub(super) fn header_of(elements: tail::DType, shape: &[usize]) -> io::Result<Vec<u8>> {
    let shape: Vec<u64> = shape.iter().map(|&length| length as u64).collect();
    let mut header = Vec::new();
    let options = npyz::WriteOptions::new_header_only().dtype(dtype(elements)?);
    options.shape(&shape).writer(&mut header).write_header_only()?;
    Ok(header)
}

/// Whether a header is of such elements in C order.
pub(super) fn is_of(header: &NpyHeader, elements: tail::DType) -> bool {
    header.order() == Order::C && dtype(elements).is_ok_and(|dtype| header.dtype() == dtype)
}

fn dtype(elements: tail::DType) -> io::Result<DType> {
    // The words below are types, so there is no error.
    let plain = descr(elements).parse();
    let plain = plain.map_err(|error: npyz::ParseTypeStrError| io::Error::other(error.to_string()))?;
    Ok(DType::new_scalar(plain))
}

/// A header of version 1 with blanks before its newline, so that it has this length.
pub(super) fn padded(mut header: Vec<u8>, length: usize) -> Vec<u8> {
    header.pop();
    header.resize(length - 1, b' ');
    header.push(b'\n');
    // Shapes of some axes are far from 64 KiB of text.
    let text = ((length - TEXT) as u16).to_le_bytes();
    header[TEXT - 2..TEXT].copy_from_slice(&text);
    header
}

/// numpy's word for an element type.
fn descr(elements: tail::DType) -> &'static str {
    use tail::DType as E;
    match elements {
        E::Bool => "|b1",
        E::U8 => "|u1",
        E::U16 => "<u2",
        E::U32 => "<u4",
        E::U64 => "<u8",
        E::I8 => "|i1",
        E::I16 => "<i2",
        E::I32 => "<i4",
        E::I64 => "<i8",
        E::F16 => "<f2",
        E::F32 => "<f4",
        E::F64 => "<f8",
    }
}
