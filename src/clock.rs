//! The time and waiting, as values: rooms that wait are given a [`Clock`], so that a test of an
//! hour's waiting takes no time, and a clock that jumps can be played.

use std::sync::Mutex;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// What tells the time and waits.
pub trait Clock: Send + Sync {
    /// The time of day, which may jump either way. For records and for leases that others read.
    fn now(&self) -> Timestamp;

    /// Time since some moment before, which never goes back. For limits and pauses.
    fn elapsed(&self) -> Duration;

    /// Waits that long.
    fn sleep(&self, pause: Duration);
}

/// A clock for tests: sleeping moves it on at once.
#[derive(Debug)]
pub struct Simulated(Mutex<(Timestamp, Duration)>);

impl Simulated {
    /// A clock that shows `now`.
    pub fn at(now: Timestamp) -> Self {
        Self(Mutex::new((now, Duration::ZERO)))
    }

    /// Sets the time of day; what [`Clock::elapsed`] says goes on as before.
    pub fn jump(&self, to: Timestamp) {
        self.state().0 = to;
    }

    fn state(&self) -> std::sync::MutexGuard<'_, (Timestamp, Duration)> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Clock for Simulated {
    fn now(&self) -> Timestamp {
        self.state().0
    }

    fn elapsed(&self) -> Duration {
        self.state().1
    }

    fn sleep(&self, pause: Duration) {
        let mut state = self.state();
        let step = SignedDuration::try_from(pause).unwrap_or(SignedDuration::MAX);
        state.0 = state.0.saturating_add(step).unwrap_or(Timestamp::MAX);
        state.1 = state.1.saturating_add(pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleeping_moves_both_and_a_jump_only_the_time_of_day() {
        let clock = Simulated::at(Timestamp::UNIX_EPOCH);
        clock.sleep(Duration::from_secs(60));
        clock.jump(Timestamp::UNIX_EPOCH);
        clock.sleep(Duration::from_secs(5));
        assert_eq!(clock.now().as_second(), 5);
        assert_eq!(clock.elapsed(), Duration::from_secs(65));
    }
}
