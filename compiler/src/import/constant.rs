//! Constant subgraphs: nodes whose operands are all known are worked out while the graph is read,
//! most of them by tract, in a model without inputs.
//!
//! Exporters write sizes as chains of Shape, Gather, Concat and the like; since the image's shape
//! is fixed, every such chain is constant. A chain is folded node by node, so that each step can
//! be checked: a hostile file may ask for terabytes with a few bytes.

mod cast;

use tract_onnx::Onnx;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, ValueInfoProto};
use tract_onnx::prelude::*;

use super::bound::{self, MAX_EXPANSION};
use super::error::{NodeError, Refusal, unsupported};
use super::op;
use super::tensor::tensor;
use super::value::Constant;
use crate::quiet;

/// Elements that all folded nodes together may make.
const MAX_TOTAL: usize = 1 << 28;

/// Works constants out, within a budget of elements.
pub(super) struct ConstantFolding {
    tract: Onnx,
    opset: i64,
    left: usize,
}

impl ConstantFolding {
    /// The folding of a file of this operator set.
    pub(super) fn new(opset: i64) -> Self {
        Self {
            // Of newer sets than tract's, these operators have not changed their meaning.
            opset: opset.min(18),
            tract: tract_onnx::onnx(),
            left: MAX_TOTAL,
        }
    }

    /// The outputs of a node whose operands are all known.
    pub(super) fn fold(
        &mut self,
        node: &NodeProto,
        operands: &[Option<&Constant>],
    ) -> Result<Vec<Constant>, Refusal> {
        if !op::foldable::is_foldable(&node.op_type) {
            return unsupported(
                "the operator is not worked out on constants",
                "simplify the model before it is imported, for example with onnxsim",
            );
        }
        if operands.iter().all(Option::is_none) {
            return Err(NodeError::MissingOperand(0).into());
        }
        check_attributes(node)?;
        match (node.op_type.as_str(), operands) {
            ("Reshape", [Some(data), Some(shape)]) => return reshape(node, data, shape),
            ("Cast", [Some(data)]) => return cast::cast(node, data),
            _ => {}
        }
        bound::check_indices(node, operands)?;
        self.spend(bound::elements(node, operands), operands)?;
        match quiet::guarded(|| self.run(node, operands)) {
            Some(Ok(values)) => Ok(values),
            Some(Err(error)) => fold_error(format!("{error:#}")),
            None => fold_error("its operands do not fit together"),
        }
    }

    /// Takes a node's result off the budget. Weights may be as large as they are in the file, and
    /// be moved around; nothing else may grow large, and sizes and indices never are.
    fn spend(&mut self, bound: Option<usize>, operands: &[Option<&Constant>]) -> Result<(), Refusal> {
        let mut given = Vec::new();
        for constant in operands.iter().flatten() {
            if let Constant::Float(tensor) = constant {
                given.push((tensor.values().as_ptr(), tensor.len()));
            }
        }
        // A value that is read twice is there once.
        given.sort_unstable();
        given.dedup();
        let given: usize = given.iter().map(|(_, count)| count).sum();
        let made = bound.filter(|&made| made <= given.max(MAX_EXPANSION));
        let Some(left) = made.and_then(|made| self.left.checked_sub(made)) else {
            return fold_error(
                "its result would be larger than its operands and than 2^20 elements, or all such results together \
                 than 2^28",
            );
        };
        self.left = left;
        Ok(())
    }

    /// Runs the node in a model that consists of it alone.
    fn run(&self, node: &NodeProto, operands: &[Option<&Constant>]) -> TractResult<Vec<Constant>> {
        let model = self.tract.parse(&self.model(node, operands), None)?.model;
        let model = model.into_typed()?.into_decluttered()?;
        let folded: Option<Vec<_>> = (0..model.outputs.len())
            .map(|at| model.output_fact(at).ok()?.konst.clone())
            .collect();
        match folded {
            Some(values) => values.iter().map(|value| read(value)).collect(),
            // Tract leaves large constants unfolded; without inputs it can run them all the same.
            None => {
                let values = model.into_runnable()?.run(tvec!())?;
                values.iter().map(|value| read(value)).collect()
            }
        }
    }

    /// The node under names of our own: tract panics on names that clash or do not exist.
    fn model(&self, node: &NodeProto, operands: &[Option<&Constant>]) -> ModelProto {
        let mut graph = GraphProto::default();
        let mut renamed = NodeProto {
            name: "node".to_owned(),
            op_type: node.op_type.clone(),
            attribute: node.attribute.clone(),
            ..NodeProto::default()
        };
        for (at, operand) in operands.iter().enumerate() {
            let mut name = String::new();
            if let Some(constant) = operand {
                name = format!("in{at}");
                graph.initializer.push(write(constant, name.clone()));
            }
            renamed.input.push(name);
        }
        for (at, old) in node.output.iter().enumerate() {
            let mut name = String::new();
            if !old.is_empty() {
                name = format!("out{at}");
                graph.output.push(ValueInfoProto {
                    name: name.clone(),
                    ..ValueInfoProto::default()
                });
            }
            renamed.output.push(name);
        }
        graph.node.push(renamed);
        let opset = OperatorSetIdProto {
            domain: String::new(),
            version: self.opset,
        };
        ModelProto {
            graph: Some(graph),
            opset_import: vec![opset],
            ..ModelProto::default()
        }
    }
}

/// Types of the attributes that foldable operators have: no tensors and no graphs.
const PLAIN: [AttributeType; 6] = [
    AttributeType::Undefined,
    AttributeType::Float,
    AttributeType::Int,
    AttributeType::String,
    AttributeType::Floats,
    AttributeType::Ints,
];

fn check_attributes(node: &NodeProto) -> Result<(), Refusal> {
    for attribute in &node.attribute {
        if PLAIN.iter().all(|&plain| plain as i32 != attribute.r#type) {
            return fold_error(format!("the attribute `{}` has no place here", attribute.name));
        }
    }
    Ok(())
}

/// Reshape by the rules of values that depend on the image: tract lets a wrong number of elements
/// pass.
fn reshape(node: &NodeProto, data: &Constant, shape: &Constant) -> Result<Vec<Constant>, Refusal> {
    let Some(wanted) = shape.ints() else {
        return fold_error("the shape must hold integers");
    };
    let keeps_zero = node.attribute.iter().any(|a| a.name == "allowzero" && a.i != 0);
    let dims = op::reshape::resolve(data.dims(), wanted, keeps_zero)?;
    match data.with_dims(dims) {
        Ok(constant) => Ok(vec![constant]),
        Err(error) => fold_error(error.to_string()),
    }
}

fn fold_error<T>(message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::Invalid(NodeError::Fold(message.into())))
}

fn write(constant: &Constant, name: String) -> TensorProto {
    let mut proto = TensorProto {
        name,
        dims: constant.dims().iter().map(|&d| d as i64).collect(),
        ..TensorProto::default()
    };
    match constant {
        Constant::Float(t) => {
            proto.data_type = DataType::Float as i32;
            proto.float_data = t.values().to_vec();
        }
        Constant::Int(t) => {
            proto.data_type = DataType::Int64 as i32;
            proto.int64_data = t.values().to_vec();
        }
        Constant::Bool(t) => {
            proto.data_type = DataType::Bool as i32;
            proto.int32_data = t.values().iter().map(|&b| b.into()).collect();
        }
    }
    proto
}

fn read(value: &Tensor) -> TractResult<Constant> {
    let dims = value.shape().to_vec();
    let kind = value.datum_type();
    let constant = if kind == bool::datum_type() {
        Constant::Bool(tensor(dims, elements::<bool>(value)?)?)
    } else if kind.is_float() {
        Constant::Float(tensor(dims, elements::<f32>(value)?)?)
    } else {
        Constant::Int(tensor(dims, elements::<i64>(value)?)?)
    };
    Ok(constant)
}

fn elements<T: Datum + Copy>(value: &Tensor) -> TractResult<Vec<T>> {
    let cast = value.cast_to::<T>()?;
    Ok(cast.to_plain_array_view::<T>()?.iter().copied().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::testing::{ints, node, with};

    fn fold(node: &NodeProto, operands: &[&Constant]) -> Result<Vec<Constant>, Refusal> {
        let operands: Vec<_> = operands.iter().map(|&c| Some(c)).collect();
        ConstantFolding::new(17).fold(node, &operands)
    }

    fn int(values: &[i64]) -> Constant {
        Constant::int_vector(values.to_vec())
    }

    fn scalar(value: i64) -> Constant {
        Constant::Int(tensor(vec![], vec![value]).unwrap())
    }

    #[test]
    fn chains_of_shapes_are_worked_out() {
        let gathered = fold(
            &node("Gather", &["a", "b"], &["y"]),
            &[&int(&[1, 3, 7]), &scalar(-1)],
        )
        .unwrap();
        assert_eq!(gathered, [scalar(7)]);
        let axes = int(&[0]);
        let vector = fold(&node("Unsqueeze", &["a", "b"], &["y"]), &[&gathered[0], &axes]).unwrap();
        assert_eq!(vector, [int(&[7])]);
        let concat = with(
            node("Concat", &["a", "b"], &["y"]),
            vec![crate::import::testing::int("axis", 0)],
        );
        assert_eq!(
            fold(&concat, &[&vector[0], &int(&[-1])]).unwrap(),
            [int(&[7, -1])]
        );
        let (start, end) = (int(&[1]), int(&[i64::MAX]));
        let sliced = fold(
            &node("Slice", &["a", "s", "e"], &["y"]),
            &[&int(&[4, 5, 6]), &start, &end],
        )
        .unwrap();
        assert_eq!(sliced, [int(&[5, 6])]);
        let range = fold(
            &node("Range", &["s", "l", "d"], &["y"]),
            &[&scalar(0), &scalar(5), &scalar(2)],
        );
        assert_eq!(range.unwrap(), [int(&[0, 2, 4])]);
    }

    #[test]
    fn types_and_arithmetic_are_those_of_onnx() {
        let cast = with(
            node("Cast", &["a"], &["y"]),
            vec![crate::import::testing::int("to", 1)],
        );
        let float = fold(&cast, &[&int(&[7])]).unwrap();
        assert!(matches!(&float[0], Constant::Float(t) if t.values() == [7.0]));
        let half = Constant::Float(tensor(vec![], vec![0.5]).unwrap());
        let product = fold(&node("Mul", &["a", "b"], &["y"]), &[&float[0], &half]).unwrap();
        let floor = fold(&node("Floor", &["a"], &["y"]), &[&product[0]]).unwrap();
        assert_eq!(floor[0].floats(), [3.0]);
        let equal = fold(&node("Equal", &["a", "b"], &["y"]), &[&int(&[1, 2]), &int(&[2])]).unwrap();
        assert!(matches!(&equal[0], Constant::Bool(t) if t.values() == [false, true]));
        let div = fold(&node("Div", &["a", "b"], &["y"]), &[&int(&[7]), &int(&[2])]).unwrap();
        assert_eq!(div, [int(&[3])]);
        let transposed = with(node("Transpose", &["a"], &["y"]), vec![ints("perm", &[1, 0])]);
        let matrix = Constant::Int(tensor(vec![2, 3], vec![1, 2, 3, 4, 5, 6]).unwrap());
        let expected = Constant::Int(tensor(vec![3, 2], vec![1, 4, 2, 5, 3, 6]).unwrap());
        assert_eq!(fold(&transposed, &[&matrix]).unwrap(), [expected]);
    }

    #[test]
    fn large_weights_are_transposed_too() {
        let (rows, columns) = (1200, 1700);
        let values: Vec<f32> = (0..rows * columns).map(|v| v as f32).collect();
        let matrix = Constant::Float(tensor(vec![rows, columns], values).unwrap());
        let transpose = with(node("Transpose", &["a"], &["y"]), vec![ints("perm", &[1, 0])]);
        let transposed = fold(&transpose, &[&matrix]).unwrap();
        assert_eq!(transposed[0].dims(), [columns, rows]);
        assert_eq!(transposed[0].floats()[1], columns as f32);
    }

    #[test]
    fn nothing_hostile_gets_far() {
        let huge = int(&[1 << 40]);
        let cases: Vec<(&str, Vec<&Constant>)> = vec![
            ("Expand", vec![&huge, &huge]),
            ("Tile", vec![&huge, &huge]),
            ("Reshape", vec![&huge, &huge]),
        ];
        for (op, operands) in cases {
            let got = fold(&node(op, &["a", "b"], &["y"]), &operands);
            assert!(got.is_err(), "{op}: {got:?}");
        }
        let range = node("Range", &["s", "l", "d"], &["y"]);
        for (limit, delta) in [(1i64 << 60, 1), (5, 0)] {
            assert!(fold(&range, &[&scalar(0), &scalar(limit), &scalar(delta)]).is_err());
        }
        let beyond = node("Gather", &["a", "b"], &["y"]);
        assert!(fold(&beyond, &[&int(&[1]), &scalar(9)]).is_err());
        for op in op::foldable::FOLDABLE {
            let _ = fold(&node(op, &[], &["y"]), &[]);
            let _ = fold(&node(op, &["a"], &["y"]), &[&huge]);
        }
        assert!(matches!(
            fold(&node("RandomNormal", &[], &["y"]), &[]),
            Err(Refusal::Unsupported { .. })
        ));
    }
}
