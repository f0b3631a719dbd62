//! Measuring a profile: the distortion of every patch of every channel, image by image.

mod agreement;

use std::ops::Range;
use std::path::PathBuf;

use ndarray::{Array1, Array2, Array4, Axis};
use rayon::prelude::*;
use thiserror::Error;
use trefoil_ir::Verified;
use trefoil_ir::nn::Graph;
use trefoil_ir::nn::eval::{FeatureMap, ImageShapeError};
use trefoil_runtime::amount::counted;
use trefoil_runtime::data::{DataError, DataSet};

pub use self::agreement::{Agreement, agreement, spearman};
use super::images::feature_map;
use super::limits::{LimitError, Limits, Run};
use crate::import::{self, ImportError, ImportOptions};
use crate::pass::{self, PassFailure};
use crate::patches::Assignment;
use crate::patches::catalogue::Catalogue;
use crate::profile::distortion::{Exact, Site, SiteVectors, Sketch, sites};
use crate::profile::{
    Chunk, Header, Layer, LayerChunk, Method, ProfileError, Shard, Value, Writer, model_digest,
};
use crate::ranges::{CalibrationError, Calibrator};

/// The options of a measurement.
pub struct MeasureOptions {
    /// Path of the ONNX file.
    pub model: PathBuf,
    /// Choices that the ONNX file leaves open.
    pub import: ImportOptions,
    /// Whether ReLU6 becomes ReLU.
    pub relu6_as_relu: bool,
    /// Patches that are in place while measuring.
    pub assignment: Option<Assignment>,
    /// The images of all shards together.
    pub data: DataSet,
    /// Their name, which the profile keeps.
    pub data_name: String,
    /// The patches to measure.
    pub catalogue: Catalogue,
    /// How to measure.
    pub method: Method,
    /// Probes per image.
    pub probes: usize,
    /// Seed of the probes.
    pub seed: u64,
    /// Which share of the images.
    pub shard: Shard,
    /// Where to.
    pub profile: PathBuf,
    /// Whether to go on with what is there.
    pub resume: bool,
    /// Memory and work that the measurement may take.
    pub limits: Limits,
}

impl MeasureOptions {
    /// Probes that run backward: an exact measurement takes the patches' sums from a sketch of one, which
    /// costs nothing beside it.
    fn probes_of_sketch(&self) -> usize {
        match self.method {
            Method::Exact => 1,
            Method::Sketch => self.probes,
        }
    }
}

/// Why a profile cannot be measured.
#[derive(Debug, Error)]
pub enum MeasureError {
    /// The ONNX file.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// Memory or work.
    #[error("the network is too large to be measured here")]
    Limit(#[from] LimitError),
    /// A pass.
    #[error("the network cannot be transformed")]
    Pass(#[from] PassFailure),
    /// An image.
    #[error("the calibration data cannot be used")]
    Data(#[from] DataError),
    /// An image of another shape.
    #[error("image {image} does not fit")]
    Image {
        /// Its number, from 0.
        image: usize,
        /// What is wrong.
        #[source]
        source: ImageShapeError,
    },
    /// An image that leads to infinity.
    #[error("the calibration failed")]
    Calibration(#[from] CalibrationError),
    /// Nothing to choose.
    #[error("the network has no ReLU, so that there is nothing to measure")]
    NoRelu,
    /// The shard has no image.
    #[error("the shard {}/{} of {} is empty: make fewer shards", .0, .1, counted(*.2, "image"))]
    EmptyShard(usize, usize, usize),
    /// A profile of something else.
    #[error("the profile is of another model (\"{0}\", weights included)")]
    OtherModel(String),
    /// A profile whose layers are others than those of its model.
    #[error(
        "the profile has {there} where the model has {here}: it was altered, or written by another version; measure again"
    )]
    OtherLayers {
        /// What the profile has.
        there: String,
        /// What the model has in its place.
        here: String,
    },
    /// The profile's files.
    #[error(transparent)]
    Profile(#[from] ProfileError),
}

/// A profile that has been measured.
pub struct Measured {
    /// The profile's header.
    pub header: Header,
    /// How many images this run has measured.
    pub images: usize,
}

/// The network as it is measured: simplified, but with every ReLU under its name and on its map.
pub struct Subject {
    /// The network as imported.
    pub imported: Verified<Graph>,
    /// The network that is run: simplified, ReLUs as they were.
    pub graph: Verified<Graph>,
    /// The signs of its ReLUs and clips.
    pub sites: Vec<Site>,
}

impl Subject {
    /// Imports a model and finds its signs.
    ///
    /// # Errors
    /// If the model cannot be imported, or has no ReLU.
    pub fn load(options: &MeasureOptions) -> Result<Self, MeasureError> {
        let imported = import::import_file(&options.model, &options.import)?.graph;
        let graph = pass::run_for_profile(
            imported.clone(),
            options.relu6_as_relu,
            options.assignment.clone(),
        )?;
        let sites = sites(&graph, |h, w| options.catalogue.patches(h, w));
        if sites.is_empty() {
            return Err(MeasureError::NoRelu);
        }
        Ok(Self {
            imported,
            graph,
            sites,
        })
    }

    /// What measuring an image is, of so many probes.
    fn run(&self, probes: usize) -> Run {
        let sites = self.sites.iter();
        let options: usize = sites
            .map(|site| self.graph.node(site.node).shape.c * site.patches.len())
            .sum();
        Run::Measure {
            probes,
            vectors: 4 * options as u64 * probes as u64,
        }
    }

    /// The signs as a profile has them.
    fn layers(&self) -> Vec<Layer> {
        let mut layers = Vec::with_capacity(self.sites.len());
        for site in &self.sites {
            let node = self.graph.node(site.node);
            layers.push(Layer {
                name: node.origin.name.clone(),
                sign: site.sign,
                map: [node.shape.h, node.shape.w],
                channels: node.shape.c,
                patches: site.patches.clone(),
            });
        }
        layers
    }

    /// The values as a profile has them.
    fn values(&self) -> Vec<Value> {
        let mut values = Vec::new();
        for id in self.graph.order() {
            let node = self.graph.node(id);
            values.push(Value {
                name: node.origin.name.clone(),
                op: node.op.name().to_owned(),
                channels: node.shape.c,
            });
        }
        values
    }

    fn header(&self, options: &MeasureOptions, probes: usize) -> Header {
        Header {
            format: Header::FORMAT,
            model: self.imported.name.clone(),
            digest: model_digest(&self.imported),
            relu6_as_relu: options.relu6_as_relu,
            assignment: options.assignment.as_ref().map(Assignment::to_value),
            data: options.data_name.clone(),
            images: options.data.len(),
            shard: options.shard,
            method: options.method,
            probes,
            seed: options.seed,
            layers: self.layers(),
            values: self.values(),
        }
    }
}

/// Bytes of vectors that a chunk holds at most (one image's at least).
const CHUNK_BYTES: usize = 64 << 20;

/// Images between two lines of a profile that was killed, at most.
const CHUNK_IMAGES: usize = 32;

/// Measures a profile, or what is missing of one. `progress` is told how many of how many images are
/// done.
///
/// # Errors
/// See [`MeasureError`].
pub fn measure(
    options: &MeasureOptions,
    mut progress: impl FnMut(usize, usize),
) -> Result<Measured, MeasureError> {
    let subject = Subject::load(options)?;
    let at_once = options
        .limits
        .images_at_once(&subject.graph, subject.run(options.probes_of_sketch()))?;
    let measure = Measure::new(&subject, options, at_once);
    let header = subject.header(options, measure.probes());
    let share = options.shard.range(options.data.len());
    if share.is_empty() {
        let Shard { index, of } = options.shard;
        return Err(MeasureError::EmptyShard(index, of, options.data.len()));
    }
    let mut writer = Writer::open(&options.profile, header.clone(), options.resume)?;
    let vectors: usize = header.layers.iter().map(|layer| layer.options() * 4).sum();
    let most = (CHUNK_BYTES / (vectors * header.probes).max(1)).clamp(1, CHUNK_IMAGES);
    let mut measured = 0;
    loop {
        let images = writer.next_images(most);
        if images.is_empty() {
            break;
        }
        let done = images.start - share.start;
        measured += images.len();
        let chunk = measure.chunk(images, |more| progress(done + more, share.len()))?;
        writer.add(&chunk)?;
    }
    progress(share.len(), share.len());
    writer.finish()?;
    Ok(Measured {
        header,
        images: measured,
    })
}

/// A network and how it is measured.
struct Measure<'a> {
    subject: &'a Subject,
    data: &'a DataSet,
    at_once: usize,
    sketch: Sketch<'a>,
    exact: Option<Exact<'a>>,
}

impl<'a> Measure<'a> {
    fn new(subject: &'a Subject, options: &'a MeasureOptions, at_once: usize) -> Self {
        let Subject { graph, sites, .. } = subject;
        Self {
            subject,
            data: &options.data,
            at_once,
            sketch: Sketch::new(graph, sites, options.probes_of_sketch(), options.seed),
            exact: (options.method == Method::Exact).then(|| Exact::new(graph, sites)),
        }
    }

    /// Entries per image; an exact distortion is one number.
    fn probes(&self) -> usize {
        match self.exact {
            Some(_) => 1,
            None => self.sketch.probes(),
        }
    }

    fn chunk(&self, images: Range<usize>, mut progress: impl FnMut(usize)) -> Result<Chunk, MeasureError> {
        let mut chunk = self.empty_chunk(&images);
        let mut calibrator = Calibrator::new(&self.subject.graph);
        for start in images.clone().step_by(self.at_once) {
            let batch: Vec<(usize, FeatureMap)> = (start..images.end.min(start + self.at_once))
                .map(|at| Ok((at, feature_map(self.data.get(at)?))))
                .collect::<Result<_, DataError>>()?;
            let measured: Vec<Vec<SiteVectors>> = batch
                .par_iter()
                .map(|(at, image)| {
                    let measured = self.image(*at, image);
                    measured.map_err(|source| MeasureError::Image { image: *at, source })
                })
                .collect::<Result<_, MeasureError>>()?;
            for ((at, image), sites) in batch.iter().zip(&measured) {
                calibrator.add(std::slice::from_ref(image))?;
                for (layer, site) in chunk.layers.iter_mut().zip(sites) {
                    fill(layer, at - images.start, site);
                }
            }
            progress(start + batch.len() - images.start);
        }
        let calibration = calibrator.finish()?;
        let ids = self.subject.graph.order();
        let ranges = ids.iter().flat_map(|id| &calibration.channels[id.index()]);
        let (min, max): (Vec<f32>, Vec<f32>) = ranges.map(|range| (range.min, range.max)).unzip();
        chunk.min = Array1::from(min);
        chunk.max = Array1::from(max);
        Ok(chunk)
    }

    fn image(&self, number: usize, image: &FeatureMap) -> Result<Vec<SiteVectors>, ImageShapeError> {
        let mut sites = self.sketch.image(image, number as u64)?;
        if let Some(exact) = &self.exact {
            for (site, distortion) in sites.iter_mut().zip(exact.image(image)?) {
                site.signed = distortion.mean_square.iter().map(|d| d.sqrt() as f32).collect();
            }
        }
        Ok(sites)
    }

    fn empty_chunk(&self, images: &Range<usize>) -> Chunk {
        let mut layers = Vec::with_capacity(self.subject.sites.len());
        for site in &self.subject.sites {
            let channels = self.subject.graph.node(site.node).shape.c;
            let patches = site.patches.len();
            layers.push(LayerChunk {
                vectors: Array4::zeros((images.len(), self.probes(), channels, patches)),
                sums: Array2::zeros((channels, patches)),
            });
        }
        Chunk {
            images: images.clone(),
            layers,
            min: Array1::default(0),
            max: Array1::default(0),
        }
    }
}

fn fill(layer: &mut LayerChunk, image: usize, site: &SiteVectors) {
    let mut vectors = layer.vectors.index_axis_mut(Axis(0), image);
    for (to, from) in vectors.iter_mut().zip(&site.signed) {
        *to = *from;
    }
    for (to, from) in layer.sums.iter_mut().zip(&site.largest_sum) {
        *to = to.max(*from);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::import::testing::{floats, graph, model, node};
    use crate::profile::{Profile, Sign};

    /// Two ReLUs, the second of what the first leaves above 1, and images for them.
    fn options(folder: &Path, method: Method) -> MeasureOptions {
        let mut network = graph(vec![
            node("Relu", &["x"], &["a"]),
            node("Sub", &["a", "one"], &["b"]),
            node("Relu", &["b"], &["y"]),
        ]);
        network.initializer = vec![floats("one", &[], &[1.0])];
        let (file, images) = (folder.join("net.onnx"), folder.join("images.npy"));
        std::fs::write(&file, model(13, network)).unwrap();
        ndarray_npy::write_npy(&images, &Array4::<f32>::from_elem((2, 2, 4, 6), 1.0)).unwrap();
        MeasureOptions {
            model: file,
            import: ImportOptions::default(),
            relu6_as_relu: false,
            assignment: None,
            data: DataSet::open(&images, None, None).unwrap(),
            data_name: "images.npy".to_owned(),
            catalogue: Catalogue::Standard,
            method,
            probes: 10,
            seed: 0,
            shard: Shard::WHOLE,
            profile: folder.join("profile"),
            resume: false,
            limits: Limits {
                memory: u64::MAX,
                work: u64::MAX,
            },
        }
    }

    #[test]
    fn an_exact_measurement_is_limited_as_one_of_a_single_probe() {
        let folder = tempfile::tempdir().unwrap();
        let mut exact = options(folder.path(), Method::Exact);
        let subject = Subject::load(&exact).unwrap();
        let fits = |memory, probes| {
            let limits = Limits {
                memory,
                work: u64::MAX,
            };
            limits.images_at_once(&subject.graph, subject.run(probes)).is_ok()
        };
        let needed = (0..1 << 20).find(|&memory| fits(memory, 1)).unwrap();
        assert!(!fits(needed, 10));
        exact.limits.memory = needed;
        measure(&exact, |_, _| {}).unwrap();
        exact.profile = folder.path().join("sketch");
        let sketch = MeasureOptions {
            method: Method::Sketch,
            ..exact
        };
        let refused = measure(&sketch, |_, _| {}).err().unwrap();
        assert!(matches!(refused, MeasureError::Limit(_)), "{refused}");
    }

    #[test]
    fn a_profile_of_other_layers_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let options = options(folder.path(), Method::Sketch);
        measure(&options, |_, _| {}).unwrap();
        let mut profile = Profile::open(&options.profile).unwrap();
        assert_eq!(agreement(&options, &profile, 8, |_| {}).unwrap().layers.len(), 2);
        let whole = profile.header.layers.clone();
        let mut others = vec![whole[..1].to_vec(), [&whole[..], &whole[..1]].concat()];
        for change in [
            (|layer| layer.name.push('b')) as fn(&mut Layer),
            |layer| layer.sign = Sign::Upper,
            |layer| layer.map = [6, 4],
            |layer| layer.channels = 1,
        ] {
            let mut layers = whole.clone();
            change(&mut layers[1]);
            others.push(layers);
        }
        for layers in others {
            profile.header.layers = layers;
            let refused = agreement(&options, &profile, 8, |_| {}).err().unwrap();
            assert!(matches!(refused, MeasureError::OtherLayers { .. }), "{refused}");
        }
    }
}
