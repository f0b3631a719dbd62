//! Tests that need more than a checkout (a folder of models, a Python with onnxruntime) skip where
//! it is absent. A harness hides what a passing test prints, so each such test leaves a record
//! beside the test programs, and the last program of a run tells them all.

use std::path::PathBuf;
use std::{env, fs, io, thread};

/// Passes on what a test needs; where there is none, records that the test was skipped for want of it.
///
/// A test calls it in its own thread: the thread's name is the test's.
pub fn needed<T>(found: Result<T, String>) -> Option<T> {
    let record = record();
    match found {
        Ok(found) => {
            // A record of an earlier run is not true any more. Mostly there is none.
            let _ = record.map(fs::remove_file);
            Some(found)
        }
        Err(want) => {
            eprintln!("skipped: {want}");
            let written = record.and_then(|path| fs::write(path, &want));
            written.expect("records are written beside the test programs");
            None
        }
    }
}

/// The tests that were skipped, with what they wanted, by name; forgets them.
///
/// # Errors
/// If the folder of records cannot be read.
pub fn take() -> io::Result<Vec<(String, String)>> {
    let mut skipped = Vec::new();
    for entry in fs::read_dir(folder()?)? {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        skipped.push((name.unwrap_or_default(), fs::read_to_string(&path)?));
        fs::remove_file(path)?;
    }
    skipped.sort();
    Ok(skipped)
}

fn record() -> io::Result<PathBuf> {
    let program = env::current_exe()?;
    let program = program
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    // Cargo writes a hash behind the name.
    let program = program
        .rsplit_once('-')
        .map_or(program.as_str(), |(name, _)| name);
    let thread = thread::current();
    let test = thread.name().unwrap_or("main").replace("::", ".");
    Ok(folder()?.join(format!("{program}.{test}")))
}

/// The folder of records, beside the programs of this profile.
fn folder() -> io::Result<PathBuf> {
    let program = env::current_exe()?;
    let folder = program.with_file_name("skipped-tests");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}
