//! Buffers of layers and messages, used again.
//!
//! A layer's values take megabytes, and so do its messages. Fresh memory of that size comes from the
//! operating system page by page, which takes longer than filling it; so buffers that are done with
//! go into a pool, from which later ones are taken. They are wiped when they come back: what was in
//! them is a secret, and what is taken out is zero.
//!
//! The pool is the process's: a message's buffer is given back where it was received, or sent.

use std::sync::{Mutex, PoisonError};

use crate::wipe::wipe;

/// Smaller buffers are left to the allocator, which is good at them.
const SMALLEST: usize = 1 << 14;

/// Most buffers of one kind that wait to be used again, and their bytes.
const MOST: usize = 256;
const MOST_BYTES: usize = 512 << 20;

/// The free buffers of one kind.
pub(crate) struct Pool<T>(Mutex<Vec<Vec<T>>>);

/// Kinds of values that buffers hold.
pub(crate) trait Pooled: Copy + Default + 'static {
    fn pool() -> &'static Pool<Self>;
}

impl Pooled for u8 {
    fn pool() -> &'static Pool<u8> {
        static POOL: Pool<u8> = Pool(Mutex::new(Vec::new()));
        &POOL
    }
}

impl Pooled for u16 {
    fn pool() -> &'static Pool<u16> {
        static POOL: Pool<u16> = Pool(Mutex::new(Vec::new()));
        &POOL
    }
}

impl Pooled for u32 {
    fn pool() -> &'static Pool<u32> {
        static POOL: Pool<u32> = Pool(Mutex::new(Vec::new()));
        &POOL
    }
}

/// A buffer of `len` zeros.
pub(crate) fn zeroed<T: Pooled>(len: usize) -> Vec<T> {
    if len.saturating_mul(size_of::<T>()) < SMALLEST {
        return vec![T::default(); len];
    }
    match T::pool().take(len) {
        Some(mut buffer) => {
            // All of it was wiped: what is cut off here was zero, and what is added is.
            buffer.resize(len, T::default());
            buffer
        }
        None => vec![T::default(); len],
    }
}

/// An empty buffer with room for `len` values.
pub(crate) fn with_capacity<T: Pooled>(len: usize) -> Vec<T> {
    let mut buffer = zeroed(len);
    buffer.clear();
    buffer
}

/// Wipes a buffer that is done with, whatever it held before it was shortened, and keeps it for others.
pub(crate) fn recycle<T: Pooled>(mut buffer: Vec<T>) {
    buffer.resize(buffer.capacity(), T::default());
    wipe(&mut buffer);
    if buffer.capacity() * size_of::<T>() >= SMALLEST {
        T::pool().put(buffer);
    }
}

impl<T> Pool<T> {
    /// The smallest buffer that has room, unless it is much too large.
    fn take(&self, len: usize) -> Option<Vec<T>> {
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let buffers = free.iter().enumerate();
        let candidates = buffers.filter(|(_, buffer)| (len..=4 * len).contains(&buffer.capacity()));
        let (at, _) = candidates.min_by_key(|(_, buffer)| buffer.capacity())?;
        Some(free.swap_remove(at))
    }

    /// Where there are many already, the smallest has to go.
    fn put(&self, buffer: Vec<T>) {
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        free.push(buffer);
        let bytes: usize = free.iter().map(|b| b.capacity() * size_of::<T>()).sum();
        if free.len() > MOST || bytes > MOST_BYTES {
            let smallest = free.iter().enumerate().min_by_key(|(_, b)| b.capacity());
            if let Some((at, _)) = smallest {
                let gone = free.swap_remove(at);
                drop(free);
                drop(gone);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_as_zeros() {
        for len in [10, SMALLEST, SMALLEST + 1, 100_000] {
            let mut buffer = zeroed::<u16>(len);
            assert_eq!((buffer.len(), buffer.iter().max()), (len, Some(&0)));
            buffer.fill(7);
            buffer.truncate(len / 2);
            recycle(buffer);
            for wanted in [len, len / 2 + 1, len / 3] {
                let again = zeroed::<u16>(wanted);
                assert!(
                    again.len() == wanted && again.iter().all(|&v| v == 0),
                    "{len} {wanted}"
                );
            }
        }
    }

    /// Behind what a shortened buffer holds lies what it held before.
    #[test]
    fn the_rest_of_a_shortened_buffer_is_wiped() {
        // A length of its own, so that no other test takes the buffer.
        let mut buffer = vec![7u32; 54_321];
        buffer.truncate(3);
        recycle(buffer);
        let waiting = u32::pool().take(54_321).expect("it was put there");
        assert_eq!((waiting.len(), waiting.iter().max()), (54_321, Some(&0)));
    }

    #[test]
    fn a_pool_gives_the_smallest_that_fits_and_keeps_few() {
        let pool = Pool(Mutex::new(Vec::new()));
        for len in [300, 100, 200] {
            pool.put(vec![0u8; len]);
        }
        assert_eq!(pool.take(150).map(|b| b.capacity()), Some(200));
        assert_eq!(pool.take(150).map(|b| b.capacity()), Some(300));
        assert!(pool.take(150).is_none() && pool.take(20).is_none());
        for len in 1000..1000 + 2 * MOST {
            pool.put(vec![0u8; len]);
        }
        assert_eq!(pool.0.lock().unwrap().len(), MOST);
        assert!(pool.take(1000 + 2 * MOST - 1).is_some());
    }
}
