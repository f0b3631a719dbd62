//! What must hold of anything that Trefoil reads, as checks that panic where it does not.

#[cfg(feature = "onnx")]
pub mod profile;

use std::fs;
use std::path::{Path, PathBuf};

use trefoil_ir::mpc::Program;
use trefoil_ir::mpc::cost::Cost;
use trefoil_ir::mpc::emulate::{Emulator, IntMap, Rounding};
use trefoil_ir::mpc::text::{ConstantValues, ProgramTextOptions};
use trefoil_ir::nn::{Graph, Op};
use trefoil_ir::nn::eval::{self, FeatureMap};
use trefoil_ir::plan::{
    ClientPlan, HelperPlan, OutputDecoding, Owner, Public, ServerPlan, decode_role,
};
use trefoil_ir::text::TensorStore;
use trefoil_ir::{Shape, Tensor};

/// Elements up to which a network is also executed.
const SMALL: usize = 1 << 12;

/// A graph that is read prints as a text that reads back and prints the same; one that verifies
/// can be executed.
pub fn graph_text(source: &str) {
    let Ok(graph) = Graph::parse(source, &TensorStore::new()) else {
        return;
    };
    reads_back(&graph);
    if let Ok(graph) = graph.verify() {
        execute(&graph);
    }
}

/// A graph without gaps in its numbers prints as a text that reads back and prints the same.
pub fn reads_back(graph: &Graph) {
    let text = graph.to_text();
    let again = Graph::parse(&text, &graph.tensors()).unwrap_or_else(|faults| panic!("{text}\n{faults}"));
    assert_eq!(again.to_text(), text);
}

/// Runs a verified graph of small values on zeros.
pub fn execute(graph: &Graph) {
    let shapes = graph.ids().into_iter().map(|id| graph.node(id).shape);
    if !are_small(shapes) {
        return;
    }
    let Some(input) = graph.input() else { return };
    let image = FeatureMap::zeros(graph.node(input).shape);
    let logits = eval::run(graph, &image).expect("the image has the input's shape");
    if let Some(Op::Output(output)) = graph.output().map(|id| &graph.node(id).op) {
        let _ = output.tail.run(logits.values());
    }
}

/// The same for a program; its costs can be counted, too.
pub fn program_text(source: &str) {
    let Ok((program, values)) = Program::parse(source, &TensorStore::new()) else {
        return;
    };
    let options = ProgramTextOptions {
        constants: &values,
        ..ProgramTextOptions::default()
    };
    let text = program.to_text_with(&options);
    let mut store = TensorStore::new();
    values
        .iter()
        .flatten()
        .for_each(|tensor| store.insert(tensor.clone()));
    let again = Program::parse(&text, &store);
    let (again, same) = again.unwrap_or_else(|faults| panic!("{text}\n{faults}"));
    assert!(values == same, "{text}");
    assert_eq!(again, program);
    if let Ok(program) = program.verify() {
        use_program(&program, &values);
    }
}

/// Counts a verified program's cost, and runs it on zeros if it is small and its constants are known.
pub fn use_program(program: &Program, values: &ConstantValues) {
    let _ = Cost::new(program);
    let _ = program.to_text();
    let constants: Option<Vec<Tensor<i32>>> = values.iter().cloned().collect();
    let Some(constants) = constants else { return };
    let scratch = program.ids().map(|id| program.scratch_words(id).unwrap_or(usize::MAX));
    let shapes = program.steps.iter().map(|step| step.ty.shape);
    if are_small(shapes.chain(scratch.map(Shape::vector))) {
        let shape = program
            .steps
            .iter()
            .find(|step| step.op.name() == "input")
            .map(|step| step.ty.shape);
        let shape = shape.expect("a verified program has an input");
        let image = IntMap::new(shape, vec![0; shape.len()]);
        Emulator::new(program, &constants).run(&image, Rounding::Nearest, |_, _| {});
    }
}

fn are_small(shapes: impl IntoIterator<Item = Shape>) -> bool {
    let total = shapes
        .into_iter()
        .try_fold(0usize, |sum, shape| sum.checked_add(shape.len()));
    total.is_some_and(|total| total <= SMALL)
}

/// A file is at most one party's plan, and one that decodes is written in the one way in which it
/// would be encoded.
pub fn plan(file: &[u8]) {
    let _ = decode_role(file);
    let decoded = [client(file), server(file), helper(file), owner(file)];
    assert!(
        decoded.into_iter().filter(|&d| d).count() <= 1,
        "two parties accept one file"
    );
}

fn client(file: &[u8]) -> bool {
    let Ok(plan) = ClientPlan::decode(file) else {
        return false;
    };
    let public = public(plan.program(), plan.plan_id());
    assert_eq!(ClientPlan::encode(&public, &plan.part), file);
    use_program(plan.program(), &plan.part.constants);
    predict(plan.program(), &plan.part.output);
    true
}

fn server(file: &[u8]) -> bool {
    let Ok(plan) = ServerPlan::decode(file) else {
        return false;
    };
    let public = public(plan.program(), plan.plan_id());
    assert_eq!(ServerPlan::encode(&public, &plan.part), file);
    use_program(
        plan.program(),
        &plan.part.constants.iter().cloned().map(Some).collect(),
    );
    true
}

fn helper(file: &[u8]) -> bool {
    let Ok(plan) = HelperPlan::decode(file) else {
        return false;
    };
    let public = public(plan.program(), plan.plan_id());
    assert_eq!(HelperPlan::encode(&public, &plan.part), file);
    true
}

fn owner(file: &[u8]) -> bool {
    let Ok(owner) = Owner::decode(file) else {
        return false;
    };
    execute(&owner.graph);
    use_program(
        &owner.program,
        &owner.constants.iter().cloned().map(Some).collect(),
    );
    predict(&owner.program, &owner.output);
    true
}

/// What the client makes of zeros that it has learned, if there are few.
fn predict(program: &Program, output: &OutputDecoding) {
    let Some(revealed) = program.output().map(|id| program.ty(id).shape) else {
        return;
    };
    let mut shapes = vec![revealed];
    for op in &output.linear {
        shapes.push(op.infer(&[shapes[shapes.len() - 1]]).expect("a plan's operators fit"));
    }
    if are_small(shapes) {
        let prediction = output.predict(&vec![0; revealed.len()], revealed);
        let _ = (prediction.scores(), prediction.class());
    }
}

fn public(program: &Program, plan_id: trefoil_ir::plan::PlanId) -> Public {
    Public {
        program: program.clone(),
        plan_id,
    }
}

/// The plan file that holds these parts, with lengths and hash as they must be. `bytes` are a role,
/// the length of the public part in 32 bits, the public part, and the private part.
pub fn sealed(bytes: &[u8]) -> Option<Vec<u8>> {
    let (&role, rest) = bytes.split_first()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?.min(rest.len());
    let (public, private) = rest.split_at(length);
    let mut file = b"TREFOIL\0".to_vec();
    file.push(role);
    file.extend_from_slice(&trefoil_ir::plan::FORMAT_VERSION.to_le_bytes());
    for part in [public, private] {
        file.extend_from_slice(&(part.len() as u64).to_le_bytes());
        file.extend_from_slice(part);
    }
    let hash = blake3::hash(&file);
    file.extend_from_slice(hash.as_bytes());
    Some(file)
}

/// The reverse of [`sealed`].
pub fn unsealed(file: &[u8]) -> Option<Vec<u8>> {
    let (header, hash) = (11, 32);
    let content = file.get(header..file.len().checked_sub(hash)?)?;
    let (length, rest) = content.split_first_chunk::<8>()?;
    let length = u32::try_from(u64::from_le_bytes(*length)).ok()?;
    let (public, rest) = rest.split_at_checked(length as usize)?;
    let (_, private) = rest.split_first_chunk::<8>()?;
    let mut bytes = vec![*file.get(8)?];
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(public);
    bytes.extend_from_slice(private);
    Some(bytes)
}

/// A folder or file of this process's own, where files may lie in memory if the system has such a place.
pub fn scratch(name: &str) -> PathBuf {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    folder.join(format!("trefoil-fuzz-{}-{name}", std::process::id()))
}

/// Hands out the path of a file that holds these bytes.
pub fn as_file(bytes: &[u8], read: impl FnOnce(&Path)) {
    let path = scratch("file");
    fs::write(&path, bytes).expect("there is room");
    read(&path);
    let _ = fs::remove_file(&path);
}
