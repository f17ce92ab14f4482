//! A program of one's own that moves consumers. It gets what it is about as variables
//! (`SKEWER_ROTATION`, `SKEWER_DIRECTION`: `forward` or `back`), never a key, and ends with 0 when
//! nothing holds the old key any more. Or `status` names a program that is asked until it ends
//! with 0 (done); 75 means that it is still moving, anything else that it failed.

use std::time::Duration;

use serde::Deserialize;

use super::{Direction, Move, Outside, Progress, Rollout, RolloutError, Started};
use crate::config::{ConfigError, Section, time_span};
use crate::process::{Output, Program};
use crate::secret::Secret;

/// `EX_TEMPFAIL`.
const MOVING: i32 = 75;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Settings {
    /// Moves the consumers to the key that their store hands out now.
    command: Vec<String>,
    /// Moves them back, if that is something else.
    back: Option<Vec<String>>,
    /// Tells how far it is.
    status: Option<Vec<String>>,
    /// How long one call may take.
    #[serde(default = "patience", deserialize_with = "time_span")]
    call_limit: Duration,
}

fn patience() -> Duration {
    Duration::from_secs(600)
}

struct Command {
    target: String,
    settings: Settings,
}

/// Opens what a section describes.
pub(super) fn open(section: &Section, _: &Outside<'_>) -> Result<Box<dyn Rollout>, ConfigError> {
    let settings: Settings = section.read()?;
    let all = [
        Some(&settings.command),
        settings.back.as_ref(),
        settings.status.as_ref(),
    ];
    if all.into_iter().flatten().any(Vec::is_empty) {
        return Err(section.invalid("`command`, `back` and `status` name programs"));
    }
    Ok(Box::new(Command {
        target: format!("program {}", settings.command[0]),
        settings,
    }))
}

impl Command {
    fn command(&self, direction: Direction) -> &Vec<String> {
        match (direction, &self.settings.back) {
            (Direction::Back, Some(back)) => back,
            _ => &self.settings.command,
        }
    }

    fn run(&self, command: &[String], doing: &str, about: &str) -> Result<Output, RolloutError> {
        let (rotation, direction) = about.rsplit_once('-').unwrap_or((about, ""));
        let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let program = Program {
            command: command.to_vec(),
            directory: None,
            environment: vec![
                variable("SKEWER_ROTATION", rotation),
                variable("SKEWER_DIRECTION", direction),
            ],
            limit: self.settings.call_limit,
        };
        program
            .run(&Secret::new(Vec::new()))
            .map_err(|error| RolloutError::Unreachable {
                target: self.target.clone(),
                doing: doing.to_owned(),
                sent: error.ran(),
                reason: error.to_string(),
            })
    }
}

impl Rollout for Command {
    fn target(&self) -> String {
        self.target.clone()
    }

    fn calls(&self, direction: Direction) -> Vec<String> {
        let mut calls = vec![self.command(direction).join(" ")];
        let status = self.settings.status.iter();
        calls.extend(status.map(|status| format!("{}, until it is done", status.join(" "))));
        calls
    }

    fn rights(&self) -> Vec<String> {
        vec!["run the program; it needs whatever it does".to_owned()]
    }

    fn preflight(&self) -> Result<Vec<String>, RolloutError> {
        Ok(match self.settings.status {
            Some(_) => Vec::new(),
            None => vec!["it must not end before nothing holds the old key any more".to_owned()],
        })
    }

    fn start(&self, to: Move<'_>) -> Result<Started, RolloutError> {
        let about = to.to_string();
        let output = self.run(self.command(to.direction), "run it", &about)?;
        match output.status.success() {
            true => Ok(Started::new(about)),
            false => Err(RolloutError::Failed {
                target: self.target.clone(),
                reason: format!("{}: {}", output.status, output.stderr),
            }),
        }
    }

    fn progress(&self, started: &Started) -> Result<Progress, RolloutError> {
        let Some(status) = &self.settings.status else {
            return Ok(Progress::Done);
        };
        let output = self.run(status, "ask how far it is", started.as_str())?;
        Ok(match output.status.code() {
            Some(0) => Progress::Done,
            Some(MOVING) => Progress::Moving(output.stderr),
            _ => Progress::Failed(format!("{}: {}", output.status, output.stderr)),
        })
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::section;
    use crate::rollout::open;

    fn rollout(text: &str) -> Box<dyn Rollout> {
        open(
            &section(&format!("kind = 'program'\n{text}")),
            &Outside::for_tests(),
        )
        .unwrap()
    }

    const FORWARD: Move<'static> = Move::first("26-11-x", Direction::Forward);

    #[test]
    fn it_is_told_what_it_is_about_and_asked_until_it_is_done() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log").display().to_string();
        let say = format!("echo $SKEWER_ROTATION $SKEWER_DIRECTION >> {log}");
        let rollout = rollout(&format!(
            "command = ['sh', '-c', '{say}']\nstatus = ['sh', '-c', 'echo wait >&2; [ $(wc -l < {log}) = 2 ] || exit 75']\n"
        ));
        let started = rollout.start(FORWARD).unwrap();
        assert_eq!(
            rollout.progress(&started).unwrap(),
            Progress::Moving("wait".to_owned())
        );
        let back = Move {
            direction: Direction::Back,
            ..FORWARD
        };
        rollout.start(back).unwrap();
        assert_eq!(rollout.progress(&started).unwrap(), Progress::Done);
        assert_eq!(
            std::fs::read_to_string(log).unwrap(),
            "26-11-x forward\n26-11-x back\n"
        );
    }

    #[test]
    fn failures_are_told() {
        let failing = rollout("command = ['sh', '-c', 'echo why >&2; exit 1']");
        let error = failing.start(FORWARD).unwrap_err();
        assert!(matches!(&error, RolloutError::Failed { reason, .. } if reason.contains("why")));
        let absent = rollout("command = ['/nowhere/at-all']")
            .start(FORWARD)
            .unwrap_err();
        assert!(matches!(
            absent,
            RolloutError::Unreachable { sent: false, .. }
        ));
        let stuck = rollout("command = ['true']\nstatus = ['false']");
        let started = stuck.start(FORWARD).unwrap();
        assert!(matches!(
            stuck.progress(&started).unwrap(),
            Progress::Failed(_)
        ));
        assert!(rollout("command = ['true']\nback = ['b']").calls(Direction::Back) == ["b"]);
    }
}
