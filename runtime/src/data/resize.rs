//! Resizing of 8-bit images as Pillow's `BILINEAR` does it.
//!
//! The filter is a triangle that is one source pixel wide on either side when an image grows and
//! one target pixel wide when it shrinks, so that shrinking averages rather than skips. Each axis
//! is one pass, horizontal first, with its result rounded to bytes; weights are integers of
//! [`PRECISION`] fractional bits. Rounding in any other place would differ by grey levels.
//!
//! In this order of the passes Pillow gives the same bytes, but for images more than
//! about twice as high as wide (or squeezed so), on which Pillow 13 goes down the columns first:
//! that moves a value by one grey level at most.

/// Fractional bits of a weight: a byte times a weight below one, summed, stays within 31 bits.
const PRECISION: u32 = 22;

/// Rows of interleaved 8-bit channels.
#[derive(Clone)]
pub(super) struct Pixels {
    /// Columns.
    pub(super) width: usize,
    /// Rows.
    pub(super) height: usize,
    /// Interleaved channels.
    pub(super) channels: usize,
    /// `height * width * channels` bytes.
    pub(super) bytes: Vec<u8>,
}

/// The image at `width` x `height`; neither may be 0, nor may the image be empty.
pub(super) fn resize(mut image: Pixels, width: usize, height: usize) -> Pixels {
    if image.width != width {
        image = resize_rows(&image, width);
    }
    if image.height != height {
        image = resize_columns(&image, height);
    }
    image
}

fn resize_rows(image: &Pixels, width: usize) -> Pixels {
    let channels = image.channels;
    let windows = windows(image.width, width);
    let mut bytes = Vec::with_capacity(image.height * width * channels);
    for row in image.bytes.chunks_exact(image.width * channels) {
        for window in &windows {
            let source = &row[window.first * channels..];
            for channel in 0..channels {
                let samples = source[channel..].iter().step_by(channels);
                bytes.push(weighted_mean(window, samples));
            }
        }
    }
    Pixels {
        width,
        bytes,
        ..*image
    }
}

fn resize_columns(image: &Pixels, height: usize) -> Pixels {
    let row_len = image.width * image.channels;
    let mut bytes = Vec::with_capacity(height * row_len);
    let mut sums = vec![0_i32; row_len];
    for window in windows(image.height, height) {
        sums.fill(HALF);
        let rows = image.bytes.chunks_exact(row_len).skip(window.first);
        for (row, &weight) in rows.zip(&window.weights) {
            for (sum, &byte) in sums.iter_mut().zip(row) {
                *sum += weight * i32::from(byte);
            }
        }
        bytes.extend(sums.iter().map(|&sum| to_byte(sum)));
    }
    Pixels {
        height,
        bytes,
        ..*image
    }
}

/// Half a grey level, so that dropping the fraction rounds to nearest.
const HALF: i32 = 1 << (PRECISION - 1);

fn weighted_mean<'a>(window: &Window, samples: impl Iterator<Item = &'a u8>) -> u8 {
    let products = window.weights.iter().zip(samples);
    to_byte(HALF + products.map(|(w, &byte)| w * i32::from(byte)).sum::<i32>())
}

fn to_byte(sum: i32) -> u8 {
    // Rounded weights may add up to a little more than one.
    (sum >> PRECISION).clamp(0, 255) as u8
}

/// The source samples that make up one target sample.
struct Window {
    first: usize,
    weights: Vec<i32>,
}

fn windows(source: usize, target: usize) -> Vec<Window> {
    let step = source as f64 / target as f64;
    let reach = step.max(1.0);
    (0..target)
        .map(|index| {
            let centre = (index as f64 + 0.5) * step;
            window(centre, reach, source)
        })
        .collect()
}

/// The triangle of half-width `reach` around `centre`, cut to the image and scaled to sum one.
fn window(centre: f64, reach: f64, source: usize) -> Window {
    // Casting from negative saturates at 0, which is the cut on the left.
    let first = (centre - reach + 0.5) as usize;
    let end = ((centre + reach + 0.5) as usize).min(source);
    // Multiplying by the reciprocal, not dividing, keeps the last bit as Pillow has it.
    let inverse = 1.0 / reach;
    let heights: Vec<f64> = (first..end)
        .map(|sample| {
            let distance = (sample as f64 - centre + 0.5) * inverse;
            (1.0 - distance.abs()).max(0.0)
        })
        .collect();
    let total: f64 = heights.iter().sum();
    let one = f64::from(1_u32 << PRECISION);
    let weights = heights.iter().map(|h| (h / total * one + 0.5) as i32);
    Window {
        first,
        weights: weights.collect(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The byte stream of which the recorded cases were made.
    fn noise(len: usize) -> Vec<u8> {
        let mut state = 12345_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..len).map(|_| next()).collect()
    }

    fn noise_image(width: usize, height: usize, channels: usize) -> Pixels {
        let bytes = noise(width * height * channels);
        Pixels {
            width,
            height,
            channels,
            bytes,
        }
    }

    /// Source size and channels, target size, and what Pillow makes of it.
    type Recorded = ((usize, usize, usize), (usize, usize), &'static [u8]);

    /// Recorded with Pillow 13, `Image.resize(size, Image.BILINEAR)`.
    const RECORDED: &[Recorded] = &[
        // smaller both ways
        (
            (7, 5, 3),
            (4, 3),
            &[
                97, 106, 117, 112, 84, 156, 145, 68, 187, 87, 192, 192, 103, 173, 159, 102, 134, 146, 124,
                106, 171, 125, 176, 187, 127, 203, 96, 138, 153, 72, 114, 153, 151, 172, 97, 177,
            ],
        ),
        // larger both ways
        (
            (3, 2, 3),
            (5, 4),
            &[
                5, 4, 139, 68, 95, 95, 162, 232, 28, 140, 177, 102, 126, 140, 152, 54, 6, 152, 106, 75, 118,
                183, 179, 66, 147, 150, 131, 124, 130, 175, 151, 9, 177, 181, 34, 163, 226, 72, 141, 162, 95,
                190, 119, 111, 222, 200, 10, 190, 219, 13, 186, 247, 18, 179, 169, 68, 219, 117, 101, 245,
            ],
        ),
        // narrower, height kept
        (
            (13, 4, 3),
            (6, 4),
            &[
                95, 127, 94, 183, 71, 162, 153, 107, 225, 121, 134, 175, 61, 44, 181, 47, 140, 157, 112, 210,
                158, 111, 192, 146, 144, 106, 161, 99, 191, 170, 78, 143, 144, 128, 124, 164, 186, 138, 199,
                178, 201, 66, 135, 198, 63, 130, 97, 137, 205, 82, 137, 206, 151, 131, 81, 123, 72, 123, 213,
                160, 111, 140, 190, 126, 166, 107, 67, 193, 114, 98, 150, 115,
            ],
        ),
        // much lower, width kept
        (
            (4, 19, 3),
            (4, 2),
            &[
                115, 150, 137, 122, 148, 129, 136, 136, 164, 117, 131, 157, 102, 128, 148, 112, 117, 80, 152,
                104, 108, 127, 142, 151,
            ],
        ),
        // one pixel
        ((17, 11, 3), (1, 1), &[134, 125, 134]),
        // grey
        (
            (10, 7, 1),
            (6, 4),
            &[
                50, 144, 147, 104, 154, 179, 144, 125, 110, 130, 106, 129, 142, 141, 141, 124, 164, 140, 146,
                165, 124, 95, 166, 145,
            ],
        ),
    ];

    #[test]
    fn agrees_with_pillow_bit_for_bit() {
        for &((width, height, channels), (to_width, to_height), expected) in RECORDED {
            let resized = resize(noise_image(width, height, channels), to_width, to_height);
            assert_eq!((resized.width, resized.height), (to_width, to_height));
            assert_eq!(
                resized.bytes, expected,
                "{width} x {height} to {to_width} x {to_height}"
            );
        }
    }

    /// The same filter with nothing rounded but the two passes' results.
    fn naive(image: &Pixels, width: usize, height: usize) -> Vec<f64> {
        let axis = |source: usize, target: usize, index: usize| -> Vec<(usize, f64)> {
            let step = source as f64 / target as f64;
            let reach = step.max(1.0);
            let centre = (index as f64 + 0.5) * step;
            let weight = |i: usize| (1.0 - ((i as f64 + 0.5 - centre) / reach).abs()).max(0.0);
            let total: f64 = (0..source).map(weight).sum();
            (0..source).map(|i| (i, weight(i) / total)).collect()
        };
        let mut out = Vec::new();
        for y in 0..height {
            for x in 0..width {
                for c in 0..image.channels {
                    let mut sum = 0.0;
                    for (sy, wy) in axis(image.height, height, y) {
                        for (sx, wx) in axis(image.width, width, x) {
                            let at = (sy * image.width + sx) * image.channels + c;
                            sum += wy * wx * f64::from(image.bytes[at]);
                        }
                    }
                    out.push(sum);
                }
            }
        }
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn stays_within_a_level_of_the_unrounded_filter(
            (width, height) in (1_usize..20, 1_usize..20),
            (to_width, to_height) in (1_usize..24, 1_usize..24),
            channels in prop::sample::select(vec![1_usize, 3]),
        ) {
            let image = noise_image(width, height, channels);
            let expected = naive(&image, to_width, to_height);
            let found = resize(image, to_width, to_height);
            prop_assert_eq!(found.bytes.len(), to_width * to_height * channels);
            for (byte, exact) in found.bytes.iter().zip(expected) {
                prop_assert!((f64::from(*byte) - exact).abs() <= 1.01);
            }
        }
    }

    #[test]
    fn an_image_of_one_grey_stays_so() {
        for grey in [0_u8, 1, 127, 254, 255] {
            let image = Pixels {
                width: 301,
                height: 7,
                channels: 1,
                bytes: vec![grey; 2107],
            };
            let resized = resize(image, 13, 300);
            assert!(resized.bytes.iter().all(|&byte| byte == grey), "{grey}");
        }
    }
}
