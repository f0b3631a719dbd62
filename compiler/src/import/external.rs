//! Tensors that lie in files beside the model: only in the model's own folder, only as many bytes
//! as the tensor has.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use tract_onnx::pb::StringStringEntryProto;

use super::error::ExternalError;

/// The folder in which external data may lie, if there is one.
#[derive(Clone, Debug)]
pub(super) struct Folder(Option<PathBuf>);

impl Folder {
    /// The folder at `path`.
    pub(super) fn new(path: Option<&Path>) -> Self {
        let Some(path) = path else {
            return Self(None);
        };
        // What stands beside `model.onnx` is in the current folder, and that has no empty path.
        let is_current = path.as_os_str().is_empty();
        Self(Some(if is_current {
            PathBuf::from(".")
        } else {
            path.to_owned()
        }))
    }

    /// No folder: external data is an error.
    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self(None)
    }

    /// The `expected` bytes that a tensor's `entries` point at.
    pub(super) fn read(
        &self,
        entries: &[StringStringEntryProto],
        expected: usize,
    ) -> Result<Vec<u8>, ExternalError> {
        let location = entry(entries, "location").ok_or(ExternalError::NoLocation)?;
        let offset = number(entries, "offset")?.unwrap_or(0);
        let length = number(entries, "length")?.unwrap_or(expected as u64);
        if length != expected as u64 {
            return Err(ExternalError::Length {
                given: length,
                expected: expected as u64,
            });
        }
        let path = self.resolve(location)?;
        let mut file = File::open(path).map_err(|error| unreadable(location, &error))?;
        let metadata = file.metadata().map_err(|error| unreadable(location, &error))?;
        if !metadata.is_file() {
            return Err(ExternalError::Outside(location.to_owned()));
        }
        let size = metadata.len();
        if offset.checked_add(length).is_none_or(|end| end > size) {
            return Err(ExternalError::OutOfBounds {
                location: location.to_owned(),
                offset,
                length,
                size,
            });
        }
        let mut bytes = vec![0; expected];
        file.seek(SeekFrom::Start(offset))
            .and_then(|_| file.read_exact(&mut bytes))
            .map_err(|error| unreadable(location, &error))?;
        Ok(bytes)
    }

    /// The file at `location`, wherever links lead, provided that it lies in the folder.
    fn resolve(&self, location: &str) -> Result<PathBuf, ExternalError> {
        let folder = self.0.as_ref().ok_or(ExternalError::NoFolder)?;
        if !leads_down(location) {
            return Err(ExternalError::Outside(location.to_owned()));
        }
        match regular_file(folder, location) {
            Ok(Some(path)) => Ok(path),
            Ok(None) => Err(ExternalError::Outside(location.to_owned())),
            Err(error) => Err(unreadable(location, &error)),
        }
    }
}

/// Whether a path, as it is written, leads from a folder to something in it.
fn leads_down(location: &str) -> bool {
    let mut components = Path::new(location).components();
    !location.is_empty() && components.all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

/// The file at `location`, links followed; `None` if it lies outside of the folder, or is none: a pipe or
/// device would block or never end.
fn regular_file(folder: &Path, location: &str) -> io::Result<Option<PathBuf>> {
    let folder = fs::canonicalize(folder)?;
    let path = fs::canonicalize(folder.join(location))?;
    let is_regular = fs::metadata(&path)?.is_file();
    Ok((is_regular && path.starts_with(&folder)).then_some(path))
}

fn unreadable(location: &str, error: &io::Error) -> ExternalError {
    ExternalError::Unreadable {
        location: location.to_owned(),
        reason: error.to_string(),
    }
}

fn entry<'e>(entries: &'e [StringStringEntryProto], key: &str) -> Option<&'e str> {
    let found = entries.iter().find(|entry| entry.key == key)?;
    Some(found.value.as_str())
}

/// An entry that must be a number of bytes, if it is there.
fn number(entries: &[StringStringEntryProto], key: &'static str) -> Result<Option<u64>, ExternalError> {
    let Some(value) = entry(entries, key) else {
        return Ok(None);
    };
    match value.parse() {
        Ok(number) => Ok(Some(number)),
        Err(_) => Err(ExternalError::NotANumber {
            key,
            value: value.chars().take(40).collect(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(pairs: &[(&str, &str)]) -> Vec<StringStringEntryProto> {
        let entry = |&(key, value): &(&str, &str)| StringStringEntryProto {
            key: key.to_owned(),
            value: value.to_owned(),
        };
        pairs.iter().map(entry).collect()
    }

    #[test]
    fn bytes_are_read_at_their_offset() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("w.bin"), [1, 2, 3, 4, 5]).unwrap();
        let folder = Folder::new(Some(root.path()));
        let at = entries(&[("location", "w.bin"), ("offset", "1"), ("length", "3")]);
        assert_eq!(folder.read(&at, 3), Ok(vec![2, 3, 4]));
        for offset in ["3", "18446744073709551615"] {
            let at = entries(&[("location", "w.bin"), ("offset", offset)]);
            let error = folder.read(&at, 3).unwrap_err();
            assert!(matches!(error, ExternalError::OutOfBounds { .. }), "{error}");
        }
        let at = entries(&[("location", "w.bin"), ("length", "2")]);
        assert!(matches!(folder.read(&at, 3), Err(ExternalError::Length { .. })));
        let at = entries(&[("location", "w.bin"), ("offset", "-1")]);
        assert!(matches!(
            folder.read(&at, 3),
            Err(ExternalError::NotANumber { .. })
        ));
        assert_eq!(Folder::none().read(&at[..1], 3), Err(ExternalError::NoFolder));
    }

    #[test]
    #[cfg(unix)]
    fn only_the_own_folder_is_read() {
        let root = tempfile::tempdir().unwrap();
        let own = root.path().join("own");
        fs::create_dir(&own).unwrap();
        fs::write(root.path().join("secret"), [0; 8]).unwrap();
        std::os::unix::fs::symlink("../secret", own.join("link")).unwrap();
        let folder = Folder::new(Some(&own));
        let absolute = root.path().join("secret");
        for location in ["../secret", "link", absolute.to_str().unwrap(), "", "."] {
            let error = folder.read(&entries(&[("location", location)]), 8).unwrap_err();
            assert!(matches!(error, ExternalError::Outside(_)), "{location}: {error}");
        }
        let missing = folder.read(&entries(&[("location", "none")]), 8).unwrap_err();
        assert!(matches!(missing, ExternalError::Unreadable { .. }));
    }
}
