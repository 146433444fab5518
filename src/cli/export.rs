//! `relay export`: the mail as files, each message once, its exact bytes.
//!
//! - `eml`: `QUEUEID.eml`, the bytes as received.
//! - `maildir`: a maildir, each message in `new/`, the bytes as received.
//! - `mbox`: `relay.mbox` in the mboxrd form: a `From ` line in front of each message, a `>`
//!   in front of each line of it that begins with `>`s and `From `, an empty line behind
//!   it, and a line end where its last line has none.
//!
//! `envelopes.jsonl` beside them keeps what the bytes do not tell: senders, recipients
//! and states, a line a message as `relay list --json` prints it. Nothing is overwritten,
//! and everything is on stable storage when the command ends.

mod eml;
mod maildir;
mod mbox;

use super::{Context, Exit, exit::Code, human, source::Source};
use crate::{
    config::Config,
    control::{Filter, view::MessageView},
    mail::QueueId,
};
use anyhow::Context as _;
use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    time::Duration,
};

/// Which messages, and into what.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Only messages with a delivery of this domain that is not finished [default: all].
    #[arg(long, value_name = "D")]
    domain: Option<String>,
    /// What to make of them.
    #[arg(long)]
    format: Format,
    /// The directory to write to; made if it is missing.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum Format {
    Eml,
    Mbox,
    Maildir,
}

/// Where messages are written to.
trait Store {
    /// The file for the next message, open and empty, or the place in a common one.
    fn begin(&mut self, message: &MessageView) -> anyhow::Result<&mut (dyn Write + Send)>;

    /// All of the message was written: make it durable and visible.
    fn end(&mut self) -> anyhow::Result<()>;

    /// All messages were written.
    fn finish(&mut self) -> anyhow::Result<()>;
}

/// # Errors
/// An unknown domain, files that are there already or cannot be written, bytes that are
/// damaged; those of the daemon or the spool. What was written until then stays.
pub async fn run(context: &Context, arguments: Arguments) -> anyhow::Result<()> {
    let source = Source::open(context).await?;
    let directory = &arguments.to;
    fs::create_dir_all(directory).map_err(|error| cannot_create(directory, &error))?;
    let mut store: Box<dyn Store> = match arguments.format {
        Format::Eml => Box::new(eml::Eml::new(directory)),
        Format::Maildir => Box::new(maildir::Maildir::new(directory, &hostname(context))?),
        Format::Mbox => Box::new(mbox::Mbox::new(directory)?),
    };
    let mut envelopes = BufWriter::new(create(&directory.join("envelopes.jsonl"))?);
    let filter = Filter {
        domain: arguments.domain,
        ..Filter::default()
    };
    let exported = export(&source, filter, &mut *store, &mut envelopes).await?;
    store.finish()?;
    envelopes
        .into_inner()
        .map_err(|error| anyhow::Error::from(error.into_error()))?
        .sync_all()?;
    sync_directory(directory)?;
    if context.screen.json {
        return context.screen.json(&serde_json::json!({
            "messages": exported.messages,
            "bytes": exported.bytes,
            "to": directory,
        }));
    }
    let text = format!(
        "{} ({}) written to {}",
        human::counted(exported.messages, "message", "messages"),
        human::size(exported.bytes),
        directory.display()
    );
    Ok(context.screen.line(&text)?)
}

struct Exported {
    messages: u64,
    bytes: u64,
}

/// A page of the listing at a time: the spool is read for bodies between them.
async fn export(
    source: &Source,
    filter: Filter,
    store: &mut dyn Store,
    envelopes: &mut (dyn Write + Send),
) -> anyhow::Result<Exported> {
    const PAGE: u64 = 100;
    let spinner = ProgressBar::new_spinner();
    spinner.enable_steady_tick(Duration::from_millis(200));
    let mut done = Exported {
        messages: 0,
        bytes: 0,
    };
    let mut after = None;
    loop {
        let filter = Filter {
            limit: Some(PAGE),
            after: after.take(),
            ..filter.clone()
        };
        let mut page = Vec::new();
        let mut take = |message| {
            page.push(message);
            Ok(())
        };
        source.list(filter, &mut take).await?;
        for message in &page {
            let id: QueueId = message.queue_id.parse()?;
            let out = store.begin(message)?;
            source
                .raw(id, out)
                .await
                .with_context(|| format!("message {id}"))?;
            store.end()?;
            serde_json::to_writer(&mut *envelopes, message)?;
            envelopes.write_all(b"\n")?;
            done.messages += 1;
            done.bytes += message.message_size;
            spinner.set_message(human::counted(done.messages, "message", "messages"));
        }
        match page.pop() {
            Some(last) => after = Some(last.queue_id),
            None => break,
        }
    }
    spinner.finish_and_clear();
    Ok(done)
}

/// Ours in the configuration; with `--socket` there may be none to read.
fn hostname(context: &Context) -> String {
    let configured = context.config().map(|Config { hostname, .. }| hostname);
    configured.unwrap_or_else(|_| "localhost".into())
}

/// A new file; one that is there is never touched.
fn create(path: &Path) -> Result<File, Exit> {
    File::create_new(path).map_err(|error| cannot_create(path, &error))
}

fn cannot_create(path: &Path, error: &std::io::Error) -> Exit {
    let hint = match error.kind() {
        std::io::ErrorKind::AlreadyExists => "; nothing is overwritten, name an empty directory",
        _ => "",
    };
    let text = format!("cannot create {}: {error}{hint}", path.display());
    Exit::new(Code::CannotCreate, text)
}

/// Gives a finished file its name. A rename would replace what has that name already.
fn publish(temporary: &Path, visible: &Path) -> anyhow::Result<()> {
    fs::hard_link(temporary, visible).map_err(|error| cannot_create(visible, &error))?;
    Ok(fs::remove_file(temporary)?)
}

/// Makes the names in a directory durable.
fn sync_directory(path: &Path) -> std::io::Result<()> {
    File::open(path)?.sync_all()
}
