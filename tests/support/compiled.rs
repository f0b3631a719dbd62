//! A model compiled in this process, at all of its levels: floats as imported, floats after the
//! passes, the emulator, the three parties.

use std::fs;

use trefoil_compiler::driver::compile::{PatchSource, Progress};
use trefoil_compiler::driver::evaluate::{Fixed, Float, Network};
use trefoil_compiler::driver::images::feature_map;
use trefoil_compiler::driver::{CompileOptions, Compiled, compile};
use trefoil_compiler::import::ImportOptions;
use trefoil_compiler::pass::Dump;
use trefoil_compiler::patches::Assignment;
use trefoil_ir::mpc::emulate::Rounding;
use trefoil_ir::mpc::time::LinkModel;
use trefoil_ir::plan::{ClientPlan, HelperPlan, SecretSeed, ServerPlan};
use trefoil_runtime::data::{DataSet, ImageTensor};

use super::folder::write_images;
use super::onnx::Rng;
use super::parties::{Parties, Ran};

/// A compilation and what runs it.
pub(crate) struct Model {
    pub(crate) compiled: Compiled,
    pub(crate) parties: Parties,
}

/// An output at every level.
pub(crate) struct Levels {
    /// Logits of the imported network in floats.
    pub(crate) imported: Vec<f32>,
    /// Logits of the network after all passes in floats: other than `imported` where an
    /// assignment, or ReLU6 as ReLU, has changed what is computed.
    pub(crate) float: Vec<f32>,
    /// Logits of the emulator.
    pub(crate) fixed: Vec<f32>,
    /// Logits of the three parties.
    pub(crate) secure: Vec<f32>,
    /// Values that left their ranges, as the emulator saw them.
    pub(crate) breaches: Vec<String>,
    /// What the emulator reveals, in units.
    pub(crate) fixed_units: Vec<i64>,
    /// What the parties reveal.
    pub(crate) ran: Ran,
    /// Whether the output is one vector, not a map.
    pub(crate) is_vector: bool,
}

struct Silent;

impl Progress for Silent {
    fn calibrated(&mut self, _: usize, _: usize) {}
}

/// Options that a test starts from.
pub(crate) fn options(model: impl Into<std::path::PathBuf>, calibration: DataSet) -> CompileOptions {
    CompileOptions {
        model: model.into(),
        import: ImportOptions::default(),
        calibration,
        preprocess: None,
        patches: PatchSource::Model,
        relu6_as_relu: false,
        head_room: 1.0,
        link: None,
        classes: Vec::new(),
        cross_check: false,
        secret: SecretSeed::new([9; 32]),
        limits: trefoil_compiler::driver::Limits::default(),
    }
}

/// Seeded normal images.
pub(crate) fn images(seed: u64, count: usize, [c, h, w]: [usize; 3]) -> Vec<f32> {
    Rng::new(seed).normals(count * c * h * w, 1.0)
}

impl Model {
    /// Compiles and loads the plans as the parties would.
    pub(crate) fn compile(options: &CompileOptions) -> Result<Self, String> {
        let compiled = compile(options, &mut Dump::none(), &mut Silent).map_err(chain)?;
        let plans = &compiled.plans;
        let client = ClientPlan::decode(&ClientPlan::encode(&plans.public, &plans.client));
        let server = ServerPlan::decode(&ServerPlan::encode(&plans.public, &plans.server));
        let helper = HelperPlan::decode(&HelperPlan::encode(&plans.public, &plans.helper));
        let parties = Parties::new(
            client.map_err(chain)?,
            server.map_err(chain)?,
            helper.map_err(chain)?,
        );
        Ok(Self { compiled, parties })
    }

    /// Compiles an ONNX file in memory, calibrated on seeded images.
    pub(crate) fn of_bytes(
        onnx: &[u8],
        input: [usize; 3],
        calibration_images: usize,
        assignment: Option<Assignment>,
        relu6_as_relu: bool,
    ) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(chain)?;
        let (model, calibration) = (
            folder.path().join("net.onnx"),
            folder.path().join("calibration.npy"),
        );
        fs::write(&model, onnx).map_err(chain)?;
        write_images(&calibration, input, images(1, calibration_images, input));
        let calibration = DataSet::open(&calibration, None, None).map_err(chain)?;
        Self::compile(&CompileOptions {
            patches: assignment.map_or(PatchSource::Model, PatchSource::Assignment),
            relu6_as_relu,
            // Networks take turns with gates in one round, which a link makes quicker for all that are small.
            link: onnx.len().is_multiple_of(2).then_some(LinkModel::WAN),
            ..options(model, calibration)
        })
    }

    /// The emulator.
    pub(crate) fn fixed(&self) -> Fixed<'_> {
        Fixed::new(&self.compiled.owner)
    }

    /// Runs an image through all levels.
    pub(crate) fn run(&mut self, image: ImageTensor) -> Result<Levels, String> {
        let image = feature_map(image);
        let owner = &self.compiled.owner;
        let imported = Float::new(&owner.imported).logits(&image).map_err(chain)?;
        let float = Float::new(&owner.graph).logits(&image).map_err(chain)?;
        let fixed = Fixed::new(owner);
        let units = fixed.encode(&image).map_err(chain)?;
        let outcome = fixed.emulator().run(&units, Rounding::Nearest, |_, _| {});
        let breaches = outcome.breaches().map(|breach| format!("{breach:?}")).collect();
        let units: Vec<i32> = units.values().iter().map(|&v| v as i32).collect();
        let ran = self.parties.run(&units)?;
        let shape = outcome.output.shape();
        let part = &self.parties.plan().part.output;
        let logits = |units: &[i64]| part.logits(part.decode(units, shape), shape);
        let fixed = logits(outcome.output.values());
        let secure = logits(&ran.units);
        if fixed.shape().len() != float.shape().len() {
            return Err(format!(
                "{} logits in floats, {} in fixed point",
                float.shape(),
                fixed.shape()
            ));
        }
        Ok(Levels {
            is_vector: fixed.shape().plane() == 1,
            imported: imported.into_values(),
            float: float.into_values(),
            fixed: fixed.into_values(),
            secure: secure.into_values(),
            breaches,
            fixed_units: outcome.output.values().to_vec(),
            ran,
        })
    }
}

/// An error with its causes, as one line.
pub(crate) fn chain(error: impl std::error::Error + Send + Sync + 'static) -> String {
    format!("{:#}", anyhow::Error::new(error))
}

/// Root mean square of the differences, and the largest.
pub(crate) fn distance(a: &[f32], b: &[f32]) -> (f64, f64) {
    assert_eq!(a.len(), b.len(), "as many logits at every level");
    let differences = a.iter().zip(b).map(|(a, b)| f64::from(a - b).abs());
    rms_and_largest(differences)
}

/// Root mean square of magnitudes, and the largest.
pub(crate) fn rms_and_largest(magnitudes: impl Iterator<Item = f64>) -> (f64, f64) {
    let (mut squares, mut largest, mut count) = (0.0, 0.0f64, 0usize);
    for magnitude in magnitudes {
        squares += magnitude * magnitude;
        largest = largest.max(magnitude);
        count += 1;
    }
    ((squares / count.max(1) as f64).sqrt(), largest)
}

/// Median of magnitudes.
pub(crate) fn median(magnitudes: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = magnitudes.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// Standard deviation of logits.
pub(crate) fn deviation(logits: &[f32]) -> f64 {
    let count = logits.len().max(1) as f64;
    let mean = logits.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
    (logits.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / count).sqrt()
}

/// The index of the greatest logit, the first of equals; NaN never wins.
pub(crate) fn top1(logits: &[f32]) -> usize {
    let greatest = |best: usize, at: usize| match logits[at] > logits[best] || logits[best].is_nan() {
        true => at,
        false => best,
    };
    (0..logits.len()).fold(0, greatest)
}

/// How far the largest logit stands above the second.
pub(crate) fn lead(logits: &[f32]) -> f32 {
    let mut sorted = logits.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    sorted[0] - sorted.get(1).copied().unwrap_or(f32::NEG_INFINITY)
}
