//! Relu, Clip, and Min and Max against constants: everything that cuts values off.
//!
//! All of them are `min(max(x, low), high)` for some bounds. One after the other they merge, so
//! that Max and Min, or Relu and Min, become one clip.

use trefoil_ir::Tensor;
use trefoil_ir::nn::NodeId;
use trefoil_ir::nn::op::{Affine, Clamp, Clip, Relu};

use crate::import::clipped::{Bounds, Clipped};
use crate::import::error::{Refusal, invalid, unsupported};
use crate::import::site::{Outcome, Site};
use crate::import::value::{Value, View};

/// Relu.
pub(super) fn relu(site: &mut Site<'_>) -> Outcome {
    let bounds = Bounds {
        low: 0.0,
        ..Bounds::NONE
    };
    bound(site, 0, bounds)
}

/// Clip: bounds as attributes before opset 11, as operands since.
pub(super) fn clip(site: &mut Site<'_>) -> Outcome {
    let bounds = Bounds {
        low: stated_bound(site, 1, "min", f32::NEG_INFINITY)?,
        high: stated_bound(site, 2, "max", f32::INFINITY)?,
    };
    bound(site, 0, bounds)
}

/// Operand `at` or the attribute that came before it, or else `none`.
fn stated_bound(site: &Site<'_>, at: usize, name: &'static str, none: f32) -> Result<f32, Refusal> {
    match site.scalar(at)? {
        Some(bound) => Ok(bound),
        None if site.has(name) => site.float(name, none),
        None => Ok(none),
    }
}

/// Max of one value and constants.
pub(super) fn max(site: &mut Site<'_>) -> Outcome {
    let (at, numbers) = value_and_numbers(site)?;
    let low = numbers.into_iter().fold(f32::NEG_INFINITY, f32::max);
    bound(site, at, Bounds { low, ..Bounds::NONE })
}

/// Min of one value and constants.
pub(super) fn min(site: &mut Site<'_>) -> Outcome {
    let (at, numbers) = value_and_numbers(site)?;
    let high = numbers.into_iter().fold(f32::INFINITY, f32::min);
    bound(site, at, Bounds { high, ..Bounds::NONE })
}

/// The operand that depends on the image, and the others, each a single number.
fn value_and_numbers(site: &Site<'_>) -> Result<(usize, Vec<f32>), Refusal> {
    let mut at = None;
    let mut numbers = Vec::new();
    for i in 0..site.operands.len() {
        match site.value(i)? {
            Value::Constant(constant) => match constant.floats()[..] {
                [first, ref rest @ ..] if rest.iter().all(|v| *v == first) && !first.is_nan() => {
                    numbers.push(first);
                }
                _ => {
                    return unsupported(
                        format!("operand {i} holds different bounds for different elements"),
                        "use one bound for the whole layer, as Clip does",
                    );
                }
            },
            Value::Map(_) | Value::Tail(_) | Value::Unknown if at.is_none() => at = Some(i),
            Value::Map(_) | Value::Tail(_) | Value::Unknown => {
                return unsupported(
                    "it compares two values that depend on the image",
                    "replace it by max pooling, or by Relu and Add: max(a, b) = a + relu(b - a)",
                );
            }
        }
    }
    match at {
        Some(at) => Ok((at, numbers)),
        None => invalid("no operand depends on the image"),
    }
}

/// Cuts operand `at` off at these bounds.
fn bound(site: &mut Site<'_>, at: usize, bounds: Bounds) -> Outcome {
    let view = site.view(at)?;
    let earlier = if site.is_only_user(at)? && !site.is_cluster {
        site.clips.get(&view.node).cloned()
    } else {
        None
    };
    // Two Relus in a row stay two gates: every ONNX Relu is counted and can be addressed by name.
    let clipped = match earlier {
        Some(earlier) if site.proto.op_type != "Relu" => Clipped {
            bounds: earlier.bounds.then(bounds),
            source: earlier.source,
        },
        _ => Clipped {
            source: view.node,
            bounds,
        },
    };
    let node = cut(site, &clipped)?;
    // Signs that patches share are no bounds: nothing merges with them.
    if node != clipped.source && !site.is_cluster {
        site.clips.insert(node, clipped);
    }
    let View { dims, .. } = view;
    Ok(vec![Value::map(node, dims)])
}

/// Adds the nodes of a clip: a Relu or Clip where the lower bound is 0, a Clamp where it is another.
fn cut(site: &mut Site<'_>, clipped: &Clipped) -> Result<NodeId, Refusal> {
    let Clipped {
        source,
        bounds: Bounds { low, high },
    } = *clipped;
    if low >= f32::MAX || high <= f32::MIN {
        return invalid("the bounds leave no finite number");
    }
    match (is_bound(low), is_bound(high)) {
        (false, false) => Ok(source),
        (true, false) if low == 0.0 => site.add(Relu, &[source]),
        (true, false) => clamp(site, source, low, None),
        (false, true) => {
            // min(x, high) = -max(-x, -high)
            let mirrored = scale(site, "mirror", source, -1.0, 0.0)?;
            let cut = match high {
                0.0 => site.add(Relu, &[mirrored])?,
                _ => clamp(site, mirrored, -high, None)?,
            };
            scale(site, "unmirror", cut, -1.0, 0.0)
        }
        (true, true) if low >= high => {
            site.warn(format!(
                "its lower bound {low} is not below its upper bound {high}: its result is {high}, whatever the image"
            ));
            scale(site, "constant", source, 0.0, high)
        }
        (true, true) if low == 0.0 => {
            let channels = channels(site, source)?;
            site.add(Clip::pixelwise(high, channels), &[source])
        }
        (true, true) => clamp(site, source, low, Some(high)),
    }
}

/// Whether a number bounds anything: exporters write an absent bound as the largest number of the type.
fn is_bound(number: f32) -> bool {
    number.abs() < f32::MAX
}

/// Channels of a value, for each of which a number is made.
fn channels(site: &mut Site<'_>, source: NodeId) -> Result<usize, Refusal> {
    let channels = site.shape(source).c;
    site.expand(channels)?;
    Ok(channels)
}

fn clamp(site: &mut Site<'_>, source: NodeId, low: f32, high: Option<f32>) -> Result<NodeId, Refusal> {
    let channels = channels(site, source)?;
    site.add(Clamp::pixelwise(low, high, channels), &[source])
}

/// `factor * x + summand`.
fn scale(
    site: &mut Site<'_>,
    suffix: &str,
    source: NodeId,
    factor: f32,
    summand: f32,
) -> Result<NodeId, Refusal> {
    let channels = channels(site, source)?;
    let op = Affine {
        scale: Tensor::vector(vec![factor; channels]),
        bias: Tensor::vector(vec![summand; channels]),
    };
    site.add_part(suffix, op, &[source])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_merge_as_the_functions_do() {
        let all = [-3.0, -1.0, 0.0, 0.5, 2.0];
        let bounds = || {
            all.iter()
                .flat_map(|&low| all.iter().map(move |&high| Bounds { low, high }))
        };
        for a in bounds().filter(|b| b.low <= b.high) {
            for b in bounds().filter(|b| b.low <= b.high) {
                let both = a.then(b);
                for x in [-9.0f32, -2.0, -0.5, 0.25, 1.0, 9.0] {
                    let one_by_one = x.max(a.low).min(a.high).max(b.low).min(b.high);
                    assert_eq!(x.max(both.low).min(both.high), one_by_one, "{a:?} {b:?} {x}");
                }
            }
        }
    }
}
