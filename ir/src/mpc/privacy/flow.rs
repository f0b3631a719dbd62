//! What flows where: that parties make their messages of what they have, and that neither the image
//! nor the low bits of R get where they must not.

use super::breach::{Breach, Rule};
use super::declaration::{Atom, Field, How, Mask};
use super::declare::is_known;
use super::draw::Unit;
use super::purpose::Purpose;
use super::step::StepView;
use crate::mpc::Kind;
use crate::mpc::message::{Party, Phase, Stage};

/// For each step so far, whether client, server and helper hold something that depends on the image.
#[derive(Default)]
pub(super) struct ImageFlow(Vec<[bool; 3]>);

const PARTIES: [Party; 3] = [Party::Client, Party::Server, Party::Helper];

pub(super) fn check(step: &StepView<'_>, image: &mut ImageFlow, breaches: &mut Vec<Breach>) {
    knowledge(step, breaches);
    phases(step, image, breaches);
    shares(step, breaches);
    if matches!(step.step().ty.kind, Kind::Truncated | Kind::Sums) {
        coin(step, breaches);
    }
    for field in &step.declared.fields {
        shows_coin(step, field, breaches);
    }
}

/// What is sent and kept is made of what the party has by then.
fn knowledge(step: &StepView<'_>, breaches: &mut Vec<Breach>) {
    for field in &step.declared.fields {
        let sender = field.stage.link().from();
        let mut payload = field.payload.iter();
        if let Some(atom) = payload.find(|atom| !knows(step, sender, **atom, Some(field.stage))) {
            let message = format!("the {sender} makes it of something that it does not have then: {atom}");
            breaches.push(step.field_breach(field, Rule::Knowledge, message));
        }
    }
    for party in PARTIES {
        let held = step.declared.state.of(party).iter();
        for atom in held.filter(|atom| !knows(step, party, **atom, None)) {
            let message = format!("the {party} is left with something that it does not have: {atom}");
            breaches.push(step.breach(Rule::Knowledge, message));
        }
    }
}

/// Whether a party has something by the time that it sends the message of a stage, or at the end.
fn knows(step: &StepView<'_>, party: Party, atom: Atom, by: Option<Stage>) -> bool {
    match atom {
        Atom::Image => party == Party::Client,
        Atom::Constant(id) => {
            let constant = step.program.constants.get(id.index());
            constant.is_some_and(|constant| is_known(constant.kind, party))
        }
        Atom::Draw(id) => step.draw(id).is_some() && id.purpose.key().is_held_by(party),
        Atom::Field(id) => step.field(id).is_some_and(|(_, field)| {
            let link = field.stage.link();
            let sent = link.from() == party && by.is_none_or(|by| field.stage <= by);
            sent || link.to() == party && by.is_none_or(|by| field.stage < by)
        }),
        Atom::Operand(at) => at < step.step().args.len(),
    }
}

/// Nothing offline, and nothing at the helper, depends on the image.
fn phases(step: &StepView<'_>, image: &mut ImageFlow, breaches: &mut Vec<Breach>) {
    for field in &step.declared.fields {
        let link = field.stage.link();
        let depends = field
            .payload
            .iter()
            .any(|&atom| image.reaches(step, link.from(), atom));
        if field.stage.phase() == Phase::Offline && depends {
            let message = "it is sent before the image is known, and depends on it";
            breaches.push(step.field_breach(field, Rule::Phase, message));
        }
        if link.to() == Party::Helper {
            breaches.push(step.field_breach(field, Rule::Helper, "it is sent to the helper"));
        }
    }
    let held = PARTIES.map(|party| {
        let mut atoms = step.declared.state.of(party).iter();
        atoms.any(|&atom| image.reaches(step, party, atom))
    });
    if held[2] {
        let message = "the helper is left with something that depends on the image";
        breaches.push(step.breach(Rule::Helper, message));
    }
    image.0.push(held);
}

impl ImageFlow {
    /// Whether something depends on the image, of which every message counts that is sent online.
    fn reaches(&self, step: &StepView<'_>, party: Party, atom: Atom) -> bool {
        match atom {
            Atom::Image => true,
            Atom::Constant(_) | Atom::Draw(_) => false,
            Atom::Field(id) => {
                let field = step.field(id);
                field.is_some_and(|(_, field)| field.stage.phase() == Phase::Online)
            }
            Atom::Operand(at) => {
                let operand = step.step().args.get(at);
                let held = operand.and_then(|operand| self.0.get(operand.index()));
                held.is_some_and(|held| PARTIES.iter().zip(held).any(|(&p, &held)| p == party && held))
            }
        }
    }
}

/// h is a function of B and of a, which the client knows, and c one of F: a share of an accumulator
/// leaves its party through a truncation only.
fn shares(step: &StepView<'_>, breaches: &mut Vec<Breach>) {
    for field in &step.declared.fields {
        let truncates = matches!(field.stage, Stage::MaskedShare | Stage::TruncationMask);
        if !truncates && field.payload.iter().any(|atom| is_share(step, *atom)) {
            let message = "a share of an accumulator leaves its party without a truncation";
            breaches.push(step.field_breach(field, Rule::Share, message));
        }
    }
    let kept = PARTIES.iter().flat_map(|party| step.declared.state.of(*party));
    let keeps = match step.step().ty.kind {
        Kind::Accumulator | Kind::Truncated | Kind::Sums => true,
        Kind::Activation | Kind::Output => false,
    };
    if !keeps && kept.into_iter().any(|atom| is_share(step, *atom)) {
        let message = "an accumulator becomes an activation, or the output, without a truncation";
        breaches.push(step.breach(Rule::Share, message));
    }
}

/// Whether it is a party's share of an accumulator.
fn is_share(step: &StepView<'_>, atom: Atom) -> bool {
    match atom {
        Atom::Operand(at) => {
            let operand = step.step().args.get(at);
            operand.is_some_and(|&operand| step.program.ty(operand).kind == Kind::Accumulator)
        }
        Atom::Image | Atom::Constant(_) | Atom::Draw(_) | Atom::Field(_) => false,
    }
}

/// The rounding coin is a function of the low bits of R: R contains p in all its bits, and the client
/// hands on all of its share, so that it holds nothing that the coin depends on.
fn coin(step: &StepView<'_>, breaches: &mut Vec<Breach>) {
    let count = step.step().ty.shape.len();
    let state = &step.declared.state;
    if !state.helper.iter().any(|atom| is_p(step, *atom, count)) {
        let message = "R is not masked by 32 bits of p for each value";
        breaches.push(step.breach(Rule::Coin, message));
    }
    let mut fields = step.declared.fields.iter();
    let is_handed_on = fields.any(|field| {
        field.stage == Stage::MaskedShare
            && field.section.bits == u32::BITS
            && field.section.count == count
            && has_operand(&field.payload)
    });
    if !is_handed_on || has_operand(&state.client) {
        let message = "the client does not hand on all 32 bits of its share, so that it could foresee coins";
        breaches.push(step.breach(Rule::Coin, message));
    }
}

/// Whether it is p, 32 bits for each of `count` values.
fn is_p(step: &StepView<'_>, atom: Atom, count: usize) -> bool {
    match atom {
        Atom::Draw(id) => {
            let draw = step.draw(id).filter(|_| id.purpose == Purpose::Rerandomise);
            draw.is_some_and(|(_, draw)| draw.unit == Unit::Word && draw.count >= count)
        }
        Atom::Image | Atom::Constant(_) | Atom::Field(_) | Atom::Operand(_) => false,
    }
}

fn has_operand(atoms: &[Atom]) -> bool {
    atoms.iter().any(|atom| matches!(atom, Atom::Operand(_)))
}

/// Checks that R is sent without its low bits, if it is sent.
fn shows_coin(step: &StepView<'_>, field: &Field, breaches: &mut Vec<Breach>) {
    let Mask::Drawn { draw, how, .. } = &field.mask else {
        return;
    };
    if draw.purpose == Purpose::Rerandomise && *how != How::TopOfMinus {
        let message = "the low bits of p, on which the rounding coin depends, would be used up";
        breaches.push(step.field_breach(field, Rule::Coin, message));
    }
}
