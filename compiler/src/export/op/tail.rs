//! The tail: what the client computes of its logits, as ONNX nodes behind the network.

use tract_onnx::pb::AttributeProto;
use trefoil_ir::tail::{Binary, DType, Op, Reduction, Tail, Type, Unary};

use crate::export::proto::{float, int, ints};
use crate::export::writer::{OPSET_WITH_AXES_AS_OPERANDS, Writer};

/// Writes the steps of a tail behind `logits`; the last one gives `output`.
pub(in crate::export) fn write(
    w: &mut Writer<'_>,
    tail: &Tail,
    types: &[Type],
    logits: String,
    output: &str,
) {
    let mut values = vec![logits];
    for (at, step) in tail.steps.iter().enumerate() {
        let operands: Vec<&str> = step.args.iter().map(|&arg| values[arg].as_str()).collect();
        let is_last = at + 1 == tail.steps.len();
        let place = Place {
            operand: step.args.first().map(|&arg| &types[arg]),
            result: &types[at + 1],
            part: format!("{output}/tail{at}"),
            output: is_last.then_some(output),
        };
        let value = place.write(w, &step.op, &operands);
        values.push(value);
    }
}

/// Where a step's nodes go.
struct Place<'a> {
    operand: Option<&'a Type>,
    result: &'a Type,
    part: String,
    output: Option<&'a str>,
}

impl Place<'_> {
    fn write(&self, w: &mut Writer<'_>, op: &Op, operands: &[&str]) -> String {
        match op {
            Op::Number(value, dtype) => w.number(&self.part, *value, *dtype),
            Op::Unary(op) => self.node(w, unary(*op), operands, vec![]),
            Op::HardSigmoid { alpha, beta } => {
                let attributes = vec![float("alpha", *alpha as f32), float("beta", *beta as f32)];
                self.node(w, "HardSigmoid", operands, attributes)
            }
            Op::Binary(op) => self.node(w, binary(*op), operands, vec![]),
            Op::Softmax { first, last, log } => self.softmax(w, operands[0], [*first, *last], *log),
            Op::Reduce { how, axes, keep } => {
                let keep = int("keepdims", (*keep).into());
                let as_operand = *how == Reduction::Sum || w.opset() >= OPSET_WITH_AXES_AS_OPERANDS;
                if as_operand {
                    let axes = w.sizes(&format!("{}/axes", self.part), axes);
                    return self.node(w, reduction(*how), &[operands[0], &axes], vec![keep]);
                }
                self.node(w, reduction(*how), operands, vec![ints("axes", axes), keep])
            }
            Op::Arg {
                axis,
                largest,
                keep,
                last,
            } => {
                let name = if *largest { "ArgMax" } else { "ArgMin" };
                let attributes = vec![
                    int("axis", *axis as i64),
                    int("keepdims", (*keep).into()),
                    int("select_last_index", (*last).into()),
                ];
                self.node(w, name, operands, attributes)
            }
            Op::TopK {
                axis,
                count,
                largest,
                indices,
            } => {
                let count = w.sizes(&format!("{}/k", self.part), &[*count]);
                let attributes = vec![int("axis", *axis as i64), int("largest", (*largest).into())];
                let name = w.fresh(&self.part);
                let value = self.output.map_or(name.clone(), str::to_owned);
                let other = w.fresh(&format!("{}/other", self.part));
                let outputs = if *indices {
                    [&*other, &*value]
                } else {
                    [&*value, &*other]
                };
                w.node("TopK", &name, &[operands[0], &count], &outputs, attributes);
                value
            }
            Op::Cast(dtype) => self.node(w, "Cast", operands, vec![int("to", element_type(*dtype))]),
            Op::Reshape(dims) => self.reshape(w, operands[0], dims, self.result),
            Op::Transpose(perm) => self.node(w, "Transpose", operands, vec![ints("perm", perm)]),
            Op::Expand(dims) => {
                let shape = w.sizes(&format!("{}/shape", self.part), dims);
                self.node(w, "Expand", &[operands[0], &shape], vec![])
            }
        }
    }

    /// The node that gives the step's value.
    fn node(&self, w: &mut Writer<'_>, op: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        match self.output {
            None => w.part(op, &self.part, inputs, attributes),
            Some(output) => {
                let name = w.fresh(&self.part);
                w.node(op, &name, inputs, &[output], attributes);
                output.to_owned()
            }
        }
    }

    /// Zero copies a batch that stays the first dimension.
    fn reshape(&self, w: &mut Writer<'_>, x: &str, dims: &[usize], result: &Type) -> String {
        let mut dims = dims.to_vec();
        if result.batched && self.operand.is_some_and(|ty| ty.batched) {
            dims[0] = 0;
        }
        let shape = w.sizes(&format!("{}/shape", self.part), &dims);
        self.node(w, "Reshape", &[x, &shape], vec![])
    }

    /// Axes that are taken as one are made one before.
    fn softmax(&self, w: &mut Writer<'_>, x: &str, [first, last]: [usize; 2], log: bool) -> String {
        let name = if log { "LogSoftmax" } else { "Softmax" };
        let axis = || vec![int("axis", first as i64)];
        let dims = &self.result.dims;
        if last == first + 1 {
            return self.node(w, name, &[x], axis());
        }
        let lane = dims[first..last].iter().product();
        let flat = Place {
            output: None,
            part: format!("{}/flat", self.part),
            ..*self
        };
        let flattened = [&dims[..first], &[lane], &dims[last..]].concat();
        let x = flat.reshape(w, x, &flattened, self.result);
        let y = flat.node(w, name, &[&x], axis());
        self.reshape(w, &y, dims, self.result)
    }
}

fn unary(op: Unary) -> &'static str {
    match op {
        Unary::Sigmoid => "Sigmoid",
        Unary::Tanh => "Tanh",
        Unary::Exp => "Exp",
        Unary::Log => "Log",
        Unary::Sqrt => "Sqrt",
        Unary::Reciprocal => "Reciprocal",
        Unary::Abs => "Abs",
        Unary::Neg => "Neg",
        Unary::Softplus => "Softplus",
        Unary::Softsign => "Softsign",
        Unary::Round => "Round",
        Unary::Floor => "Floor",
        Unary::Ceil => "Ceil",
    }
}

fn binary(op: Binary) -> &'static str {
    match op {
        Binary::Add => "Add",
        Binary::Sub => "Sub",
        Binary::Mul => "Mul",
        Binary::Div => "Div",
        Binary::Pow => "Pow",
        Binary::Max => "Max",
        Binary::Min => "Min",
        Binary::Greater => "Greater",
        Binary::GreaterOrEqual => "GreaterOrEqual",
        Binary::Less => "Less",
        Binary::LessOrEqual => "LessOrEqual",
    }
}

fn reduction(how: Reduction) -> &'static str {
    match how {
        Reduction::Sum => "ReduceSum",
        Reduction::Mean => "ReduceMean",
        Reduction::Max => "ReduceMax",
        Reduction::Min => "ReduceMin",
        Reduction::L1 => "ReduceL1",
        Reduction::L2 => "ReduceL2",
        Reduction::SumSquare => "ReduceSumSquare",
        Reduction::LogSumExp => "ReduceLogSumExp",
    }
}

fn element_type(dtype: DType) -> i64 {
    crate::export::proto::element_type(dtype) as i64
}
