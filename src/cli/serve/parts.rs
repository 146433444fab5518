//! The parts of the daemon, each a task with a way to stop it.

use super::{callout::Destinations, checks, delays, purge};
use crate::{
    config::{Config, ListenTls},
    control::{self, Api, view::ReleaseView},
    gates::{Keeper, Opener},
    hooks::{Question, Watcher},
    receive,
    release::{ReleaseStatus, Releaser},
    spool::Spool,
    web::{self, metrics::Sources},
    witness::ImapWitness,
};
use arc_swap::ArcSwap;
use std::{future::Future, net::SocketAddr, sync::Arc};
use tokio::{sync::watch, task::JoinHandle};

/// Everything that runs.
pub struct Parts {
    addresses: Vec<(SocketAddr, &'static str)>,
    reloader: receive::Reloader,
    release: Arc<Releaser>,
    witness: Option<Arc<ImapWitness>>,
    receiver: Part,
    releaser: Part,
    control: Part,
    web: Option<Part>,
    hooks: Option<Part>,
    gates: Part,
    purge: JoinHandle<()>,
    /// What the checks go by.
    checked: Arc<ArcSwap<Config>>,
    checks: JoinHandle<()>,
    delays: JoinHandle<()>,
}

struct Part {
    name: &'static str,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Parts {
    /// Takes every socket, then starts. The control socket comes first: where another
    /// daemon answers there, nothing else is touched.
    ///
    /// # Errors
    /// A socket that cannot be had, and what the parts need and do not find.
    pub async fn start(config: &Arc<Config>, spool: &Arc<dyn Spool>) -> anyhow::Result<Self> {
        let keeper = Arc::new(Keeper::default());
        let mut releaser = Releaser::new(config.clone(), spool.clone())?.with_gates(keeper.clone());
        let witness = (config.mover.as_ref()).map(|mover| Arc::new(ImapWitness::new(mover)));
        if let Some(witness) = &witness {
            releaser = releaser.with_witness(witness.clone());
        }
        let releaser = Arc::new(releaser);
        let status = releaser.clone();
        let live: control::LiveRelease = Arc::new(move |domain| status.status(domain).map(view));
        let mut api = Api::new(spool.clone(), live).with_facts(&config.spool.path);
        let loads = releaser.clone();
        api = api.with_loads(Arc::new(move |domain| loads.load(domain)));
        let doors = keeper.clone();
        api = api.with_gate_waits(Arc::new(move |domain| doors.waits(domain)));
        let asked = config.hooks.as_ref();
        if let Some(veto) = asked.and_then(|hooks| Question::new(hooks, &config.hostname)) {
            api = api.with_veto(Arc::new(veto));
        }
        if config.bounce.is_some() {
            api = api.with_reporter(&config.hostname);
        }
        let control = control::Server::bind(&config.control.socket, api.clone())?;
        let callout = Arc::new(Destinations(releaser.clone()));
        let receiver = receive::Server::bind(config, spool.clone(), Some(callout)).await?;
        let web = match &config.web {
            Some(web) => {
                let sources = Sources {
                    spool: spool.clone(),
                    receiver: receiver.counters(),
                    release: releaser.measures().clone(),
                };
                Some(web::Server::bind(web, api, sources).await?)
            }
            None => None,
        };
        let hooks = watcher(config, spool).await?;
        let path = &config.spool.path;
        let opener = Opener::begin(keeper, spool.clone(), releaser.clone(), path);
        let protocols = config.listen.iter().map(|listen| match listen.tls {
            ListenTls::None | ListenTls::Starttls => "smtp",
            ListenTls::Implicit => "smtps",
        });
        let mut addresses: Vec<_> = receiver.addresses().into_iter().zip(protocols).collect();
        addresses.extend(web.iter().map(|web| (web.address(), "http")));
        let checked = Arc::new(ArcSwap::new(config.clone()));
        Ok(Self {
            reloader: receiver.reloader(),
            release: releaser.clone(),
            witness,
            addresses,
            web: web.map(|web| Part::start("web page", |stop| web.run(stopped(stop)))),
            receiver: Part::start("receiver", |stop| receiver.run(stop)),
            releaser: Part::start("releaser", |stop| async move {
                releaser.run(stopped(stop)).await;
            }),
            control: Part::start("control socket", |stop| control.run(stopped(stop))),
            gates: Part::start("gates", |stop| opener.run(stopped(stop))),
            hooks: hooks.map(|hooks| Part::start("hooks", |stop| hooks.run(stopped(stop)))),
            purge: tokio::spawn(purge::run(spool.clone())),
            checks: tokio::spawn(checks::run(checked.clone(), spool.clone())),
            checked,
            delays: tokio::spawn(delays::run(config.clone(), spool.clone())),
        })
    }

    /// Takes over what may change while it runs.
    ///
    /// # Errors
    /// Certificates or a list of recipients that cannot be used; then nothing has changed.
    pub fn reload(&self, config: &Arc<Config>) -> Result<(), receive::BindError> {
        self.reloader.reload(config)?;
        if let (Some(witness), Some(mover)) = (&self.witness, &config.mover) {
            witness.reload(mover);
        }
        self.release.reload(config.clone());
        self.checked.store(config.clone());
        Ok(())
    }

    /// Where mail is taken, and where the page is: with the ports that the system chose, and the protocol.
    pub fn addresses(&self) -> &[(SocketAddr, &'static str)] {
        &self.addresses
    }

    /// Waits for a part that ends by itself, which none should. Returns its name.
    pub async fn ended(&mut self) -> &'static str {
        let (receiver, releaser, control) =
            (&mut self.receiver, &mut self.releaser, &mut self.control);
        let web = async {
            match &mut self.web {
                Some(web) => {
                    let _ = (&mut web.task).await;
                    web.name
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            name = web => name,
            _ = &mut receiver.task => receiver.name,
            _ = &mut releaser.task => releaser.name,
            _ = &mut control.task => control.name,
        }
    }

    /// Stops all, each when the one before has come to its end.
    pub async fn stop(&mut self) {
        self.receiver.stop().await;
        self.gates.stop().await;
        self.releaser.stop().await;
        self.control.stop().await;
        if let Some(web) = &mut self.web {
            web.stop().await;
        }
        if let Some(hooks) = &mut self.hooks {
            hooks.stop().await;
        }
        self.purge.abort();
        self.checks.abort();
        self.delays.abort();
    }
}

/// What tells the hooks, where there are some.
async fn watcher(config: &Config, spool: &Arc<dyn Spool>) -> anyhow::Result<Option<Watcher>> {
    let Some(hooks) = config.hooks.clone() else {
        return Ok(None);
    };
    let (hostname, space) = (config.hostname.clone(), config.spool.clone());
    let watcher = Watcher::begin(hooks, hostname, spool.clone(), space);
    Ok(Some(watcher.await?))
}

impl Part {
    fn start<F>(name: &'static str, run: impl FnOnce(watch::Receiver<bool>) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(run(stopped));
        Self { name, stop, task }
    }

    async fn stop(&mut self) {
        self.stop.send_replace(true);
        // A task that has ended must not be awaited again.
        if !self.task.is_finished()
            && let Err(error) = (&mut self.task).await
        {
            tracing::error!("the {} died: {error}", self.name);
        }
    }
}

/// A release's own account of itself, in the form of the control socket.
fn view(status: ReleaseStatus) -> ReleaseView {
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    ReleaseView {
        destination: status.destination,
        blocked: status.blocked,
        slowed: status.slowed,
        next_try_ms: status.next_try_ms,
        in_flight: count(status.in_flight),
        connections: count(status.connections),
        connections_allowed: count(status.connections_allowed),
        mailboxes_waiting: count(status.mailboxes_waiting),
        mailboxes_gated: count(status.mailboxes_gated),
        rate_per_s: (status.rate * 100.0).round() / 100.0,
    }
}

/// Returns when told to stop.
async fn stopped(mut stop: watch::Receiver<bool>) {
    // An error means that nobody is left to tell us: stop too.
    let _ = stop.wait_for(|stop| *stop).await;
}
