//! Every state of a partial file, as an independent reader sees it.

use std::path::Path;

use ndarray::{Array1, Array2, Array4, ArrayD};
use ndarray_npy::read_npy;
use proptest::prelude::*;

use super::*;

fn row(dims: &[usize], number: usize) -> Array {
    let count: usize = dims.iter().product();
    let values = (0..count).map(|at| (number * 100 + at) as f64 - 3.5);
    Array {
        dims: dims.to_vec(),
        dtype: DType::F32,
        values: values.collect(),
    }
}

/// The kind of such rows.
fn kind(dims: &[usize]) -> Row {
    Row {
        dtype: DType::F32,
        dims: dims.to_vec(),
    }
}

/// The first rows, as an array has them.
fn rows(dims: &[usize], count: usize) -> Vec<f32> {
    let values = (0..count).flat_map(|number| row(dims, number).values);
    values.map(|value| value as f32).collect()
}

fn partial(path: &Path) -> PathBuf {
    partial_path(path).unwrap()
}

/// What an independent reader finds.
fn array(path: &Path) -> (Vec<usize>, Vec<f32>) {
    let array: ArrayD<f32> = read_npy(path).unwrap();
    (array.shape().to_vec(), array.into_raw_vec_and_offset().0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// A run that is cut off anywhere, any number of times, comes to the array of one that is not.
    #[test]
    fn runs_that_are_cut_off_and_resumed_write_every_row_once(
        cuts in prop::collection::vec(0usize..13, 0..5),
        dims in prop_oneof![Just(vec![3]), Just(vec![2, 1, 4]), Just(vec![])],
    ) {
        const TOTAL: usize = 12;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("o.npy");
        let mut done = 0;
        for cut in cuts.into_iter().chain([TOTAL]) {
            let mut results = ResultsFile::resume(&path, kind(&dims), TOTAL).unwrap();
            prop_assert_eq!(results.rows(), done);
            while done < cut {
                results.append(&row(&dims, done)).unwrap();
                done += 1;
                let (found, values) = array(&partial(&path));
                prop_assert_eq!(found, [&[done][..], &dims].concat());
                prop_assert_eq!(values, rows(&dims, done));
            }
            let kept = Kept { path: partial(&path), rows: done, total: TOTAL };
            prop_assert_eq!(results.kept(), (done > 0).then_some(kept));
            if cut == TOTAL {
                results.finish().unwrap();
                prop_assert_eq!(results.kept(), None);
                break;
            }
            drop(results);
            prop_assert_eq!(partial(&path).exists(), done > 0);
        }
        prop_assert_eq!(array(&path).1, rows(&dims, TOTAL));
        prop_assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

#[test]
fn maps_keep_their_shape_and_what_stood_there_is_replaced_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("o.npy");
    fs::write(&path, "old").unwrap();
    let mut results = ResultsFile::create(&path, kind(&[2, 3, 4]), 2).unwrap();
    for number in 0..2 {
        assert_eq!(fs::read(&path).unwrap(), b"old");
        results.append(&row(&[2, 3, 4], number)).unwrap();
    }
    results.finish().unwrap();
    drop(results);
    let read: Array4<f32> = read_npy(&path).unwrap();
    assert_eq!((read.dim(), read[[1, 1, 2, 3]]), ((2, 2, 3, 4), 119.5));
}

#[test]
fn rows_of_another_kind_or_too_many_are_refused_and_harm_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("o.npy");
    let mut results = ResultsFile::create(&path, kind(&[3]), 1).unwrap();
    assert!(results.append(&row(&[1], 0)).is_err());
    let dtype = DType::F64;
    assert!(
        results
            .append(&Array {
                dtype,
                ..row(&[3], 0)
            })
            .is_err()
    );
    results.append(&row(&[3], 0)).unwrap();
    assert!(results.append(&row(&[3], 1)).is_err());
    results.finish().unwrap();
    let read: Array2<f32> = read_npy(&path).unwrap();
    assert_eq!(read.dim(), (1, 3));
}

#[test]
fn elements_are_of_the_type_that_the_network_gives() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("o.npy");
    let (dtype, dims) = (DType::I64, vec![]);
    let mut results = ResultsFile::create(&path, Row { dtype, dims: vec![] }, 2).unwrap();
    for value in [-3.0, 281.0] {
        let dims = dims.clone();
        results
            .append(&Array {
                dims,
                dtype,
                values: vec![value],
            })
            .unwrap();
    }
    results.finish().unwrap();
    let read: Array1<i64> = read_npy(&path).unwrap();
    assert_eq!(read.to_vec(), [-3, 281]);
}

#[test]
fn a_process_that_was_killed_leaves_whole_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("o.npy");
    let mut results = ResultsFile::create(&path, kind(&[3]), 5).unwrap();
    results.append(&row(&[3], 0)).unwrap();
    // The next row is half written, and the header does not count it: no destructor runs.
    results.write_at(results.bytes(1), &[1, 2, 3, 4, 5]).unwrap();
    results.begun = false;
    drop(results);
    let mut results = ResultsFile::resume(&path, kind(&[3]), 5).unwrap();
    assert_eq!(results.rows(), 1);
    results.append(&row(&[3], 1)).unwrap();
    assert_eq!(array(&partial(&path)), (vec![2, 3], rows(&[3], 2)));
    // Another file of the same run may have come less far.
    results.keep(1).unwrap();
    assert_eq!(array(&partial(&path)), (vec![1, 3], rows(&[3], 1)));
    results.keep(4).unwrap();
    assert_eq!(results.rows(), 1);
}

#[test]
fn what_other_runs_left_is_neither_lost_nor_mixed_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("o.npy");
    let create = |dims: &[usize], total| ResultsFile::create(&path, kind(dims), total).map(drop);
    let resume = |dims: &[usize], total| ResultsFile::resume(&path, kind(dims), total).map(drop);
    let mut results = ResultsFile::create(&path, kind(&[3]), 5).unwrap();
    results.append(&row(&[3], 0)).unwrap();
    results.append(&row(&[3], 1)).unwrap();
    assert!(matches!(create(&[3], 5), Err(DataError::InUse { .. })));
    drop(results);
    let kept = fs::read(partial(&path)).unwrap();
    assert!(matches!(
        create(&[3], 5),
        Err(DataError::Unfinished { rows: 2, .. })
    ));
    assert!(matches!(resume(&[4], 5), Err(DataError::Foreign { .. })));
    assert!(matches!(resume(&[3], 1), Err(DataError::Foreign { .. })));
    assert_eq!(fs::read(partial(&path)).unwrap(), kept);
    // A file that is no array at all, and one that a killed process did not get to fill.
    fs::write(partial(&path), "mine").unwrap();
    assert!(matches!(create(&[3], 5), Err(DataError::Foreign { .. })));
    assert!(matches!(resume(&[3], 5), Err(DataError::Foreign { .. })));
    assert_eq!(fs::read(partial(&path)).unwrap(), b"mine");
    fs::write(partial(&path), "").unwrap();
    create(&[3], 5).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn places_that_take_no_results_are_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let create = |path: &Path, total| ResultsFile::create(path, kind(&[1000]), total).map(drop);
    assert!(matches!(
        create(Path::new("/proc/o.npy"), 1),
        Err(DataError::Write { .. })
    ));
    assert!(matches!(
        create(&folder.path().join("none/o.npy"), 1),
        Err(DataError::Write { .. })
    ));
    assert!(matches!(
        create(Path::new("/dev/null"), 1),
        Err(DataError::NotAFile { .. })
    ));
    assert!(matches!(
        create(folder.path(), 1),
        Err(DataError::NotAFile { .. })
    ));
    // More than any disk has.
    let error = create(&folder.path().join("o.npy"), 1 << 50).unwrap_err();
    assert!(matches!(error, DataError::NoRoom { .. }), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn nobody_else_may_read_results_or_have_others_files_filled() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("o.npy");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    // Left there by somebody else, say.
    fs::write(partial(&path), "").unwrap();
    fs::set_permissions(partial(&path), PermissionsExt::from_mode(0o666)).unwrap();
    let mut results = ResultsFile::create(&path, kind(&[1]), 1).unwrap();
    assert_eq!(mode(&partial(&path)), 0o600);
    results.append(&row(&[1], 0)).unwrap();
    results.finish().unwrap();
    assert_eq!(mode(&path), 0o600);
    let other = folder.path().join("other");
    symlink(&other, partial(&path)).unwrap();
    let error = ResultsFile::create(&path, kind(&[1]), 1).map(drop).unwrap_err();
    assert!(
        matches!(error, DataError::Write { .. }) && !other.exists(),
        "{error}"
    );
}
