//! What copying an account would do, without doing it.

use super::{
    account::{Mover, extent, renamed},
    accounts::Account,
    copy::CopyError,
    folders::{NotCopied, Pair},
    forecast::{Forecast, Taste, forecast},
    state::{At, StateError},
    target::is_full,
};
use crate::imap::{Error, Name, Session};

/// What copying an account would do.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Preview {
    /// The account.
    pub name: String,
    /// Folders that would be copied.
    pub folders: u64,
    /// Messages in them.
    pub messages: u64,
    /// Their bytes, where the source tells (STATUS=SIZE, RFC 8438).
    pub bytes: Option<u64>,
    /// Folders that would have another name at the target.
    pub renamed: Vec<(String, String)>,
    /// Folders that would not be copied.
    pub left: Vec<NotCopied>,
    /// What the target will make of the messages, where each was looked at.
    pub forecast: Option<Forecast>,
    /// What a person has to see to before.
    pub in_the_way: Vec<Obstacle>,
}

/// How closely it is looked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Depth {
    /// At the folders' figures: a few commands.
    Folders,
    /// At each message but for its body, and at the bodies of a few.
    Messages,
}

/// Something in the way of copying.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Obstacle {
    /// The target has no room for it all.
    #[error("the target's quota: {used} of {limit} {resource} are used")]
    Quota {
        /// `STORAGE` or `MESSAGE` (RFC 9208).
        resource: String,
        /// So much is there already.
        used: u64,
        /// And so much may be.
        limit: u64,
    },
    /// Anything else, in words.
    #[error("{why}")]
    Other {
        /// The words.
        why: String,
    },
}

impl From<String> for Obstacle {
    fn from(why: String) -> Self {
        Self::Other { why }
    }
}

impl Preview {
    /// How much is in the way.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.in_the_way.len() as u64
    }
}

impl Mover {
    /// Logs in at both sides, lists and maps, and looks at the quota. Changes nothing.
    pub async fn preview(&self, account: &Account, depth: Depth) -> Preview {
        let mut preview = Preview {
            name: account.name().to_owned(),
            ..Preview::default()
        };
        match self.connect(account).await {
            Ok((mut source, mut target)) => {
                let looked = self
                    .look((&mut source, &mut target), depth, account, &mut preview)
                    .await;
                if let Err(failure) = looked {
                    preview.in_the_way.push(failure.to_string().into());
                }
                let _ = tokio::join!(source.logout(), target.logout());
            }
            Err(stop) => preview.in_the_way.push(stop.why().to_string().into()),
        }
        preview
    }

    async fn look(
        &self,
        (source, target): (&mut Session, &mut Session),
        depth: Depth,
        account: &Account,
        preview: &mut Preview,
    ) -> Result<(), CopyError> {
        let (pairs, left, names) = self.list(source, target, account).await?;
        preview.left = left;
        preview.renamed = renamed(&pairs);
        let whole = extent(&pairs);
        (preview.folders, preview.messages) = (whole.folders, whole.messages);
        preview.bytes = (pairs.iter())
            .map(|pair| pair.source.status.and_then(|status| status.size))
            .sum();
        for pair in pairs.iter().filter(|pair| pair.standing().is_none()) {
            let folder = pair.source_shown();
            let why = "the source does not tell how it stands (STATUS)";
            preview.in_the_way.push(format!("{folder}: {why}").into());
        }
        let mut there = 0;
        if depth == Depth::Messages {
            let taste = Taste::of(target, names).await?;
            let forecast = forecast(source, &pairs, &taste).await?;
            preview.bytes = Some(forecast.bytes);
            preview.forecast = Some(forecast);
            match self.copied_bytes(account, &pairs) {
                Ok(bytes) => there = bytes,
                Err(error) => preview.in_the_way.push(error.to_string().into()),
            }
        }
        match target.quota(&Name::from_raw(b"INBOX")).await {
            Ok(quotas) => {
                let bytes = preview.bytes.unwrap_or_default().saturating_sub(there);
                for quota in quotas.iter().filter(|quota| is_full(quota, bytes)) {
                    preview.in_the_way.push(Obstacle::Quota {
                        resource: quota.resource.clone(),
                        used: quota.usage,
                        limit: quota.limit,
                    });
                }
            }
            Err(error @ (Error::No { .. } | Error::Bad { .. })) => {
                preview.in_the_way.push(format!("target: {error}").into());
            }
            Err(error) => return Err(super::target::failure(&error).into()),
        }
        Ok(())
    }

    /// What earlier passes have copied, which is in the target's quota already.
    fn copied_bytes(&self, account: &Account, pairs: &[Pair]) -> Result<u64, StateError> {
        let mut bytes = 0;
        for pair in pairs {
            let at = At {
                account: account.name(),
                folder: pair.source.name.raw(),
            };
            self.state.messages(at, |_, record| {
                bytes += record.outcome.copy().map_or(0, |_| record.size);
            })?;
        }
        Ok(bytes)
    }
}
