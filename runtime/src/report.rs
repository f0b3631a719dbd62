//! The report of a run: what the plan predicted, measured. Times are wall-clock seconds, bytes are
//! payload, and everything is per image unless it says otherwise: what passes before an image is
//! known is divided by the inferences that were prepared, the rest by the images that were run.

mod tally;

use std::collections::BTreeMap;
use std::fmt;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};
use trefoil_ir::mpc::cost::{Bytes, Cost};
use trefoil_ir::mpc::time::{self, LinkModel, Work};
use trefoil_ir::mpc::{Party, Phase, Program};

pub use tally::Tally;

/// Version of what programs read: of this report, of the compiler's `report.json`, and of what
/// commands print with `--format json`. It grows when a name or a shape changes, and not when one is
/// added.
pub const SCHEMA: u32 = 2;

/// Bytes of payload by direction, such as `client->server`.
pub type Links = BTreeMap<String, Bytes>;

/// What `--report` writes. What it has in common with the compiler's `report.json` has the same name
/// and shape in both.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The model's name.
    pub model: String,
    /// How many images were run, repetitions included.
    pub images: usize,
    /// The most inferences that were in stock at a time.
    pub stock: u32,
    /// The most images that were run together.
    pub batch: u32,
    /// Why the run ended early, if it did: its figures are those of the images before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The part of the labelled images whose greatest logit is their label's.
    #[serde(flatten)]
    pub accuracy: Option<Accuracy>,
    /// Means, and medians beside them.
    pub seconds: Seconds,
    /// Images per second.
    pub throughput: Throughput,
    /// Payload by phase.
    pub bytes: Bytes,
    /// Bytes of frame headers and of announcements, which are in no other figure: an image's part
    /// of them, rounded down.
    pub headers: u64,
    /// Round trips of the online phase, which the images of a batch share.
    pub round_trips: u64,
    /// What the plan said of an image before it ran.
    pub predicted: Predicted,
    /// Its seconds once more, under the name of the link, as `report.json` has them for several.
    pub predicted_seconds: BTreeMap<String, time::Seconds>,
    /// The largest size of each party's own buffers, as far as this process knows it.
    pub peak_memory: ByParty<u64>,
    /// Payload by direction and phase.
    pub links: Links,
    /// The key exchange, once a session.
    pub setup: SetupReport,
    /// By step of the program.
    pub steps: Vec<StepReport>,
}

/// How many images were recognised of those that are labelled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accuracy {
    /// Images whose greatest logit is their label's.
    pub correct: usize,
    /// Images with a label.
    pub labelled: usize,
}

impl Accuracy {
    /// One more image, recognised or not.
    pub fn count(&mut self, correct: bool) {
        self.labelled += 1;
        self.correct += usize::from(correct);
    }

    /// Whether it is of any image.
    pub fn is_of_some(&self) -> bool {
        self.labelled > 0
    }

    /// The part that was recognised.
    pub fn part(&self) -> f64 {
        self.correct as f64 / self.labelled.max(1) as f64
    }
}

impl fmt::Display for Accuracy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { correct, labelled } = self;
        write!(f, "{:.2}% ({correct} of {labelled})", 100.0 * self.part())
    }
}

impl Serialize for Accuracy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Accuracy", 3)?;
        fields.serialize_field("top1", &self.part())?;
        fields.serialize_field("correct", &self.correct)?;
        fields.serialize_field("labelled", &self.labelled)?;
        fields.end()
    }
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
    /// Predicts what an image costs with this program over this link.
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
    /// Means over all images.
    #[serde(flatten)]
    pub mean: Times,
    /// Medians over all images.
    pub median: Times,
}

/// Times by phase. The client's reading of files is in none of them.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Times {
    /// To prepare an inference: from the announcement of a stock until all parties had prepared
    /// it, divided by the inferences of that stock. With a stock nobody waits for it.
    pub offline: f64,
    /// What a user waits for: from handing in a batch to its results. All of its images take as
    /// long.
    pub online: f64,
    /// What an image takes of the parties' time: `offline`, and `online` divided by the images of
    /// its batch. Without a batch, what a user waits for who has no stock.
    pub total: f64,
}

/// Images per second, over the whole run.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Throughput {
    /// Images divided by the seconds in which there was one online: out of a stock that suffices.
    pub online: f64,
    /// Images divided by the seconds of both phases, which do not overlap.
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

/// One step of the program.
#[derive(Clone, Debug, Serialize)]
pub struct StepReport {
    /// Its number in the program, from 0.
    pub step: u32,
    /// ONNX name of the node that it comes from.
    pub name: String,
    /// The name of its op.
    pub op: &'static str,
    /// Seconds that each party computed, both phases together.
    pub seconds: ByParty<f64>,
    /// Payload by phase.
    pub bytes: Bytes,
}

impl Report {
    /// What people want to know at once, in a few lines.
    pub fn summary(&self) -> String {
        let Times {
            offline,
            online,
            total,
        } = self.seconds.mean;
        let of_batch = match self.batch {
            0 | 1 => String::new(),
            images => format!(" for a batch of {images}"),
        };
        let Throughput {
            online: fast,
            total: slow,
        } = self.throughput;
        let median = self.seconds.median.total;
        let mut lines = vec![
            format!("images       {}", self.images),
            format!(
                "seconds      {total:.4} an image (median {median:.4}): {offline:.4} offline, \
                 {online:.4} online{of_batch}"
            ),
            format!("throughput   {slow:.1} images a second, {fast:.1} out of a stock"),
            format!(
                "bytes        {} an image: {} offline, {} online",
                self.bytes.total, self.bytes.offline, self.bytes.online
            ),
            format!("round trips  {}{of_batch}", self.round_trips),
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
        if let Some(accuracy) = &self.accuracy {
            lines.insert(1, format!("top-1        {accuracy}"));
        }
        lines.join("\n")
    }

    /// The file's content.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a report has string keys and no value that JSON lacks")
    }
}

#[cfg(test)]
mod tests;
