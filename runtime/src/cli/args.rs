//! The arguments. Names and flags are a contract with scripts.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand};
use trefoil_ir::mpc::time::LinkModel;

use super::outputs::OutputFiles;
use crate::amount;
use crate::session::MOST_IN_STOCK;

/// Secure inference of three parties: the client learns the prediction, and nobody else anything.
#[derive(Debug, Parser)]
#[command(name = "trefoil-party", version, about)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs all three parties in this process, to try a plan and to measure.
    Local(LocalArgs),
    /// Serves clients with the model's weights.
    Server(ServerArgs),
    /// Deals randomness to server and clients.
    Helper(HelperArgs),
    /// Has its images classified.
    Client(ClientArgs),
}

/// What is done with images, whichever way.
#[derive(Debug, ClapArgs)]
pub struct ImageArgs {
    /// Images: a float32 NCHW .npy, a uint8 NHWC .npy, or a folder of JPEG and PNG.
    #[arg(long, value_name = "DATA")]
    pub data: PathBuf,
    /// Classes: a .npy of integers, or lines "file class", which also select the files.
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// Where outputs go.
    #[command(flatten)]
    pub files: OutputFiles,
    /// Writes what was measured as JSON.
    #[arg(long, value_name = "R.json")]
    pub report: Option<PathBuf>,
    /// Takes the first N images only.
    #[arg(long, value_name = "N", value_parser = positive)]
    pub images: Option<usize>,
    /// Prepares N inferences ahead, at least those of a batch: images then take the online phase
    /// alone.
    #[arg(long, value_name = "N", default_value = "1", value_parser = countable)]
    pub stock: u32,
    /// Runs B images through the same round trips.
    #[arg(long, value_name = "B", default_value = "1", value_parser = countable)]
    pub batch: u32,
}

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
    #[arg(long, value_name = "N", default_value = "1", value_parser = positive)]
    pub repeat: usize,
    /// Delays messages as this network between the parties would: lan, wan, or bandwidth and round
    /// trip, for example 100Mbit,20ms.
    #[arg(long, value_name = "LINK")]
    pub link: Option<LinkModel>,
    /// Writes what each party did when, for ui.perfetto.dev or chrome://tracing.
    #[arg(long, value_name = "T.json")]
    pub trace: Option<PathBuf>,
    /// Computing threads; as many as cores by default.
    #[arg(long, value_name = "N", value_parser = positive)]
    pub threads: Option<usize>,
}

/// What all parties that wait for others have in common.
#[derive(Debug, ClapArgs)]
pub struct PartyArgs {
    /// This party's plan.
    #[arg(long, value_name = "FILE")]
    pub plan: PathBuf,
    /// Gives a peer up that is silent for so many seconds, or slower than 8 kB a second beyond them.
    #[arg(long, value_name = "S", default_value = "60", value_parser = seconds)]
    pub timeout: Duration,
    /// Ends a session after so many seconds.
    #[arg(long, value_name = "S", default_value = "14400", value_parser = seconds)]
    pub session_time: Duration,
    /// Computing threads; as many as cores by default.
    #[arg(long, value_name = "N", value_parser = positive)]
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
    /// Ends a session whose client asks for nothing for so many seconds.
    #[arg(long, value_name = "S", default_value = "30", value_parser = seconds)]
    pub idle_time: Duration,
    /// Lets sessions go on for so many seconds after a request to stop.
    #[arg(long, value_name = "S", default_value = "8", value_parser = seconds)]
    pub grace: Duration,
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
    /// The images.
    #[command(flatten)]
    pub images: ImageArgs,
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("give a whole number of 1 or more".to_owned()),
    }
}

/// How many inferences may be in stock.
fn countable(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(number) if (1..=MOST_IN_STOCK).contains(&number) => Ok(number),
        _ => Err(format!("give a whole number from 1 to {MOST_IN_STOCK}")),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number: Option<f64> = text.parse().ok();
    let allowed = number.filter(|seconds| (0.001..=1e6).contains(seconds));
    allowed
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "give a number of seconds between 0.001 and 1000000".to_owned())
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
            "helper --plan p --listen 127.0.0.1:0 --session-time 60 --idle-time 5 --grace 0.5",
            "client --plan p --server a:1 --helper b:2 --data x --session-time 1e5",
            "client --plan p --server a:1 --helper b:2 --data x --labels l --output o --report r --images 1",
            "local --plans d --data x --stock 4 --batch 2",
            "client --plan p --server a:1 --helper b:2 --data x --stock 100 --batch 16",
            "server --plan p --listen 127.0.0.1:0 --helper 127.0.0.1:7002 --session-memory 1.5GB",
            "server --plan p --listen 127.0.0.1:0 --helper 127.0.0.1:7002 --session-memory 3GiB",
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
            "client --plan p --server a:1 --data x",
        ] {
            let words = std::iter::once("trefoil-party").chain(line.split(' '));
            assert!(Args::try_parse_from(words).is_err(), "{line}");
        }
    }
}
