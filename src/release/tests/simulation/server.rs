//! The destination: lines that are as long as they are, a server in changing weather, and
//! what it has taken.

use crate::{
    mail::{DeliveryId, QueueId},
    release::{
        dice::Dice,
        outside::{Dial, Line},
        peer::{Act, CHUNKING, Moment, State, Taken, USUAL, converse},
    },
};
use std::{
    io,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split},
    sync::watch,
    time::sleep,
};

/// What a line holds in each direction.
const LINE_BYTES: usize = 256 * 1024;

/// How things go, in percent of the moments at which they can go wrong.
#[derive(Clone, Copy, Default, Debug)]
pub struct Weather {
    /// Lines that cannot be opened.
    pub unreachable: u64,
    /// Sessions that are sent away.
    pub crowded: u64,
    /// Answers 4xx.
    pub deferring: u64,
    /// Answers 5xx.
    pub refusing: u64,
    /// Connections that are lost, before an answer or behind what was taken.
    pub losing: u64,
    /// Answers that never come.
    pub silent: u64,
}

/// See the [module](self).
pub struct Server {
    state: State,
    sky: Arc<Mutex<Sky>>,
    /// Half a round trip.
    distance: Duration,
}

struct Sky {
    dice: Dice,
    weather: Weather,
    sessions: usize,
}

impl Server {
    pub fn new(mut dice: Dice) -> Arc<Self> {
        let features = match dice.roll(2) {
            0 => USUAL,
            _ => CHUNKING,
        };
        let distance = match dice.roll(2) {
            0 => Duration::from_micros(dice.roll(500)),
            _ => Duration::from_millis(2 + dice.roll(150)),
        };
        let sky = Arc::new(Mutex::new(Sky {
            dice,
            weather: Weather::default(),
            sessions: 0,
        }));
        let above = sky.clone();
        let script = move |_: usize, moment: &Moment| above.lock().unwrap().act(moment);
        Arc::new(Self {
            state: State::new(features, script),
            sky,
            distance,
        })
    }

    pub fn set(&self, weather: Weather) {
        self.sky().weather = weather;
    }

    /// Each delivery that was taken, each time.
    pub fn taken(&self) -> Vec<DeliveryId> {
        self.state.taken().iter().flat_map(deliveries).collect()
    }

    pub fn has_taken(&self, id: DeliveryId) -> bool {
        self.taken().contains(&id)
    }

    /// What was said to it.
    pub fn commands(&self) -> Vec<String> {
        self.state.commands().clone()
    }

    /// Lines for a process, which are cut when it dies.
    pub fn lines(self: &Arc<Self>, died: watch::Receiver<bool>) -> Dial {
        let server = self.clone();
        Arc::new(move |_, _| {
            let (server, died) = (server.clone(), died.clone());
            Box::pin(async move {
                sleep(2 * server.distance).await;
                let weather = server.sky().weather;
                if server.sky().happens(weather.unreachable) {
                    return Err(io::ErrorKind::ConnectionRefused.into());
                }
                Ok(Box::new(server.line(died)) as Box<dyn Line>)
            })
        })
    }

    fn line(self: &Arc<Self>, died: watch::Receiver<bool>) -> DuplexStream {
        let (client, near) = duplex(LINE_BYTES);
        let (far, end) = duplex(LINE_BYTES);
        let (from_client, to_client) = split(near);
        let (from_server, to_server) = split(far);
        // What a process has sent before its death may arrive or not.
        let arrives = self.sky().dice.roll(2) == 0;
        tokio::spawn(carry(
            from_client,
            to_server,
            self.distance,
            died.clone(),
            arrives,
        ));
        tokio::spawn(carry(from_server, to_client, self.distance, died, false));
        let (server, number) = (self.clone(), self.number());
        tokio::spawn(async move { converse(&server.state, number, end).await });
        client
    }

    fn number(&self) -> usize {
        let mut sky = self.sky();
        sky.sessions += 1;
        sky.sessions
    }

    fn sky(&self) -> MutexGuard<'_, Sky> {
        self.sky.lock().unwrap()
    }
}

impl Sky {
    fn happens(&mut self, percent: u64) -> bool {
        self.dice.roll(100) < percent
    }

    fn act(&mut self, moment: &Moment) -> Act {
        let weather = self.weather;
        if matches!(moment, Moment::Command(line) if line == "QUIT" || line.starts_with("BDAT")) {
            return Act::Usual;
        }
        if self.happens(weather.losing) {
            return match (moment, self.dice.roll(2)) {
                (Moment::Dot { .. }, 0) => Act::TakeAndClose,
                _ => Act::Close,
            };
        }
        if self.happens(weather.silent) {
            return Act::Stall;
        }
        match moment {
            Moment::Connected if self.happens(weather.crowded) => {
                Act::SayAndClose("421 4.7.0 too many connections\r\n")
            }
            Moment::Connected => Act::Usual,
            Moment::Command(line) if line.starts_with("EHLO") || line.starts_with("LHLO") => {
                Act::Usual
            }
            _ if self.happens(weather.deferring) => match self.dice.roll(4) {
                0 => Act::SayAndClose("421 4.3.2 shutting down\r\n"),
                _ => Act::Say("451 4.3.0 later\r\n"),
            },
            Moment::Command(line) if line == "RSET" => Act::Usual,
            _ if self.happens(weather.refusing) => Act::Say("550 5.7.1 no\r\n"),
            // What it said is on its way when the connection ends.
            Moment::Dot { .. } if self.happens(weather.losing) => {
                Act::SayAndClose("250 2.0.0 Ok: queued\r\n")
            }
            _ => Act::Usual,
        }
    }
}

/// The deliveries of a message, which its own text names.
fn deliveries(taken: &Taken) -> Vec<DeliveryId> {
    let text = String::from_utf8_lossy(&taken.data);
    let (_, number) = text.split_once("Number: ").expect("a message names itself");
    let number = number.split_whitespace().next().unwrap_or_default();
    let message = QueueId::new(number.parse().unwrap()).unwrap();
    let place = |to: &String| {
        let (_, place) = to.split_once("+r").expect("an address names its place");
        let place = place.split('@').next().unwrap_or_default();
        DeliveryId {
            message,
            recipient: place.parse().unwrap(),
        }
    };
    taken.to.iter().map(place).collect()
}

/// Bytes in one direction, each after its way, until the process dies.
async fn carry(
    mut from: ReadHalf<DuplexStream>,
    mut to: WriteHalf<DuplexStream>,
    way: Duration,
    mut died: watch::Receiver<bool>,
    arrives: bool,
) {
    let mut late = died.clone();
    let mut space = vec![0; LINE_BYTES];
    loop {
        let read = tokio::select! {
            biased;
            _ = died.wait_for(|died| *died), if !arrives => break,
            read = from.read(&mut space) => read,
            _ = late.wait_for(|died| *died), if arrives => break,
        };
        let Some(piece) = read.ok().and_then(|count| space.get(..count)) else {
            break;
        };
        if piece.is_empty() {
            break;
        }
        sleep(way).await;
        if to.write_all(piece).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}
