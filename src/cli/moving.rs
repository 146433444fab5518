//! `relay move`: copies the mailboxes, and shows it until it is done. Needs no daemon. Ending
//! it at any time loses nothing; the next one goes on where it was.

mod account;
pub(super) mod progress;

use super::{Context, Exit, exit::Code, human};
use crate::{
    config::{Config, Mover as Table},
    control::view::StatusView,
    imap::Limits,
    mover::{
        account::{AccountReport, Mover},
        accounts::{self, Account},
        converge::{NotYet, PassEnd, converged},
        folders::Rules,
        login::{Server, administered},
        run::{self, Task},
        state::{NoteKind, State},
    },
    spool::Phase,
};
use clap::Args;
use progress::Progress;
use serde::Serialize;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// How often progress is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// The shortest time between two passes of `--until-converged`, so that a quiet source is
/// not asked without end.
const BETWEEN_PASSES: Duration = Duration::from_secs(10);

/// Whose mailboxes, and how long.
#[derive(Args, Debug)]
pub struct Arguments {
    /// The accounts, in the place of mover.accounts.
    #[arg(long, value_name = "FILE")]
    accounts: Option<PathBuf>,
    /// Only these accounts, by their name at either side.
    #[arg(long, value_name = "ADDRESS", num_args = 1..)]
    only: Vec<String>,
    /// Log in everywhere and say what would be copied; change nothing.
    #[arg(long, conflicts_with_all = ["once", "until_converged"])]
    dry_run: bool,
    /// One pass [default].
    #[arg(long, conflicts_with = "until_converged")]
    once: bool,
    /// Passes until one finds nothing new, some time after the newest message at the source.
    #[arg(long)]
    until_converged: bool,
}

/// With `--json`: the end of a pass.
#[derive(Serialize)]
struct PassView {
    event: &'static str,
    began_ms: u64,
    accounts: usize,
    failures: u64,
    found_new: u64,
    converged: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_yet: Option<String>,
}

/// # Errors
/// No `[mover]` (78), a wrong accounts file (65), another `relay move` at work (69); what
/// was not copied for now (75) or cannot be (65).
pub async fn run(context: &Context, arguments: Arguments) -> anyhow::Result<()> {
    let config = context.config()?;
    let Some(table) = &config.mover else {
        let text = "the configuration has no [mover]: `relay move` needs its source and target";
        return Err(Exit::new(Code::Config, text).into());
    };
    let accounts = chosen(table, arguments.accounts.as_deref(), &arguments.only)?;
    let mover = Arc::new(prepare(&config, table)?);
    let tasks: Vec<Task> = accounts.into_iter().map(Task::new).collect();
    if arguments.dry_run {
        return preview(context, &mover, &tasks).await;
    }
    for task in &tasks {
        // A person may have changed what made the target refuse.
        mover.state.retry_refused(task.account.name())?;
    }
    loop {
        let began_ms = now_ms();
        let reports = pass(context, &mover, &tasks, table.parallel).await?;
        let end = run::pass_end(&reports, began_ms);
        let verdict = converged(&end, hold_began_ms(context).await, table.settle);
        for report in &reports {
            account::show(&context.screen, report)?;
        }
        closing(context, &reports, &end, verdict, arguments.until_converged)?;
        match verdict {
            Err(why) if arguments.until_converged => {
                let wait = match why {
                    NotYet::Unsettled { wait } => wait.max(BETWEEN_PASSES),
                    _ => BETWEEN_PASSES,
                };
                tokio::time::sleep(wait).await;
            }
            _ => return finish(context, &mover, &tasks, &end),
        }
    }
}

/// The accounts of the file, or only those that are named, by their name at either side.
///
/// # Errors
/// A wrong file, no such account, none at all.
pub(super) fn chosen(
    table: &Table,
    file: Option<&Path>,
    only: &[String],
) -> anyhow::Result<Vec<Account>> {
    let file = file.unwrap_or(&table.accounts);
    let admin = administered(&table.source, &table.target);
    let mut accounts = accounts::load(file, admin)?;
    let named = |account: &Account, name: &str| {
        [&account.source.user, &account.target.user]
            .iter()
            .any(|user| user.eq_ignore_ascii_case(name))
    };
    if let Some(unknown) =
        (only.iter()).find(|name| !accounts.iter().any(|account| named(account, name)))
    {
        let text = format!("{}: no account {unknown}", file.display());
        return Err(Exit::new(Code::Data, text).into());
    }
    if !only.is_empty() {
        accounts.retain(|account| only.iter().any(|name| named(account, name)));
    }
    if accounts.is_empty() {
        let text = format!("{}: no accounts", file.display());
        return Err(Exit::new(Code::Data, text).into());
    }
    Ok(accounts)
}

fn prepare(config: &Config, table: &Table) -> anyhow::Result<Mover> {
    let home = config.spool.path.join("mover");
    let state = State::open(&home)?;
    let directory = home.join("tmp");
    std::fs::create_dir_all(&directory)?;
    Ok(Mover {
        state,
        source: Server::load(&table.source)?,
        target: Server::load(&table.target)?,
        rules: Rules {
            exclude: table.exclude.clone(),
            rename: table.rename.clone(),
        },
        directory,
        limits: Limits::default(),
    })
}

async fn preview(context: &Context, mover: &Mover, tasks: &[Task]) -> anyhow::Result<()> {
    let mut failures = 0;
    for task in tasks {
        let preview = mover.preview(&task.account).await;
        failures += preview.failures();
        account::show_preview(&context.screen, &preview)?;
    }
    if failures == 0 {
        return Ok(());
    }
    let text = human::counted(failures, "thing", "things") + " in the way of copying";
    Err(Exit::new(Code::TryAgain, text).into())
}

async fn pass(
    context: &Context,
    mover: &Arc<Mover>,
    tasks: &[Task],
    parallel: usize,
) -> anyhow::Result<Vec<AccountReport>> {
    let mut progress = Progress::new();
    let work = run::pass(mover, tasks, parallel);
    tokio::pin!(work);
    loop {
        tokio::select! {
            reports = &mut work => {
                progress.clear();
                return Ok(reports);
            }
            () = tokio::time::sleep(LOOK_EVERY) => progress.show(&context.screen, tasks)?,
        }
    }
}

/// Since when every held domain is held. Without a daemon nobody holds mail, so that the
/// pass alone decides.
async fn hold_began_ms(context: &Context) -> Option<u64> {
    let client = context.daemon().await.ok()?;
    let status: StatusView = client.get("/v1/status").await.ok()?;
    let held = status
        .domains
        .iter()
        .filter(|domain| domain.phase == Phase::Hold);
    held.map(|domain| domain.phase_since_ms).max()
}

fn closing(
    context: &Context,
    reports: &[AccountReport],
    end: &PassEnd,
    verdict: Result<(), NotYet>,
    goes_on: bool,
) -> anyhow::Result<()> {
    if context.screen.json {
        return context.screen.json(&PassView {
            event: "pass",
            began_ms: end.began_ms,
            accounts: reports.len(),
            failures: end.failures,
            found_new: end.found_new,
            converged: verdict.is_ok(),
            not_yet: verdict.err().map(|why| why.to_string()),
        });
    }
    for line in account::table(reports) {
        context.screen.line(&line)?;
    }
    context.screen.line(&match verdict {
        Ok(()) => "converged: nothing new was left to copy".to_owned(),
        Err(why) if goes_on => format!("not converged: {why}; going on"),
        Err(why) => format!("not converged: {why}"),
    })?;
    Ok(())
}

/// Names each message that did not go, or is another one there, and gives the exit code.
fn finish(context: &Context, mover: &Mover, tasks: &[Task], end: &PassEnd) -> anyhow::Result<()> {
    let mut refused = 0;
    for task in tasks {
        let name = task.account.name();
        for (folder, uid, note) in mover.state.notes(name)? {
            refused += u64::from(note.kind == NoteKind::Refused);
            account::show_note(&context.screen, name, &folder, uid, &note)?;
        }
    }
    if end.failures > 0 {
        let text = format!(
            "not all was copied: {}; `relay move` goes on where it stopped",
            human::counted(end.failures, "failure", "failures")
        );
        return Err(Exit::new(Code::TryAgain, text).into());
    }
    if refused > 0 {
        let text = format!(
            "the target does not take {}, named above",
            human::counted(refused, "message", "messages")
        );
        return Err(Exit::new(Code::Data, text).into());
    }
    Ok(())
}

/// The clock, in milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A folder of the state for people.
fn folder_shown(raw: &[u8]) -> String {
    human::printable(&crate::imap::Name::from_raw(raw).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_accounts_of_either_side() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("accounts.csv");
        std::fs::write(
            &file,
            "source_user,source_password,target_user,target_password\na,1,x,1\nb,1,y,1\n",
        )
        .unwrap();
        let text = "[[domain]]\nname = \"a.example\"\ndestination = { host = \"b.example\" }\n\
                    [mover]\nsource = { host = \"o.example\" }\ntarget = { host = \"n.example\" }\n";
        let config = Config::parse(text, Path::new("relay.toml")).unwrap();
        let of = |only: &[&str]| {
            let only: Vec<String> = only.iter().map(|name| (*name).to_owned()).collect();
            let accounts = chosen(config.mover.as_ref().unwrap(), Some(&file), &only);
            accounts.map(|all| {
                all.iter()
                    .map(|one| one.name().to_owned())
                    .collect::<Vec<_>>()
            })
        };
        assert_eq!(of(&[]).unwrap(), ["a", "b"]);
        assert_eq!(of(&["Y"]).unwrap(), ["b"]);
        let error = of(&["c"]).unwrap_err();
        assert_eq!(super::super::exit::code(&error), Code::Data);
    }
}
