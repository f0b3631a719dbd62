//! One step and what it declares, with the names resolved.

use std::collections::BTreeMap;

use super::breach::{Breach, Place, Rule};
use super::declaration::{Declaration, Field, FieldId, Mask};
use super::draw::{Draw, DrawId, Draws};
use crate::mpc::message::{Section, Stage};
use crate::mpc::program::{ConstId, ConstKind, Program, Step, ValueId};

/// What a whole program declares.
pub(super) struct Declared {
    /// What each step declares, in program order.
    pub(super) steps: Vec<Declaration>,
    /// The draws that make B, for each weight: the client's plan holds F = W - B.
    pub(super) weights: Vec<(ConstId, Draws)>,
}

impl Declared {
    pub(super) fn of(program: &Program) -> Self {
        let constants = program.constants.iter().enumerate();
        let weights = constants.filter(|(_, constant)| constant.kind == ConstKind::Weight);
        Self {
            steps: program.ids().map(|id| Declaration::of(program, id)).collect(),
            weights: weights
                .map(|(at, constant)| (ConstId(at as u32), Draws::of_weight(constant.len().unwrap_or(0))))
                .collect(),
        }
    }

    pub(super) fn steps<'a>(&'a self, program: &'a Program) -> impl Iterator<Item = StepView<'a>> {
        let steps = program.ids().zip(&self.steps);
        steps.map(move |(id, declared)| StepView::new(program, id, declared))
    }
}

/// A step, with what it declares by name.
pub(super) struct StepView<'a> {
    pub(super) program: &'a Program,
    pub(super) id: ValueId,
    pub(super) declared: &'a Declaration,
    draws: BTreeMap<DrawId, usize>,
    fields: BTreeMap<FieldId, usize>,
}

impl<'a> StepView<'a> {
    fn new(program: &'a Program, id: ValueId, declared: &'a Declaration) -> Self {
        let draws = declared.draws.iter().enumerate();
        let fields = declared.fields.iter().enumerate();
        Self {
            program,
            id,
            declared,
            draws: draws.map(|(at, draw)| (draw.id, at)).collect(),
            fields: fields.map(|(at, field)| (field.id, at)).collect(),
        }
    }

    pub(super) fn step(&self) -> &'a Step {
        self.program.step(self.id)
    }

    /// A draw, with its place in the list.
    pub(super) fn draw(&self, id: DrawId) -> Option<(usize, &'a Draw)> {
        let at = *self.draws.get(&id)?;
        Some((at, &self.declared.draws.0[at]))
    }

    /// A field, with its place in the list.
    pub(super) fn field(&self, id: FieldId) -> Option<(usize, &'a Field)> {
        let at = *self.fields.get(&id)?;
        Some((at, &self.declared.fields[at]))
    }

    /// The draw that masks a field, with its place in the list.
    pub(super) fn mask_of(&self, field: &Field) -> Option<(usize, &'a Draw)> {
        match &field.mask {
            Mask::Drawn { draw, .. } => self.draw(*draw),
            Mask::Revealed => None,
        }
    }

    pub(super) fn breach(&self, rule: Rule, message: impl Into<String>) -> Breach {
        Breach {
            place: Place::Step(self.id),
            rule,
            message: message.into(),
        }
    }

    pub(super) fn field_breach(&self, field: &Field, rule: Rule, message: impl Into<String>) -> Breach {
        Breach {
            place: Place::Field(self.id, field.stage, field.id),
            rule,
            message: message.into(),
        }
    }

    /// Fields are the sections of the messages, in order, and no two things have one name.
    pub(super) fn agrees(&self, breaches: &mut Vec<Breach>) {
        let messages = self.program.messages(self.id);
        let sent = messages
            .iter()
            .flat_map(|message| message.sections.iter().map(|section| (message.stage, *section)));
        let declared: Vec<(Stage, Section)> = self
            .declared
            .fields
            .iter()
            .map(|f| (f.stage, f.section))
            .collect();
        if !sent.eq(declared.iter().copied()) {
            let message = "what it declares and what its messages hold are not the same";
            breaches.push(self.breach(Rule::Declared, message));
        }
        let twice = self.draws.len() < self.declared.draws.len();
        if twice || self.fields.len() < self.declared.fields.len() {
            breaches.push(self.breach(Rule::Declared, "two draws, or two fields, have one name"));
        }
    }
}
