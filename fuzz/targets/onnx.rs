//! ONNX import: no file makes it panic, and what is imported can be printed, read back and executed.
#![no_main]

use trefoil_compiler::import::{ImportOptions, import_bytes};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    match import_bytes(bytes, None, &ImportOptions::default()) {
        Ok(imported) => {
            trefoil_fuzz::execute(&imported.graph);
            trefoil_fuzz::reads_back(&imported.graph.compacted());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
