//! Concat along the channels.

use trefoil_ir::nn::op::Concat;

use crate::import::error::{invalid, unsupported};
use crate::import::site::{Outcome, Site, axis};
use crate::import::value::{Value, View};

/// Concat along the channels.
pub(super) fn concat(site: &mut Site<'_>) -> Outcome {
    let views = (0..site.operands.len()).map(|at| site.view(at));
    let views: Vec<View> = views.collect::<Result<_, _>>()?;
    let first = site.view(0)?;
    let along = axis(site.int("axis", 1)?, first.dims.len())?;
    if views.len() == 1 {
        return Ok(vec![Value::Map(first)]);
    }
    if along != 1 {
        return unsupported(
            format!("it joins values along axis {along}"),
            "only the channels (axis 1) can be joined",
        );
    }
    let mut dims = first.dims.clone();
    dims[1] = 0;
    for view in &views {
        site.check_channels(view)?;
        let alike = view.dims.len() == dims.len() && view.dims[2..] == dims[2..];
        if !alike {
            return invalid("its operands differ in more than the channels");
        }
        dims[1] += view.dims[1];
    }
    let nodes: Vec<_> = views.iter().map(|v| v.node).collect();
    let node = site.add(Concat, &nodes)?;
    Ok(vec![Value::map(node, dims)])
}
