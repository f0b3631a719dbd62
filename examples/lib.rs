//! Runnable examples of Trefoil; see `demo.rs`.
