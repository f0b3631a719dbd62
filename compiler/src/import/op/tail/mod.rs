//! The operators of the tail: what a client computes in the clear of its logits.
//!
//! Many of them have an importer of the network too. Where a node stands at the end, the network's
//! is tried first.

mod along;
mod function;
mod layout;

pub(in crate::import) use layout::dtype;

use trefoil_ir::tail::{Binary, Reduction, Unary};

use crate::import::error::{Refusal, unsupported};
use crate::import::site::{Outcome, Site};
use crate::import::tail::TailValue;
use crate::import::value::Value;

/// Whether an operator may stand in the tail.
pub(in crate::import) fn is_known(op: &str) -> bool {
    matches!(op, "Identity" | "Dropout") || import_of(op).is_some()
}

/// The importer of an operator for the tail.
pub(in crate::import) fn import_of(op: &str) -> Option<fn(&mut Site<'_>) -> Outcome> {
    Some(match op {
        "Abs" => |site| function::unary(site, Unary::Abs),
        "Add" => |site| function::binary(site, Binary::Add),
        "ArgMax" => |site| along::arg(site, true),
        "ArgMin" => |site| along::arg(site, false),
        "Cast" => layout::cast,
        "Ceil" => |site| function::unary(site, Unary::Ceil),
        "Clip" => function::clip,
        "Div" => |site| function::binary(site, Binary::Div),
        "Exp" => |site| function::unary(site, Unary::Exp),
        "Expand" => layout::expand,
        "Flatten" => layout::flatten,
        "Floor" => |site| function::unary(site, Unary::Floor),
        "Greater" => |site| function::binary(site, Binary::Greater),
        "GreaterOrEqual" => |site| function::binary(site, Binary::GreaterOrEqual),
        "HardSigmoid" => function::hard_sigmoid,
        "Less" => |site| function::binary(site, Binary::Less),
        "LessOrEqual" => |site| function::binary(site, Binary::LessOrEqual),
        "Log" => |site| function::unary(site, Unary::Log),
        "LogSoftmax" => |site| along::softmax(site, true),
        "LpNormalization" => along::lp_normalization,
        "Max" => |site| function::variadic(site, Binary::Max),
        "Min" => |site| function::variadic(site, Binary::Min),
        "Mul" => |site| function::binary(site, Binary::Mul),
        "Neg" => |site| function::unary(site, Unary::Neg),
        "Pow" => |site| function::binary(site, Binary::Pow),
        "Reciprocal" => |site| function::unary(site, Unary::Reciprocal),
        "ReduceL1" => |site| along::reduce(site, Reduction::L1),
        "ReduceL2" => |site| along::reduce(site, Reduction::L2),
        "ReduceLogSumExp" => |site| along::reduce(site, Reduction::LogSumExp),
        "ReduceMax" => |site| along::reduce(site, Reduction::Max),
        "ReduceMean" => |site| along::reduce(site, Reduction::Mean),
        "ReduceMin" => |site| along::reduce(site, Reduction::Min),
        "ReduceSum" => |site| along::reduce(site, Reduction::Sum),
        "ReduceSumSquare" => |site| along::reduce(site, Reduction::SumSquare),
        "Relu" => function::relu,
        "Reshape" => layout::reshape,
        "Round" => |site| function::unary(site, Unary::Round),
        "Sigmoid" => |site| function::unary(site, Unary::Sigmoid),
        "Softmax" => |site| along::softmax(site, false),
        "Softplus" => |site| function::unary(site, Unary::Softplus),
        "Softsign" => |site| function::unary(site, Unary::Softsign),
        "Sqrt" => |site| function::unary(site, Unary::Sqrt),
        "Squeeze" => layout::squeeze,
        "Sub" => |site| function::binary(site, Binary::Sub),
        "Sum" => |site| function::variadic(site, Binary::Add),
        "Tanh" => |site| function::unary(site, Unary::Tanh),
        "TopK" => along::top_k,
        "Transpose" => layout::transpose,
        "Unsqueeze" => layout::unsqueeze,
        _ => return None,
    })
}

impl Site<'_> {
    /// An operand as a value of the tail.
    fn tail(&self, at: usize) -> Result<TailValue, Refusal> {
        match self.value(at)? {
            Value::Map(view) => Ok(TailValue::of(view.clone())),
            Value::Tail(value) => Ok(value.clone()),
            Value::Constant(_) | Value::Unknown => unsupported(
                format!("operand {at} is a constant where a value that depends on the image is expected"),
                "export the model with constant folding (`do_constant_folding=True`)",
            ),
        }
    }
}

fn value(value: TailValue) -> Outcome {
    Ok(vec![Value::Tail(value)])
}
