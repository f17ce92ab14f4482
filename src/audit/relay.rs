//! The trail, sent to a log server as it goes, from a thread of its own: nobody waits for it, and
//! what could not be sent is told at the end. It is in the file all the same.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver as Queue, RecvTimeoutError, Sender as Put, SyncSender};
use std::sync::mpsc::{channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustls::pki_types::CertificateDer;

use super::syslog::{Receiver, Sender, SyslogError};

/// So many messages may wait; a rotation has a few dozen.
const WAITING: usize = 4096;

/// Sends messages to a log server. Nothing is connected before the first.
pub struct Relay {
    receiver: Receiver,
    roots: Vec<CertificateDer<'static>>,
    /// Bounds each step towards the server.
    limit: Duration,
    running: Mutex<Option<Running>>,
}

struct Running {
    queue: SyncSender<Letter>,
    over: Queue<()>,
    state: Arc<Mutex<State>>,
}

struct Letter {
    seq: u64,
    message: String,
}

#[derive(Default)]
struct State {
    /// The numbers of those that wait.
    waiting: VecDeque<u64>,
    unsent: u64,
    first: Option<u64>,
    why: String,
}

/// What could not be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{count} records were not sent to {receiver}: {why}")]
pub struct Unsent {
    /// Where they should have gone.
    pub receiver: String,
    /// How many.
    pub count: u64,
    /// The number of the first of them.
    pub first: u64,
    /// What went wrong first. It may quote the system's words.
    pub why: String,
}

impl State {
    fn fail(&mut self, seq: u64, why: &str) {
        self.unsent += 1;
        if self.first.is_none_or(|first| seq < first) {
            self.first = Some(seq);
        }
        if self.why.is_empty() {
            self.why = why.to_owned();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Relay {
    /// Sends to `receiver`; `roots` are whom TLS trusts, `limit` bounds each step.
    pub fn new(receiver: Receiver, roots: Vec<CertificateDer<'static>>, limit: Duration) -> Self {
        Self {
            receiver,
            roots,
            limit,
            running: Mutex::default(),
        }
    }

    /// Sends a [message](super::message) of the record `seq`. Returns at once.
    pub fn send(&self, seq: u64, message: String) {
        let mut running = lock(&self.running);
        let running = running.get_or_insert_with(|| self.start());
        lock(&running.state).waiting.push_back(seq);
        if running.queue.try_send(Letter { seq, message }).is_err() {
            let mut state = lock(&running.state);
            state.waiting.retain(|one| *one != seq);
            state.fail(seq, "too many waited already");
        }
    }

    fn start(&self) -> Running {
        let (queue, letters) = sync_channel(WAITING);
        let (done, over) = channel();
        let state = Arc::new(Mutex::new(State::default()));
        let post = Post {
            receiver: self.receiver.clone(),
            roots: self.roots.clone(),
            limit: self.limit,
            sender: None,
        };
        let told = Arc::clone(&state);
        thread::spawn(move || post.run(&letters, &told, &done));
        Running { queue, over, state }
    }

    /// Waits for a while until all is sent.
    ///
    /// # Errors
    /// What was not.
    pub fn finish(&self, patience: Duration) -> Result<(), Unsent> {
        let Some(Running { queue, over, state }) = lock(&self.running).take() else {
            return Ok(());
        };
        drop(queue);
        let late = over.recv_timeout(patience) == Err(RecvTimeoutError::Timeout);
        let mut state = lock(&state);
        if late {
            for seq in std::mem::take(&mut state.waiting) {
                state.fail(seq, "it takes them too slowly, or does not answer");
            }
        }
        match state.first {
            None => Ok(()),
            Some(first) => Err(Unsent {
                receiver: self.receiver.to_string(),
                count: state.unsent,
                first,
                why: state.why.clone(),
            }),
        }
    }
}

/// The thread's part.
struct Post {
    receiver: Receiver,
    roots: Vec<CertificateDer<'static>>,
    limit: Duration,
    sender: Option<Sender>,
}

impl Post {
    fn run(mut self, letters: &Queue<Letter>, state: &Mutex<State>, done: &Put<()>) {
        let mut last = 0;
        for letter in letters {
            let outcome = self.deliver(&letter.message);
            last = letter.seq;
            let mut state = lock(state);
            state.waiting.pop_front();
            if let Err(error) = outcome {
                state.fail(letter.seq, &error.to_string());
            }
        }
        if let Some(Err(error)) = self.sender.take().map(Sender::close) {
            lock(state).fail(last, &error.to_string());
        }
        // Nobody waits any more, perhaps.
        let _ = done.send(());
    }

    /// Over the connection that there is, or else over a new one.
    fn deliver(&mut self, message: &str) -> Result<(), SyslogError> {
        if let Some(sender) = &mut self.sender
            && sender.send(message).is_ok()
        {
            return Ok(());
        }
        self.sender = None;
        let mut sender = Sender::connect(&self.receiver, &self.roots, self.limit)?;
        sender.send(message)?;
        self.sender = Some(sender);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;
    use std::time::Instant;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(2);

    fn relay(port: u16) -> Relay {
        let receiver = format!("tcp://127.0.0.1:{port}").parse().unwrap();
        Relay::new(receiver, Vec::new(), LIMIT)
    }

    #[test]
    fn all_of_it_arrives() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let relay = relay(listener.local_addr().unwrap().port());
        assert_eq!(relay.finish(LIMIT), Ok(()), "nothing to be sent");
        let reading = thread::spawn(move || {
            let mut got = String::new();
            let (mut stream, _) = listener.accept().unwrap();
            stream.read_to_string(&mut got).unwrap();
            got
        });
        for seq in 1..=100 {
            relay.send(seq, format!("message {seq}."));
        }
        assert_eq!(relay.finish(Duration::from_secs(20)), Ok(()));
        let got = reading.join().unwrap();
        assert_eq!(got.matches("message ").count(), 100);
        assert!(got.ends_with("message 100."), "{got}");
    }

    #[test]
    fn nobody_there_is_told_at_the_end_and_makes_nobody_wait() {
        // A port that was ours a moment ago.
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let relay = relay(port);
        let begun = Instant::now();
        (5..8).for_each(|seq| relay.send(seq, "x".to_owned()));
        assert!(begun.elapsed() < Duration::from_secs(1));
        let unsent = relay.finish(Duration::from_secs(20)).unwrap_err();
        assert_eq!((unsent.count, unsent.first), (3, 5));
        assert!(
            unsent
                .to_string()
                .contains("3 records were not sent to tcp://127.0.0.1:")
        );
        assert_eq!(relay.finish(LIMIT), Ok(()), "told once");
    }

    #[test]
    fn a_server_that_takes_nothing_is_waited_for_only_so_long() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let relay = relay(listener.local_addr().unwrap().port());
        let large = "x".repeat(32 << 20);
        (1..4).for_each(|seq| relay.send(seq, large.clone()));
        let begun = Instant::now();
        let unsent = relay.finish(Duration::from_millis(300)).unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(10));
        assert_eq!((unsent.count, unsent.first), (3, 1));
    }
}
