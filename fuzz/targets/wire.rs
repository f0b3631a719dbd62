//! What a stranger may send before it has proved anything: a frame's header, and a statement behind it.
//! Either is read in the one way in which it would be written.
#![no_main]

use trefoil_runtime::session::Statement;
use trefoil_runtime::wire::Header;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((header, payload)) = bytes.split_first_chunk() else {
        return;
    };
    if let Some(read) = Header::decode(header) {
        assert_eq!(&read.encode(), header);
    }
    if let Some(statement) = Statement::decode(payload) {
        assert_eq!(statement.encode(), payload);
    }
});
