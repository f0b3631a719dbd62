//! What a menu offers, and what it costs.

use ndarray::{Array1, Array2};

use super::*;
use crate::budget::knapsack::{Limits, solve};
use crate::profile::{Layer, LayerSummary, Method, Shard};

const BLOCK: Patch = Patch::Block { h: 2, w: 2 };
const WIDE: Patch = Patch::Block { h: 2, w: 4 };

fn layer(name: &str, sign: Sign, channels: usize) -> Layer {
    Layer {
        name: name.into(),
        sign,
        map: [4, 4],
        channels,
        patches: vec![Patch::Identity, Patch::PIXEL, BLOCK, WIDE],
    }
}

/// A ReLU with three channels and a clip with two; losses grow with the patch and the channel.
fn profile() -> (Header, Summary) {
    let layers = vec![
        layer("relu", Sign::Lower, 3),
        layer("clip", Sign::Lower, 2),
        layer("clip", Sign::Upper, 2),
    ];
    let summary = |layer: &Layer| {
        let loss = |(c, o): (usize, usize)| [9.0, 0.0, 1.0, 3.0][o] * (1.0 + c as f64);
        LayerSummary {
            mean: Array2::from_shape_fn((layer.channels, 4), loss),
            error: Array2::zeros((layer.channels, 4)),
            sums: Array2::zeros((layer.channels, 4)),
        }
    };
    let summary = Summary {
        layers: layers.iter().map(summary).collect(),
        min: Array1::zeros(0),
        max: Array1::zeros(0),
    };
    let header = Header {
        format: Header::FORMAT,
        model: "net".into(),
        digest: String::new(),
        relu6_as_relu: false,
        assignment: None,
        data: String::new(),
        images: 1,
        shard: Shard::WHOLE,
        method: Method::Sketch,
        probes: 1,
        seed: 0,
        layers,
        values: Vec::new(),
    };
    (header, summary)
}

fn menu(currency: Currency, clips: ClipSigns) -> (Header, Menu) {
    let (header, summary) = profile();
    let menu = Menu::new(
        &header,
        &summary,
        &currency,
        Offers {
            clips,
            rules: &Rules::default(),
            together: false,
        },
        &Tariff::default(),
    )
    .unwrap();
    (header, menu)
}

#[test]
fn signs_are_apart_in_drelus_and_together_in_bits() {
    let (_, menu_of_signs) = menu(Currency::Relus, ClipSigns::Both);
    assert_eq!(menu_of_signs.slots.len(), 3 + 2 * 2);
    let (_, menu_of_channels) = menu(Currency::Bits(None), ClipSigns::Both);
    assert_eq!(menu_of_channels.slots.len(), 3 + 2);
}

#[test]
fn pixels_cost_what_the_network_has() {
    let (header, menu) = menu(Currency::Relus, ClipSigns::Both);
    let pixels = menu.pixels(&header);
    assert_eq!(menu.program.problem.cost(&pixels), 16 * (3 + 4));
    assert_eq!(menu.program.problem.loss(&pixels), 0.0);
    let assignment = menu.assignment(&header, &pixels);
    let text = assignment.to_json();
    assert!(!text.contains("[2,"), "{text}");
}

#[test]
fn signs_that_are_not_free_stay_with_pixels() {
    for (clips, fixed) in [
        (ClipSigns::None, 64),
        (ClipSigns::Lower, 32),
        (ClipSigns::Both, 0),
    ] {
        let (header, menu) = menu(Currency::Relus, clips);
        let least = solve(&menu.program.problem, fixed, &Limits::default()).unwrap();
        assert_eq!(least.cost, fixed);
        let text = menu.assignment(&header, &least.choice).to_json();
        assert_eq!(
            text.contains("\"upper\":[[1,1],[1,1]]"),
            clips != ClipSigns::Both,
            "{text}"
        );
    }
}

#[test]
fn the_least_distorting_assignment_is_found_by_either_currency() {
    // At half the DReLUs the larger patches go where they hurt least: to the first channels.
    let (header, menu_of_signs) = menu(Currency::Relus, ClipSigns::Both);
    let solution = solve(&menu_of_signs.program.problem, 56, &Limits::default()).unwrap();
    let names = menu_of_signs.distortions(&solution.choice);
    assert!((names.values().sum::<f64>() - solution.loss).abs() < 1e-12);
    let text = menu_of_signs.assignment(&header, &solution.choice).to_json();
    assert!(text.contains("\"relu\":[[2,2],"), "{text}");

    let (header, menu_of_channels) = menu(Currency::Bits(None), ClipSigns::Both);
    let pixels = menu_of_channels
        .program
        .problem
        .cost(&menu_of_channels.pixels(&header));
    let solution = solve(
        &menu_of_channels.program.problem,
        pixels * 3 / 4,
        &Limits::default(),
    )
    .unwrap();
    assert!(solution.cost <= pixels * 3 / 4 && solution.loss > 0.0);
}

#[test]
fn random_choices_keep_the_budget_and_come_again() {
    let (_, menu) = menu(Currency::Relus, ClipSigns::Both);
    for budget in [0, 10, 40, 112] {
        let choice = menu.random(budget, 3).unwrap();
        let cost = menu.program.problem.cost(&choice);
        assert!(cost <= budget && cost + 8 >= budget, "{cost} of {budget}");
        assert_eq!(menu.random(budget, 3), Some(choice));
    }
    assert_ne!(menu.random(40, 3), menu.random(40, 4));
}
