//! Networks with patches and what runs ONNX files, for the tests of export and import.

use tract_onnx::prelude::*;
use trefoil_ir::nn::eval::FeatureMap;
use trefoil_ir::nn::op::{Clip, Relu};
use trefoil_ir::nn::{Graph, Op};
use trefoil_ir::{Patch, Shape};

use super::{ExportOptions, export};
use crate::import::{ImportOptions, Imported, import_bytes};
use crate::pass::testing::Net;
use crate::patches::with_patches;

/// The file of a graph.
pub(crate) fn exported(graph: &Graph) -> Vec<u8> {
    let graph = graph.clone().verify().unwrap();
    export(&graph, &ExportOptions::default()).unwrap_or_else(|error| panic!("{error}"))
}

/// The network of a file.
pub(crate) fn imported(bytes: &[u8]) -> Imported {
    import_bytes(bytes, None, &ImportOptions::default()).unwrap_or_else(|error| panic!("{error}"))
}

/// What a file computes: its network with the patches that it carries.
pub(crate) fn meant(imported: &Imported) -> Graph {
    match &imported.assignment {
        Some(assignment) => with_patches(&imported.graph, assignment).unwrap(),
        None => imported.graph.clone().into_inner(),
    }
}

/// Output of an ONNX file by tract.
pub(crate) fn tract(bytes: &[u8], image: &FeatureMap) -> TractResult<Vec<f32>> {
    let Shape { c, h, w } = image.shape();
    let dims = if h * w == 1 { vec![1, c] } else { vec![1, c, h, w] };
    let model = tract_onnx::onnx()
        .model_for_read(&mut &*bytes)?
        .with_input_fact(0, f32::fact(&dims).into())?
        .into_typed()?
        .into_decluttered()?
        .into_runnable()?;
    let input = tract_onnx::prelude::Tensor::from_shape(&dims, image.values())?;
    let output = model.run(tvec!(input.into()))?;
    let output = output[0].cast_to::<f32>()?;
    Ok(output.to_plain_array_view::<f32>()?.iter().copied().collect())
}

/// A network with one ReLU and one clip on maps of this shape, whose patches are drawn.
pub(crate) fn gated(seed: u64, shape: Shape) -> Graph {
    let mut net = Net::new(seed);
    let x = net.input(shape);
    let a = net.conv(x, shape.c, 3);
    let lower = net.patches(shape);
    let b = net.block(a, lower);
    let c = net.conv(b, shape.c, 1);
    let (lower, upper) = (net.patches(shape), net.patches(shape));
    let clip = Clip {
        high: 0.6,
        lower,
        upper,
    };
    let d = net.op(clip, &[c]);
    let e = net.conv(d, 2, 1);
    let mut graph = net.finish(e);
    // A gate of pixels alone is the plain operator.
    for id in graph.ids() {
        if matches!(&graph.node(id).op, Op::BlockRelu(op) if op.patches.iter().all(Patch::is_pixel)) {
            let inputs = graph.inputs(id);
            graph.replace(id, Relu, &inputs).unwrap();
        }
    }
    graph
}
