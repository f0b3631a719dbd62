//! Running a graph in f32: the model as its owner knows it, the yardstick of every other level.

mod demand;
mod map;
mod tape;
mod window;

pub use map::FeatureMap;
pub use tape::Tape;
pub use window::{patch_sums, signs};

use thiserror::Error;

use crate::geometry::Shape;
use crate::nn::{Graph, NodeId, Op};

/// The image is not what the graph expects.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("the network expects an image of {expected} values, and this one is {given}")]
pub struct ImageShapeError {
    expected: Shape,
    given: Shape,
}

/// Runs the graph on one image and hands every value to `inspect` in topological order, as soon
/// as it is known. Values are dropped when their last user has run. Returns the output.
///
/// # Errors
/// If the image has another shape than the graph's input.
pub fn run_with(
    graph: &Graph,
    image: &FeatureMap,
    mut inspect: impl FnMut(NodeId, &FeatureMap),
) -> Result<FeatureMap, ImageShapeError> {
    let order = graph.order();
    let mut uses: Vec<usize> = vec![0; graph.id_bound()];
    for &id in &order {
        for input in graph.inputs(id) {
            uses[input.index()] += 1;
        }
    }
    let mut values: Vec<Option<FeatureMap>> = vec![None; graph.id_bound()];
    let mut last = FeatureMap::zeros(Shape::vector(1));
    for id in order {
        let value = value_of(graph, id, image, &values)?;
        inspect(id, &value);
        if matches!(graph.node(id).op, Op::Output(_)) {
            last = value.clone();
        }
        for input in graph.inputs(id) {
            uses[input.index()] -= 1;
            if uses[input.index()] == 0 {
                values[input.index()] = None;
            }
        }
        values[id.index()] = Some(value);
    }
    Ok(last)
}

/// The value of one node; `values` holds those of its operands.
fn value_of(
    graph: &Graph,
    id: NodeId,
    image: &FeatureMap,
    values: &[Option<FeatureMap>],
) -> Result<FeatureMap, ImageShapeError> {
    let node = graph.node(id);
    if let Op::Input(input) = &node.op {
        if image.shape() != input.shape {
            return Err(ImageShapeError {
                expected: input.shape,
                given: image.shape(),
            });
        }
        return Ok(image.clone());
    }
    let mut operands = Vec::new();
    for input in graph.inputs(id) {
        operands.push(values[input.index()].as_ref().expect("topological order"));
    }
    Ok(node.op.eval(&operands, node.shape))
}

/// Runs the graph on one image.
///
/// # Errors
/// If the image has another shape than the graph's input.
pub fn run(graph: &Graph, image: &FeatureMap) -> Result<FeatureMap, ImageShapeError> {
    run_with(graph, image, |_, _| {})
}
