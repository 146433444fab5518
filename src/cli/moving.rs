//! `relay move`: copies the mailboxes, and shows it until it is done. Needs no daemon. Ending
//! it at any time loses nothing; the next one goes on where it was. How it stands is in the
//! ledger's file all the time.

mod account;
mod hold;
mod passes;
pub(super) mod progress;

use super::{Context, Exit, exit::Code, human};
use crate::{
    config::{Config, Mover as Table},
    imap::Limits,
    mover::{
        account::{Mover, now_ms},
        accounts::{self, Account},
        converge::PassEnd,
        folders::Rules,
        login::{Server, administered},
        preview::Depth,
        publish::Publisher,
        run::Task,
        state::{NoteKind, State},
    },
};
use clap::Args;
use passes::Passes;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::signal::unix::{SignalKind, signal};

/// Whose mailboxes, and how long.
#[derive(Args, Debug, Default)]
pub struct Arguments {
    /// The accounts, in the place of mover.accounts.
    #[arg(long, value_name = "FILE")]
    accounts: Option<PathBuf>,
    /// Only these accounts, by their name at either side.
    #[arg(long, value_name = "ADDRESS", num_args = 1..)]
    only: Vec<String>,
    /// Log in everywhere and say what would be copied; change nothing.
    #[arg(long, conflicts_with_all = ["once", "until_converged", "stragglers"])]
    dry_run: bool,
    /// One pass [default].
    #[arg(long, conflicts_with_all = ["until_converged", "stragglers"])]
    once: bool,
    /// Passes until one finds nothing new, some time after the newest message at the source.
    #[arg(long, conflicts_with = "stragglers")]
    until_converged: bool,
    /// Keep each message that the target does not take as a file below this directory.
    #[arg(long, value_name = "DIR")]
    keep_refused: Option<PathBuf>,
    /// Passes without end, for what still reaches the old server after the release.
    #[arg(long)]
    stragglers: bool,
}

impl Arguments {
    /// One pass over all accounts.
    pub fn once() -> Self {
        Self {
            once: true,
            ..Self::default()
        }
    }

    /// Passes over all accounts until nothing new is left.
    pub fn until_converged() -> Self {
        Self {
            until_converged: true,
            ..Self::default()
        }
    }
}

/// When the passes end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Until {
    Once,
    Converged,
    Stopped,
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
    let all = all_accounts(table, arguments.accounts.as_deref())?;
    let chosen = chosen(&all, &arguments.only)?;
    let mover = Arc::new(prepare(&config, table, arguments.keep_refused.clone())?);
    let tasks: Vec<Task> = chosen.into_iter().map(Task::new).collect();
    if arguments.dry_run {
        return preview(context, &mover, &tasks, table.parallel).await;
    }
    for task in &tasks {
        // A person may have changed what made the target refuse.
        mover.state.retry_refused(task.account.name())?;
    }
    let mut publisher = Publisher::start(&config.spool.path, &all, now_ms())?;
    let passes = Passes {
        context,
        mover: &mover,
        tasks: &tasks,
        parallel: table.parallel,
        settle: table.settle,
        until: arguments.until(),
    };
    let outcome = tokio::select! {
        outcome = passes.run(&mut publisher) => outcome,
        name = signalled() => {
            let text = format!("stopped by {}; `relay move` goes on where it stopped", name?);
            Err(Exit::new(Code::TryAgain, text).into())
        }
    };
    publisher.stop(now_ms())?;
    finish(context, &mover, &tasks, &outcome?)
}

impl Arguments {
    fn until(&self) -> Until {
        match (self.until_converged, self.stragglers) {
            (true, _) => Until::Converged,
            (_, true) => Until::Stopped,
            _ => Until::Once,
        }
    }
}

/// A person or the system wants it to end.
async fn signalled() -> std::io::Result<&'static str> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
    })
}

/// All that the file names.
///
/// # Errors
/// A wrong file, or an empty one.
pub(super) fn all_accounts(table: &Table, file: Option<&Path>) -> anyhow::Result<Vec<Account>> {
    let file = file.unwrap_or(&table.accounts);
    let admin = administered(&table.source, &table.target);
    let accounts = accounts::load(file, admin)?;
    if accounts.is_empty() {
        let text = format!("{}: no accounts", file.display());
        return Err(Exit::new(Code::Data, text).into());
    }
    Ok(accounts)
}

/// Those of `--only`, by their name at either side, or all.
///
/// # Errors
/// No such account.
pub(super) fn chosen(all: &[Account], only: &[String]) -> anyhow::Result<Vec<Account>> {
    let named = |account: &Account, name: &str| {
        [&account.source.user, &account.target.user]
            .iter()
            .any(|user| user.eq_ignore_ascii_case(name))
    };
    let absent = |name: &&String| !all.iter().any(|account| named(account, name));
    if let Some(unknown) = only.iter().find(absent) {
        let text = format!("--only {unknown}: the accounts file has no such account");
        return Err(Exit::new(Code::Data, text).into());
    }
    let wanted = |account: &&Account| only.iter().any(|name| named(account, name));
    Ok(match only {
        [] => all.to_vec(),
        _ => all.iter().filter(wanted).cloned().collect(),
    })
}

fn prepare(config: &Config, table: &Table, keep_refused: Option<PathBuf>) -> anyhow::Result<Mover> {
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
        expunged: table.expunged,
        connections: table.connections,
        keep_refused,
    })
}

async fn preview(
    context: &Context,
    mover: &Mover,
    tasks: &[Task],
    parallel: usize,
) -> anyhow::Result<()> {
    let mut failures = 0;
    let mut takes = Duration::ZERO;
    for task in tasks {
        let preview = mover.preview(&task.account, Depth::Messages).await;
        failures += preview.failures();
        takes += preview
            .forecast
            .as_ref()
            .and_then(|all| all.takes)
            .unwrap_or_default();
        account::show_preview(&context.screen, &preview)?;
    }
    if tasks.len() > 1 {
        account::show_takes(&context.screen, takes, parallel)?;
    }
    if failures == 0 {
        return Ok(());
    }
    let text = human::counted(failures, "thing", "things") + " in the way of copying";
    Err(Exit::new(Code::TryAgain, text).into())
}

/// Names each message that did not go, or is another one there, and gives the exit code.
fn finish(context: &Context, mover: &Mover, tasks: &[Task], end: &PassEnd) -> anyhow::Result<()> {
    let (mut refused, mut unread) = (0, 0);
    for task in tasks {
        let name = task.account.name();
        for (folder, uid, note) in mover.state.notes(name)? {
            refused += u64::from(note.kind == NoteKind::Refused);
            unread += u64::from(note.kind == NoteKind::Unread);
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
    if end.stranded > 0 {
        let text = format!(
            "{} no place of their own at the target, named above; add a [[mover.rename]] for each",
            human::counted(
                end.stranded,
                "folder with mail has",
                "folders with mail have"
            )
        );
        return Err(Exit::new(Code::Data, text).into());
    }
    for (many, what) in [
        (refused, "the target does not take"),
        (unread, "the source does not give"),
    ] {
        if many > 0 {
            let many = human::counted(many, "message", "messages");
            let text = format!("{what} {many}, named above");
            return Err(Exit::new(Code::Data, text).into());
        }
    }
    Ok(())
}

/// A folder of the state for people.
fn folder_shown(raw: &[u8]) -> String {
    crate::imap::Name::from_raw(raw).to_string()
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
        let both = accounts::Administered {
            source: false,
            target: false,
        };
        let all = accounts::load(&file, both).unwrap();
        let of = |only: &[&str]| {
            let only: Vec<String> = only.iter().map(|name| (*name).to_owned()).collect();
            let accounts = chosen(&all, &only);
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
