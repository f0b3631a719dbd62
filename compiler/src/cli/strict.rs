//! `--strict`: values beyond their ranges as an exit code.

use std::process::ExitCode;

use anyhow::Result;
use trefoil_runtime::amount::counted;

/// Exit code where values left their ranges and `--strict` was given.
const BEYOND_RANGES: u8 = 3;

#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Strict {
    /// Ends with exit code 3 if a value left its range on any image that was run: there the parties
    /// would compute something else than the network.
    #[arg(long, help_heading = super::NUMBERS)]
    strict: bool,
}

/// Values left their ranges, and that was to be an error.
#[derive(Debug, thiserror::Error)]
#[error("values left their ranges on {}{place}, which --strict does not let pass", counted(*images, "image"))]
struct BeyondRanges {
    images: usize,
    /// Where, behind a space, if there are several places.
    place: String,
}

impl Strict {
    /// Whether values beyond their ranges are an error.
    pub(super) fn is_strict(self) -> bool {
        self.strict
    }

    /// Whether so many images with a value beyond its range may pass.
    ///
    /// # Errors
    /// If they may not.
    pub(super) fn check(self, images: usize) -> Result<()> {
        self.refuse(images, String::new())
    }

    /// The same of one place of many, which the error names.
    pub(super) fn check_at(self, images: usize, place: &str) -> Result<()> {
        self.refuse(images, format!(" at {place}"))
    }

    fn refuse(self, images: usize, place: String) -> Result<()> {
        if self.strict && images > 0 {
            return Err(BeyondRanges { images, place }.into());
        }
        Ok(())
    }
}

/// The exit code of a command that failed so.
pub(super) fn exit_code(error: &anyhow::Error) -> ExitCode {
    match error.downcast_ref() {
        Some(BeyondRanges { .. }) => ExitCode::from(BEYOND_RANGES),
        None => ExitCode::FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_beyond_the_ranges_pass_unless_strict() {
        let check = |strict, images| Strict { strict }.check(images);
        assert!(check(false, 5).is_ok() && check(true, 0).is_ok());
        let error = check(true, 1).unwrap_err();
        assert_eq!(exit_code(&error), ExitCode::from(3));
        assert!(error.to_string().contains("on 1 image,"), "{error}");
        let error = Strict { strict: true }.check_at(2, "joint 50%").unwrap_err();
        assert!(error.to_string().contains("on 2 images at joint 50%,"), "{error}");
        assert_eq!(exit_code(&anyhow::anyhow!("another")), ExitCode::FAILURE);
    }
}
