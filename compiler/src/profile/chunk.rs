//! `images-A-B.npz`: what some images gave.
//!
//! | array | shape | holds |
//! | --- | --- | --- |
//! | `vectors_K` | images, probes, channels, patches (f32) | layer K's effect on each probe: the mean of its squares over probes is the distortion |
//! | `sums_K` | channels, patches (f32) | largest magnitude of a patch's sum |
//! | `range_min`, `range_max` | channels of all values (f32) | smallest and largest value |
//!
//! An exact measurement has one "probe", the root of the distortion.

use std::fs;
use std::io::{self, BufReader, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use ndarray::{Array1, Array2, Array4, Dimension};
use ndarray_npy::{NpzWriter, ReadNpyExt, ReadableElement, WriteNpzError};
use trefoil_runtime::data::read_npy_header;
use trefoil_runtime::files::PrivateFile;
use zip::ZipArchive;

use super::header::{Header, Layer, MOST_IMAGES};
use super::{ProfileError, damaged, io_error};

/// The measurements of consecutive images.
#[derive(Clone, Debug, PartialEq)]
pub struct Chunk {
    /// Numbers of the images within the data.
    pub images: Range<usize>,
    /// By layer of the header.
    pub layers: Vec<LayerChunk>,
    /// Smallest value of every channel of every value of the header.
    pub min: Array1<f32>,
    /// Largest value of every channel of every value of the header.
    pub max: Array1<f32>,
}

/// One layer's part.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerChunk {
    /// `[image, probe, channel, patch]`.
    pub vectors: Array4<f32>,
    /// `[channel, patch]`.
    pub sums: Array2<f32>,
}

impl Chunk {
    pub(super) fn path(folder: &Path, images: &Range<usize>) -> PathBuf {
        folder.join(format!("images-{:06}-{:06}.npz", images.start, images.end))
    }

    /// The images of all chunks in a folder, ascending.
    pub(super) fn list(folder: &Path) -> Result<Vec<Range<usize>>, ProfileError> {
        let entries = fs::read_dir(folder).map_err(io_error(folder, "read"))?;
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry.map_err(io_error(folder, "read"))?;
            found.extend(entry.file_name().to_str().and_then(parse_name));
        }
        found.sort_by_key(|images: &Range<usize>| images.start);
        Ok(found)
    }

    pub(super) fn write(&self, folder: &Path) -> Result<(), ProfileError> {
        write_npz(&Self::path(folder, &self.images), |npz| {
            for (k, layer) in self.layers.iter().enumerate() {
                npz.add_array(format!("vectors_{k}"), &layer.vectors)?;
                npz.add_array(format!("sums_{k}"), &layer.sums)?;
            }
            npz.add_array("range_min", &self.min)?;
            npz.add_array("range_max", &self.max)
        })
    }
}

/// A chunk file that is being read, layer by layer.
pub(super) struct ChunkReader {
    npz: Npz,
    images: usize,
    probes: usize,
}

impl ChunkReader {
    pub(super) fn open(folder: &Path, images: &Range<usize>, header: &Header) -> Result<Self, ProfileError> {
        Ok(Self {
            npz: Npz::open(Chunk::path(folder, images))?,
            images: images.len(),
            probes: header.probes,
        })
    }

    /// Compares the shapes of all arrays with the header, which thereby states no more than there is.
    pub(super) fn check(&mut self, header: &Header) -> Result<(), ProfileError> {
        for (k, layer) in header.layers.iter().enumerate() {
            let patches = layer.patches.len();
            let vectors = [self.images, self.probes, layer.channels, patches];
            self.npz.check(&format!("vectors_{k}"), &vectors)?;
            self.npz.check(&format!("sums_{k}"), &[layer.channels, patches])?;
        }
        Ok(())
    }

    pub(super) fn layer(&mut self, k: usize, layer: &Layer) -> Result<LayerChunk, ProfileError> {
        let sums = [layer.channels, layer.patches.len()];
        let vectors = [self.images, self.probes, sums[0], sums[1]];
        Ok(LayerChunk {
            vectors: self.npz.array(&format!("vectors_{k}"), ndarray::Dim(vectors))?,
            sums: self.npz.array(&format!("sums_{k}"), ndarray::Dim(sums))?,
        })
    }

    pub(super) fn ranges(&mut self, channels: usize) -> Result<[Array1<f32>; 2], ProfileError> {
        Ok([
            self.npz.array("range_min", ndarray::Dim(channels))?,
            self.npz.array("range_max", ndarray::Dim(channels))?,
        ])
    }
}

/// An npz file with its path, for errors. Members lie in it as they are: what is compressed is refused.
pub(super) struct Npz {
    path: PathBuf,
    length: u64,
    archive: ZipArchive<BufReader<fs::File>>,
}

impl Npz {
    pub(super) fn open(path: PathBuf) -> Result<Self, ProfileError> {
        let file = fs::File::open(&path).map_err(io_error(&path, "read"))?;
        let length = file.metadata().map_err(io_error(&path, "read"))?.len();
        let archive = ZipArchive::new(BufReader::new(file)).map_err(|e| damaged(&path, e.to_string()))?;
        Ok(Self {
            path,
            length,
            archive,
        })
    }

    /// An array that must have this shape.
    pub(super) fn array<T: ReadableElement + Copy, D: Dimension>(
        &mut self,
        name: &str,
        shape: D,
    ) -> Result<ndarray::Array<T, D>, ProfileError> {
        self.check(name, shape.slice())?;
        let read = self.member(name).map(ndarray::Array::<T, D>::read_npy);
        read?.map_err(|e| damaged(&self.path, format!("\"{name}\": {e}")))
    }

    /// Refuses an array of another shape, or one that is longer than the file: what only its header
    /// says takes no memory.
    pub(super) fn check(&mut self, name: &str, shape: &[usize]) -> Result<(), ProfileError> {
        let header = read_npy_header(&mut self.member(name)?);
        let (found, bytes) = header.map_err(|e| damaged(&self.path, format!("\"{name}\": {e}")))?;
        if found != shape {
            let what = format!("\"{name}\" has the shape {found:?} and the header says {shape:?}");
            return Err(damaged(&self.path, what));
        }
        if bytes > self.length {
            return Err(damaged(&self.path, format!("\"{name}\" is longer than the file")));
        }
        Ok(())
    }

    fn member(&mut self, name: &str) -> Result<impl Read + '_, ProfileError> {
        let member = self.archive.by_name(&format!("{name}.npy"));
        member.map_err(|e| damaged(&self.path, format!("\"{name}\": {e}")))
    }
}

/// Writes a file that is there whole or not at all.
pub(super) fn write_whole(
    path: &Path,
    fill: impl FnOnce(&mut PrivateFile) -> io::Result<()>,
) -> Result<(), ProfileError> {
    let mut file = PrivateFile::create(path).map_err(io_error(path, "written"))?;
    fill(&mut file)
        .and_then(|()| file.commit())
        .map_err(io_error(path, "written"))
}

/// Writes arrays into an npz file that is there whole or not at all.
pub(super) fn write_npz(
    path: &Path,
    fill: impl FnOnce(&mut NpzWriter<&mut PrivateFile>) -> Result<(), WriteNpzError>,
) -> Result<(), ProfileError> {
    write_whole(path, |file| {
        let mut npz = NpzWriter::new(file);
        fill(&mut npz)
            .and_then(|()| npz.finish().map(drop))
            .map_err(io::Error::other)
    })
}

fn parse_name(name: &str) -> Option<Range<usize>> {
    let (start, end) = name
        .strip_prefix("images-")?
        .strip_suffix(".npz")?
        .split_once('-')?;
    let start = start.parse().ok()?;
    let end = end.parse().ok()?;
    (start < end && end <= MOST_IMAGES).then_some(start..end)
}
