//! `relay pause`

use super::{
    Context,
    domains::{Domains, order_each},
};
use crate::control::PauseOrder;
use clap::Args;

/// Stops deliveries in the present phase. Mail is still accepted.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    domains: Domains,
    /// Why, for whoever looks next.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// # Errors
/// An unknown domain; those of the daemon.
pub async fn run(context: &Context, arguments: Arguments) -> anyhow::Result<()> {
    let order = PauseOrder {
        reason: arguments.reason,
    };
    order_each(context, &arguments.domains, "pause", &order).await
}
