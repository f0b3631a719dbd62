//! A folder that is written as a whole or not at all: its files gather beside it, or in it if it is
//! there already, and take their places at the end. What fails, or is stopped, leaves nothing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag::register_usize;
use signal_hook::{SigId, low_level};
use tempfile::TempDir;
use trefoil_runtime::files::create_private_folder;

use super::files::write_private;

/// Files on their way into a folder.
pub(super) struct Staging {
    folder: PathBuf,
    /// Removed when this is dropped.
    staged: TempDir,
    /// Folders above it that were not there, outermost first.
    made: Vec<PathBuf>,
    is_finished: bool,
    // Dropped last: until the rest is cleared away, signals wait.
    _signals: Deferred,
}

impl Staging {
    /// Refuses a folder that cannot be written, before work is done for it. Leaves nothing behind.
    pub(super) fn check(folder: &Path) -> Result<()> {
        let there = folder.ancestors().find(|path| path.exists());
        beside(there.unwrap_or(Path::new(".")))
            .map(drop)
            .with_context(|| cannot(folder))
    }

    /// Begins to write into this folder. Until it has come to its end, signals wait.
    pub(super) fn new(folder: &Path) -> Result<Self> {
        let signals = Deferred::new().context("the signals that stop this program cannot be caught")?;
        let mut made: Vec<PathBuf> = Vec::new();
        let place = if folder.exists() { folder } else { parent(folder) };
        let missing = place
            .ancestors()
            .take_while(|path| !path.as_os_str().is_empty() && !path.exists());
        made.extend(missing.map(Path::to_owned));
        made.reverse();
        let staged = create_private_folder(place).and_then(|()| beside(place));
        let staged = staged
            .inspect_err(|_| remove(&made))
            .with_context(|| cannot(folder))?;
        Ok(Self {
            folder: folder.to_owned(),
            staged,
            made,
            is_finished: false,
            _signals: signals,
        })
    }

    /// Adds a file that only its owner may read.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        write_private(&self.staged.path().join(name), bytes).with_context(|| cannot(&self.folder.join(name)))
    }

    /// Puts everything in its place.
    pub(super) fn finish(mut self) -> Result<()> {
        if !self.folder.is_dir() && fs::rename(self.staged.path(), &self.folder).is_ok() {
            self.is_finished = true;
            return Ok(());
        }
        self.move_files().with_context(|| cannot(&self.folder))?;
        self.is_finished = true;
        Ok(())
    }

    /// Moves the files one by one into a folder that is there already.
    fn move_files(&self) -> io::Result<()> {
        create_private_folder(&self.folder)?;
        for file in fs::read_dir(self.staged.path())? {
            let file = file?;
            fs::rename(file.path(), self.folder.join(file.file_name()))?;
        }
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // Where it was renamed there is nothing left to remove.
        let _ = fs::remove_dir_all(self.staged.path());
        if !self.is_finished {
            remove(&self.made);
        }
    }
}

fn cannot(path: &Path) -> String {
    format!("{} cannot be written", path.display())
}

fn parent(folder: &Path) -> &Path {
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

/// An empty folder in `place` that only its owner may enter: plans hold keys.
fn beside(place: &Path) -> io::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".trefoil-");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
    builder.tempdir_in(place)
}

/// Removes folders that this program has made and left empty, innermost first.
fn remove(made: &[PathBuf]) {
    for folder in made.iter().rev() {
        // Somebody else may have put something there by now.
        let _ = fs::remove_dir(folder);
    }
}

/// While it lives, the signals that stop a program wait; then the last one has its effect.
struct Deferred {
    signal: Arc<AtomicUsize>,
    handlers: Vec<SigId>,
}

impl Deferred {
    fn new() -> io::Result<Self> {
        // What is registered before one fails is undone when this is dropped.
        let mut deferred = Self {
            signal: Arc::default(),
            handlers: Vec::new(),
        };
        for number in [SIGINT, SIGTERM] {
            let handler = register_usize(number, Arc::clone(&deferred.signal), number as usize)?;
            deferred.handlers.push(handler);
        }
        Ok(deferred)
    }
}

impl Drop for Deferred {
    fn drop(&mut self) {
        for handler in self.handlers.drain(..) {
            low_level::unregister(handler);
        }
        match self.signal.load(Ordering::SeqCst) {
            0 => {}
            number => drop(low_level::emulate_default_handler(number as i32)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_folder_is_there_whole_or_not_at_all() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("a/b/plans");
        Staging::check(&folder).unwrap();
        assert!(names(place.path()).is_empty(), "checking leaves nothing");
        let staging = Staging::new(&folder).unwrap();
        staging.write("one", b"1").unwrap();
        drop(staging);
        assert!(names(place.path()).is_empty(), "what is given up leaves nothing");
        let staging = Staging::new(&folder).unwrap();
        staging.write("one", b"1").unwrap();
        staging.finish().unwrap();
        assert_eq!(
            (names(place.path()), names(&folder)),
            (vec!["a".to_owned()], vec!["one".to_owned()])
        );

        // Into a folder that is there, beside what it holds.
        let staging = Staging::new(&folder).unwrap();
        staging.write("two", b"2").unwrap();
        assert!(!folder.join("two").exists());
        staging.finish().unwrap();
        assert_eq!(names(&folder), ["one", "two"]);
    }

    #[test]
    fn a_place_that_is_a_file_is_refused_before_work_is_done() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("file");
        fs::write(&file, "").unwrap();
        for folder in [file.clone(), file.join("plans")] {
            assert!(Staging::check(&folder).is_err());
            assert!(Staging::new(&folder).is_err());
        }
        assert_eq!(names(place.path()), ["file"]);
    }
}
