//! `relay report`: the account of the whole cutover, from the daemon or from the spool itself;
//! and the check of an earlier one.

mod checking;
mod html;
mod text;

use super::{Context, Exit, exit::Code, human, source::Source};
use crate::{
    control::view::LogLine,
    ledger::{Moved, Verified},
    mover::account::now_ms,
    report::{
        gather::{Beside, Gather},
        model::Report,
    },
};
use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

/// How, and where to.
#[derive(Args, Debug, Default)]
pub struct Arguments {
    /// What to write [default: what --to ends with, else text].
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    /// A file in the place of standard output.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Check an earlier report: its chain in itself, and that the spool still has all of it.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["format", "to"])]
    check: Option<PathBuf>,
}

/// What a report is written as.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// One page, with nothing from outside.
    Html,
    /// One document.
    Json,
    /// For a terminal.
    Text,
}

impl Arguments {
    /// Into this file, in the format that its name ends with.
    pub fn into_file(to: PathBuf) -> Self {
        Self {
            to: Some(to),
            ..Self::default()
        }
    }

    fn format(&self, json: bool) -> Format {
        let ending = self.to.as_ref().and_then(|to| to.extension());
        match (self.format, ending.and_then(|ending| ending.to_str())) {
            (Some(format), _) => format,
            (None, Some("html" | "htm")) => Format::Html,
            (None, Some("json")) => Format::Json,
            _ if json => Format::Json,
            _ => Format::Text,
        }
    }
}

/// # Errors
/// Those of the configuration, the daemon or the spool, and of the file; a check that finds
/// something (65).
pub async fn run(context: &Context, arguments: Arguments) -> anyhow::Result<()> {
    if let Some(file) = &arguments.check {
        return checking::run(context, file).await;
    }
    let report = gather(context).await?;
    let written = write(&report, arguments.format(context.screen.json))?;
    match &arguments.to {
        Some(to) => keep(to, &written),
        None => {
            let mut out = std::io::stdout().lock();
            Ok(out.write_all(written.as_bytes())?)
        }
    }
}

/// The report in one of its forms.
///
/// # Errors
/// None but a fault of our own.
pub fn write(report: &Report, format: Format) -> anyhow::Result<String> {
    Ok(match format {
        Format::Html => html::page(report)?,
        Format::Json => serde_json::to_string_pretty(report)? + "\n",
        Format::Text => text::page(report),
    })
}

/// Puts it into a file, which then has all of it or what it had.
///
/// # Errors
/// 73: the file cannot be made.
pub fn keep(to: &Path, written: &str) -> anyhow::Result<()> {
    let put = || -> std::io::Result<()> {
        let directory = to.parent().filter(|parent| !parent.as_os_str().is_empty());
        let mut new = tempfile::NamedTempFile::new_in(directory.unwrap_or(Path::new(".")))?;
        new.write_all(written.as_bytes())?;
        new.as_file().sync_all()?;
        // Its owner alone may read a temporary file; a report is made to be shown.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        fs::set_permissions(new.path(), mode)?;
        new.persist(to)?;
        Ok(())
    };
    put().map_err(|error| {
        let text = format!("{}: {error}", to.display());
        Exit::new(Code::CannotCreate, text).into()
    })
}

/// Makes the report of this moment.
///
/// # Errors
/// Those of the configuration, the daemon or the spool.
pub async fn gather(context: &Context) -> anyhow::Result<Report> {
    let config = context.config()?;
    let source = Source::open(context).await?;
    let mut gather: Option<Gather> = None;
    {
        // Draws on a terminal only.
        let spinner = ProgressBar::new_spinner();
        spinner.enable_steady_tick(Duration::from_millis(200));
        let mut messages = 0;
        let mut take = |line: LogLine| {
            match (line, &mut gather) {
                (LogLine::Begin { next_event }, none) => *none = Some(Gather::new(next_event)),
                (LogLine::Message(logged), Some(gather)) => gather.message(&logged),
                (LogLine::Message(_), None) => {}
            }
            messages += 1;
            if messages % 1_000 == 0 {
                spinner.set_message(format!("{} messages", human::count(messages)));
            }
            Ok(())
        };
        let walked = source.log(&mut take).await;
        spinner.finish_and_clear();
        walked?;
    }
    let mut domains = Vec::new();
    for domain in source.domains().await? {
        let events = source.domain_events(&domain.name).await?;
        domains.push((domain, events));
    }
    let beside = Beside {
        made_ms: now_ms(),
        hostname: config.hostname.clone(),
        domains,
        mover: Moved::read(&config.spool.path)?,
        verified: Verified::read(&config.spool.path)?,
        configuration: config.to_toml(),
    };
    Ok(gather.unwrap_or_else(|| Gather::new(1)).finish(beside))
}
