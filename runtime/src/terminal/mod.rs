//! Where both commands meet a person: lines on the standard output and the standard error, a bar
//! while they work, and what a shell wants to know of them.
//!
//! Nothing here fails because nobody reads: a closed pipe ends the printing, and not the work.

pub mod about;
pub mod print;
pub mod progress;

pub use about::{Completions, Man, completions, long_version, man};
pub use print::{error, line, note, text, warning};
pub use progress::Bar;
