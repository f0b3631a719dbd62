//! Masks of single fields: of a key that the receiver lacks, wide enough, and used once.

use std::ops::Range;

use super::breach::{Breach, Rule};
use super::declaration::{Field, FieldId, How, Mask};
use super::draw::{Draw, DrawId, Unit};
use super::purpose::Purpose;
use super::step::StepView;
use crate::mpc::TRUNCATED_BITS;
use crate::mpc::gate::Content;

pub(super) fn check(step: &StepView<'_>, breaches: &mut Vec<Breach>) {
    for field in &step.declared.fields {
        // What is revealed has no mask: see `whole`.
        if let Mask::Drawn { draw, how, values } = &field.mask {
            match step.draw(*draw) {
                Some((_, draw)) => {
                    holders(step, field, draw, breaches);
                    width(step, field, (draw, *how, values), breaches);
                }
                None => {
                    let message = format!("its mask, {draw}, is not among what the step draws");
                    breaches.push(step.field_breach(field, Rule::Declared, message));
                }
            }
        }
    }
    for field in &step.declared.fields {
        garbling(step, field, breaches);
    }
    stretches(step, breaches);
    uses(step, breaches);
}

fn holders(step: &StepView<'_>, field: &Field, draw: &Draw, breaches: &mut Vec<Breach>) {
    let link = field.stage.link();
    let key = draw.id.purpose.key();
    if key.is_held_by(link.to()) {
        let message = format!(
            "its mask, {}, is drawn from {key}, which the {} has",
            draw.id,
            link.to()
        );
        breaches.push(step.field_breach(field, Rule::Masked, message));
    }
    if !key.is_held_by(link.from()) {
        let message = format!("the {} cannot draw its mask, {}", link.from(), draw.id);
        breaches.push(step.field_breach(field, Rule::Masked, message));
    }
}

fn width(
    step: &StepView<'_>,
    field: &Field,
    (draw, how, values): (&Draw, How, &[Range<usize>]),
    breaches: &mut Vec<Breach>,
) {
    let section = &field.section;
    let number = section.planes == 1 && section.bits as usize <= draw.unit.bits();
    let fits = match (how, draw.unit) {
        (How::Xor | How::Garbled, Unit::Planes(planes)) => section.bits == 1 && section.planes <= planes,
        (How::Plus | How::Minus, Unit::Half | Unit::Word) => number,
        (How::TopOfMinus, Unit::Word) => section.planes == 1 && section.bits + TRUNCATED_BITS <= u32::BITS,
        (How::Xor | How::Garbled, Unit::Half | Unit::Word)
        | (How::Plus | How::Minus, Unit::Planes(_))
        | (How::TopOfMinus, Unit::Half | Unit::Planes(_)) => false,
    };
    if !fits {
        let message = format!(
            "{} x {} bits do not fit under {} of {}",
            section.planes, section.bits, draw.unit, draw.id
        );
        breaches.push(step.field_breach(field, Rule::Width, message));
    }
    let covered: usize = values.iter().map(ExactSizeIterator::len).sum();
    if covered != section.count || values.iter().any(|run| run.end > draw.count) {
        let message = format!("its {} values have no value each of {}", section.count, draw.id);
        breaches.push(step.field_breach(field, Rule::Width, message));
    }
}

/// A garbling is what the lemma speaks of: rows under pads, keys under states and labels, both whole, and both
/// there.
fn garbling(step: &StepView<'_>, field: &Field, breaches: &mut Vec<Breach>) {
    let shape = match field.id {
        FieldId::Gate {
            group,
            content: Content::Garbled(item),
        } => Some((Purpose::GarblePad, group, item, Content::Keys(item))),
        FieldId::Gate {
            group,
            content: Content::Keys(item),
        } => Some((Purpose::GarbleLabel, group, item, Content::Garbled(item))),
        FieldId::Gate { .. }
        | FieldId::Image
        | FieldId::MaskedShare
        | FieldId::TopBits(_)
        | FieldId::Revealed => None,
    };
    let is_declared_so = matches!(
        field.mask,
        Mask::Drawn {
            how: How::Garbled,
            ..
        }
    );
    let is_right = match shape {
        None => !is_declared_so,
        Some((purpose, group, item, other)) => {
            let mask = step.mask_of(field).map(|(_, draw)| *draw);
            let id = DrawId { purpose, group, item };
            let other = FieldId::Gate {
                group,
                content: other,
            };
            let is_whole = |draw: Draw| draw.id == id && draw.unit == Unit::Planes(field.section.planes);
            is_declared_so && mask.is_none_or(is_whole) && step.field(other).is_some()
        }
    };
    if !is_right {
        let message = "garbled rows go under pads, their keys under states and labels, and nothing else so";
        breaches.push(step.field_breach(field, Rule::Masked, message));
    }
}

/// The stretches of one stream do not overlap.
fn stretches(step: &StepView<'_>, breaches: &mut Vec<Breach>) {
    let mut draws: Vec<&Draw> = step.declared.draws.iter().collect();
    draws.sort_by_key(|draw| (draw.id.purpose, draw.start));
    for pair in draws.windows(2) {
        let same = pair[0].id.purpose == pair[1].id.purpose;
        if same && pair[0].interval().end > pair[1].start {
            let message = format!("{} and {} overlap in their stream", pair[0].id, pair[1].id);
            breaches.push(step.breach(Rule::Fresh, message));
        }
    }
}

/// No value of a draw masks two values of fields.
fn uses(step: &StepView<'_>, breaches: &mut Vec<Breach>) {
    let mut uses = Vec::new();
    for (at, field) in step.declared.fields.iter().enumerate() {
        if let Mask::Drawn { draw, values, .. } = &field.mask {
            uses.extend(values.iter().map(|run| (*draw, run.start, run.end, at)));
        }
    }
    uses.sort_unstable();
    for pair in uses.windows(2) {
        let (first, _, end, _) = pair[0];
        let (second, start, _, at) = pair[1];
        if first == second && end > start {
            let message = format!("{first} masks another field as well, or a value of this one twice");
            let field = &step.declared.fields[at];
            breaches.push(step.field_breach(field, Rule::Fresh, message));
        }
    }
}
