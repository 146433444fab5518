//! A server that is far away: every byte to it and from it takes its time.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::mpsc::channel,
    thread,
    time::{Duration, Instant},
};

/// The port of one that is so far from the server on `port`, until the test process ends.
pub fn far(port: u16, round_trip: Duration) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let own = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.unwrap();
            // Nobody is there while the server is down.
            let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else {
                continue;
            };
            client.set_nodelay(true).unwrap();
            server.set_nodelay(true).unwrap();
            carry(&client, &server, round_trip / 2);
            carry(&server, &client, round_trip / 2);
        }
    });
    own
}

/// One direction, and its end, each as late as the other.
fn carry(from: &TcpStream, to: &TcpStream, way: Duration) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    let (sender, pieces) = channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        let mut space = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut space) {
            let piece = space.get(..count).unwrap_or_default().to_vec();
            if sender.send((Instant::now() + way, piece)).is_err() {
                break;
            }
        }
    });
    thread::spawn(move || {
        for (due, piece) in pieces {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&piece).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}
