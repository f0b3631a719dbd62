//! The order of masks: that a party's view is a triangular function of the masks that it lacks.
//!
//! A field is a payload under its mask. Take the graph in which a payload points at what it is made of,
//! a field at its payload and its mask, and a mask that the receiver lacks at the payload that it
//! masks: "this mask comes after all that is in what it hides". If the graph has no cycle, its order is
//! one in which no payload, and no earlier message to the receiver, contains a later mask.
//!
//! Between steps there is nothing to check: a declaration can name draws and fields of its own step
//! and operands, which are earlier steps' values. So the order is that of the steps, and within each
//! the one found here. Masks that hide nothing from the receiver (p of patch sums, to the client) are
//! like secret inputs: for each of their values the map is a bijection.

use petgraph::algo::{kosaraju_scc, toposort};
use petgraph::graph::{DiGraph, NodeIndex};

use super::breach::{Breach, Rule};
use super::declare::{Atom, Field};
use super::step::StepView;
use crate::mpc::message::Party;

pub(super) fn check(step: &StepView<'_>, breaches: &mut Vec<Breach>) {
    for receiver in [Party::Client, Party::Server] {
        let graph = graph(step, receiver);
        if toposort(&graph, None).is_err() {
            report(step, &graph, receiver, breaches);
        }
    }
}

/// Payloads are the first nodes, in the order of fields; draws follow.
fn graph(step: &StepView<'_>, receiver: Party) -> DiGraph<(), (), usize> {
    let fields = &step.declared.fields;
    let draw_node = |at: usize| NodeIndex::new(fields.len() + at);
    let mut graph = DiGraph::default();
    for _ in 0..fields.len() + step.declared.draws.len() {
        graph.add_node(());
    }
    for (at, field) in fields.iter().enumerate() {
        let payload = NodeIndex::new(at);
        for atom in &field.payload {
            match atom {
                Atom::Draw(id) => {
                    if let Some((draw, _)) = step.draw(*id) {
                        graph.add_edge(payload, draw_node(draw), ());
                    }
                }
                Atom::Field(id) => {
                    if let Some((below, field)) = step.field(*id) {
                        graph.add_edge(payload, NodeIndex::new(below), ());
                        if let Some((mask, _)) = step.mask_of(field) {
                            graph.add_edge(payload, draw_node(mask), ());
                        }
                    }
                }
                Atom::Image | Atom::Constant(_) | Atom::Operand(_) => {}
            }
        }
        if let Some(mask) = hides(step, field, receiver) {
            graph.add_edge(draw_node(mask), payload, ());
        }
    }
    graph
}

/// The mask that the receiver lacks, if the field goes to it.
fn hides(step: &StepView<'_>, field: &Field, receiver: Party) -> Option<usize> {
    let (at, draw) = step.mask_of(field)?;
    let lacks = !draw.id.purpose.key().is_held_by(receiver);
    (lacks && field.stage.link().to() == receiver).then_some(at)
}

fn report(step: &StepView<'_>, graph: &DiGraph<(), (), usize>, receiver: Party, breaches: &mut Vec<Breach>) {
    for cycle in kosaraju_scc(graph) {
        let is_cycle = cycle.len() > 1 || cycle.iter().any(|&node| graph.contains_edge(node, node));
        let fields = cycle
            .iter()
            .filter_map(|node| step.declared.fields.get(node.index()));
        for field in fields.filter(|_| is_cycle) {
            let message = format!(
                "what lies beneath its mask contains that mask, or one that the {receiver} meets later only"
            );
            breaches.push(step.field_breach(field, Rule::Order, message));
        }
    }
}
