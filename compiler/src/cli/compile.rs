//! `trefoil compile`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use trefoil_ir::plan::{ClientPlan, HelperPlan, SecretSeed, ServerPlan};
use trefoil_ir::text::printable;
use trefoil_runtime::data::{DataSet, Preprocess};
use trefoil_runtime::files::create_private_folder;
use zeroize::Zeroizing;

use super::budget::BudgetArguments;
use super::files::{OWNER_FILE, plan_id, read_assignment, read_preprocess, write_private};
use super::images::{self, Calibration};
use super::import::ImportArguments;
use super::limits::LimitArguments;
use super::lowering::{LoweringArguments, Relu6};
use super::print::say;
use super::progress::Calibrating;
use super::staging::Staging;
use super::strict::Strict;
use super::{DATA, NUMBERS, OUTPUT, PATCHES};
use crate::driver::compile::PatchSource;
use crate::driver::{CompileOptions, Compiled, compile};
use crate::import;
use crate::pass::Dump;
use crate::profile::Profile;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  trefoil compile resnet.onnx --calibration images/ --preprocess p.toml --secret secret -o plans
  trefoil compile resnet.onnx --profile profile --budget 15% --preprocess p.toml -o plans15
  trefoil compile resnet.onnx --calibration images/ --preprocess p.toml --uniform 2x2 -o plans2x2")]
pub(super) struct Arguments {
    /// The ONNX file.
    model: PathBuf,
    /// Images like those that will be classified, 100 or more; never those that accuracy is measured on.
    /// With --profile they may be left out: those that the profile was measured on are taken.
    #[arg(long, alias = "data", value_name = "DATA", help_heading = DATA)]
    calibration: Option<PathBuf>,
    /// At most so many calibration images.
    #[arg(
        long,
        alias = "images",
        value_name = "N",
        value_parser = images::count(),
        help_heading = DATA
    )]
    calibration_images: Option<usize>,
    /// Preprocessing of images (TOML); it travels in the client's plan.
    #[arg(long, value_name = "P.toml", help_heading = DATA)]
    preprocess: Option<PathBuf>,
    /// Names of the classes, one a line.
    #[arg(long, value_name = "FILE", help_heading = DATA)]
    classes: Option<PathBuf>,
    #[command(flatten)]
    import: ImportArguments,
    /// Patches of the ReLUs (JSON): {"NAME": [[h, w], ...], ...}.
    #[arg(long, value_name = "A.json", conflicts_with = "budgets", help_heading = PATCHES)]
    assignment: Option<PathBuf>,
    #[command(flatten)]
    budget: BudgetArguments,
    #[command(flatten)]
    lowering: LoweringArguments,
    #[command(flatten)]
    strict: Strict,
    /// Does not ask tract for a second opinion on what the model computes.
    #[arg(long, help_heading = NUMBERS)]
    no_cross_check: bool,
    #[command(flatten)]
    limits: LimitArguments,
    /// File with at least 16 random bytes, as `trefoil secret` writes it; the same secret gives the same
    /// plans. Keep it with the model.
    #[arg(long, value_name = "FILE", help_heading = OUTPUT)]
    secret: Option<PathBuf>,
    /// Writes the graph after this pass to DIR/after-PASS.tir; may be given several times.
    #[arg(long, value_name = "PASS", help_heading = OUTPUT)]
    dump_after: Vec<String>,
    /// Replaces the plans that the folder holds.
    #[arg(long, help_heading = OUTPUT)]
    force: bool,
    /// Folder to write client.plan, server.plan, helper.plan, owner.plan, report.json and, where patches were
    /// chosen, assignment.json to.
    #[arg(short, long = "out", alias = "output", value_name = "DIR", help_heading = OUTPUT)]
    output: PathBuf,
}

pub(super) fn run(arguments: Arguments) -> Result<()> {
    let folder = arguments.output.clone();
    check_folder(&folder, arguments.force)?;
    let dumps = arguments.dump_after.clone();
    let strict = arguments.strict;
    let options = options(arguments)?;
    let names: Vec<&str> = dumps.iter().map(String::as_str).collect();
    let mut failed = None;
    let mut dump = Dump::after(&names, |pass, graph| {
        let path = folder.join(format!("after-{pass}.tir"));
        // A dump is of use when a later pass fails: it does not wait for the plans. Graphs name
        // weights by their hashes, but biases and small tensors stand in them.
        let made =
            create_private_folder(&folder).with_context(|| format!("{} cannot be made", folder.display()));
        if let Err(error) = made.and_then(|()| write_private(&path, graph.to_text().as_bytes())) {
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
    say!("\n{}", next_steps(&folder));
    Ok(())
}

/// The names of the plans within their folder.
const PLANS: [&str; 4] = ["client.plan", "server.plan", "helper.plan", OWNER_FILE];

/// What else is written there.
const BESIDE: [&str; 2] = [REPORT_FILE, ASSIGNMENT_FILE];

const REPORT_FILE: &str = "report.json";
const ASSIGNMENT_FILE: &str = "assignment.json";

/// Refuses a folder that holds plans, which may be with their parties already, or a file in whose place
/// one would be written, and a folder that cannot be written.
fn check_folder(folder: &Path, force: bool) -> Result<()> {
    if force {
        return Staging::check(folder);
    }
    let plans = held(folder, &PLANS);
    if !plans.is_empty() {
        let id = plans
            .iter()
            .find_map(|path| plan_id(&import::read(path).ok()?).ok());
        let id = id.map_or_else(
            || "that cannot be read".to_owned(),
            |id| id.to_string()[..16].to_owned(),
        );
        bail!(
            "{} holds plans already (plan {id}): give another folder with -o, or --force to replace them; each party \
             that holds one of them must then be given its new one",
            folder.display()
        );
    }
    if let Some(path) = held(folder, &BESIDE).first() {
        bail!(
            "{} is there already: give another folder with -o, or --force to replace it",
            path.display()
        );
    }
    Staging::check(folder)
}

/// The files of these names that the folder holds.
fn held(folder: &Path, names: &[&str]) -> Vec<PathBuf> {
    let paths = names.iter().map(|name| folder.join(name));
    paths.filter(|path| path.exists()).collect()
}

/// What was written, and what is to be done with it.
fn next_steps(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "wrote {folder}/client.plan, server.plan and helper.plan: give each to its own party and to nobody else\n\
         keep  {folder}/owner.plan, the secret and the model to yourself: they hold the weights\n\
         next  trefoil evaluate {folder} --data DATA --labels LABELS, then trefoil-party local --plans {folder} --data DATA"
    )
}

fn options(arguments: Arguments) -> Result<CompileOptions> {
    let preprocess = read_preprocess(arguments.preprocess.as_deref())?;
    let profile = arguments.budget.profile()?;
    let calibration = calibration(&arguments, profile.as_ref(), preprocess.as_ref().map(|(p, _)| p))?;
    let assignment = arguments.assignment.as_deref().map(read_assignment);
    let patches = match assignment.transpose()? {
        Some(assignment) => PatchSource::Assignment(assignment),
        None => arguments.budget.source(profile),
    };
    Ok(CompileOptions {
        model: arguments.model,
        import: arguments.import.options(),
        calibration,
        preprocess,
        patches,
        relu6_as_relu: arguments.lowering.relu6 == Relu6::AsRelu,
        head_room: arguments.lowering.head_room,
        link: arguments.lowering.link(arguments.budget.goals())?,
        classes: read_classes(arguments.classes.as_deref())?,
        cross_check: !arguments.no_cross_check,
        secret: read_secret(arguments.secret.as_deref())?,
        limits: arguments.limits.limits(),
    })
}

/// The calibration images: those that are named, or those of the profile.
fn calibration(
    arguments: &Arguments,
    profile: Option<&Profile>,
    preprocess: Option<&Preprocess>,
) -> Result<DataSet> {
    let images = match (&arguments.calibration, profile) {
        (Some(path), _) => Calibration::Named(path),
        (None, Some(profile)) => Calibration::OfProfile(profile),
        (None, None) => super::usage(
            "compile",
            "images to calibrate with are required: give --calibration <DATA>, or with --budget the --profile <PROFILE> \
             that `trefoil calibrate` wrote, whose images are then taken",
        ),
    };
    images.open(arguments.calibration_images, preprocess)
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
            let bytes = fs::read(path).with_context(|| {
                format!(
                    "the secret \"{}\" cannot be read: `trefoil secret -o FILE` writes one",
                    path.display()
                )
            })?;
            let bytes = Zeroizing::new(bytes);
            if bytes.len() < LEAST_SECRET {
                bail!(
                    "the secret {} has {} bytes, and fewer than {LEAST_SECRET} can be guessed: write another with \
                     `trefoil secret -o FILE`",
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
    let replaces_plans = folder.join(OWNER_FILE).is_file();
    let report = serde_json::to_vec_pretty(&compiled.report).context("the report cannot be written")?;
    let staging = Staging::new(folder)?;
    staging.write(
        "client.plan",
        &Zeroizing::new(ClientPlan::encode(&plans.public, &plans.client)),
    )?;
    staging.write(
        "server.plan",
        &Zeroizing::new(ServerPlan::encode(&plans.public, &plans.server)),
    )?;
    staging.write(
        "helper.plan",
        &Zeroizing::new(HelperPlan::encode(&plans.public, &plans.helper)),
    )?;
    staging.write(OWNER_FILE, &Zeroizing::new(compiled.owner.encode()))?;
    staging.write(REPORT_FILE, &report)?;
    if let Some(assignment) = &compiled.assignment {
        staging.write(ASSIGNMENT_FILE, assignment.to_json().as_bytes())?;
    }
    staging.finish()?;
    if replaces_plans && compiled.assignment.is_none() {
        // That of the plans that were replaced would be taken for these ones'.
        let _ = fs::remove_file(folder.join(ASSIGNMENT_FILE));
    }
    Ok(())
}
