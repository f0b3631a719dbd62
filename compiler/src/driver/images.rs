//! Images as the evaluator takes them.

use trefoil_ir::Shape;
use trefoil_ir::nn::eval::FeatureMap;
use trefoil_runtime::data::ImageTensor;

/// A preprocessed image as the network's input.
pub fn feature_map(image: ImageTensor) -> FeatureMap {
    let shape = Shape::new(image.channels, image.height, image.width);
    FeatureMap::new(shape, image.values)
}
