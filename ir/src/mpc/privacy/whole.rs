//! Rules of a whole program: its weights, and what it reveals.

use super::breach::{Breach, Place, Rule};
use super::declaration::{Atom, Field, Mask};
use super::draw::{DrawId, Draws, Unit};
use super::purpose::Purpose;
use super::step::{Declared, StepView};
use crate::mpc::gate::WIDE;
use crate::mpc::message::{Party, Stage};
use crate::mpc::program::{ConstId, ConstKind, Program};
use crate::mpc::{Kind, Section};

pub(super) fn check(program: &Program, declared: &Declared, breaches: &mut Vec<Breach>) {
    weights(program, declared, breaches);
    revelation(program, declared, breaches);
}

fn weights(program: &Program, declared: &Declared, breaches: &mut Vec<Breach>) {
    let mut users = vec![0usize; program.constants.len()];
    for (id, step) in program.ids().zip(&declared.steps) {
        for constant in used_by(step.state.of(Party::Server)) {
            let Some(users) = users.get_mut(constant.index()) else {
                continue; // what is no constant is known to nobody, which `flow` says
            };
            *users += 1;
            if *users > 1 && program.constants[constant.index()].kind == ConstKind::Weight {
                breaches.push(Breach {
                    place: Place::Step(id),
                    rule: Rule::Weight,
                    message: format!("{constant} serves another step as well, under the same B"),
                });
            }
        }
    }
    for (at, constant) in program.constants.iter().enumerate() {
        let id = ConstId(at as u32);
        let of_this = declared.weights.iter().filter(|(weight, _)| *weight == id);
        let shares: Vec<&Draws> = of_this.map(|(_, draws)| draws).collect();
        let is_split = match shares[..] {
            [share] => constant.len().is_some_and(|len| is_whole_share(share, len)),
            _ => false,
        };
        if constant.kind == ConstKind::Weight && !is_split {
            breaches.push(Breach {
                place: Place::Constant(id),
                rule: Rule::Weight,
                message: "the client's share is not masked by 32 bits of B for each weight".into(),
            });
        }
    }
}

fn used_by(atoms: &[Atom]) -> impl Iterator<Item = ConstId> {
    atoms.iter().filter_map(|atom| match atom {
        Atom::Constant(id) => Some(*id),
        Atom::Image | Atom::Draw(_) | Atom::Field(_) | Atom::Operand(_) => None,
    })
}

/// Whether F, which is W minus this, is uniform to the client.
fn is_whole_share(share: &Draws, len: usize) -> bool {
    let b = DrawId::only(Purpose::WeightShare);
    !b.purpose.key().is_held_by(Party::Client)
        && share
            .find(b)
            .is_some_and(|(_, draw)| draw.unit == Unit::Word && draw.count >= len)
}

fn revelation(program: &Program, declared: &Declared, breaches: &mut Vec<Breach>) {
    let mut revealed = 0;
    for step in declared.steps(program) {
        for field in step
            .declared
            .fields
            .iter()
            .filter(|field| field.mask == Mask::Revealed)
        {
            revealed += 1;
            if let Some(wrong) = wrong_revelation(&step, field, declared) {
                breaches.push(step.field_breach(field, Rule::Revelation, wrong));
            }
        }
    }
    if revealed != 1 {
        breaches.push(Breach {
            place: Place::Program,
            rule: Rule::Revelation,
            message: format!("{revealed} fields travel without a mask, and the output is one"),
        });
    }
}

/// What is wrong with a field that has no mask.
fn wrong_revelation(step: &StepView<'_>, field: &Field, declared: &Declared) -> Option<&'static str> {
    if field.stage != Stage::Reveal || field.payload != [Atom::Operand(0)] {
        return Some("it has no mask, and is not the server's half of the output");
    }
    let operand = *step.step().args.first()?;
    let ty = step.program.ty(operand);
    let held = declared.steps.get(operand.index())?;
    if field.section != Section::fields(ty.shape.len(), WIDE) {
        return Some("it is not 16 bits of each value");
    }
    match ty.kind {
        Kind::Activation | Kind::Truncated if !held.state.client.is_empty() => None,
        Kind::Activation | Kind::Truncated => Some("the client has no half of it"),
        Kind::Accumulator | Kind::Sums | Kind::Output => {
            Some("it is of an accumulator, whose low bits are equations in the weights")
        }
    }
}
