//! Overwriting of secrets at the speed of memory. `Zeroize` writes word by word, each as a volatile
//! write, which for masks and shares of whole layers takes as long as computing them.

/// Overwrites all values with the default, in a way that the compiler must not leave out.
pub(crate) fn wipe<T: Copy + Default>(values: &mut [T]) {
    wipe_with(values, T::default());
}

/// Overwrites all values with `nothing`, in a way that the compiler must not leave out.
pub(crate) fn wipe_with<T: Copy>(values: &mut [T], nothing: T) {
    values.fill(nothing);
    // Says that somebody may read the values afterwards, so that writing them is no idle work.
    zeroize::optimization_barrier(values);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_overwritten() {
        let mut values: Vec<u32> = (1..1000).collect();
        wipe(&mut values);
        assert!(values.iter().all(|&v| v == 0));
        wipe_with(&mut values[..10], 7);
        assert_eq!(values.iter().sum::<u32>(), 70);
    }
}
