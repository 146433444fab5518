//! What stands in front of a line's text: time, host, tag and how grave it is.

use super::{Service, stamp::Stamp};
use jiff::tz::TimeZone;
use std::process;
use tracing::Level;

/// In whose name a line is written, and how grave it is.
#[derive(Clone, Copy)]
pub(super) enum Source {
    /// The mail log.
    Mail(Service),
    /// Anything else.
    Relay(Level),
    /// A panic.
    Panic,
}

/// What stands in front of a line's text.
pub(super) struct Format {
    smtpd: String,
    cleanup: String,
    qmgr: String,
    smtp: String,
    lmtp: String,
    relay: String,
    /// None: the journal adds the time, and takes the priority from the line.
    stamp: Option<Stamp>,
}

impl Format {
    /// For this process on this machine.
    pub(super) fn of_process(syslog_name: &str, journal: bool) -> Self {
        let system = rustix::system::uname();
        // As syslog has it, the name up to its first dot (RFC 3164 §4.1.2).
        let name = system.nodename().to_string_lossy();
        let short = name.split('.').next().filter(|s| !s.is_empty());
        let host = short.unwrap_or("localhost").to_owned();
        let head = (!journal).then(|| (host, TimeZone::system()));
        Self::new(syslog_name, head, process::id())
    }

    /// With time and host in front if they are given, for the journal otherwise.
    pub(super) fn new(syslog_name: &str, head: Option<(String, TimeZone)>, pid: u32) -> Self {
        let (host, stamp) = match head {
            Some((host, zone)) => (format!(" {host} "), Some(Stamp::new(zone))),
            None => (String::new(), None),
        };
        let tag = |service| format!("{host}{syslog_name}/{service}[{pid}]: ");
        Self {
            smtpd: tag("smtpd"),
            cleanup: tag("cleanup"),
            qmgr: tag("qmgr"),
            smtp: tag("smtp"),
            lmtp: tag("lmtp"),
            relay: tag("relay"),
            stamp,
        }
    }

    /// Adds a whole line to `out`. `text` holds no control character.
    pub(super) fn write(&mut self, source: Source, text: &[u8], out: &mut Vec<u8>) {
        // What Postfix writes in front of the text, and sd-daemon(3)'s priority.
        let (tag, grave, priority) = match source {
            Source::Mail(Service::Smtpd) => (&self.smtpd, "", ""),
            Source::Mail(Service::Cleanup) => (&self.cleanup, "", ""),
            Source::Mail(Service::Qmgr) => (&self.qmgr, "", ""),
            Source::Mail(Service::Smtp) => (&self.smtp, "", ""),
            Source::Mail(Service::Lmtp) => (&self.lmtp, "", ""),
            Source::Relay(Level::ERROR) => (&self.relay, "error: ", "<3>"),
            Source::Relay(Level::WARN) => (&self.relay, "warning: ", "<4>"),
            Source::Relay(Level::INFO) => (&self.relay, "", ""),
            Source::Relay(Level::DEBUG) => (&self.relay, "debug: ", "<7>"),
            Source::Relay(Level::TRACE) => (&self.relay, "trace: ", "<7>"),
            Source::Panic => (&self.relay, "panic: ", "<2>"),
        };
        let front = match &mut self.stamp {
            Some(stamp) => stamp.now(),
            None => priority,
        };
        out.extend_from_slice(front.as_bytes());
        out.extend_from_slice(tag.as_bytes());
        out.extend_from_slice(grave.as_bytes());
        out.extend_from_slice(text);
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(format: &mut Format, source: Source) -> String {
        let mut out = Vec::new();
        format.write(source, b"text", &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_begins_as_syslog_and_postfix_have_it() {
        let head = Some(("mx1".to_owned(), TimeZone::UTC));
        let mut format = Format::new("postfix-relay", head, 4242);
        for (source, tag) in [
            (Source::Mail(Service::Smtpd), "smtpd[4242]: "),
            (Source::Mail(Service::Cleanup), "cleanup[4242]: "),
            (Source::Mail(Service::Qmgr), "qmgr[4242]: "),
            (Source::Mail(Service::Smtp), "smtp[4242]: "),
            (Source::Mail(Service::Lmtp), "lmtp[4242]: "),
            (Source::Relay(Level::INFO), "relay[4242]: "),
            (Source::Relay(Level::WARN), "relay[4242]: warning: "),
            (Source::Relay(Level::ERROR), "relay[4242]: error: "),
            (Source::Panic, "relay[4242]: panic: "),
        ] {
            let line = line(&mut format, source);
            // "Nov 23 10:00:01", tested where it is made.
            assert_eq!(line[15..], format!(" mx1 postfix-relay/{tag}text\n"));
        }
    }

    #[test]
    fn the_journal_gets_priorities_in_place_of_time_and_host() {
        let mut format = Format::new("p", None, 1);
        assert_eq!(
            line(&mut format, Source::Mail(Service::Qmgr)),
            "p/qmgr[1]: text\n"
        );
        let warning = line(&mut format, Source::Relay(Level::WARN));
        assert_eq!(warning, "<4>p/relay[1]: warning: text\n");
        assert_eq!(
            line(&mut format, Source::Panic),
            "<2>p/relay[1]: panic: text\n"
        );
    }
}
