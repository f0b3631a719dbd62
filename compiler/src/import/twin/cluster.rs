//! What a cluster of nodes computes, read from its last node backwards.
//!
//! Nothing is taken for granted but the form: every class gathers channels of one value, gates
//! them, and all are joined and put in order. Padding and cutting depend on the map's size, which
//! is not known yet: they are kept and checked when it is.

use tract_onnx::pb::NodeProto;
use trefoil_ir::{Patch, Patches, Shape};

use super::error::{ClusterError, NodeFault};
use super::reader::{Reader, described, expect_int, expect_ints, expect_word, operand, optional, word};

/// What a Cast must convert to: ONNX's number of float32.
const FLOAT: i64 = 1;

/// A gate, as its nodes compute it.
pub(super) struct Cluster {
    /// The ONNX value that is gated.
    pub(super) source: String,
    /// Upper limit, if it is a clip.
    pub(super) high: Option<f32>,
    classes: Vec<Class>,
    channels: usize,
}

/// Channels with the same patches.
struct Class {
    channels: Vec<i64>,
    lower: Sign,
    upper: Option<(f32, Sign)>,
}

/// A sign, taken over patches.
#[derive(Clone, Copy)]
struct Sign {
    patch: Patch,
    /// Rows and columns of zeros put below and to the right.
    pad: [i64; 2],
    /// Rows and columns that are kept of the mask.
    cut: Option<[i64; 2]>,
}

impl Sign {
    fn of(patch: Patch) -> Self {
        Self {
            patch,
            pad: [0, 0],
            cut: None,
        }
    }
}

/// Reads the cluster that ends with this node.
pub(super) fn read(reader: &mut Reader<'_>, end: &NodeProto) -> Result<Cluster, ClusterError> {
    expect_int(end, "axis", 0, 1)?;
    let order = reader.ints(operand(end, 1)?)?;
    let concat = reader.node_of(operand(end, 0)?, "Concat")?;
    expect_int(concat, "axis", i64::MIN, 1)?;
    let mut cluster = Cluster {
        source: String::new(),
        high: None,
        classes: Vec::new(),
        channels: order.len(),
    };
    let mut joined = 0;
    for output in &concat.input {
        let (x, class) = class(reader, output)?;
        let gather = reader.node_of(x, "Gather")?;
        let source = operand(gather, 0)?;
        if cluster.classes.is_empty() {
            cluster.source = source.to_owned();
        }
        if cluster.source != source {
            return Err(ClusterError::Sources {
                first: cluster.source,
                other: source.to_owned(),
            });
        }
        joined += class.channels.len();
        if joined > order.len() {
            return Err(ClusterError::TooManyChannels);
        }
        cluster.classes.push(class);
    }
    check_order(&cluster.classes, &order)?;
    Ok(cluster)
}

/// Channel `c` must be what stands at `order[c]` of the joined classes.
fn check_order(classes: &[Class], order: &[i64]) -> Result<(), ClusterError> {
    let joined: Vec<i64> = classes
        .iter()
        .flat_map(|class| &class.channels)
        .copied()
        .collect();
    if joined.len() != order.len() {
        return Err(ClusterError::Order);
    }
    for (channel, &position) in (0..).zip(order) {
        let found = usize::try_from(position).ok().and_then(|at| joined.get(at));
        if found != Some(&channel) {
            return Err(ClusterError::Order);
        }
    }
    Ok(())
}

/// A class by its result: the gathered channels' name, and what becomes of them.
fn class<'a>(reader: &mut Reader<'a>, result: &str) -> Result<(&'a str, Class), ClusterError> {
    let node = reader.node(result)?;
    let (x, lower, upper) = match node.op_type.as_str() {
        "Identity" => (operand(node, 0)?, Sign::of(Patch::Identity), None),
        "Relu" => (operand(node, 0)?, Sign::of(Patch::PIXEL), None),
        "Clip" => {
            let pixel = Sign::of(Patch::PIXEL);
            (operand(node, 0)?, pixel, Some((clip_limit(reader, node)?, pixel)))
        }
        "Mul" => {
            let (x, lower) = gated(reader, node)?;
            (x, lower, None)
        }
        "Sub" => difference(reader, node)?,
        _ => return Err(NodeFault::NoGate.of(node)),
    };
    let gather = reader.node_of(x, "Gather")?;
    expect_int(gather, "axis", 0, 1)?;
    let class = Class {
        channels: reader.ints(operand(gather, 1)?)?,
        lower,
        upper,
    };
    Ok((x, class))
}

/// Limit of a clip from 0.
fn clip_limit(reader: &mut Reader<'_>, node: &NodeProto) -> Result<f32, ClusterError> {
    if reader.scalar(operand(node, 1)?)? != 0.0 {
        return Err(NodeFault::ClipFrom.of(node));
    }
    reader.scalar(operand(node, 2)?)
}

/// Name of x, sign b0, limit and sign b1 of `b0 x - b1 (x - limit)`.
type Difference<'a> = (&'a str, Sign, Option<(f32, Sign)>);

fn difference<'a>(reader: &mut Reader<'a>, node: &'a NodeProto) -> Result<Difference<'a>, ClusterError> {
    let kept = operand(node, 0)?;
    let (x, lower) = match reader.node(kept)? {
        product if product.op_type == "Mul" => gated(reader, product)?,
        _ => (kept, Sign::of(Patch::Identity)),
    };
    let (over, upper) = gated(reader, reader.node_of(operand(node, 1)?, "Mul")?)?;
    let over = reader.node_of(over, "Sub")?;
    if operand(over, 0)? != x {
        return Err(NodeFault::OtherCompared.of(over));
    }
    let high = reader.scalar(operand(over, 1)?)?;
    Ok((x, lower, Some((high, upper))))
}

/// A value times the mask of its own sign, in either order.
fn gated<'a>(reader: &mut Reader<'a>, product: &'a NodeProto) -> Result<(&'a str, Sign), ClusterError> {
    let mut value = operand(product, 0)?;
    let mut mask = operand(product, 1)?;
    if is_mask(reader, value) {
        std::mem::swap(&mut value, &mut mask);
    }
    let (gate, sign) = self::mask(reader, mask)?;
    if gate == value {
        return Ok((value, sign));
    }
    Err(ClusterError::Sign {
        node: described(product),
        value: value.to_owned(),
        gate: gate.to_owned(),
    })
}

fn is_mask(reader: &Reader<'_>, value: &str) -> bool {
    let node = reader.node(value);
    node.is_ok_and(|node| matches!(node.op_type.as_str(), "Cast" | "Resize" | "Slice"))
}

/// A mask: the value whose sign it is, and over which patches.
fn mask<'a>(reader: &mut Reader<'a>, mask: &'a str) -> Result<(&'a str, Sign), ClusterError> {
    let mut node = reader.node(mask)?;
    let mut cut = None;
    if node.op_type == "Slice" {
        cut = Some(kept_by(reader, node)?);
        node = reader.node(operand(node, 0)?)?;
    }
    let mut patch = None;
    if node.op_type == "Resize" {
        patch = Some(spread_by(reader, node)?);
        node = reader.node(operand(node, 0)?)?;
    }
    if node.op_type != "Cast" {
        return Err(NodeFault::NoMask.of(node));
    }
    expect_int(node, "to", 0, FLOAT)?;
    let greater = reader.node_of(operand(node, 0)?, "Greater")?;
    if reader.scalar(operand(greater, 1)?)? != 0.0 {
        return Err(NodeFault::Threshold.of(greater));
    }
    let compared = operand(greater, 0)?;
    match patch {
        None if cut.is_none() => Ok((compared, Sign::of(Patch::PIXEL))),
        None => Err(NodeFault::CutOfPixels.of(node)),
        Some([h, w]) => {
            let (value, pad) = averaged(reader, compared, [h, w])?;
            let patch = Patch::Block { h, w };
            Ok((value, Sign { patch, pad, cut }))
        }
    }
}

/// The value of whose patches these are the means, and the zeros around it.
fn averaged<'a>(
    reader: &mut Reader<'a>,
    mean: &str,
    [h, w]: [u16; 2],
) -> Result<(&'a str, [i64; 2]), ClusterError> {
    let pool = reader.node_of(mean, "AveragePool")?;
    let patch = [h, w].map(i64::from);
    expect_ints(pool, "kernel_shape", false, &patch)?;
    expect_ints(pool, "strides", false, &patch)?;
    expect_ints(pool, "pads", true, &[0; 4])?;
    expect_ints(pool, "dilations", true, &[1; 2])?;
    expect_int(pool, "ceil_mode", 0, 0)?;
    if !matches!(word(pool, "auto_pad", "NOTSET"), b"NOTSET" | b"VALID" | b"") {
        return Err(NodeFault::AutoPad.of(pool));
    }
    let value = operand(pool, 0)?;
    match reader.node(value) {
        Ok(node) if node.op_type == "Pad" => Ok((operand(node, 0)?, zeros_by(reader, node)?)),
        _ => Ok((value, [0, 0])),
    }
}

/// Rows and columns that a Pad puts below and to the right, and nowhere else.
fn zeros_by(reader: &mut Reader<'_>, node: &NodeProto) -> Result<[i64; 2], ClusterError> {
    expect_word(node, "mode", "constant", "constant")?;
    if let Some(fill) = optional(node, 2)
        && reader.scalar(fill)? != 0.0
    {
        return Err(NodeFault::PadValue.of(node));
    }
    match (optional(node, 3), &reader.ints(operand(node, 1)?)?[..]) {
        (None, &[0, 0, 0, 0, 0, 0, below, right]) => Ok([below, right]),
        _ => Err(NodeFault::PadSides.of(node)),
    }
}

/// The factors by which a Resize repeats rows and columns.
fn spread_by(reader: &mut Reader<'_>, node: &NodeProto) -> Result<[u16; 2], ClusterError> {
    expect_word(node, "mode", "nearest", "nearest")?;
    expect_word(node, "coordinate_transformation_mode", "half_pixel", "asymmetric")?;
    expect_word(node, "nearest_mode", "round_prefer_floor", "floor")?;
    if node.attribute.iter().any(|a| a.name == "axes") || optional(node, 3).is_some() {
        return Err(NodeFault::Spread.of(node));
    }
    match reader.floats(operand(node, 2)?)?[..] {
        [1.0, 1.0, h, w] if is_size(h) && is_size(w) => Ok([h as u16, w as u16]),
        _ => Err(NodeFault::Spread.of(node)),
    }
}

/// Whether a factor is one by which patches of u16 can be spread.
fn is_size(factor: f32) -> bool {
    factor.fract() == 0.0 && (1.0..65536.0).contains(&factor)
}

/// Rows and columns that a Slice keeps, from the first on.
fn kept_by(reader: &mut Reader<'_>, node: &NodeProto) -> Result<[i64; 2], ClusterError> {
    let starts = reader.ints(operand(node, 1)?)?;
    let ends = reader.ints(operand(node, 2)?)?;
    let axes = match optional(node, 3) {
        Some(axes) => reader.ints(axes)?,
        None => (0..starts.len() as i64).collect(),
    };
    let steps = match optional(node, 4) {
        Some(steps) => reader.ints(steps)?,
        None => vec![1; starts.len()],
    };
    let alike = [starts.len(), ends.len(), steps.len()] == [axes.len(); 3];
    if !alike || starts.iter().any(|s| *s != 0) || steps.iter().any(|s| *s != 1) {
        return Err(NodeFault::Cut.of(node));
    }
    let mut kept = [i64::MAX; 2];
    for (axis, end) in axes.into_iter().zip(ends) {
        match axis {
            2 | 3 if end > 0 => kept[axis as usize - 2] = end,
            _ => return Err(NodeFault::Cut.of(node)),
        }
    }
    Ok(kept)
}

impl Cluster {
    /// Settles whether the gate is a clip, and its limit: what its nodes say or, where no channel
    /// has an upper sign, what is stated.
    pub(super) fn settle_limit(&mut self, stated: Option<f32>, is_clip: bool) -> Result<(), ClusterError> {
        let mut limits = self.classes.iter().filter_map(|c| c.upper).map(|(high, _)| high);
        let read = limits.next();
        if limits.any(|high| Some(high) != read)
            || (read.is_some() && stated.is_some_and(|s| Some(s) != read))
        {
            return Err(ClusterError::Limits);
        }
        self.high = read.or(stated);
        match self.high {
            Some(high) if !(high > 0.0 && high < f32::MAX) => Err(ClusterError::Limit(high)),
            None if is_clip => Err(ClusterError::NoLimit),
            _ => Ok(()),
        }
    }

    /// Checks the cluster on a map of this shape against the patches that are stated.
    pub(super) fn check(
        &self,
        map: Shape,
        (lower, upper): &(Patches, Option<Patches>),
    ) -> Result<(), ClusterError> {
        if map.c != self.channels {
            return Err(ClusterError::Channels {
                given: self.channels,
                map: map.c,
            });
        }
        let none = Sign::of(Patch::Identity);
        for class in &self.classes {
            let above = class.upper.map_or(none, |(_, sign)| sign);
            check_frame(&class.lower, map)?;
            check_frame(&above, map)?;
            for &channel in &class.channels {
                // The order, which has as many entries as there are channels, names each once.
                let channel = channel as usize;
                check_patch(channel, class.lower.patch, lower[channel])?;
                if let Some(upper) = upper {
                    check_patch(channel, above.patch, upper[channel])?;
                }
            }
        }
        Ok(())
    }
}

fn check_patch(channel: usize, computed: Patch, stated: Patch) -> Result<(), ClusterError> {
    if computed == stated {
        return Ok(());
    }
    Err(ClusterError::Patch {
        channel,
        computed,
        stated,
    })
}

/// Zeros must complete the last patches of the map, and the mask be cut back to it.
fn check_frame(sign: &Sign, map: Shape) -> Result<(), ClusterError> {
    let Patch::Block { h, w } = sign.patch else {
        return Ok(());
    };
    for (axis, (size, patch)) in [(map.h, h), (map.w, w)].into_iter().enumerate() {
        let whole = size.next_multiple_of(patch.into());
        let kept = sign.cut.map_or(i64::MAX, |cut| cut[axis]).min(whole as i64);
        if sign.pad[axis] != (whole - size) as i64 || kept != size as i64 {
            return Err(ClusterError::Frame {
                patch: sign.patch,
                map,
            });
        }
    }
    Ok(())
}
