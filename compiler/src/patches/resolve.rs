//! An assignment checked against a network: the gates that it makes of the network's.

use std::collections::BTreeMap;

use trefoil_ir::nn::{Gate, Graph, Node, NodeId};
use trefoil_ir::text::closest;
use trefoil_ir::{Patch, Patches, Shape};

use super::assignment::{Assignment, AssignmentError, AssignmentFault, Choice, LayerChoice};

/// The gates that the assignment makes of the graph's.
///
/// # Errors
/// If the assignment does not fit the network: all faults at once.
pub(crate) fn resolve(
    graph: &Graph,
    assignment: &Assignment,
) -> Result<Vec<(NodeId, Gate)>, AssignmentError> {
    resolve_on(graph, assignment, Gate::of)
}

/// The same where the gate of a node is what `gate_of` says.
pub(super) fn resolve_on(
    graph: &Graph,
    assignment: &Assignment,
    gate_of: impl Fn(&Node) -> Option<Gate>,
) -> Result<Vec<(NodeId, Gate)>, AssignmentError> {
    let gates: BTreeMap<&str, NodeId> = graph
        .ids()
        .into_iter()
        .filter(|&id| Gate::of(graph.node(id)).is_some())
        .map(|id| (graph.node(id).origin.name.as_str(), id))
        .collect();
    let mut faults = Vec::new();
    let mut resolved = Vec::new();
    for (name, choice) in assignment.layers() {
        let Some(&id) = gates.get(name) else {
            faults.push(AssignmentFault::Unknown {
                name: name.to_owned(),
                closest: closest(name, gates.keys().copied()).map(str::to_owned),
            });
            continue;
        };
        let mut layer = Layer {
            name,
            map: graph.node(id).shape,
            faults: &mut faults,
        };
        if let Some(gate) = gate_of(graph.node(id)).and_then(|gate| layer.gate(gate, choice)) {
            resolved.push((id, gate));
        }
    }
    AssignmentError::unless_empty(faults)?;
    Ok(resolved)
}

/// One layer while its patches are checked.
struct Layer<'a> {
    name: &'a str,
    map: Shape,
    faults: &'a mut Vec<AssignmentFault>,
}

impl Layer<'_> {
    fn gate(&mut self, gate: Gate, choice: &LayerChoice) -> Option<Gate> {
        let (lower, upper) = match choice {
            LayerChoice::Every(all) => (Some(all), Some(all)),
            LayerChoice::Signs { lower, upper } => {
                if gate.upper.is_none() {
                    let name = self.name.to_owned();
                    self.faults.push(AssignmentFault::OneSign { name });
                    return None;
                }
                (lower.as_ref(), upper.as_ref())
            }
        };
        // One list that serves both signs is checked once, so that its faults come once.
        let below = self.patches(lower);
        let above = match gate.upper {
            None => None,
            Some((high, _)) if lower == upper => Some((high, below.clone()?)),
            Some((high, _)) => Some((high, self.patches(upper)?)),
        };
        Some(Gate {
            low: gate.low,
            lower: below?,
            upper: above,
        })
    }

    fn patches(&mut self, choice: Option<&Choice>) -> Option<Patches> {
        let channels = self.map.c;
        let pairs = match choice {
            None => vec![[1, 1]; channels],
            Some(Choice::All(pair)) => vec![*pair; channels],
            Some(Choice::PerChannel(pairs)) => pairs.clone(),
        };
        if pairs.len() != channels {
            self.faults.push(AssignmentFault::Channels {
                name: self.name.to_owned(),
                given: pairs.len(),
                channels,
            });
            return None;
        }
        let patches = pairs.iter().enumerate().map(|(c, pair)| self.patch(c, *pair));
        match patches.collect() {
            Ok(patches) => Some(patches),
            Err(fault) => {
                self.faults.push(fault);
                None
            }
        }
    }

    fn patch(&self, channel: usize, pair: [u64; 2]) -> Result<Patch, AssignmentFault> {
        let name = self.name.to_owned();
        if let [Ok(h), Ok(w)] = pair.map(u16::try_from) {
            let Some(patch) = Patch::from_pair([h, w]) else {
                return Err(AssignmentFault::Empty { name, channel, pair });
            };
            if patch.fits(self.map) {
                return Ok(patch);
            }
        }
        Err(AssignmentFault::TooLarge {
            name,
            channel,
            pair,
            map: [self.map.h, self.map.w],
        })
    }
}
