//! What is waited for: a line that changes on a terminal, else a plain line when there is
//! news, every ten seconds at most.

use super::super::screen::Screen;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use std::{
    io::IsTerminal as _,
    time::{Duration, Instant},
};

/// Without a terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);
const TEMPLATE: &str = " {spinner} {wide_msg}";

/// Where it is said.
pub struct Waiting {
    bar: Option<ProgressBar>,
    said: Option<(Instant, String)>,
}

/// With `--json`.
#[derive(Serialize)]
struct News<'a> {
    event: &'static str,
    waiting: &'a str,
}

impl Waiting {
    /// Looks whether standard error is a terminal.
    pub fn new(screen: &Screen) -> Self {
        let terminal = std::io::stderr().is_terminal() && !screen.json;
        Self {
            bar: terminal.then(spinner),
            said: None,
        }
    }

    /// Says what is waited for now.
    ///
    /// # Errors
    /// Those of standard output, with `--json`.
    pub fn show(&mut self, screen: &Screen, text: &str) -> anyhow::Result<()> {
        if let Some(bar) = &self.bar {
            bar.set_message(text.to_owned());
            bar.tick();
            return Ok(());
        }
        let known = self.said.as_ref();
        if known.is_some_and(|(at, said)| said == text || at.elapsed() < LINE_EVERY) {
            return Ok(());
        }
        self.said = Some((Instant::now(), text.to_owned()));
        if screen.json {
            let event = "waiting";
            return screen.json(&News {
                event,
                waiting: text,
            });
        }
        screen.remark(&format!("        {text}"));
        Ok(())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn spinner() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    // The template is fixed, and tried by a test.
    let style = ProgressStyle::with_template(TEMPLATE);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_one() {
        assert!(ProgressStyle::with_template(TEMPLATE).is_ok());
    }
}
