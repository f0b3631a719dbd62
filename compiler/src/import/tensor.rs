//! Reading `TensorProto`: every storage form and element type becomes a [`Constant`].

use tract_onnx::pb::TensorProto;
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use trefoil_ir::Tensor;
use trefoil_ir::geometry::MAX_ELEMENTS;

use super::error::TensorError;
use super::external::Folder;
use super::value::{Constant, position, volume};

/// No tensor of a network has more dimensions.
const MAX_RANK: usize = 16;

/// Reads a tensor; `folder` is where external data may lie.
pub(super) fn load(proto: &TensorProto, folder: &Folder) -> Result<Constant, TensorError> {
    let dims = dimensions(proto)?;
    let count = volume(&dims).unwrap_or(0);
    if proto.segment.is_some() {
        return Err(TensorError::Segment);
    }
    let kind = element_type(proto)?;
    let width = width(kind)?;
    if is_external(proto) {
        let bytes = folder.read(&proto.external_data, count.saturating_mul(width))?;
        return from_bytes(kind, dims, count, width, &bytes);
    }
    if !proto.raw_data.is_empty() {
        return from_bytes(kind, dims, count, width, &proto.raw_data);
    }
    from_fields(kind, dims, count, proto)
}

/// The tensor with its data in itself, wherever they lie; `folder` is where external ones may.
pub(super) fn with_own_data(proto: TensorProto, folder: &Folder) -> Result<TensorProto, TensorError> {
    if !is_external(&proto) {
        return Ok(proto);
    }
    let count = volume(&dimensions(&proto)?).unwrap_or(0);
    let bytes = count.saturating_mul(width(element_type(&proto)?)?);
    Ok(TensorProto {
        raw_data: folder.read(&proto.external_data, bytes)?,
        data_location: None,
        external_data: Vec::new(),
        ..proto
    })
}

fn is_external(proto: &TensorProto) -> bool {
    proto.data_location == Some(DataLocation::External as i32)
}

fn element_type(proto: &TensorProto) -> Result<DataType, TensorError> {
    DataType::try_from(proto.data_type)
        .map_err(|_| TensorError::ElementType(format!("number {}", proto.data_type)))
}

/// Where in a tensor the first NaN or infinity stands, if there is one.
pub(super) fn check_finite(tensor: &Tensor<f32>) -> Result<(), TensorError> {
    match tensor.values().iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(at) => Err(TensorError::NotFinite {
            value: tensor.values()[at].to_string(),
            position: position(tensor.dims(), at),
        }),
    }
}

fn dimensions(proto: &TensorProto) -> Result<Vec<usize>, TensorError> {
    let dims = sane_dimensions(&proto.dims);
    dims.ok_or_else(|| TensorError::Dims(proto.dims.iter().take(MAX_RANK).copied().collect()))
}

/// The dimensions, if they are few, none is negative, and all elements can be held.
fn sane_dimensions(stated: &[i64]) -> Option<Vec<usize>> {
    if stated.len() > MAX_RANK {
        return None;
    }
    let mut dims = Vec::with_capacity(stated.len());
    for &dim in stated {
        dims.push(usize::try_from(dim).ok().filter(|&dim| dim <= MAX_ELEMENTS)?);
    }
    (volume(&dims)? <= MAX_ELEMENTS).then_some(dims)
}

/// Bytes of one element.
fn width(kind: DataType) -> Result<usize, TensorError> {
    Ok(match kind {
        DataType::Bool | DataType::Int8 | DataType::Uint8 => 1,
        DataType::Float16 | DataType::Bfloat16 | DataType::Int16 | DataType::Uint16 => 2,
        DataType::Float | DataType::Int32 | DataType::Uint32 => 4,
        DataType::Double | DataType::Int64 | DataType::Uint64 => 8,
        other => return Err(TensorError::ElementType(other.as_str_name().to_owned())),
    })
}

fn from_bytes(
    kind: DataType,
    dims: Vec<usize>,
    count: usize,
    width: usize,
    bytes: &[u8],
) -> Result<Constant, TensorError> {
    let expected = count.saturating_mul(width);
    check_length("bytes", expected, bytes.len())?;
    match kind {
        DataType::Float => float(dims, elements(bytes, f32::from_le_bytes)),
        DataType::Double => float(dims, elements(bytes, |b| f64::from_le_bytes(b) as f32)),
        DataType::Float16 => float(dims, elements(bytes, |b| half(u16::from_le_bytes(b)))),
        DataType::Bfloat16 => float(dims, elements(bytes, |b| brain(u16::from_le_bytes(b)))),
        DataType::Int64 => int(dims, elements(bytes, i64::from_le_bytes)),
        DataType::Uint64 => int(dims, elements(bytes, |b| saturate(u64::from_le_bytes(b)))),
        DataType::Int32 => int(dims, elements(bytes, |b| i32::from_le_bytes(b).into())),
        DataType::Uint32 => int(dims, elements(bytes, |b| u32::from_le_bytes(b).into())),
        DataType::Int16 => int(dims, elements(bytes, |b| i16::from_le_bytes(b).into())),
        DataType::Uint16 => int(dims, elements(bytes, |b| u16::from_le_bytes(b).into())),
        DataType::Int8 => int(dims, elements(bytes, |b| i8::from_le_bytes(b).into())),
        DataType::Uint8 => int(dims, elements(bytes, |b| u8::from_le_bytes(b).into())),
        DataType::Bool => boolean(dims, elements(bytes, |[b]| b != 0)),
        other => Err(TensorError::ElementType(other.as_str_name().to_owned())),
    }
}

fn from_fields(
    kind: DataType,
    dims: Vec<usize>,
    count: usize,
    proto: &TensorProto,
) -> Result<Constant, TensorError> {
    let given = match kind {
        DataType::Float => proto.float_data.len(),
        DataType::Double => proto.double_data.len(),
        DataType::Int64 => proto.int64_data.len(),
        DataType::Uint32 | DataType::Uint64 => proto.uint64_data.len(),
        _ => proto.int32_data.len(),
    };
    check_length("values", count, given)?;
    let small = proto.int32_data.iter();
    match kind {
        DataType::Float => float(dims, proto.float_data.clone()),
        DataType::Double => float(dims, proto.double_data.iter().map(|&v| v as f32).collect()),
        DataType::Float16 => float(dims, small.map(|&v| half(v as u16)).collect()),
        DataType::Bfloat16 => float(dims, small.map(|&v| brain(v as u16)).collect()),
        DataType::Int64 => int(dims, proto.int64_data.clone()),
        DataType::Uint32 | DataType::Uint64 => {
            int(dims, proto.uint64_data.iter().map(|&v| saturate(v)).collect())
        }
        DataType::Bool => boolean(dims, small.map(|&v| v != 0).collect()),
        _ => int(dims, small.map(|&v| v.into()).collect()),
    }
}

fn check_length(unit: &'static str, expected: usize, given: usize) -> Result<(), TensorError> {
    if expected == given {
        return Ok(());
    }
    Err(TensorError::Length {
        unit,
        expected,
        given,
    })
}

/// The elements of `W` bytes each; the caller has checked the length.
fn elements<const W: usize, T>(bytes: &[u8], read: impl Fn([u8; W]) -> T) -> Vec<T> {
    let (chunks, _) = bytes.as_chunks::<W>();
    chunks.iter().map(|&chunk| read(chunk)).collect()
}

fn float(dims: Vec<usize>, values: Vec<f32>) -> Result<Constant, TensorError> {
    tensor(dims, values).map(Constant::Float)
}

fn int(dims: Vec<usize>, values: Vec<i64>) -> Result<Constant, TensorError> {
    tensor(dims, values).map(Constant::Int)
}

fn boolean(dims: Vec<usize>, values: Vec<bool>) -> Result<Constant, TensorError> {
    tensor(dims, values).map(Constant::Bool)
}

/// A tensor of these values, whose number has been checked or is checked here.
pub(super) fn tensor<T>(dims: Vec<usize>, values: Vec<T>) -> Result<Tensor<T>, TensorError> {
    let expected = volume(&dims).unwrap_or(usize::MAX);
    let given = values.len();
    Tensor::new(dims, values).map_err(|_| TensorError::Length {
        unit: "values",
        expected,
        given,
    })
}

fn saturate(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// IEEE half precision, exactly.
fn half(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let exponent = i32::from(bits >> 10 & 0x1f);
    let fraction = f32::from(bits & 0x3ff);
    let magnitude = match exponent {
        0 => fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1024.0 + fraction) * 2f32.powi(exponent - 25),
    };
    sign * magnitude
}

/// The upper half of an f32.
fn brain(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proto(kind: DataType, dims: &[i64], raw: &[u8]) -> TensorProto {
        TensorProto {
            dims: dims.to_vec(),
            data_type: kind as i32,
            raw_data: raw.to_vec(),
            ..TensorProto::default()
        }
    }

    fn floats(proto: &TensorProto) -> Vec<f32> {
        load(proto, &Folder::none()).unwrap().floats()
    }

    #[test]
    fn every_float_type_becomes_f32() {
        let values = [1.5f32, -2.0, 0.0, 65504.0];
        let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(floats(&proto(DataType::Float, &[4], &raw)), values);
        let raw: Vec<u8> = values.iter().flat_map(|&v| f64::from(v).to_le_bytes()).collect();
        assert_eq!(floats(&proto(DataType::Double, &[2, 2], &raw)), values);
        let halves = [0x3e00u16, 0xc000, 0, 0x7bff];
        let raw: Vec<u8> = halves.iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(floats(&proto(DataType::Float16, &[4], &raw)), values);
        let brains = [0x3fc0u16, 0xc000, 0];
        let raw: Vec<u8> = brains.iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(floats(&proto(DataType::Bfloat16, &[3], &raw)), values[..3]);
        let typed = TensorProto {
            int32_data: halves.map(i32::from).to_vec(),
            ..proto(DataType::Float16, &[4], &[])
        };
        assert_eq!(floats(&typed), values);
    }

    #[test]
    fn half_precision_has_subnormals_and_infinities() {
        assert_eq!(half(0x0001), 2f32.powi(-24));
        assert_eq!(half(0xfc00), f32::NEG_INFINITY);
        assert!(half(0x7e00).is_nan());
        assert_eq!(half(0x3555), 0.333_251_95);
    }

    #[test]
    fn claims_that_the_data_do_not_meet_are_refused() {
        for dims in [vec![-1], vec![1 << 40], vec![1 << 20, 1 << 20], vec![2; 60]] {
            let error = load(&proto(DataType::Float, &dims, &[]), &Folder::none()).unwrap_err();
            assert!(matches!(error, TensorError::Dims(_)), "{dims:?}");
        }
        let error = load(&proto(DataType::Int64, &[1 << 27], &[0; 9]), &Folder::none()).unwrap_err();
        assert!(matches!(error, TensorError::Length { given: 9, .. }));
        let error = load(&proto(DataType::String, &[1], &[]), &Folder::none()).unwrap_err();
        assert!(error.to_string().contains("STRING"));
    }
}
