//! The arguments. Names and flags are a contract with scripts.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand};
use trefoil_ir::mpc::time::LinkModel;

use super::log::LogFormat;
use super::outputs::OutputFiles;
use super::predictions::Format;
use crate::amount;
use crate::session::MOST_IN_STOCK;
use crate::terminal::{self, Completions, Man};

/// Secure inference of three parties: the client learns the prediction, and nobody else anything.
#[derive(Debug, Parser)]
#[command(
    name = "trefoil-party",
    version,
    long_version = terminal::long_version(),
    after_help = "A plan is tried with `local`; in earnest the helper is started first, then the server, then clients.",
    after_long_help = ENVIRONMENT
)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const ENVIRONMENT: &str = "\
Environment:
  TREFOIL_ISA  vector instructions to use at most: scalar, avx2 or avx512; else the best of this CPU
  NO_COLOR     if it is set, no colours";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs all three parties in this process, to try a plan and to measure.
    #[command(after_help = "\
Examples:
  trefoil-party local --plans plans --data cat.jpg --top 5
  trefoil-party local --plans plans --data test/ --labels labels.txt --quiet --report measured.json
  trefoil-party local --plans plans --data x.npy --link wan --batch 16")]
    Local(LocalArgs),
    /// Deals randomness to server and clients.
    #[command(after_help = "\
Example:
  trefoil-party helper --plan helper.plan --listen 127.0.0.1:7002")]
    Helper(HelperArgs),
    /// Serves clients with the model's weights.
    #[command(after_help = "\
Example:
  trefoil-party server --plan server.plan --listen 127.0.0.1:7001 --helper 127.0.0.1:7002")]
    Server(ServerArgs),
    /// Has its images classified.
    #[command(after_help = "\
Examples:
  trefoil-party client --plan client.plan --server 127.0.0.1:7001 --helper 127.0.0.1:7002 --data cat.jpg
  trefoil-party client ... --data images/ --format csv > predictions.csv
  trefoil-party client ... --data images/ --stock 100 --batch 16 --quiet --output logits.npy")]
    Client(ClientArgs),
    /// Prints what a shell needs to complete commands and flags.
    Completions(Completions),
    /// Writes manual pages.
    Man(Man),
}

/// What is done with images, whichever way.
#[derive(Debug, ClapArgs)]
pub struct ImageArgs {
    /// Images: a float32 NCHW .npy, a uint8 NHWC .npy, a JPEG or PNG, or a folder of them.
    #[arg(long, value_name = "DATA", help_heading = DATA)]
    pub data: PathBuf,
    /// Classes: a .npy of integers, or lines "file class", which also select the files of a folder.
    #[arg(long, value_name = "FILE", help_heading = DATA)]
    pub labels: Option<PathBuf>,
    /// Takes the first N images only.
    #[arg(long, value_name = "N", value_parser = positive, help_heading = DATA)]
    pub images: Option<usize>,
    /// Prints the K likeliest classes of an image [default: 1; of a map the 3 most frequent].
    ///
    /// The score of a class is what the network says of it. Its probability is that where the network
    /// ends in a softmax or a sigmoid, and the softmax of the scores where it ends in logits.
    #[arg(long, value_name = "K", value_parser = positive, help_heading = RESULTS)]
    pub top: Option<usize>,
    /// How predictions are printed.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t, help_heading = RESULTS)]
    pub format: Format,
    /// Prints neither predictions nor progress, and the summary alone.
    #[arg(long, short, help_heading = RESULTS)]
    pub quiet: bool,
    /// Where outputs go, as they come.
    #[command(flatten)]
    pub files: OutputFiles,
    /// Goes on behind the results that an interrupted run left in O.npy.partial.
    #[arg(long, help_heading = RESULTS)]
    pub resume: bool,
    /// Writes what was measured as JSON, also of a run that fails.
    #[arg(long, value_name = "R.json", help_heading = RESULTS)]
    pub report: Option<PathBuf>,
    /// Prepares N inferences ahead, at least those of a batch: images then take the online phase
    /// alone.
    #[arg(long, value_name = "N", default_value = "1", value_parser = countable, help_heading = RUN)]
    pub stock: u32,
    /// Runs B images through the same round trips.
    #[arg(long, value_name = "B", default_value = "1", value_parser = countable, help_heading = RUN)]
    pub batch: u32,
}

const DATA: &str = "Data";
const RESULTS: &str = "Results";
const RUN: &str = "Running";

/// Arguments of `local`.
#[derive(Debug, ClapArgs)]
pub struct LocalArgs {
    /// The folder of client.plan, server.plan and helper.plan.
    #[arg(long, value_name = "DIR")]
    pub plans: PathBuf,
    /// The images.
    #[command(flatten)]
    pub images: ImageArgs,
    /// Runs all images N times over, to measure.
    #[arg(long, value_name = "N", default_value = "1", value_parser = positive, help_heading = RUN)]
    pub repeat: usize,
    /// Delays messages as this network between the parties would: lan, wan, or bandwidth and round
    /// trip, for example 100Mbit,20ms.
    #[arg(long, value_name = "LINK", help_heading = RUN)]
    pub link: Option<LinkModel>,
    /// Writes what each party did when, for ui.perfetto.dev or chrome://tracing.
    #[arg(long, value_name = "T.json", help_heading = RESULTS)]
    pub trace: Option<PathBuf>,
    /// Computing threads, of which more than 4 a core are not started [default: one a core].
    #[arg(long, value_name = "N", value_parser = positive, help_heading = RUN)]
    pub threads: Option<usize>,
}

/// What all parties that wait for others have in common.
#[derive(Debug, ClapArgs)]
pub struct PartyArgs {
    /// This party's plan.
    #[arg(long, value_name = "FILE")]
    pub plan: PathBuf,
    /// Gives a peer up that is silent for so many seconds, or slower than 8 kB a second beyond them.
    #[arg(long, value_name = "S", default_value = "60", value_parser = seconds, help_heading = RUN)]
    pub timeout: Duration,
    /// Ends a session after so many seconds.
    #[arg(long, value_name = "S", default_value = "14400", value_parser = seconds, help_heading = RUN)]
    pub session_time: Duration,
    /// Computing threads, of which more than 4 a core are not started [default: one a core].
    #[arg(long, value_name = "N", value_parser = positive, help_heading = RUN)]
    pub threads: Option<usize>,
}

/// What listening parties have in common.
#[derive(Debug, ClapArgs)]
pub struct ListenArgs {
    /// Where to listen, on loopback; port 0 takes a free one. The address is printed.
    #[arg(long, value_name = "ADDR")]
    pub listen: String,
    /// Serves one session and exits with its status.
    #[arg(long)]
    pub once: bool,
    /// Serves at most so many sessions at a time.
    #[arg(long, value_name = "N", default_value = "8", value_parser = positive)]
    pub sessions: usize,
    /// Lets sessions go on for so many seconds after a request to stop.
    #[arg(long, value_name = "S", default_value = "8", value_parser = seconds)]
    pub grace: Duration,
    /// How the lines on the standard error are written: time, level, session and peer in each.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub log_format: LogFormat,
}

/// Arguments of `server`.
#[derive(Debug, ClapArgs)]
pub struct ServerArgs {
    /// The party's own.
    #[command(flatten)]
    pub party: PartyArgs,
    /// Where and how it listens.
    #[command(flatten)]
    pub listen: ListenArgs,
    /// Where the helper listens.
    #[arg(long, value_name = "ADDR")]
    pub helper: String,
    /// Memory that the stock and the batch of one session may take, such as 500MB or 2GiB. A single
    /// image is always served.
    #[arg(long, value_name = "BYTES", default_value = "1GB", value_parser = amount::bytes)]
    pub session_memory: u64,
    /// Ends a session whose client asks for nothing for so many seconds.
    #[arg(long, value_name = "S", default_value = "30", value_parser = seconds)]
    pub idle_time: Duration,
}

/// Arguments of `helper`.
#[derive(Debug, ClapArgs)]
pub struct HelperArgs {
    /// The party's own.
    #[command(flatten)]
    pub party: PartyArgs,
    /// Where and how it listens.
    #[command(flatten)]
    pub listen: ListenArgs,
}

/// Arguments of `client`.
#[derive(Debug, ClapArgs)]
pub struct ClientArgs {
    /// The party's own.
    #[command(flatten)]
    pub party: PartyArgs,
    /// Where the server listens.
    #[arg(long, value_name = "ADDR")]
    pub server: String,
    /// Where the helper listens.
    #[arg(long, value_name = "ADDR")]
    pub helper: String,
    /// Waits so long for a server or a helper that does not answer yet [default: 10, or --timeout
    /// where that is less].
    #[arg(long, value_name = "S", value_parser = seconds, help_heading = RUN)]
    pub connect_timeout: Option<Duration>,
    /// The images.
    #[command(flatten)]
    pub images: ImageArgs,
}

/// A value that a flag does not take; the flag is named by clap.
#[derive(Debug, thiserror::Error)]
enum ValueError {
    #[error("give a whole number of 1 or more")]
    NotPositive,
    #[error("give a whole number from 1 to {MOST_IN_STOCK}")]
    NotCountable,
    #[error("give a number of seconds between 0.001 and 1000000")]
    NoTime,
}

fn positive(text: &str) -> Result<usize, ValueError> {
    let number = text.parse().ok();
    number.filter(|&number| number > 0).ok_or(ValueError::NotPositive)
}

/// How many inferences may be in stock.
fn countable(text: &str) -> Result<u32, ValueError> {
    let number = text.parse().ok();
    let allowed = number.filter(|number| (1..=MOST_IN_STOCK).contains(number));
    allowed.ok_or(ValueError::NotCountable)
}

fn seconds(text: &str) -> Result<Duration, ValueError> {
    let number: Option<f64> = text.parse().ok();
    let allowed = number.filter(|seconds| (0.001..=1e6).contains(seconds));
    allowed.map(Duration::from_secs_f64).ok_or(ValueError::NoTime)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_contract_is_understood() {
        for line in [
            "local --plans d --data x --labels l --output o.npy --report r.json --images 3 --repeat 2",
            "local --plans d --data x --link 100Mbit,20ms --trace t.json",
            "local --plans d --data x --link wan",
            "local --plans d --data x --output o.npy --logits",
            "local --plans d --data x --output o.npy --logits l.npy",
            "server --plan p --listen 127.0.0.1:0 --helper 127.0.0.1:7002 --once --timeout 2.5 --threads 1",
            "helper --plan p --listen 127.0.0.1:0 --once",
            "helper --plan p --listen 127.0.0.1:0 --session-time 60 --grace 0.5",
            "server --plan p --listen 127.0.0.1:0 --helper 127.0.0.1:7002 --idle-time 5",
            "client --plan p --server a:1 --helper b:2 --data x --session-time 1e5",
            "client --plan p --server a:1 --helper b:2 --data x --labels l --output o --report r --images 1",
            "local --plans d --data x --stock 4 --batch 2",
            "client --plan p --server a:1 --helper b:2 --data x --stock 100 --batch 16",
            "server --plan p --listen 127.0.0.1:0 --helper 127.0.0.1:7002 --session-memory 1.5GB",
            "server --plan p --listen 127.0.0.1:0 --helper 127.0.0.1:7002 --session-memory 3GiB",
            "server --plan p --listen 127.0.0.1:0 --helper 127.0.0.1:7002 --log-format json",
            "local --plans d --data x --top 5 --format jsonl -q --output o.npy --resume",
            "client --plan p --server a:1 --helper b:2 --data x.png --format csv --connect-timeout 0.5",
        ] {
            let words = std::iter::once("trefoil-party").chain(line.split(' '));
            if let Err(error) = Args::try_parse_from(words) {
                panic!("{line}: {error}");
            }
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "local --plans d --data x --images 0",
            "local --plans d --data x --repeat -1",
            "local --plans d --data x --link fast",
            "local --plans d --data x --link 100Mbit",
            "local --plans d --data x --link 0Mbit,20ms",
            "local --plans d --data x --link 100Mbit,nanms",
            "local --plans d --data x --link 1e300Gbit,1ms",
            "local --plans d --data x --link 100Mbit,-20ms",
            "local --plans d --data x --link 100Mbit,1e9s",
            "local --plans d --data x --trace",
            "local --plans d --data x --stock 0",
            "local --plans d --data x --batch 65537",
            "server --plan p --listen a:1 --helper b:2 --session-memory 3GX",
            "helper --plan p --listen a:1 --timeout nan",
            "helper --plan p --listen a:1 --timeout 0",
            "helper --plan p --listen a:1 --idle-time 5",
            "client --plan p --server a:1 --data x",
            "local --plans d --data x --top 0",
            "local --plans d --data x --format json",
        ] {
            let words = std::iter::once("trefoil-party").chain(line.split(' '));
            assert!(Args::try_parse_from(words).is_err(), "{line}");
        }
    }
}
