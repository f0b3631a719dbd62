//! Every pair of sizes in every mode, against positions worked out apart as exact fractions.

use super::*;

const MODES: [ResizeMode; 5] = [
    ResizeMode::NearestFloorHalf,
    ResizeMode::NearestCeilHalf,
    ResizeMode::NearestFloor,
    ResizeMode::NearestCeil,
    ResizeMode::Bilinear,
];

const COORDINATES: [Coordinates; 4] = [
    Coordinates::HalfPixel,
    Coordinates::PytorchHalfPixel,
    Coordinates::AlignCorners,
    Coordinates::Asymmetric,
];

/// Numerator and denominator of the position that the ONNX formulas give, with `scale = to / from`.
fn formula(coordinates: Coordinates, x: i128, from: i128, to: i128) -> (i128, i128) {
    match coordinates {
        Coordinates::PytorchHalfPixel if to == 1 => (0, 1),
        // (x + 1/2) * from / to - 1/2
        Coordinates::HalfPixel | Coordinates::PytorchHalfPixel => (from * (2 * x + 1) - to, 2 * to),
        Coordinates::AlignCorners if to == 1 => (0, 1),
        Coordinates::AlignCorners => (x * (from - 1), to - 1),
        Coordinates::Asymmetric => (x * from, to),
    }
}

/// The pixel that a mode chooses, looked for among all pixels.
fn chosen(mode: ResizeMode, (n, d): (i128, i128), from: i128) -> i128 {
    let distance = |i: &i128| (i * d - n).abs();
    match mode {
        ResizeMode::NearestFloorHalf => (0..from).min_by_key(|i| (distance(i), *i)).unwrap(),
        ResizeMode::NearestCeilHalf => (0..from).min_by_key(|i| (distance(i), -i)).unwrap(),
        ResizeMode::NearestFloor => (0..from).rev().find(|i| i * d <= n).unwrap_or(0),
        ResizeMode::NearestCeil => (0..from).find(|i| i * d >= n).unwrap_or(from - 1),
        ResizeMode::Bilinear => unreachable!(),
    }
}

fn resize(to: usize, scale: f32, mode: ResizeMode, coordinates: Coordinates) -> Resize {
    Resize {
        size: [1, to],
        scales: [1.0, scale],
        mode,
        coordinates,
    }
}

/// The position that interpolation stands for: the mean of its pixels.
fn centre(taps: &[Tap]) -> f64 {
    taps.iter().map(|tap| tap.weight * tap.index as f64).sum()
}

#[test]
fn every_size_becomes_every_other_exactly() {
    for (from, to) in (1..=64).flat_map(|from| (1..=64).map(move |to| (from, to))) {
        let scale = to as f32 / from as f32;
        for (mode, coordinates) in MODES.into_iter().flat_map(|m| COORDINATES.map(|c| (m, c))) {
            let taps = resize(to, scale, mode, coordinates).taps(1, from);
            for (x, taps) in taps.iter().enumerate() {
                let case = format!("{from} to {to}, {mode:?}, {coordinates:?}, at {x}");
                let position = formula(coordinates, x as i128, from as i128, to as i128);
                if mode == ResizeMode::Bilinear {
                    let exact = position.0 as f64 / position.1 as f64;
                    let inside = exact.clamp(0.0, from as f64 - 1.0);
                    assert!((centre(taps) - inside).abs() < 1e-12, "{case}: {taps:?}");
                    let is_whole = inside.fract() == 0.0;
                    assert_eq!(taps.len(), if is_whole { 1 } else { 2 }, "{case}");
                } else {
                    let expected = chosen(mode, position, from as i128) as usize;
                    assert_eq!(
                        taps[..],
                        [Tap {
                            index: expected,
                            weight: 1.0
                        }],
                        "{case}"
                    );
                }
            }
        }
    }
}

/// What onnxruntime 1.32 gives for scales that are not the ratio of the sizes.
#[test]
fn other_scales_count_as_f32_computes_them() {
    let at = |from: usize, scale: f32, mode, coordinates, x: usize| {
        let to = (from as f32 * scale).floor() as usize;
        resize(to, scale, mode, coordinates).nearest(1, from).unwrap()[x]
    };
    let (half, corner) = (Coordinates::HalfPixel, Coordinates::Asymmetric);
    for (x, index) in [(6, 5), (12, 10), (18, 14), (30, 24), (36, 29)] {
        assert_eq!(at(48, 1.2, ResizeMode::NearestFloor, corner, x), index);
    }
    for (x, index) in [(9, 8), (15, 13), (33, 27)] {
        assert_eq!(at(48, 1.2, ResizeMode::NearestCeilHalf, corner, x), index);
    }
    assert_eq!(at(35, 1.3, ResizeMode::NearestFloorHalf, half, 19), 14);
    assert_eq!(at(35, 1.3, ResizeMode::NearestCeil, corner, 39), 31);
}

#[test]
fn whole_positions_are_the_pixels_there() {
    let floor = |from: usize, to: usize, coordinates| {
        let scale = to as f32 / from as f32;
        resize(to, scale, ResizeMode::NearestFloor, coordinates)
            .nearest(1, from)
            .unwrap()
    };
    let corner = Coordinates::Asymmetric;
    assert_eq!(floor(10, 12, corner), [0, 0, 1, 2, 3, 4, 5, 5, 6, 7, 8, 9]);
    assert_eq!(floor(9, 6, corner), [0, 1, 3, 4, 6, 7]);
    assert_eq!(floor(10, 2, corner), [0, 5]);
    assert_eq!(floor(5, 3, Coordinates::HalfPixel), [0, 2, 3]);
}
