//! Where test data lie, and arrays of images in files.

use std::path::{Path, PathBuf};

use ndarray::Array4;

/// The shipped example, by file name.
pub(crate) fn digits(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../examples/digits")
        .join(file)
}

/// Material that does not come with the project: the folder that a variable of the environment names, or
/// else one of this name in `shared`, beside the checkout.
pub(crate) fn material(variable: &str, name: &str) -> Result<PathBuf, String> {
    let default = || {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../shared")
            .join(name)
    };
    let folder = std::env::var_os(variable).map_or_else(default, PathBuf::from);
    if folder.is_dir() {
        return Ok(folder);
    }
    let folder = folder.display();
    Err(format!("{folder} is not there; {variable} names the folder"))
}

/// Writes float images `[N, C, H, W]`.
pub(crate) fn write_images(path: &Path, [c, h, w]: [usize; 3], images: Vec<f32>) {
    let count = images.len() / (c * h * w);
    let array = Array4::from_shape_vec((count, c, h, w), images).expect("whole images");
    ndarray_npy::write_npy(path, &array).expect("the temporary folder is writable");
}

/// Reads an array of floats, whatever its rank.
pub(crate) fn read_floats(path: &Path) -> (Vec<usize>, Vec<f32>) {
    let array: ndarray::ArrayD<f32> =
        ndarray_npy::read_npy(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    (array.shape().to_vec(), array.into_iter().collect())
}

/// Numbers of any type, with the type's name.
#[derive(Debug, PartialEq)]
pub(crate) struct Array {
    pub(crate) kind: &'static str,
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f64>,
}

/// Reads an array of numbers, of whatever type and rank.
pub(crate) fn read_array(path: &Path) -> Array {
    let read = [
        of_type::<f32>("float32", path),
        of_type::<f64>("float64", path),
        of_integers(path),
        of_type::<i32>("int32", path),
        of_type::<i8>("int8", path),
        of_type::<u8>("uint8", path),
    ];
    let found = read.into_iter().flatten().next();
    found.unwrap_or_else(|| panic!("{} is no array of numbers", path.display()))
}

/// Of these not every one is a float, but those that networks give are.
fn of_integers(path: &Path) -> Option<Array> {
    let array: ndarray::ArrayD<i64> = ndarray_npy::read_npy(path).ok()?;
    Some(Array {
        kind: "int64",
        shape: array.shape().to_vec(),
        values: array.iter().map(|&v| v as f64).collect(),
    })
}

fn of_type<T: ndarray_npy::ReadableElement + Into<f64> + Copy>(
    kind: &'static str,
    path: &Path,
) -> Option<Array> {
    let array: ndarray::ArrayD<T> = ndarray_npy::read_npy(path).ok()?;
    Some(Array {
        kind,
        shape: array.shape().to_vec(),
        values: array.iter().map(|&v| v.into()).collect(),
    })
}
