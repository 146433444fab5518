//! The log: one line an event, to stderr or the journal, as syslog and Postfix write it, so
//! that pflogsumm, fail2ban and years of habit go on working.
//!
//! Two kinds of lines share it, in one order:
//! - the mail log, [`mail()`]: what happened to a message, in Postfix's own words. It does
//!   not pass through `tracing`, whose fields would only be built to be taken apart again:
//!   a busy relay writes four such lines a message.
//! - everything else: `tracing`'s events, filtered by the environment variable `RELAY_LOG`
//!   (such as `debug` or `warn,relay::release=debug`; default `warn,relay=info`).
//!
//! No line is lost while the output takes lines: when it is slower than the relay, the
//! relay waits. Lines that the output refused (a full disk, a closed pipe) are counted, and
//! the count is written once it takes lines again. What the process still holds when it is
//! killed, at most some milliseconds of lines, is gone; the spool, not the log, says what
//! was accepted.

mod event;
mod format;
mod journal;
mod line;
mod output;
mod sink;
mod stamp;

use crate::config;
use format::{Format, Source};
use line::Line;
use sink::Sink;
use std::{
    cell::RefCell,
    env, fmt, io, panic,
    sync::{Arc, OnceLock},
};
use tracing_subscriber::{EnvFilter, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// What is shown of `tracing`'s events unless `RELAY_LOG` says otherwise.
const FILTER: &str = "warn,relay=info";
/// The environment variable that does.
const FILTER_VARIABLE: &str = "RELAY_LOG";

/// Where the lines go, once [`init`] was called.
static SINK: OnceLock<Arc<Sink>> = OnceLock::new();

thread_local! {
    /// Where this thread formats its lines, reused from line to line.
    static LINE: RefCell<Line> = RefCell::default();
}

/// The Postfix daemon in whose name a line is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Service {
    /// Receiving: connections, clients, refusals.
    Smtpd,
    /// A message's header: its message-id.
    Cleanup,
    /// The queue: from, size, number of recipients, removal.
    Qmgr,
    /// Delivery to an SMTP destination.
    Smtp,
    /// Delivery to an LMTP destination.
    Lmtp,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// `RELAY_LOG` is no filter.
    #[error("RELAY_LOG={value:?}: {why}; allowed are levels and targets such as {FILTER:?}")]
    Filter {
        /// What it says.
        value: String,
        /// What is wrong with it.
        why: String,
    },
    /// The writing thread cannot be started.
    #[error("the log's thread cannot be started: {0}")]
    Thread(#[source] io::Error),
    /// There is a log already in this process.
    #[error("the log was set up already")]
    Already,
}

/// Keeps the log open; dropping it writes what is still held.
#[must_use = "dropping it closes the log"]
pub struct Guard {
    sink: Arc<Sink>,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guard")
    }
}

impl Drop for Guard {
    /// Waits until all lines are written, at most 5 s. Lines of threads
    /// that are still running are written one by one from then on.
    fn drop(&mut self) {
        self.sink.close();
    }
}

/// Sets up the log of this process: to stderr, with time and host in front unless stderr
/// is the journal, which adds them itself. A panic becomes a `panic:` line.
///
/// # Errors
/// [`LogError`]; nothing is set up then.
pub fn init(config: &config::Log) -> Result<Guard, LogError> {
    let filter = filter(env::var_os(FILTER_VARIABLE).map(|v| v.to_string_lossy().into_owned()))?;
    let format = Format::of_process(&config.syslog_name, journal::is_stderr());
    let sink = Sink::start(format, Box::new(io::stderr())).map_err(LogError::Thread)?;
    let guard = Guard { sink: sink.clone() };
    tracing_subscriber::registry()
        .with(filter)
        .with(event::Events::new(sink.clone()))
        .try_init()
        .map_err(|_| LogError::Already)?;
    SINK.set(sink.clone()).map_err(|_| LogError::Already)?;
    report_panics(sink);
    Ok(guard)
}

/// Writes a line such as `postfix-relay/smtpd[4242]: 01KAR6Q8ZJ5V: client=...`. Control
/// characters in `line` are shown as `?`, as Postfix does, so that no client can forge one;
/// what exceeds 2000 bytes is cut off. Without [`init`] there is no mail log.
pub fn mail(service: Service, line: fmt::Arguments<'_>) {
    if let Some(sink) = SINK.get() {
        with_line(|buffer| {
            buffer.add(line);
            sink.append(Source::Mail(service), buffer.as_bytes());
        });
    }
}

/// Lends this thread's line, empty. A line that is written while another one is being
/// formatted, by a value that logs as it is displayed, gets one of its own.
fn with_line(write: impl FnOnce(&mut Line)) {
    LINE.with(|line| match line.try_borrow_mut() {
        Ok(mut line) => {
            line.clear();
            write(&mut line);
        }
        Err(_) => write(&mut Line::default()),
    });
}

fn filter(variable: Option<String>) -> Result<EnvFilter, LogError> {
    let value = variable.unwrap_or_default();
    let text = if value.is_empty() { FILTER } else { &value };
    let builder = EnvFilter::builder().with_regex(false);
    builder.parse(text).map_err(|error| LogError::Filter {
        why: error.to_string(),
        value,
    })
}

/// A panic is one line of the log rather than several between its lines. With
/// `RUST_BACKTRACE` the usual report follows.
fn report_panics(sink: Arc<Sink>) {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        with_line(|line| {
            let text = info.payload_as_str().unwrap_or("without a text");
            match info.location() {
                Some(place) => line.add(format_args!("{place}: {text}")),
                None => line.add(format_args!("{text}")),
            }
            sink.append(Source::Panic, line.as_bytes());
        });
        if env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0") {
            usual(info);
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_is_read_or_explained() {
        for good in [
            None,
            Some(""),
            Some("debug"),
            Some("warn,relay::release=trace"),
        ] {
            filter(good.map(str::to_owned)).unwrap();
        }
        let error = filter(Some("relay=loud".into())).unwrap_err().to_string();
        assert!(error.starts_with("RELAY_LOG=\"relay=loud\": "), "{error}");
    }

    #[test]
    fn a_line_within_a_line_is_written() {
        let mut texts = Vec::new();
        with_line(|outer| {
            outer.add(format_args!("outer"));
            with_line(|inner| {
                inner.add(format_args!("inner"));
                texts.push(inner.as_bytes().to_vec());
            });
            texts.push(outer.as_bytes().to_vec());
        });
        assert_eq!(texts, [b"inner", b"outer"]);
        with_line(|line| assert_eq!(line.as_bytes(), b""));
    }
}
