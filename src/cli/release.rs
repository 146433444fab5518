//! `relay release`: starts it, and shows it until the backlog is empty. Leaving it does
//! not stop the release; `relay hold` does.

mod again;
pub(super) mod canary;
mod course;
mod problem;
mod progress;

use super::{
    Context, Exit,
    client::Client,
    domains::{Domains, order},
    exit::Code,
    human,
    screen::Screen,
};
use crate::{
    config::ReleaseGate,
    control::{
        ReleaseOrder,
        view::{DomainView, StatusView},
    },
    spool::{Gate, Phase},
};
use canary::Answer;
use clap::Args;
use course::{Course, End};
use progress::Progress;
use serde::Serialize;
use std::time::Duration;

/// How often the daemon is asked.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What to release, and to where.
#[derive(Args, Debug, Default)]
pub struct Arguments {
    #[command(flatten)]
    domains: Domains,
    /// Another destination than the configured one.
    #[arg(long, value_name = "HOST:PORT")]
    to: Option<String>,
    /// Send so many messages first, show the replies, and ask whether to go on.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    canary: Option<u32>,
    /// Look for what was delivered since then, and send again what is not there.
    #[arg(long, requires = "since", conflicts_with = "canary")]
    again: bool,
    /// For --again: 2026-11-27T03:00:00Z, or 2h for two hours ago.
    #[arg(long, value_name = "TIME", requires = "again", value_parser = again::time)]
    since: Option<u64>,
    /// With the backlog empty go back to hold, in the place of forward.
    #[arg(long)]
    then_hold: bool,
    /// Wait until the mailboxes are copied (`relay move`); release.gate says for which.
    #[arg(long)]
    after_sync: bool,
    /// Do not ask. Behind a canary: go on by itself if all of it was taken.
    #[arg(long)]
    yes: bool,
    /// Start it and return.
    #[arg(long)]
    detach: bool,
}

impl Arguments {
    /// All of these domains to their configured destinations, without a question.
    pub fn of(domains: &[String]) -> Self {
        Self {
            domains: Domains {
                names: domains.to_vec(),
                all: false,
            },
            yes: true,
            ..Self::default()
        }
    }
}

/// With `--json`: what happens to a domain, a line each time.
#[derive(Serialize)]
struct News<'a> {
    /// `released`, `progress`, `drained`, `held`, `canary_sent` or `paused`.
    event: &'static str,
    #[serde(flatten)]
    domain: &'a DomainView,
}

/// # Errors
/// An unknown domain, a no; a release that stopped on its way (75); those of the daemon.
pub async fn run(context: &Context, arguments: Arguments) -> anyhow::Result<()> {
    let client = context.daemon().await?;
    let screen = &context.screen;
    let domains = arguments.domains.find(&client).await?;
    confirm(screen, &arguments, &domains)?;
    if let Some(since_ms) = arguments.since {
        again::rewind(screen, &client, &domains, since_ms, arguments.yes).await?;
    }
    let domains = arguments.domains.find(&client).await?;
    let status: StatusView = client.get("/v1/status").await?;
    let body = ReleaseOrder {
        to: arguments.to,
        then: Some(if arguments.then_hold {
            Phase::Hold
        } else {
            Phase::Forward
        }),
        canary: arguments.canary,
        gate: arguments.after_sync.then(|| gate(context)),
    };
    let mut courses = Vec::with_capacity(domains.len());
    for before in domains {
        let after = order(&client, &before.name, "release", &body).await?;
        start(screen, &after, arguments.detach)?;
        courses.push(Course::new(before, status.now_ms));
    }
    if arguments.detach {
        return Ok(());
    }
    follow(screen, &client, &mut courses, arguments.yes).await?;
    let stopped: Vec<&str> = courses
        .iter()
        .filter(|course| course.end != Some(End::Drained))
        .map(|course| &*course.now.name)
        .collect();
    if stopped.is_empty() {
        return Ok(());
    }
    let text = format!(
        "not all was released: {} stopped on its way",
        stopped.join(", ")
    );
    Err(Exit::new(Code::TryAgain, text).into())
}

/// What the configuration wants to be waited for; without one, the whole domain.
fn gate(context: &Context) -> Gate {
    match context.config().map(|config| config.release.gate) {
        Ok(ReleaseGate::Mailbox) => Gate::Mailbox,
        Ok(ReleaseGate::Domain) | Err(_) => Gate::Domain,
    }
}

fn confirm(screen: &Screen, arguments: &Arguments, domains: &[DomainView]) -> anyhow::Result<()> {
    let Some(to) = arguments.to.as_ref().filter(|_| !arguments.yes) else {
        return Ok(());
    };
    let backlog = domains.iter().map(|domain| domain.backlog).sum();
    let names: Vec<&str> = domains.iter().map(|domain| &*domain.name).collect();
    let question = format!(
        "send {} of {} to {to}, not to the configured destination?",
        human::counted(backlog, "delivery", "deliveries"),
        names.join(", ")
    );
    // Without a terminal it is a script that says so; nothing is lost by it.
    match screen.ask(&question) {
        Some(false) => Err(Exit::new(Code::TryAgain, "nothing was released").into()),
        Some(true) | None => Ok(()),
    }
}

fn start(screen: &Screen, domain: &DomainView, detach: bool) -> anyhow::Result<()> {
    if screen.json {
        let event = "released";
        return screen.json(&News { event, domain });
    }
    let name = &domain.name;
    let backlog = human::counted(domain.backlog, "delivery", "deliveries");
    let mut text = format!("{name}: releasing {backlog}");
    if let Some(to) = &domain.to {
        text += &format!(" to {to}");
    }
    if detach {
        text += &format!("; to see it: `relay status`; to stop: `relay hold {name}`");
        return Ok(screen.line(&text)?);
    }
    if domain.backlog > 0 {
        text += &format!("; to stop: `relay hold {name}`; what is delivered stays delivered");
    }
    screen.remark(&text);
    Ok(())
}

/// Looks until each domain's release has come to an end.
async fn follow(
    screen: &Screen,
    client: &Client,
    courses: &mut [Course],
    yes: bool,
) -> anyhow::Result<()> {
    let mut progress = Progress::new();
    loop {
        let status: StatusView = client.get("/v1/status").await?;
        for course in courses.iter_mut().filter(|course| course.end.is_none()) {
            let view = status.domains.iter().find(|d| d.name == course.now.name);
            if let Some(view) = view {
                course.look(client, view.clone()).await?;
            }
            if course.end == Some(End::Canary) {
                progress.clear();
                if canary::ask(screen, client, &course.now, yes).await? == Answer::Yes {
                    let nothing = serde_json::json!({});
                    order(client, &course.now.name, "resume", &nothing).await?;
                    course.end = None;
                }
            }
            if let Some(end) = &course.end {
                progress.clear();
                finish(screen, course, end)?;
            }
        }
        if courses.iter().all(|course| course.end.is_some()) {
            progress.clear();
            return Ok(());
        }
        progress.show(screen, courses)?;
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The closing account of a domain.
fn finish(screen: &Screen, course: &Course, end: &End) -> anyhow::Result<()> {
    let domain = &course.now;
    if screen.json {
        let event = end.name();
        return screen.json(&News { event, domain });
    }
    for line in course.closing(end) {
        screen.line(&line)?;
    }
    Ok(())
}
