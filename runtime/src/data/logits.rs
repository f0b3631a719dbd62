//! Writes logits, and reads the class off them.

use std::io::{self, Write};
use std::path::Path;

use super::error::DataError;
use super::npy;
use crate::files::PrivateFile;

/// Writes one row per image as a float32 `.npy` of shape `[rows, shape...]`.
///
/// `shape` is that of one row without the batch: `[classes]` or `[C, H, W]`. The file appears
/// under its name only when it is complete, and only its owner may read it.
pub fn write_logits(path: impl AsRef<Path>, rows: &[Vec<f32>], shape: &[usize]) -> Result<(), DataError> {
    let path = path.as_ref();
    let row_len = shape.iter().try_fold(1_usize, |len, &n| len.checked_mul(n));
    if let Some(index) = rows.iter().position(|row| Some(row.len()) != row_len) {
        return Err(DataError::LogitsShape {
            index,
            found: rows[index].len(),
            shape: shape.to_vec(),
        });
    }
    let full_shape: Vec<usize> = [rows.len()].iter().chain(shape).copied().collect();
    let write = || {
        let mut file = PrivateFile::create(path)?;
        write_array(&mut file, rows, &full_shape)?;
        file.commit()
    };
    write().map_err(|source| DataError::Write {
        path: path.to_owned(),
        source,
    })
}

/// The index of the greatest logit, the first of equals; NaN never wins.
///
/// Of an empty or all-NaN slice it is 0.
pub fn top1(logits: &[f32]) -> usize {
    let mut best = 0;
    for (index, &logit) in logits.iter().enumerate() {
        // A NaN in the lead gives way to the first number.
        if logit > logits[best] || (logits[best].is_nan() && !logit.is_nan()) {
            best = index;
        }
    }
    best
}

fn write_array(file: &mut impl Write, rows: &[Vec<f32>], shape: &[usize]) -> io::Result<()> {
    npy::write_f32_header(file, shape)?;
    for value in rows.iter().flatten() {
        file.write_all(&value.to_le_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use ndarray::{Array2, Array4};
    use ndarray_npy::read_npy;

    use super::*;

    #[test]
    fn top1_takes_the_first_maximum_and_no_nan() {
        let nan = f32::NAN;
        assert_eq!(top1(&[1.0, 3.0, 3.0, 2.0]), 1);
        assert_eq!(top1(&[nan, -5.0, nan, -4.0, nan]), 3);
        assert_eq!(top1(&[nan, f32::NEG_INFINITY]), 1);
        assert_eq!(top1(&[nan, nan]), 0);
        assert_eq!(top1(&[]), 0);
        assert_eq!(top1(&[f32::NEG_INFINITY, f32::INFINITY]), 1);
    }

    #[test]
    fn an_independent_reader_reads_what_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("o.npy");
        let rows = vec![vec![1.0, -2.5, 3.0], vec![f32::MIN, 0.0, f32::MAX]];
        write_logits(&path, &rows, &[3]).unwrap();
        let read: Array2<f32> = read_npy(&path).unwrap();
        assert_eq!(read.dim(), (2, 3));
        assert_eq!(read.into_raw_vec_and_offset().0, rows.concat());

        let maps = vec![(0..24).map(|i| i as f32).collect::<Vec<_>>(); 2];
        write_logits(&path, &maps, &[2, 3, 4]).unwrap();
        let read: Array4<f32> = read_npy(&path).unwrap();
        assert_eq!(read.dim(), (2, 2, 3, 4));
        assert_eq!(read[[1, 1, 2, 3]], 23.0);
    }

    #[test]
    fn failed_writes_leave_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let taken = folder.path().join("o.npy");
        fs::create_dir(&taken).unwrap();
        assert!(write_logits(&taken, &[vec![1.0]], &[1]).is_err());
        assert!(write_logits(folder.path().join("none/o.npy"), &[], &[1]).is_err());
        let short = write_logits(folder.path().join("p.npy"), &[vec![1.0]], &[2]);
        assert!(matches!(
            short,
            Err(DataError::LogitsShape {
                index: 0,
                found: 1,
                ..
            })
        ));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
