//! Exchanges between two groups: one spends more, another saves it.
//!
//! Once no single change fits the budget and helps, pairs still can. Only the most promising changes
//! of either kind are paired, so a round costs little more than a look at every item.

use super::state::State;
use super::vectors::{Vectors, dot};

/// Changes of either kind that are paired.
const CANDIDATES: usize = 64;

/// Gains below this fraction of the objective are not worth an exchange.
const LEAST_GAIN: f64 = 1e-9;

#[derive(Clone, Copy)]
struct Change {
    group: usize,
    item: usize,
    held: usize,
    cost: i64,
    /// The change of the objective if it happens alone.
    value: f64,
}

impl Change {
    /// What is gained, or lost (negative), per unit of cost.
    fn rate(&self) -> f64 {
        -self.value / self.cost.unsigned_abs() as f64
    }
}

/// One round of exchanges; returns whether any was made.
pub(super) fn exchange<V: Vectors>(state: &mut State<'_, V>) -> bool {
    let (dearer, cheaper) = candidates(state);
    let mut pairs: Vec<(f64, Change, Change)> = Vec::new();
    for up in &dearer {
        let partners = cheaper.iter().filter(|down| fits(state, up, down));
        pairs.extend(partners.map(|down| (joint_value(state, up, down), *up, *down)));
    }
    let least = LEAST_GAIN * state.value();
    pairs.retain(|&(value, ..)| value < -least);
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut changed = false;
    for (_, up, down) in pairs {
        changed |= still_good(state, up, down, least) && apply(state, &up, &down);
    }
    if changed {
        state.settle();
    }
    changed
}

/// The best changes that cost more, and the best that cost less, at most one per group each.
fn candidates<V: Vectors>(state: &State<'_, V>) -> (Vec<Change>, Vec<Change>) {
    let mut dearer = Vec::new();
    let mut cheaper = Vec::new();
    let mut rest = Vec::new();
    for group in 0..state.choice.len() {
        state.rest(group, &mut rest);
        let mut up: Option<Change> = None;
        let mut down: Option<Change> = None;
        for change in changes(state, &rest, group) {
            let best = if change.cost > 0 { &mut up } else { &mut down };
            if best.is_none_or(|best| change.rate() > best.rate()) {
                *best = Some(change);
            }
        }
        dearer.extend(up.filter(|up| up.value < 0.0));
        cheaper.extend(down);
    }
    (most_promising(dearer), most_promising(cheaper))
}

fn changes<V: Vectors>(state: &State<'_, V>, rest: &[f64], group: usize) -> impl Iterator<Item = Change> {
    let instance = state.instance;
    let held = state.choice[group];
    let now = instance.score(rest, group, held);
    let cost = instance.cost(group, held) as i64;
    let items = 0..instance.problem.group(group).len();
    let changes = items.map(move |item| (item, instance.cost(group, item) as i64 - cost));
    changes
        .filter(|&(_, cost)| cost != 0)
        .map(move |(item, cost)| Change {
            group,
            item,
            held,
            cost,
            value: instance.score(rest, group, item) - now,
        })
}

fn most_promising(mut changes: Vec<Change>) -> Vec<Change> {
    changes.sort_by(|a, b| b.rate().total_cmp(&a.rate()));
    changes.truncate(CANDIDATES);
    changes
}

fn fits<V: Vectors>(state: &State<'_, V>, up: &Change, down: &Change) -> bool {
    let slack = state.instance.budget as i64 - state.cost as i64;
    up.group != down.group && up.cost + down.cost <= slack
}

/// The change of the objective if both changes happen: their own, and how they interfere.
fn joint_value<V: Vectors>(state: &State<'_, V>, up: &Change, down: &Change) -> f64 {
    let vectors = state.instance.vectors;
    let mut up_difference = Vec::with_capacity(vectors.dims());
    let held = vectors.of(up.group, up.held);
    for (&to, &from) in vectors.of(up.group, up.item).iter().zip(held) {
        up_difference.push(f64::from(to) - f64::from(from));
    }
    let to = dot(&up_difference, vectors.of(down.group, down.item));
    let from = dot(&up_difference, vectors.of(down.group, down.held));
    up.value + down.value + 2.0 * (1.0 - state.instance.shrinkage) * (to - from)
}

/// Whether a pair still fits and gains after the exchanges made before it.
fn still_good<V: Vectors>(state: &State<'_, V>, up: Change, down: Change, least: f64) -> bool {
    let is_moved = [up, down]
        .iter()
        .any(|change| state.choice[change.group] != change.held);
    if is_moved || !fits(state, &up, &down) {
        return false;
    }
    joint_value(state, &revalued(state, up), &revalued(state, down)) < -least
}

/// A change with its value as the assignment now is.
fn revalued<V: Vectors>(state: &State<'_, V>, change: Change) -> Change {
    let Change {
        group, item, held, ..
    } = change;
    let mut rest = Vec::new();
    state.rest(group, &mut rest);
    let value = state.instance.score(&rest, group, item) - state.instance.score(&rest, group, held);
    Change { value, ..change }
}

fn apply<V: Vectors>(state: &mut State<'_, V>, up: &Change, down: &Change) -> bool {
    state.change(down.group, down.item);
    state.change(up.group, up.item);
    true
}
