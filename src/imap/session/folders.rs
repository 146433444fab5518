//! Folders: what there are, what stands in them, new ones.

use super::Session;
use crate::imap::{
    error::Error,
    folder::{Figures, Folder, Namespaces, Quota, SpecialUse, Status},
    name::Name,
    response::{Listed, Untagged},
};
use std::collections::{BTreeMap, BTreeSet};

impl Session {
    /// NAMESPACE; none where the server has no such thing.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn namespaces(&mut self) -> Result<Namespaces, Error> {
        let mut namespaces = Namespaces::default();
        if self.has("NAMESPACE") {
            let done = self.exchange("NAMESPACE", b"NAMESPACE", |data| {
                if let Untagged::Namespace(all) = data {
                    namespaces = all;
                }
            });
            done.await?;
        }
        Ok(namespaces)
    }

    /// All folders, with their figures, by name: in one round trip where the server can.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn folders(&mut self) -> Result<Vec<Folder>, Error> {
        self.folders_with(Figures::All).await
    }

    /// The same with only these figures.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn folders_with(&mut self, figures: Figures) -> Result<Vec<Folder>, Error> {
        let items = self.status_items(figures);
        let mut found = match self.list_extended(&items).await {
            // Some servers promise more than they keep.
            Ok(None) | Err(Error::No { .. } | Error::Bad { .. }) => self.list_plain().await?,
            Ok(Some(found)) => found,
            Err(error) => return Err(error),
        };
        let lacking: Vec<Name> = (found.values())
            .filter(|folder| folder.is_selectable() && folder.status.is_none())
            .map(|folder| folder.name.clone())
            .collect();
        let statuses = self.statuses_with(&lacking, &items).await?;
        for (name, status) in lacking.into_iter().zip(statuses) {
            if let Some(folder) = found.get_mut(&name) {
                folder.status = status.ok();
            }
        }
        Ok(found.into_values().collect())
    }

    /// STATUS of these, in the same order, without waiting in between. A refusal is that
    /// folder's alone.
    ///
    /// # Errors
    /// [`Error`]s that end the session.
    pub async fn statuses(&mut self, names: &[Name]) -> Result<Vec<Result<Status, Error>>, Error> {
        self.statuses_with(names, &self.status_items(Figures::All))
            .await
    }

    async fn statuses_with(
        &mut self,
        names: &[Name],
        items: &str,
    ) -> Result<Vec<Result<Status, Error>>, Error> {
        const COMMAND: &str = "STATUS";
        let line = |name| {
            let quoted = self.quoted(COMMAND, name)?;
            Ok([b"STATUS ", &quoted[..], b" ", items.as_bytes()].concat())
        };
        let lines = names.iter().map(line).collect();
        let mut told: BTreeMap<Name, Status> = BTreeMap::new();
        let results = self.each(COMMAND, lines, |data| {
            if let Untagged::Status(name, status) = data {
                told.insert(name, status);
            }
        });
        let results = results.await?.into_iter();
        let statuses = results.zip(names).map(|(result, name)| {
            result.and_then(|_| {
                told.get(name).copied().ok_or_else(|| Error::No {
                    command: COMMAND,
                    text: format!("OK without figures of {name}"),
                    code: None,
                })
            })
        });
        Ok(statuses.collect())
    }

    /// CREATE.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn create(&mut self, name: &Name) -> Result<(), Error> {
        self.on_folder("CREATE", name, |_| ()).await
    }

    /// SUBSCRIBE.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn subscribe(&mut self, name: &Name) -> Result<(), Error> {
        self.on_folder("SUBSCRIBE", name, |_| ()).await
    }

    /// GETQUOTAROOT: what applies to this folder; empty where there are no quotas.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn quota(&mut self, name: &Name) -> Result<Vec<Quota>, Error> {
        let mut quotas = Vec::new();
        if self.has("QUOTA") {
            self.on_folder("GETQUOTAROOT", name, |data| {
                if let Untagged::Quota(more) = data {
                    quotas.extend(more);
                }
            })
            .await?;
        }
        Ok(quotas)
    }

    async fn on_folder(
        &mut self,
        command: &'static str,
        name: &Name,
        on: impl FnMut(Untagged),
    ) -> Result<(), Error> {
        let line = [command.as_bytes(), b" ", &self.quoted(command, name)?].concat();
        self.exchange(command, &line, on).await.map(drop)
    }

    /// LIST with everything at once (RFC 5258, RFC 5819); nothing where the server cannot.
    async fn list_extended(
        &mut self,
        items: &str,
    ) -> Result<Option<BTreeMap<Name, Folder>>, Error> {
        if !self.has("LIST-EXTENDED") {
            return Ok(None);
        }
        let mut options = vec!["SUBSCRIBED".to_owned()];
        if self.has("SPECIAL-USE") {
            options.push("SPECIAL-USE".into());
        }
        if self.has("LIST-STATUS") {
            options.push(format!("STATUS {items}"));
        }
        let line = format!("LIST \"\" \"*\" RETURN ({})", options.join(" "));
        let (mut found, mut figures) = (BTreeMap::new(), Vec::new());
        let done = self.exchange("LIST", line.as_bytes(), |data| match data {
            Untagged::List(listed) => add(&mut found, listed),
            Untagged::Status(name, status) => figures.push((name, status)),
            _ => {}
        });
        done.await?;
        for (name, status) in figures {
            if let Some(folder) = found.get_mut(&name) {
                folder.status = Some(status);
            }
        }
        Ok(Some(found))
    }

    async fn list_plain(&mut self) -> Result<BTreeMap<Name, Folder>, Error> {
        let (mut found, mut subscribed) = (BTreeMap::new(), BTreeSet::new());
        let done = self.exchange("LIST", b"LIST \"\" \"*\"", |data| {
            if let Untagged::List(listed) = data {
                add(&mut found, listed);
            }
        });
        done.await?;
        let done = self.exchange("LSUB", b"LSUB \"\" \"*\"", |data| {
            if let Untagged::Lsub(listed) = data {
                subscribed.insert(listed.name);
            }
        });
        done.await?;
        for name in subscribed {
            if let Some(folder) = found.get_mut(&name) {
                folder.subscribed = true;
            }
        }
        Ok(found)
    }

    fn status_items(&self, figures: Figures) -> String {
        if figures == Figures::Validity {
            return "(UIDVALIDITY UIDNEXT)".into();
        }
        let mut items = "(MESSAGES UIDNEXT UIDVALIDITY".to_owned();
        if self.has("CONDSTORE") || self.has("QRESYNC") {
            items.push_str(" HIGHESTMODSEQ");
        }
        if self.has("STATUS=SIZE") {
            items.push_str(" SIZE");
        }
        items.push(')');
        items
    }
}

/// Some servers list a folder twice: as part of names, and as itself.
fn add(found: &mut BTreeMap<Name, Folder>, listed: Listed) {
    let Listed {
        attributes,
        separator,
        name,
    } = listed;
    let is =
        |wanted: &str| (attributes.iter()).any(|attribute| attribute.eq_ignore_ascii_case(wanted));
    let folder = Folder {
        name: name.clone(),
        separator,
        special_use: attributes.iter().find_map(|name| SpecialUse::of(name)),
        subscribed: is("\\Subscribed"),
        status: None,
        attributes: attributes.clone(),
    };
    match found.get(&name) {
        Some(known) if known.is_selectable() => {}
        _ => {
            found.insert(name, folder);
        }
    }
}
