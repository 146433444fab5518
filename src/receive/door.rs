//! Who a connection is from, when a load balancer stands in front of the listener.

use super::{answers, log, shared::Shared, who::Who};
use crate::{
    config::ListenTls,
    net::{self, Pass, ProxyError},
    smtp::Reply,
};
use std::{io::Write as _, net::SocketAddr, time::Duration};
use tokio::net::TcpStream;

/// How long a balancer may take for its header; the protocol's description asks to leave it
/// at least 3 s.
const HEADER: Duration = Duration::from_secs(10);

/// The client behind a balancer, if it may come in. What is wrong with the header is nothing
/// that the client could do something about: the connection just ends.
pub(super) async fn client(
    shared: &Shared,
    mut stream: TcpStream,
    balancer: SocketAddr,
    tls: ListenTls,
    pass: &mut Pass,
) -> Option<(TcpStream, SocketAddr)> {
    let patience = HEADER.min(shared.command_timeout);
    let client = match net::proxied(&mut stream, patience).await {
        Ok(client) => client.unwrap_or(balancer),
        Err(error) => {
            // Most balancers look whether we are there by connecting and closing.
            if !matches!(error, ProxyError::Lost(_)) {
                log::no_proxy_header(balancer.ip().to_canonical(), &error);
            }
            return None;
        }
    };
    if let Err(crowded) = pass.name(client.ip()) {
        let reply = answers::crowded(&shared.limits.hostname, crowded);
        turn_away(shared, stream, client, tls, &reply);
        return None;
    }
    Some((stream, client))
}

/// Refuses a connection without spending a task on it. The reply fits in the socket's
/// empty send buffer, or the client is gone.
pub(super) fn turn_away(
    shared: &Shared,
    stream: TcpStream,
    peer: SocketAddr,
    tls: ListenTls,
    reply: &Reply,
) {
    shared.counters.count_rejected(reply);
    log::connection_rejected(&Who::at(peer), reply);
    if tls != ListenTls::Implicit {
        let mut wire = Vec::new();
        reply.write(&mut wire);
        // Past the runtime, which does not know yet that the socket can be written to.
        let told = stream
            .into_std()
            .and_then(|mut stream| stream.write_all(&wire));
        if let Err(error) = told {
            tracing::debug!(%error, "a refused client was not told");
        }
    }
}
