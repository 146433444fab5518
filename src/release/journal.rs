//! Lines of the mail log, as Postfix's smtp, lmtp and qmgr write them.
//!
//! A delivery that is parked or in doubt is logged as `deferred`, with the word in front
//! of the text: for everybody who reads such logs it has not been sent and has not been
//! bounced.

use super::outcome::{Advice, Verdict};
use crate::{
    config::DestinationProtocol,
    log::{Service, mail},
    mail::{Address, QueueId},
};
use std::time::Duration;

/// The parts of a delivery's time: `delays=a/b/c/d`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Delays {
    /// From arrival until a job was made of it.
    pub queued: Duration,
    /// Reading it from the spool.
    pub prepared: Duration,
    /// Opening a connection, if one had to be opened.
    pub connected: Duration,
    /// The transaction.
    pub transferred: Duration,
}

/// `ID: to=<>, relay=, delay=, delays=, dsn=, status=`
pub fn delivery(
    protocol: DestinationProtocol,
    id: QueueId,
    to: &Address,
    delays: Delays,
    verdict: &Verdict,
) {
    let remote = &verdict.remote;
    let status = match verdict.advice {
        Advice::Done => format!("sent ({})", remote.reply),
        Advice::Defer => format!("deferred ({})", remote.reply),
        Advice::Park => format!("deferred (parked: {})", remote.reply),
        Advice::Doubt => format!("deferred (in doubt: {})", remote.reply),
        // It has not come to anything that a reader of the log should count.
        Advice::Again | Advice::Look => return,
    };
    let Delays {
        queued,
        prepared,
        connected,
        transferred,
    } = delays;
    let total = queued + prepared + connected + transferred;
    mail(
        service(protocol),
        format_args!(
            "{id}: to=<{to}>, relay={}, delay={}, delays={}/{}/{}/{}, dsn={}, status={status}",
            remote.relay,
            seconds(total),
            seconds(queued),
            seconds(prepared),
            seconds(connected),
            seconds(transferred),
            remote.dsn,
        ),
    );
}

/// `connect to host[ip]:port: Connection refused`
pub fn trouble(protocol: DestinationProtocol, text: &str) {
    mail(service(protocol), format_args!("{text}"));
}

/// `ID: removed`
pub fn removed(id: QueueId) {
    mail(Service::Qmgr, format_args!("{id}: removed"));
}

fn service(protocol: DestinationProtocol) -> Service {
    match protocol {
        DestinationProtocol::Smtp => Service::Smtp,
        DestinationProtocol::Lmtp => Service::Lmtp,
    }
}

/// Two significant digits below 100 s, as Postfix does: `0.05`, `1.2`, `7199`.
fn seconds(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let text = match seconds {
        s if s >= 10.0 => return format!("{s:.0}"),
        s if s >= 1.0 => format!("{s:.1}"),
        s if s >= 0.1 => format!("{s:.2}"),
        s => format!("{s:.3}"),
    };
    match text.trim_end_matches('0').trim_end_matches('.') {
        "" => "0".into(),
        trimmed => trimmed.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_seconds_as_postfix_does() {
        let text = |ms| seconds(Duration::from_millis(ms));
        assert_eq!(text(0), "0");
        assert_eq!(text(12), "0.012");
        assert_eq!(text(50), "0.05");
        assert_eq!(text(250), "0.25");
        assert_eq!(text(1_000), "1");
        assert_eq!(text(1_250), "1.2");
        assert_eq!(text(7_199_400), "7199");
    }
}
