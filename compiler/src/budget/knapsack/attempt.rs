//! One budget: from the relaxation to an assignment and its certificate.

use super::core::Core;
use super::frontier::Point;
use super::relax::{Move, Relaxation};
use super::sum::compensated;
use super::sweep::{Allowance, Outcome, sweep};
use super::{Certificate, Limits, Method, Solution, Solver};

/// The first pass keeps few states: it finds a good assignment, which makes the core small.
const FIRST_WIDTH: usize = 256;
const WIDTH_GROWTH: usize = 16;

/// The records of a pass are numbered in 32 bits.
const MAX_WORK: u64 = u32::MAX as u64 - 1;

/// Rounds of filling what the relaxation leaves of the budget, each a look at all items.
const FILLS: usize = 8;

/// The state of affairs while one budget is solved.
pub(super) struct Attempt<'a> {
    solver: &'a Solver<'a>,
    relaxation: Relaxation,
    /// The incumbent: a point of every group's frontier.
    points: Vec<u32>,
    /// Its regret, unspent budget included.
    incumbent: f64,
    /// No assignment has less regret than this.
    bound: f64,
    /// An upper limit of the sizes of all sums that the search makes, in units of loss.
    magnitude: f64,
    /// An improvement by less than this is not looked for.
    tolerance: f64,
    method: Method,
    core_groups: usize,
    core_moves: usize,
    /// Places of the core that the deepest pass took.
    depth: usize,
    states: u64,
    /// The error that rounding may leave in the sum of all regrets.
    rounding: f64,
}

impl<'a> Attempt<'a> {
    pub(super) fn new(solver: &'a Solver<'a>, free: u64) -> Attempt<'a> {
        let relaxation = Relaxation::solve(&solver.frontier, &solver.steps, free);
        let unspent = relaxation.price * relaxation.slack as f64;
        // A deviation from the base saves at most `free`, and spends at most `free` more than it
        // saves; each such cost appears once at the price and once as a loss.
        let magnitude = 6.0 * relaxation.price * free as f64 + unspent;
        let binds = relaxation.price > 0.0;
        Attempt {
            solver,
            points: relaxation.base.clone(),
            incumbent: unspent,
            bound: 0.0,
            tolerance: 64.0 * f64::EPSILON * magnitude,
            magnitude,
            rounding: relaxation.excess(&solver.frontier),
            method: if binds {
                Method::Relaxation
            } else {
                Method::Unconstrained
            },
            core_groups: 0,
            core_moves: 0,
            depth: 0,
            states: 0,
            relaxation,
        }
    }

    /// Spends what the base leaves over, one best move at a time.
    pub(super) fn fill(&mut self) {
        let mut slack = self.relaxation.slack as i64;
        let mut moved = Vec::new();
        for _ in 0..FILLS {
            let Some((group, step)) = self.best_fill(slack, &moved) else {
                return;
            };
            slack -= step.cost;
            moved.push(group);
            self.incumbent += step.loss;
            self.points[group] = step.to;
        }
    }

    /// Searches ever wider until the incumbent is proved or the limits are reached.
    pub(super) fn search(&mut self, limits: &Limits) {
        let mut width = FIRST_WIDTH.min(limits.width);
        while !self.proved() {
            self.pass(width, limits);
            if width == limits.width {
                return;
            }
            width = width.saturating_mul(WIDTH_GROWTH).min(limits.width);
        }
    }

    /// The assignment in the problem's own terms.
    pub(super) fn finish(self) -> Solution {
        let problem = self.solver.problem;
        let choice: Vec<usize> = self
            .chosen(&self.points)
            .map(|point| point.item as usize)
            .collect();
        let loss = problem.loss(&choice);
        Solution {
            certificate: self.certificate(loss),
            cost: problem.cost(&choice),
            loss,
            choice,
        }
    }

    fn best_fill(&self, slack: i64, moved: &[usize]) -> Option<(usize, Move)> {
        let groups = self.solver.frontier.iter().enumerate();
        let moves = groups.flat_map(|(group, points)| {
            let moves = self.relaxation.moves(group, points);
            moves.map(move |step| (group, step))
        });
        moves
            .filter(|(_, step)| step.loss < 0.0 && step.cost <= slack)
            .filter(|(group, _)| !moved.contains(group))
            .min_by(|(_, a), (_, b)| a.loss.total_cmp(&b.loss))
    }

    fn proved(&self) -> bool {
        self.bound >= self.incumbent - self.tolerance
    }

    fn pass(&mut self, width: usize, limits: &Limits) {
        let core = Core::new(
            &self.solver.frontier,
            &self.relaxation,
            self.incumbent - self.tolerance,
        );
        let work = limits.work.min(MAX_WORK);
        let allowance = Allowance { width, work };
        let outcome = sweep(&core, &self.relaxation, self.incumbent, self.tolerance, allowance);
        self.method = Method::Core;
        self.core_groups = core.len();
        self.core_moves = core.moves();
        self.note(outcome);
    }

    fn note(&mut self, outcome: Outcome) {
        self.states += outcome.work;
        self.depth = self.depth.max(outcome.depth);
        self.incumbent = outcome.incumbent;
        self.bound = self
            .bound
            .max(outcome.bound.min(outcome.incumbent - self.tolerance));
        let Some(moves) = outcome.moves else {
            return;
        };
        self.points.copy_from_slice(&self.relaxation.base);
        for (group, to) in moves {
            self.points[group as usize] = to;
        }
    }

    fn chosen(&self, points: &'a [u32]) -> impl Iterator<Item = Point> {
        let groups = self.solver.frontier.iter();
        groups.zip(points).map(|(group, &point)| group[point as usize])
    }

    fn certificate(&self, loss: f64) -> Certificate {
        let Relaxation { base, slack, price } = &self.relaxation;
        let gap = self.gap(loss);
        let base = compensated(self.chosen(base).map(|point| point.loss));
        Certificate {
            bound: loss - gap,
            lp_bound: base - price * *slack as f64,
            gap,
            relative_gap: if gap > 0.0 {
                gap / loss.abs().max((loss - gap).abs())
            } else {
                0.0
            },
            proved: self.proved(),
            method: self.method,
            price: *price,
            undominated: self.solver.frontier.len(),
            core_groups: self.core_groups,
            core_moves: self.core_moves,
            states: self.states,
        }
    }

    /// What an assignment may lose less than the incumbent, rounding included: every group that
    /// the search takes adds at most an error of the last place to its sums.
    fn gap(&self, loss: f64) -> f64 {
        if self.method == Method::Unconstrained {
            return 0.0;
        }
        let open = (self.incumbent - self.bound).max(0.0);
        let sums = (self.depth + 64) as f64 * self.magnitude;
        open + self.rounding + f64::EPSILON * (sums + 2.0 * (loss.abs() + open))
    }
}
