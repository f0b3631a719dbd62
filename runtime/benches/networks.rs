//! Whole networks, offline and online phase, all three parties in this process.
//!
//! The environment variable `TREFOIL_BENCH_PLANS` names a folder whose subfolders each hold
//! `client.plan`, `server.plan` and `helper.plan`, as `trefoil compile -o` writes them, and perhaps
//! `input.npy`, of which the first image is taken; otherwise the image is random. A small network
//! that needs no files is measured in any case. Times are the client's, as `trefoil-party` measures them.

#[path = "../../tests/support/parties.rs"]
mod parties;
#[allow(dead_code)] // the end-to-end tests need more of it
#[path = "../../tests/support/plans.rs"]
mod plans;
#[path = "support/random.rs"]
mod random;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use criterion::{Criterion, SamplingMode};
use parties::Parties;
use plans::Plans;
use trefoil_ir::mpc::ValueId;
use trefoil_ir::plan::{ClientPlan, HelperPlan, PlanError, ServerPlan};
use trefoil_runtime::data::{DataSet, Preprocess};
use trefoil_runtime::exec::Measured;

const FOLDER: &str = "TREFOIL_BENCH_PLANS";

/// A small residual network of the kinds of layers that there are: a dense, a depthwise and a 1x1
/// convolution, signs of pixels and of patches, a clip, a mean.
const SYNTHETIC: &str = r#"program "synthetic" {
  const c0 : weight[32,3,3,3] random(1, 3000)
  const c1 : bias[32] random(2, 1000000)
  const c2 : weight[32,1,3,3] random(3, 5000)
  const c3 : level[32]{600*32}
  const c4 : weight[64,32,1,1] random(5, 2500)
  const c5 : weight[64,64,3,3] random(6, 600)
  const c6 : multiplier[64] random(7, 60000)
  const c7 : multiplier[64,1,1] random(8, 200)
  const c8 : weight[10,64,1,1] random(9, 2000)
  %0 = input {shape=[3, 32, 32]} @"image"
  %1 = conv2d %0 {weight=c0, bias=c1, channels=32, kernel=[3, 3], pads=[1*4]} @"stem"
  %2 = truncate %1 {keep=[15*32]} @"stem"
  %3 = block_relu %2 {patches=[1x1*32]} @"stem"
  %4 = conv2d %3 {weight=c2, channels=32, kernel=[3, 3], stride=[2, 2], pads=[1*4], groups=32} @"depthwise"
  %5 = truncate %4 {keep=[16*32]} @"depthwise"
  %6 = clip %5 {level=c3, lower=[1x1*32], upper=[1x1*32]} @"depthwise"
  %7 = conv2d %6 {weight=c4, channels=64, kernel=[1, 1]} @"expand"
  %8 = truncate %7 {keep=[16*64]} @"expand"
  %9 = block_relu %8 {patches=[2x2*64]} @"expand"
  %10 = conv2d %9 {weight=c5, channels=64, kernel=[3, 3], pads=[1*4]} @"block"
  %11 = lift %9 {multiplier=c6} @"shortcut"
  %12 = add %10, %11 @"block"
  %13 = truncate %12 {keep=[15*64]} @"block"
  %14 = block_relu %13 {patches=[1x1*64]} @"block"
  %15 = sum_pool %14 {multiplier=c7, kernel=[16, 16]} @"mean"
  %16 = truncate %15 {keep=[16*64]} @"mean"
  %17 = requant %16 @"mean"
  %18 = conv2d %17 {weight=c8, channels=10, kernel=[1, 1]} @"classes"
  %19 = truncate %18 {keep=[16*10]} @"classes"
  %20 = reveal %19 @"classes"
}
"#;

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(5))
        .configure_from_args();
    measure(&mut criterion, "synthetic", synthetic(), None);
    for (name, folder) in folders() {
        match read(&folder) {
            Ok(parties) => measure(&mut criterion, &name, parties, Some(&folder)),
            Err(problem) => println!("{name}: skipped, {problem}"),
        }
    }
    criterion.final_summary();
}

/// The part of an inference's time that is measured.
type Part = fn(&Measured) -> f64;

fn measure(criterion: &mut Criterion, name: &str, mut parties: Parties, folder: Option<&Path>) {
    let image = folder.and_then(
        |folder| match first_image(&folder.join("input.npy"), parties.plan()) {
            Ok(image) => Some(image),
            Err(problem) => {
                println!("{name}: a random image, {problem}");
                None
            }
        },
    );
    let image = image.unwrap_or_else(|| {
        let words = random::vector(parties.plan().program().ty(ValueId(0)).shape.len(), 1);
        words.into_iter().map(|word| word as i32 >> 19).collect()
    });
    let mut group = criterion.benchmark_group(name);
    group.sampling_mode(SamplingMode::Flat);
    let parts: [(&str, Part); 3] = [
        ("offline", |measured| measured.offline_seconds),
        ("online", |measured| measured.online_seconds),
        ("total", |measured| {
            measured.offline_seconds + measured.online_seconds
        }),
    ];
    for (part, time) in parts {
        group.bench_function(part, |bencher| {
            let mut once = || {
                let ran = parties.run(&image).expect("three parties of one compilation");
                std::hint::black_box(ran.units);
                Duration::from_secs_f64(time(&ran.measured))
            };
            bencher.iter_custom(|runs| (0..runs).map(|_| once()).sum());
        });
    }
    group.finish();
}

fn synthetic() -> Parties {
    let plans = Plans::of(SYNTHETIC, 1);
    let parties = loaded(&plans.client, &plans.server, &plans.helper);
    parties.expect("what was just encoded is read back")
}

fn loaded(client: &[u8], server: &[u8], helper: &[u8]) -> Result<Parties, PlanError> {
    let client = ClientPlan::decode(client)?;
    Ok(Parties::new(
        client,
        ServerPlan::decode(server)?,
        HelperPlan::decode(helper)?,
    ))
}

/// The subfolders of the folder of plans, by name.
fn folders() -> Vec<(String, PathBuf)> {
    let Some(folder) = std::env::var_os(FOLDER) else {
        println!("real networks: skipped, {FOLDER} names no folder of compiled plans");
        return Vec::new();
    };
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) => {
            println!("real networks: skipped, {FOLDER} cannot be read: {error}");
            return Vec::new();
        }
    };
    let subfolders = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir());
    let named = |path: PathBuf| Some((path.file_name()?.to_string_lossy().into_owned(), path));
    let mut folders: Vec<_> = subfolders.filter_map(named).collect();
    folders.sort();
    folders
}

fn read(folder: &Path) -> Result<Parties, String> {
    let file =
        |name: &str| fs::read(folder.join(name)).map_err(|error| format!("{name} cannot be read: {error}"));
    let files = (file("client.plan")?, file("server.plan")?, file("helper.plan")?);
    loaded(&files.0, &files.1, &files.2).map_err(|error| error.to_string())
}

/// The first image of a file, in units.
fn first_image(path: &Path, plan: &ClientPlan) -> Result<Vec<i32>, String> {
    let preprocess = plan.part.preprocess.as_deref().map(Preprocess::from_toml);
    let preprocess = preprocess.transpose().map_err(|error| error.to_string())?;
    let images = DataSet::open(path, preprocess.as_ref(), None).map_err(|error| error.to_string())?;
    let image = images.get(0).map_err(|error| error.to_string())?;
    let shape = plan.program().ty(ValueId(0)).shape;
    let units = plan.part.input.encode(&image.values, shape);
    units.map_err(|error| error.to_string())
}
