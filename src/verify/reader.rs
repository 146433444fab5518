//! Reads a mailbox at one server, message by message, in little memory. A connection that is
//! lost is made again, and the reading goes on behind the last message that came whole.

use super::facts::{Facts, Gauge};
use crate::{
    imap::{
        self, BodySink, Error, Fetched, Figures, Limits, Meta, Name, Selected, Session, UidSet,
    },
    mover::{
        account::side,
        accounts::Login,
        copy::Failure,
        folders::Side,
        login::Server,
        mapping::Names,
        meter::{Doing, Meter},
        target::failure,
    },
};
use std::{future::Future, io, time::Duration};

/// Troubles in a row without a message read between them, after which it is given up.
const TROUBLES_MAX: u32 = 6;
/// The wait after the first trouble; it doubles with each.
const WAIT: Duration = Duration::from_millis(500);
/// The longest wait that is not asked for.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Takes messages as they are read.
pub trait Take: Send {
    /// A message came whole; `bytes` as the server gave it.
    fn take(&mut self, uid: u32, bytes: u64, facts: Facts) -> impl Future<Output = ()> + Send;
}

/// A mailbox at one server.
pub struct Reader<'a> {
    server: &'a Server,
    login: &'a Login,
    limits: &'a Limits,
    meter: &'a Meter,
    session: Option<Session>,
    /// The folder that is open, by its raw name.
    open: Option<(Vec<u8>, Selected)>,
    troubles: u32,
    /// Whether it was ever let in: a server that never answers is not waited for.
    was_in: bool,
}

impl<'a> Reader<'a> {
    /// Connects when it is needed.
    #[must_use]
    pub fn new(server: &'a Server, login: &'a Login, limits: &'a Limits, meter: &'a Meter) -> Self {
        Self {
            server,
            login,
            limits,
            meter,
            session: None,
            open: None,
            troubles: 0,
            was_in: false,
        }
    }

    /// Its folders.
    ///
    /// # Errors
    /// Why it cannot be read, in words.
    pub async fn folders(&mut self) -> Result<(Side, Names), String> {
        loop {
            let tried = match self.session().await {
                Ok(session) => side(session, Figures::All).await,
                Err(failure) => Err(failure),
            };
            match tried {
                Ok(found) => return Ok(found),
                Err(failure) => self.overcome(failure).await?,
            }
        }
    }

    /// How a folder stands, and which messages it has.
    ///
    /// # Errors
    /// Why it cannot be read, in words.
    pub async fn look(&mut self, name: &Name) -> Result<(Selected, UidSet), String> {
        loop {
            match self.try_look(name).await {
                Ok(found) => return Ok(found),
                Err(failure) => self.overcome(failure).await?,
            }
        }
    }

    /// Reads these messages of a folder. Those that are there and cannot be read are
    /// returned, with the reason.
    ///
    /// # Errors
    /// Why the folder cannot be read, in words.
    pub async fn read(
        &mut self,
        name: &Name,
        uids: &UidSet,
        take: &mut impl Take,
    ) -> Result<Vec<(u32, String)>, String> {
        let mut sink = Sink {
            now: None,
            done: UidSet::new(),
            meter: self.meter,
            take,
        };
        let mut unreadable: Vec<(u32, String)> = Vec::new();
        loop {
            let is_open = |uid: &u32| {
                !sink.done.contains(*uid) && !unreadable.iter().any(|(one, _)| one == uid)
            };
            let left: UidSet = uids.iter().filter(is_open).collect();
            if left.is_empty() {
                return Ok(unreadable);
            }
            let before = sink.done.len();
            match self.try_read(name, &left, &mut sink).await {
                Ok(mut failed) => {
                    unreadable.append(&mut failed);
                    return Ok(unreadable);
                }
                Err(failure) => {
                    if sink.done.len() > before {
                        self.troubles = 0;
                    }
                    self.overcome(failure).await?;
                }
            }
        }
    }

    /// A goodbye that fails takes nothing back.
    pub async fn close(mut self) {
        if let Some(session) = self.session.take() {
            let _ = session.logout().await;
        }
    }

    async fn session(&mut self) -> Result<&mut Session, Failure> {
        if self.session.is_none() {
            self.open = None;
            let login = self.server.login(self.login).await;
            let login = login.map_err(|error| Failure::Refused {
                reply: error.to_string(),
            })?;
            let connected = imap::connect(&self.server.endpoint, &login, self.limits).await;
            self.session = Some(connected.map_err(|error| refused_login(&error))?);
            self.was_in = true;
        }
        self.session.as_mut().ok_or_else(|| Failure::Lost {
            detail: "no connection".into(),
            wait: None,
        })
    }

    async fn opened(&mut self, name: &Name) -> Result<(&mut Session, Selected), Failure> {
        let open = self.open.take().filter(|(open, _)| open == name.raw());
        let session = self.session().await?;
        let selected = match open {
            Some((_, selected)) => selected,
            None => {
                let selected = session.examine(name).await;
                selected.map_err(|error| failure(&error))?
            }
        };
        self.open = Some((name.raw().to_vec(), selected.clone()));
        match self.session.as_mut() {
            Some(session) => Ok((session, selected)),
            None => Err(Failure::Lost {
                detail: "no connection".into(),
                wait: None,
            }),
        }
    }

    async fn try_look(&mut self, name: &Name) -> Result<(Selected, UidSet), Failure> {
        let (session, selected) = self.opened(name).await?;
        let uids = session.uids(1, u32::MAX).await;
        Ok((selected, uids.map_err(|error| failure(&error))?))
    }

    async fn try_read(
        &mut self,
        name: &Name,
        uids: &UidSet,
        sink: &mut Sink<'_, impl Take>,
    ) -> Result<Vec<(u32, String)>, Failure> {
        self.meter.doing(Doing::Copying(name.to_string()));
        let (session, _) = self.opened(name).await?;
        let all = session.fetch(uids, sink).await;
        let mut why = match all {
            Ok(_) => "the server says OK and gives no body".to_owned(),
            Err(error) if error.is_fatal() => return Err(failure(&error)),
            Err(error) => error.to_string(),
        };
        // One that was expunged meanwhile, or is damaged, makes some servers say NO to all:
        // one at a time shows which.
        let mut unreadable = Vec::new();
        let left: Vec<u32> = uids
            .iter()
            .filter(|uid| !sink.done.contains(*uid))
            .collect();
        for uid in left {
            match session.fetch(&UidSet::range(uid, uid), sink).await {
                Ok(done) if done.contains(uid) => continue,
                Ok(_) => {}
                Err(error) if error.is_fatal() => return Err(failure(&error)),
                Err(error) => why = error.to_string(),
            }
            let there = session.uids(uid, uid).await;
            if !there.map_err(|error| failure(&error))?.is_empty() {
                unreadable.push((uid, why.clone()));
            }
        }
        Ok(unreadable)
    }

    /// Waits after a trouble that may pass.
    async fn overcome(&mut self, failure: Failure) -> Result<(), String> {
        let why = failure.to_string();
        let wait = match failure {
            Failure::Refused { .. } | Failure::OverQuota { .. } => return Err(why),
            Failure::NotNow { wait, .. } => wait,
            Failure::Lost { wait, .. } => {
                self.session = None;
                wait
            }
        };
        self.troubles += 1;
        if self.troubles > TROUBLES_MAX || !self.was_in && wait.is_none() {
            return Err(why);
        }
        let backoff = WAIT.saturating_mul(1 << (self.troubles - 1)).min(WAIT_MAX);
        self.meter.doing(Doing::Pausing(why));
        tokio::time::sleep(wait.unwrap_or_default().max(backoff)).await;
        Ok(())
    }
}

/// Who is not let in today is not let in a second later, but for a server that says so.
fn refused_login(error: &Error) -> Failure {
    match (error, failure(error)) {
        (Error::Login { .. }, Failure::Lost { wait: None, detail }) if !is_passing(error) => {
            Failure::Refused { reply: detail }
        }
        (_, failure) => failure,
    }
}

fn is_passing(error: &Error) -> bool {
    use imap::Code;
    matches!(
        error.code(),
        Some(Code::Unavailable | Code::InUse | Code::Limit | Code::ServerBug)
    )
}

struct Sink<'a, T> {
    now: Option<(u32, u64, Gauge)>,
    done: UidSet,
    meter: &'a Meter,
    take: &'a mut T,
}

impl<T: Take> BodySink for Sink<'_, T> {
    async fn begin(&mut self, body: Fetched) -> io::Result<()> {
        self.now = Some((body.uid, body.bytes, Gauge::default()));
        Ok(())
    }

    async fn chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (_, _, gauge) = self.now.as_mut().ok_or_else(out_of_turn)?;
        gauge.update(bytes);
        Ok(())
    }

    async fn end(&mut self, meta: Meta) -> io::Result<()> {
        let (uid, bytes, gauge) = self.now.take().ok_or_else(out_of_turn)?;
        let uid = if meta.uid == 0 { uid } else { meta.uid };
        if self.done.contains(uid) {
            return Ok(());
        }
        self.take.take(uid, bytes, gauge.finish()).await;
        self.done.insert(uid);
        self.meter.copy(1, bytes);
        Ok(())
    }
}

fn out_of_turn() -> io::Error {
    io::Error::other("a body has no beginning")
}
