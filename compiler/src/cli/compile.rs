//! `trefoil compile`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use trefoil_ir::plan::{ClientPlan, HelperPlan, SecretSeed, ServerPlan};
use trefoil_ir::text::printable;
use trefoil_runtime::data::{DataSet, Preprocess};
use trefoil_runtime::files::create_private_folder;
use zeroize::Zeroizing;

use super::budget::BudgetArguments;
use super::files::{OWNER_FILE, read_preprocess, write_private};
use super::print::say;
use super::progress::Calibrating;
use super::strict::Strict;
use crate::calibrate::profile::Profile;
use crate::driver::compile::PatchSource;
use crate::driver::{CompileOptions, Compiled, compile};
use crate::import::ImportOptions;
use crate::pass::{Assignment, Dump};

/// How ReLU6 is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Relu6 {
    /// With both signs.
    Exact,
    /// As a ReLU, with one sign; the model should have been tuned for it.
    AsRelu,
}

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The ONNX file.
    model: PathBuf,
    /// Images like those that will be classified, 100 or more; never those that accuracy is measured on.
    /// With --profile they may be left out: those that the profile was measured on are taken.
    #[arg(long, value_name = "DATA", required_unless_present = "profile")]
    calibration: Option<PathBuf>,
    /// At most so many calibration images.
    #[arg(long, value_name = "N")]
    calibration_images: Option<usize>,
    /// Preprocessing of images (TOML); it travels in the client's plan.
    #[arg(long, value_name = "P.toml")]
    preprocess: Option<PathBuf>,
    /// Patches of the ReLUs (JSON): {"NAME": [[h, w], ...], ...}.
    #[arg(long, value_name = "A.json", conflicts_with = "budget")]
    assignment: Option<PathBuf>,
    #[command(flatten)]
    budget: BudgetArguments,
    /// How ReLU6 is computed.
    #[arg(long, value_enum, default_value = "exact")]
    relu6: Relu6,
    /// Shape of the input where the model leaves it open.
    #[arg(long, value_name = "N,C,H,W", value_delimiter = ',')]
    input_shape: Option<Vec<usize>>,
    /// The output to compute, where the model has several.
    #[arg(long, value_name = "NAME")]
    output_name: Option<String>,
    /// File with at least 16 random bytes; the same secret gives the same plans. Keep it with the model.
    #[arg(long, value_name = "FILE")]
    secret: Option<PathBuf>,
    /// Names of the classes, one a line.
    #[arg(long, value_name = "FILE")]
    classes: Option<PathBuf>,
    /// Bits of room above the ranges that the calibration images show.
    #[arg(
        long,
        value_name = "BITS",
        default_value_t = 1.0,
        allow_negative_numbers = true
    )]
    head_room: f64,
    #[command(flatten)]
    strict: Strict,
    /// Does not ask tract for a second opinion on what the model computes.
    #[arg(long)]
    no_cross_check: bool,
    /// Writes the graph after this pass to DIR/after-PASS.tir; may be given several times.
    #[arg(long, value_name = "PASS")]
    dump_after: Vec<String>,
    /// Folder to write client.plan, server.plan, helper.plan, owner.plan, report.json and, where patches were
    /// chosen, assignment.json to.
    #[arg(short, value_name = "DIR")]
    output: PathBuf,
}

pub(super) fn run(arguments: Arguments) -> Result<()> {
    let folder = arguments.output.clone();
    create_private_folder(&folder)
        .with_context(|| format!("the folder {} cannot be made", folder.display()))?;
    let dumps = arguments.dump_after.clone();
    let strict = arguments.strict;
    let options = options(arguments)?;
    let names: Vec<&str> = dumps.iter().map(String::as_str).collect();
    let mut failed = None;
    let mut dump = Dump::after(&names, |pass, graph| {
        let path = folder.join(format!("after-{pass}.tir"));
        // Graphs name weights by their hashes, but biases and small tensors stand in them.
        if let Err(error) = write_private(&path, graph.to_text().as_bytes()) {
            failed = Some(error);
        }
    })?;
    let mut progress = Calibrating::new(options.calibration.len());
    let compiled = compile(&options, &mut dump, &mut progress)?;
    progress.0.clear();
    drop(dump);
    if let Some(error) = failed {
        return Err(error);
    }
    strict.check(compiled.report.breaches.images)?;
    write(&folder, &compiled)?;
    say!("{}", compiled.report.summary().trim_end());
    Ok(())
}

fn options(arguments: Arguments) -> Result<CompileOptions> {
    let preprocess = read_preprocess(arguments.preprocess.as_deref())?;
    let profile = arguments.budget.profile()?;
    let calibration = calibration(&arguments, profile.as_ref(), preprocess.as_ref().map(|(p, _)| p))?;
    let patches = match read_assignment(arguments.assignment.as_deref())? {
        Some(assignment) => PatchSource::Assignment(assignment),
        None => arguments.budget.source(profile),
    };
    Ok(CompileOptions {
        model: arguments.model,
        import: ImportOptions {
            input_shape: arguments.input_shape,
            output: arguments.output_name,
        },
        calibration,
        preprocess,
        patches,
        relu6_as_relu: arguments.relu6 == Relu6::AsRelu,
        head_room: arguments.head_room,
        classes: read_classes(arguments.classes.as_deref())?,
        cross_check: !arguments.no_cross_check,
        secret: read_secret(arguments.secret.as_deref())?,
    })
}

/// The calibration images: those that are named, or those of the profile.
fn calibration(
    arguments: &Arguments,
    profile: Option<&Profile>,
    preprocess: Option<&Preprocess>,
) -> Result<DataSet> {
    let (path, most) = match (&arguments.calibration, profile) {
        (Some(path), _) => (path.clone(), usize::MAX),
        (None, Some(profile)) => (PathBuf::from(&profile.header.data), profile.header.images),
        (None, None) => bail!("give images to calibrate with: --calibration DATA"),
    };
    let data = DataSet::open(&path, preprocess, None).with_context(|| match &arguments.calibration {
        Some(_) => "the calibration images cannot be used".to_owned(),
        None => format!(
            "the images of the profile, {}, cannot be used; give --calibration DATA",
            path.display()
        ),
    })?;
    let data = data.take(arguments.calibration_images.unwrap_or(most));
    if data.is_empty() {
        bail!("{} holds no image to calibrate with", path.display());
    }
    Ok(data)
}

pub(super) fn read_assignment(path: Option<&Path>) -> Result<Option<Assignment>> {
    let Some(path) = path else { return Ok(None) };
    let text = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let assignment = Assignment::parse(&text)
        .with_context(|| format!("the assignment {} cannot be used", path.display()))?;
    Ok(Some(assignment))
}

fn read_classes(path: Option<&Path>) -> Result<Vec<String>> {
    let Some(path) = path else { return Ok(Vec::new()) };
    let text = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(text
        .lines()
        .map(|line| printable(line.trim()).into_owned())
        .filter(|line| !line.is_empty())
        .collect())
}

/// Fewer random bytes could be guessed, and B with them.
const LEAST_SECRET: usize = 16;

pub(super) fn read_secret(path: Option<&Path>) -> Result<SecretSeed> {
    let mut seed = Zeroizing::new([0; 32]);
    match path {
        None => getrandom::fill(&mut *seed)
            .map_err(|e| anyhow::anyhow!("the system gives no random bytes: {e}"))?,
        Some(path) => {
            let bytes =
                fs::read(path).with_context(|| format!("the secret {} cannot be read", path.display()))?;
            let bytes = Zeroizing::new(bytes);
            if bytes.len() < LEAST_SECRET {
                bail!(
                    "the secret {} has {} bytes, and fewer than {LEAST_SECRET} can be guessed: write 32 random bytes, \
                     for example with `head -c 32 /dev/urandom`",
                    path.display(),
                    bytes.len()
                );
            }
            *seed = blake3::derive_key("trefoil 1 owner's secret", &bytes);
        }
    }
    Ok(SecretSeed::new(*seed))
}

fn write(folder: &Path, compiled: &Compiled) -> Result<()> {
    let plans = &compiled.plans;
    write_private(
        &folder.join("client.plan"),
        &ClientPlan::encode(&plans.public, &plans.client),
    )?;
    write_private(
        &folder.join("server.plan"),
        &ServerPlan::encode(&plans.public, &plans.server),
    )?;
    write_private(
        &folder.join("helper.plan"),
        &HelperPlan::encode(&plans.public, &plans.helper),
    )?;
    write_private(&folder.join(OWNER_FILE), &compiled.owner.encode())?;
    if let Some(assignment) = &compiled.assignment {
        write_private(&folder.join("assignment.json"), assignment.to_json().as_bytes())?;
    }
    let report = serde_json::to_vec_pretty(&compiled.report).context("the report cannot be written")?;
    write_private(&folder.join("report.json"), &report)
}
