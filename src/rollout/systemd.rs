//! A systemd unit that is restarted. It is done when a new invocation of it is active: systemd
//! gives each start an id of its own, and a restart ends the old process first.

use std::time::Duration;

use serde::Deserialize;

use super::{Direction, Move, Outside, Progress, Rollout, RolloutError, Started};
use crate::config::{ConfigError, Section};
use crate::process::Program;
use crate::secret::Secret;

/// How long systemctl may take to answer; it does not wait for the restart.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The unit.
    unit: String,
    /// What is run in place of `systemctl`: with `--user`, or behind `sudo`.
    #[serde(default = "systemctl")]
    command: Vec<String>,
}

fn systemctl() -> Vec<String> {
    vec!["systemctl".to_owned()]
}

struct Unit {
    settings: Settings,
}

/// Opens what a section describes.
pub(super) fn open(section: &Section, _: &Outside<'_>) -> Result<Box<dyn Rollout>, ConfigError> {
    let settings: Settings = section.read()?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || "@._-:\\".contains(c);
    let unit = &settings.unit;
    if unit.is_empty() || unit.starts_with('-') || !unit.chars().all(is_name) {
        return Err(section.invalid("`unit` is the name of a unit"));
    }
    if settings.command.is_empty() {
        return Err(section.invalid("`command` is `systemctl` and its options"));
    }
    Ok(Box::new(Unit { settings }))
}

/// What systemd says of the unit.
struct State {
    load: String,
    active: String,
    result: String,
    invocation: String,
}

impl Unit {
    fn systemctl(&self, doing: &str, arguments: &[&str]) -> Result<String, RolloutError> {
        let own = arguments.iter().map(|argument| (*argument).to_owned());
        let program = Program {
            command: self.settings.command.iter().cloned().chain(own).collect(),
            directory: None,
            environment: vec![("LC_ALL".to_owned(), "C".to_owned())],
            limit: PATIENCE,
        };
        let output = program.run(&Secret::new(Vec::new()));
        let output = output.map_err(|error| RolloutError::Unreachable {
            target: self.target(),
            doing: doing.to_owned(),
            sent: error.ran(),
            reason: error.to_string(),
        })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(output.stdout.expose()).into_owned());
        }
        Err(RolloutError::Denied {
            target: self.target(),
            doing: doing.to_owned(),
            reason: format!("{}: {}", output.status, output.stderr),
            rights: self.rights().join("; "),
        })
    }

    fn state(&self) -> Result<State, RolloutError> {
        let properties = "--property=LoadState,ActiveState,Result,InvocationID";
        let said = self.systemctl(
            "look at it",
            &["show", properties, "--", &self.settings.unit],
        )?;
        let get = |name: &str| {
            let mut lines = said.lines();
            let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            value.unwrap_or_default().to_owned()
        };
        Ok(State {
            load: get("LoadState"),
            active: get("ActiveState"),
            result: get("Result"),
            invocation: get("InvocationID"),
        })
    }
}

impl Rollout for Unit {
    fn target(&self) -> String {
        format!("systemd unit {}", self.settings.unit)
    }

    fn calls(&self, _: Direction) -> Vec<String> {
        let command = self.settings.command.join(" ");
        let unit = &self.settings.unit;
        vec![
            format!("{command} restart --no-block {unit}"),
            format!("{command} show {unit}, until a new invocation is active"),
        ]
    }

    fn rights(&self) -> Vec<String> {
        vec![format!("systemctl restart {}", self.settings.unit)]
    }

    fn preflight(&self) -> Result<Vec<String>, RolloutError> {
        let state = self.state()?;
        if state.load != "loaded" {
            return Err(RolloutError::NotFound {
                target: self.target(),
                what: format!("the unit ({})", state.load),
            });
        }
        Ok(match state.active.as_str() {
            "active" => Vec::new(),
            other => vec![format!("the unit is {other} now, and will be started")],
        })
    }

    fn start(&self, _: Move<'_>) -> Result<Started, RolloutError> {
        let before = self.state()?.invocation;
        let unit = &self.settings.unit;
        self.systemctl("restart it", &["restart", "--no-block", "--", unit])?;
        Ok(Started::new(before))
    }

    fn progress(&self, started: &Started) -> Result<Progress, RolloutError> {
        let state = self.state()?;
        let is_new = !state.invocation.is_empty() && state.invocation != started.as_str();
        Ok(match state.active.as_str() {
            "active" if is_new => Progress::Done,
            "failed" => Progress::Failed(format!("the unit failed ({})", state.result)),
            other => Progress::Moving(format!("the unit is {other}")),
        })
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::section;
    use crate::rollout::open;

    /// A `systemctl` whose unit is what the files in its directory say.
    fn unit(directory: &std::path::Path) -> Box<dyn Rollout> {
        let script = directory.join("systemctl");
        let text = "cd \"$(dirname \"$0\")\"\ncase $1 in\nshow) cat state;;\nrestart) [ -e denied ] && { echo 'Access denied' >&2; exit 4; }; cp after state;;\nesac\n";
        std::fs::write(&script, text).unwrap();
        let text = format!(
            "kind = 'systemd'\nunit = 'api.service'\ncommand = ['sh', '{}']\n",
            script.display()
        );
        open(&section(&text), &Outside::for_tests()).unwrap()
    }

    fn state(active: &str, id: &str) -> String {
        format!("LoadState=loaded\nActiveState={active}\nResult=success\nInvocationID={id}\n")
    }

    const FORWARD: Move<'static> = Move::first("r", Direction::Forward);

    #[test]
    fn it_is_done_when_a_new_invocation_is_active() {
        let directory = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
        let unit = unit(directory.path());
        write("state", &state("active", "one"));
        write("after", &state("active", "one"));
        assert!(unit.preflight().unwrap().is_empty());
        let started = unit.start(FORWARD).unwrap();
        assert!(
            matches!(unit.progress(&started).unwrap(), Progress::Moving(_)),
            "still the old one"
        );
        write("state", &state("activating", "two"));
        assert!(matches!(
            unit.progress(&started).unwrap(),
            Progress::Moving(_)
        ));
        write("state", &state("active", "two"));
        assert_eq!(unit.progress(&started).unwrap(), Progress::Done);
        write("state", &state("failed", "two"));
        assert!(matches!(
            unit.progress(&started).unwrap(),
            Progress::Failed(_)
        ));
        write("denied", "");
        assert!(matches!(
            unit.start(FORWARD),
            Err(RolloutError::Denied { .. })
        ));
        write("state", "LoadState=not-found\nActiveState=inactive\n");
        assert!(matches!(
            unit.preflight(),
            Err(RolloutError::NotFound { .. })
        ));
    }

    #[test]
    fn options_are_no_units() {
        for bad in ["", "-H host", "a b", "--now"] {
            let text = format!("kind = 'systemd'\nunit = '{bad}'\n");
            assert!(
                open(&section(&text), &Outside::for_tests()).is_err(),
                "{bad}"
            );
        }
    }
}
