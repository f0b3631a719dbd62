//! Input that cannot be used: each ends with a sentence and a non-zero exit within a time limit,
//! without a panic, and leaves nothing half-written behind.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use ndarray::Array4;
use support::commands::{Ended, LIMIT, REFUSAL_LIMIT, Running, party_beside, run};
use support::folder::digits;
use support::onnx::{self, Rng};
use support::ring::Ring;
use tempfile::TempDir;
use trefoil_ir::Shape;
use trefoil_ir::plan::Owner;

const TREFOIL: &str = env!("CARGO_BIN_EXE_trefoil");
const PLANS: [&str; 4] = ["client.plan", "server.plan", "helper.plan", "owner.plan"];

/// A folder with images for the small model that the damaged files derive from.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let images = Array4::from_shape_fn((8, 3, 9, 7), |(n, c, h, w)| {
            ((n + 2 * c + 3 * h + 5 * w) % 11) as f32 - 5.0
        });
        ndarray_npy::write_npy(bench.path("images.npy"), &images).unwrap();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Compiles an ONNX file under this name; returns what went wrong if that was to be refused.
    fn compile(&self, name: &str, onnx: &[u8]) -> (Ended, bool) {
        let model = self.file(&format!("{name}.onnx"), onnx);
        let plans = self.path(name);
        let mut command = Command::new(TREFOIL);
        command
            .arg("compile")
            .arg(model)
            .arg("--calibration")
            .arg(self.path("images.npy"))
            .arg("-o")
            .arg(&plans);
        let ended = run(&mut command, REFUSAL_LIMIT);
        let left = fs::read_dir(&plans).is_ok_and(|mut entries| entries.next().is_some());
        (ended, left)
    }
}

/// Compiles each file, several at a time, and returns what is wrong with any. All must be refused,
/// unless chance may have made one valid.
fn compile_all(files: Vec<(String, Vec<u8>)>, may_be_valid: bool) -> Vec<String> {
    let bench = Bench::new();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut faults = Vec::new();
        while let Some((name, onnx)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (ended, left) = bench.compile(name, onnx);
            let is_valid = may_be_valid && ended.code == Some(0) && left;
            if !is_valid {
                faults.extend(ended.no_refusal().map(|problem| format!("{name}: {problem}")));
                faults.extend(left.then(|| format!("{name}: it left files behind")));
            }
        }
        faults
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    })
}

fn numbered(what: &str, files: Vec<Vec<u8>>) -> Vec<(String, Vec<u8>)> {
    files
        .into_iter()
        .enumerate()
        .map(|(at, bytes)| (format!("{what}_{at}"), bytes))
        .collect()
}

#[track_caller]
fn assert_none(faults: &[String]) {
    assert!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

#[test]
fn the_undamaged_model_is_taken() {
    let (ended, left) = Bench::new().compile("whole", &onnx::external_data().whole);
    ended.succeeded();
    assert!(left, "or the other tests would say nothing");
}

#[test]
fn hostile_models() {
    let files = onnx::hostile()
        .into_iter()
        .map(|(name, bytes)| (name.to_owned(), bytes));
    assert_none(&compile_all(files.collect(), false));
}

/// Files of some hundred bytes that are valid networks, and no number in them is beyond measure: what
/// they take is said before the first image, and no loop runs over their maps.
#[test]
fn greedy_models() {
    let bench = Bench::new();
    let mut faults = Vec::new();
    for (name, onnx) in onnx::greedy() {
        let model = bench.file(&format!("{name}.onnx"), onnx);
        let checked = run(
            Command::new(TREFOIL)
                .arg("check")
                .arg(&model)
                .args(["--memory", "2GB"]),
            REFUSAL_LIMIT,
        );
        if checked.code != Some(0) || !checked.stderr.contains("will refuse the network") {
            faults.push(format!("{name}: check: {}{}", checked.stdout, checked.stderr));
        }
        let checked = run(
            Command::new(TREFOIL)
                .arg("check")
                .arg(&model)
                .args(["--memory", "2GB", "--format", "json"]),
            REFUSAL_LIMIT,
        );
        let json: serde_json::Value = serde_json::from_str(&checked.stdout).unwrap_or_default();
        if !json["too_large"].is_string() {
            faults.push(format!(
                "{name}: check as JSON: {}{}",
                checked.stdout, checked.stderr
            ));
        }
        let mut compile = Command::new(TREFOIL);
        compile.arg("compile").arg(&model).args(["--memory", "2GB"]);
        compile.arg("--calibration").arg(bench.path("images.npy"));
        compile.arg("-o").arg(bench.path(name));
        let mut evaluate = Command::new(TREFOIL);
        evaluate.arg("evaluate").arg(&model).args(["--memory", "500MB"]);
        evaluate.arg("--data").arg(bench.path("images.npy"));
        for (what, mut command) in [("compile", compile), ("evaluate", evaluate)] {
            let ended = run(&mut command, REFUSAL_LIMIT);
            faults.extend(
                ended
                    .no_refusal()
                    .map(|problem| format!("{name}: {what}: {problem}")),
            );
            if !["may be used", "the limit is"]
                .iter()
                .any(|word| ended.stderr.contains(word))
            {
                faults.push(format!("{name}: {what}: {}", ended.stderr));
            }
        }
    }
    assert_none(&faults);
}

/// Records whose hash is right: of shapes that are not, by a factor of 2^57, and of notes that are too short.
#[test]
fn forged_records() {
    let (plans, bench) = (compiled(), Bench::new());
    let owner_file = plans.path().join("owner.plan");
    let whole = Owner::decode(&fs::read(&owner_file).unwrap()).unwrap();
    let mut forgeries = Vec::new();
    for forged in [Shape::new(1, 1 << 57, 1), Shape::new(1 << 40, 1 << 40, 1 << 40)] {
        let mut owner = whole.clone();
        for graph in [&mut owner.graph, &mut owner.imported] {
            for id in graph.ids() {
                graph.node_mut(id).shape = forged;
                graph.node_mut(id).origin.counted_on = Some(forged);
            }
        }
        forgeries.push(owner);
    }
    let mut owner = whole.clone();
    for note in owner
        .program
        .steps
        .iter_mut()
        .filter_map(|step| step.note.as_mut())
    {
        note.unit.truncate(1);
    }
    forgeries.push(owner);
    for owner in forgeries {
        fs::write(&owner_file, owner.encode()).unwrap();
        let (images, out) = (bench.path("images.npy"), bench.path("out.onnx"));
        let inspect = [PathBuf::from("inspect"), owner_file.clone()];
        let (folder, data) = (plans.path().to_owned(), PathBuf::from("--data"));
        let evaluate = [
            PathBuf::from("evaluate"),
            folder.clone(),
            data.clone(),
            images.clone(),
        ];
        let compare = [PathBuf::from("compare"), folder.clone(), data, images];
        let export = [PathBuf::from("export-onnx"), folder, PathBuf::from("-o"), out];
        let mut faults = Vec::new();
        for arguments in [&inspect[..], &evaluate, &compare, &export] {
            let ended = run(Command::new(TREFOIL).args(arguments), REFUSAL_LIMIT);
            faults.extend(
                ended
                    .no_refusal()
                    .map(|problem| format!("{arguments:?}: {problem}")),
            );
        }
        assert_none(&faults);
    }
}

/// A model of whose names every one would act on the terminal that it is shown on, or forge a line.
#[test]
fn names_that_act_on_terminals() {
    let (bench, mut shown) = (Bench::new(), String::new());
    let mut see = |ended: Ended| {
        shown += &(ended.stdout + &ended.stderr);
        ended.code
    };
    let model = bench.file("evil.onnx", onnx::evil_names(false));
    let plans = bench.path("evil");
    let images = bench.path("images.npy");
    let trefoil = |words: &[&str], path: &Path| {
        let mut command = Command::new(TREFOIL);
        command.args(words).arg(path);
        command
    };
    for format in ["text", "json"] {
        assert_eq!(
            see(run(&mut trefoil(&["check", "--format", format], &model), LIMIT)),
            Some(0)
        );
        assert_eq!(
            see(run(&mut trefoil(&["inspect", "--format", format], &model), LIMIT)),
            Some(0)
        );
    }
    let mut compile = trefoil(&["compile"], &model);
    compile.arg("--calibration").arg(&images).arg("-o").arg(&plans);
    compile.args(["--dump-after", "assign"]);
    let classes = bench.file(
        "classes.txt",
        "a\u{1b}]0;b\u{7}\nb\u{202e}\nc\u{9b}\nd\u{7f}\ne\n",
    );
    compile.arg("--classes").arg(&classes);
    assert_eq!(see(run(&mut compile, LIMIT)), Some(0));
    for name in PLANS {
        assert_eq!(
            see(run(&mut trefoil(&["inspect"], &plans.join(name)), LIMIT)),
            Some(0)
        );
    }
    for command in ["evaluate", "compare"] {
        let mut command = trefoil(&[command], &plans);
        assert_eq!(see(run(command.arg("--data").arg(&images), LIMIT)), Some(0));
    }
    let trace = plans.join("t.json");
    see(local(&plans, &images, &["--trace", trace.to_str().unwrap()]).succeeded());
    for (unsupported, word) in [
        (onnx::evil_names(true), "compile"),
        (vec![0x3a, 1, 0x1b], "check"),
    ] {
        let model = bench.file("refused.onnx", unsupported);
        let mut command = trefoil(&[word], &model);
        if word == "compile" {
            command
                .arg("--calibration")
                .arg(&images)
                .arg("-o")
                .arg(bench.path("none"));
        }
        assert_eq!(see(run(&mut command, LIMIT)), Some(1));
    }
    let refused = bench.file("evil_refused.onnx", onnx::evil_names(true));
    let mut command = trefoil(&["check", "--format", "json"], &refused);
    assert_eq!(see(run(&mut command, LIMIT)), Some(1));
    for file in [plans.join("report.json"), plans.join("r.json"), trace] {
        shown += &fs::read_to_string(file).unwrap();
    }
    let acts =
        |c: char| (c.is_control() && !matches!(c, '\n' | '\t')) || ('\u{202a}'..='\u{202e}').contains(&c);
    assert!(shown.contains("\\u{1b}]0;"), "the names were shown at all");
    let lines: Vec<&str> = shown.lines().filter(|line| line.contains(acts)).collect();
    assert!(lines.is_empty(), "{lines:?}");
    let forged = shown.lines().find(|line| line.starts_with("forged"));
    assert_eq!(forged, None, "a name began a line");
}

#[test]
fn truncated_models() {
    // By chance a beginning may be a model itself.
    assert_none(&compile_all(numbered("truncated", onnx::truncations(60)), true));
}

#[test]
fn models_with_flipped_bits() {
    // Flips in weights leave a model valid.
    assert_none(&compile_all(numbered("flipped", onnx::bit_flips(17, 150)), true));
}

#[test]
fn all_unsupported_nodes_are_named_at_once() {
    let (model, kinds) = onnx::unsupported();
    let (ended, left) = Bench::new().compile("unsupported", &model);
    let message = ended.refused();
    assert!(!left);
    for (at, kind) in kinds.iter().enumerate() {
        assert!(
            message.contains(kind) && message.contains(&format!("act{at}")),
            "{kind} is missing:\n{message}"
        );
    }
}

/// Flags of `compile` that cannot be used, with words that the sentence must hold.
#[test]
fn options_that_do_not_fit() {
    let bench = Bench::new();
    let text = |name: &str, content: &str| bench.file(name, content).display().to_string();
    let assignment = |name: &str, content: &str| ["--assignment".to_owned(), text(name, content)];
    let preprocess = |name: &str, content: &str| ["--preprocess".to_owned(), text(name, content)];
    let relu = "/relu/Relu";
    let cases: Vec<([String; 2], &str)> = vec![
        (assignment("a1", r#"{"/relu/Rleu": [1, 1]}"#), "did you mean"),
        (
            assignment("a2", &format!(r#"{{"{relu}": [[1, 1], [2, 2]]}}"#)),
            "16 channels",
        ),
        (
            assignment("a3", &format!(r#"{{"{relu}": [0, 0]}}"#)),
            "is no patch",
        ),
        (
            assignment("a4", &format!(r#"{{"{relu}": [9, 1]}}"#)),
            "larger than the map",
        ),
        (assignment("a5", "{"), "JSON"),
        (
            assignment("a6", &format!(r#"{{"{relu}": "2x2"}}"#)),
            "neither a patch",
        ),
        (["--assignment".into(), "/none/a.json".into()], "/none/a.json"),
        (preprocess("p1", "mean = "), "p1"),
        (preprocess("p2", "nonsense = 1\n"), "p2"),
        (preprocess("p3", ""), "p3"),
        (["--secret".into(), text("short", "0123456789abcde")], "15 bytes"),
        (["--secret".into(), "/none/secret".into()], "/none/secret"),
        (
            ["--classes".into(), text("classes", "one\ntwo\n")],
            "2 names of classes",
        ),
        (["--dump-after".into(), "nonsense".into()], "normal_form"),
        (["--input-shape".into(), "1,3,9,9".into()], "input"),
        (
            ["--calibration-images".into(), "0".into()],
            "--calibration-images",
        ),
        (["--relu6".into(), "sometimes".into()], "as-relu"),
        (["--head-room".into(), "nan".into()], "head"),
        (["--head-room".into(), "-3".into()], "head"),
        (["--head-room".into(), "99".into()], "between 0 and 8"),
        (["--output-name".into(), "nowhere".into()], "nowhere"),
    ];
    let mut faults = Vec::new();
    for (at, (flags, word)) in cases.into_iter().enumerate() {
        let plans = bench.path(&format!("plans{at}"));
        let mut command = Command::new(TREFOIL);
        command
            .arg("compile")
            .arg(digits("digits.onnx"))
            .arg("--calibration")
            .arg(digits("calibration.npy"));
        if flags[0] != "--preprocess" {
            command.arg("--preprocess").arg(digits("preprocess.toml"));
        }
        let ended = run(command.arg(flags.join("=")).arg("-o").arg(&plans), REFUSAL_LIMIT);
        if let Some(problem) = ended.no_refusal() {
            faults.push(format!("{flags:?}: {problem}"));
        } else if !ended.stderr.contains(word) {
            faults.push(format!("{flags:?}: no word of \"{word}\": {}", ended.stderr));
        }
        if fs::read_dir(&plans).is_ok_and(|mut entries| entries.next().is_some()) {
            faults.push(format!("{flags:?}: it left files behind"));
        }
    }
    assert_none(&faults);
}

/// The digits, compiled.
fn compiled() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(TREFOIL);
    command
        .arg("compile")
        .arg(digits("digits.onnx"))
        .arg("--calibration")
        .arg(digits("calibration.npy"));
    command
        .arg("--preprocess")
        .arg(digits("preprocess.toml"))
        .arg("-o")
        .arg(folder.path());
    run(&mut command, LIMIT).succeeded();
    folder
}

fn copy(plans: &Path) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in PLANS {
        fs::copy(plans.join(name), folder.path().join(name)).unwrap();
    }
    folder
}

/// Runs all parties on these plans.
fn local(plans: &Path, data: &Path, flags: &[&str]) -> Ended {
    let mut command = Command::new(party_beside(TREFOIL));
    command
        .arg("local")
        .arg("--plans")
        .arg(plans)
        .arg("--data")
        .arg(data);
    command
        .arg("--output")
        .arg(plans.join("o.npy"))
        .arg("--report")
        .arg(plans.join("r.json"))
        .args(flags);
    run(&mut command, REFUSAL_LIMIT)
}

/// Damages each plan in many ways; whatever reads it must refuse.
#[test]
fn damaged_plans() {
    let whole = compiled();
    local(whole.path(), &digits("test_x.npy"), &["--images", "1"]).succeeded();
    let mut rng = Rng::new(5);
    let mut faults = Vec::new();
    for name in PLANS {
        let plans = copy(whole.path());
        let path = plans.path().join(name);
        let bytes = fs::read(&path).unwrap();
        let truncated = (0..8).map(|i| (format!("cut at {i}/8"), bytes[..bytes.len() * i / 8].to_vec()));
        let flipped: Vec<_> = (0..12)
            .map(|i| {
                let mut bytes = bytes.clone();
                // The first ones in the head, where lengths and versions stand.
                let at = rng.below(if i < 6 { 64 } else { bytes.len() });
                bytes[at] ^= 1 << rng.below(8);
                (format!("flipped at {at}"), bytes)
            })
            .collect();
        let longer = (vec![("longer".to_owned(), [&bytes[..], &[0]].concat())]).into_iter();
        for (what, damaged) in truncated.chain(flipped).chain(longer) {
            fs::write(&path, damaged).unwrap();
            let ended = if name == "owner.plan" {
                let mut command = Command::new(TREFOIL);
                command
                    .arg("evaluate")
                    .arg(plans.path())
                    .arg("--data")
                    .arg(digits("test_x.npy"));
                run(&mut command, REFUSAL_LIMIT)
            } else {
                local(plans.path(), &digits("test_x.npy"), &["--images", "1"])
            };
            faults.extend(
                ended
                    .no_refusal()
                    .map(|problem| format!("{name} {what}: {problem}")),
            );
            let inspected = run(Command::new(TREFOIL).arg("inspect").arg(&path), REFUSAL_LIMIT);
            faults.extend(
                inspected
                    .no_refusal()
                    .map(|problem| format!("{name} {what}, inspected: {problem}")),
            );
            if plans.path().join("o.npy").exists() || plans.path().join("r.json").exists() {
                faults.push(format!("{name} {what}: results were written"));
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn plans_of_other_parties_and_other_compilations() {
    let (one, other) = (compiled(), compiled());
    for (name, source) in [
        ("client.plan", "server.plan"),
        ("server.plan", "helper.plan"),
        ("helper.plan", "client.plan"),
    ] {
        let mixed = copy(one.path());
        fs::copy(one.path().join(source), mixed.path().join(name)).unwrap();
        let message = local(mixed.path(), &digits("test_x.npy"), &["--images", "1"]).refused();
        assert!(
            message.contains("plan, and the") && message.contains(name),
            "{message}"
        );
    }
    for name in ["client.plan", "server.plan", "helper.plan"] {
        let mixed = copy(one.path());
        fs::copy(other.path().join(name), mixed.path().join(name)).unwrap();
        let message = local(mixed.path(), &digits("test_x.npy"), &["--images", "1"]).refused();
        assert!(
            message.contains("not of the same compilation"),
            "{name}: {message}"
        );
    }
}

/// The same between processes: every party says so.
#[test]
fn a_client_of_another_compilation_is_refused_by_all() {
    let (one, other) = (compiled(), compiled());
    let ring = Ring::new(one.path(), &["alice"]);
    let program = party_beside(TREFOIL);
    let mut helper = Running::start(ring.helper(&program).arg("--once"));
    let helper_address = helper.address();
    let mut server = Running::start(ring.server(&program, &helper_address).arg("--once"));
    let server_address = server.address();
    let mut client = ring.client(&program, "alice", &server_address, &helper_address);
    client.arg("--plan").arg(other.path().join("client.plan"));
    client.arg("--data").arg(digits("test_x.npy"));
    for ended in [
        run(&mut client, REFUSAL_LIMIT),
        server.wait(REFUSAL_LIMIT),
        helper.wait(REFUSAL_LIMIT),
    ] {
        let message = ended.refused();
        assert!(message.contains("not of the same compilation"), "{message}");
    }
}

/// Images and labels that cannot be used, with words that the sentence must hold.
#[test]
fn unusable_data() {
    let (plans, bench) = (compiled(), Bench::new());
    let floats = |name: &str, shape: (usize, usize, usize, usize), value: f32| {
        ndarray_npy::write_npy(bench.path(name), &Array4::from_elem(shape, value)).unwrap();
        bench.path(name)
    };
    let empty = bench.path("empty");
    fs::create_dir(&empty).unwrap();
    let torn = bench.path("torn");
    fs::create_dir(&torn).unwrap();
    fs::write(torn.join("a.png"), b"\x89PNG\r\n\x1a\nand nothing else").unwrap();
    let npy = fs::read(digits("test_x.npy")).unwrap();
    let labels = |name: &str, classes: Vec<i64>| {
        ndarray_npy::write_npy(bench.path(name), &ndarray::Array1::from(classes)).unwrap();
        bench.path(name).display().to_string()
    };
    let (short, beyond) = (
        labels("short.npy", vec![1; 3]),
        labels("beyond.npy", vec![10; 500]),
    );
    let unknown = bench.file("unknown.txt", "nobody.png 3\n").display().to_string();
    let (array, pictures) = (digits("test_x.npy"), digits("test"));
    let cases: Vec<(PathBuf, Vec<&str>, &str)> = vec![
        (floats("nan.npy", (2, 3, 8, 8), f32::NAN), vec![], "image 0"),
        (
            floats("infinite.npy", (2, 3, 8, 8), f32::INFINITY),
            vec![],
            "image 0",
        ),
        (floats("large.npy", (2, 3, 8, 8), 1e6), vec![], "range"),
        (floats("size.npy", (2, 3, 9, 8), 0.0), vec![], "9 x 8"),
        (floats("channels.npy", (2, 1, 8, 8), 0.0), vec![], "1 x 8 x 8"),
        (bench.file("noise.npy", b"not an array"), vec![], "noise.npy"),
        (bench.file("cut.npy", &npy[..npy.len() / 2]), vec![], "cut.npy"),
        (bench.path("absent"), vec![], "absent"),
        (empty, vec![], "empty"),
        (torn, vec![], "a.png"),
        (array.clone(), vec!["--labels", &short], "3"),
        (array.clone(), vec!["--labels", &beyond], "label 10"),
        (
            array.clone(),
            vec!["--labels", "/none/labels.npy"],
            "/none/labels.npy",
        ),
        (pictures, vec!["--labels", &unknown], "nobody.png"),
        (array.clone(), vec!["--images", "0"], "1 or more"),
        (array, vec!["--report", "/none/r.json"], "/none/r.json"),
    ];
    let mut faults = Vec::new();
    for (data, flags, word) in cases {
        let mut command = Command::new(party_beside(TREFOIL));
        command
            .arg("local")
            .arg("--plans")
            .arg(plans.path())
            .arg("--data")
            .arg(&data)
            .args(&flags);
        let ended = run(&mut command, REFUSAL_LIMIT);
        if let Some(problem) = ended.no_refusal() {
            faults.push(format!("{} {flags:?}: {problem}", data.display()));
        } else if !ended.stderr.contains(word) {
            faults.push(format!(
                "{} {flags:?}: no word of \"{word}\": {}",
                data.display(),
                ended.stderr
            ));
        }
    }
    assert_none(&faults);
}

/// Calibration data and files of the other commands.
#[test]
fn unusable_files_of_other_commands() {
    let bench = Bench::new();
    let nan = bench.path("nan.npy");
    ndarray_npy::write_npy(&nan, &Array4::from_elem((2, 3, 8, 8), f32::NAN)).unwrap();
    // Opening a pipe that nobody writes to would never end.
    let pipe = bench.path("pipe.plan");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.is_ok_and(|status| status.success()), "mkfifo");
    let cases: [&[&str]; 15] = [
        &["check", "PIPE"],
        &["check", "PIPE", "--format", "json"],
        &["check", "/dev/zero", "--format", "json"],
        &["inspect", "PIPE"],
        &["inspect", "/dev/zero"],
        &["evaluate", "DIGITS", "--data", "IMAGES", "--strict"],
        &["evaluate", "DIGITS", "--data", "IMAGES", "--images", "0"],
        &["compile", "DIGITS", "--calibration", "NAN", "-o", "OUT"],
        &["compile", "DIGITS", "--calibration", "IMAGES", "-o", "OUT"],
        &["compile", "/none/model.onnx", "--calibration", "NAN", "-o", "OUT"],
        &["inspect", "NAN"],
        &["check", "NAN"],
        &["evaluate", "DIGITS", "--data", "NAN"],
        &["evaluate", "DIGITS", "--data", "IMAGES", "--level", "fixed"],
        &["compare", "EMPTY", "--data", "IMAGES"],
    ];
    let mut faults = Vec::new();
    for case in cases {
        let word = |word: &&str| match *word {
            "DIGITS" => digits("digits.onnx"),
            "NAN" => nan.clone(),
            "IMAGES" => bench.path("images.npy"),
            "PIPE" => pipe.clone(),
            "OUT" => bench.path("out"),
            "EMPTY" => bench.folder.path().to_owned(),
            word => PathBuf::from(word),
        };
        let ended = run(Command::new(TREFOIL).args(case.iter().map(word)), REFUSAL_LIMIT);
        faults.extend(ended.no_refusal().map(|problem| format!("{case:?}: {problem}")));
        if fs::read_dir(bench.path("out")).is_ok_and(|mut entries| entries.next().is_some()) {
            faults.push(format!("{case:?}: it left files behind"));
        }
    }
    assert_none(&faults);
}
