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

/// Where these tests' rows come from.
fn origin() -> Origin {
    let (plan, data) = ("1".to_owned(), "a".to_owned());
    Origin { plan, data }
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

/// Ends a run as a process that is killed does: no destructor runs.
fn kill(mut results: ResultsFile) {
    results.state = State::Found;
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
            let mut results = ResultsFile::resume(&path, kind(&dims), TOTAL, &origin()).unwrap();
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
                results.sync().unwrap();
                results.finish().unwrap();
                prop_assert_eq!(results.kept(), None);
                results.forget();
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
    let mut results = ResultsFile::create(&path, kind(&[2, 3, 4]), 2, &origin()).unwrap();
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
    let mut results = ResultsFile::create(&path, kind(&[3]), 1, &origin()).unwrap();
    let no_place = |appended| matches!(appended, Err(DataError::NoPlace { total: 1, .. }));
    assert!(no_place(results.append(&row(&[1], 0))));
    let dtype = DType::F64;
    let doubles = Array {
        dtype,
        ..row(&[3], 0)
    };
    assert!(no_place(results.append(&doubles)));
    results.append(&row(&[3], 0)).unwrap();
    assert!(no_place(results.append(&row(&[3], 1))));
    results.finish().unwrap();
    let read: Array2<f32> = read_npy(&path).unwrap();
    assert_eq!(read.dim(), (1, 3));
}

#[test]
fn elements_are_of_the_type_that_the_network_gives() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("o.npy");
    let (dtype, dims) = (DType::I64, vec![]);
    let mut results = ResultsFile::create(&path, Row { dtype, dims: vec![] }, 2, &origin()).unwrap();
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
    let mut results = ResultsFile::create(&path, kind(&[3]), 5, &origin()).unwrap();
    results.append(&row(&[3], 0)).unwrap();
    // The next row is half written, and the header does not count it: no destructor runs.
    results.write_at(results.bytes(1), &[1, 2, 3, 4, 5]).unwrap();
    kill(results);
    let mut results = ResultsFile::resume(&path, kind(&[3]), 5, &origin()).unwrap();
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
    let create = |dims: &[usize], total| ResultsFile::create(&path, kind(dims), total, &origin()).map(drop);
    let resume = |dims: &[usize], total| ResultsFile::resume(&path, kind(dims), total, &origin()).map(drop);
    let mut results = ResultsFile::create(&path, kind(&[3]), 5, &origin()).unwrap();
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
    let create = |path: &Path, total| ResultsFile::create(path, kind(&[1000]), total, &origin()).map(drop);
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
    let mut results = ResultsFile::create(&path, kind(&[1]), 1, &origin()).unwrap();
    assert_eq!(mode(&partial(&path)), 0o600);
    results.append(&row(&[1], 0)).unwrap();
    results.finish().unwrap();
    assert_eq!(mode(&path), 0o600);
    let other = folder.path().join("other");
    symlink(&other, partial(&path)).unwrap();
    let error = ResultsFile::create(&path, kind(&[1]), 1, &origin())
        .map(drop)
        .unwrap_err();
    assert!(
        matches!(error, DataError::Write { .. }) && !other.exists(),
        "{error}"
    );
}

#[test]
fn rows_of_another_plan_or_other_images_are_not_gone_on_behind() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("o.npy");
    let record = folder.path().join("o.npy.partial.run");
    let mut results = ResultsFile::create(&path, kind(&[3]), 2, &origin()).unwrap();
    results.append(&row(&[3], 0)).unwrap();
    drop(results);
    let mode = fs::metadata(&record).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let kept = fs::read(partial(&path)).unwrap();
    let resume = |plan: &str, data: &str| {
        let (plan, data) = (plan.to_owned(), data.to_owned());
        ResultsFile::resume(&path, kind(&[3]), 2, &Origin { plan, data }).map(|results| results.rows())
    };
    for (plan, data, differs) in [("2", "a", "plan"), ("1", "b", "data"), ("2", "b", "plan")] {
        let error = resume(plan, data).unwrap_err();
        assert!(
            matches!(error, DataError::OfAnotherRun { what, .. } if what == differs),
            "{error}"
        );
    }
    assert_eq!(resume("1", "a").unwrap(), 1);
    fs::remove_file(&record).unwrap();
    let error = resume("1", "a").unwrap_err();
    assert!(matches!(error, DataError::OfUnknownRun { .. }), "{error}");
    assert_eq!(fs::read(partial(&path)).unwrap(), kept);
    // Without a row there is nothing to mix up.
    fs::remove_file(partial(&path)).unwrap();
    fs::write(&record, "plan 2\ndata b\n").unwrap();
    assert_eq!(resume("1", "a").unwrap(), 0);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// A run that is killed when its array has its name has nothing left to do, and only that run.
#[test]
fn an_array_that_has_its_name_is_complete() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("o.npy");
    let resume = |dims: &[usize], total| ResultsFile::resume(&path, kind(dims), total, &origin()).unwrap();
    let mut results = ResultsFile::create(&path, kind(&[3]), 1, &origin()).unwrap();
    results.append(&row(&[3], 0)).unwrap();
    results.finish().unwrap();
    kill(results);
    let whole = fs::read(&path).unwrap();
    let mut results = resume(&[3], 1);
    assert_eq!((results.rows(), results.is_complete()), (1, true));
    assert_eq!((results.place(), results.kept()), (&*path, None));
    assert!(results.append(&row(&[3], 1)).is_err());
    results.sync().unwrap();
    results.finish().unwrap();
    results.forget();
    drop(results);
    assert_eq!(fs::read(&path).unwrap(), whole);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    // It may be of any run now.
    assert_eq!(resume(&[3], 1).rows(), 0);
    // An array of another kind, of other rows, or cut short is not that of this run.
    for (dims, total, length) in [
        (&[4][..], 1, whole.len()),
        (&[3], 2, whole.len()),
        (&[3], 1, whole.len() - 1),
    ] {
        fs::write(&path, &whole[..length]).unwrap();
        fs::write(folder.path().join("o.npy.partial.run"), "plan 1\ndata a\n").unwrap();
        assert_eq!(resume(dims, total).rows(), 0, "{dims:?} {total} {length}");
    }
}

/// Whether the file system of a folder can reserve room.
fn can_reserve(folder: &Path) -> Result<(), String> {
    let file = File::create(folder.join("reserved")).unwrap();
    fallocate(&file, FallocateFlags::KEEP_SIZE, 0, 1 << 20)
        .map_err(|_| "the file system of temporary files cannot reserve room".to_owned())
}

#[cfg(target_os = "linux")]
#[test]
fn room_stays_reserved_whatever_a_run_begins_with() {
    use std::os::unix::fs::MetadataExt;
    const WIDE: [usize; 1] = [1 << 16];
    const TOTAL: usize = 8;
    let folder = tempfile::tempdir().unwrap();
    if trefoil_tests::needed(can_reserve(folder.path())).is_none() {
        return;
    }
    let path = folder.path().join("o.npy");
    let all = (TOTAL * WIDE[0] * 4) as u64;
    let has_room = || fs::metadata(partial(&path)).unwrap().blocks() * 512 >= all;
    let mut results = ResultsFile::create(&path, kind(&WIDE), TOTAL, &origin()).unwrap();
    assert!(has_room(), "from the beginning");
    for number in 0..3 {
        results.append(&row(&WIDE, number)).unwrap();
    }
    assert!(has_room(), "as rows come");
    drop(results);
    assert!(!has_room(), "what is not used is given back");
    let mut results = ResultsFile::resume(&path, kind(&WIDE), TOTAL, &origin()).unwrap();
    assert!(has_room(), "after a resume");
    results.keep(2).unwrap();
    assert!(has_room(), "after a cut");
}
