//! The sandbox's clock: still until it is moved, or running from a source that the caller brings.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// Where time comes from, in milliseconds since 1970. Clones share the time.
#[derive(Clone)]
pub struct Clock {
    source: Arc<dyn Fn() -> i64 + Send + Sync>,
    offset: Arc<AtomicI64>,
}

impl Clock {
    /// Where a still clock stands if nothing else is said: 15 October 2026, 00:00 UTC, in seconds.
    pub const START: i64 = 1_792_022_400;

    /// A clock that stands at [`Clock::START`] until it is moved.
    pub fn still() -> Self {
        Self::still_at(Self::START)
    }

    /// A clock that stands at `seconds` since 1970 until it is moved.
    pub fn still_at(seconds: i64) -> Self {
        let at = seconds.saturating_mul(1000);
        Self::running(move || at)
    }

    /// A clock that runs: `source` tells the milliseconds since 1970.
    pub fn running(source: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self {
            source: Arc::new(source),
            offset: Arc::default(),
        }
    }

    /// Milliseconds since 1970.
    pub fn milliseconds(&self) -> i64 {
        (self.source)().saturating_add(self.offset.load(Ordering::SeqCst))
    }

    /// Whole seconds since 1970, the API's unit.
    pub fn seconds(&self) -> i64 {
        self.milliseconds().div_euclid(1000)
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.jump(by);
    }

    /// Moves the clock by `milliseconds`, backward too.
    pub fn jump(&self, milliseconds: i64) {
        // A sum that would not fit stays where it is: the centuries beyond are of no use.
        let _ = self
            .offset
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |offset| {
                offset.checked_add(milliseconds)
            });
    }

    /// Sets the clock to `seconds` since 1970; a running one goes on from there.
    pub fn set(&self, seconds: i64) {
        self.jump(
            seconds
                .saturating_mul(1000)
                .saturating_sub(self.milliseconds()),
        );
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Clock({})", self.seconds())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_still_clock_moves_only_when_told() {
        let clock = Clock::still();
        let other = clock.clone();
        clock.advance(Duration::from_millis(1500));
        assert_eq!(other.seconds(), Clock::START + 1);
        assert_eq!(other.milliseconds() % 1000, 500);
        clock.set(7);
        assert_eq!(other.seconds(), 7);
        clock.jump(-8000);
        assert_eq!(other.seconds(), -1);
    }

    #[test]
    fn a_running_clock_goes_on_from_where_it_was_set() {
        let source = Arc::new(AtomicI64::new(0));
        let from = Arc::clone(&source);
        let clock = Clock::running(move || from.load(Ordering::SeqCst));
        clock.set(100);
        source.store(5000, Ordering::SeqCst);
        assert_eq!(clock.seconds(), 105);
    }
}
