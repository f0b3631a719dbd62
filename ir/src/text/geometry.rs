//! Geometry in the text form.

use super::attr::{FromAttr, Word};
use super::{Attr, AttrError, Attrs};
use crate::geometry::{Axis, Coordinates, Pad, Resize, ResizeMode, Shuffle, ShuffleMode, Window};

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

impl Window {
    /// Adds the attributes of an operation with a window, where they are not those of a dense one. The
    /// kernel is the operation's own: some write it always, some if it is more than a pixel.
    pub(crate) fn add_attrs(&self, attrs: Attrs) -> Attrs {
        attrs
            .with_unless([1, 1], "stride", self.stride)
            .with_unless([1, 1], "dilation", self.dilation)
            .with_unless([0; 4], "pads", self.pads)
    }

    /// Reads back what [`add_attrs`](Self::add_attrs) adds.
    pub(crate) fn read_attrs(kernel: [usize; 2], attrs: &mut Attrs) -> Result<Self, AttrError> {
        Ok(Self {
            kernel,
            stride: attrs.optional("stride")?.unwrap_or([1, 1]),
            dilation: attrs.optional("dilation")?.unwrap_or([1, 1]),
            pads: attrs.optional("pads")?.unwrap_or([0; 4]),
        })
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

impl Shuffle {
    /// The attributes of an operation that shuffles.
    pub(crate) fn to_attrs(&self) -> Attrs {
        Attrs::new().with("block", self.block).with("mode", self.mode)
    }

    /// Reads them back.
    pub(crate) fn read_attrs(attrs: &mut Attrs) -> Result<Self, AttrError> {
        Ok(Self {
            block: attrs.require("block")?,
            mode: attrs.require("mode")?,
        })
    }
}

impl From<ShuffleMode> for Attr {
    fn from(mode: ShuffleMode) -> Attr {
        Attr::Word(
            match mode {
                ShuffleMode::ToDepth => "to_depth",
                ShuffleMode::ToSpace => "to_space",
                ShuffleMode::NeighboursToSpace => "neighbours_to_space",
            }
            .to_owned(),
        )
    }
}

impl FromAttr for ShuffleMode {
    const EXPECTED: &'static str = "one of to_depth, to_space, neighbours_to_space";
    fn from_attr(attr: Attr) -> Option<Self> {
        Some(match Word::from_attr(attr)?.0.as_str() {
            "to_depth" => ShuffleMode::ToDepth,
            "to_space" => ShuffleMode::ToSpace,
            "neighbours_to_space" => ShuffleMode::NeighboursToSpace,
            _ => return None,
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
