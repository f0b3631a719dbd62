//! What networks come to beside onnxruntime, by the commands that a user types: in floats, in fixed
//! point, by three parties.
//!
//! A case is a folder with `model.onnx`, `input.npy`, `expected.npy` and mostly `calibration.npy`. Some
//! are recorded by `tests/onnxruntime/record.py` for this run (random networks, the ONNX project's tests
//! of single operators), others lie in the folder that `TREFOIL_CASES` names. A network may be refused;
//! one that is taken must come to the same.
//!
//! `TREFOIL_SEEDS=FIRST,COUNT` runs other random networks than those that always run.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rayon::prelude::*;
use support::commands::{Ended, party_beside, run};
use support::folder::{Array, material, read_array};
use support::python;
use tempfile::TempDir;

const TREFOIL: &str = env!("CARGO_BIN_EXE_trefoil");

/// For a command among many that run at a time.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(300);

/// Largest error in floats, in deviations of the expected values, or of their mean magnitude.
const ROUNDING: f64 = 1e-3;

/// Largest error in fixed point.
const QUANTIZATION: f64 = 5e-2;

/// Share of the output that rounding may turn into another class, where two are next to equal, or one
/// element of a small output.
const TURNED: f64 = 0.02;

/// Random networks that always run.
const SEEDS: [usize; 2] = [0, 1000];

/// One in so many of them runs at every level: compiling takes its time.
const EVERY_LEVEL: usize = 8;

/// Share of the random networks that may be refused: of more, little would be tested.
const REFUSED: f64 = 0.25;

/// What a case came to.
#[derive(Debug)]
enum Verdict {
    Same,
    Refused(String),
    Different(String),
}

/// A case, with a folder for what the commands write.
struct Case {
    folder: PathBuf,
    scratch: TempDir,
}

impl Case {
    fn new(folder: PathBuf) -> Self {
        let scratch = tempfile::tempdir().expect("a temporary folder can be made");
        Self { folder, scratch }
    }

    fn name(&self) -> String {
        let parts: Vec<_> = self.folder.iter().rev().take(2).collect();
        let names = parts.iter().rev().map(|part| part.to_string_lossy());
        names.collect::<Vec<_>>().join("/")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn plans(&self) -> PathBuf {
        self.scratch.path().join("plans")
    }

    /// Runs it, at every level or in floats alone.
    fn verdict(&self, every_level: bool) -> Verdict {
        let mut floats = Command::new(TREFOIL);
        floats
            .args(["evaluate", "--level", "f32"])
            .arg(self.file("model.onnx"));
        match self.level(FLOATS, floats, ROUNDING) {
            Verdict::Same if every_level => self.compiled(),
            verdict => verdict,
        }
    }

    /// Fixed point and three parties.
    fn compiled(&self) -> Verdict {
        let calibration = [self.file("calibration.npy"), self.file("input.npy")];
        let calibration = calibration.iter().find(|path| path.exists());
        let mut compile = Command::new(TREFOIL);
        compile
            .arg("compile")
            .arg(self.file("model.onnx"))
            .arg("--calibration")
            .arg(calibration.expect("a case has images"))
            .arg("-o")
            .arg(self.plans());
        if let Some(verdict) = failure("compile", &run(&mut compile, LIMIT)) {
            return verdict;
        }
        let mut fixed = Command::new(TREFOIL);
        fixed.arg("evaluate").arg(self.plans());
        let mut parties = Command::new(party_beside(TREFOIL));
        parties.arg("local").arg("--plans").arg(self.plans());
        match self.level("fixed", fixed, QUANTIZATION) {
            Verdict::Same => self.level("parties", parties, QUANTIZATION),
            verdict => verdict,
        }
    }

    /// Runs a command on the images and compares its output with what is expected. Of an output of
    /// classes rounding may turn one where two are next to equal: there the logits are held to those of
    /// the floats, whose output is what is expected.
    fn level(&self, level: &str, mut command: Command, tolerance: f64) -> Verdict {
        let output = self.scratch.path().join(format!("{level}.npy"));
        command
            .arg("--data")
            .arg(self.file("input.npy"))
            .arg("--output")
            .arg(&output)
            .arg("--logits")
            .arg(self.logits(level));
        if let Some(verdict) = failure(level, &run(&mut command, LIMIT)) {
            return verdict;
        }
        let expected = read_array(&self.file("expected.npy"));
        let found = read_array(&output);
        let difference = match level != FLOATS && expected.values.iter().all(|v| v.fract() == 0.0) {
            true => turned(&expected, &found).or_else(|| {
                let floats = read_array(&self.logits(FLOATS));
                difference(&floats, &read_array(&self.logits(level)), tolerance)
            }),
            false => difference(&expected, &found, tolerance),
        };
        match difference {
            Some(difference) => Verdict::Different(format!("{level}: {difference}")),
            None => Verdict::Same,
        }
    }

    fn logits(&self, level: &str) -> PathBuf {
        self.scratch.path().join(format!("{level}.logits.npy"))
    }
}

/// The level that all others are held to.
const FLOATS: &str = "f32";

/// What is wrong with classes, of which few may be others.
fn turned(expected: &Array, found: &Array) -> Option<String> {
    if let Some(unlike) = unlike(expected, found) {
        return Some(unlike);
    }
    let others = expected
        .values
        .iter()
        .zip(&found.values)
        .filter(|(expected, found)| expected != found)
        .count();
    let count = expected.values.len();
    let few = others <= 1 || others as f64 <= TURNED * count as f64;
    (!few).then(|| format!("{others} of {count} classes are others"))
}

/// How types or shapes differ, if they do.
fn unlike(expected: &Array, found: &Array) -> Option<String> {
    let same = (expected.shape.as_slice(), expected.kind) == (found.shape.as_slice(), found.kind);
    (!same).then(|| {
        format!(
            "{} of {:?} for {} of {:?}",
            found.kind, found.shape, expected.kind, expected.shape
        )
    })
}

/// A refusal, or worse.
fn failure(level: &str, ended: &Ended) -> Option<Verdict> {
    if ended.code == Some(0) {
        return None;
    }
    Some(match ended.no_refusal() {
        Some(problem) => Verdict::Different(format!("{level}: {problem}")),
        None => Verdict::Refused(format!("{level}: {}", ended.stderr.trim())),
    })
}

/// What differs, if anything does.
fn difference(expected: &Array, found: &Array, tolerance: f64) -> Option<String> {
    if let Some(unlike) = unlike(expected, found) {
        return Some(unlike);
    }
    let count = expected.values.len().max(1) as f64;
    let mean = expected.values.iter().sum::<f64>() / count;
    let variance = expected.values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count;
    // Of a constant the deviation says nothing.
    let size = variance.sqrt().max(0.1 * mean.abs()).max(1e-6);
    let errors = expected
        .values
        .iter()
        .zip(&found.values)
        .map(|(a, b)| (a - b).abs());
    // Written so that a NaN is an error.
    let worst = errors.fold(0.0, |worst: f64, e| if e <= worst { worst } else { e });
    let fits = worst <= tolerance * size;
    (!fits).then(|| format!("off by {worst:.3e} where values have the size {size:.3e}"))
}

/// The cases of a folder, and of folders in it.
fn cases(folder: &Path) -> Vec<Case> {
    let entries = fs::read_dir(folder).expect("the folder of cases can be read");
    let mut paths: Vec<PathBuf> = entries.map(|e| e.expect("readable").path()).collect();
    paths.retain(|path| path.is_dir());
    paths.sort();
    let found = paths.into_iter().flat_map(|path| {
        if path.join("model.onnx").exists() {
            vec![Case::new(path)]
        } else {
            cases(&path)
        }
    });
    found.collect()
}

/// Runs cases; returns how many were taken, and what was refused why. Differences are fatal, all at once.
fn run_all(cases: &[Case], every_level: impl Fn(usize) -> bool + Sync) -> (usize, Vec<String>) {
    let run = |(at, case): (usize, &Case)| (case.name(), case.verdict(every_level(at)));
    let verdicts: Vec<_> = cases.par_iter().enumerate().map(run).collect();
    let (mut taken, mut refused, mut different) = (0, Vec::new(), Vec::new());
    for (name, verdict) in verdicts {
        match verdict {
            Verdict::Same => taken += 1,
            Verdict::Refused(why) => refused.push(format!("{name}: {why}")),
            Verdict::Different(what) => different.push(format!("{name}: {what}")),
        }
    }
    let (count, differing) = (cases.len(), different.len());
    eprintln!(
        "{taken} of {count} the same, {} refused, {differing} differ",
        refused.len()
    );
    refused.iter().for_each(|line| eprintln!("refused: {line}"));
    assert!(
        different.is_empty(),
        "{differing} of {count} differ:\n{}",
        different.join("\n")
    );
    (taken, refused)
}

/// Records cases, if there is a Python that can.
fn record(arguments: &[&str]) -> Option<TempDir> {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let mut command = python::python();
    command
        .args(["-W", "ignore"])
        .arg(python::script("onnxruntime/record.py"))
        .arg(folder.path())
        .args(arguments);
    trefoil_tests::needed(python::run(&mut command))?;
    Some(folder)
}

fn seeds() -> [usize; 2] {
    let Ok(given) = std::env::var("TREFOIL_SEEDS") else {
        return SEEDS;
    };
    let numbers: Vec<usize> = given.split(',').filter_map(|n| n.parse().ok()).collect();
    numbers
        .try_into()
        .expect("TREFOIL_SEEDS holds a first seed and a count")
}

#[test]
fn random_networks() {
    let [first, count] = seeds();
    let Some(folder) = record(&["random", &first.to_string(), &count.to_string()]) else {
        return;
    };
    let cases = cases(folder.path());
    assert_eq!(cases.len(), count, "a network a seed");
    let (_, refused) = run_all(&cases, |at| at % EVERY_LEVEL == 0);
    let share = refused.len() as f64 / count as f64;
    assert!(share <= REFUSED, "{share:.2} of the networks were refused");
}

#[test]
fn tests_of_single_operators() {
    let Some(folder) = record(&["nodes"]) else { return };
    let cases = cases(folder.path());
    let (taken, _) = run_all(&cases, |_| false);
    assert!(taken > 0, "none of {} was taken", cases.len());
}

#[test]
fn recorded_cases() {
    let Some(folder) = trefoil_tests::needed(material("TREFOIL_CASES", "cases")) else {
        return;
    };
    let cases = cases(&folder);
    let (taken, _) = run_all(&cases, |_| true);
    assert!(taken > 0, "none of {} was taken", cases.len());
}
