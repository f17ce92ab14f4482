//! The memory that all threads share for windows and for what is held. A chain of containers in
//! each other gets at most half of it, whatever others do: so it never depends on the others whether
//! something can be read. The other half is a lane for one chain at a time, which never waits:
//! so nobody waits for ever.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// The memory of a run.
pub struct Budget {
    half: u64,
    state: Mutex<State>,
    freed: Condvar,
    chains: AtomicU64,
}

#[derive(Default)]
struct State {
    /// Taken from the half that all share.
    shared: u64,
    /// The chain that has the lane, and how many bytes of it.
    lane: Option<(u64, u64)>,
}

impl Budget {
    /// `bytes` for windows and held members together.
    pub fn new(bytes: u64) -> Arc<Self> {
        Arc::new(Self {
            half: bytes / 2,
            state: Mutex::default(),
            freed: Condvar::new(),
            chains: AtomicU64::new(0),
        })
    }

    /// A chain that holds nothing yet.
    pub fn chain(self: &Arc<Self>) -> Chain {
        Chain {
            budget: Arc::clone(self),
            id: self.chains.fetch_add(1, Ordering::Relaxed),
            before: 0,
            held: Arc::default(),
        }
    }

    /// The most that one chain can hold.
    pub fn most(&self) -> u64 {
        self.half
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What lies in each other, and what memory it holds.
pub struct Chain {
    budget: Arc<Budget>,
    id: u64,
    /// Held by the chain that this one branched off from.
    before: u64,
    held: Arc<AtomicU64>,
}

impl Chain {
    /// A chain for one of several members that are read at once.
    pub fn branch(&self) -> Self {
        Self {
            before: self.before + self.held.load(Ordering::Relaxed),
            ..self.budget.chain()
        }
    }

    /// Whether it has the lane: then it must not wait for anybody, nor take up others' work.
    pub fn has_lane(&self) -> bool {
        let lane = self.budget.lock().lane;
        lane.is_some_and(|(id, _)| id == self.id)
    }

    /// See [`Members::reserve`](super::Members::reserve).
    pub fn reserve(&self, bytes: u64) -> Option<Reservation> {
        let held = self.before + self.held.load(Ordering::Relaxed);
        let half = self.budget.half;
        if held.saturating_add(bytes) > half {
            return None;
        }
        let mut state = self.budget.lock();
        let lane = loop {
            let State { shared, lane } = &mut *state;
            match lane {
                Some((id, used)) if *id == self.id => {
                    *used += bytes;
                    break true;
                }
                _ if *shared + bytes <= half => {
                    *shared += bytes;
                    break false;
                }
                free @ None => {
                    *free = Some((self.id, bytes));
                    break true;
                }
                Some(_) => {
                    let waited = self.budget.freed.wait(state);
                    state = waited.unwrap_or_else(PoisonError::into_inner);
                }
            }
        };
        self.held.fetch_add(bytes, Ordering::Relaxed);
        Some(Reservation {
            budget: Arc::clone(&self.budget),
            held: Arc::clone(&self.held),
            bytes,
            lane,
        })
    }
}

/// Memory that may be used as long as this lives.
pub struct Reservation {
    budget: Arc<Budget>,
    held: Arc<AtomicU64>,
    bytes: u64,
    lane: bool,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut state = self.budget.lock();
        match &mut state.lane {
            Some((_, used)) if self.lane => {
                *used -= self.bytes;
                if *used == 0 {
                    state.lane = None;
                }
            }
            _ => state.shared -= self.bytes,
        }
        self.held.fetch_sub(self.bytes, Ordering::Relaxed);
        self.budget.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_gets_half_whatever_others_hold() {
        let budget = Budget::new(100);
        let (one, two) = (budget.chain(), budget.chain());
        let first = one.reserve(50).unwrap();
        assert!(one.reserve(1).is_none() && one.branch().reserve(1).is_none());
        let second = two.reserve(30).unwrap();
        assert!(two.has_lane() && !one.has_lane());
        assert!(two.reserve(21).is_none() && two.reserve(20).is_some());
        drop(second);
        assert!(!two.has_lane());
        drop(first);
        assert!(one.reserve(51).is_none());
        assert!(one.reserve(50).is_some());
    }

    #[test]
    fn whoever_waits_goes_on_and_the_whole_is_never_exceeded() {
        let budget = Budget::new(100);
        let (used, most) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let chain = budget.chain();
                        let outer = chain.reserve(20).unwrap();
                        let inner = chain.reserve(30).unwrap();
                        let now = used.fetch_add(50, Ordering::SeqCst) + 50;
                        most.fetch_max(now, Ordering::SeqCst);
                        std::thread::yield_now();
                        used.fetch_sub(50, Ordering::SeqCst);
                        drop((outer, inner));
                    }
                });
            }
        });
        assert!(most.load(Ordering::SeqCst) <= 100);
        let state = budget.lock();
        assert!(state.shared == 0 && state.lane.is_none());
    }
}
