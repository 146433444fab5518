//! RCPT for everybody that is known: who is not taken now would be parked later.

use super::{Connection, Domain, Finding, Held, REPLY_MAX, spoken};
use crate::{
    check::{fail, listed, ok, warn},
    config::{Mover, Recipients},
    mail::Address,
    mover::{
        accounts::{self, Account},
        login::administered,
    },
    release::reply::{Failure, Phase, Reply},
};
use std::{collections::BTreeSet, path::Path};

const NAME: &str = "recipients";
/// Asked about at most. A server with 50,000 users has better ways to tell.
const RECIPIENTS_MAX: usize = 1_000;
/// In one transaction, which every server takes (RFC 5321 §4.5.3.1.8).
const AT_ONCE: usize = 100;
/// Servers slow down, and hang up, on those who ask for many that they do not have.
const REFUSED_MAX: usize = 8;

#[derive(Default)]
struct Asked {
    taken: usize,
    refused: Vec<String>,
    later: Vec<String>,
}

pub(super) async fn check(
    connection: &mut Connection,
    domain: &Domain,
    held: &Held,
    mover: Option<&Mover>,
) -> Finding {
    let mut known = held.recipients.clone();
    if let Recipients::File(file) = &domain.recipients {
        match listed_in(file, &domain.name) {
            Ok(listed) => known.extend(listed),
            Err(error) => {
                let found = format!("{}: {error}", file.display());
                return fail(NAME, found, "mend the file that `recipients` names");
            }
        }
    }
    if let Some(mover) = mover {
        // What is wrong with that file is said by `mailbox-login`.
        let admin = administered(&mover.source, &mover.target);
        let accounts = accounts::load(&mover.accounts, admin).unwrap_or_default();
        known.extend(mailboxes_of(&accounts, &domain.name));
    }
    let guessed = known.is_empty();
    if guessed {
        // RFC 5321 §4.5.1: every server has it.
        known.insert(format!("postmaster@{}", domain.name));
    }
    let asked = match ask(connection, &known).await {
        Ok(asked) => asked,
        Err(finding) => return *finding,
    };
    let protocol = spoken(connection.protocol);
    if !asked.refused.is_empty() {
        let fix = "make these mailboxes at the new server, or tell it that the domain is its own";
        let found = format!("{protocol}: {}", listed(&asked.refused));
        return fail(NAME, found, fix);
    }
    if !asked.later.is_empty() {
        let fix = "exempt the relay's address from greylisting and limits there, or allow it \
                   XCLIENT";
        let found = format!("{protocol}: {}", listed(&asked.later));
        return Finding {
            temporary: true,
            ..fail(NAME, found, fix)
        };
    }
    let found = format!("{} of {} taken", asked.taken, known.len());
    if guessed {
        return ok(NAME, "nobody is known yet; it takes postmaster");
    }
    if known.len() > RECIPIENTS_MAX {
        let found = format!("{found}; the others were not asked about");
        return warn(NAME, found, "compare the lists of users yourself");
    }
    ok(NAME, found)
}

/// RCPT for each; the error is one with the sender, or with the connection.
async fn ask(connection: &mut Connection, known: &BTreeSet<String>) -> Result<Asked, Box<Finding>> {
    let mut asked = Asked::default();
    let some: Vec<&String> = known.iter().take(RECIPIENTS_MAX).collect();
    for some in some.chunks(AT_ONCE) {
        let utf8 = connection.features.smtputf8 && some.iter().any(|to| !to.is_ascii());
        let mail = match utf8 {
            true => "MAIL FROM:<> SMTPUTF8\r\n",
            false => "MAIL FROM:<>\r\n",
        };
        let reply = said(connection, Phase::Mail, mail).await?;
        if !reply.is_positive() {
            let finding = fail(
                NAME,
                format!("MAIL FROM:<> -> {}", reply.text),
                "take it there",
            );
            return Err(Box::new(finding));
        }
        for to in some {
            let line = format!("RCPT TO:<{to}>\r\n");
            let reply = said(connection, Phase::Rcpt, &line).await?;
            let text = format!("RCPT TO:<{to}> -> {}", reply.text);
            match reply.code / 100 {
                2 => asked.taken += 1,
                4 => asked.later.push(text),
                _ => asked.refused.push(text),
            }
            if asked.refused.len() + asked.later.len() >= REFUSED_MAX {
                return Ok(asked);
            }
        }
        said(connection, Phase::Mail, "RSET\r\n").await?;
    }
    Ok(asked)
}

async fn said(
    connection: &mut Connection,
    phase: Phase,
    line: &str,
) -> Result<Reply, Box<Finding>> {
    let reply = connection.command(phase, REPLY_MAX, line).await;
    reply.map_err(|failure: Failure| {
        Box::new(Finding {
            temporary: true,
            ..fail(NAME, failure.to_string(), "look at the new server's log")
        })
    })
}

/// Whose mailboxes are copied there: mail for them is what the new server is for.
fn mailboxes_of(accounts: &[Account], domain: &str) -> Vec<String> {
    let users = accounts.iter().map(|account| &account.target.user);
    let addresses = users.filter_map(|user| Address::parse(user).ok());
    let own = addresses.filter(|address| address.domain() == domain);
    own.map(|address| address.to_string()).collect()
}

/// The addresses in a file of recipients, those of this domain.
fn listed_in(file: &Path, domain: &str) -> std::io::Result<Vec<String>> {
    let text = std::fs::read_to_string(file)?;
    let lines = text.lines().map(str::trim);
    let addresses = lines.filter(|line| !line.starts_with(['#', '@']));
    let addresses = addresses.filter_map(|line| Address::parse(line).ok());
    let own = addresses.filter(|address| address.domain() == domain);
    Ok(own.map(|address| address.to_string()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn accounts_of_the_domain_are_asked_about_and_bare_names_are_not() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("accounts.csv");
        let lines = "source_user,source_password,target_user,target_password\n\
                     bob,pw,Bob@corp.example,pw\neve,pw,eve@other.example,pw\ndan,pw,dan,pw\n";
        fs::write(&file, lines).unwrap();
        let table = "[[domain]]\nname = \"corp.example\"\ndestination = { host = \"n.example\" }\n\
             [mover]\nsource = { host = \"o.example\" }\ntarget = { host = \"n.example\" }\n";
        let config = crate::config::Config::parse(table, Path::new("relay.toml")).unwrap();
        let mover = config.mover.unwrap();
        let admin = administered(&mover.source, &mover.target);
        let accounts = accounts::load(&file, admin).unwrap();
        assert_eq!(
            mailboxes_of(&accounts, "corp.example"),
            ["Bob@corp.example"]
        );
    }
}
