//! Threads for one party's session.

use rayon::{ThreadPoolBuilder, current_num_threads};

/// A thread that waits for its part of one image takes up work of others meanwhile, on the same
/// stack.
const STACK: usize = 16 << 20;

/// Does `work` on one of as many new threads as the current pool has; what it shares out, it shares
/// with the others.
///
/// A step takes some ten microseconds to some milliseconds. A thread outside of a pool that shares a
/// step out sleeps until others have done it, which costs two wake-ups a step; a thread of the pool
/// does its own part, and the others help if they come in time. Every session has a pool of its own,
/// because a party waits for messages in the middle of its work: in a common pool all threads could
/// end up waiting for one another.
pub(crate) fn on_own_threads<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let threads = current_num_threads();
    let builder = ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|at| format!("worker {at}"))
        .stack_size(STACK);
    match builder.build() {
        Ok(pool) => pool.install(work),
        // Without threads of its own it is slower, and nothing else.
        Err(_) => work(),
    }
}
