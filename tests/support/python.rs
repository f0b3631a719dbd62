//! A Python that has what some tests compare with: `python3`, or what `TREFOIL_PYTHON` names.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The exit code of scripts that lack a module.
const LACKS_A_MODULE: i32 = 77;

/// A file of the tests' own folder.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests").join(name)
}

/// A command that runs Python.
pub(crate) fn python() -> Command {
    Command::new(std::env::var_os("TREFOIL_PYTHON").unwrap_or_else(|| "python3".into()))
}

/// Runs a script to its end. Without Python, or one of the modules that it needs, says what is wanting.
///
/// # Panics
/// If the script fails in another way.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let advice = "TREFOIL_PYTHON names a Python with numpy, onnx and onnxruntime";
    let output = command
        .output()
        .map_err(|error| format!("Python cannot be started ({error}); {advice}"))?;
    if output.status.code() == Some(LACKS_A_MODULE) {
        let want = String::from_utf8_lossy(&output.stdout);
        return Err(format!("{}; {advice}", want.trim()));
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    Ok(())
}
