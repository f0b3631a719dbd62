//! Dividing a length into nearly equal parts.

use std::ops::Range;

/// Consecutive ranges that cover `0..total`, none longer than `most`, lengths at most one apart.
///
/// Even parts keep every register tile busy: 49 pixels by at most 6 become five panels of 5 and
/// four of 6, not eight of 6 and a single pixel.
pub(super) fn evenly(total: usize, most: usize) -> impl ExactSizeIterator<Item = Range<usize>> {
    let parts = total.div_ceil(most);
    (0..parts).map(move |i| (i * total / parts)..((i + 1) * total / parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_everything_in_order() {
        for total in 0..100 {
            for most in 1..20 {
                let parts: Vec<_> = evenly(total, most).collect();
                assert!(parts.iter().all(|p| !p.is_empty() && p.len() <= most));
                assert!(parts.windows(2).all(|p| p[0].end == p[1].start));
                assert_eq!(parts.iter().map(Range::len).sum::<usize>(), total);
                let longest = parts.iter().map(Range::len).max().unwrap_or(0);
                assert!(parts.iter().all(|p| p.len() + 1 >= longest));
            }
        }
    }
}
