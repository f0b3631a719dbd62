//! Joint assignment: patches chosen for what they do together.
//!
//! The knapsack adds up the distortions of single channels, but the changes of many channels
//! interfere: some cancel, others pile up. With a signed vector per option (see [`Vectors`]) the
//! distortion of a whole assignment is predicted by the squared length of the vectors' sum, and that
//! is minimised here within a budget.
//!
//! The problem is hard, so this is a descent. From the knapsack's optimum, every sweep first takes
//! exact steps group by group at a price per unit of cost, which is bisected until the budget is
//! just kept; then steps within the budget, and exchanges between two groups. A sweep that doesn't
//! lower the objective is undone, so the objective never rises and the budget is never exceeded.
//!
//! A descent on few images overfits: it finds cancellations that hold for these images alone. So the
//! distortion on other images, held out from the descent, is taken after every sweep, and the
//! assignment that is *best on them* is returned, which may be the one at the start. Its held-out
//! value has been selected for and is therefore slightly too good. Shrinkage towards the additive
//! distortion (0 joint, 1 additive) is a second remedy; pick it by the held-out value too.

mod state;
mod swap;
#[cfg(test)]
mod tests;
mod vectors;

use serde::Serialize;
use thiserror::Error;

pub use self::state::Distortion;
use self::state::{Instance, State};
pub use self::vectors::{FlatVectors, Vectors};
use super::knapsack::Problem;

/// How the descent goes.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The weight of the additive distortion, from 0 (joint) to 1 (additive).
    pub shrinkage: f64,
    /// Sweeps over all groups, at most.
    pub sweeps: usize,
    /// A sweep that lowers the objective by less than this fraction is the last.
    pub least_gain: f64,
    /// Prices tried in a sweep.
    pub prices: usize,
    /// Rounds of exchanges in a sweep.
    pub exchanges: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            shrinkage: 0.0,
            sweeps: 20,
            least_gain: 1e-3,
            prices: 12,
            exchanges: 4,
        }
    }
}

/// The assignment found, and the way to it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// The chosen item of every group.
    pub choice: Vec<usize>,
    /// Its cost, in the problem's unit.
    pub cost: u64,
    /// The index in `trace` of the assignment returned: the best on the images held out, or the last
    /// if there are none.
    pub best: usize,
    /// The start, then the assignment after every sweep.
    pub trace: Vec<Step>,
}

impl Outcome {
    /// The joint distortion of the assignment on the images held out, if there are any.
    fn held_out(&self) -> Option<f64> {
        self.trace.get(self.best)?.held_out.map(|held_out| held_out.joint)
    }
}

/// An assignment on the way.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Step {
    /// Its distortion on the images that it was fitted to.
    pub fit: Distortion,
    /// Its distortion on the images held out.
    pub held_out: Option<Distortion>,
    /// Its cost, in the problem's unit.
    pub cost: u64,
}

/// Why there is no joint assignment.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum JointError {
    /// The shrinkage is no weight.
    #[error("the shrinkage is {shrinkage}, but must lie between 0 (joint) and 1 (additive)")]
    Shrinkage {
        /// The weight that was given.
        shrinkage: f64,
    },
    /// No shrinkage was given to try.
    #[error("no shrinkage was given to try; give at least one between 0 and 1")]
    NoShrinkage,
    /// The start is no choice of one item per group.
    #[error(
        "the starting assignment has no valid item for group {group} of {groups}; start from a solution of the same problem"
    )]
    Start {
        /// The first group without a valid item; `groups` if there are too many.
        group: usize,
        /// The number of groups.
        groups: usize,
    },
    /// The start exceeds the budget.
    #[error(
        "the starting assignment costs {cost}, more than the budget of {budget}; start from the knapsack's optimum"
    )]
    Budget {
        /// Its cost, in the problem's unit.
        cost: u64,
        /// What it may cost at most.
        budget: u64,
    },
    /// A vector is of another length than the rest.
    #[error(
        "the vector of item {item} of group {group} has {found} entries instead of {dims}; measure all options on the same images and probes"
    )]
    Length {
        /// Number of the group, from 0.
        group: usize,
        /// Number of the item in its group, from 0.
        item: usize,
        /// Its vector's length.
        found: usize,
        /// Entries that all vectors must have.
        dims: usize,
    },
    /// A vector's squared length is not finite.
    #[error(
        "the vector of item {item} of group {group} is not finite; look for a fault where it was measured"
    )]
    NotFinite {
        /// Number of the group, from 0.
        group: usize,
        /// Number of the item in its group, from 0.
        item: usize,
    },
}

/// Lowers the joint distortion from a start within the budget, usually the knapsack's optimum.
///
/// The costs come from `problem`; its losses aren't used.
pub fn assign<V: Vectors>(
    problem: &Problem,
    budget: u64,
    start: &[usize],
    (fit, held_out): (&V, Option<&V>),
    options: &Options,
) -> Result<Outcome, JointError> {
    check(problem, budget, start, options)?;
    let instance = Instance::new(problem, budget, fit, options.shrinkage)?;
    if let Some(held_out) = held_out {
        // Its vectors are checked in the same way.
        Instance::new(problem, budget, held_out, options.shrinkage)?;
    }
    let state = State::new(&instance, start.to_vec());
    let mut record = Record::new(held_out, &state);
    descend(state, options, &mut record);
    Ok(record.finish(problem))
}

/// Tries several shrinkages and returns the one that does best on the images held out, with its
/// assignment. The more channels and the fewer images, the nearer to 1 it will be.
pub fn assign_shrunk<V: Vectors>(
    problem: &Problem,
    budget: u64,
    start: &[usize],
    (fit, held_out): (&V, &V),
    options: &Options,
    shrinkages: &[f64],
) -> Result<(f64, Outcome), JointError> {
    let mut best: Option<(f64, Outcome)> = None;
    for &shrinkage in shrinkages {
        let options = Options {
            shrinkage,
            ..*options
        };
        let outcome = assign(problem, budget, start, (fit, Some(held_out)), &options)?;
        if best
            .as_ref()
            .is_none_or(|(_, best)| outcome.held_out() < best.held_out())
        {
            best = Some((shrinkage, outcome));
        }
    }
    best.ok_or(JointError::NoShrinkage)
}

fn check(problem: &Problem, budget: u64, start: &[usize], options: &Options) -> Result<(), JointError> {
    let Options { shrinkage, .. } = *options;
    if !(0.0..=1.0).contains(&shrinkage) {
        return Err(JointError::Shrinkage { shrinkage });
    }
    let groups = problem.groups();
    for group in 0..groups {
        let items = problem.group(group).len();
        if start.get(group).is_none_or(|&item| item >= items) {
            return Err(JointError::Start { group, groups });
        }
    }
    if start.len() > groups {
        return Err(JointError::Start {
            group: groups,
            groups,
        });
    }
    let cost = problem.cost(start);
    if cost > budget {
        return Err(JointError::Budget { cost, budget });
    }
    Ok(())
}

fn descend<V: Vectors>(mut state: State<'_, V>, options: &Options, record: &mut Record<'_, V>) {
    let mut price = starting_price(&state);
    for _ in 0..options.sweeps {
        let before = state.value();
        let mut next = state.clone();
        if let Some(fitting) = priced(&state, &mut price, options.prices) {
            next = fitting;
        }
        improve(&mut next, options.exchanges);
        if next.value() >= before {
            // The price led astray: go on within the budget from where it was.
            next = state.clone();
            improve(&mut next, options.exchanges);
        }
        if next.value() >= before {
            return;
        }
        state = next;
        record.add(&state);
        if state.value() > (1.0 - options.least_gain) * before {
            return;
        }
    }
}

/// The objective per unit of budget: some price to start the search from.
fn starting_price<V: Vectors>(state: &State<'_, V>) -> f64 {
    let price = state.value() / (state.instance.budget as f64 + 1.0);
    price.max(f64::MIN_POSITIVE)
}

/// One pass at the lowest price found at which the result keeps the budget; `None` if none did.
fn priced<'a, V: Vectors>(from: &State<'a, V>, price: &mut f64, tries: usize) -> Option<State<'a, V>> {
    let mut low = None;
    let mut high = None;
    let mut fitting = None;
    for _ in 0..tries {
        let mut next = from.clone();
        next.priced_pass(*price);
        if next.feasible() {
            high = Some(*price);
            fitting = Some(next);
        } else {
            low = Some(*price);
        }
        *price = between(low, high, *price);
    }
    *price = high.unwrap_or(*price);
    fitting
}

/// The next price to try: prices span orders of magnitude, so the means are geometric.
fn between(low: Option<f64>, high: Option<f64>, last: f64) -> f64 {
    let next = match (low, high) {
        (Some(low), Some(high)) => (low * high).sqrt(),
        (None, _) => last / 4.0,
        (_, None) => last * 4.0,
    };
    next.clamp(f64::MIN_POSITIVE, f64::MAX)
}

/// Steps and exchanges within the budget.
fn improve<V: Vectors>(state: &mut State<'_, V>, exchanges: usize) {
    state.feasible_pass();
    for _ in 0..exchanges {
        if !swap::exchange(state) {
            return;
        }
        state.feasible_pass();
    }
}

/// The way of the descent, and the best assignment on it.
struct Record<'a, V> {
    held_out: Option<&'a V>,
    trace: Vec<Step>,
    best: usize,
    choice: Vec<usize>,
}

impl<'a, V: Vectors> Record<'a, V> {
    fn new(held_out: Option<&'a V>, start: &State<'_, V>) -> Record<'a, V> {
        let mut record = Record {
            held_out,
            trace: Vec::new(),
            best: 0,
            choice: Vec::new(),
        };
        record.add(start);
        record
    }

    fn add(&mut self, state: &State<'_, V>) {
        let held_out = self
            .held_out
            .map(|vectors| Distortion::of(vectors, &state.choice));
        let best = self.trace.get(self.best).and_then(|step| step.held_out);
        if best
            .zip(held_out)
            .is_none_or(|(best, now)| now.joint < best.joint)
        {
            self.best = self.trace.len();
            self.choice.clone_from(&state.choice);
        }
        self.trace.push(Step {
            fit: state.distortion,
            held_out,
            cost: state.cost,
        });
    }

    fn finish(self, problem: &Problem) -> Outcome {
        Outcome {
            cost: problem.cost(&self.choice),
            choice: self.choice,
            best: self.best,
            trace: self.trace,
        }
    }
}
