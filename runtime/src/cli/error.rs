//! What a command can fail with: where first, the cause as its source.

use std::io;
use std::path::PathBuf;

use trefoil_ir::mpc::Party;
use trefoil_ir::plan::PlanError;

use super::exit::Exit;
use crate::accounts::{ClientsError, ClientsFault, LedgerError};
use crate::data::DataError;
use crate::kernel::UnknownIsa;
use crate::keys::KeyError;
use crate::net::NetError;
use crate::net::offer::NoPlan;
use crate::net::tls::TlsError;
use crate::operations::OperationsError;
use crate::session::SessionError;
use crate::settings::SettingsError;
use crate::trace::MergeError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// A plan file cannot be read.
    #[error("cannot read the plan `{}`: check that it exists and that you may read it", path.display())]
    ReadPlan {
        /// The plan's file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A plan file cannot be used.
    #[error("cannot use the plan `{}`", path.display())]
    Plan {
        /// The plan's file.
        path: PathBuf,
        /// What is wrong with it.
        source: PlanError,
    },
    /// A trace cannot be read.
    #[error("cannot read the trace `{}`: check that it exists and that you may read it", path.display())]
    ReadTrace {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Traces that do not belong together.
    #[error(transparent)]
    Timeline(#[from] MergeError),
    /// The doctor has found something.
    #[error("{} not well: see above", if *bad == 1 { "one thing is".to_owned() } else { format!("{bad} things are") })]
    Unwell {
        /// How many things.
        bad: usize,
    },
    /// There is no plan.
    #[error("there is no plan at `{}`", path.display())]
    NoPlan {
        /// Where plans should be.
        path: PathBuf,
        /// Why that is wrong.
        source: NoPlan,
    },
    /// The settings.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// An address that is none.
    #[error("`{address}` is no address of the {party}: write host:port, as in helper.example.org:7002")]
    Address {
        /// Whose it should be.
        party: Party,
        /// What was given.
        address: String,
    },
    /// The party's own key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Encryption cannot be prepared.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The list of clients.
    #[error(transparent)]
    ClientsFile(#[from] ClientsError),
    /// The list of clients, beside the parties' keys.
    #[error("cannot use the list of clients `{}`", path.display())]
    Clients {
        /// The list.
        path: PathBuf,
        /// What is wrong with it.
        source: ClientsFault,
    },
    /// The counters that survive a restart.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// What operators look at.
    #[error(transparent)]
    Operations(#[from] OperationsError),
    /// Images, labels or results.
    #[error(transparent)]
    Data(#[from] DataError),
    /// An image that the plan cannot take.
    #[error("cannot use image {name}: {problem}")]
    Image {
        /// Its file or number.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A label that is no class of the network's.
    #[error(
        "image {name} has the label {label}, and the network's classes are 0 to {last}: correct the labels"
    )]
    Label {
        /// Its file or number.
        name: String,
        /// The class that the labels give it.
        label: i64,
        /// The network's last class.
        last: usize,
    },
    /// The logits have no file.
    #[error("`--logits` without a file writes to that of `--output`: give one of the two")]
    LogitsFile,
    /// Outputs and logits have one file.
    #[error(
        "`--output` and `--logits` both name `{}`: give each a file of its own, or `--logits` without one to \
         write the logits in place of the output",
        path.display()
    )]
    OneFile {
        /// The file that both name.
        path: PathBuf,
    },
    /// A result that cannot be written.
    #[error("cannot write `{}`: check that its folder exists, is writable and has space", path.display())]
    Write {
        /// The file to be written.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The run failed, and what it had come to is kept.
    #[error(
        "{rows} of {total} results are in {}, and --resume goes on behind them; the run ended early",
        paths.iter().map(|path| format!("`{}`", path.display())).collect::<Vec<_>>().join(" and ")
    )]
    Interrupted {
        /// The partial files.
        paths: Vec<PathBuf>,
        /// Results in each.
        rows: usize,
        /// Results there were to be in each.
        total: usize,
        /// Why it failed.
        source: Box<CliError>,
    },
    /// The run failed, and what it had come to was printed.
    #[error("{done} of {total} images have results; the run ended early")]
    Incomplete {
        /// Images that have results.
        done: usize,
        /// Images there are.
        total: usize,
        /// Why it failed.
        source: Box<CliError>,
    },
    /// Two files of results are not of one run.
    #[error(
        "`{}` holds {rows} results and `{}` holds {fewer}, which no run leaves behind: give --resume files of one \
         run, or remove those that are in the way to begin anew",
        longer.display(),
        shorter.display()
    )]
    Apart {
        /// The one that holds more.
        longer: PathBuf,
        /// Results in it.
        rows: usize,
        /// The one that holds less.
        shorter: PathBuf,
        /// Results in it.
        fewer: usize,
    },
    /// Nothing could be resumed.
    #[error("`--resume` goes on behind the results in a file: give its name with --output or --logits")]
    NothingToResume,
    /// A signal.
    #[error("stopped by a signal")]
    Stopped,
    /// The environment asks for an instruction set that there is none of.
    #[error(transparent)]
    Isa(#[from] UnknownIsa),
    /// The standard output fails.
    #[error("cannot write to the standard output")]
    Stdout(#[source] io::Error),
    /// A party cannot be reached, or the address not be listened on.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The session, as this party sees it.
    #[error("the {party} gives up")]
    Session {
        /// The party whose session it is, in this process.
        party: Party,
        /// Why.
        source: Box<SessionError>,
    },
    /// A party's thread panicked.
    #[error("the {party} failed by a defect of this program; its message stands above: please report it")]
    Panicked {
        /// The party whose thread it was.
        party: Party,
    },
    /// The threads cannot be started.
    #[error("cannot start the computing threads: try fewer --threads")]
    Threads(#[source] rayon::ThreadPoolBuildError),
    /// A thread cannot be started.
    #[error("cannot start the thread that reads images: raise the system's limit of threads")]
    Reader(#[source] io::Error),
}

impl CliError {
    /// The code with which the process ends.
    pub fn exit(&self) -> Exit {
        match self {
            CliError::Interrupted { .. } | CliError::Incomplete { .. } => Exit::Incomplete,
            CliError::Net(error) => Exit::of_net(error),
            CliError::Session { source, .. } => Exit::of_session(source),
            _ => Exit::Wrong,
        }
    }

    /// Whether a new session may succeed where this one has failed.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self.exit(), Exit::Busy | Exit::Lost)
    }

    /// Whether another party's error says more about the cause.
    pub fn is_consequence(&self) -> bool {
        matches!(self, CliError::Session { source, .. } if source.is_consequence())
    }
}
