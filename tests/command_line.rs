//! `trefoil` as a person uses it: what is not overwritten, what is not left behind, what it says.

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use support::commands::{Ended, LIMIT, Running, run};
use support::folder::digits;

const TREFOIL: &str = env!("CARGO_BIN_EXE_trefoil");

/// A command line; words that are files of the shipped example stand for them, `OUT` for the folder.
fn command(folder: &Path, line: &str) -> Command {
    let mut command = Command::new(TREFOIL);
    for word in line.split_whitespace() {
        match word.strip_prefix("OUT") {
            Some(rest) => command.arg(folder.join(rest.trim_start_matches('/'))),
            None if word.contains('.') && digits(word).exists() => command.arg(digits(word)),
            None => command.arg(word),
        };
    }
    command
}

fn trefoil(folder: &Path, line: &str) -> Ended {
    run(&mut command(folder, line), LIMIT)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

const COMPILE: &str = "compile digits.onnx --calibration calibration.npy --preprocess preprocess.toml";

#[test]
fn plans_are_replaced_only_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path();
    let first = trefoil(out, &format!("{COMPILE} --uniform 2x2 -o OUT/plans")).succeeded();
    for word in [
        "client.plan",
        "owner.plan",
        "nobody else",
        "trefoil-party local --plans",
    ] {
        assert!(first.stdout.contains(word), "what to do next: {}", first.stdout);
    }
    let report = |name| -> Value { serde_json::from_slice(&fs::read(out.join(name)).unwrap()).unwrap() };
    let id = report("plans/report.json")["plan_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let before = fs::read(out.join("plans/client.plan")).unwrap();
    let words = trefoil(out, &format!("{COMPILE} -o OUT/plans")).refused();
    assert!(words.contains("--force") && words.contains(&id[..16]), "{words}");
    assert!(fs::read(out.join("plans/client.plan")).unwrap() == before);
    trefoil(out, &format!("{COMPILE} --out OUT/plans --force")).succeeded();
    assert_ne!(report("plans/report.json")["plan_id"], id.as_str());
    // The patches of the plans before are not left as if they were these ones'.
    assert_eq!(
        names(&out.join("plans")),
        [
            "client.plan",
            "helper.plan",
            "owner.plan",
            "report.json",
            "server.plan"
        ]
    );
}

/// A folder may hold files of the user's own that have the names of ours.
#[test]
fn what_the_user_wrote_is_neither_replaced_nor_removed_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path();
    let own = r#"{"/relu/Relu": [2, 2]}"#;
    for name in ["assignment.json", "report.json"] {
        let plans = out.join(name.replace('.', "-"));
        fs::create_dir(&plans).unwrap();
        fs::write(plans.join(name), own).unwrap();
        let compile = format!("{COMPILE} -o {}", plans.display());
        let words = trefoil(out, &compile).refused();
        assert!(words.contains(name) && words.contains("--force"), "{words}");
        assert_eq!(names(&plans), [name]);
        assert_eq!(fs::read_to_string(plans.join(name)).unwrap(), own);
    }
    // Forced, what is ours is replaced; an assignment that no plans were made with is nobody else's.
    let plans = out.join("assignment-json");
    trefoil(out, &format!("{COMPILE} --force -o {}", plans.display())).succeeded();
    assert_eq!(fs::read_to_string(plans.join("assignment.json")).unwrap(), own);
}

#[test]
fn what_fails_or_is_stopped_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path();
    for line in [
        format!("{COMPILE} --secret OUT/none -o OUT/a/plans"),
        format!("{COMPILE} --head-room 99 -o OUT/a/plans"),
        format!("{COMPILE} --budget 5% -o OUT/a/plans"),
        "compile classes.txt --calibration calibration.npy -o OUT/a/plans".to_owned(),
        "compile digits.onnx -o OUT/a/plans".to_owned(),
    ] {
        trefoil(out, &line).refused();
        assert!(names(out).is_empty(), "{line}: {:?}", names(out));
    }
    // Stopped at any time: everything is there, or nothing.
    for milliseconds in [0, 20, 60, 120] {
        let line = format!("{COMPILE} -o OUT/{milliseconds}/plans");
        let running = Running::start(&mut command(out, &line));
        std::thread::sleep(Duration::from_millis(milliseconds));
        running.signal("INT");
        running.wait(LIMIT);
        let plans = out.join(format!("{milliseconds}/plans"));
        match plans.exists() {
            true => assert_eq!(names(&plans).len(), 5),
            false => assert!(names(out).iter().all(|name| *name != milliseconds.to_string())),
        }
    }
}

#[test]
fn a_secret_is_random_private_and_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path();
    trefoil(out, "secret -o OUT/one").succeeded();
    trefoil(out, "secret --out OUT/two").succeeded();
    let [one, two] = ["one", "two"].map(|name| fs::read(out.join(name)).unwrap());
    assert!(one.len() == 32 && one != two);
    let words = trefoil(out, "secret -o OUT/one").refused();
    assert!(words.contains("never written over"), "{words}");
    assert!(fs::read(out.join("one")).unwrap() == one);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(out.join("one")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn folders_are_shown_and_other_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path();
    trefoil(out, &format!("{COMPILE} --uniform 1x2 -o OUT/plans")).succeeded();
    let calibrate = "calibrate digits.onnx --calibration calibration.npy --preprocess preprocess.toml";
    trefoil(out, &format!("{calibrate} --calibration-images 4 -o OUT/profile")).succeeded();
    for (line, word) in [
        ("inspect OUT/plans", "helper.plan"),
        ("inspect OUT/profile", "/block1/relu1/Relu"),
        ("verify OUT/plans", "server.plan: private"),
        ("verify OUT/plans/client.plan --messages", "xor 6 bits"),
        ("inspect OUT/plans/report.json", "compilation"),
        ("inspect OUT/plans/assignment.json", "assignment"),
        ("profile show OUT/profile", "10 probes"),
    ] {
        let shown = trefoil(out, line).succeeded().stdout;
        assert!(shown.contains(word), "{line}: {shown}");
        let json = trefoil(out, &format!("{line} --format json")).succeeded().stdout;
        let json: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["schema"], 2, "{line}");
    }
    for (line, words) in [
        (
            "evaluate OUT/plans/client.plan --data test_x.npy",
            ["client.plan", "a plan"],
        ),
        ("check test_x.npy", ["test_x.npy", "NumPy"]),
        ("check OUT/none.onnx", ["none.onnx", "cannot read"]),
        ("verify OUT/profile", ["profile", "no plans"]),
        ("verify classes.txt", ["classes.txt", "no plan"]),
        ("inspect classes.txt", ["classes.txt", "a text"]),
        (
            "evaluate OUT/plans --data test_x.npy --preprocess preprocess.toml",
            ["--preprocess", "their own"],
        ),
        (
            "evaluate digits.onnx --data test_x.npy --preprocess OUT/none.toml",
            ["none.toml", "cannot read"],
        ),
    ] {
        let said = trefoil(out, line).refused();
        assert!(words.iter().all(|word| said.contains(word)), "{line}: {said}");
        let cause = said.rsplit(": ").next().unwrap().trim();
        assert_eq!(said.matches(cause).count(), 1, "the cause is said once: {said}");
    }
    // What a measurement that was killed left goes with the next one.
    fs::write(out.join("profile/.images-000000-000032.npz.abc.tmp"), "half").unwrap();
    fs::write(out.join("profile/images-000000-000032.77.tmp"), "half").unwrap();
    trefoil(
        out,
        &format!("{calibrate} --calibration-images 4 -o OUT/profile --resume"),
    )
    .succeeded();
    assert!(
        names(&out.join("profile"))
            .iter()
            .all(|name| !name.ends_with(".tmp"))
    );
}

#[test]
fn without_labels_the_classes_are_the_answer() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path();
    let evaluate = "evaluate digits.onnx --preprocess preprocess.toml --data test_x.npy --images 3";
    let text = trefoil(out, evaluate).succeeded().stdout;
    assert_eq!(text, "0\t4\n1\t0\n2\t1\nimages 3\n");
    let json = trefoil(out, &format!("{evaluate} --labels test_y.npy --format json")).stdout;
    let json: Value = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}"));
    assert!(
        json["predictions"].as_array().is_some_and(|all| all.len() == 3),
        "{json}"
    );
}

/// Neither a result nor an error needs a reader.
#[cfg(unix)]
#[test]
fn closed_pipes_are_no_panic() {
    for line in [
        "inspect digits.onnx",
        "check OUT/none.onnx",
        "compile digits.onnx",
        "--help",
    ] {
        for (close, code) in [("1>&-", None), ("2>&-", None), ("2>&1 | true", Some(0))] {
            let inner = command(Path::new("/none"), line);
            let words: Vec<String> = inner
                .get_args()
                .map(|word| format!("'{}'", word.to_str().unwrap()))
                .collect();
            let script = format!("'{TREFOIL}' {} {close}", words.join(" "));
            let output = Command::new("sh")
                .args(["-c", &script])
                .stdin(Stdio::null())
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(
                !said.contains("panicked") && output.status.code() != Some(101),
                "{script}: {said}"
            );
            assert!(code.is_none() || output.status.code() == code, "{script}: {said}");
        }
    }
}

/// Colours are for terminals.
#[test]
fn what_goes_to_a_file_has_no_colour() {
    let said = trefoil(Path::new("/none"), "check OUT/none.onnx").refused();
    assert!(
        said.starts_with("error: ") && !said.contains('\u{1b}'),
        "{said:?}"
    );
}
