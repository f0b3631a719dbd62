//! Results as a `.npy` that grows with the run.
//!
//! Rows go to `O.npy.partial`, which is a sound array of the rows so far after every append, and
//! which takes the name `O.npy` when the last row is in it. Its room on the disk is reserved before
//! the first: a run of hours must not end for want of it. A run that fails leaves the partial file,
//! and a later one can go on behind its rows, if the [`record`] beside it says that they are of the same
//! plan and images.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, Mode, OFlags, fallocate, fchmod, fstat, fstatvfs, lstat};
use rustix::io::Errno;
use rustix::process::geteuid;
use trefoil_ir::tail::{Array, DType};

use super::error::DataError;
use super::npy;
use record::{Past, Record};

mod record;
#[cfg(test)]
mod tests;

pub use record::Origin;

/// An array that is being written, a row an image.
pub struct ResultsFile {
    path: PathBuf,
    partial: PathBuf,
    /// Whose rows these are.
    record: Record,
    file: File,
    row: Row,
    /// Bytes before the first row, whatever the number of rows.
    header: usize,
    rows: usize,
    /// Rows of the complete array.
    total: usize,
    state: State,
}

/// How far the file of a run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It is only looked at.
    Found,
    /// It is this run's, and grows.
    Begun,
    /// It has its name.
    Complete,
}

/// What one image's result is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Type of its elements.
    pub dtype: DType,
    /// Dimensions, without the images'.
    pub dims: Vec<usize>,
}

impl Row {
    fn elements(&self) -> usize {
        self.dims.iter().product()
    }

    fn bytes(&self) -> usize {
        let mut one = Vec::new();
        self.dtype.push(0.0, &mut one);
        self.elements() * one.len()
    }

    fn header(&self, rows: usize) -> io::Result<Vec<u8>> {
        let shape: Vec<usize> = [rows].iter().chain(&self.dims).copied().collect();
        npy::header_of(self.dtype, &shape)
    }
}

/// What a run left behind that did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The partial file.
    pub path: PathBuf,
    /// Rows in it.
    pub rows: usize,
    /// Rows of the complete array.
    pub total: usize,
}

impl ResultsFile {
    /// Creates the partial file of `path`, for `total` such rows, and reserves their room on the disk.
    ///
    /// # Errors
    /// If the file cannot be created, there is no room for it, or another run's rows are in it.
    pub fn create(path: &Path, row: Row, total: usize, origin: &Origin) -> Result<Self, DataError> {
        let mut results = Self::open(path, row, total, origin)?;
        match results.found()? {
            0 => results.begin_anew()?,
            rows => {
                let path = results.partial.clone();
                return Err(DataError::Unfinished { path, rows });
            }
        }
        Ok(results)
    }

    /// Goes on behind the rows of an interrupted run, or has nothing left to do where that run came to
    /// give the array its name. Without such a run it is [`create`](Self::create).
    ///
    /// # Errors
    /// As [`create`](Self::create), and if those rows are of another kind or origin, or more than `total`.
    pub fn resume(path: &Path, row: Row, total: usize, origin: &Origin) -> Result<Self, DataError> {
        let mut results = Self::open(path, row, total, origin)?;
        let past = results.record.past();
        let past = past.map_err(write_error(results.record.path()))?;
        match results.found()? {
            0 if past == Past::Same && results.is_named() => results.complete()?,
            0 => results.begin_anew()?,
            found => {
                results.expect_same(past)?;
                results.go_on(found)?;
            }
        }
        Ok(results)
    }

    /// Rows so far.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Whether the array has its name.
    pub fn is_complete(&self) -> bool {
        self.state == State::Complete
    }

    /// Where the rows are.
    pub fn place(&self) -> &Path {
        match self.state {
            State::Found | State::Begun => &self.partial,
            State::Complete => &self.path,
        }
    }

    /// Keeps the first `rows` rows alone, of an array that is not complete.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn keep(&mut self, rows: usize) -> Result<(), DataError> {
        if rows < self.rows {
            self.go_on(rows)
        } else {
            Ok(())
        }
    }

    /// Appends one row. The file on the disk is a sound array again when this returns.
    ///
    /// # Errors
    /// If it is of another kind, one too many, or cannot be written; the rows before it are safe.
    pub fn append(&mut self, row: &Array) -> Result<(), DataError> {
        if (row.dtype, &row.dims) != (self.row.dtype, &self.row.dims) || self.rows == self.total {
            return Err(DataError::NoPlace {
                path: self.partial.clone(),
                index: self.rows,
                found: row.dims.clone(),
                shape: self.row.dims.clone(),
                total: self.total,
            });
        }
        let mut bytes = Vec::with_capacity(self.row.bytes());
        for value in &row.values {
            row.dtype.push(*value, &mut bytes);
        }
        let written = self.write_at(self.bytes(self.rows), &bytes);
        let counted = written.and_then(|()| self.count(self.rows + 1));
        counted.map_err(|source| self.failed(source))?;
        self.rows += 1;
        Ok(())
    }

    /// Sees to it that all rows are on the disk. Of several arrays each is before one has its name: what
    /// is found under it is whole, and so are the others.
    ///
    /// # Errors
    /// If the file system refuses; the rows are in the partial file then.
    pub fn sync(&self) -> Result<(), DataError> {
        self.file.sync_all().map_err(|source| self.failed(source))
    }

    /// Gives the complete array its name.
    ///
    /// # Errors
    /// If the file system refuses; the rows are in the partial file then.
    pub fn finish(&mut self) -> Result<(), DataError> {
        if !self.is_complete() {
            fs::rename(&self.partial, &self.path).map_err(|source| self.failed(source))?;
            self.state = State::Complete;
        }
        Ok(())
    }

    /// Forgets which run this was: nothing is left to go on with.
    pub fn forget(&self) {
        self.record.remove();
    }

    /// What there is to keep: nothing if there is no row yet, or the array is complete.
    pub fn kept(&self) -> Option<Kept> {
        (self.rows > 0 && is_still(&self.file, &self.partial)).then(|| Kept {
            path: self.partial.clone(),
            rows: self.rows,
            total: self.total,
        })
    }

    /// Opens the partial file, alone.
    fn open(path: &Path, row: Row, total: usize, origin: &Origin) -> Result<Self, DataError> {
        let partial = partial_path(path).map_err(write_error(path))?;
        // A device, say, would be replaced by a file.
        if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
            return Err(DataError::NotAFile {
                path: path.to_owned(),
            });
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        // What the network says of an image is as secret as the image, and the name can be guessed: no
        // link is followed, and nobody else's file is filled.
        options.mode(0o600).custom_flags(OFlags::NOFOLLOW.bits() as i32);
        let file = options.open(&partial).map_err(write_error(&partial))?;
        match file.try_lock() {
            Ok(()) if is_still(&file, &partial) => {
                claim(&file).map_err(write_error(&partial))?;
            }
            // The other run has finished between the two calls.
            Ok(()) | Err(TryLockError::WouldBlock) => return Err(DataError::InUse { path: partial }),
            Err(TryLockError::Error(source)) => return Err(write_error(&partial)(source)),
        }
        let header = row.header(total).map_err(write_error(&partial))?.len();
        Ok(Self {
            path: path.to_owned(),
            record: Record::beside(&partial, origin.clone()),
            partial,
            file,
            row,
            header,
            rows: 0,
            total,
            state: State::Found,
        })
    }

    /// How many rows an interrupted run left.
    fn found(&self) -> Result<usize, DataError> {
        let length = self.file.metadata().map_err(write_error(&self.partial))?.len();
        if length == 0 {
            return Ok(0);
        }
        match self.rows_in(&self.partial).map_err(write_error(&self.partial))? {
            Some(rows) if rows <= self.total && self.bytes(rows) <= length => Ok(rows),
            _ => Err(self.foreign()),
        }
    }

    /// How many such rows a file says that it holds, if it is an array of them.
    fn rows_in(&self, path: &Path) -> io::Result<Option<usize>> {
        let mut file = File::open(path)?;
        let Ok(header) = npy::read_header(&mut file) else {
            return Ok(None);
        };
        let alike = npy::is_of(&header, self.row.dtype) && file.stream_position()? == self.header as u64;
        let wanted = self.row.dims.iter().map(|&axis| axis as u64);
        Ok(match header.shape().split_first() {
            Some((&rows, shape)) if alike && shape.iter().copied().eq(wanted) => usize::try_from(rows).ok(),
            _ => None,
        })
    }

    /// Whether the complete array has its name already.
    fn is_named(&self) -> bool {
        let whole = self.bytes(self.total);
        fs::metadata(&self.path).is_ok_and(|metadata| metadata.len() == whole)
            && matches!(self.rows_in(&self.path), Ok(Some(rows)) if rows == self.total)
    }

    /// Takes the array that has its name for this run's.
    fn complete(&mut self) -> Result<(), DataError> {
        self.rows = self.total;
        self.state = State::Complete;
        fs::remove_file(&self.partial).map_err(|source| self.failed(source))
    }

    /// Refuses rows of another origin.
    fn expect_same(&self, past: Past) -> Result<(), DataError> {
        let path = self.partial.clone();
        match past {
            Past::Same => Ok(()),
            Past::Unknown => Err(DataError::OfUnknownRun { path }),
            Past::Other(what) => Err(DataError::OfAnotherRun { path, what }),
        }
    }

    /// Begins without a row, and says whose rows those will be.
    fn begin_anew(&mut self) -> Result<(), DataError> {
        self.go_on(0)?;
        let written = self.record.write();
        written.map_err(write_error(self.record.path()))
    }

    /// Makes the file an array of its first `rows` rows, with room for all.
    fn go_on(&mut self, rows: usize) -> Result<(), DataError> {
        self.rows = rows;
        self.state = State::Begun;
        // Rows that are not counted may be there, and not the other way round.
        let counted = self.count(rows);
        let cut = counted.and_then(|()| self.file.set_len(self.bytes(rows)));
        cut.map_err(|source| self.failed(source))?;
        // To set the length gives back what was reserved beyond it, hence in this order.
        self.reserve()
    }

    /// Room for all rows, without any of them.
    fn reserve(&self) -> Result<(), DataError> {
        let needed = self.bytes(self.total);
        let full = match fallocate(&self.file, FallocateFlags::KEEP_SIZE, 0, needed) {
            Ok(()) => false,
            Err(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => true,
            // Not every file system can reserve; what is free now is the best that is known there.
            Err(_) => self.free().is_some_and(|free| free < needed),
        };
        if full { Err(self.no_room(needed)) } else { Ok(()) }
    }

    /// Bytes of the file system that this user may still take.
    fn free(&self) -> Option<u64> {
        let system = fstatvfs(&self.file).ok()?;
        system.f_bavail.checked_mul(system.f_frsize)
    }

    fn no_room(&self, needed: u64) -> DataError {
        DataError::NoRoom {
            path: self.path.clone(),
            needed,
            free: self.free().unwrap_or(0),
        }
    }

    /// Bytes of a file of so many rows.
    fn bytes(&self, rows: usize) -> u64 {
        self.header as u64 + rows as u64 * self.row.bytes() as u64
    }

    /// The header of an array of so many rows, which is as long for each number of them.
    fn header_of(&self, rows: usize) -> io::Result<Vec<u8>> {
        Ok(npy::padded(self.row.header(rows)?, self.header))
    }

    /// Says how many rows there are.
    fn count(&mut self, rows: usize) -> io::Result<()> {
        let header = self.header_of(rows)?;
        self.write_at(0, &header)
    }

    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(at))?;
        self.file.write_all(bytes)
    }

    fn failed(&self, source: io::Error) -> DataError {
        write_error(&self.partial)(source)
    }

    fn foreign(&self) -> DataError {
        DataError::Foreign {
            path: self.partial.clone(),
        }
    }
}

impl Drop for ResultsFile {
    /// Leaves an array of the rows so far, or nothing where there are none.
    fn drop(&mut self) {
        if self.state != State::Begun || !is_still(&self.file, &self.partial) {
            return;
        }
        // There is nobody to tell, and the error that led here says more.
        let _ = match self.rows {
            0 => {
                self.record.remove();
                fs::remove_file(&self.partial)
            }
            // What was reserved and not used is given back, and half a row is cut off.
            rows => self.file.set_len(self.bytes(rows)),
        };
    }
}

fn partial_path(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(ErrorKind::InvalidFilename)?;
    let mut partial = OsString::from(name);
    partial.push(".partial");
    Ok(path.with_file_name(partial))
}

/// Makes sure that the file is this user's, and that nobody else may read it.
fn claim(file: &File) -> io::Result<()> {
    if fstat(file)?.st_uid != geteuid().as_raw() {
        return Err(ErrorKind::PermissionDenied.into());
    }
    Ok(fchmod(file, Mode::RUSR | Mode::WUSR)?)
}

/// Whether the open file is what the name leads to.
fn is_still(file: &File, path: &Path) -> bool {
    match (fstat(file), lstat(path)) {
        (Ok(opened), Ok(named)) => (opened.st_dev, opened.st_ino) == (named.st_dev, named.st_ino),
        _ => false,
    }
}

fn write_error(path: &Path) -> impl FnOnce(io::Error) -> DataError {
    let path = path.to_owned();
    |source| DataError::Write { path, source }
}
