//! Threads for one party's session.

use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::{ThreadPoolBuilder, current_num_threads};

/// A thread that waits for its part of one image takes up work of others meanwhile, on the same
/// stack.
const STACK: usize = 16 << 20;

/// Sessions together have so many threads for each core, whatever their number, and one each at least.
const TOGETHER: usize = 2;

/// Sessions that have threads now.
static SESSIONS: AtomicUsize = AtomicUsize::new(0);

/// Does `work` on one of a number of new threads; what it shares out, it shares with the others. They are as
/// many as the current pool has as long as there are few sessions, and fewer when there are many: a core is
/// busy with one of them at a time.
///
/// A step takes some ten microseconds to some milliseconds. A thread outside of a pool that shares a
/// step out sleeps until others have done it, which costs two wake-ups a step; a thread of the pool
/// does its own part, and the others help if they come in time. Every session has a pool of its own,
/// because a party waits for messages in the middle of its work: in a common pool all threads could
/// end up waiting for one another, and so could sessions of three parties for a pool that is free.
pub(crate) fn on_own_threads<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let place = Place::take();
    let builder = ThreadPoolBuilder::new()
        .num_threads(share(current_num_threads(), place.0))
        .thread_name(|at| format!("worker {at}"))
        .stack_size(STACK);
    match builder.build() {
        Ok(pool) => pool.install(work),
        // Without threads of its own it is slower, and nothing else.
        Err(_) => work(),
    }
}

/// The threads of a session when so many have some, itself included.
fn share(cores: usize, sessions: usize) -> usize {
    (TOGETHER * cores / sessions.max(1)).clamp(1, cores.max(1))
}

/// A session among those that have threads: which one it is.
struct Place(usize);

impl Place {
    fn take() -> Self {
        Self(SESSIONS.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        SESSIONS.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn threads_do_not_multiply_with_sessions() {
        for cores in [1, 2, 16, 128] {
            assert_eq!(share(cores, 1), cores);
            assert_eq!(share(cores, 2), cores);
            assert_eq!(share(cores, 1000), 1);
            let all: usize = (1..=100).map(|sessions| share(cores, sessions)).sum();
            // Each has one, and what they have beyond that grows as a logarithm.
            assert!(all <= 100 + 12 * cores, "{cores}: {all}");
        }
        assert_eq!(share(0, 1), 1);
    }
}
