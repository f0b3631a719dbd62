//! The choice of patches under side constraints, as an integer linear program.
//!
//! Several budgets at once, caps per layer, one patch for a whole layer: [`Program`] poses such
//! problems. Most of the work is done before a solver starts: ties become single blocks, caps that
//! can't bind and options that can't win go (`reduce`); prices for the caps give a bound and a good
//! choice, and with them most of the rest goes (`lagrange`, `improve`); what is left is given to a
//! general solver through `good_lp` (`model`). A program with one binding cap is a plain knapsack
//! and is solved as such, at any size.
//!
//! ```
//! # use trefoil_compiler::budget::ilp::{Cap, Options, Program, solve};
//! let mut program = Program::new(2);
//! for loss in [1.0, 2.0, 4.0] {
//!     program.push([([16, 90], 0.0), ([4, 80], loss), ([0, 10], 5.0)])?;
//! }
//! program.budget(0, 24)?;
//! program.cap(Cap { resource: 1, groups: Some(vec![0, 1]), limit: 170 })?;
//! program.tie(vec![0, 1])?;
//! let best = solve(&program, &Options::default())?;
//! assert_eq!((best.choice, best.costs, best.loss), (vec![1, 1, 0], vec![24, 250], 3.0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod improve;
mod lagrange;
mod model;
mod program;
mod reduce;
#[cfg(test)]
mod tests;

use serde::Serialize;
use thiserror::Error;

use self::lagrange::Relaxation;
use self::model::Answer;
pub(in crate::budget) use self::model::engine;
pub use self::program::{Cap, Program, ProgramError};
use self::reduce::Reduced;
use super::knapsack;

/// What a general solver's proof leaves open, as a fraction of the largest difference of losses.
const SOLVER_TOLERANCE: f64 = 1e-6;

/// How the solver is used.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The time for the general solver. If it runs out, the result depends on the machine's speed;
    /// the certificate then says that nothing is proved.
    pub seconds: f64,
    /// The most options, after reduction, that are given to the general solver.
    pub size: usize,
    /// Programs with one binding cap are solved as knapsacks. (Tests turn it off.)
    pub as_knapsack: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            seconds: 60.0,
            size: if cfg!(feature = "highs") {
                1_000_000
            } else {
                20_000
            },
            as_knapsack: true,
        }
    }
}

/// The best choice found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Solution {
    /// The chosen item of every group.
    pub choice: Vec<usize>,
    /// Its use of each resource.
    pub costs: Vec<u64>,
    /// The sum of the losses of its items.
    pub loss: f64,
    /// How good it is.
    pub certificate: Certificate,
}

/// What is proved about a choice.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Certificate {
    /// No choice that keeps all limits loses less. Where a general solver proved the optimum, this
    /// rests on its arithmetic and leaves 10^-6 of the largest difference of losses for its
    /// tolerances; otherwise it holds by itself.
    pub bound: f64,
    /// `loss - bound`.
    pub gap: f64,
    /// The gap as a fraction of the loss's size; 0 where both are 0.
    pub relative_gap: f64,
    /// The optimum is proved, up to `gap`.
    pub proved: bool,
    /// How it was found.
    pub method: Method,
    /// Options that were left for the solver.
    pub options: usize,
    /// Caps that could bind.
    pub caps: usize,
}

/// How a choice was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// No cap binds: every block takes its least loss.
    Unconstrained,
    /// One cap binds: the exact knapsack.
    Knapsack,
    /// Prices for the caps, and local improvement.
    Prices,
    /// The general solver of this name.
    Solver(&'static str),
}

/// Why there is no choice.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum IlpError {
    /// A cap can't be met even alone.
    #[error("cap {cap} allows {limit}, but even the cheapest choice uses {least}; allow at least that much")]
    Cap {
        /// The cap, in the order in which they were added.
        cap: usize,
        /// The most that the cap allows.
        limit: u64,
        /// The least possible use.
        least: u64,
    },
    /// Each cap can be met, but not all of them together.
    #[error("no choice keeps caps {caps:?} at once, although each can be kept alone; relax one of them")]
    Infeasible {
        /// The caps that may bind, in the order in which they were added.
        caps: Vec<usize>,
    },
    /// Too much is left for the solver, and nothing was found without it.
    #[error(
        "{options} options are left for the {} solver, which is given at most {size}, and no choice was found \
         without it; relax a cap, tie the channels of each layer, offer fewer patches, or build with the feature `highs`",
        model::ENGINE
    )]
    TooLarge {
        /// Options left.
        options: usize,
        /// Options allowed.
        size: usize,
    },
    /// The solver gave up, and nothing was found without it.
    #[error(
        "the {} solver found no choice ({reason}); give it more time, or relax a cap",
        model::ENGINE
    )]
    Solver {
        /// The words of the solver.
        reason: String,
    },
}

/// Finds the choice of least loss that keeps all caps and ties.
pub fn solve(program: &Program, options: &Options) -> Result<Solution, IlpError> {
    let mut reduced = Reduced::of(program)?;
    let found = match reduced.rows.len() {
        0 => unconstrained(&reduced),
        1 if options.as_knapsack => as_knapsack(&reduced),
        _ => general(&mut reduced, options)?,
    };
    Ok(finish(program, &reduced, found))
}

/// A choice of options, and what is known about it.
struct Found {
    choice: Vec<usize>,
    /// How much less another choice may lose.
    gap: f64,
    proved: bool,
    method: Method,
}

fn unconstrained(reduced: &Reduced) -> Found {
    Found {
        // Options are sorted by loss.
        choice: vec![0; reduced.blocks.len()],
        gap: 0.0,
        proved: true,
        method: Method::Unconstrained,
    }
}

fn as_knapsack(reduced: &Reduced) -> Found {
    let groups = reduced.blocks.iter().map(|block| {
        block.options.iter().map(|option| knapsack::Item {
            cost: option.uses.first().copied().unwrap_or(0),
            loss: option.loss,
        })
    });
    let problem = knapsack::Problem::new(groups).expect("sums of checked losses and costs are in range");
    let solution = knapsack::solve(&problem, reduced.rows[0].limit, &knapsack::Limits::default());
    let solution = solution.expect("the least use was taken from the limit, so that nothing at all fits");
    Found {
        gap: solution.certificate.gap,
        proved: solution.certificate.proved,
        method: Method::Knapsack,
        choice: solution.choice,
    }
}

fn general(reduced: &mut Reduced, options: &Options) -> Result<Found, IlpError> {
    let relaxation = Relaxation::of(reduced);
    let known = relaxation.fix(reduced);
    match (ask(reduced, known.as_deref(), options), known) {
        (Ok((choice, optimal)), known) => Ok(conclude(reduced, &relaxation, choice, optimal, known)),
        (Err(_), Some(known)) => Ok(Found {
            gap: (reduced.loss(&known) - relaxation.bound).max(0.0),
            proved: false,
            method: Method::Prices,
            choice: known,
        }),
        (Err(error), None) => Err(error),
    }
}

/// Gives the solver what is left; returns its choice, and whether it is proved.
fn ask(
    reduced: &Reduced,
    known: Option<&[usize]>,
    options: &Options,
) -> Result<(Vec<usize>, bool), IlpError> {
    let left = reduced.open_options();
    if left == 0
        && let Some(known) = known
    {
        return Ok((known.to_vec(), true));
    }
    if left > options.size {
        return Err(IlpError::TooLarge {
            options: left,
            size: options.size,
        });
    }
    match model::solve(reduced, known, options.seconds) {
        Answer::Choice { choice, optimal } if reduced.feasible(&choice) => Ok((choice, optimal)),
        Answer::Choice { .. } => {
            let reason = "its choice exceeds a cap by a rounding error".to_owned();
            Err(IlpError::Solver { reason })
        }
        Answer::Infeasible => Err(IlpError::Infeasible {
            caps: reduced.rows.iter().map(|row| row.cap).collect(),
        }),
        Answer::Nothing(error) => Err(IlpError::Solver {
            reason: error.to_string(),
        }),
    }
}

/// The better one of the solver's choice and the one known before, with what they prove together.
fn conclude(
    reduced: &Reduced,
    relaxation: &Relaxation,
    choice: Vec<usize>,
    proved: bool,
    known: Option<Vec<usize>>,
) -> Found {
    let loss = reduced.loss(&choice);
    let tolerance = SOLVER_TOLERANCE * model::largest_difference(reduced);
    let bound = if proved {
        relaxation.bound.max(loss - tolerance)
    } else {
        relaxation.bound
    };
    let method = if reduced.open_options() == 0 {
        Method::Prices
    } else {
        Method::Solver(model::ENGINE)
    };
    let better = known.filter(|known| reduced.loss(known) <= loss);
    let choice = better.unwrap_or(choice);
    Found {
        gap: (reduced.loss(&choice) - bound).max(0.0),
        proved,
        method,
        choice,
    }
}

fn finish(program: &Program, reduced: &Reduced, found: Found) -> Solution {
    let Found {
        choice,
        gap,
        proved,
        method,
    } = found;
    let choice = reduced.items(&choice, program.groups());
    let loss: f64 = choice
        .iter()
        .enumerate()
        .map(|(group, &item)| program.loss(group, item))
        .sum();
    let size = loss.abs().max((loss - gap).abs());
    Solution {
        costs: program.uses(&choice),
        loss,
        certificate: Certificate {
            bound: loss - gap,
            gap,
            relative_gap: if gap > 0.0 { gap / size } else { 0.0 },
            proved,
            method,
            options: reduced.open_options(),
            caps: reduced.rows.len(),
        },
        choice,
    }
}
