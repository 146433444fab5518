//! `relay resume`

use super::{
    Context,
    domains::{Domains, order_each},
};
use clap::Args;

/// Goes on after a pause.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    domains: Domains,
}

/// # Errors
/// An unknown domain; those of the daemon.
pub async fn run(context: &Context, arguments: Arguments) -> anyhow::Result<()> {
    order_each(
        context,
        &arguments.domains,
        "resume",
        &serde_json::json!({}),
    )
    .await
}
