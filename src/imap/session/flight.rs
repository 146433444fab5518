//! Many commands without waiting in between.

use super::{NOOP_EVERY, Session};
use crate::imap::{
    error::Error,
    name::Name,
    response::{Condition, Untagged},
    wire::refused,
};
use std::collections::HashMap;

/// Commands in flight.
const PIPELINE: usize = 64;

impl Session {
    /// CREATE of each, with one result for each, in their order.
    ///
    /// # Errors
    /// [`Error`]s that end the session.
    pub async fn create_all(&mut self, names: &[Name]) -> Result<Vec<Result<(), Error>>, Error> {
        self.on_folders("CREATE", names).await
    }

    /// SUBSCRIBE to each, with one result for each, in their order.
    ///
    /// # Errors
    /// [`Error`]s that end the session.
    pub async fn subscribe_all(&mut self, names: &[Name]) -> Result<Vec<Result<(), Error>>, Error> {
        self.on_folders("SUBSCRIBE", names).await
    }

    async fn on_folders(
        &mut self,
        command: &'static str,
        names: &[Name],
    ) -> Result<Vec<Result<(), Error>>, Error> {
        let line = |name| {
            let quoted = self.quoted(command, name)?;
            Ok([command.as_bytes(), b" ", &quoted].concat())
        };
        let lines = names.iter().map(line).collect();
        let results = self.each(command, lines, |_| ()).await?;
        Ok(results.into_iter().map(|result| result.map(drop)).collect())
    }

    /// The same command many times. A refusal is that command's alone; what is told in between
    /// goes to `on`.
    pub(super) async fn each(
        &mut self,
        command: &'static str,
        lines: Vec<Result<Vec<u8>, Error>>,
        mut on: impl FnMut(Untagged),
    ) -> Result<Vec<Result<Condition, Error>>, Error> {
        if lines.is_empty() {
            return Ok(Vec::new());
        }
        self.calm(command).await?;
        let unanswered = || Error::Lost {
            during: command,
            detail: "no reply".into(),
        };
        let mut results: Vec<Result<Condition, Error>> = Vec::with_capacity(lines.len());
        let mut flying: HashMap<u64, usize> = HashMap::new();
        let mut left = lines.into_iter().enumerate();
        loop {
            while self.wire.open() < PIPELINE
                && let Some((place, line)) = left.next()
            {
                results.push(match line {
                    Ok(line) => {
                        flying.insert(self.wire.command(&line), place);
                        Err(unanswered())
                    }
                    Err(error) => Err(error),
                });
                if place % NOOP_EVERY == NOOP_EVERY - 1 {
                    self.wire.command(b"NOOP");
                }
            }
            if self.wire.open() == 0 {
                return Ok(results);
            }
            self.wire.flush().await?;
            let (tag, condition) = self.until_done(&mut on).await?;
            if let Some(place) = flying.remove(&tag)
                && let Some(result) = results.get_mut(place)
            {
                *result = refused(command, condition);
            }
        }
    }

    /// Different commands in one flight: all they are told, and whether each was taken, in their
    /// order.
    pub(super) async fn together(
        &mut self,
        command: &'static str,
        lines: [String; 3],
        mut on: impl FnMut(Untagged),
    ) -> Result<[Result<(), Error>; 3], Error> {
        self.calm(command).await?;
        let tags = lines.map(|line| self.wire.command(line.as_bytes()));
        self.wire.flush().await?;
        let mut results = [Ok(()), Ok(()), Ok(())];
        while self.wire.open() > 0 {
            let (tag, condition) = self.until_done(&mut on).await?;
            let of_it = |(known, _): &(&u64, _)| **known == tag;
            if let Some((_, result)) = tags.iter().zip(&mut results).find(of_it) {
                *result = refused(command, condition).map(drop);
            }
        }
        Ok(results)
    }
}
