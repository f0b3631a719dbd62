//! `keygen`: a key of one's own.

use super::args::KeygenArgs;
use super::error::CliError;
use super::print;
use crate::keys::SecretKey;

/// Runs the command.
///
/// # Errors
/// If no key can be made, written or read.
pub fn run(args: &KeygenArgs) -> Result<(), CliError> {
    let key = match (&args.output, &args.public) {
        (Some(path), _) => {
            let key = SecretKey::generate()?;
            key.write(path)?;
            key
        }
        (None, Some(path)) => SecretKey::read(path)?,
        (None, None) => return Ok(()),
    };
    print(&format!("{}\n", key.public())).map(drop)
}
