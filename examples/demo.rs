//! The whole of Trefoil in one minute, on handwritten digits: compiles a small ResNet, makes a
//! folder with keys for each party, starts server and helper as processes, has a client's images classified over
//! TLS, and shows what came of it.
//! Every step is a command that you could type; each is printed before it runs.
//!
//! ```text
//! cargo run --release --example demo
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use trefoil_examples::command::{Binaries, Line, build};
use trefoil_examples::picture::{Picture, side_by_side};

/// What the commands are given, seen from the repository's root.
const MODEL: &str = "examples/digits/digits.onnx";
const IMAGES: &str = "examples/digits/test";
const LABELS: &str = "examples/digits/test/labels.txt";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("the examples lie in no repository")?;
    let binaries = build(root)?;
    let start = Instant::now();
    let folder = tempfile::Builder::new().prefix("trefoil-demo-").tempdir();
    let folder = folder.context("no temporary folder can be made")?;
    let plans = folder.path().join("plans");

    compile(&binaries, root, &plans)?;
    let clear = evaluate(&binaries, root)?;
    let report = folder.path().join("report.json");
    let deployment = folder.path().join("deployment");
    deploy(&binaries, root, &plans, &deployment)?;
    let predictions = three_processes(&binaries, root, &deployment, &report)?;
    let labels = read_labels(&root.join(LABELS))?;
    let report = fs::read_to_string(&report).context("the client's report cannot be read")?;
    let report = serde_json::from_str(&report).context("the client's report is damaged")?;

    show_pictures(root, &predictions, &labels)?;
    show_figures(&report, &predictions, &labels, &clear);
    show_views(&report, &plans)?;
    println!(
        "\nAll of this took {:.1} seconds after the build.",
        start.elapsed().as_secs_f64()
    );
    Ok(())
}

/// The model's owner makes three plans of the model.
fn compile(binaries: &Binaries, root: &Path, plans: &Path) -> Result<()> {
    let line = format!(
        "compile {MODEL} --calibration examples/digits/calibration.npy \
         --preprocess examples/digits/preprocess.toml --classes examples/digits/classes.txt"
    );
    print!(
        "{}",
        Line::new(&binaries.compiler, &line).path("-o", plans).run(root)?
    );
    Ok(())
}

/// What the network says in floats and in the clear, to compare with.
fn evaluate(binaries: &Binaries, root: &Path) -> Result<String> {
    let line = format!(
        "evaluate {MODEL} --level f32 --data {IMAGES} --labels {LABELS} \
         --preprocess examples/digits/preprocess.toml"
    );
    let output = Line::new(&binaries.compiler, &line).run(root)?;
    print!("{output}");
    let counts = output
        .lines()
        .find_map(|line| line.strip_prefix("top-1 ")?.split(['(', ')']).nth(1));
    Ok(counts
        .context("`trefoil evaluate` printed no accuracy")?
        .to_owned())
}

/// The owner makes a folder for each party: its plan, its settings, its key.
fn deploy(binaries: &Binaries, root: &Path, plans: &Path, folder: &Path) -> Result<()> {
    let line = Line::new(&binaries.compiler, "deploy").operand(plans);
    let line = line.words("--server 127.0.0.1:7001 --helper 127.0.0.1:7002 --client alice");
    print!("{}", line.path("-o", folder).run(root)?);
    Ok(())
}

/// Three parties, each a process with its own folder, speak over TLS; returns file and class of each
/// image, as the client prints them. Ports are whatever is free, which settings of a file yield to.
fn three_processes(
    binaries: &Binaries,
    root: &Path,
    folder: &Path,
    report: &Path,
) -> Result<Vec<(String, usize)>> {
    const FREE: &str = "--listen 127.0.0.1:0 --operations 127.0.0.1:0 --once";
    let party = |command: &str, role: &str| {
        let config = folder.join(role).join("party.toml");
        Line::new(&binaries.party, command).path("--config", &config)
    };
    let helper = party("serve", "helper").words(FREE).serve(root, "helper")?;
    let to_helper = format!("--helper {}", helper.address());
    let server = party("serve", "server").words(&to_helper).words(FREE);
    let server = server.serve(root, "server")?;
    let to_both = format!("--server {} {to_helper}", server.address());
    let doctor = party("doctor", "clients/alice").words(&to_both);
    print!("{}", doctor.run(root)?);
    let client = party("client", "clients/alice").words(&to_both);
    let client = client
        .words(&format!("--data {IMAGES} --labels {LABELS}"))
        .path("--report", report);
    let output = client.run(root)?;
    server.finish()?;
    helper.finish()?;
    print_shortened(&output);
    read_predictions(&output)
}

/// The client prints a line an image below a heading: the first few are enough here. An empty line
/// and a summary follow.
fn print_shortened(output: &str) {
    const SHOWN: usize = 4;
    let (images, summary) = output.split_once("\n\n").unwrap_or((output, ""));
    for line in images.lines().take(SHOWN) {
        println!("{line}");
    }
    println!("... and {} more\n", images.lines().count().saturating_sub(SHOWN));
    print!("{summary}");
}

/// File and class of each image: the first and the third column.
fn read_predictions(output: &str) -> Result<Vec<(String, usize)>> {
    let read = |line: &str| {
        let mut columns = line.split_whitespace();
        Some((columns.next()?.to_owned(), columns.nth(1)?.parse().ok()?))
    };
    let images = output.lines().skip(1).take_while(|line| !line.is_empty());
    let predictions: Vec<_> = images.filter_map(read).collect();
    if predictions.is_empty() {
        bail!("the client printed no prediction");
    }
    Ok(predictions)
}

fn read_labels(path: &Path) -> Result<BTreeMap<String, usize>> {
    let text = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let read = |line: &str| {
        let (file, class) = line.split_once(' ')?;
        Some((file.to_owned(), class.trim().parse().ok()?))
    };
    Ok(text.lines().filter_map(read).collect())
}

/// The first few images that the network gets right, and some that it gets wrong.
fn show_pictures(
    root: &Path,
    predictions: &[(String, usize)],
    labels: &BTreeMap<String, usize>,
) -> Result<()> {
    const A_ROW: usize = 4;
    const RIGHT: usize = 8;
    let wrong = |(file, class): &(String, usize)| labels.get(file).is_some_and(|label| label != class);
    let (wrong, right): (Vec<_>, Vec<_>) = predictions.iter().partition(|prediction| wrong(prediction));
    let chosen: Vec<_> = right
        .into_iter()
        .take(RIGHT)
        .chain(wrong.into_iter().take(A_ROW))
        .collect();
    println!("\nWhat the client sees:");
    for row in chosen.chunks(A_ROW) {
        let picture = |(file, class): &&(String, usize)| {
            let label = labels.get(file).context("an image has no label")?;
            let verdict = if label == class { "" } else { " WRONG" };
            let caption = format!("says {class}, is {label}{verdict}");
            Ok((Picture::open(&root.join(IMAGES).join(file))?, caption))
        };
        let row: Vec<_> = row.iter().map(picture).collect::<Result<_>>()?;
        println!("\n{}", side_by_side(&row).trim_end());
    }
    Ok(())
}

fn show_figures(
    report: &Value,
    predictions: &[(String, usize)],
    labels: &BTreeMap<String, usize>,
    clear: &str,
) {
    let right = predictions
        .iter()
        .filter(|(file, class)| labels.get(file) == Some(class))
        .count();
    let bytes = &report["bytes"];
    let median = &report["seconds"]["median"];
    let milliseconds = |phase: &str| 1e3 * median[phase].as_f64().unwrap_or(f64::NAN);
    println!("\nWhat it cost, an image:");
    println!(
        "  right         {right} of {} (in floats and in the clear: {clear})",
        predictions.len()
    );
    println!(
        "  time          {:.1} ms before the image is known, {:.1} ms with it (medians)",
        milliseconds("offline"),
        milliseconds("online")
    );
    println!(
        "  bytes         {}: {} before, {} with it",
        bytes["total"], bytes["offline"], bytes["online"]
    );
    println!("  round trips   {}", report["round_trips"]);
}

/// What each party holds and receives.
fn show_views(report: &Value, plans: &Path) -> Result<()> {
    let received = |link: &str| report["links"][link]["total"].as_u64().unwrap_or(0);
    let size = |name: &str| {
        let path = plans.join(name);
        fs::metadata(&path)
            .map(|file| file.len())
            .with_context(|| format!("{} is missing", path.display()))
    };
    println!("\nWhat each party saw:");
    println!(
        "  client   its plan ({} bytes, with a uniformly random share of the weights), its images;\n           \
         an image: {} masked bytes of the server, {} random ones of the helper; the logits",
        size("client.plan")?,
        received("server->client"),
        received("helper->client")
    );
    println!(
        "  server   its plan ({} bytes, with the weights);\n           \
         an image: {} bytes of the client, each masked anew; no logit",
        size("server.plan")?,
        received("client->server")
    );
    println!(
        "  helper   its plan ({} bytes, with a random seed), keys;\n           \
         an image: {} bytes of anybody, that is, nothing but \"begin\"",
        size("helper.plan")?,
        received("client->helper") + received("server->helper")
    );
    println!("  This holds while all three follow the protocol and no two of them pool what they know.");
    Ok(())
}
