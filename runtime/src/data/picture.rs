//! Decodes JPEG and PNG files, within limits, to 8-bit RGB.
//!
//! Transparency is dropped, grey and palettes are spread to RGB; orientation tags and colour
//! profiles are not applied.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;

use image::{ImageError, ImageFormat, ImageReader, Limits, RgbImage};

use super::error::ImageProblem;

const MAX_SIDE: u32 = 16_384;
const MAX_MIB: u64 = 512;

/// The picture in `path`, told by its content whether JPEG or PNG.
pub(super) fn decode(path: &Path) -> Result<RgbImage, ImageProblem> {
    let bytes = read(path)?;
    let format = image::guess_format(&bytes).map_err(|_| ImageProblem::Format)?;
    match format {
        ImageFormat::Png => {}
        // The decoder fills what is missing with grey, and a wrong answer is worse than none.
        ImageFormat::Jpeg if !jpeg_is_complete(&bytes) => return Err(ImageProblem::Truncated),
        ImageFormat::Jpeg => {}
        _ => return Err(ImageProblem::Format),
    }
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits());
    match reader.decode() {
        Ok(picture) => Ok(picture.into_rgb8()),
        Err(ImageError::Limits(_)) => Err(too_large()),
        Err(error) => Err(ImageProblem::Decode(Box::new(error))),
    }
}

/// Whether a file begins as JPEG or PNG files do.
pub(super) fn is_picture(path: &Path) -> io::Result<bool> {
    let mut start = Vec::new();
    File::open(path)?.take(16).read_to_end(&mut start)?;
    let format = image::guess_format(&start);
    Ok(matches!(format, Ok(ImageFormat::Png | ImageFormat::Jpeg)))
}

fn read(path: &Path) -> Result<Vec<u8>, ImageProblem> {
    let limit = MAX_MIB << 20;
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(too_large());
    }
    Ok(bytes)
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_MIB << 20);
    limits
}

fn too_large() -> ImageProblem {
    ImageProblem::TooLarge {
        max_side: MAX_SIDE,
        max_mib: MAX_MIB,
    }
}

/// Whether a walk over the markers comes to the end-of-image marker.
///
/// Segments are skipped by their length (a thumbnail in one has an end marker of its own); within
/// compressed data every 0xFF is followed by a zero or a restart marker until the scan is over.
fn jpeg_is_complete(bytes: &[u8]) -> bool {
    const END_OF_IMAGE: u8 = 0xD9;
    let mut at = 0;
    while let Some(&[first, second]) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        at += match (first, second) {
            (0xFF, END_OF_IMAGE) => return true,
            (0xFF, 0x00 | 0x01 | 0xD0..=0xD8) => 2,
            (0xFF, 0xFF) => 1,
            (0xFF, _) => 2 + segment_length(&bytes[at + 2..]),
            _ => 1,
        };
    }
    false
}

fn segment_length(bytes: &[u8]) -> usize {
    match bytes {
        [high, low, ..] => usize::from(u16::from_be_bytes([*high, *low])),
        _ => 0,
    }
}
