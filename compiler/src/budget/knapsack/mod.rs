//! The multiple-choice knapsack, exactly: one item per group, least loss within a budget.
//!
//! In the order of the files: dominated items go (`frontier`); the linear relaxation gives a base
//! assignment and a price per unit of cost (`relax`); moves that are too dear at this price to be
//! part of a better assignment than the best known one go (`core`); a search over the few groups
//! that are left finds the best assignment and proves it (`sweep`). The work depends on the core,
//! not on the budget: costs may be signs, bytes or nanoseconds.
//!
//! ```
//! # use trefoil_compiler::budget::knapsack::{Item, Limits, Problem, solve};
//! let patches = |losses: [f64; 3]| [16, 4, 0].into_iter().zip(losses).map(|(cost, loss)| Item { cost, loss });
//! let problem = Problem::new([patches([0.0, 1.0, 5.0]), patches([0.0, 3.0, 4.0])])?;
//! let best = solve(&problem, 20, &Limits::default())?;
//! assert_eq!((best.choice.as_slice(), best.cost, best.loss), ([1, 0].as_slice(), 20, 1.0));
//! assert!(best.certificate.proved);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod attempt;
mod core;
mod frontier;
mod problem;
mod relax;
mod sum;
mod sweep;
#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;

use serde::Serialize;
use thiserror::Error;

use self::attempt::Attempt;
use self::frontier::{Frontier, Step};
pub use self::problem::{Item, MAX_COST, MAX_LOSS, Problem, ProblemError};

/// How much work the search may do. All limits count steps and not seconds, so that the same
/// problem has the same solution on every machine.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Partial assignments kept at once; 24 bytes each, three times.
    pub width: usize,
    /// Partial assignments visited in the longest pass; at most 12 bytes each are kept.
    pub work: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            width: 1 << 20,
            work: 1 << 25,
        }
    }
}

/// The best assignment found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Solution {
    /// The chosen item of every group, in the group's own order.
    pub choice: Vec<usize>,
    /// Its cost, in the unit of the items.
    pub cost: u64,
    /// The sum of the losses of its items.
    pub loss: f64,
    /// How good it is.
    pub certificate: Certificate,
}

/// What is proved about an assignment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Certificate {
    /// No assignment within the budget loses less than this.
    pub bound: f64,
    /// The bound by the linear relaxation alone.
    pub lp_bound: f64,
    /// `loss - bound`; never less than what rounding may have hidden.
    pub gap: f64,
    /// The gap as a fraction of the loss's size; 0 where both are 0.
    pub relative_gap: f64,
    /// Nothing was cut off: the assignment is optimal up to `gap`, which then only holds rounding
    /// errors (at most about 10^-12 of the loss or, if that is more, of the budget at `price`).
    pub proved: bool,
    /// How it was found.
    pub method: Method,
    /// The relaxation's price: loss per unit of cost at the margin.
    pub price: f64,
    /// Items that no other item of their group dominates.
    pub undominated: usize,
    /// Groups that the last pass could not fix beforehand.
    pub core_groups: usize,
    /// Moves of these groups that it had to consider.
    pub core_moves: usize,
    /// Partial assignments visited, over all passes.
    pub states: u64,
}

/// How an assignment was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// The budget doesn't bind: every group takes its least loss.
    Unconstrained,
    /// The relaxation's rounded solution can't be improved on.
    Relaxation,
    /// A search of the core.
    Core,
}

/// Why there is no assignment.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SolveError {
    /// The budget is too small for any assignment.
    #[error(
        "the budget of {budget} can't be met: even the cheapest choice costs {least}; allow at least that much"
    )]
    Infeasible {
        /// What an assignment may cost at most.
        budget: u64,
        /// The least possible cost.
        least: u64,
    },
}

/// Finds the assignment of least loss that costs no more than the budget.
pub fn solve(problem: &Problem, budget: u64, limits: &Limits) -> Result<Solution, SolveError> {
    Solver::new(problem).solve(budget, limits)
}

/// A problem made ready for any number of budgets.
pub struct Solver<'a> {
    problem: &'a Problem,
    frontier: Frontier,
    steps: Vec<Step>,
    least: u64,
    cost_step: u64,
}

impl<'a> Solver<'a> {
    /// Removes dominated items and sorts the rest.
    pub fn new(problem: &'a Problem) -> Solver<'a> {
        let frontier = Frontier::of(problem);
        Solver {
            problem,
            steps: frontier.steps(),
            least: frontier.least_cost(),
            cost_step: frontier.cost_step(),
            frontier,
        }
    }

    /// The least cost of any assignment.
    pub fn least_cost(&self) -> u64 {
        self.least
    }

    /// Finds the assignment of least loss that costs no more than the budget.
    pub fn solve(&self, budget: u64, limits: &Limits) -> Result<Solution, SolveError> {
        let least = self.least;
        let free = budget.checked_sub(least);
        let free = free.ok_or(SolveError::Infeasible { budget, least })?;
        // All that can be spent is multiples of the step: what is beyond them only weakens bounds.
        let free = free - free.checked_rem(self.cost_step).unwrap_or(0);
        let mut attempt = Attempt::new(self, free);
        attempt.fill();
        attempt.search(limits);
        Ok(attempt.finish())
    }
}
