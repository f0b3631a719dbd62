//! A small profile, to put damaged files into.

use std::fs;
use std::path::{Path, PathBuf};

use ndarray::{Array1, Array2, Array4};
use trefoil_compiler::profile::{
    Chunk, Header, Layer, LayerChunk, Method, Shard, Sign, Value, Writer,
};
use trefoil_ir::Patch;

/// The files of a profile.
pub const FILES: [&str; 3] = ["profile.json", "distortion.npz", "images-000000-000003.npz"];

const IMAGES: usize = 3;
const PROBES: usize = 2;
const CHANNELS: usize = 2;

/// Writes it into `folder`.
pub fn write(folder: &Path) -> PathBuf {
    let _ = fs::remove_dir_all(folder);
    let patches = vec![Patch::Identity, Patch::PIXEL, Patch::Block { h: 2, w: 4 }];
    let options = patches.len();
    let header = Header {
        format: Header::FORMAT,
        model: "net".into(),
        digest: "00".into(),
        relu6_as_relu: false,
        assignment: None,
        data: "images.npy".into(),
        images: IMAGES,
        shard: Shard::WHOLE,
        method: Method::Sketch,
        probes: PROBES,
        seed: 1,
        layers: vec![Layer {
            name: "relu".into(),
            sign: Sign::Lower,
            map: [4, 4],
            channels: CHANNELS,
            patches,
        }],
        values: vec![Value {
            name: "conv".into(),
            op: "conv2d".into(),
            channels: CHANNELS,
        }],
    };
    let layer = LayerChunk {
        vectors: Array4::from_elem((IMAGES, PROBES, CHANNELS, options), 0.5),
        sums: Array2::from_elem((CHANNELS, options), 1.0),
    };
    let chunk = Chunk {
        images: 0..IMAGES,
        layers: vec![layer],
        min: Array1::from_elem(CHANNELS, -1.0),
        max: Array1::from_elem(CHANNELS, 1.0),
    };
    let mut writer = Writer::open(folder, header, false).expect("the folder is new");
    writer.add(&chunk).expect("there is room");
    writer.finish().expect("the chunk is sound");
    folder.to_owned()
}
