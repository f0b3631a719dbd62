//! Costs against the tables of the protocol's description.

use super::*;
use crate::mpc::cost::Cost;
use crate::mpc::{Link, Phase};

/// A program of an input of 8x16x16, lifted by c0 and truncated, and the gates of `rest`.
fn gated(keep: &str, constants: &str, rest: &str) -> Verified<Program> {
    verified(&format!(
        "const c0 : multiplier[8]{{1*8}}
         {constants}
         %0 = input {{shape=[8, 16, 16]}} : act<8x16x16>
         %1 = lift %0 {{multiplier=c0}} : acc<8x16x16>
         %2 = truncate %1 {{keep=[{keep}]}} : tr<8x16x16>
         {rest}
         %4 = reveal %3 : out<8x16x16>"
    ))
}

const PIXELS: u64 = 8 * 16 * 16;

/// Bits of steps 2 and 3, the truncation and its gate.
fn gate_bits(program: &Program) -> u64 {
    let cost = Cost::new(program);
    cost.steps[2].content_bits + cost.steps[3].content_bits
}

/// Bits per pixel of steps 2 and 3 that travel on a link in a phase.
fn link_bits(program: &Program, link: Link, phase: Phase) -> u64 {
    let messages = [2, 3].map(|id| program.messages(ValueId(id))).concat();
    let on_link = messages
        .iter()
        .filter(|m| m.stage.link() == link && m.stage.phase() == phase);
    on_link.map(|m| m.content_bits()).sum::<u64>() / PIXELS
}

/// Online server to client, client to server; offline client to server, helper to client.
fn table_row(program: &Program) -> [u64; 4] {
    [
        link_bits(program, Link::ServerToClient, Phase::Online),
        link_bits(program, Link::ClientToServer, Phase::Online),
        link_bits(program, Link::ClientToServer, Phase::Offline),
        link_bits(program, Link::HelperToClient, Phase::Offline),
    ]
}

#[test]
fn a_relu_costs_216_bits_with_its_truncation() {
    let relu = gated("15*8", "", "%3 = block_relu %2 {patches=[1x1*8]}");
    assert_eq!(gate_bits(&relu), 216 * PIXELS);
    assert_eq!(table_row(&relu), [23, 40, 32, 121]);
    let cost = Cost::new(&relu);
    assert_eq!(cost.steps[3].drelus, PIXELS);
    assert_eq!(cost.drelus(), PIXELS);
}

#[test]
fn a_requantisation_costs_81_bits() {
    let requant = gated("16*8", "", "%3 = requant %2");
    assert_eq!(gate_bits(&requant), 81 * PIXELS);
    assert_eq!(table_row(&requant), [1, 16, 32, 32]);
    assert_eq!(Cost::new(&requant).drelus(), 0);
}

#[test]
fn a_block_relu_costs_130_bits_a_pixel_and_113_a_patch() {
    for (patch, patches) in [
        ("2x2", 64),
        ("4x4", 16),
        ("1x16", 16),
        ("5x3", 4 * 6),
        ("16x16", 1),
    ] {
        let block = gated("16*8", "", &format!("%3 = block_relu %2 {{patches=[{patch}*8]}}"));
        assert_eq!(
            gate_bits(&block),
            130 * PIXELS + 113 * 8 * patches,
            "patches of {patch}"
        );
        assert_eq!(Cost::new(&block).drelus(), 8 * patches);
    }
}

#[test]
fn a_relu6_costs_272_bits_on_one_opening() {
    let clip = |lower: &str, upper: &str| {
        let gate = format!("%3 = clip %2 {{level=c1, lower=[{lower}*8], upper=[{upper}*8]}}");
        gated("16*8", "const c1 : level[8]{6*8}", &gate)
    };
    assert_eq!(gate_bits(&clip("1x1", "1x1")), 272 * PIXELS);
    assert_eq!(Cost::new(&clip("1x1", "1x1")).drelus(), 2 * PIXELS);
    assert_eq!(Cost::new(&clip("2x2", "1x1")).drelus(), PIXELS / 4 + PIXELS);
    // Without a sign above it is a ReLU in all but name.
    assert_eq!(gate_bits(&clip("2x2", "0x1")), 130 * PIXELS + 113 * (PIXELS / 4));
    assert_eq!(gate_bits(&clip("0x1", "0x1")), 81 * PIXELS);
}

#[test]
fn a_maximum_costs_179_bits_and_a_relu_of_an_activation_has_no_truncation() {
    let bits = |op: &str| {
        let program = verified(&format!(
            "%0 = input {{shape=[8, 16, 16]}}\n%1 = {op}\n%2 = reveal %1"
        ));
        Cost::new(&program).steps[1].content_bits
    };
    assert_eq!(bits("max %0, %0 {non_negative=false}"), 179 * PIXELS);
    assert_eq!(bits("max %0, %0 {non_negative=true}"), (216 - 47) * PIXELS);
    assert_eq!(bits("relu %0 {patches=[1x1*8]}"), (216 - 47) * PIXELS);
    assert_eq!(bits("relu %0 {patches=[0x1*8]}"), 0);
}

#[test]
fn channels_of_one_step_cost_what_they_would_alone() {
    let mixed = gated(
        "15*4, 16*4",
        "",
        "%3 = block_relu %2 {patches=[1x1*4, 0x1*2, 4x4*2]}",
    );
    let plane = 256;
    assert_eq!(
        gate_bits(&mixed),
        plane * (4 * 216 + 2 * 81 + 2 * 130) + 2 * 16 * 113
    );
}

#[test]
fn the_sums_of_a_cost_agree() {
    let program = gated("15*8", "", "%3 = block_relu %2 {patches=[1x1*8]}");
    let cost = Cost::new(&program);
    let steps = cost.steps.iter().map(|s| s.bytes);
    assert_eq!(cost.bytes().total, steps.clone().map(|b| b.total).sum::<u64>());
    assert_eq!(cost.bytes().offline, steps.map(|b| b.offline).sum::<u64>());
    // Sections of these sizes fill whole bytes: input 32, gate 216, reveal 16.
    assert_eq!(cost.bytes().total, PIXELS * (32 + 216 + 16) / 8);
    assert_eq!(cost.bytes().online, PIXELS * (32 + 63 + 16) / 8);
    // Input; two of the truncation; deal and M1 to M4; reveal.
    assert_eq!((cost.messages, cost.macs(), cost.round_trips), (9, 0, 3));
}

#[test]
fn multiply_adds_are_those_of_the_convolutions() {
    let program = verified(
        "const c0 : weight[4,3,3,3] random(1)
         const c1 : weight[4,1,3,3] random(2)
         %0 = input {shape=[3, 10, 10]}
         %1 = conv2d %0 {weight=c0, channels=4, kernel=[3, 3]}
         %2 = truncate %1 {keep=[16*4]}
         %3 = requant %2
         %4 = conv2d %3 {weight=c1, channels=4, kernel=[3, 3], groups=4, stride=[2, 2], pads=[1*4]}
         %5 = truncate %4 {keep=[16*4]}
         %6 = reveal %5",
    );
    let cost = Cost::new(&program);
    assert_eq!(cost.steps[1].macs, 4 * 8 * 8 * 27);
    assert_eq!(cost.steps[4].macs, 4 * 4 * 4 * 9);
    assert_eq!(cost.macs(), 4 * 64 * 27 + 4 * 16 * 9);
}
