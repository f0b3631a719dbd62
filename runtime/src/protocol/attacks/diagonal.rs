//! What `docs/PROTOCOL.md` rests its views on, tried out mask by mask: the map from the masks that a
//! receiver lacks to what it receives is triangular, with ones on its diagonal.
//!
//! Each bit of each mask is turned round at both parties that draw it, and the step is run again with
//! all else as it was. In what the receiver gets, the one field that the mask is there for must
//! change, by that bit: a plane's bit turns round, a number goes up or down by 2^bit in its ring.
//! Nothing else may change but fields under masks of a later line of [`order`](table::order). As
//! every bit that was received is in a field of the [table](table), each has a mask bit that turns it.
//!
//! So a mask that is left out, too narrow, shared by neighbours or by two fields is noticed without
//! any statistics, also where each single bit remains uniform and only three together tell something.
//!
//! The client does not get the low halves of R, but they belong to its view here: the rounding coins
//! are functions of them, and the output must not tell more than with coins that it could not foresee.

mod breaks;
mod case;
mod table;

use trefoil_ir::mpc::gate::{NARROW, WIDE, activation_groups, difference_groups};
use trefoil_ir::mpc::{Party, Phase};
use trefoil_ir::{Patch, Shape};

use breaks::{Broken, Misuse};
use case::{Case, Operand, Outcome};
use table::{Column, is_of_garbling, order};

use crate::prg::{Purpose, Tap};

/// Every case is tried with so many keys and images.
const SESSIONS: u32 = 2;

const PIXEL: Patch = Patch::PIXEL;
const NONE: Patch = Patch::Identity;
const PAIR: Patch = Patch::Block { h: 1, w: 2 };
const THREE: Patch = Patch::Block { h: 1, w: 3 };

/// Four pixels: two patches of two, or one of three and one of one.
const ROW: [usize; 2] = [1, 4];

/// Who shares with the helper the streams that a receiver lacks.
fn holder(receiver: Party) -> Party {
    match receiver {
        Party::Client => Party::Server,
        _ => Party::Client,
    }
}

/// A bit of the mask of a value: the number of the column, of the value in it, and of the bit.
#[derive(Clone, Copy, Debug)]
struct MaskBit {
    column: usize,
    value: usize,
    bit: u32,
}

/// Turns each bit of the masks round that hide what this receiver gets, those of one purpose or all,
/// and says where the first one does not do what it must.
fn first_breach(case: &Case, receiver: Party, session: u32, only: Option<Purpose>) -> Option<String> {
    let before = case.run(session, None);
    for (at, column) in before.view(receiver).iter().enumerate() {
        if only.is_some_and(|only| only != column.purpose) {
            continue;
        }
        for value in probes(case, column.values.len()) {
            for bit in 0..column.place.width {
                let tap = Tap {
                    inference: session,
                    step: column.step,
                    purpose: column.purpose,
                    bit: column.place.bit(value, bit),
                };
                let after = case.run(session, Some((holder(receiver), tap)));
                let turned = MaskBit {
                    column: at,
                    value,
                    bit,
                };
                if let Some(breach) = breach(receiver, &before, &after, turned) {
                    return Some(breach);
                }
            }
        }
    }
    None
}

/// The values whose masks are turned round, of a column of so many.
fn probes(case: &Case, count: usize) -> Vec<usize> {
    let all = (0..count).filter(|value| case.probes.is_empty() || case.probes.contains(value));
    all.collect()
}

/// What changed, or did not, against the rule, when a bit was turned round.
fn breach(receiver: Party, before: &Outcome, after: &Outcome, turned: MaskBit) -> Option<String> {
    let MaskBit { column, value, bit } = turned;
    let own = &before.view(receiver)[column];
    let columns = before.view(receiver).iter().zip(after.view(receiver));
    let mut garbled_otherwise = false;
    for (at, (was, is)) in columns.enumerate() {
        let masks_nothing = bit >= own.bits;
        garbled_otherwise |= was.purpose == Purpose::GarblePad && was.values != is.values;
        if at == column && own.is_of_states() {
            if was.values != is.values {
                return Some(format!(
                    "the mask of a state of {own:?} changes the keys themselves"
                ));
            }
        } else if at == column && !masks_nothing {
            if !is_turned(was, is, value, bit) {
                return Some(format!(
                    "bit {bit} of the mask of value {value} of {own:?} gives {is:?}"
                ));
            }
        } else if (masks_nothing || !may_depend(receiver, was, own)) && was.values != is.values {
            return Some(format!(
                "bit {bit} of the mask of value {value} of {own:?} changes {was:?}"
            ));
        }
    }
    if own.is_of_states() && !garbled_otherwise {
        return Some(format!(
            "the mask of a state of value {value} of {own:?} hides nothing"
        ));
    }
    let result = format!("bit {bit} of the mask of value {value} of {own:?} changes the result");
    (!after.has_the_result_of(before)).then_some(result)
}

/// Whether exactly this bit of this value was turned round: in a ring, its weight added or taken away.
fn is_turned(was: &Column, is: &Column, value: usize, bit: u32) -> bool {
    let limit = u32::MAX >> (32 - was.bits);
    let weight = 1u32 << bit;
    let mut values = was.values.iter().zip(&is.values).enumerate();
    values.all(|(at, (was, is))| {
        let change = is.wrapping_sub(*was) & limit;
        if at == value {
            change == weight || change == weight.wrapping_neg() & limit
        } else {
            change == 0
        }
    })
}

/// Whether a field may depend on the masks of another one: those of its own group, or of an earlier
/// step, that come before it in the order.
fn may_depend(receiver: Party, field: &Column, on: &Column) -> bool {
    let same_group = on.group.is_none() || on.group == field.group;
    if [field, on]
        .into_iter()
        .all(|column| is_of_garbling(column.purpose))
    {
        return same_group && field.purpose != on.purpose;
    }
    same_group && line(receiver, field.purpose) > line(receiver, on.purpose)
}

fn line(receiver: Party, purpose: Purpose) -> usize {
    let mut lines = order(receiver).iter();
    let line = lines.position(|line| line.contains(&purpose));
    line.unwrap_or_else(|| panic!("{purpose:?} hides nothing from the {receiver}"))
}

/// Of a gate with signs both in two rounds and in one.
fn assert_diagonal(case: &Case) {
    assert_diagonal_as_it_is(case);
    if case.groups.iter().any(|group| group.form.has_signs()) {
        assert_diagonal_as_it_is(&case.clone().in_one_round());
    }
}

fn assert_diagonal_as_it_is(case: &Case) {
    for receiver in [Party::Client, Party::Server] {
        for session in 0..SESSIONS {
            if let Some(breach) = first_breach(case, receiver, session, None) {
                panic!("what the {receiver} receives: {breach}");
            }
        }
    }
}

#[test]
fn reveal() {
    for operand in [Operand::Convolved, Operand::Lifted, Operand::Activation] {
        assert_diagonal(&Case::new(operand, Shape::new(1, 1, 4), Vec::new()));
    }
}

#[test]
fn requantise() {
    for operand in [Operand::Convolved, Operand::Lifted] {
        assert_diagonal(&Case::patches(operand, ROW, &[[NONE, NONE]]));
    }
}

#[test]
fn relu() {
    for operand in [Operand::Convolved, Operand::Lifted] {
        assert_diagonal(&Case::patches(operand, ROW, &[[PIXEL, NONE]]));
    }
}

#[test]
fn block_relu() {
    for operand in [Operand::Convolved, Operand::Summed] {
        assert_diagonal(&Case::patches(operand, ROW, &[[PAIR, NONE]]));
    }
}

#[test]
fn clip_with_equal_patches() {
    assert_diagonal(&Case::patches(Operand::Convolved, ROW, &[[PIXEL, PIXEL]]));
    for operand in [Operand::Convolved, Operand::Summed] {
        assert_diagonal(&Case::patches(operand, ROW, &[[PAIR, PAIR]]));
    }
}

#[test]
fn clip_with_different_patches() {
    for patches in [[PIXEL, PAIR], [PAIR, PIXEL], [PAIR, THREE]] {
        assert_diagonal(&Case::patches(Operand::Convolved, ROW, &[patches]));
    }
    assert_diagonal(&Case::patches(Operand::Summed, ROW, &[[PIXEL, PAIR]]));
}

#[test]
fn clip_without_a_lower_sign() {
    for upper in [PIXEL, PAIR] {
        assert_diagonal(&Case::patches(Operand::Convolved, ROW, &[[NONE, upper]]));
    }
}

#[test]
fn relu_on_activations() {
    let shape = Shape::new(2, 1, 3);
    let groups = activation_groups(&vec![PIXEL, NONE], shape);
    assert_diagonal(&Case::new(Operand::Activation, shape, groups));
}

#[test]
fn maximum() {
    let shape = Shape::new(1, 1, 4);
    for ring in [NARROW, WIDE] {
        let groups = difference_groups(ring, shape);
        assert_diagonal(&Case::new(Operand::Difference, shape, groups));
    }
}

#[test]
fn all_groups_of_a_layer() {
    let patches = [
        [NONE, NONE],
        [PIXEL, NONE],
        [PAIR, NONE],
        [THREE, NONE],
        [PIXEL, PIXEL],
        [PAIR, PIXEL],
        [NONE, PAIR],
        [NONE, NONE],
    ];
    // The first and the last two values of any group, and neighbours between its channels.
    let probes = [0, 1, 2, 3, 4, 7];
    assert_diagonal(&Case::patches(Operand::Convolved, ROW, &patches).probing(&probes));
}

#[test]
fn more_values_than_a_block_has() {
    let probes = [0, 511, 512, 519];
    for patches in [[NONE, NONE], [PIXEL, PIXEL], [PAIR, NONE]] {
        assert_diagonal(&Case::patches(Operand::Convolved, [1, 1040], &[patches]).probing(&probes));
    }
}

/// Jobs work on sixteen blocks each.
#[test]
fn more_values_than_a_job_has() {
    let case = Case::patches(Operand::Convolved, [1, 8193], &[[NONE, NONE]]);
    assert_diagonal(&case.probing(&[0, 8192]));
}

/// What travels ahead of the image is the same for any image.
#[test]
fn offline_messages_depend_on_no_image() {
    let case = Case::patches(
        Operand::Convolved,
        ROW,
        &[[NONE, NONE], [PIXEL, PIXEL], [PAIR, NONE]],
    );
    let other = Case {
        image: 6,
        ..case.clone()
    };
    for [one, other] in [
        [case.clone(), other.clone()],
        [case.in_one_round(), other.in_one_round()],
    ] {
        let [one, other] = [one, other].map(|case| case.run(0, None));
        for receiver in [Party::Client, Party::Server] {
            for (one, other) in one.view(receiver).iter().zip(other.view(receiver)) {
                if one.stage.phase() == Phase::Offline {
                    assert_eq!(one.values, other.values, "{one:?}");
                }
            }
        }
    }
}

/// Every misuse of every mask is noticed, wherever it changes anything.
#[test]
fn misused_masks_are_noticed() {
    let cases = [
        Case::patches(Operand::Convolved, ROW, &[[NONE, NONE]]),
        Case::patches(Operand::Convolved, ROW, &[[PIXEL, PIXEL]]),
        Case::patches(Operand::Convolved, ROW, &[[PAIR, PIXEL]]),
        Case::patches(Operand::Summed, ROW, &[[PAIR, PAIR]]),
    ];
    let at_once = cases[1..].iter().map(|case| case.clone().in_one_round());
    let at_once: Vec<Case> = at_once.collect();
    let mut noticed = 0;
    for (case, receiver) in cases
        .iter()
        .chain(&at_once)
        .flat_map(|case| [(case, Party::Client), (case, Party::Server)])
    {
        for &purpose in order(receiver).iter().copied().flatten() {
            for misuse in Misuse::ALL {
                let broken = case.clone().broken(Broken { purpose, misuse });
                if !differ(receiver, &case.run(0, None), &broken.run(0, None)) {
                    continue;
                }
                let breach = first_breach(&broken, receiver, 0, Some(purpose));
                assert!(
                    breach.is_some(),
                    "{purpose:?} {misuse:?} is not noticed by the {receiver}"
                );
                noticed += 1;
            }
        }
    }
    assert!(noticed > 250, "{noticed} were put in");
}

fn differ(receiver: Party, one: &Outcome, other: &Outcome) -> bool {
    let mut columns = one.view(receiver).iter().zip(other.view(receiver));
    columns.any(|(one, other)| one.values != other.values)
}
