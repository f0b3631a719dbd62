//! Budgets on small random networks, beside all assignments there are, each lowered.

use ndarray::{Array1, Array2};
use proptest::prelude::*;
use trefoil_ir::mpc::time::LinkModel;
use trefoil_ir::nn::NodeId;
use trefoil_ir::{Shape, Window};

use super::*;
use crate::budget::rounds::link_of;
use crate::pass::testing::{Net, Rng, config};
use crate::profile::{Header, Layer, LayerSummary, Method, Shard, Sign, Summary};

const OPTIONS: [Patch; 3] = [Patch::Identity, Patch::PIXEL, Patch::Block { h: 2, w: 2 }];

fn pool() -> Window {
    Window {
        kernel: [2, 2],
        stride: [2, 2],
        dilation: [1, 1],
        pads: [0; 4],
    }
}

/// A network with few channels, and ReLUs in front of pools, sums and concatenations.
fn network(seed: u64, shape: usize, clip: bool) -> Verified<Graph> {
    let mut net = Net::new(seed);
    let gate = |net: &mut Net, x: NodeId| if clip { net.clip(x, 0.8) } else { net.relu(x) };
    let x = net.input(Shape::new(1, 8, 8));
    let a = net.conv(x, 2, 3);
    let a = gate(&mut net, a);
    let y = match shape {
        0 => {
            let pooled = net.max_pool(a, pool());
            let b = net.conv(pooled, 2, 3);
            net.relu(b)
        }
        1 => {
            let b = net.conv(a, 2, 3);
            let b = net.relu(b);
            net.add(a, b)
        }
        2 => {
            let b = net.conv(x, 1, 3);
            let b = net.relu(b);
            let both = net.concat(&[a, b]);
            net.max_pool(both, pool())
        }
        _ => {
            let b = net.conv(a, 2, 3);
            let b = net.relu(b);
            net.conv(b, 1, 3)
        }
    };
    let y = net.global_avg_pool(y);
    net.finish(y).verify().unwrap()
}

/// Distortions drawn at random: the larger the patch the more.
fn profile(graph: &Graph, seed: u64) -> Profile {
    let mut rng = Rng::new(seed);
    let (mut layers, mut summaries) = (Vec::new(), Vec::new());
    for id in graph.order() {
        let node = graph.node(id);
        let Some(gate) = Gate::of(node) else { continue };
        for sign in [Sign::Lower, Sign::Upper] {
            if sign == Sign::Upper && gate.upper.is_none() {
                continue;
            }
            let channels = node.shape.c;
            let mut mean = Array2::zeros((channels, OPTIONS.len()));
            for c in 0..channels {
                let [identity, block] = [4, 1].map(|most| f64::from(rng.below(1000) as u32 * most + 1));
                mean[[c, 0]] = identity;
                mean[[c, 2]] = block;
            }
            layers.push(Layer {
                name: node.origin.name.clone(),
                sign,
                map: [node.shape.h, node.shape.w],
                channels,
                patches: OPTIONS.to_vec(),
            });
            summaries.push(LayerSummary {
                error: Array2::zeros(mean.raw_dim()),
                sums: Array2::zeros(mean.raw_dim()),
                mean,
            });
        }
    }
    let header = Header {
        format: Header::FORMAT,
        model: "net".into(),
        digest: model_digest(graph),
        relu6_as_relu: false,
        assignment: None,
        data: String::new(),
        images: 1,
        shard: Shard::WHOLE,
        method: Method::Exact,
        probes: 1,
        seed: 0,
        layers,
        values: Vec::new(),
    };
    let summary = Summary {
        layers: summaries,
        min: Array1::zeros(0),
        max: Array1::zeros(0),
    };
    Profile::of(header, summary)
}

/// Every assignment of the menu: what its program costs, and its loss.
fn all(
    imported: &Verified<Graph>,
    profile: &Profile,
    currency: &Currency,
    link: Option<&LinkModel>,
) -> Vec<(u64, f64)> {
    let menu = Menu::new(
        &profile.header,
        &profile.summary,
        currency,
        Offers {
            clips: ClipSigns::Both,
            rules: &Rules::default(),
            together: false,
        },
        &Default::default(),
    )
    .unwrap();
    let mut choice = vec![0; menu.slots.len()];
    let mut all = Vec::new();
    loop {
        let assignment = menu.assignment(&profile.header, &choice);
        let cost = total(
            currency,
            &trial(imported, false, Some(&assignment), link).unwrap(),
        );
        all.push((cost, menu.program.problem.loss(&choice)));
        let next = (0..choice.len()).find(|&at| choice[at] + 1 < menu.slots[at].picks.len());
        let Some(next) = next else { return all };
        choice[next] += 1;
        choice[..next].fill(0);
    }
}

fn solve(imported: &Verified<Graph>, profile: &Profile, goal: Goal) -> Result<Assigned, AssignError> {
    let options = AssignOptions {
        goals: vec![goal],
        rules: Rules::default(),
        strategy: super::Strategy::Additive,
        clips: ClipSigns::Both,
        relu6_as_relu: false,
        link: link_of(&[goal], &[]),
    };
    assign(imported, profile, &options)
}

proptest! {
    #![proptest_config(config(40))]

    /// What is chosen keeps the budget as the program counts it, is as good as any assignment that does, up to
    /// what fills a message's last bytes and to transfers that overlap, and is there whenever there is any.
    #[test]
    fn every_assignment_was_considered(
        seed in any::<u64>(), shape in 0usize..4, clip in any::<bool>(), kind in 0usize..4,
    ) {
        let imported = network(seed, shape, clip && shape != 1);
        let profile = profile(&imported, seed);
        let goal = |amount: u64| match kind {
            0 => Goal::Bytes(amount.div_ceil(8)),
            1 => Goal::OnlineBytes(amount.div_ceil(8)),
            2 => Goal::Seconds(amount as f64 / 1e12 + 1e-9, LinkModel::WAN),
            _ => Goal::Relus(amount),
        };
        let currency = Currency::of(&goal(0));
        let link = link_of(&[goal(0)], &[]);
        let mut all = all(&imported, &profile, &currency, link.as_ref());
        all.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let (least, most) = (all[0].0, all[all.len() - 1].0);
        // Bytes that fill messages: a few for each of some twenty messages.
        let slack = if kind < 2 { 64 } else if kind == 2 { most / 500 } else { 0 };
        let mut before = f64::INFINITY;
        for part in 0..=6 {
            let limit = least + (most - least) * part / 6;
            let best = |limit: u64| {
                let within = all.iter().take_while(|(cost, _)| *cost <= limit);
                within.map(|(_, loss)| *loss).fold(f64::INFINITY, f64::min)
            };
            match solve(&imported, &profile, goal(limit)) {
                Ok(found) => {
                    let spent = trial(&imported, false, Some(&found.assignment), link.as_ref()).unwrap();
                    prop_assert!(total(&currency, &spent) <= limit.next_multiple_of(8) + 1000);
                    let loss = found.report.distortion.unwrap();
                    prop_assert!(loss >= best(limit.next_multiple_of(8) + 1000) - 1e-6);
                    let worst = best(limit.saturating_sub(slack));
                    prop_assert!(loss <= worst + 1e-6, "{goal:?} {loss} of {worst}", goal = goal(limit));
                    prop_assert!(loss <= before + 1e-6, "more budget is worse: {loss} after {before}");
                    before = loss;
                }
                Err(AssignError::Infeasible { .. }) => {
                    let rest = best(limit.saturating_sub(slack));
                    prop_assert!(rest.is_infinite(), "{rest} within {limit}, of which the least is {least}");
                }
                Err(error) => return Err(TestCaseError::fail(error.to_string())),
            }
        }
        // Nothing is given up for nothing.
        let whole = solve(&imported, &profile, goal(most)).unwrap();
        prop_assert_eq!(whole.report.distortion, Some(0.0));
    }
}

fn solve_several(
    imported: &Verified<Graph>,
    profile: &Profile,
    goals: &[Goal],
    rules: Rules,
) -> Result<Assigned, AssignError> {
    let options = AssignOptions {
        goals: goals.to_vec(),
        rules,
        strategy: super::Strategy::Additive,
        clips: ClipSigns::Both,
        relu6_as_relu: false,
        link: link_of(goals, &[]),
    };
    assign(imported, profile, &options)
}

fn drelus(assigned: &Assigned, layer: &str) -> u64 {
    let layers = &assigned.report.layers;
    layers
        .iter()
        .find(|one| one.name == layer)
        .unwrap()
        .assigned
        .drelus
}

proptest! {
    #![proptest_config(config(12))]

    /// Several budgets are all kept, and nothing that keeps them all loses less; what holds of one alone is
    /// not refused.
    #[test]
    fn several_budgets_are_all_kept(seed in any::<u64>(), shape in 0usize..4, share in 30u64..100) {
        let imported = network(seed, shape, false);
        let profile = profile(&imported, seed);
        let before = trial(&imported, false, None, None).unwrap();
        let cost = |currency: &Currency| total(currency, &before) * share / 100;
        let bytes = Goal::Bytes(cost(&Currency::Bits(None)) / 8);
        let wan = Currency::Picoseconds(LinkModel::WAN);
        let seconds = Goal::Seconds(cost(&wan) as f64 / 1e12, LinkModel::WAN);
        let drelus = Goal::Share(share as f64 / 100.0);
        let goals = [bytes, seconds, drelus];
        let alone: Vec<_> = goals.iter().map(|goal| solve(&imported, &profile, *goal)).collect();
        match solve_several(&imported, &profile, &goals, Rules::default()) {
            Ok(found) => {
                let after = trial(&imported, false, Some(&found.assignment), None).unwrap();
                for (goal, alone) in goals.iter().zip(&alone) {
                    let currency = Currency::of(goal);
                    let limit = Currency::limit(goal, before.counts.drelus_at_1x1 as u64);
                    prop_assert!(total(&currency, &after) <= limit);
                    let least = alone.as_ref().unwrap().report.distortion.unwrap();
                    prop_assert!(found.report.distortion.unwrap() >= least - 1e-6);
                }
            }
            Err(AssignError::Infeasible { .. }) => prop_assert!(alone.iter().any(Result::is_err)),
            Err(AssignError::Together(_)) => {
                // Nor is there one among all.
                let all = goals.map(|goal| {
                    let currency = Currency::of(&goal);
                    let limit = Currency::limit(&goal, before.counts.drelus_at_1x1 as u64);
                    let costs = all(&imported, &profile, &currency, None).into_iter();
                    costs.map(|(cost, _)| cost <= limit).collect::<Vec<bool>>()
                });
                prop_assert!((0..all[0].len()).all(|at| all.iter().any(|within| !within[at])));
            }
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        }
    }
}

/// More branches side by side than there are flags for: they take their round trips together.
#[test]
fn many_branches_side_by_side() {
    let mut net = Net::new(3);
    let x = net.input(Shape::new(1, 4, 4));
    let branches: Vec<NodeId> = (0..13)
        .map(|_| {
            let a = net.conv(x, 1, 1);
            net.relu(a)
        })
        .collect();
    let y = net.concat(&branches);
    let pooled = net.max_pool(y, pool());
    let y = net.global_avg_pool(pooled);
    let imported = net.finish(y).verify().unwrap();
    let profile = profile(&imported, 3);
    let wan = Currency::Picoseconds(LinkModel::WAN);
    let cost = |assigned: Option<&Assigned>| {
        let assignment = assigned.map(|assigned| &assigned.assignment);
        total(
            &wan,
            &trial(&imported, false, assignment, Some(&LinkModel::WAN)).unwrap(),
        ) as f64
            / 1e12
    };
    let whole = cost(None);
    for share in [1.0, 0.9, 0.8, 0.7] {
        let budget = Goal::Seconds(whole * share, LinkModel::WAN);
        match solve(&imported, &profile, budget) {
            Ok(found) => assert!(cost(Some(&found)) <= whole * share + 1e-9),
            Err(AssignError::Infeasible { .. }) => assert!(share < 0.9, "{share}"),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn layers_are_kept_tied_and_capped() {
    let imported = network(5, 3, false);
    let profile = profile(&imported, 5);
    let names: Vec<String> = profile
        .header
        .layers
        .iter()
        .map(|layer| layer.name.clone())
        .collect();
    let half = [Goal::Share(0.6)];
    let keep = Rules {
        keep: [names[0].clone()].into(),
        ..Rules::default()
    };
    let kept = solve_several(&imported, &profile, &half, keep).unwrap();
    assert_eq!(drelus(&kept, &names[0]), 2 * 64);
    let tie = Rules {
        tie: [names[0].clone()].into(),
        ..Rules::default()
    };
    let tied = solve_several(&imported, &profile, &half, tie).unwrap();
    assert!([0, 2 * 16, 2 * 64].contains(&drelus(&tied, &names[0])));
    let cap = Rules {
        caps: vec![format!("{}=25%", names[1]).parse().unwrap()],
        ..Rules::default()
    };
    let capped = solve_several(&imported, &profile, &[Goal::Share(1.0)], cap).unwrap();
    assert_eq!(
        (drelus(&capped, &names[0]), drelus(&capped, &names[1])),
        (2 * 64, 2 * 16)
    );
    let unknown = Rules {
        keep: ["relu".to_owned()].into(),
        ..Rules::default()
    };
    let error = solve_several(&imported, &profile, &half, unknown)
        .unwrap_err()
        .to_string();
    assert!(error.contains("did you mean \"relu"), "{error}");
}

/// A sum meets the weights of its channel: 9 of one input channel, then 18 of two.
#[test]
fn sums_are_counted_for_their_gates() {
    let imported = network(5, 3, false);
    let large = uniform(&imported, Patch::Block { h: 4, w: 4 }, None, false, None).unwrap();
    let trial = trial(&imported, false, Some(&large.assignment), None).unwrap();
    let of_each: Vec<u64> = trial.sum_macs.values().copied().collect();
    assert_eq!(of_each, [2 * 4 * 9, 2 * 4 * 18]);
    let all: u64 = trial.cost.steps.iter().map(|step| step.sum_macs).sum();
    assert_eq!(of_each.iter().sum::<u64>(), all);
}
