//! Moving one stage: start, ask until it is done, ask whether it is healthy.

use std::time::Duration;

use serde::Deserialize;

use super::{Health, Move, Outside, Progress, Rollout, RolloutError, Started, health, open};
use crate::clock::Clock;
use crate::config::{ConfigError, Section, time_span};

/// A group of consumers that is moved at once.
pub struct Stage {
    /// Its name: `canary`, say.
    pub name: String,
    /// How it is moved.
    pub rollout: Box<dyn Rollout>,
    /// What tells that it works; may be empty.
    pub health: Vec<Box<dyn Health>>,
    /// How long moving it, and becoming healthy, may take together.
    pub limit: Duration,
    /// The pause between two questions.
    pub pause: Duration,
    /// How many health checks in a row must succeed.
    pub healthy_after: u32,
}

/// What every stage has, whatever its kind.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Common {
    name: String,
    #[serde(default = "ten_minutes", deserialize_with = "time_span")]
    limit: Duration,
    #[serde(default = "five_seconds", deserialize_with = "time_span")]
    pause: Duration,
    #[serde(default = "three")]
    healthy_after: u32,
}

const COMMON: &[&str] = &["name", "limit", "pause", "healthy-after"];

const HEALTH: &str = "health";

/// The names of a stage that its kind does not read, as far as the kind is not that of a cluster.
const TAKEN: &[&str] = &["name", "limit", "pause", "healthy-after", HEALTH];

fn ten_minutes() -> Duration {
    Duration::from_secs(600)
}

fn five_seconds() -> Duration {
    Duration::from_secs(5)
}

fn three() -> u32 {
    3
}

/// Opens the stage that a section of the configuration describes.
///
/// # Errors
/// A setting is wrong, or a credential can't be had.
pub fn open_stage(section: &Section, outside: &Outside<'_>) -> Result<Stage, ConfigError> {
    let common: Common = section.pick(COMMON)?;
    if common.pause.is_zero() || common.healthy_after == 0 {
        return Err(section.invalid("`pause` and `healthy-after` are at least 1"));
    }
    let health = section.list(HEALTH)?;
    let health: Result<Vec<_>, ConfigError> = health
        .iter()
        .map(|one| health::open(one, outside))
        .collect();
    Ok(Stage {
        name: common.name,
        rollout: open(&section.clone().without(TAKEN), outside)?,
        health: health?,
        limit: common.limit,
        pause: common.pause,
        healthy_after: common.healthy_after,
    })
}

impl Stage {
    /// Starts the move.
    ///
    /// # Errors
    /// It could not be started.
    pub fn start(&self, to: Move<'_>) -> Result<Started, RolloutError> {
        self.rollout.start(to)
    }
}

/// Waits until what was started is done and healthy. Questions that are not answered are asked
/// again until the limit.
///
/// # Errors
/// It failed, its limit is over, or the run is to end.
pub fn wait(
    stage: &Stage,
    started: &Started,
    clock: &dyn Clock,
    mut seen: impl FnMut(&str),
) -> Result<(), RolloutError> {
    let target = stage.rollout.target();
    let begun = clock.uptime();
    let pause = |last: String| {
        if clock.uptime().saturating_sub(begun) >= stage.limit {
            return Err(RolloutError::TooLate {
                target: target.clone(),
                limit: stage.limit,
                last,
            });
        }
        let stopped = |_| RolloutError::Stopped {
            target: target.clone(),
        };
        clock.sleep(stage.pause).map_err(stopped)
    };
    loop {
        let last = match stage.rollout.progress(started) {
            Ok(Progress::Done) => break,
            Ok(Progress::Moving(what)) => what,
            Ok(Progress::Failed(reason)) => {
                return Err(RolloutError::Failed {
                    target: target.clone(),
                    reason,
                });
            }
            Err(error) if error.is_passing() => error.to_string(),
            Err(error) => return Err(error),
        };
        seen(&last);
        pause(last)?;
    }
    let mut in_a_row = 0;
    while in_a_row < stage.healthy_after && !stage.health.is_empty() {
        let ill = stage.health.iter().find_map(|health| health.check().err());
        let last = match ill {
            None => {
                in_a_row += 1;
                if in_a_row == stage.healthy_after {
                    break;
                }
                format!("healthy {in_a_row} times of {}", stage.healthy_after)
            }
            Some(error) => {
                in_a_row = 0;
                format!("not healthy: {error}")
            }
        };
        seen(&last);
        pause(last)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::manual::Manual;
    use crate::rollout::{Direction, Simulated};

    struct Sick(std::sync::Mutex<Vec<bool>>);

    impl Health for Sick {
        fn question(&self) -> String {
            "a list".to_owned()
        }

        fn check(&self) -> Result<(), RolloutError> {
            match self.0.lock().unwrap().pop().unwrap_or(true) {
                true => Ok(()),
                false => Err(RolloutError::Failed {
                    target: "x".to_owned(),
                    reason: "ill".to_owned(),
                }),
            }
        }
    }

    fn stage(rollout: Simulated, answers: &[bool]) -> Stage {
        let answers = answers.iter().rev().copied().collect();
        Stage {
            name: "canary".to_owned(),
            rollout: Box::new(rollout),
            health: vec![Box::new(Sick(std::sync::Mutex::new(answers)))],
            limit: Duration::from_secs(60),
            pause: Duration::from_secs(5),
            healthy_after: 2,
        }
    }

    fn run(stage: &Stage, clock: &Manual) -> (Result<(), RolloutError>, Vec<String>) {
        let to = Move::first("r1", Direction::Forward);
        let started = stage.start(to).unwrap();
        let mut seen = Vec::new();
        let outcome = wait(stage, &started, clock, |what| seen.push(what.to_owned()));
        (outcome, seen)
    }

    #[test]
    fn it_waits_for_the_end_and_for_health_in_a_row() {
        let clock = Manual::new(0);
        let stage = stage(Simulated::done_after(2), &[true, false, true, true]);
        let (outcome, seen) = run(&stage, &clock);
        outcome.unwrap();
        assert_eq!(clock.uptime(), Duration::from_secs(25));
        assert_eq!(seen.len(), 5);
        assert!(seen[3].contains("ill"), "{seen:?}");
    }

    #[test]
    fn what_never_ends_or_never_gets_well_ends_at_the_limit() {
        for stage in [
            stage(Simulated::done_after(1000), &[]),
            stage(Simulated::done_after(0), &[false; 100]),
        ] {
            let clock = Manual::new(0);
            let (outcome, _) = run(&stage, &clock);
            assert!(matches!(outcome, Err(RolloutError::TooLate { .. })));
            assert_eq!(clock.uptime(), Duration::from_secs(60));
        }
    }

    #[test]
    fn a_failure_ends_it_at_once() {
        let clock = Manual::new(0);
        let (outcome, _) = run(&stage(Simulated::failing(), &[]), &clock);
        assert!(matches!(outcome, Err(RolloutError::Failed { .. })));
        assert_eq!(clock.uptime(), Duration::ZERO);
    }
}
