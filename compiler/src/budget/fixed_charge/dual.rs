//! The Lagrangian dual: with a price for the budget every layer chooses for itself.

use super::super::knapsack::Item;
use super::Program;

/// Halvings of the interval in which the best price lies.
const HALVINGS: usize = 100;

/// A bound must not be too high for a rounding error.
const ROUNDING: f64 = 1e-12;

/// A program whose groups keep only what some price makes best.
pub(super) struct Dual<'a> {
    program: &'a Program,
    /// The lower convex hulls of groups in no layer.
    free: Vec<Hull>,
    /// By layer and state the hulls of its groups; none where a group has no item left.
    layers: Vec<Vec<Option<Vec<Hull>>>>,
}

/// Costs ascending, losses descending, slopes rising.
type Hull = Vec<Item>;

/// What the best price tells.
pub(super) struct Optimum {
    /// No choice loses less.
    pub(super) bound: f64,
    /// By layer, in the order of its states: by how much the bound rises if it takes that state.
    pub(super) regrets: Vec<Vec<f64>>,
}

/// Loss and cost at a price, and what the parts come to.
struct At {
    value: f64,
    cost: f64,
}

impl<'a> Dual<'a> {
    pub(super) fn new(program: &'a Program) -> Self {
        let mut in_layer = vec![false; program.problem.groups()];
        for layer in &program.layers {
            layer.groups.iter().for_each(|&group| in_layer[group] = true);
        }
        let free = (0..in_layer.len()).filter(|&group| !in_layer[group]);
        let layers = program.layers.iter().map(|layer| {
            let states = layer.states.iter().map(|state| {
                let hulls = layer
                    .groups
                    .iter()
                    .map(|&group| hull(program, group, state.allows));
                hulls.collect::<Option<Vec<Hull>>>()
            });
            let mut states: Vec<Option<Vec<Hull>>> = states.collect();
            // Of states with the same hulls the one of least charge is as good as any.
            for at in 0..states.len() {
                let charge = |state: usize| (layer.states[state].charge, state);
                let better = |other: usize| charge(other) < charge(at) && states[other] == states[at];
                if states[at].is_some() && (0..states.len()).any(better) {
                    states[at] = None;
                }
            }
            states
        });
        Self {
            free: free.filter_map(|group| hull(program, group, u32::MAX)).collect(),
            layers: layers.collect(),
            program,
        }
    }

    /// The best price of a budget, with these states or with any.
    pub(super) fn optimum(&self, budget: u64, states: Option<&[usize]>) -> Optimum {
        let budget = budget as f64;
        let at = |price: f64| {
            let (value, cost) = self.value(price, states);
            At {
                value: value - price * budget,
                cost,
            }
        };
        let free = at(0.0);
        let mut best = (0.0, free.value);
        if free.cost > budget {
            let mut high = 1e-30;
            while at(high).cost > budget && high < 1e30 {
                high *= 8.0;
            }
            let mut low = 0.0;
            for _ in 0..HALVINGS {
                let middle = low + (high - low) / 2.0;
                let there = at(middle);
                if there.value > best.1 {
                    best = (middle, there.value);
                }
                *(if there.cost > budget { &mut low } else { &mut high }) = middle;
            }
        }
        let (price, value) = best;
        let regrets = self.layers.iter().enumerate().map(|(layer, _)| {
            let values = self.states(layer, price).map(|(value, _)| value);
            let values: Vec<f64> = values.collect();
            let least = values.iter().copied().fold(f64::INFINITY, f64::min);
            values.iter().map(|value| value - least).collect()
        });
        Optimum {
            bound: value - ROUNDING * (value.abs() + price * budget),
            regrets: regrets.collect(),
        }
    }

    /// Least loss at a price for cost, and its cost.
    fn value(&self, price: f64, states: Option<&[usize]>) -> (f64, f64) {
        let mut sum = self
            .free
            .iter()
            .map(|hull| best(hull, price))
            .fold((0.0, 0.0), plus);
        for layer in 0..self.layers.len() {
            let mut values = self.states(layer, price);
            let chosen = match states {
                Some(states) => values.nth(states[layer]),
                None => values.min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))),
            };
            sum = plus(sum, chosen.expect("a layer has states"));
        }
        sum
    }

    /// What each state of a layer comes to at a price.
    fn states(&self, layer: usize, price: f64) -> impl Iterator<Item = (f64, f64)> + '_ {
        let states = self.layers[layer].iter().zip(&self.program.layers[layer].states);
        states.map(move |(hulls, state)| {
            let charge = state.charge as f64;
            match hulls {
                Some(hulls) => hulls
                    .iter()
                    .map(|hull| best(hull, price))
                    .fold((price * charge, charge), plus),
                None => (f64::INFINITY, f64::INFINITY),
            }
        })
    }
}

fn plus(a: (f64, f64), b: (f64, f64)) -> (f64, f64) {
    (a.0 + b.0, a.1 + b.1)
}

/// The best item at a price: loss and price of its cost, and its cost.
fn best(hull: &Hull, price: f64) -> (f64, f64) {
    // Along a hull what an item comes to falls, and then rises.
    let charged = |item: &Item| item.loss + price * item.cost as f64;
    let at = hull.partition_point_by(|a, b| charged(b) < charged(a));
    let item = &hull[at];
    (charged(item), item.cost as f64)
}

/// The place where a sequence ceases to go down.
trait Valley<T> {
    fn partition_point_by(&self, falls: impl Fn(&T, &T) -> bool) -> usize;
}

impl<T> Valley<T> for Vec<T> {
    fn partition_point_by(&self, falls: impl Fn(&T, &T) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len() - 1);
        while low < high {
            let middle = low + (high - low) / 2;
            match falls(&self[middle], &self[middle + 1]) {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        low
    }
}

/// The lower convex hull of a group's allowed items; none if there is no such item.
fn hull(program: &Program, group: usize, allows: u32) -> Option<Hull> {
    let flags = &program.flags[group];
    let items = program.problem.group(group).iter().enumerate();
    let mut items: Vec<Item> = items
        .filter(|(item, _)| flags[*item] & !allows == 0)
        .map(|(_, item)| *item)
        .collect();
    items.sort_by(|a, b| a.cost.cmp(&b.cost).then(a.loss.total_cmp(&b.loss)));
    let mut hull: Hull = Vec::new();
    for item in items {
        if hull.last().is_some_and(|last| item.loss >= last.loss) {
            continue;
        }
        // The last corner goes if it is not below the line from the one before to this item.
        while let [.., a, b] = hull[..]
            && (b.loss - a.loss) * (item.cost - a.cost) as f64
                >= (item.loss - a.loss) * (b.cost - a.cost) as f64
        {
            hull.pop();
        }
        hull.push(item);
    }
    (!hull.is_empty()).then_some(hull)
}
