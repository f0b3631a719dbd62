//! Limits of memory and work: said before the first image, with the layer that takes most, instead of
//! an allocation that fails an hour later.
//!
//! What one image takes is estimated from shapes alone ([`Demand`]). As many images run at a time as
//! there are threads, or fewer where memory is scarce.

mod machine;

use thiserror::Error;
use trefoil_ir::Shape;
use trefoil_ir::demand::Demand;
use trefoil_ir::mpc::{Program, ValueId};
use trefoil_ir::nn::{Class, Graph, NodeId};
use trefoil_ir::plan::Owner;
use trefoil_runtime::amount::size;

/// Memory and work that a command may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory.
    pub memory: u64,
    /// Multiply-adds of one image, or what takes as long.
    pub work: u64,
}

/// Twenty times what DeepLabV3 takes on 513 x 513 pixels; some minutes an image and core.
pub const LARGEST_WORK: u64 = 4_000_000_000_000;

impl Default for Limits {
    /// Three quarters of the memory that is free now, for this process, and [`LARGEST_WORK`].
    fn default() -> Self {
        Self {
            memory: machine::available() / 4 * 3,
            work: LARGEST_WORK,
        }
    }
}

/// The kind of run, which decides what an image takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// The network runs in floats.
    Floats,
    /// The network is lowered, and its program runs in the emulator.
    FixedPoint,
    /// Both, and every value in floats is kept.
    Compare,
    /// Every value is kept, and gradients of so many probes run backward; what is found takes so many
    /// bytes.
    Measure {
        /// Probes an image.
        probes: usize,
        /// Bytes of vectors.
        vectors: u64,
    },
}

/// A network takes more than there is.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum LimitError {
    /// Too little memory.
    #[error(
        "one image would take about {} of memory, most of it at {layer}, and {} may be used: \
         take a smaller image (--input-shape) or a machine with more memory (--memory BYTES sets what may be used)",
        size(*needed), size(*given)
    )]
    Memory {
        /// Bytes that are needed.
        needed: u64,
        /// Bytes that there are.
        given: u64,
        /// The layer that takes most of them.
        layer: Layer,
    },
    /// Too much work.
    #[error(
        "one image would take as long as about {needed:.1e} multiply-adds, most of them at {layer}, and the limit is \
         {given:.1e}: take a smaller image (--input-shape), or raise the limit with --work if you mean it",
        needed = *needed as f64, given = *given as f64
    )]
    Work {
        /// Multiply-adds that are needed.
        needed: u64,
        /// Multiply-adds that are allowed.
        given: u64,
        /// The layer that takes most of them.
        layer: Layer,
    },
}

/// A layer as a message names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    op: &'static str,
    name: String,
    shape: Shape,
}

impl Layer {
    fn of(graph: &Graph, id: NodeId) -> Self {
        let node = graph.node(id);
        Self {
            op: node.op.name(),
            name: node.origin.name.clone(),
            shape: node.shape,
        }
    }

    fn of_step(program: &Program, id: ValueId) -> Self {
        let step = program.step(id);
        Self {
            op: step.op.name(),
            name: step.origin.clone(),
            shape: step.ty.shape,
        }
    }
}

impl std::fmt::Display for Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} \"{}\" with a result of {}", self.op, self.name, self.shape)
    }
}

impl Limits {
    /// How many images may be worked on at a time by a program that a record holds, with its network
    /// beside it: one a thread, or fewer. The program of a forged record may be another than the
    /// network's, and is measured for itself.
    ///
    /// # Errors
    /// If one takes too much.
    pub fn images_of_record(&self, owner: &Owner, run: Run) -> Result<usize, LimitError> {
        let at_once = self.images_at_once(&owner.graph, run)?;
        let demand = match run {
            Run::FixedPoint | Run::Compare => Demand::of_program(&owner.program),
            Run::Floats | Run::Measure { .. } => None,
        };
        let Some(demand) = demand else {
            return Ok(at_once);
        };
        if demand.work > self.work {
            return Err(LimitError::Work {
                needed: demand.work,
                given: self.work,
                layer: Layer::of_step(&owner.program, demand.work_at),
            });
        }
        let floats = Demand::of_graph(&owner.graph);
        let graphs = floats.map_or(0, |floats| floats.constants.saturating_mul(2));
        let values = match (run, floats) {
            (Run::Compare, Some(floats)) => floats.values,
            (_, _) => 0,
        };
        let fixed = demand.constants.saturating_add(graphs);
        self.at_once(fixed, demand.peak.saturating_add(values), || {
            Layer::of_step(&owner.program, demand.peak_at)
        })
        .map(|of_program| of_program.min(at_once))
    }

    /// How many images of this network may be worked on at a time: one a thread, or fewer.
    ///
    /// # Errors
    /// If one takes too much.
    pub fn images_at_once(&self, graph: &Graph, run: Run) -> Result<usize, LimitError> {
        let Some(demand) = Demand::of_graph(graph) else {
            return Ok(1);
        };
        let (work, layer) = most_work(graph, &demand, run);
        if work > self.work {
            return Err(LimitError::Work {
                needed: work,
                given: self.work,
                layer,
            });
        }
        let (image, layer) = memory_of_image(graph, &demand, run);
        // As imported, and as passes leave them.
        self.at_once(demand.constants.saturating_mul(2), image, || layer)
    }

    /// How many images of so many bytes may be worked on beside what is held throughout.
    fn at_once(&self, fixed: u64, image: u64, layer: impl FnOnce() -> Layer) -> Result<usize, LimitError> {
        let needed = fixed.saturating_add(image);
        if needed > self.memory {
            return Err(LimitError::Memory {
                needed,
                given: self.memory,
                layer: layer(),
            });
        }
        let threads = rayon::current_num_threads() as u64;
        Ok(((self.memory - fixed) / image.max(1)).clamp(1, threads) as usize)
    }
}

/// Bytes that one image takes, and where most of them.
fn memory_of_image(graph: &Graph, demand: &Demand<NodeId>, run: Run) -> (u64, Layer) {
    let peak = Layer::of(graph, demand.peak_at);
    // The emulator's values take 8 bytes, and a convolution's operand and result are there twice.
    let emulated = demand.peak.saturating_mul(3);
    let bytes = match run {
        Run::Floats => demand.peak,
        Run::FixedPoint => {
            let (lowered, layer) = largest_lowering(graph);
            if lowered.bytes > emulated {
                return (lowered.bytes, layer.unwrap_or(peak));
            }
            emulated
        }
        Run::Compare => emulated.saturating_add(demand.values),
        Run::Measure { probes, vectors } => {
            let gradients = demand.peak.saturating_mul(probes as u64);
            let kept = demand.values.saturating_add(gradients);
            kept.saturating_add(vectors.saturating_mul(2))
        }
    };
    (bytes, peak)
}

fn most_work(graph: &Graph, demand: &Demand<NodeId>, run: Run) -> (u64, Layer) {
    let (lowered, layer) = match run {
        Run::FixedPoint => largest_lowering(graph),
        Run::Floats | Run::Compare | Run::Measure { .. } => (Lowering::default(), None),
    };
    match layer {
        Some(layer) if lowered.work > demand.work => (lowered.work, layer),
        _ => (demand.work, Layer::of(graph, demand.work_at)),
    }
}

/// What it takes to lower one layer.
#[derive(Clone, Copy, Default)]
struct Lowering {
    bytes: u64,
    work: u64,
}

/// Bytes of a run of taps in the tables of a max-pool's tournament, and multiply-adds that take as
/// long as finding its place in one.
const RUN_BYTES: u64 = 160;
const RUN_WORK: u64 = 4096;

/// Of all layers only a max-pool takes more to lower than to run: its tournaments are planned window
/// by window, for several choices.
fn largest_lowering(graph: &Graph) -> (Lowering, Option<Layer>) {
    let mut largest = Lowering::default();
    let mut layer = None;
    for id in graph.ids() {
        let node = graph.node(id);
        let Class::Max(window) = node.op.class() else {
            continue;
        };
        let [kernel_h, kernel_w] = window.kernel;
        let lowering =
            Lowering::of_axis(kernel_h, node.shape.h).and(Lowering::of_axis(kernel_w, node.shape.w));
        if lowering.bytes > largest.bytes {
            largest = lowering;
            layer = Some(Layer::of(graph, id));
        }
    }
    (largest, layer)
}

impl Lowering {
    /// The tournaments of a max-pool along one axis, of so many results.
    fn of_axis(kernel: usize, results: usize) -> Self {
        let splits = 2 * u64::from(kernel.max(1).ilog2());
        let runs = (splits + 1) * results as u64;
        let choices = 1 << splits.min(6);
        Self {
            bytes: runs.saturating_mul(RUN_BYTES),
            work: runs.saturating_mul(choices * RUN_WORK),
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            work: self.work.saturating_add(other.work),
        }
    }
}

#[cfg(test)]
mod tests {
    use trefoil_ir::Window;
    use trefoil_ir::nn::Origin;
    use trefoil_ir::nn::op::{Input, MaxPool, Output, Relu};

    use super::*;

    fn graph(shape: Shape, pool: Window) -> Graph {
        let mut graph = Graph::new("g");
        let x = graph.add(Input { shape }, &[], Origin::named("x")).unwrap();
        let a = graph.add(Relu, &[x], Origin::named("a")).unwrap();
        let p = graph
            .add(MaxPool { window: pool }, &[a], Origin::named("p"))
            .unwrap();
        let output = Output::map(graph.node(p).shape);
        graph.add(output, &[p], Origin::named("y")).unwrap();
        graph
    }

    #[test]
    fn fewer_images_run_at_a_time_before_one_is_refused() {
        let graph = graph(Shape::new(8, 64, 64), Window::dense([1, 1]));
        let image = Demand::of_graph(&graph).unwrap().peak;
        let at_once = |memory| {
            let limits = Limits {
                memory,
                work: u64::MAX,
            };
            limits.images_at_once(&graph, Run::Floats)
        };
        assert_eq!(at_once(u64::MAX).unwrap(), rayon::current_num_threads());
        assert_eq!(at_once(2 * image - 1).unwrap(), 1);
        let error = at_once(image - 1).unwrap_err();
        assert!(matches!(error, LimitError::Memory { .. }));
        assert!(
            error.to_string().contains("\"y\" with a result of 8x64x64"),
            "{error}"
        );
        for more in [
            Run::FixedPoint,
            Run::Compare,
            Run::Measure {
                probes: 2,
                vectors: 0,
            },
        ] {
            let limits = Limits {
                memory: image,
                work: u64::MAX,
            };
            assert!(limits.images_at_once(&graph, more).is_err(), "{more:?}");
        }
    }

    #[test]
    fn hours_of_work_are_refused_with_their_layer() {
        let window = Window {
            pads: [2047; 4],
            ..Window::dense([4096, 4096])
        };
        let graph = graph(Shape::new(1, 8192, 8192), window);
        let limits = Limits {
            memory: u64::MAX,
            work: LARGEST_WORK,
        };
        let error = limits.images_at_once(&graph, Run::Floats).unwrap_err();
        assert!(matches!(error, LimitError::Work { .. }));
        assert!(
            error.to_string().contains("max_pool \"p\"") && error.to_string().contains("--work"),
            "{error}"
        );
    }

    /// Running it is little work, but its tournaments would be planned for hours.
    #[test]
    fn long_pools_are_not_lowered() {
        let window = Window::dense([3, 1]);
        let graph = graph(Shape::new(1, 1 << 28, 1), window);
        let limits = Limits {
            memory: 1 << 36,
            work: LARGEST_WORK,
        };
        assert!(limits.images_at_once(&graph, Run::Floats).is_ok());
        assert!(limits.images_at_once(&graph, Run::FixedPoint).is_err());
    }

    #[test]
    fn a_machine_has_memory() {
        let limits = Limits::default();
        assert!((1 << 20..1 << 50).contains(&limits.memory), "{limits:?}");
    }
}
