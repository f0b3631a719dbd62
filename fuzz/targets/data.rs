//! Arrays, labels and preprocess descriptions: no file makes a reader panic or allocate what it only
//! claims to hold.
#![no_main]

use trefoil_runtime::data::{DataSet, Preprocess, read_labels};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((kind, rest)) = bytes.split_first() else {
        return;
    };
    match kind % 3 {
        0 => preprocess(rest),
        1 => trefoil_fuzz::as_file(rest, |path| {
            let description = Preprocess::from_toml("scale = 1.0\nmean = [0.0]\nstd = [1.0]\n").ok();
            if let Ok(data) = DataSet::open(path, description.as_ref(), None) {
                let _ = (data.get(0), data.get(data.len().saturating_sub(1)), data.name(0));
            }
        }),
        _ => trefoil_fuzz::as_file(rest, |path| drop(read_labels(path))),
    }
});

fn preprocess(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    if let Ok(description) = Preprocess::from_toml(text) {
        let _ = description.value_range();
    }
}
