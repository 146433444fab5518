//! A DNS server on loopback with the records that a test gives it, authoritative for all of
//! them. Over UDP; its answers are short.
//!
//! It is used from inside the crate too, and so names nothing of this directory.

use hickory_resolver::proto::{
    op::{Message, OpCode, ResponseCode},
    rr::{
        Name, RData, Record, RecordType,
        rdata::{CNAME, MX, NS, PTR, SOA, TLSA, TXT},
    },
};
use std::{
    net::{SocketAddr, UdpSocket},
    sync::{Arc, Mutex},
    thread::JoinHandle,
};

/// The server; it ends when dropped.
pub struct DnsServer {
    pub address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    thread: Option<JoinHandle<()>>,
}

struct Zone {
    records: Vec<Record>,
    conduct: Conduct,
}

/// How it answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Conduct {
    /// As it should.
    Sound,
    /// Nothing but this code.
    Says(ResponseCode),
    /// That somebody else knows.
    Refers,
    /// Not at all.
    Ended,
}

impl DnsServer {
    /// With these records, one a line: `corp.example 300 MX 10 relay.example`.
    pub fn start(records: &str) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let zone = Arc::new(Mutex::new(Zone {
            records: parse(records),
            conduct: Conduct::Sound,
        }));
        let shared = zone.clone();
        let thread = std::thread::spawn(move || serve(&socket, &shared));
        Self {
            address,
            zone,
            thread: Some(thread),
        }
    }

    /// In the place of what it had.
    pub fn set(&self, records: &str) {
        self.zone.lock().unwrap().records = parse(records);
    }

    pub fn conduct(&self, conduct: Conduct) {
        self.zone.lock().unwrap().conduct = conduct;
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.conduct(Conduct::Ended);
        let waker = UdpSocket::bind("127.0.0.1:0").unwrap();
        waker.send_to(&[], self.address).unwrap();
        self.thread.take().unwrap().join().unwrap();
    }
}

fn serve(socket: &UdpSocket, zone: &Mutex<Zone>) {
    let mut space = [0; 4096];
    loop {
        let (length, peer) = socket.recv_from(&mut space).unwrap();
        let zone = zone.lock().unwrap();
        if zone.conduct == Conduct::Ended {
            return;
        }
        if let Ok(question) = Message::from_vec(&space[..length]) {
            let answer = zone.answer(&question).to_vec().unwrap();
            socket.send_to(&answer, peer).unwrap();
        }
    }
}

impl Zone {
    fn answer(&self, question: &Message) -> Message {
        let query = question.queries[0].clone();
        let mut answer = Message::response(question.id, OpCode::Query);
        answer.add_query(query.clone());
        match self.conduct {
            Conduct::Says(code) => answer.metadata.response_code = code,
            Conduct::Refers => {
                let elsewhere = RData::NS(NS(name("ns.elsewhere.example")));
                answer.add_authorities([Record::from_rdata(query.name().clone(), 60, elsewhere)]);
            }
            Conduct::Sound | Conduct::Ended => self.sound(&query, &mut answer),
        }
        answer
    }

    fn sound(&self, query: &hickory_resolver::proto::op::Query, answer: &mut Message) {
        answer.metadata.authoritative = true;
        let at = |name: &Name| {
            let name = name.clone();
            self.records.iter().filter(move |one| one.name == name)
        };
        let mut asked = query.name().clone();
        let mut found = Vec::new();
        loop {
            let alias = at(&asked).find_map(|one| match &one.data {
                RData::CNAME(alias) if query.query_type() != RecordType::CNAME => {
                    Some((one.clone(), alias.0.clone()))
                }
                _ => None,
            });
            let Some((record, to)) = alias else { break };
            found.push(record);
            asked = to;
        }
        found.extend(
            at(&asked)
                .filter(|one| one.record_type() == query.query_type())
                .cloned(),
        );
        if found.is_empty() {
            let zone = name("example");
            let soa = SOA::new(zone.clone(), zone.clone(), 1, 60, 60, 60, 60);
            answer.add_authorities([Record::from_rdata(zone, 60, RData::SOA(soa))]);
            if at(query.name()).next().is_none() {
                answer.metadata.response_code = ResponseCode::NXDomain;
            }
        }
        answer.add_answers(found);
    }
}

fn parse(records: &str) -> Vec<Record> {
    let lines = records.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty())
        .map(|line| record(line).unwrap_or_else(|| panic!("no record: {line}")))
        .collect()
}

fn record(line: &str) -> Option<Record> {
    let mut words = line.splitn(4, ' ');
    let (owner, ttl, kind) = (words.next()?, words.next()?.parse().ok()?, words.next()?);
    let rest = words.next()?;
    let data = match kind {
        "A" => RData::A(rest.parse().ok()?),
        "AAAA" => RData::AAAA(rest.parse().ok()?),
        "CNAME" => RData::CNAME(CNAME(name(rest))),
        "NS" => RData::NS(NS(name(rest))),
        "PTR" => RData::PTR(PTR(name(rest))),
        "MX" => {
            let (preference, host) = rest.split_once(' ')?;
            RData::MX(MX::new(preference.parse().ok()?, name(host)))
        }
        "TXT" => {
            let parts = rest.as_bytes().chunks(255);
            let texts = parts.map(|part| String::from_utf8(part.to_vec()).unwrap());
            RData::TXT(TXT::new(texts.collect()))
        }
        "TLSA" => {
            let mut numbers = rest.splitn(4, ' ');
            let mut number = || numbers.next()?.parse::<u8>().ok();
            let (usage, selector, matching) = (number()?, number()?, number()?);
            let data = hex(numbers.next()?)?;
            RData::TLSA(TLSA::new(
                usage.into(),
                selector.into(),
                matching.into(),
                data,
            ))
        }
        _ => return None,
    };
    Some(Record::from_rdata(name(owner), ttl, data))
}

fn hex(digits: &str) -> Option<Vec<u8>> {
    let pair = |at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    (0..digits.len()).step_by(2).map(pair).collect()
}

fn name(text: &str) -> Name {
    let mut name = Name::from_utf8(text).unwrap();
    name.set_fqdn(true);
    name
}
