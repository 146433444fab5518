//! A maildir: written in `tmp`, synced, then linked into `new`, so that a reader sees
//! whole messages only.

use super::{Store, cannot_create, create, publish, sync_directory};
use crate::control::view::MessageView;
use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

/// A maildir; an existing one gains the messages.
pub struct Maildir {
    directory: PathBuf,
    hostname: String,
    current: Option<(String, File)>,
}

impl Maildir {
    /// Makes `cur`, `new` and `tmp`.
    pub fn new(directory: &Path, hostname: &str) -> anyhow::Result<Self> {
        for sub in ["cur", "new", "tmp"] {
            let sub = directory.join(sub);
            fs::create_dir_all(&sub).map_err(|error| cannot_create(&sub, &error))?;
        }
        Ok(Self {
            directory: directory.to_owned(),
            // As maildir(5) asks of a host's name in a file's.
            hostname: hostname.replace('/', "\\057").replace(':', "\\072"),
            current: None,
        })
    }
}

impl Store for Maildir {
    fn begin(&mut self, message: &MessageView) -> anyhow::Result<&mut (dyn Write + Send)> {
        // Unique, since a queue id is; in the order of arrival, since the time comes first.
        let name = format!(
            "{}.Q{}.{},S={}",
            message.arrival_time, message.queue_id, self.hostname, message.message_size
        );
        let file = create(&self.directory.join("tmp").join(&name))?;
        let (_, file) = self.current.insert((name, file));
        Ok(file)
    }

    fn end(&mut self) -> anyhow::Result<()> {
        let Some((name, file)) = self.current.take() else {
            return Ok(());
        };
        file.sync_all()?;
        let temporary = self.directory.join("tmp").join(&name);
        publish(&temporary, &self.directory.join("new").join(&name))
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        Ok(sync_directory(&self.directory.join("new"))?)
    }
}
