//! Sums over large patches: what is computed apart, at which scale, and how exactly.

use trefoil_ir::geometry::patch_area;
use trefoil_ir::nn::op::{AvgPool, Clip, Slice};
use trefoil_ir::{Patch, Patches, Shape, Window};

use super::*;
use trefoil_ir::Axis;

const fn block(h: u16, w: u16) -> Patch {
    Patch::Block { h, w }
}

const MAP: Shape = Shape::new(3, 15, 13);
const WHOLE: Patch = block(15, 13);

/// Large patches, ragged at the border, and small ones.
fn mixed() -> Patches {
    vec![
        block(4, 4),
        Patch::PIXEL,
        WHOLE,
        block(2, 3),
        block(6, 5),
        Patch::Identity,
        block(4, 4),
        block(3, 13),
    ]
}

fn behind_conv(make: impl Fn(&mut Net, NodeId) -> NodeId) -> Trial {
    let mut net = Net::new(21);
    let image = net.input(MAP);
    let x = net.conv(image, 8, 3);
    let x = make(&mut net, x);
    let y = net.conv(x, 4, 1);
    Trial::new(net, y)
}

/// All values of an image: in f32 by node, in fixed point by step.
struct Values {
    floats: Vec<Option<FeatureMap>>,
    fixed: Vec<IntMap>,
}

impl Trial {
    fn values(&self, image: &FeatureMap) -> Values {
        let mut floats = vec![None; self.graph.id_bound()];
        eval::run_with(&self.graph, image, |id, value| {
            floats[id.index()] = Some(value.clone())
        })
        .unwrap();
        let mut fixed = Vec::new();
        let units = self.lowered.input.encode(image.values(), image.shape()).unwrap();
        let image = IntMap::new(image.shape(), units.into_iter().map(i64::from).collect());
        let emulator = Emulator::new(&self.lowered.program, &self.lowered.constants);
        let outcome = emulator.run(&image, Rounding::Nearest, |_, value| fixed.push(value.clone()));
        assert_eq!(outcome.breaches().count(), 0);
        Values { floats, fixed }
    }

    /// The gates that take sums from apart: which, the step of the sums, and the node of the value.
    fn gates(&self) -> Vec<(SumList, usize, NodeId)> {
        let gate = |step: &mpc::Step| {
            let list = match &step.op {
                Op::BlockRelu(op) => SumList::of_gate(&op.patches, None),
                Op::Clip(op) => SumList::of_gate(&op.lower, Some(&op.upper)),
                _ => return None,
            };
            let sums = step.args.get(1)?.index();
            let node = step.note.as_ref()?.node? as usize;
            let gate = self.graph.ids().into_iter().find(|id| id.index() == node)?;
            Some((list, sums, self.graph.inputs(gate)[0]))
        };
        self.program().steps.iter().filter_map(gate).collect()
    }

    /// Compares all sums that are computed apart with those in f32: the largest error of a patch's
    /// mean, as a part of its channel's largest value, and the number of sums.
    fn error_of_sums(&self) -> (f64, usize) {
        let (mut worst, mut count) = (0.0f64, 0);
        for values in self.images.iter().map(|image| self.values(image)) {
            for (list, sums, operand) in self.gates() {
                let float = values.floats[operand.index()].as_ref().unwrap();
                let unit = &self.program().steps[sums].note.as_ref().unwrap().unit;
                let (h, w) = (float.shape().h, float.shape().w);
                for ((channel, patch), start) in list.iter().zip(list.starts(h, w)) {
                    let pixels = float.channels().nth(channel).unwrap();
                    let range = pixels.iter().fold(1e-3f32, |m, v| m.max(v.abs()));
                    let columns = patch.grid(h, w)[1];
                    for (at, sum) in eval::patch_sums(pixels, patch, h, w).into_iter().enumerate() {
                        let got = values.fixed[sums].values()[start + at] as f64 * unit[start + at];
                        let area = patch_area(patch, at / columns, at % columns, h, w) as f64;
                        worst = worst.max((got - f64::from(sum)).abs() / area / f64::from(range));
                        count += 1;
                    }
                }
            }
        }
        (worst, count)
    }

    /// Asserts that sums are exact to this part of the largest value.
    fn assert_sums(&self, part: f64) {
        let (error, count) = self.error_of_sums();
        assert!(count > 0, "{:?}", self.program().steps);
        assert!(error < part, "sums are off by {error:.5}");
    }

    /// Units of the truncated pixels.
    fn pixel_units(&self) -> Vec<f64> {
        let steps = self.program().steps.iter();
        let truncations = steps.filter(|s| s.op.name() == "truncate");
        truncations
            .flat_map(|s| s.note.as_ref().unwrap().unit.clone())
            .collect()
    }
}

#[test]
fn large_patches_cost_their_pixels_no_precision() {
    let trial = behind_conv(|net, x| net.block(x, mixed()));
    let small = mixed().into_iter().map(|patch| match patch {
        Patch::Block { h, w } if h * w >= 16 => Patch::PIXEL,
        patch => patch,
    });
    let small: Patches = small.collect();
    let pixels = behind_conv(|net, x| net.block(x, small.clone()));
    assert_eq!(trial.pixel_units()[..8], pixels.pixel_units()[..8]);
    assert_eq!(
        (trial.count("truncate_sums"), pixels.count("truncate_sums")),
        (1, 0)
    );
    assert_eq!((trial.count("conv2d"), trial.count("conv2d_sums")), (2, 1));
    assert_eq!(trial.lowered.warnings.len(), 1, "few images, and nothing else");
    trial.assert_sums(0.003);
}

#[test]
fn sums_of_a_residual_join_as_its_pixels_do() {
    let patches = mixed();
    let trial = behind_conv(|net, x| {
        let x = net.relu(x);
        let a = net.conv(x, 8, 3);
        let b = net.bare_conv(x, 8, 1);
        let sum = net.add(a, b);
        let sum = net.add(sum, x);
        net.block(sum, patches.clone())
    });
    trial.assert_sums(0.003);
    assert_eq!((trial.count("conv2d_sums"), trial.count("pool_sums")), (2, 1));
    assert_eq!((trial.count("add"), trial.count("truncate_sums")), (4, 1));
}

#[test]
fn depthwise_grouped_and_strided_layers_are_summed_up() {
    for (groups, stride) in [(8, [1, 1]), (2, [2, 1]), (4, [1, 2])] {
        let window = Window {
            stride,
            pads: [1; 4],
            ..Window::dense([3, 3])
        };
        let trial = behind_conv(|net, x| {
            let x = net.relu(x);
            let x = net.conv_of(x, 8, window.clone(), groups);
            let Shape { h, w, .. } = net.shape(x);
            let mut patches = vec![block(4, 4); 8];
            patches[3] = block(h as u16, w as u16);
            patches[6] = Patch::PIXEL;
            net.block(x, patches)
        });
        trial.assert_sums(0.003);
        assert_eq!(trial.count("conv2d_sums"), 1);
    }
}

#[test]
fn parts_of_a_concatenation_are_summed_up_where_they_have_large_patches() {
    let trial = behind_conv(|net, x| {
        let x = net.relu(x);
        let parts = [net.conv(x, 3, 3), net.conv(x, 2, 1), net.conv(x, 3, 3)];
        let x = net.concat(&parts);
        let mut patches = vec![block(5, 4); 8];
        (patches[3], patches[4]) = (Patch::PIXEL, block(3, 3));
        net.block(x, patches)
    });
    trial.assert_sums(0.003);
    let concats = trial.program().steps.iter().filter(|s| s.op.name() == "concat");
    let operands: Vec<usize> = concats.map(|s| s.args.len()).collect();
    assert_eq!(operands, [3, 2]);
    assert_eq!(trial.count("conv2d_sums"), 2);
}

#[test]
fn clips_take_both_signs_of_large_patches_from_apart() {
    let upper = vec![
        block(4, 4),
        block(5, 5),
        WHOLE,
        block(4, 4),
        Patch::PIXEL,
        WHOLE,
        Patch::Identity,
        block(2, 2),
    ];
    for high in [0.2, 1.0, 100.0] {
        let trial = behind_conv(|net, x| {
            let (lower, upper) = (mixed(), upper.clone());
            net.op(Clip { high, lower, upper }, &[x])
        });
        trial.assert_sums(0.004);
        let levels = (trial.program().constants.iter().zip(&trial.lowered.constants))
            .find(|(c, _)| c.kind == mpc::ConstKind::SumLevel)
            .map(|(_, values)| values.values().to_vec())
            .unwrap();
        assert_eq!([levels[4], levels[6], levels[7]], [1; 3]);
        // The client knows levels, so they follow from powers of two and from the limit alone.
        let limit = |level: &i32| f64::from(*level) / f64::from(high);
        let power = |l: &i32| l.count_ones() == 1 || (limit(l).log2() - limit(l).log2().round()).abs() < 1e-4;
        assert!(levels.iter().all(power), "{levels:?}");
        assert!(
            levels
                .iter()
                .enumerate()
                .all(|(c, l)| *l > 1 || [4, 6, 7].contains(&c))
        );
    }
}

#[test]
fn multipliers_of_sums_are_powers_of_two() {
    let pool = AvgPool {
        window: Window {
            stride: [1, 1],
            ..Window::dense([3, 3])
        },
        include_pad: true,
        overhang: [0, 0],
    };
    type Make<'a> = &'a dyn Fn(&mut Net, NodeId) -> NodeId;
    let nets: [Make<'_>; 3] = [
        &|net, x| {
            let x = net.op(pool.clone(), &[x]);
            net.block(x, vec![block(4, 4); 8])
        },
        &|net, x| {
            let x = net.max_pool(x, Window::dense([2, 2]));
            net.block(x, vec![block(5, 4); 8])
        },
        &|net, x| {
            let a = net.conv(x, 8, 3);
            let x = net.add(a, x);
            net.block(x, vec![block(5, 4); 8])
        },
    ];
    for make in nets {
        let trial = behind_conv(|net, x| {
            let x = net.relu(x);
            make(net, x)
        });
        trial.assert_sums(0.003);
        assert_eq!(trial.count("pool_sums"), 1);
        let sums = trial.program().steps.iter().find_map(|s| match &s.op {
            Op::PoolSums(op) => Some(op.multiplier),
            _ => None,
        });
        let multipliers = trial.lowered.constants[sums.unwrap().index()].values();
        assert!(multipliers.iter().all(|m| m.count_ones() == 1), "{multipliers:?}");
    }
}

#[test]
fn two_gates_on_one_value_have_sums_of_their_own() {
    let trial = behind_conv(|net, x| {
        let a = net.block(x, vec![block(4, 4); 8]);
        let b = net.block(x, vec![WHOLE; 8]);
        let c = net.relu(x);
        net.concat(&[a, b, c])
    });
    trial.assert_sums(0.003);
    assert_eq!((trial.count("truncate"), trial.count("truncate_sums")), (2, 2));
}

#[test]
fn what_moves_pixels_keeps_its_sums() {
    let trial = behind_conv(|net, x| {
        let slice = Slice {
            axis: Axis::H,
            start: 1,
            step: 2,
            count: 7,
        };
        let x = net.slice(x, slice);
        net.block(x, vec![block(4, 4); 8])
    });
    assert_eq!((trial.count("truncate_sums"), trial.count("truncate")), (0, 2));
    trial.assert_close(4.0);
}
