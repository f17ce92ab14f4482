//! A service of a Docker Swarm that is given the secret that its store hands out now, as `docker
//! service update --secret-rm OLD --secret-add NEW` does it: the secret keeps its name in the
//! container. The Engine refuses the update (`version`) if the service was changed in between.
//!
//! An update that says "completed" may still have tasks that run on the old secret (`start-first`),
//! so it is done only when none is left. Facts: Docker's Engine API reference 1.41, and a real
//! dockerd.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Direction, Move, Outside, Progress, Rollout, RolloutError, Started};
use crate::config::{ConfigError, Section};
use crate::http::{Method, Request};
use crate::store::swarm::{Family, Service, TRIES, rights};
use crate::swarm::{self, Engine, mounts};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The service's name.
    service: String,
    /// The secret, as its store has it.
    secret: String,
}

struct Swarm {
    target: String,
    host: String,
    service: String,
    secret: String,
    family: Family,
}

/// Opens what a section describes.
pub(super) fn open(
    section: &Section,
    outside: &Outside<'_>,
) -> Result<Box<dyn Rollout>, ConfigError> {
    let settings: Settings = section.clone().without(swarm::NAMES).read()?;
    if settings.service.is_empty() {
        return Err(section.invalid("`service` is the name of a service"));
    }
    let engine = Engine::open(section, &outside.surroundings, outside.http)?;
    let target = format!("swarm {}, service {}", engine.host, settings.service);
    Ok(Box::new(Swarm {
        family: Family::new(section, &engine, &settings.secret, &target)?,
        host: engine.host,
        service: settings.service,
        secret: settings.secret,
        target,
    }))
}

/// One container, or what will become one.
#[derive(Deserialize)]
struct Task {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Spec", default)]
    spec: Value,
    #[serde(rename = "Status", default)]
    status: Status,
    #[serde(rename = "DesiredState", default)]
    desired: String,
}

#[derive(Default, Deserialize)]
struct Status {
    #[serde(rename = "State", default)]
    state: String,
}

impl Task {
    /// Whether a process may run in it. On a node that can't be reached, nobody knows.
    fn is_alive(&self) -> bool {
        !matches!(
            self.status.state.as_str(),
            "complete" | "shutdown" | "failed" | "rejected"
        )
    }

    fn mounts(&self, secret: &str) -> bool {
        mounts(&self.spec).any(|id| id == secret)
    }
}

impl Swarm {
    fn look(&self) -> Result<Service, RolloutError> {
        let doing = "look at it";
        let request = self
            .family
            .rest
            .request(Method::Get, &["services", &self.service]);
        Ok(self
            .family
            .rest
            .parse(doing, &self.family.rest.send(doing, request)?)?)
    }

    fn tasks(&self, service: &Service) -> Result<Vec<Task>, RolloutError> {
        let doing = "list its tasks";
        let rest = &self.family.rest;
        let filter = json!({ "service": [service.id] }).to_string();
        let address = rest.address(&["tasks"]).query("filters", &filter);
        let answer = rest.send(doing, Request::new(Method::Get, address))?;
        Ok(rest.parse(doing, &answer)?)
    }

    fn failed(&self, reason: String) -> RolloutError {
        RolloutError::Failed {
            target: self.target.clone(),
            reason,
        }
    }
}

impl Rollout for Swarm {
    fn target(&self) -> String {
        self.target.clone()
    }

    fn calls(&self, direction: Direction) -> Vec<String> {
        let (service, secret) = (&self.service, &self.secret);
        let swap = match direction {
            Direction::Forward => format!("{secret} is mounted from {secret}-ROTATION"),
            Direction::Back => format!("{secret} is mounted from what it was before"),
        };
        vec![
            format!("POST services/{service}/update: {swap}"),
            format!("GET services/{service} and its tasks, until none runs on the other secret"),
        ]
    }

    fn rights(&self) -> Vec<String> {
        rights(&self.host)
    }

    fn preflight(&self) -> Result<Vec<String>, RolloutError> {
        let (service, seen) = (self.look()?, self.family.look()?);
        if !service.mounts().any(|id| seen.member(id).is_some()) {
            return Err(self.failed(format!("it does not mount the secret {}", self.secret)));
        }
        let mode = &service.spec["Mode"];
        if mode["Replicated"].is_null() && mode["Global"].is_null() {
            return Err(self.failed("it is a job, whose tasks end by themselves".to_owned()));
        }
        let tasks = self.tasks(&service)?;
        let wanted = wanted(&service, &tasks);
        let running = tasks.iter().filter(|task| task.status.state == "running");
        let running = running.count();
        Ok(match running < wanted {
            true => vec![format!("{running} of {wanted} tasks run now")],
            false => Vec::new(),
        })
    }

    fn start(&self, _: Move<'_>) -> Result<Started, RolloutError> {
        for _ in 0..TRIES {
            let (mut service, seen) = (self.look()?, self.family.look()?);
            let Some(secret) = seen.promoted() else {
                return Err(self.failed(format!(
                    "no rotation has made another secret than {} the current one",
                    self.secret
                )));
            };
            let started = Started::new(&secret.id);
            let mounted = &mut service.spec["TaskTemplate"]["ContainerSpec"]["Secrets"];
            let mounted = mounted.as_array_mut().into_iter().flatten();
            let ours = mounted.filter(|one| {
                let id = one["SecretID"].as_str();
                id.is_some_and(|id| seen.member(id).is_some())
            });
            let (mut there, mut changed) = (false, false);
            for one in ours {
                there = true;
                if one["SecretID"] != secret.id.as_str() {
                    changed = true;
                    one["SecretID"] = json!(secret.id);
                    one["SecretName"] = json!(secret.name());
                }
            }
            if !there {
                return Err(self.failed(format!("it does not mount the secret {}", self.secret)));
            }
            let path = ["services", &service.id, "update"];
            let doing = "swap its secret";
            if !changed
                || self
                    .family
                    .update(doing, &path, &service.version, &service.spec)?
            {
                return Ok(started);
            }
        }
        Err(self.family.rest.restless("swap its secret").into())
    }

    fn progress(&self, started: &Started) -> Result<Progress, RolloutError> {
        let service = self.look()?;
        let secret = started.as_str();
        let said = service.update.as_ref();
        let message = said.map_or("", |update| &update.message);
        if !service.mounts().any(|id| id == secret) {
            return Ok(Progress::Failed(format!(
                "the service does not mount the secret any more that it was given: {message}"
            )));
        }
        if said.is_some_and(|update| update.state == "paused") {
            return Ok(Progress::Failed(message.to_owned()));
        }
        let tasks = self.tasks(&service)?;
        let wanted = wanted(&service, &tasks);
        let alive = tasks.iter().filter(|task| task.is_alive());
        let (new, old): (Vec<&Task>, Vec<&Task>) = alive.partition(|task| task.mounts(secret));
        let running = new.iter().filter(|task| task.status.state == "running");
        let running = running.count();
        Ok(match (running < wanted, old.first()) {
            (true, _) => Progress::Moving(format!("{running} of {wanted} new tasks run")),
            (false, Some(task)) => Progress::Moving(format!(
                "{} tasks still have the other secret, {} ({}) among them",
                old.len(),
                task.id,
                task.status.state
            )),
            (false, None) => Progress::Done,
        })
    }
}

/// How many tasks there should be: as many as the service says, or as many as there are nodes.
fn wanted(service: &Service, tasks: &[Task]) -> usize {
    match service.spec["Mode"]["Replicated"]["Replicas"].as_u64() {
        Some(replicas) => replicas as usize,
        None => {
            let wanted = tasks.iter().filter(|task| task.desired == "running");
            wanted.count()
        }
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests;
