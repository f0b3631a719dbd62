//! The menu: for every channel of every ReLU, what may be chosen, what it costs and what it hurts.
//!
//! A *slot* is what one choice is made for. Where costs add up over the two signs of a clip (in
//! DReLUs) each sign of a channel is a slot of its own; where they do not (a clip whose signs share
//! their patches opens its values once) the slot is the channel, and its *picks* are pairs of
//! patches. Pairs are many, so only those are offered of which each half is on the lower convex
//! hull of its own sign, and those whose halves are equal.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use trefoil_ir::{Patch, Patches};

use super::fixed_charge::{Layer, Program};
use super::knapsack::{Item, Problem, ProblemError};
use super::price::Currency;
use super::random::Random;
use super::rules::Rules;
use super::tariff::{GateTariff, Tariff};
use crate::patches::{Assignment, Choice, LayerChoice};
use crate::profile::{Header, Sign, Summary};

/// Which signs of a clip may share patches; those of a ReLU always may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClipSigns {
    /// Both.
    #[default]
    Both,
    /// Those of x; those of x - high stay with every pixel.
    Lower,
    /// Neither.
    None,
}

/// What is offered of what was measured.
#[derive(Clone, Copy, Debug)]
pub struct Offers<'a> {
    /// Which signs of clips may share patches.
    pub clips: ClipSigns,
    /// What is said of single layers.
    pub rules: &'a Rules,
    /// Whether the two signs of a channel must be one slot, since costs in several currencies are counted.
    pub together: bool,
}

/// One choice to be made.
#[derive(Clone, Debug)]
pub struct Slot {
    /// Number of the channel in its layer, from 0.
    pub channel: usize,
    /// What may be chosen, in the order of the problem's items.
    pub picks: Vec<Pick>,
    gate: usize,
}

/// One possible choice: layers of the profile and numbers of their patches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pick {
    /// The lower sign's layer and patch, if this slot decides it.
    pub lower: Option<(u32, u32)>,
    /// The upper sign's layer and patch, if this slot decides it.
    pub upper: Option<(u32, u32)>,
}

impl Pick {
    /// The one or two halves: layer and patch.
    pub fn halves(&self) -> impl Iterator<Item = (usize, usize)> {
        let halves = [self.lower, self.upper].into_iter().flatten();
        halves.map(|(layer, patch)| (layer as usize, patch as usize))
    }

    fn is_pixel(&self, header: &Header) -> bool {
        self.halves()
            .all(|(layer, patch)| header.layers[layer].patches[patch].is_pixel())
    }
}

/// A ReLU or clip: its layers in the profile.
#[derive(Clone, Debug)]
struct Gate {
    name: String,
    map: [usize; 2],
    channels: usize,
    lower: Option<usize>,
    upper: Option<usize>,
}

/// All choices of a network.
#[derive(Clone, Debug)]
pub struct Menu {
    /// The choices to be made, in the order of the problem's groups.
    pub slots: Vec<Slot>,
    /// The knapsack of them, with what layers cost besides.
    pub program: Program,
    gates: Vec<Gate>,
}

impl Menu {
    /// Everything that a profile has measured, priced; `tariff` says what layers cost besides their channels.
    ///
    /// # Errors
    /// If a distortion is not finite, or larger than sums can hold.
    pub fn new(
        header: &Header,
        summary: &Summary,
        currency: &Currency,
        offers: Offers<'_>,
        tariff: &Tariff,
    ) -> Result<Self, ProblemError> {
        let mut menu = Self {
            slots: Vec::new(),
            program: Program::default(),
            gates: gates(header),
        };
        let nothing = GateTariff::default();
        for at in 0..menu.gates.len() {
            let gate = menu.gates[at].clone();
            let source = Source {
                header,
                summary,
                currency,
                clips: offers.clips,
                is_kept: offers.rules.keep.contains(&gate.name),
                is_tied: offers.rules.tie.contains(&gate.name),
                together: offers.together,
                tariff: tariff.gates.get(&gate.name).unwrap_or(&nothing),
            };
            for channel in 0..gate.channels {
                for (mut picks, mut items) in source.slots(&gate, channel) {
                    let mut flags: Vec<u32> = picks.iter().map(|pick| source.flags(pick)).collect();
                    for at in 0..picks.len() {
                        if let Some((quick, cost)) = source.quick(&picks[at], &gate) {
                            picks.push(picks[at]);
                            items.push(Item { cost, ..items[at] });
                            flags.push(quick);
                        }
                    }
                    menu.program.problem.push(items)?;
                    menu.program.flags.push(flags);
                    menu.slots.push(Slot {
                        channel,
                        picks,
                        gate: at,
                    });
                }
            }
        }
        menu.program.layers = tariff
            .layers
            .iter()
            .map(|layer| Layer {
                groups: menu.groups_of(&layer.names),
                states: layer.states.clone(),
            })
            .collect();
        Ok(menu)
    }

    /// The menu of what costs no more besides the channels than this choice does; with the numbers that its
    /// picks have here, and what its layers cost besides their channels.
    pub fn restricted(&self, choice: &[usize]) -> (Self, Vec<Vec<usize>>, u64) {
        let mut menu = Self {
            slots: Vec::with_capacity(self.slots.len()),
            program: Program::default(),
            gates: self.gates.clone(),
        };
        let (allows, charges) = self.program.states_of(choice);
        let mut numbers = Vec::with_capacity(self.slots.len());
        for (group, slot) in self.slots.iter().enumerate() {
            let flags = &self.program.flags[group];
            let own: Vec<usize> = (0..slot.picks.len())
                .filter(|&pick| flags[pick] & !allows[group] == 0)
                .collect();
            let items = own.iter().map(|&pick| self.program.problem.group(group)[pick]);
            let pushed = menu.program.problem.push(items);
            pushed.expect("a part of what was pushed, the chosen pick among it");
            menu.program
                .flags
                .push(own.iter().map(|&pick| flags[pick]).collect());
            menu.slots.push(Slot {
                channel: slot.channel,
                picks: own.iter().map(|&pick| slot.picks[pick]).collect(),
                gate: slot.gate,
            });
            numbers.push(own);
        }
        (menu, numbers, charges)
    }

    /// The slots of some ReLUs, by name.
    pub fn groups_of(&self, names: &[String]) -> Vec<usize> {
        let is_of = |group: &usize| names.contains(&self.gates[self.slots[*group].gate].name);
        (0..self.slots.len()).filter(is_of).collect()
    }

    fn problem(&self) -> &Problem {
        &self.program.problem
    }

    /// The assignment that a choice of one pick per slot makes.
    pub fn assignment(&self, header: &Header, choice: &[usize]) -> Assignment {
        let mut patches: Vec<[Patches; 2]> = self
            .gates
            .iter()
            .map(|gate| [0, 1].map(|_| vec![Patch::PIXEL; gate.channels]))
            .collect();
        for (slot, &pick) in self.slots.iter().zip(choice) {
            for (layer, patch) in slot.picks[pick].halves() {
                let layer = &header.layers[layer];
                patches[slot.gate][usize::from(layer.sign == Sign::Upper)][slot.channel] =
                    layer.patches[patch];
            }
        }
        let mut assignment = Assignment::default();
        for (gate, [lower, upper]) in self.gates.iter().zip(&patches) {
            let choice = match gate.upper {
                None => LayerChoice::Every(Choice::of(lower)),
                Some(_) => LayerChoice::Signs {
                    lower: Some(Choice::of(lower)),
                    upper: Some(Choice::of(upper)),
                },
            };
            assignment.insert(gate.name.clone(), choice);
        }
        assignment
    }

    /// The choice that keeps a sign for every pixel.
    pub fn pixels(&self, header: &Header) -> Vec<usize> {
        let mut choice = Vec::with_capacity(self.slots.len());
        for slot in &self.slots {
            let pixels = slot.picks.iter().position(|pick| pick.is_pixel(header));
            choice.push(pixels.expect("every slot offers pixels"));
        }
        choice
    }

    /// A random choice that spends a budget, for comparison: a random pick for every slot; then, in
    /// slots at random, random picks that cost no more until the budget holds, and random picks that
    /// cost more while it does. `None` if it cannot hold.
    pub fn random(&self, budget: u64, seed: u64) -> Option<Vec<usize>> {
        let mut random = Random::new("Trefoil: random patches", seed);
        let mut choice: Vec<usize> = self
            .slots
            .iter()
            .map(|slot| random.below(slot.picks.len()))
            .collect();
        // Whatever is chosen, layers cost no more besides.
        let charges = |layer: &Layer| layer.states.iter().map(|state| state.charge).max();
        let budget = budget.saturating_sub(self.program.layers.iter().filter_map(charges).sum());
        let mut cost = self.problem().cost(&choice);
        let mut least = 0;
        for group in 0..self.slots.len() {
            let costs = self.problem().group(group).iter().map(|item| item.cost);
            least += costs.min().unwrap_or(0);
        }
        if least > budget {
            return None;
        }
        while cost > budget {
            let group = random.below(self.slots.len());
            let items = self.problem().group(group);
            let now = items[choice[group]].cost;
            let other = random.below(items.len());
            if items[other].cost <= now {
                cost -= now - items[other].cost;
                choice[group] = other;
            }
        }
        // Most tries no longer fit in the end; what they leave of the budget is little.
        for _ in 0..64 * self.slots.len() {
            let group = random.below(self.slots.len());
            let items = self.problem().group(group);
            let now = items[choice[group]].cost;
            let other = random.below(items.len());
            let more = items[other].cost.saturating_sub(now);
            if more > 0 && more <= budget - cost {
                cost += more;
                choice[group] = other;
            }
        }
        Some(choice)
    }

    /// Predicted distortion of each ReLU, by name.
    pub fn distortions(&self, choice: &[usize]) -> BTreeMap<&str, f64> {
        let mut sums = BTreeMap::new();
        for (group, (slot, &pick)) in self.slots.iter().zip(choice).enumerate() {
            let name = self.gates[slot.gate].name.as_str();
            *sums.entry(name).or_insert(0.0) += self.problem().group(group)[pick].loss;
        }
        sums
    }
}

/// The signs of each ReLU, in the order of their first appearance.
fn gates(header: &Header) -> Vec<Gate> {
    let mut gates: Vec<Gate> = Vec::new();
    for (at, layer) in header.layers.iter().enumerate() {
        let gate = match gates.iter_mut().find(|gate| gate.name == layer.name) {
            Some(gate) => gate,
            None => {
                gates.push(Gate {
                    name: layer.name.clone(),
                    map: layer.map,
                    channels: layer.channels,
                    lower: None,
                    upper: None,
                });
                gates.last_mut().expect("one was just added")
            }
        };
        match layer.sign {
            Sign::Lower => gate.lower = Some(at),
            Sign::Upper => gate.upper = Some(at),
        }
    }
    gates
}

/// Where prices and losses come from.
struct Source<'a> {
    header: &'a Header,
    summary: &'a Summary,
    currency: &'a Currency,
    clips: ClipSigns,
    // Of the ReLU that is looked at:
    /// Whether its pixels keep their signs.
    is_kept: bool,
    /// Whether all its channels choose the same.
    is_tied: bool,
    together: bool,
    tariff: &'a GateTariff,
}

/// What one sign of a channel may be: a patch, with its place in the profile.
#[derive(Clone, Copy)]
struct Half {
    /// Layer of the profile and number of the patch in it.
    place: (u32, u32),
    patch: Patch,
}

impl Source<'_> {
    /// The one or two slots of a channel.
    fn slots(&self, gate: &Gate, channel: usize) -> Vec<(Vec<Pick>, Vec<Item>)> {
        let is_clip = gate.upper.is_some();
        let free_lower = !self.is_kept && (!is_clip || self.clips != ClipSigns::None);
        let free_upper = !self.is_kept && self.clips == ClipSigns::Both;
        let lower = gate.lower.map(|layer| self.halves(layer, free_lower));
        let upper = gate.upper.map(|layer| self.halves(layer, free_upper));
        match (lower, upper) {
            // Whether a channel is moved is a matter of both.
            (Some(lower), Some(upper))
                if *self.currency == Currency::Relus && self.tariff.behind.is_none() && !self.together =>
            {
                vec![
                    self.single(gate, channel, &lower, Sign::Lower),
                    self.single(gate, channel, &upper, Sign::Upper),
                ]
            }
            (Some(lower), Some(upper)) => vec![self.pairs(gate, channel, &lower, &upper)],
            (Some(lower), None) => vec![self.single(gate, channel, &lower, Sign::Lower)],
            (None, Some(upper)) => vec![self.single(gate, channel, &upper, Sign::Upper)],
            (None, None) => Vec::new(),
        }
    }

    /// What a sign may be: everything, or only pixels.
    fn halves(&self, layer: usize, free: bool) -> Vec<Half> {
        let patches = self.header.layers[layer].patches.iter().enumerate();
        let allowed = patches.filter(|(_, patch)| free || patch.is_pixel());
        let halves = allowed.map(|(at, patch)| Half {
            place: (layer as u32, at as u32),
            patch: *patch,
        });
        halves.collect()
    }

    /// The slot of one sign of a channel.
    fn single(&self, gate: &Gate, channel: usize, halves: &[Half], sign: Sign) -> (Vec<Pick>, Vec<Item>) {
        let mut picks = Vec::with_capacity(halves.len());
        let mut items = Vec::with_capacity(halves.len());
        for half in halves {
            picks.push(Pick {
                lower: (sign == Sign::Lower).then_some(half.place),
                upper: (sign == Sign::Upper).then_some(half.place),
            });
            items.push(Item {
                cost: match gate.lower {
                    Some(_) => self.price(half.patch, None, gate),
                    None => self.price(Patch::Identity, Some(half.patch), gate),
                },
                loss: self.loss(*half, channel),
            });
        }
        (picks, items)
    }

    /// The slot of both signs of a channel: the pairs of halves on the hulls, and those of equal halves.
    fn pairs(&self, gate: &Gate, channel: usize, lower: &[Half], upper: &[Half]) -> (Vec<Pick>, Vec<Item>) {
        let mut pairs: Vec<(Half, Half)> = Vec::new();
        // Tied channels have the same picks in the same order.
        let (lower_hull, upper_hull) = match self.is_tied {
            true => (Vec::new(), Vec::new()),
            false => (self.hull(gate, channel, lower), self.hull(gate, channel, upper)),
        };
        for low in lower_hull {
            pairs.extend(upper_hull.iter().map(|high| (low, *high)));
        }
        for low in lower {
            let equal = upper.iter().find(|high| high.patch == low.patch);
            pairs.extend(equal.map(|high| (*low, *high)));
        }
        pairs.extend(pixel_of(lower).zip(pixel_of(upper)));
        let mut picks = Vec::with_capacity(pairs.len());
        let mut items = Vec::with_capacity(pairs.len());
        for (low, high) in pairs {
            picks.push(Pick {
                lower: Some(low.place),
                upper: Some(high.place),
            });
            items.push(Item {
                cost: self.price(low.patch, Some(high.patch), gate),
                loss: self.loss(low, channel) + self.loss(high, channel),
            });
        }
        (picks, items)
    }

    /// The halves on the lower convex hull of signs and losses.
    fn hull(&self, gate: &Gate, channel: usize, halves: &[Half]) -> Vec<Half> {
        let mut points: Vec<(f64, f64, Half)> = halves
            .iter()
            .map(|half| {
                let signs = half.patch.signs(gate.map[0], gate.map[1]) as f64;
                (signs, self.loss(*half, channel), *half)
            })
            .collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let mut hull: Vec<(f64, f64, Half)> = Vec::new();
        for point in points {
            if hull.last().is_some_and(|last| point.1 >= last.1) {
                continue;
            }
            // The last corner goes if it is not below the line from the one before to this point.
            while let [.., a, b] = hull[..]
                && (b.1 - a.1) * (point.0 - a.0) >= (point.1 - a.1) * (b.0 - a.0)
            {
                hull.pop();
            }
            hull.push(point);
        }
        hull.into_iter().map(|(_, _, half)| half).collect()
    }

    fn price(&self, lower: Patch, upper: Option<Patch>, gate: &Gate) -> u64 {
        self.tariff.price(self.currency, lower, upper, gate.map)
    }

    fn flags(&self, pick: &Pick) -> u32 {
        let (lower, upper) = self.patches(pick);
        self.tariff.flags(lower, upper)
    }

    /// The same pick with its signs taken in one round, if that is on offer: its flags and its cost.
    fn quick(&self, pick: &Pick, gate: &Gate) -> Option<(u32, u64)> {
        let (lower, upper) = self.patches(pick);
        self.tariff.quick(self.currency, lower, upper, gate.map)
    }

    fn patches(&self, pick: &Pick) -> (Patch, Option<Patch>) {
        let patch = |(layer, patch): (u32, u32)| self.header.layers[layer as usize].patches[patch as usize];
        let [lower, upper] = [pick.lower, pick.upper].map(|place| place.map(patch));
        (lower.unwrap_or(Patch::Identity), upper)
    }

    fn loss(&self, half: Half, channel: usize) -> f64 {
        let (layer, patch) = half.place;
        self.summary.layers[layer as usize].mean[[channel, patch as usize]]
    }
}

fn pixel_of(halves: &[Half]) -> Option<Half> {
    halves.iter().find(|half| half.patch.is_pixel()).copied()
}
