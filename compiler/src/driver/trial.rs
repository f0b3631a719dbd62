//! What an assignment really costs: the network is lowered with it, on made-up ranges.
//!
//! Messages do not depend on scales, so that no image is needed to count them.

use std::collections::BTreeMap;

use thiserror::Error;
use trefoil_ir::Verified;
use trefoil_ir::mpc::cost::{Cost, StepCost};
use trefoil_ir::mpc::time::LinkModel;
use trefoil_ir::mpc::{Op, Program};
use trefoil_ir::nn::Graph;

use crate::budget::rounds::{in_one_round, shorten};
use crate::lower::{LowerError, LowerOptions, lower};
use crate::pass::{self, Dump, PassFailure, PassOptions};
use crate::patches::Assignment;
use crate::patches::count::{BLOCKS_SUFFIX, Counts, count};
use crate::ranges::{Calibration, ChannelRange, Gains, PatchSums};
use trefoil_ir::nn::Gate;

/// Why a network cannot be compiled, whatever its ranges.
#[derive(Debug, Error)]
pub enum TrialError {
    /// A pass.
    #[error("the network cannot be transformed")]
    Pass(#[from] PassFailure),
    /// Lowering.
    #[error("the network cannot be lowered to a three-party program")]
    Lower(#[from] LowerError),
}

/// A network's cost with some assignment.
pub struct Trial {
    /// The three-party program.
    pub program: Verified<Program>,
    /// What the three-party program costs.
    pub cost: Cost,
    /// DReLUs and multiplications.
    pub counts: Counts,
    /// What the steps cost that come from one node, by its ONNX name.
    pub by_name: BTreeMap<String, StepCost>,
    /// Multiply-adds of the sums over large patches of each gate, by its name in the lowered network.
    pub sum_macs: BTreeMap<String, u64>,
}

impl Trial {
    /// Counts what the network costs with this assignment; over a link, if one is given, with those gates in
    /// one round that are quicker so.
    ///
    /// # Errors
    /// If the network cannot be compiled at all.
    pub fn run(
        imported: &Verified<Graph>,
        relu6_as_relu: bool,
        assignment: Option<&Assignment>,
        link: Option<&LinkModel>,
    ) -> Result<Self, TrialError> {
        let options = PassOptions {
            relu6_as_relu,
            assignment: assignment.cloned(),
            ..PassOptions::default()
        };
        let passed = pass::run(imported.clone(), &options, &mut Dump::none())?;
        let lowered = lower(&passed.graph, &made_up(&passed.graph), &LowerOptions::default())?;
        let program = match link {
            Some(link) => shorten(&lowered.program, link),
            None => lowered.program,
        };
        let cost = Cost::new(&program);
        let mut by_name: BTreeMap<String, StepCost> = BTreeMap::new();
        let mut sum_macs = BTreeMap::new();
        // The sums of a gate are lowered one after the other, and their truncation closes them.
        let mut open_macs = 0;
        for (id, step) in program.ids().zip(&cost.steps) {
            open_macs += step.sum_macs;
            if matches!(program.step(id).op, Op::TruncateSums(_)) {
                let origin = program.step(id).origin.clone();
                *sum_macs.entry(origin).or_default() += std::mem::take(&mut open_macs);
            }
            let sum = by_name.entry(program.step(id).origin.clone()).or_default();
            sum.bytes.offline += step.bytes.offline;
            sum.bytes.online += step.bytes.online;
            sum.bytes.total += step.bytes.total;
            sum.drelus += step.drelus;
            sum.macs += step.macs;
        }
        Ok(Self {
            counts: count(imported, &passed.graph),
            cost,
            by_name,
            sum_macs,
            program,
        })
    }

    /// What the network costs if the gates of these layers take their signs in one round, and all others in two.
    pub fn in_one_round(&self, is_quick: impl Fn(&str) -> bool) -> Cost {
        Cost::new(&in_one_round(&self.program, |id| {
            let origin = self.program.step(id).origin.as_str();
            is_quick(origin.strip_suffix(BLOCKS_SUFFIX).unwrap_or(origin))
        }))
    }
}

/// A calibration in which every value lies between -1 and 1.
fn made_up(graph: &Graph) -> Calibration {
    let mut calibration = Calibration {
        images: 1,
        channels: vec![Vec::new(); graph.id_bound()],
        patch_sums: BTreeMap::new(),
        gains: Gains::none(),
    };
    for id in graph.ids() {
        let node = graph.node(id);
        calibration.channels[id.index()] = vec![ChannelRange { min: -1.0, max: 1.0 }; node.shape.c];
        if let Some(gate) = Gate::of(node).filter(Gate::has_blocks) {
            let sums = PatchSums {
                lower: vec![1.0; node.shape.c],
                upper: gate.upper.map(|_| vec![1.0; node.shape.c]),
            };
            calibration.patch_sums.insert(id, sums);
        }
    }
    calibration
}
