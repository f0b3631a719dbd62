//! From an ONNX file and calibration images to three plans.

use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;
use trefoil_ir::Patch;
use trefoil_ir::Verified;
use trefoil_ir::mpc::time::LinkModel;
use trefoil_ir::nn::Graph;
use trefoil_ir::plan::{Owner, SecretSeed};
use trefoil_runtime::amount::counted;
use trefoil_runtime::data::{DataError, DataSet, Preprocess};

use super::assign::{AssignError, AssignOptions, BudgetReport, Strategy, assign, uniform};
use super::breaches::breaches_of;
use super::images::batches;
use super::limits::{LimitError, Limits, Run};
use super::report::Report;
use crate::budget::Goal;
use crate::budget::menu::ClipSigns;
use crate::budget::rounds::{link_of, shorten};
use crate::budget::rules::Rules;
use crate::import::{self, ImportError, ImportOptions, Imported};
use crate::lower::{LowerError, LowerOptions, Lowered, lower};
use crate::pass::{self, Dump, Foreseen, PassFailure, PassOptions};
use crate::patches::{self, Assignment, AssignmentError};
use crate::profile::Profile;
use crate::ranges::{Calibration, CalibrationError, Calibrator, Probing};
use crate::second_opinion::{self, Disagreement, Opinion};
use crate::split::{Plans, split};

/// The options of a compilation.
pub struct CompileOptions {
    /// Path of the ONNX file.
    pub model: PathBuf,
    /// Choices that the ONNX file leaves open.
    pub import: ImportOptions,
    /// Calibration images.
    pub calibration: DataSet,
    /// Preprocessing of images, with its text, which travels in the client's plan.
    pub preprocess: Option<(Preprocess, String)>,
    /// Where the patches of the ReLUs come from.
    pub patches: PatchSource,
    /// Whether ReLU6 becomes ReLU.
    pub relu6_as_relu: bool,
    /// Bits of room above the calibrated ranges.
    pub head_room: f64,
    /// The network between the parties, if it is known: gates are done in one round where that is quicker there.
    pub link: Option<LinkModel>,
    /// Names of the classes.
    pub classes: Vec<String>,
    /// Whether tract is asked for a second opinion on the imported network.
    pub cross_check: bool,
    /// The secret from which B comes.
    pub secret: SecretSeed,
    /// Memory and work that the compilation may take.
    pub limits: Limits,
}

impl CompileOptions {
    /// The link for which gates are chosen: the one that is named, or that of a budget in seconds.
    fn link(&self) -> Option<LinkModel> {
        let of_budget = match &self.patches {
            PatchSource::Budget { goals, rules, .. } => link_of(goals, &rules.caps),
            PatchSource::Uniform { goal, .. } => link_of(goal.as_slice(), &[]),
            PatchSource::Model | PatchSource::Assignment(_) => None,
        };
        self.link.or(of_budget)
    }
}

/// Where the patches of the ReLUs come from.
#[derive(Debug, Default)]
pub enum PatchSource {
    /// The model carries them, or else every pixel keeps its own sign.
    #[default]
    Model,
    /// The user wrote them down.
    Assignment(Assignment),
    /// They are chosen for a budget.
    Budget {
        /// The measured distortions.
        profile: Arc<Profile>,
        /// What the network may cost, at least one of them.
        goals: Vec<Goal>,
        /// What is said of single layers.
        rules: Rules,
        /// How patches are chosen.
        strategy: Strategy,
        /// Which signs of clips may share patches.
        clips: ClipSigns,
    },
    /// One patch for all channels of all ReLUs.
    Uniform {
        /// The patch, cut to smaller maps.
        patch: Patch,
        /// The budget that it must not exceed, if there is one.
        goal: Option<Goal>,
    },
}

/// Why a model cannot be compiled.
#[derive(Debug, Error)]
pub enum CompileError {
    /// The ONNX file.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The second opinion.
    #[error("the imported network is not to be trusted")]
    SecondOpinion(#[from] Box<Disagreement>),
    /// Memory or work.
    #[error("the network is too large to be compiled here")]
    Limit(#[from] LimitError),
    /// A pass.
    #[error("the network cannot be transformed")]
    Pass(#[from] PassFailure),
    /// The assignment, on the network as it was imported.
    #[error("the assignment cannot be recorded")]
    Assignment(#[from] AssignmentError),
    /// The calibration images.
    #[error("the calibration data cannot be used")]
    Data(#[from] DataError),
    /// The calibration.
    #[error("the calibration failed")]
    Calibration(#[from] CalibrationError),
    /// Lowering.
    #[error("the network cannot be lowered to a three-party program")]
    Lower(#[from] LowerError),
    /// The budget.
    #[error("the budget cannot be spent")]
    Budget(#[from] AssignError),
    /// As many names of classes as classes are needed.
    #[error("{given} names of classes are given, and the network has {needed}: give one a line, in order")]
    Classes {
        /// How many are given.
        given: usize,
        /// How many are needed.
        needed: usize,
    },
}

/// A compilation.
pub struct Compiled {
    /// The plans, not yet encoded.
    pub plans: Plans,
    /// The owner's record.
    pub owner: Owner,
    /// What it costs: the contents of `report.json`.
    pub report: Report,
    /// The patches of the ReLUs, if any were chosen.
    pub assignment: Option<Assignment>,
}

/// Receives the progress of a compilation.
pub trait Progress {
    /// So many of so many calibration images are done.
    fn calibrated(&mut self, done: usize, of: usize);
}

/// Compiles a model. `dump` receives graphs after chosen passes.
///
/// # Errors
/// See [`CompileError`].
pub fn compile(
    options: &CompileOptions,
    dump: &mut Dump<'_>,
    progress: &mut dyn Progress,
) -> Result<Compiled, CompileError> {
    let imported = import::import_file(&options.model, &options.import)?;
    let at_once = options.limits.images_at_once(&imported.graph, Run::FixedPoint)?;
    let opinion = opinion(&imported, options)?;
    let (assignment, budget) = patches(&imported, options)?;
    let mut pass_options = PassOptions {
        relu6_as_relu: options.relu6_as_relu,
        assignment,
        ..PassOptions::default()
    };
    pass_options.foreseen = foresee(&imported.graph, &pass_options, options, at_once, progress)?;
    let passed = pass::run(imported.graph.clone(), &pass_options, dump)?;
    let assignment = patches::assignment_for_imported(
        &imported.graph,
        pass_options.assignment.as_ref(),
        pass_options.relu6_as_relu,
    )?;
    let (calibration, unprobed) = calibrated(&passed.graph, options, at_once, progress)?;
    let lowered = lowered(options, &passed.graph, &calibration)?;
    let text = options.preprocess.as_ref().map(|(_, text)| text.clone());
    let plans = split(&lowered, &options.secret, text.clone(), options.classes.clone());
    let breaches = breaches_of(&lowered, &options.calibration, at_once)?;
    let mut warnings = warnings(&imported, options, unprobed, &lowered);
    warnings.extend(breaches.warning(&lowered.program, calibration.images));
    let mut report = Report::new(
        &imported.graph,
        &passed.graph,
        &lowered.program,
        &plans.public,
        warnings,
    );
    report.budget = budget;
    report.breaches = breaches.report(&lowered.program);
    report.second_opinion = opinion;
    let mut graph = passed.graph.into_inner();
    calibration.annotate(&mut graph);
    let owner = Owner {
        program: lowered.program.into_inner(),
        plan_id: plans.public.plan_id,
        constants: lowered.constants,
        graph,
        imported: imported.graph.into_inner(),
        assignment: (!assignment.is_empty()).then(|| assignment.to_json()),
        input: plans.client.input.clone(),
        output: plans.client.output.clone(),
        preprocess: text,
        calibration_images: calibration.images,
    };
    Ok(Compiled {
        plans,
        owner,
        report,
        assignment: (!assignment.is_empty()).then_some(assignment),
    })
}

/// What tract says of the imported network, on the first calibration images.
fn opinion(imported: &Imported, options: &CompileOptions) -> Result<Opinion, CompileError> {
    if !options.cross_check {
        let reason = "it was not asked for".to_owned();
        return Ok(Opinion::None { reason });
    }
    let count = options.calibration.len().min(second_opinion::IMAGES);
    let images = batches(&options.calibration, count, 1).collect::<Result<Vec<_>, _>>()?;
    Ok(second_opinion::second_opinion(
        &options.model,
        imported,
        &images.concat(),
    )?)
}

/// What the user should know, as the pipeline came upon it.
fn warnings(
    imported: &Imported,
    options: &CompileOptions,
    unprobed: Option<String>,
    lowered: &Lowered,
) -> Vec<String> {
    let mut warnings: Vec<String> = imported.warnings.iter().map(ToString::to_string).collect();
    warnings.extend(word_on_carried(imported, options));
    warnings.extend(unprobed);
    warnings.extend(lowered.warnings.iter().map(ToString::to_string));
    warnings
}

/// The assignment that the model carries; clips that become ReLUs have no upper sign.
fn carried(imported: &Imported, options: &CompileOptions) -> Option<Assignment> {
    let carried = imported.assignment.as_ref()?;
    Some(if options.relu6_as_relu {
        carried.of_lower_signs()
    } else {
        carried.clone()
    })
}

fn word_on_carried(imported: &Imported, options: &CompileOptions) -> Option<String> {
    let count = imported.assignment.as_ref()?.layers().count();
    let used = match options.patches {
        PatchSource::Model => "which is used; --assignment would override it",
        PatchSource::Assignment(_) | PatchSource::Budget { .. } | PatchSource::Uniform { .. } => {
            "and others are used in its place, as the options say"
        }
    };
    Some(format!(
        "the model carries an assignment for {}, {used}",
        counted(count, "ReLU")
    ))
}

/// The patches, and what is to be reported of them.
fn patches(
    imported: &Imported,
    options: &CompileOptions,
) -> Result<(Option<Assignment>, Option<BudgetReport>), AssignError> {
    let assigned = match &options.patches {
        PatchSource::Model => return Ok((carried(imported, options), None)),
        PatchSource::Assignment(assignment) => return Ok((Some(assignment.clone()), None)),
        PatchSource::Budget {
            profile,
            goals,
            rules,
            strategy,
            clips,
        } => {
            let link = options.link();
            let options = AssignOptions {
                goals: goals.clone(),
                rules: rules.clone(),
                strategy: *strategy,
                clips: *clips,
                relu6_as_relu: options.relu6_as_relu,
                link,
            };
            assign(&imported.graph, profile, &options)?
        }
        PatchSource::Uniform { patch, goal } => {
            let link = options.link();
            uniform(
                &imported.graph,
                *patch,
                goal.as_ref(),
                options.relu6_as_relu,
                link.as_ref(),
            )?
        }
    };
    Ok((Some(assigned.assignment), Some(assigned.report)))
}

/// What the operands of open gates are foreseen to be. Most networks have none, and are calibrated
/// once.
fn foresee(
    imported: &Verified<Graph>,
    pass_options: &PassOptions,
    options: &CompileOptions,
    at_once: usize,
    progress: &mut dyn Progress,
) -> Result<Foreseen, CompileError> {
    if pass::open_gates(imported).is_empty() {
        return Ok(Foreseen::new());
    }
    let graph = pass::run_for_ranges(imported.clone(), pass_options)?;
    let calibration = find_ranges(&graph, &options.calibration, at_once, progress)?;
    let mut foreseen = Foreseen::new();
    for gate in pass::open_gates(&graph) {
        let interval = calibration.foreseen(graph.inputs(gate)[0], options.head_room);
        foreseen.insert(graph.node(gate).origin.name.clone(), interval);
    }
    Ok(foreseen)
}

/// Ranges and gains; a sentence where the gains had to be left out.
fn calibrated(
    graph: &Verified<Graph>,
    options: &CompileOptions,
    at_once: usize,
    progress: &mut dyn Progress,
) -> Result<(Calibration, Option<String>), CompileError> {
    let mut calibration = find_ranges(graph, &options.calibration, at_once, progress)?;
    let unprobed = take_gains(graph, &mut calibration, &options.calibration, &options.limits)?;
    Ok((calibration, unprobed))
}

/// A calibration of ranges alone.
fn find_ranges(
    graph: &Verified<Graph>,
    data: &DataSet,
    at_once: usize,
    progress: &mut dyn Progress,
) -> Result<Calibration, CompileError> {
    let mut calibrator = Calibrator::new(graph);
    for images in batches(data, data.len(), at_once) {
        calibrator.add(&images?)?;
        progress.calibrated(calibrator.images(), data.len());
    }
    Ok(calibrator.finish()?)
}

/// Adds the gains of the first images, taken as many at a time as fit; where not even one does, they are
/// done without, and what is given up for that is returned as a sentence. (They warn of rounding, and no
/// scale comes from them.)
fn take_gains(
    graph: &Verified<Graph>,
    calibration: &mut Calibration,
    data: &DataSet,
    limits: &Limits,
) -> Result<Option<String>, CompileError> {
    let run = Run::Measure {
        probes: Probing::PROBES,
        vectors: 0,
    };
    let at_once = match limits.images_at_once(graph, run) {
        Ok(at_once) => at_once,
        Err(refused) => {
            return Ok(Some(format!(
                "what rounding costs was not estimated, for which the values of an image are kept: {refused}"
            )));
        }
    };
    let mut probing = Probing::new(graph);
    for images in batches(data, data.len().min(Probing::IMAGES), at_once) {
        probing.add(&images?)?;
    }
    calibration.gains.merge(&probing.finish());
    Ok(None)
}

/// The image's range, where the preprocessing guarantees one that covers the calibration data
/// (float arrays are not preprocessed, and may leave it).
fn exact_input_range(options: &CompileOptions, graph: &Graph, calibration: &Calibration) -> Option<Vec<f32>> {
    let (preprocess, _) = options.preprocess.as_ref()?;
    let range: Vec<f32> = preprocess
        .value_range()
        .iter()
        .map(|(low, high)| low.abs().max(high.abs()))
        .collect();
    let seen = calibration.magnitudes(graph.input()?);
    let covers = range.len() == seen.len() && range.iter().zip(&seen).all(|(r, s)| *s <= r * 1.0001);
    covers.then_some(range)
}

/// Lowers a network and holds the names of the classes against it.
fn lowered(
    options: &CompileOptions,
    graph: &Verified<Graph>,
    calibration: &Calibration,
) -> Result<Lowered, CompileError> {
    let lower_options = LowerOptions {
        head_room: options.head_room,
        input_range: exact_input_range(options, graph, calibration),
    };
    let mut lowered = lower(graph, calibration, &lower_options)?;
    if let Some(link) = options.link() {
        lowered.program = shorten(&lowered.program, &link);
    }
    check_classes(&options.classes, &lowered)?;
    Ok(lowered)
}

fn check_classes(classes: &[String], lowered: &Lowered) -> Result<(), CompileError> {
    let needed = lowered
        .program
        .output()
        .map_or(0, |id| lowered.program.ty(id).shape.c);
    if classes.is_empty() || classes.len() == needed {
        return Ok(());
    }
    Err(CompileError::Classes {
        given: classes.len(),
        needed,
    })
}

#[cfg(test)]
mod tests {
    use ndarray::Array4;
    use trefoil_ir::Shape;
    use trefoil_ir::demand::Demand;

    use super::*;
    use crate::pass::testing::Net;

    /// A chain of maps: kept together, they are many times what a run needs.
    fn chain() -> Verified<Graph> {
        let mut net = Net::new(3);
        let mut at = net.input(Shape::new(2, 8, 8));
        for _ in 0..20 {
            at = net.relu(at);
        }
        net.finish(at).verify().unwrap()
    }

    #[test]
    fn gains_are_taken_as_memory_allows_and_left_out_with_a_word() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("images.npy");
        let images = Array4::from_shape_fn((11, 2, 8, 8), |(n, c, h, w)| (n + c + h + w) as f32);
        ndarray_npy::write_npy(&file, &images).unwrap();
        let (graph, data) = (chain(), DataSet::open(&file, None, None).unwrap());
        let demand = Demand::of_graph(&graph).unwrap();
        let gains = |memory| {
            let limits = Limits {
                memory,
                work: u64::MAX,
            };
            assert!(limits.images_at_once(&graph, Run::FixedPoint).is_ok());
            let mut progress = Nobody;
            let mut calibration = find_ranges(&graph, &data, 2, &mut progress).unwrap();
            let word = take_gains(&graph, &mut calibration, &data, &limits).unwrap();
            (calibration.gains, word)
        };
        let needed = demand.values + Probing::PROBES as u64 * demand.peak;
        let (alone, no_word) = gains(needed);
        assert_eq!((alone.images, no_word), (Probing::IMAGES, None));
        assert_eq!(alone, gains(u64::MAX).0, "one image at a time, or many");
        let (none, word) = gains(needed - 1);
        assert_eq!(none.images, 0);
        let word = word.unwrap();
        assert!(word.contains("rounding") && word.contains("--memory"), "{word}");
    }

    struct Nobody;

    impl Progress for Nobody {
        fn calibrated(&mut self, _: usize, _: usize) {}
    }
}
