//! Predictions against sums done by hand, and between the bounds that any schedule keeps.

use proptest::prelude::*;

use super::*;
use crate::mpc::{Link, Stage, tests};

/// A machine that computes in no time.
const INSTANT: Machine = Machine {
    mac: 0.0,
    sum_mac: 0.0,
    sign: 0.0,
    byte: 0.0,
    message: 0.0,
};

/// `layers` times lift, truncate and ReLU on a map of 64 values.
fn chain(layers: usize) -> Cost {
    Cost::new(&tests::verified(&tests::chain(layers, 8)))
}

fn link(bits_per_second: f64, round_trip: f64) -> LinkModel {
    LinkModel {
        bits_per_second,
        round_trip,
    }
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1e-9)
}

/// Seconds of one layer's offline phase where only bytes count, one byte a second.
#[test]
fn offline_the_helper_deals_while_the_client_shares() {
    let cost = chain(1);
    // 32 bits a pixel to the server; 15 and 106 to the client; a header each.
    let (shared, dealt) = (64 * 4 + 16, 64 * (15 + 106) / 8 + 2 * 16);
    let one = offline::seconds(&cost, &link(8.0, 0.0), &INSTANT);
    // Begin travels to the helper, which then sends its two messages and says that it is ready.
    assert!(close(one, (16 + dealt + 16) as f64), "{one}");
    assert!(dealt > 16 + shared, "the server's link is the idler one");
    // One round trip where latency is all: begin, and what is dealt for the last layer. The image then follows
    // upon that layer's share.
    let waits = |layers| offline::seconds(&chain(layers), &link(1e12, 1.0), &INSTANT);
    for (layers, trips) in [(1, 1.0), (2, 1.0), (9, 1.0)] {
        assert!(
            (waits(layers) - trips).abs() < 1e-6,
            "{layers} layers: {}",
            waits(layers)
        );
    }
}

#[test]
fn online_everything_adds_up() {
    let cost = chain(3);
    let seconds = online(&cost, &link(8.0, 100.0), &INSTANT);
    let payload: u64 = cost.bytes().online;
    // Input, M1 to M4 of three layers, reveal; two round trips a layer, one to reveal.
    assert!(
        close(seconds, (payload + 14 * 16) as f64 + 7.0 * 100.0),
        "{seconds}"
    );
    let work = cost.work(Phase::Online);
    assert!(close(
        online(&cost, &LinkModel::IDEAL, &Machine::ONLINE),
        Machine::ONLINE.seconds(&work)
    ));
}

#[test]
fn work_counts_each_message_of_its_phase() {
    let cost = chain(2);
    let (offline, online) = (cost.work(Phase::Offline), cost.work(Phase::Online));
    assert_eq!(
        (offline.bytes, online.bytes),
        (cost.bytes().offline, cost.bytes().online)
    );
    assert_eq!(offline.messages + online.messages, cost.messages);
    assert_eq!((offline.messages, offline.signs, online.signs), (6, 128, 128));
    let gate = &cost.steps[3];
    let dealt: Vec<u64> = gate.sent_offline(Stage::Deal.link()).collect();
    assert_eq!(dealt, [gate.bytes.offline]);
    assert_eq!(gate.sent_offline(Link::ClientToServer).count(), 0);
}

#[test]
fn without_a_link_the_machine_is_never_idle() {
    let cost = chain(5);
    let seconds = Seconds::predict(&cost, &LinkModel::IDEAL);
    assert!(close(
        seconds.offline,
        Machine::OFFLINE.seconds(&cost.work(Phase::Offline))
    ));
    assert!(close(seconds.total, seconds.offline + seconds.online));
}

proptest! {
    #[test]
    fn offline_is_no_faster_than_its_slowest_part_and_no_slower_than_all(
        layers in 1usize..12,
        megabits in 0.1f64..10_000.0,
        round_trip in 0.0f64..0.1,
    ) {
        let (cost, link) = (chain(layers), link(megabits * 1e6, round_trip));
        let work = Machine::OFFLINE.seconds(&cost.work(Phase::Offline));
        let sent = |on: Link| link.transfer(cost.links[&(on, Phase::Offline)]);
        let (shared, dealt) = (sent(Link::ClientToServer), sent(Link::HelperToClient));
        let headers = link.transfer(16 * (cost.messages + 4));
        let seconds = offline::seconds(&cost, &link, &Machine::OFFLINE);
        prop_assert!(seconds >= work.max(dealt).max(shared) - 1e-12);
        prop_assert!(seconds <= work + dealt + shared + headers + 2.0 * round_trip + 1e-12);
    }
}
