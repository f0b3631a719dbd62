//! What to do about operators that are not supported at all.

use crate::import::error::Refusal;

/// The refusal of an operator that has no importer.
pub(in crate::import) fn refuse(op: &str) -> Refusal {
    Refusal::Unsupported {
        reason: "the operator is not supported".to_owned(),
        remedy: remedy(op).to_owned(),
    }
}

fn remedy(op: &str) -> &'static str {
    match op {
        "Sigmoid" | "HardSigmoid" | "HardSwish" | "Swish" | "Mish" | "Elu" | "Selu" | "Celu" | "Gelu"
        | "Tanh" | "Erf" | "Softplus" | "Softsign" | "ThresholdedRelu" | "Exp" | "Shrink" => {
            "replace the activation by Relu or Clip (ReLU6) and fine-tune the network"
        }
        "PRelu" | "LeakyRelu" => "replace it by Relu and fine-tune the network",
        "LogSoftmax" => {
            "end the network with its logits, or with Softmax, and take the logarithm of the result"
        }
        "Hardmax" => "end the network with ArgMax",
        "ConvTranspose" => "replace it by Resize followed by a convolution",
        "InstanceNormalization"
        | "LayerNormalization"
        | "GroupNormalization"
        | "LRN"
        | "LpNormalization"
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
        "DepthToSpace" | "SpaceToDepth" => "replace it by Resize, or by a strided convolution",
        "LpPool" | "GlobalLpPool" | "MaxUnpool" | "MaxRoiPool" | "RoiAlign" | "NonMaxSuppression" => {
            "use average or max pooling, and leave post-processing out of the exported network"
        }
        "Pow" | "Sqrt" | "Log" | "Abs" | "Reciprocal" => {
            "products and other non-linear functions of values are not computed: leave it out of the network"
        }
        "TopK" | "OneHot" | "NonZero" | "Where" | "Equal" | "Greater" | "Less" => {
            "leave post-processing out of the exported network and apply it to the result"
        }
        _ => "leave it out of the exported network, or replace it by supported operators",
    }
}
