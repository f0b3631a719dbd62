//! The ticket that a verifier hands out.

use std::ops::Deref;

/// Proof that the verifier accepted what is inside.
#[derive(Clone, Debug)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    pub(crate) fn vouch(inner: T) -> Self {
        Self(inner)
    }

    /// Gives the proof up, to change what is inside.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
