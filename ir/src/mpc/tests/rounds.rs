//! Rounds: chains are as long as they must be, and branches share them.

use super::*;
use crate::mpc::schedule::{Round, Schedule};
use crate::mpc::{Link, Stage};

fn rounds(body: &str) -> Vec<Round> {
    Schedule::new(&verified(body)).rounds
}

fn slots(slots: &[crate::mpc::schedule::Slot]) -> Vec<(u32, Stage)> {
    slots.iter().map(|s| (s.step.0, s.stage)).collect()
}

#[test]
fn a_chain_of_layers_has_two_rounds_each_and_one_to_reveal() {
    for layers in 1..12 {
        assert_eq!(rounds(&chain(layers, 4)).len(), 2 * layers + 1);
    }
}

#[test]
fn the_rounds_of_one_relu_are_those_of_the_protocol() {
    let rounds = rounds(&chain(1, 4));
    let expected = [
        (vec![0, 1, 2, 3], vec![(3, Stage::M1)], vec![(3, Stage::M2)]),
        (vec![], vec![(3, Stage::M3)], vec![(3, Stage::M4)]),
        (vec![4], vec![(4, Stage::Reveal)], vec![]),
    ];
    assert_eq!(rounds.len(), expected.len());
    for (round, (begin, server, client)) in rounds.iter().zip(expected) {
        assert_eq!(round.begin.iter().map(|id| id.0).collect::<Vec<_>>(), begin);
        assert_eq!(slots(&round.server), server);
        assert_eq!(slots(&round.client), client);
    }
}

#[test]
fn a_requantisation_takes_one_round() {
    let body = "const c0 : multiplier[1]{1}
         %0 = input {shape=[1, 4, 4]}
         %1 = lift %0 {multiplier=c0}
         %2 = truncate %1 {keep=[16]}
         %3 = requant %2
         %4 = reveal %3";
    let alone = rounds(body);
    assert_eq!(alone.len(), 2);
    assert_eq!(slots(&alone[0].client), [(3, Stage::M2)]);
}

#[test]
fn a_requantisation_beside_a_relu_is_ready_a_round_earlier() {
    let rounds = rounds(
        "const c0 : multiplier[1]{1}
         %0 = input {shape=[1, 4, 4]}
         %1 = lift %0 {multiplier=c0}
         %2 = truncate %1 {keep=[16]}
         %3 = requant %2
         %4 = block_relu %2 {patches=[1x1]}
         %5 = relu %3 {patches=[1x1]}
         %6 = concat %4, %5
         %7 = reveal %6",
    );
    // The ReLU on the requantised value begins while the other one ends.
    assert_eq!(rounds.len(), 4);
    assert_eq!(slots(&rounds[0].server), [(3, Stage::M1), (4, Stage::M1)]);
    assert_eq!(slots(&rounds[1].server), [(4, Stage::M3), (5, Stage::M1)]);
    assert_eq!(slots(&rounds[2].server), [(5, Stage::M3)]);
    assert_eq!(rounds[1].begin, [ValueId(5)]);
    assert_eq!(rounds[3].begin, [ValueId(6), ValueId(7)]);
}

#[test]
fn independent_branches_share_their_rounds() {
    let branch = |from: usize| {
        format!(
            "%{} = lift %0 {{multiplier=c0}}
             %{} = truncate %{from} {{keep=[15]}}
             %{} = block_relu %{} {{patches=[1x1]}}",
            from,
            from + 1,
            from + 2,
            from + 1
        )
    };
    let rounds = rounds(&format!(
        "const c0 : multiplier[1]{{1}}\n%0 = input {{shape=[1, 4, 4]}}\n{}\n{}\n{}\n%10 = concat %3, %6, %9\n%11 = reveal %10",
        branch(1),
        branch(4),
        branch(7)
    ));
    assert_eq!(rounds.len(), 3);
    for stage in [Stage::M1, Stage::M3] {
        let round = &rounds[usize::from(stage == Stage::M3)];
        assert_eq!(slots(&round.server), [(3, stage), (6, stage), (9, stage)]);
    }
}

#[test]
fn a_gate_without_signs_and_one_that_passes_all_are_shorter() {
    let relu = |patch: &str| {
        rounds(&format!(
            "%0 = input {{shape=[2, 4, 4]}}\n%1 = relu %0 {{patches=[{patch}*2]}}\n%2 = reveal %1"
        ))
    };
    assert_eq!(relu("1x1").len(), 3);
    assert_eq!(relu("0x1").len(), 1);
}

#[test]
fn every_online_message_stands_in_one_round_of_its_direction() {
    let body = chain(5, 4);
    let program = verified(&body);
    let schedule = Schedule::new(&program);
    let mut expected = Vec::new();
    for id in program.ids() {
        let online = program
            .messages(id)
            .into_iter()
            .map(|m| m.stage)
            .filter(|s| s.phase() == crate::mpc::Phase::Online);
        expected.extend(online.filter(|s| *s != Stage::Input).map(|stage| (id.0, stage)));
    }
    let mut found = Vec::new();
    for round in &schedule.rounds {
        assert!(
            round
                .server
                .iter()
                .all(|s| s.stage.link() == Link::ServerToClient)
        );
        assert!(
            round
                .client
                .iter()
                .all(|s| s.stage.link() == Link::ClientToServer)
        );
        found.extend(slots(&round.server));
        found.extend(slots(&round.client));
    }
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
}
