//! The proof that a program's messages tell their receivers nothing.
//!
//! Every field of every message is *declared* ([`Declaration`]): under which stretch of which stream
//! it travels, and what the payload beneath is made of. [`prove`] checks of a whole program what the
//! description of the protocol argues in words: each field is masked by something that its receiver
//! lacks, that is as wide as the field and masks nothing else, and the masks can be ordered so that no
//! field contains a later one. Then the map from masks to messages is triangular, for every image and
//! every set of weights, and the party's view is uniform. The [`Rule`]s say the rest.
//!
//! - `purpose`: keys, and what is drawn from them
//! - `draw`: stretches of streams
//! - `declare`, `gate`: what each op declares
//! - `step`: one step, with its names resolved
//! - `masks`, `order`, `flow`, `whole`: the rules
//! - `breach`, `proof`, `report`: what comes of it
//!
//! Nothing here depends on the number of values: the work is for groups and runs of channels.
//!
//! The runtime draws through the same declarations: it takes the stretch of a stream that a name
//! stands for, as wide as it is declared, and once.

mod breach;
mod declaration;
mod declare;
mod draw;
mod flow;
mod gate;
mod masks;
mod order;
mod proof;
mod purpose;
mod report;
mod step;
#[cfg(test)]
mod tests;
mod whole;

pub use breach::{Breach, Place, Rule};
pub use declaration::{Atom, Declaration, Field, FieldId, How, Mask, State};
pub use draw::{Draw, DrawId, Draws, Unit};
pub use gate::GateOperands;
pub use proof::{Proof, View};
pub use purpose::{Key, Purpose};
pub use report::{FieldReport, MaskReport, MessageReport, Report};

use step::Declared;

use super::program::Program;
use crate::Verified;

/// Proves a program private, or says where it is not.
///
/// # Errors
/// Every breach that was found, not only the first.
pub fn prove(program: &Verified<Program>) -> Result<Proof, Vec<Breach>> {
    check(program, &Declared::of(program))
}

fn check(program: &Program, declared: &Declared) -> Result<Proof, Vec<Breach>> {
    let mut breaches = Vec::new();
    whole::check(program, declared, &mut breaches);
    let mut image = flow::ImageFlow::default();
    for step in declared.steps(program) {
        step.agrees(&mut breaches);
        masks::check(&step, &mut breaches);
        order::check(&step, &mut breaches);
        flow::check(&step, &mut image, &mut breaches);
    }
    if breaches.is_empty() {
        Ok(Proof::of(program, declared))
    } else {
        Err(breaches)
    }
}
