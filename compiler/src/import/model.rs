//! From bytes to a checked protobuf model: size, syntax, operator set.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use prost::Message;
use tract_onnx::pb::{GraphProto, ModelProto, StringStringEntryProto};

use super::error::{ImportError, ModelError};
use super::structure::is_standard_domain;
use super::{Warning, names, skim};

/// Protobuf itself allows no more.
const MAX_FILE: u64 = 1 << 31;
/// Memory for the nodes, names, attributes and types of a file, in units of 64 bytes: half a
/// gigabyte. The largest networks need some megabytes.
pub(super) const MAX_MESSAGES: usize = 1 << 23;

/// Oldest and newest operator set that are understood, and the newest that is tried.
const OPSETS: (i64, i64, i64) = (9, 21, 23);

/// A model as the file holds it.
pub(super) struct Model {
    pub(super) graph: GraphProto,
    /// Version of the ONNX operators.
    pub(super) opset: i64,
    /// Name and version of the exporter.
    pub(super) producer: String,
    /// The metadata that the file carries, key and value.
    pub(super) metadata: Vec<StringStringEntryProto>,
}

/// Reads a file of a sensible size, which must be a regular one: a pipe or device might never end.
///
/// # Errors
/// If it is none, cannot be read, or is larger than any.
pub fn read(path: &Path) -> Result<Vec<u8>, ImportError> {
    let failed = |source| ImportError::File {
        path: path.to_owned(),
        source,
    };
    // Asked before the file is opened, for opening a pipe blocks.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(ModelError::NotAFile(path.to_owned()).into());
    }
    let file = File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    if size > MAX_FILE {
        return Err(ModelError::FileTooLarge(size).into());
    }
    let mut bytes = Vec::with_capacity(size as usize);
    file.take(MAX_FILE).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// Decodes a model.
pub(super) fn decode(bytes: &[u8], warnings: &mut Vec<Warning>) -> Result<Model, ModelError> {
    if !skim::is_within(bytes, MAX_MESSAGES) {
        return Err(ModelError::TooManyMessages);
    }
    let mut model = ModelProto::decode(bytes).map_err(|e| ModelError::Protobuf(e.to_string()))?;
    names::make_printable(&mut model);
    let opset = opset(&model);
    let producer = format!("{} {}", model.producer_name, model.producer_version);
    let graph = model
        .graph
        .filter(|g| !g.node.is_empty())
        .ok_or(ModelError::NoGraph)?;
    let opset = opset.ok_or(ModelError::NoOpset)?;
    check_opset(opset, warnings)?;
    Ok(Model {
        graph,
        opset,
        producer: producer.trim().to_owned(),
        metadata: model.metadata_props,
    })
}

/// The version of the standard operators that the file names.
pub(super) fn opset(model: &ModelProto) -> Option<i64> {
    let mut imports = model.opset_import.iter();
    let own = imports.find(|import| is_standard_domain(&import.domain))?;
    Some(own.version)
}

fn check_opset(opset: i64, warnings: &mut Vec<Warning>) -> Result<(), ModelError> {
    let (oldest, newest, tried) = OPSETS;
    if !(oldest..=tried).contains(&opset) {
        return Err(ModelError::Opset(opset));
    }
    if opset > newest {
        warnings.push(Warning::general(format!(
            "the file uses opset {opset}, newer than {newest}, the last that is known: its operators are read as those of opset {newest}"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tract_onnx::pb::{NodeProto, OperatorSetIdProto};

    use super::*;

    fn bytes(opset: Option<i64>) -> Vec<u8> {
        let graph = GraphProto {
            node: vec![NodeProto::default()],
            ..GraphProto::default()
        };
        let import = opset.map(|version| OperatorSetIdProto {
            domain: String::new(),
            version,
        });
        ModelProto {
            graph: Some(graph),
            opset_import: import.into_iter().collect(),
            ..ModelProto::default()
        }
        .encode_to_vec()
    }

    #[test]
    fn opsets_out_of_range_are_refused_and_new_ones_warned_of() {
        let mut warnings = Vec::new();
        assert!(matches!(
            decode(&bytes(None), &mut warnings),
            Err(ModelError::NoOpset)
        ));
        for bad in [8, 24, -1, i64::MAX] {
            let error = decode(&bytes(Some(bad)), &mut warnings).err().unwrap();
            assert!(matches!(error, ModelError::Opset(v) if v == bad));
        }
        assert_eq!(decode(&bytes(Some(9)), &mut warnings).unwrap().opset, 9);
        assert!(warnings.is_empty());
        decode(&bytes(Some(22)), &mut warnings).unwrap();
        assert_eq!(warnings.len(), 1);
    }

    #[test]
    fn what_is_no_model_is_said_to_be_none() {
        let decode = |bytes: &[u8]| decode(bytes, &mut Vec::new()).err().unwrap();
        assert!(matches!(decode(&[]), ModelError::NoGraph));
        assert!(matches!(decode(b"not a model"), ModelError::Protobuf(_)));
        let whole = bytes(Some(13));
        assert!(matches!(
            decode(&whole[..whole.len() - 1]),
            ModelError::Protobuf(_)
        ));
    }

    #[test]
    fn folders_are_no_models() {
        let folder = tempfile::tempdir().unwrap();
        let error = read(folder.path()).unwrap_err();
        assert!(error.to_string().contains("not a regular file"), "{error}");
        let missing = read(&folder.path().join("none.onnx")).unwrap_err();
        assert!(matches!(missing, ImportError::File { .. }));
    }
}
