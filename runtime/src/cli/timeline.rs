//! `timeline`: one trace of a session, from those of its parties.

use std::fs;

use super::args::TimelineArgs;
use super::error::CliError;
use crate::files::write_private;
use crate::trace::merge;

/// Runs the command.
///
/// # Errors
/// If a file cannot be read or written, or they do not belong together.
pub fn run(args: &TimelineArgs) -> Result<(), CliError> {
    let read = |path: &std::path::PathBuf| {
        fs::read_to_string(path).map_err(|source| CliError::ReadTrace {
            path: path.clone(),
            source,
        })
    };
    let texts: Vec<String> = args.files.iter().map(read).collect::<Result<_, _>>()?;
    let merged = merge(&texts)?;
    write_private(&args.output, merged).map_err(|source| CliError::Write {
        path: args.output.clone(),
        source,
    })
}
