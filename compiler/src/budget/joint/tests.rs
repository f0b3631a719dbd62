//! Joint assignments against trying everything, and what a descent promises.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::*;
use crate::budget::knapsack::testing::assignments;
use crate::budget::knapsack::{Item, Limits, solve};

const DIMS: usize = 6;

/// Costs and vectors, for fitting and held out.
#[derive(Clone, Debug)]
struct Case {
    groups: Vec<Vec<Item>>,
    problem: Problem,
    budget: u64,
    fit: FlatVectors,
    held_out: FlatVectors,
    start: Vec<usize>,
}

fn case(groups: usize, items: usize) -> impl Strategy<Value = Case> {
    let entry = (-16..=16i8).prop_map(|entry| f32::from(entry) / 4.0);
    let item = (0..12u64, prop::collection::vec(entry, 2 * DIMS));
    let groups = prop::collection::vec(prop::collection::vec(item, 1..=items), 1..=groups);
    (groups, 0..=100u64).prop_map(|(groups, percent)| build(&groups, percent))
}

/// The losses are the vectors' own squared lengths, as the additive assignment takes them.
fn build(groups: &[Vec<(u64, Vec<f32>)>], percent: u64) -> Case {
    let (mut fit, mut held_out) = (FlatVectors::new(DIMS), FlatVectors::new(DIMS));
    for group in groups {
        let half = |from: usize| -> Vec<f32> {
            group
                .iter()
                .flat_map(|item| item.1[from..][..DIMS].to_vec())
                .collect()
        };
        fit.push(&half(0));
        held_out.push(&half(DIMS));
    }
    let item = |(cost, vector): &(u64, Vec<f32>)| Item {
        cost: *cost,
        loss: vectors::square(&vector[..DIMS]),
    };
    let groups: Vec<Vec<Item>> = groups
        .iter()
        .map(|group| group.iter().map(item).collect())
        .collect();
    let problem = Problem::new(groups.iter().cloned()).unwrap();
    let sum = |pick: fn(u64, u64) -> u64| -> u64 {
        groups
            .iter()
            .filter_map(|group| group.iter().map(|item| item.cost).reduce(pick))
            .sum()
    };
    let (least, most) = (sum(u64::min), sum(u64::max));
    let budget = least + (most - least) * percent / 100;
    let start = solve(&problem, budget, &Limits::default()).unwrap().choice;
    Case {
        groups,
        problem,
        budget,
        fit,
        held_out,
        start,
    }
}

fn run(case: &Case, held_out: bool, options: &Options) -> Outcome {
    let held_out = held_out.then_some(&case.held_out);
    assign(
        &case.problem,
        case.budget,
        &case.start,
        (&case.fit, held_out),
        options,
    )
    .unwrap()
}

fn persistent(shrinkage: f64) -> Options {
    Options {
        shrinkage,
        least_gain: 0.0,
        sweeps: 100,
        ..Options::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn the_objective_never_rises_and_the_budget_holds(case in case(12, 6), shrinkage in 0.0..=1.0f64) {
        let outcome = run(&case, true, &persistent(shrinkage));
        let values: Vec<f64> = outcome.trace.iter().map(|step| step.fit.mixed(shrinkage)).collect();
        prop_assert!(values.windows(2).all(|pair| pair[1] < pair[0]), "{:?}", values);
        prop_assert!(outcome.trace.iter().all(|step| step.cost <= case.budget));
        prop_assert!(outcome.cost <= case.budget);
        prop_assert_eq!(Distortion::of(&case.fit, &outcome.choice), outcome.trace[outcome.best].fit);
        let held_out = outcome.trace.iter().filter_map(|step| step.held_out).map(|held_out| held_out.joint);
        let best = Distortion::of(&case.held_out, &outcome.choice).joint;
        prop_assert_eq!(held_out.reduce(f64::min), Some(best));
    }

    #[test]
    fn no_single_change_within_the_budget_helps_at_the_end(case in case(10, 6), shrinkage in 0.0..=1.0f64) {
        let outcome = run(&case, false, &persistent(shrinkage));
        let value = Distortion::of(&case.fit, &outcome.choice).mixed(shrinkage);
        for (group, items) in case.groups.iter().enumerate() {
            for item in 0..items.len() {
                let mut changed = outcome.choice.clone();
                changed[group] = item;
                if case.problem.cost(&changed) <= case.budget {
                    let after = Distortion::of(&case.fit, &changed).mixed(shrinkage);
                    prop_assert!(after >= value - 1e-9 * value.max(1.0), "{} {}", after, value);
                }
            }
        }
    }

    #[test]
    fn the_shrinkage_that_does_best_on_other_images_is_taken(case in case(12, 6)) {
        let shrinkages = [0.0, 0.5, 0.9];
        let both = (&case.fit, &case.held_out);
        let options = Options::default();
        let (shrinkage, outcome) =
            assign_shrunk(&case.problem, case.budget, &case.start, both, &options, &shrinkages).unwrap();
        let single = |shrinkage| run(&case, true, &Options { shrinkage, ..options });
        prop_assert!(shrinkages.iter().all(|&other| outcome.held_out() <= single(other).held_out()));
        prop_assert_eq!(outcome, single(shrinkage));
    }

    #[test]
    fn additive_assignment_is_already_best_for_full_shrinkage(case in case(10, 6)) {
        let outcome = run(&case, false, &persistent(1.0));
        let before = Distortion::of(&case.fit, &case.start).additive;
        let after = Distortion::of(&case.fit, &outcome.choice).additive;
        prop_assert!(after == before, "the knapsack's optimum can't be improved: {} {}", before, after);
    }
}

/// A descent may end in a local optimum. How often it doesn't, and how far off it is on average, is
/// held here so that a change for the worse shows.
#[test]
fn tiny_problems_are_mostly_solved_to_the_optimum() {
    let (mut cases, mut best, mut start, mut found, mut optimal) = (0, 0, 0.0, 0.0, 0.0);
    let mut runner = TestRunner::deterministic();
    for _ in 0..300 {
        let case = case(5, 5).new_tree(&mut runner).unwrap().current();
        let value = |choice: &[usize]| Distortion::of(&case.fit, choice).joint;
        let all = assignments(&case.groups).into_iter();
        let feasible = all.filter(|choice| case.problem.cost(choice) <= case.budget);
        let optimum = feasible
            .map(|choice| value(&choice))
            .fold(f64::INFINITY, f64::min);
        let reached = value(&run(&case, false, &persistent(0.0)).choice);
        assert!(reached >= optimum - 1e-9);
        cases += 1;
        best += usize::from(reached <= optimum + 1e-9);
        start += value(&case.start);
        found += reached;
        optimal += optimum;
    }
    println!(
        "optimal in {best} of {cases}; mean {} from {}, optimum {}",
        found / 300.0,
        start / 300.0,
        optimal / 300.0
    );
    assert!(best * 10 >= cases * 6, "{best} of {cases}");
    assert!(
        found - optimal <= 0.35 * (start - optimal),
        "{start} {found} {optimal}"
    );
}

#[test]
fn faults_are_named() {
    let items = [(3, vec![1.0; 2 * DIMS]), (0, vec![2.0; 2 * DIMS])];
    let mut case = build(&[items.to_vec(), items.to_vec()], 50);
    let go = |case: &Case, start: &[usize], shrinkage| {
        let options = Options {
            shrinkage,
            ..Options::default()
        };
        assign(
            &case.problem,
            case.budget,
            start,
            (&case.fit, Some(&case.held_out)),
            &options,
        )
        .unwrap_err()
    };
    assert!(matches!(
        go(&case, &[1, 1], f64::NAN),
        JointError::Shrinkage { .. }
    ));
    assert_eq!(go(&case, &[1], 0.0), JointError::Start { group: 1, groups: 2 });
    assert_eq!(go(&case, &[1, 2], 0.0), JointError::Start { group: 1, groups: 2 });
    assert_eq!(
        go(&case, &[1, 1, 0], 0.0),
        JointError::Start { group: 2, groups: 2 }
    );
    assert_eq!(go(&case, &[0, 0], 0.0), JointError::Budget { cost: 6, budget: 3 });
    let mut bad = FlatVectors::new(DIMS);
    bad.push(&[0.0; 2 * DIMS]);
    bad.push(&[[0.0; DIMS], [f32::NAN; DIMS]].concat());
    case.held_out = bad;
    assert_eq!(
        go(&case, &[1, 1], 0.0),
        JointError::NotFinite { group: 1, item: 1 }
    );
}
