//! The trace of a session at a party that is alone on its machine: a file of its own, which says of which session
//! it is and when its clock began, so that those of all parties can be put together.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use trefoil_ir::mpc::{Party, Program};

use super::{Recorder, StopWatch, Trace};
use crate::files::{create_private_folder, write_private};
use crate::wire::WallClock;

/// Where a trace comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// The session, as logs name it.
    pub session: String,
    /// The party.
    pub party: String,
    /// When its clock began, as the machine's clock says: microseconds since 1970.
    pub epoch: f64,
}

/// A session's trace at this party.
pub struct Tracer {
    trace: Trace,
    party: Party,
    epoch: SystemTime,
    folder: PathBuf,
}

impl Tracer {
    /// Begins a trace that is to be written into this folder.
    pub fn begin(folder: &Path, party: Party) -> Self {
        Self {
            trace: Trace::new(WallClock::start()),
            party,
            epoch: SystemTime::now(),
            folder: folder.to_owned(),
        }
    }

    /// The party's way to tell what it does.
    pub fn recorder(&self) -> Recorder {
        self.trace.recorder(self.party)
    }

    /// The stop-watch of the party's executor, which tells the same recorder.
    pub fn watch(recorder: Option<&Recorder>) -> StopWatch {
        StopWatch::new(recorder.cloned())
    }

    /// Writes the file: the session's name, and the party's.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, session: impl Display, program: &Program) -> io::Result<PathBuf> {
        let origin = Origin {
            session: session.to_string(),
            party: self.party.to_string(),
            epoch: self
                .epoch
                .duration_since(UNIX_EPOCH)
                .map_or(0.0, |since| since.as_secs_f64() * 1e6),
        };
        create_private_folder(&self.folder)?;
        let path = self
            .folder
            .join(format!("{}.{}.json", origin.session, origin.party));
        write_private(&path, self.trace.to_json_of(program, Some(&origin)))?;
        Ok(path)
    }
}
