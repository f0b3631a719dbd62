//! Both languages: no text makes the parser, the printer, the verifier or the evaluators panic, and
//! what is read and printed is a fixed point.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(source) = std::str::from_utf8(bytes) {
        trefoil_fuzz::graph_text(source);
        trefoil_fuzz::program_text(source);
    }
});
