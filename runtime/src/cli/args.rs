//! The arguments. Names and flags are a contract with scripts.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};
use trefoil_ir::mpc::time::LinkModel;

use super::outputs::OutputFiles;
use super::predictions::Format;
use crate::session::MOST_IN_STOCK;
use crate::settings::value::positive;
use crate::settings::{Settings, SettingsError};
use crate::terminal::{self, Completions, Man};

/// Secure inference of three parties: the client learns the prediction, and nobody else anything.
#[derive(Debug, Parser)]
#[command(
    name = "trefoil-party",
    version,
    long_version = terminal::long_version(),
    // Of a flag that is given twice the last counts, as scripts that add to a command expect.
    args_override_self = true,
    after_help = "A plan is tried with `local`; in earnest helper and server run `serve`, and clients `client`, each with the folder \
                  that `trefoil deploy` made for it.",
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

const EXIT_CODES: &str = "\
Exit codes:
  0  every image has its result
  1  something is wrong here: an input, a plan, a file, or a peer that breaks the protocol
  2  the command was not understood
  3  all places are taken, at the server or the helper
  4  a party refuses this client: its key, its plan, or what it may have
  5  a party could not be reached, or was lost
  6  some images have results, and the others have none";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs all three parties in this process, to try a plan and to measure.
    #[command(after_help = "\
Examples:
  trefoil-party local --plans plans --data cat.jpg --top 5
  trefoil-party local --plans plans --data test/ --labels labels.txt --quiet --report measured.json
  trefoil-party local --plans plans --data x.npy --link wan --batch 16")]
    Local(Box<LocalArgs>),
    /// Makes a key by which the others know this party, and prints its public half.
    #[command(after_help = "\
Example:
  trefoil-party keygen -o party.key")]
    Keygen(KeygenArgs),
    /// Runs a server or a helper, as its settings say; SIGHUP reads plans and clients again.
    #[command(after_help = "\
Examples:
  trefoil-party serve --config party.toml
  trefoil-party serve --config party.toml --log-format json --sessions 16")]
    Serve(Box<ServeArgs>),
    /// Has its images classified.
    #[command(after_help = "\
Examples:
  trefoil-party client --config party.toml --data cat.jpg
  trefoil-party client --config party.toml --data images/ --format csv
  trefoil-party client --config party.toml --data images/ --stock 100 --batch 16 --quiet --output logits.npy",
        after_long_help = EXIT_CODES)]
    Client(Box<ClientArgs>),
    /// Looks at what a party needs: key, plans, clock, memory, processor, and the way to its peers.
    #[command(after_help = "\
Example:
  trefoil-party doctor --config party.toml")]
    Doctor(Box<DoctorArgs>),
    /// Puts the traces of a session together that its parties have each written with --trace.
    #[command(after_help = "\
Example:
  trefoil-party timeline 5e55.client.json 5e55.server.json 5e55.helper.json -o 5e55.json")]
    Timeline(TimelineArgs),
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

/// Where a party's settings come from.
#[derive(Debug, ClapArgs)]
pub struct SettingsArgs {
    /// The file of settings; a flag or a variable wins over it.
    #[arg(long, value_name = "party.toml", env = "TREFOIL_CONFIG")]
    pub config: Option<PathBuf>,
    /// Those that are given as flags and variables.
    #[command(flatten)]
    pub settings: Settings,
}

impl SettingsArgs {
    /// All that is given, wherever.
    ///
    /// # Errors
    /// If the file cannot be used.
    pub fn all(&self) -> Result<Settings, SettingsError> {
        let mut given = self.settings.clone();
        given.mark_ambient(|name| std::env::var(name).ok());
        match &self.config {
            Some(path) => Ok(given.or(Settings::read(path)?)),
            None => Ok(given),
        }
    }
}

/// Arguments of `serve`.
#[derive(Debug, ClapArgs)]
pub struct ServeArgs {
    /// The party's settings.
    #[command(flatten)]
    pub party: SettingsArgs,
    /// Serves one session and exits with its status.
    #[arg(long)]
    pub once: bool,
}

/// Arguments of `client`.
#[derive(Debug, ClapArgs)]
pub struct ClientArgs {
    /// The party's settings.
    #[command(flatten)]
    pub party: SettingsArgs,
    /// The images.
    #[command(flatten)]
    pub images: ImageArgs,
}

/// Arguments of `doctor`.
#[derive(Debug, ClapArgs)]
pub struct DoctorArgs {
    /// The party's settings.
    #[command(flatten)]
    pub party: SettingsArgs,
}

/// Arguments of `timeline`.
#[derive(Debug, ClapArgs)]
pub struct TimelineArgs {
    /// One file of each party, the client's among them.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Where it goes, for ui.perfetto.dev or chrome://tracing.
    #[arg(long = "out", short, value_name = "T.json")]
    pub output: PathBuf,
}

/// Arguments of `keygen`.
#[derive(Debug, ClapArgs)]
pub struct KeygenArgs {
    /// Where the secret key goes, readable for you alone. A key that is there is never written over.
    #[arg(long = "out", short, value_name = "FILE", required_unless_present = "public")]
    pub output: Option<PathBuf>,
    /// Makes no key, and prints the public key of this file.
    #[arg(long, value_name = "FILE", conflicts_with = "output")]
    pub public: Option<PathBuf>,
}

/// How many inferences may be in stock.
fn countable(text: &str) -> Result<u32, NotCountable> {
    let number = text.parse().ok();
    let allowed = number.filter(|number| (1..=MOST_IN_STOCK).contains(number));
    allowed.ok_or(NotCountable)
}

/// No number of inferences; the flag is named by clap.
#[derive(Debug, thiserror::Error)]
#[error("give a whole number from 1 to {MOST_IN_STOCK}")]
struct NotCountable;

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
            "serve --config party.toml",
            "serve --config party.toml --once --timeout 2.5 --threads 1",
            "serve --role server --plans p --listen 127.0.0.1:0 --helper h:7002 --idle-time 5",
            "serve --config party.toml --session-time 60 --grace 0.5 --log-format json",
            "client --config c --data x --session-time 1e5 --retries 0",
            "client --config c --server a:1 --helper b:2 --data x --labels l --output o --report r --images 1",
            "keygen -o party.key",
            "keygen --public party.key",
            "doctor --config party.toml",
            "local --plans d --data x --stock 4 --batch 2",
            "client --config c --data x --stock 100 --batch 16",
            "serve --config c --session-memory 1.5GB",
            "serve --config c --session-memory 3GiB",
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
            "serve --config c --session-memory 3GX",
            "serve --config c --timeout nan",
            "serve --config c --timeout 0",
            "serve --config c --log-level loud",
            "serve --config c --helper-key x",
            "client --config c",
            "keygen",
            "keygen -o a --public b",
            "local --plans d --data x --top 0",
            "local --plans d --data x --format json",
        ] {
            let words = std::iter::once("trefoil-party").chain(line.split(' '));
            assert!(Args::try_parse_from(words).is_err(), "{line}");
        }
    }
}
