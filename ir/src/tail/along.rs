//! Operators along axes: softmax, sums and the like, the best and the best few.

use super::elementwise::words;

words! {
    /// How many numbers become one.
    Reduction {
        /// Their sum.
        Sum "sum",
        /// Their mean.
        Mean "mean",
        /// The largest.
        Max "max",
        /// The smallest.
        Min "min",
        /// The sum of their magnitudes.
        L1 "l1",
        /// The root of the sum of their squares.
        L2 "l2",
        /// The sum of their squares.
        SumSquare "sum_square",
        /// The logarithm of the sum of their exponentials.
        LogSumExp "log_sum_exp",
    }
}

impl Reduction {
    pub(super) fn of(self, values: &[f64]) -> f64 {
        match self {
            Reduction::Sum => values.iter().sum(),
            Reduction::Mean => values.iter().sum::<f64>() / values.len() as f64,
            Reduction::Max => largest(values),
            Reduction::Min => values.iter().copied().fold(f64::INFINITY, f64::min),
            Reduction::L1 => values.iter().map(|v| v.abs()).sum(),
            Reduction::L2 => sum_of_squares(values).sqrt(),
            Reduction::SumSquare => sum_of_squares(values),
            Reduction::LogSumExp => log_sum_exp(values),
        }
    }
}

fn sum_of_squares(values: &[f64]) -> f64 {
    values.iter().map(|v| v * v).sum()
}

fn largest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// The largest one is taken out, so that no exponential overflows.
fn log_sum_exp(values: &[f64]) -> f64 {
    let most = largest(values);
    most + values.iter().map(|v| (v - most).exp()).sum::<f64>().ln()
}

/// Softmax of one lane, or its logarithm.
pub(super) fn softmax(lane: &mut [f64], log: bool) {
    let norm = log_sum_exp(lane);
    for value in lane {
        *value -= norm;
        if !log {
            *value = value.exp();
        }
    }
}

/// Index of the best of one lane, the first among equals or the last; NaN never wins. 0 of a lane
/// without a number.
pub fn best(lane: &[f64], largest: bool, last: bool) -> usize {
    let mut best = 0;
    for (at, &value) in lane.iter().enumerate().skip(1) {
        let leads = match (largest, last) {
            (true, false) => value > lane[best],
            (true, true) => value >= lane[best],
            (false, false) => value < lane[best],
            (false, true) => value <= lane[best],
        };
        if leads || (lane[best].is_nan() && !value.is_nan()) {
            best = at;
        }
    }
    best
}

/// Indices of the best `count` of one lane, the best one first, the first among equals.
pub(super) fn best_few(lane: &[f64], largest: bool, count: usize) -> Vec<usize> {
    let keys: Vec<f64> = lane.iter().map(|&value| sort_key(value, largest)).collect();
    let mut order: Vec<usize> = (0..lane.len()).collect();
    order.sort_by(|&a, &b| keys[a].total_cmp(&keys[b]).then(a.cmp(&b)));
    order.truncate(count);
    order
}

/// What the best have the least of; NaN comes last.
fn sort_key(value: f64, largest: bool) -> f64 {
    match (value.is_nan(), largest) {
        (true, _) => f64::INFINITY,
        (false, true) => -value,
        (false, false) => value,
    }
}
