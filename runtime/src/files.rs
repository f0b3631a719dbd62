//! Files that this project writes: whole or not at all, and for their owner's eyes only.
//!
//! Plans hold keys; logits, reports, traces and profiles say what a private model made of private
//! images. All of them go through [`PrivateFile`], of the compiler's commands too.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, IntoInnerError, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tempfile::TempPath;

/// A file in the making: written under a name of its own that nobody can guess or take, mode 0600,
/// beside the place that [`commit`](Self::commit) moves it to. Dropped before that it is removed,
/// and what stood in its place stays.
///
/// A place that is a device or a pipe (`/dev/stdout`) is written to as it stands.
#[derive(Debug)]
pub struct PrivateFile {
    path: PathBuf,
    writer: BufWriter<File>,
    /// The name until then; none at a device.
    unfinished: Option<TempPath>,
}

impl PrivateFile {
    /// Begins the file that is to stand at `path`.
    ///
    /// # Errors
    /// If `path` is a folder, or its folder is not there or not writable.
    pub fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        let (file, unfinished) = match fs::metadata(path) {
            Ok(there) if there.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
            Ok(there) if !there.is_file() => (OpenOptions::new().write(true).open(path)?, None),
            _ => {
                let (file, name) = beside(path)?.into_parts();
                (file, Some(name))
            }
        };
        Ok(Self {
            path: path.to_owned(),
            writer: BufWriter::new(file),
            unfinished,
        })
    }

    /// Ends the file: what was written is on the disk and under its name, in place of what was
    /// there before.
    ///
    /// # Errors
    /// If it cannot be written; it is then removed.
    pub fn commit(self) -> io::Result<()> {
        let file = self.writer.into_inner().map_err(IntoInnerError::into_error)?;
        let Some(unfinished) = self.unfinished else {
            return Ok(());
        };
        file.sync_all()?;
        unfinished.persist(&self.path).map_err(io::Error::from)
    }
}

impl Write for PrivateFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl Seek for PrivateFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.writer.seek(to)
    }
}

/// Writes a whole file at once.
///
/// # Errors
/// If it cannot be written; what stood there before then stays.
pub fn write_private(path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    let mut file = PrivateFile::create(path)?;
    file.write_all(bytes.as_ref())?;
    file.commit()
}

/// Refuses a place that a file could not be written to, before work is done for it.
///
/// # Errors
/// If it is a folder, or its folder is not there or not writable.
pub fn check_writable(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        // To open a pipe waits for its reader, and to close it again ends what the reader gets.
        #[cfg(unix)]
        Ok(there) if !there.is_file() && !there.is_dir() => {
            Ok(rustix::fs::access(path, rustix::fs::Access::WRITE_OK)?)
        }
        _ => PrivateFile::create(path).map(drop),
    }
}

/// Makes a folder, and those above it, that only its owner may enter (mode 0700); one that is there
/// stays as it is.
///
/// # Errors
/// If it cannot be made.
pub fn create_private_folder(path: impl AsRef<Path>) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn beside(path: &Path) -> io::Result<tempfile::NamedTempFile> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(".");
    // The name is drawn, the file opened only where there is none, and its mode 0600 from the start.
    tempfile::Builder::new()
        .prefix(&hidden)
        .suffix(".tmp")
        .rand_bytes(12)
        .tempfile_in(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn a_file_is_there_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("o.npy");
        write_private(&path, "before").unwrap();
        let mut file = PrivateFile::create(&path).unwrap();
        file.write_all(b"half").unwrap();
        file.flush().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"before");
        drop(file);
        assert_eq!(names(folder.path()), ["o.npy"]);
        write_private(&path, "after").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"after");
        assert_eq!(names(folder.path()), ["o.npy"]);
    }

    #[test]
    fn failures_leave_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("taken")).unwrap();
        for bad in ["taken", "none/o.npy", ".."] {
            assert!(write_private(folder.path().join(bad), "x").is_err(), "{bad}");
        }
        assert_eq!(names(folder.path()), ["taken"]);
    }

    #[test]
    #[cfg(unix)]
    fn only_the_owner_reads_and_links_are_not_followed() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777;
        let inner = folder.path().join("a/b");
        create_private_folder(&inner).unwrap();
        create_private_folder(&inner).unwrap();
        assert_eq!([mode(&inner), mode(&folder.path().join("a"))], [0o700, 0o700]);

        let (open, elsewhere) = (inner.join("open"), inner.join("elsewhere"));
        fs::write(&open, "old").unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).unwrap();
        write_private(&open, "new").unwrap();
        assert_eq!(mode(&open), 0o600);

        fs::write(&elsewhere, "theirs").unwrap();
        let link = inner.join("link");
        symlink(&elsewhere, &link).unwrap();
        write_private(&link, "ours").unwrap();
        assert_eq!(fs::read(&elsewhere).unwrap(), b"theirs");
        assert_eq!(fs::read(&link).unwrap(), b"ours");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_pipe_is_found_writable_without_being_opened() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let (tell, checked) = std::sync::mpsc::channel();
        std::thread::spawn(move || tell.send(check_writable(&pipe).is_ok()));
        // Nobody reads it, so whoever opens it waits.
        let checked = checked.recv_timeout(std::time::Duration::from_secs(20));
        assert_eq!(checked, Ok(true));
        assert!(check_writable(Path::new("/dev/null")).is_ok());
        assert!(check_writable(folder.path()).is_err());
        assert!(check_writable(&folder.path().join("none/o.npy")).is_err());
        assert_eq!(names(folder.path()), ["pipe"]);
    }

    #[test]
    #[cfg(unix)]
    fn devices_are_written_to_as_they_stand() {
        use std::os::unix::fs::FileTypeExt;
        write_private("/dev/null", "x").unwrap();
        let there = fs::metadata("/dev/null").unwrap();
        assert!(there.file_type().is_char_device());
    }
}
