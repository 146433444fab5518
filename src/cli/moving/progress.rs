//! How far the accounts are: a bar on a terminal, else a plain line every ten seconds.

use crate::{
    cli::{human, screen::Screen},
    mover::{
        meter::{Doing, Reading},
        run::Task,
    },
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use std::{
    io::IsTerminal as _,
    time::{Duration, Instant},
};

/// Without a terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);
const TEMPLATE: &str = " [{bar:24}] {wide_msg}";

/// Where progress is shown.
pub struct Progress {
    bar: Option<ProgressBar>,
    started: Instant,
    line_at: Instant,
}

/// With `--json`.
#[derive(Serialize)]
struct News {
    event: &'static str,
    messages_done: u64,
    messages_total: u64,
    copied: u64,
    bytes: u64,
    per_second: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    slow: Option<String>,
}

impl Progress {
    /// Looks whether standard error is a terminal.
    pub fn new() -> Self {
        let now = Instant::now();
        Self {
            bar: std::io::stderr().is_terminal().then(bar),
            started: now,
            line_at: now,
        }
    }

    /// Shows how all accounts together stand.
    ///
    /// # Errors
    /// Those of standard output, with `--json`.
    pub fn show(&mut self, screen: &Screen, tasks: &[Task]) -> anyhow::Result<()> {
        let bar = self.bar.as_ref().filter(|_| !screen.json);
        if bar.is_none() && self.line_at.elapsed() < LINE_EVERY {
            return Ok(());
        }
        let sum = sum(tasks);
        let per_second = per_second(sum.done.messages, self.started.elapsed());
        let (ended, slow) = standing(tasks);
        if let Some(bar) = bar {
            bar.set_length(sum.total.messages);
            bar.set_position(sum.done.messages);
            bar.set_message(text(
                &sum,
                per_second,
                (ended, tasks.len()),
                slow.as_deref(),
            ));
            bar.tick();
            return Ok(());
        }
        self.line_at = Instant::now();
        if screen.json {
            return screen.json(&News {
                event: "progress",
                messages_done: sum.done.messages,
                messages_total: sum.total.messages,
                copied: sum.copied,
                bytes: sum.copied_bytes,
                per_second,
                slow,
            });
        }
        screen.remark(&text(
            &sum,
            per_second,
            (ended, tasks.len()),
            slow.as_deref(),
        ));
        Ok(())
    }

    /// Makes room for lines.
    pub fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr());
    // The template is fixed, and tried by a test.
    let style = ProgressStyle::with_template(TEMPLATE).map(|style| style.progress_chars("=> "));
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

fn sum(tasks: &[Task]) -> Reading {
    tasks.iter().fold(Reading::default(), |sum, task| {
        let one = task.meter.read();
        Reading {
            total: sum.total.plus(one.total),
            done: sum.done.plus(one.done.at_most(one.total)),
            copied: sum.copied + one.copied,
            copied_bytes: sum.copied_bytes + one.copied_bytes,
        }
    })
}

/// How many accounts are through, and the first reason for any slowness.
fn standing(tasks: &[Task]) -> (usize, Option<String>) {
    let (mut ended, mut slow) = (0, None);
    for task in tasks {
        match task.meter.what() {
            Doing::Done | Doing::Failed(_) => ended += 1,
            Doing::Pausing(why) if slow.is_none() => {
                slow = Some(human::printable(&format!("{}: {why}", task.account.name())));
            }
            _ => {}
        }
    }
    (ended, slow)
}

fn per_second(done: u64, elapsed: Duration) -> f64 {
    let seconds = elapsed.as_secs_f64();
    if seconds < 1.0 {
        return 0.0;
    }
    f64::from(u32::try_from(done).unwrap_or(u32::MAX)) / seconds
}

/// `1,902/1,944  97%  62/s  311 MB  2/4 accounts  waiting: bob: [LIMIT]  ETA 1 s`
fn text(
    sum: &Reading,
    per_second: f64,
    (ended, accounts): (usize, usize),
    slow: Option<&str>,
) -> String {
    let (done, total) = (sum.done.messages, sum.total.messages);
    let percent = (done * 100).checked_div(total).unwrap_or(0);
    let mut parts = vec![
        format!("{}/{}", human::count(done), human::count(total)),
        format!("{percent}%"),
    ];
    if per_second > 0.0 {
        parts.push(human::rate(per_second * 60.0));
    }
    parts.push(human::size(sum.copied_bytes));
    parts.push(format!("{ended}/{accounts} accounts"));
    if let Some(slow) = slow {
        parts.push(format!("waiting: {slow}"));
    }
    if per_second > 0.0 {
        let left = u32::try_from(total - done).unwrap_or(u32::MAX);
        let eta = Duration::try_from_secs_f64(f64::from(left) / per_second).unwrap_or_default();
        let eta_ms = u64::try_from(eta.as_millis()).unwrap_or(u64::MAX);
        parts.push(format!("ETA {}", human::duration(eta_ms)));
    }
    parts.join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mover::meter::Extent;

    #[test]
    fn says_how_much_how_fast_how_long_and_why_not_faster() {
        assert!(ProgressStyle::with_template(TEMPLATE).is_ok());
        let messages = |messages| Extent {
            messages,
            ..Extent::default()
        };
        let sum = Reading {
            total: messages(1_944),
            done: messages(1_902),
            copied: 1_000,
            copied_bytes: 311_000_000,
        };
        assert_eq!(
            text(&sum, 21.0, (1, 4), Some("bob: LIMIT")),
            "1,902/1,944  97%  21/s  311 MB  1/4 accounts  waiting: bob: LIMIT  ETA 2 s"
        );
    }
}
