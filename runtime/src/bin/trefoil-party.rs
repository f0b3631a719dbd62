//! `trefoil-party`: runs a plan as client, server or helper, or all three in one process.

use std::process::ExitCode;

/// Buffers of some megabytes come and go with every step; this allocator keeps their pages.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match trefoil_runtime::cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            trefoil_runtime::terminal::error(&error);
            ExitCode::from(error.exit().code())
        }
    }
}
