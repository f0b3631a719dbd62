//! The shipped example through the real programs: `trefoil compile`, then three processes over
//! loopback, as a user would run them.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::commands::{Ended, LIMIT, Running, party_beside, run};
use support::compiled::{deviation, distance, top1};
use support::folder::{digits, read_floats};
use support::ring::Ring;
use support::trace;
use tempfile::TempDir;
use trefoil_ir::mpc::Program;
use trefoil_ir::nn::Graph;
use trefoil_ir::plan::Owner;
use trefoil_ir::text::TensorStore;

const TREFOIL: &str = env!("CARGO_BIN_EXE_trefoil");
const PLANS: [&str; 4] = ["client.plan", "server.plan", "helper.plan", "owner.plan"];
const IMAGES: usize = 25;

fn trefoil() -> Command {
    Command::new(TREFOIL)
}

fn party(command: &str) -> Command {
    let mut party = Command::new(party_beside(TREFOIL));
    party.arg(command);
    party
}

/// `trefoil compile` of the digits into `folder`, with further flags.
fn compile_into(folder: &Path, flags: &[&str]) -> Ended {
    let mut command = trefoil();
    command.arg("compile").arg(digits("digits.onnx"));
    command.arg("--calibration").arg(digits("calibration.npy"));
    command.arg("--preprocess").arg(digits("preprocess.toml"));
    command.arg("--classes").arg(digits("classes.txt"));
    run(command.arg("-o").arg(folder).args(flags), LIMIT).succeeded()
}

/// The plans of the digits, in a folder of their own.
fn compiled() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    compile_into(folder.path(), &[]);
    folder
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// The first rows of what `train.py` recorded in floats.
fn expected_logits(images: usize) -> Vec<f32> {
    read_floats(&digits("expected_logits.npy")).1[..10 * images].to_vec()
}

/// What a run of some images wrote.
struct Results {
    logits: Vec<f32>,
    report: Value,
    stdout: String,
}

/// Adds what a client needs to say about images, runs it, reads what it wrote.
fn classify(command: &mut Command, folder: &Path, name: &str) -> Results {
    classify_first(IMAGES, command, folder, name)
}

/// The same of so many images.
fn classify_first(images: usize, command: &mut Command, folder: &Path, name: &str) -> Results {
    let (output, report) = (
        folder.join(format!("{name}.npy")),
        folder.join(format!("{name}.json")),
    );
    command
        .arg("--data")
        .arg(digits("test_x.npy"))
        .arg("--labels")
        .arg(digits("test_y.npy"));
    command.arg("--images").arg(images.to_string());
    let ended = run(
        command.arg("--output").arg(&output).arg("--report").arg(&report),
        LIMIT,
    )
    .succeeded();
    let (shape, logits) = read_floats(&output);
    assert_eq!(shape, [images, 10]);
    Results {
        logits,
        report: json(&report),
        stdout: ended.stdout,
    }
}

fn local(plans: &Path, name: &str, flags: &[&str]) -> Results {
    classify(party("local").arg("--plans").arg(plans).args(flags), plans, name)
}

/// Logits may differ by rounding coins, and the class not at all.
fn assert_close(a: &[f32], b: &[f32]) {
    let (error, _) = distance(a, b);
    assert!(
        error < 0.005 * deviation(a),
        "{error} apart, deviation {}",
        deviation(a)
    );
    assert!(
        a.chunks(10).zip(b.chunks(10)).all(|(a, b)| top1(a) == top1(b)),
        "the same classes"
    );
}

/// Helper, server and client as three processes over loopback, the client with these flags. All of
/// them end well.
fn three_processes(folder: &Path, name: &str, flags: &[&str]) -> Results {
    let ring = Ring::new(folder, &["alice"]);
    let program = party_beside(TREFOIL);
    let mut helper = Running::start(ring.helper(&program).arg("--once"));
    let helper_address = helper.address();
    let mut server = Running::start(ring.server(&program, &helper_address).arg("--once"));
    let server_address = server.address();
    let mut client = ring.client(&program, "alice", &server_address, &helper_address);
    client.args(flags);
    let results = classify(&mut client, folder, name);
    for party in [server, helper] {
        let ended = party.wait(LIMIT).succeeded();
        let all = format!("ends after {IMAGES} images");
        assert!(ended.stderr.contains(&all), "{}", ended.stderr);
    }
    results
}

#[test]
fn three_processes_compute_what_one_does() {
    let folder = compiled();
    let plan = |name: &str| folder.path().join(name);
    let remote = three_processes(folder.path(), "remote", &[]);

    let local = local(folder.path(), "local", &[]);
    assert_close(&remote.logits, &local.logits);
    let expected = expected_logits(IMAGES);
    assert_close(&expected, &remote.logits);
    for results in [&remote, &local] {
        check_report(&results.report, &json(&plan("report.json")), IMAGES);
        let lines: Vec<&str> = results.stdout.lines().skip(1).take(IMAGES).collect();
        for (line, logits) in lines.iter().zip(expected.chunks(10)) {
            let class = top1(logits).to_string();
            let columns: Vec<&str> = line.split_whitespace().collect();
            assert_eq!(columns[2..4], [&class, &class], "{line}: number and name");
        }
    }
    let memory = |report: &Value, party: &str| report["peak_memory"][party].as_u64();
    assert!(
        ["client", "server", "helper"]
            .iter()
            .all(|p| memory(&local.report, p).is_some_and(|bytes| bytes > 0))
    );
    assert!(
        memory(&remote.report, "client").is_some(),
        "a client knows its own memory"
    );
}

/// Each way of stocks and batches, in one process and in three: the same bytes an image, the same
/// round trips, and no other classes.
#[test]
fn stocks_and_batches_compute_what_single_images_do() {
    let folder = compiled();
    let expected = expected_logits(IMAGES);
    let predicted = json(&folder.path().join("report.json"));
    // Of 25 images the last is alone, and in the second way no stock is a multiple of a batch.
    let ways = [
        (["--stock", "2", "--batch", "2"], [2, 2]),
        (["--stock", "7", "--batch", "4"], [7, 4]),
    ];
    for (flags, [stock, batch]) in ways {
        let remote = three_processes(folder.path(), "remote", &flags);
        let local = local(folder.path(), "local", &flags);
        for Results {
            logits,
            report,
            stdout,
        } in [remote, local]
        {
            assert_close(&expected, &logits);
            assert_eq!(
                (&report["stock"], &report["batch"]),
                (&stock.into(), &batch.into())
            );
            assert_eq!(report["bytes"], predicted["bytes"]);
            assert_eq!(report["round_trips"], predicted["round_trips"]);
            let throughput = |key: &str| report["throughput"][key].as_f64().unwrap();
            assert!(throughput("online") > throughput("total") && throughput("total") > 0.0);
            assert!(stdout.contains("images a second"), "{stdout}");
        }
    }
}

#[test]
fn a_stock_beyond_the_servers_memory_is_refused_and_the_client_told_why() {
    let folder = compiled();
    let ring = Ring::new(folder.path(), &["alice"]);
    let program = party_beside(TREFOIL);
    let mut helper = Running::start(&mut ring.helper(&program));
    let helper_address = helper.address();
    let mut server = ring.server(&program, &helper_address);
    let mut server = Running::start(server.args(["--session-memory", "1MB"]));
    let server_address = server.address();
    let client = |flags: &[&str]| {
        let mut client = ring.client(&program, "alice", &server_address, &helper_address);
        client.args(flags);
        client
            .args(["--images", "200", "--data"])
            .arg(digits("test_x.npy"));
        run(&mut client, LIMIT)
    };
    for flags in [["--stock", "100"], ["--batch", "200"]] {
        let told = client(&flags).refused();
        let most = told
            .split("give the client a --stock of ")
            .nth(1)
            .and_then(|rest| rest.split(' ').next());
        let most = most.unwrap_or_else(|| panic!("{told}"));
        assert!(told.contains("or the server a higher --session-memory"), "{told}");
        // What it is told is what it may have.
        client(&["--stock", most]).succeeded();
    }
    for party in [server, helper] {
        party.signal("TERM");
        let ended = party.wait(LIMIT).succeeded();
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
        // Nobody else was troubled with it.
        assert!(!ended.stderr.contains("failed"), "{}", ended.stderr);
    }
}

/// The measured report against the predicted one.
fn check_report(measured: &Value, predicted: &Value, images: usize) {
    assert_eq!(measured["images"], images);
    let correct = expected_correct(images) as f64 / images as f64;
    assert!(
        (measured["top1"].as_f64().unwrap() - correct).abs() < 1e-9,
        "top1 as in floats"
    );
    assert_eq!(measured["bytes"], predicted["bytes"]);
    assert_eq!(measured["round_trips"], predicted["round_trips"]);
    assert_eq!(measured["schema"], predicted["schema"]);
    assert_eq!(measured["model"], predicted["model"]);
    // Per link and phase, exactly, and no link besides.
    assert_eq!(measured["links"], predicted["links"]);
    let links = measured["links"].as_object().unwrap().values();
    let of_links: u64 = links.map(|link| link["total"].as_u64().unwrap()).sum();
    assert_eq!(measured["bytes"]["total"], of_links);
    // Per step.
    let steps = measured["steps"].as_array().unwrap();
    for layer in predicted["steps"].as_array().unwrap() {
        let step = &steps[layer["step"].as_u64().unwrap() as usize];
        assert_eq!(
            (&step["name"], &step["op"], &step["bytes"]),
            (&layer["name"], &layer["op"], &layer["bytes"])
        );
    }
    let seconds = |key: &str| measured["seconds"][key].as_f64().unwrap();
    assert!(seconds("offline") > 0.0 && seconds("online") > 0.0);
    assert!((seconds("offline") + seconds("online") - seconds("total")).abs() < 1e-6);
}

/// How many of the first images the network in floats gets right.
fn expected_correct(images: usize) -> usize {
    let labels: ndarray::Array1<i64> = ndarray_npy::read_npy(digits("test_y.npy")).unwrap();
    let logits = expected_logits(images);
    logits
        .chunks(10)
        .zip(labels)
        .filter(|(logits, label)| top1(logits) as i64 == *label)
        .count()
}

#[test]
fn repetitions_count_as_images_and_change_nothing_else() {
    let folder = compiled();
    let once = local(folder.path(), "once", &[]);
    let thrice = local(folder.path(), "thrice", &["--repeat", "3", "--threads", "2"]);
    assert_eq!(thrice.report["images"], 3 * IMAGES);
    assert_eq!(thrice.report["top1"], once.report["top1"]);
    assert_eq!(thrice.report["bytes"], once.report["bytes"]);
    assert_eq!(thrice.report["round_trips"], once.report["round_trips"]);
    assert_close(&once.logits, &thrice.logits);
}

#[test]
fn a_link_takes_its_time_and_changes_no_result() {
    const SOME: usize = 4;
    let folder = compiled();
    let path = folder.path().join("trace");
    let mut command = party("local");
    command
        .arg("--plans")
        .arg(folder.path())
        .arg("--trace")
        .arg(&path);
    command.args(["--link", "100Mbit,20ms"]);
    let linked = classify_first(SOME, &mut command, folder.path(), "linked");
    assert_close(&expected_logits(SOME), &linked.logits);
    let predicted = json(&folder.path().join("report.json"));
    check_report(&linked.report, &predicted, SOME);
    assert!(
        linked.stdout.contains("link         100Mbit,20ms: predicted "),
        "{}",
        linked.stdout
    );

    let trips = predicted["round_trips"].as_f64().unwrap();
    let of_run = &linked.report["predicted"];
    assert_eq!(
        (&of_run["bytes"], &of_run["round_trips"]),
        (&predicted["bytes"], &predicted["round_trips"])
    );
    for seconds in [&linked.report["seconds"]["online"], &of_run["seconds"]["online"]] {
        assert!(
            seconds.as_f64().unwrap() >= trips * 0.02,
            "{seconds} for {trips} round trips"
        );
    }
    // Every message is traced, and some control frames of sessions and images are, too.
    let messages = predicted["messages"].as_u64().unwrap() as usize;
    assert!(trace::check(&json(&path)) > SOME * messages);
}

#[test]
fn a_folder_of_pictures_gives_what_the_array_gives() {
    let folder = compiled();
    let array = local(folder.path(), "array", &[]);
    let output = folder.path().join("pictures.npy");
    let mut command = party("local");
    command
        .arg("--plans")
        .arg(folder.path())
        .arg("--data")
        .arg(digits("test"));
    command
        .arg("--labels")
        .arg(digits("test/labels.txt"))
        .args(["--images", "25", "--output"])
        .arg(&output);
    let ended = run(&mut command, LIMIT).succeeded();
    assert!(
        ended
            .stdout
            .lines()
            .nth(1)
            .is_some_and(|line| line.contains(".png ")),
        "{}",
        ended.stdout
    );
    assert_close(&array.logits, &read_floats(&output).1);
}

#[test]
fn one_secret_gives_the_same_plans_and_none_gives_others() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    fs::write(&secret, [42; 32]).unwrap();
    let flags = ["--secret", secret.to_str().unwrap()];
    let compile = |name: &str, flags: &[&str]| -> PathBuf {
        let plans = folder.path().join(name);
        compile_into(&plans, flags);
        plans
    };
    let (one, same) = (compile("one", &flags), compile("same", &flags));
    let (other, another) = (compile("other", &[]), compile("another", &[]));
    for file in PLANS.into_iter().chain(["report.json"]) {
        let read = |plans: &Path| fs::read(plans.join(file)).unwrap();
        assert!(read(&one) == read(&same), "{file} is not the same twice");
        assert!(
            read(&other) != read(&another),
            "{file} is the same under two secrets"
        );
    }
    let ids = [&one, &other, &another].map(|plans| json(&plans.join("report.json"))["plan_id"].clone());
    assert!(
        ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2],
        "{ids:?}"
    );
}

#[cfg(unix)]
#[test]
fn nobody_else_may_read_what_is_written() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    compile_into(folder.path(), &["--dump-after", "normal_form"]);
    let mut names = Vec::new();
    for entry in fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(
            entry.metadata().unwrap().permissions().mode() & 0o777,
            0o600,
            "{:?}",
            entry.file_name()
        );
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    let expected = [
        "after-normal_form.tir",
        "client.plan",
        "helper.plan",
        "owner.plan",
        "report.json",
        "server.plan",
    ];
    assert_eq!(names, expected, "and nothing else is left");
}

#[test]
fn evaluation_gives_the_recorded_logits_at_both_levels() {
    let folder = compiled();
    let evaluate = |model: &Path, level: &str| {
        let output = folder.path().join("evaluated.npy");
        let mut command = trefoil();
        command
            .arg("evaluate")
            .arg(model)
            .args(["--level", level])
            .arg("--data")
            .arg(digits("test_x.npy"));
        if !model.is_dir() {
            command.arg("--preprocess").arg(digits("preprocess.toml"));
        }
        command
            .arg("--labels")
            .arg(digits("test_y.npy"))
            .arg("--output")
            .arg(&output);
        let stdout = run(&mut command, LIMIT).succeeded().stdout;
        assert!(stdout.contains("top-1 99.20% (496 of 500)"), "{stdout}");
        read_floats(&output)
    };
    let expected = expected_logits(500);
    for (model, level, tolerance) in [
        (digits("digits.onnx"), "f32", 1e-5),
        (folder.path().to_owned(), "f32", 1e-5),
        (folder.path().to_owned(), "fixed", 0.002),
    ] {
        let (shape, logits) = evaluate(&model, level);
        assert_eq!(shape, [500, 10]);
        let (error, _) = distance(&expected, &logits);
        assert!(error < tolerance * deviation(&expected), "{level}: {error} apart");
    }
}

/// A program that most images break: ranges of one image, and nothing above them.
fn narrow(folder: &Path) -> Ended {
    compile_into(folder, &["--calibration-images", "1", "--head-room", "0"])
}

/// Ends with the exit code of `--strict`, and a sentence.
#[track_caller]
fn is_strict(command: &mut Command) {
    let ended = run(command.arg("--strict"), LIMIT);
    assert_eq!(ended.code, Some(3), "{}\n{}", ended.stdout, ended.stderr);
    assert!(
        ended.stderr.contains("error: values left their ranges on"),
        "{}",
        ended.stderr
    );
}

#[test]
fn evaluation_says_what_the_parties_compute_beyond_the_ranges() {
    const MOST: &str = "500";
    let folder = tempfile::tempdir().unwrap();
    let warnings = narrow(folder.path()).stdout;
    assert!(warnings.contains("1 calibration"), "{warnings}");
    let of = |command: &str| {
        let mut trefoil = trefoil();
        trefoil.arg(command).arg(folder.path());
        trefoil.arg("--data").arg(digits("test_x.npy"));
        trefoil.arg("--labels").arg(digits("test_y.npy"));
        trefoil.args(["--images", MOST]);
        trefoil
    };
    let ended = run(&mut of("evaluate"), LIMIT).succeeded();
    let breaches = ended.stdout.lines().find_map(|l| l.strip_prefix("breaches "));
    let (images, _) = breaches.unwrap().split_once(" of 500 images").unwrap();
    let images: usize = images.parse().unwrap();
    assert!(images > 100, "{}", ended.stdout);
    let warnings: Vec<&str> = ended.stderr.lines().filter(|l| l.contains("warning: ")).collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].contains("calibrate with 100 images or more (the ranges are those of 1)"),
        "{warnings:?}"
    );

    let json = run(of("evaluate").args(["--format", "json"]), LIMIT)
        .succeeded()
        .stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["breaches"]["images"], images);
    assert!(json["breaches"]["layers"][0]["values"].as_u64() > Some(0));
    let emulated = json["top1"].as_f64().unwrap();
    assert!(
        emulated < 0.97,
        "{emulated} of 0.992: the ranges are too wide for this test"
    );
    let mut local = party("local");
    local.arg("--plans").arg(folder.path());
    local.arg("--data").arg(digits("test_x.npy"));
    local.arg("--labels").arg(digits("test_y.npy"));
    local.args(["--images", MOST]);
    local.arg("--report").arg(folder.path().join("measured.json"));
    run(&mut local, LIMIT).succeeded();
    let report = self::json(&folder.path().join("measured.json"));
    let measured = report["top1"].as_f64().unwrap();
    // The same function of the same images, with other coins.
    assert!(
        (measured - emulated).abs() < 0.03,
        "evaluate {emulated}, the parties {measured}"
    );

    let layers = run(&mut of("compare"), LIMIT).succeeded().stdout;
    assert!(
        layers.contains("BREACH") && layers.contains(" of 500 images"),
        "{layers}"
    );
    is_strict(&mut of("evaluate"));
    is_strict(&mut of("compare"));
    // Floats have no ranges: a check that could only pass is refused.
    let floats = run(of("evaluate").args(["--level", "f32", "--strict"]), LIMIT).refused();
    assert!(
        floats.contains("--strict is about the ranges of fixed point"),
        "{floats}"
    );
}

#[test]
fn a_strict_compilation_passes_where_its_own_images_do() {
    let folder = tempfile::tempdir().unwrap();
    compile_into(folder.path(), &["--strict"]);
    let breaches = &json(&folder.path().join("report.json"))["breaches"];
    assert_eq!(
        (&breaches["images"], &breaches["of"]),
        (&Value::from(0), &Value::from(16))
    );
}

#[test]
fn the_comparison_names_every_layer_and_finds_no_breach() {
    let folder = compiled();
    let mut command = trefoil();
    command
        .arg("compare")
        .arg(folder.path())
        .arg("--data")
        .arg(digits("test_x.npy"))
        .args(["--images", "10"]);
    let text = run(&mut command, LIMIT).succeeded().stdout;
    for name in [
        "/conv/Conv",
        "/block2/shortcut/shortcut.0/Conv",
        "/block3/Add",
        "/fc/Gemm",
    ] {
        assert!(text.contains(name), "{name} is missing:\n{text}");
    }
    assert!(!text.contains("BREACH") && text.lines().count() > 20, "{text}");
}

#[test]
fn checking_counts_without_data() {
    let mut command = trefoil();
    let text = run(command.arg("check").arg(digits("digits.onnx")), LIMIT)
        .succeeded()
        .stdout;
    assert!(
        text.contains("4 608 DReLUs") && text.contains("/block1/relu1/Relu"),
        "{text}"
    );
    let mut command = trefoil();
    command
        .arg("check")
        .arg(digits("digits.onnx"))
        .args(["--format", "json"]);
    let counts: Value = serde_json::from_str(&run(&mut command, LIMIT).succeeded().stdout).unwrap();
    assert_eq!(counts["drelus_at_1x1"], 4608);
    assert_eq!(counts["supported"], true);
    assert_eq!(
        (&counts["opset"], &counts["inputs"][0]["name"]),
        (&17.into(), &"image".into())
    );
    // What is no model is said so, on both ways out.
    let mut command = trefoil();
    command.arg("check").arg(digits("classes.txt"));
    let ended = run(command.args(["--format", "json"]), LIMIT);
    assert_eq!(ended.code, Some(1));
    let said: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(said["supported"], false);
    let words = said["error"].as_str().unwrap();
    assert!(
        words.contains("classes.txt") && words.contains("this is a text"),
        "{words}"
    );
    assert!(ended.stderr.contains(words), "{}", ended.stderr);
}

fn inspect(file: &Path, flags: &[&str]) -> String {
    run(trefoil().arg("inspect").arg(file).args(flags), LIMIT)
        .succeeded()
        .stdout
}

#[test]
fn every_artefact_can_be_inspected_and_its_text_reads_back() {
    let folder = tempfile::tempdir().unwrap();
    compile_into(folder.path(), &["--dump-after", "normal_form"]);
    let predicted = json(&folder.path().join("report.json"));
    let owner = Owner::decode(&fs::read(folder.path().join("owner.plan")).unwrap())
        .ok()
        .unwrap();
    for file in PLANS {
        let path = folder.path().join(file);
        let text = inspect(&path, &[]);
        let shown: Value = serde_json::from_str(&inspect(&path, &["--format", "json"])).unwrap();
        assert_eq!(shown["bytes"], predicted["bytes"], "{file}");
        assert_eq!(shown["plan_id"], predicted["plan_id"], "{file}");
        assert_eq!(format!("{}.plan", shown["role"].as_str().unwrap()), file);
        let (program, _) =
            Program::parse_verified(&text, &TensorStore::new()).unwrap_or_else(|e| panic!("{file}: {e}"));
        assert!(
            program.into_inner().public() == owner.program.public(),
            "{file} reads back as another program"
        );
        // The text is itself something to inspect.
        let written = folder.path().join("program.tir");
        fs::write(&written, &text).unwrap();
        assert!(inspect(&written, &[]).contains("%0 = input"), "{file}");
    }
    for (text, graph) in [
        (inspect(&digits("digits.onnx"), &[]), &owner.imported),
        (
            fs::read_to_string(folder.path().join("after-normal_form.tir")).unwrap(),
            &owner.graph,
        ),
    ] {
        let read = Graph::parse_verified(&text, &graph.tensors()).unwrap_or_else(|error| panic!("{error}"));
        let again = read.to_text();
        assert_eq!(again, text, "a graph reads back as it was printed");
    }
    let shown: Value = serde_json::from_str(&inspect(&digits("digits.onnx"), &["--format", "json"])).unwrap();
    assert_eq!(shown["counts"]["drelus_at_1x1"], 4608);
    let dump = folder.path().join("after-normal_form.tir");
    let shown = inspect(&dump, &[]);
    assert_eq!(shown.trim_end(), fs::read_to_string(&dump).unwrap().trim_end());
    let counts: Value = serde_json::from_str(&inspect(&dump, &["--format", "json"])).unwrap();
    assert_eq!(counts["counts"]["drelus"], 4608);
}

/// A reader that closes the pipe early (`trefoil inspect F | head`) is not a defect to report.
#[cfg(unix)]
#[test]
fn a_closed_pipe_is_no_panic() {
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg("\"$0\" inspect \"$1\" | true")
        .arg(TREFOIL)
        .arg(digits("digits.onnx"));
    let ended = run(&mut command, LIMIT);
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
}
