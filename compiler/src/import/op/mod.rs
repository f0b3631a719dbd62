//! The ONNX operators, a file for each family: every importer turns one node into nodes of the NN
//! graph, or says why it cannot.

mod batch_norm;
pub(super) mod clip;
mod concat;
mod conv;
mod elementwise;
pub(super) mod foldable;
mod known;
mod linear;
mod pad;
mod pass;
mod pool;
mod reduce;
pub(super) mod remedy;
pub(super) mod reshape;
mod resize;
mod shuffle;
mod slice;
pub(super) mod tail;
mod window;

use tract_onnx::pb::NodeProto;

use self::foldable::is_foldable;
use super::error::{Refusal, unsupported};
use super::site::{Outcome, Site};
use super::structure::is_standard_domain;

/// How an operator is imported.
pub(super) struct Importer {
    /// Imports one node.
    pub(super) import: fn(&mut Site<'_>) -> Outcome,
    /// Whether nodes without any operand that depends on the image come here too; otherwise they
    /// are folded.
    pub(super) takes_constants: bool,
}

/// The importer of a node's operator; `None` if the operator is supported on constants alone.
pub(super) fn importer(node: &NodeProto) -> Result<Option<Importer>, Refusal> {
    if !is_standard_domain(&node.domain) {
        return unsupported(
            format!("the operator belongs to the domain \"{}\"", node.domain),
            "export the model with standard ONNX operators only, functions inlined",
        );
    }
    let takes_constants = matches!(
        node.op_type.as_str(),
        "Constant" | "ConstantOfShape" | "Shape" | "Size" | "Identity" | "Dropout"
    );
    match import_of(&node.op_type) {
        Some(import) => Ok(Some(Importer {
            import,
            takes_constants,
        })),
        None if is_foldable(&node.op_type) => Ok(None),
        None => Err(remedy::refuse(&node.op_type)),
    }
}

/// Whether the parties compute an operator, in some forms at least.
pub(super) fn is_supported(op: &str) -> bool {
    import_of(op).is_some()
}

fn import_of(op: &str) -> Option<fn(&mut Site<'_>) -> Outcome> {
    Some(match op {
        "Add" => elementwise::add,
        "AveragePool" => pool::average_pool,
        "BatchNormalization" => batch_norm::batch_normalization,
        "Cast" => pass::cast,
        "Clip" => clip::clip,
        "Concat" => concat::concat,
        "Constant" => known::constant,
        "ConstantOfShape" => known::constant_of_shape,
        "Conv" => conv::conv,
        "DepthToSpace" => shuffle::depth_to_space,
        "Div" => elementwise::div,
        "Dropout" => pass::dropout,
        "Flatten" => reshape::flatten,
        "Gather" => slice::gather,
        "Gemm" => linear::gemm,
        "GlobalAveragePool" => reduce::global_average_pool,
        "GlobalMaxPool" => reduce::global_max_pool,
        "Identity" => pass::identity,
        "MatMul" => linear::mat_mul,
        "Max" => clip::max,
        "MaxPool" => pool::max_pool,
        "Min" => clip::min,
        "Mul" => elementwise::mul,
        "Neg" => elementwise::neg,
        "Pad" => pad::pad,
        "ReduceMax" => reduce::reduce_max,
        "ReduceMean" => reduce::reduce_mean,
        "Relu" => clip::relu,
        "Reshape" => reshape::reshape,
        "Resize" => resize::resize,
        "Shape" => known::shape,
        "Size" => known::size,
        "Slice" => slice::slice,
        "SpaceToDepth" => shuffle::space_to_depth,
        "Split" => slice::split,
        "Squeeze" => reshape::squeeze,
        "Sub" => elementwise::sub,
        "Sum" => elementwise::sum,
        "Transpose" => reshape::transpose,
        "Unsqueeze" => reshape::unsqueeze,
        "Upsample" => resize::upsample,
        _ => return None,
    })
}
