//! Keys, checks, geometry and values of preprocess descriptions.

use super::*;

const PLAIN: &str = "scale = 1\nmean = [0, 0, 0]\nstd = [1, 1, 1]\n";

fn with(keys: &str) -> Preprocess {
    Preprocess::from_toml(&format!("{keys}\n{PLAIN}")).unwrap()
}

fn refused(text: &str) -> PreprocessError {
    match Preprocess::from_toml(text) {
        Err(DataError::Preprocess { source, .. }) => source,
        other => panic!("{text:?} gave {other:?}"),
    }
}

/// Red counts columns, green rows, blue is 7.
fn ramp(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| image::Rgb([x as u8, y as u8, 7]))
}

#[test]
fn bytes_are_scaled_shifted_and_divided_per_channel() {
    let text = "scale = 0.00392156862745098\nmean = [0.485, 0.456, 0.406]\nstd = [0.229, 0.224, 0.225]";
    let preprocess = Preprocess::from_toml(text).unwrap();
    let pixel = RgbImage::from_pixel(1, 1, image::Rgb([0, 128, 255]));
    let tensor = preprocess.apply_rgb(pixel).unwrap();
    let expected = [
        -0.485 / 0.229,
        (128.0 / 255.0 - 0.456) / 0.224,
        (1.0 - 0.406) / 0.225,
    ];
    for (value, expected) in tensor.values.iter().zip(expected) {
        assert!((value - expected).abs() < 1e-6, "{value} {expected}");
    }
    let range = preprocess.value_range();
    assert_eq!(range.len(), 3);
    assert_eq!((range[0].0, range[2].1), (tensor.values[0], tensor.values[2]));
}

#[test]
fn the_range_is_ordered_even_where_values_fall() {
    let text = "scale = -1\nmean = [0]\nstd = [2]";
    let preprocess = Preprocess::from_toml(text).unwrap();
    assert_eq!(preprocess.value_range(), [(-127.5, 0.0)]);
}

#[test]
fn the_crop_is_centred() {
    let tensor = with("crop = 2").apply_rgb(ramp(5, 4)).unwrap();
    assert_eq!(tensor.shape(), (3, 2, 2).into());
    assert_eq!(tensor.values[0..4], [1.0, 2.0, 1.0, 2.0]);
    assert_eq!(tensor.values[4..8], [1.0, 1.0, 2.0, 2.0]);
}

#[test]
fn the_canvas_is_filled_right_and_below() {
    let tensor = with("canvas = 3\nfill = 127.5").apply_rgb(ramp(2, 1)).unwrap();
    let grey = 127.5;
    let red = [0.0, 1.0, grey, grey, grey, grey, grey, grey, grey];
    assert_eq!(tensor.values[..9], red);
    assert_eq!(tensor.values[18..21], [7.0, 7.0, grey]);
}

#[test]
fn sides_are_resized_with_the_aspect_kept() {
    let size = |keys: &str, width, height| with(keys).output_size(width, height).unwrap();
    assert_eq!(size("longer_side = 257", 513, 385), (257, 193));
    assert_eq!(size("longer_side = 257", 344, 513), (172, 257));
    assert_eq!(size("shorter_side = 128", 224, 224), (128, 128));
    assert_eq!(size("shorter_side = 128", 300, 200), (192, 128));
    assert_eq!(size("shorter_side = 128\ncrop = 128", 300, 200), (128, 128));
    // 2.5 goes to the even 2, and nothing shrinks to 0.
    assert_eq!(size("longer_side = 10", 40, 10), (10, 2));
    assert_eq!(size("longer_side = 10", 4000, 1), (10, 1));
}

#[test]
fn grey_descriptions_take_the_luma() {
    let preprocess = Preprocess::from_toml("scale = 1\nmean = [0]\nstd = [1]").unwrap();
    let pixels = [[9, 9, 9], [255, 255, 255], [255, 0, 0], [10, 200, 30]];
    let image = RgbImage::from_raw(4, 1, pixels.concat()).unwrap();
    // As Pillow's convert("L").
    let tensor = preprocess.apply_rgb(image).unwrap();
    assert_eq!(tensor.values, [9.0, 255.0, 76.0, 124.0]);
}

#[test]
fn descriptions_travel_and_are_checked_on_arrival() {
    for keys in [
        "",
        "shorter_side = 9\ncrop = 8",
        "longer_side = 5\ncanvas = 6\nfill = 1",
    ] {
        let sent = with(keys);
        let json = serde_json::to_string(&sent).unwrap();
        let received: Preprocess = serde_json::from_str(&json).unwrap();
        assert_eq!(sent, received);
        assert_eq!(
            Preprocess::from_toml(&toml::to_string(&sent).unwrap()).unwrap(),
            sent
        );
    }
    let forged = Description {
        std: vec![0.0; 3],
        ..Description::from(with(""))
    };
    let json = serde_json::to_string(&forged).unwrap();
    let refused = serde_json::from_str::<Preprocess>(&json).unwrap_err();
    assert!(refused.to_string().contains("std holds a 0"), "{refused}");
}

#[test]
fn wrong_descriptions_are_refused_for_their_reason() {
    use PreprocessError as E;
    let plus = |keys: &str| refused(&format!("{keys}\n{PLAIN}"));
    let numbers =
        |scale: &str, mean: &str, std: &str| refused(&format!("scale = {scale}\nmean = {mean}\nstd = {std}"));
    assert!(matches!(refused("not toml"), E::Toml(_)));
    assert!(matches!(refused(""), E::Toml(_)));
    assert!(matches!(plus("resize = 3"), E::Toml(_)));
    assert!(matches!(plus("crop = -1"), E::Toml(_)));
    assert!(matches!(plus("crop = 1.5"), E::Toml(_)));
    assert!(matches!(
        plus("crop = 0"),
        E::Side {
            key: "crop",
            value: 0,
            ..
        }
    ));
    assert!(matches!(
        plus("canvas = 5000\nfill = 0"),
        E::Side { key: "canvas", .. }
    ));
    assert!(matches!(plus("shorter_side = 3\nlonger_side = 3"), E::TwoResizes));
    assert!(matches!(plus("canvas = 3"), E::CanvasWithoutFill));
    assert!(matches!(plus("fill = 3"), E::CanvasWithoutFill));
    assert!(matches!(plus("canvas = 3\nfill = 256"), E::Fill));
    assert!(matches!(plus("canvas = 3\nfill = nan"), E::Fill));
    assert!(matches!(numbers("inf", "[0]", "[1]"), E::NotFinite("scale")));
    assert!(matches!(numbers("1", "[nan]", "[1]"), E::NotFinite("mean")));
    assert!(matches!(numbers("1", "[0]", "[-inf]"), E::NotFinite("std")));
    assert!(matches!(numbers("1", "[0]", "[-0.0]"), E::ZeroStd));
    assert!(matches!(numbers("1", "[0]", "[1e-300]"), E::Overflow));
    assert!(matches!(
        numbers("1", "[0, 0, 0]", "[1]"),
        E::ChannelCount { mean: 3, std: 1 }
    ));
    assert!(matches!(numbers("1", "[0, 0]", "[1, 1]"), E::ChannelCount { .. }));
}

#[test]
fn images_that_do_not_fit_are_refused() {
    let size = |keys: &str, width, height| with(keys).output_size(width, height).unwrap_err();
    assert!(matches!(
        size("crop = 9", 8, 20),
        ImageProblem::CropTooLarge { .. }
    ));
    assert!(matches!(
        size("canvas = 9\nfill = 0", 4, 10),
        ImageProblem::CanvasTooSmall { .. }
    ));
    assert!(matches!(
        size("shorter_side = 4000", 9000, 1),
        ImageProblem::Stretched { .. }
    ));
    assert!(matches!(size("", 0, 1), ImageProblem::Empty));
}
