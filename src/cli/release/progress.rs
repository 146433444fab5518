//! How a release moves: a bar on a terminal, else a plain line every ten seconds.

use super::{News, course::Course};
use crate::cli::{human, screen::Screen};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    io::IsTerminal as _,
    time::{Duration, Instant},
};

/// Without a terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Where progress is shown.
pub struct Progress {
    bar: Option<ProgressBar>,
    started: Instant,
    line_at: Instant,
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

    /// Shows how all courses together stand.
    ///
    /// # Errors
    /// Those of standard output, with `--json`.
    pub fn show(&mut self, screen: &Screen, courses: &[Course]) -> anyhow::Result<()> {
        let done = courses.iter().map(Course::done).sum();
        let total = courses.iter().map(Course::total).sum();
        if let Some(bar) = self.bar.as_ref().filter(|_| !screen.json) {
            bar.set_length(total);
            bar.set_position(done);
            bar.set_message(text(done, total, per_second(self, courses, done), courses));
            bar.tick();
            return Ok(());
        }
        if self.line_at.elapsed() < LINE_EVERY {
            return Ok(());
        }
        self.line_at = Instant::now();
        if screen.json {
            for course in courses.iter().filter(|course| course.end.is_none()) {
                screen.json(&News {
                    event: "progress",
                    domain: &course.now,
                })?;
            }
        } else {
            let per_second = per_second(self, courses, done);
            screen.remark(&text(done, total, per_second, courses));
        }
        Ok(())
    }

    /// Makes room for lines; the next [`Progress::show`] draws again.
    pub fn clear(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
            self.bar = Some(self::bar());
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

const TEMPLATE: &str = " [{bar:24}] {wide_msg}";

/// The releases' own measure where they have one.
fn per_second(progress: &Progress, courses: &[Course], done: u64) -> f64 {
    let measured: f64 = courses
        .iter()
        .filter_map(|course| course.now.release.as_ref())
        .map(|release| release.rate_per_s)
        .sum();
    let seconds = progress.started.elapsed().as_secs_f64();
    if measured > 0.0 || seconds < 1.0 {
        measured
    } else {
        f64::from(u32::try_from(done).unwrap_or(u32::MAX)) / seconds
    }
}

/// `1,041/1,284  81%  18/s  2 deferred (452 mailbox full: eve)  ETA 14 s`
fn text(done: u64, total: u64, per_second: f64, courses: &[Course]) -> String {
    let percent = (done * 100).checked_div(total).unwrap_or(0);
    let mut parts = vec![
        format!("{}/{}", human::count(done), human::count(total)),
        format!("{percent}%"),
    ];
    if per_second > 0.0 {
        parts.push(human::rate(per_second * 60.0));
    }
    let under_way = courses.iter().filter(|course| course.end.is_none());
    for course in under_way {
        parts.extend(course.problems.iter().map(super::problem::Problem::short));
        if let Some(waits) = &course.now.gate_waits {
            parts.push(format!("waiting: {}", human::printable(waits)));
        }
        let release = course.now.release.as_ref();
        for slowed in release.iter().flat_map(|release| &release.slowed) {
            parts.push(format!("limited: {}", human::printable(slowed)));
        }
        if let Some(blocked) = release.and_then(|release| release.blocked.as_deref()) {
            parts.push(format!("waiting: {}", human::printable(blocked)));
        }
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

    #[test]
    fn the_bar_can_be_drawn() {
        assert!(ProgressStyle::with_template(TEMPLATE).is_ok());
    }

    #[test]
    fn says_how_much_how_fast_and_how_long() {
        assert_eq!(
            text(1_041, 1_284, 18.0, &[]),
            "1,041/1,284  81%  18/s  ETA 13 s"
        );
        assert_eq!(text(0, 0, 0.0, &[]), "0/0  0%");
    }
}
