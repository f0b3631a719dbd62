//! The report of a run: what the plan predicted, measured. Times are wall-clock seconds, bytes are
//! payload, and everything is per image unless it says otherwise.

use std::collections::BTreeMap;

use serde::Serialize;
use trefoil_ir::mpc::cost::{Bytes, Cost};
use trefoil_ir::mpc::time::{self, LinkModel, Work};
use trefoil_ir::mpc::{Party, Phase, Program};

use crate::session::{ImageRecord, ImageRun, Setup};
use crate::wire::Traffic;

/// What `--report` writes.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// How many images were run, repetitions included.
    pub images: usize,
    /// The part of the labelled images whose greatest logit is their label's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top1: Option<f64>,
    /// Means, and medians beside them.
    pub seconds: Seconds,
    /// Payload by phase.
    pub bytes: Bytes,
    /// Bytes of frame headers, which are in no other figure.
    pub headers: u64,
    /// Round trips of the online phase.
    pub round_trips: u64,
    /// What the plan said of an image before it ran.
    pub predicted: Predicted,
    /// The largest size of each party's own buffers, as far as this process knows it.
    pub peak_memory: ByParty<u64>,
    /// Payload by direction and phase.
    pub links: BTreeMap<String, Bytes>,
    /// The key exchange, once a session.
    pub setup: SetupReport,
    /// By step of the program.
    pub steps: Vec<StepReport>,
}

/// What an image should cost, and take over this link on the machine that predictions are for.
#[derive(Clone, Debug, Serialize)]
pub struct Predicted {
    /// The link: "ideal" where messages were not delayed.
    pub link: String,
    /// Payload by phase, exactly.
    pub bytes: Bytes,
    /// Round trips of the online phase, exactly.
    pub round_trips: usize,
    /// Seconds by phase.
    pub seconds: time::Seconds,
    /// What is computed by phase: what seconds are predicted from.
    pub work: WorkReport,
}

/// What is computed by phase.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct WorkReport {
    /// Before the input is known.
    pub offline: Work,
    /// With the input.
    pub online: Work,
}

impl Predicted {
    /// Of a program over a link.
    pub fn new(program: &Program, link: &LinkModel) -> Self {
        let cost = Cost::new(program);
        Self {
            link: link.to_string(),
            bytes: cost.bytes(),
            round_trips: cost.round_trips,
            seconds: time::Seconds::predict(&cost, link),
            work: WorkReport {
                offline: cost.work(Phase::Offline),
                online: cost.work(Phase::Online),
            },
        }
    }
}

/// Mean times of an image, and their medians.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Seconds {
    /// Means.
    #[serde(flatten)]
    pub mean: Times,
    /// Medians.
    pub median: Times,
}

/// Times by phase.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Times {
    /// Until the offline part was done.
    pub offline: f64,
    /// From there to the result.
    pub online: f64,
    /// Both.
    pub total: f64,
}

/// A figure of each party, where it is known: over TCP a party knows its own alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ByParty<T> {
    /// The client's.
    pub client: Option<T>,
    /// The server's.
    pub server: Option<T>,
    /// The helper's.
    pub helper: Option<T>,
}

impl<T> ByParty<T> {
    fn get_mut(&mut self, party: Party) -> &mut Option<T> {
        match party {
            Party::Client => &mut self.client,
            Party::Server => &mut self.server,
            Party::Helper => &mut self.helper,
        }
    }

    fn as_ref(&self) -> ByParty<&T> {
        ByParty {
            client: self.client.as_ref(),
            server: self.server.as_ref(),
            helper: self.helper.as_ref(),
        }
    }

    fn map<U>(self, f: impl Fn(T) -> U) -> ByParty<U> {
        ByParty {
            client: self.client.map(&f),
            server: self.server.map(&f),
            helper: self.helper.map(&f),
        }
    }
}

/// What opening the session cost on the links that this process sees, once.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct SetupReport {
    /// Seconds until all parties had agreed.
    pub seconds: f64,
    /// Payload of the handshakes.
    pub bytes: u64,
    /// Headers of the handshakes.
    pub headers: u64,
}

/// One step.
#[derive(Clone, Debug, Serialize)]
pub struct StepReport {
    /// Its number.
    pub step: u32,
    /// ONNX name of the node that it comes from.
    pub name: String,
    /// The operation.
    pub op: &'static str,
    /// Seconds that each party computed, both phases together.
    pub seconds: ByParty<f64>,
    /// Payload by phase.
    pub bytes: Bytes,
}

/// Gathers the figures of a run, image by image.
pub struct Tally {
    steps: usize,
    offline: Vec<f64>,
    online: Vec<f64>,
    traffic: Traffic,
    parties: ByParty<PartyTally>,
    setup: SetupReport,
    link: LinkModel,
}

/// Sums of one party.
#[derive(Clone, Default)]
struct PartyTally {
    images: usize,
    step_seconds: Vec<f64>,
    peak_memory: u64,
}

impl Tally {
    /// An empty one.
    pub fn new(program: &Program) -> Self {
        Self {
            steps: program.steps.len(),
            offline: Vec::new(),
            online: Vec::new(),
            traffic: Traffic::default(),
            parties: ByParty::default(),
            setup: SetupReport::default(),
            link: LinkModel::IDEAL,
        }
    }

    /// Says over which link the images were run; by default it is the ideal one.
    pub fn over(&mut self, link: LinkModel) {
        self.link = link;
    }

    /// Adds an image as the client saw it. Its links are all there are: the helper sends to it
    /// alone, and server and helper do not speak to each other.
    pub fn image(&mut self, run: &ImageRun) {
        self.offline.push(run.offline.as_secs_f64());
        self.online.push(run.online.as_secs_f64());
        self.traffic.merge(&run.record.traffic);
        self.party(Party::Client, &run.record);
    }

    /// Adds what a party measured of an image.
    pub fn party(&mut self, party: Party, record: &ImageRecord) {
        let steps = self.steps;
        let tally = self.parties.get_mut(party).get_or_insert_default();
        tally.images += 1;
        tally.peak_memory = tally.peak_memory.max(record.measured.peak_memory);
        tally.step_seconds.resize(steps, 0.0);
        for (sum, seconds) in tally.step_seconds.iter_mut().zip(&record.measured.step_seconds) {
            *sum += seconds;
        }
    }

    /// Adds the client's part of the key exchange.
    pub fn setup(&mut self, setup: &Setup) {
        self.setup.seconds = setup.time.as_secs_f64();
        self.setup_traffic(&setup.traffic);
    }

    /// Adds what the handshakes sent on further links.
    pub fn setup_traffic(&mut self, traffic: &Traffic) {
        self.setup.bytes += traffic.control.bytes;
        self.setup.headers += traffic.header_bytes();
    }

    /// How many images were added.
    pub fn images(&self) -> usize {
        self.online.len()
    }

    /// The report.
    pub fn report(&self, program: &Program, top1: Option<f64>) -> Report {
        let images = self.images().max(1) as u64;
        let mut bytes = Bytes::default();
        let mut links: BTreeMap<String, Bytes> = BTreeMap::new();
        for ((link, phase), count) in self.traffic.links() {
            bytes.add(phase, count / images);
            links
                .entry(link.to_string())
                .or_default()
                .add(phase, count / images);
        }
        Report {
            images: self.images(),
            top1,
            seconds: self.seconds(),
            bytes,
            headers: self.traffic.header_bytes() / images,
            round_trips: self.traffic.round_trips / images,
            predicted: Predicted::new(program, &self.link),
            peak_memory: self.parties.as_ref().map(|party| party.peak_memory),
            links,
            setup: self.setup,
            steps: self.step_reports(program, images),
        }
    }

    fn seconds(&self) -> Seconds {
        let total: Vec<f64> = self
            .offline
            .iter()
            .zip(&self.online)
            .map(|(offline, online)| offline + online)
            .collect();
        let times = |of: fn(&[f64]) -> f64| Times {
            offline: of(&self.offline),
            online: of(&self.online),
            total: of(&total),
        };
        Seconds {
            mean: times(mean),
            median: times(median),
        }
    }

    fn step_reports(&self, program: &Program, images: u64) -> Vec<StepReport> {
        let mut bytes = vec![Bytes::default(); program.steps.len()];
        for (step, stage, count) in self.traffic.messages() {
            if let Some(bytes) = bytes.get_mut(step as usize) {
                bytes.add(stage.phase(), count.bytes / images);
            }
        }
        let steps = program.ids().zip(bytes).map(|(id, bytes)| {
            let seconds = |party: &PartyTally| {
                let sum = party.step_seconds.get(id.index()).copied().unwrap_or_default();
                sum / party.images.max(1) as f64
            };
            StepReport {
                step: id.0,
                name: program.step(id).origin.clone(),
                op: program.step(id).op.name(),
                seconds: self.parties.as_ref().map(seconds),
                bytes,
            }
        });
        steps.collect()
    }
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

impl Report {
    /// What people want to know at once, in a few lines.
    pub fn summary(&self) -> String {
        let Times {
            offline,
            online,
            total,
        } = self.seconds.mean;
        let mut lines = vec![
            format!("images       {}", self.images),
            format!("seconds      {total:.4} an image: {offline:.4} offline, {online:.4} online"),
            format!(
                "bytes        {} an image: {} offline, {} online",
                self.bytes.total, self.bytes.offline, self.bytes.online
            ),
            format!("round trips  {}", self.round_trips),
        ];
        if self.predicted.link != LinkModel::IDEAL.to_string() {
            let time::Seconds {
                offline,
                online,
                total,
            } = self.predicted.seconds;
            lines.push(format!(
                "link         {}: predicted {total:.4} an image, {offline:.4} offline, {online:.4} online",
                self.predicted.link
            ));
        }
        if let Some(top1) = self.top1 {
            lines.insert(1, format!("top-1        {:.2}%", 100.0 * top1));
        }
        lines.join("\n")
    }

    /// The file's content.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a report has string keys and no value that JSON lacks")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use trefoil_ir::mpc::Stage;

    use super::*;
    use crate::session::testing::client_plan;
    use crate::wire::Count;

    fn run(offline: u64, online: u64, step_seconds: f64) -> ImageRun {
        let mut record = ImageRecord::default();
        record.measured.step_seconds = vec![step_seconds, 0.0];
        record.measured.peak_memory = 10 * online;
        let count = |messages, bytes| Count { messages, bytes };
        record.traffic.sent.insert((0, Stage::Input), count(1, 72));
        record.traffic.received.insert((1, Stage::Reveal), count(1, 36));
        record.traffic.control = count(4, 0);
        record.traffic.round_trips = 1;
        ImageRun {
            units: vec![],
            offline: Duration::from_secs(offline),
            online: Duration::from_secs(online),
            record,
        }
    }

    #[test]
    fn figures_are_those_of_one_image() {
        let plan = client_plan(1);
        let mut tally = Tally::new(plan.program());
        for (offline, online) in [(1, 2), (1, 3), (1, 10)] {
            tally.image(&run(offline, online, 0.5));
        }
        tally.party(Party::Server, &run(0, 1, 2.0).record);
        let report: serde_json::Value =
            serde_json::from_str(&tally.report(plan.program(), Some(0.75)).to_json()).unwrap();
        assert_eq!(report["images"], 3);
        assert_eq!(report["top1"], 0.75);
        assert_eq!(report["seconds"]["offline"], 1.0);
        assert_eq!(report["seconds"]["online"], 5.0);
        assert_eq!(report["seconds"]["total"], 6.0);
        assert_eq!(report["seconds"]["median"]["total"], 4.0);
        let bytes = serde_json::json!({ "offline": 0, "online": 108, "total": 108 });
        assert_eq!(report["bytes"], bytes);
        assert_eq!(report["headers"], 6 * 16);
        assert_eq!(report["round_trips"], 1);
        assert_eq!(report["links"]["client->server"]["online"], 72);
        assert_eq!(report["predicted"]["link"], "ideal");
        assert_eq!(report["predicted"]["bytes"], bytes);
        assert_eq!(report["predicted"]["round_trips"], 1);
        assert_eq!(report["predicted"]["work"]["online"]["messages"], 2);
        let memory = serde_json::json!({ "client": 100, "server": 10, "helper": null });
        assert_eq!(report["peak_memory"], memory);
        assert_eq!(report["steps"][0]["name"], "x");
        assert_eq!(report["steps"][0]["op"], "input");
        assert_eq!(report["steps"][0]["seconds"]["client"], 0.5);
        assert_eq!(report["steps"][0]["seconds"]["server"], 2.0);
        assert_eq!(report["steps"][1]["bytes"]["online"], 36);
    }

    #[test]
    fn the_summary_names_the_link_if_there_is_one() {
        let plan = client_plan(1);
        let mut tally = Tally::new(plan.program());
        assert!(!tally.report(plan.program(), None).summary().contains("link"));
        tally.over("8Mbit,20ms".parse().unwrap());
        let report = tally.report(plan.program(), None);
        // 108 bytes in two frames at 1 us a byte, and one round trip.
        let online = report.predicted.seconds.online;
        assert!((0.02014..0.021).contains(&online), "{online}");
        let summary = report.summary();
        assert!(
            summary.contains("link         8Mbit,20ms: predicted 0.0"),
            "{summary}"
        );
    }

    #[test]
    fn a_run_without_images_has_a_report() {
        let plan = client_plan(1);
        let report = Tally::new(plan.program()).report(plan.program(), None);
        assert_eq!((report.images, report.seconds.mean.total), (0, 0.0));
    }
}
