//! What is measured while a run goes on, and the report that comes of it.

use trefoil_ir::mpc::cost::Bytes;
use trefoil_ir::mpc::time::LinkModel;
use trefoil_ir::mpc::{Party, Phase, Program};

use super::{
    Accuracy, ByParty, Links, Predicted, Report, SCHEMA, Seconds, SetupReport, StepReport, Throughput, Times,
};
use crate::session::{BatchRun, Preparation, Record, Setup};
use crate::wire::Traffic;

/// Gathers the figures of a run, stock by stock and batch by batch.
#[derive(Default)]
pub struct Tally {
    /// By stock: its inferences, and the seconds of their preparation.
    stocks: Vec<(u32, f64)>,
    /// By batch: its images, and the seconds from handing them in to their results.
    batches: Vec<(u32, f64)>,
    /// Inferences in stock now.
    stock: u32,
    /// The most inferences that were in stock so far.
    most_in_stock: u32,
    traffic: Traffic,
    parties: ByParty<PartyTally>,
    setup: SetupReport,
    link: LinkModel,
}

/// Sums of one party.
#[derive(Clone, Default)]
struct PartyTally {
    offline: PhaseTally,
    online: PhaseTally,
    peak_memory: u64,
}

impl PartyTally {
    /// Seconds of a step in both phases, the mean of an inference.
    fn seconds(&self, step: usize) -> f64 {
        self.offline.seconds(step) + self.online.seconds(step)
    }
}

/// Sums of one party in one phase.
#[derive(Clone, Default)]
struct PhaseTally {
    inferences: u32,
    step_seconds: Vec<f64>,
}

impl PhaseTally {
    fn add(&mut self, record: &Record) {
        self.inferences += record.inferences;
        let seconds = &record.measured.step_seconds;
        self.step_seconds
            .resize(self.step_seconds.len().max(seconds.len()), 0.0);
        for (sum, seconds) in self.step_seconds.iter_mut().zip(seconds) {
            *sum += seconds;
        }
    }

    /// Seconds of a step, the mean of an inference.
    fn seconds(&self, step: usize) -> f64 {
        let sum = self.step_seconds.get(step).copied().unwrap_or_default();
        sum / f64::from(self.inferences.max(1))
    }
}

impl Tally {
    /// Says over which link the images were run; by default it is the ideal one.
    pub fn over(&mut self, link: LinkModel) {
        self.link = link;
    }

    /// Adds a stock as the client saw it. Its links are all there are: the helper sends to it alone,
    /// and server and helper do not speak to each other.
    pub fn prepared(&mut self, preparation: &Preparation) {
        let record = &preparation.record;
        self.stocks
            .push((record.inferences, preparation.time.as_secs_f64()));
        self.stock += record.inferences;
        self.most_in_stock = self.most_in_stock.max(self.stock);
        self.traffic.merge(&record.traffic);
        self.party(Party::Client, record);
    }

    /// Adds a batch as the client saw it.
    pub fn batch(&mut self, run: &BatchRun) {
        let record = &run.record;
        self.batches.push((record.inferences, run.time.as_secs_f64()));
        self.stock = self.stock.saturating_sub(record.inferences);
        self.traffic.merge(&record.traffic);
        self.party(Party::Client, record);
    }

    /// Adds what a party measured.
    pub fn party(&mut self, party: Party, record: &Record) {
        let tally = self.parties.get_mut(party).get_or_insert_default();
        tally.peak_memory = tally.peak_memory.max(record.measured.peak_memory);
        match record.phase {
            Phase::Offline => tally.offline.add(record),
            Phase::Online => tally.online.add(record),
        }
    }

    /// Adds the client's part of the key exchange.
    pub fn setup(&mut self, setup: &Setup) {
        // What an earlier session of the same run had in stock was wiped with it.
        self.stock = 0;
        self.setup.seconds += setup.time.as_secs_f64();
        self.setup_traffic(&setup.traffic);
    }

    /// Adds what the handshakes sent on further links.
    pub fn setup_traffic(&mut self, traffic: &Traffic) {
        self.setup.bytes += traffic.control.bytes;
        self.setup.headers += traffic.header_bytes();
    }

    /// How many images were added.
    pub fn images(&self) -> usize {
        self.batches.iter().map(|&(images, _)| images as usize).sum()
    }

    /// Into how many parts the bytes of a phase are divided.
    fn inferences(&self, phase: Phase) -> u64 {
        let count = match phase {
            Phase::Offline => self.stocks.iter().map(|&(stock, _)| u64::from(stock)).sum(),
            Phase::Online => self.images() as u64,
        };
        count.max(1)
    }

    /// The report of what was added so far.
    pub fn report(&self, program: &Program, accuracy: Option<Accuracy>) -> Report {
        let mut bytes = Bytes::default();
        let mut links = Links::new();
        for ((link, phase), count) in self.traffic.links() {
            let count = count / self.inferences(phase);
            bytes.add(phase, count);
            links.entry(link.to_string()).or_default().add(phase, count);
        }
        let headers = self.traffic.header_bytes() + self.traffic.control.bytes;
        let largest = self.batches.iter().map(|&(images, _)| images).max();
        let predicted = Predicted::new(program, &self.link);
        Report {
            schema: SCHEMA,
            model: program.name.clone(),
            images: self.images(),
            stock: self.most_in_stock,
            batch: largest.unwrap_or(0),
            error: None,
            accuracy,
            seconds: self.seconds(),
            throughput: self.throughput(),
            bytes,
            headers: headers / self.inferences(Phase::Online),
            round_trips: self.traffic.round_trips / self.batches.len().max(1) as u64,
            predicted_seconds: [(predicted.link.clone(), predicted.seconds)].into(),
            predicted,
            peak_memory: self.parties.as_ref().map(|party| party.peak_memory),
            links,
            setup: self.setup,
            steps: self.step_reports(program),
        }
    }

    fn seconds(&self) -> Seconds {
        let offline = each(&self.stocks, |stock, seconds| seconds / f64::from(stock));
        let online = each(&self.batches, |_, seconds| seconds);
        let share = each(&self.batches, |images, seconds| seconds / f64::from(images));
        let total: Vec<f64> = offline.iter().zip(&share).map(|(off, on)| off + on).collect();
        Seconds {
            mean: Times {
                offline: mean(&offline),
                online: mean(&online),
                total: mean(&total),
            },
            median: Times {
                offline: median(&offline),
                online: median(&online),
                total: median(&total),
            },
        }
    }

    fn throughput(&self) -> Throughput {
        let images = self.images() as f64;
        let offline: f64 = self.stocks.iter().map(|&(_, seconds)| seconds).sum();
        let online: f64 = self.batches.iter().map(|&(_, seconds)| seconds).sum();
        Throughput {
            online: per_second(images, online),
            total: per_second(images, offline + online),
        }
    }

    fn step_reports(&self, program: &Program) -> Vec<StepReport> {
        let mut bytes = vec![Bytes::default(); program.steps.len()];
        for (step, stage, count) in self.traffic.messages() {
            if let Some(bytes) = bytes.get_mut(step as usize) {
                let phase = stage.phase();
                bytes.add(phase, count.bytes / self.inferences(phase));
            }
        }
        let steps = program.ids().zip(bytes).map(|(id, bytes)| StepReport {
            step: id.0,
            name: program.step(id).origin.clone(),
            op: program.step(id).op.name(),
            seconds: self.parties.as_ref().map(|party| party.seconds(id.index())),
            bytes,
        });
        steps.collect()
    }
}

/// Images per second, or 0 where no time has passed.
fn per_second(images: f64, seconds: f64) -> f64 {
    if seconds > 0.0 { images / seconds } else { 0.0 }
}

/// A figure of every inference, from the figures of those that went together.
fn each(groups: &[(u32, f64)], figure: impl Fn(u32, f64) -> f64) -> Vec<f64> {
    let mut figures = Vec::new();
    for &(count, seconds) in groups {
        figures.extend(std::iter::repeat_n(figure(count, seconds), count as usize));
    }
    figures
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (
        sorted.get(sorted.len().saturating_sub(1) / 2),
        sorted.get(sorted.len() / 2),
    ) {
        (Some(low), Some(high)) => (low + high) / 2.0,
        _ => 0.0,
    }
}
