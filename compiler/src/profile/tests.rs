//! Profiles on disk: written, killed, resumed, merged, damaged.

use ndarray::{Array1, Array2, Array4};
use trefoil_ir::Patch;

use super::*;

const IMAGES: usize = 7;

fn header(shard: Shard) -> Header {
    Header {
        format: Header::FORMAT,
        model: "net".into(),
        digest: "00".into(),
        relu6_as_relu: false,
        assignment: None,
        data: "images.npy".into(),
        images: IMAGES,
        shard,
        method: Method::Sketch,
        probes: 2,
        seed: 1,
        layers: vec![
            Layer {
                name: "relu1".into(),
                sign: Sign::Lower,
                map: [4, 4],
                channels: 3,
                patches: vec![Patch::Identity, Patch::PIXEL, Patch::Block { h: 2, w: 4 }],
            },
            Layer {
                name: "relu2".into(),
                sign: Sign::Upper,
                map: [1, 1],
                channels: 2,
                patches: vec![Patch::PIXEL],
            },
        ],
        values: vec![Value {
            name: "conv".into(),
            op: "conv2d".into(),
            channels: 3,
        }],
    }
}

/// Entry of image `i`: anything that tells images, layers, probes, channels and patches apart.
fn entry(k: usize, i: usize, p: usize, c: usize, o: usize) -> f32 {
    ((7 * k + 5 * i + 3 * p + 2 * c + o) % 11) as f32 - 5.0
}

fn chunk(images: std::ops::Range<usize>) -> Chunk {
    let first = images.start;
    let layers = header(Shard::WHOLE)
        .layers
        .into_iter()
        .enumerate()
        .map(|(k, layer)| {
            let shape = (images.len(), 2, layer.channels, layer.patches.len());
            LayerChunk {
                vectors: Array4::from_shape_fn(shape, |(i, p, c, o)| entry(k, first + i, p, c, o)),
                sums: Array2::from_elem((layer.channels, layer.patches.len()), images.end as f32),
            }
        });
    Chunk {
        layers: layers.collect(),
        min: Array1::from_elem(3, -(images.end as f32)),
        max: Array1::from_elem(3, images.start as f32),
        images,
    }
}

/// Measures from the first of these numbers of images to the last, a chunk at a time.
fn measure(folder: &Path, shard: Shard, resume: bool, cuts: &[usize]) -> Writer {
    let mut writer = Writer::open(folder, header(shard), resume).unwrap();
    for cut in cuts.windows(2) {
        assert_eq!(writer.next(), cut[0]);
        writer.add(&chunk(cut[0]..cut[1])).unwrap();
    }
    writer
}

#[test]
fn means_and_errors_follow_the_definition() {
    let folder = tempfile::tempdir().unwrap();
    measure(folder.path(), Shard::WHOLE, false, &[0, 3, 7])
        .finish()
        .unwrap();
    let profile = Profile::open(folder.path()).unwrap();
    for (k, layer) in profile.summary.layers.iter().enumerate() {
        for ((c, o), mean) in layer.mean.indexed_iter() {
            let distortion = |i| {
                (0..2)
                    .map(|p| f64::from(entry(k, i, p, c, o)).powi(2))
                    .sum::<f64>()
                    / 2.0
            };
            let all: Vec<f64> = (0..IMAGES).map(distortion).collect();
            let expected = all.iter().sum::<f64>() / 7.0;
            let error = (all.iter().map(|d| (d - expected).powi(2)).sum::<f64>() / 6.0 / 7.0).sqrt();
            assert!((mean - expected).abs() < 1e-9);
            assert!((layer.error[[c, o]] - error).abs() < 1e-9);
        }
        assert!(layer.sums.iter().all(|s| *s == 7.0));
    }
    assert!(profile.summary.min.iter().all(|v| *v == -7.0));
    assert!(profile.summary.max.iter().all(|v| *v == 3.0));
}

#[test]
fn vectors_are_those_of_the_images_in_order() {
    let folder = tempfile::tempdir().unwrap();
    measure(folder.path(), Shard::WHOLE, false, &[0, 4, 7])
        .finish()
        .unwrap();
    let profile = Profile::open(folder.path()).unwrap();
    let vectors = profile.vectors().unwrap();
    let expected: Vec<f32> = (3..6)
        .flat_map(|i| [0, 1].map(|p| entry(0, i, p, 2, 1)))
        .collect();
    assert_eq!(vectors.of(0, 2, 1, &(3..6)), expected);
    assert_eq!(vectors.dims(&(3..6)), 6);
}

#[test]
fn a_killed_measurement_goes_on_where_it_stopped() {
    let (killed, whole) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    drop(measure(killed.path(), Shard::WHOLE, false, &[0, 3]));
    assert!(matches!(
        Profile::open(killed.path()),
        Err(ProfileError::Unfinished { .. })
    ));
    let again = Writer::open(killed.path(), header(Shard::WHOLE), false);
    assert!(matches!(again, Err(ProfileError::Exists { .. })));
    let resumed = measure(killed.path(), Shard::WHOLE, true, &[3, 7])
        .finish()
        .unwrap();
    let expected = measure(whole.path(), Shard::WHOLE, false, &[0, 3, 7])
        .finish()
        .unwrap();
    assert_eq!(resumed, expected);
}

#[test]
fn another_measurement_is_not_resumed() {
    let folder = tempfile::tempdir().unwrap();
    drop(measure(folder.path(), Shard::WHOLE, false, &[0, 3]));
    let other = Header {
        seed: 2,
        ..header(Shard::WHOLE)
    };
    let error = Writer::open(folder.path(), other, true).unwrap_err();
    assert!(
        error.to_string().contains("differs in the seed: 1 there, 2 here"),
        "{error}"
    );
}

#[test]
fn shards_together_are_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let shards = [Shard { index: 1, of: 2 }, Shard { index: 2, of: 2 }];
    for (shard, name) in shards.into_iter().zip(["a", "b"]) {
        let share = shard.range(IMAGES);
        measure(&path(name), shard, false, &[share.start, share.end])
            .finish()
            .unwrap();
    }
    let whole = measure(&path("whole"), Shard::WHOLE, false, &[0, 3, 7])
        .finish()
        .unwrap();
    merge(&[path("b"), path("a")], &path("merged")).unwrap();
    assert_eq!(Profile::open(&path("merged")).unwrap().summary, whole);

    let twice = merge(&[path("a"), path("b"), path("a")], &path("twice")).unwrap_err();
    assert!(
        matches!(
            twice,
            ProfileError::Overlap {
                first: 0,
                last: 2,
                ..
            }
        ),
        "{twice}"
    );
}

#[test]
fn a_missing_shard_is_named_and_a_lost_chunk_is_measured_again_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let shard = Shard { index: 1, of: 2 };
    measure(&path("a"), shard, false, &[0, 3]).finish().unwrap();
    let error = merge(&[path("a")], &path("merged")).unwrap_err();
    assert!(
        matches!(error, ProfileError::Incomplete { first: 3, images: 7 }),
        "{error}"
    );

    let whole = measure(&path("w"), Shard::WHOLE, false, &[0, 2, 4, 7])
        .finish()
        .unwrap();
    std::fs::remove_file(Chunk::path(&path("w"), &(2..4))).unwrap();
    let mut writer = Writer::open(&path("w"), header(Shard::WHOLE), true).unwrap();
    assert_eq!(writer.next_images(32), 2..4);
    writer.add(&chunk(2..4)).unwrap();
    assert!(writer.next_images(32).is_empty());
    assert_eq!(writer.finish().unwrap(), whole);
}

#[test]
fn shards_cover_every_image_once() {
    for (of, images) in [(1, 5), (3, 7), (5, 3)] {
        let all: Vec<usize> = (1..=of)
            .flat_map(|index| Shard { index, of }.range(images))
            .collect();
        assert_eq!(all, (0..images).collect::<Vec<_>>());
    }
    for text in ["0/3", "4/3", "1", "a/b", "1/0"] {
        assert_eq!(text.parse::<Shard>(), Err(ShardError));
    }
}

#[test]
fn damage_is_named() {
    let folder = tempfile::tempdir().unwrap();
    measure(folder.path(), Shard::WHOLE, false, &[0, 7])
        .finish()
        .unwrap();
    let path = folder.path().join("distortion.npz");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let error = Profile::open(folder.path()).unwrap_err();
    assert!(matches!(error, ProfileError::Damaged { .. }), "{error}");
    std::fs::write(&path, &whole).unwrap();

    let path = folder.path().join("profile.json");
    let text = std::fs::read_to_string(&path).unwrap();
    for (from, to) in [
        ("\"channels\": 2", "\"channels\": 4"),
        ("\"channels\": 2", "\"channels\": 18446744073709551615"),
        ("\"format\": 1", "\"format\": 9"),
        ("\"probes\": 2", "\"probes\": 0"),
        ("\"of\": 1", "\"of\": 0"),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(text, changed);
        std::fs::write(&path, changed).unwrap();
        let error = Profile::open(folder.path()).unwrap_err();
        assert!(matches!(error, ProfileError::Damaged { .. }), "{to}: {error}");
    }
    let mut header: serde_json::Value = serde_json::from_str(&text).unwrap();
    header["layers"] = serde_json::json!([]);
    std::fs::write(&path, header.to_string()).unwrap();
    let error = Header::read(folder.path()).unwrap_err();
    assert!(error.to_string().contains("it has no layer"), "{error}");
}

/// What a header claims is neither allocated nor counted with: not by the arrays', not by the
/// profile's own, not by a chunk's name.
#[test]
fn claims_cost_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    measure(folder.path(), Shard::WHOLE, false, &[0, 7])
        .finish()
        .unwrap();
    let refused = || {
        let error = match Profile::open(folder.path()) {
            Err(error) => error,
            Ok(profile) => profile.vectors().map(drop).unwrap_err(),
        };
        assert!(matches!(error, ProfileError::Damaged { .. }), "{error}");
        // The summary, too, is only made of what is there.
        let header = Header::read(folder.path());
        header.is_err() || Summary::of_chunks(folder.path(), &header.unwrap()).is_err()
    };
    let distortion = folder.path().join(summary::FILE);
    let chunk = Chunk::path(folder.path(), &(0..7));
    for (path, from) in [(&distortion, "(3, 3)"), (&chunk, "(7, 2, 3, 3)")] {
        let whole = std::fs::read(path).unwrap();
        let at = whole
            .windows(from.len())
            .position(|w| w == from.as_bytes())
            .unwrap();
        let mut forged = whole.clone();
        // It reaches into the header's padding.
        let claim: &[u8] = if from.len() == 6 {
            b"(3, 3333333333), }"
        } else {
            b"(7, 222222, 33333, 3), }"
        };
        forged[at..at + claim.len()].copy_from_slice(claim);
        std::fs::write(path, &forged).unwrap();
        refused();
        std::fs::write(path, &whole).unwrap();
    }
    let path = folder.path().join("profile.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let patches = "\"channels\": 2";
    for claim in ["\"channels\": 268435455", "\"channels\": 200000000"] {
        std::fs::write(&path, text.replacen(patches, claim, 1)).unwrap();
        assert!(refused(), "{claim}");
    }
    std::fs::write(&path, text).unwrap();
    assert!(Profile::open(folder.path()).unwrap().vectors().is_ok());
    let chunks = Chunk::list(folder.path()).unwrap();
    std::fs::write(folder.path().join("images-000007-18446744073709551615.npz"), "").unwrap();
    assert_eq!(Chunk::list(folder.path()).unwrap(), chunks);
}
