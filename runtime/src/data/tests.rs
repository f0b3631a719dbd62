//! Data sets as a whole: every form, and every way in which files are wrong.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use image::{DynamicImage, GrayImage, Luma, Rgb, RgbImage, Rgba, RgbaImage};
use ndarray::{Array1, Array3, Array4};
use ndarray_npy::write_npy;
use tempfile::TempDir;

use super::*;

const BYTES: &str = "scale = 1\nmean = [0, 0, 0]\nstd = [1, 1, 1]\n";

/// A folder that holds a test's files.
struct Bench(TempDir);

impl Bench {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// A folder `pictures` of three pictures of one colour each, and files to be passed over.
    fn pictures(&self) -> PathBuf {
        let folder = self.path("pictures");
        fs::create_dir_all(folder.join("c.png")).unwrap();
        for (name, red) in [("b.png", 20), ("a.PNG", 10), ("d.jpeg", 40), (".hidden.png", 90)] {
            let picture = RgbImage::from_pixel(4, 4, Rgb([red; 3]));
            picture.save(folder.join(name)).unwrap();
        }
        fs::write(folder.join("labels.txt"), "d.jpeg 3\n").unwrap();
        folder
    }
}

fn bytes() -> Preprocess {
    Preprocess::from_toml(BYTES).unwrap()
}

fn open(data: &Path, labels: Option<&Path>) -> Result<DataSet, DataError> {
    DataSet::open(data, Some(&bytes()), labels)
}

/// An error as a person sees it, with all its sources.
fn message(error: &DataError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}

fn refusal<T>(result: Result<T, DataError>) -> String {
    match result {
        Ok(_) => panic!("it was accepted"),
        Err(error) => message(&error),
    }
}

/// Checks that a refusal says all of `parts`.
#[track_caller]
fn says<T>(result: Result<T, DataError>, parts: &[&str]) {
    let text = refusal(result);
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

#[test]
fn float_arrays_are_taken_as_they_are() {
    let bench = Bench::new();
    let path = bench.path("x.npy");
    let array = Array4::from_shape_fn((3, 2, 4, 5), |(n, c, h, w)| {
        (n * 1000 + c * 100 + h * 10 + w) as f32
    });
    write_npy(&path, &array).unwrap();
    let set = DataSet::open(&path, None, None).unwrap();
    let set = set.expect_shape((2, 4, 5)).unwrap();
    assert_eq!((set.len(), set.name(2)), (3, "2".to_owned()));
    for (image, expected) in set.iter().zip(array.outer_iter()) {
        assert_eq!(
            image.unwrap().values,
            expected.iter().copied().collect::<Vec<_>>()
        );
    }
    says(set.get(3), &["no image 3", "holds 3"]);
    assert_eq!(set.take(2).iter().count(), 2);

    write_npy(&path, &array.mapv(f64::from)).unwrap();
    let doubles = DataSet::open(&path, None, None).unwrap();
    assert_eq!(doubles.get(2).unwrap().values[39], 2134.0);

    // Transposing leaves the memory as it is, so this one is written in Fortran order.
    write_npy(&path, &array.index_axis(ndarray::Axis(0), 1).reversed_axes()).unwrap();
    let single = DataSet::open(&path, None, None).unwrap();
    assert_eq!(single.len(), 1);
    let image = single.get(0).unwrap();
    assert_eq!(image.shape(), (5, 4, 2).into());
    assert_eq!(image.values[..3], [1000.0, 1100.0, 1010.0]);
}

#[test]
fn byte_arrays_are_preprocessed() {
    let bench = Bench::new();
    let path = bench.path("x.npy");
    let array = Array4::from_shape_fn((2, 4, 6, 3), |(n, h, w, c)| (n * 100 + h * 20 + w * 3 + c) as u8);
    write_npy(&path, &array).unwrap();
    let set = open(&path, None).unwrap().expect_shape((3, 4, 6)).unwrap();
    let image = set.get(1).unwrap();
    assert_eq!(image.values[..3], [100.0, 103.0, 106.0]);
    assert_eq!(image.values[24], 101.0);
    says(DataSet::open(&path, None, None), &["--preprocess"]);
    says(
        open(&path, None).unwrap().expect_shape((3, 4, 4)),
        &["image 0 of", "x.npy", "3 x 4 x 6", "3 x 4 x 4", "crop"],
    );

    write_npy(&path, &Array4::<u8>::zeros((2, 3, 8, 8))).unwrap();
    says(open(&path, None), &["8 channels", "transpose(0, 2, 3, 1)"]);
}

#[test]
fn arrays_of_another_kind_are_refused() {
    let bench = Bench::new();
    let path = bench.path("x.npy");
    write_npy(&path, &Array1::<f32>::zeros(3)).unwrap();
    says(open(&path, None), &["x.npy", "[3]", "[N, C, H, W]"]);
    write_npy(&path, &Array4::<f32>::zeros((0, 3, 4, 4))).unwrap();
    says(open(&path, None), &["no size 0"]);
    write_npy(&path, &Array3::<i32>::zeros((3, 4, 4))).unwrap();
    says(open(&path, None), &["int32", "astype"]);
    write_npy(&path, &Array4::<f32>::zeros((1, 4, 5, 3))).unwrap();
    let set = open(&path, None).unwrap();
    says(set.expect_shape((3, 4, 5)), &["transpose(0, 3, 1, 2)"]);
    says(
        open(&bench.text("x.npz", "PK\x03\x04"), None),
        &["neither a .npy file, a JPEG or PNG, nor a folder"],
    );
    says(open(&bench.path("none"), None), &["cannot read", "none"]);
}

#[test]
fn infinite_values_are_named_by_position_and_not_shown() {
    let bench = Bench::new();
    let path = bench.path("x.npy");
    for value in [f32::NAN, f32::NEG_INFINITY] {
        let mut array = Array4::from_elem((3, 2, 4, 5), 123.456_f32);
        array[[1, 1, 2, 3]] = value;
        write_npy(&path, &array).unwrap();
        let set = open(&path, None).unwrap();
        assert!(set.get(0).is_ok());
        let text = refusal(set.get(1));
        for part in ["image 1 of", "x.npy", "channel 1, row 2, column 3"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(!text.contains("123") && !text.contains("-inf"), "{text}");
    }
    let image = open(&path, None).unwrap().get(0).unwrap();
    assert_eq!(format!("{image:?}"), "ImageTensor(2 x 4 x 5 (C x H x W))");
}

#[test]
fn folders_are_read_in_the_order_of_names() {
    let bench = Bench::new();
    let set = open(&bench.pictures(), None).unwrap();
    let names: Vec<_> = (0..set.len()).map(|i| set.name(i)).collect();
    assert_eq!(names, ["a.PNG", "b.png", "d.jpeg"]);
    let reds: Vec<_> = set.iter().map(|image| image.unwrap().values[0]).collect();
    assert_eq!(reds, [10.0, 20.0, 40.0]);
    assert_eq!((set.has_labels(), set.label(0)), (false, None));
    let set = set.expect_shape((3, 8, 8)).unwrap();
    says(
        set.get(1),
        &["pictures/b.png", "3 x 4 x 4", "3 x 8 x 8", "shorter_side"],
    );
}

#[test]
fn a_single_picture_is_a_set_of_one() {
    let bench = Bench::new();
    let folder = bench.pictures();
    for (file, red) in [("b.png", 20.0), ("d.jpeg", 40.0)] {
        let set = open(&folder.join(file), None)
            .unwrap()
            .expect_shape((3, 4, 4))
            .unwrap();
        assert_eq!((set.len(), set.name(0), set.label(0)), (1, file.to_owned(), None));
        assert_eq!(set.get(0).unwrap().values[0], red);
    }
    // Whatever it is called, and wherever it is called from.
    let odd = bench.text("picture", fs::read(folder.join("b.png")).unwrap());
    assert_eq!(open(&odd, None).unwrap().get(0).unwrap().values[0], 20.0);
    let set = open(&odd, None).unwrap().expect_shape((3, 8, 8)).unwrap();
    says(set.get(0), &["/picture`", "3 x 4 x 4", "3 x 8 x 8"]);
    says(DataSet::open(&odd, None, None), &["--preprocess"]);

    let picture = folder.join("b.png");
    let lines = bench.text("l.txt", "d.jpeg 3\n./b.png 5 cat\n");
    assert_eq!(open(&picture, Some(&lines)).unwrap().label(0), Some(5));
    let lines = bench.text("l.txt", "d.jpeg 3\n");
    says(open(&picture, Some(&lines)), &["l.txt", "`b.png`"]);
    let labels = bench.path("y.npy");
    write_npy(&labels, &ndarray::arr1(&[7_u8])).unwrap();
    assert_eq!(open(&picture, Some(&labels)).unwrap().label(0), Some(7));
    write_npy(&labels, &ndarray::arr1(&[7_u8, 7])).unwrap();
    says(open(&picture, Some(&labels)), &["2 labels for 1 image"]);
}

#[test]
fn label_lines_select_and_order_files() {
    let bench = Bench::new();
    let folder = bench.pictures();
    let labels = bench.text("l.txt", "d.jpeg 3 dog\nb.png -1\nd.jpeg 4\n");
    let set = open(&folder, Some(&labels)).unwrap();
    let found: Vec<_> = (0..3).map(|i| (set.name(i), set.label(i))).collect();
    let expected = [("d.jpeg", Some(3)), ("b.png", None), ("d.jpeg", Some(4))];
    assert_eq!(found, expected.map(|(name, class)| (name.to_owned(), class)));
    assert_eq!(set.label(9), None);

    let labels = bench.text("l.txt", "# file class\nb.png 1\nz.png 2\n");
    says(open(&folder, Some(&labels)), &["l.txt", "line 3", "`z.png`"]);
    let labels = bench.text("l.txt", "../l.txt 1\n");
    says(open(&folder, Some(&labels)), &["outside"]);
    says(open(&folder, Some(&bench.text("l.txt", "\n"))), &["no label"]);
    says(
        open(&folder, Some(&bench.text("l.txt", b"\xff\xfe"))),
        &["l.txt", "text"],
    );
    says(open(&folder, Some(&bench.path("none.txt"))), &["none.txt"]);
}

#[test]
fn label_arrays_count_as_many_as_images() {
    let bench = Bench::new();
    let labels = bench.path("y.npy");
    write_npy(&labels, &ndarray::arr1(&[5_i16, -1, 7])).unwrap();
    let set = open(&bench.pictures(), Some(&labels)).unwrap();
    let classes: Vec<_> = (0..3).map(|i| set.label(i)).collect();
    assert_eq!(classes, [Some(5), None, Some(7)]);

    let data = bench.path("x.npy");
    write_npy(&data, &Array4::<f32>::zeros((2, 1, 1, 1))).unwrap();
    says(open(&data, Some(&labels)), &["y.npy", "3 labels for 2 images"]);
    let lines = bench.text("l.txt", "a 1\nb 2\n");
    says(open(&data, Some(&lines)), &["one array", ".npy"]);
    write_npy(&labels, &ndarray::arr1(&[5_i64, -2])).unwrap();
    says(open(&data, Some(&labels)), &["label 1 "]);
    write_npy(&labels, &ndarray::arr1(&[u64::MAX, 0])).unwrap();
    says(open(&data, Some(&labels)), &["label 0 "]);
    write_npy(&labels, &ndarray::arr1(&[0.0_f32, 1.0])).unwrap();
    says(open(&data, Some(&labels)), &["not integers"]);
    write_npy(&labels, &ndarray::arr2(&[[0_u8], [1]])).unwrap();
    says(open(&data, Some(&labels)), &["[2, 1]", "reshape(-1)"]);
}

#[test]
fn grey_and_transparent_pictures_become_rgb() {
    let bench = Bench::new();
    let folder = bench.path("p");
    fs::create_dir(&folder).unwrap();
    GrayImage::from_pixel(2, 2, Luma([77]))
        .save(folder.join("1.png"))
        .unwrap();
    let clear = Rgba([1, 2, 3, 0]);
    RgbaImage::from_pixel(2, 2, clear)
        .save(folder.join("2.png"))
        .unwrap();
    let deep = DynamicImage::from(RgbImage::from_pixel(2, 2, Rgb([4, 5, 6]))).into_rgb16();
    DynamicImage::from(deep).save(folder.join("3.png")).unwrap();
    let set = open(&folder, None).unwrap();
    let colour = |index| {
        let values = set.get(index).unwrap().values;
        [values[0], values[4], values[8]]
    };
    assert_eq!(colour(0), [77.0; 3]);
    assert_eq!(colour(1), [1.0, 2.0, 3.0]);
    assert_eq!(colour(2), [4.0, 5.0, 6.0]);
}

#[test]
fn damaged_pictures_are_refused() {
    let bench = Bench::new();
    let folder = bench.path("p");
    fs::create_dir(&folder).unwrap();
    says(open(&folder, None), &["holds no image", "subfolders"]);

    let noise = RgbImage::from_fn(64, 64, |x, y| {
        Rgb([(x * y) as u8, (x * 37) as u8, (y * 91) as u8])
    });
    for name in ["whole.jpg", "whole.png"] {
        noise.save(folder.join(name)).unwrap();
        assert!(open(&folder, None).unwrap().get(0).is_ok());
        let whole = fs::read(folder.join(name)).unwrap();
        fs::remove_file(folder.join(name)).unwrap();
        for kept in [0, 1, 2, 20, whole.len() / 2, whole.len() * 9 / 10] {
            let cut = folder.join("cut.jpg");
            fs::write(&cut, &whole[..kept]).unwrap();
            says(open(&folder, None).unwrap().get(0), &["p/cut.jpg"]);
            fs::remove_file(cut).unwrap();
        }
    }
    fs::write(folder.join("gif.jpg"), b"GIF89a\x01\x00\x01\x00").unwrap();
    says(
        open(&folder, None).unwrap().get(0),
        &["p/gif.jpg", "neither JPEG nor PNG"],
    );
}

#[test]
fn a_jpeg_cut_in_its_picture_is_no_grey_picture() {
    let bench = Bench::new();
    let folder = bench.path("p");
    fs::create_dir(&folder).unwrap();
    let path = folder.join("a.jpg");
    RgbImage::from_fn(64, 64, |x, y| Rgb([(x * y) as u8; 3]))
        .save(&path)
        .unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes.truncate(bytes.len() - 2);
    fs::write(&path, &bytes).unwrap();
    says(open(&folder, None).unwrap().get(0), &["cut short"]);

    // A comment with an end marker inside, as an embedded preview has, is not the end.
    let comment = [0xFF, 0xFE, 0x00, 0x06, 0xFF, 0xD8, 0xFF, 0xD9];
    bytes.splice(2..2, comment);
    fs::write(&path, &bytes).unwrap();
    says(open(&folder, None).unwrap().get(0), &["cut short"]);
    bytes.extend([0xFF, 0xD9, 0x00, 0x00]);
    fs::write(&path, &bytes).unwrap();
    assert!(open(&folder, None).unwrap().get(0).is_ok());
}

#[test]
fn pictures_that_claim_to_be_huge_cost_nothing() {
    let bench = Bench::new();
    let folder = bench.path("p");
    fs::create_dir(&folder).unwrap();
    let path = folder.join("bomb.png");
    for side in [100_000_u32, 16_384] {
        fs::write(&path, png_that_claims(side)).unwrap();
        says(
            open(&folder, None).unwrap().get(0),
            &["p/bomb.png", "larger than", "scale it down"],
        );
    }
}

/// A PNG whose header is right in all but its truth.
fn png_that_claims(side: u32) -> Vec<u8> {
    let mut picture = std::io::Cursor::new(Vec::new());
    let pixel = RgbImage::new(1, 1);
    pixel.write_to(&mut picture, image::ImageFormat::Png).unwrap();
    let mut png = picture.into_inner();
    png[16..20].copy_from_slice(&side.to_be_bytes());
    png[20..24].copy_from_slice(&side.to_be_bytes());
    let checksum = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&checksum.to_be_bytes());
    png
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg())
        })
    })
}
