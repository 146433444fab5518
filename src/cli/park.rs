//! `relay park`

use super::{Context, decide};
use crate::control::Decision;

pub use decide::Deliveries as Arguments;

/// # Errors
/// Unknown ids, deliveries to which it does not apply; those of the daemon.
pub async fn run(context: &Context, arguments: Arguments) -> anyhow::Result<()> {
    let client = context.daemon().await?;
    decide::run(context, &client, Decision::Park, &arguments.into_ids()).await
}
