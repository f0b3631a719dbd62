//! Programs against trying everything, and against the knapsack.

use proptest::prelude::*;

use super::*;
use crate::budget::knapsack::Item;
use crate::budget::knapsack::testing::{assignments, brute_force, instance};

const BOTH: [bool; 2] = [false, true];

fn options(as_knapsack: bool) -> Options {
    Options {
        as_knapsack,
        ..Options::default()
    }
}

fn one_budget(groups: &[Vec<Item>], budget: u64) -> Program {
    let mut program = Program::new(1);
    for group in groups {
        program
            .push(group.iter().map(|item| ([item.cost], item.loss)))
            .unwrap();
    }
    program.budget(0, budget).unwrap();
    program
}

/// Groups with two costs, some of them tied, under two budgets and some caps.
fn constrained() -> impl Strategy<Value = Program> {
    let item = (0..10u64, 0..10u64, -4..16i32).prop_map(|(a, b, loss)| ([a, b], f64::from(loss) / 4.0));
    let groups = prop::collection::vec(prop::collection::vec(item, 3), 1..=5);
    let caps = prop::collection::vec(
        (0..2usize, prop::collection::vec(any::<bool>(), 5), 0..30u64),
        0..4,
    );
    let tie = prop::collection::vec(any::<prop::sample::Index>(), 0..3);
    (groups, 0..45u64, 0..45u64, caps, tie, any::<bool>()).prop_map(|(groups, a, b, caps, tie, short)| {
        let mut program = Program::new(2);
        for (number, mut group) in groups.into_iter().enumerate() {
            // Untied groups of another length.
            group.truncate(if short && number == 4 { 1 } else { 3 });
            program.push(group).unwrap();
        }
        program.budget(0, a).unwrap();
        program.budget(1, b).unwrap();
        for (resource, members, limit) in caps {
            let groups = (0..program.groups()).filter(|&group| members[group]).collect();
            program
                .cap(Cap {
                    resource,
                    groups: Some(groups),
                    limit,
                })
                .unwrap();
        }
        let tie = tie
            .iter()
            .map(|index| index.index(program.groups().min(4)))
            .collect();
        program.tie(tie).unwrap();
        program
    })
}

fn keeps(program: &Program, choice: &[usize]) -> bool {
    let caps = program.caps().iter().all(|cap| {
        let inside = |group: &usize| cap.groups.as_ref().is_none_or(|groups| groups.contains(group));
        let groups = (0..program.groups()).filter(inside);
        groups
            .map(|group| program.cost(group, choice[group], cap.resource))
            .sum::<u64>()
            <= cap.limit
    });
    caps && program
        .ties()
        .iter()
        .all(|tie| tie.windows(2).all(|pair| choice[pair[0]] == choice[pair[1]]))
}

fn loss(program: &Program, choice: &[usize]) -> f64 {
    choice
        .iter()
        .enumerate()
        .map(|(group, &item)| program.loss(group, item))
        .sum()
}

fn reference(program: &Program) -> Option<f64> {
    let item = Item { cost: 0, loss: 0.0 };
    let sizes: Vec<Vec<Item>> = (0..program.groups())
        .map(|group| vec![item; program.items(group)])
        .collect();
    let feasible = assignments(&sizes)
        .into_iter()
        .filter(|choice| keeps(program, choice));
    feasible
        .map(|choice| loss(program, &choice))
        .min_by(f64::total_cmp)
}

fn check(program: &Program, options: &Options, optimum: Option<f64>) -> Result<(), TestCaseError> {
    let solution = match (solve(program, options), optimum) {
        (Ok(solution), Some(_)) => solution,
        (Err(IlpError::Cap { .. } | IlpError::Infeasible { .. }), None) => return Ok(()),
        (other, _) => return Err(TestCaseError::fail(format!("{other:?} but {optimum:?}"))),
    };
    let optimum = optimum.unwrap_or_default();
    prop_assert!(keeps(program, &solution.choice));
    prop_assert!(solution.certificate.proved);
    prop_assert_eq!(solution.loss, optimum);
    prop_assert_eq!(solution.loss, loss(program, &solution.choice));
    prop_assert!(solution.certificate.bound <= optimum);
    prop_assert!(solution.certificate.gap <= 1e-4);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn knapsack_ilp_and_trying_everything_agree((groups, budget) in instance((5, 5, 12))) {
        let optimum = brute_force(&groups, budget);
        let program = one_budget(&groups, budget);
        for as_knapsack in BOTH {
            let found = solve(&program, &options(as_knapsack));
            prop_assert_eq!(found.is_ok(), optimum.is_some());
            let (Ok(found), Some(optimum)) = (found, optimum) else {
                continue;
            };
            prop_assert!(found.certificate.proved && found.costs[0] <= budget);
            // The solver's tolerance is a fraction of the largest loss, which is 25 at most here.
            prop_assert!((found.loss - optimum).abs() <= 1e-4, "{} {}", found.loss, optimum);
            prop_assert!(found.certificate.bound <= optimum);
        }
    }

    #[test]
    fn side_constraints_are_kept_and_the_optimum_is_found(program in constrained()) {
        let optimum = reference(&program);
        for as_knapsack in BOTH {
            check(&program, &options(as_knapsack), optimum)?;
        }
    }

    #[test]
    fn the_solver_alone_finds_the_same(program in constrained()) {
        let Ok(reduced) = Reduced::of(&program) else {
            return Ok(());
        };
        match (model::solve(&reduced, None, 60.0), reference(&program)) {
            (Answer::Choice { choice, optimal }, Some(optimum)) => {
                let choice = reduced.items(&choice, program.groups());
                prop_assert!(optimal && keeps(&program, &choice));
                prop_assert_eq!(loss(&program, &choice), optimum);
            }
            (Answer::Infeasible, None) => {}
            (Answer::Nothing(error), _) => prop_assert!(false, "{error}"),
            (_, optimum) => prop_assert!(false, "{optimum:?}"),
        }
    }

    #[test]
    fn without_the_solver_the_bound_still_holds(program in constrained()) {
        let lean = Options { size: 0, ..Options::default() };
        let Some(optimum) = reference(&program) else {
            prop_assert!(solve(&program, &lean).is_err());
            return Ok(());
        };
        match solve(&program, &lean) {
            Ok(solution) => {
                prop_assert!(keeps(&program, &solution.choice));
                prop_assert!(solution.certificate.bound <= optimum && optimum <= solution.loss);
                prop_assert!(!solution.certificate.proved || solution.loss == optimum);
            }
            Err(error) => prop_assert!(matches!(error, IlpError::TooLarge { .. }), "{error}"),
        }
    }
}

#[test]
fn a_cap_that_cannot_be_met_is_named_with_its_least_use() {
    let mut program = Program::new(1);
    program.push([([5], 0.0), ([3], 1.0)]).unwrap();
    program.push([([4], 0.0)]).unwrap();
    program.budget(0, 100).unwrap();
    let groups = Some(vec![0, 1, 1]);
    program
        .cap(Cap {
            resource: 0,
            groups,
            limit: 6,
        })
        .unwrap();
    let error = solve(&program, &Options::default()).unwrap_err();
    assert_eq!(
        error,
        IlpError::Cap {
            cap: 1,
            limit: 6,
            least: 7
        }
    );
}

#[test]
fn caps_that_exclude_each_other_are_told_from_those_that_cannot_be_met() {
    let mut program = Program::new(2);
    program.push([([0, 9], 0.0), ([9, 0], 0.0)]).unwrap();
    program.budget(0, 5).unwrap();
    program.budget(1, 5).unwrap();
    assert_eq!(
        solve(&program, &Options::default()),
        Err(IlpError::Infeasible { caps: vec![0, 1] })
    );
}

#[test]
fn ties_come_before_dominance() {
    let mut program = Program::new(1);
    // Item 1 is dominated in both groups, by different items.
    program.push([([4], 0.0), ([4], 1.0), ([4], 9.0)]).unwrap();
    program.push([([4], 9.0), ([4], 1.0), ([4], 0.0)]).unwrap();
    program.budget(0, 8).unwrap();
    program.tie(vec![0, 1]).unwrap();
    assert_eq!(solve(&program, &Options::default()).unwrap().choice, [1, 1]);
}

#[test]
fn faults_of_programs_are_named() {
    let mut program = Program::new(2);
    let none: [([u64; 2], f64); 0] = [];
    assert_eq!(program.push(none), Err(ProgramError::Empty { group: 0 }));
    assert!(matches!(
        program.push([([1], 0.0)]),
        Err(ProgramError::Costs {
            found: 1,
            resources: 2,
            ..
        })
    ));
    assert!(matches!(
        program.push([([1, 1], f64::INFINITY)]),
        Err(ProgramError::Loss { item: 0, .. })
    ));
    let sum = program.push([([1, u64::MAX], 0.0)]);
    assert_eq!(
        sum,
        Err(ProgramError::Sum {
            group: 0,
            resource: 1
        })
    );
    program.push([([1, 1], 0.0)]).unwrap();
    program.push([([1, 1], 0.0), ([0, 0], 1.0)]).unwrap();
    assert_eq!(
        program.budget(2, 1),
        Err(ProgramError::Resource {
            resource: 2,
            resources: 2
        })
    );
    assert_eq!(
        program.tie(vec![0, 2]),
        Err(ProgramError::Group { group: 2, groups: 2 })
    );
    assert!(matches!(
        program.tie(vec![0, 1]),
        Err(ProgramError::Tie { second_items: 2, .. })
    ));
}
