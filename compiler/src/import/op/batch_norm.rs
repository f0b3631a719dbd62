//! BatchNormalization with running statistics.

use trefoil_ir::nn::op::BatchNorm;

use crate::import::error::unsupported;
use crate::import::site::{Outcome, Site};
use crate::import::value::Value;

/// BatchNormalization at inference. A node that names more than one result is one of training, too:
/// before opset 14 nothing else tells it.
pub(super) fn batch_normalization(site: &mut Site<'_>) -> Outcome {
    let names_statistics = site.proto.output.iter().skip(1).any(|name| !name.is_empty());
    if names_statistics || site.flag("training_mode", false)? {
        return unsupported(
            "it is in training mode, in which it takes the statistics of the batch",
            "export the model in eval mode (`model.eval()`, without `training=TrainingMode.TRAINING`)",
        );
    }
    let view = site.channelled(0)?;
    let op = BatchNorm {
        gamma: site.weight(1)?,
        beta: site.weight(2)?,
        mean: site.weight(3)?,
        variance: site.weight(4)?,
        epsilon: site.float("epsilon", 1e-5)?,
    };
    let node = site.add(op, &[view.node])?;
    Ok(vec![Value::map(node, view.dims)])
}
