//! What is printed where: results on standard output, everything else on standard error;
//! colours only for a terminal.

use serde::Serialize;
use std::io::{self, IsTerminal as _, Write as _};

/// The two outputs of a command.
pub struct Screen {
    /// Whether results are JSON.
    pub json: bool,
    colours: bool,
}

/// What a colour means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tone {
    /// A heading or a name.
    Strong,
    /// As it should be.
    Good,
    /// Look at it.
    Warning,
    /// Wrong.
    Bad,
}

impl Screen {
    /// Looks at the terminal and at `NO_COLOR` (no-color.org).
    #[must_use]
    pub fn new(json: bool) -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colours = !json && !no_color && io::stdout().is_terminal();
        Self { json, colours }
    }

    /// Writes a result as it is, and a line end.
    ///
    /// # Errors
    /// Those of standard output.
    pub fn line(&self, text: &str) -> io::Result<()> {
        writeln!(io::stdout().lock(), "{text}")
    }

    /// Writes a result as one line of JSON.
    ///
    /// # Errors
    /// Those of standard output.
    pub fn json(&self, value: &impl Serialize) -> anyhow::Result<()> {
        Ok(self.line(&serde_json::to_string(value)?)?)
    }

    /// Writes a remark to standard error.
    pub fn remark(&self, text: &str) {
        // Whoever closed standard error does not want to know.
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// Writes why a command failed to standard error.
    pub fn failure(&self, error: &anyhow::Error) {
        let mut text = error.to_string();
        for cause in error.chain().skip(1).map(ToString::to_string) {
            // Many an error names its cause itself.
            if !text.contains(&cause) {
                text += &format!(": {cause}");
            }
        }
        self.remark(&format!("relay: {text}"));
    }

    /// The text, in colour on a terminal.
    #[must_use]
    pub fn tone(&self, tone: Tone, text: &str) -> String {
        if !self.colours {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Strong => "1",
            Tone::Good => "32",
            Tone::Warning => "33",
            Tone::Bad => "31",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// Asks a question; `None` without a terminal on both sides. Only `y` and `yes` are yes.
    #[must_use]
    pub fn ask(&self, question: &str) -> Option<bool> {
        ask(question)
    }

    /// The same while other things go on; who does not wait for the answer may go.
    pub async fn asked(&self, question: String) -> Option<bool> {
        let (answer, answered) = tokio::sync::oneshot::channel();
        // Of its own, so that nobody waits for it at the end of the program.
        std::thread::spawn(move || answer.send(ask(&question)));
        answered.await.unwrap_or(None)
    }
}

fn ask(question: &str) -> Option<bool> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return None;
    }
    let mut stderr = io::stderr().lock();
    let _ = write!(stderr, "{question} [y/N] ");
    let _ = stderr.flush();
    let mut answer = String::new();
    let read = io::stdin().read_line(&mut answer);
    let answer = answer.trim().to_lowercase();
    Some(read.is_ok() && matches!(&*answer, "y" | "yes"))
}
