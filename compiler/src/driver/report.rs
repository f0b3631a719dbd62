//! What a compilation costs: `report.json`, and a table for people.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;
use trefoil_ir::mpc::cost::{Bytes, Cost};
use trefoil_ir::mpc::gate::Rounds;
use trefoil_ir::mpc::memory::{Memory, PartyMemory};
use trefoil_ir::mpc::time::{LinkModel, Seconds};
use trefoil_ir::mpc::{Link, Phase, Program, ValueId};
use trefoil_ir::nn::Graph;
use trefoil_ir::plan::Public;
use trefoil_runtime::amount::{counted, size};
use trefoil_runtime::report::{Links, SCHEMA};

use super::assign::BudgetReport;
use super::breaches::{BreachReport, Breaches};
use crate::patches::count::{Counts, count};
use crate::second_opinion::Opinion;

/// The contents of `report.json`. What it has in common with the report of a run has the same name and
/// shape in both ([`trefoil_runtime::report`]).
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The model's name.
    pub model: String,
    /// Which compilation this is.
    pub plan_id: String,
    /// Hash of the public part of all three plans.
    pub digest: String,
    /// DReLUs of the imported network with a sign per pixel: what budgets are fractions of.
    pub drelus_at_1x1: usize,
    /// DReLUs with the assigned patches, as they are computed: those of a ReLU that went behind a max-pool are
    /// the smaller map's.
    pub drelus: usize,
    /// Signs that the parties compute in gates, those inside maxima included.
    pub signs: u64,
    /// Comparisons of max-pools, which no DReLU count includes.
    pub comparisons: usize,
    /// Multiply-adds of one party.
    pub macs: u64,
    /// Bytes of payload, one image.
    pub bytes: Bytes,
    /// The same by direction.
    pub links: Links,
    /// Messages, each with a header of 16 bytes that `bytes` does not count.
    pub messages: u64,
    /// Round trips of the online phase.
    pub round_trips: usize,
    /// Steps whose signs are taken in one round.
    pub one_round_gates: usize,
    /// Predicted peak memory in bytes: one inference prepared, one image at a time.
    pub peak_memory: PartyBytes,
    /// What each further inference in stock adds to it.
    pub stock_memory: PartyBytes,
    /// What each further image of a batch adds to it, at most, besides its inference in stock.
    pub batch_memory: PartyBytes,
    /// Every step of the program that computes or sends.
    pub steps: Vec<StepReport>,
    /// ReLUs, max-pools and layers of the network.
    pub network: Counts,
    /// Predicted seconds of an image, by network.
    pub predicted_seconds: BTreeMap<String, Seconds>,
    /// What the patches were chosen for, if a budget or uniform patches were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetReport>,
    /// What left its range on the first calibration images.
    pub breaches: BreachReport,
    /// What tract computes of the same file.
    pub second_opinion: Opinion,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// Bytes of memory by party.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PartyBytes {
    /// The client's.
    pub client: u64,
    /// The server's.
    pub server: u64,
    /// The helper's.
    pub helper: u64,
}

impl PartyBytes {
    fn of(memory: &Memory, bytes: impl Fn(&PartyMemory) -> u64) -> Self {
        Self {
            client: bytes(&memory.client),
            server: bytes(&memory.server),
            helper: bytes(&memory.helper),
        }
    }

    /// As a line for people.
    fn line(self) -> String {
        let [client, server, helper] = [self.client, self.server, self.helper].map(size);
        format!("{client:>12}  client, {server} server, {helper} helper")
    }
}

/// One step of the program.
#[derive(Clone, Debug, Serialize)]
pub struct StepReport {
    /// Number of the step.
    pub step: usize,
    /// Name of the op.
    pub op: &'static str,
    /// ONNX name of its origin.
    pub name: String,
    /// Channels, height and width of the result.
    pub output: [usize; 3],
    /// Signs that are taken.
    pub drelus: u64,
    /// Multiply-adds of one party.
    pub macs: u64,
    /// Bytes of payload.
    pub bytes: Bytes,
    /// The same by direction.
    pub links: Links,
}

impl Report {
    /// The report of a compilation.
    pub fn new(
        imported: &Graph,
        graph: &Graph,
        program: &Program,
        public: &Public,
        warnings: Vec<String>,
    ) -> Self {
        let cost = Cost::new(program);
        let memory = Memory::predict(program);
        let network = count(imported, graph);
        Self {
            schema: SCHEMA,
            model: program.name.clone(),
            plan_id: public.plan_id.to_string(),
            digest: public.digest().to_string(),
            drelus_at_1x1: network.drelus_at_1x1,
            drelus: network.signs,
            signs: cost.drelus(),
            comparisons: network.comparisons,
            macs: cost.macs(),
            bytes: cost.bytes(),
            links: links(
                cost.links
                    .iter()
                    .map(|(&(link, phase), &bytes)| (link, phase, bytes)),
            ),
            messages: cost.messages,
            round_trips: cost.round_trips,
            one_round_gates: one_round_gates(program),
            peak_memory: PartyBytes::of(&memory, |party| party.peak(1, 1)),
            stock_memory: PartyBytes::of(&memory, |party| party.stock),
            batch_memory: PartyBytes::of(&memory, |party| party.online),
            steps: steps(program, &cost),
            network,
            predicted_seconds: [LinkModel::LAN, LinkModel::WAN]
                .map(|link| (link.to_string(), Seconds::predict(&cost, &link)))
                .into(),
            budget: None,
            breaches: Breaches::default().report(program),
            second_opinion: Opinion::None {
                reason: "it was not asked for".to_owned(),
            },
            warnings,
        }
    }

    /// A summary for the terminal.
    pub fn summary(&self) -> String {
        let mut text = String::new();
        let share = 100.0 * self.drelus as f64 / self.drelus_at_1x1.max(1) as f64;
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}  plan {}", self.model, &self.plan_id[..16]);
        let _ = writeln!(
            text,
            "  DReLUs       {:>12}  ({share:.1}% of {})",
            grouped(self.drelus as u64),
            grouped(self.drelus_at_1x1 as u64)
        );
        if self.comparisons > 0 {
            let _ = writeln!(
                text,
                "  max-pools    {:>12}  comparisons",
                grouped(self.comparisons as u64)
            );
        }
        let _ = writeln!(text, "  multiply-adds{:>12}  at each party", grouped(self.macs));
        let _ = writeln!(
            text,
            "  traffic      {:>12}  bytes an image: {} online, {} offline",
            grouped(self.bytes.total),
            grouped(self.bytes.online),
            grouped(self.bytes.offline)
        );
        let quick = match self.one_round_gates {
            0 => String::new(),
            gates => format!("  ({} in one round)", counted(gates, "gate")),
        };
        let _ = writeln!(text, "  round trips  {:>12}{quick}", self.round_trips);
        let _ = writeln!(text, "  memory       {}", self.peak_memory.line());
        let _ = writeln!(
            text,
            "  in stock     {}, for each inference",
            self.stock_memory.line()
        );
        for (link, seconds) in &self.predicted_seconds {
            let _ = writeln!(
                text,
                "  time on {link}  {:>12.3}  seconds an image: {:.3} online, {:.3} offline (predicted)",
                seconds.total, seconds.online, seconds.offline
            );
        }
        let _ = writeln!(text, "  tract        {}", self.second_opinion);
        if let Some(budget) = &self.budget {
            text.push_str(&budget.summary());
        }
        for warning in &self.warnings {
            let _ = writeln!(text, "warning: {warning}");
        }
        text
    }
}

/// A number with its thousands apart.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// Bytes by direction and phase, added up.
fn links(bytes: impl Iterator<Item = (Link, Phase, u64)>) -> Links {
    let mut links = Links::new();
    for (link, phase, bytes) in bytes {
        links.entry(link.to_string()).or_default().add(phase, bytes);
    }
    links
}

fn one_round_gates(program: &Program) -> usize {
    let is_quick = |id: &ValueId| {
        let groups = program.step(*id).op.gate_groups(&program.operands(*id));
        let mut groups = groups.into_iter().flatten();
        groups.any(|group| group.form.has_signs() && group.rounds == Rounds::One)
    };
    program.ids().filter(is_quick).count()
}

fn steps(program: &Program, cost: &Cost) -> Vec<StepReport> {
    let mut steps = Vec::new();
    for id in program.ids() {
        let step = program.step(id);
        let cost = &cost.steps[id.index()];
        if cost.macs == 0 && cost.bytes.total == 0 {
            continue;
        }
        let messages = program.messages(id).into_iter();
        steps.push(StepReport {
            step: id.index(),
            op: step.op.name(),
            name: step.origin.clone(),
            output: [step.ty.shape.c, step.ty.shape.h, step.ty.shape.w],
            drelus: cost.drelus,
            macs: cost.macs,
            bytes: cost.bytes,
            links: links(messages.map(|m| (m.stage.link(), m.stage.phase(), m.bytes() as u64))),
        });
    }
    steps
}

#[cfg(test)]
mod tests {
    #[test]
    fn thousands_stand_apart() {
        let texts = [0, 999, 1000, 1_234_567].map(super::grouped);
        assert_eq!(texts, ["0", "999", "1 000", "1 234 567"]);
    }
}
