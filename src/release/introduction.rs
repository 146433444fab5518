//! The client that a message came from, told to the destination, so that its checks see
//! the real sender: by XCLIENT, after which the session begins again on that client's
//! behalf, or by XFORWARD, which serves its log alone. After Postfix's XCLIENT_README and
//! XFORWARD_README; only what is offered is sent.

use super::{
    commands::Features,
    connection::Connection,
    deliver::Orders,
    job::Shared,
    reply::{Failure, FailureKind, Phase},
};
use crate::{
    config::DestinationXclient,
    mail::{Client, Protocol, QueueId},
};
use std::fmt::Write as _;

/// Both documents' bound on an attribute's value, in bytes.
const VALUE_BYTES_MAX: usize = 255;

impl Shared {
    /// A connection that is ready for a message from `client`: the kept one if it is still
    /// good, else a new one.
    pub async fn connected(
        &self,
        kept: Option<Connection>,
        client: &Client,
    ) -> Result<Connection, Failure> {
        let mut orders = self.orders.clone();
        tokio::select! {
            biased;
            _ = orders.wait_for(|orders| *orders >= Orders::Stop) => Err(Failure {
                phase: Phase::Connect,
                relay: self.setup.target.to_string(),
                kind: FailureKind::Stopped,
            }),
            opened = self.introduced(kept, client) => opened,
        }
    }

    async fn introduced(
        &self,
        kept: Option<Connection>,
        client: &Client,
    ) -> Result<Connection, Failure> {
        if let Some(mut kept) = kept
            && !kept.is_disturbed()
            // It may have been closed in this moment, or take no second client.
            && introduce(&mut kept, &self.setup.hostname, client).await.is_ok()
        {
            return Ok(kept);
        }
        let mut fresh = Connection::open(&self.setup).await?;
        let refusal = match introduce(&mut fresh, &self.setup.hostname, client).await {
            Ok(()) => return Ok(fresh),
            Err(failure) => failure,
        };
        let said = matches!(&refusal.kind, FailureKind::Said(reply) if reply.code != 421);
        if !said || fresh.xclient != DestinationXclient::Auto {
            return Err(refusal);
        }
        // The message matters more than where it came from. The session may be that of a
        // refused client by now, so it goes in another, which serves this message alone.
        tracing::warn!("{refusal}; going on without XCLIENT for this message");
        fresh.quit().await;
        let mut plain = Connection::open(&self.setup).await?;
        plain.xclient = DestinationXclient::Off;
        Ok(plain)
    }
}

impl Connection {
    /// Whether a message from this client may go without another introduction.
    #[must_use]
    pub fn is_for(&self, client: &Client) -> bool {
        let known = self.introduced.as_ref() == Some(client);
        let nobody = self.introduced.is_none() && !offers(&self.features.xclient);
        let optional = self.xclient != DestinationXclient::Require;
        self.xclient == DestinationXclient::Off || known || (nobody && optional)
    }
}

/// XCLIENT, and the session from its beginning.
async fn introduce(
    connection: &mut Connection,
    hostname: &str,
    client: &Client,
) -> Result<(), Failure> {
    if connection.is_for(client) {
        return Ok(());
    }
    let (phase, limit) = (Phase::Xclient, connection.timeouts.hello);
    if !offers(&connection.features.xclient) {
        return Err(connection.failure(phase, FailureKind::Anonymous));
    }
    // Not in the middle of a transaction.
    if std::mem::take(&mut connection.needs_reset) {
        connection.command(Phase::Mail, limit, "RSET\r\n").await?;
    }
    let line = xclient(client, &connection.features.xclient);
    let reply = connection.command(phase, limit, &line).await?;
    if !reply.is_positive() {
        return Err(connection.failure(phase, FailureKind::Said(reply)));
    }
    connection.introduced = Some(client.clone());
    connection.hello(hostname).await
}

/// The command for the flight of a message whose client is not known by XCLIENT.
pub(super) fn forward(connection: &Connection, client: &Client, id: QueueId) -> Option<String> {
    let Features { xforward, .. } = &connection.features;
    let wanted = connection.xclient == DestinationXclient::Auto
        && connection.introduced.is_none()
        && offers(xforward);
    wanted.then(|| {
        let mut line = attributes("XFORWARD", client, xforward);
        attribute(&mut line, xforward, "IDENT", &id.to_string());
        attribute(&mut line, xforward, "SOURCE", "REMOTE");
        line + "\r\n"
    })
}

/// Without the address the rest would be about somebody else.
fn offers(attributes: &[String]) -> bool {
    attributes.iter().any(|name| name == "ADDR")
}

fn xclient(client: &Client, offered: &[String]) -> String {
    attributes("XCLIENT", client, offered) + "\r\n"
}

fn attributes(command: &str, client: &Client, offered: &[String]) -> String {
    let mut line = command.to_owned();
    let address = match client.ip.to_canonical() {
        std::net::IpAddr::V4(ip) => ip.to_string(),
        std::net::IpAddr::V6(ip) => format!("IPV6:{ip}"),
    };
    let protocol = match client.protocol {
        Protocol::Smtp => "SMTP",
        Protocol::Esmtp | Protocol::Esmtps => "ESMTP",
    };
    let name = client.name.as_deref().unwrap_or_default();
    attribute(&mut line, offered, "NAME", name);
    attribute(&mut line, offered, "ADDR", &address);
    attribute(&mut line, offered, "PORT", &client.port.to_string());
    attribute(&mut line, offered, "PROTO", protocol);
    attribute(&mut line, offered, "HELO", &client.helo);
    line
}

fn attribute(line: &mut String, offered: &[String], name: &str, value: &str) {
    if !offered.iter().any(|one| one == name) {
        return;
    }
    let _ = write!(line, " {name}=");
    if value.is_empty() || value.len() > VALUE_BYTES_MAX {
        line.push_str("[UNAVAILABLE]");
        return;
    }
    for byte in value.bytes() {
        // RFC 3461 §4: xtext.
        match byte {
            b'+' | b'=' => {
                let _ = write!(line, "+{byte:02X}");
            }
            33..=126 => line.push(char::from(byte)),
            _ => {
                let _ = write!(line, "+{byte:02X}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::peer::envelope;

    fn offered(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn says_what_is_offered_and_nothing_else() {
        let mut client = envelope(&["bob@corp.example"]).client;
        let all = offered("NAME ADDR PROTO HELO REVERSE_NAME PORT LOGIN DESTADDR DESTPORT");
        assert_eq!(
            xclient(&client, &all),
            "XCLIENT NAME=[UNAVAILABLE] ADDR=192.0.2.1 PORT=4321 PROTO=ESMTP \
             HELO=client.example\r\n"
        );
        client.name = Some("mail.example.org".into());
        assert_eq!(
            xclient(&client, &offered("ADDR NAME")),
            "XCLIENT NAME=mail.example.org ADDR=192.0.2.1\r\n"
        );
    }

    #[test]
    fn a_value_is_one_word_whatever_the_client_said() {
        let mut client = envelope(&["bob@corp.example"]).client;
        client.protocol = Protocol::Smtp;
        client.helo = "a b\r\n+=\u{e9}".into();
        assert_eq!(
            xclient(&client, &offered("ADDR PROTO HELO")),
            "XCLIENT ADDR=192.0.2.1 PROTO=SMTP HELO=a+20b+0D+0A+2B+3D+C3+A9\r\n"
        );
        client.helo = "x".repeat(256);
        assert!(xclient(&client, &offered("HELO")).contains("HELO=[UNAVAILABLE]"));
    }

    #[test]
    fn addresses_of_both_kinds() {
        let mut client = envelope(&["bob@corp.example"]).client;
        for (ip, expected) in [
            ("2001:db8::1", "ADDR=IPV6:2001:db8::1\r\n"),
            ("::ffff:192.0.2.7", "ADDR=192.0.2.7\r\n"),
        ] {
            client.ip = ip.parse().unwrap();
            assert!(xclient(&client, &offered("ADDR")).ends_with(expected));
        }
    }
}
