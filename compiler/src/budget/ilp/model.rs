//! The reduced program in the terms of `good_lp`: a variable per option, one of each block.
//!
//! The solver is microlp, which needs nothing from the system, or HiGHS with the feature `highs`.

#[cfg(feature = "highs")]
pub(in crate::budget) use good_lp::solvers::highs::highs as engine;
#[cfg(not(feature = "highs"))]
pub(in crate::budget) use good_lp::solvers::microlp::microlp as engine;
use good_lp::solvers::{SolutionStatus, WithInitialSolution, WithTimeLimit};
use good_lp::{Expression, ProblemVariables, ResolutionError, Solution, SolverModel, Variable, variable};

use super::reduce::{Block, Reduced};

/// The solver's name.
#[cfg(feature = "highs")]
pub(super) const ENGINE: &str = "highs";
/// The solver's name.
#[cfg(not(feature = "highs"))]
pub(super) const ENGINE: &str = "microlp";

/// Losses are scaled so that the largest difference in a block is this: well above the solver's
/// absolute tolerances, and well below where it would lose digits.
const LARGEST_LOSS: f64 = 1e3;

/// Limits beyond this are scaled down to it; smaller ones keep their integers.
const LARGEST_LIMIT: f64 = 1e6;

/// The answer of the solver.
pub(super) enum Answer {
    /// An option of every block.
    Choice {
        choice: Vec<usize>,
        /// It claims to have proved it.
        optimal: bool,
    },
    /// No choice keeps all limits.
    Infeasible,
    /// It gave up.
    Nothing(ResolutionError),
}

/// Solves the reduced program from a known choice on, if there is one.
pub(super) fn solve(reduced: &Reduced, start: Option<&[usize]>, seconds: f64) -> Answer {
    let mut variables = ProblemVariables::new();
    let taken: Vec<Vec<Variable>> = reduced
        .blocks
        .iter()
        .map(|block| options(&mut variables, block))
        .collect();
    let mut model = variables
        .minimise(objective(reduced, &taken))
        .using(engine)
        .with_time_limit(seconds);
    for block in taken.iter().filter(|block| !block.is_empty()) {
        model.add_constraint(block.iter().sum::<Expression>().eq(1));
    }
    for (sum, limit) in row_sums(reduced, &taken) {
        model.add_constraint(sum.leq(limit));
    }
    if let Some(start) = start {
        model = model.with_initial_solution(initial(&taken, start));
    }
    match model.solve() {
        Ok(solution) => Answer::Choice {
            choice: taken.iter().map(|block| chosen(block, &solution)).collect(),
            optimal: matches!(solution.status(), SolutionStatus::Optimal),
        },
        Err(ResolutionError::Infeasible) => Answer::Infeasible,
        Err(error) => Answer::Nothing(error),
    }
}

/// A variable for every option; none if there is no choice.
fn options(variables: &mut ProblemVariables, block: &Block) -> Vec<Variable> {
    if block.options.len() < 2 {
        return Vec::new();
    }
    block
        .options
        .iter()
        .map(|_| variables.add(variable().binary()))
        .collect()
}

fn objective(reduced: &Reduced, taken: &[Vec<Variable>]) -> Expression {
    let largest = largest_difference(reduced);
    let scale = if largest > 0.0 {
        LARGEST_LOSS / largest
    } else {
        1.0
    };
    let mut sum = Expression::default();
    for (block, taken) in reduced.blocks.iter().zip(taken) {
        for (option, &variable) in block.options.iter().zip(taken) {
            // Options are sorted by loss: the first loses least.
            sum.add_mul((option.loss - block.options[0].loss) * scale, variable);
        }
    }
    sum
}

/// The left side and the limit of every row.
fn row_sums(reduced: &Reduced, taken: &[Vec<Variable>]) -> Vec<(Expression, f64)> {
    let limits = reduced.rows.iter().map(|row| row.limit as f64);
    let scales: Vec<f64> = limits.map(|limit| (LARGEST_LIMIT / limit).min(1.0)).collect();
    let limits = reduced
        .rows
        .iter()
        .zip(&scales)
        .map(|(row, scale)| row.limit as f64 * scale);
    let mut sums: Vec<(Expression, f64)> = limits.map(|limit| (Expression::default(), limit)).collect();
    for (block, taken) in reduced.blocks.iter().zip(taken) {
        for (place, &row) in block.rows.iter().enumerate() {
            let (sum, limit) = &mut sums[row];
            if taken.is_empty() {
                *limit -= block.options[0].uses[place] as f64 * scales[row];
            }
            for (option, &variable) in block.options.iter().zip(taken) {
                sum.add_mul(option.uses[place] as f64 * scales[row], variable);
            }
        }
    }
    sums
}

/// The greatest difference of losses in a block.
pub(super) fn largest_difference(reduced: &Reduced) -> f64 {
    // Options are sorted by loss.
    let ends = reduced
        .blocks
        .iter()
        .filter_map(|block| Some((block.options.first()?, block.options.last()?)));
    ends.map(|(first, last)| last.loss - first.loss)
        .fold(0.0, f64::max)
}

fn initial(taken: &[Vec<Variable>], start: &[usize]) -> Vec<(Variable, f64)> {
    let blocks = taken.iter().zip(start).flat_map(|(block, &held)| {
        let values = block.iter().enumerate();
        values.map(move |(option, &variable)| (variable, f64::from(u8::from(option == held))))
    });
    blocks.collect()
}

fn chosen(block: &[Variable], solution: &impl Solution) -> usize {
    let values = block
        .iter()
        .enumerate()
        .map(|(option, &variable)| (option, solution.value(variable)));
    values
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map_or(0, |(option, _)| option)
}
