//! Combinations of states in the order of their regrets.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::dual::Optimum;

/// All combinations, the least regret first.
pub(super) struct Combinations {
    /// What layers take that do nothing else.
    usual: Vec<usize>,
    /// What may be done else: layer, state and regret, by regret.
    deviations: Vec<(usize, usize, f64)>,
    heap: BinaryHeap<Entry>,
}

/// A set of deviations, by their numbers, ascending.
struct Entry {
    rise: f64,
    set: Vec<usize>,
}

impl Combinations {
    pub(super) fn new(optimum: &Optimum) -> Self {
        let mut deviations = Vec::new();
        let mut usual = Vec::new();
        for (layer, regrets) in optimum.regrets.iter().enumerate() {
            let states = 0..regrets.len();
            let best = states.clone().min_by(|&a, &b| regrets[a].total_cmp(&regrets[b]));
            let best = best.unwrap_or(0);
            usual.push(best);
            let others = states.filter(|&state| state != best && regrets[state].is_finite());
            deviations.extend(others.map(|state| (layer, state, regrets[state])));
        }
        deviations.sort_by(|a, b| a.2.total_cmp(&b.2));
        let none = Entry {
            rise: 0.0,
            set: Vec::new(),
        };
        Self {
            usual,
            deviations,
            heap: BinaryHeap::from([none]),
        }
    }

    /// Every set comes from one smaller or cheaper one: by adding the deviation behind its last, or by taking
    /// that in place of its last.
    fn push_next(&mut self, entry: &Entry) {
        let next = entry.set.last().map_or(0, |last| last + 1);
        let Some(&(.., regret)) = self.deviations.get(next) else {
            return;
        };
        let mut longer = entry.set.clone();
        longer.push(next);
        self.heap.push(Entry {
            rise: entry.rise + regret,
            set: longer,
        });
        if let Some(&last) = entry.set.last() {
            let mut other = entry.set.clone();
            other.pop();
            other.push(next);
            self.heap.push(Entry {
                rise: entry.rise - self.deviations[last].2 + regret,
                set: other,
            });
        }
    }

    /// The states of a set, unless it wants two of one layer.
    fn states(&self, set: &[usize]) -> Option<Vec<usize>> {
        let mut states = self.usual.clone();
        let mut taken = vec![false; states.len()];
        for &number in set {
            let (layer, state, _) = self.deviations[number];
            if std::mem::replace(&mut taken[layer], true) {
                return None;
            }
            states[layer] = state;
        }
        Some(states)
    }
}

impl Iterator for Combinations {
    type Item = (f64, Vec<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let entry = self.heap.pop()?;
            self.push_next(&entry);
            if let Some(states) = self.states(&entry.set) {
                return Some((entry.rise, states));
            }
        }
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    /// The heap gives the greatest first: the least rise, and of equals what deviates least.
    fn cmp(&self, other: &Self) -> Ordering {
        let rise = other.rise.total_cmp(&self.rise);
        rise.then_with(|| other.set.len().cmp(&self.set.len()))
            .then_with(|| other.set.cmp(&self.set))
    }
}
