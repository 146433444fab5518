//! `relay hold`

use super::{
    Context,
    domains::{Domains, order_each},
};
use clap::Args;

/// Back to hold: what is delivered stays delivered, the rest is held again.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    domains: Domains,
}

/// # Errors
/// An unknown domain; those of the daemon.
pub async fn run(context: &Context, arguments: Arguments) -> anyhow::Result<()> {
    order_each(context, &arguments.domains, "hold", &serde_json::json!({})).await
}
