//! Writes the first inputs of each target: texts, the plans of a small program, and small networks
//! as ONNX.
//!
//! ```text
//! cargo run --release --bin seeds
//! ```

#[cfg(feature = "onnx")]
#[path = "../tests/support/onnx/mod.rs"]
mod onnx;

use std::fs;
use std::io;
use std::path::Path;

// For the symbols that instrumented code calls.
use libfuzzer_sys as _;
use trefoil_fuzz::unsealed;
use trefoil_ir::mpc::{ConstKind, Party, Program};
use trefoil_ir::nn::{Graph, Op};
use trefoil_ir::plan::{
    ClientPart, ClientPlan, Digest, HelperPart, HelperPlan, InputEncoding, OutputDecoding, Owner, PlanId, Public,
    SecretSeed, ServerPart, ServerPlan,
};
use trefoil_ir::tail::Tail;
use trefoil_ir::text::TensorStore;
use trefoil_ir::{Shape, Tensor};
use trefoil_runtime::session::{Claim, PROTOCOL_VERSION, SessionId, Statement};
use trefoil_runtime::wire::{FrameKind, Header, Tag};

const GRAPH: &str = include_str!("seeds/graph.tir");
const PROGRAM: &str = include_str!("seeds/program.tir");

fn main() -> io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for target in ["text", "plan", "plan_resealed", "data", "wire", "profile", "onnx"] {
        fs::create_dir_all(corpus.join(target))?;
    }
    fs::write(corpus.join("text/graph"), GRAPH)?;
    fs::write(corpus.join("text/program"), PROGRAM)?;
    for (name, file) in plans() {
        fs::write(corpus.join("plan").join(name), &file)?;
        let parts = unsealed(&file).expect("a plan has both parts");
        fs::write(corpus.join("plan_resealed").join(name), parts)?;
    }
    for (name, kind, content) in data() {
        fs::write(corpus.join("data").join(name), [&[kind], &content[..]].concat())?;
    }
    fs::write(corpus.join("wire/hello"), hello())?;
    #[cfg(feature = "onnx")]
    profiles(&corpus.join("profile"))?;
    #[cfg(feature = "onnx")]
    for (name, file, _) in onnx::all_tiny() {
        fs::write(
            corpus
                .join("onnx")
                .join(name.replace(|c: char| !c.is_alphanumeric(), "_")),
            file,
        )?;
    }
    Ok(())
}

/// A client's first frame.
fn hello() -> Vec<u8> {
    let session = SessionId::random().expect("the system has random bytes");
    let statement = Statement {
        version: PROTOCOL_VERSION,
        from: Claim {
            party: Party::Client,
            digest: Digest([1; 32]),
            plan_id: PlanId([2; 32]),
        },
        to: Party::Server,
        session,
        memory: 0,
    };
    let payload = statement.encode();
    let header = Header {
        tag: Tag::control(FrameKind::Hello),
        length: payload.len() as u32,
    };
    [&header.encode()[..], &payload].concat()
}

/// What the network computes of its logits.
fn tail(graph: &Graph) -> Tail {
    match graph.output().map(|id| &graph.node(id).op) {
        Some(Op::Output(output)) => output.tail.clone(),
        _ => Tail::vector(1),
    }
}

/// Files of the target `data` with its word for each kind.
fn data() -> Vec<(&'static str, u8, Vec<u8>)> {
    let array = |kind: &str, shape: &str, bytes: usize| {
        let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n");
        let mut file = b"\x93NUMPY\x01\x00".to_vec();
        file.extend((header.len() as u16).to_le_bytes());
        file.extend(header.into_bytes());
        file.resize(file.len() + bytes, 0);
        file
    };
    let description = "shorter_side = 8\ncrop = 4\nscale = 0.5\nmean = [0.5]\nstd = [0.25]\n";
    vec![
        ("preprocess", 0, description.into()),
        ("floats", 1, array("<f4", "(2, 1, 2, 2)", 32)),
        ("bytes", 1, array("|u1", "(2, 2, 2, 1)", 8)),
        ("labels_array", 2, array("<i8", "(2,)", 16)),
        ("labels_text", 2, b"# file class\na.jpg 3\nsub/b.png -1\n".to_vec()),
    ]
}

#[cfg(feature = "onnx")]
fn profiles(corpus: &Path) -> io::Result<()> {
    let folder = trefoil_fuzz::profile::write(&trefoil_fuzz::scratch("seeds"));
    for (kind, name) in (0u8..).zip(trefoil_fuzz::profile::FILES) {
        let content = fs::read(folder.join(name))?;
        fs::write(corpus.join(name), [&[kind], &content[..]].concat())?;
    }
    let assignment = br#"{"a": [2, 2], "b": {"lower": [[1, 1], [0, 1]], "upper": [3, 4]}}"#;
    fs::write(corpus.join("assignment"), [&[3], &assignment[..]].concat())?;
    fs::remove_dir_all(folder)
}

fn plans() -> [(&'static str, Vec<u8>); 4] {
    let store = TensorStore::new();
    let graph = Graph::parse_verified(GRAPH, &store).unwrap_or_else(|faults| panic!("{faults}"));
    let (program, values) =
        Program::parse_verified(PROGRAM, &store).unwrap_or_else(|faults| panic!("{faults}"));
    let (program, graph) = (program.into_inner(), graph.into_inner());
    let constants: Vec<Tensor<i32>> = values
        .into_iter()
        .map(|value| value.expect("the seed has all values"))
        .collect();
    let public = Public {
        program: program.public(),
        plan_id: PlanId([7; 32]),
    };
    let seed = |byte: u8| SecretSeed::new([byte; 32]);
    let channels = |name: &str| {
        let step = program.steps.iter().find(|step| step.op.name() == name);
        step.map_or(Shape::vector(1), |step| step.ty.shape).c
    };
    let input = InputEncoding {
        unit: vec![1e-3; channels("input")],
    };
    let output = OutputDecoding {
        unit: vec![1e-3; channels("reveal")],
        linear: vec![Op::from(trefoil_ir::nn::op::Flatten)],
        tail: tail(&graph),
        classes: vec!["cat".to_owned(), "dog".to_owned()],
    };
    let known = |(declared, value): (&trefoil_ir::mpc::Constant, &Tensor<i32>)| {
        (declared.kind != ConstKind::Bias).then(|| value.clone())
    };
    let client = ClientPart {
        constants: program.constants.iter().zip(&constants).map(known).collect(),
        input: input.clone(),
        output: output.clone(),
        preprocess: Some("scale = 1.0\nmean = [0.0]\nstd = [1.0]\n".to_owned()),
        with_server: seed(1),
        with_helper: seed(2),
    };
    let server = ServerPart {
        constants: constants.clone(),
        with_client: seed(1),
        with_helper: seed(3),
    };
    let helper = HelperPart {
        weight_seed: seed(9),
        with_client: seed(2),
        with_server: seed(3),
    };
    let owner = Owner {
        program: program.clone(),
        plan_id: public.plan_id,
        constants,
        graph: graph.clone(),
        imported: graph,
        assignment: None,
        input,
        output,
        preprocess: None,
        calibration_images: 1,
    };
    [
        ("client", ClientPlan::encode(&public, &client)),
        ("server", ServerPlan::encode(&public, &server)),
        ("helper", HelperPlan::encode(&public, &helper)),
        ("owner", owner.encode()),
    ]
}
