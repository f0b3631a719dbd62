//! From a profile and a budget to an assignment.

mod probe;
mod report;
mod several;
#[cfg(test)]
mod tests;

use thiserror::Error;
use trefoil_ir::Patch;
use trefoil_ir::Verified;
use trefoil_ir::mpc::time::LinkModel;
use trefoil_ir::nn::{Gate, Graph};

use self::report::layers;
pub use self::report::{BudgetReport, Figures, JointReport, JointValues, LayerBudget};
use super::trial::{Trial, TrialError};
use crate::budget::fixed_charge::Solution;
use crate::budget::ilp::{IlpError, ProgramError};
use crate::budget::joint::{self, Vectors};
use crate::budget::knapsack::{Certificate, Limits, ProblemError, SolveError};
use crate::budget::menu::{ClipSigns, Menu, Offers};
use crate::budget::rules::{NoSuchLayer, Rules};
use crate::budget::slots::SlotVectors;
use crate::budget::{Currency, Goal};
use crate::patches::{Assignment, Choice, LayerChoice};
use crate::profile::{Profile, ProfileError, model_digest};

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

/// The options of an assignment.
#[derive(Clone, Debug)]
pub struct AssignOptions {
    /// What the network may cost, at least one of them.
    pub goals: Vec<Goal>,
    /// What is said of single layers.
    pub rules: Rules,
    /// How patches are chosen.
    pub strategy: Strategy,
    /// Which signs of clips may share patches.
    pub clips: ClipSigns,
    /// Whether the network's clips were made ReLUs.
    pub relu6_as_relu: bool,
    /// The link for which gates are done in one round where that is quicker.
    pub link: Option<LinkModel>,
}

impl AssignOptions {
    /// The network with these patches, as it will be lowered.
    fn trial(
        &self,
        imported: &Verified<Graph>,
        assignment: Option<&Assignment>,
    ) -> Result<Trial, AssignError> {
        trial(imported, self.relu6_as_relu, assignment, self.link.as_ref())
    }

    /// The network with a sign for every pixel, taken in two rounds: what prices are measured against.
    fn in_two_rounds(&self, imported: &Verified<Graph>) -> Result<Trial, AssignError> {
        trial(imported, self.relu6_as_relu, None, None)
    }

    /// The link, if some gates may be done in one round there.
    fn quick(&self) -> Option<&LinkModel> {
        self.link.as_ref().filter(|link| link.round_trip > 0.0)
    }
}

/// An assignment, with what it is said to cost.
#[derive(Clone, Debug)]
pub struct Assigned {
    /// The patches of every ReLU.
    pub assignment: Assignment,
    /// What they cost.
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
        /// Name of the profile's model.
        profile: String,
        /// Name of the model to compile.
        model: String,
    },
    /// Not even identities everywhere meet the budget.
    #[error("the budget {goal} cannot be met: the cheapest plan of this network{kept} costs {least}")]
    Infeasible {
        /// The budget, as it was given.
        goal: Goal,
        /// What the network costs at the least, with its unit.
        least: String,
        /// Which signs that plan keeps.
        kept: &'static str,
    },
    /// Each budget can be met, but not all of them, with what is said of layers.
    #[error("no assignment was found that meets all budgets, caps and ties of layers")]
    Together(#[from] IlpError),
    /// What layers cost besides their channels is more than the budget.
    #[error(
        "no random choice meets the budget {goal}: nearly all layers would have signs, which takes more round trips"
    )]
    Random {
        /// The budget, as it was given.
        goal: Goal,
    },
    /// Several budgets are spent in one way alone.
    #[error("several budgets, caps and ties are met with --assign additive alone: leave --assign out")]
    Strategy,
    /// A rule names a layer that is none.
    #[error(transparent)]
    Layer(#[from] NoSuchLayer),
    /// The options cannot be put into one program.
    #[error("the budgets cannot be stated together")]
    Program(#[from] ProgramError),
    /// Uniform patches exceed the budget.
    #[error("patches of {patch} everywhere cost {cost}, more than the budget {goal}: take larger ones")]
    Uniform {
        /// The uniform patch.
        patch: Patch,
        /// What the network costs with it, with its unit.
        cost: String,
        /// The budget, as it was given.
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
    Trial(#[from] Box<TrialError>),
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
    let layers_there = profile.header.layers.iter().map(|layer| layer.name.as_str());
    options.rules.check(layers_there)?;
    let before = options.trial(imported, None)?;
    let (goal, others) = options.goals.split_first().expect("there is a budget");
    if !others.is_empty() || options.rules.bind_channels() {
        return several::assign(imported, profile, options, &before);
    }
    let currency = Currency::of(goal);
    let two_rounds = options.in_two_rounds(imported)?;
    let tariff = probe::tariff(imported, &profile.header, &currency, options.quick(), &two_rounds)?;
    let offers = Offers {
        clips: options.clips,
        rules: &options.rules,
        together: false,
    };
    let menu = Menu::new(&profile.header, &profile.summary, &currency, offers, &tariff)?;
    let search = Search {
        imported,
        profile,
        options,
        goal: *goal,
        limit: Currency::limit(goal, before.counts.drelus_at_1x1 as u64),
        currency,
        menu: &menu,
        two_rounds,
    };
    let (chosen, after) = search.run(&before)?;
    let distortions = menu.distortions(&chosen.choice);
    Ok(Assigned {
        assignment: menu.assignment(&profile.header, &chosen.choice),
        report: BudgetReport {
            goal: goal.to_string(),
            strategy: options.strategy.word(),
            allowed: currency.show(search.limit),
            spent: currency.show(search.total(&after)),
            priced: search.priced(&chosen.choice, &after),
            at_1x1: currency.show(search.total(&before)),
            distortion: Some(distortions.values().sum()),
            certificate: chosen.certificate,
            side_constraints: None,
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
    link: Option<&LinkModel>,
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
    let before = trial(imported, relu6_as_relu, None, link)?;
    let after = trial(imported, relu6_as_relu, Some(&assignment), link)?;
    let currency = goal.map_or(Currency::Relus, Currency::of);
    let spent = total(&currency, &after);
    let limit = goal.map(|goal| (goal, Currency::limit(goal, before.counts.drelus_at_1x1 as u64)));
    if let Some((goal, _)) = limit.filter(|(_, limit)| spent > *limit) {
        return Err(AssignError::Uniform {
            patch,
            cost: currency.show(spent),
            goal: *goal,
        });
    }
    Ok(Assigned {
        assignment,
        report: BudgetReport {
            goal: goal.map_or_else(|| "none".to_owned(), Goal::to_string),
            strategy: "uniform",
            allowed: limit.map_or_else(|| "anything".to_owned(), |(_, limit)| currency.show(limit)),
            spent: currency.show(spent),
            priced: None,
            at_1x1: currency.show(total(&currency, &before)),
            distortion: None,
            certificate: None,
            side_constraints: None,
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
    goal: Goal,
    currency: Currency,
    limit: u64,
    menu: &'a Menu,
    two_rounds: Trial,
}

/// One pick per slot, and how it was found.
struct Chosen {
    choice: Vec<usize>,
    certificate: Option<Certificate>,
    joint: Option<JointReport>,
}

impl Search<'_> {
    /// Solves for what the gates may cost, tries what the network then costs, and again, until both
    /// agree. (Besides what layers are priced at a network's cost hardly depends on patches: there are the last
    /// bits of messages, branches that wait for each other, work and transfers that overlap.) Only where
    /// the cheapest plan itself is too dear there is none.
    fn run(&self, before: &Trial) -> Result<(Chosen, Trial), AssignError> {
        let pixels = self.menu.pixels(&self.profile.header);
        let mut best = None;
        self.approach(self.rest(&self.two_rounds, &pixels), &mut best)?;
        // What prices say is too dear need not be: gates are done as is quickest for the whole network.
        let loses = |best: &(Chosen, Trial)| self.menu.program.problem.loss(&best.0.choice) > 0.0;
        let is_additive = self.options.strategy == Strategy::Additive;
        if is_additive && self.total(before) <= self.limit && best.as_ref().is_none_or(loses) {
            let tried = self.lowered(&pixels)?;
            let chosen = Chosen {
                choice: pixels,
                certificate: None,
                joint: None,
            };
            return Ok((chosen, tried));
        }
        if let Some(best) = best {
            return Ok(best);
        }
        let cheapest = self.menu.program.cheapest();
        let tried = self.lowered(&cheapest)?;
        if self.total(&tried) > self.limit {
            return Err(AssignError::Infeasible {
                goal: self.goal,
                least: self.currency.show(self.total(&tried)),
                kept: kept(self.options),
            });
        }
        if matches!(self.options.strategy, Strategy::Random(_)) {
            return Err(AssignError::Random { goal: self.goal });
        }
        let rest = self.rest(&tried, &cheapest);
        best = Some((
            Chosen {
                choice: cheapest,
                certificate: None,
                joint: None,
            },
            tried,
        ));
        self.approach(rest, &mut best)?;
        Ok(best.expect("it was there before"))
    }

    /// Solves and tries in turns, from what the rest of the network is said to cost on.
    fn approach(&self, mut rest: i64, best: &mut Option<(Chosen, Trial)>) -> Result<(), AssignError> {
        for _ in 0..ROUNDS {
            let Some(chosen) = self.choose(rest)? else { break };
            let tried = self.lowered(&chosen.choice)?;
            let was = std::mem::replace(&mut rest, self.rest(&tried, &chosen.choice));
            if self.total(&tried) <= self.limit
                && best.as_ref().is_none_or(|(b, _)| self.improves(&chosen, b))
            {
                *best = Some((chosen, tried));
            }
            if rest == was {
                break;
            }
        }
        Ok(())
    }

    /// The network with a choice.
    fn lowered(&self, choice: &[usize]) -> Result<Trial, AssignError> {
        let assignment = self.menu.assignment(&self.profile.header, choice);
        self.options.trial(self.imported, Some(&assignment))
    }

    /// What the prices say that a choice costs, where the program differs by more than a thousandth.
    fn priced(&self, choice: &[usize], after: &Trial) -> Option<String> {
        let rest = self.rest(&self.two_rounds, &self.menu.pixels(&self.profile.header));
        let priced = self.menu.program.cost(choice).saturating_add_signed(rest);
        let program = self.total(after);
        (priced.abs_diff(program) > program / 1000).then(|| self.currency.show(priced))
    }

    fn total(&self, trial: &Trial) -> u64 {
        total(&self.currency, trial)
    }

    /// What a network costs beside what its gates are priced at.
    fn rest(&self, trial: &Trial, choice: &[usize]) -> i64 {
        self.total(trial) as i64 - self.menu.program.cost(choice) as i64
    }

    fn improves(&self, chosen: &Chosen, on: &Chosen) -> bool {
        match (&chosen.joint, &on.joint) {
            (Some(chosen), Some(on)) => chosen.end.held_out < on.end.held_out,
            _ => {
                let loss = |choice| self.menu.program.problem.loss(choice);
                loss(&chosen.choice) < loss(&on.choice)
            }
        }
    }

    /// The best choice if the rest of the network costs so much; `None` if nothing fits.
    fn choose(&self, rest: i64) -> Result<Option<Chosen>, AssignError> {
        let Some(budget) = self.limit.checked_add_signed(-rest) else {
            return Ok(None);
        };
        let Solution {
            choice, certificate, ..
        } = match self.menu.program.solve(budget, &Limits::default()) {
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
        // Layers stay what the additive optimum makes of them: what they cost besides is paid.
        let (menu, numbers, charges) = self.menu.restricted(start);
        let fit = SlotVectors::new(&menu, vectors, 0..cut);
        let held_out = SlotVectors::new(&menu, vectors, cut..vectors.images());
        let start: Vec<usize> = start
            .iter()
            .zip(&numbers)
            .map(|(pick, numbers)| numbers.iter().position(|number| number == pick).unwrap_or(0))
            .collect();
        let (shrinkage, outcome) = joint::assign_shrunk(
            &menu.program.problem,
            budget.saturating_sub(charges),
            &start,
            (&fit, &held_out),
            &joint::Options::default(),
            &SHRINKAGES,
        )?;
        let dims = [fit.dims(), held_out.dims()];
        let report = JointReport {
            fit_images: cut,
            held_out_images: vectors.images() - cut,
            shrinkage,
            sweeps: outcome.best,
            start: JointValues::of(&outcome.trace[0], dims),
            end: JointValues::of(&outcome.trace[outcome.best], dims),
        };
        let choice = outcome.choice.iter().zip(&numbers);
        Ok((choice.map(|(&pick, numbers)| numbers[pick]).collect(), report))
    }
}

/// Which signs the cheapest plan keeps.
fn kept(options: &AssignOptions) -> &'static str {
    match (options.clips, options.rules.keep.is_empty()) {
        (ClipSigns::Both, true) => ", without any sign,",
        (ClipSigns::Lower | ClipSigns::None, true) => ", with the signs that --clip-signs keeps,",
        (_, false) => ", with the signs that --keep and --clip-signs keep,",
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
    link: Option<&LinkModel>,
) -> Result<Trial, AssignError> {
    Ok(Trial::run(imported, relu6_as_relu, assignment, link).map_err(Box::new)?)
}

/// What a network costs in the currency of a budget.
fn total(currency: &Currency, trial: &Trial) -> u64 {
    currency.total(&trial.cost, trial.counts.signs as u64)
}
