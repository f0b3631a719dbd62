//! Profiles: what calibration has measured of a model, as a folder of files that any program reads.
//!
//! | file | holds |
//! | --- | --- |
//! | `profile.json` | the [`Header`]: model, way of measuring, layers with their patches |
//! | `images-A-B.npz` | what images A to B - 1 gave ([`Chunk`]) |
//! | `distortion.npz` | mean and standard error of all images' distortion, ranges, patch sums ([`Summary`]) |
//!
//! A chunk is written whole or not at all, so that a measurement that was killed goes on behind the
//! last chunk, and shards are merged by bringing their chunks together. The summary is made of the
//! chunks when all images of the profile's share are done; a profile without one is unfinished.

#![cfg_attr(not(test), warn(clippy::wildcard_enum_match_arm))]

mod chunk;
pub mod distortion;
mod header;
mod summary;
mod vectors;
mod writer;

pub use chunk::{Chunk, LayerChunk};
pub use distortion::Sign;
pub use header::{Header, Layer, Method, Shard, ShardError, Value, model_digest};
pub use summary::{LayerSummary, Summary};
pub use vectors::Vectors;
pub use writer::{Writer, merge};

use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use thiserror::Error;

/// A finished profile.
#[derive(Debug)]
pub struct Profile {
    folder: PathBuf,
    /// What was measured, and how.
    pub header: Header,
    /// The distortions over all images.
    pub summary: Summary,
    vectors: OnceLock<Vectors>,
}

impl Profile {
    /// Opens a finished profile.
    ///
    /// # Errors
    /// If a file is missing or damaged, or the measurement has not come to its end.
    pub fn open(folder: &Path) -> Result<Self, ProfileError> {
        let header = Header::read(folder)?;
        let path = folder.join(summary::FILE);
        if !path.is_file() {
            return Err(ProfileError::Unfinished {
                folder: folder.to_owned(),
            });
        }
        let summary = Summary::read(&path, &header)?;
        Ok(Self {
            folder: folder.to_owned(),
            header,
            summary,
            vectors: OnceLock::new(),
        })
    }

    /// A profile that was measured nowhere.
    #[cfg(test)]
    pub(crate) fn of(header: Header, summary: Summary) -> Self {
        Self {
            folder: PathBuf::new(),
            header,
            summary,
            vectors: OnceLock::new(),
        }
    }

    /// Reads the signed vectors of all images, which only a sketch has.
    ///
    /// # Errors
    /// If the profile is not a sketch's, or a chunk is damaged.
    pub fn vectors(&self) -> Result<&Vectors, ProfileError> {
        if let Some(vectors) = self.vectors.get() {
            return Ok(vectors);
        }
        if self.header.method != Method::Sketch {
            return Err(ProfileError::NoVectors {
                folder: self.folder.clone(),
            });
        }
        // Many budgets are solved with one profile, and reading takes longer than solving.
        let vectors = Vectors::read(&self.folder, &self.header)?;
        Ok(self.vectors.get_or_init(|| vectors))
    }
}

/// A profile cannot be read, written or used.
#[derive(Debug, Error)]
pub enum ProfileError {
    /// Reading or writing failed.
    #[error("{} cannot be {doing}", path.display())]
    Io {
        /// Path of the file.
        path: PathBuf,
        /// "read", "written" or "removed".
        doing: &'static str,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The folder holds no profile.
    #[error("{} holds no profile.json: give the folder that `trefoil calibrate` wrote", folder.display())]
    Missing {
        /// Folder of the profile.
        folder: PathBuf,
    },
    /// The measurement was interrupted.
    #[error(
        "the profile {} is unfinished: run `trefoil calibrate` again with --resume",
        folder.display()
    )]
    Unfinished {
        /// Folder of the profile.
        folder: PathBuf,
    },
    /// There is a profile already.
    #[error(
        "{} holds a profile already: give --resume to go on with it, or another folder",
        folder.display()
    )]
    Exists {
        /// Folder of the profile.
        folder: PathBuf,
    },
    /// A file is not what it should be.
    #[error("{} is damaged: {what}; measure again, or fetch the file again", path.display())]
    Damaged {
        /// Path of the file.
        path: PathBuf,
        /// What is wrong, as a clause.
        what: String,
    },
    /// Two profiles, or a profile and the options, do not measure the same.
    #[error(
        "the profile {} differs in {field}: {there} there, {here} here; only equal measurements go together",
        folder.display()
    )]
    Differs {
        /// Folder of the profile.
        folder: PathBuf,
        /// What differs, as the message names it.
        field: &'static str,
        /// Its value in the profile.
        there: String,
        /// Its value in the other profile or the options.
        here: String,
    },
    /// Two shards hold the same images.
    #[error(
        "images {first} to {last} are in {} already: merge each shard once",
        folder.display()
    )]
    Overlap {
        /// The folder that holds them already.
        folder: PathBuf,
        /// The first of them.
        first: usize,
        /// The last of them.
        last: usize,
    },
    /// A shard is missing.
    #[error("the shards leave images out, from number {first} of {images} on: give all of them")]
    Incomplete {
        /// The first that is missing.
        first: usize,
        /// How many there should be.
        images: usize,
    },
    /// No two images: no standard error, and little to rely on.
    #[error("the profile {} holds no image", folder.display())]
    Empty {
        /// Folder of the profile.
        folder: PathBuf,
    },
    /// An exact measurement has no signs.
    #[error(
        "the profile {} has no signed vectors, since its distortion was measured exactly: \
         joint assignment needs `trefoil calibrate --distortion sketch`",
        folder.display()
    )]
    NoVectors {
        /// Folder of the profile.
        folder: PathBuf,
    },
}

fn io_error<'a>(path: &'a Path, doing: &'static str) -> impl FnOnce(io::Error) -> ProfileError + 'a {
    move |source| ProfileError::Io {
        path: path.to_owned(),
        doing,
        source,
    }
}

fn differs(folder: &Path, field: &'static str, there: String, here: String) -> ProfileError {
    ProfileError::Differs {
        folder: folder.to_owned(),
        field,
        there,
        here,
    }
}

fn damaged(path: &Path, what: impl Into<String>) -> ProfileError {
    ProfileError::Damaged {
        path: path.to_owned(),
        what: what.into(),
    }
}

#[cfg(test)]
mod tests;
