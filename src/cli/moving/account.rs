//! What a pass did in an account, for a person or as JSON.

use super::folder_shown;
use crate::{
    cli::{human, screen::Screen},
    mover::{
        account::AccountReport,
        folders::NotCopied,
        preview::Preview,
        state::{NoteKind, NoteRecord},
    },
};
use serde::Serialize;
use std::time::Duration;

#[derive(Serialize)]
struct AccountView<'a> {
    event: &'static str,
    account: &'a str,
    folders: u64,
    messages: u64,
    copied: u64,
    bytes: u64,
    adopted: u64,
    flagged: u64,
    expunged: u64,
    removed: u64,
    refused: u64,
    altered: u64,
    unread: u64,
    lost_flags: Vec<&'a String>,
    failed: Vec<FolderView<'a>>,
    left_out: Vec<FolderView<'a>>,
    renamed: Vec<RenamedView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stopped: Option<String>,
}

#[derive(Serialize)]
struct FolderView<'a> {
    folder: &'a str,
    why: &'a str,
}

#[derive(Serialize)]
struct RenamedView<'a> {
    folder: &'a str,
    to: &'a str,
}

#[derive(Serialize)]
struct MessageView<'a> {
    event: &'static str,
    account: &'a str,
    folder: String,
    uid: u32,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<&'a str>,
    size: u64,
    why: &'a str,
}

#[derive(Serialize)]
struct PreviewView<'a> {
    event: &'static str,
    account: &'a str,
    folders: u64,
    messages: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    renamed: Vec<RenamedView<'a>>,
    left_out: Vec<FolderView<'a>>,
    in_the_way: Vec<String>,
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    takes_s: Option<u64>,
}

fn folders(list: &[(String, String)]) -> Vec<FolderView<'_>> {
    let views = list.iter().map(|(folder, why)| FolderView { folder, why });
    views.collect()
}

fn left_out(list: &[NotCopied]) -> Vec<FolderView<'_>> {
    let views = list.iter().map(|one| FolderView {
        folder: &one.shown,
        why: &one.why,
    });
    views.collect()
}

fn renamed(list: &[(String, String)]) -> Vec<RenamedView<'_>> {
    let views = list.iter().map(|(folder, to)| RenamedView { folder, to });
    views.collect()
}

/// What went otherwise than expected; with JSON everything.
pub fn show(screen: &Screen, report: &AccountReport) -> anyhow::Result<()> {
    let done = &report.done;
    if screen.json {
        return screen.json(&AccountView {
            event: "account",
            account: &report.name,
            folders: report.folders,
            messages: report.messages,
            copied: done.copied,
            bytes: done.bytes,
            adopted: done.adopted,
            flagged: done.flagged,
            expunged: done.expunged,
            removed: done.removed,
            refused: done.refused,
            altered: done.altered,
            unread: report.unread,
            lost_flags: done.lost_flags.iter().collect(),
            failed: folders(&report.failed),
            left_out: left_out(&report.left),
            renamed: renamed(&report.renamed),
            stopped: report.stopped.as_ref().map(ToString::to_string),
        });
    }
    let name = human::printable(&report.name);
    let line = |text: String| screen.line(&format!("{name}: {}", human::printable(&text)));
    for (folder, why) in &report.failed {
        line(format!("{folder}: {why}"))?;
    }
    for one in &report.left {
        line(format!("{} is not copied: {}", one.shown, one.why))?;
    }
    for (many, what) in [
        (done.expunged, "expunged at the source, kept at the target"),
        (
            done.removed,
            "expunged at the source, removed at the target too",
        ),
        (report.unread, "not given by the source, named below"),
    ] {
        if many > 0 {
            line(format!(
                "{} {what}",
                human::counted(many, "message", "messages")
            ))?;
        }
    }
    if !done.lost_flags.is_empty() {
        let flags: Vec<&str> = done.lost_flags.iter().map(String::as_str).collect();
        line(format!(
            "the target does not take the flags {}",
            flags.join(" ")
        ))?;
    }
    if let Some(why) = &report.stopped {
        line(format!("stopped: {why}"))?;
    }
    Ok(())
}

/// The closing table, a line an account.
pub fn table(reports: &[AccountReport]) -> Vec<String> {
    let width = reports
        .iter()
        .map(|report| report.name.chars().count())
        .max();
    let width = width.unwrap_or(0).clamp(7, 40);
    let mut lines = vec![format!(
        "{:width$}  {:>7} {:>9} {:>9} {:>8} {:>7} {:>7} {:>7}  state",
        "account", "folders", "messages", "copied", "size", "flags", "refused", "altered"
    )];
    for report in reports {
        let done = &report.done;
        let state = match (&report.stopped, report.failed.len(), report.stranded()) {
            (Some(_), _, _) => "stopped",
            (None, 0, 0) => "complete",
            (None, 0, _) => "folders not copied",
            (None, _, _) => "folders failed",
        };
        lines.push(format!(
            "{:width$}  {:>7} {:>9} {:>9} {:>8} {:>7} {:>7} {:>7}  {state}",
            human::printable(&report.name),
            human::count(report.folders),
            human::count(report.messages),
            human::count(done.copied + done.adopted),
            human::size(done.bytes),
            human::count(done.flagged),
            human::count(done.refused),
            human::count(done.altered),
        ));
    }
    lines
}

/// A message that did not go, or is another one at the target.
pub fn show_note(
    screen: &Screen,
    account: &str,
    folder: &[u8],
    uid: u32,
    note: &NoteRecord,
) -> anyhow::Result<()> {
    let kind = match note.kind {
        NoteKind::Refused => "refused",
        NoteKind::Altered => "altered",
        NoteKind::Unread => "unread",
    };
    let folder = folder_shown(folder);
    if screen.json {
        return screen.json(&MessageView {
            event: "message",
            account,
            folder,
            uid,
            kind,
            message_id: note.message_id.as_deref(),
            size: note.size,
            why: &note.why,
        });
    }
    let id = note.message_id.as_deref().unwrap_or("no Message-ID");
    let line = format!(
        "{account}: {folder} UID {uid} {id} {}: {kind}: {}",
        human::size(note.size),
        note.why
    );
    Ok(screen.line(&human::printable(&line))?)
}

/// What copying would do.
pub fn show_preview(screen: &Screen, preview: &Preview) -> anyhow::Result<()> {
    let forecast = preview.forecast.as_ref();
    let warnings = forecast.map_or_else(Vec::new, |all| {
        all.warnings.iter().map(ToString::to_string).collect()
    });
    let takes = forecast.and_then(|forecast| forecast.takes);
    if screen.json {
        return screen.json(&PreviewView {
            event: "preview",
            account: &preview.name,
            folders: preview.folders,
            messages: preview.messages,
            bytes: preview.bytes,
            renamed: renamed(&preview.renamed),
            left_out: left_out(&preview.left),
            in_the_way: (preview.in_the_way.iter())
                .map(ToString::to_string)
                .collect(),
            warnings: warnings.clone(),
            takes_s: takes.map(|takes| takes.as_secs()),
        });
    }
    let name = human::printable(&preview.name);
    let size = preview
        .bytes
        .map_or(String::new(), |bytes| format!(", {}", human::size(bytes)));
    screen.line(&format!(
        "{name}: {} in {}{size}",
        human::counted(preview.messages, "message", "messages"),
        human::counted(preview.folders, "folder", "folders")
    ))?;
    let mut lines: Vec<String> = Vec::new();
    for (folder, to) in &preview.renamed {
        lines.push(format!("       {folder} becomes {to}"));
    }
    for one in &preview.left {
        lines.push(format!(" WARN  {} is not copied: {}", one.shown, one.why));
    }
    for warning in &warnings {
        lines.push(format!(" WARN  {warning}"));
    }
    if let Some(takes) = takes {
        let ms = u64::try_from(takes.as_millis()).unwrap_or(u64::MAX);
        lines.push(format!(
            "       about {} over one connection, if the target takes it as the source gives it",
            human::duration(ms)
        ));
    }
    for why in &preview.in_the_way {
        lines.push(format!(" FAIL  {why}"));
    }
    for line in lines {
        screen.line(&human::printable(&line))?;
    }
    Ok(())
}

/// How long all accounts take, so many at once.
pub fn show_takes(screen: &Screen, takes: Duration, parallel: usize) -> anyhow::Result<()> {
    if screen.json {
        return Ok(());
    }
    let takes = takes / u32::try_from(parallel.max(1)).unwrap_or(u32::MAX);
    let ms = u64::try_from(takes.as_millis()).unwrap_or(u64::MAX);
    let text = format!(
        "all together, {parallel} accounts at once: about {}, if the servers take that",
        human::duration(ms)
    );
    Ok(screen.line(&text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_line_an_account() {
        let mut report = AccountReport {
            name: "bob@corp.example".into(),
            folders: 3,
            messages: 1_284,
            ..AccountReport::default()
        };
        report.done.copied = 1_200;
        report.done.bytes = 311_000_000;
        let lines = table(&[report]);
        assert_eq!(
            lines[1],
            "bob@corp.example        3     1,284     1,200   311 MB       0       0       0  complete"
        );
    }
}
