//! An assignment while it is improved, and exact steps on single groups.

use serde::Serialize;

use super::JointError;
use super::vectors::{Vectors, add, dot, square};
use crate::budget::knapsack::Problem;

/// Gains below this fraction of the terms that they come from are rounding errors.
const LEAST_GAIN: f64 = 1e-12;

/// The predicted distortion of an assignment on one set of images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Distortion {
    /// The distortion of all chosen options at once: the squared length of their vectors' sum.
    pub joint: f64,
    /// The sum of the options' own distortions.
    pub additive: f64,
}

impl Distortion {
    /// `(1 - shrinkage) * joint + shrinkage * additive`.
    pub fn mixed(&self, shrinkage: f64) -> f64 {
        (1.0 - shrinkage) * self.joint + shrinkage * self.additive
    }

    /// The distortion of one item per group.
    pub(super) fn of(vectors: &impl Vectors, choice: &[usize]) -> Distortion {
        let mut sum = vec![0.0; vectors.dims()];
        let mut additive = 0.0;
        for (group, &item) in choice.iter().enumerate() {
            let vector = vectors.of(group, item);
            add(&mut sum, 1.0, vector);
            additive += square(vector);
        }
        let joint = sum.iter().map(|entry| entry * entry).sum();
        Distortion { joint, additive }
    }
}

/// What is to be minimised, and within which budget.
pub(super) struct Instance<'a, V> {
    pub(super) problem: &'a Problem,
    pub(super) budget: u64,
    pub(super) vectors: &'a V,
    pub(super) shrinkage: f64,
    /// The squared lengths of all vectors, and where each group's start.
    squares: Vec<f64>,
    starts: Vec<usize>,
}

impl<'a, V: Vectors> Instance<'a, V> {
    pub(super) fn new(
        problem: &'a Problem,
        budget: u64,
        vectors: &'a V,
        shrinkage: f64,
    ) -> Result<Self, JointError> {
        let mut squares = Vec::with_capacity(problem.items());
        let mut starts = Vec::with_capacity(problem.groups());
        for group in 0..problem.groups() {
            starts.push(squares.len());
            for item in 0..problem.group(group).len() {
                squares.push(checked_square(vectors, group, item)?);
            }
        }
        Ok(Instance {
            problem,
            budget,
            vectors,
            shrinkage,
            squares,
            starts,
        })
    }

    pub(super) fn square(&self, group: usize, item: usize) -> f64 {
        self.squares[self.starts[group] + item]
    }

    pub(super) fn cost(&self, group: usize, item: usize) -> u64 {
        self.problem.group(group)[item].cost
    }

    /// The part of the objective that depends on a group's item, given the sum of the others.
    pub(super) fn score(&self, rest: &[f64], group: usize, item: usize) -> f64 {
        let cross = dot(rest, self.vectors.of(group, item));
        2.0 * (1.0 - self.shrinkage) * cross + self.square(group, item)
    }

    /// The score, with the item's cost charged at a price per unit.
    fn charged(&self, rest: &[f64], group: usize, item: usize, price: f64) -> f64 {
        self.score(rest, group, item) + price * self.cost(group, item) as f64
    }
}

/// The squared length of an item's vector, if the vector is as long as all are and finite.
fn checked_square(vectors: &impl Vectors, group: usize, item: usize) -> Result<f64, JointError> {
    let vector = vectors.of(group, item);
    if vector.len() != vectors.dims() {
        return Err(JointError::Length {
            group,
            item,
            found: vector.len(),
            dims: vectors.dims(),
        });
    }
    let square = square(vector);
    if square.is_finite() {
        Ok(square)
    } else {
        Err(JointError::NotFinite { group, item })
    }
}

/// An assignment with the sum of its vectors.
pub(super) struct State<'a, V> {
    pub(super) instance: &'a Instance<'a, V>,
    pub(super) choice: Vec<usize>,
    pub(super) cost: u64,
    pub(super) sum: Vec<f64>,
    pub(super) distortion: Distortion,
}

// Not derived: vectors need not be `Clone`.
impl<V> Clone for State<'_, V> {
    fn clone(&self) -> Self {
        State {
            instance: self.instance,
            choice: self.choice.clone(),
            cost: self.cost,
            sum: self.sum.clone(),
            distortion: self.distortion,
        }
    }
}

impl<'a, V: Vectors> State<'a, V> {
    pub(super) fn new(instance: &'a Instance<'a, V>, choice: Vec<usize>) -> Self {
        let mut state = State {
            instance,
            cost: 0,
            sum: Vec::new(),
            distortion: Distortion::default(),
            choice,
        };
        state.settle();
        state
    }

    /// The objective: the mixed distortion of the assignment.
    pub(super) fn value(&self) -> f64 {
        self.distortion.mixed(self.instance.shrinkage)
    }

    pub(super) fn feasible(&self) -> bool {
        self.cost <= self.instance.budget
    }

    /// Every group in turn takes what is best for it at a price per unit of cost, whatever the
    /// budget.
    pub(super) fn priced_pass(&mut self, price: f64) {
        self.pass(price, |_| u64::MAX);
    }

    /// Every group in turn takes what is best for it among what the budget leaves it. Returns
    /// whether anything changed.
    pub(super) fn feasible_pass(&mut self) -> bool {
        let budget = self.instance.budget;
        self.pass(0.0, |others| budget.saturating_sub(others))
    }

    /// Puts another item in a group's place.
    pub(super) fn change(&mut self, group: usize, item: usize) {
        let Instance { vectors, .. } = self.instance;
        let held = std::mem::replace(&mut self.choice[group], item);
        self.cost = self.cost - self.instance.cost(group, held) + self.instance.cost(group, item);
        add(&mut self.sum, -1.0, vectors.of(group, held));
        add(&mut self.sum, 1.0, vectors.of(group, item));
    }

    /// Recomputes cost, sum and distortion from the choice, without what steps have rounded off.
    pub(super) fn settle(&mut self) {
        let Instance { problem, vectors, .. } = self.instance;
        self.cost = problem.cost(&self.choice);
        self.sum = vec![0.0; vectors.dims()];
        for (group, &item) in self.choice.iter().enumerate() {
            add(&mut self.sum, 1.0, vectors.of(group, item));
        }
        self.distortion = Distortion::of(*vectors, &self.choice);
    }

    /// The sum of all vectors but one group's.
    pub(super) fn rest(&self, group: usize, rest: &mut Vec<f64>) {
        rest.clone_from(&self.sum);
        add(rest, -1.0, self.instance.vectors.of(group, self.choice[group]));
    }

    /// One exact step in every group, to the best item that costs no more than `limit` gives for
    /// the cost of the other groups.
    fn pass(&mut self, price: f64, limit: impl Fn(u64) -> u64) -> bool {
        let mut rest = Vec::new();
        let mut changed = false;
        for group in 0..self.choice.len() {
            let held = self.choice[group];
            self.rest(group, &mut rest);
            let limit = limit(self.cost - self.instance.cost(group, held));
            if let Some(item) = self.best(&rest, group, price, limit) {
                self.change(group, item);
                changed = true;
            }
        }
        self.settle();
        changed
    }

    /// The item that improves most on the held one, if any does.
    fn best(&self, rest: &[f64], group: usize, price: f64, limit: u64) -> Option<usize> {
        let instance = self.instance;
        let held = self.choice[group];
        let now = instance.charged(rest, group, held, price);
        let margin = LEAST_GAIN * (now.abs() + self.distortion.joint);
        let mut best = None;
        let mut least = now - margin;
        for item in 0..instance.problem.group(group).len() {
            if item == held || instance.cost(group, item) > limit {
                continue;
            }
            let charged = instance.charged(rest, group, item, price);
            if charged < least {
                best = Some(item);
                least = charged;
            }
        }
        best
    }
}
