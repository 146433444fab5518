//! The PROXY header: the same length whatever pieces it comes in, never more than was sent,
//! and a client that a plain reading of the text finds as well.

use crate::header::{length, parse};
use std::net::{IpAddr, SocketAddr};

pub fn strike(input: &[u8]) {
    let whole = length(input);
    for cut in 0..input.len() {
        match (length(&input[..cut]), whole) {
            (Ok(None), _) => {}
            // What is certain stays so, but for how much of a long one has come.
            (Ok(early), late) => assert_eq!(late, Ok(early)),
            (Err(_), late) => assert!(late.is_err()),
        }
    }
    let Ok(Some(bytes)) = whole else {
        return;
    };
    assert!((1..=4096).contains(&bytes));
    let Some(header) = input.get(..bytes) else {
        return;
    };
    if let (Ok(Some(client)), Some(line)) = (parse(header), header.strip_prefix(b"PROXY ")) {
        assert_eq!(
            Some(client),
            slow(line),
            "{:?}",
            String::from_utf8_lossy(line)
        );
    }
}

/// Version 1 (§2.1), behind `PROXY `.
fn slow(line: &[u8]) -> Option<SocketAddr> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix("\r\n")?;
    let [family, source, destination, from, to] = line.split(' ').collect::<Vec<_>>()[..] else {
        return None;
    };
    let (source, destination): (IpAddr, IpAddr) = (source.parse().ok()?, destination.parse().ok()?);
    let four = family == "TCP4";
    let fits =
        (four || family == "TCP6") && four == source.is_ipv4() && four == destination.is_ipv4();
    let _: u16 = to.parse().ok()?;
    fits.then_some(SocketAddr::new(source, from.parse().ok()?))
}
