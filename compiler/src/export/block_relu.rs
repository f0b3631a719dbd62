//! A gate with patches as a cluster of standard nodes (docs/TWIN.md).
//!
//! Channels with the same patches form a class. Each class is gathered, gated and put back: the
//! sign that a patch shares is that of its mean, spread over its pixels.

use std::collections::BTreeMap;

use tract_onnx::pb::tensor_proto::DataType;
use trefoil_ir::nn::NodeId;
use trefoil_ir::{Patch, Shape};

use super::BLOCK;
use super::proto::{int, ints, word};
use super::writer::Writer;

/// Writes a ReLU with these patches or, with an upper limit, a clip.
pub(super) fn write(w: &mut Writer<'_>, id: NodeId, lower: &[Patch], upper: Option<(f32, &[Patch])>) {
    let x = w.ranked(w.inputs(id)[0], 4);
    let name = format!("{}/{BLOCK}", w.name(id));
    let map = w.shape(id);
    let classes = classes(lower, upper.map(|(_, upper)| upper));
    let high = upper.map(|(high, _)| w.floats(&format!("{name}/high"), &[], &[high]));
    let mut cluster = Cluster {
        zero: w.floats(&format!("{name}/zero"), &[], &[0.0]),
        frame: needs_frame(&classes, map).then(|| Frame::new(w, &name, map)),
        high,
        map,
        w,
    };
    let mut outputs = Vec::with_capacity(classes.len());
    for (k, (patches, channels)) in classes.iter().enumerate() {
        outputs.push(cluster.class(&format!("{name}/{k}"), &x, *patches, channels));
    }
    let outputs: Vec<&str> = outputs.iter().map(String::as_str).collect();
    let joined = w.part(
        "Concat",
        &format!("{name}/concat"),
        &outputs,
        vec![int("axis", 1)],
    );
    let order = w.sizes(&format!("{name}/order"), &order(&classes, map.c));
    w.emit("Gather", id, &[&joined, &order], 4, vec![int("axis", 1)]);
}

/// Patches of the lower sign and, for a clip, of the upper one.
type Pair = (Patch, Option<Patch>);

/// Channels by their patches, in the order of the pairs that stand in assignments.
fn classes(lower: &[Patch], upper: Option<&[Patch]>) -> Vec<(Pair, Vec<usize>)> {
    let mut classes = BTreeMap::new();
    for (channel, &below) in lower.iter().enumerate() {
        let above = upper.map(|upper| upper[channel]);
        let key = (below.to_pair(), above.map(Patch::to_pair));
        let class = classes.entry(key).or_insert_with(|| ((below, above), Vec::new()));
        class.1.push(channel);
    }
    classes.into_values().collect()
}

/// Where each channel stands once the classes are joined.
fn order(classes: &[(Pair, Vec<usize>)], channels: usize) -> Vec<usize> {
    let mut order = vec![0; channels];
    let joined = classes.iter().flat_map(|(_, channels)| channels);
    for (at, &channel) in joined.enumerate() {
        order[channel] = at;
    }
    order
}

/// Height and width of a patch; none for the identity, which has no sign.
fn size(patch: Patch) -> Option<[usize; 2]> {
    match patch {
        Patch::Identity => None,
        Patch::Block { h, w } => Some([h.into(), w.into()]),
    }
}

/// Rows and columns that are missing below and to the right to whole patches.
fn missing([h, w]: [usize; 2], map: Shape) -> [usize; 2] {
    [
        map.h.next_multiple_of(h) - map.h,
        map.w.next_multiple_of(w) - map.w,
    ]
}

fn needs_frame(classes: &[(Pair, Vec<usize>)], map: Shape) -> bool {
    let patches = classes
        .iter()
        .flat_map(|((below, above), _)| [Some(*below), *above]);
    let mut sizes = patches.flatten().filter_map(size);
    sizes.any(|size| missing(size, map) != [0, 0])
}

/// The constants with which padded maps are cut back.
struct Frame {
    starts: String,
    ends: String,
    axes: String,
}

impl Frame {
    fn new(w: &mut Writer<'_>, name: &str, map: Shape) -> Self {
        Self {
            starts: w.sizes(&format!("{name}/starts"), &[0, 0]),
            ends: w.sizes(&format!("{name}/ends"), &[map.h, map.w]),
            axes: w.sizes(&format!("{name}/axes"), &[2, 3]),
        }
    }
}

/// What the classes of one gate share.
struct Cluster<'w, 'g> {
    w: &'w mut Writer<'g>,
    map: Shape,
    zero: String,
    high: Option<String>,
    frame: Option<Frame>,
}

impl Cluster<'_, '_> {
    /// Writes a class; returns its gated value.
    fn class(&mut self, name: &str, source: &str, patches: Pair, channels: &[usize]) -> String {
        let channels = self.w.sizes(&format!("{name}/channels"), channels);
        let x = format!("{name}/x");
        let x = self
            .w
            .part("Gather", &x, &[source, &channels], vec![int("axis", 1)]);
        let y = format!("{name}/y");
        let (below, above) = patches;
        match (size(below), above.and_then(size)) {
            (None, None) => self.w.part("Identity", &y, &[&x], vec![]),
            (Some([1, 1]), None) if above.is_none() => self.w.part("Relu", &y, &[&x], vec![]),
            (Some(below), None) => self.gated(name, "lower", &y, &x, below),
            (below, Some(above)) => self.clip(name, &x, below, above),
        }
    }

    /// `b0 x - b1 (x - high)`, b0 being 1 where there is no lower sign.
    fn clip(&mut self, name: &str, x: &str, below: Option<[usize; 2]>, above: [usize; 2]) -> String {
        let high = self.high.clone().expect("only clips have upper signs");
        let y = format!("{name}/y");
        if (below, above) == (Some([1, 1]), [1, 1]) {
            let zero = self.zero.clone();
            return self.w.part("Clip", &y, &[x, &zero, &high], vec![]);
        }
        let kept = match below {
            None => x.to_owned(),
            Some(size) => self.gated(name, "lower", &format!("{name}/kept"), x, size),
        };
        let over = self.w.part("Sub", &format!("{name}/over"), &[x, &high], vec![]);
        let excess = format!("{name}/excess");
        let excess = self.gated(name, "upper", &excess, &over, above);
        self.w.part("Sub", &y, &[&kept, &excess], vec![])
    }

    /// The value where its sign over patches of `h` x `w` is positive, else 0.
    fn gated(&mut self, name: &str, sign: &str, product: &str, value: &str, patch: [usize; 2]) -> String {
        let mask = self.mask(&format!("{name}/{sign}"), value, patch);
        self.w.part("Mul", product, &[value, &mask], vec![])
    }

    /// 1 where the sum over the patch is positive, else 0.
    fn mask(&mut self, name: &str, value: &str, [h, w]: [usize; 2]) -> String {
        let is_pixel = [h, w] == [1, 1];
        let missing = missing([h, w], self.map);
        let mut mean = value.to_owned();
        if missing != [0, 0] {
            // Zeros change no sum's sign.
            let pads = [0, 0, 0, 0, 0, 0, missing[0], missing[1]];
            let pads = self.w.sizes(&format!("{name}/pads"), &pads);
            let mode = vec![word("mode", "constant")];
            mean = self.w.part("Pad", &format!("{name}/pad"), &[&mean, &pads], mode);
        }
        if !is_pixel {
            let window = vec![ints("kernel_shape", &[h, w]), ints("strides", &[h, w])];
            mean = self
                .w
                .part("AveragePool", &format!("{name}/mean"), &[&mean], window);
        }
        let zero = self.zero.clone();
        let positive = format!("{name}/positive");
        let positive = self.w.part("Greater", &positive, &[&mean, &zero], vec![]);
        let to = vec![int("to", DataType::Float as i64)];
        let bit = self.w.part("Cast", &format!("{name}/bit"), &[&positive], to);
        if is_pixel {
            return bit;
        }
        let scales = [1.0, 1.0, h as f32, w as f32];
        let scales = self.w.floats(&format!("{name}/scales"), &[4], &scales);
        let spread = vec![
            word("coordinate_transformation_mode", "asymmetric"),
            word("mode", "nearest"),
            word("nearest_mode", "floor"),
        ];
        let mask = format!("{name}/mask");
        let mask = self.w.part("Resize", &mask, &[&bit, "", &scales], spread);
        match &self.frame {
            Some(Frame { starts, ends, axes }) if missing != [0, 0] => {
                let inputs = [&*mask, starts, ends, axes];
                self.w.part("Slice", &format!("{name}/cut"), &inputs, vec![])
            }
            _ => mask,
        }
    }
}
