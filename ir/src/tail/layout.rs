//! Operators that move elements.

/// What each element of an array of `dims` was before `perm` exchanged its axes: axis i of the result
/// is axis `perm[i]`.
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
    let stride = |a: usize| match a.checked_sub(missing) {
        Some(a) if from[a] != 1 => own[a],
        _ => 0,
    };
    let strides: Vec<usize> = (0..to.len()).map(stride).collect();
    gathered(values, to, &strides)
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
    let dim = |dims: &[usize], at: usize| (at + dims.len()).checked_sub(rank).map_or(1, |at| dims[at]);
    let both = |at: usize| match (dim(a, at), dim(b, at)) {
        (a, b) if a == b || b == 1 => Some(a),
        (1, b) => Some(b),
        _ => None,
    };
    (0..rank).map(both).collect()
}
