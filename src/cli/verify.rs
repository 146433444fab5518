//! `relay verify`: old server, spool and new server compared. Needs no daemon; with one the
//! deliveries come from it.

pub(super) mod show;

use super::{
    Context, Exit,
    exit::Code,
    human,
    moving::{all_accounts, chosen, progress::Progress},
    source::Source,
};
use crate::{
    config::{Config, Mover as Table},
    control::{Filter, StateFilter},
    imap::Limits,
    ledger::{
        Verified,
        verified::{Counts, Exception, SourceReach, VerifiedMailbox},
    },
    mail::QueueId,
    mover::{
        account::now_ms, accounts::Account, folders::Rules, login::Server, run::Task, state::State,
    },
    verify::{
        account::Verifier,
        facts::{Facts, Gauge},
        run::run as verify_all,
        spooled::{Originals, Spooled},
    },
};
use clap::Args;
use std::{
    future::Future,
    io::{self, Write},
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

/// How often progress is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Whose mailboxes, and how.
#[derive(Args, Debug, Default)]
pub struct Arguments {
    /// Only these domains [default: all].
    #[arg(value_name = "DOMAIN")]
    pub domains: Vec<String>,
    /// The accounts, in the place of mover.accounts.
    #[arg(long, value_name = "FILE")]
    accounts: Option<PathBuf>,
    /// Only these accounts, by their name at either side.
    #[arg(long, value_name = "ADDRESS", num_args = 1..)]
    only: Vec<String>,
    /// Read every message of the old server again, to be independent of what the mover noted.
    #[arg(long)]
    source: bool,
    /// Do not ask the old server: what the mover noted alone tells what it had.
    #[arg(long, conflicts_with = "source")]
    no_source: bool,
}

impl Arguments {
    /// All accounts of these domains.
    pub fn of(domains: &[String]) -> Self {
        Self {
            domains: domains.to_vec(),
            ..Self::default()
        }
    }

    fn reach(&self) -> SourceReach {
        match (self.source, self.no_source) {
            (true, _) => SourceReach::Read,
            (false, true) => SourceReach::Map,
            (false, false) => SourceReach::Listed,
        }
    }
}

/// # Errors
/// No `[mover]` (78); `relay move` at work (69); something missing, altered or doubled (65);
/// something that could not be read (75).
pub async fn run(context: &Context, arguments: Arguments) -> anyhow::Result<()> {
    let verified = verify(context, &arguments).await?;
    show::all(&context.screen, &verified)?;
    verdict(&verified.totals)
}

fn verdict(totals: &Counts) -> anyhow::Result<()> {
    if totals.all_there() {
        return Ok(());
    }
    let wrong = totals.missing + totals.differs + totals.doubled;
    let (code, text) = match wrong {
        0 => (Code::TryAgain, "not everything could be read".to_owned()),
        _ => (
            Code::Data,
            format!(
                "{} missing, {} altered, {} doubled, named above",
                human::count(totals.missing),
                human::count(totals.differs),
                human::count(totals.doubled)
            ),
        ),
    };
    Err(Exit::new(code, text).into())
}

/// Verifies, shows how far it is, and keeps the result for reports. With `--json` each mailbox
/// is told as it is done.
///
/// # Errors
/// Those of the configuration, the accounts file, the mover's state, the spool or the daemon.
pub async fn verify(context: &Context, arguments: &Arguments) -> anyhow::Result<Verified> {
    let config = context.config()?;
    let Some(table) = &config.mover else {
        let text = "the configuration has no [mover]: `relay verify` needs its target";
        return Err(Exit::new(Code::Config, text).into());
    };
    let all = all_accounts(table, arguments.accounts.as_deref())?;
    let mut accounts = chosen(&all, &arguments.only)?;
    accounts.retain(|account| is_of(account, &arguments.domains));
    let source = Arc::new(Source::open(context).await?);
    let spooled = spooled(&source, &accounts, arguments).await?;
    let verifier = Arc::new(prepare(&config, table, arguments.reach(), source)?);
    let tasks: Vec<Task> = accounts.into_iter().map(Task::new).collect();
    let mut verified = Verified {
        began_ms: now_ms(),
        domains: arguments.domains.clone(),
        source: arguments.reach(),
        ..Verified::default()
    };
    let mut failed: Option<anyhow::Error> = None;
    let told = |mailbox: &VerifiedMailbox, exceptions: &[Exception]| {
        if context.screen.json {
            let shown = show::json(&context.screen, mailbox, exceptions);
            failed = failed.take().or(shown.err());
        }
    };
    {
        let work = verify_all(
            &verifier,
            &tasks,
            spooled,
            table.parallel,
            &mut verified,
            told,
        );
        tokio::pin!(work);
        let mut progress = Progress::new();
        loop {
            tokio::select! {
                () = &mut work => break,
                () = tokio::time::sleep(LOOK_EVERY) => progress.show(&context.screen, &tasks)?,
            }
        }
        progress.clear();
    }
    if let Some(error) = failed {
        return Err(error);
    }
    verified.ended_ms = now_ms();
    verified.write(&config.spool.path)?;
    Ok(verified)
}

/// Whether an account belongs to one of the domains; one without any may.
fn is_of(account: &Account, domains: &[String]) -> bool {
    let names = [&account.target.user, &account.source.user];
    let domain = names.iter().find_map(|name| Some(name.rsplit_once('@')?.1));
    let Some(domain) = domain.filter(|_| !domains.is_empty()) else {
        return true;
    };
    domains
        .iter()
        .any(|asked| asked.eq_ignore_ascii_case(domain))
}

/// All deliveries that could be at the new server, or will be.
async fn spooled(
    source: &Source,
    accounts: &[Account],
    arguments: &Arguments,
) -> anyhow::Result<Spooled> {
    let mut spooled = Spooled::new(accounts);
    // With some accounts chosen, nothing is known of the others' mail.
    let only_some = !arguments.only.is_empty();
    let domains = arguments.domains.iter().cloned().map(Some);
    let mut domains: Vec<Option<String>> = domains.collect();
    if domains.is_empty() {
        domains.push(None);
    }
    for domain in domains {
        let filter = Filter {
            domain,
            state: Some(StateFilter::All),
            ..Filter::default()
        };
        let mut take = |message| {
            spooled.add(&message);
            Ok(())
        };
        source.list(filter, &mut take).await?;
    }
    if only_some {
        spooled.take_elsewhere();
    }
    Ok(spooled)
}

fn prepare(
    config: &Config,
    table: &Table,
    reach: SourceReach,
    source: Arc<Source>,
) -> anyhow::Result<Verifier> {
    Ok(Verifier {
        state: State::open(&config.spool.path.join("mover"))?,
        source: Server::load(&table.source)?,
        target: Server::load(&table.target)?,
        rules: Rules {
            exclude: table.exclude.clone(),
            rename: table.rename.clone(),
        },
        limits: Limits::default(),
        reach,
        originals: Arc::new(FromSpool(source)),
        elsewhere: std::sync::Mutex::default(),
    })
}

/// Messages as the daemon or the spool gives them.
struct FromSpool(Arc<Source>);

impl Originals for FromSpool {
    fn facts(
        &self,
        id: QueueId,
    ) -> Pin<Box<dyn Future<Output = Result<Facts, String>> + Send + '_>> {
        Box::pin(async move {
            let mut gauge = Measuring::default();
            let read = self.0.raw(id, &mut gauge).await;
            read.map_err(|error| error.to_string())?;
            Ok(gauge.finish())
        })
    }
}

#[derive(Default)]
struct Measuring {
    gauge: Gauge,
    last: Option<u8>,
}

impl Measuring {
    fn finish(mut self) -> Facts {
        // BDAT takes a message without a last line end; servers add it.
        if self.last.is_some_and(|last| last != b'\n') {
            self.gauge.update(b"\r\n");
        }
        self.gauge.finish()
    }
}

impl Write for Measuring {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.gauge.update(bytes);
        self.last = bytes.last().copied().or(self.last);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mover::accounts::Login;

    #[test]
    fn an_account_belongs_to_its_domain() {
        let account = |source: &str, target: &str| {
            let login = |user: &str| Login {
                user: user.into(),
                password: None,
            };
            Account {
                source: login(source),
                target: login(target),
            }
        };
        let asked = ["Corp.example".to_owned()];
        assert!(is_of(&account("x", "bob@corp.example"), &asked));
        assert!(is_of(&account("bob@corp.example", "bob"), &asked));
        assert!(is_of(&account("bob", "bob"), &asked));
        assert!(!is_of(
            &account("bob@corp.example", "bob@b.example"),
            &asked
        ));
        assert!(is_of(&account("a", "bob@b.example"), &[]));
    }

    #[test]
    fn a_missing_last_line_end_is_added_as_a_server_does() {
        let mut measuring = Measuring::default();
        measuring.write_all(b"A: b\r\n\r\nx").unwrap();
        let facts = measuring.finish();
        assert_eq!(facts, crate::verify::facts::facts(b"A: b\r\n\r\nx\r\n"));
    }
}
