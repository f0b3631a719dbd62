//! The search: one pass over the core that keeps all partial assignments that can still win.
//!
//! A state is what the groups taken so far have moved: a cost, and the least loss for it. Three
//! rules keep the list short: a state that costs and loses no less than another goes; so does one
//! whose bound reaches the incumbent; and if the list is still too long, the states with the worst
//! bounds are dropped, and the best bound among them limits what the pass proves.

use super::core::Core;
use super::relax::{Move, Relaxation};

/// Limits of one pass.
#[derive(Clone, Copy)]
pub(super) struct Allowance {
    /// States kept after a group.
    pub(super) width: usize,
    /// States visited and kept for the way back, over all groups.
    pub(super) work: u64,
}

/// The incumbent and the bound after one pass.
pub(super) struct Outcome {
    /// Regret of the incumbent after the pass, unspent budget included.
    pub(super) incumbent: f64,
    /// The incumbent's moves: group and point. `None` if the pass found nothing better.
    pub(super) moves: Option<Vec<(u32, u32)>>,
    /// No assignment has less regret than this, or than the incumbent's.
    pub(super) bound: f64,
    /// States visited.
    pub(super) work: u64,
    /// The places of the core that were searched before no state was left.
    pub(super) depth: usize,
}

/// Searches the core for assignments that beat the incumbent by more than `tolerance`.
pub(super) fn sweep(
    core: &Core,
    relaxation: &Relaxation,
    incumbent: f64,
    tolerance: f64,
    allowance: Allowance,
) -> Outcome {
    let mut search = Search {
        core,
        price: relaxation.price,
        slack: relaxation.slack as i64,
        incumbent,
        tolerance,
        winner: None,
        bound: f64::INFINITY,
        nodes: Vec::new(),
    };
    search.run(allowance)
}

const NONE: u32 = u32::MAX;

/// A partial assignment, counted from the base.
#[derive(Clone, Copy)]
struct State {
    cost: i64,
    loss: f64,
    /// Its last move that is on record, or `NONE`.
    node: u32,
    /// The point that the group at hand moves to, or `NONE`; not on record yet.
    to: u32,
}

/// A move on record.
struct Node {
    before: u32,
    group: u32,
    to: u32,
}

struct Search<'a> {
    core: &'a Core,
    price: f64,
    slack: i64,
    incumbent: f64,
    tolerance: f64,
    winner: Option<u32>,
    bound: f64,
    nodes: Vec<Node>,
}

impl Search<'_> {
    fn run(&mut self, allowance: Allowance) -> Outcome {
        let mut states = vec![State {
            cost: 0,
            loss: 0.0,
            node: NONE,
            to: NONE,
        }];
        let mut next = Vec::new();
        let mut spare = Vec::new();
        let mut work = 0;
        let mut place = 0;
        while place < self.core.len() && !states.is_empty() {
            let (group, moves) = self.core.at(place);
            place += 1;
            next.clone_from(&states);
            for step in moves.iter().filter(|step| step.regret < self.limit()) {
                self.merge(&next, &states, step, place, &mut spare);
                std::mem::swap(&mut next, &mut spare);
            }
            work += next.len() as u64;
            std::mem::swap(&mut states, &mut next);
            self.look_for_winner(&mut states, group);
            self.prune(&mut states, place);
            let left = allowance.work.saturating_sub(work + self.nodes.len() as u64);
            self.narrow(&mut states, place, allowance.width.min(left as usize));
            self.record(&mut states, group);
        }
        Outcome {
            incumbent: self.incumbent,
            moves: self.winner.map(|node| self.path(node)),
            bound: self.bound,
            work,
            depth: place,
        }
    }

    /// States whose bound isn't below this can't improve the incumbent.
    fn limit(&self) -> f64 {
        self.incumbent - self.tolerance
    }

    /// A lower bound of the regret of all completions by the groups from `place` on.
    fn bound(&self, state: &State, place: usize) -> f64 {
        let regret = state.loss + self.price * state.cost as f64;
        regret + self.core.least_rest(place, self.slack - state.cost, self.price)
    }

    /// Merges two lists by cost, the second moved by `step`, leaving out dominated states.
    fn merge(&self, kept: &[State], moved: &[State], step: &Move, place: usize, out: &mut Vec<State>) {
        out.clear();
        let mut kept = kept.iter().copied().peekable();
        let limit = self.limit();
        let moved = moved.iter().map(|state| State {
            cost: state.cost + step.cost,
            loss: state.loss + step.loss,
            node: state.node,
            to: step.to,
        });
        for state in moved.filter(|state| self.bound(state, place) < limit) {
            while let Some(first) = kept.next_if(|first| (first.cost, first.loss) <= (state.cost, state.loss))
            {
                push(out, first);
            }
            push(out, state);
        }
        kept.for_each(|state| push(out, state));
    }

    /// The dearest state within the budget loses least: if it beats the incumbent, it replaces it.
    fn look_for_winner(&mut self, states: &mut [State], group: u32) {
        let feasible = states.partition_point(|state| state.cost <= self.slack);
        let Some(best) = feasible.checked_sub(1) else {
            return;
        };
        let regret = states[best].loss + self.price * self.slack as f64;
        if regret < self.incumbent {
            self.incumbent = regret;
            self.record(&mut states[best..=best], group);
            self.winner = Some(states[best].node);
        }
    }

    fn prune(&self, states: &mut Vec<State>, place: usize) {
        let limit = self.limit();
        states.retain(|state| self.bound(state, place) < limit);
    }

    /// Keeps at most `width` states, those with the least bounds.
    fn narrow(&mut self, states: &mut Vec<State>, place: usize, width: usize) {
        if states.len() <= width {
            return;
        }
        let mut bounds: Vec<f64> = states.iter().map(|state| self.bound(state, place)).collect();
        let (_, &mut cut, _) = bounds.select_nth_unstable_by(width, f64::total_cmp);
        states.retain(|state| self.bound(state, place) < cut);
        self.bound = self.bound.min(cut);
    }

    /// Puts the moves of the group at hand on record.
    fn record(&mut self, states: &mut [State], group: u32) {
        for state in states.iter_mut().filter(|state| state.to != NONE) {
            self.nodes.push(Node {
                before: state.node,
                group,
                to: state.to,
            });
            state.node = self.nodes.len() as u32 - 1;
            state.to = NONE;
        }
    }

    fn path(&self, mut node: u32) -> Vec<(u32, u32)> {
        let mut moves = Vec::new();
        while node != NONE {
            let Node { before, group, to } = self.nodes[node as usize];
            moves.push((group, to));
            node = before;
        }
        moves
    }
}

/// Appends a state that comes next by cost, unless the last one dominates it.
fn push(states: &mut Vec<State>, state: State) {
    if states.last().is_none_or(|last| state.loss < last.loss) {
        states.push(state);
    }
}
