//! What a listening party is, apart from how it serves.

use std::sync::Arc;

use super::offer::Offer;
use super::tls::{Credentials, Known};

/// A listening party: its key, whom it knows, the plans that it offers.
pub struct Post<P> {
    /// Its own key.
    pub credentials: Credentials,
    /// Whose keys it takes.
    pub known: Arc<dyn Known>,
    /// Its plans.
    pub plans: Offer<P>,
}
