//! Where lines wait for the one thread that writes them, many at a time.
//!
//! Callers put whole lines into a shared buffer under a short lock; the thread swaps it for
//! an empty one and writes it with one call. A full buffer makes callers wait, so that no
//! line is lost and memory stays bounded.

use super::{
    format::{Format, Source},
    output::Output,
};
use std::{
    io::{self, Write},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// Bytes that wait at most, apart from the batch that is being written; then callers wait.
const BUFFER_BYTES_MAX: usize = 1 << 20;
/// Bytes that are worth a write of their own.
const BATCH_BYTES: usize = 64 << 10;
/// How long the first line of a batch waits for others.
const LINGER: Duration = Duration::from_millis(5);
/// How long closing waits for an output that takes nothing.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// The shared buffer and its thread.
pub(super) struct Sink {
    state: Mutex<State>,
    /// There are lines to write, or the sink is closed.
    work: Condvar,
    /// There is room again, or the thread has ended.
    room: Condvar,
}

struct State {
    format: Format,
    buffer: Vec<u8>,
    phase: Phase,
}

enum Phase {
    Open,
    /// The thread writes what is left and ends.
    Closing,
    /// The thread has ended; callers write themselves.
    Ended(Output),
}

impl Sink {
    /// Starts the thread, which writes to `out`.
    ///
    /// # Errors
    /// The system's when there can be no thread.
    pub(super) fn start(format: Format, out: Box<dyn Write + Send>) -> io::Result<Arc<Self>> {
        let sink = Arc::new(Self {
            state: Mutex::new(State {
                format,
                buffer: Vec::with_capacity(BUFFER_BYTES_MAX),
                phase: Phase::Open,
            }),
            work: Condvar::new(),
            room: Condvar::new(),
        });
        let thread = sink.clone();
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || thread.run(Output::new(out)))?;
        Ok(sink)
    }

    /// Adds a line; waits while the buffer is full.
    pub(super) fn append(&self, source: Source, text: &[u8]) {
        let full = |state: &mut State| {
            state.buffer.len() >= BUFFER_BYTES_MAX && !matches!(state.phase, Phase::Ended(_))
        };
        let state = self.room.wait_while(self.lock(), full);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        let State {
            format,
            buffer,
            phase,
        } = &mut *state;
        let before = buffer.len();
        format.write(source, text, buffer);
        if let Phase::Ended(output) = phase {
            output.write(&output.notice(format), buffer);
            buffer.clear();
            return;
        }
        // The thread waits for the first line, then for a batch; others need not wake it.
        let after = buffer.len();
        if before == 0 || (before < BATCH_BYTES && after >= BATCH_BYTES) {
            drop(state);
            self.work.notify_one();
        }
    }

    /// Writes what is left and ends the thread; at most [`CLOSE_WAIT`].
    pub(super) fn close(&self) {
        let mut state = self.lock();
        if matches!(state.phase, Phase::Open) {
            state.phase = Phase::Closing;
            self.work.notify_one();
        }
        let closing = |state: &mut State| matches!(state.phase, Phase::Closing);
        let _ = self.room.wait_timeout_while(state, CLOSE_WAIT, closing);
    }

    /// The thread.
    fn run(&self, mut output: Output) {
        let mut batch = Vec::with_capacity(BUFFER_BYTES_MAX);
        loop {
            let mut state = self.next_batch();
            if state.buffer.is_empty() {
                state.phase = Phase::Ended(output);
                self.room.notify_all();
                return;
            }
            mem::swap(&mut state.buffer, &mut batch);
            let notice = output.notice(&mut state.format);
            drop(state);
            self.room.notify_all();
            output.write(&notice, &batch);
            batch.clear();
        }
    }

    /// Waits for lines, then a little for more of them. An empty buffer means the end.
    fn next_batch(&self) -> MutexGuard<'_, State> {
        let open = |state: &State| matches!(state.phase, Phase::Open);
        let state = self
            .work
            .wait_while(self.lock(), |s| s.buffer.is_empty() && open(s))
            .unwrap_or_else(PoisonError::into_inner);
        let few = |s: &mut State| s.buffer.len() < BATCH_BYTES && open(s);
        let waited = self.work.wait_timeout_while(state, LINGER, few);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// No line is ever half in the buffer, so that a panic elsewhere does no harm.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::log::Service;
    use std::sync::mpsc;
    use tracing::Level;

    /// An output that is kept.
    #[derive(Clone, Default)]
    pub(in crate::log) struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Shared {
        pub(in crate::log) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// An output each of whose writes is announced with its length, then waits to be let go.
    struct Gate {
        arrived: mpsc::Sender<usize>,
        go: mpsc::Receiver<()>,
        shared: Shared,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.arrived.send(bytes.len()).unwrap();
            // Once the test lets go of its end, everything passes.
            let _ = self.go.recv();
            self.shared.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const MAIL: Source = Source::Mail(Service::Smtpd);

    fn format() -> Format {
        Format::new("p", None, 1)
    }

    #[test]
    fn all_lines_of_all_threads_are_written_whole_and_in_order() {
        const THREADS: usize = 4;
        const LINES: usize = 20_000;
        let shared = Shared::default();
        let sink = Sink::start(format(), Box::new(shared.clone())).unwrap();
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let sink = &sink;
                scope.spawn(move || {
                    for line in 0..LINES {
                        sink.append(MAIL, format!("{thread} {line}").as_bytes());
                    }
                });
            }
        });
        sink.close();
        let mut next = [0; THREADS];
        for line in shared.text().lines() {
            let text = line.strip_prefix("p/smtpd[1]: ").unwrap();
            let (thread, line) = text.split_once(' ').unwrap();
            let expected = &mut next[thread.parse::<usize>().unwrap()];
            assert_eq!(line.parse(), Ok(*expected));
            *expected += 1;
        }
        assert_eq!(next, [LINES; THREADS]);
    }

    #[test]
    fn a_stuck_output_makes_callers_wait_and_loses_nothing() {
        let (arrived, arrivals) = mpsc::channel();
        let (release, go) = mpsc::channel();
        let shared = Shared::default();
        let gate = Gate {
            arrived,
            go,
            shared: shared.clone(),
        };
        let sink = Sink::start(format(), Box::new(gate)).unwrap();
        let text = vec![b'x'; 1000];
        sink.append(MAIL, &text);
        let line_bytes = arrivals.recv().unwrap();
        // The first line is stuck in the output: from here on the buffer fills.
        let fit = BUFFER_BYTES_MAX.div_ceil(line_bytes);
        for _ in 0..fit {
            sink.append(MAIL, &text);
        }
        let (done, is_done) = mpsc::channel();
        let blocked = sink.clone();
        thread::spawn(move || {
            blocked.append(MAIL, b"last");
            done.send(()).unwrap();
        });
        assert!(is_done.recv_timeout(Duration::from_millis(100)).is_err());
        // Let go of the first line: the full buffer becomes the next batch, in one write.
        release.send(()).unwrap();
        assert_eq!(arrivals.recv().unwrap(), fit * line_bytes);
        is_done.recv().unwrap();
        drop(release);
        sink.close();
        let written = shared.text();
        assert_eq!(written.lines().count(), 1 + fit + 1);
        assert!(written.ends_with("p/smtpd[1]: last\n"));
    }

    #[test]
    fn lines_after_the_end_are_written_at_once() {
        let shared = Shared::default();
        let sink = Sink::start(format(), Box::new(shared.clone())).unwrap();
        sink.close();
        sink.append(Source::Relay(Level::INFO), b"late");
        assert_eq!(shared.text(), "p/relay[1]: late\n");
        sink.close();
    }
}
