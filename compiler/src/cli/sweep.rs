//! `trefoil sweep`.

mod shown;

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use trefoil_ir::Patch;
use trefoil_ir::text::printable;
use trefoil_runtime::data::{DataSet, Preprocess};
use trefoil_runtime::files::create_private_folder;
use trefoil_runtime::terminal;

use self::shown::Shown;
use super::budget::{Assign, Clips, patch};
use super::compile::read_secret;
use super::evaluate::Level;
use super::files::{check_writable, read_preprocess, write_private};
use super::images::{self, Calibration};
use super::import::ImportArguments;
use super::limits::LimitArguments;
use super::lowering::{LoweringArguments, Relu6};
use super::progress::Calibrating;
use super::staging::Staging;
use super::strict::Strict;
use super::{DATA, Format, NUMBERS, OUTPUT, PATCHES, say_json};
use crate::budget::Goal;
use crate::budget::rules::Rules;
use crate::driver::compile::PatchSource;
use crate::driver::plot::{Axis, draw};
use crate::driver::sweep::{Measured, Point, SweepError, paired_difference, point, to_csv};
use crate::driver::{CompileError, CompileOptions};
use crate::patches::Assignment;
use crate::profile::Profile;

/// What the plot is drawn over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PlotX {
    /// The share of DReLUs.
    Drelus,
    /// Bytes an image.
    Bytes,
    /// Bytes an image, online.
    OnlineBytes,
    /// Predicted seconds an image on lan.
    #[value(alias = "seconds-lan")]
    Seconds,
    /// Predicted seconds an image on wan.
    SecondsWan,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  trefoil sweep resnet.onnx --profile profile --preprocess p.toml -o sweep.csv
  trefoil sweep resnet.onnx --profile profile --preprocess p.toml --data test/ --labels labels.txt \\
      --assign additive --assign joint --uniform 2x2 -o sweep.csv --plot sweep.svg --plot-x online-bytes")]
pub(super) struct Arguments {
    /// The ONNX file.
    model: PathBuf,
    /// Images to find ranges with; those of the profile if they are left out.
    #[arg(long, value_name = "DATA", help_heading = DATA)]
    calibration: Option<PathBuf>,
    /// At most so many calibration images.
    #[arg(long, value_name = "N", value_parser = images::count(), help_heading = DATA)]
    calibration_images: Option<usize>,
    /// Images to measure accuracy on, none of which was calibrated with.
    #[arg(long, value_name = "DATA", requires = "labels", help_heading = DATA)]
    data: Option<PathBuf>,
    /// Their labels.
    #[arg(long, value_name = "L", requires = "data", help_heading = DATA)]
    labels: Option<PathBuf>,
    /// At most so many of them.
    #[arg(long, value_name = "N", value_parser = images::count(), help_heading = DATA)]
    images: Option<usize>,
    /// Preprocessing of images (TOML).
    #[arg(long, value_name = "P.toml", help_heading = DATA)]
    preprocess: Option<PathBuf>,
    #[command(flatten)]
    import: ImportArguments,
    /// What `trefoil calibrate` has measured; may be repeated, each gives its lines.
    #[arg(long = "profile", value_name = "PROFILE", required = true, help_heading = PATCHES)]
    profiles: Vec<PathBuf>,
    /// The budgets, as `trefoil compile --budget` takes them; may be repeated.
    #[arg(
        long = "budget",
        value_name = "BUDGET",
        default_values = ["100%", "75%", "50%", "35%", "25%", "15%", "10%", "6%", "3%"],
        help_heading = PATCHES
    )]
    budgets: Vec<Goal>,
    /// How patches are chosen; may be repeated, each gives a line.
    #[arg(long, value_enum, default_values = ["additive"], help_heading = PATCHES)]
    assign: Vec<Assign>,
    /// Uniform patches to compare with; may be repeated.
    #[arg(long, value_name = "HxW", value_parser = patch, help_heading = PATCHES)]
    uniform: Vec<Patch>,
    /// Which signs of a clip (ReLU6) may share patches.
    #[arg(long, value_enum, default_value = "both", help_heading = PATCHES)]
    clip_signs: Clips,
    /// In which arithmetic accuracy is measured: floats alone are fast, and 1 or 2 images in 1,000
    /// differ.
    #[arg(long, value_enum, default_value = "fixed", help_heading = NUMBERS)]
    level: Level,
    #[command(flatten)]
    lowering: LoweringArguments,
    #[command(flatten)]
    strict: Strict,
    #[command(flatten)]
    limits: LimitArguments,
    /// Folder to write each point's assignment to.
    #[arg(long, value_name = "DIR", help_heading = OUTPUT)]
    assignments: Option<PathBuf>,
    /// Picture of the trade-off to write.
    #[arg(long, value_name = "O.svg", help_heading = OUTPUT)]
    plot: Option<PathBuf>,
    /// What the picture has accuracy over.
    #[arg(long, value_enum, default_value = "drelus", requires = "plot", help_heading = OUTPUT)]
    plot_x: PlotX,
    /// How to print.
    #[arg(long, value_enum, default_value = "text", help_heading = OUTPUT)]
    format: Format,
    /// Table to write.
    #[arg(short, long = "out", alias = "output", value_name = "O.csv", help_heading = OUTPUT)]
    output: PathBuf,
}

pub(super) fn run(arguments: Arguments) -> Result<()> {
    check_outputs(&arguments)?;
    let preprocess = read_preprocess(arguments.preprocess.as_deref())?;
    let profiles = named_profiles(&arguments.profiles)?;
    let labelled = labelled(&arguments, preprocess.as_ref().map(|(p, _)| p))?;
    let mut points = Vec::new();
    let mut said = BTreeSet::new();
    let mut beyond = Beyond::default();
    let mut candidates = candidates(&arguments, &profiles);
    let mut shown = Shown::new(&arguments, labelled.as_ref(), &candidates);
    while let Some((series, patches)) = candidates.pop_front() {
        let is_uniform = matches!(patches, PatchSource::Uniform { .. });
        let options = options(&arguments, &profiles[0].1, preprocess.clone(), patches)?;
        let Some(measured) = measure(&options, &series, labelled.as_ref(), arguments.level, &shown)? else {
            continue;
        };
        let Measured {
            mut point,
            compiled,
            warnings,
        } = measured;
        let first = points
            .iter()
            .find(|p: &&Point| p.series != point.series && same_cost(p, &point));
        let difference = first.and_then(|first| paired_difference(&point.right, &first.right));
        (point.difference, point.half_width) = difference.unzip();
        if let Some(folder) = &arguments.assignments {
            write_assignment(folder, &point, compiled.assignment.as_ref())?;
        }
        if is_uniform {
            // What the first strategy makes of as many DReLUs.
            let goal = Goal::Relus(point.drelus as u64);
            candidates.push_front(budget(&arguments, &profiles[0], arguments.assign[0], goal));
        }
        shown.point(&point, candidates.len())?;
        beyond.see(&point, compiled.report.breaches.images);
        for warning in warnings {
            if said.insert(warning.clone()) {
                terminal::warning(format_args!("{} {}: {warning}", point.series, point.goal));
            }
        }
        points.push(point);
        write_private(&arguments.output, to_csv(&points)?.as_bytes())?;
    }
    if points.is_empty() {
        bail!("none of the budgets can be met");
    }
    if arguments.format == Format::Json {
        say_json(serde_json::json!({ "points": points }))?;
    }
    plot(&arguments, &points)?;
    arguments.strict.check_at(beyond.images, &beyond.point)
}

/// Measures a point. `None` if its budget cannot be met, which is a gap in the line; anything else ends
/// the sweep.
fn measure(
    options: &CompileOptions,
    series: &str,
    labelled: Option<&DataSet>,
    level: Level,
    shown: &Shown,
) -> Result<Option<Measured>> {
    let mut progress = Calibrating::new(options.calibration.len());
    let measured = point(options, series, labelled, level == Level::Fixed, &mut progress);
    progress.0.clear();
    match measured {
        Ok(measured) => Ok(Some(measured)),
        Err(SweepError::Compile(error)) if is_out_of_reach(&error) => {
            shown.gap(series, &error)?;
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// The point with most images of which a value left its range: every point runs the same ones.
#[derive(Debug, Default)]
struct Beyond {
    images: usize,
    /// Its line and budget.
    point: String,
}

impl Beyond {
    /// Takes in a point, with so many such images among those that it was calibrated with.
    fn see(&mut self, point: &Point, calibration: usize) {
        let images = calibration + point.breaches.unwrap_or(0);
        if images > self.images {
            *self = Self {
                images,
                point: format!("{} {}", point.series, point.goal),
            };
        }
    }
}

/// A sweep may take hours: what cannot be written at its end is better said now.
fn check_outputs(arguments: &Arguments) -> Result<()> {
    check_writable(&arguments.output)?;
    arguments.plot.as_deref().map_or(Ok(()), check_writable)?;
    arguments.assignments.as_deref().map_or(Ok(()), Staging::check)
}

/// Writes the patches of a point, if it has any.
fn write_assignment(folder: &Path, point: &Point, assignment: Option<&Assignment>) -> Result<()> {
    let Some(assignment) = assignment else {
        return Ok(());
    };
    create_private_folder(folder)
        .with_context(|| format!("the folder {} cannot be made", folder.display()))?;
    let name = format!("{}-{}.json", point.series, point.goal).replace(['%', '/', ' ', ':'], "_");
    write_private(&folder.join(name), assignment.to_json().as_bytes())
}

fn is_out_of_reach(error: &CompileError) -> bool {
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
    let mut profiles = Vec::with_capacity(paths.len());
    for (path, name) in paths.iter().zip(names(paths)?) {
        profiles.push((name, Arc::new(Profile::open(path)?)));
    }
    Ok(profiles)
}

/// What tells profiles apart: the names of their folders, or their whole paths where these repeat.
fn names(paths: &[PathBuf]) -> Result<Vec<String>> {
    if let [_] = paths {
        return Ok(vec![String::new()]);
    }
    let mut names = Vec::with_capacity(paths.len());
    for path in paths {
        let folder = path.file_name();
        let alike = paths.iter().filter(|other| other.file_name() == folder).count();
        let name = match folder {
            Some(folder) if alike == 1 => folder.to_string_lossy().into_owned(),
            _ => path.to_string_lossy().replace('/', "_"),
        };
        names.push(format!("{}:", printable(&name)));
    }
    match (1..names.len()).find(|&at| names[..at].contains(&names[at])) {
        None => Ok(names),
        Some(at) => bail!(
            "two profiles are called {}: give each --profile once, under paths that tell them apart",
            paths[at].display()
        ),
    }
}

fn budget(arguments: &Arguments, (name, profile): &Named, assign: Assign, goal: Goal) -> Candidate {
    let patches = PatchSource::Budget {
        profile: Arc::clone(profile),
        goals: vec![goal],
        rules: Rules::default(),
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
    let images = match &arguments.calibration {
        Some(path) => Calibration::Named(path),
        None => Calibration::OfProfile(profile),
    };
    let calibration = images.open(
        arguments.calibration_images,
        preprocess.as_ref().map(|(preprocess, _)| preprocess),
    )?;
    Ok(CompileOptions {
        model: arguments.model.clone(),
        import: arguments.import.options(),
        cross_check: false,
        calibration,
        preprocess,
        patches,
        relu6_as_relu: arguments.lowering.relu6 == Relu6::AsRelu,
        head_room: arguments.lowering.head_room,
        link: arguments.lowering.link(&arguments.budgets)?,
        classes: Vec::new(),
        secret: read_secret(None)?,
        limits: arguments.limits.limits(),
    })
}

fn labelled(arguments: &Arguments, preprocess: Option<&Preprocess>) -> Result<Option<DataSet>> {
    let Some(path) = &arguments.data else {
        return Ok(None);
    };
    let data = DataSet::open(path, preprocess, arguments.labels.as_deref())?;
    Ok(Some(data.take(arguments.images.unwrap_or(usize::MAX))))
}

fn plot(arguments: &Arguments, points: &[Point]) -> Result<()> {
    let Some(path) = &arguments.plot else {
        return Ok(());
    };
    let axis = match arguments.plot_x {
        PlotX::Drelus => Axis::Drelus,
        PlotX::Bytes => Axis::Bytes,
        PlotX::OnlineBytes => Axis::OnlineBytes,
        PlotX::Seconds => Axis::SecondsLan,
        PlotX::SecondsWan => Axis::SecondsWan,
    };
    let svg = draw(points, axis)?;
    write_private(path, svg.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_of_one_name_are_told_apart() {
        let of = |paths: &[&str]| names(&paths.iter().map(PathBuf::from).collect::<Vec<_>>()).ok();
        let named = |names: &[&str]| Some(names.iter().map(|&name| name.to_owned()).collect());
        assert_eq!(of(&["a/profile"]), named(&[""]));
        assert_eq!(of(&["a/one", "b/two"]), named(&["one:", "two:"]));
        assert_eq!(
            of(&["a/profile", "/b/profile", "c"]),
            named(&["a_profile:", "_b_profile:", "c:"])
        );
        assert_eq!(of(&["..", "evil\u{1b}[2J"]), named(&["..:", "evil\\u{1b}[2J:"]));
        assert_eq!(of(&["a/profile", "a/profile"]), None);
        assert_eq!(of(&["a/b", "c/b", "a_b"]), None);
    }

    /// Every point runs the same images: to add them up would count each many times.
    #[test]
    fn the_point_with_most_images_beyond_their_ranges_is_named() {
        let mut beyond = Beyond::default();
        for (goal, breaches, calibration) in [("75%", Some(2), 0), ("50%", Some(3), 1), ("25%", None, 4)] {
            let point = Point {
                series: "joint".to_owned(),
                goal: goal.to_owned(),
                breaches,
                ..Point::default()
            };
            beyond.see(&point, calibration);
        }
        assert_eq!((beyond.images, beyond.point.as_str()), (4, "joint 50%"));
    }
}
