//! What a fate means: for the delivery, for its lane, and for the destination.

use super::{
    deliver::Fate,
    reply::{Failure, FailureKind, Phase},
};
use crate::spool::{Cause, Remote};
use std::time::Duration;

/// What becomes of a delivery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Advice {
    /// It is there.
    Done,
    /// This mailbox has to wait.
    Defer,
    /// A person has to decide.
    Park,
    /// It was not its fault: again at once, or as soon as the destination can be reached.
    Again,
    /// Nobody knows whether it is there.
    Doubt,
    /// The spool and the release disagree about it: look again.
    Look,
}

/// What a fate says about the destination.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Signal {
    /// It takes mail.
    Fine,
    /// Nothing.
    Neutral,
    /// It answers, though not with a success.
    Alive,
    /// It took so long over a short message to one recipient.
    Took(Duration),
    /// It answers, and asks for less: it is busy, or has had too much in a time.
    Strained(String),
    /// It has closed a connection between messages.
    Farewell(String),
    /// It takes no further connection now.
    Crowded(String),
    /// It has refused something for good.
    Refused {
        /// [`Phase::Rcpt`] if it was a recipient, else it was the message.
        phase: Phase,
        /// What it said.
        text: String,
    },
    /// It may have trouble; alone, this means nothing.
    Hiccup(String),
    /// It cannot be reached, or says that it takes nothing now.
    Unreachable(String),
    /// It is not the server that it should be.
    Wrong(String),
    /// It is this relay itself.
    Itself(String),
    /// It has let a message end without a reply.
    Doubt(String),
}

/// A fate, understood.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// For the delivery.
    pub advice: Advice,
    /// For the destination.
    pub signal: Signal,
    /// Why, for the event.
    pub cause: Cause,
    /// What was said, for the event.
    pub remote: Remote,
}

impl Verdict {
    /// Understands what happened to a delivery over `relay`, a connection that had taken
    /// `before` messages already.
    #[must_use]
    pub fn of(fate: &Fate, relay: &str, before: u32) -> Self {
        let (failure, (advice, signal)) = match fate {
            Fate::Delivered(reply) => {
                return Self {
                    advice: Advice::Done,
                    signal: Signal::Fine,
                    cause: Cause::Reply,
                    remote: Remote {
                        relay: relay.to_owned(),
                        dsn: reply.dsn.clone(),
                        reply: reply.text.clone(),
                    },
                };
            }
            Fate::Doubt(failure) => {
                let signal = Signal::Doubt(failure.to_string());
                (failure, (Advice::Doubt, signal))
            }
            Fate::Back(failure) => (failure, (Advice::Again, Signal::Neutral)),
            Fate::Failed(failure) => (failure, judge(failure, before)),
        };
        Self {
            advice,
            signal,
            cause: cause(failure),
            remote: Remote {
                relay: failure.relay.clone(),
                dsn: failure.dsn(),
                reply: verbatim(failure),
            },
        }
    }
}

/// A delivery that failed before its end was sent, or by a reply.
fn judge(failure: &Failure, before: u32) -> (Advice, Signal) {
    let text = failure.to_string();
    let phase = failure.phase;
    let early = phase == Phase::Mail;
    match &failure.kind {
        // "Authentication required", "must issue STARTTLS first" (RFC 4954 §6, RFC 3207
        // §4): true of every message, so it is no message's fault.
        FailureKind::Said(reply) if early && matches!(reply.code, 530 | 534 | 535 | 538) => {
            (Advice::Again, Signal::Wrong(text))
        }
        FailureKind::Said(reply) if reply.is_permanent() => {
            (Advice::Park, Signal::Refused { phase, text })
        }
        // RFC 5321 §3.8: it may close at any time. After some messages that is a habit.
        FailureKind::Said(reply) if early && reply.code == 421 => {
            let habit = before > 0;
            let signal = if habit {
                Signal::Farewell(text)
            } else {
                Signal::Unreachable(text)
            };
            (Advice::Again, signal)
        }
        // A mailbox that cannot take mail now says nothing about the others; the system
        // as a whole (RFC 3463 §3.4) and the sender's part of the envelope do.
        FailureKind::Said(reply) => {
            let system = early || reply.code == 421 || reply.dsn.starts_with("4.3.");
            let signal = if system {
                Signal::Hiccup(text)
            } else if asks_for_less(&reply.dsn) {
                Signal::Strained(text)
            } else {
                Signal::Alive
            };
            (Advice::Defer, signal)
        }
        // A kept connection that died while nothing was under way.
        FailureKind::Lost { .. } if early && before > 0 => (Advice::Again, Signal::Neutral),
        FailureKind::Lost { .. } | FailureKind::Silent(_) | FailureKind::Garbled { .. } => {
            (Advice::Defer, Signal::Hiccup(text))
        }
        FailureKind::Unfit { .. } => (Advice::Park, Signal::Neutral),
        FailureKind::Loop { .. } => (Advice::Park, Signal::Refused { phase, text }),
        FailureKind::Withdrawn { .. } => (Advice::Look, Signal::Neutral),
        // Without the spool nothing can be sent to anybody.
        FailureKind::Spool { .. } => (Advice::Look, Signal::Unreachable(text)),
        FailureKind::Stopped => (Advice::Again, Signal::Neutral),
        FailureKind::Tls { .. } | FailureKind::Login { .. } | FailureKind::Anonymous => {
            (Advice::Again, Signal::Wrong(text))
        }
        FailureKind::Itself => (Advice::Again, Signal::Itself(text)),
    }
}

/// RFC 3463 §3.5, §3.8: congestion in the mail system, and what servers say when a client has
/// had too much in a time ("4.7.1 too many recipients"); a greylist says it too.
fn asks_for_less(dsn: &str) -> bool {
    dsn == "4.4.5" || dsn.starts_with("4.7.")
}

/// What a connection that could not be opened says about the destination. No delivery
/// suffers from it.
#[must_use]
pub fn unopened(failure: &Failure) -> Signal {
    let text = failure.to_string();
    match &failure.kind {
        FailureKind::Stopped => Signal::Neutral,
        FailureKind::Itself => Signal::Itself(text),
        FailureKind::Tls { .. } | FailureKind::Login { .. } | FailureKind::Anonymous => {
            Signal::Wrong(text)
        }
        FailureKind::Said(reply) if reply.is_permanent() => Signal::Wrong(text),
        // "421 too many connections"; or those that wait are not taken from the line.
        FailureKind::Said(_) | FailureKind::Silent(_) => Signal::Crowded(text),
        _ => Signal::Unreachable(text),
    }
}

fn cause(failure: &Failure) -> Cause {
    match &failure.kind {
        FailureKind::Said(_) => Cause::Reply,
        FailureKind::Unfit { .. } => Cause::Policy("nothing is converted or repaired".into()),
        FailureKind::Loop { .. } => Cause::Policy("mail loops are stopped".into()),
        _ => Cause::Connection(failure.to_string()),
    }
}

fn verbatim(failure: &Failure) -> String {
    match &failure.kind {
        FailureKind::Said(reply) => reply.text.clone(),
        _ => failure.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::reply::Reply;

    fn said(phase: Phase, text: &str, before: u32) -> (Advice, Signal) {
        let code = text[..3].parse().unwrap();
        let failure = Failure {
            phase,
            relay: "new".into(),
            kind: FailureKind::Said(Reply::new(code, text.as_bytes())),
        };
        let verdict = Verdict::of(&Fate::Failed(failure), "new", before);
        assert_eq!(verdict.remote.reply, text, "the reply is kept verbatim");
        (verdict.advice, verdict.signal)
    }

    #[test]
    fn a_mailbox_that_cannot_take_mail_now_waits_alone() {
        let (advice, signal) = said(Phase::Rcpt, "452 4.2.2 mailbox full", 0);
        assert_eq!((advice, signal), (Advice::Defer, Signal::Alive));
    }

    #[test]
    fn a_system_that_cannot_take_mail_now_is_noticed() {
        for (phase, text) in [
            (Phase::Rcpt, "452 4.3.1 disk full"),
            (Phase::Mail, "451 4.7.1 try again"),
            (Phase::EndOfData, "421 4.4.2 closing"),
        ] {
            let (advice, signal) = said(phase, text, 5);
            assert_eq!(advice, Advice::Defer, "{text}");
            assert!(matches!(signal, Signal::Hiccup(_)), "{text}");
        }
    }

    #[test]
    fn a_refusal_parks() {
        for phase in [Phase::Mail, Phase::Rcpt, Phase::Data, Phase::EndOfData] {
            let (advice, signal) = said(phase, "554 5.7.1 no", 0);
            assert_eq!(advice, Advice::Park);
            assert!(matches!(signal, Signal::Refused { .. }));
        }
    }

    #[test]
    fn a_destination_that_wants_a_login_is_wrong() {
        let (advice, signal) = said(Phase::Mail, "530 5.7.0 Authentication required", 0);
        assert_eq!(advice, Advice::Again);
        assert!(matches!(signal, Signal::Wrong(_)));
    }

    #[test]
    fn a_farewell_between_messages_costs_nothing() {
        let after_some = said(Phase::Mail, "421 4.7.0 enough for now", 3);
        assert_eq!(after_some.0, Advice::Again);
        assert!(matches!(after_some.1, Signal::Farewell(_)));
        let (advice, signal) = said(Phase::Mail, "421 4.3.2 shutting down", 0);
        assert_eq!(advice, Advice::Again);
        assert!(matches!(signal, Signal::Unreachable(_)));
    }
}
