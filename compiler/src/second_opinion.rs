//! A second opinion on an imported network: tract reads the same file and runs it on the same images.
//!
//! Import is the one step whose faults no other level can show, since all of them start from its result.
//! tract shares nothing with it but the protobuf: it is handed the nodes that the network is made of, so
//! that what the importer bounds is bounded here, and nobody opens what it has not looked at. Where the two differ beyond rounding, the first node
//! that does is named: it was read wrongly here, or there.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use serde::Serialize;
use thiserror::Error;
use tract_core::prelude::*;
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::{Framework, InferenceModelExt};
use trefoil_ir::geometry::ResizeMode;
use trefoil_ir::nn::eval::{self, FeatureMap};
use trefoil_ir::nn::{Class, Graph};
use trefoil_ir::text::printable;
use trefoil_runtime::terminal::print::chain;

use crate::import::{Imported, ImportedValue, live_model};
use crate::patches::{self, PatchError};
use crate::quiet;

/// Images that are compared.
pub const IMAGES: usize = 3;

/// Largest difference that rounding explains, in root mean squares of a value.
const ROUNDING: f64 = 1e-3;

/// Root mean square of the differences that patches explain: a sum next to zero has either sign.
const SIGNS: f64 = 1e-2;

/// The result of the comparison with tract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Opinion {
    /// Both compute the same of so many images.
    Agrees {
        /// How many.
        images: usize,
    },
    /// tract cannot run the file, or nobody asked it.
    None {
        /// Why.
        reason: String,
    },
}

impl Opinion {
    fn none(reason: impl Into<String>) -> Self {
        Opinion::None {
            reason: reason.into(),
        }
    }
}

impl fmt::Display for Opinion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Opinion::Agrees { images: 1 } => f.write_str("computes the same on 1 calibration image"),
            Opinion::Agrees { images } => write!(f, "computes the same on {images} calibration images"),
            Opinion::None { reason } => write!(f, "gives no second opinion: {reason}"),
        }
    }
}

/// The network that was imported is not the one that tract runs.
#[derive(Debug, Error, PartialEq)]
#[error(
    "tract and Trefoil read the node \"{node}\" ({op}) differently: on calibration image {image} its output \
     \"{output}\" differs by {difference:.2e} of its size; please report the model, and compile with --no-cross-check \
     if the floats of `trefoil evaluate --level f32` are right"
)]
pub struct Disagreement {
    /// The first node that differs.
    pub node: String,
    /// Its ONNX operator.
    pub op: String,
    /// The value that differs.
    pub output: String,
    /// On which image, counted from 0.
    pub image: usize,
    /// Largest difference, in root mean squares of the value.
    pub difference: f64,
}

/// Runs the file of an imported network in tract and compares the logits; where they differ, every value.
///
/// # Errors
/// The first value that differs.
pub fn second_opinion(
    file: &Path,
    imported: &Imported,
    images: &[FeatureMap],
) -> Result<Opinion, Box<Disagreement>> {
    let Some(logits) = logits(imported) else {
        return Ok(Opinion::none("its output has no name of its own in the file"));
    };
    let graph = match with_patches(imported) {
        Ok(graph) => graph,
        Err(error) => return Ok(Opinion::none(error.to_string())),
    };
    let model = match live_model(file, &imported.output_name) {
        Ok(model) => model,
        Err(error) => return Ok(Opinion::none(chain(&error))),
    };
    let comparison = Comparison {
        model,
        imported,
        graph,
        images,
    };
    match comparison.first_difference(&[logits]) {
        Err(fault) => Ok(Opinion::none(fault.to_string())),
        Ok(None) => Ok(Opinion::Agrees { images: images.len() }),
        Ok(Some(difference)) => {
            let all: Vec<&ImportedValue> = imported.values.iter().collect();
            let first = comparison.first_difference(&all).ok().flatten();
            let first = first.unwrap_or(difference);
            if is_tracts_own(imported, &first) {
                let Disagreement { node, op, .. } = &first;
                let node = printable(node);
                let reason = format!("it reads \"{node}\" ({op}) in a way of its own");
                return Ok(Opinion::none(reason));
            }
            Err(Box::new(first))
        }
    }
}

/// Whether tract (0.23.9) is known to read such a node otherwise than ONNX's reference and onnxruntime: it
/// leaves `ceil_mode` beside `auto_pad` out, and takes other neighbours where a position falls on a boundary.
fn is_tracts_own(imported: &Imported, first: &Disagreement) -> bool {
    let value = imported.values.iter().find(|value| value.name == first.output);
    value.is_some_and(|value| match imported.graph.node(value.node).op.class() {
        Class::Resize(resize) => resize.mode != ResizeMode::Bilinear,
        Class::Max(_) | Class::Mean(_) => first.difference.is_infinite(),
        Class::Input
        | Class::Linear(_)
        | Class::PerChannel(_)
        | Class::Gate(_)
        | Class::Add
        | Class::Move(_)
        | Class::Output(_) => false,
    })
}

/// The value that the graph delivers.
fn logits(imported: &Imported) -> Option<&ImportedValue> {
    let graph = &imported.graph;
    let delivered = graph.inputs(graph.output()?)[0];
    imported.values.iter().rfind(|value| value.node == delivered)
}

/// The network that the file computes: with the patches that it carries.
fn with_patches(imported: &Imported) -> Result<Graph, PatchError> {
    let graph = imported.graph.clone().into_inner();
    match &imported.assignment {
        Some(assignment) => patches::with_patches(&imported.graph, assignment),
        None => Ok(graph),
    }
}

/// Why tract gives no opinion of a file.
#[derive(Debug, Error)]
enum TractFault {
    #[error("tract panics when it reads it")]
    PanicsReading,
    #[error("tract cannot read it: {0}")]
    CannotRead(String),
    #[error("tract panics when it runs it")]
    PanicsRunning,
    #[error("tract cannot run it: {0}")]
    CannotRun(String),
}

struct Comparison<'a> {
    model: ModelProto,
    imported: &'a Imported,
    graph: Graph,
    images: &'a [FeatureMap],
}

impl Comparison<'_> {
    /// The first of these values that differs on an image.
    ///
    /// # Errors
    /// If tract does not run the file.
    fn first_difference(&self, values: &[&ImportedValue]) -> Result<Option<Disagreement>, TractFault> {
        let names: Vec<&str> = values.iter().map(|value| value.name.as_str()).collect();
        let tract = quiet::guarded(|| self.load(&names))
            .ok_or(TractFault::PanicsReading)?
            .map_err(|error| TractFault::CannotRead(one_line(&error)))?;
        for (at, image) in self.images.iter().enumerate() {
            let theirs = quiet::guarded(|| self.run(&tract, image))
                .ok_or(TractFault::PanicsRunning)?
                .map_err(|error| TractFault::CannotRun(one_line(&error)))?;
            let ours = self.ours(values, image);
            for ((value, ours), theirs) in values.iter().zip(&ours).zip(&theirs) {
                // A value that tract has fused away, or holds under another shape, cannot be compared.
                let (Some(ours), Some(theirs)) = (ours, theirs) else {
                    continue;
                };
                if let Some(difference) = self.difference(ours.values(), theirs) {
                    return Ok(Some(disagreement(value, at, difference)));
                }
            }
        }
        Ok(None)
    }

    /// The network in tract, delivering the values of these names.
    fn load(&self, names: &[&str]) -> TractResult<Arc<TypedRunnableModel>> {
        let mut model = tract_onnx::onnx()
            .with_ignore_output_shapes(true)
            .model_for_proto_model(&self.model)?;
        let outlets: Vec<_> = names
            .iter()
            .map(|name| {
                model
                    .find_outlet_label(name)
                    .with_context(|| format!("it has no value \"{name}\""))
            })
            .collect::<TractResult<_>>()?;
        model.select_output_outlets(&outlets)?;
        let dims = &self.imported.input_dims;
        model.set_input_fact(0, f32::fact(dims.as_slice()).into())?;
        // As the file says it: no rewriting, which might hide what a node computes.
        model.into_typed()?.into_runnable()
    }

    fn run(&self, model: &Arc<TypedRunnableModel>, image: &FeatureMap) -> TractResult<Vec<Option<Vec<f32>>>> {
        let image = Tensor::from_shape(&self.imported.input_dims, image.values())?;
        let values = model.run(tvec!(image.into()))?;
        Ok(values.iter().map(|value| floats(value)).collect())
    }

    fn ours(&self, values: &[&ImportedValue], image: &FeatureMap) -> Vec<Option<FeatureMap>> {
        let mut found = vec![None; values.len()];
        // The images were read as the network's input, so nothing can fail.
        let _ = eval::run_with(&self.graph, image, |id, map| {
            for (value, found) in values.iter().zip(&mut found) {
                if value.node == id {
                    *found = Some(map.clone());
                }
            }
        });
        found
    }

    /// How far two values are apart, if that is more than rounding explains.
    fn difference(&self, ours: &[f32], theirs: &[f32]) -> Option<f64> {
        if ours.len() != theirs.len() {
            return Some(f64::INFINITY);
        }
        let mut squares = 0.0;
        let mut error_squares = 0.0;
        let mut largest: f64 = 0.0;
        let mut are_finite = true;
        for (&ours, &theirs) in ours.iter().zip(theirs) {
            let error = f64::from(ours) - f64::from(theirs);
            squares += f64::from(theirs).powi(2);
            error_squares += error.powi(2);
            largest = largest.max(error.abs());
            are_finite &= ours.is_finite() && theirs.is_finite();
        }
        let count = ours.len().max(1) as f64;
        let size = (squares / count).sqrt().max(1e-6);
        if self.imported.assignment.is_some() {
            let error = (error_squares / count).sqrt() / size;
            return (error.is_nan() || error > SIGNS).then_some(error);
        }
        let worst = largest / size;
        (!(are_finite && worst <= ROUNDING)).then_some(worst)
    }
}

/// The elements of a value of tract's, if they are floats and lie in memory.
fn floats(value: &Tensor) -> Option<Vec<f32>> {
    if value.datum_type() != f32::datum_type() {
        return None;
    }
    let view = value.to_plain_array_view::<f32>().ok()?;
    Some(view.iter().copied().collect())
}

fn disagreement(value: &ImportedValue, image: usize, difference: f64) -> Disagreement {
    Disagreement {
        node: value.origin.clone(),
        op: value.op.clone(),
        output: value.name.clone(),
        image,
        difference,
    }
}

fn one_line(error: &TractError) -> String {
    format!("{error:#}")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use tract_onnx::pb::tensor_proto::DataLocation;
    use tract_onnx::pb::{StringStringEntryProto, TensorProto};
    use trefoil_ir::nn::Op;
    use trefoil_ir::{Shape, Tensor, Verified};

    use super::*;
    use crate::import::testing::{Size, floats, graph, indices, ints, model, node, value, with};
    use crate::import::{ImportOptions, import_bytes, import_file};

    /// Two convolutions with a ReLU between them, on disk and imported.
    fn network() -> (tempfile::NamedTempFile, Imported) {
        let mut first = with(
            node("Conv", &["x", "w"], &["a"]),
            vec![ints("pads", &[1, 0, 0, 1])],
        );
        first.name = "first".to_owned();
        let mut second = node("Conv", &["b", "v"], &["y"]);
        second.name = "second".to_owned();
        let mut graph = graph(vec![first, node("Relu", &["a"], &["b"]), second]);
        let values: Vec<f32> = (0..16).map(|at| (at as f32 * 0.7).sin()).collect();
        graph.initializer = vec![
            floats("w", &[2, 2, 2, 2], &values),
            floats("v", &[1, 2, 1, 1], &values[..2]),
        ];
        let bytes = model(13, graph);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &bytes).unwrap();
        (
            file,
            import_bytes(&bytes, None, &ImportOptions::default()).unwrap(),
        )
    }

    fn images() -> Vec<FeatureMap> {
        let image = |at: usize| (0..48).map(|i| ((i * (at + 3)) as f32 * 0.3).cos()).collect();
        (0..IMAGES)
            .map(|at| FeatureMap::new(Shape::new(2, 4, 6), image(at)))
            .collect()
    }

    fn changed(imported: &mut Imported, change: impl Fn(&mut Op)) {
        let mut graph: Graph = imported.graph.clone().into_inner();
        graph
            .ids()
            .into_iter()
            .for_each(|id| change(&mut graph.node_mut(id).op));
        let graph: Verified<Graph> = graph.verify().unwrap();
        imported.graph = graph;
    }

    #[test]
    fn an_import_that_is_right_is_agreed_with() {
        let (file, imported) = network();
        let opinion = second_opinion(file.path(), &imported, &images());
        assert_eq!(opinion, Ok(Opinion::Agrees { images: IMAGES }));
    }

    #[test]
    fn the_first_node_that_was_read_wrongly_is_named() {
        let (file, imported) = network();
        for (channels, name) in [(2, "first"), (1, "second")] {
            let mut wrong = imported.clone();
            changed(&mut wrong, |op| match op {
                Op::Conv2d(conv) if conv.out_channels() == channels => {
                    let mut values = conv.weight.values().to_vec();
                    values.iter_mut().for_each(|value| *value += 0.1);
                    conv.weight = Tensor::new(conv.weight.dims().to_vec(), values).unwrap();
                }
                _ => {}
            });
            let error = second_opinion(file.path(), &wrong, &images()).unwrap_err();
            assert_eq!(error.node, name, "{error}");
            assert_eq!(error.image, 0);
        }
    }

    /// Beside the network stand a tensor of 16 GiB, one whose data are in a pipe, and a shape that is wrong.
    #[test]
    #[cfg(unix)]
    fn what_nobody_reads_is_neither_computed_nor_opened() {
        let folder = tempfile::tempdir().unwrap();
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let weights: Vec<u8> = [0.5f32, -1.0, 2.0, 0.25]
            .iter()
            .flat_map(|w| w.to_le_bytes())
            .collect();
        std::fs::write(folder.path().join("weights"), weights).unwrap();
        let mut network = graph(vec![
            node("Conv", &["x", "w"], &["y"]),
            node("ConstantOfShape", &["s"], &["greedy"]),
            node("Add", &["greedy", "p"], &["dead"]),
        ]);
        network.initializer = vec![
            external("w", &[2, 2, 1, 1], "weights"),
            external("p", &[4], "pipe"),
            indices("s", &[1 << 32]),
        ];
        network.value_info = vec![value("y", &[Size::Is(7)])];
        let file = folder.path().join("net.onnx");
        std::fs::write(&file, model(13, network)).unwrap();

        let live = live_model(&file, "y").unwrap().graph.unwrap();
        let names: Vec<&str> = live.initializer.iter().map(|i| i.name.as_str()).collect();
        assert_eq!((live.node.len(), names), (1, vec!["w"]));
        let imported = import_file(&file, &ImportOptions::default()).unwrap();
        let opinion = second_opinion(&file, &imported, &images());
        assert_eq!(opinion, Ok(Opinion::Agrees { images: IMAGES }));
    }

    fn external(name: &str, dims: &[i64], location: &str) -> TensorProto {
        TensorProto {
            data_location: Some(DataLocation::External as i32),
            external_data: vec![StringStringEntryProto {
                key: "location".to_owned(),
                value: location.to_owned(),
            }],
            ..floats(name, dims, &[])
        }
    }

    #[test]
    fn a_file_that_tract_does_not_take_gets_no_opinion() {
        let (_, imported) = network();
        let opinion = second_opinion(Path::new("/nonexistent.onnx"), &imported, &images()).unwrap();
        assert!(matches!(opinion, Opinion::None { .. }), "{opinion}");
    }
}
