//! Geometry in the text form.

use super::attr::{FromAttr, Word};
use super::{Attr, AttrError, Attrs};
use crate::geometry::{Axis, Coordinates, Pad, Resize, ResizeMode};

impl From<Axis> for Attr {
    fn from(axis: Axis) -> Attr {
        Attr::Word(axis.to_string())
    }
}

impl FromAttr for Axis {
    const EXPECTED: &'static str = "an axis: c, h or w";
    fn from_attr(attr: Attr) -> Option<Self> {
        match Word::from_attr(attr)?.0.as_str() {
            "c" => Some(Axis::C),
            "h" => Some(Axis::H),
            "w" => Some(Axis::W),
            _ => None,
        }
    }
}

impl Pad {
    /// The attributes of an operation that pads.
    pub(crate) fn to_attrs(&self) -> Attrs {
        Attrs::new().with("before", self.before).with("after", self.after)
    }

    /// Reads them back.
    pub(crate) fn read_attrs(attrs: &mut Attrs) -> Result<Self, AttrError> {
        Ok(Self {
            before: attrs.require("before")?,
            after: attrs.require("after")?,
        })
    }
}

impl Resize {
    /// The attributes of an operation that interpolates.
    pub(crate) fn to_attrs(&self) -> Attrs {
        Attrs::new()
            .with("size", self.size)
            .with("scales", self.scales)
            .with("mode", self.mode)
            .with("coordinates", self.coordinates)
    }

    /// Reads them back.
    pub(crate) fn read_attrs(attrs: &mut Attrs) -> Result<Self, AttrError> {
        Ok(Self {
            size: attrs.require("size")?,
            scales: attrs.require("scales")?,
            mode: attrs.require("mode")?,
            coordinates: attrs.require("coordinates")?,
        })
    }
}

impl From<ResizeMode> for Attr {
    fn from(mode: ResizeMode) -> Attr {
        Attr::Word(
            match mode {
                ResizeMode::NearestFloorHalf => "nearest",
                ResizeMode::NearestCeilHalf => "nearest_ceil_half",
                ResizeMode::NearestFloor => "nearest_floor",
                ResizeMode::NearestCeil => "nearest_ceil",
                ResizeMode::Bilinear => "bilinear",
            }
            .to_owned(),
        )
    }
}

impl FromAttr for ResizeMode {
    const EXPECTED: &'static str = "one of nearest, nearest_ceil_half, nearest_floor, nearest_ceil, bilinear";
    fn from_attr(attr: Attr) -> Option<Self> {
        Some(match Word::from_attr(attr)?.0.as_str() {
            "nearest" => ResizeMode::NearestFloorHalf,
            "nearest_ceil_half" => ResizeMode::NearestCeilHalf,
            "nearest_floor" => ResizeMode::NearestFloor,
            "nearest_ceil" => ResizeMode::NearestCeil,
            "bilinear" => ResizeMode::Bilinear,
            _ => return None,
        })
    }
}

impl From<Coordinates> for Attr {
    fn from(coordinates: Coordinates) -> Attr {
        Attr::Word(
            match coordinates {
                Coordinates::HalfPixel => "half_pixel",
                Coordinates::PytorchHalfPixel => "pytorch_half_pixel",
                Coordinates::AlignCorners => "align_corners",
                Coordinates::Asymmetric => "asymmetric",
            }
            .to_owned(),
        )
    }
}

impl FromAttr for Coordinates {
    const EXPECTED: &'static str = "one of half_pixel, pytorch_half_pixel, align_corners, asymmetric";
    fn from_attr(attr: Attr) -> Option<Self> {
        Some(match Word::from_attr(attr)?.0.as_str() {
            "half_pixel" => Coordinates::HalfPixel,
            "pytorch_half_pixel" => Coordinates::PytorchHalfPixel,
            "align_corners" => Coordinates::AlignCorners,
            "asymmetric" => Coordinates::Asymmetric,
            _ => return None,
        })
    }
}
