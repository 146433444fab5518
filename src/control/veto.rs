//! Who has to agree to a release.

use super::ReleaseOrder;
use crate::spool::DomainStatus;
use std::{future::Future, pin::Pin};

/// Asked before each order to release, wherever it comes from.
pub trait Veto: Send + Sync + 'static {
    /// Whether the domain may be released.
    ///
    /// # Errors
    /// Why not, in words for whoever ordered it.
    fn may_release<'a>(
        &'a self,
        status: &'a DomainStatus,
        order: &'a ReleaseOrder,
    ) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;
}
