//! Published models on real images, through floats, the emulator and the three parties.
//!
//! They lie in the folder that `TREFOIL_DATA` names, `../shared/data` beside the workspace unless
//! stated; where it is absent these tests say so and pass. Calibration images are never scored.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use support::compiled::{Levels, Model, deviation, distance, options, top1};
use support::folder::{material, read_floats};
use trefoil_compiler::driver::CompileOptions;
use trefoil_ir::mpc::cost::Cost;
use trefoil_runtime::data::{DataSet, Preprocess};

const CALIBRATION_IMAGES: usize = 256;
const CIFAR_IMAGES: usize = 100;

/// Mean error that logits may have, in standard deviations of the logits.
const LOGIT_ERROR: f64 = 0.02;

/// The folder of models and images, if it is there.
fn data() -> Option<PathBuf> {
    trefoil_tests::needed(material("TREFOIL_DATA", "data"))
}

/// Mean error of logits in standard deviations, over all images.
fn mean_error(pairs: &[(Vec<f32>, Vec<f32>)]) -> f64 {
    let all: Vec<f32> = pairs
        .iter()
        .flat_map(|(float, _)| float.iter().copied())
        .collect();
    let errors = pairs
        .iter()
        .flat_map(|(a, b)| a.iter().zip(b).map(|(a, b)| f64::from((a - b).abs())));
    errors.sum::<f64>() / all.len() as f64 / deviation(&all)
}

/// Share of images whose greatest logit is the same at both levels.
fn agreement(pairs: &[(Vec<f32>, Vec<f32>)]) -> f64 {
    let same = pairs.iter().filter(|(a, b)| top1(a) == top1(b)).count();
    same as f64 / pairs.len() as f64
}

fn preprocess(folder: &Path, name: &str) -> (Preprocess, String) {
    let text = fs::read_to_string(folder.join("preprocess").join(name)).expect("the data are complete");
    (
        Preprocess::from_toml(&text).expect("the description is sound"),
        text,
    )
}

/// A network on CIFAR-10: floats against a recorded run of another program, the other levels
/// against floats.
fn cifar(model: &str, preprocessing: &str) {
    let Some(folder) = data() else { return };
    let preprocess = preprocess(&folder, preprocessing);
    let open = |file: &str, count: usize| {
        DataSet::open(&folder.join(file), Some(&preprocess.0), None)
            .expect("the data are complete")
            .take(count)
    };
    let calibration = open("cifar10_calib_x.npy", CALIBRATION_IMAGES);
    let images = open("cifar10_x.npy", CIFAR_IMAGES);
    let path = folder.join("models").join(format!("{model}.onnx"));
    let options = CompileOptions {
        preprocess: Some(preprocess),
        ..options(path, calibration)
    };
    let mut model_levels = Model::compile(&options).unwrap_or_else(|error| panic!("{error}"));
    let levels: Vec<Levels> = images
        .iter()
        .map(|image| {
            model_levels
                .run(image.expect("the data are sound"))
                .unwrap_or_else(|error| panic!("{error}"))
        })
        .collect();

    let breaches = levels.iter().filter(|run| !run.breaches.is_empty()).count();
    eprintln!("{model}: values left their ranges on {breaches} of {CIFAR_IMAGES} images");
    let (shape, expected) = read_floats(&folder.join("expected").join(format!("{model}_logits.npy")));
    let expected = expected.chunks(shape[1]);
    let paired = |level: fn(&Levels) -> &Vec<f32>| -> Vec<(Vec<f32>, Vec<f32>)> {
        levels
            .iter()
            .map(|l| (l.imported.clone(), level(l).clone()))
            .collect()
    };
    let recorded: Vec<_> = expected
        .zip(&levels)
        .map(|(e, l)| (e.to_vec(), l.imported.clone()))
        .collect();
    assert!(
        mean_error(&recorded) < 1e-4,
        "floats are off by {}",
        mean_error(&recorded)
    );
    for (level, pairs) in [
        ("emulator", paired(|l| &l.fixed)),
        ("parties", paired(|l| &l.secure)),
    ] {
        let error = mean_error(&pairs);
        eprintln!(
            "{model}, {level}: mean error {error:.5} deviations, {} of classes equal",
            agreement(&pairs)
        );
        assert!(error < LOGIT_ERROR, "{level}: mean error {error} deviations");
        // A tie within the noise may fall either way.
        assert!(
            agreement(&pairs) >= 0.99,
            "{level}: {} of the classes are equal",
            agreement(&pairs)
        );
    }
}

#[test]
fn resnet20_with_batch_norms() {
    cifar("resnet20_cifar10_bn", "cifar10.toml");
}

#[test]
fn resnet20_folded() {
    cifar("resnet20_cifar10_fused", "cifar10.toml");
}

#[test]
fn resnet20_of_the_other_exporter() {
    cifar("resnet20_cifar10_dynamo18", "cifar10.toml");
}

#[test]
fn resnet8_on_raw_pixels() {
    cifar("resnet8_cifar10_raw255", "raw255.toml");
}

/// Some pictures of a folder.
fn pictures(folder: &Path, preprocess: &Preprocess, names: &[String]) -> DataSet {
    let list = tempfile::NamedTempFile::new().expect("a temporary file can be made");
    let lines: String = names.iter().map(|name| format!("{name} 0\n")).collect();
    fs::write(list.path(), lines).expect("a temporary file can be written");
    DataSet::open(folder, Some(preprocess), Some(list.path())).expect("the pictures are there")
}

/// A network on the first pictures of a folder, calibrated on the last ones: the parties' output
/// against floats, and their bytes against what the program costs.
fn on_pictures(
    model: &str,
    preprocessing: &str,
    folder_name: &str,
    scored: usize,
    calibration: usize,
) -> Vec<Levels> {
    let Some(data) = data() else { return Vec::new() };
    let preprocess = preprocess(&data, preprocessing);
    let folder = data.join(folder_name);
    let entries = fs::read_dir(&folder)
        .expect("the data are complete")
        .map(|e| e.expect("readable").file_name());
    let mut names: Vec<String> = entries.map(|name| name.to_string_lossy().into_owned()).collect();
    names.retain(|name| name.ends_with(".jpg"));
    names.sort();
    assert!(names.len() >= scored + calibration, "the data are complete");
    let images = pictures(&folder, &preprocess.0, &names[..scored]);
    let calibration = pictures(&folder, &preprocess.0, &names[names.len() - calibration..]);
    let path = data.join("models").join(format!("{model}.onnx"));
    let options = CompileOptions {
        preprocess: Some(preprocess),
        ..options(path, calibration)
    };
    let mut model_levels = Model::compile(&options).unwrap_or_else(|error| panic!("{error}"));
    let levels: Vec<Levels> = images
        .iter()
        .map(|image| {
            model_levels
                .run(image.expect("the data are sound"))
                .unwrap_or_else(|error| panic!("{error}"))
        })
        .collect();
    let cost = Cost::new(&model_levels.compiled.owner.program);
    for run in &levels {
        let links = run.ran.client.links();
        assert_eq!(links.values().sum::<u64>(), cost.bytes().total, "{model}: bytes");
        assert_eq!(
            cost.bytes(),
            model_levels.compiled.report.bytes,
            "{model}: bytes of the report"
        );
        let (error, largest) = distance(&run.imported, &run.secure);
        let std = deviation(&run.imported);
        eprintln!(
            "{model}: {} ranges left; {} bytes; rms error {:.4} deviations, largest {:.4}",
            run.breaches.len(),
            cost.bytes().total,
            error / std,
            largest / std
        );
    }
    levels
}

#[test]
fn mobilenet_v2() {
    for run in on_pictures("mobilenetv2_1.0_224_bn", "imagenet224.toml", "imagenet224", 2, 24) {
        assert_eq!(top1(&run.imported), top1(&run.secure), "the class");
        let pairs = [(run.imported, run.secure)];
        assert!(
            mean_error(&pairs) < LOGIT_ERROR,
            "mean error {} deviations",
            mean_error(&pairs)
        );
    }
}

#[test]
fn deeplab() {
    for run in on_pictures("deeplabv3_mnv2_0.5_257", "deeplab257.toml", "seg", 1, 4) {
        let classes = 21;
        let plane = run.imported.len() / classes;
        let class = |logits: &[f32], at: usize| {
            let column: Vec<f32> = (0..classes).map(|c| logits[c * plane + at]).collect();
            top1(&column)
        };
        let same = (0..plane)
            .filter(|&at| class(&run.imported, at) == class(&run.secure, at))
            .count();
        let share = same as f64 / plane as f64;
        eprintln!("deeplab: {share:.4} of the pixels have the same class");
        assert!(share >= 0.98, "{share:.4} of the pixels have the same class");
    }
}
