//! The verifier of programs: types, the rules that the protocol's security rests on, and sizes.
//!
//! Rules checked here, beside typing: every accumulator is truncated at most once (its gates share
//! the one truncation); a truncation keeps the bits that its gates need; there is one input and
//! one output; the patch sums that a gate takes are those over its own patches; a weight belongs to
//! one convolution (its mask B is used once); the numbers of steps
//! and constants fit the names of mask streams. The first is about cost: each truncation draws a
//! fresh p and r1, so that even two of one value (by way of a gather, say, which is not traced here)
//! would tell the client nothing.

use std::fmt;

use super::gate::Group;
use super::op::{Class, Gate, Truncation};
use super::program::{ConstId, ConstKind, Program, ValueId};
use super::sums::Origins;
use crate::Verified;
use crate::geometry::{MAX_CHANNELS, Patch, Shape};
use crate::text::{UNPRINTABLE, is_printable};

/// One fault of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The step at fault, if it is one step's fault.
    pub step: Option<ValueId>,
    /// The constant at fault, if it is one constant's fault.
    pub constant: Option<ConstId>,
    /// What is wrong, as a sentence.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.step {
            Some(step) => write!(f, "{step}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// Sums of all values of a program may not exceed this many elements (1 GiB of 32-bit values each
/// 4 times over): what a hostile plan claims must not be allocated.
const MAX_TOTAL_ELEMENTS: usize = 1 << 30;

/// Steps, and constants, of a program: their numbers stand in 24 bits of the names of mask streams,
/// and two streams of one name would be one mask used twice.
const MAX_NUMBERED: usize = (1 << 24) - 1;

impl Program {
    /// Checks the whole program.
    ///
    /// # Errors
    /// Every fault that was found, not only the first.
    pub fn verify(self) -> Result<Verified<Program>, Vec<Fault>> {
        let mut check = Check {
            program: &self,
            faults: Vec::new(),
        };
        check.run();
        let faults = check.faults;
        if faults.is_empty() {
            Ok(Verified::vouch(self))
        } else {
            Err(faults)
        }
    }
}

struct Check<'a> {
    program: &'a Program,
    faults: Vec<Fault>,
}

impl Check<'_> {
    fn run(&mut self) {
        if !numbers_fit(self.program.steps.len(), self.program.constants.len()) {
            self.fault(None, "a program has at most 16777215 steps and as many constants");
            return;
        }
        self.names();
        self.constants();
        if !self.operands_precede() {
            return; // every later check walks along operands
        }
        self.types();
        self.ends();
        self.channels();
        if self.faults.is_empty() {
            self.truncations();
            self.weights();
            self.sizes();
        }
        if self.faults.is_empty() {
            self.sums();
        }
    }

    fn fault(&mut self, step: impl Into<Option<ValueId>>, message: impl Into<String>) {
        self.faults.push(Fault {
            step: step.into(),
            constant: None,
            message: message.into(),
        });
    }

    fn constant_fault(&mut self, at: usize, what: &str) {
        let constant = ConstId(at as u32);
        self.faults.push(Fault {
            step: None,
            constant: Some(constant),
            message: format!("the constant {constant} {what}"),
        });
    }

    /// Every name goes into messages, reports and logs.
    fn names(&mut self) {
        if !is_printable(&self.program.name) {
            self.fault(None, format!("the name of the program {UNPRINTABLE}"));
        }
        for id in self.program.ids() {
            if !is_printable(&self.program.step(id).origin) {
                self.fault(id, format!("the name of its origin {UNPRINTABLE}"));
            }
        }
    }

    fn constants(&mut self) {
        for (at, constant) in self.program.constants.iter().enumerate() {
            if constant.len().is_none_or(|n| n == 0) {
                self.constant_fault(at, "is empty or beyond all measure");
            }
        }
    }

    fn operands_precede(&mut self) -> bool {
        let late: Vec<ValueId> = self
            .program
            .ids()
            .filter(|&id| self.program.step(id).args.iter().any(|&arg| arg >= id))
            .collect();
        for &id in &late {
            self.fault(id, "an operand is not defined before it is used");
        }
        late.is_empty()
    }

    fn types(&mut self) {
        for id in self.program.ids() {
            let step = self.program.step(id);
            if !self.program.has_sane_operands(step) {
                continue; // reported at the operand
            }
            match self.program.infer(&step.op, &step.args) {
                Ok(ty) if ty == step.ty => {}
                Ok(ty) => self.fault(id, format!("the type is stated as {} and must be {ty}", step.ty)),
                Err(error) => self.fault(id, error.to_string()),
            }
            if !step.ty.shape.is_sane() {
                self.fault(id, "the value is empty or beyond all measure");
            }
        }
    }

    fn ends(&mut self) {
        let classes = || self.program.steps.iter().map(|step| step.op.class());
        let inputs = classes().filter(|class| matches!(class, Class::Input)).count();
        let revelations = classes().filter(|class| matches!(class, Class::Reveal)).count();
        if inputs != 1 {
            self.fault(None, "a program has exactly one input");
        }
        if revelations != 1 {
            self.fault(None, "a program reveals exactly one value");
        }
    }

    /// Before anything lists the channels of a gate.
    fn channels(&mut self) {
        let channels = self.program.steps.iter().map(|s| s.ty.shape.c);
        if channels.fold(0, usize::saturating_add) > MAX_CHANNELS {
            let message = "the program's values have more channels together than any network has";
            self.fault(None, message);
        }
    }

    fn truncations(&mut self) {
        let mut seen = vec![None; self.program.steps.len()];
        for id in self.program.ids() {
            let step = self.program.step(id);
            if !matches!(step.op.class(), Class::Truncate(_)) {
                self.kept_bits(id);
                continue;
            }
            let accumulator = step.args[0].index();
            if let Some(first) = seen[accumulator].replace(id) {
                self.fault(
                    id,
                    format!("the accumulator is truncated already at {first}; share that"),
                );
            }
        }
    }

    /// A gate on a truncated value needs as many bits as its ring has, in each channel.
    fn kept_bits(&mut self, id: ValueId) {
        let step = self.program.step(id);
        let Some(&arg) = step.args.first() else { return };
        let Class::Truncate(Truncation::Pixels(truncate)) = self.program.step(arg).op.class() else {
            return;
        };
        let groups = step.op.gate_groups(&self.program.operands(id));
        let lacking = match groups {
            Some(groups) => groups.iter().any(|g| lacks_bits(g, &truncate.keep)),
            None => truncate.keep.iter().any(|&k| k < 16),
        };
        if lacking {
            self.fault(
                id,
                format!("{arg} keeps fewer bits of a channel than this step needs"),
            );
        }
    }

    /// The patch sums that gates take are of the gates' own patches.
    fn sums(&mut self) {
        let mut origins = Origins::default();
        for id in self.program.ids() {
            let step = self.program.step(id);
            let Class::Gate(gate @ Gate::Truncated(_)) = step.op.class() else {
                continue;
            };
            let [value, sums] = step.args[..] else { continue };
            let Shape { h, w, .. } = self.program.ty(value).shape;
            if let Err((at, message)) = origins.check(self.program, sums, &gate.patch_sums(), [h, w]) {
                self.fault(at, message);
            }
        }
    }

    fn weights(&mut self) {
        let mut owner = vec![None; self.program.constants.len()];
        for id in self.program.ids() {
            for constant in self.program.step(id).op.constants() {
                let kind = self.program.constants[constant.index()].kind;
                if let Some(first) = owner[constant.index()].replace(id)
                    && kind == ConstKind::Weight
                {
                    self.fault(id, format!("{constant} is the weight of {first} already"));
                }
            }
        }
        for unused in (0..owner.len()).filter(|&at| owner[at].is_none()) {
            self.constant_fault(unused, "is used by no step");
        }
    }

    fn sizes(&mut self) {
        let elements = self.program.steps.iter().map(|s| s.ty.shape.len());
        let constants = self
            .program
            .constants
            .iter()
            .map(|c| c.len().unwrap_or(usize::MAX));
        let scratch = self.program.ids().map(|id| self.program.scratch_words(id));
        let scratch = scratch.map(|words| words.unwrap_or(usize::MAX));
        let total = elements
            .chain(constants)
            .chain(scratch)
            .try_fold(0usize, usize::checked_add);
        if total.is_none_or(|n| n > MAX_TOTAL_ELEMENTS) {
            self.fault(None, "the program's values are beyond all measure");
        }
    }
}

fn numbers_fit(steps: usize, constants: usize) -> bool {
    steps.max(constants) <= MAX_NUMBERED
}

fn lacks_bits(group: &Group, keep: &[u8]) -> bool {
    group.channels.iter().any(|&c| u32::from(keep[c]) < group.ring)
}

/// Bits of a truncation that a gate with this patch needs in a channel (see
/// [`Form::ring`](super::gate::Form::ring)).
pub fn bits_for(lower: Patch, upper: Patch) -> u8 {
    super::gate::Form::of(lower, upper).ring() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    // A program of 2^24 steps would take gigabytes.
    #[test]
    fn numbers_beyond_24_bits_do_not_fit() {
        assert!(numbers_fit((1 << 24) - 1, (1 << 24) - 1));
        assert!(!numbers_fit(1 << 24, 0));
        assert!(!numbers_fit(0, 1 << 24));
    }
}
