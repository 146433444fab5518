//! A wire between a client and the relay that shows who said what, and when.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// Who speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Side {
    Client,
    Relay,
}

/// What went by, in its order.
type Heard = Arc<Mutex<Vec<(Side, Vec<u8>)>>>;

/// The wire; it passes connections on until the process ends.
pub struct Tap {
    pub port: u16,
    heard: Heard,
}

impl Tap {
    /// In front of this port.
    pub fn before(relay: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::default();
        let hearing = Arc::clone(&heard);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let server = TcpStream::connect(("127.0.0.1", relay)).unwrap();
                for (side, from, to) in [
                    (Side::Client, &client, &server),
                    (Side::Relay, &server, &client),
                ] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    to.set_nodelay(true).unwrap();
                    let hearing = Arc::clone(&hearing);
                    thread::spawn(move || pass_on(side, from, to, &hearing));
                }
            }
        });
        Self { port, heard }
    }

    /// Forgets what it has heard.
    pub fn forget(&self) {
        self.heard.lock().unwrap().clear();
    }

    /// Whether a client has sent this.
    pub fn client_said(&self, text: &str) -> bool {
        let heard = self.heard.lock().unwrap();
        let said = heard.iter().filter(|(side, _)| *side == Side::Client);
        let said: Vec<u8> = said.flat_map(|(_, bytes)| bytes).copied().collect();
        String::from_utf8_lossy(&said).contains(text)
    }

    /// Whether a client has named a recipient before it heard what became of its sender
    /// (RFC 2920).
    pub fn client_pipelined(&self) -> bool {
        let mut awaited = false;
        for (side, bytes) in self.heard.lock().unwrap().iter() {
            let text = String::from_utf8_lossy(bytes);
            match side {
                Side::Relay => awaited = false,
                Side::Client => {
                    awaited |= text.contains("MAIL FROM:");
                    if awaited && text.contains("RCPT TO:") {
                        return true;
                    }
                }
            }
        }
        false
    }
}

/// What is heard is noted before it is passed on: no answer stands before its question.
fn pass_on(
    side: Side,
    mut from: TcpStream,
    mut to: TcpStream,
    hearing: &Mutex<Vec<(Side, Vec<u8>)>>,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(bytes @ 1..) = from.read(&mut buffer) {
        let said = buffer[..bytes].to_vec();
        hearing.lock().unwrap().push((side, said));
        if to.write_all(&buffer[..bytes]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
