//! Profiles and budgets through the real programs: measured, killed, merged, spent, and run by three
//! parties.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::commands::{Ended, LIMIT, REFUSAL_LIMIT, party_beside, run};
use support::compiled::top1;
use support::folder::{digits, read_floats, write_images};
use tempfile::TempDir;

const TREFOIL: &str = env!("CARGO_BIN_EXE_trefoil");

/// A folder with a profile of the digits' network.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn profiled() -> Self {
        let bench = Self::new();
        bench.calibrate("profile", &[]).succeeded();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn calibrate(&self, profile: &str, flags: &[&str]) -> Ended {
        let mut command = Command::new(TREFOIL);
        command.arg("calibrate").arg(digits("digits.onnx"));
        command.arg("--data").arg(digits("calibration.npy"));
        command.arg("--preprocess").arg(digits("preprocess.toml"));
        run(command.arg("-o").arg(self.path(profile)).args(flags), LIMIT)
    }

    fn compile(&self, plans: &str, flags: &[&str]) -> Ended {
        let mut command = Command::new(TREFOIL);
        command.arg("compile").arg(digits("digits.onnx"));
        command.arg("--preprocess").arg(digits("preprocess.toml"));
        run(command.arg("-o").arg(self.path(plans)).args(flags), LIMIT)
    }

    fn with_budget(&self, plans: &str, budget: &str, flags: &[&str]) -> Ended {
        let profile = self.path("profile");
        let mut all = vec!["--profile", profile.to_str().unwrap(), "--budget", budget];
        all.extend(flags);
        self.compile(plans, &all)
    }

    fn report(&self, plans: &str) -> Value {
        json(&self.path(plans).join("report.json"))
    }
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn bytes_of(folder: &Path, name: &str) -> Vec<u8> {
    fs::read(folder.join(name)).unwrap()
}

#[test]
fn a_budget_is_kept_and_three_parties_run_what_the_emulator_says() {
    let bench = Bench::profiled();
    bench.with_budget("plans", "15%", &[]).succeeded();
    let report = bench.report("plans");
    let (drelus, all) = (
        report["drelus"].as_u64().unwrap(),
        report["drelus_at_1x1"].as_u64().unwrap(),
    );
    assert!(
        drelus * 100 <= all * 15 && drelus * 100 > all * 14,
        "{drelus} of {all}"
    );
    assert_eq!(report["budget"]["certificate"]["proved"], true);

    let images = ["--images", "40"];
    let mut emulator = Command::new(TREFOIL);
    emulator.arg("evaluate").arg(bench.path("plans"));
    emulator.arg("--data").arg(digits("test_x.npy")).args(images);
    run(emulator.arg("--output").arg(bench.path("fixed.npy")), LIMIT).succeeded();
    let mut parties = Command::new(party_beside(TREFOIL));
    parties.arg("local").arg("--plans").arg(bench.path("plans"));
    parties.arg("--data").arg(digits("test_x.npy")).args(images);
    parties.arg("--report").arg(bench.path("run.json"));
    run(parties.arg("--output").arg(bench.path("run.npy")), LIMIT).succeeded();

    let (_, fixed) = read_floats(&bench.path("fixed.npy"));
    let (_, run) = read_floats(&bench.path("run.npy"));
    let errors = fixed.iter().zip(&run).map(|(a, b)| (a - b).abs());
    let error = errors.fold(0.0, f32::max);
    for (fixed, run) in fixed.chunks(10).zip(run.chunks(10)) {
        // Rounding coins may decide between classes whose logits are closer than they move them.
        let margin = fixed[top1(fixed)] - fixed[top1(run)];
        assert!(margin <= 2.0 * error, "{fixed:?} {run:?}");
    }
    let measured = json(&bench.path("run.json"));
    assert_eq!(measured["bytes"], report["bytes"]);
    assert_eq!(measured["round_trips"], report["round_trips"]);
}

#[test]
fn every_currency_is_kept_by_the_program_itself() {
    let bench = Bench::profiled();
    bench
        .compile(
            "whole",
            &["--calibration", digits("calibration.npy").to_str().unwrap()],
        )
        .succeeded();
    let whole = bench.report("whole");
    let of = |report: &Value, path: [&str; 2]| report[path[0]][path[1]].as_f64().unwrap();
    for (budget, path) in [
        ("bytes", ["bytes", "total"]),
        ("online-bytes", ["bytes", "online"]),
    ] {
        let limit = (of(&whole, path) * 0.7).floor();
        bench
            .with_budget(budget, &format!("{budget}={limit}"), &[])
            .succeeded();
        let spent = of(&bench.report(budget), path);
        assert!(
            spent <= limit && spent > 0.95 * limit,
            "{budget}: {spent} of {limit}"
        );
    }
    let seconds = whole["predicted_seconds"]["wan"]["total"].as_f64().unwrap();
    let limit = seconds - 0.001;
    bench
        .with_budget("seconds", &format!("seconds={limit}@wan"), &[])
        .succeeded();
    let spent = bench.report("seconds")["predicted_seconds"]["wan"]["total"]
        .as_f64()
        .unwrap();
    assert!(spent <= limit, "{spent} of {limit}");
}

#[test]
fn joint_assignment_holds_images_out_and_is_said_to_be_better_on_them() {
    let bench = Bench::profiled();
    bench
        .with_budget("plans", "10%", &["--assign", "joint"])
        .succeeded();
    let report = bench.report("plans");
    assert!(report["drelus"].as_u64().unwrap() * 10 <= report["drelus_at_1x1"].as_u64().unwrap());
    let joint = &report["budget"]["joint"];
    let held_out = |end: &str| joint[end]["held_out"].as_f64().unwrap();
    assert!(held_out("end") <= held_out("start"), "{joint}");
}

#[test]
fn shards_together_give_the_profile_and_a_killed_one_goes_on() {
    let bench = Bench::new();
    bench.calibrate("whole", &["--images", "12"]).succeeded();
    for shard in ["1/3", "2/3", "3/3"] {
        let name = format!("part-{}", &shard[..1]);
        bench
            .calibrate(&name, &["--images", "12", "--shard", shard])
            .succeeded();
    }
    let mut merge = Command::new(TREFOIL);
    merge.args(["profile", "merge"]);
    merge.args(["part-3", "part-1", "part-2"].map(|name| bench.path(name)));
    run(merge.arg("-o").arg(bench.path("merged")), LIMIT).succeeded();
    let (whole, merged) = (bench.path("whole"), bench.path("merged"));
    assert_eq!(
        bytes_of(&whole, "distortion.npz"),
        bytes_of(&merged, "distortion.npz")
    );

    // As a kill leaves it: chunks, but no summary.
    fs::remove_file(merged.join("distortion.npz")).unwrap();
    fs::remove_file(merged.join("images-000008-000012.npz")).unwrap();
    let unfinished = bench.compile(
        "plans",
        &["--profile", merged.to_str().unwrap(), "--budget", "50%"],
    );
    assert!(unfinished.refused().contains("--resume"));
    let again = bench.calibrate("merged", &["--images", "12"]).refused();
    assert!(again.contains("--resume"), "{again}");
    bench
        .calibrate("merged", &["--images", "12", "--resume"])
        .succeeded();
    assert_eq!(
        bytes_of(&whole, "distortion.npz"),
        bytes_of(&merged, "distortion.npz")
    );
}

#[test]
fn what_cannot_be_is_refused_with_a_remedy() {
    let bench = Bench::profiled();
    let refused = |ended: Ended, hint: &str| {
        let words = ended.refused();
        assert!(words.contains(hint), "{hint}: {words}");
    };
    refused(
        bench.with_budget("a", "bytes=1kB", &[]),
        "the cheapest plan of this network",
    );
    refused(bench.with_budget("b", "101%", &[]), "from 0% to 100%");
    refused(bench.with_budget("c", "7", &[]), "is no budget");
    refused(bench.compile("d", &["--budget", "6%"]), "required");
    refused(bench.compile("e", &["--uniform", "0,0"]), "from 1");
    refused(
        bench.compile(
            "f",
            &[
                "--uniform",
                "2,2",
                "--budget",
                "5%",
                "--calibration",
                digits("calibration.npy").to_str().unwrap(),
            ],
        ),
        "take larger ones",
    );
    let patches = bench.file("patches.json", "[[2, 2], [0, 0]]");
    refused(
        bench.calibrate("g", &["--patches", patches.to_str().unwrap()]),
        "[0,0]",
    );
    refused(bench.calibrate("h", &["--shard", "4/3"]), "a shard is k/n");

    let header = bench.path("profile").join("profile.json");
    let text = fs::read_to_string(&header).unwrap();
    let digest = json(&header)["digest"].as_str().unwrap().to_owned();
    fs::write(&header, text.replace(&digest, &"0".repeat(64))).unwrap();
    refused(bench.with_budget("i", "50%", &[]), "another model");
}

/// Several budgets, and what is said of layers, reach the plan.
#[test]
fn budgets_and_rules_go_together() {
    let bench = Bench::profiled();
    let layers = json(&bench.path("profile").join("profile.json"))["layers"].clone();
    let name = |at: usize| layers[at]["name"].as_str().unwrap().to_owned();
    let cap = format!("{}=50%", name(1));
    let flags = ["--budget", "seconds=1.3@wan", "--keep", &name(0), "--cap", &cap];
    let ended = bench.with_budget("several", "60%", &flags).succeeded();
    assert!(
        ended.stdout.contains("budget 60%, seconds=1.3@wan (additive)"),
        "{}",
        ended.stdout
    );
    let report = json(&bench.path("several").join("report.json"));
    let seconds = report["predicted_seconds"]["wan"]["total"].as_f64().unwrap();
    assert!(seconds <= 1.3, "{seconds}");
    let of = |name: String, what: &str| {
        let layers = report["budget"]["layers"].as_array().unwrap();
        let layer = layers.iter().find(|layer| layer["name"] == *name).unwrap();
        layer[what]["drelus"].as_u64().unwrap()
    };
    assert_eq!(of(name(0), "assigned"), of(name(0), "at_1x1"));
    assert!(2 * of(name(1), "assigned") <= of(name(1), "at_1x1"));
    let joint = bench.with_budget("joint", "60%", &["--assign", "joint", "--tie", &name(0)]);
    assert!(joint.refused().contains("leave --assign out"));
    let unknown = bench.with_budget("unknown", "60%", &["--keep", "nobody"]);
    assert!(unknown.refused().contains("no ReLU called"));
}

#[test]
fn a_sweep_tabulates_and_draws() {
    let bench = Bench::profiled();
    let mut sweep = Command::new(TREFOIL);
    sweep.arg("sweep").arg(digits("digits.onnx"));
    sweep.arg("--profile").arg(bench.path("profile"));
    sweep.arg("--preprocess").arg(digits("preprocess.toml"));
    sweep.args([
        "--budget",
        "50%",
        "--budget",
        "bytes=1kB",
        "--uniform",
        "2,2",
        "--images",
        "30",
    ]);
    sweep
        .arg("--data")
        .arg(digits("test_x.npy"))
        .arg("--labels")
        .arg(digits("test_y.npy"));
    sweep.arg("--plot").arg(bench.path("plot.svg"));
    sweep.arg("--assignments").arg(bench.path("assignments"));
    let ended = run(sweep.arg("-o").arg(bench.path("sweep.csv")), LIMIT).succeeded();
    assert!(
        ended.stdout.contains("the cheapest plan of this network"),
        "a budget out of reach is a gap: {}",
        ended.stdout
    );
    let csv = fs::read_to_string(bench.path("sweep.csv")).unwrap();
    let lines: Vec<&str> = csv.lines().collect();
    // The names, 50%, the uniform patch, and the knapsack at its cost.
    assert_eq!(lines.len(), 4, "{csv}");
    assert!(lines[1].starts_with("additive,50%,0.") && lines[2].starts_with("uniform,uniform 2x2,0.25"));
    assert!(lines[3].starts_with("additive,relus="), "{csv}");
    assert!(
        fs::read_to_string(bench.path("plot.svg"))
            .unwrap()
            .starts_with("<svg")
    );
    assert_eq!(fs::read_dir(bench.path("assignments")).unwrap().count(), 3);
}

#[test]
fn a_sweep_counts_the_images_beyond_the_ranges() {
    let bench = Bench::profiled();
    let one = bench.path("one.npy");
    write_images(&one, [3, 8, 8], vec![0.5; 192]);
    let sweep = |flags: &[&str]| {
        let mut sweep = Command::new(TREFOIL);
        sweep.arg("sweep").arg(digits("digits.onnx"));
        sweep.arg("--profile").arg(bench.path("profile"));
        sweep.arg("--preprocess").arg(digits("preprocess.toml"));
        sweep.arg("--data").arg(digits("test_x.npy"));
        sweep.arg("--labels").arg(digits("test_y.npy"));
        sweep.args(["--images", "20", "--budget", "100%", "--budget", "50%"]);
        run(sweep.arg("-o").arg(bench.path("sweep.csv")).args(flags), LIMIT)
    };
    let breaches = || -> Vec<String> {
        let csv = fs::read_to_string(bench.path("sweep.csv")).unwrap();
        let last = |line: &str| line.rsplit(',').next().unwrap().to_owned();
        csv.lines().map(last).collect()
    };
    sweep(&["--strict"]).succeeded();
    assert_eq!(breaches(), ["breaches", "0", "0"]);
    let narrow = ["--calibration", one.to_str().unwrap(), "--head-room", "0"];
    let ended = sweep(&narrow).succeeded();
    let found = breaches();
    assert!(
        found[1..].iter().all(|n| n.parse::<usize>().unwrap() > 10),
        "{found:?}"
    );
    assert!(ended.stdout.contains(" of 20 images"), "{}", ended.stdout);
    for words in ["1 calibration image", "values left their ranges on"] {
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
    }
    let strict = sweep(&[&narrow[..], &["--strict"]].concat());
    assert_eq!(strict.code, Some(3), "{}", strict.stderr);
    // The same 21 images run at both points, and are not added up.
    let most = found[1..].iter().map(|n| n.parse::<usize>().unwrap()).max();
    let said = strict.stderr.split("left their ranges on ").last().unwrap();
    let count: usize = said.split(' ').next().unwrap().parse().unwrap();
    assert!(most <= Some(count) && count <= 21, "{}", strict.stderr);
    assert!(said.contains(" images at additive "), "{}", strict.stderr);
}

#[test]
fn a_sweep_whose_results_cannot_be_written_does_not_begin() {
    let bench = Bench::profiled();
    let sweep = |flags: &[&str]| {
        let mut sweep = Command::new(TREFOIL);
        sweep.arg("sweep").arg(digits("digits.onnx"));
        sweep.arg("--profile").arg(bench.path("profile"));
        sweep.arg("--preprocess").arg(digits("preprocess.toml"));
        run(sweep.args(flags), REFUSAL_LIMIT).refused()
    };
    let folder = bench.path("profile").display().to_string();
    let there = bench.path("sweep.csv").display().to_string();
    for flags in [
        &["-o", &folder][..],
        &["-o", "/none/sweep.csv"],
        &["-o", &there, "--plot", &folder],
    ] {
        let words = sweep(flags);
        assert!(words.contains("cannot be written"), "{flags:?}: {words}");
    }
    assert!(!bench.path("sweep.csv").exists());
}

#[test]
fn labels_of_another_number_are_refused() {
    let bench = Bench::profiled();
    let mut sweep = Command::new(TREFOIL);
    sweep.arg("sweep").arg(digits("digits.onnx"));
    sweep.arg("--profile").arg(bench.path("profile"));
    sweep.arg("--preprocess").arg(digits("preprocess.toml"));
    sweep
        .arg("--data")
        .arg(digits("calibration.npy"))
        .arg("--labels")
        .arg(digits("test_y.npy"));
    let words = run(sweep.arg("-o").arg(bench.path("sweep.csv")), REFUSAL_LIMIT).refused();
    assert!(words.contains("label"), "{words}");
}
