//! What is known of a constant node before it is worked out: how large its result can be, and
//! whether its indices exist.

use tract_onnx::pb::NodeProto;

use super::error::Refusal;
use super::site::{axes, axis, index};
use super::value::{Constant, volume};

/// Elements that one node may make out of fewer.
pub(super) const MAX_EXPANSION: usize = 1 << 20;

/// Refuses indices and axes that do not exist: tract takes them for granted.
pub(super) fn check_indices(node: &NodeProto, operands: &[Option<&Constant>]) -> Result<(), Refusal> {
    let [Some(data), Some(list), ..] = operands else {
        return Ok(());
    };
    let Some(list) = list.ints() else {
        return Ok(());
    };
    let rank = data.dims().len();
    match node.op_type.as_str() {
        "Gather" | "GatherElements" => {
            let along = node.attribute.iter().find(|a| a.name == "axis");
            let dim = data.dims()[axis(along.map_or(0, |a| a.i), rank)?];
            list.iter().try_for_each(|&at| index(at, dim).map(drop))
        }
        "Squeeze" => axes(list, rank).map(drop),
        "Unsqueeze" => axes(list, rank + list.len()).map(drop),
        _ => Ok(()),
    }
}

/// An upper bound of the number of elements that the node's outputs have; `None` if it overflows.
pub(super) fn elements(node: &NodeProto, operands: &[Option<&Constant>]) -> Option<usize> {
    let dims: Vec<&[usize]> = operands.iter().flatten().map(|c| c.dims()).collect();
    let total = dims.iter().try_fold(0usize, |n, d| n.checked_add(volume(d)?));
    match node.op_type.as_str() {
        "Expand" => match operands.get(1).copied().flatten().and_then(Constant::ints) {
            Some(shape) => {
                let shape: Option<Vec<usize>> = shape.iter().map(|&d| usize::try_from(d).ok()).collect();
                shape.and_then(|shape| broadcast_volume(&[dims[0], &shape]))
            }
            None => None,
        },
        "Tile" => match operands.get(1).copied().flatten().and_then(Constant::ints) {
            Some(repeats) => repeats.iter().try_fold(volume(dims[0]).unwrap_or(0), |n, &r| {
                n.checked_mul(usize::try_from(r).ok()?)
            }),
            None => None,
        },
        "Range" => match operands {
            [Some(start), Some(limit), Some(delta)] => range_length([start, limit, delta]),
            _ => None,
        },
        "Gather" | "GatherElements" => match dims[..] {
            [data, indices] => volume(data).and_then(|n| n.checked_mul(volume(indices)?)),
            _ => None,
        },
        "Add" | "And" | "Div" | "Equal" | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual" | "Max"
        | "Min" | "Mod" | "Mul" | "Or" | "Pow" | "Sub" | "Sum" | "Where" | "Xor" => broadcast_volume(&dims),
        _ => total,
    }
}

/// Number of elements of a range, or one more; `None` for a step of zero and what is no number.
fn range_length(ends: [&Constant; 3]) -> Option<usize> {
    let exact = ends.map(|c| match c.ints() {
        Some(&[value]) => Some(i128::from(value)),
        _ => None,
    });
    if let [Some(start), Some(limit), Some(delta)] = exact {
        let length = (limit - start).checked_div(delta)?.max(0);
        return usize::try_from(length).ok()?.checked_add(1);
    }
    let floats = ends.map(|c| c.floats());
    let [&[start], &[limit], &[delta]] = [&*floats[0], &*floats[1], &*floats[2]] else {
        return None;
    };
    let length = (f64::from(limit) - f64::from(start)) / f64::from(delta);
    (length.abs() < MAX_EXPANSION as f64).then(|| length.max(0.0).ceil() as usize + 1)
}

/// Number of elements of the broadcast of these shapes, or more.
fn broadcast_volume(shapes: &[&[usize]]) -> Option<usize> {
    let mut broadcast: Vec<usize> = Vec::new();
    for shape in shapes {
        for (from_end, &dim) in shape.iter().rev().enumerate() {
            match broadcast.get_mut(from_end) {
                Some(largest) => *largest = dim.max(*largest),
                None => broadcast.push(dim),
            }
        }
    }
    volume(&broadcast)
}
