//! Time, passed in: rooms that wait or date something are given a clock, so that a test can move
//! it. The real one is made in `cli`.

use std::time::Duration;

use jiff::Timestamp;

/// The wait was cut short, because the run is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stopped before the end")]
pub struct Stopped;

/// What tells the time, and waits.
pub trait Clock: Send + Sync {
    /// The time of day. It may jump.
    fn now(&self) -> Timestamp;

    /// The time since some moment of the past. It never goes back, so this is what pacing counts.
    fn uptime(&self) -> Duration;

    /// Waits.
    ///
    /// # Errors
    /// The run is to end: nothing more is to be begun.
    fn sleep(&self, time: Duration) -> Result<(), Stopped>;
}

/// A clock that stands still until somebody waits.
#[cfg(test)]
pub(crate) mod manual {
    use std::sync::Mutex;

    use super::{Clock, Duration, Stopped, Timestamp};

    /// Starts at `start`; each wait moves it, and takes no time.
    pub(crate) struct Manual {
        start: Timestamp,
        passed: Mutex<Duration>,
    }

    impl Manual {
        pub(crate) fn new(start: i64) -> Self {
            Self {
                start: Timestamp::from_second(start).unwrap(),
                passed: Mutex::default(),
            }
        }

        pub(crate) fn advance(&self, time: Duration) {
            *self.passed.lock().unwrap() += time;
        }
    }

    impl Clock for Manual {
        fn now(&self) -> Timestamp {
            self.start + self.uptime()
        }

        fn uptime(&self) -> Duration {
            *self.passed.lock().unwrap()
        }

        fn sleep(&self, time: Duration) -> Result<(), Stopped> {
            self.advance(time);
            Ok(())
        }
    }
}
