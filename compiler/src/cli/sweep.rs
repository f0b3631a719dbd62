//! `trefoil sweep`.

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use trefoil_ir::Patch;
use trefoil_runtime::data::{DataSet, Preprocess};
use trefoil_runtime::files::create_private_folder;
use trefoil_runtime::terminal;

use super::budget::{Assign, Clips, patch};
use super::compile::{Relu6, read_secret};
use super::evaluate::Level;
use super::files::{read_preprocess, write_private};
use super::print::say;
use super::progress::Calibrating;
use super::strict::Strict;
use crate::budget::Goal;
use crate::calibrate::profile::Profile;
use crate::driver::CompileOptions;
use crate::driver::compile::PatchSource;
use crate::driver::plot::draw;
use crate::driver::sweep::{Measured, Point, SweepError, paired_difference, point, to_csv};
use crate::import::ImportOptions;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The ONNX file.
    model: PathBuf,
    /// What `trefoil calibrate` has measured; may be repeated, each gives its lines.
    #[arg(long = "profile", value_name = "PROFILE", required = true)]
    profiles: Vec<PathBuf>,
    /// The budgets, as `trefoil compile --budget` takes them; may be repeated.
    #[arg(
        long = "budget",
        value_name = "BUDGET",
        default_values = ["100%", "75%", "50%", "35%", "25%", "15%", "10%", "6%", "3%"]
    )]
    budgets: Vec<Goal>,
    /// How patches are chosen; may be repeated, each gives a line.
    #[arg(long, value_enum, default_values = ["additive"])]
    assign: Vec<Assign>,
    /// Uniform patches to compare with; may be repeated.
    #[arg(long, value_name = "H,W", value_parser = patch)]
    uniform: Vec<Patch>,
    /// Which signs of a clip (ReLU6) may share patches.
    #[arg(long, value_enum, default_value = "both")]
    clip_signs: Clips,
    /// Images to find ranges with; those of the profile if they are left out.
    #[arg(long, value_name = "DATA")]
    calibration: Option<PathBuf>,
    /// Images to measure accuracy on, none of which was calibrated with.
    #[arg(long, value_name = "DATA", requires = "labels")]
    data: Option<PathBuf>,
    /// Their labels.
    #[arg(long, value_name = "L", requires = "data")]
    labels: Option<PathBuf>,
    /// At most so many of them.
    #[arg(long, value_name = "N")]
    images: Option<usize>,
    /// In which arithmetic accuracy is measured: floats alone are fast, and 1 or 2 images in 1,000
    /// differ.
    #[arg(long, value_enum, default_value = "fixed")]
    level: Level,
    /// Preprocessing of images (TOML).
    #[arg(long, value_name = "P.toml")]
    preprocess: Option<PathBuf>,
    /// How ReLU6 is computed.
    #[arg(long, value_enum, default_value = "exact")]
    relu6: Relu6,
    /// Shape of the input where the model leaves it open.
    #[arg(long, value_name = "N,C,H,W", value_delimiter = ',')]
    input_shape: Option<Vec<usize>>,
    /// The output to compute, where the model has several.
    #[arg(long, value_name = "NAME")]
    output_name: Option<String>,
    /// Bits of room above the ranges that the calibration images show.
    #[arg(long, value_name = "BITS", default_value_t = 1.0)]
    head_room: f64,
    #[command(flatten)]
    strict: Strict,
    /// Folder to write each point's assignment to.
    #[arg(long, value_name = "DIR")]
    assignments: Option<PathBuf>,
    /// Picture of the trade-off to write.
    #[arg(long, value_name = "O.svg")]
    plot: Option<PathBuf>,
    /// Table to write.
    #[arg(short, value_name = "O.csv")]
    output: PathBuf,
}

pub(super) fn run(arguments: Arguments) -> Result<()> {
    let preprocess = read_preprocess(arguments.preprocess.as_deref())?;
    let profiles = named_profiles(&arguments.profiles)?;
    let labelled = labelled(&arguments, preprocess.as_ref().map(|(p, _)| p))?;
    if let Some(folder) = &arguments.assignments {
        create_private_folder(folder)
            .with_context(|| format!("the folder {} cannot be made", folder.display()))?;
    }
    let (mut points, mut said, mut beyond) = (Vec::new(), BTreeSet::new(), 0);
    let mut candidates = candidates(&arguments, &profiles);
    while let Some((series, patches)) = candidates.pop_front() {
        let is_uniform = matches!(patches, PatchSource::Uniform { .. });
        let options = options(&arguments, &profiles[0].1, preprocess.clone(), patches)?;
        let mut progress = Calibrating::new(options.calibration.len());
        let in_emulator = arguments.level == Level::Fixed;
        let measured = point(&options, &series, labelled.as_ref(), in_emulator, &mut progress);
        progress.0.clear();
        let Measured {
            mut point,
            compiled,
            warnings,
        } = match measured {
            Ok(measured) => measured,
            // A budget that cannot be met is a gap in the line; anything else ends the sweep.
            Err(SweepError::Compile(error)) if is_out_of_reach(&error) => {
                say!("{series}: {:#}", anyhow!(error));
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let first = points
            .iter()
            .find(|p: &&Point| p.series != point.series && same_cost(p, &point));
        point.difference = first.and_then(|first| paired_difference(&point.right, &first.right));
        say!("{}", line(&point, labelled.as_ref()));
        beyond += compiled.report.breaches.images + point.breaches.unwrap_or(0);
        for warning in warnings {
            if said.insert(warning.clone()) {
                terminal::warning(format_args!("{} {}: {warning}", point.series, point.goal));
            }
        }
        if let (Some(folder), Some(assignment)) = (&arguments.assignments, &compiled.assignment) {
            let name = format!("{series}-{}.json", point.goal).replace(['%', '/', ' ', ':'], "_");
            write_private(&folder.join(name), assignment.to_json().as_bytes())?;
        }
        if is_uniform {
            // What the first strategy makes of as many DReLUs.
            let goal = Goal::Relus(point.drelus as u64);
            candidates.push_front(budget(&arguments, &profiles[0], arguments.assign[0], goal));
        }
        points.push(point);
        write_private(&arguments.output, to_csv(&points).as_bytes())?;
    }
    if points.is_empty() {
        bail!("none of the budgets can be met");
    }
    plot(arguments.plot.as_deref(), &points)?;
    arguments.strict.check(beyond)
}

fn is_out_of_reach(error: &crate::driver::CompileError) -> bool {
    use crate::driver::CompileError;
    use crate::driver::assign::AssignError;
    matches!(error, CompileError::Budget(AssignError::Infeasible { .. }))
}

/// Whether two points were given the same budget, or came to the same DReLUs.
fn same_cost(one: &Point, other: &Point) -> bool {
    one.goal == other.goal || one.drelus == other.drelus
}

/// Every line's points, budgets in the user's order.
fn candidates(arguments: &Arguments, profiles: &[Named]) -> VecDeque<Candidate> {
    let mut candidates = VecDeque::new();
    for profile in profiles {
        for assign in &arguments.assign {
            for goal in &arguments.budgets {
                candidates.push_back(budget(arguments, profile, *assign, *goal));
            }
        }
    }
    for patch in &arguments.uniform {
        let patches = PatchSource::Uniform {
            patch: *patch,
            goal: None,
        };
        candidates.push_back(("uniform".to_owned(), patches));
    }
    candidates
}

/// The name of a line, and the patches of one of its points.
type Candidate = (String, PatchSource);

/// A profile, with what its lines are called beside their strategy: nothing, if there is only one.
type Named = (String, Arc<Profile>);

fn named_profiles(paths: &[PathBuf]) -> Result<Vec<Named>> {
    let name = |path: &PathBuf| match paths {
        [_] => String::new(),
        _ => format!("{}:", path.file_name().unwrap_or_default().to_string_lossy()),
    };
    let open = |path: &PathBuf| Ok((name(path), Arc::new(Profile::open(path)?)));
    paths.iter().map(open).collect()
}

fn budget(arguments: &Arguments, (name, profile): &Named, assign: Assign, goal: Goal) -> Candidate {
    let patches = PatchSource::Budget {
        profile: Arc::clone(profile),
        goal,
        strategy: assign.into(),
        clips: arguments.clip_signs.into(),
    };
    (format!("{name}{}", format!("{assign:?}").to_lowercase()), patches)
}

fn options(
    arguments: &Arguments,
    profile: &Profile,
    preprocess: Option<(Preprocess, String)>,
    patches: PatchSource,
) -> Result<CompileOptions> {
    let (path, most) = match &arguments.calibration {
        Some(path) => (path.clone(), usize::MAX),
        None => (PathBuf::from(&profile.header.data), profile.header.images),
    };
    let calibration = DataSet::open(&path, preprocess.as_ref().map(|(p, _)| p), None)
        .with_context(|| format!("the calibration images {} cannot be used", path.display()))?;
    Ok(CompileOptions {
        cross_check: false,
        model: arguments.model.clone(),
        import: ImportOptions {
            input_shape: arguments.input_shape.clone(),
            output: arguments.output_name.clone(),
        },
        calibration: calibration.take(most),
        preprocess,
        patches,
        relu6_as_relu: arguments.relu6 == Relu6::AsRelu,
        head_room: arguments.head_room,
        classes: Vec::new(),
        secret: read_secret(None)?,
    })
}

fn labelled(arguments: &Arguments, preprocess: Option<&Preprocess>) -> Result<Option<DataSet>> {
    let Some(path) = &arguments.data else {
        return Ok(None);
    };
    let data = DataSet::open(path, preprocess, arguments.labels.as_deref())?;
    Ok(Some(data.take(arguments.images.unwrap_or(usize::MAX))))
}

fn line(point: &Point, labelled: Option<&DataSet>) -> String {
    let top1 =
        |x: Option<f64>, name: &str| x.map_or_else(String::new, |x| format!("  {name} {:.2}%", 100.0 * x));
    let breaches = |images: usize| {
        format!(
            "  breaches {images} of {} images",
            labelled.map_or(0, DataSet::len)
        )
    };
    format!(
        "{:9} {:>12}  {:>6.2}% of DReLUs  {:>11} bytes ({} online)  {:.3} s on lan  distortion {:.3e}{}{}{}{}",
        point.series,
        point.goal,
        100.0 * point.share,
        point.bytes,
        point.online_bytes,
        point.seconds_lan,
        point.distortion,
        top1(point.top1_f32, "f32"),
        top1(point.top1, "fixed"),
        point
            .difference
            .map_or_else(String::new, |(d, half)| format!("  {d:+.2} +- {half:.2}")),
        point.breaches.map_or_else(String::new, breaches)
    )
}

fn plot(path: Option<&Path>, points: &[Point]) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    let svg = draw(points).map_err(|e| anyhow!(e))?;
    write_private(path, svg.as_bytes())
}
