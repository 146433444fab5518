//! What lines are written to, and what it refused.

use super::format::{Format, Source};
use std::{
    io::{self, ErrorKind, Write},
    thread,
    time::Duration,
};
use tracing::Level;

/// How long a pipe or terminal that is full and set not to block is left alone. There is
/// nothing to wait for instead: standard error may be anything.
const FULL_WAIT: Duration = Duration::from_millis(10);

/// A stream of lines that counts what it could not write.
pub(super) struct Output {
    out: Box<dyn Write + Send>,
    /// Lines since the last that was written.
    lost: u64,
    /// Why the last of them was.
    why: String,
    /// The last line that was written is not whole.
    torn: bool,
}

impl Output {
    pub(super) fn new(out: Box<dyn Write + Send>) -> Self {
        Self {
            out,
            lost: 0,
            why: String::new(),
            torn: false,
        }
    }

    /// The line that has to be written first because others were lost; empty if none was.
    pub(super) fn notice(&self, format: &mut Format) -> Vec<u8> {
        let mut notice = Vec::new();
        if self.torn {
            notice.push(b'\n');
        }
        if self.lost > 0 {
            let text = format!("{} lines of the log were lost: {}", self.lost, self.why);
            format.write(Source::Relay(Level::WARN), text.as_bytes(), &mut notice);
        }
        notice
    }

    /// Writes `notice`, then whole lines. What cannot be written is counted.
    pub(super) fn write(&mut self, notice: &[u8], lines: &[u8]) {
        if self.put(notice).is_err() {
            self.lost += count(lines);
            return;
        }
        if !notice.is_empty() {
            self.lost = 0;
            self.torn = false;
        }
        if let Err(left) = self.put(lines) {
            let left_at = lines.len() - left;
            let (written, lost) = lines.split_at(left_at);
            self.lost += count(lost);
            self.torn = written.last().is_some_and(|byte| *byte != b'\n');
        }
    }

    /// Writes all of `bytes`, or says how many are left.
    fn put(&mut self, mut bytes: &[u8]) -> Result<(), usize> {
        while !bytes.is_empty() {
            match self.out.write(bytes) {
                Ok(0) => {
                    self.why = io::Error::from(ErrorKind::WriteZero).to_string();
                    return Err(bytes.len());
                }
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    ErrorKind::WouldBlock => thread::sleep(FULL_WAIT),
                    _ => {
                        self.why = error.to_string();
                        return Err(bytes.len());
                    }
                },
            }
        }
        Ok(())
    }
}

fn count(lines: &[u8]) -> u64 {
    let ends = lines.iter().filter(|byte| **byte == b'\n');
    ends.count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        collections::VecDeque,
        sync::{Arc, Mutex},
    };

    /// Answers each write as scripted, then takes everything.
    #[derive(Clone, Default)]
    struct Script {
        answers: Arc<Mutex<VecDeque<io::Result<usize>>>>,
        taken: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Script {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let answer = self.answers.lock().unwrap().pop_front();
            let taken = answer.unwrap_or(Ok(bytes.len()))?;
            self.taken
                .lock()
                .unwrap()
                .extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Writes each batch, with the notice that is due, and returns what arrived.
    fn written(answers: Vec<io::Result<usize>>, batches: &[&str]) -> String {
        let script = Script::default();
        script.answers.lock().unwrap().extend(answers);
        let mut format = Format::new("postfix-relay", None, 7);
        let mut output = Output::new(Box::new(script.clone()));
        for batch in batches {
            let notice = output.notice(&mut format);
            output.write(&notice, batch.as_bytes());
        }
        let bytes = script.taken.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn full() -> io::Result<usize> {
        Err(io::Error::other("disk full"))
    }

    #[test]
    fn a_write_that_takes_only_a_part_is_continued() {
        let answers = vec![
            Ok(3),
            Err(ErrorKind::Interrupted.into()),
            Err(ErrorKind::WouldBlock.into()),
            Ok(1),
        ];
        assert_eq!(
            written(answers, &["one\ntwo\n", "three\n"]),
            "one\ntwo\nthree\n"
        );
    }

    #[test]
    fn lost_lines_are_counted_and_told() {
        // The first batch is torn in its second line; the second fails with its notice.
        let answers = vec![Ok(5), full(), full()];
        assert_eq!(
            written(answers, &["one\ntwo\nthree\n", "four\n", "five\n", "six\n"]),
            "one\nt\n<4>postfix-relay/relay[7]: warning: 3 lines of the log were lost: \
             disk full\nfive\nsix\n"
        );
    }
}
