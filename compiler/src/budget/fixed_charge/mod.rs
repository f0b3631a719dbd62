//! The multiple-choice knapsack with fixed charges: what a layer costs besides its channels.
//!
//! A layer all of whose channels are identities takes a round trip less; a max-pool whose operands
//! have all been gated compares one bit less. Such costs are no channel's own. A [`Layer`] therefore
//! is in a *state*: it allows some items and has a charge, and one state for each layer is chosen
//! together with one item for each group.
//!
//! Solved exactly, as a rule: for a given price of the budget each layer's best state is easy to see
//! (`dual`), and the price that pays best gives a bound and for each state a *regret*, by which
//! the bound rises if the layer takes it. Combinations of states are looked at in the order of their
//! regrets, each as a plain [`knapsack`], until the next one's bound exceeds the best choice.

mod combine;
mod dual;
#[cfg(test)]
mod tests;

use self::combine::Combinations;
use self::dual::Dual;
use super::knapsack::{self, Certificate, Item, Limits, Problem, SolveError};

/// Combinations of states that are solved at most.
const MOST_SOLVED: usize = 60;

/// Combinations that are looked at at most, each of which a bound of its own may exclude.
const MOST_SEEN: usize = 500;

/// What a layer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// What it costs besides its items.
    pub charge: u64,
    /// The flags that its items may have.
    pub allows: u32,
}

/// Groups that share a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// The groups, each in this layer alone.
    pub groups: Vec<usize>,
    /// What the layer may be. One of them allows every item.
    pub states: Vec<State>,
}

impl Layer {
    /// The number of the state of least charge that allows items with these flags together.
    fn least(&self, flags: u32) -> usize {
        let fitting = (0..self.states.len()).filter(|&state| flags & !self.states[state].allows == 0);
        let least = fitting.min_by_key(|&state| self.states[state].charge);
        least.expect("one of a layer's states allows every item")
    }
}

/// A knapsack with layers.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// Items and their own costs.
    pub problem: Problem,
    /// The flags of every item: what about it a layer's charge may depend on.
    pub flags: Vec<Vec<u32>>,
    /// The layers that have charges.
    pub layers: Vec<Layer>,
}

/// The best choice found.
#[derive(Clone, Debug, PartialEq)]
pub struct Solution {
    /// The chosen item of every group.
    pub choice: Vec<usize>,
    /// What it costs, charges included.
    pub cost: u64,
    /// The sum of the losses of its items.
    pub loss: f64,
    /// How good it is.
    pub certificate: Certificate,
}

impl Program {
    /// What a choice costs: its items, and the least charge of each layer that allows them.
    ///
    /// # Panics
    /// If `choice` isn't one item of every group.
    pub fn cost(&self, choice: &[usize]) -> u64 {
        self.problem.cost(choice) + self.states_of(choice).1
    }

    /// What the flags of each group may be in the states that a choice costs least in, and what these charge.
    ///
    /// # Panics
    /// If `choice` isn't one item of every group.
    pub fn states_of(&self, choice: &[usize]) -> (Vec<u32>, u64) {
        let mut allows = vec![u32::MAX; self.problem.groups()];
        let mut charges = 0;
        for layer in &self.layers {
            let state = layer.states[self.state(layer, choice)];
            layer
                .groups
                .iter()
                .for_each(|&group| allows[group] = state.allows);
            charges += state.charge;
        }
        (allows, charges)
    }

    /// What layers charge at the most if only these items are chosen among, which `allowed` says of each group.
    pub fn charges(&self, allowed: &[Vec<bool>]) -> u64 {
        let of_group = |group: usize| {
            let flags = self.flags[group].iter().zip(&allowed[group]);
            flags
                .filter(|(_, is)| **is)
                .fold(0, |all, (flags, _)| all | flags)
        };
        let charge = |layer: &Layer| {
            let flags = layer.groups.iter().fold(0, |all, &group| all | of_group(group));
            layer.states[layer.least(flags)].charge
        };
        self.layers.iter().map(charge).sum()
    }

    /// The state of least charge that allows a choice: its number.
    fn state(&self, layer: &Layer, choice: &[usize]) -> usize {
        let flags = layer.groups.iter();
        layer.least(flags.fold(0, |flags, &group| flags | self.flags[group][choice[group]]))
    }

    /// The choice that costs least, and of those the one that loses least.
    pub fn cheapest(&self) -> Vec<usize> {
        let mut choice: Vec<usize> = (0..self.problem.groups())
            .map(|group| self.cheapest_item(group, u32::MAX).map_or(0, |(item, _)| item))
            .collect();
        for layer in &self.layers {
            let cost = |state: &State| {
                let items = layer
                    .groups
                    .iter()
                    .map(|&group| self.cheapest_item(group, state.allows));
                let items: Option<Vec<(usize, Item)>> = items.collect();
                items.map(|items| {
                    let sum = items.iter().map(|(_, item)| item.cost).sum::<u64>();
                    let loss: f64 = items.iter().map(|(_, item)| item.loss).sum();
                    (sum + state.charge, loss, items)
                })
            };
            let states = layer.states.iter().filter_map(cost);
            let best = states.min_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
            if let Some((.., items)) = best {
                for (&group, (item, _)) in layer.groups.iter().zip(items) {
                    choice[group] = item;
                }
            }
        }
        choice
    }

    fn cheapest_item(&self, group: usize, allows: u32) -> Option<(usize, Item)> {
        let items = self.problem.group(group).iter().copied().enumerate();
        let allowed = items.filter(|&(item, _)| self.flags[group][item] & !allows == 0);
        allowed.min_by(|(_, a), (_, b)| a.cost.cmp(&b.cost).then(a.loss.total_cmp(&b.loss)))
    }

    /// Finds the choice of least loss that costs no more than the budget.
    ///
    /// # Errors
    /// If even the cheapest one costs more.
    pub fn solve(&self, budget: u64, limits: &Limits) -> Result<Solution, SolveError> {
        if self.layers.is_empty() {
            let plain = knapsack::solve(&self.problem, budget, limits)?;
            return Ok(Solution {
                choice: plain.choice,
                cost: plain.cost,
                loss: plain.loss,
                certificate: plain.certificate,
            });
        }
        let cheapest = self.cheapest();
        let least = self.cost(&cheapest);
        if least > budget {
            return Err(SolveError::Infeasible { budget, least });
        }
        let dual = Dual::new(self);
        let mut search = Search {
            program: self,
            limits,
            budget,
            best: None,
        };
        // So that there is a choice: whatever does not fit is excluded by its bound from then on.
        let states = self.layers.iter().map(|layer| self.state(layer, &cheapest));
        let mut bound = search
            .try_states(&states.collect::<Vec<usize>>())
            .unwrap_or(f64::INFINITY);
        let optimum = dual.optimum(budget, None);
        let (mut solved, mut seen) = (0, 0);
        for (rise, states) in Combinations::new(&optimum) {
            let lower = optimum.bound + rise;
            // Within what rounding may have hidden nothing better is to be found.
            let excluded = |bound: f64, best: Option<&Solution>| {
                best.is_some_and(|best| bound >= best.loss - 1e-12 * best.loss.abs().max(bound.abs()))
            };
            if excluded(lower, search.best.as_ref()) {
                break;
            }
            if solved == MOST_SOLVED || seen == MOST_SEEN {
                bound = bound.min(lower);
                break;
            }
            seen += 1;
            let own = dual.optimum(budget, Some(&states));
            if excluded(own.bound, search.best.as_ref()) {
                continue;
            }
            solved += 1;
            if let Some(left) = search.try_states(&states) {
                bound = bound.min(left);
            }
        }
        let best = search
            .best
            .expect("the states of the cheapest choice leave enough for it");
        Ok(certified(best, bound, optimum.bound))
    }

    /// The items that these states allow, with their own numbers.
    fn restricted(&self, states: &[usize]) -> Option<(Problem, Vec<Vec<usize>>)> {
        let mut allows = vec![u32::MAX; self.problem.groups()];
        for (layer, &state) in self.layers.iter().zip(states) {
            for &group in &layer.groups {
                allows[group] = layer.states[state].allows;
            }
        }
        let mut numbers = Vec::with_capacity(allows.len());
        for (flags, allows) in self.flags.iter().zip(allows) {
            let allowed = (0..flags.len()).filter(|&item| flags[item] & !allows == 0);
            numbers.push(allowed.collect::<Vec<usize>>());
        }
        let groups = numbers
            .iter()
            .enumerate()
            .map(|(group, numbers)| numbers.iter().map(move |&item| self.problem.group(group)[item]));
        // A group that is left without any item is the one thing that can be wrong with it.
        let problem = Problem::new(groups).ok()?;
        Some((problem, numbers))
    }
}

/// A search among combinations of states.
struct Search<'a> {
    program: &'a Program,
    limits: &'a Limits,
    budget: u64,
    best: Option<Solution>,
}

impl Search<'_> {
    /// Solves for what the states leave of the budget; returns what is proved of them.
    fn try_states(&mut self, states: &[usize]) -> Option<f64> {
        let layers = self.program.layers.iter().zip(states);
        let charges = layers.map(|(layer, &state)| layer.states[state].charge).sum();
        let left = self.budget.checked_sub(charges)?;
        let (problem, numbers) = self.program.restricted(states)?;
        let solution = knapsack::solve(&problem, left, self.limits).ok()?;
        let bound = solution.certificate.bound;
        if self.best.as_ref().is_none_or(|best| solution.loss < best.loss) {
            let chosen = solution.choice.iter().zip(&numbers);
            let choice: Vec<usize> = chosen.map(|(&item, numbers)| numbers[item]).collect();
            self.best = Some(Solution {
                cost: self.program.cost(&choice),
                choice,
                loss: solution.loss,
                certificate: solution.certificate,
            });
        }
        Some(bound)
    }
}

/// The best choice with what is proved: no choice loses less than `bound`, nor, by prices alone, than `relaxed`.
fn certified(mut best: Solution, bound: f64, relaxed: f64) -> Solution {
    let bound = bound.min(best.loss);
    let gap = best.loss - bound;
    let certificate = &mut best.certificate;
    certificate.lp_bound = relaxed;
    certificate.bound = bound;
    certificate.gap = gap;
    certificate.relative_gap = match gap > 0.0 {
        true => gap / best.loss.abs().max(bound.abs()),
        false => 0.0,
    };
    certificate.proved &= certificate.relative_gap <= 1e-9;
    best
}
