//! What the examples share: running the commands that a user would type, and showing small images
//! in a terminal. See `demo.rs`.

pub mod command;
pub mod picture;
