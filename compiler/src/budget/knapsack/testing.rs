//! Random problems and naive solutions for the tests of this folder and of the ILP's.

use proptest::prelude::*;

use super::{Item, Problem};

/// Groups whose losses add up exactly in `f64`, so that references can be compared for equality.
/// Small ranges make ties, duplicates, dominated and free items common.
pub(in crate::budget) fn groups(
    groups: usize,
    items: usize,
    cost: u64,
) -> impl Strategy<Value = Vec<Vec<Item>>> {
    let item = (0..=cost, -8..=24i32, 0..=2i32);
    let item = item.prop_map(|(cost, loss, digits)| Item {
        cost,
        loss: f64::from(loss) / f64::from(1 << (8 * digits)),
    });
    let group = prop::collection::vec(item, 1..=items);
    prop::collection::vec(group, 1..=groups)
}

/// Groups, and a budget between nothing and more than enough.
pub(in crate::budget) fn instance(size: (usize, usize, u64)) -> impl Strategy<Value = (Vec<Vec<Item>>, u64)> {
    groups(size.0, size.1, size.2).prop_flat_map(|groups| {
        let most = groups
            .iter()
            .filter_map(|group| group.iter().map(|item| item.cost).max());
        let most: u64 = most.sum();
        (Just(groups), 0..=most + 1)
    })
}

/// All assignments of a small problem.
pub(in crate::budget) fn assignments(groups: &[Vec<Item>]) -> Vec<Vec<usize>> {
    groups.iter().fold(vec![vec![]], |partial, group| {
        let longer = partial
            .iter()
            .flat_map(|choice| (0..group.len()).map(move |item| [choice.as_slice(), &[item]].concat()));
        longer.collect()
    })
}

/// The least loss by trying everything.
pub(in crate::budget) fn brute_force(groups: &[Vec<Item>], budget: u64) -> Option<f64> {
    let problem = Problem::new(groups.iter().cloned()).expect("valid groups");
    let all = assignments(groups).into_iter();
    let feasible = all.filter(|choice| problem.cost(choice) <= budget);
    feasible
        .map(|choice| problem.loss(&choice))
        .min_by(f64::total_cmp)
}

/// The least loss by dynamic programming over every capacity.
pub(super) fn dense(groups: &[Vec<Item>], budget: u64) -> Option<f64> {
    let start = vec![0.0; budget as usize + 1];
    let table = groups.iter().fold(start, |table, group| {
        let best = |capacity: usize| {
            let fitting = group.iter().filter(|item| item.cost as usize <= capacity);
            let losses = fitting.map(|item| table[capacity - item.cost as usize] + item.loss);
            losses.fold(f64::INFINITY, f64::min)
        };
        (0..table.len()).map(best).collect()
    });
    table.last().copied().filter(|loss| loss.is_finite())
}
