//! Looks into a mailbox of the new server, over IMAP with the mover's credentials, for a
//! message that relay has released: by the queue id in the `Received` field that relay puts
//! in front of it.
//!
//! - `accounts`: who logs in for a recipient; `look`: the looking, in one session.
//!
//! What is found is read whole and known by relay's own field, and its bytes are compared.
//! "Not there" is said only when every folder of the mailbox could be searched. Mailboxes
//! are only read (EXAMINE, BODY.PEEK).

mod accounts;
mod look;

use crate::{
    config::Mover,
    imap::{self, Error, Limits, Session},
    release::{Question, Sighting, Witness},
};
use accounts::Accounts;
use look::{Mailbox, look};
use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, Instant},
};
use tokio::{sync::Semaphore, time::timeout};

/// A session that is not used again within this time is closed.
const KEPT_FOR: Duration = Duration::from_secs(20);
/// A look into one mailbox that takes longer is none.
const SEARCH_WITHIN: Duration = Duration::from_secs(120);
/// Sessions that are kept.
const KEPT_MAX: usize = 16;

/// A witness over IMAP.
pub struct ImapWitness {
    /// Why nobody can be asked, if the files cannot be used.
    accounts: RwLock<Result<Arc<Accounts>, String>>,
    limits: Limits,
    /// Mailboxes at once.
    places: Semaphore,
    kept: Mutex<HashMap<String, (Session, Instant)>>,
}

impl ImapWitness {
    /// A witness at the mover's target. Where its files cannot be used, it says so to
    /// whoever asks.
    #[must_use]
    pub fn new(config: &Mover) -> Self {
        Self {
            accounts: RwLock::new(load(config)),
            limits: Limits {
                connect: Duration::from_secs(15),
                idle: Duration::from_secs(60),
                ..Limits::default()
            },
            places: Semaphore::new(config.parallel.max(1)),
            kept: Mutex::default(),
        }
    }

    /// Reads the files again.
    pub fn reload(&self, config: &Mover) {
        let new = load(config);
        *(self.accounts.write()).unwrap_or_else(PoisonError::into_inner) = new;
        self.kept().clear();
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, HashMap<String, (Session, Instant)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, question: Question) -> Sighting {
        let accounts = {
            let accounts = self.accounts.read();
            (accounts.unwrap_or_else(PoisonError::into_inner)).clone()
        };
        let accounts = match accounts {
            Ok(accounts) => accounts,
            Err(reason) => return Sighting::Unable { reason },
        };
        let server = accounts.server();
        let Some(account) = accounts.account(&question.recipient) else {
            let reason = format!("{} has no account at {server}", question.recipient);
            return Sighting::Unable { reason };
        };
        let user = account.user.clone();
        let login = match accounts.login(&account).await {
            Ok(login) => login,
            Err(error) => {
                let reason = format!("{server}, as {user}: {error}");
                return Sighting::Unable { reason };
            }
        };
        let Ok(_place) = self.places.acquire().await else {
            let reason = "it is being stopped".into();
            return Sighting::Unable { reason };
        };
        // Not before: whoever waits for a place has not been answered yet.
        let search = self.search(&accounts, &user, &login, &question);
        let Ok(searched) = timeout(SEARCH_WITHIN, search).await else {
            let reason = format!(
                "{server}, as {user}: no answer within {} s",
                SEARCH_WITHIN.as_secs()
            );
            return Sighting::Unable { reason };
        };
        let place = match searched {
            Ok(place) => place,
            Err(error) => {
                let reason = format!("{server}, as {user}: {error}");
                tracing::warn!(
                    "{}: the mailbox cannot be asked: {reason}",
                    question.message
                );
                return Sighting::Unable { reason };
            }
        };
        match place {
            Mailbox::Has(place) => Sighting::Found { server, place },
            Mailbox::Lacks => Sighting::Absent { server },
            Mailbox::Unclear(reason) => Sighting::Unable { reason },
        }
    }

    async fn search(
        &self,
        accounts: &Accounts,
        user: &str,
        login: &imap::Login,
        question: &Question,
    ) -> Result<Mailbox, Error> {
        let kept = self.take(user);
        // A session that was kept may have been closed by the server meanwhile.
        if let Some(mut session) = kept
            && let Ok(found) = look(&mut session, question).await
        {
            self.keep(user, session);
            return Ok(found);
        }
        let mut session = imap::connect(accounts.endpoint(), login, &self.limits).await?;
        let found = look(&mut session, question).await?;
        self.keep(user, session);
        Ok(found)
    }

    fn take(&self, user: &str) -> Option<Session> {
        let mut kept = self.kept();
        kept.retain(|_, (_, since)| since.elapsed() < KEPT_FOR);
        kept.remove(user).map(|(session, _)| session)
    }

    fn keep(&self, user: &str, session: Session) {
        let mut kept = self.kept();
        if kept.len() < KEPT_MAX {
            kept.insert(user.to_owned(), (session, Instant::now()));
        }
    }
}

impl Witness for ImapWitness {
    fn look(&self, question: Question) -> Pin<Box<dyn Future<Output = Sighting> + Send + '_>> {
        Box::pin(self.answer(question))
    }
}

fn load(config: &Mover) -> Result<Arc<Accounts>, String> {
    match Accounts::load(config) {
        Ok(accounts) => Ok(Arc::new(accounts)),
        Err(reason) => {
            tracing::warn!("deliveries in doubt cannot be looked for: {reason}");
            Err(reason)
        }
    }
}
