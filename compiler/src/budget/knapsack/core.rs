//! The core: the moves that an optimal assignment may still contain.
//!
//! A move whose regret alone reaches that of the best known assignment (the *incumbent*) can't be
//! part of a better one. What is left is ordered so that the groups most likely to move come first,
//! with bounds on what the groups from each place on can still mend.

use super::frontier::Frontier;
use super::relax::{Move, Relaxation};

/// The groups that may leave the base, in the order in which the search takes them.
pub(super) struct Core {
    groups: Vec<CoreGroup>,
    moves: Vec<Move>,
    /// From every place on: the least regret per unit of cost for spending more, and for saving.
    mend: Vec<Mend>,
}

struct CoreGroup {
    group: u32,
    end: usize,
}

#[derive(Clone, Copy)]
struct Mend {
    spend: f64,
    save: f64,
}

impl Mend {
    const NONE: Mend = Mend {
        spend: f64::INFINITY,
        save: f64::INFINITY,
    };

    fn with(self, step: &Move) -> Mend {
        let rate = step.regret.max(0.0) / step.cost.unsigned_abs() as f64;
        if step.cost > 0 {
            let spend = self.spend.min(rate);
            Mend { spend, ..self }
        } else {
            let save = self.save.min(rate);
            Mend { save, ..self }
        }
    }
}

impl Core {
    /// The core left by an incumbent of the given regret (unspent budget included).
    pub(super) fn new(frontier: &Frontier, relaxation: &Relaxation, incumbent: f64) -> Core {
        let mut found = Vec::new();
        for (group, points) in frontier.iter().enumerate() {
            let moves = relaxation.moves(group, points);
            found.extend(
                moves
                    .filter(|step| step.regret < incumbent)
                    .map(|step| (group as u32, step)),
            );
        }
        let mut core = Core {
            groups: Vec::new(),
            moves: Vec::new(),
            mend: Vec::new(),
        };
        core.arrange(&found);
        core
    }

    /// The number of groups that may move.
    pub(super) fn len(&self) -> usize {
        self.groups.len()
    }

    /// The number of moves.
    pub(super) fn moves(&self) -> usize {
        self.moves.len()
    }

    /// The group at one place and its moves.
    pub(super) fn at(&self, place: usize) -> (u32, &[Move]) {
        let start = place.checked_sub(1).map_or(0, |before| self.groups[before].end);
        let CoreGroup { group, end } = self.groups[place];
        (group, &self.moves[start..end])
    }

    /// The least regret, unspent budget included, that the groups from `place` on can add when
    /// `slack` of the budget is unspent (overspent, if negative).
    pub(super) fn least_rest(&self, place: usize, slack: i64, price: f64) -> f64 {
        let Mend { spend, save } = self.mend[place];
        if slack >= 0 {
            slack as f64 * spend.min(price)
        } else {
            slack.unsigned_abs() as f64 * save
        }
    }

    /// Sorts the groups by their least regret, and fills in the bounds from the last place back.
    fn arrange(&mut self, found: &[(u32, Move)]) {
        let mut groups: Vec<&[(u32, Move)]> = found.chunk_by(|a, b| a.0 == b.0).collect();
        groups.sort_by(|a, b| least_regret(a).total_cmp(&least_regret(b)));
        for group in groups {
            self.moves.extend(group.iter().map(|&(_, step)| step));
            let end = self.moves.len();
            self.groups.push(CoreGroup {
                group: group[0].0,
                end,
            });
        }
        let mut mend = vec![Mend::NONE; self.len() + 1];
        for place in (0..self.len()).rev() {
            mend[place] = self.at(place).1.iter().fold(mend[place + 1], Mend::with);
        }
        self.mend = mend;
    }
}

fn least_regret(moves: &[(u32, Move)]) -> f64 {
    let regrets = moves.iter().map(|(_, step)| step.regret);
    regrets.fold(f64::INFINITY, f64::min)
}
