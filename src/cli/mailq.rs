//! The queue as `postqueue -p` prints it with long queue ids, column for column, so that
//! what reads Postfix's queue reads this one.

use super::human;
use crate::control::view::MessageView;
use jiff::tz::TimeZone;
use std::io::{self, Write};

/// A reason ends at this column where it is short enough.
const REASON_WIDTH: usize = 76;

/// A listing in the making.
pub struct Mailq<W> {
    out: W,
    zone: TimeZone,
    messages: u64,
    bytes: u64,
}

impl<W: Write> Mailq<W> {
    /// Begins; nothing is printed before the first message.
    pub fn new(out: W, zone: TimeZone) -> Self {
        Self {
            out,
            zone,
            messages: 0,
            bytes: 0,
        }
    }

    /// Prints a message: `*` behind the id when it is active, `!` when it is on hold.
    ///
    /// # Errors
    /// Those of the output.
    pub fn message(&mut self, message: &MessageView) -> io::Result<()> {
        if self.messages == 0 {
            self.out.write_all(
                b"----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------\n",
            )?;
        } else {
            writeln!(self.out)?;
        }
        self.messages += 1;
        self.bytes = self.bytes.saturating_add(message.message_size);
        let mark = match &*message.queue_name {
            "active" => "*",
            "hold" => "!",
            _ => "",
        };
        let id = format!("{}{mark}", message.queue_id);
        let arrived = human::zoned(message.arrival_time_ms, self.zone.clone());
        writeln!(
            self.out,
            "{id:<17} {:>8} {:<19} {}",
            message.message_size,
            arrived.strftime("%a %b %e %H:%M:%S"),
            human::printable(&message.sender)
        )?;
        let mut shown = String::new();
        for recipient in &message.recipients {
            let reason = recipient.delay_reason.as_deref().unwrap_or_default();
            let reason = human::printable(reason);
            // A reason stands above all recipients in a row that share it.
            if reason != shown {
                let text = if reason.is_empty() {
                    "reason unavailable"
                } else {
                    &reason
                };
                let padding = REASON_WIDTH.saturating_sub(text.len());
                writeln!(self.out, "{:padding$}({text})", "")?;
                shown = reason;
            }
            let address = human::printable(&recipient.address);
            writeln!(self.out, "{:<17} {:>8} {:<19} {address}", "", "", "")?;
        }
        Ok(())
    }

    /// Prints the sum.
    ///
    /// # Errors
    /// Those of the output.
    pub fn finish(mut self) -> io::Result<()> {
        match self.messages {
            0 => writeln!(self.out, "Mail queue is empty"),
            messages => writeln!(
                self.out,
                "\n-- {} Kbytes in {messages} Request{}.",
                self.bytes / 1024,
                if messages == 1 { "" } else { "s" }
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        control::fixture,
        spool::{Remote, State},
    };

    fn printed(messages: &[MessageView]) -> String {
        let mut out = Vec::new();
        let mut mailq = Mailq::new(&mut out, TimeZone::UTC);
        for message in messages {
            mailq.message(message).unwrap();
        }
        mailq.finish().unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_empty_queue_is_said_as_postfix_says_it() {
        assert_eq!(printed(&[]), "Mail queue is empty\n");
    }

    #[test]
    fn columns_are_postfixs() {
        let (message, deliveries) = fixture::message(7, &["bob@corp.example"], State::Held);
        assert_eq!(
            printed(&[MessageView::of(&message, &deliveries)]),
            "----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------\n\
             000000000007!         4096 Mon Nov 23 10:00:01 alice@example.org\n\
             \x20                                              bob@corp.example\n\
             \n\
             -- 4 Kbytes in 1 Request.\n"
        );
    }

    #[test]
    fn a_reason_stands_once_above_those_who_share_it() {
        let to = ["bob@corp.example", "eve@corp.example", "joe@corp.example"];
        let (message, mut deliveries) = fixture::message(7, &to, State::Deferred);
        for delivery in deliveries.iter_mut().take(2) {
            delivery.last = Some(Remote {
                relay: "none".into(),
                dsn: "4.4.1".into(),
                reply: "connect to mail.new.example:25: Connection refused".into(),
            });
        }
        let view = MessageView::of(&message, &deliveries);
        let text = printed(&[view.clone(), view]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines[1],
            "000000000007          4096 Mon Nov 23 10:00:01 alice@example.org"
        );
        let reason = "(connect to mail.new.example:25: Connection refused)";
        assert_eq!(lines[2], format!("{reason:>78}"));
        assert!(lines[3].ends_with(" bob@corp.example"));
        assert!(lines[4].ends_with(" eve@corp.example"));
        assert_eq!(lines[5], format!("{:>78}", "(reason unavailable)"));
        assert_eq!(lines[7], "");
        assert!(text.ends_with("\n-- 8 Kbytes in 2 Requests.\n"));
    }
}
