//! Images to calibrate with, and how many of them.

use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::builder::RangedU64ValueParser;
use trefoil_runtime::data::{DataSet, Preprocess};

use crate::profile::Profile;

/// A number of images, or of anything else of which none leaves nothing to do.
pub(super) fn count() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..)
}

/// Where images to calibrate with come from.
pub(super) enum Calibration<'a> {
    /// The user has named them.
    Named(&'a Path),
    /// Those that a profile was measured on.
    OfProfile(&'a Profile),
}

impl Calibration<'_> {
    /// Opens at most so many of them.
    pub(super) fn open(&self, most: Option<usize>, preprocess: Option<&Preprocess>) -> Result<DataSet> {
        let (path, all) = match self {
            Calibration::Named(path) => (*path, usize::MAX),
            Calibration::OfProfile(profile) => (Path::new(&profile.header.data), profile.header.images),
        };
        let data = DataSet::open(path, preprocess, None).with_context(|| match self {
            Calibration::Named(_) => "the calibration images cannot be used".to_owned(),
            Calibration::OfProfile(_) => format!(
                "the images of the profile, {}, cannot be used; give --calibration DATA",
                path.display()
            ),
        })?;
        let data = data.take(most.unwrap_or(all));
        if data.is_empty() {
            bail!("{} holds no image to calibrate with", path.display());
        }
        Ok(data)
    }
}
