//! Small grey images as characters.

use std::path::Path;

use anyhow::{Context, Result};

/// From black to white.
const SHADES: &[u8; 10] = b" .:-=+*#%@";

/// A picture as lines of characters, two a pixel: characters are about twice as high as wide.
pub struct Picture {
    lines: Vec<String>,
}

impl Picture {
    /// Reads an image file.
    ///
    /// # Errors
    /// If it cannot be read or decoded.
    pub fn open(path: &Path) -> Result<Self> {
        let image = image::open(path).with_context(|| format!("{} cannot be shown", path.display()))?;
        let line = |row: image::buffer::Pixels<'_, image::Luma<u8>>| {
            row.flat_map(|pixel| [shade(pixel.0[0]); 2]).collect()
        };
        Ok(Self {
            lines: image.to_luma8().rows().map(line).collect(),
        })
    }
}

fn shade(grey: u8) -> char {
    char::from(SHADES[usize::from(grey) * SHADES.len() / 256])
}

/// Pictures side by side, each with its caption below.
pub fn side_by_side(pictures: &[(Picture, String)]) -> String {
    let height = pictures
        .iter()
        .map(|(picture, _)| picture.lines.len())
        .max()
        .unwrap_or(0);
    let width = |(picture, caption): &(Picture, String)| {
        picture
            .lines
            .iter()
            .map(String::len)
            .max()
            .unwrap_or(0)
            .max(caption.len())
            + 2
    };
    let mut text = String::new();
    for row in 0..=height {
        let cell = |entry: &(Picture, String)| {
            let content = if row == height {
                Some(&entry.1)
            } else {
                entry.0.lines.get(row)
            };
            format!("{:<1$}", content.map_or("", String::as_str), width(entry))
        };
        let line: String = pictures.iter().map(cell).collect();
        text += "  ";
        text += line.trim_end();
        text += "\n";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shades_span_black_to_white() {
        assert_eq!([shade(0), shade(128), shade(255)], [' ', '+', '@']);
    }

    #[test]
    fn captions_stand_below() {
        let picture = |line: &str| Picture {
            lines: vec![line.to_owned()],
        };
        let text = side_by_side(&[
            (picture("@@"), "one".to_owned()),
            (picture("##"), "two".to_owned()),
        ]);
        assert_eq!(text, "  @@   ##\n  one  two\n");
    }
}
