//! A file a message. It is written under another name first: what is called `.eml` is whole.

use super::{Store, create, publish, sync_directory};
use crate::control::view::MessageView;
use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
};

/// `QUEUEID.eml` in a directory.
pub struct Eml {
    directory: PathBuf,
    current: Option<(String, File)>,
}

impl Eml {
    /// Nothing is written yet.
    pub fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            current: None,
        }
    }
}

impl Store for Eml {
    fn begin(&mut self, message: &MessageView) -> anyhow::Result<&mut (dyn Write + Send)> {
        let name = format!("{}.eml", message.queue_id);
        let file = create(&self.directory.join(format!("{name}.part")))?;
        let (_, file) = self.current.insert((name, file));
        Ok(file)
    }

    fn end(&mut self) -> anyhow::Result<()> {
        let Some((name, file)) = self.current.take() else {
            return Ok(());
        };
        file.sync_all()?;
        let temporary = self.directory.join(format!("{name}.part"));
        publish(&temporary, &self.directory.join(&name))
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        Ok(sync_directory(&self.directory)?)
    }
}
