//! `relay fsck`

use super::{
    Context, Exit,
    client::{Client, ClientError},
    exit::Code,
    human,
    screen::{Screen, Tone},
    source::Source,
};
use crate::{
    control::view::{FsckDomainView, FsckView, RepairView},
    spool::{Ledger, Spool, Tally, rocks::RocksSpool},
};
use clap::Args;
use indicatif::ProgressBar;
use std::time::Duration;

/// What to do with what is found.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Put right what can be put right without losing mail, then recount.
    #[arg(long)]
    repair: bool,
}

/// # Errors
/// Anything found (65); those of the daemon or the spool.
pub async fn run(context: &Context, arguments: Arguments) -> anyhow::Result<()> {
    let found = {
        // Draws on a terminal only.
        let spinner = ProgressBar::new_spinner().with_message("recounting, reading every body");
        spinner.enable_steady_tick(Duration::from_millis(200));
        let found = if arguments.repair {
            repair(context).await
        } else {
            Source::open(context).await?.fsck().await
        };
        spinner.finish_and_clear();
        found?
    };
    if context.screen.json {
        context.screen.json(&found)?;
    } else {
        print(&context.screen, &found)?;
    }
    if found.clean {
        Ok(())
    } else {
        let hint = "the spool is not as it must be; `relay fsck --repair` puts right what can \
                    be, and never removes mail";
        Err(Exit::new(Code::Data, hint).into())
    }
}

async fn repair(context: &Context) -> anyhow::Result<FsckView> {
    let (repaired, found) = match Client::connect(&context.socket()?).await {
        Ok(client) => {
            let done: RepairView = client
                .post("/v1/fsck/repair", &serde_json::json!({}))
                .await?;
            (done.repaired, client.get("/v1/fsck").await?)
        }
        Err(ClientError::NoDaemon { .. }) if context.global.socket.is_none() => {
            let spool = RocksSpool::open(&context.config()?.spool)?;
            let repaired = spool.repair().await?;
            let verify_bodies = true;
            let found = spool.recount(verify_bodies).await?.into();
            spool.close().await?;
            (repaired, found)
        }
        Err(error) => return Err(error.into()),
    };
    for done in repaired {
        context.screen.remark(&format!("repaired: {done}"));
    }
    Ok(found)
}

fn print(screen: &Screen, found: &FsckView) -> anyhow::Result<()> {
    for domain in &found.domains {
        let verdict = if domain.agrees {
            screen.tone(Tone::Good, "agrees")
        } else {
            screen.tone(Tone::Bad, "DIFFERS")
        };
        let accepted = human::counted(domain.counters.accepted.count, "delivery", "deliveries");
        screen.line(&format!("{}  {accepted} accepted  {verdict}", domain.name))?;
        for (name, counter, recounted) in differences(domain) {
            screen.line(&format!(
                "  {name}: counter {} ({} B), recounted {} ({} B)",
                counter.count, counter.bytes, recounted.count, recounted.bytes
            ))?;
        }
    }
    for finding in &found.findings {
        let finding = human::printable(finding);
        screen.line(&format!("{} {finding}", screen.tone(Tone::Bad, "FAIL")))?;
    }
    if found.leftovers > 0 {
        let files = human::counted(found.leftovers, "file", "files");
        screen.line(&format!(
            "{files} of messages that were cut off by a crash and never accepted; the next start removes them"
        ))?;
    }
    screen.line(&format!(
        "{}, {}, {} read and compared: {}",
        human::counted(found.messages, "message", "messages"),
        human::counted(found.deliveries, "delivery", "deliveries"),
        human::counted(found.bodies_checked, "body", "bodies"),
        if found.clean { "clean" } else { "NOT CLEAN" }
    ))?;
    Ok(())
}

/// The counters that are not what was counted.
fn differences(domain: &FsckDomainView) -> Vec<(&'static str, Tally, Tally)> {
    let columns = |ledger: &Ledger| {
        [
            ("accepted", ledger.accepted),
            ("waiting", ledger.waiting),
            ("deferred", ledger.deferred),
            ("in_doubt", ledger.in_doubt),
            ("delivered", ledger.delivered),
            ("parked", ledger.parked),
            ("bounced", ledger.bounced),
            ("dropped", ledger.dropped),
        ]
    };
    columns(&domain.counters)
        .into_iter()
        .zip(columns(&domain.recounted))
        .filter(|((_, counter), (_, recounted))| counter != recounted)
        .map(|((name, counter), (_, recounted))| (name, counter, recounted))
        .collect()
}
