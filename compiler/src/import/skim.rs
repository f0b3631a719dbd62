//! A first look at the bytes of a protobuf message, before it is decoded.
//!
//! An empty node takes two bytes in a file and hundreds in memory, so a file of some hundred
//! megabytes could ask for all the memory of a machine. The messages are counted first.

/// What a length-delimited field may hold.
#[derive(Clone, Copy)]
enum Level {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    SparseTensor,
    Function,
    Training,
    ValueInfo,
    Type,
    TensorType,
    Shape,
}

/// Levels of nesting that are followed; the decoder itself gives up at a hundred.
const MAX_DEPTH: usize = 64;

/// Whether an ONNX model in `bytes` takes at most `limit` times 64 bytes when it is decoded, raw
/// data aside. What is not protobuf at all passes: the decoder says so.
pub(super) fn is_within(bytes: &[u8], limit: usize) -> bool {
    let mut left = limit;
    walk(bytes, Level::Model, MAX_DEPTH, &mut left)
}

fn walk(mut bytes: &[u8], level: Level, depth: usize, left: &mut usize) -> bool {
    if depth == 0 {
        return false;
    }
    while !bytes.is_empty() {
        let Some((field, content)) = next_field(&mut bytes) else {
            return true;
        };
        let Some(content) = content else { continue };
        let inner = level.inner(field);
        let Some(rest) = left.checked_sub(inner.map_or(1, Level::cost)) else {
            return false;
        };
        *left = rest;
        if inner.is_some_and(|inner| !walk(content, inner, depth - 1, left)) {
            return false;
        }
    }
    true
}

impl Level {
    /// Size of an empty message in memory, about, in units of 64 bytes.
    fn cost(self) -> usize {
        match self {
            Level::Attribute => 24,
            Level::SparseTensor => 12,
            Level::Graph | Level::Tensor => 6,
            Level::Node | Level::Function => 4,
            Level::ValueInfo => 2,
            Level::Model | Level::Training | Level::Type | Level::TensorType | Level::Shape => 1,
        }
    }

    fn inner(self, field: u64) -> Option<Level> {
        Some(match (self, field) {
            (Level::Model, 7) | (Level::Attribute, 6 | 11) | (Level::Training, 1 | 2) => Level::Graph,
            (Level::Model, 20) => Level::Training,
            (Level::Model, 25) => Level::Function,
            (Level::Graph, 1) | (Level::Function, 7) => Level::Node,
            (Level::Graph, 5) | (Level::Attribute, 5 | 10) | (Level::SparseTensor, 1 | 2) => Level::Tensor,
            (Level::Graph, 15) | (Level::Attribute, 22 | 23) => Level::SparseTensor,
            (Level::Graph, 11..=13) => Level::ValueInfo,
            (Level::Node, 5) | (Level::Function, 11) => Level::Attribute,
            (Level::ValueInfo, 2) | (Level::Attribute, 15) => Level::Type,
            (Level::Type, 1) => Level::TensorType,
            (Level::TensorType, 2) => Level::Shape,
            _ => return None,
        })
    }
}

/// Takes one field off the front: its number, and its content if it is length-delimited. `None`
/// where the bytes are no protobuf.
fn next_field<'a>(bytes: &mut &'a [u8]) -> Option<(u64, Option<&'a [u8]>)> {
    let key = varint(bytes)?;
    let content = match key & 7 {
        0 => {
            varint(bytes)?;
            None
        }
        1 => {
            take(bytes, 8)?;
            None
        }
        2 => {
            let length = usize::try_from(varint(bytes)?).ok()?;
            Some(take(bytes, length)?)
        }
        5 => {
            take(bytes, 4)?;
            None
        }
        _ => return None,
    };
    Some((key >> 3, content))
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (front, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(front)
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto};

    use super::*;

    #[test]
    fn nested_messages_are_counted() {
        let graph = GraphProto {
            node: vec![NodeProto::default(); 1000],
            ..GraphProto::default()
        };
        let model = ModelProto {
            graph: Some(graph),
            ..ModelProto::default()
        };
        let bytes = model.encode_to_vec();
        assert!(is_within(&bytes, 6 + 4 * 1000));
        assert!(!is_within(&bytes, 6 + 4 * 1000 - 1));
        let sizes = [
            size_of::<NodeProto>().div_ceil(64),
            size_of::<AttributeProto>().div_ceil(64),
        ];
        assert!(
            sizes[0] <= Level::Node.cost() && sizes[1] <= Level::Attribute.cost(),
            "{sizes:?}"
        );
        assert!(is_within(&[0xff; 9], 0), "no protobuf is the decoder's business");
    }
}
