//! The solver against naive ones, its certificate, and its limits.

use proptest::prelude::*;

use super::testing::{brute_force, dense, groups, instance};
use super::*;

fn problem(groups: &[Vec<Item>]) -> Problem {
    Problem::new(groups.iter().cloned()).unwrap()
}

fn check(
    groups: &[Vec<Item>],
    budget: u64,
    limits: &Limits,
    optimum: Option<f64>,
) -> Result<(), TestCaseError> {
    let problem = problem(groups);
    let solution = match (solve(&problem, budget, limits), optimum) {
        (Ok(solution), Some(_)) => solution,
        (Err(SolveError::Infeasible { least, .. }), None) => {
            prop_assert!(least > budget);
            prop_assert!(solve(&problem, least, limits).is_ok());
            return Ok(());
        }
        (other, _) => return Err(TestCaseError::fail(format!("{other:?} but {optimum:?}"))),
    };
    let Certificate {
        bound,
        gap,
        proved,
        lp_bound,
        ..
    } = solution.certificate;
    let optimum = optimum.unwrap_or_default();
    prop_assert!(solution.cost <= budget);
    prop_assert_eq!(solution.cost, problem.cost(&solution.choice));
    prop_assert_eq!(solution.loss, problem.loss(&solution.choice));
    prop_assert!(
        bound <= optimum && optimum <= solution.loss,
        "{} {} {}",
        bound,
        optimum,
        solution.loss
    );
    prop_assert!(lp_bound <= optimum + 1e-12 * lp_bound.abs().max(1.0));
    // The bound is the difference of these two, rounded once.
    prop_assert!(gap >= solution.loss - bound - 1e-15 * (solution.loss.abs() + gap));
    if proved {
        prop_assert_eq!(solution.loss, optimum);
        prop_assert!(gap <= 1e-10, "{}", gap);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn small_problems_are_solved_as_by_trying_everything((groups, budget) in instance((5, 5, 12))) {
        let limits = Limits::default();
        check(&groups, budget, &limits, brute_force(&groups, budget))?;
        if let Ok(solution) = solve(&problem(&groups), budget, &limits) {
            prop_assert!(solution.certificate.proved);
        }
    }

    #[test]
    fn middling_problems_are_solved_as_by_a_dense_table((groups, budget) in instance((25, 12, 40))) {
        check(&groups, budget, &Limits::default(), dense(&groups, budget))?;
    }

    #[test]
    fn tight_limits_weaken_the_certificate_but_never_falsify_it(
        (groups, budget) in instance((20, 8, 60)),
        width in 0..6usize,
        work in 0..300u64,
    ) {
        check(&groups, budget, &Limits { width, work }, dense(&groups, budget))?;
    }

    #[test]
    fn coarse_units_change_nothing((groups, budget) in instance((12, 6, 20)), unit in 1..10_000_000_000u64) {
        let in_unit = |item: &Item| Item { cost: item.cost * unit, ..*item };
        let coarse: Vec<Vec<Item>> = groups.iter().map(|group| group.iter().map(in_unit).collect()).collect();
        let rest = unit / 2;
        check(&coarse, budget * unit + rest, &Limits::default(), dense(&groups, budget))?;
    }

    #[test]
    fn order_does_not_matter(
        (groups, budget) in instance((15, 8, 30)),
        seed in prop::collection::vec(any::<u32>(), 15),
    ) {
        let mut shuffled: Vec<_> = groups.iter().cloned().zip(&seed).collect();
        shuffled.sort_by_key(|&(_, &key)| key);
        let shuffled: Vec<Vec<Item>> = shuffled.into_iter().map(|(mut group, &key)| {
            let by = key as usize % group.len();
            group.rotate_left(by);
            group
        }).collect();
        let of = |groups: &[Vec<Item>]| solve(&problem(groups), budget, &Limits::default()).map(|best| best.loss);
        prop_assert_eq!(of(&groups), of(&shuffled));
    }

    #[test]
    fn dominated_items_are_never_chosen((groups, budget) in instance((8, 10, 6))) {
        let Ok(solution) = solve(&problem(&groups), budget, &Limits::default()) else {
            return Ok(());
        };
        for (group, &item) in groups.iter().zip(&solution.choice) {
            let chosen = group[item];
            let better = |other: &Item| other.cost <= chosen.cost && other.loss < chosen.loss;
            prop_assert!(!group.iter().any(better));
            let twin = group.iter().position(|&other| other == chosen);
            prop_assert_eq!(twin, Some(item), "the first of equal items");
        }
    }

    #[test]
    fn one_preparation_serves_all_budgets(groups in groups(8, 6, 9)) {
        let problem = problem(&groups);
        let solver = Solver::new(&problem);
        let mut last = f64::INFINITY;
        for budget in solver.least_cost()..solver.least_cost() + 40 {
            let solution = solver.solve(budget, &Limits::default()).unwrap();
            prop_assert!(solution.loss <= last);
            last = solution.loss;
        }
        let least = groups.iter().map(|group| group.iter().map(|item| item.loss).fold(f64::INFINITY, f64::min));
        let unbound = solver.solve(MAX_COST, &Limits::default()).unwrap();
        prop_assert_eq!(unbound.loss, least.sum::<f64>());
        prop_assert_eq!(unbound.certificate.method, Method::Unconstrained);
        prop_assert_eq!(unbound.certificate.gap, 0.0);
    }
}

#[test]
fn an_infeasible_budget_names_the_least_cost() {
    let problem = problem(&[
        vec![Item { cost: 7, loss: 0.0 }],
        vec![Item { cost: 5, loss: 1.0 }],
    ]);
    let error = solve(&problem, 11, &Limits::default()).unwrap_err();
    assert_eq!(
        error,
        SolveError::Infeasible {
            budget: 11,
            least: 12
        }
    );
    assert!(error.to_string().contains("even the cheapest choice costs 12"));
}

#[test]
fn no_groups_cost_and_lose_nothing() {
    let solution = solve(&Problem::default(), 0, &Limits::default()).unwrap();
    assert_eq!((solution.choice, solution.cost, solution.loss), (vec![], 0, 0.0));
    assert!(solution.certificate.proved);
}

/// Losses that follow the costs to the last digit make the relaxation useless for telling items
/// apart: the hardest kind of knapsack. The search must end, and say truly how far it came.
#[test]
fn hopeless_problems_end_with_a_true_gap() {
    let mut seed = 1u64;
    let mut random = move || {
        seed = seed
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        seed >> 33
    };
    let items = (0..60).map(|_| {
        (0..8)
            .map(|_| {
                let cost = 1000 * random() + random() % 1000;
                Item {
                    cost,
                    loss: -(cost as f64),
                }
            })
            .collect::<Vec<_>>()
    });
    let problem = Problem::new(items.collect::<Vec<_>>()).unwrap();
    let budget = 60 << 40;
    let limits = Limits {
        width: 1 << 12,
        work: 1 << 18,
    };
    let solution = solve(&problem, budget, &limits).unwrap();
    assert!(solution.cost <= budget);
    assert!(solution.certificate.bound >= -(budget as f64) * (1.0 + 1e-12));
    assert!(
        solution.certificate.relative_gap < 1e-6,
        "{:?}",
        solution.certificate
    );
}

/// What the costs' common divisor leaves of a budget can't be spent; without knowing that, equal
/// groups would have to be searched through.
#[test]
fn what_cannot_be_spent_does_not_weaken_the_bound() {
    let group = [Item { cost: 7, loss: 3.0 }, Item { cost: 10, loss: 0.0 }];
    let problem = Problem::new(std::iter::repeat_n(group, 2000)).unwrap();
    let limits = Limits { width: 1, work: 0 };
    let solution = solve(&problem, 14_000 + 1001, &limits).unwrap();
    assert_eq!(solution.loss, 3.0 * (2000.0 - 333.0));
    assert!(solution.certificate.proved);
    assert_eq!(solution.certificate.method, Method::Relaxation);
}
