//! `trefoil secret`.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use zeroize::Zeroizing;

use super::print::say;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  trefoil secret -o secret\n  trefoil compile resnet.onnx --secret secret ..."
)]
pub(super) struct Arguments {
    /// File to write, which must not be there yet: 32 random bytes that only its owner may read.
    #[arg(short, long = "out", alias = "output", value_name = "FILE")]
    output: PathBuf,
}

/// Bytes of a secret: as many as the key that is made of it.
const LENGTH: usize = 32;

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let mut secret = Zeroizing::new([0; LENGTH]);
    getrandom::fill(&mut *secret).map_err(|e| anyhow!("the system gives no random bytes: {e}"))?;
    let path = arguments.output.display();
    let mut options = OpenOptions::new();
    // Never over another one: plans that were made of it could not be made again.
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&arguments.output).with_context(|| {
        format!("{path} cannot be written: a secret is never written over a file that is there")
    })?;
    let written = file.write_all(&*secret).and_then(|()| file.sync_all());
    written
        .inspect_err(|_| drop(std::fs::remove_file(&arguments.output)))
        .with_context(|| format!("{path} cannot be written"))?;
    say!("{path}: {LENGTH} random bytes; keep them with the model, and give them to no party");
    Ok(())
}
