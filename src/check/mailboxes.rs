//! Both IMAP servers: a login for every account, and what the mover's dry run has to say.

use super::{counted, fail, listed, ok, together, warn};
use crate::{
    config::Mover as Table,
    imap::{self, Limits},
    ledger::Finding,
    mover::{
        account::Mover,
        accounts::{self, Account},
        folders::Rules,
        login::{Server, administered},
        preview::{Depth, Obstacle, Preview},
        state::State,
    },
};
use std::{path::Path, sync::Arc, time::Duration};

const LOGIN: &str = "mailbox-login";
const QUOTA: &str = "mailbox-quota";
const FOLDERS: &str = "mailbox-folders";
/// For a login.
const LOGIN_MAX: Duration = Duration::from_secs(15);

pub(super) async fn check(table: &Table) -> Vec<Finding> {
    let admin = administered(&table.source, &table.target);
    let accounts = match accounts::load(&table.accounts, admin) {
        Ok(accounts) if accounts.is_empty() => {
            let found = format!("{}: no accounts", table.accounts.display());
            return vec![fail(
                LOGIN,
                found,
                "write them down: see the page on the mover",
            )];
        }
        Ok(accounts) => accounts,
        Err(error) => {
            let fix = "mend the file that mover.accounts names";
            return vec![fail(LOGIN, error.to_string(), fix)];
        }
    };
    // A state of its own, of which nothing stays: one may be at work on the real one.
    let place = match tempfile::tempdir() {
        Ok(place) => place,
        Err(error) => return vec![fail(FOLDERS, error.to_string(), "make room in TMPDIR")],
    };
    let mover = match prepare(table, place.path()) {
        Ok(mover) => Arc::new(mover),
        Err(error) => {
            let fix = "mend what [mover] names";
            return vec![fail(LOGIN, error, fix)];
        }
    };
    let mut failures = Vec::new();
    let mut previews = Vec::new();
    for some in accounts.chunks(table.parallel.max(1)) {
        let work = some.iter().map(|account| {
            let (mover, account) = (mover.clone(), account.clone());
            async move {
                match logins(&mover, &account).await {
                    Ok(()) => Ok(mover.preview(&account, Depth::Folders).await),
                    Err(failures) => Err(failures),
                }
            }
        });
        for done in together(work).await {
            match done {
                Ok(preview) => previews.push(preview),
                Err(some) => failures.extend(some),
            }
        }
    }
    let mut findings = vec![login(accounts.len(), &failures)];
    if !previews.is_empty() {
        findings.extend(looks(&previews));
    }
    findings
}

fn prepare(table: &Table, place: &Path) -> Result<Mover, String> {
    let server = |table| Server::load(table).map_err(|error| error.to_string());
    let state = State::open(&place.join("state"));
    Ok(Mover {
        state: state.map_err(|error| error.to_string())?,
        source: server(&table.source)?,
        target: server(&table.target)?,
        rules: Rules {
            exclude: table.exclude.clone(),
            rename: table.rename.clone(),
        },
        directory: place.to_owned(),
        limits: limits(),
        expunged: table.expunged,
        connections: table.connections,
        keep_refused: None,
    })
}

fn limits() -> Limits {
    Limits {
        connect: LOGIN_MAX,
        ..Limits::default()
    }
}

/// At both sides; which of them failed.
async fn logins(mover: &Mover, account: &Account) -> Result<(), Vec<String>> {
    let sides = [
        ("old", &mover.source, &account.source),
        ("new", &mover.target, &account.target),
    ];
    let mut failures = Vec::new();
    for (side, server, login) in sides {
        let tried = match server.login(login).await {
            Ok(known) => imap::connect(&server.endpoint, &known, &limits())
                .await
                .map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match tried {
            Ok(session) => drop(session.logout().await),
            Err(error) => failures.push(format!("{} at the {side} server: {error}", login.user)),
        }
    }
    if failures.is_empty() {
        return Ok(());
    }
    Err(failures)
}

fn login(accounts: usize, failures: &[String]) -> Finding {
    if failures.is_empty() {
        let count = counted(accounts, "account");
        return ok(LOGIN, format!("{count} at both servers"));
    }
    let fix = "correct name and password in mover.accounts, or the administrator's; switch IMAP \
               on for the account";
    let count = counted(failures.len(), "login");
    fail(LOGIN, format!("{count} failed: {}", listed(failures)), fix)
}

fn looks(previews: &[Preview]) -> Vec<Finding> {
    let (mut full, mut odd, mut left) = (Vec::new(), Vec::new(), Vec::new());
    for preview in previews {
        let name = &preview.name;
        for obstacle in &preview.in_the_way {
            match obstacle {
                Obstacle::Quota { .. } => full.push(format!("{name}: {obstacle}")),
                Obstacle::Other { .. } => odd.push(format!("{name}: {obstacle}")),
            }
        }
        let unmoved = preview.left.iter();
        left.extend(unmoved.map(|one| format!("{name}: {}: {}", one.shown, one.why)));
    }
    let messages: u64 = previews.iter().map(|preview| preview.messages).sum();
    let quota = match full.is_empty() {
        true => ok(QUOTA, "all that is to be copied fits"),
        false => fail(QUOTA, listed(&full), "raise these quotas at the new server"),
    };
    let folders = match (odd.is_empty(), left.is_empty()) {
        (false, _) => {
            let fix = "see to what it says; `relay move --dry-run` tells more";
            fail(FOLDERS, listed(&odd), fix)
        }
        (true, false) => {
            let fix = "give them another name there with [[mover.rename]], or leave them out with \
                       mover.exclude";
            warn(FOLDERS, format!("not copied: {}", listed(&left)), fix)
        }
        (true, true) => {
            let folders: u64 = previews.iter().map(|preview| preview.folders).sum();
            let renamed: usize = previews.iter().map(|preview| preview.renamed.len()).sum();
            let found = format!("{messages} messages in {folders} folders, {renamed} renamed");
            ok(FOLDERS, found)
        }
    };
    vec![quota, folders]
}
