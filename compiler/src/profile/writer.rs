//! Writing profiles: chunk by chunk, and of shards.

use std::fs;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use trefoil_runtime::files::{PrivateFile, create_private_folder};

use super::chunk::Chunk;
use super::header::{Header, Shard};
use super::summary::{self, Summary};
use super::{ProfileError, differs, io_error};

/// A profile in the making.
#[derive(Debug)]
pub struct Writer {
    folder: PathBuf,
    header: Header,
    done: Vec<Range<usize>>,
}

/// Removes what a measurement that was killed left unfinished.
fn clear(folder: &Path) -> Result<(), ProfileError> {
    for entry in fs::read_dir(folder).map_err(io_error(folder, "read"))? {
        let entry = entry.map_err(io_error(folder, "read"))?;
        if entry.file_name().to_str().is_some_and(is_unfinished) {
            fs::remove_file(entry.path()).map_err(io_error(&entry.path(), "removed"))?;
        }
    }
    Ok(())
}

/// Whether a file of this name is one of a profile that has not got its own name yet.
fn is_unfinished(name: &str) -> bool {
    let name = name.trim_start_matches('.');
    let own = ["images-", "profile.", "distortion."];
    name.ends_with(".tmp") && own.iter().any(|own| name.starts_with(own))
}

impl Writer {
    /// Begins a profile, or goes on with one if `resume` says so and it has begun already.
    ///
    /// # Errors
    /// If there is one and `resume` is not set, or it measures something else.
    pub fn open(folder: &Path, header: Header, resume: bool) -> Result<Self, ProfileError> {
        create_private_folder(folder).map_err(io_error(folder, "written"))?;
        match Header::read(folder) {
            Err(ProfileError::Missing { .. }) => header.write(folder)?,
            Err(error) => return Err(error),
            Ok(_) if !resume => {
                return Err(ProfileError::Exists {
                    folder: folder.to_owned(),
                });
            }
            Ok(there) => {
                there.same_measurement(&header, folder)?;
                if there.shard != header.shard {
                    return Err(differs(
                        folder,
                        "the shard",
                        there.shard.to_string(),
                        header.shard.to_string(),
                    ));
                }
            }
        }
        clear(folder)?;
        let done = Chunk::list(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
            header,
            done,
        })
    }

    /// The first image of this share that is not yet measured.
    pub fn next(&self) -> usize {
        let share = self.header.shard.range(self.header.images);
        let mut next = share.start;
        for images in &self.done {
            if images.start <= next {
                next = next.max(images.end);
            }
        }
        next.min(share.end)
    }

    /// The images to measure next: so many at most, and none that a chunk holds already. Empty if
    /// all are done.
    pub fn next_images(&self, most: usize) -> Range<usize> {
        let start = self.next();
        let share = self.header.shard.range(self.header.images);
        let taken = self
            .done
            .iter()
            .map(|images| images.start)
            .filter(|&at| at > start);
        start..taken.fold(share.end.min(start + most), usize::min)
    }

    /// Adds what images from [`next`](Self::next) on have given.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn add(&mut self, chunk: &Chunk) -> Result<(), ProfileError> {
        chunk.write(&self.folder)?;
        self.done.push(chunk.images.clone());
        self.done.sort_by_key(|images| images.start);
        Ok(())
    }

    /// Sums up.
    ///
    /// # Errors
    /// If a chunk cannot be read, or the summary not written.
    pub fn finish(self) -> Result<Summary, ProfileError> {
        let summary = Summary::of_chunks(&self.folder, &self.header)?;
        summary.write(&self.folder)?;
        Ok(summary)
    }
}

/// Makes one profile of shards.
///
/// # Errors
/// If they do not measure the same, hold the same images twice, are unfinished, or leave images out.
pub fn merge(shards: &[PathBuf], into: &Path) -> Result<Header, ProfileError> {
    let mut merged: Option<Header> = None;
    let mut chunks: Vec<(Range<usize>, &Path)> = Vec::new();
    for folder in shards {
        let header = Header::read(folder)?;
        if !folder.join(summary::FILE).is_file() {
            return Err(ProfileError::Unfinished {
                folder: folder.clone(),
            });
        }
        match &merged {
            Some(first) => header.same_measurement(first, folder)?,
            None => merged = Some(header),
        }
        for images in Chunk::list(folder)? {
            for (taken, owner) in &chunks {
                if images.start < taken.end && taken.start < images.end {
                    return Err(ProfileError::Overlap {
                        folder: owner.to_path_buf(),
                        first: images.start,
                        last: images.end - 1,
                    });
                }
            }
            chunks.push((images, folder));
        }
    }
    let Some(header) = merged else {
        return Err(ProfileError::Empty {
            folder: into.to_owned(),
        });
    };
    let header = Header {
        shard: Shard::WHOLE,
        ..header
    };
    chunks.sort_by_key(|(images, _)| images.start);
    let mut covered = 0;
    for (images, _) in &chunks {
        if images.start > covered {
            break;
        }
        covered = images.end;
    }
    if covered < header.images {
        return Err(ProfileError::Incomplete {
            first: covered,
            images: header.images,
        });
    }
    let writer = Writer::open(into, header.clone(), false)?;
    for (images, folder) in &chunks {
        let to = Chunk::path(into, images);
        copy(&Chunk::path(folder, images), &to).map_err(io_error(&to, "written"))?;
    }
    writer.finish()?;
    Ok(header)
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut file = PrivateFile::create(to)?;
    io::copy(&mut File::open(from)?, &mut file)?;
    file.commit()
}
