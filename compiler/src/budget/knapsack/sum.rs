//! Sums of many floating-point numbers.

/// Neumaier's sum: the error doesn't grow with the number of terms.
pub(super) fn compensated(terms: impl IntoIterator<Item = f64>) -> f64 {
    let mut sum = 0.0f64;
    let mut lost = 0.0f64;
    for term in terms {
        let next = sum + term;
        lost += if sum.abs() >= term.abs() {
            (sum - next) + term
        } else {
            (term - next) + sum
        };
        sum = next;
    }
    sum + lost
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_terms_survive_between_large_ones() {
        assert_eq!(compensated([1e100, 1.0, -1e100]), 1.0);
        assert_eq!(compensated(std::iter::repeat_n(0.1, 10)), 1.0);
    }
}
