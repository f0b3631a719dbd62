//! What gates cost, group by group.

use super::*;
use crate::mpc::message::Message;

fn bits(groups: &[Group]) -> Vec<u64> {
    messages(groups).iter().map(Message::content_bits).collect()
}

#[test]
fn the_terms_are_fifteen_distinct_products() {
    let terms = product_terms();
    assert_eq!(terms.len(), PRODUCTS);
    assert!(terms.iter().all(|t| t.count_ones() >= 2));
}

#[test]
fn a_relu_costs_what_the_protocol_says() {
    let shape = Shape::new(1, 8, 8);
    let relu = groups(&vec![Patch::PIXEL], None, shape, false);
    // deal 44 + 15 + 15 + 15 + 17, M1 15 + 6, M2 6 + 1, M3 1 + 1, M4 32 + 1; with the
    // truncation's 32 + 15 that is 216 bits a ReLU, 63 of them online.
    assert_eq!(bits(&relu), [106, 21, 7, 2, 33].map(|b| b * 64));
}

#[test]
fn a_block_relu_costs_130_bits_a_pixel_and_113_a_patch() {
    let shape = Shape::new(1, 8, 8);
    let block = groups(&vec![Patch::Block { h: 4, w: 4 }], None, shape, false);
    let gate: u64 = bits(&block).iter().sum();
    assert_eq!(gate, (130 - 48) * 64 + 113 * 4);
}

#[test]
fn a_clip_on_one_opening_costs_272_bits() {
    let shape = Shape::new(1, 8, 8);
    let patches = vec![Patch::PIXEL];
    let clip = groups(&patches, Some(&patches), shape, false);
    assert_eq!(bits(&clip).iter().sum::<u64>(), (272 - 48) * 64);
}

#[test]
fn a_maximum_costs_179_bits_and_a_requantisation_33() {
    let shape = Shape::new(1, 8, 8);
    assert_eq!(
        bits(&difference_groups(WIDE, shape)).iter().sum::<u64>(),
        179 * 64
    );
    let requant = groups(&vec![Patch::Identity], None, shape, false);
    assert_eq!(bits(&requant).iter().sum::<u64>(), 33 * 64);
}

#[test]
fn gates_in_one_round_cost_what_the_protocol_says() {
    let shape = Shape::new(1, 8, 8);
    let one_round = |groups| bits(&in_rounds(Rounds::One, groups));
    let relu = one_round(groups(&vec![Patch::PIXEL], None, shape, false));
    // deal 160 + 32 + 32 + 17 + 17 + 17, M1 15 + 25, M2 1 + 32; with the truncation's 32 + 15 that is 395 bits.
    assert_eq!(relu, [275, 40, 33].map(|b| b * 64));
    let block = one_round(groups(&vec![Patch::Block { h: 4, w: 4 }], None, shape, false));
    assert_eq!(block.iter().sum::<u64>(), (176 - 48) * 64 + 258 * 4);
    let patches = vec![Patch::PIXEL];
    let clip = one_round(groups(&patches, Some(&patches), shape, false));
    assert_eq!(clip.iter().sum::<u64>(), (660 - 48) * 64);
    for (ring, of_each) in [(WIDE, 370), (NARROW, 348)] {
        let max = one_round(difference_groups(ring, shape));
        assert_eq!(max.iter().sum::<u64>(), of_each * 64);
    }
    let requant = one_round(groups(&vec![Patch::Identity], None, shape, false));
    assert_eq!(requant.iter().sum::<u64>(), 33 * 64);
}

#[test]
fn channels_of_one_kind_are_one_group() {
    let (block, row) = (Patch::Block { h: 2, w: 2 }, Patch::Block { h: 1, w: 3 });
    let patches = vec![Patch::PIXEL, Patch::Identity, row, Patch::PIXEL, block];
    let groups = groups(&patches, None, Shape::new(5, 4, 4), false);
    let channels: Vec<_> = groups.iter().map(|g| g.channels.clone()).collect();
    assert_eq!(channels, [vec![1], vec![0, 3], vec![2, 4]]);
    let opening = &groups[2].openings[1];
    assert_eq!(
        (&opening.patches, &opening.starts),
        (&vec![row, block], &vec![0, 8, 12])
    );
    assert_eq!(groups[2].drelus(), 12);
}

#[test]
fn segments_come_in_blocks_of_whole_bytes() {
    let shape = Shape::new(1, 30, 50);
    let patches = vec![Patch::Block { h: 2, w: 3 }];
    for upper in [None, Some(&patches)] {
        let groups = groups(&patches, upper, shape, false);
        for message in messages(&groups) {
            let segments = groups[0].order().map(|at| groups[0].segment(message.stage, at));
            let bytes: usize = segments.map(|s| s.bytes(s.count)).sum();
            assert_eq!(bytes, message.bytes(), "{:?}", message.stage);
        }
    }
}
