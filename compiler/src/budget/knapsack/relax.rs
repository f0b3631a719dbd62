//! The LP relaxation, solved by taking hull steps in the order of their slopes.
//!
//! The slope of the first step that doesn't fit is the multiplier `price`: with every unit of cost
//! charged at it, the assignment before that step is best in every group by itself, and the charged
//! loss less `price * budget` is the relaxation's value. Everything later counts from here: an
//! assignment is described by how it deviates from this base, and its *regret* is how much more
//! charged loss it has, so that its loss is the relaxation's + regret + price * unspent budget.

use super::frontier::{Frontier, Point, Step};

/// The integral part of the relaxation's solution.
pub(super) struct Relaxation {
    /// The chosen point of every group's frontier.
    pub(super) base: Vec<u32>,
    /// What the base leaves of the budget.
    pub(super) slack: u64,
    /// The multiplier, 0 if the budget doesn't bind.
    pub(super) price: f64,
}

/// Another point of a group in place of the base's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Move {
    pub(super) cost: i64,
    pub(super) loss: f64,
    pub(super) regret: f64,
    /// The point that it leads to, counted in its group.
    pub(super) to: u32,
}

impl Relaxation {
    /// Solves the relaxation; `free` is what the budget leaves above the least cost.
    pub(super) fn solve(frontier: &Frontier, steps: &[Step], free: u64) -> Relaxation {
        let mut base = vec![0; frontier.groups()];
        let mut slack = free;
        for step in steps {
            if step.cost > slack {
                let price = step.slope;
                return Relaxation { base, slack, price };
            }
            slack -= step.cost;
            base[step.group as usize] = step.to;
        }
        let price = 0.0;
        Relaxation { base, slack, price }
    }

    /// How far rounding left the base above the groups' least charged losses.
    pub(super) fn excess(&self, frontier: &Frontier) -> f64 {
        let groups = frontier.iter().enumerate();
        let least = groups.map(|(group, points)| {
            self.moves(group, points)
                .fold(0.0, |least: f64, step| least.min(step.regret))
        });
        -least.sum::<f64>()
    }

    /// The moves of a group away from its base.
    pub(super) fn moves<'a>(
        &self,
        group: usize,
        points: &'a [Point],
    ) -> impl Iterator<Item = Move> + use<'a> {
        let price = self.price;
        let from = points[self.base[group] as usize];
        let moves = points.iter().enumerate().map(move |(to, point)| {
            let cost = point.cost as i64 - from.cost as i64;
            let loss = point.loss - from.loss;
            Move {
                cost,
                loss,
                regret: loss + price * cost as f64,
                to: to as u32,
            }
        });
        moves.filter(|step| step.cost != 0)
    }
}
