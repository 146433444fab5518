//! Against a server on loopback.

#[path = "../../tests/support/dns.rs"]
mod server;

use super::*;
use hickory_resolver::proto::op::ResponseCode;
use server::{Conduct, DnsServer};

const ZONE: &str = "
    corp.example 300 MX 20 backup.example
    corp.example 300 MX 10 Relay.Example
    corp.example 3600 NS ns1.example
    corp.example 60 TXT v=spf1 -all
    relay.example 120 A 192.0.2.5
    relay.example 60 AAAA 2001:db8::5
    old.example 30 CNAME relay.example
    5.2.0.192.in-addr.arpa 60 PTR relay.example
    _25._tcp.relay.example 60 TLSA 3 1 1 0aff
";

fn asking(server: &DnsServer) -> Dns {
    Dns::at(server.address, Ask::Itself).unwrap()
}

#[tokio::test]
async fn each_kind_of_record_is_read() {
    let server = DnsServer::start(ZONE);
    let dns = asking(&server);
    let mx = dns.mx("CORP.example").await.unwrap();
    let hosts: Vec<_> = mx
        .records
        .iter()
        .map(|mx| (mx.preference, &*mx.host))
        .collect();
    assert_eq!(hosts, [(10, "relay.example"), (20, "backup.example")]);
    assert_eq!(mx.ttl, Some(Duration::from_secs(300)));
    assert!(mx.authoritative);
    let addresses = dns.addresses("relay.example").await.unwrap();
    let expected: [IpAddr; 2] = ["192.0.2.5".parse().unwrap(), "2001:db8::5".parse().unwrap()];
    assert_eq!(addresses.records, expected);
    assert_eq!(addresses.ttl, Some(Duration::from_secs(60)));
    let ptr = dns.ptr("192.0.2.5".parse().unwrap()).await.unwrap();
    assert_eq!(ptr.records, ["relay.example"]);
    assert_eq!(
        dns.txt("corp.example").await.unwrap().records,
        ["v=spf1 -all"]
    );
    assert_eq!(
        dns.ns("corp.example").await.unwrap().records,
        ["ns1.example"]
    );
    let tlsa = dns.tlsa("_25._tcp.relay.example").await.unwrap();
    let expected = Tlsa {
        usage: 3,
        selector: 1,
        matching: 1,
        data: vec![10, 255],
    };
    assert_eq!(tlsa.records, [expected]);
}

#[tokio::test]
async fn an_alias_is_followed_and_can_be_seen() {
    let server = DnsServer::start(ZONE);
    let dns = asking(&server);
    let found = dns.ipv4("old.example").await.unwrap();
    assert_eq!(found.records.len(), 1);
    assert_eq!(found.ttl, Some(Duration::from_secs(30)));
    assert_eq!(
        dns.cname("old.example").await.unwrap().records,
        ["relay.example"]
    );
    assert_eq!(dns.cname("relay.example").await.unwrap().records.len(), 0);
}

#[tokio::test]
async fn nothing_there_is_an_answer() {
    let server = DnsServer::start(ZONE);
    let dns = asking(&server);
    for name in ["corp.example", "nobody.example", "_mta-sts.corp.example"] {
        assert_eq!(dns.ipv6(name).await.unwrap().records.len(), 0, "{name}");
    }
}

#[tokio::test]
async fn no_answer_is_an_error_that_names_the_server() {
    let server = DnsServer::start(ZONE);
    let dns = asking(&server);
    for (conduct, expected, passes) in [
        (
            Conduct::Says(ResponseCode::ServFail),
            "said Server Failure",
            true,
        ),
        (
            Conduct::Says(ResponseCode::Refused),
            "said Query Refused",
            true,
        ),
        (Conduct::Refers, "names others", false),
    ] {
        server.conduct(conduct);
        let error = dns.mx("corp.example").await.unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains(expected) && text.contains("127.0.0.1:"),
            "{text}"
        );
        assert_eq!(error.may_pass(), passes, "{text}");
    }
    assert!(matches!(dns.mx("a..b").await, Err(DnsError::NoName { .. })));
    let address = server.address;
    drop(server);
    let nobody = Dns::at(address, Ask::Recurse).unwrap();
    let error = nobody.mx("corp.example").await.unwrap_err();
    assert!(matches!(error, DnsError::Silent { .. }), "{error}");
}

#[tokio::test]
async fn resolvers_are_those_of_the_configuration() {
    let server = DnsServer::start(ZONE);
    let config = DnsConfig {
        servers: vec![server.address],
        client_names: true,
        zones: Vec::new(),
    };
    let dns = Dns::new(&config).unwrap();
    assert_eq!(dns.servers(), [server.address]);
    assert_eq!(dns.mx("corp.example").await.unwrap().records.len(), 2);
    // Remembered for its TTL, so that a client's name is not asked for with each message.
    server.set("");
    assert_eq!(dns.mx("corp.example").await.unwrap().records.len(), 2);
}
