//! Profiles and assignments: one of a profile's three files, or an assignment.
#![no_main]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use trefoil_compiler::profile::Profile;
use trefoil_compiler::patches::Assignment;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((kind, rest)) = bytes.split_first() else {
        return;
    };
    match trefoil_fuzz::profile::FILES.get(usize::from(kind % 4)) {
        Some(name) => profile(name, rest),
        None => assignment(rest),
    }
});

/// Opens a sound profile of which this file holds something else.
fn profile(name: &str, bytes: &[u8]) {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| trefoil_fuzz::profile::write(&trefoil_fuzz::scratch("profile")));
    let path = folder.join(name);
    let whole = fs::read(&path).expect("it was written");
    fs::write(&path, bytes).expect("there is room");
    open(folder);
    fs::write(&path, whole).expect("there is room");
}

fn open(folder: &Path) {
    match Profile::open(folder) {
        Ok(profile) => drop(profile.vectors().map(|vectors| vectors.images())),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// One that is read is written as one that reads the same.
fn assignment(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(assignment) = Assignment::parse(text) {
        let again = Assignment::parse(&assignment.to_json()).expect("it was written");
        assert_eq!(again, assignment);
    }
}
