//! The signed effect of every option on every probe of every image: what joint assignment adds up.

use std::ops::Range;
use std::path::Path;

use ndarray::s;

use super::ProfileError;
use super::chunk::{Chunk, ChunkReader};
use super::header::Header;

/// Vectors by layer, channel and patch; the entries of one are those of images, probe by probe.
#[derive(Debug)]
pub struct Vectors {
    images: usize,
    probes: usize,
    layers: Vec<LayerVectors>,
}

#[derive(Debug)]
struct LayerVectors {
    patches: usize,
    /// `[channel, patch, image, probe]`.
    values: Vec<f32>,
}

impl Vectors {
    pub(super) fn read(folder: &Path, header: &Header) -> Result<Self, ProfileError> {
        let chunks = Chunk::list(folder)?;
        for chunk in &chunks {
            ChunkReader::open(folder, chunk, header)?.check(header)?;
        }
        let images: usize = chunks.iter().map(Range::len).sum();
        let dims = images * header.probes;
        let mut layers: Vec<LayerVectors> = header
            .layers
            .iter()
            .map(|layer| LayerVectors {
                patches: layer.patches.len(),
                values: vec![0.0; layer.options() * dims],
            })
            .collect();
        let mut first = 0;
        for chunk in &chunks {
            let mut reader = ChunkReader::open(folder, chunk, header)?;
            let place = first * header.probes..(first + chunk.len()) * header.probes;
            for (k, layer) in header.layers.iter().enumerate() {
                let read = reader.layer(k, layer)?.vectors;
                let options = layers[k].values.chunks_exact_mut(dims);
                for (option, into) in options.enumerate() {
                    let channel = option / layer.patches.len();
                    let patch = option % layer.patches.len();
                    let from = read.slice(s![.., .., channel, patch]);
                    for (to, v) in into[place.clone()].iter_mut().zip(&from) {
                        *to = *v;
                    }
                }
            }
            first += chunk.len();
        }
        Ok(Self {
            images,
            probes: header.probes,
            layers,
        })
    }

    /// How many images there are.
    pub fn images(&self) -> usize {
        self.images
    }

    /// Entries of a vector that some of the images make, images being counted as they come in the
    /// profile.
    pub fn dims(&self, images: &Range<usize>) -> usize {
        images.len() * self.probes
    }

    /// The vector of an option on some of the images.
    pub fn of(&self, layer: usize, channel: usize, patch: usize, images: &Range<usize>) -> &[f32] {
        let layer = &self.layers[layer];
        let dims = self.images * self.probes;
        let start = (channel * layer.patches + patch) * dims;
        &layer.values[start..start + dims][images.start * self.probes..images.end * self.probes]
    }
}
