//! `distortion.npz`: what all images of a profile's share say together.
//!
//! | array | shape | holds |
//! | --- | --- | --- |
//! | `mean_K` | channels, patches (f64) | distortion: mean squared change of the output |
//! | `error_K` | channels, patches (f64) | its standard error over images |
//! | `sums_K` | channels, patches (f32) | largest magnitude of a patch's sum |
//! | `range_min`, `range_max` | channels of all values (f32) | smallest and largest value |

use std::path::Path;

use ndarray::{Array1, Array2, Axis, Zip};

use super::chunk::{Chunk, ChunkReader, LayerChunk, Npz, write_npz};
use super::header::{Header, Layer};
use super::{ProfileError, damaged};

pub(super) const FILE: &str = "distortion.npz";

/// The distortions of a profile.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// By layer of the header.
    pub layers: Vec<LayerSummary>,
    /// Smallest value of every channel of every value of the header.
    pub min: Array1<f32>,
    /// Largest value of every channel of every value of the header.
    pub max: Array1<f32>,
}

/// One layer's distortions, `[channel, patch]`.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerSummary {
    /// Mean squared change of the output.
    pub mean: Array2<f64>,
    /// Standard error of the mean over images; 0 if there was one image.
    pub error: Array2<f64>,
    /// Largest magnitude of a patch's sum.
    pub sums: Array2<f32>,
}

impl Summary {
    /// The summary of all chunks in a folder.
    pub(super) fn of_chunks(folder: &Path, header: &Header) -> Result<Self, ProfileError> {
        let chunks = Chunk::list(folder)?;
        if chunks.is_empty() {
            return Err(ProfileError::Empty {
                folder: folder.to_owned(),
            });
        }
        let channels = header.values.iter().map(|v| v.channels).sum();
        // The chunks are looked at first: what the header states must be there to be summed up.
        for images in &chunks {
            ChunkReader::open(folder, images, header)?.check(header)?;
        }
        let [mut min, mut max] = ChunkReader::open(folder, &chunks[0], header)?.ranges(channels)?;
        let mut layers: Vec<Moments> = header.layers.iter().map(Moments::new).collect();
        for images in &chunks {
            let mut reader = ChunkReader::open(folder, images, header)?;
            let [low, high] = reader.ranges(channels)?;
            min.zip_mut_with(&low, |a, b| *a = a.min(*b));
            max.zip_mut_with(&high, |a, b| *a = a.max(*b));
            for (k, (moments, layer)) in layers.iter_mut().zip(&header.layers).enumerate() {
                moments.add(&reader.layer(k, layer)?);
            }
        }
        Ok(Self {
            layers: layers.into_iter().map(Moments::finish).collect(),
            min,
            max,
        })
    }

    pub(super) fn write(&self, folder: &Path) -> Result<(), ProfileError> {
        write_npz(&folder.join(FILE), |npz| {
            for (k, layer) in self.layers.iter().enumerate() {
                npz.add_array(format!("mean_{k}"), &layer.mean)?;
                npz.add_array(format!("error_{k}"), &layer.error)?;
                npz.add_array(format!("sums_{k}"), &layer.sums)?;
            }
            npz.add_array("range_min", &self.min)?;
            npz.add_array("range_max", &self.max)
        })
    }

    pub(super) fn read(path: &Path, header: &Header) -> Result<Self, ProfileError> {
        let mut npz = Npz::open(path.to_owned())?;
        let mut layers = Vec::with_capacity(header.layers.len());
        for (k, layer) in header.layers.iter().enumerate() {
            let shape = ndarray::Dim((layer.channels, layer.patches.len()));
            let read = LayerSummary {
                mean: npz.array(&format!("mean_{k}"), shape)?,
                error: npz.array(&format!("error_{k}"), shape)?,
                sums: npz.array(&format!("sums_{k}"), shape)?,
            };
            if !read.mean.iter().all(|d| d.is_finite() && *d >= 0.0) {
                let what = format!("a distortion of \"{}\" is negative or no number", layer.name);
                return Err(damaged(path, what));
            }
            layers.push(read);
        }
        let channels = ndarray::Dim(header.values.iter().map(|v| v.channels).sum::<usize>());
        Ok(Self {
            layers,
            min: npz.array("range_min", channels)?,
            max: npz.array("range_max", channels)?,
        })
    }
}

/// Running mean and sum of squared deviations (Welford's recurrence), by option.
struct Moments {
    images: f64,
    mean: Array2<f64>,
    deviations: Array2<f64>,
    sums: Array2<f32>,
}

impl Moments {
    fn new(layer: &Layer) -> Self {
        let shape = (layer.channels, layer.patches.len());
        Self {
            images: 0.0,
            mean: Array2::zeros(shape),
            deviations: Array2::zeros(shape),
            sums: Array2::zeros(shape),
        }
    }

    fn add(&mut self, chunk: &LayerChunk) {
        self.sums.zip_mut_with(&chunk.sums, |a, b| *a = a.max(*b));
        for image in chunk.vectors.axis_iter(Axis(0)) {
            self.images += 1.0;
            let n = self.images;
            // Laid out as probes of whole maps, so that each addition runs through memory in order.
            let mut distortion = Array2::<f64>::zeros(self.mean.raw_dim());
            let probes = image.len_of(Axis(0)) as f64;
            for probe in image.axis_iter(Axis(0)) {
                distortion.zip_mut_with(&probe, |sum, v| *sum += f64::from(*v) * f64::from(*v) / probes);
            }
            Zip::from(&mut self.mean)
                .and(&mut self.deviations)
                .and(&distortion)
                .for_each(|mean, deviations, &d| {
                    let before = d - *mean;
                    *mean += before / n;
                    *deviations += before * (d - *mean);
                });
        }
    }

    fn finish(self) -> LayerSummary {
        let pairs = self.images * (self.images - 1.0);
        LayerSummary {
            error: match pairs > 0.0 {
                true => self.deviations.mapv(|squares| (squares / pairs).sqrt()),
                false => Array2::zeros(self.mean.raw_dim()),
            },
            mean: self.mean,
            sums: self.sums,
        }
    }
}
