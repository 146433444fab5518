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

    /// Asks which of several: `go on / look again / STOP`. The place of the word that was
    /// answered, by its first letter or in full; any other answer is the last one. `None`
    /// without a terminal on both sides.
    pub async fn which(&self, question: &str, words: &'static [&'static str]) -> Option<usize> {
        let (answer, answered) = tokio::sync::oneshot::channel();
        let question = format!("{question} [{}] ", offered(words));
        std::thread::spawn(move || answer.send(answered_with(&question)));
        let answer = answered.await.unwrap_or(None)?;
        Some(chosen(words, &answer))
    }
}

fn ask(question: &str) -> Option<bool> {
    let answer = answered_with(&format!("{question} [y/N] "))?;
    Some(matches!(&*answer, "y" | "yes"))
}

/// What a person types, in small letters; empty at the end of input.
fn answered_with(question: &str) -> Option<String> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return None;
    }
    let mut stderr = io::stderr().lock();
    let _ = write!(stderr, "{question}");
    let _ = stderr.flush();
    let mut answer = String::new();
    match io::stdin().read_line(&mut answer) {
        Ok(_) => Some(answer.trim().to_lowercase()),
        Err(_) => Some(String::new()),
    }
}

/// `go on / look again / STOP`: the last is meant by Enter.
fn offered(words: &[&str]) -> String {
    let Some((last, others)) = words.split_last() else {
        return String::new();
    };
    let mut all: Vec<String> = others.iter().map(|word| (*word).to_owned()).collect();
    all.push(last.to_uppercase());
    all.join(" / ")
}

fn chosen(words: &[&str], answer: &str) -> usize {
    let meant = |word: &&str| !answer.is_empty() && word.starts_with(answer);
    let place = words.iter().position(meant);
    place.unwrap_or(words.len().saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_is_what_enter_and_nonsense_mean() {
        let words = ["go on", "look again", "stop"];
        assert_eq!(offered(&words), "go on / look again / STOP");
        let places = ["g", "go on", "l", "look", "s", "", "yes"].map(|said| chosen(&words, said));
        assert_eq!(places, [0, 0, 1, 1, 2, 2, 2]);
    }
}
