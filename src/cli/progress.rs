//! One line on the terminal that tells how far a run is, and how long it may still take.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::coverage::Progress;
use crate::report;

/// What is over sooner than this needs no line.
const QUIET: Duration = Duration::from_millis(500);
const EVERY: Duration = Duration::from_millis(50);

/// A run's first percents say little of the rest.
const GUESS_FROM: f64 = 0.02;

/// Runs `work`, and shows on standard error how far it has come.
pub(super) fn shown<T>(progress: &Progress, work: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let painter = scope.spawn(|| paint(progress, &done, started));
        let result = work();
        done.store(true, Ordering::Relaxed);
        painter.thread().unpark();
        result
    })
}

fn paint(progress: &Progress, done: &AtomicBool, started: Instant) {
    let bar = ProgressBar::no_length();
    bar.set_style(ProgressStyle::with_template("{spinner} {msg}").expect("a constant"));
    while !done.load(Ordering::Relaxed) {
        std::thread::park_timeout(EVERY);
        if started.elapsed() > QUIET {
            bar.set_message(line(progress, started.elapsed()));
            bar.tick();
        }
    }
    bar.finish_and_clear();
}

/// How far a run has come after this time.
fn line(progress: &Progress, elapsed: Duration) -> String {
    let items = progress.items.load(Ordering::Relaxed);
    let bytes = progress.bytes.load(Ordering::Relaxed);
    let total = progress.total.load(Ordering::Relaxed);
    let rate = report::human_bytes((bytes as f64 / elapsed.as_secs_f64()) as u64);
    let mut line = match total {
        0 => report::count(items, "item", "items"),
        total => {
            let share = (items as f64 / total as f64).min(1.0);
            let of = report::count(total, "object", "objects");
            format!("{:.0} % of {of}", share * 100.0)
        }
    };
    line += &format!(" read, {}, {rate}/s", report::human_bytes(bytes));
    match progress.keys() {
        0 => {}
        keys => line += &format!(", {} found", report::count(keys, "key", "keys")),
    }
    let share = items as f64 / total.max(1) as f64;
    if total > 0 && share >= 1.0 {
        line += ", tracing what was found";
    } else if total > 0 && share >= GUESS_FROM {
        let left = elapsed.mul_f64((1.0 - share) / share);
        line += &format!(", {} s left", left.as_secs() + 1);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn it_tells_objects_bytes_keys_and_the_time_left() {
        let progress = Progress::default();
        progress.read(3, 2_000_000);
        let at = Duration::from_secs(2);
        assert_eq!(line(&progress, at), "3 items read, 2.0 MB, 1.0 MB/s");
        progress.total.store(12, Ordering::Relaxed);
        for _ in 0..2 {
            progress.found(Secret::new(b"x".to_vec()).fingerprint());
        }
        assert_eq!(
            line(&progress, at),
            "25 % of 12 objects read, 2.0 MB, 1.0 MB/s, 1 key found, 7 s left"
        );
        progress.read(9, 0);
        assert!(line(&progress, at).ends_with("1 key found, tracing what was found"));
    }
}
