//! Operators that give a value other dimensions and leave its elements where they are: Flatten,
//! Reshape, Squeeze, Unsqueeze, and Transpose where it moves nothing.

use trefoil_ir::nn::Op;
use trefoil_ir::nn::op;

use crate::import::error::{Refusal, invalid, unsupported};
use crate::import::site::{Outcome, Site, attribute_error, axes, axis, size};
use crate::import::value::{Value, View, shape_text, volume};

/// Flatten.
pub(super) fn flatten(site: &mut Site<'_>) -> Outcome {
    let view = site.view(0)?;
    let dims = flattened(site, &view.dims)?;
    view_as(site, view, dims)
}

/// The dimensions that a Flatten gives a value of `dims`.
pub(super) fn flattened(site: &Site<'_>, dims: &[usize]) -> Result<Vec<usize>, Refusal> {
    let at = match site.int("axis", 1)? {
        at if at < 0 && site.opset < 11 => return attribute_error("axis", "0 or more before opset 11"),
        // The rank itself is allowed here.
        at if at == dims.len() as i64 => dims.len(),
        at => axis(at, dims.len())?,
    };
    let (before, behind) = dims.split_at(at);
    Ok(vec![
        volume(before).unwrap_or(usize::MAX),
        volume(behind).unwrap_or(usize::MAX),
    ])
}

/// Reshape.
pub(super) fn reshape(site: &mut Site<'_>) -> Outcome {
    let view = site.view(0)?;
    let dims = reshaped(site, &view.dims)?;
    view_as(site, view, dims)
}

/// The dimensions that a Reshape gives a value of `dims`.
pub(super) fn reshaped(site: &Site<'_>, dims: &[usize]) -> Result<Vec<usize>, Refusal> {
    let Some(wanted) = site.int_list(1)? else {
        return invalid("the new shape is missing");
    };
    resolve(dims, &wanted, site.flag("allowzero", false)?)
}

/// Squeeze.
pub(super) fn squeeze(site: &mut Site<'_>) -> Outcome {
    let view = site.view(0)?;
    let dims = squeezed(site, &view.dims)?;
    view_as(site, view, dims)
}

/// The dimensions that a Squeeze gives a value of `dims`: axes are an attribute before opset 13 and
/// an operand since.
pub(super) fn squeezed(site: &Site<'_>, dims: &[usize]) -> Result<Vec<usize>, Refusal> {
    let squeezed = match site.list("axes", 1)? {
        Some(list) => axes(&list, dims.len())?,
        None => (0..dims.len()).filter(|&a| dims[a] == 1).collect(),
    };
    if let Some(axis) = squeezed.iter().find(|&&a| dims[a] != 1) {
        return invalid(format!("axis {axis} of {} is not 1", shape_text(dims)));
    }
    let all = dims.iter().enumerate();
    let left = all.filter(|(a, _)| !squeezed.contains(a));
    Ok(left.map(|(_, &d)| d).collect())
}

/// Unsqueeze.
pub(super) fn unsqueeze(site: &mut Site<'_>) -> Outcome {
    let view = site.view(0)?;
    let dims = unsqueezed(site, &view.dims)?;
    view_as(site, view, dims)
}

/// The dimensions that an Unsqueeze gives a value of `dims`: axes are an attribute before opset 13
/// and an operand since.
pub(super) fn unsqueezed(site: &Site<'_>, dims: &[usize]) -> Result<Vec<usize>, Refusal> {
    let Some(list) = site.list("axes", 1)? else {
        return invalid("the axes are missing");
    };
    let rank = dims.len() + list.len();
    check_rank(rank)?;
    let added = axes(&list, rank)?;
    let mut old = dims.iter();
    let mut unsqueezed = Vec::with_capacity(rank);
    for axis in 0..rank {
        let kept = if added.contains(&axis) { None } else { old.next() };
        unsqueezed.push(kept.copied().unwrap_or(1));
    }
    Ok(unsqueezed)
}

/// Refuses more dimensions than any value of a network has.
fn check_rank(rank: usize) -> Result<(), Refusal> {
    const MOST: usize = 8;
    if rank <= MOST {
        return Ok(());
    }
    invalid(format!(
        "a value of rank {rank} has more than the {MOST} dimensions that are supported"
    ))
}

/// Transpose, if only axes of size one change places.
pub(super) fn transpose(site: &mut Site<'_>) -> Outcome {
    let view = site.view(0)?;
    let perm = permutation(site, view.dims.len())?;
    let moved: Vec<usize> = perm.iter().copied().filter(|&a| view.dims[a] != 1).collect();
    if !moved.is_sorted() {
        return unsupported(
            format!(
                "it moves the elements of a value of shape {}",
                shape_text(&view.dims)
            ),
            "keep values in the form [N, C, H, W]; a channel shuffle can be written as a 1x1 convolution",
        );
    }
    let dims = perm.iter().map(|&a| view.dims[a]).collect();
    view_as(site, view, dims)
}

/// The order of axes that a Transpose of a value of this rank asks for.
pub(super) fn permutation(site: &Site<'_>, rank: usize) -> Result<Vec<usize>, Refusal> {
    let perm = match site.ints("perm")? {
        Some(perm) => axes(&perm, rank)?,
        None => (0..rank).rev().collect(),
    };
    if perm.len() != rank {
        return invalid(format!("`perm` must name {rank} axes"));
    }
    Ok(perm)
}

/// The dimensions that a Reshape asks for: 0 copies one, -1 is what is left.
pub(in crate::import) fn resolve(
    dims: &[usize],
    wanted: &[i64],
    keeps_zero: bool,
) -> Result<Vec<usize>, Refusal> {
    check_rank(wanted.len())?;
    let total = volume(dims).unwrap_or(0);
    let mut open = None;
    let mut resolved = Vec::with_capacity(wanted.len());
    for (at, &want) in wanted.iter().enumerate() {
        resolved.push(match want {
            -1 if open.is_none() => {
                open = Some(at);
                1
            }
            -1 => return invalid("two dimensions of the new shape are -1"),
            0 if !keeps_zero => match dims.get(at) {
                Some(&dim) => dim,
                None => return invalid(format!("dimension {at} is to be copied and does not exist")),
            },
            _ => size(want)?,
        });
    }
    if let Some(at) = open {
        let known = volume(&resolved).unwrap_or(0);
        if known == 0 || !total.is_multiple_of(known) {
            return mismatch(dims, wanted);
        }
        resolved[at] = total / known;
    }
    if volume(&resolved) != Some(total) {
        return mismatch(dims, wanted);
    }
    Ok(resolved)
}

fn mismatch<T>(dims: &[usize], wanted: &[i64]) -> Result<T, Refusal> {
    invalid(format!(
        "a value of shape {} cannot take the shape {wanted:?}; if the batch size is fixed in the file, state it with --input-shape",
        shape_text(dims)
    ))
}

/// The same elements under other dimensions, whose product is right.
pub(super) fn view_as(site: &mut Site<'_>, view: View, dims: Vec<usize>) -> Outcome {
    if dims.first() != Some(&view.dims[0]) {
        return unsupported(
            format!(
                "it turns the shape {} into {}, which mixes the images of a batch",
                shape_text(&view.dims),
                shape_text(&dims)
            ),
            "keep the batch as the first dimension, for example with `flatten(1)` or `squeeze` of named axes",
        );
    }
    let shape = site.shape(view.node);
    let node = match dims[1..] {
        _ if site.stand_ins.contains(&view.node) => site.stand_in(&dims)?,
        [_] if shape.plane() > 1 => site.add(op::Flatten, &[view.node])?,
        // Back from a vector to the map that it was made of.
        [_, _, ..] => match site.graph.node(view.node).op {
            Op::Flatten(_) => {
                let map = site.graph.inputs(view.node)[0];
                let is_back = site.shape(map).c == dims[1];
                if is_back { map } else { view.node }
            }
            _ => view.node,
        },
        _ => view.node,
    };
    Ok(vec![Value::map(node, dims)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_copy_and_minus_one_is_the_rest() {
        let dims = [2, 3, 4, 5];
        let ok = |wanted: &[i64]| resolve(&dims, wanted, false).ok();
        assert_eq!(ok(&[0, -1]), Some(vec![2, 60]));
        assert_eq!(ok(&[-1, 60]), Some(vec![2, 60]));
        assert_eq!(ok(&[0, 0, 20]), Some(vec![2, 3, 20]));
        assert_eq!(ok(&[2, 3, 4, 5]), Some(dims.to_vec()));
        for bad in [
            &[-1, -1][..],
            &[7, -1],
            &[1, 60],
            &[0, 0, 0, 0, 0],
            &[-2, 60],
            &[i64::MAX, 2],
            &[0; 9],
        ] {
            assert_eq!(ok(bad), None, "{bad:?}");
        }
        assert!(resolve(&dims, &[0, 120], true).is_err());
    }
}
