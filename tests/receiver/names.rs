//! The names of clients: by reverse lookup, confirmed by a forward one, never waited for long.

use super::{
    dns::DnsServer,
    proxy::{behind, line, send},
    support::Relay,
};
use std::net::{SocketAddr, UdpSocket};

const ZONE: &str = "
    9.113.0.203.in-addr.arpa 60 PTR mail.sender.test
    mail.sender.test 60 A 203.0.113.7
    mail.sender.test 60 A 203.0.113.9
    10.113.0.203.in-addr.arpa 60 PTR mail.sender.test
    11.113.0.203.in-addr.arpa 60 PTR nowhere.test
    13.113.0.203.in-addr.arpa 60 PTR other.sender.test
    13.113.0.203.in-addr.arpa 60 PTR thirteen.sender.test
    thirteen.sender.test 60 A 203.0.113.13
";

fn asking(servers: Vec<SocketAddr>, wanted: bool) -> Relay {
    Relay::with(|config| {
        config.dns.servers = servers;
        config.dns.client_names = wanted;
    })
}

/// The names that the clients at these addresses have.
fn names(relay: &Relay, clients: &[&str]) -> Vec<Option<String>> {
    for client in clients {
        send(&mut behind(relay, line(client)));
    }
    let arrived = relay.arrived().into_iter();
    arrived.map(|(envelope, _)| envelope.client.name).collect()
}

#[test]
fn a_name_that_has_the_address_is_the_clients() {
    let server = DnsServer::start(ZONE);
    let relay = asking(vec![server.address], true);
    let named = |name: &str| Some(name.to_owned());
    let clients = [
        "203.0.113.9",
        // It says that it is somebody else.
        "203.0.113.10",
        // Its name has no address.
        "203.0.113.11",
        // It has no name.
        "203.0.113.12",
        // Of two names one is right.
        "203.0.113.13",
    ];
    assert_eq!(
        names(&relay, &clients),
        [
            named("mail.sender.test"),
            None,
            None,
            None,
            named("thirteen.sender.test")
        ]
    );
}

#[test]
fn nobody_is_asked_where_it_is_not_wanted() {
    let server = DnsServer::start(ZONE);
    let relay = asking(vec![server.address], false);
    assert_eq!(names(&relay, &["203.0.113.9"]), [None]);
}

#[test]
fn a_silent_server_is_not_waited_for() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let relay = asking(vec![silent.local_addr().unwrap()], true);
    let mut peer = behind(&relay, line("203.0.113.9"));
    peer.expect("220 ");
    // A resolver repeats a question some three times a second, for four seconds.
    silent.set_nonblocking(true).unwrap();
    let questions = std::iter::from_fn(|| silent.recv(&mut [0; 512]).ok());
    assert!((1..=6).contains(&questions.count()));
}
