//! What a listening party is, apart from how it serves.

use std::path::PathBuf;
use std::sync::Arc;

use super::offer::Offer;
use super::tls::{Credentials, Known};
use super::vitals::Vitals;
use crate::operations::Metrics;

/// A listening party: its key, whom it knows, the plans that it offers, and who watches it.
pub struct Post<P> {
    /// Its own key.
    pub credentials: Credentials,
    /// Whose keys it takes.
    pub known: Arc<dyn Known>,
    /// Its plans.
    pub plans: Offer<P>,
    /// How it is.
    pub vitals: Arc<Vitals>,
    /// What it counts.
    pub metrics: Arc<Metrics>,
    /// The folder of its sessions' traces, if there are to be any.
    pub trace: Option<PathBuf>,
}
