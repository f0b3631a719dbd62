//! Images as the evaluator takes them.

use trefoil_ir::Shape;
use trefoil_ir::nn::eval::FeatureMap;
use trefoil_runtime::data::{DataError, DataSet, ImageTensor};

/// A preprocessed image as the network's input.
pub fn feature_map(image: ImageTensor) -> FeatureMap {
    let shape = Shape::new(image.channels, image.height, image.width);
    FeatureMap::new(shape, image.values)
}

/// The first `count` images, so many at a time.
pub(super) fn batches(
    data: &DataSet,
    count: usize,
    at_once: usize,
) -> impl Iterator<Item = Result<Vec<FeatureMap>, DataError>> {
    (0..count).step_by(at_once).map(move |start| {
        let batch = start..count.min(start + at_once);
        batch.map(|at| data.get(at).map(feature_map)).collect()
    })
}
