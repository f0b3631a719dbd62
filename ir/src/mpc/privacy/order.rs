//! The order of masks: that a party's view is a triangular function of the masks that it lacks.
//!
//! A field is a payload under its mask. Take the graph in which a payload points at what it is made of,
//! a field at its payload and its mask, and a mask that the receiver lacks at the payload that it
//! masks: "this mask comes after all that is in what it hides". If the graph has no cycle, its order is
//! one in which no payload, and no earlier message to the receiver, contains a later mask.
//!
//! Between steps there is nothing to check: a declaration can name draws and fields of its own step
//! and operands, which are earlier steps' values. So the order is that of the steps, and within each
//! the one found here. Garbled rows and their keys are one node: only together they are uniform under both of
//! their masks (docs/PROTOCOL.md, "A garbled comparison"). So what either has of both masks is no edge, and both
//! masks come after all else that is in either. Masks that hide nothing from the receiver (p of patch sums, to the client) are
//! like secret inputs: for each of their values the map is a bijection.

use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use super::breach::{Breach, Rule};
use super::declaration::{Atom, Field, How, Mask};
use super::draw::DrawId;
use super::purpose::Purpose;
use super::step::StepView;
use crate::mpc::message::Party;

/// What each node points at. Payloads are the first nodes, in the order of fields; draws follow.
type Edges = Vec<Vec<usize>>;

pub(super) fn check(step: &StepView<'_>, breaches: &mut Vec<Breach>) {
    let made_of = made_of(step);
    for receiver in [Party::Client, Party::Server] {
        let mut edges = made_of.clone();
        for (payload, field) in step.declared.fields.iter().enumerate() {
            if let Some(mask) = hides(step, field, receiver) {
                let masks = std::iter::once(mask).chain(other_of_garbling(step, field));
                masks.for_each(|mask| edges[step.declared.fields.len() + mask].push(payload));
            }
        }
        if !has_order(&edges) {
            report(step, &edges, receiver, breaches);
        }
    }
}

/// What each payload is made of.
fn made_of(step: &StepView<'_>) -> Edges {
    let fields = &step.declared.fields;
    let mut edges: Edges = vec![Vec::new(); fields.len() + step.declared.draws.len()];
    for (field, edges) in fields.iter().zip(&mut edges) {
        for atom in &field.payload {
            match atom {
                Atom::Draw(id) if is_of_one_garbling(field, *id) => {}
                Atom::Draw(id) => edges.extend(step.draw(*id).map(|(at, _)| fields.len() + at)),
                Atom::Field(id) => {
                    if let Some((below, field)) = step.field(*id) {
                        edges.push(below);
                        edges.extend(step.mask_of(field).map(|(at, _)| fields.len() + at));
                    }
                }
                Atom::Image | Atom::Constant(_) | Atom::Operand(_) => {}
            }
        }
    }
    edges
}

/// Whether a draw masks the other one of the two fields of a garbled comparison of which this is one.
fn is_of_one_garbling(field: &Field, draw: DrawId) -> bool {
    other_mask(field) == Some(draw)
}

/// The place of that draw.
fn other_of_garbling(step: &StepView<'_>, field: &Field) -> Option<usize> {
    step.draw(other_mask(field)?).map(|(at, _)| at)
}

/// What masks the other one of those two fields.
pub(super) fn other_mask(field: &Field) -> Option<DrawId> {
    let Mask::Drawn {
        draw,
        how: How::Garbled,
        ..
    } = &field.mask
    else {
        return None;
    };
    let purpose = if draw.purpose == Purpose::GarblePad {
        Purpose::GarbleLabel
    } else {
        Purpose::GarblePad
    };
    Some(DrawId { purpose, ..*draw })
}

/// The mask that the receiver lacks, if the field goes to it.
fn hides(step: &StepView<'_>, field: &Field, receiver: Party) -> Option<usize> {
    let (at, draw) = step.mask_of(field)?;
    let lacks = !draw.id.purpose.key().is_held_by(receiver);
    (lacks && field.stage.link().to() == receiver).then_some(at)
}

/// Whether the nodes can be taken one by one, each before what it points at.
fn has_order(edges: &Edges) -> bool {
    let mut pointed_at = vec![0usize; edges.len()];
    edges.iter().flatten().for_each(|&to| pointed_at[to] += 1);
    let mut next: Vec<usize> = (0..edges.len()).filter(|&node| pointed_at[node] == 0).collect();
    let mut taken = 0;
    while let Some(node) = next.pop() {
        taken += 1;
        for &to in &edges[node] {
            pointed_at[to] -= 1;
            if pointed_at[to] == 0 {
                next.push(to);
            }
        }
    }
    taken == edges.len()
}

/// Names the fields on cycles.
fn report(step: &StepView<'_>, edges: &Edges, receiver: Party, breaches: &mut Vec<Breach>) {
    let pairs = edges.iter().enumerate();
    let pairs = pairs.flat_map(|(from, edges)| edges.iter().map(move |&to| (from, to)));
    let graph = DiGraph::<(), (), usize>::from_edges(pairs);
    for cycle in kosaraju_scc(&graph) {
        let is_cycle = cycle.len() > 1 || cycle.iter().any(|&node| graph.contains_edge(node, node));
        let fields = cycle.iter().map(|&node: &NodeIndex<usize>| node.index());
        let fields = fields.filter_map(|at| step.declared.fields.get(at));
        for field in fields.filter(|_| is_cycle) {
            let message = format!(
                "what lies beneath its mask contains that mask, or one that the {receiver} meets later only"
            );
            breaches.push(step.field_breach(field, Rule::Order, message));
        }
    }
}
