//! How fast requests may follow each other. The Admin API grants about 7 requests a minute for each
//! endpoint and says so in no header, so they are counted here: never more than that in any span of
//! a minute, which keeps within a fixed window as well as within a bucket that refills.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

/// Beyond the minute, so that clocks and lines that differ a little do no harm: at most this much.
const SPARE: Duration = Duration::from_secs(1);

/// When what was sent to each endpoint.
#[derive(Debug, Default)]
pub(super) struct Pacer {
    sent: HashMap<&'static str, VecDeque<Duration>>,
}

impl Pacer {
    /// How long to wait before the next request; zero means that it counts as sent now.
    /// `chance` is from 0 to 1.
    pub(super) fn book(
        &mut self,
        endpoint: &'static str,
        per_minute: u32,
        now: Duration,
        chance: f64,
    ) -> Duration {
        let sent = self.sent.entry(endpoint).or_default();
        if per_minute == 0 {
            return Duration::ZERO;
        }
        while sent.front().is_some_and(|first| *first + MINUTE <= now) {
            sent.pop_front();
        }
        match sent.front() {
            Some(first) if sent.len() >= per_minute as usize => {
                *first + MINUTE + SPARE.mul_f64(chance) - now
            }
            _ => {
                sent.push_back(now);
                Duration::ZERO
            }
        }
    }

    /// The server says that it was too much: nothing more for now.
    pub(super) fn exhausted(&mut self, endpoint: &'static str, per_minute: u32, now: Duration) {
        let sent = self.sent.entry(endpoint).or_default();
        let missing = (per_minute as usize).saturating_sub(sent.len());
        // Others use this endpoint, too; what they sent is unknown, so the window is full.
        sent.extend(std::iter::repeat_n(now, missing));
    }
}

/// The least time that so many more requests to one endpoint take.
pub(super) fn least(requests: u64, per_minute: u32) -> Duration {
    match (requests, per_minute) {
        (0, _) | (_, 0) => Duration::ZERO,
        (requests, per_minute) => MINUTE * ((requests - 1) / u64::from(per_minute)) as u32,
    }
}

/// Random numbers good enough to keep callers apart (SplitMix64).
#[derive(Debug)]
pub(super) struct Jitter(pub(super) u64);

impl Jitter {
    /// From 0 up to 1.
    pub(super) fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_minute_sees_more_than_is_allowed(
            per_minute in 1u32..12,
            requests in 1usize..80,
            idle in proptest::collection::vec(0u64..40_000, 80),
            seed: u64,
        ) {
            let (mut pacer, mut jitter) = (Pacer::default(), Jitter(seed));
            let mut now = Duration::ZERO;
            let mut sent: Vec<Duration> = Vec::new();
            for idle in idle.iter().take(requests) {
                now += Duration::from_millis(*idle);
                loop {
                    let wait = pacer.book("x", per_minute, now, jitter.next());
                    if wait.is_zero() {
                        break;
                    }
                    now += wait;
                }
                sent.push(now);
            }
            for (n, at) in sent.iter().enumerate() {
                let within = sent[..=n].iter().filter(|s| **s + MINUTE > *at).count();
                prop_assert!(within <= per_minute as usize);
            }
        }

        #[test]
        fn waiting_costs_little_more_than_it_must(per_minute in 1u32..12, requests in 1u64..400, seed: u64) {
            let (mut pacer, mut jitter) = (Pacer::default(), Jitter(seed));
            let mut now = Duration::ZERO;
            for _ in 0..requests {
                loop {
                    let wait = pacer.book("x", per_minute, now, jitter.next());
                    if wait.is_zero() {
                        break;
                    }
                    now += wait;
                }
            }
            let bound = least(requests, per_minute);
            prop_assert!(now >= bound && now <= bound.mul_f64(1.05), "{now:?} of {bound:?}");
        }
    }

    #[test]
    fn endpoints_do_not_wait_for_each_other() {
        let mut pacer = Pacer::default();
        let zero = Duration::ZERO;
        assert_eq!(pacer.book("a", 1, zero, 0.5), zero);
        assert_eq!(pacer.book("b", 1, zero, 0.5), zero);
        assert_eq!(pacer.book("a", 1, zero, 0.0), MINUTE);
        pacer.exhausted("c", 2, zero);
        assert_eq!(pacer.book("c", 2, zero, 0.0), MINUTE);
        assert_eq!(pacer.book("d", 0, zero, 0.0), zero);
    }
}
