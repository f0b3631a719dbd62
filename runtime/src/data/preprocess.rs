//! The preprocess description: how bytes become network inputs.
//!
//! A [`Preprocess`] exists only validated, whether it was parsed from TOML or came in a plan; both
//! go through [`Description`], the flat form with the keys of the file.

use std::path::Path;

use image::RgbImage;
use serde::{Deserialize, Serialize};

use super::error::{DataError, ImageProblem, PreprocessError};
use super::resize::{Pixels, resize};
use super::tensor::ImageTensor;

#[cfg(test)]
mod tests;

/// The largest `shorter_side`, `longer_side`, `crop` or `canvas`.
const MAX_SIDE: u32 = 4096;
/// The largest side and area after resizing, which a long image reaches through `shorter_side`.
const MAX_RESIZED_SIDE: u64 = 16_384;
const MAX_RESIZED_PIXELS: u64 = 1 << 26;

/// How 8-bit images become network inputs; the keys are in the [module's table](super).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Description", into = "Description")]
pub struct Preprocess {
    resize: Option<Resize>,
    crop: Option<u32>,
    canvas: Option<Canvas>,
    scale: f64,
    /// One entry per channel.
    normal: Vec<Normal>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Resize {
    ShorterSide(u32),
    LongerSide(u32),
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Canvas {
    side: u32,
    fill: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Normal {
    mean: f64,
    std: f64,
}

impl Preprocess {
    /// Reads the description in a TOML file.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, DataError> {
        let path = path.as_ref();
        let text = match std::fs::read_to_string(path) {
            // There, but no text: a description that is not valid.
            Err(source) if source.kind() != std::io::ErrorKind::InvalidData => {
                return Err(DataError::Read {
                    path: path.to_owned(),
                    source,
                });
            }
            read => read.map_err(PreprocessError::Io),
        };
        text.and_then(|text| Self::parse(&text))
            .map_err(|source| DataError::Preprocess {
                origin: format!("in `{}`", path.display()),
                source,
            })
    }

    /// Reads the description in a TOML text.
    pub fn from_toml(text: &str) -> Result<Self, DataError> {
        Self::parse(text).map_err(|source| DataError::Preprocess {
            origin: "text".to_owned(),
            source,
        })
    }

    fn parse(text: &str) -> Result<Self, PreprocessError> {
        toml::from_str::<Description>(text)
            .map_err(|error| PreprocessError::Toml(Box::new(error)))?
            .try_into()
    }

    /// The channels of every image it makes: 3 (RGB) or 1 (grey).
    pub fn channels(&self) -> usize {
        self.normal.len()
    }

    /// Per channel, the least and the greatest value that any byte of 0 to 255 becomes.
    pub fn value_range(&self) -> Vec<(f32, f32)> {
        let mut ranges = Vec::with_capacity(self.normal.len());
        for normal in &self.normal {
            // The map is linear, so the ends of the bytes are the ends of the values.
            let of_black = self.value(0.0, normal);
            let of_white = self.value(255.0, normal);
            ranges.push((of_black.min(of_white), of_black.max(of_white)));
        }
        ranges
    }

    /// Makes a network input of a decoded image; a grey description takes its luma (ITU-R 601).
    pub(super) fn apply_rgb(&self, rgb: RgbImage) -> Result<ImageTensor, ImageProblem> {
        let pixels = Pixels {
            width: rgb.width() as usize,
            height: rgb.height() as usize,
            channels: 3,
            bytes: rgb.into_raw(),
        };
        match self.channels() {
            1 => self.apply(luma(&pixels)),
            _ => self.apply(pixels),
        }
    }

    /// Makes a network input of an image that has the description's channels.
    pub(super) fn apply(&self, pixels: Pixels) -> Result<ImageTensor, ImageProblem> {
        if pixels.channels != self.channels() {
            return Err(ImageProblem::Channels {
                found: pixels.channels,
                expected: self.channels(),
            });
        }
        let geometry = self.geometry(pixels.width, pixels.height)?;
        let (resized_width, resized_height) = geometry.resized;
        let resized = resize(pixels, resized_width, resized_height);
        Ok(self.normalise(&resized, &geometry))
    }

    /// Width and height of what becomes of an image of `width` x `height`.
    pub(super) fn output_size(&self, width: usize, height: usize) -> Result<(usize, usize), ImageProblem> {
        self.geometry(width, height).map(|geometry| geometry.output)
    }

    fn geometry(&self, width: usize, height: usize) -> Result<Geometry, ImageProblem> {
        if width == 0 || height == 0 {
            return Err(ImageProblem::Empty);
        }
        let resized = self.resized(width, height)?;
        let (left, top, cut) = self.cropped(resized)?;
        let output = self.placed(cut)?;
        Ok(Geometry {
            resized,
            left,
            top,
            cut,
            output,
        })
    }

    /// Width and height after resizing.
    fn resized(&self, width: usize, height: usize) -> Result<(usize, usize), ImageProblem> {
        let ratio = match self.resize {
            None => return Ok((width, height)),
            Some(Resize::ShorterSide(side)) => f64::from(side) / width.min(height) as f64,
            Some(Resize::LongerSide(side)) => f64::from(side) / width.max(height) as f64,
        };
        let width = scaled(width, ratio);
        let height = scaled(height, ratio);
        if width.max(height) > MAX_RESIZED_SIDE || width * height > MAX_RESIZED_PIXELS {
            return Err(ImageProblem::Stretched {
                width,
                height,
                max: MAX_RESIZED_SIDE,
                max_pixels: MAX_RESIZED_PIXELS,
            });
        }
        Ok((width as usize, height as usize))
    }

    /// Left edge, top edge and size of the centre crop.
    fn cropped(
        &self,
        (width, height): (usize, usize),
    ) -> Result<(usize, usize, (usize, usize)), ImageProblem> {
        let Some(crop) = self.crop.map(|side| side as usize) else {
            return Ok((0, 0, (width, height)));
        };
        if crop > width.min(height) {
            return Err(ImageProblem::CropTooLarge { width, height, crop });
        }
        Ok(((width - crop) / 2, (height - crop) / 2, (crop, crop)))
    }

    /// Width and height after what is cut, of this size, has its place on the canvas.
    fn placed(&self, (width, height): (usize, usize)) -> Result<(usize, usize), ImageProblem> {
        let Some(canvas) = self.canvas.map(|canvas| canvas.side as usize) else {
            return Ok((width, height));
        };
        if canvas < width.max(height) {
            return Err(ImageProblem::CanvasTooSmall {
                width,
                height,
                canvas,
            });
        }
        Ok((canvas, canvas))
    }

    /// Cuts, places and normalises in one pass over the output.
    fn normalise(&self, resized: &Pixels, geometry: &Geometry) -> ImageTensor {
        let (width, height) = geometry.output;
        let (cut_width, cut_height) = geometry.cut;
        let channels = self.channels();
        let fill = self.canvas.map_or(0.0, |canvas| canvas.fill);
        let mut values = Vec::with_capacity(channels * width * height);
        for (channel, normal) in self.normal.iter().enumerate() {
            let table: [f32; 256] = std::array::from_fn(|byte| self.value(byte as f64, normal));
            let start = values.len();
            values.resize(start + width * height, self.value(fill, normal));
            let rows = values[start..].chunks_exact_mut(width).take(cut_height);
            for (y, row) in rows.enumerate() {
                let at = (geometry.top + y) * resized.width + geometry.left;
                let bytes = resized.bytes[at * channels + channel..].iter().step_by(channels);
                for (value, &byte) in row[..cut_width].iter_mut().zip(bytes) {
                    *value = table[usize::from(byte)];
                }
            }
        }
        ImageTensor {
            channels,
            height,
            width,
            values,
        }
    }

    fn value(&self, byte: f64, normal: &Normal) -> f32 {
        ((byte * self.scale - normal.mean) / normal.std) as f32
    }
}

/// What happens to an image of one size; sizes are width, height.
struct Geometry {
    resized: (usize, usize),
    left: usize,
    top: usize,
    cut: (usize, usize),
    output: (usize, usize),
}

/// A side in pixels at this ratio, at least one; ties go to even, as Python's `round` has them.
fn scaled(side: usize, ratio: f64) -> u64 {
    (side as f64 * ratio).round_ties_even().max(1.0) as u64
}

/// An image's luma, an image of one channel.
fn luma(rgb: &Pixels) -> Pixels {
    let pixels = rgb.bytes.as_chunks::<3>().0;
    Pixels {
        channels: 1,
        bytes: pixels.iter().map(|pixel| luma_of(*pixel)).collect(),
        ..*rgb
    }
}

/// ITU-R 601 in 16-bit fixed point, rounded to nearest; of a grey pixel exactly its grey.
fn luma_of(rgb: [u8; 3]) -> u8 {
    let [red, green, blue] = rgb.map(u32::from);
    ((19_595 * red + 38_470 * green + 7_471 * blue + (1 << 15)) >> 16) as u8
}

/// The keys of the file, and the form in which a description travels.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    shorter_side: Option<u32>,
    longer_side: Option<u32>,
    crop: Option<u32>,
    canvas: Option<u32>,
    fill: Option<f64>,
    scale: f64,
    mean: Vec<f64>,
    std: Vec<f64>,
}

impl TryFrom<Description> for Preprocess {
    type Error = PreprocessError;

    fn try_from(from: Description) -> Result<Self, PreprocessError> {
        check_sides(&from)?;
        check_numbers(&from)?;
        let resize = match (from.shorter_side, from.longer_side) {
            (None, None) => None,
            (Some(side), None) => Some(Resize::ShorterSide(side)),
            (None, Some(side)) => Some(Resize::LongerSide(side)),
            (Some(_), Some(_)) => return Err(PreprocessError::TwoResizes),
        };
        let canvas = match (from.canvas, from.fill) {
            (None, None) => None,
            (Some(side), Some(fill)) => Some(Canvas { side, fill }),
            _ => return Err(PreprocessError::CanvasWithoutFill),
        };
        let pairs = from.mean.iter().zip(&from.std);
        let preprocess = Self {
            resize,
            crop: from.crop,
            canvas,
            scale: from.scale,
            normal: pairs.map(|(&mean, &std)| Normal { mean, std }).collect(),
        };
        let ends = preprocess.value_range();
        if ends.iter().all(|(a, b)| a.is_finite() && b.is_finite()) {
            Ok(preprocess)
        } else {
            Err(PreprocessError::Overflow)
        }
    }
}

fn check_sides(from: &Description) -> Result<(), PreprocessError> {
    let sides = [
        ("shorter_side", from.shorter_side),
        ("longer_side", from.longer_side),
        ("crop", from.crop),
        ("canvas", from.canvas),
    ];
    for (key, side) in sides {
        if let Some(value) = side
            && !(1..=MAX_SIDE).contains(&value)
        {
            let max = MAX_SIDE;
            return Err(PreprocessError::Side { key, value, max });
        }
    }
    Ok(())
}

fn check_numbers(from: &Description) -> Result<(), PreprocessError> {
    let mean = from.mean.len();
    let std = from.std.len();
    if mean != std || !matches!(mean, 1 | 3) {
        return Err(PreprocessError::ChannelCount { mean, std });
    }
    for (key, numbers) in [
        ("scale", [from.scale].as_slice()),
        ("mean", &from.mean),
        ("std", &from.std),
    ] {
        if !numbers.iter().all(|number| number.is_finite()) {
            return Err(PreprocessError::NotFinite(key));
        }
    }
    if from.std.contains(&0.0) {
        return Err(PreprocessError::ZeroStd);
    }
    match from.fill {
        Some(fill) if !(0.0..=255.0).contains(&fill) => Err(PreprocessError::Fill),
        _ => Ok(()),
    }
}

impl From<Preprocess> for Description {
    fn from(from: Preprocess) -> Self {
        let (shorter_side, longer_side) = match from.resize {
            None => (None, None),
            Some(Resize::ShorterSide(side)) => (Some(side), None),
            Some(Resize::LongerSide(side)) => (None, Some(side)),
        };
        Self {
            shorter_side,
            longer_side,
            crop: from.crop,
            canvas: from.canvas.map(|canvas| canvas.side),
            fill: from.canvas.map(|canvas| canvas.fill),
            scale: from.scale,
            mean: from.normal.iter().map(|normal| normal.mean).collect(),
            std: from.normal.iter().map(|normal| normal.std).collect(),
        }
    }
}
