//! Against all choices, and what a user may rely on.

use proptest::prelude::*;

use super::*;

/// Costs, losses and flags of a channel's items: a sign for each pixel, one for a block, or none.
type Items = Vec<(u64, f64, u32)>;

/// A program of layers of channels, and of channels in no layer.
fn program(layers: &[(Vec<Items>, Vec<State>)], free: &[Items]) -> Program {
    let mut program = Program::default();
    let push = |program: &mut Program, items: &[(u64, f64, u32)]| {
        let group = program.problem.groups();
        let own = items.iter().map(|&(cost, loss, _)| Item { cost, loss });
        program.problem.push(own).unwrap();
        program.flags.push(items.iter().map(|item| item.2).collect());
        group
    };
    for (groups, states) in layers {
        let groups = groups.iter().map(|items| push(&mut program, items)).collect();
        program.layers.push(Layer {
            groups,
            states: states.clone(),
        });
    }
    for items in free {
        push(&mut program, items);
    }
    program
}

/// The least loss of all choices within a budget.
fn brute(program: &Program, budget: u64) -> Option<f64> {
    let mut choice = vec![0; program.problem.groups()];
    let mut best: Option<f64> = None;
    loop {
        if program.cost(&choice) <= budget {
            let loss = program.problem.loss(&choice);
            best = Some(best.map_or(loss, |best| best.min(loss)));
        }
        let mut at = 0;
        loop {
            if at == choice.len() {
                return best;
            }
            choice[at] += 1;
            if choice[at] < program.problem.group(at).len() {
                break;
            }
            choice[at] = 0;
            at += 1;
        }
    }
}

prop_compose! {
    fn any_items()(items in prop::collection::vec((0u64..20, 0u32..50, 1u32..4), 1..4)) -> Vec<(u64, f64, u32)> {
        // One item without a flag is always there, as an identity is.
        let mut items: Vec<_> = items.into_iter().map(|(cost, loss, flags)| (cost, f64::from(loss), flags)).collect();
        items.push((0, 60.0, 0));
        items
    }
}

prop_compose! {
    fn any_program()(
        layers in prop::collection::vec(
            (prop::collection::vec(any_items(), 1..3), 0u64..30, 0u64..30, 0u64..30), 1..4),
        free in prop::collection::vec(any_items(), 0..2),
    ) -> Program {
        let layers: Vec<_> = layers
            .into_iter()
            .map(|(groups, a, b, both)| {
                let state = |charge, allows| State { charge, allows };
                (groups, vec![state(both.max(a).max(b), 3), state(a, 1), state(b, 2), state(0, 0)])
            })
            .collect();
        program(&layers, &free)
    }
}

proptest! {
    #[test]
    fn no_choice_is_better(program in any_program(), budget in 0u64..160) {
        let found = program.solve(budget, &Limits::default());
        match (found, brute(&program, budget)) {
            (Ok(found), Some(least)) => {
                prop_assert!(program.cost(&found.choice) <= budget);
                prop_assert_eq!(found.cost, program.cost(&found.choice));
                prop_assert!((found.loss - least).abs() < 1e-9, "{} of {least}", found.loss);
                prop_assert!(found.certificate.bound <= least + 1e-9);
                prop_assert!(found.certificate.proved);
            }
            (Err(SolveError::Infeasible { least, .. }), None) => {
                prop_assert!(least > budget);
                prop_assert_eq!(program.cost(&program.cheapest()), least);
                prop_assert!(program.solve(least, &Limits::default()).is_ok());
            }
            (found, least) => prop_assert!(false, "{found:?}, {least:?}"),
        }
    }

    /// More budget never loses more.
    #[test]
    fn more_is_never_worse(program in any_program(), budget in 0u64..160, more in 0u64..40) {
        let less = program.solve(budget, &Limits::default());
        let more = program.solve(budget + more, &Limits::default());
        if let Ok(less) = less {
            prop_assert!(more.unwrap().loss <= less.loss + 1e-9);
        }
    }
}

/// A layer whose last sign costs a round trip gives it up, though each sign alone is cheap.
#[test]
fn a_charge_is_saved_as_a_whole() {
    let channel = || vec![(1, 0.0, 1), (0, 1.0, 0)];
    let states = vec![
        State {
            charge: 100,
            allows: 1,
        },
        State { charge: 0, allows: 0 },
    ];
    let layers = [
        (vec![channel(), channel()], states.clone()),
        (vec![channel(); 3], states),
    ];
    let program = program(&layers, &[]);
    let of = |budget| program.solve(budget, &Limits::default()).unwrap().choice;
    assert_eq!(of(205), [0, 0, 0, 0, 0]);
    assert_eq!(of(204).iter().sum::<usize>(), 1);
    // One round trip less, the smaller layer's, in place of three signs of either.
    assert_eq!(of(202), [1, 1, 0, 0, 0]);
    assert_eq!(of(103), [1, 1, 0, 0, 0]);
    assert_eq!(of(102).iter().sum::<usize>(), 3);
    assert_eq!(of(0), [1; 5]);
}
