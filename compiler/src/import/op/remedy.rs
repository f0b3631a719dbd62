//! What to do about operators that are not supported at all.

use tract_onnx::pb::NodeProto;

use crate::import::error::Refusal;
use crate::import::op::tail::is_known;
use crate::import::value::volume;

/// The refusal of an operator that has no importer.
pub(in crate::import) fn refuse(op: &str) -> Refusal {
    let reason = match is_known(op) {
        true => {
            "the operator is supported only at the end of a network, where the client computes it in the clear"
        }
        false => "the operator is not supported",
    };
    Refusal::Unsupported {
        reason: reason.to_owned(),
        remedy: remedy(op).to_owned(),
    }
}

/// The dimensions of an unsupported node's result, where they are plain to see: nodes behind it
/// are looked at as well then.
pub(in crate::import) fn result_dims(node: &NodeProto, operands: &[Vec<usize>]) -> Option<Vec<usize>> {
    let first = operands.first()?;
    match node.op_type.as_str() {
        "Transpose" => {
            let perm = &node.attribute.iter().find(|a| a.name == "perm")?.ints;
            let mut dims = Vec::with_capacity(perm.len());
            for &axis in perm {
                dims.push(*first.get(usize::try_from(axis).ok()?)?);
            }
            (volume(&dims) == volume(first)).then_some(dims)
        }
        op if KEEPS_SHAPE.contains(&op) => operands.iter().max_by_key(|d| volume(d)).cloned(),
        _ => None,
    }
}

/// Operators whose result has the shape of their (larger) operand.
const KEEPS_SHAPE: &[&str] = &[
    "Abs",
    "Add",
    "Celu",
    "Clip",
    "Div",
    "Elu",
    "Erf",
    "Exp",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "InstanceNormalization",
    "LRN",
    "LayerNormalization",
    "LeakyRelu",
    "Log",
    "LogSoftmax",
    "Max",
    "Min",
    "Mish",
    "Mul",
    "PRelu",
    "Pow",
    "Selu",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Sub",
    "Swish",
    "Tanh",
    "ThresholdedRelu",
];

fn remedy(op: &str) -> &'static str {
    match op {
        "Sigmoid" | "HardSigmoid" | "HardSwish" | "Swish" | "Mish" | "Elu" | "Selu" | "Celu" | "Gelu"
        | "Tanh" | "Erf" | "Softplus" | "Softsign" | "ThresholdedRelu" | "Exp" | "Shrink" => {
            "replace the activation by Relu or Clip (ReLU6) and fine-tune the network"
        }
        "PRelu" | "LeakyRelu" => "replace it by Relu and fine-tune the network",
        "Softmax" | "LogSoftmax" | "ArgMax" | "ArgMin" | "TopK" | "LpNormalization" => {
            "remove it, or end the network before it"
        }
        "Hardmax" => "end the network with ArgMax",
        "ConvTranspose" => "replace it by Resize followed by a convolution",
        "InstanceNormalization"
        | "LayerNormalization"
        | "GroupNormalization"
        | "LRN"
        | "MeanVarianceNormalization"
        | "RMSNormalization" => "train with batch normalisation, whose statistics are fixed at inference",
        "QuantizeLinear"
        | "DequantizeLinear"
        | "QLinearConv"
        | "QLinearMatMul"
        | "ConvInteger"
        | "MatMulInteger"
        | "DynamicQuantizeLinear" => "export the network in float32, without quantisation",
        "LSTM" | "GRU" | "RNN" | "Attention" | "Einsum" => {
            "only feed-forward convolutional networks are supported"
        }
        "If" | "Loop" | "Scan" => {
            "export the model with fixed sizes, so that no control flow is left, or run onnxsim on it"
        }
        "LpPool" | "GlobalLpPool" | "MaxUnpool" | "MaxRoiPool" | "RoiAlign" | "NonMaxSuppression" => {
            "use average or max pooling, and leave post-processing out of the exported network"
        }
        "Pow" | "Sqrt" | "Log" | "Abs" | "Reciprocal" => {
            "products and other non-linear functions of values are not computed: leave it out of the network"
        }
        "OneHot" | "NonZero" | "Where" | "Equal" | "Greater" | "Less" => {
            "leave post-processing out of the exported network and apply it to the result"
        }
        _ => "leave it out of the exported network, or replace it by supported operators",
    }
}
