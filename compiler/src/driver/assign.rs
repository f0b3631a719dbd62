//! From a profile and a budget to an assignment.

use std::fmt::{self, Write};

use serde::Serialize;
use thiserror::Error;
use trefoil_ir::Patch;
use trefoil_ir::Verified;
use trefoil_ir::mpc::Phase;
use trefoil_ir::mpc::cost::{Bytes, StepCost};
use trefoil_ir::mpc::time::{LinkModel, Machine};
use trefoil_ir::nn::Graph;
use trefoil_runtime::amount::counted;

use super::compile::CompileError;
use super::trial::Trial;
use crate::budget::joint::{self, Distortion, Vectors};
use crate::budget::knapsack::{Certificate, Limits, ProblemError, Solution, SolveError, Solver};
use crate::budget::menu::{ClipSigns, Menu};
use crate::budget::slots::SlotVectors;
use crate::budget::{Currency, Goal};
use crate::calibrate::profile::{Profile, ProfileError, model_digest};
use crate::patches::count::ReluCount;
use crate::patches::{Assignment, Choice, LayerChoice};
use trefoil_ir::nn::Gate;

/// How patches are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// Distortions add up (the paper's way): for networks that will be tuned.
    #[default]
    Additive,
    /// Distortions interfere as the sketch's vectors say: for networks that stay as they are.
    Joint,
    /// At random, from this seed: what the others are compared with.
    Random(u64),
}

/// What the user chose.
#[derive(Clone, Debug)]
pub struct AssignOptions {
    /// The budget.
    pub goal: Goal,
    /// How patches are chosen.
    pub strategy: Strategy,
    /// Which signs of clips may share patches.
    pub clips: ClipSigns,
    /// Whether the network's clips were made ReLUs.
    pub relu6_as_relu: bool,
}

/// An assignment, with what it is said to cost.
#[derive(Clone, Debug)]
pub struct Assigned {
    /// The patches.
    pub assignment: Assignment,
    /// The figures.
    pub report: BudgetReport,
}

/// Why there is no assignment.
#[derive(Debug, Error)]
pub enum AssignError {
    /// The profile.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The profile was made of another network.
    #[error(
        "the profile is of another model (\"{profile}\", weights included; this one is \"{model}\"): run \
         `trefoil calibrate` on this model, with the same --relu6"
    )]
    OtherModel {
        /// The profile's.
        profile: String,
        /// This one.
        model: String,
    },
    /// Not even identities everywhere meet the budget.
    #[error("the budget {goal} cannot be met: without any sign this network still costs {least}")]
    Infeasible {
        /// The budget.
        goal: Goal,
        /// The least possible.
        least: String,
    },
    /// Uniform patches exceed the budget.
    #[error("patches of {patch} everywhere cost {cost}, more than the budget {goal}: take larger ones")]
    Uniform {
        /// The patch.
        patch: Patch,
        /// What it costs.
        cost: String,
        /// The budget.
        goal: Goal,
    },
    /// The distortions cannot be added.
    #[error("the profile's distortions cannot be used")]
    Distortions(#[from] ProblemError),
    /// Nothing to hold out.
    #[error(
        "joint assignment holds a quarter of the images out, and the profile has fewer than two: measure 100 or more"
    )]
    FewImages,
    /// Joint assignment.
    #[error(transparent)]
    Joint(#[from] joint::JointError),
    /// The network cannot be lowered, whatever its patches.
    #[error(transparent)]
    Compile(#[from] Box<CompileError>),
}

/// What an assignment costs and what it was chosen for; a part of `report.json`.
#[derive(Clone, Debug, Serialize)]
pub struct BudgetReport {
    /// The budget, as it was given.
    pub goal: String,
    /// How patches were chosen.
    pub strategy: &'static str,
    /// What the budget allows, in words.
    pub allowed: String,
    /// What the assignment takes of it.
    pub spent: String,
    /// What the network takes with a sign for every pixel.
    pub at_1x1: String,
    /// Predicted distortion, the sum of the layers', where something predicts it.
    pub distortion: Option<f64>,
    /// How good the choice is, if a knapsack was solved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate>,
    /// What joint assignment made of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub joint: Option<JointReport>,
    /// By ReLU of the imported network.
    pub layers: Vec<LayerBudget>,
}

/// One ReLU before and after.
#[derive(Clone, Debug, Serialize)]
pub struct LayerBudget {
    /// Its ONNX name.
    pub name: String,
    /// Its map, `[h, w]`.
    pub map: [usize; 2],
    /// Channels.
    pub channels: usize,
    /// Predicted distortion, where something predicts it.
    pub distortion: Option<f64>,
    /// With a sign for every pixel.
    pub at_1x1: Figures,
    /// With its patches.
    pub assigned: Figures,
}

impl BudgetReport {
    /// A table for the terminal: each ReLU before and after.
    pub fn summary(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "  budget {} ({}): {} of {} allowed, {} at 1x1",
            self.goal, self.strategy, self.spent, self.allowed, self.at_1x1
        );
        if let Some(certificate) = &self.certificate {
            let proof = match certificate.proved {
                true => "optimal, proved".to_owned(),
                false => format!("within {:.1e} of the optimum", certificate.relative_gap),
            };
            let distortion = self.distortion.unwrap_or_default();
            let _ = writeln!(text, "  predicted distortion {distortion:.4e} ({proof})");
        }
        if let Some(joint) = &self.joint {
            let _ = writeln!(text, "  {joint}");
        }
        let width = self.layers.iter().map(|l| l.name.len()).max().unwrap_or(0);
        let _ = writeln!(
            text,
            "  {:width$}  {:>13}  {:>21}  {:>23}  {:>19}  distortion",
            "ReLU", "map", "DReLUs", "bytes", "ms on lan"
        );
        for layer in &self.layers {
            let (was, is) = (&layer.at_1x1, &layer.assigned);
            let map = format!("{}x{}x{}", layer.channels, layer.map[0], layer.map[1]);
            let _ = writeln!(
                text,
                "  {:width$}  {map:>13}  {:>9} -> {:>8}  {:>10} -> {:>9}  {:>8.3} -> {:>7.3}  {}",
                layer.name,
                was.drelus,
                is.drelus,
                was.bytes,
                is.bytes,
                was.seconds * 1e3,
                is.seconds * 1e3,
                layer
                    .distortion
                    .map_or_else(|| "-".to_owned(), |distortion| format!("{distortion:.3e}"))
            );
        }
        text
    }
}

/// What a layer costs.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Figures {
    /// DReLUs, on the imported network's map.
    pub drelus: u64,
    /// Bytes of its gate, both phases.
    pub bytes: u64,
    /// Seconds of its gate, arithmetic and transfer without round trips.
    pub seconds: f64,
}

/// Solves the budget.
///
/// # Errors
/// See [`AssignError`].
pub fn assign(
    imported: &Verified<Graph>,
    profile: &Profile,
    options: &AssignOptions,
) -> Result<Assigned, AssignError> {
    check_model(imported, profile, options.relu6_as_relu)?;
    let currency = Currency::of(&options.goal);
    let menu = Menu::new(&profile.header, &profile.summary, &currency, options.clips)?;
    let before = trial(imported, options.relu6_as_relu, None)?;
    let search = Search {
        imported,
        profile,
        options,
        limit: Currency::limit(&options.goal, before.counts.drelus_at_1x1 as u64),
        currency,
        menu: &menu,
        solver: Solver::new(&menu.problem),
    };
    let (chosen, after) = search.run(&before)?;
    let distortions = menu.distortions(&chosen.choice);
    Ok(Assigned {
        assignment: menu.assignment(&profile.header, &chosen.choice),
        report: BudgetReport {
            goal: options.goal.to_string(),
            strategy: options.strategy.word(),
            allowed: currency.show(search.limit),
            spent: currency.show(search.total(&after)),
            at_1x1: currency.show(search.total(&before)),
            distortion: Some(distortions.values().sum()),
            certificate: chosen.certificate,
            joint: chosen.joint,
            layers: layers(&before, &after, |name| {
                Some(distortions.get(name).copied().unwrap_or(0.0))
            }),
        },
    })
}

/// The same patch for every channel of every ReLU, cut to the maps: what budgets are compared with.
///
/// # Errors
/// If it exceeds the budget, where one is given.
pub fn uniform(
    imported: &Verified<Graph>,
    patch: Patch,
    goal: Option<&Goal>,
    relu6_as_relu: bool,
) -> Result<Assigned, AssignError> {
    let mut assignment = Assignment::default();
    for id in imported.ids() {
        let node = imported.node(id);
        if Gate::of(node).is_some() {
            let [h, w] = patch.to_pair().map(u64::from);
            let fitting = match patch {
                Patch::Identity => [h, w],
                Patch::Block { .. } => [h.min(node.shape.h as u64), w.min(node.shape.w as u64)],
            };
            assignment.insert(node.origin.name.clone(), LayerChoice::Every(Choice::All(fitting)));
        }
    }
    let before = trial(imported, relu6_as_relu, None)?;
    let after = trial(imported, relu6_as_relu, Some(&assignment))?;
    let currency = goal.map_or(Currency::Relus, Currency::of);
    let total = |trial: &Trial| currency.total(&trial.cost, trial.counts.drelus as u64);
    let limit = goal.map(|goal| (goal, Currency::limit(goal, before.counts.drelus_at_1x1 as u64)));
    if let Some((goal, _)) = limit.filter(|(_, limit)| total(&after) > *limit) {
        return Err(AssignError::Uniform {
            patch,
            cost: currency.show(total(&after)),
            goal: *goal,
        });
    }
    Ok(Assigned {
        assignment,
        report: BudgetReport {
            goal: goal.map_or_else(|| "none".to_owned(), Goal::to_string),
            strategy: "uniform",
            allowed: limit.map_or_else(|| "anything".to_owned(), |(_, limit)| currency.show(limit)),
            spent: currency.show(total(&after)),
            at_1x1: currency.show(total(&before)),
            distortion: None,
            certificate: None,
            joint: None,
            layers: layers(&before, &after, |_| None),
        },
    })
}

/// How often the budget is set anew where the parts' prices do not add up to the whole's.
const ROUNDS: usize = 6;

/// A budget being solved.
struct Search<'a> {
    imported: &'a Verified<Graph>,
    profile: &'a Profile,
    options: &'a AssignOptions,
    currency: Currency,
    limit: u64,
    menu: &'a Menu,
    solver: Solver<'a>,
}

/// One pick per slot, and how it was found.
struct Chosen {
    choice: Vec<usize>,
    certificate: Option<Certificate>,
    joint: Option<JointReport>,
}

impl Search<'_> {
    /// Solves for what the gates may cost, tries what the network then costs, and again, until both
    /// agree. (Beside its gates a network's cost hardly depends on patches: there are the last bits
    /// of messages, and gates that a pass moves or drops.)
    fn run(&self, before: &Trial) -> Result<(Chosen, Trial), AssignError> {
        let mut rest = self.rest(before, &self.menu.pixels(&self.profile.header));
        let mut best: Option<(Chosen, Trial)> = None;
        for _ in 0..ROUNDS {
            let Some(chosen) = self.choose(rest)? else { break };
            let assignment = self.menu.assignment(&self.profile.header, &chosen.choice);
            let tried = trial(self.imported, self.options.relu6_as_relu, Some(&assignment))?;
            let was = std::mem::replace(&mut rest, self.rest(&tried, &chosen.choice));
            if self.total(&tried) <= self.limit
                && best.as_ref().is_none_or(|(b, _)| self.improves(&chosen, b))
            {
                best = Some((chosen, tried));
            }
            if rest == was {
                break;
            }
        }
        best.ok_or_else(|| AssignError::Infeasible {
            goal: self.options.goal,
            least: self
                .currency
                .show(self.solver.least_cost().saturating_add_signed(rest)),
        })
    }

    fn total(&self, trial: &Trial) -> u64 {
        self.currency.total(&trial.cost, trial.counts.drelus as u64)
    }

    /// What a network costs beside what its gates are priced at.
    fn rest(&self, trial: &Trial, choice: &[usize]) -> i64 {
        self.total(trial) as i64 - self.menu.problem.cost(choice) as i64
    }

    fn improves(&self, chosen: &Chosen, on: &Chosen) -> bool {
        match (&chosen.joint, &on.joint) {
            (Some(chosen), Some(on)) => chosen.end.held_out < on.end.held_out,
            _ => self.menu.problem.loss(&chosen.choice) < self.menu.problem.loss(&on.choice),
        }
    }

    /// The best choice if the rest of the network costs so much; `None` if nothing fits.
    fn choose(&self, rest: i64) -> Result<Option<Chosen>, AssignError> {
        let Some(budget) = self.limit.checked_add_signed(-rest) else {
            return Ok(None);
        };
        let Solution {
            choice, certificate, ..
        } = match self.solver.solve(budget, &Limits::default()) {
            Ok(solution) => solution,
            Err(SolveError::Infeasible { .. }) => return Ok(None),
        };
        let (choice, joint) = match self.options.strategy {
            Strategy::Additive => (choice, None),
            Strategy::Random(seed) => match self.menu.random(budget, seed) {
                Some(choice) => (choice, None),
                None => return Ok(None),
            },
            Strategy::Joint => {
                let (choice, report) = self.joint(&choice, budget)?;
                (choice, Some(report))
            }
        };
        // What is proved is proved of the additive optimum.
        let certificate = (self.options.strategy == Strategy::Additive).then_some(certificate);
        Ok(Some(Chosen {
            choice,
            certificate,
            joint,
        }))
    }
}

/// Shrinkages towards additive distortions that are tried; the images held out choose.
const SHRINKAGES: [f64; 5] = [0.0, 0.3, 0.6, 0.9, 0.99];

impl Search<'_> {
    /// Lowers the joint distortion from the additive optimum, on three quarters of the images; the
    /// others say how far to go.
    fn joint(&self, start: &[usize], budget: u64) -> Result<(Vec<usize>, JointReport), AssignError> {
        let vectors = self.profile.vectors()?;
        let cut = vectors.images() * 3 / 4;
        if cut == 0 {
            return Err(AssignError::FewImages);
        }
        let fit = SlotVectors::new(self.menu, vectors, 0..cut);
        let held_out = SlotVectors::new(self.menu, vectors, cut..vectors.images());
        let (shrinkage, outcome) = joint::assign_shrunk(
            &self.menu.problem,
            budget,
            start,
            (&fit, &held_out),
            &joint::Options::default(),
            &SHRINKAGES,
        )?;
        let at = |step: &joint::Step| JointValues {
            fit: step.fit.joint / fit.dims() as f64,
            held_out: step.held_out.as_ref().map_or(f64::NAN, held_out_joint) / held_out.dims() as f64,
        };
        let (start, end) = (at(&outcome.trace[0]), at(&outcome.trace[outcome.best]));
        let report = JointReport {
            fit_images: cut,
            held_out_images: vectors.images() - cut,
            shrinkage,
            sweeps: outcome.best,
            start,
            end,
        };
        Ok((outcome.choice, report))
    }
}

fn held_out_joint(distortion: &Distortion) -> f64 {
    distortion.joint
}

/// What joint assignment made of the additive optimum.
#[derive(Clone, Debug, Serialize)]
pub struct JointReport {
    /// Images that the patches were fitted to.
    pub fit_images: usize,
    /// Images that chose among fits.
    pub held_out_images: usize,
    /// The shrinkage towards additive distortions that they chose: 0 is none.
    pub shrinkage: f64,
    /// Sweeps over all channels that they chose.
    pub sweeps: usize,
    /// Joint distortion of the additive optimum.
    pub start: JointValues,
    /// Joint distortion of the assignment.
    pub end: JointValues,
}

/// Mean squared change of the output that the vectors predict of all changes together.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct JointValues {
    /// On the images of the fit.
    pub fit: f64,
    /// On those held out; it chose among fits, and is a little too good.
    pub held_out: f64,
}

impl fmt::Display for JointReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "joint distortion {:.4e} -> {:.4e} on {}, {:.4e} -> {:.4e} on {} held out (shrinkage {}, {})",
            self.start.fit,
            self.end.fit,
            counted(self.fit_images, "image"),
            self.start.held_out,
            self.end.held_out,
            self.held_out_images,
            self.shrinkage,
            counted(self.sweeps, "sweep")
        )
    }
}

impl Strategy {
    fn word(self) -> &'static str {
        match self {
            Strategy::Additive => "additive",
            Strategy::Joint => "joint",
            Strategy::Random(_) => "random",
        }
    }
}

fn check_model(imported: &Graph, profile: &Profile, relu6_as_relu: bool) -> Result<(), AssignError> {
    let header = &profile.header;
    if header.digest == model_digest(imported) && header.relu6_as_relu == relu6_as_relu {
        return Ok(());
    }
    Err(AssignError::OtherModel {
        profile: header.model.clone(),
        model: imported.name.clone(),
    })
}

fn trial(
    imported: &Verified<Graph>,
    relu6_as_relu: bool,
    assignment: Option<&Assignment>,
) -> Result<Trial, AssignError> {
    Ok(Trial::run(imported, relu6_as_relu, assignment).map_err(Box::new)?)
}

fn layers(before: &Trial, after: &Trial, distortion: impl Fn(&str) -> Option<f64>) -> Vec<LayerBudget> {
    let relus = before.counts.relus.iter().zip(&after.counts.relus);
    let layer = |(was, is): (&ReluCount, &ReluCount)| LayerBudget {
        name: was.name.clone(),
        map: was.map,
        channels: was.channels,
        distortion: distortion(&was.name),
        at_1x1: Figures::of(before, was),
        assigned: Figures::of(after, is),
    };
    relus.map(layer).collect()
}

impl Figures {
    fn of(trial: &Trial, relu: &ReluCount) -> Self {
        let step = trial.by_name.get(&relu.name).cloned().unwrap_or_default();
        Self {
            drelus: relu.drelus as u64,
            bytes: step.bytes.total,
            seconds: seconds(&step),
        }
    }
}

/// Of the steps of one node, on a local network. Offline work and transfer go on side by side.
fn seconds(step: &StepCost) -> f64 {
    let work = |phase, bytes: u64| {
        let machine = Machine::of(phase);
        step.drelus as f64 * machine.sign + bytes as f64 * machine.byte
    };
    let Bytes { offline, online, .. } = step.bytes;
    let link = LinkModel::LAN;
    work(Phase::Offline, offline).max(link.transfer(offline))
        + work(Phase::Online, online)
        + link.transfer(online)
}
