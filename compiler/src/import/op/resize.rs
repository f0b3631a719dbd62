//! Resize and its predecessor Upsample.

use trefoil_ir::Shape;
use trefoil_ir::geometry::{Coordinates, MAX_ELEMENTS, ResizeMode};
use trefoil_ir::nn::op::Resize;

use crate::import::error::{Refusal, invalid, unsupported};
use crate::import::site::{Outcome, Site, axes};
use crate::import::value::{Value, View};

/// What a Resize asks for along the four axes.
struct Target {
    sizes: [usize; 4],
    scales: [f32; 4],
}

impl Target {
    /// Whether the scale along an axis is the quotient of the sizes.
    fn is_exact(&self, view: &View, axis: usize) -> bool {
        self.sizes[axis] as f32 / view.dims[axis] as f32 == self.scales[axis]
    }
}

/// Upsample of opset 9, which counts from the corner.
pub(super) fn upsample(site: &mut Site<'_>) -> Outcome {
    if site.opset > 9 {
        return invalid("opset 10 has given the operator up: use Resize");
    }
    let target = target_from_corner(site)?;
    if target.scales.iter().any(|scale| *scale < 1.0) {
        return invalid("a scale is below 1, and the operator only enlarges");
    }
    resize_from_corner(site, &target, ResizeMode::NearestFloor)
}

/// Resize; in opset 10 it is the Upsample of opset 9, and may shrink as well.
pub(super) fn resize(site: &mut Site<'_>) -> Outcome {
    if site.opset < 11 {
        let target = target_from_corner(site)?;
        // Runtimes take the pixel behind where they shrink, and the one before where they enlarge.
        let [_, _, sh, sw] = target.scales;
        let nearest = match sh.min(sw) < 1.0 {
            true => ResizeMode::NearestCeil,
            false => ResizeMode::NearestFloor,
        };
        if sh.min(sw) < 1.0 && sh.max(sw) > 1.0 {
            return unsupported(
                "it shrinks one side of the map and enlarges the other",
                "export the model with opset 11 or later",
            );
        }
        return resize_from_corner(site, &target, nearest);
    }
    refuse_rare_forms(site)?;
    let view = site.image(0)?;
    let target = target(site, &view)?;
    let mode = mode(site)?;
    let coordinates = coordinates(site, &view, &target)?;
    finish(site, view, &target, mode, coordinates)
}

fn target_from_corner(site: &Site<'_>) -> Result<Target, Refusal> {
    let view = site.image(0)?;
    let scales = numbers(site, 1)?.unwrap_or_default();
    scaled(&view, &all_axes(), &scales)
}

fn resize_from_corner(site: &mut Site<'_>, target: &Target, nearest: ResizeMode) -> Outcome {
    let view = site.image(0)?;
    let mode = match site.string("mode", "nearest")?.as_str() {
        "nearest" => nearest,
        "linear" => ResizeMode::Bilinear,
        other => return refuse_mode(other),
    };
    finish(site, view, target, mode, Coordinates::Asymmetric)
}

fn finish(
    site: &mut Site<'_>,
    view: View,
    target: &Target,
    mode: ResizeMode,
    coordinates: Coordinates,
) -> Outcome {
    let [n, c, h, w] = target.sizes;
    let [sn, sc, sh, sw] = target.scales;
    // A scale next to 1 may leave their number as it is and takes other channels all the same.
    if [n, c] != view.dims[..2] || [sn, sc] != [1.0, 1.0] {
        return unsupported(
            "its sizes or scales change the batch or the channels",
            "resize height and width only, with scales of exactly 1 before them",
        );
    }
    // Every mode and coordinate system leaves a map of the same size as it is.
    if view.dims[2..] == [h, w] && sh == 1.0 && sw == 1.0 {
        return Ok(vec![Value::Map(view)]);
    }
    let op = Resize {
        size: [h, w],
        scales: [sh, sw],
        mode,
        coordinates,
    };
    if view.dims[2..] == [h, w] {
        return same_size(view, &op);
    }
    let node = site.add(op, &[view.node])?;
    let Shape { c, h, w } = site.shape(node);
    Ok(vec![Value::map(node, vec![n, c, h, w])])
}

/// A resize to the size that the map has: runtimes copy it, whatever the scales say.
fn same_size(view: View, op: &Resize) -> Outcome {
    if is_copy(op, 0) && is_copy(op, 1) {
        return Ok(vec![Value::Map(view)]);
    }
    unsupported(
        "its scales leave the map as large as it is and move its pixels all the same, which runtimes do not",
        "resize to another size, or with scales of 1",
    )
}

/// Whether every row (axis 0) or column (axis 1) of the result is the operand's of the same number.
fn is_copy(op: &Resize, axis: usize) -> bool {
    let taps = op.taps(axis, op.size[axis]);
    let mut numbered = taps.iter().enumerate();
    numbered.all(|(at, taps)| taps.len() == 1 && taps[0].index == at)
}

/// Forms that no exporter of ours writes and the graph does not know.
fn refuse_rare_forms(site: &Site<'_>) -> Result<(), Refusal> {
    let policy = site.string("keep_aspect_ratio_policy", "stretch")?;
    let rare = match () {
        () if site.flag("antialias", false)? => "antialiasing",
        () if site.flag("exclude_outside", false)? => "exclude_outside",
        () if policy != "stretch" => "keep_aspect_ratio_policy",
        () => return Ok(()),
    };
    unsupported(
        format!("it uses {rare}"),
        "use a plain nearest or bilinear resize",
    )
}

/// The output's sizes, from the operand `sizes` (3) or `scales` (2).
fn target(site: &Site<'_>, view: &View) -> Result<Target, Refusal> {
    let along = match site.ints("axes")? {
        Some(list) => axes(&list, 4)?,
        None => all_axes(),
    };
    let sizes = site.int_list(3)?.filter(|s| !s.is_empty());
    let scales = numbers(site, 2)?.filter(|s| !s.is_empty());
    match (sizes, scales) {
        (Some(_), Some(_)) => invalid("both sizes and scales are given"),
        (Some(sizes), None) => sized(view, &along, &sizes),
        (None, Some(scales)) => scaled(view, &along, &scales),
        (None, None) => invalid("neither sizes nor scales are given"),
    }
}

fn all_axes() -> Vec<usize> {
    vec![0, 1, 2, 3]
}

fn numbers(site: &Site<'_>, at: usize) -> Result<Option<Vec<f32>>, Refusal> {
    Ok(site.constant(at)?.map(|c| c.floats()))
}

fn unchanged(view: &View) -> Target {
    let mut sizes = [0; 4];
    sizes.copy_from_slice(&view.dims);
    Target {
        sizes,
        scales: [1.0; 4],
    }
}

fn sized(view: &View, along: &[usize], sizes: &[i64]) -> Result<Target, Refusal> {
    let mut target = unchanged(view);
    if sizes.len() != along.len() {
        return invalid(format!(
            "{} sizes are given for {} axes",
            sizes.len(),
            along.len()
        ));
    }
    for (&axis, &size) in along.iter().zip(sizes) {
        target.sizes[axis] = checked(size as f64)?;
        target.scales[axis] = target.sizes[axis] as f32 / view.dims[axis] as f32;
    }
    Ok(target)
}

fn scaled(view: &View, along: &[usize], scales: &[f32]) -> Result<Target, Refusal> {
    let mut target = unchanged(view);
    if scales.len() != along.len() {
        return invalid(format!(
            "{} scales are given for {} axes",
            scales.len(),
            along.len()
        ));
    }
    for (&axis, &scale) in along.iter().zip(scales) {
        // In f32, as the runtimes compute it.
        target.sizes[axis] = checked((view.dims[axis] as f32 * scale).floor().into())?;
        target.scales[axis] = scale;
    }
    Ok(target)
}

fn checked(size: f64) -> Result<usize, Refusal> {
    if (1.0..=MAX_ELEMENTS as f64).contains(&size) {
        return Ok(size as usize);
    }
    invalid("its size is not between 1 and 2^28")
}

fn mode(site: &Site<'_>) -> Result<ResizeMode, Refusal> {
    let nearest = site.string("nearest_mode", "round_prefer_floor")?;
    match site.string("mode", "nearest")?.as_str() {
        "linear" => Ok(ResizeMode::Bilinear),
        "nearest" => match nearest.as_str() {
            "round_prefer_floor" | "" => Ok(ResizeMode::NearestFloorHalf),
            "round_prefer_ceil" => Ok(ResizeMode::NearestCeilHalf),
            "floor" => Ok(ResizeMode::NearestFloor),
            "ceil" => Ok(ResizeMode::NearestCeil),
            other => refuse_mode(other),
        },
        other => refuse_mode(other),
    }
}

fn refuse_mode<T>(mode: &str) -> Result<T, Refusal> {
    unsupported(
        format!("its mode is {mode:?}"),
        "use nearest or bilinear interpolation",
    )
}

fn coordinates(site: &Site<'_>, view: &View, target: &Target) -> Result<Coordinates, Refusal> {
    match site
        .string("coordinate_transformation_mode", "half_pixel")?
        .as_str()
    {
        "half_pixel" => Ok(Coordinates::HalfPixel),
        // The two differ only where the sizes are rounded.
        "half_pixel_symmetric" if target.is_exact(view, 2) && target.is_exact(view, 3) => {
            Ok(Coordinates::HalfPixel)
        }
        "pytorch_half_pixel" => Ok(Coordinates::PytorchHalfPixel),
        "align_corners" => Ok(Coordinates::AlignCorners),
        "asymmetric" => Ok(Coordinates::Asymmetric),
        other => unsupported(
            format!("its coordinates are {other:?}"),
            "use half_pixel, align_corners or asymmetric coordinates",
        ),
    }
}
