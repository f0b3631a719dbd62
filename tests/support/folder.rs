//! Where test data lie, and arrays of images in files.

use std::path::{Path, PathBuf};

use ndarray::Array4;

/// The shipped example, by file name.
pub(crate) fn digits(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../examples/digits")
        .join(file)
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
