//! `tracing`'s events as lines: `warning: disk is slow; sync_ms=812`.

use super::{format::Source, line::Line, sink::Sink, with_line};
use std::{fmt, sync::Arc};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

/// Writes every event that the filter in front of it lets through.
pub(super) struct Events {
    sink: Arc<Sink>,
}

impl Events {
    pub(super) fn new(sink: Arc<Sink>) -> Self {
        Self { sink }
    }
}

impl<S: Subscriber> Layer<S> for Events {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        with_line(|line| {
            write(line, event.metadata(), |visitor| event.record(visitor));
            let source = Source::Relay(*event.metadata().level());
            self.sink.append(source, line.as_bytes());
        });
    }
}

fn write(line: &mut Line, metadata: &Metadata<'_>, record: impl Fn(&mut dyn Visit)) {
    // Of our own events the text says enough.
    let target = metadata.target();
    if target != "relay" && !target.starts_with("relay::") {
        line.add(format_args!("{target}: "));
    }
    let mut message = Message { line, gap: "" };
    record(&mut message);
    let gap = message.gap;
    record(&mut Fields { line, gap });
}

/// Writes the text of an event.
struct Message<'l> {
    line: &'l mut Line,
    /// What has to stand between it and the fields.
    gap: &'static str,
}

impl Visit for Message<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.line.add(format_args!("{value:?}"));
            self.gap = "; ";
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

/// Writes the other fields behind it.
struct Fields<'l> {
    line: &'l mut Line,
    gap: &'static str,
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let name = field.name();
        // Events of the `log` crate come with fields that say where they were made.
        if name == "message" || name.starts_with("log.") {
            return;
        }
        let gap = std::mem::replace(&mut self.gap, " ");
        self.line.add(format_args!("{gap}{name}={value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{format::Format, sink::tests::Shared};
    use tracing_subscriber::layer::SubscriberExt as _;

    #[test]
    fn events_are_lines_in_postfix_form() {
        let output = Shared::default();
        let format = Format::new("postfix-relay", None, 7);
        let sink = Sink::start(format, Box::new(output.clone())).unwrap();
        let subscriber = tracing_subscriber::registry().with(Events::new(sink.clone()));
        tracing::subscriber::with_default(subscriber, || {
            let error = std::io::Error::other("no space");
            tracing::info!("ready");
            tracing::warn!(sync_ms = 812, path = %"/x", "disk is slow");
            tracing::error!(%error, name = "a\nb", "spool closed");
            tracing::debug!(target: "hyper::server", n = 1);
        });
        sink.close();
        assert_eq!(
            output.text(),
            "postfix-relay/relay[7]: ready\n\
             <4>postfix-relay/relay[7]: warning: disk is slow; sync_ms=812 path=/x\n\
             <3>postfix-relay/relay[7]: error: spool closed; error=no space name=\"a\\nb\"\n\
             <7>postfix-relay/relay[7]: debug: hyper::server: n=1\n"
        );
    }
}
