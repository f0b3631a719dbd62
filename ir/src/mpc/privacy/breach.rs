//! What a proof can fail on.

use std::fmt;

use serde::Serialize;

use super::declaration::FieldId;
use crate::mpc::message::Stage;
use crate::mpc::program::{ConstId, ValueId};

/// What must hold so that a party's view can be simulated. The description of the protocol argues
/// why; see "What is proved mechanically" there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// What is declared and what is sent are the same, section by section, and each name stands for one
    /// thing.
    Declared,
    /// A field's mask is of a key that its sender has and its receiver lacks.
    Masked,
    /// A mask is as wide as its field, and has a value for each of the field's.
    Width,
    /// A stretch of a stream masks one field, and no stretch overlaps another.
    Fresh,
    /// The masks of a party's view have an order in which no field contains a later one.
    Order,
    /// What a party sends or keeps is made of what it has.
    Knowledge,
    /// The low bits of R are masked by p, and the client neither sees them nor keeps its share of what
    /// is truncated.
    Coin,
    /// What is sent before the image does not depend on it.
    Phase,
    /// Nothing that depends on the image reaches the helper.
    Helper,
    /// Shares of accumulators leave their party through a truncation only.
    Share,
    /// A weight is split by a mask of its own and serves one convolution.
    Weight,
    /// One value is revealed: 16 bits of a truncated value, or of an activation, of which the client
    /// holds the other half.
    Revelation,
}

impl Rule {
    /// Every rule, in the order of reports.
    pub const ALL: [Rule; 12] = [
        Rule::Declared,
        Rule::Masked,
        Rule::Width,
        Rule::Fresh,
        Rule::Order,
        Rule::Knowledge,
        Rule::Coin,
        Rule::Phase,
        Rule::Helper,
        Rule::Share,
        Rule::Weight,
        Rule::Revelation,
    ];

    /// The word of messages and reports.
    pub fn word(self) -> &'static str {
        match self {
            Rule::Declared => "declared",
            Rule::Masked => "masked",
            Rule::Width => "width",
            Rule::Fresh => "fresh",
            Rule::Order => "order",
            Rule::Knowledge => "knowledge",
            Rule::Coin => "coin",
            Rule::Phase => "phase",
            Rule::Helper => "helper",
            Rule::Share => "share",
            Rule::Weight => "weight",
            Rule::Revelation => "revelation",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Where a rule is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// In the program as a whole.
    Program,
    /// At a constant.
    Constant(ConstId),
    /// At a step.
    Step(ValueId),
    /// At a field of a step's message.
    Field(ValueId, Stage, FieldId),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Program => f.write_str("the program"),
            Place::Constant(id) => write!(f, "{id}"),
            Place::Step(step) => write!(f, "{step}"),
            Place::Field(step, stage, field) => write!(f, "{step}, {}, {field}", stage.word()),
        }
    }
}

/// A rule that a program breaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Breach {
    /// Where the rule is broken.
    pub place: Place,
    /// The rule that is broken.
    pub rule: Rule,
    /// What is wrong, as a sentence.
    pub message: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.place, self.rule, self.message)
    }
}
