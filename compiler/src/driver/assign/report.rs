//! What an assignment costs and how it was chosen: a part of `report.json`, and a table for people.

use std::fmt::{self, Write};

use serde::Serialize;
use trefoil_ir::mpc::Phase;
use trefoil_ir::mpc::cost::{Bytes, StepCost};
use trefoil_ir::mpc::time::{LinkModel, Machine};
use trefoil_runtime::amount::counted;

use crate::budget::knapsack::Certificate;
use crate::budget::{ilp, joint};
use crate::driver::trial::Trial;
use crate::patches::count::{BLOCKS_SUFFIX, ReluCount};

/// What an assignment costs and what it was chosen for; a part of `report.json`.
#[derive(Clone, Debug, Serialize)]
pub struct BudgetReport {
    /// The budget, as it was given.
    pub goal: String,
    /// How patches were chosen.
    pub strategy: &'static str,
    /// What the budget allows, in words.
    pub allowed: String,
    /// What the network costs with the assignment, in words.
    pub spent: String,
    /// What the solver's prices add up to, in words, where the program itself costs something else: the
    /// certificate speaks of these.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priced: Option<String>,
    /// What the network costs with a sign for every pixel, in words.
    pub at_1x1: String,
    /// Predicted distortion, the sum of the layers', where something predicts it.
    pub distortion: Option<f64>,
    /// How good the choice is, if a knapsack was solved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate>,
    /// How good the choice is, if there were several budgets, or caps and ties of layers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub side_constraints: Option<ilp::Certificate>,
    /// How joint assignment went, if it was asked for.
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
            let mut proof = match certificate.proved {
                true => "optimal, proved".to_owned(),
                false => format!("within {:.1e} of the optimum", certificate.relative_gap),
            };
            if let Some(priced) = &self.priced {
                let _ = write!(proof, ", at prices that add up to {priced}");
            }
            let distortion = self.distortion.unwrap_or_default();
            let _ = writeln!(text, "  predicted distortion {distortion:.4e} ({proof})");
        }
        if let Some(certificate) = &self.side_constraints {
            let distortion = self.distortion.unwrap_or_default();
            let proof = match certificate.proved {
                true => "proved".to_owned(),
                false => format!("within {:.1e} of it", certificate.relative_gap),
            };
            let _ = writeln!(
                text,
                "  predicted distortion {distortion:.4e} (the least with signs in these layers: {proof})"
            );
        }
        if let Some(joint) = &self.joint {
            let _ = writeln!(text, "  {joint}");
        }
        let bare = self.bare_layers();
        if bare > 0 {
            let _ = writeln!(
                text,
                "  {} without any sign: changes of all channels of a layer go together and hurt more than their sum \
                 says, so tune the network before it is used",
                counted(bare, "layer")
            );
        }
        let width = self.layers.iter().map(|l| l.name.len()).max().unwrap_or(0);
        let _ = writeln!(
            text,
            "  {:width$}  {:>13}  {:>21}  {:>23}  {:>19}  distortion",
            "ReLU", "map", "DReLUs", "bytes", "ms on lan"
        );
        for layer in &self.layers {
            let LayerBudget {
                at_1x1: was,
                assigned: is,
                ..
            } = layer;
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

impl BudgetReport {
    /// Layers that have lost all their signs.
    fn bare_layers(&self) -> usize {
        let is_bare = |layer: &&LayerBudget| layer.assigned.drelus == 0 && layer.at_1x1.drelus > 0;
        self.layers.iter().filter(is_bare).count()
    }
}

/// What the gate of one ReLU costs.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Figures {
    /// DReLUs, as they are computed.
    pub drelus: u64,
    /// Bytes of its gate, both phases.
    pub bytes: u64,
    /// Seconds of its gate, arithmetic and transfer without round trips.
    pub seconds: f64,
}

/// How joint assignment went, from the additive optimum on.
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

impl JointValues {
    /// The values of a step whose vectors have so many entries: those of the fit, those held out.
    pub(super) fn of(step: &joint::Step, [fit, held_out]: [usize; 2]) -> Self {
        let held_out_sum = step.held_out.map_or(f64::NAN, |distortion| distortion.joint);
        Self {
            fit: step.fit.joint / fit as f64,
            held_out: held_out_sum / held_out as f64,
        }
    }
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

/// The figures of each ReLU; `distortion` is asked by its name.
pub(super) fn layers(
    before: &Trial,
    after: &Trial,
    distortion: impl Fn(&str) -> Option<f64>,
) -> Vec<LayerBudget> {
    let mut layers = Vec::with_capacity(before.counts.relus.len());
    for (was, is) in before.counts.relus.iter().zip(&after.counts.relus) {
        layers.push(LayerBudget {
            name: was.name.clone(),
            map: was.map,
            channels: was.channels,
            distortion: distortion(&was.name),
            at_1x1: Figures::of(before, was),
            assigned: Figures::of(after, is),
        });
    }
    layers
}

impl Figures {
    fn of(trial: &Trial, relu: &ReluCount) -> Self {
        // Where the layer was split, the part with shared signs has a name of its own.
        let names = [relu.name.clone(), format!("{}{BLOCKS_SUFFIX}", relu.name)];
        let steps = names.iter().filter_map(|name| trial.by_name.get(name));
        let mut figures = Self {
            drelus: relu.signs as u64,
            ..Self::default()
        };
        for step in steps {
            figures.bytes += step.bytes.total;
            figures.seconds += seconds(step);
        }
        figures
    }
}

/// Seconds that the steps of one node take on a local network. Offline, work and transfer go on side by
/// side; online, one waits for the other.
fn seconds(step: &StepCost) -> f64 {
    let Bytes { offline, online, .. } = step.bytes;
    let link = LinkModel::LAN;
    work(step, Phase::Offline, offline).max(link.transfer(offline))
        + work(step, Phase::Online, online)
        + link.transfer(online)
}

/// Seconds of arithmetic in a phase that sends so many bytes.
fn work(step: &StepCost, phase: Phase, bytes: u64) -> f64 {
    let machine = Machine::of(phase);
    step.drelus as f64 * machine.sign + bytes as f64 * machine.byte
}
