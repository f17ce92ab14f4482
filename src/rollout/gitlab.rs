//! A pipeline of GitLab that is started, and waited for. It gets the rotation's id and the
//! direction as variables. GitLab can't be asked for a pipeline by its variables, so after a crash
//! it may be started twice.
//!
//! Facts: GitLab's API documentation, pipelines.

use serde::Deserialize;
use serde_json::json;

use super::{Direction, Move, Outside, Progress, Rollout, RolloutError, Started};
use crate::config::{ConfigError, Credential, Section};
use crate::http::{Method, Request};
use crate::secret::Secret;
use crate::store::rest::{self, Rest};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The server, without `/api/v4`.
    #[serde(default = "gitlab")]
    address: String,
    ca: Option<String>,
    /// A project's access token with the scope `api`.
    token: Credential,
    /// The project's path or number.
    project: String,
    /// The branch or tag.
    #[serde(rename = "ref")]
    branch: String,
}

fn gitlab() -> String {
    "https://gitlab.com".to_owned()
}

struct Pipeline {
    target: String,
    rest: Rest,
    token: Secret,
    project: String,
    branch: String,
}

/// Opens what a section describes.
pub(super) fn open(
    section: &Section,
    outside: &Outside<'_>,
) -> Result<Box<dyn Rollout>, ConfigError> {
    let settings: Settings = section.read()?;
    let base = rest::address(section, &settings.address)?;
    let client = rest::client(section, settings.ca.as_deref(), outside)?;
    let target = format!(
        "gitlab {}, pipeline of {} {}",
        base.host(),
        settings.project,
        settings.branch
    );
    Ok(Box::new(Pipeline {
        rest: Rest::new(client, base.join(["api", "v4"]), &target, &rights()),
        target,
        token: rest::credential(section, "token", &settings.token, outside)?,
        project: settings.project,
        branch: settings.branch,
    }))
}

fn rights() -> Vec<String> {
    vec![
        "a project access token: role Developer (Maintainer for a protected branch), scope api"
            .to_owned(),
    ]
}

#[derive(Deserialize)]
struct Run {
    id: u64,
    status: String,
}

impl Pipeline {
    /// A request below the project, whose path is one segment.
    fn request(&self, method: Method, path: &[&str]) -> Request {
        let all = [&[self.project.as_str()], path].concat();
        let address = self.rest.address(&["projects"]).join(all);
        Request::new(method, address).secret_header("private-token", "", &self.token)
    }
}

impl Rollout for Pipeline {
    fn target(&self) -> String {
        self.target.clone()
    }

    fn calls(&self, _: Direction) -> Vec<String> {
        vec![
            format!(
                "POST projects/{}/pipeline, ref {}",
                self.project, self.branch
            ),
            "GET that pipeline, until it has succeeded".to_owned(),
        ]
    }

    fn rights(&self) -> Vec<String> {
        rights()
    }

    fn preflight(&self) -> Result<Vec<String>, RolloutError> {
        let doing = "find the branch";
        let request = self.request(Method::Get, &["repository", "commits", &self.branch]);
        self.rest.done(doing, &self.rest.send(doing, request)?)?;
        Ok(vec![
            "after a crash, the pipeline may be started twice".to_owned(),
        ])
    }

    fn start(&self, to: Move<'_>) -> Result<Started, RolloutError> {
        let doing = "start the pipeline";
        let direction = match to.direction {
            Direction::Forward => "forward",
            Direction::Back => "back",
        };
        let (kind, body) = rest::json(&json!({
            "ref": self.branch,
            "variables": [
                { "key": "SKEWER_ROTATION", "value": to.rotation },
                { "key": "SKEWER_DIRECTION", "value": direction },
            ],
        }));
        let request = self.request(Method::Post, &["pipeline"]).body(kind, body);
        let run: Run = self.rest.parse(doing, &self.rest.send(doing, request)?)?;
        Ok(Started::new(run.id.to_string()))
    }

    fn progress(&self, started: &Started) -> Result<Progress, RolloutError> {
        let doing = "look at the pipeline";
        let request = self.request(Method::Get, &["pipelines", started.as_str()]);
        let run: Run = self.rest.parse(doing, &self.rest.send(doing, request)?)?;
        let said = format!("pipeline {} is {}", run.id, run.status);
        Ok(match run.status.as_str() {
            "success" => Progress::Done,
            "failed" | "canceled" | "canceling" | "skipped" => Progress::Failed(said),
            // `manual` waits for a person, until the stage's limit.
            _ => Progress::Moving(said),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::config::Surroundings;
    use crate::config::tests::section;
    use crate::http::scripted::{Scripted, json};
    use crate::rollout::open;

    #[test]
    fn a_pipeline_is_started_and_waited_for() {
        let status = Arc::new(Mutex::new("pending"));
        let shared = Arc::clone(&status);
        let server = Scripted::new(move |_, asked| {
            let run = format!(r#"{{"id":7,"status":"{}"}}"#, shared.lock().unwrap());
            let project = "/api/v4/projects/acme%2Fops";
            match asked.target.strip_prefix(project).unwrap() {
                "/repository/commits/main" => json(200, "{}"),
                "/pipeline" if asked.body.contains("SKEWER_ROTATION") => json(201, &run),
                "/pipelines/7" => json(200, &run),
                _ => json(404, "{}"),
            }
        });
        let variable = |_: &str| Some(Secret::new(b"given".to_vec()));
        let outside = Outside {
            surroundings: Surroundings {
                variable: &variable,
            },
            ..Outside::for_tests()
        };
        let open_for = |branch: &str| {
            let text = format!(
                "kind = 'gitlab'\naddress = '{}'\ntoken = {{ env = 'T' }}\nproject = 'acme/ops'\nref = '{branch}'\n",
                server.address("")
            );
            open(&section(&text), &outside).unwrap()
        };
        let rollout = open_for("main");
        rollout.preflight().unwrap();
        let to = Move::first("r1", Direction::Forward);
        let started = rollout.start(to).unwrap();
        assert_eq!(started.as_str(), "7");
        for (now, expected) in [
            ("running", "Moving"),
            ("manual", "Moving"),
            ("failed", "Failed"),
            ("success", "Done"),
        ] {
            *status.lock().unwrap() = now;
            let progress = format!("{:?}", rollout.progress(&started).unwrap());
            assert!(progress.starts_with(expected), "{now}: {progress}");
        }
        let gone = open_for("gone").preflight();
        assert!(
            matches!(gone, Err(RolloutError::NotFound { .. })),
            "{gone:?}"
        );
    }
}
