//! What a name in an ONNX graph stands for: a constant, or a value that depends on the image.

use trefoil_ir::Tensor;
use trefoil_ir::nn::NodeId;
use trefoil_ir::tensor::TensorSizeError;

use super::tail::TailValue;

/// A known tensor. Element types are only three: every float type is read as f32, every integer
/// type as i64.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Constant {
    /// Weights, scales, bounds.
    Float(Tensor<f32>),
    /// Shapes, axes, indices.
    Int(Tensor<i64>),
    /// Conditions.
    Bool(Tensor<bool>),
}

impl Constant {
    /// Dimensions, outermost first.
    pub(super) fn dims(&self) -> &[usize] {
        match self {
            Constant::Float(t) => t.dims(),
            Constant::Int(t) => t.dims(),
            Constant::Bool(t) => t.dims(),
        }
    }

    /// Number of elements.
    pub(super) fn len(&self) -> usize {
        match self {
            Constant::Float(t) => t.len(),
            Constant::Int(t) => t.len(),
            Constant::Bool(t) => t.len(),
        }
    }

    /// The same elements under other dimensions.
    pub(super) fn with_dims(&self, dims: Vec<usize>) -> Result<Self, TensorSizeError> {
        Ok(match self {
            Constant::Float(t) => Constant::Float(Tensor::new(dims, t.values().to_vec())?),
            Constant::Int(t) => Constant::Int(Tensor::new(dims, t.values().to_vec())?),
            Constant::Bool(t) => Constant::Bool(Tensor::new(dims, t.values().to_vec())?),
        })
    }

    /// The elements as f32, whatever their type: scales and bounds may be written as integers.
    pub(super) fn floats(&self) -> Vec<f32> {
        match self {
            Constant::Float(t) => t.values().to_vec(),
            Constant::Int(t) => t.values().iter().map(|&v| v as f32).collect(),
            Constant::Bool(t) => t.values().iter().map(|&v| f32::from(u8::from(v))).collect(),
        }
    }

    /// The one number that all elements are, exactly; none if they differ, or if it is a whole number
    /// beyond those that f64 tells apart.
    pub(super) fn number(&self) -> Option<f64> {
        const MOST: u64 = 1 << f64::MANTISSA_DIGITS;
        match self {
            Constant::Float(t) => same(t.values()).map(f64::from),
            Constant::Int(t) => same(t.values())
                .filter(|value| value.unsigned_abs() <= MOST)
                .map(|value| value as f64),
            Constant::Bool(t) => same(t.values()).map(|value| f64::from(u8::from(value))),
        }
    }

    /// The elements of an integer tensor.
    pub(super) fn ints(&self) -> Option<&[i64]> {
        match self {
            Constant::Int(t) => Some(t.values()),
            Constant::Float(_) | Constant::Bool(_) => None,
        }
    }

    /// The vector of these integers.
    pub(super) fn int_vector(values: Vec<i64>) -> Self {
        Constant::Int(Tensor::vector(values))
    }
}

/// The value that all elements have; none if they differ or there are none.
fn same<T: Copy + PartialEq>(values: &[T]) -> Option<T> {
    let first = *values.first()?;
    values.iter().all(|value| *value == first).then_some(first)
}

/// A value that depends on the image: the elements of a graph node in row-major order, seen under
/// ONNX dimensions.
///
/// The first dimension is always the batch, of which the graph knows nothing; the product of the
/// others is the number of elements of the node. The other dimensions may differ from the node's
/// shape, for reshapes move no data. A view of rank 2 is always one of a vector.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct View {
    /// The graph node whose elements it shows.
    pub(super) node: NodeId,
    /// ONNX dimensions, batch included.
    pub(super) dims: Vec<usize>,
}

/// A value of the ONNX graph, as far as it is known while the graph is read.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// Known without an image.
    Constant(Constant),
    /// Depends on the image.
    Map(View),
    /// Is computed by the client, behind the network.
    Tail(TailValue),
    /// Lies behind a node that is not supported.
    Unknown,
}

impl Value {
    /// The constant, if it is one.
    pub(super) fn constant(&self) -> Option<&Constant> {
        match self {
            Value::Constant(constant) => Some(constant),
            Value::Map(_) | Value::Tail(_) | Value::Unknown => None,
        }
    }

    /// The view of `node` under `dims`.
    pub(super) fn map(node: NodeId, dims: Vec<usize>) -> Self {
        Value::Map(View { node, dims })
    }
}

/// Product of dimensions, if it does not overflow.
pub(super) fn volume(dims: &[usize]) -> Option<usize> {
    dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d))
}

/// Indices of the element at `at` of a tensor of `dims`.
pub(super) fn position(dims: &[usize], at: usize) -> Vec<usize> {
    let mut rest = at;
    let mut indices = Vec::with_capacity(dims.len());
    for &dim in dims.iter().rev() {
        indices.push(rest % dim.max(1));
        rest /= dim.max(1);
    }
    indices.reverse();
    indices
}

/// A shape as ONNX writes it, `[1, 3, 224, 224]`.
pub(super) fn shape_text(dims: &[usize]) -> String {
    let dims: Vec<String> = dims.iter().map(ToString::to_string).collect();
    format!("[{}]", dims.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_numbers_are_exact_or_none() {
        let whole = |value: i64| Constant::int_vector(vec![value; 2]).number();
        assert_eq!(whole(16_777_217), Some(16_777_217.0));
        assert_eq!(whole(-(1 << 53)), Some(-(2f64.powi(53))));
        assert_eq!([whole((1 << 53) + 1), whole(i64::MIN)], [None; 2]);
        assert_eq!(Constant::int_vector(vec![1, 2]).number(), None);
        assert_eq!(Constant::int_vector(vec![]).number(), None);
        let truth = Tensor::new(vec![], vec![true]).unwrap();
        assert_eq!(Constant::Bool(truth).number(), Some(1.0));
    }

    #[test]
    fn positions_count_in_row_major_order() {
        assert_eq!(position(&[2, 3, 4], 23), [1, 2, 3]);
        assert_eq!(position(&[2, 3, 4], 5), [0, 1, 1]);
        assert_eq!(position(&[], 0), Vec::<usize>::new());
    }
}
