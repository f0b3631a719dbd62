//! Sketch and exact distortions against their definitions, on small random networks with gates of
//! every kind.

use proptest::prelude::*;
use trefoil_ir::nn::eval::{self, FeatureMap, Tape};
use trefoil_ir::{Shape, Window};

use super::*;
use crate::pass::testing::{Net, Rng, config, random_graph};

/// All sites of a graph, with some random options beside pixel and identity.
fn random_sites(graph: &Graph, rng: &mut Rng) -> Vec<Site> {
    sites(graph, |h, w| {
        let block = |rng: &mut Rng| Patch::Block {
            h: 1 + rng.below(h) as u16,
            w: 1 + rng.below(w) as u16,
        };
        let blocks = (0..4).map(|_| block(rng));
        blocks.chain([Patch::Identity, Patch::PIXEL]).collect()
    })
}

fn input_shape(graph: &Graph) -> Shape {
    graph.node(graph.input().unwrap()).shape
}

/// The graph with one channel of a gate changed.
fn changed(graph: &Graph, site: &Site, channel: usize, patch: Patch) -> Graph {
    let mut gate = Gate::of(graph.node(site.node)).unwrap();
    match (site.sign, &mut gate.upper) {
        (Sign::Lower, _) => gate.lower[channel] = patch,
        (Sign::Upper, Some((_, upper))) => upper[channel] = patch,
        (Sign::Upper, None) => panic!("the gate has no upper sign"),
    }
    let mut graph = graph.clone();
    let inputs = graph.inputs(site.node);
    graph.replace(site.node, gate.into_whole_op(), &inputs).unwrap();
    graph
}

fn value_of(graph: &Graph, image: &FeatureMap, wanted: NodeId) -> Vec<f64> {
    let mut found = Vec::new();
    eval::run_with(graph, image, |id, value| {
        if id == wanted {
            found = value.values().iter().map(|v| f64::from(*v)).collect();
        }
    })
    .unwrap();
    found
}

/// What one option does to the value of a node, by running the changed graph.
fn change_of(
    graph: &Graph,
    image: &FeatureMap,
    node: NodeId,
    site: &Site,
    c: usize,
    patch: Patch,
) -> Vec<f64> {
    let after = value_of(&changed(graph, site, c, patch), image, node);
    let before = value_of(graph, image, node);
    after.iter().zip(&before).map(|(a, b)| a - b).collect()
}

fn mean_square(values: &[f64]) -> f64 {
    values.iter().map(|v| v * v).sum::<f64>() / values.len() as f64
}

/// Sums of `z` over the patches of one channel, pixel by pixel.
fn largest_sum(z: &[f64], patch: Patch, map: Shape) -> f64 {
    let Patch::Block { h, w } = patch else { return 0.0 };
    let (h, w) = (usize::from(h), usize::from(w));
    let mut largest = 0f64;
    for top in (0..map.h).step_by(h) {
        for left in (0..map.w).step_by(w) {
            let rows = top..map.h.min(top + h);
            let pixels = rows.flat_map(|y| (left..map.w.min(left + w)).map(move |x| y * map.w + x));
            largest = largest.max(pixels.map(|i| z[i]).sum::<f64>().abs());
        }
    }
    largest
}

#[track_caller]
fn assert_close(found: f64, expected: f64, size: f64) {
    let close = (found - expected).abs() <= 2e-5 * size + 1e-9;
    assert!(close, "{found} found, {expected} expected (of {size})");
}

proptest! {
    #![proptest_config(config(60))]

    /// Gradient times change, sums and changes at the layer, of every channel and option.
    #[test]
    fn the_sketch_is_gradient_times_change(seed in any::<u64>()) {
        let graph = random_graph(seed);
        let mut rng = Rng::new(seed);
        let sites = random_sites(&graph, &mut rng);
        let image = rng.image(input_shape(&graph));
        let sketch = Sketch::new(&graph, &sites, 2, seed);
        let found = sketch.image(&image, 5).unwrap();
        let tape = Tape::run(&graph, &image).unwrap();
        let mut gradients = vec![Vec::new(); graph.id_bound()];
        tape.backward_all(logits(&graph), sketch.seeds(5), |id, all| gradients[id.index()] = all.to_vec());
        for (site, found) in sites.iter().zip(&found) {
            let map = graph.node(site.node).shape;
            let options = site.patches.len();
            prop_assert_eq!(found.signed.len(), sketch.probes() * map.c * options);
            for (i, (c, patch)) in (0..map.c)
                .flat_map(|c| site.patches.iter().map(move |p| (c, *p)))
                .enumerate()
            {
                let change = change_of(&graph, &image, site.node, site, c, patch);
                let size = mean_square(&value_of(&graph, &image, graph.inputs(site.node)[0]));
                let size = (size + 1.0) * map.plane() as f64;
                assert_close(f64::from(found.change[i]), mean_square(&change) * map.len() as f64, size);
                for (probe, g) in gradients[site.node.index()].iter().enumerate() {
                    let values = || g.values().iter().map(|v| f64::from(*v));
                    let expected: f64 = values().zip(&change).map(|(g, d)| g * d).sum();
                    let largest = values().fold(0.0, |m: f64, g| m.max(g.abs()));
                    let signed = found.signed[probe * map.c * options + i];
                    assert_close(f64::from(signed), expected, size * largest);
                }
                let gate = Gate::of(graph.node(site.node)).unwrap();
                let shift = f64::from(match (site.sign, gate.upper) {
                    (Sign::Upper, Some((high, _))) => high,
                    _ => gate.low,
                });
                let x = value_of(&graph, &image, graph.inputs(site.node)[0]);
                let z: Vec<f64> = x[c * map.plane()..][..map.plane()].iter().map(|x| x - shift).collect();
                assert_close(f64::from(found.largest_sum[i]), largest_sum(&z, patch, map), size);
            }
        }
    }

    /// Running what lies behind is running everything.
    #[test]
    fn exact_is_the_definition(seed in any::<u64>()) {
        let graph = random_graph(seed);
        let mut rng = Rng::new(seed);
        let sites = random_sites(&graph, &mut rng);
        let image = rng.image(input_shape(&graph));
        let found = Exact::new(&graph, &sites).image(&image).unwrap();
        let output = logits(&graph);
        let size = mean_square(&value_of(&graph, &image, output)) + 1e-3;
        for (site, found) in sites.iter().zip(&found) {
            let channels = graph.node(site.node).shape.c;
            let choices = (0..channels).flat_map(|c| site.patches.iter().map(move |p| (c, *p)));
            for ((c, patch), found) in choices.zip(&found.mean_square) {
                let change = change_of(&graph, &image, output, site, c, patch);
                assert_close(*found, mean_square(&change), size);
            }
        }
    }
}

/// Gates followed by nothing but affine operators, one of each sign, with few outputs.
fn linear_behind(seed: u64) -> Graph {
    let mut net = Net::new(seed);
    let x = net.input(Shape::new(3, 7, 9));
    let conv = net.conv(x, 4, 3);
    let relu = net.relu(conv);
    let clip = net.clip(conv, 0.5);
    let window = Window {
        kernel: [3, 3],
        stride: [2, 2],
        dilation: [1, 1],
        pads: [1, 0, 1, 1],
    };
    let left = net.conv_of(relu, 4, window.clone(), 1);
    let right = net.conv_of(clip, 4, window, 4);
    let sum = net.add(left, right);
    let affine = net.affine(sum, true);
    let both = net.concat(&[affine, left]);
    let mean = net.global_avg_pool(both);
    let y = net.linear(mean, 3);
    net.finish(y)
}

/// With each output probed and nothing but affine operators behind the gates, the first order is
/// everything.
#[test]
fn on_a_linear_rest_sketch_and_exact_agree() {
    for seed in 0..10 {
        let graph = linear_behind(seed);
        let sites = sites(&graph, crate::patches::catalogue::patches);
        assert_eq!(sites.len(), 3);
        let image = Rng::new(seed).image(input_shape(&graph));
        let sketch = Sketch::new(&graph, &sites, 8, 1);
        assert_eq!(sketch.probes(), 3);
        let vectors = sketch.image(&image, 0).unwrap();
        let exact = Exact::new(&graph, &sites).image(&image).unwrap();
        for (vectors, exact) in vectors.iter().zip(&exact) {
            let count = exact.mean_square.len();
            let largest = exact.mean_square.iter().fold(0.0, |m: f64, d| m.max(*d));
            assert!(largest > 0.0);
            for (i, exact) in exact.mean_square.iter().enumerate() {
                let of_probes: Vec<f64> = (0..3).map(|p| f64::from(vectors.signed[p * count + i])).collect();
                assert_close(mean_square(&of_probes), *exact, largest);
            }
        }
    }
}

#[test]
fn random_probes_are_right_in_the_mean() {
    let graph = linear_behind(3);
    let sites = sites(&graph, |_, _| vec![Patch::Identity, Patch::Block { h: 2, w: 3 }]);
    let image = Rng::new(3).image(input_shape(&graph));
    let exact = Exact::new(&graph, &sites).image(&image).unwrap();
    let sketch = Sketch::new(&graph, &sites, 2, 9);
    let runs: Vec<_> = (0..400).map(|n| sketch.image(&image, n).unwrap()).collect();
    for (site, exact) in exact.iter().enumerate() {
        let count = exact.mean_square.len();
        for (i, exact) in exact.mean_square.iter().enumerate() {
            let samples = runs
                .iter()
                .flat_map(|run| [0, 1].map(|p| run[site].signed[p * count + i]));
            let samples: Vec<f64> = samples.map(f64::from).collect();
            // 800 samples of a square of at most three terms: a tenth is more than four deviations.
            let found = mean_square(&samples);
            assert!((found - exact).abs() <= 0.2 * exact + 1e-12, "{found} {exact}");
        }
    }
}

#[test]
fn the_present_patch_changes_nothing() {
    for seed in 0..30 {
        let graph = random_graph(seed);
        let mut sites = sites(&graph, |_, _| Vec::new());
        let image = Rng::new(seed).image(input_shape(&graph));
        for site in &mut sites {
            let gate = Gate::of(graph.node(site.node)).unwrap();
            let lists = [Some(&gate.lower), gate.upper.as_ref().map(|(_, upper)| upper)];
            site.patches.push(lists[site.sign as usize].unwrap()[0]);
        }
        let vectors = Sketch::new(&graph, &sites, 2, 0).image(&image, 0).unwrap();
        let exact = Exact::new(&graph, &sites).image(&image).unwrap();
        for (vectors, exact) in vectors.iter().zip(exact) {
            assert_eq!(
                (vectors.signed[0], vectors.change[0], exact.mean_square[0]),
                (0.0, 0.0, 0.0)
            );
        }
    }
}

#[test]
fn a_sample_is_part_of_the_whole() {
    let graph = linear_behind(5);
    let sites = random_sites(&graph, &mut Rng::new(5));
    let image = Rng::new(6).image(input_shape(&graph));
    let exact = Exact::new(&graph, &sites);
    let all = exact.image(&image).unwrap();
    let choices = [(2, 3, 1), (0, 0, 5), (2, 3, 0), (1, 2, 2), (2, 3, 1)];
    let choices = choices.map(|(site, channel, option)| Choice {
        site,
        channel,
        option,
    });
    let sample = exact.sample(&image, &choices).unwrap();
    for (choice, found) in choices.iter().zip(sample) {
        let options = sites[choice.site].patches.len();
        assert_eq!(
            found,
            all[choice.site].mean_square[choice.channel * options + choice.option]
        );
    }
}

#[test]
fn threads_do_not_matter_and_numbers_do() {
    let graph = linear_behind(8);
    let sites = random_sites(&graph, &mut Rng::new(8));
    let image = Rng::new(8).image(input_shape(&graph));
    let pool = |threads| {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap()
    };
    let run = |number| Sketch::new(&graph, &sites, 2, 4).image(&image, number).unwrap();
    let one = pool(1).install(|| run(1));
    assert_eq!(one, pool(4).install(|| run(1)));
    assert_ne!(one, run(2));
    assert!(
        Sketch::new(&graph, &sites, 2, 4)
            .image(&FeatureMap::zeros(Shape::new(1, 2, 2)), 0)
            .is_err()
    );
}

#[test]
fn sites_come_in_order_with_both_signs_of_clips() {
    let graph = linear_behind(1);
    let sites = sites(&graph, |h, w| {
        vec![Patch::Block {
            h: h as u16,
            w: w as u16,
        }]
    });
    let found: Vec<_> = sites
        .iter()
        .map(|s| (graph.node(s.node).op.name(), s.sign))
        .collect();
    assert_eq!(
        found,
        [
            ("relu", Sign::Lower),
            ("clip", Sign::Lower),
            ("clip", Sign::Upper)
        ]
    );
    assert_eq!(sites[0].patches, [Patch::Block { h: 7, w: 9 }]);
}
