//! `relay list`

use super::{Context, human, mailq::Mailq, screen::Screen, source::Source};
use crate::{
    control::{Filter, StateFilter, view::MessageView},
    mail::QueueId,
};
use clap::{Args, ValueEnum};
use jiff::tz::TimeZone;
use std::io::{self, Write};

/// What to list, and how.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Only this domain.
    #[arg(long, value_name = "D")]
    domain: Option<String>,
    /// Only this state, or `all` [default: everything that is not finished].
    #[arg(long, value_name = "S")]
    state: Option<StateFilter>,
    /// Only this recipient: an address, or @domain.
    #[arg(long, value_name = "R")]
    recipient: Option<String>,
    /// Only this sender: an address, @domain, or <>.
    #[arg(long, value_name = "S")]
    sender: Option<String>,
    /// At most so many messages.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Only messages that arrived after this one.
    #[arg(long, value_name = "ID")]
    after: Option<QueueId>,
    /// How to print: a line a delivery, like `postqueue -p`, or like `postqueue -j`.
    #[arg(long, default_value = "table")]
    format: Format,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum Format {
    Table,
    Mailq,
    Jsonl,
}

/// # Errors
/// An unknown domain; those of the daemon or the spool.
pub async fn run(context: &Context, arguments: Arguments) -> anyhow::Result<()> {
    let format = if context.screen.json {
        Format::Jsonl
    } else {
        arguments.format
    };
    let filter = Filter {
        domain: arguments.domain,
        state: arguments.state,
        recipient: arguments.recipient,
        sender: arguments.sender,
        limit: arguments.limit,
        after: arguments.after.map(|id| id.to_string()),
    };
    let source = Source::open(context).await?;
    let mut out = io::BufWriter::new(io::stdout());
    match format {
        Format::Jsonl => {
            let mut take = |message: MessageView| {
                serde_json::to_writer(&mut out, &message)?;
                Ok(out.write_all(b"\n")?)
            };
            source.list(filter, &mut take).await?;
        }
        Format::Mailq => {
            let mut mailq = Mailq::new(&mut out, TimeZone::system());
            let mut take = |message: MessageView| Ok(mailq.message(&message)?);
            source.list(filter, &mut take).await?;
            mailq.finish()?;
        }
        Format::Table => {
            let mut table = Table::new(&mut out);
            let mut take = |message: MessageView| Ok(table.message(&message)?);
            source.list(filter, &mut take).await?;
            table.finish(&context.screen)?;
        }
    }
    Ok(out.flush()?)
}

/// A line for each delivery. Widths are fixed, since the listing is printed as it comes.
struct Table<W> {
    out: W,
    messages: u64,
    deliveries: u64,
}

impl<W: Write> Table<W> {
    fn new(out: W) -> Self {
        Self {
            out,
            messages: 0,
            deliveries: 0,
        }
    }

    fn message(&mut self, message: &MessageView) -> io::Result<()> {
        if self.messages == 0 {
            writeln!(
                self.out,
                "{:<12}  {:<19}  {:>7}  {:<9}  SENDER -> RECIPIENT",
                "QUEUE ID", "ARRIVED", "SIZE", "STATE"
            )?;
        }
        self.messages += 1;
        for recipient in &message.recipients {
            self.deliveries += 1;
            writeln!(
                self.out,
                "{:<12}  {:<19}  {:>7}  {:<9}  {} -> {}",
                message.queue_id,
                human::time(message.arrival_time_ms),
                human::size(message.message_size),
                recipient.state.name(),
                human::sender(&message.sender),
                human::printable(&recipient.address)
            )?;
        }
        Ok(())
    }

    fn finish(mut self, screen: &Screen) -> io::Result<()> {
        self.out.flush()?;
        screen.remark(&format!(
            "{}, {}",
            human::counted(self.messages, "message", "messages"),
            human::counted(self.deliveries, "delivery", "deliveries")
        ));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{control::fixture, spool::State};

    #[test]
    fn a_line_for_each_delivery() {
        let to = ["bob@corp.example", "eve@corp.example"];
        let (message, deliveries) = fixture::message(7, &to, State::Held);
        let mut out = Vec::new();
        let mut table = Table::new(&mut out);
        table
            .message(&MessageView::of(&message, &deliveries))
            .unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        let arrived = human::time(1_795_428_001_500);
        assert!(lines[1].starts_with(&format!("000000000007  {arrived}  ")));
        assert!(lines[1].ends_with("   4.0 kB  held       alice@example.org -> bob@corp.example"));
        assert!(lines[2].ends_with("-> eve@corp.example"));
    }
}
