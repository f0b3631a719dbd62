//! Add, Sub, Mul, Div, Neg and Sum: with constants a scale and bias per channel, with each other
//! sums only.

use trefoil_ir::Tensor;
use trefoil_ir::nn::op::{Add, Affine};

use super::linear;
use crate::import::error::{NodeError, Refusal, invalid, unsupported};
use crate::import::site::{Outcome, Site};
use crate::import::value::{Value, View, shape_text};

/// One number for each channel, or one for all.
enum PerChannel {
    One(f32),
    Each(Vec<f32>),
}

/// Two operands, of which at least one depends on the image.
enum Pair {
    Views(View, View),
    /// The constant is operand `constant`.
    WithConstant {
        view: View,
        constant: usize,
    },
}

/// Add.
pub(super) fn add(site: &mut Site<'_>) -> Outcome {
    match pair(site)? {
        Pair::Views(a, b) => {
            let sum = sum_of(site, &a, &b, None)?;
            Ok(vec![Value::Map(sum)])
        }
        Pair::WithConstant { view, constant } => {
            let numbers = per_channel(site, &view, constant)?;
            if let Some(value) = bias_of_linear(site, &view, constant, &numbers)? {
                return Ok(vec![value]);
            }
            affine(site, view, numbers, |v| (1.0, v))
        }
    }
}

/// Sub, of or from a constant.
pub(super) fn sub(site: &mut Site<'_>) -> Outcome {
    match pair(site)? {
        Pair::Views(..) => unsupported(
            "it subtracts two values that depend on the image",
            "write a - b as a + (-1) * b, or put the sign into the layer before",
        ),
        Pair::WithConstant { view, constant } => {
            let numbers = per_channel(site, &view, constant)?;
            let from_constant = constant == 0;
            affine(site, view, numbers, |v| {
                if from_constant { (-1.0, v) } else { (1.0, -v) }
            })
        }
    }
}

/// Mul by a constant.
pub(super) fn mul(site: &mut Site<'_>) -> Outcome {
    match pair(site)? {
        Pair::Views(..) => unsupported(
            "it multiplies two values that depend on the image",
            "use a network without attention, gates or squeeze-and-excitation",
        ),
        Pair::WithConstant { view, constant } => {
            let numbers = per_channel(site, &view, constant)?;
            affine(site, view, numbers, |v| (v, 0.0))
        }
    }
}

/// Div by a constant.
pub(super) fn div(site: &mut Site<'_>) -> Outcome {
    match pair(site)? {
        Pair::WithConstant { view, constant: 1 } => {
            let numbers = per_channel(site, &view, 1)?;
            affine(site, view, numbers, |v| (1.0 / v, 0.0))
        }
        Pair::Views(..) | Pair::WithConstant { .. } => unsupported(
            "it divides by a value that depends on the image",
            "divide by constants only",
        ),
    }
}

/// Neg.
pub(super) fn neg(site: &mut Site<'_>) -> Outcome {
    let view = site.view(0)?;
    affine(site, view, PerChannel::One(-1.0), |v| (v, 0.0))
}

/// Sum of any number of values and constants.
pub(super) fn sum(site: &mut Site<'_>) -> Outcome {
    let mut views = Vec::new();
    let mut constants = Vec::new();
    for at in 0..site.operands.len() {
        match site.value(at)? {
            Value::Map(view) => views.push(view.clone()),
            Value::Constant(_) | Value::Tail(_) | Value::Unknown => constants.push(at),
        }
    }
    let mut views = views.into_iter();
    let Some(mut total) = views.next() else {
        return invalid("no operand depends on the image");
    };
    let last = views.len();
    for (at, view) in views.enumerate() {
        let part = if at + 1 == last { None } else { Some(at) };
        total = sum_of(site, &total, &view, part)?;
    }
    for (at, constant) in constants.into_iter().enumerate() {
        let numbers = per_channel(site, &total, constant)?;
        total = affine_part(site, &format!("bias{at}"), total, numbers, |v| (1.0, v))?;
    }
    Ok(vec![Value::Map(total)])
}

fn pair(site: &Site<'_>) -> Result<Pair, Refusal> {
    Ok(match (site.value(0)?, site.value(1)?) {
        (Value::Map(a), Value::Map(b)) => Pair::Views(a.clone(), b.clone()),
        (Value::Map(view), _) => Pair::WithConstant {
            view: view.clone(),
            constant: 1,
        },
        (_, Value::Map(view)) => Pair::WithConstant {
            view: view.clone(),
            constant: 0,
        },
        _ => return invalid("no operand depends on the image"),
    })
}

/// The sum of two values; `part` numbers those that do not carry the node's name.
fn sum_of(site: &mut Site<'_>, a: &View, b: &View, part: Option<usize>) -> Result<View, Refusal> {
    if a.dims != b.dims {
        return unsupported(
            format!(
                "it adds values of the shapes {} and {}, which differ",
                shape_text(&a.dims),
                shape_text(&b.dims)
            ),
            "add values of the same shape only: enlarge the smaller one with Resize",
        );
    }
    let inputs = [a.node, b.node];
    let node = match part {
        None => site.add(Add, &inputs)?,
        Some(part) => site.add_part(&part.to_string(), Add, &inputs)?,
    };
    Ok(View {
        node,
        dims: a.dims.clone(),
    })
}

/// The constant operand as numbers for the channels of the view.
fn per_channel(site: &Site<'_>, view: &View, at: usize) -> Result<PerChannel, Refusal> {
    let tensor = site.weight(at)?;
    let has_channels = site.check_channels(view).is_ok();
    if let Some(numbers) = numbers(&tensor, &view.dims, has_channels) {
        return Ok(numbers);
    }
    unsupported(
        format!(
            "its constant of shape {} does not hold one number per channel of a value of shape {}",
            shape_text(tensor.dims()),
            shape_text(&view.dims)
        ),
        "use a single number, or one per channel in the shape [C, 1, 1]",
    )
}

/// What a constant holds for a value of `dims`, if it does not enlarge it and holds one number for all
/// elements, or one for each channel where dimension 1 are the channels.
fn numbers(tensor: &Tensor, dims: &[usize], has_channels: bool) -> Option<PerChannel> {
    if !broadcasts(tensor.dims(), dims) {
        return None;
    }
    let values = tensor.values();
    let first = values.first()?;
    if values.iter().all(|value| value == first) {
        return Some(PerChannel::One(*first));
    }
    // From the right, all dimensions but that of the channels are one.
    let mut from_right = tensor.dims().iter().rev().enumerate();
    let only_channels = from_right.all(|(at, &dim)| dim == 1 || at + 2 == dims.len());
    (has_channels && only_channels).then(|| PerChannel::Each(values.to_vec()))
}

/// Whether a constant can be combined with a value without enlarging it.
fn broadcasts(constant: &[usize], value: &[usize]) -> bool {
    let surplus = constant.len().saturating_sub(value.len());
    let (front, rest) = constant.split_at(surplus);
    let pairs = rest.iter().rev().zip(value.iter().rev());
    front.is_empty() && pairs.into_iter().all(|(&c, &v)| c == 1 || c == v)
}

/// The bias of a MatMul, taken into the layer.
fn bias_of_linear(
    site: &mut Site<'_>,
    view: &View,
    constant: usize,
    numbers: &PerChannel,
) -> Result<Option<Value>, Refusal> {
    if !site.is_only_user(1 - constant)? {
        return Ok(None);
    }
    let channels = site.shape(view.node).c;
    site.expand(channels)?;
    let bias = Tensor::vector(match numbers {
        PerChannel::One(value) => vec![*value; channels],
        PerChannel::Each(values) => values.clone(),
    });
    let node = linear::with_bias(site, view.node, &bias)?;
    Ok(node.map(|node| Value::map(node, view.dims.clone())))
}

fn affine(
    site: &mut Site<'_>,
    view: View,
    numbers: PerChannel,
    scale_and_bias: impl Fn(f32) -> (f32, f32),
) -> Outcome {
    let Some(op) = affine_op(site, &view, &numbers, scale_and_bias)? else {
        return Ok(vec![Value::Map(view)]);
    };
    let node = site.add(op, &[view.node])?;
    Ok(vec![Value::map(node, view.dims)])
}

fn affine_part(
    site: &mut Site<'_>,
    suffix: &str,
    view: View,
    numbers: PerChannel,
    scale_and_bias: impl Fn(f32) -> (f32, f32),
) -> Result<View, Refusal> {
    let Some(op) = affine_op(site, &view, &numbers, scale_and_bias)? else {
        return Ok(view);
    };
    let node = site.add_part(suffix, op, &[view.node])?;
    Ok(View { node, ..view })
}

/// The scale and bias of each channel; `None` if they change nothing.
fn affine_op(
    site: &mut Site<'_>,
    view: &View,
    numbers: &PerChannel,
    scale_and_bias: impl Fn(f32) -> (f32, f32),
) -> Result<Option<Affine>, Refusal> {
    let channels = site.shape(view.node).c;
    site.expand(channels)?;
    let (scale, bias): (Vec<f32>, Vec<f32>) = match numbers {
        PerChannel::One(value) => vec![scale_and_bias(*value); channels].into_iter().unzip(),
        PerChannel::Each(values) => values.iter().map(|&v| scale_and_bias(v)).unzip(),
    };
    if let Some(channel) = scale.iter().position(|s| !s.is_finite()) {
        let message = format!("the constant of channel {channel} is too close to zero to divide by");
        return Err(Refusal::Invalid(NodeError::Operands(message)));
    }
    if scale.iter().all(|s| *s == 1.0) && bias.iter().all(|b| *b == 0.0) {
        return Ok(None);
    }
    Ok(Some(Affine {
        scale: Tensor::vector(scale),
        bias: Tensor::vector(bias),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_must_not_enlarge_a_value() {
        let value = [1, 8, 4, 5];
        for fits in [&[][..], &[1], &[8, 1, 1], &[1, 8, 1, 1], &[5], &[1, 8, 4, 5]] {
            assert!(broadcasts(fits, &value), "{fits:?}");
        }
        for enlarges in [&[3][..], &[2, 8, 1, 1], &[1, 1, 8, 1, 1]] {
            assert!(!broadcasts(enlarges, &value), "{enlarges:?}");
        }
        assert!(!broadcasts(&[8, 4, 4], &[1, 8, 1, 1]));
    }
}
