//! Functions of single elements and of pairs; constants are single numbers.

use trefoil_ir::tail::{Binary, Op, Unary};

use super::value;
use crate::import::error::{Refusal, invalid, unsupported};
use crate::import::site::{Outcome, Site};
use crate::import::tail::{Side, TailValue};
use crate::import::value::{Constant, Value, shape_text};

/// A function of every element.
pub(super) fn unary(site: &mut Site<'_>, op: Unary) -> Outcome {
    value(site.tail(0)?.then(Op::Unary(op))?)
}

/// HardSigmoid.
pub(super) fn hard_sigmoid(site: &mut Site<'_>) -> Outcome {
    let op = Op::HardSigmoid {
        alpha: site.float("alpha", 0.2)?.into(),
        beta: site.float("beta", 0.5)?.into(),
    };
    value(site.tail(0)?.then(op)?)
}

/// Relu.
pub(super) fn relu(site: &mut Site<'_>) -> Outcome {
    let x = site.tail(0)?;
    value(TailValue::combine(
        Op::Binary(Binary::Max),
        &Side::Value(&x),
        &Side::Number(0.0),
    )?)
}

/// Clip: limits are attributes before opset 11 and operands since.
pub(super) fn clip(site: &mut Site<'_>) -> Outcome {
    let limits = [
        (Binary::Max, limit(site, "min", 1)?),
        (Binary::Min, limit(site, "max", 2)?),
    ];
    let mut x = site.tail(0)?;
    for (op, limit) in limits {
        // An infinite limit is none.
        if let Some(limit) = limit.filter(|limit| limit.is_finite()) {
            x = TailValue::combine(Op::Binary(op), &Side::Value(&x), &Side::Number(limit))?;
        }
    }
    value(x)
}

/// A limit of a Clip, if it is given.
fn limit(site: &Site<'_>, name: &'static str, at: usize) -> Result<Option<f64>, Refusal> {
    if site.opset < 11 {
        let limit = site.float(name, 0.0)?;
        return Ok(site.has(name).then_some(limit.into()));
    }
    match site.constant(at)? {
        None => Ok(None),
        Some(constant) if constant.len() != 1 => invalid(format!("operand {at} must be a single number")),
        Some(constant) => single(constant).map(Some),
    }
}

/// A function of two operands.
pub(super) fn binary(site: &mut Site<'_>, op: Binary) -> Outcome {
    pairs(site, op, 2)
}

/// The same of any number of operands, one after another.
pub(super) fn variadic(site: &mut Site<'_>, op: Binary) -> Outcome {
    let count = site.operands.len();
    pairs(site, op, count)
}

fn pairs(site: &mut Site<'_>, op: Binary, count: usize) -> Outcome {
    let dims = dims(site);
    let mut result = operand(site, 0, &dims)?;
    for at in 1..count {
        let next = operand(site, at, &dims)?;
        let value = TailValue::combine(Op::Binary(op), &result.side(), &next.side())?;
        result = Operand::Value(value);
    }
    match result {
        Operand::Value(x) => value(x),
        Operand::Number(_) => invalid("an operand is missing"),
    }
}

enum Operand {
    Value(TailValue),
    Number(f64),
}

impl Operand {
    fn side(&self) -> Side<'_> {
        match self {
            Operand::Value(value) => Side::Value(value),
            Operand::Number(number) => Side::Number(*number),
        }
    }
}

/// Dimensions of the first operand that depends on the image.
fn dims(site: &Site<'_>) -> Vec<usize> {
    let values = (0..site.operands.len()).filter_map(|at| site.tail(at).ok());
    values.map(|value| value.dims()).next().unwrap_or_default()
}

fn operand(site: &Site<'_>, at: usize, dims: &[usize]) -> Result<Operand, Refusal> {
    match site.value(at)? {
        Value::Constant(constant) => number(constant, dims).map(Operand::Number),
        Value::Map(_) | Value::Tail(_) | Value::Unknown => site.tail(at).map(Operand::Value),
    }
}

/// The number that a constant holds, once or for all elements alike. A plan holds no others: what
/// stands in it, every client can read.
fn number(constant: &Constant, dims: &[usize]) -> Result<f64, Refusal> {
    let own = constant.dims();
    let behind = dims.iter().rev().zip(own.iter().rev());
    let fits = own.len() <= dims.len() && behind.into_iter().all(|(&dim, &own)| own == 1 || own == dim);
    match single(constant)? {
        number if fits && number.is_finite() => Ok(number),
        _ => not_single(constant),
    }
}

/// The one number that all elements of a constant are.
fn single(constant: &Constant) -> Result<f64, Refusal> {
    constant.number().map_or_else(|| not_single(constant), Ok)
}

fn not_single(constant: &Constant) -> Result<f64, Refusal> {
    unsupported(
        format!(
            "its constant of shape {} is no single finite number, and every client could read it (whole numbers beyond \
             2^53 are none: the client computes in 64-bit floats)",
            shape_text(constant.dims())
        ),
        "fold it into the layer before, or apply it to the result",
    )
}
