//! A run that keeps every value, and gradients backward through it.
//!
//! [`Tape::backward`] takes the gradient of a number that depends on one node's value (seed times
//! value) and walks to the image, one rule an operator ([`Rule::backward`](crate::nn::op::Rule)).
//! A node's gradient is complete when all its users have given their part; it is shown then, and
//! dropped once its own operands have theirs. So a pass holds the gradients of a cut through the
//! network, not those of all nodes.

use super::{FeatureMap, ImageShapeError, value_of};
use crate::nn::{Graph, NodeId};

/// A run of a graph on one image, with the values of all nodes.
#[derive(Debug)]
pub struct Tape<'a> {
    graph: &'a Graph,
    order: Vec<NodeId>,
    values: Vec<Option<FeatureMap>>,
}

impl<'a> Tape<'a> {
    /// Runs the graph on one image.
    ///
    /// # Errors
    /// If the image has another shape than the graph's input.
    pub fn run(graph: &'a Graph, image: &FeatureMap) -> Result<Self, ImageShapeError> {
        let order = graph.order();
        let mut values = vec![None; graph.id_bound()];
        for &id in &order {
            values[id.index()] = Some(value_of(graph, id, image, &values)?);
        }
        Ok(Self { graph, order, values })
    }

    /// The value of a node.
    ///
    /// # Panics
    /// If the graph has no such node.
    pub fn value(&self, id: NodeId) -> &FeatureMap {
        self.values[id.index()].as_ref().expect("every node has run")
    }

    /// Hands out the gradient of `seed · value(from)` with respect to the output of each node that
    /// `from` depends on, `from` itself first, in reverse topological order.
    ///
    /// # Panics
    /// If the seed's shape is not that of the value.
    pub fn backward(&self, from: NodeId, seed: &FeatureMap, mut visit: impl FnMut(NodeId, &FeatureMap)) {
        self.backward_all(from, vec![seed.clone()], |id, gradients| visit(id, &gradients[0]));
    }

    /// The same for several seeds at once, node by node: the gradients come in the order of the
    /// seeds.
    ///
    /// # Panics
    /// If a seed's shape is not that of the value.
    pub fn backward_all(
        &self,
        from: NodeId,
        seeds: Vec<FeatureMap>,
        mut visit: impl FnMut(NodeId, &[FeatureMap]),
    ) {
        let shape = self.value(from).shape();
        assert!(
            seeds.iter().all(|s| s.shape() == shape),
            "a seed has the value's shape"
        );
        let mut pending: Vec<Option<Vec<FeatureMap>>> = vec![None; self.values.len()];
        pending[from.index()] = Some(seeds);
        for &id in self.order.iter().rev() {
            let Some(gradients) = pending[id.index()].take() else {
                continue;
            };
            visit(id, &gradients);
            self.step(id, &gradients, &mut pending);
        }
    }

    /// Gives the operands of a node their part of its gradients.
    fn step(&self, id: NodeId, gradients: &[FeatureMap], pending: &mut [Option<Vec<FeatureMap>>]) {
        let inputs = self.graph.inputs(id);
        let operands: Vec<&FeatureMap> = inputs.iter().map(|&i| self.value(i)).collect();
        let op = &self.graph.node(id).op;
        let mut parts: Vec<Vec<FeatureMap>> = inputs.iter().map(|_| Vec::new()).collect();
        for gradient in gradients {
            let of_operands = op.backward(&operands, self.value(id), gradient);
            parts.iter_mut().zip(of_operands).for_each(|(p, g)| p.push(g));
        }
        for (input, part) in inputs.iter().zip(parts) {
            match &mut pending[input.index()] {
                Some(sums) => sums.iter_mut().zip(&part).for_each(|(s, p)| s.accumulate(p)),
                empty => *empty = Some(part),
            }
        }
    }
}

#[cfg(test)]
mod tests;
