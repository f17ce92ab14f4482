//! A workflow of GitHub Actions that is started, and waited for. GitHub does not say which run it
//! started, so the run is known by its name: the workflow takes an input `skewer`, and its
//! `run-name` shows it. The same move is so not started twice.
//!
//! ```yaml
//! run-name: roll out ${{ inputs.skewer }}
//! on:
//!   workflow_dispatch:
//!     inputs:
//!       skewer: { required: true }   # ROTATION-forward or ROTATION-back; ROTATION-2-back if again
//! ```
//!
//! Facts: GitHub's REST API, version 2022-11-28 (workflows, workflow runs).

use serde::Deserialize;
use serde_json::json;

use super::{Direction, Move, Outside, Progress, Rollout, RolloutError, Started};
use crate::config::{ConfigError, Credential, Section};
use crate::http::{Method, Request};
use crate::secret::Secret;
use crate::store::rest::{self, Rest};

/// How many of the latest runs are looked through.
const LATEST: &str = "50";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default = "github")]
    address: String,
    ca: Option<String>,
    token: Credential,
    /// `OWNER/NAME`.
    repository: String,
    /// The workflow's file name.
    workflow: String,
    /// The branch or tag.
    #[serde(rename = "ref")]
    branch: String,
}

fn github() -> String {
    "https://api.github.com".to_owned()
}

struct Workflow {
    target: String,
    rest: Rest,
    token: Secret,
    settings: Settings,
}

/// Opens what a section describes.
pub(super) fn open(
    section: &Section,
    outside: &Outside<'_>,
) -> Result<Box<dyn Rollout>, ConfigError> {
    let settings: Settings = section.read()?;
    if settings
        .repository
        .split('/')
        .filter(|part| !part.is_empty())
        .count()
        != 2
    {
        return Err(section.invalid("`repository` is OWNER/NAME"));
    }
    let base = rest::address(section, &settings.address)?;
    let client = rest::client(section, settings.ca.as_deref(), outside)?;
    let target = format!(
        "github {}, workflow {}",
        settings.repository, settings.workflow
    );
    let rights = rights(&settings.repository);
    Ok(Box::new(Workflow {
        rest: Rest::new(client, base, &target, &rights),
        target,
        token: rest::credential(section, "token", &settings.token, outside)?,
        settings,
    }))
}

fn rights(repository: &str) -> Vec<String> {
    vec![format!(
        "a fine-grained token for {repository}: actions read and write"
    )]
}

#[derive(Deserialize)]
struct About {
    state: String,
}

#[derive(Deserialize)]
struct Runs {
    workflow_runs: Vec<Run>,
}

#[derive(Deserialize)]
struct Run {
    id: u64,
    #[serde(default)]
    display_title: String,
    status: String,
    #[serde(default)]
    conclusion: Option<String>,
}

impl Workflow {
    fn dress(&self, request: Request) -> Request {
        request
            .secret_header("authorization", "Bearer", &self.token)
            .header("accept", "application/vnd.github+json")
            .header("x-github-api-version", "2022-11-28")
    }

    fn address(&self, path: &[&str]) -> crate::http::Address {
        let base = ["repos", &self.settings.repository, "actions", "workflows"];
        let base = self
            .rest
            .address(&base)
            .join([self.settings.workflow.as_str()]);
        base.join(path.iter().copied())
    }

    /// The run that shows this name.
    fn run(&self, name: &str) -> Result<Option<Run>, RolloutError> {
        let doing = "list the workflow's runs";
        let address = self
            .address(&["runs"])
            .query("event", "workflow_dispatch")
            .query("per_page", LATEST);
        let request = self.dress(Request::new(Method::Get, address));
        let runs: Runs = self.rest.parse(doing, &self.rest.send(doing, request)?)?;
        let shows = |run: &Run| {
            run.display_title
                .split_whitespace()
                .any(|word| word == name)
        };
        Ok(runs.workflow_runs.into_iter().find(shows))
    }
}

impl Rollout for Workflow {
    fn target(&self) -> String {
        self.target.clone()
    }

    fn calls(&self, direction: Direction) -> Vec<String> {
        let word = match direction {
            Direction::Forward => "ROTATION-forward",
            Direction::Back => "ROTATION-back",
        };
        vec![
            format!(
                "POST dispatches of {}, input skewer={word}",
                self.settings.workflow
            ),
            "GET its runs, until the one with this name has succeeded".to_owned(),
        ]
    }

    fn rights(&self) -> Vec<String> {
        rights(&self.settings.repository)
    }

    fn preflight(&self) -> Result<Vec<String>, RolloutError> {
        let doing = "find the workflow";
        let request = self.dress(Request::new(Method::Get, self.address(&[])));
        let about: About = self.rest.parse(doing, &self.rest.send(doing, request)?)?;
        match about.state.as_str() {
            "active" => Ok(vec![
                "the workflow's run-name has to show its input `skewer`, or its run is never found"
                    .to_owned(),
            ]),
            other => Err(RolloutError::Failed {
                target: self.target.clone(),
                reason: format!("the workflow is {other}"),
            }),
        }
    }

    fn start(&self, to: Move<'_>) -> Result<Started, RolloutError> {
        let name = to.to_string();
        if self.run(&name)?.is_none() {
            let doing = "start the workflow";
            let (kind, body) = rest::json(&json!({
                "ref": self.settings.branch, "inputs": { "skewer": name },
            }));
            let request = Request::new(Method::Post, self.address(&["dispatches"]));
            let answer = self
                .rest
                .send(doing, self.dress(request.body(kind, body)))?;
            self.rest.done(doing, &answer)?;
        }
        Ok(Started::new(name))
    }

    fn progress(&self, started: &Started) -> Result<Progress, RolloutError> {
        let Some(run) = self.run(started.as_str())? else {
            return Ok(Progress::Moving("the run is not listed yet".to_owned()));
        };
        let conclusion = run.conclusion.unwrap_or_default();
        Ok(match (run.status.as_str(), conclusion.as_str()) {
            ("completed", "success") => Progress::Done,
            ("completed", other) => Progress::Failed(format!("run {} ended with {other}", run.id)),
            (status, _) => Progress::Moving(format!("run {} is {status}", run.id)),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::config::Surroundings;
    use crate::config::tests::section;
    use crate::http::scripted::{Scripted, json as say};
    use crate::rollout::open;

    #[test]
    fn a_run_is_known_by_its_name_and_started_once() {
        let runs = Arc::new(Mutex::new(vec![
            json!({ "id": 1, "display_title": "roll out r10-forward", "status": "completed", "conclusion": "failure" }),
        ]));
        let shared = Arc::clone(&runs);
        let server = Scripted::new(move |_, asked| {
            let workflow = "/repos/acme/ops/actions/workflows/roll.yml";
            let mut runs = shared.lock().unwrap();
            match asked.target.strip_prefix(workflow).unwrap() {
                "" => say(200, r#"{"state":"active"}"#),
                "/runs?event=workflow_dispatch&per_page=50" => {
                    say(200, &json!({ "workflow_runs": *runs }).to_string())
                }
                "/dispatches" => {
                    assert!(asked.body.contains("r1-forward"));
                    runs.push(json!({ "id": 2, "display_title": "roll out r1-forward", "status": "queued", "conclusion": null }));
                    say(204, "")
                }
                _ => say(404, "{}"),
            }
        });
        let text = format!(
            "kind = 'github'\naddress = '{}'\ntoken = {{ env = 'T' }}\nrepository = 'acme/ops'\nworkflow = 'roll.yml'\nref = 'main'\n",
            server.address("")
        );
        let variable = |_: &str| Some(Secret::new(b"given".to_vec()));
        let outside = Outside {
            surroundings: Surroundings {
                variable: &variable,
            },
            ..Outside::for_tests()
        };
        let rollout = open(&section(&text), &outside).unwrap();
        rollout.preflight().unwrap();
        let to = Move::first("r1", Direction::Forward);
        let started = rollout.start(to).unwrap();
        assert_eq!(rollout.start(to).unwrap(), started);
        assert_eq!(
            runs.lock().unwrap().len(),
            2,
            "the same move is not made twice"
        );
        assert!(matches!(
            rollout.progress(&started).unwrap(),
            Progress::Moving(_)
        ));
        for (conclusion, expected) in [("cancelled", "Failed"), ("success", "Done")] {
            runs.lock().unwrap()[1]["status"] = "completed".into();
            runs.lock().unwrap()[1]["conclusion"] = conclusion.into();
            let progress = format!("{:?}", rollout.progress(&started).unwrap());
            assert!(progress.starts_with(expected), "{progress}");
        }
        let unlisted = rollout.progress(&Started::new("r9-back")).unwrap();
        assert!(matches!(unlisted, Progress::Moving(_)));
    }
}
