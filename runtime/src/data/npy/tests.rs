//! The reader against an independent writer, and against damaged files.

use std::fs;

use ndarray::{Array, ArrayD, IxDyn, ShapeBuilder};
use ndarray_npy::write_npy;
use proptest::prelude::*;

use super::*;

fn file(bytes: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npy");
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn with_header(text: &str, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap().to_le_bytes();
    [MAGIC, &[1, 0][..], &length, text.as_bytes(), payload].concat()
}

fn refused(bytes: &[u8]) -> NpyError {
    let (_folder, path) = file(bytes);
    match NpyArray::open(&path) {
        Err(error) => error,
        Ok(_) => panic!("{:?} was accepted", String::from_utf8_lossy(bytes)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn items_come_in_c_order_whatever_the_order_on_disk(
        shape in prop::collection::vec(1_usize..5, 1..5),
        fortran in any::<bool>(),
        seed in any::<u32>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        let count: usize = shape.iter().product();
        let values = (0..count).map(|i| (i as f32).mul_add(0.5, seed as f32)).collect();
        let c_order: ArrayD<f32> = Array::from_shape_vec(IxDyn(&shape), values).unwrap();
        let mut array = ArrayD::zeros(IxDyn(&shape).set_f(fortran));
        array.assign(&c_order);
        write_npy(&path, &array).unwrap();

        let read = NpyArray::open(&path).unwrap();
        prop_assert_eq!(read.shape(), &shape[..]);
        let mut found = Vec::new();
        for index in 0..shape[0] {
            found.extend(read.floats(index).unwrap());
        }
        prop_assert_eq!(found, c_order.into_raw_vec_and_offset().0);
    }

    #[test]
    fn no_header_makes_the_reader_panic(text in "[{}()',:0-9a-z<>|TrueFalse\u{e9} ]{0,80}") {
        let (_folder, path) = file(&with_header(&text, &[0; 8]));
        let _ = NpyArray::open(&path);
        let _ = integers(&path);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let (_folder, path) = file(&[MAGIC, &bytes[..]].concat());
        let _ = NpyArray::open(&path);
    }
}

#[test]
fn integers_of_every_type_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npy");
    macro_rules! check {
        ($($int:ty),*) => {$(
            let values = ndarray::arr1(&[0 as $int, 7, <$int>::MAX]);
            write_npy(&path, &values).unwrap();
            let last = i64::try_from(<$int>::MAX).ok();
            assert_eq!(integers(&path).unwrap(), Some((vec![3], vec![Some(0), Some(7), last])));
        )*};
    }
    check!(i8, i16, i32, i64, u8, u16, u32, u64);
    write_npy(&path, &ndarray::arr1(&[1.0_f64])).unwrap();
    assert_eq!(integers(&path).unwrap(), None);
}

#[test]
fn big_endian_and_double_elements_are_converted() {
    let header = "{'descr': '>f4', 'fortran_order': False, 'shape': (1, 2,), }\n";
    let payload = [1.5_f32.to_be_bytes(), (-2.0_f32).to_be_bytes()].concat();
    let (_folder, path) = file(&with_header(header, &payload));
    assert_eq!(NpyArray::open(&path).unwrap().floats(0).unwrap(), [1.5, -2.0]);

    let header = "{\"shape\":(1,2),'fortran_order':False,'descr':'<f8'}";
    let payload = [0.1_f64.to_le_bytes(), 1e300_f64.to_le_bytes()].concat();
    let (_folder, path) = file(&with_header(header, &payload));
    assert_eq!(
        NpyArray::open(&path).unwrap().floats(0).unwrap(),
        [0.1, f32::INFINITY]
    );
}

#[test]
fn headers_that_are_padded_read_back() {
    for shape in [&[3_usize, 5, 7][..], &[12], &[0, 4], &[]] {
        let header = header_of(tail::DType::I16, shape).unwrap();
        assert_eq!(header.len() % 64, 0);
        let longer = padded(header.clone(), header.len() + 64);
        assert_eq!(longer.len(), header.len() + 64);
        for bytes in [header, longer] {
            let length = bytes.len() as u64;
            let mut file = io::Cursor::new(bytes);
            let read = read_header(&mut file).unwrap();
            assert!(is_of(&read, tail::DType::I16) && !is_of(&read, tail::DType::U16));
            assert_eq!(
                read.shape(),
                shape.iter().map(|&axis| axis as u64).collect::<Vec<_>>()
            );
            assert_eq!(file.position(), length);
        }
    }
}

#[test]
fn headers_that_lie_are_refused() {
    let header = |descr: &str, shape: &str| {
        format!("{{'descr': {descr}, 'fortran_order': False, 'shape': ({shape}), }}\n")
    };
    let float = |shape: &str| with_header(&header("'<f4'", shape), &[0; 8]);
    assert!(matches!(refused(b"PK\x03\x04 a zip file"), NpyError::NotNpy));
    assert!(matches!(refused(b""), NpyError::NotNpy));
    assert!(matches!(refused(b"\x93NUMPY\x09\x00"), NpyError::Header(_)));
    assert!(matches!(
        refused(b"\x93NUMPY\x02\x00\xff\xff\xff\xff"),
        NpyError::Header(_)
    ));
    assert!(matches!(refused(&float("2,")[..40]), NpyError::Header(_)));
    assert!(matches!(
        refused(&float("3,")),
        NpyError::Length {
            announced: 12,
            found: 8
        }
    ));
    assert!(matches!(
        refused(&float("1,")),
        NpyError::Length {
            announced: 4,
            found: 8
        }
    ));
    assert!(matches!(
        refused(&float("0, 18446744073709551615, 9")),
        NpyError::Overflow
    ));
    assert!(matches!(
        refused(&float("4294967296, 4294967296")),
        NpyError::Overflow
    ));
    assert!(matches!(
        refused(&float("99999999999999999999999,")),
        NpyError::Overflow
    ));
    // Four bytes an element, of which the text says one.
    let text = header("'<U1'", "4611686018427387904,");
    assert!(matches!(refused(&with_header(&text, &[])), NpyError::Overflow));
    assert!(matches!(refused(&float("-1,")), NpyError::Header(_)));
    assert!(matches!(refused(&float(&"1, ".repeat(70))), NpyError::Header(_)));
    assert!(matches!(refused(&float("(1,), 2")), NpyError::Header(_)));
    // Deep enough for the stack of whoever takes it apart.
    let deep = with_header(&format!("{}1{}", "(".repeat(30_000), ")".repeat(30_000)), &[]);
    assert!(matches!(refused(&deep), NpyError::Header(_)));
    for descr in ["''", "'\u{e9}f4'", "'f'", "4"] {
        let error = refused(&with_header(&header(descr, "2,"), &[0; 8]));
        assert!(matches!(error, NpyError::Header(_)), "{descr}: {error:?}");
    }
    for (descr, bytes) in [
        ("'<f2'", 4),
        ("'|b1'", 2),
        ("'<U1'", 8),
        ("'<i4'", 8),
        ("[('a', '<f4')]", 8),
    ] {
        let error = refused(&with_header(&header(descr, "2,"), &vec![0; bytes]));
        assert!(matches!(error, NpyError::ElementType(_)), "{descr}: {error:?}");
    }
}
