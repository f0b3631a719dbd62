//! The ground of both languages: shapes, windows and patches. Knows nothing of either.

mod axis;
mod pad;
mod patch;
mod position;
mod resize;
mod shape;
mod shuffle;
mod window;

pub use axis::Axis;
pub use pad::Pad;
pub use patch::{Patch, Patches, all_identities, all_pixels, patch_area};
pub use position::Coordinates;
pub use resize::{Resize, ResizeMode, Tap};
pub(crate) use shape::MAX_CHANNELS;
pub use shape::{MAX_ELEMENTS, ParseShapeError, Shape};
pub use shuffle::{Shuffle, ShuffleMode};
pub use window::{Window, WindowError, for_each_window};
