//! Which run the rows of a partial file are of, kept beside it: rows of two models, or of other images,
//! must not come into one array.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::files::write_private;

/// More than any record has.
const MOST: u64 = 4096;

/// What results depend on: where two runs have the same, one can go on behind the rows of the other.
/// Both are a line of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The plan, and what the client makes of images and outputs.
    pub plan: String,
    /// The images, in their order.
    pub data: String,
}

/// What a record says of the run that left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Past {
    /// There is none.
    Unknown,
    /// It is of the same origin.
    Same,
    /// Its plan or its data are others.
    Other(&'static str),
}

/// The file `O.npy.partial.run`.
pub(super) struct Record {
    path: PathBuf,
    origin: Origin,
}

impl Record {
    /// The record of a partial file, for a run of this origin.
    pub(super) fn beside(partial: &Path, origin: Origin) -> Self {
        let mut path = OsString::from(partial);
        path.push(".run");
        let path = PathBuf::from(path);
        Self { path, origin }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What an earlier run left there.
    pub(super) fn past(&self) -> io::Result<Past> {
        let mut bytes = Vec::new();
        match File::open(&self.path).and_then(|file| file.take(MOST).read_to_end(&mut bytes)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Past::Unknown),
            read => read?,
        };
        let text = String::from_utf8_lossy(&bytes);
        let [plan, data] = self.lines();
        let mut lines = text.lines();
        Ok(match (lines.next() == Some(&plan), lines.next() == Some(&data)) {
            (true, true) => Past::Same,
            (false, _) => Past::Other("plan"),
            (true, false) => Past::Other("data"),
        })
    }

    /// Leaves it for a later run.
    pub(super) fn write(&self) -> io::Result<()> {
        let [plan, data] = self.lines();
        write_private(&self.path, format!("{plan}\n{data}\n"))
    }

    /// Removes it. What stays is of no run, and harms none.
    pub(super) fn remove(&self) {
        let _ = fs::remove_file(&self.path);
    }

    fn lines(&self) -> [String; 2] {
        let Origin { plan, data } = &self.origin;
        [format!("plan {plan}"), format!("data {data}")]
    }
}
