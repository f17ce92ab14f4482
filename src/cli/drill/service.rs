//! The small service of the drill: it reads its key when it is started, sends requests at a steady
//! rate, and counts those that fail.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::http::{Address, Client, Method, Request, Settings};
use crate::secret::Secret;

/// Requests that are under way at once.
const WORKERS: u32 = 8;

/// What was sent so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tally {
    /// Requests that were answered with success.
    pub(super) served: u64,
    /// Requests that were not.
    pub(super) failed: u64,
}

struct Shared {
    key: RwLock<Secret>,
    served: AtomicU64,
    failed: AtomicU64,
    stop: AtomicBool,
    /// What the first failure was.
    first: Mutex<Option<String>>,
}

/// The service. It stops when it is dropped.
pub(super) struct Service {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

impl Service {
    /// Starts it with a key, at so many requests a second.
    pub(super) fn start(base: &Address, key: Secret, rate: u32) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared {
            key: RwLock::new(key),
            served: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            first: Mutex::default(),
        });
        let address = base.join(["responses"]);
        let pause = Duration::from_secs(1) * WORKERS / rate.max(1);
        let mut workers = Vec::new();
        for _ in 0..WORKERS {
            let (shared, address) = (shared.clone(), address.clone());
            // A client each: they would wait for one another's answers.
            let client = Client::new(Settings::default())?;
            workers.push(std::thread::spawn(move || {
                work(&shared, &client, &address, pause);
            }));
        }
        Ok(Self { shared, workers })
    }

    /// Starts it again with another key: what is under way is answered first, and nothing is sent
    /// with the old key afterwards.
    pub(super) fn restarter(&self) -> impl Fn(Secret) + Send + Sync + use<> {
        let shared = self.shared.clone();
        move |key| *shared.key.write().unwrap_or_else(PoisonError::into_inner) = key
    }

    /// What was sent so far.
    pub(super) fn tally(&self) -> Tally {
        Tally {
            served: self.shared.served.load(Ordering::Relaxed),
            failed: self.shared.failed.load(Ordering::Relaxed),
        }
    }

    /// What the first failure was, if there was one.
    pub(super) fn first_failure(&self) -> Option<String> {
        let first = self.shared.first.lock();
        first.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for worker in self.workers.drain(..) {
            // One that panicked has said so on its own.
            let _ = worker.join();
        }
    }
}

fn work(shared: &Shared, client: &Client, address: &Address, pause: Duration) {
    let mut next = Instant::now();
    while !shared.stop.load(Ordering::Relaxed) {
        // Held until the answer is there, so that a restart waits for what is under way.
        let key = shared.key.read().unwrap_or_else(PoisonError::into_inner);
        let body = br#"{"model":"gpt-5-mini","input":"a drill"}"#.to_vec();
        let request = Request::new(Method::Post, address.clone())
            .secret_header("authorization", "Bearer", &key)
            .body("application/json", Secret::new(body));
        let failure = match client.send(request) {
            Ok(answer) if answer.status < 300 => None,
            Ok(answer) => Some(format!("status {}", answer.status)),
            Err(error) => Some(error.to_string()),
        };
        drop(key);
        match failure {
            None => drop(shared.served.fetch_add(1, Ordering::Relaxed)),
            Some(why) => {
                shared.failed.fetch_add(1, Ordering::Relaxed);
                let first = shared.first.lock();
                first
                    .unwrap_or_else(PoisonError::into_inner)
                    .get_or_insert(why);
            }
        }
        next += pause;
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}
