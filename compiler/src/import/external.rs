//! Tensors that lie in files beside the model: only in the model's own folder, only as many bytes
//! as the tensor has.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use tract_onnx::pb::StringStringEntryProto;

use super::error::ExternalError;

/// The folder in which external data may lie, if there is one.
#[derive(Clone, Debug)]
pub(super) struct Folder(Option<PathBuf>);

impl Folder {
    /// The folder at `path`.
    pub(super) fn new(path: Option<&Path>) -> Self {
        let own = |p: &Path| {
            if p.as_os_str().is_empty() {
                PathBuf::from(".")
            } else {
                p.to_owned()
            }
        };
        Self(path.map(own))
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
        let entry = |key: &str| entries.iter().find(|e| e.key == key).map(|e| e.value.as_str());
        let location = entry("location").ok_or(ExternalError::NoLocation)?;
        let offset = number("offset", entry("offset"))?.unwrap_or(0);
        let length = number("length", entry("length"))?.unwrap_or(expected as u64);
        if length != expected as u64 {
            return Err(ExternalError::Length {
                given: length,
                expected: expected as u64,
            });
        }
        let path = self.resolve(location)?;
        let unreadable = |error: std::io::Error| ExternalError::Unreadable {
            location: location.to_owned(),
            reason: error.to_string(),
        };
        let mut file = File::open(path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
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
        file.seek(SeekFrom::Start(offset)).map_err(unreadable)?;
        file.read_exact(&mut bytes).map_err(unreadable)?;
        Ok(bytes)
    }

    /// The file at `location`, wherever links lead, provided that it lies in the folder.
    fn resolve(&self, location: &str) -> Result<PathBuf, ExternalError> {
        let folder = self.0.as_ref().ok_or(ExternalError::NoFolder)?;
        let outside = || ExternalError::Outside(location.to_owned());
        let plain = |c: Component| matches!(c, Component::Normal(_) | Component::CurDir);
        if location.is_empty() || !Path::new(location).components().all(plain) {
            return Err(outside());
        }
        let unreadable = |error: std::io::Error| ExternalError::Unreadable {
            location: location.to_owned(),
            reason: error.to_string(),
        };
        let folder = fs::canonicalize(folder).map_err(unreadable)?;
        let path = fs::canonicalize(folder.join(location)).map_err(unreadable)?;
        // A pipe or device would block or never end: only regular files are opened.
        let regular = fs::metadata(&path).map_err(unreadable)?.is_file();
        if path.starts_with(&folder) && regular {
            Ok(path)
        } else {
            Err(outside())
        }
    }
}

fn number(key: &'static str, value: Option<&str>) -> Result<Option<u64>, ExternalError> {
    let parse = |value: &str| {
        value.parse().map_err(|_| ExternalError::NotANumber {
            key,
            value: value.chars().take(40).collect(),
        })
    };
    value.map(parse).transpose()
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
