//! Reads label files.

use std::fs;
use std::path::{Component, Path};

use super::error::{DataError, LabelsError};
use super::npy;

/// The class of an image that has none.
pub const UNLABELLED: i64 = -1;

/// What a label file says; every class is 0 or more, or [`UNLABELLED`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Labels {
    /// One class per image, in the data's own order.
    InOrder(Vec<i64>),
    /// Files of a folder and their classes, in the order in which they are taken.
    ByFile(Vec<LabelLine>),
}

/// One line of a label text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelLine {
    /// Its number in the text, counted from 1.
    pub line: usize,
    /// The file, relative to the data folder.
    pub file: String,
    /// The file's class, or [`UNLABELLED`].
    pub class: i64,
}

/// Reads a label file: `.npy` of integers, or text of lines `file class`.
///
/// Whether a class is one of the network's is for the caller to check.
pub fn read_labels(path: impl AsRef<Path>) -> Result<Labels, DataError> {
    let path = path.as_ref();
    read(path).map_err(|source| DataError::Labels {
        path: path.to_owned(),
        source,
    })
}

fn read(path: &Path) -> Result<Labels, LabelsError> {
    let labels = if npy::is_npy(path)? {
        Labels::InOrder(from_array(path)?)
    } else {
        Labels::ByFile(from_text(&fs::read_to_string(path)?)?)
    };
    match &labels {
        Labels::InOrder(classes) if classes.is_empty() => Err(LabelsError::Empty),
        Labels::ByFile(lines) if lines.is_empty() => Err(LabelsError::Empty),
        _ => Ok(labels),
    }
}

fn from_array(path: &Path) -> Result<Vec<i64>, LabelsError> {
    let (shape, classes) = npy::integers(path)?.ok_or(LabelsError::NotInteger)?;
    if shape.len() != 1 {
        return Err(LabelsError::NotFlat(shape));
    }
    let checked = classes.into_iter().enumerate().map(|(index, class)| {
        class
            .filter(|&class| class >= UNLABELLED)
            .ok_or(LabelsError::Class(index))
    });
    checked.collect()
}

fn from_text(text: &str) -> Result<Vec<LabelLine>, LabelsError> {
    // Some editors begin a text with a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let numbered = text.lines().enumerate();
    let lines = numbered.filter(|(_, line)| !is_ignored(line));
    lines.map(|(index, line)| from_line(index + 1, line)).collect()
}

fn is_ignored(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#')
}

fn from_line(line: usize, text: &str) -> Result<LabelLine, LabelsError> {
    let mut columns = text.split_whitespace();
    let file = columns.next().ok_or(LabelsError::Line { line })?.to_owned();
    let class = columns.next().and_then(|class| class.parse().ok());
    let class = class.filter(|&class| class >= UNLABELLED);
    let class = class.ok_or(LabelsError::Line { line })?;
    if leads_outside(&file) {
        return Err(LabelsError::OutsideFolder { line, file });
    }
    Ok(LabelLine { line, file, class })
}

/// A label file that was passed on must not pick files from elsewhere on the disk.
fn leads_outside(file: &str) -> bool {
    let mut parts = Path::new(file).components();
    parts.any(|part| !matches!(part, Component::Normal(_) | Component::CurDir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_by_columns() {
        let text = "\u{feff}# header\na.jpg 3 bird\r\n\n  sub/b.png\t-1\na.jpg 3\n";
        let lines = from_text(text).unwrap();
        let found: Vec<_> = lines.iter().map(|l| (l.line, l.file.as_str(), l.class)).collect();
        let expected = [(2, "a.jpg", 3), (4, "sub/b.png", -1), (5, "a.jpg", 3)];
        assert_eq!(found, expected);
    }

    #[test]
    fn wrong_lines_are_named() {
        for text in [
            "a.jpg 1\nb.jpg\n",
            "a.jpg 1\nb.jpg one",
            "a.jpg 1\nb.jpg -2",
            "a.jpg 1\nb.jpg 1.0",
            "a.jpg 1\nb.jpg 99999999999999999999",
        ] {
            let error = from_text(text).unwrap_err();
            assert!(matches!(error, LabelsError::Line { line: 2 }), "{text:?}");
        }
        for file in ["../b.jpg", "/etc/passwd", "a/../../b.jpg"] {
            let error = from_text(&format!("{file} 1")).unwrap_err();
            assert!(
                matches!(error, LabelsError::OutsideFolder { line: 1, .. }),
                "{file}"
            );
        }
    }
}
