//! `trefoil`, the compiler.

use std::process::ExitCode;

fn main() -> ExitCode {
    trefoil_compiler::cli::main()
}
