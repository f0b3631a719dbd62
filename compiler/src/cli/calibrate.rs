//! `trefoil calibrate`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::ValueEnum;
use trefoil_ir::text::printable;
use trefoil_runtime::amount::counted;
use trefoil_runtime::data::DataSet;
use trefoil_runtime::terminal::Bar;

use super::files::{read_assignment, read_preprocess};
use super::images;
use super::import::ImportArguments;
use super::limits::LimitArguments;
use super::lowering::Relu6;
use super::print::say;
use super::{DATA, NUMBERS, OUTPUT, PATCHES};
use crate::driver::measure::{MeasureOptions, measure};
use crate::driver::report::grouped;
use crate::patches::Assignment;
use crate::patches::catalogue::Catalogue;
use crate::profile::{Header, Method, Shard};

/// How distortion is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Distortion {
    /// By running the network behind every change: slow, the paper's definition.
    Exact,
    /// To first order, by random probes of the output: one pass gives all options.
    Sketch,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  trefoil calibrate resnet.onnx --calibration images/ --preprocess p.toml -o profile
  trefoil calibrate resnet.onnx --calibration images/ --preprocess p.toml -o profile --resume
  trefoil calibrate resnet.onnx --calibration images/ --preprocess p.toml -o part-2 --shard 2/3")]
pub(super) struct Arguments {
    /// The ONNX file.
    model: PathBuf,
    /// Images like those that will be classified; never those that accuracy is measured on.
    #[arg(long = "calibration", alias = "data", value_name = "DATA", help_heading = DATA)]
    data: PathBuf,
    /// At most so many of them.
    #[arg(
        long = "calibration-images",
        alias = "images",
        value_name = "N",
        value_parser = images::count(),
        help_heading = DATA
    )]
    images: Option<usize>,
    /// Preprocessing of images (TOML).
    #[arg(long, value_name = "P.toml", help_heading = DATA)]
    preprocess: Option<PathBuf>,
    #[command(flatten)]
    import: ImportArguments,
    /// How distortion is measured.
    #[arg(long, value_enum, default_value = "sketch")]
    distortion: Distortion,
    /// Probes per image: more make the sketch's estimate better, and its time and vectors grow with them.
    #[arg(long, value_name = "R", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=256))]
    probes: u16,
    /// Patches to measure: `catalogue`, or a JSON file: [[h, w], ...] for every map, or {"HxW": [[h, w], ...]}.
    #[arg(long, value_name = "catalogue|FILE", default_value = "catalogue", help_heading = PATCHES)]
    patches: PathBuf,
    /// Measure with these patches in place (JSON): distortions are then changes of that network's output,
    /// for one that was tuned with them and is to have still fewer signs.
    #[arg(long, value_name = "A.json", help_heading = PATCHES)]
    assignment: Option<PathBuf>,
    /// How ReLU6 is computed.
    #[arg(long, value_enum, default_value = "exact", help_heading = NUMBERS)]
    relu6: Relu6,
    /// Seed of the probes.
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u64,
    /// Measure part k of n of the images; `trefoil profile merge` brings the parts together.
    #[arg(long, value_name = "K/N", default_value = "1/1", help_heading = OUTPUT)]
    shard: Shard,
    #[command(flatten)]
    limits: LimitArguments,
    /// Go on with a profile whose measurement was interrupted.
    #[arg(long, help_heading = OUTPUT)]
    resume: bool,
    /// Folder to write the profile to.
    #[arg(short, long = "out", alias = "output", value_name = "PROFILE", help_heading = OUTPUT)]
    output: PathBuf,
}

pub(super) fn run(arguments: Arguments) -> Result<()> {
    let folder = arguments.output.clone();
    let next = next_step(&arguments);
    let options = options(arguments)?;
    let share = options.shard.range(options.data.len()).len();
    let bar = Bar::new(share, "measuring");
    let measured = measure(&options, |done, _| bar.at(done))?;
    bar.clear();
    let options: usize = measured.header.layers.iter().map(|layer| layer.options()).sum();
    say!(
        "{}: {} options of {}, {} ({} measured now)\nnext  {next}",
        folder.display(),
        grouped(options as u64),
        counted(measured.header.layers.len(), "sign"),
        counted(share, "image"),
        measured.images,
    );
    Ok(())
}

/// What is to be done with what was measured: compiling as it was measured, or the other shards.
fn next_step(arguments: &Arguments) -> String {
    let profile = arguments.output.display();
    if arguments.shard != Shard::WHOLE {
        return format!(
            "the other shards, then trefoil profile merge {profile} SHARD ... -o PROFILE, with all {} of them",
            arguments.shard.of
        );
    }
    let preprocess = arguments.preprocess.as_ref();
    let preprocess = preprocess.map_or_else(String::new, |path| format!(" --preprocess {}", path.display()));
    let relu6 = match arguments.relu6 {
        Relu6::Exact => "",
        Relu6::AsRelu => " --relu6 as-relu",
    };
    format!(
        "trefoil compile {} --profile {profile} --budget 15%{preprocess}{relu6}{} -o plans",
        arguments.model.display(),
        arguments.import.flags()
    )
}

fn options(arguments: Arguments) -> Result<MeasureOptions> {
    let preprocess = read_preprocess(arguments.preprocess.as_deref())?;
    let data = DataSet::open(&arguments.data, preprocess.as_ref().map(|(p, _)| p), None)?;
    let catalogue = match arguments.patches.to_str() {
        Some("catalogue") => Catalogue::Standard,
        _ => read_catalogue(&arguments.patches)?,
    };
    Ok(MeasureOptions {
        model: arguments.model,
        import: arguments.import.options(),
        relu6_as_relu: arguments.relu6 == Relu6::AsRelu,
        assignment: arguments.assignment.as_deref().map(read_assignment).transpose()?,
        data: data.take(arguments.images.unwrap_or(usize::MAX)),
        data_name: printable(&arguments.data.to_string_lossy()).into_owned(),
        catalogue,
        method: match arguments.distortion {
            Distortion::Exact => Method::Exact,
            Distortion::Sketch => Method::Sketch,
        },
        probes: usize::from(arguments.probes),
        seed: arguments.seed,
        shard: arguments.shard,
        limits: arguments.limits.limits(),
        profile: arguments.output,
        resume: arguments.resume,
    })
}

fn read_catalogue(path: &Path) -> Result<Catalogue> {
    let text = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    Catalogue::parse(&text).with_context(|| format!("the patches of {} cannot be used", path.display()))
}

/// A model and images, for what is measured beside a profile; how is said by the profile.
#[derive(Debug, clap::Args)]
pub(super) struct ModelArguments {
    /// The ONNX file.
    #[arg(long)]
    model: PathBuf,
    /// The images; those of the profile if they are left out.
    #[arg(long = "calibration", alias = "data", value_name = "DATA", help_heading = DATA)]
    data: Option<PathBuf>,
    /// At most so many of them.
    #[arg(
        long = "calibration-images",
        alias = "images",
        value_name = "N",
        value_parser = images::count(),
        help_heading = DATA
    )]
    images: Option<usize>,
    /// Preprocessing of images (TOML).
    #[arg(long, value_name = "P.toml", help_heading = DATA)]
    preprocess: Option<PathBuf>,
    #[command(flatten)]
    import: ImportArguments,
    #[command(flatten)]
    limits: LimitArguments,
}

impl ModelArguments {
    /// The options with which this profile was measured.
    pub(super) fn options(&self, header: &Header) -> Result<MeasureOptions> {
        let preprocess = read_preprocess(self.preprocess.as_deref())?;
        let path = self.data.clone().unwrap_or_else(|| PathBuf::from(&header.data));
        let data = DataSet::open(&path, preprocess.as_ref().map(|(p, _)| p), None)?;
        let assignment = header
            .assignment
            .as_ref()
            .map(|value| Assignment::parse(&value.to_string()));
        Ok(MeasureOptions {
            model: self.model.clone(),
            import: self.import.options(),
            relu6_as_relu: header.relu6_as_relu,
            assignment: assignment.transpose()?,
            data: data.take(self.images.unwrap_or(header.images)),
            data_name: header.data.clone(),
            catalogue: Catalogue::Standard,
            method: header.method,
            probes: header.probes,
            seed: header.seed,
            shard: Shard::WHOLE,
            profile: PathBuf::new(),
            resume: false,
            limits: self.limits.limits(),
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn next(flags: &str) -> String {
        let line = format!("calibrate net.onnx --calibration images -o p {flags}");
        next_step(&Line::parse_from(line.split_whitespace()).arguments)
    }

    /// Another reading of the file would be another network than the one that was measured.
    #[test]
    fn the_next_step_reads_the_model_as_it_was_measured() {
        assert_eq!(
            next("--preprocess p.toml --relu6 as-relu --input-shape 1,3,8,8 --output-name y"),
            "trefoil compile net.onnx --profile p --budget 15% --preprocess p.toml --relu6 as-relu \
             --input-shape 1,3,8,8 --output-name y -o plans"
        );
        assert_eq!(
            next(""),
            "trefoil compile net.onnx --profile p --budget 15% -o plans"
        );
        let merge = next("--shard 2/3");
        assert!(
            merge.contains("trefoil profile merge p SHARD") && merge.contains("all 3"),
            "{merge}"
        );
    }
}
