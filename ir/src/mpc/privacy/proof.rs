//! What was proved of a program, in numbers.

use std::fmt;

use serde::Serialize;

use super::declaration::Mask;
use super::step::Declared;
use crate::mpc::message::Party;
use crate::mpc::program::{ConstKind, Program};
use crate::mpc::{Kind, Stage};

/// What one party receives, all of it under masks that it lacks but for what is revealed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct View {
    /// Number of messages.
    pub messages: usize,
    /// Number of fields in all messages.
    pub fields: usize,
    /// Bits of content in all messages.
    pub bits: u64,
}

/// A program's privacy, as [`prove`](super::prove) has found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// Number of steps.
    pub steps: usize,
    /// Stretches of streams, each drawn once an inference.
    pub draws: usize,
    /// What the client receives.
    pub client: View,
    /// What the server receives.
    pub server: View,
    /// Truncations, whose coins the client cannot foresee.
    pub truncations: usize,
    /// Weights, each split under a B of its own.
    pub weights: usize,
    /// Bits that are revealed to the client.
    pub revealed_bits: u64,
}

impl Proof {
    pub(super) fn of(program: &Program, declared: &Declared) -> Self {
        let kinds = program.steps.iter().map(|step| step.ty.kind);
        let weights = program.constants.iter().map(|constant| constant.kind);
        let fields = declared.steps.iter().flat_map(|step| &step.fields);
        let revealed = fields.filter(|field| field.mask == Mask::Revealed);
        Self {
            steps: declared.steps.len(),
            draws: declared.steps.iter().map(|step| step.draws.len()).sum(),
            client: View::of(Party::Client, declared),
            server: View::of(Party::Server, declared),
            truncations: kinds
                .filter(|kind| matches!(kind, Kind::Truncated | Kind::Sums))
                .count(),
            weights: weights.filter(|kind| *kind == ConstKind::Weight).count(),
            revealed_bits: revealed.map(|field| field.section.content_bits()).sum(),
        }
    }
}

impl View {
    fn of(party: Party, declared: &Declared) -> Self {
        let mut view = Self::default();
        for step in &declared.steps {
            let mut last: Option<Stage> = None;
            let received = step
                .fields
                .iter()
                .filter(|field| field.stage.link().to() == party);
            for field in received {
                view.messages += usize::from(last.replace(field.stage) != Some(field.stage));
                view.fields += 1;
                view.bits += field.section.content_bits();
            }
        }
        view
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} messages, {} fields, {} bits",
            self.messages, self.fields, self.bits
        )
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "to the client: {}, {} of them revealed",
            self.client, self.revealed_bits
        )?;
        writeln!(f, "to the server: {}", self.server)?;
        writeln!(f, "to the helper: nothing")?;
        write!(
            f,
            "{} stretches of streams in {} steps, each under one field; {} truncations, {} weights",
            self.draws, self.steps, self.truncations, self.weights
        )
    }
}
