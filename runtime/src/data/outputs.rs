//! Writes the outputs and logits of a whole set at once.

use std::io::{self, Write};
use std::path::Path;

use trefoil_ir::tail::{Array, DType};

use super::error::DataError;
use super::npy;
use crate::files::PrivateFile;

/// Writes one array per image as a `.npy` of shape `[images, dims...]`, of the arrays' own type.
///
/// All must have the dimensions and the type of the first. The file appears under its name only when
/// it is complete, and only its owner may read it.
///
/// # Errors
/// If the arrays differ, or the file cannot be written.
pub fn write_arrays(path: impl AsRef<Path>, rows: &[Array]) -> Result<(), DataError> {
    let path = path.as_ref();
    let (dims, dtype) = rows
        .first()
        .map_or((&[][..], DType::F32), |row| (&row.dims, row.dtype));
    let len = dims.iter().try_fold(1_usize, |len, &n| len.checked_mul(n));
    let mut all = rows.iter();
    if let Some(index) = all.position(|row| row.dims != dims || row.dtype != dtype || Some(row.len()) != len)
    {
        return Err(DataError::OutputShape {
            index,
            found: rows[index].dims.clone(),
            shape: dims.to_vec(),
        });
    }
    let shape: Vec<usize> = [rows.len()].iter().chain(dims).copied().collect();
    write_file(path, rows, dtype, &shape).map_err(|source| DataError::Write {
        path: path.to_owned(),
        source,
    })
}

fn write_file(path: &Path, rows: &[Array], dtype: DType, shape: &[usize]) -> io::Result<()> {
    let mut file = PrivateFile::create(path)?;
    write_array(&mut file, rows, dtype, shape)?;
    file.commit()
}

fn write_array(file: &mut impl Write, rows: &[Array], dtype: DType, shape: &[usize]) -> io::Result<()> {
    file.write_all(&npy::header_of(dtype, shape)?)?;
    let mut bytes = Vec::new();
    for row in rows {
        bytes.clear();
        row.values.iter().for_each(|&value| dtype.push(value, &mut bytes));
        file.write_all(&bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use ndarray::{Array1, Array2, Array4};
    use ndarray_npy::read_npy;

    use super::*;

    fn array(dims: &[usize], dtype: DType, values: Vec<f64>) -> Array {
        let dims = dims.to_vec();
        Array { dims, dtype, values }
    }

    #[test]
    fn an_independent_reader_reads_what_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("o.npy");
        let row = |values: [f32; 3]| array(&[3], DType::F32, values.map(f64::from).to_vec());
        let rows = [row([1.0, -2.5, 3.0]), row([f32::MIN, 0.0, f32::MAX])];
        write_arrays(&path, &rows).unwrap();
        let read: Array2<f32> = read_npy(&path).unwrap();
        assert_eq!(read.dim(), (2, 3));
        let values = read.into_raw_vec_and_offset().0;
        assert_eq!(values, [1.0, -2.5, 3.0, f32::MIN, 0.0, f32::MAX]);

        let map = array(&[2, 3, 4], DType::F64, (0..24).map(f64::from).collect());
        write_arrays(&path, &[map.clone(), map]).unwrap();
        let read: Array4<f64> = read_npy(&path).unwrap();
        assert_eq!(read.dim(), (2, 2, 3, 4));
        assert_eq!(read[[1, 1, 2, 3]], 23.0);
    }

    #[test]
    fn every_type_is_written_as_itself() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("o.npy");
        let write = |dtype, values: [f64; 2]| {
            let rows = values.map(|value| array(&[], dtype, vec![value]));
            write_arrays(&path, &rows).unwrap();
        };
        macro_rules! check {
            ($($dtype:ident $t:ty: $a:expr, $b:expr;)*) => {$(
                let numbers: [$t; 2] = [$a, $b];
                write(DType::$dtype, numbers.map(|number| number as f64));
                let read: Array1<$t> = read_npy(&path).unwrap();
                assert_eq!(read.to_vec(), numbers);
            )*};
        }
        check! {
            U8 u8: 0, 255; U16 u16: 1, 65535; U32 u32: 1, u32::MAX; U64 u64: 1, 1 << 53;
            I8 i8: -128, 127; I16 i16: -3, 4; I32 i32: i32::MIN, 7; I64 i64: -(1 << 53), 9;
            F32 f32: 0.5, -1.5; F64 f64: 0.1, 1e300;
        }
        write(DType::Bool, [0.0, 1.0]);
        let read: Array1<bool> = read_npy(&path).unwrap();
        assert_eq!(read.to_vec(), [false, true]);
        write(DType::F16, [1.0, -2.0]);
        let bytes = fs::read(&path).unwrap();
        assert!(bytes[..64].windows(5).any(|word| word == b"'<f2'"));
        assert_eq!(bytes[bytes.len() - 4..], [0x00, 0x3c, 0x00, 0xc0]);
    }

    #[test]
    fn failed_writes_leave_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let taken = folder.path().join("o.npy");
        fs::create_dir(&taken).unwrap();
        let one = array(&[1], DType::F32, vec![1.0]);
        assert!(write_arrays(&taken, std::slice::from_ref(&one)).is_err());
        assert!(write_arrays(folder.path().join("none/o.npy"), &[]).is_err());
        for other in [
            array(&[2], DType::F32, vec![1.0; 2]),
            array(&[1], DType::I64, vec![1.0]),
        ] {
            let differs = write_arrays(folder.path().join("p.npy"), &[one.clone(), other]);
            assert!(matches!(differs, Err(DataError::OutputShape { index: 1, .. })));
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
