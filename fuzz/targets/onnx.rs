//! ONNX import: no file makes it panic, and what is imported can be printed, read back, executed and
//! exported; an assignment that a file carries fits its network.
#![no_main]

use trefoil_compiler::export::{ExportOptions, export};
use trefoil_compiler::import::{ImportOptions, import_bytes};
use trefoil_compiler::patches::with_patches;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    match import_bytes(bytes, None, &ImportOptions::default()) {
        Ok(imported) => {
            trefoil_fuzz::execute(&imported.graph);
            trefoil_fuzz::reads_back(&imported.graph.compacted());
            if let Some(assignment) = &imported.assignment {
                with_patches(&imported.graph, assignment).expect("import has checked the assignment");
            }
            // Not everything can be told in ONNX; nothing may panic.
            let _ = export(&imported.graph, &ExportOptions::default());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
