//! `relay show`

use super::{
    Context, human,
    screen::{Screen, Tone},
    source::Source,
};
use crate::{
    control::view::{EventView, MessageView, RecipientView},
    mail::QueueId,
};
use clap::Args;
use serde::Serialize;
use std::io::{self, Write as _};

/// Which message, and what of it.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Its queue id.
    id: QueueId,
    /// Write the exact bytes that the sender sent, and nothing else.
    #[arg(long, conflicts_with = "events")]
    raw: bool,
    /// Show the history of its deliveries too.
    #[arg(long)]
    events: bool,
}

/// With `--json`: the members of a message, and `events` where asked for.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    message: &'a MessageView,
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<&'a [EventView]>,
}

/// # Errors
/// No such message, bytes that are gone or damaged; those of the daemon or the spool.
pub async fn run(context: &Context, arguments: Arguments) -> anyhow::Result<()> {
    let source = Source::open(context).await?;
    if arguments.raw {
        let mut out = io::stdout();
        source.raw(arguments.id, &mut out).await?;
        return Ok(out.flush()?);
    }
    let message = source.message(arguments.id).await?;
    let events = if arguments.events {
        Some(source.events(arguments.id).await?)
    } else {
        None
    };
    if context.screen.json {
        return context.screen.json(&Shown {
            message: &message,
            events: events.as_deref(),
        });
    }
    print(&context.screen, &message)?;
    if let Some(events) = events {
        print_events(&context.screen, &message, &events)?;
    }
    Ok(())
}

fn print(screen: &Screen, message: &MessageView) -> io::Result<()> {
    let tls = message.tls.as_deref().unwrap_or("no TLS");
    screen.line(&format!(
        "{}  {} bytes  arrived {}",
        screen.tone(Tone::Strong, &message.queue_id),
        human::count(message.message_size),
        human::time(message.arrival_time_ms)
    ))?;
    let client = human::printable(&message.client);
    let helo = human::printable(&message.helo);
    screen.line(&format!(
        "  client  {client} as {helo}, {}, {tls}",
        message.protocol
    ))?;
    screen.line(&format!("  from    {}", human::sender(&message.sender)))?;
    for recipient in &message.recipients {
        screen.line(&recipient_line(recipient))?;
        if let (Some(relay), Some(reply)) = (&recipient.relay, &recipient.reply) {
            let reply = human::printable(reply);
            screen.line(&format!("            {}: {reply}", human::printable(relay)))?;
        }
    }
    let kept = if message.has_body {
        "bytes kept"
    } else {
        "bytes removed after spool.retain_delivered"
    };
    screen.line(&format!("  digest  {}, {kept}", message.digest))
}

fn recipient_line(recipient: &RecipientView) -> String {
    let mut line = format!(
        "  to      {}  {} since {}",
        human::printable(&recipient.address),
        recipient.state,
        human::time(recipient.since_ms)
    );
    if recipient.attempts > 0 {
        let attempts = human::counted(recipient.attempts.into(), "attempt", "attempts");
        line += &format!(", {attempts}");
    }
    if let Some(due_ms) = recipient.due_ms {
        line += &format!(", due {}", human::time(due_ms));
    }
    if recipient.attempting {
        line += ", being sent now";
    }
    line
}

fn print_events(screen: &Screen, message: &MessageView, events: &[EventView]) -> io::Result<()> {
    screen.line(&format!(
        "{}  accepted from {}",
        human::time(message.arrival_time_ms),
        human::printable(&message.client)
    ))?;
    for event in events {
        let reply = match (&event.relay, &event.reply) {
            (Some(relay), Some(reply)) => format!(" ({relay}: {reply})"),
            (None, Some(reply)) => format!(" ({reply})"),
            _ => String::new(),
        };
        screen.line(&human::printable(&format!(
            "{}  {}  {} -> {}  {}{reply}",
            human::time(event.at_ms),
            event.address,
            event.from,
            event.to,
            event.cause
        )))?;
    }
    Ok(())
}
