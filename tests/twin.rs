//! `trefoil export-onnx`: networks with patches as files of standard operators. What they read back
//! as, what onnxruntime computes of them, and the commands that write and take them.
//!
//! onnxruntime is asked through Python, `python3` or what `TREFOIL_PYTHON` names; where that lacks
//! it, the tests that need it say so and pass.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::commands::{Ended, LIMIT, run};
use support::folder::{digits, material, read_floats, write_images};
use support::onnx::{self, Rng};
use support::python;
use tempfile::TempDir;
use trefoil_compiler::driver::evaluate::{Float, Network};
use trefoil_compiler::export::{ExportOptions, export};
use trefoil_compiler::import::{ImportOptions, Imported, import_bytes, import_file};
use trefoil_compiler::patches::{Assignment, Choice, LayerChoice, with_patches};
use trefoil_ir::Verified;
use trefoil_ir::nn::Gate;
use trefoil_ir::nn::Graph;
use trefoil_ir::nn::eval::FeatureMap;
use trefoil_ir::plan::Owner;
use trefoil_ir::{Patch, Shape};

const TREFOIL: &str = env!("CARGO_BIN_EXE_trefoil");

/// Runs ONNX files, each on the image beside it.
const PYTHON: &str = r#"
import sys
try:
    import numpy, onnxruntime
except ImportError as missing:
    print(f"Python lacks {missing.name}")
    sys.exit(77)
options = onnxruntime.SessionOptions()
options.log_severity_level = 3
for file in sys.argv[1:]:
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    images = numpy.load(file + ".in.npy")
    images = images.reshape(len(images), *given.shape[1:])
    result = session.run(None, {given.name: images})[0]
    numpy.save(file + ".out.npy", result.astype(numpy.float32))
"#;

/// Patches that the channels of one layer are drawn from.
const CATALOGUE: usize = 4;

/// Seeded patches for every gate: identities, pixels, ragged blocks and whole maps.
fn patches(graph: &Graph, rng: &mut Rng) -> Assignment {
    let mut assignment = Assignment::default();
    for id in graph.ids() {
        let node = graph.node(id);
        let Some(gate) = Gate::of(node) else { continue };
        let catalogue: Vec<Patch> = (0..CATALOGUE).map(|_| patch(node.shape, rng)).collect();
        let mut choice = || {
            let channels = 0..node.shape.c;
            let patches: Vec<Patch> = channels.map(|_| catalogue[rng.below(CATALOGUE)]).collect();
            Choice::of(&patches)
        };
        let layer = match gate.upper {
            None => LayerChoice::Every(choice()),
            Some(_) => LayerChoice::Signs {
                lower: Some(choice()),
                upper: Some(choice()),
            },
        };
        assignment.insert(node.origin.name.clone(), layer);
    }
    assignment
}

fn patch(map: Shape, rng: &mut Rng) -> Patch {
    let mut side = |size: usize| 1 + rng.below(size.min(5)) as u16;
    let (h, w) = (side(map.h), side(map.w));
    match rng.below(8) {
        0 => Patch::Identity,
        1 => Patch::PIXEL,
        2 => Patch::Block {
            h: map.h as u16,
            w: map.w as u16,
        },
        _ => Patch::Block { h, w },
    }
}

/// A network with its patches, and the file of it.
struct Twin {
    name: String,
    graph: Verified<Graph>,
    file: Vec<u8>,
}

impl Twin {
    fn new(name: &str, imported: &Imported, assignment: &Assignment) -> Self {
        let graph = with_patches(&imported.graph, assignment).unwrap();
        let graph = graph.verify().unwrap();
        let options = ExportOptions {
            input_rank: Some(imported.input_dims.len()),
        };
        let file = export(&graph, &options).unwrap_or_else(|error| panic!("{name}: {error}"));
        Self {
            name: name.to_owned(),
            graph,
            file,
        }
    }

    /// Demands that the file reads back as this network.
    fn check_import(&self, original: &Imported) {
        let back = import_bytes(&self.file, None, &ImportOptions::default());
        let back = back.unwrap_or_else(|error| panic!("{}: {error}", self.name));
        assert_eq!(original.graph.to_text(), back.graph.to_text(), "{}", self.name);
        assert_eq!(original.input_name, back.input_name, "{}", self.name);
        assert_eq!(original.output_name, back.output_name, "{}", self.name);
        assert_eq!(original.input_dims[1..], back.input_dims[1..], "{}", self.name);
        let patched = match &back.assignment {
            Some(assignment) => with_patches(&back.graph, assignment).unwrap(),
            None => back.graph.into_inner(),
        };
        assert_eq!(self.graph.to_text(), patched.to_text(), "{}", self.name);
    }

    fn input(&self) -> Shape {
        self.graph.node(self.graph.input().unwrap()).shape
    }

    /// A seeded image.
    fn image(&self) -> Vec<f32> {
        Rng::new(17).normals(self.input().len(), 1.0)
    }

    /// Output of the evaluator.
    fn evaluate(&self) -> Vec<f32> {
        let image = FeatureMap::new(self.input(), self.image());
        let network = Float::new(&self.graph);
        let logits = network.logits(&image).unwrap();
        network.tail().run(logits.values()).output.to_f32()
    }
}

/// All small networks, each as it is and with patches.
fn tiny_twins() -> Vec<(Imported, Twin)> {
    let mut twins = Vec::new();
    for (at, (name, bytes, _)) in onnx::all_tiny().into_iter().enumerate() {
        let import = || import_bytes(&bytes, None, &ImportOptions::default());
        for assignment in [None, Some(Rng::new(at as u64))] {
            let imported = import().unwrap_or_else(|error| panic!("{name}: {error}"));
            let assignment =
                assignment.map_or_else(Assignment::default, |mut rng| patches(&imported.graph, &mut rng));
            let twin = Twin::new(name, &imported, &assignment);
            twins.push((imported, twin));
        }
    }
    twins
}

fn of_file(path: &Path, seed: u64) -> (Imported, Twin) {
    let imported = import_file(path, &ImportOptions::default()).unwrap_or_else(|error| panic!("{error}"));
    let name = imported.graph.name.clone();
    let assignment = patches(&imported.graph, &mut Rng::new(seed));
    let twin = Twin::new(&name, &imported, &assignment);
    (imported, twin)
}

/// Published models, if they are there (see `real_models.rs`).
fn published() -> Vec<PathBuf> {
    let Some(folder) = trefoil_tests::needed(material("TREFOIL_DATA", "data")) else {
        return Vec::new();
    };
    let entries = fs::read_dir(folder.join("models")).expect("the data are complete");
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut paths: Vec<PathBuf> = paths
        .filter(|p| p.extension().is_some_and(|e| e == "onnx"))
        .collect();
    paths.sort();
    paths
}

#[test]
fn every_network_reads_back() {
    let twins = tiny_twins();
    assert!(twins.len() > 60, "{}", twins.len());
    for (imported, twin) in &twins {
        twin.check_import(imported);
    }
    let (imported, twin) = of_file(&digits("digits.onnx"), 3);
    twin.check_import(&imported);
}

#[test]
fn published_models_read_back() {
    for path in published() {
        let (imported, twin) = of_file(&path, 5);
        twin.check_import(&imported);
    }
}

/// Outputs of onnxruntime for the twins; none if Python lacks it.
fn onnxruntime(twins: &[&Twin]) -> Option<Vec<Vec<f32>>> {
    let folder = tempfile::tempdir().unwrap();
    let file = |at: usize| folder.path().join(format!("{at}.onnx"));
    let beside = |at: usize, end: &str| folder.path().join(format!("{at}.onnx.{end}"));
    for (at, twin) in twins.iter().enumerate() {
        let Shape { c, h, w } = twin.input();
        fs::write(file(at), &twin.file).unwrap();
        write_images(&beside(at, "in.npy"), [c, h, w], twin.image());
    }
    let mut command = python::python();
    command.arg("-c").arg(PYTHON).args((0..twins.len()).map(file));
    trefoil_tests::needed(python::run(&mut command))?;
    Some(
        (0..twins.len())
            .map(|at| read_floats(&beside(at, "out.npy")).1)
            .collect(),
    )
}

/// Largest difference and its root mean square, both over the largest value.
fn difference(ours: &[f32], theirs: &[f32]) -> (f32, f32) {
    assert_eq!(ours.len(), theirs.len());
    let size = ours.iter().fold(1e-3f32, |m, v| m.max(v.abs()));
    let errors = || ours.iter().zip(theirs).map(|(a, b)| (a - b).abs() / size);
    let mean = errors().map(|e| e * e).sum::<f32>() / ours.len() as f32;
    (errors().fold(0.0, f32::max), mean.sqrt())
}

#[test]
fn onnxruntime_computes_the_same() {
    let mut twins: Vec<Twin> = tiny_twins().into_iter().map(|(_, twin)| twin).collect();
    twins.push(of_file(&digits("digits.onnx"), 3).1);
    let Some(outputs) = onnxruntime(&twins.iter().collect::<Vec<_>>()) else {
        return;
    };
    for (twin, theirs) in twins.iter().zip(&outputs) {
        let (largest, _) = difference(&twin.evaluate(), theirs);
        assert!(largest <= 1e-4, "{}: {largest}", twin.name);
    }
}

/// In millions of signs some sums are so close to zero that the order of summation decides, and a
/// patch comes out otherwise: what follows from a few is small.
#[test]
fn onnxruntime_computes_published_models() {
    for path in published() {
        let (_, twin) = of_file(&path, 5);
        let Some(outputs) = onnxruntime(&[&twin]) else {
            return;
        };
        let (largest, mean) = difference(&twin.evaluate(), &outputs[0]);
        eprintln!(
            "{}: largest {largest:.1e}, root mean square {mean:.1e}",
            twin.name
        );
        assert!(mean <= 1e-3, "{}: {largest} {mean}", twin.name);
    }
}

fn trefoil(arguments: &[&str]) -> Ended {
    run(Command::new(TREFOIL).args(arguments), LIMIT)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary folders have plain names")
}

/// A compilation of the digits, and what it says.
fn compiled(folder: &TempDir, model: &Path, plans: &str, flags: &[&str]) -> (Ended, Owner) {
    let plans = folder.path().join(plans);
    let (calibration, preprocess) = (digits("calibration.npy"), digits("preprocess.toml"));
    let mut arguments = vec!["compile", text(model), "-o", text(&plans)];
    arguments.extend([
        "--calibration",
        text(&calibration),
        "--preprocess",
        text(&preprocess),
    ]);
    arguments.extend(flags);
    let ended = trefoil(&arguments).succeeded();
    let owner = Owner::decode(&fs::read(plans.join("owner.plan")).unwrap());
    (ended, owner.unwrap_or_else(|error| panic!("{error}")))
}

#[test]
fn a_compilation_becomes_a_twin_and_the_twin_a_compilation() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let imported = import_file(&digits("digits.onnx"), &ImportOptions::default()).unwrap();
    let assignment = patches(&imported.graph, &mut Rng::new(8));
    fs::write(path("a.json"), assignment.to_json()).unwrap();
    let flags = ["--assignment", text(&path("a.json"))].map(str::to_owned);
    let flags = flags.each_ref().map(String::as_str);
    let (_, first) = compiled(&folder, &digits("digits.onnx"), "plans", &flags);

    let plans = path("plans");
    let (of_plans, of_json) = (path("twin.onnx"), path("other.onnx"));
    trefoil(&["export-onnx", text(&plans), "-o", text(&of_plans)]).succeeded();
    let model = digits("digits.onnx");
    let json = path("a.json");
    let arguments = [
        "export-onnx",
        text(&json),
        "--model",
        text(&model),
        "-o",
        text(&of_json),
    ];
    trefoil(&arguments).succeeded();
    assert!(fs::read(&of_plans).unwrap() == fs::read(&of_json).unwrap());

    // The twin is compiled with its patches, and says so, unless others are given.
    let (ended, second) = compiled(&folder, &of_plans, "again", &[]);
    assert!(ended.stdout.contains("carries an assignment"), "{}", ended.stdout);
    let named = |mut graph: Graph| {
        graph.name = "digits".to_owned();
        graph.to_text()
    };
    assert_eq!(named(first.graph), named(second.graph));
    assert_eq!(named(first.imported), named(second.imported));
    assert_eq!(first.assignment, second.assignment);
    fs::write(path("plain.json"), "{}").unwrap();
    let plain = path("plain.json");
    let (ended, third) = compiled(&folder, &of_plans, "plain", &["--assignment", text(&plain)]);
    assert!(ended.stdout.contains("in its place"), "{}", ended.stdout);
    assert_eq!(third.assignment, None);

    let shown = trefoil(&["inspect", text(&of_plans)]).succeeded().stdout;
    assert!(shown.contains("// the file carries an assignment for"), "{shown}");
    let checked = trefoil(&["check", text(&of_plans)]).succeeded().stdout;
    assert!(checked.contains("carries an assignment"), "{checked}");
    let (images, labels) = (digits("test_x.npy"), digits("test_y.npy"));
    let evaluated = |source: &Path, flags: &[&str]| {
        let mut arguments = vec!["evaluate", text(source), "--data", text(&images)];
        arguments.extend(["--labels", text(&labels), "--images", "40"]);
        arguments.extend(flags);
        trefoil(&arguments).succeeded().stdout
    };
    let preprocess = digits("preprocess.toml");
    assert_eq!(
        evaluated(&of_plans, &["--preprocess", text(&preprocess)]),
        evaluated(&plans, &["--level", "f32"]),
        "a twin is evaluated with its patches"
    );
}

#[test]
fn clips_compiled_as_relus_stay_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (_, bytes, input) = onnx::all_tiny()
        .into_iter()
        .find(|(_, bytes, _)| {
            let graph = import_bytes(bytes, None, &ImportOptions::default())
                .unwrap()
                .graph;
            let is_clip = |&id: &_| Gate::of(graph.node(id)).is_some_and(|gate| gate.upper.is_some());
            graph.ids().iter().any(is_clip)
        })
        .expect("some network has a clip");
    let (model, data, plans) = (path("m.onnx"), path("x.npy"), path("plans"));
    fs::write(&model, bytes).unwrap();
    write_images(
        &data,
        input,
        Rng::new(1).normals(16 * input.iter().product::<usize>(), 1.0),
    );
    let as_relu = ["--calibration", text(&data), "--relu6", "as-relu"];
    trefoil(&[&["compile", text(&model), "-o", text(&plans)], &as_relu[..]].concat()).succeeded();
    let twin = path("twin.onnx");
    trefoil(&["export-onnx", text(&plans), "-o", text(&twin)]).succeeded();
    let graph = |folder: &Path| {
        let owner = Owner::decode(&fs::read(folder.join("owner.plan")).unwrap());
        let mut graph = owner.unwrap_or_else(|error| panic!("{error}")).graph;
        graph.name = String::new();
        graph.to_text()
    };
    // With or without the flag: clips without an upper sign are ReLUs.
    for flags in [&as_relu[..], &as_relu[..2]] {
        let again = path("again");
        trefoil(&[&["compile", text(&twin), "-o", text(&again), "--force"], flags].concat()).succeeded();
        assert_eq!(graph(&plans), graph(&again));
    }
}

#[test]
fn what_cannot_be_exported_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (model, out) = (path("m.onnx"), path("out.onnx"));
    fs::copy(digits("digits.onnx"), &model).unwrap();
    let json = path("a.json");
    fs::write(&json, r#"{"/nothing/Relu": [2, 2]}"#).unwrap();
    let (model, json, out) = (text(&model), text(&json), text(&out));
    let cases: [(&[&str], &str); 7] = [
        (&[json, "-o", out], "--model MODEL.onnx"),
        (&[json, "--model", model, "-o", out], "no ReLU of this name"),
        (&[json, "--model", model, "-o", model], "would be overwritten"),
        (&[json, "--model", model, "-o", json], "would be overwritten"),
        (&[text(folder.path()), "-o", out], "holds no owner.plan"),
        (
            &[text(folder.path()), "--model", model, "-o", out],
            "--model belongs to",
        ),
        (&[model, "--model", model, "-o", out], "cannot be read"),
    ];
    for (arguments, expected) in cases {
        let words = trefoil(&[&["export-onnx"], arguments].concat()).refused();
        assert!(words.contains(expected), "{expected}: {words}");
        assert!(!Path::new(out).exists());
    }
}
