//! APPEND.

use super::{NOOP_EVERY, Session};
use crate::imap::{
    append::AppendWay,
    code::Code,
    error::Error,
    message::{Append, Appended, BodySource},
    name::Name,
    response::Condition,
    wire::{Said, refused},
};
use std::collections::{HashMap, VecDeque};

const COMMAND: &str = "APPEND";
/// The largest literal of LITERAL- (RFC 7888 §5) that need not wait, in bytes.
const LITERAL_MINUS_BYTES: u64 = 4096;

impl Session {
    /// The quickest way that this server has.
    #[must_use]
    pub fn append_way(&self) -> AppendWay {
        if self.has("MULTIAPPEND") {
            AppendWay::Multi
        } else if self.has("LITERAL+") || self.has("LITERAL-") {
            AppendWay::Pipelined
        } else {
            AppendWay::OneByOne
        }
    }

    /// Appends by [`Session::append_way`].
    pub async fn append<B: BodySource>(
        &mut self,
        folder: &Name,
        batch: Vec<Append<B>>,
    ) -> Vec<Result<Appended, Error>> {
        self.append_by(self.append_way(), folder, batch).await
    }

    /// Appends these, with one result for each, in their order.
    ///
    /// A refusal in [`AppendWay::Multi`] is that of each: none of them was taken.
    /// [`Error::Unsendable`] is that of one message, which was left out. An error that ends
    /// the session leaves those that have it in doubt.
    pub async fn append_by<B: BodySource>(
        &mut self,
        way: AppendWay,
        folder: &Name,
        batch: Vec<Append<B>>,
    ) -> Vec<Result<Appended, Error>> {
        let mut results = Results(vec![None; batch.len()]);
        let done = match way {
            AppendWay::Multi => self.append_together(folder, batch, &mut results).await,
            AppendWay::Pipelined => {
                let depth = self.limits.pipeline_commands.max(1);
                self.append_each(folder, batch, depth, &mut results).await
            }
            AppendWay::OneByOne => self.append_each(folder, batch, 1, &mut results).await,
        };
        let rest = done.err().unwrap_or_else(|| Error::Lost {
            during: COMMAND,
            detail: "no reply".into(),
        });
        (results.0.into_iter())
            .map(|result| result.unwrap_or_else(|| Err(rest.clone())))
            .collect()
    }

    async fn append_each<B: BodySource>(
        &mut self,
        folder: &Name,
        batch: Vec<Append<B>>,
        depth: usize,
        results: &mut Results,
    ) -> Result<(), Error> {
        let folder = self.quoted(COMMAND, folder)?;
        self.calm(COMMAND).await?;
        let mut flying = Flying::default();
        for (place, mut message) in batch.into_iter().enumerate() {
            let (head, literal) = match self.head(&message) {
                Ok(head) => head,
                Err(error) => {
                    results.set(place, Err(error));
                    continue;
                }
            };
            while flying.is_full(depth, message.size, self.limits.pipeline_bytes) {
                self.wire.flush().await?;
                self.settle(&mut flying, results).await?;
            }
            let tag = self.wire.tag();
            self.wire.put(b"APPEND ");
            self.wire.put(&folder);
            self.wire.put(head.as_bytes());
            flying.add(tag, place, message.size);
            if literal == Literal::Waits && !self.may_go_on(tag, &mut flying, results).await? {
                continue;
            }
            self.send_body(&mut message).await?;
            self.wire.put(b"\r\n");
            if depth > 1 && place % NOOP_EVERY == NOOP_EVERY - 1 {
                self.wire.command(b"NOOP");
            }
        }
        while self.wire.open() > 0 {
            self.wire.flush().await?;
            self.settle(&mut flying, results).await?;
        }
        Ok(())
    }

    /// RFC 3502.
    async fn append_together<B: BodySource>(
        &mut self,
        folder: &Name,
        batch: Vec<Append<B>>,
        results: &mut Results,
    ) -> Result<(), Error> {
        let folder = self.quoted(COMMAND, folder)?;
        self.calm(COMMAND).await?;
        let (mut heads, mut bodies) = (Vec::new(), Vec::new());
        for (place, message) in batch.into_iter().enumerate() {
            match self.head(&message) {
                Ok(head) => {
                    heads.push(head);
                    bodies.push((place, message));
                }
                Err(error) => results.set(place, Err(error)),
            }
        }
        if bodies.is_empty() {
            return Ok(());
        }
        let places: Vec<usize> = bodies.iter().map(|(place, _)| *place).collect();
        self.wire.tag();
        self.wire.put(b"APPEND ");
        self.wire.put(&folder);
        for ((head, literal), (_, mut message)) in heads.into_iter().zip(bodies) {
            self.wire.put(head.as_bytes());
            if literal == Literal::Waits
                && let Some(condition) = self.wait_to_go_on().await?
            {
                return match refused(COMMAND, condition) {
                    Err(error) => {
                        results.set_all(&places, &Err(error));
                        Ok(())
                    }
                    Ok(_) => Err(self.wire.protocol("OK before the end of APPEND")),
                };
            }
            self.send_body(&mut message).await?;
        }
        self.wire.put(b"\r\n");
        self.wire.flush().await?;
        let (_, condition) = self.until_done(&mut |_| ()).await?;
        match refused(COMMAND, condition) {
            Ok(condition) => {
                for (place, uid) in places.iter().zip(appended(&condition, places.len())) {
                    results.set(*place, Ok(uid));
                }
            }
            Err(error) => results.set_all(&places, &Err(error)),
        }
        Ok(())
    }

    /// Flags, date and literal of a message.
    fn head<B>(&self, message: &Append<B>) -> Result<(String, Literal), Error> {
        let unsendable = |text: String| Error::Unsendable {
            command: COMMAND,
            text,
        };
        if let Some(limit) = self.capabilities.append_limit()
            && message.size > limit
        {
            return Err(unsendable(format!(
                "{} bytes, of which the server takes {limit}",
                message.size
            )));
        }
        let mut head = format!(" {}", self.flag_list(COMMAND, &message.flags)?);
        if let Some(date) = &message.internaldate {
            if !is_date(date) {
                return Err(unsendable(format!("{date:?} is no date")));
            }
            head.push_str(&format!(" \"{date}\""));
        }
        let literal = self.literal(message.size);
        let plus = match literal {
            Literal::Waits => "",
            Literal::GoesOn => "+",
        };
        head.push_str(&format!(" {{{}{plus}}}\r\n", message.size));
        Ok((head, literal))
    }

    fn literal(&self, bytes: u64) -> Literal {
        if self.has("LITERAL+") || (self.has("LITERAL-") && bytes <= LITERAL_MINUS_BYTES) {
            Literal::GoesOn
        } else {
            Literal::Waits
        }
    }

    /// The bytes of a message, exactly as many as were announced.
    async fn send_body<B: BodySource>(&mut self, message: &mut Append<B>) -> Result<(), Error> {
        let mut left = message.size;
        let local = |detail: String| Error::Local {
            during: COMMAND,
            detail,
        };
        loop {
            match message.body.chunk().await {
                Ok(Some(bytes)) => match left.checked_sub(bytes.len() as u64) {
                    Some(less) => {
                        left = less;
                        self.wire.put_body(&bytes).await?;
                    }
                    None => {
                        let text = format!("a body of more than its {} bytes", message.size);
                        return Err(self.wire.broke(local(text)));
                    }
                },
                Ok(None) if left == 0 => return Ok(()),
                Ok(None) => {
                    let text = format!("a body {left} bytes short of its {}", message.size);
                    return Err(self.wire.broke(local(text)));
                }
                Err(error) => return Err(self.wire.broke(local(error.to_string()))),
            }
        }
    }

    /// Whether the server asked for the literal of this command; it may have refused it.
    async fn may_go_on(
        &mut self,
        tag: u64,
        flying: &mut Flying,
        results: &mut Results,
    ) -> Result<bool, Error> {
        self.wire.flush().await?;
        loop {
            match self.wire.said().await? {
                // Literals are asked for in order: this one only when all before are done.
                Said::Continue if self.wire.oldest() == Some(tag) => return Ok(true),
                Said::Continue => return Err(self.wire.protocol("`+` before its turn")),
                Said::Done(done, condition) => {
                    self.count(&condition);
                    if done == tag && refused(COMMAND, condition.clone()).is_ok() {
                        return Err(self.wire.protocol("OK before the end of APPEND"));
                    }
                    flying.settle(done, condition, results);
                    if done == tag {
                        return Ok(false);
                    }
                }
                Said::Untagged(_) | Said::Body(_) | Said::Chunk(_) => {}
            }
        }
    }

    /// Nothing: go on; else the reply that came instead.
    async fn wait_to_go_on(&mut self) -> Result<Option<Condition>, Error> {
        self.wire.flush().await?;
        loop {
            match self.wire.said().await? {
                Said::Continue => return Ok(None),
                Said::Done(_, condition) => {
                    self.count(&condition);
                    return Ok(Some(condition));
                }
                Said::Untagged(_) | Said::Body(_) | Said::Chunk(_) => {}
            }
        }
    }

    async fn settle(&mut self, flying: &mut Flying, results: &mut Results) -> Result<(), Error> {
        let (tag, condition) = self.until_done(&mut |_| ()).await?;
        flying.settle(tag, condition, results);
        Ok(())
    }
}

/// Whether the server must ask for a literal first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Literal {
    Waits,
    GoesOn,
}

/// What became of each message.
struct Results(Vec<Option<Result<Appended, Error>>>);

impl Results {
    fn set(&mut self, place: usize, result: Result<Appended, Error>) {
        if let Some(slot) = self.0.get_mut(place) {
            *slot = Some(result);
        }
    }

    fn set_all(&mut self, places: &[usize], result: &Result<Appended, Error>) {
        for place in places {
            self.set(*place, result.clone());
        }
    }
}

/// Commands without their reply.
#[derive(Default)]
struct Flying {
    places: HashMap<u64, (usize, u64)>,
    bytes: u64,
}

impl Flying {
    fn is_full(&self, depth: usize, more: u64, bytes_max: u64) -> bool {
        let is_too_much = self.bytes.saturating_add(more) > bytes_max;
        !self.places.is_empty() && (self.places.len() >= depth || is_too_much)
    }

    fn add(&mut self, tag: u64, place: usize, bytes: u64) {
        self.places.insert(tag, (place, bytes));
        self.bytes += bytes;
    }

    fn settle(&mut self, tag: u64, condition: Condition, results: &mut Results) {
        let Some((place, bytes)) = self.places.remove(&tag) else {
            return;
        };
        self.bytes -= bytes;
        let result = refused(COMMAND, condition).map(|condition| {
            let mut uids = appended(&condition, 1);
            uids.pop_front().unwrap_or(UNKNOWN)
        });
        results.set(place, result);
    }
}

const UNKNOWN: Appended = Appended {
    uid: None,
    uidvalidity: None,
};

/// The UIDs of so many messages, from the code of their OK. A count that differs would
/// give a message another's UID: then none is known.
fn appended(condition: &Condition, messages: usize) -> VecDeque<Appended> {
    if let Some(Code::AppendUid { uidvalidity, uids }) = &condition.code
        && uids.len() == messages as u64
    {
        // RFC 4315 §3: assigned in strictly ascending order.
        let known = |uid| Appended {
            uid: Some(uid),
            uidvalidity: Some(*uidvalidity),
        };
        return uids.iter().map(known).collect();
    }
    vec![UNKNOWN; messages].into()
}

/// RFC 9051 §9 date-time, as ` 1-Jan-2026 00:00:00 +0000`: by its shape.
fn is_date(text: &str) -> bool {
    const SHAPE: &[u8] = b"d0-aaa-0000 00:00:00 s0000";
    text.len() == SHAPE.len()
        && text.bytes().zip(SHAPE).all(|(byte, shape)| match shape {
            b'0' => byte.is_ascii_digit(),
            b'd' => byte.is_ascii_digit() || byte == b' ',
            b'a' => byte.is_ascii_alphabetic(),
            b's' => b"+-".contains(&byte),
            fixed => byte == *fixed,
        })
}
