//! A mask asked for a second time: the ledger of streams stops every party, in every step that
//! draws masks. (Release builds keep no ledger. Within a step [`StepStreams`] refuses a second draw
//! there, too; and steps of one name are kept apart by the sessions, which count inferences and burn
//! each number before its first message.)
#![cfg(debug_assertions)]

use std::panic::{AssertUnwindSafe, catch_unwind};

use trefoil_ir::mpc::gate::{self, Group, Rounds};
use trefoil_ir::mpc::op::Truncate;
use trefoil_ir::mpc::privacy::{DrawId, Draws, Key};
use trefoil_ir::{Patch, Shape};

use super::parties::{Keys, Shares, run_gate, truncation};
use crate::kernel::Isa;
use crate::prg::{Purpose, StreamKey};
use crate::protocol::gate::{Client, Exact, Levels, MaskSource, Server, helper_deal, result_mask};
use crate::protocol::layout::GateLayout;
use crate::protocol::operand::Half;
use crate::protocol::streams::StepStreams;
use crate::protocol::truncate;

const SHAPE: Shape = Shape { c: 4, h: 4, w: 4 };
const COUNT: usize = 64;

/// Does a party's part of a step twice under one name, and expects that the second time is
/// stopped.
fn assert_stopped(what: &str, mut part: impl FnMut()) {
    part();
    let error = catch_unwind(AssertUnwindSafe(part)).expect_err(what);
    let message = error.downcast_ref::<String>().expect("a formatted message");
    assert!(message.contains("already handed out"), "{what}: {message}");
}

/// A layer with every kind of group.
fn groups() -> Vec<Group> {
    let block = Patch::Block { h: 2, w: 2 };
    let lower = vec![Patch::Identity, Patch::PIXEL, block, block];
    let upper = vec![Patch::Identity, Patch::PIXEL, Patch::Identity, Patch::PIXEL];
    gate::groups(&lower, Some(&upper), SHAPE, false)
}

/// The same, with all signs taken in one round.
fn groups_in_one_round() -> Vec<Group> {
    gate::in_rounds(Rounds::One, groups())
}

fn truncating(stream_key: &StreamKey, key: Key, step: u32) -> StepStreams<'_> {
    StepStreams::new(stream_key, 0, step, Draws::of_truncation(COUNT).of_key(key))
}

fn gating(stream_key: &StreamKey, key: Key, step: u32) -> StepStreams<'_> {
    gating_of(&groups(), stream_key, key, step)
}

fn gating_of<'a>(groups: &[Group], stream_key: &'a StreamKey, key: Key, step: u32) -> StepStreams<'a> {
    StepStreams::new(stream_key, 0, step, Draws::of_gate(groups).of_key(key))
}

fn shares() -> Shares {
    Shares {
        s: vec![1; COUNT],
        c: vec![2; COUNT],
        h: vec![3; COUNT],
    }
}

#[test]
fn a_second_truncation_under_one_name_is_stopped_at_every_party() {
    let keys = Keys::new(1);
    let op = Truncate { keep: vec![16; 4] };
    let share = truncate::client_send(
        Isa::Scalar,
        &[0; COUNT],
        &mut truncating(&keys.client, Key::ClientHelper, 9),
    );
    assert_stopped("client", || {
        truncate::client_send(
            Isa::Scalar,
            &[7; COUNT],
            &mut truncating(&keys.client, Key::ClientHelper, 2),
        );
    });
    assert_stopped("server", || {
        truncate::server(
            Isa::Scalar,
            vec![7; COUNT],
            &share,
            &mut truncating(&keys.server, Key::ServerHelper, 2),
        )
        .unwrap();
    });
    assert_stopped("helper", || {
        let mut client = truncating(&keys.helper_ch, Key::ClientHelper, 2);
        truncate::helper(
            Isa::Scalar,
            &op,
            vec![7; COUNT],
            &mut client,
            &mut truncating(&keys.helper_sh, Key::ServerHelper, 2),
        );
    });
}

#[test]
fn a_second_truncation_of_sums_is_stopped_at_the_helper() {
    let keys = Keys::new(5);
    assert_stopped("helper", || {
        let mut client = truncating(&keys.helper_ch, Key::ClientHelper, 2);
        let mut server = truncating(&keys.helper_sh, Key::ServerHelper, 2);
        truncate::helper_sums(Isa::Scalar, vec![7; COUNT], &mut client, &mut server);
    });
}

#[test]
fn a_second_gate_under_one_name_is_stopped_at_every_party() {
    a_second_gate_is_stopped(&groups(), 2);
    a_second_gate_is_stopped(&groups_in_one_round(), 12);
}

fn a_second_gate_is_stopped(groups: &[Group], session: u32) {
    let (keys, levels) = (Keys::new(session), [300; 4]);
    let gating = |key_of, key, step| gating_of(groups, key_of, key, step);
    let halves = truncation(&keys, 1, shares(), 4, 16);
    let exact = |pixels| Exact { pixels, sums: &[] };
    let of_pixels = Levels {
        pixels: &levels,
        sums: &[],
    };
    let source = MaskSource {
        rs: Half::Top(&halves.rs),
        exact: exact(&halves.r),
        passed: &halves.r,
    };
    let layer = GateLayout::new(Isa::Scalar, groups.to_vec());
    let exchange = run_gate(&keys, 3, groups, &halves, &levels);
    assert_stopped("helper", || {
        let mut client = gating(&keys.helper_ch, Key::ClientHelper, 2);
        helper_deal(
            &layer,
            &source,
            &mut client,
            &mut gating(&keys.helper_sh, Key::ServerHelper, 2),
        );
    });
    assert_stopped("server", || {
        let mut streams = gating(&keys.server, Key::ServerHelper, 2);
        Server::m1(
            &layer,
            Half::Top(&halves.zs),
            exact(&halves.d),
            of_pixels,
            &mut streams,
        );
    });
    assert_stopped("client, ahead of the input", || {
        result_mask(&layer, &source, &mut gating(&keys.client, Key::ClientHelper, 4));
    });
    assert_stopped("client", || {
        let mut streams = gating(&keys.client, Key::ClientHelper, 2);
        Client::m2(
            &layer,
            Half::Top(&halves.rs),
            &exchange.deal,
            exchange.m1.clone(),
            of_pixels,
            &mut streams,
        )
        .unwrap();
    });
}

#[test]
fn another_step_and_another_inference_have_masks_of_their_own() {
    let keys = Keys::new(3);
    let draw = |inference, step| {
        let draws = Draws::of_truncation(COUNT);
        StepStreams::new(&keys.client, inference, step, draws.iter())
            .u32s(DrawId::only(Purpose::TruncationMask))
    };
    let names = [(0, 0), (0, 1), (1, 0), (1, 1), (0, 1 << 16), (1 << 16, 0)];
    let mut drawn: Vec<Vec<u32>> = names.map(|(inference, step)| draw(inference, step)).to_vec();
    drawn.sort();
    drawn.dedup();
    assert_eq!(drawn.len(), names.len());
}

#[test]
fn only_what_was_drawn_can_be_replayed() {
    let keys = Keys::new(4);
    let replay = || gating(&keys.client, Key::ClientHelper, 1).replay(Purpose::FreshMask);
    assert!(catch_unwind(AssertUnwindSafe(replay)).is_err());
    gating(&keys.client, Key::ClientHelper, 1).halves(groups()[0].draw(Purpose::FreshMask, 0));
    replay();
}
