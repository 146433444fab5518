//! `relay serve`: opens the spool, starts the parts, and stops them in an order in which
//! nothing that was accepted is lost and nobody is left waiting.
//!
//! SIGHUP has the configuration and the certificates read again.
//!
//! The stop: listeners close and sessions end; then releases end what they are sending;
//! then the control socket; then the spool. A second signal ends the process at once,
//! which is as safe as `kill -9`: the spool recovers.

mod callout;
mod checks;
mod delays;
mod descriptors;
mod parts;
mod purge;
mod reload;

use super::{Context, Exit, exit::Code};
use crate::{
    config::Config,
    mail::REPORTS_DOMAIN,
    spool::{Cause, DomainCommand, Spool, rocks::RocksSpool},
};
use clap::Args;
use parts::Parts;
use std::{
    io::{self, Write as _},
    sync::Arc,
};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The daemon takes all it needs from the configuration.
#[derive(Args, Debug)]
pub struct Arguments {}

/// # Errors
/// Those of the configuration, the spool and the sockets, before anything is accepted; a
/// part that ended by itself; a second signal.
pub async fn run(context: &Context, Arguments {}: Arguments) -> anyhow::Result<()> {
    let mut config = context.config()?;
    if let Some(socket) = &context.global.socket {
        config.control.socket.clone_from(socket);
    }
    let config = Arc::new(config);
    let _log = crate::log::init(&config.log)?;
    descriptors::raise(&config);
    let mut signals = Signals::new()?;
    let spool: Arc<dyn Spool> = RocksSpool::open(&config.spool)?;
    let served = serve(context, &config, &spool, &mut signals).await;
    // Also after a failed start: the lock goes with the process, the files want closing.
    let closed = spool.close().await;
    served?;
    Ok(closed?)
}

async fn serve(
    context: &Context,
    config: &Arc<Config>,
    spool: &Arc<dyn Spool>,
    signals: &mut Signals,
) -> anyhow::Result<()> {
    let names = config.domains.iter().map(|domain| domain.name.clone());
    spool.add_domains(names.collect()).await?;
    if config.bounce.is_some() {
        forward_reports(&**spool).await?;
    }
    let mut parts = Parts::start(config, spool).await?;
    greet(config, &parts);
    let mut config = config.clone();
    let ended = loop {
        tokio::select! {
            order = signals.next() => match order {
                Order::Stop(name) => {
                    tracing::info!("stopping after {name}");
                    break None;
                }
                Order::Reload => {
                    config = reload::reload(context, config, &**spool, &parts).await;
                }
            },
            part = parts.ended() => break Some(part),
        }
    };
    tokio::select! {
        () = parts.stop() => {}
        name = signals.stop() => {
            let text = format!("stopped at once after a second signal ({name})");
            return Err(Exit::new(Code::TryAgain, text).into());
        }
    }
    match ended {
        None => Ok(()),
        Some(part) => {
            let text = format!("the {part} ended by itself; the log tells why");
            Err(Exit::new(Code::Internal, text).into())
        }
    }
}

/// Makes the account of reports known, and lets them leave as soon as they are made. What
/// an operator has ordered for it since its first start stays.
async fn forward_reports(spool: &dyn Spool) -> anyhow::Result<()> {
    let name = REPORTS_DOMAIN.to_owned();
    spool.add_domains(vec![name.clone()]).await?;
    if spool.domain_events(name.clone()).await?.is_empty() {
        let command = DomainCommand::release();
        let cause = Cause::Policy("reports leave at once".into());
        spool.command(name, command, cause).await?;
    }
    Ok(())
}

/// Tells where everything is; a test or script learns from it which ports were taken.
fn greet(config: &Config, parts: &Parts) {
    let mut out = io::stdout().lock();
    let mut line = |text: String| {
        // A daemon whose standard output is closed still serves.
        let _ = writeln!(out, "relay: {text}");
    };
    line(format!("spool {}", config.spool.path.display()));
    line(format!(
        "control socket {}",
        config.control.socket.display()
    ));
    for (address, protocol) in parts.addresses() {
        line(format!("listening on {address} ({protocol})"));
    }
    line("ready".into());
    let _ = out.flush();
}

/// The signals that end the daemon, and the one that does not.
struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> Order {
        tokio::select! {
            _ = self.interrupt.recv() => Order::Stop("SIGINT"),
            _ = self.terminate.recv() => Order::Stop("SIGTERM"),
            _ = self.hangup.recv() => Order::Reload,
        }
    }

    /// The next one that ends the daemon.
    async fn stop(&mut self) -> &'static str {
        loop {
            if let Order::Stop(name) = self.next().await {
                return name;
            }
        }
    }
}

/// What a signal asks for.
enum Order {
    Stop(&'static str),
    Reload,
}
