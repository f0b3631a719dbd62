//! What a file is that is no ONNX model, told by how it begins.

/// Beginnings, and what they are the beginnings of.
const KINDS: [(&[u8], &str); 8] = [
    (
        b"TREFOIL\0",
        "a plan of `trefoil compile`; `evaluate` and `compare` take the folder that it lies in",
    ),
    (b"\x93NUMPY", "a NumPy array (.npy)"),
    (
        b"PK\x03\x04",
        "a zip archive, as .npz and PyTorch's checkpoints are; export networks with torch.onnx.export",
    ),
    (
        b"\x80\x02",
        "a pickle, as old checkpoints of PyTorch are; export networks with torch.onnx.export",
    ),
    (
        b"\x89HDF",
        "an HDF5 file, as Keras writes them; export the network to ONNX",
    ),
    (b"\x89PNG", "a picture (PNG)"),
    (b"\xff\xd8\xff", "a picture (JPEG)"),
    (
        b"ORTM",
        "a model in onnxruntime's own format; give the .onnx file that it was made of",
    ),
];

/// What a file is, if it is surely no ONNX model.
pub fn kind(bytes: &[u8]) -> Option<&'static str> {
    if let Some((_, kind)) = KINDS.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return Some(kind);
    }
    // Every message of protobuf holds control characters: its tags.
    let beginning = &bytes[..bytes.len().min(4096)];
    is_text(beginning).then_some("a text")
}

/// Whether bytes are a text in UTF-8; at their end a character may be cut in two.
fn is_text(bytes: &[u8]) -> bool {
    if bytes.trim_ascii().is_empty() {
        return false;
    }
    if bytes
        .iter()
        .any(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace())
    {
        return false;
    }
    let text = String::from_utf8_lossy(bytes);
    text.chars().filter(|c| *c == char::REPLACEMENT_CHARACTER).count() <= 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_by_their_beginnings() {
        for (bytes, word) in [
            (&b"TREFOIL\0\x01\x03"[..], "a plan"),
            (b"\x93NUMPY\x01\0", "NumPy"),
            (b"PK\x03\x04..", "zip"),
            (b"{\"a\": [1, 2]}\n", "a text"),
            ("# Grüße\n".as_bytes(), "a text"),
        ] {
            assert!(kind(bytes).is_some_and(|kind| kind.contains(word)), "{word}");
        }
        // The first bytes of an ONNX file: version 8 of the format, the producer's name.
        for bytes in [&b"\x08\x08\x12\x07pytorch"[..], b"", b"\n\n", &[0xfe; 90]] {
            assert_eq!(kind(bytes), None, "{bytes:?}");
        }
    }
}
