//! BatchNormalization with running statistics.

use trefoil_ir::nn::op::BatchNorm;

use crate::import::site::{Outcome, Site};
use crate::import::value::Value;

/// BatchNormalization at inference.
pub(super) fn batch_normalization(site: &mut Site<'_>) -> Outcome {
    site.at_most(5)?;
    let view = site.channelled(0)?;
    let op = BatchNorm {
        gamma: site.weight(1)?,
        beta: site.weight(2)?,
        mean: site.weight(3)?,
        variance: site.weight(4)?,
        epsilon: site.float("epsilon", 1e-5)?,
    };
    if site.flag("training_mode", false)? {
        site.warn("the batch norm is in training mode: its running statistics are used, as at inference");
    }
    let node = site.add(op, &[view.node])?;
    Ok(vec![Value::map(node, view.dims)])
}
