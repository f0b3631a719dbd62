//! What layers cost besides their channels, measured: the network is lowered once for each thing that one
//! layer may be while all others keep a sign for every pixel. ReLUs on branches side by side are measured
//! together, since a branch that takes a round trip less than its neighbour saves nothing.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use trefoil_ir::mpc::cost::Cost;
use trefoil_ir::mpc::gate::Rounds;
use trefoil_ir::mpc::patch_sums::is_large;
use trefoil_ir::mpc::time::LinkModel;
use trefoil_ir::nn::op::class::Move;
use trefoil_ir::nn::{Class, Graph, NodeId};
use trefoil_ir::{Patch, Patches, Verified};

use super::{AssignError, total, trial};
use crate::budget::Currency;
use crate::budget::fixed_charge::State;
use crate::budget::price::sum_work;
use crate::budget::rounds::shorten;
use crate::budget::tariff::{
    BEFORE, BEHIND, FLAG_BITS, GateTariff, LayerTariff, OPEN, QUICK, SIGNED, Signs, Tariff,
};
use crate::driver::trial::Trial;
use crate::patches::count::BLOCKS_SUFFIX;
use crate::patches::{Assignment, Choice, LayerChoice};
use crate::profile::{Header, Sign};

/// States of ReLUs that are charged together at most; each takes a lowering.
const MOST_STATES: usize = 32;

/// Lowerings at a time: each has the network's weights in memory of its own.
const AT_ONCE: usize = 4;

/// Measures the tariff of a network in a currency; over a link, if one is given, signs may be taken in one round.
/// `before` is the network with a sign for every pixel, taken in two.
///
/// # Errors
/// If the network cannot be lowered.
pub(super) fn tariff(
    imported: &Verified<Graph>,
    header: &Header,
    currency: &Currency,
    link: Option<&LinkModel>,
    before: &Trial,
) -> Result<Tariff, AssignError> {
    let quick = link.is_some();
    if *currency == Currency::Relus {
        return Ok(signs_behind(before, &relus(imported, header), quick));
    }
    let probe = Probe {
        imported,
        relu6_as_relu: header.relu6_as_relu,
        currency: *currency,
        link,
    };
    let mut relus = relus(imported, header);
    let behind = relus.par_iter().with_min_len(relus.len().div_ceil(AT_ONCE));
    let behind: Result<Vec<_>, AssignError> = behind.map(|relu| probe.behind(relu)).collect();
    let sums = probe.sums(&relus)?;
    for ((relu, behind), sum) in relus.iter_mut().zip(behind?).zip(sums) {
        relu.tariff.quick = quick && !relu.is_moved;
        relu.tariff.behind = behind;
        relu.tariff.sum = sum;
    }
    // But for round trips, what a layer is does not matter to those beside it.
    let has_trips = currency.without_round_trips() != *currency;
    let clusters = match has_trips {
        true => side_by_side(imported, &relus),
        false => (0..relus.len()).map(|at| vec![at]).collect(),
    };
    for cluster in &clusters {
        // Of many together it only matters whether any has signs: their flags are one.
        let kinds: Vec<Vec<Kind>> = cluster.iter().map(|&at| relus[at].kinds()).collect();
        for (place, &at) in (0..).zip(cluster) {
            relus[at].tariff.shift = if are_few(&kinds) { FLAG_BITS * place } else { 0 };
        }
    }
    let layers = clusters.par_iter().with_min_len(clusters.len().div_ceil(AT_ONCE));
    let layers = layers.map(|cluster| {
        let cluster: Vec<&Relu> = cluster.iter().map(|&at| &relus[at]).collect();
        Ok(LayerTariff {
            names: cluster.iter().map(|relu| relu.name.clone()).collect(),
            states: probe.states(&cluster, before)?,
        })
    });
    let layers: Result<Vec<LayerTariff>, AssignError> = layers.collect();
    Ok(Tariff {
        layers: layers?,
        gates: relus.into_iter().map(|relu| (relu.name, relu.tariff)).collect(),
    })
}

/// The signs of a channel of each ReLU that was moved to a smaller map; as many in one round as in two.
fn signs_behind(before: &Trial, relus: &[Relu], quick: bool) -> Tariff {
    let moved = before.counts.relus.iter().filter(|relu| relu.signs < relu.drelus);
    let tariffs = moved.map(|relu| {
        let [h, w] = relu.map;
        let in_pixel = relu.drelus / (relu.channels * h * w).max(1);
        let once = (relu.signs / (relu.channels * in_pixel).max(1)) as u64;
        let behind = BTreeMap::from([
            ([true, false], once),
            ([false, true], once),
            ([true, true], 2 * once),
        ]);
        let tariff = GateTariff {
            behind: Some(behind),
            ..GateTariff::default()
        };
        (relu.name.clone(), tariff)
    });
    let mut gates: BTreeMap<String, GateTariff> = tariffs.collect();
    for relu in relus.iter().filter(|relu| quick && !relu.is_moved) {
        gates.entry(relu.name.clone()).or_default().quick = true;
    }
    Tariff {
        gates,
        layers: Vec::new(),
    }
}

/// A ReLU or clip of the profile.
struct Relu {
    name: String,
    node: Option<NodeId>,
    map: [usize; 2],
    channels: usize,
    has_lower: bool,
    has_upper: bool,
    /// A patch that pixels share, if any was measured.
    block: Option<Patch>,
    /// One so large that its sums are taken of the layer in front.
    large: Option<Patch>,
    /// Whether it goes behind a max-pool.
    is_moved: bool,
    tariff: GateTariff,
}

fn relus(graph: &Graph, header: &Header) -> Vec<Relu> {
    let nodes: BTreeMap<&str, NodeId> = graph
        .ids()
        .into_iter()
        .map(|id| (graph.node(id).origin.name.as_str(), id))
        .collect();
    let mut relus: Vec<Relu> = Vec::new();
    for layer in &header.layers {
        let known = relus.iter().position(|relu| relu.name == layer.name);
        let at = known.unwrap_or(relus.len());
        if known.is_none() {
            let node = nodes.get(layer.name.as_str()).copied();
            relus.push(Relu {
                name: layer.name.clone(),
                node,
                map: layer.map,
                channels: layer.channels,
                has_lower: false,
                has_upper: false,
                block: None,
                large: None,
                is_moved: node.is_some_and(|id| is_before_a_max_pool(graph, id)),
                tariff: GateTariff::default(),
            });
        }
        let relu = &mut relus[at];
        match layer.sign {
            Sign::Lower => relu.has_lower = true,
            Sign::Upper => relu.has_upper = true,
        }
        let shared = |patch: &&Patch| !patch.is_pixel() && **patch != Patch::Identity;
        relu.block = relu.block.or_else(|| layer.patches.iter().find(shared).copied());
        let large = |patch: &&Patch| is_large(**patch);
        relu.large = relu.large.or_else(|| layer.patches.iter().find(large).copied());
    }
    relus
}

/// Whether a value goes into max-pools alone, perhaps by way of concatenations.
fn is_before_a_max_pool(graph: &Graph, mut at: NodeId) -> bool {
    loop {
        let [user] = graph.users(at)[..] else { return false };
        match graph.node(user).op.class() {
            Class::Max(_) => return true,
            Class::Move(Move::Concat) => at = user,
            Class::Input
            | Class::Output(_)
            | Class::Linear(_)
            | Class::PerChannel(_)
            | Class::Gate(_)
            | Class::Mean(_)
            | Class::Add
            | Class::Move(_)
            | Class::Resize(_) => return false,
        }
    }
}

/// ReLUs of which none is computed of another, in clusters; most have a cluster of their own.
fn side_by_side(graph: &Graph, relus: &[Relu]) -> Vec<Vec<usize>> {
    // By node the ReLUs that it is computed of.
    let mut behind: BTreeMap<NodeId, BTreeSet<usize>> = BTreeMap::new();
    for id in graph.order() {
        let mut own = BTreeSet::new();
        for input in graph.inputs(id) {
            own.extend(behind.get(&input).into_iter().flatten());
        }
        own.extend(relus.iter().position(|relu| relu.node == Some(id)));
        behind.insert(id, own);
    }
    let is_behind = |one: usize, other: usize| {
        let node = relus[one].node.and_then(|id| behind.get(&id));
        node.is_none_or(|before| before.contains(&other))
    };
    let mut clusters: Vec<Vec<usize>> = Vec::new();
    for at in 0..relus.len() {
        let beside = |cluster: &Vec<usize>| {
            cluster
                .iter()
                .any(|&one| !is_behind(at, one) && !is_behind(one, at))
        };
        let (joined, apart): (Vec<_>, Vec<_>) = clusters.into_iter().partition(beside);
        clusters = apart;
        let mut cluster: Vec<usize> = joined.into_iter().flatten().collect();
        cluster.push(at);
        clusters.push(cluster);
    }
    clusters
}

/// Lowers the network with other patches in some layers.
struct Probe<'a> {
    imported: &'a Verified<Graph>,
    relu6_as_relu: bool,
    currency: Currency,
    link: Option<&'a LinkModel>,
}

/// A patch of the lower and of the upper sign.
type Pair = [Patch; 2];

const PIXELS: Pair = [Patch::PIXEL; 2];
const IDENTITIES: Pair = [Patch::Identity; 2];

/// What a layer may be: the flags that its channels have, patches that they then may have in turn, and in how
/// many rounds signs are taken.
type Kind = (u32, Vec<Pair>, Rounds);

impl Relu {
    fn kinds(&self) -> Vec<Kind> {
        let (all, none) = (vec![PIXELS], vec![IDENTITIES]);
        if !self.is_moved {
            let mut kinds = vec![(SIGNED, all.clone(), Rounds::Two), (0, none, Rounds::Two)];
            if self.tariff.quick {
                kinds.push((QUICK, all, Rounds::One));
            }
            return kinds;
        }
        let mut kinds = vec![(OPEN | BEHIND, all, Rounds::Two), (OPEN, none, Rounds::Two)];
        if let Some(block) = self.block {
            let shared = [block; 2];
            kinds.push((BEFORE, vec![shared], Rounds::Two));
            kinds.push((BEFORE | OPEN, vec![shared, IDENTITIES], Rounds::Two));
            kinds.push((BEFORE | OPEN | BEHIND, vec![shared, PIXELS], Rounds::Two));
        }
        kinds
    }

    fn choice(&self, pairs: &[Pair]) -> LayerChoice {
        let of = |sign: usize| -> Patches {
            let in_turn = pairs.iter().cycle().take(self.channels);
            in_turn.map(|pair| pair[sign]).collect()
        };
        match self.has_upper {
            false => LayerChoice::Every(Choice::of(&of(0))),
            true => LayerChoice::Signs {
                lower: self.has_lower.then(|| Choice::of(&of(0))),
                upper: Some(Choice::of(&of(1))),
            },
        }
    }

    /// What the channels are priced at with these patches in turn.
    fn price(&self, currency: &Currency, pairs: &[Pair], rounds: Rounds) -> u64 {
        let in_turn = pairs.iter().cycle().take(self.channels);
        let prices = in_turn.map(|&[lower, upper]| {
            let lower = if self.has_lower { lower } else { Patch::Identity };
            let upper = self.has_upper.then_some(upper);
            let quick = self.tariff.quick(currency, lower, upper, self.map);
            match quick.filter(|_| rounds == Rounds::One) {
                Some((_, price)) => price,
                None => self.tariff.price(currency, lower, upper, self.map),
            }
        });
        prices.sum()
    }
}

impl Probe<'_> {
    /// What a channel costs behind the max-pool, by the signs that it takes; none of a layer that stays.
    fn behind(&self, relu: &Relu) -> Result<Option<BTreeMap<Signs, u64>>, AssignError> {
        if !relu.is_moved {
            return Ok(None);
        }
        let own = self.currency.without_round_trips();
        let none = total(&own, &self.trial(&[(relu, &[IDENTITIES])])?);
        let mut behind = BTreeMap::new();
        for signs in [[true, false], [false, true], [true, true]] {
            let pair = signs.map(|signed| if signed { Patch::PIXEL } else { Patch::Identity });
            let occurs = (!signs[0] || relu.has_lower) && (!signs[1] || relu.has_upper);
            if occurs {
                let more = total(&own, &self.trial(&[(relu, &[pair])])?).saturating_sub(none);
                behind.insert(signs, more / relu.channels.max(1) as u64);
            }
        }
        Ok(Some(behind))
    }

    /// What a sum over a large patch takes of the parties' time, for each layer; all are measured at once, since what
    /// is computed of one does not depend on the others. Bytes do not know of it.
    fn sums(&self, relus: &[Relu]) -> Result<Vec<u64>, AssignError> {
        let Currency::Picoseconds(_) = self.currency else {
            return Ok(vec![0; relus.len()]);
        };
        let pairs: Vec<Vec<Pair>> = relus
            .iter()
            .map(|relu| relu.large.map(|large| vec![[large; 2]]).unwrap_or_default())
            .collect();
        let set: Vec<(&Relu, &[Pair])> = relus
            .iter()
            .zip(&pairs)
            .filter(|(_, pairs)| !pairs.is_empty())
            .map(|(relu, pairs)| (relu, &pairs[..]))
            .collect();
        let trial = self.trial(&set)?;
        let of_each = relus.iter().map(|relu| {
            let names = [relu.name.clone(), format!("{}{BLOCKS_SUFFIX}", relu.name)];
            let macs: u64 = names.iter().filter_map(|name| trial.sum_macs.get(name)).sum();
            let signs = relu
                .large
                .map_or(0, |large| large.signs(relu.map[0], relu.map[1]));
            sum_work(macs as f64 / (signs * relu.channels).max(1) as f64).round() as u64
        });
        Ok(of_each.collect())
    }

    /// What layers together may be, with their charges.
    fn states(&self, cluster: &[&Relu], before: &Trial) -> Result<Vec<State>, AssignError> {
        let kinds: Vec<Vec<Kind>> = cluster.iter().map(|relu| relu.kinds()).collect();
        let settings = match are_few(&kinds) {
            true => product(&kinds),
            // All signs of all of them, in two rounds or in one, or none.
            false => {
                let of_all = |kind: fn(&[Kind]) -> Kind| kinds.iter().map(|kinds| kind(kinds)).collect();
                let mut settings = vec![of_all(|kinds| kinds[0].clone()), of_all(|kinds| kinds[1].clone())];
                if cluster.iter().any(|relu| relu.tariff.quick) {
                    settings.push(of_all(quickest));
                }
                settings
            }
        };
        // Settings that differ in rounds alone are lowered once.
        let mut lowered: BTreeMap<Vec<&[Pair]>, Option<Trial>> = BTreeMap::new();
        let mut left = Vec::with_capacity(settings.len());
        for setting in &settings {
            let pairs: Vec<&[Pair]> = setting.iter().map(|(_, pairs, _)| &pairs[..]).collect();
            let set: Vec<(&Relu, &[Pair])> = cluster.iter().copied().zip(pairs.iter().copied()).collect();
            if !lowered.contains_key(&pairs) {
                let is_before = pairs.iter().all(|pairs| *pairs == [PIXELS]);
                let trial = match is_before {
                    true => None,
                    false => Some(self.trial(&set)?),
                };
                lowered.insert(pairs.clone(), trial);
            }
            let trial = lowered[&pairs].as_ref().unwrap_or(before);
            let quick: BTreeSet<&str> = cluster
                .iter()
                .zip(setting)
                .filter(|(_, (.., rounds))| *rounds == Rounds::One)
                .map(|(relu, _)| relu.name.as_str())
                .collect();
            let allows = cluster
                .iter()
                .zip(setting)
                .fold(0, |allows, (relu, (flags, ..))| {
                    allows | flags << relu.tariff.shift
                });
            let prices: u64 = set
                .iter()
                .zip(setting)
                .map(|((relu, pairs), (.., rounds))| relu.price(&self.currency, pairs, *rounds))
                .sum();
            // A ReLU that is moved is no layer of its own: with its max-pool it does what is quickest.
            let shortest = self.link.filter(|_| cluster.iter().any(|relu| relu.is_moved));
            let cost = match shortest {
                Some(link) => Cost::new(&shorten(&trial.program, link)),
                None => trial.in_one_round(|name| quick.contains(name)),
            };
            let total = self.currency.total(&cost, trial.counts.signs as u64);
            left.push((allows, total as i64 - prices as i64));
        }
        Ok(states(left))
    }

    /// The network with these patches in turn in the channels of some layers.
    fn trial(&self, set: &[(&Relu, &[Pair])]) -> Result<Trial, AssignError> {
        let mut assignment = Assignment::default();
        for (relu, pairs) in set {
            assignment.insert(relu.name.clone(), relu.choice(pairs));
        }
        trial(self.imported, self.relu6_as_relu, Some(&assignment), None)
    }
}

/// All signs of a layer, in one round if that is on offer.
fn quickest(kinds: &[Kind]) -> Kind {
    let quick = kinds.iter().find(|(.., rounds)| *rounds == Rounds::One);
    quick.unwrap_or(&kinds[0]).clone()
}

/// Whether all ways in which some layers can be together may be measured.
fn are_few(kinds: &[Vec<Kind>]) -> bool {
    let sizes = kinds.iter().map(Vec::len);
    sizes.fold(1_usize, |count, size| count.saturating_mul(size)) <= MOST_STATES
}

/// One kind of each layer, in all ways.
fn product(kinds: &[Vec<Kind>]) -> Vec<Vec<Kind>> {
    let mut all = vec![Vec::new()];
    for kinds in kinds {
        let longer = all.iter().flat_map(|setting: &Vec<Kind>| {
            kinds.iter().map(move |kind| {
                let mut setting = setting.clone();
                setting.push(kind.clone());
                setting
            })
        });
        all = longer.collect();
    }
    all
}

/// States that charge what they cost more than the cheapest; one of them allows everything.
fn states(kinds: impl IntoIterator<Item = (u32, i64)>) -> Vec<State> {
    let kinds: Vec<(u32, i64)> = kinds.into_iter().collect();
    let least = kinds.iter().map(|(_, left)| *left).min().unwrap_or(0);
    let mut states: Vec<State> = kinds
        .iter()
        .map(|&(allows, left)| State {
            charge: (left - least) as u64,
            allows,
        })
        .collect();
    // Who allows more never charges less.
    for at in 0..states.len() {
        let within = |state: &&State| state.allows & !states[at].allows == 0;
        let charge = states.iter().filter(within).map(|state| state.charge).max();
        states[at].charge = charge.unwrap_or(0);
    }
    // Whatever items there are, one state allows them.
    let charge = states.iter().map(|state| state.charge).max();
    states.push(State {
        charge: charge.unwrap_or(0),
        allows: u32::MAX,
    });
    states
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_ordered_by_what_they_allow() {
        let of = |kinds: &[(u32, i64)]| -> Vec<(u32, u64)> {
            let states = states(kinds.iter().copied());
            states.iter().map(|state| (state.allows, state.charge)).collect()
        };
        assert_eq!(
            of(&[(SIGNED, 70), (0, 20)]),
            [(SIGNED, 50), (0, 0), (u32::MAX, 50)]
        );
        // What is measured a little too low is no reason for signs.
        assert_eq!(of(&[(SIGNED, 19), (0, 20)]), [(SIGNED, 1), (0, 1), (u32::MAX, 1)]);
        assert_eq!(
            of(&[(BEFORE, 10), (OPEN, 30), (OPEN | BEHIND, 40)]),
            [(BEFORE, 0), (OPEN, 20), (OPEN | BEHIND, 30), (u32::MAX, 30)]
        );
    }
}
