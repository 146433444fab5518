//! MAIL, RCPT and DATA: in one flight where the destination allows it. With BDAT the
//! message follows without an invitation, in the same flight if it is short.

use super::{
    connection::Connection,
    deliver::{Fate, settle},
    reply::{Failure, FailureKind, Phase, Reply},
};

/// The envelope, as commands.
pub(super) struct Commands {
    /// XFORWARD; its reply does not matter.
    pub forward: Option<String>,
    pub mail: String,
    pub rcpts: Vec<String>,
    /// Whether DATA asks for the message; with BDAT nothing does.
    pub data: bool,
}

/// How the envelope fared.
pub(super) enum Talk {
    /// Every command was answered.
    Said(Said),
    /// No answer was had; nothing when the release was stopped.
    Broken(Option<Failure>),
}

#[derive(Default)]
pub(super) struct Said {
    /// For each recipient; nothing yet for those who were accepted.
    pub fates: Vec<Option<Fate>>,
    /// Whether the message may be sent.
    pub go_ahead: bool,
    /// The destination wants the message although it has accepted no recipient.
    pub lone_go_ahead: bool,
    /// It said 421 (RFC 5321 §3.8).
    pub closing: bool,
}

impl Talk {
    fn of(talked: Result<Said, Failure>) -> Self {
        match talked {
            Ok(said) => Self::Said(said),
            Err(failure) => Self::Broken(Some(failure)),
        }
    }
}

impl Commands {
    pub async fn carry_out(&self, connection: &mut Connection) -> Talk {
        if !connection.features.pipelining {
            return Talk::of(self.one_by_one(connection).await);
        }
        match self.take_off(connection).await {
            Ok(ahead) => self.hear(connection, ahead).await,
            Err(failure) => Talk::Broken(Some(failure)),
        }
    }

    /// Reads what is answered to a flight that [took off](Self::take_off).
    pub async fn hear(&self, connection: &mut Connection, ahead: usize) -> Talk {
        Talk::of(self.heard(connection, ahead).await)
    }

    /// RFC 2920 §3.1: DATA is the last command of the group, and all replies are looked
    /// at before the message is sent.
    async fn heard(&self, connection: &mut Connection, ahead: usize) -> Result<Said, Failure> {
        let mut replies = Replies::new(connection, ahead);
        let heard = replies.envelope(self.rcpts.len()).await;
        if let Some(lost) = heard.lost {
            return Err(lost);
        }
        let data = match self.data {
            true => Some(replies.next(Phase::Data).await?),
            false => None,
        };
        let mut said = heard.said(connection);
        match data {
            Some(data) => said.data(connection, data),
            None => said.uninvited(),
        }
        Ok(said)
    }

    /// Sends the flight, and tells how many replies come ahead of that to MAIL.
    pub async fn take_off(&self, connection: &mut Connection) -> Result<usize, Failure> {
        let (flight, ahead) = self.flight(connection);
        let limit = connection.timeouts.mail;
        connection
            .send(Phase::Mail, limit, flight.as_bytes())
            .await?;
        Ok(ahead)
    }

    /// All commands in one piece, and how many replies come ahead of that to MAIL.
    pub fn flight(&self, connection: &mut Connection) -> (String, usize) {
        let reset = std::mem::replace(&mut connection.needs_reset, true);
        connection.used.mails += 1;
        let mut flight = String::from(if reset { "RSET\r\n" } else { "" });
        flight.push_str(self.forward.as_deref().unwrap_or_default());
        flight.push_str(&self.mail);
        self.rcpts.iter().for_each(|line| flight.push_str(line));
        if self.data {
            flight.push_str("DATA\r\n");
        }
        (
            flight,
            usize::from(reset) + usize::from(self.forward.is_some()),
        )
    }

    async fn one_by_one(&self, connection: &mut Connection) -> Result<Said, Failure> {
        let timeouts = connection.timeouts;
        if std::mem::replace(&mut connection.needs_reset, true) {
            connection
                .command(Phase::Mail, timeouts.hello, "RSET\r\n")
                .await?;
        }
        if let Some(forward) = &self.forward {
            connection
                .command(Phase::Mail, timeouts.hello, forward)
                .await?;
        }
        connection.used.mails += 1;
        let mail = connection
            .command(Phase::Mail, timeouts.mail, &self.mail)
            .await?;
        let mut rcpts = Vec::with_capacity(self.rcpts.len());
        let mut last = mail.clone();
        for line in &self.rcpts {
            if mail.is_positive() && last.code != 421 {
                last = connection.command(Phase::Rcpt, timeouts.rcpt, line).await?;
            }
            rcpts.push(last.clone());
        }
        let mut said = Said::new(connection, &mail, &rcpts);
        if !self.data {
            said.uninvited();
        } else if said.fates.iter().any(Option::is_none) && !said.closing {
            let data = connection
                .command(Phase::Data, timeouts.data, "DATA\r\n")
                .await?;
            said.data(connection, data);
        }
        Ok(said)
    }
}

/// What was answered to MAIL and RCPT.
pub(super) struct Heard {
    /// Nothing if the connection was lost before.
    pub mail: Option<Reply>,
    /// To as many of the recipients as were answered.
    pub rcpts: Vec<Reply>,
    /// What ended the connection before all was answered.
    pub lost: Option<Failure>,
}

impl Heard {
    /// What it means for the recipients that were answered.
    pub fn said(&self, connection: &Connection) -> Said {
        match &self.mail {
            Some(mail) => Said::new(connection, mail, &self.rcpts),
            None => Said::default(),
        }
    }

    /// For a message that is on its way already to this many recipients: who was refused
    /// before the connection was lost is refused, and everybody else gets this fate.
    pub fn settled(
        mut self,
        connection: &Connection,
        recipients: usize,
        fate: &Fate,
    ) -> Vec<Option<Fate>> {
        if let Some(refusal) = self.mail.clone().filter(|mail| !mail.is_positive()) {
            self.rcpts.resize(recipients, refusal);
        }
        let mut fates = self.said(connection).fates;
        fates.resize(recipients, None);
        settle(fates, fate)
    }
}

/// Replies to one flight. After a 421 nothing more may come: it then stands for the rest.
pub(super) struct Replies<'a> {
    connection: &'a mut Connection,
    /// Replies that come ahead of that to MAIL: to RSET and XFORWARD.
    ahead: usize,
    farewell: Option<Reply>,
}

impl<'a> Replies<'a> {
    pub fn new(connection: &'a mut Connection, ahead: usize) -> Self {
        Self {
            connection,
            ahead,
            farewell: None,
        }
    }

    /// To MAIL and to so many RCPT.
    pub async fn envelope(&mut self, recipients: usize) -> Heard {
        let mut heard = Heard {
            mail: None,
            rcpts: Vec::with_capacity(recipients),
            lost: None,
        };
        heard.lost = self.hear(&mut heard, recipients).await.err();
        heard
    }

    async fn hear(&mut self, heard: &mut Heard, recipients: usize) -> Result<(), Failure> {
        for _ in 0..self.ahead {
            self.next(Phase::Mail).await?;
        }
        heard.mail = Some(self.next(Phase::Mail).await?);
        for _ in 0..recipients {
            heard.rcpts.push(self.next(Phase::Rcpt).await?);
        }
        Ok(())
    }

    async fn next(&mut self, phase: Phase) -> Result<Reply, Failure> {
        if let Some(farewell) = &self.farewell {
            return Ok(farewell.clone());
        }
        let timeouts = self.connection.timeouts;
        let limit = match phase {
            Phase::Rcpt => timeouts.rcpt,
            Phase::Data => timeouts.data,
            _ => timeouts.mail,
        };
        let reply = self.connection.reply(phase, limit).await?;
        if reply.code == 421 {
            self.farewell = Some(reply.clone());
        }
        Ok(reply)
    }
}

impl Said {
    fn new(connection: &Connection, mail: &Reply, rcpts: &[Reply]) -> Self {
        let failed = |phase, reply: &Reply| {
            let kind = FailureKind::Said(reply.clone());
            Fate::Failed(connection.failure(phase, kind))
        };
        let accepted = mail.is_positive() && rcpts.iter().any(Reply::is_positive);
        let fates = rcpts.iter().map(|reply| match reply {
            _ if !mail.is_positive() => Some(failed(Phase::Mail, mail)),
            reply if reply.is_positive() => None,
            // RFC 5321 §4.5.3.1.10: too many recipients; those go in the next transaction.
            reply if accepted && matches!(reply.code, 452 | 552) => {
                let kind = FailureKind::Said(reply.clone());
                Some(Fate::Back(connection.failure(Phase::Rcpt, kind)))
            }
            reply => Some(failed(Phase::Rcpt, reply)),
        });
        let mut fates = fates.collect();
        let farewell = rcpts.iter().find(|reply| reply.code == 421);
        if let Some(farewell) = farewell {
            // RFC 5321 §3.8: it will not hear more, for those neither that it had accepted.
            fates = settle(fates, &failed(Phase::Rcpt, farewell));
        }
        Self {
            fates,
            go_ahead: false,
            lone_go_ahead: false,
            closing: mail.code == 421 || farewell.is_some(),
        }
    }

    /// With BDAT the message goes as soon as somebody takes it.
    pub fn uninvited(&mut self) {
        self.go_ahead = self.fates.iter().any(Option::is_none);
    }

    fn data(&mut self, connection: &Connection, data: Reply) {
        let accepted = self.fates.iter().any(Option::is_none);
        self.closing |= data.code == 421;
        if data.code == 354 {
            self.go_ahead = accepted;
            // Any dot would be a message to nobody: better hang up.
            self.lone_go_ahead = !accepted;
            return;
        }
        let kind = if data.is_positive() {
            FailureKind::Garbled { text: data.text }
        } else {
            FailureKind::Said(data)
        };
        let fate = Fate::Failed(connection.failure(Phase::Data, kind));
        self.fates = settle(std::mem::take(&mut self.fates), &fate);
    }
}
