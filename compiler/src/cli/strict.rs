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
#[error("values left their ranges on {}, which --strict does not let pass", counted(*.0, "image"))]
struct BeyondRanges(usize);

impl Strict {
    /// Whether so many images with a value beyond its range may pass.
    ///
    /// # Errors
    /// If they may not.
    pub(super) fn check(self, images: usize) -> Result<()> {
        if self.strict && images > 0 {
            return Err(BeyondRanges(images).into());
        }
        Ok(())
    }
}

/// The exit code of a command that failed so.
pub(super) fn exit_code(error: &anyhow::Error) -> ExitCode {
    match error.downcast_ref() {
        Some(BeyondRanges(_)) => ExitCode::from(BEYOND_RANGES),
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
        assert_eq!(exit_code(&anyhow::anyhow!("another")), ExitCode::FAILURE);
    }
}
