//! What an ONNX operator takes in each operator set: how many operands and results, and which
//! attributes of which type.
//!
//! Every node is held against its operator's entry in the [`TABLE`](table::TABLE) before its importer
//! sees it or it is folded, so that a file which no runtime takes is refused, and none is read
//! otherwise than it is meant because of an attribute that nobody looked at. What an importer makes
//! of the values is its own affair.

mod table;

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::{AttributeProto, NodeProto};

use super::error::{NodeError, Refusal, invalid};
use super::op::remedy::refuse;
use super::site::attribute_error;

/// An operator that is imported, or worked out on constants.
struct Operator {
    /// Its ONNX name.
    name: &'static str,
    /// How many operands it takes; the last that the operator set has reached counts. It does not
    /// exist before the first.
    operands: &'static [Operands],
    /// How many results it has at most.
    results: usize,
    /// Its attributes in any operator set.
    attributes: &'static [Attribute],
}

/// How many operands an operator takes, from an operator set on.
struct Operands {
    since: i64,
    least: usize,
    most: usize,
}

/// An attribute.
#[derive(Clone, Copy)]
struct Attribute {
    name: &'static str,
    kind: Kind,
    /// The first operator set that has it.
    since: i64,
    /// The first that has it no longer.
    until: i64,
    is_required: bool,
}

/// Types of attributes.
#[derive(Clone, Copy)]
enum Kind {
    Int,
    /// 0 or 1.
    Flag,
    Float,
    /// One of these words.
    Word(&'static [&'static str]),
    Ints,
    Floats,
    Tensor,
    /// A type that no importer reads.
    Other(AttributeType),
}

/// Holds a node against its operator's entry; operators without one are not imported at all, lest an
/// attribute be left unlooked at.
///
/// # Errors
/// If there is no entry, the number of operands or results is wrong, or an attribute is unknown to the operator set, given
/// twice, missing, or of another type or value than it may have.
pub(super) fn check(node: &NodeProto, opset: i64) -> Result<(), Refusal> {
    let Some(operator) = table::TABLE.iter().find(|entry| entry.name == node.op_type) else {
        return Err(refuse(&node.op_type));
    };
    operator.check_counts(node, opset)?;
    for (at, attribute) in node.attribute.iter().enumerate() {
        operator.check_attribute(attribute, opset)?;
        if node.attribute[..at]
            .iter()
            .any(|other| other.name == attribute.name)
        {
            return invalid(format!("the attribute `{}` is given twice", shown(attribute)));
        }
    }
    for known in operator.attributes {
        let is_given = node.attribute.iter().any(|given| given.name == known.name);
        if known.is_required && known.exists(opset) && !is_given {
            return attribute_error(known.name, "given");
        }
    }
    Ok(())
}

impl Operator {
    fn check_counts(&self, node: &NodeProto, opset: i64) -> Result<(), Refusal> {
        let Some(operands) = self.operands.iter().rfind(|o| o.since <= opset) else {
            return invalid(format!("opset {opset} has no such operator"));
        };
        let given = node.input.len();
        if !(operands.least..=operands.most).contains(&given) {
            return invalid(format!(
                "{given} operands are given, and the operator takes {} in opset {opset}",
                range(operands.least, operands.most)
            ));
        }
        if let Some(missing) = node.input.iter().take(operands.least).position(String::is_empty) {
            return Err(NodeError::MissingOperand(missing).into());
        }
        let results = node.output.len();
        if !(1..=self.results).contains(&results) {
            return invalid(format!(
                "{results} results are named, and the operator has {}",
                range(1, self.results)
            ));
        }
        Ok(())
    }

    fn check_attribute(&self, attribute: &AttributeProto, opset: i64) -> Result<(), Refusal> {
        let mut attributes = self.attributes.iter();
        let Some(known) = attributes.find(|a| a.name == attribute.name && a.exists(opset)) else {
            return invalid(format!(
                "the operator has no attribute `{}` in opset {opset}: export the model anew",
                shown(attribute)
            ));
        };
        if !attribute.ref_attr_name.is_empty() || !known.kind.allows(attribute) {
            return Err(Refusal::Invalid(NodeError::Attribute {
                name: known.name,
                expected: known.kind.text(),
            }));
        }
        Ok(())
    }
}

impl Attribute {
    const fn new(name: &'static str, kind: Kind) -> Self {
        Self {
            name,
            kind,
            since: i64::MIN,
            until: i64::MAX,
            is_required: false,
        }
    }

    const fn since(self, since: i64) -> Self {
        Self { since, ..self }
    }

    const fn until(self, until: i64) -> Self {
        Self { until, ..self }
    }

    const fn required(self) -> Self {
        Self {
            is_required: true,
            ..self
        }
    }

    fn exists(&self, opset: i64) -> bool {
        (self.since..self.until).contains(&opset)
    }
}

impl Kind {
    fn allows(self, attribute: &AttributeProto) -> bool {
        if attribute.r#type != self.onnx_type() as i32 {
            return false;
        }
        match self {
            Kind::Flag => matches!(attribute.i, 0 | 1),
            Kind::Word(words) => words.iter().any(|word| word.as_bytes() == attribute.s),
            Kind::Tensor => attribute.t.is_some(),
            Kind::Int | Kind::Float | Kind::Ints | Kind::Floats | Kind::Other(_) => true,
        }
    }

    fn onnx_type(self) -> AttributeType {
        match self {
            Kind::Int | Kind::Flag => AttributeType::Int,
            Kind::Float => AttributeType::Float,
            Kind::Word(_) => AttributeType::String,
            Kind::Ints => AttributeType::Ints,
            Kind::Floats => AttributeType::Floats,
            Kind::Tensor => AttributeType::Tensor,
            Kind::Other(kind) => kind,
        }
    }

    fn text(self) -> String {
        match self {
            Kind::Int => "an integer".to_owned(),
            Kind::Flag => "0 or 1".to_owned(),
            Kind::Float => "a number".to_owned(),
            Kind::Word(words) => format!("one of {}", words.join(", ")),
            Kind::Ints => "a list of integers".to_owned(),
            Kind::Floats => "a list of numbers".to_owned(),
            Kind::Tensor => "a tensor".to_owned(),
            Kind::Other(kind) => format!("of the type {}", kind.as_str_name()),
        }
    }
}

/// The name of an attribute that the file may have made up.
fn shown(attribute: &AttributeProto) -> String {
    let short: String = attribute.name.chars().take(40).collect();
    short.escape_debug().to_string()
}

fn range(least: usize, most: usize) -> String {
    match most {
        _ if least == most => least.to_string(),
        usize::MAX => format!("at least {least}"),
        _ => format!("{least} to {most}"),
    }
}

#[cfg(test)]
mod tests;
