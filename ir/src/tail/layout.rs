//! Operators that move elements.

/// The elements of an array of `dims` with its axes in another order: axis i of the result is axis
/// `perm[i]` of the array.
pub(super) fn transposed(values: &[f64], dims: &[usize], perm: &[usize]) -> Vec<f64> {
    let strides = strides(dims);
    let moved: Vec<usize> = perm.iter().map(|&a| strides[a]).collect();
    let dims: Vec<usize> = perm.iter().map(|&a| dims[a]).collect();
    gathered(values, &dims, &moved)
}

/// The array repeated along axes that are 1, or missing in front, as NumPy broadcasts.
pub(super) fn broadcast(values: &[f64], from: &[usize], to: &[usize]) -> Vec<f64> {
    let missing = to.len() - from.len();
    let own = strides(from);
    let mut repeated = vec![0; to.len()];
    for axis in 0..from.len() {
        if from[axis] != 1 {
            repeated[missing + axis] = own[axis];
        }
    }
    gathered(values, to, &repeated)
}

/// Elements under `dims` of an array whose axes have these strides.
fn gathered(values: &[f64], dims: &[usize], strides: &[usize]) -> Vec<f64> {
    let count = dims.iter().product();
    let mut result = Vec::with_capacity(count);
    let mut index = vec![0; dims.len()];
    let mut at = 0;
    for _ in 0..count {
        result.push(values[at]);
        for axis in (0..dims.len()).rev() {
            index[axis] += 1;
            at += strides[axis];
            if index[axis] < dims[axis] {
                break;
            }
            at -= strides[axis] * dims[axis];
            index[axis] = 0;
        }
    }
    result
}

fn strides(dims: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; dims.len()];
    for axis in (1..dims.len()).rev() {
        strides[axis - 1] = strides[axis] * dims[axis];
    }
    strides
}

/// Dimensions to which two arrays can be broadcast, as NumPy does it.
pub fn broadcast_dims(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let mut dims = Vec::with_capacity(rank);
    for axis in 0..rank {
        match (dim(a, axis, rank), dim(b, axis, rank)) {
            (a, b) if a == b || b == 1 => dims.push(a),
            (1, b) => dims.push(b),
            _ => return None,
        }
    }
    Some(dims)
}

/// Size of an axis out of `rank`, of which those in front may be missing: they are 1.
fn dim(dims: &[usize], axis: usize, rank: usize) -> usize {
    let own = (axis + dims.len()).checked_sub(rank);
    own.map_or(1, |axis| dims[axis])
}
