//! What it takes to run a graph on one image in floats.

use super::super::op::class::{Layer, Mean, Move};
use super::super::{Class, Graph, NodeId, Op};
use crate::demand::{Demand, Tally, product};
use crate::geometry::{Shape, Window};
use crate::tail::Tail;

/// Multiply-adds, of which a matrix product does many at a time, that take as long as passing an
/// element on.
const ELEMENT: u64 = 16;

/// Multiply-adds that take as long as taking an element into a window.
const TAP: u64 = 32;

/// Multiply-adds that take as long as beginning a window.
const WINDOW: u64 = 128;

/// Multiply-adds that take as long as interpolating an element.
const INTERPOLATION: u64 = 256;

impl Demand<NodeId> {
    /// What a verified graph takes; none of an empty one.
    pub fn of_graph(graph: &Graph) -> Option<Self> {
        let order = graph.order();
        let mut tally = Tally::new(constants(graph), *order.first()?);
        let mut uses: Vec<usize> = vec![0; graph.id_bound()];
        for &id in &order {
            graph.inputs(id).iter().for_each(|input| uses[input.index()] += 1);
        }
        for id in order {
            let node = graph.node(id);
            let inputs = graph.inputs(id);
            let shapes: Vec<Shape> = inputs.iter().map(|&input| graph.node(input).shape).collect();
            tally.compute(
                id,
                bytes(node.shape),
                scratch(&node.op, &shapes, node.shape),
                work(&node.op, &shapes, node.shape),
            );
            for input in inputs {
                uses[input.index()] -= 1;
                if uses[input.index()] == 0 {
                    tally.free(bytes(graph.node(input).shape));
                }
            }
        }
        Some(tally.finish())
    }
}

fn bytes(shape: Shape) -> u64 {
    product(&[4, shape.len()])
}

/// Tensors are shared where one constant of a file is read by many nodes, and counted once.
fn constants(graph: &Graph) -> u64 {
    let mut tensors = std::collections::BTreeMap::new();
    for id in graph.ids() {
        // Other constants are a few a channel.
        if let Class::Linear(Layer { weight, .. }) = graph.node(id).op.class() {
            tensors.insert(weight.values().as_ptr(), product(&[4, weight.len()]));
        }
    }
    tensors.values().fold(0, |sum, bytes| sum.saturating_add(*bytes))
}

/// Bytes beside operands and result while an operator runs.
fn scratch(op: &Op, inputs: &[Shape], output: Shape) -> u64 {
    let input = inputs.first().copied().unwrap_or(output);
    match op.class() {
        Class::Linear(layer) => columns(&layer, input, output),
        Class::Max(window) => taps_at_a_time(window, input),
        Class::Mean(Mean::Windows(op)) => {
            taps_at_a_time(&op.window, input).saturating_add(product(&[8, output.plane()]))
        }
        // One or two taps for each row and column, in lists.
        Class::Resize(op) => product(&[64, op.size[0].saturating_add(op.size[1])]),
        Class::Move(Move::Slice(op)) => product(&[8, op.count]),
        // A sign a pixel, the lower one alone, is taken in place.
        Class::Gate(gate) if gate.lower.is_none() && gate.upper.is_none() => 0,
        Class::Gate(_) => product(&[16, output.plane()]),
        Class::Output(result) => tail(result, output),
        Class::Mean(Mean::Map)
        | Class::Move(Move::Concat | Move::Pad(_) | Move::Flatten | Move::Shuffle(_))
        | Class::Input
        | Class::PerChannel(_)
        | Class::Add => 0,
    }
}

/// The value that is handed out, and all values of the tail in eight bytes an element, of which the
/// prediction keeps the first and the last for itself.
fn tail(tail: &Tail, logits: Shape) -> u64 {
    let types = tail.types().unwrap_or_default();
    let volumes = types.iter().map(|ty| ty.volume().unwrap_or(0));
    let elements = volumes.fold(product(&[2, logits.len()]), |sum, n| sum.saturating_add(n as u64));
    bytes(logits).saturating_add(elements.saturating_mul(8))
}

/// The matrix of a convolution's taps, of one group at a time; narrow ones and those of one pixel
/// need none.
fn columns(layer: &Layer<'_>, input: Shape, output: Shape) -> u64 {
    let in_c = input.c / layer.groups;
    let out_c = output.c / layer.groups;
    if in_c.saturating_mul(out_c) <= 4 || layer.window == Window::dense([1, 1]) {
        return 0;
    }
    let [kh, kw] = layer.window.kernel;
    product(&[4, in_c, kh, kw, output.plane()])
}

fn taps_at_a_time(window: &Window, input: Shape) -> u64 {
    let [kh, kw] = window.kernel;
    product(&[8, kh.min(input.h), kw.min(input.w)])
}

/// Multiply-adds, or what takes as long.
fn work(op: &Op, inputs: &[Shape], output: Shape) -> u64 {
    let input = inputs.first().copied().unwrap_or(output);
    let passing = passing(inputs, output);
    match op.class() {
        Class::Linear(layer) => product(&[layer.weight.len(), output.plane()]).saturating_add(passing),
        Class::Max(window) => windows(window, input, output),
        Class::Mean(Mean::Windows(op)) => windows(&op.window, input, output),
        // Of its operand it passes over what it leaves out.
        Class::Move(Move::Slice(_)) => product(&[output.len()]).saturating_mul(ELEMENT),
        Class::Resize(_) => product(&[output.len()]).saturating_mul(INTERPOLATION),
        Class::Mean(Mean::Map)
        | Class::Move(Move::Concat | Move::Pad(_) | Move::Flatten | Move::Shuffle(_))
        | Class::Input
        | Class::PerChannel(_)
        | Class::Gate(_)
        | Class::Add
        | Class::Output(_) => passing,
    }
}

/// What takes as long as passing on all elements of operands and result.
fn passing(inputs: &[Shape], output: Shape) -> u64 {
    let mut elements = output.len() as u64;
    for input in inputs {
        elements = elements.saturating_add(input.len() as u64);
    }
    elements.saturating_mul(ELEMENT)
}

fn windows(window: &Window, input: Shape, output: Shape) -> u64 {
    let rows = window.taps_of_all(0, input.h, output.h);
    let taps = rows.saturating_mul(window.taps_of_all(1, input.w, output.w));
    let of_channel = taps
        .saturating_mul(TAP)
        .saturating_add(product(&[output.plane()]).saturating_mul(WINDOW));
    of_channel.saturating_mul(output.c as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Origin;
    use crate::nn::op::{Add, Conv2d, Input, MaxPool, Output, Relu};
    use crate::tensor::Tensor;

    fn graph(build: impl FnOnce(&mut Graph, NodeId) -> NodeId, shape: Shape) -> Graph {
        let mut graph = Graph::new("g");
        let x = graph.add(Input { shape }, &[], Origin::named("x")).unwrap();
        let y = build(&mut graph, x);
        let output = Output::map(graph.node(y).shape);
        graph.add(output, &[y], Origin::named("y")).unwrap();
        graph
    }

    fn conv(channels: usize, window: Window) -> Conv2d {
        let [kh, kw] = window.kernel;
        let count = channels * channels * kh * kw;
        Conv2d {
            weight: Tensor::new(vec![channels, channels, kh, kw], vec![0.0; count]).unwrap(),
            bias: None,
            window,
            groups: 1,
        }
    }

    #[test]
    fn what_is_alive_at_the_peak_is_counted_by_hand() {
        // x of 4*8*8*4 bytes lives until the sum; the convolution has 4*9 rows of 64 pixels.
        let window = Window {
            pads: [1; 4],
            ..Window::dense([3, 3])
        };
        let op = conv(4, window);
        let graph = graph(
            |graph, x| {
                let a = graph.add(Relu, &[x], Origin::named("a")).unwrap();
                let b = graph.add(op.clone(), &[a], Origin::named("b")).unwrap();
                let c = graph.add(op, &[b], Origin::named("c")).unwrap();
                graph.add(Add, &[c, x], Origin::named("s")).unwrap()
            },
            Shape::new(4, 8, 8),
        );
        let demand = Demand::of_graph(&graph).unwrap();
        let map = 4 * 8 * 8 * 4;
        assert_eq!(demand.constants, 4 * 4 * 4 * 9, "one tensor, read twice");
        assert_eq!(demand.peak, 3 * map + 4 * 4 * 9 * 64);
        assert_eq!(graph.node(demand.peak_at).origin.name, "b");
        assert_eq!(demand.values, 6 * map);
        let macs = 2 * 4 * 4 * 9 * 64;
        // Operands and results: of the input, the ReLU, two convolutions, the sum and the output.
        let passed_on = 256 * (1 + 2 + 2 + 2 + 3 + 2);
        assert_eq!(demand.work, macs + ELEMENT * passed_on);
    }

    #[test]
    fn large_windows_are_work_and_no_number_wraps() {
        let window = Window {
            pads: [8191; 4],
            ..Window::dense([16384, 16384])
        };
        let wide = graph(
            |graph, x| graph.add(MaxPool { window }, &[x], Origin::named("p")).unwrap(),
            Shape::new(1, 16384, 16384),
        );
        let demand = Demand::of_graph(&wide).unwrap();
        assert!(demand.work > 1 << 56, "{}", demand.work);
        assert_eq!(wide.node(demand.work_at).origin.name, "p");
        let mut many = Graph::new("many");
        let shape = Shape::new(1, 1 << 14, 1 << 14);
        let mut at = many.add(Input { shape }, &[], Origin::named("x")).unwrap();
        for _ in 0..10_000 {
            at = many.add(Relu, &[at], Origin::named("r")).unwrap();
        }
        let demand = Demand::of_graph(&many).unwrap();
        assert_eq!(demand.values, 10_001 << 30);
        assert_eq!(demand.peak, 2 << 30);
        assert!(demand.work > 10_000 << 32);
    }
}
