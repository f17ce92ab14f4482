//! A workload of Kubernetes whose pods are replaced, as `kubectl rollout restart` does it: by an
//! annotation of the pod template, here with the move's name in it.
//!
//! A Deployment that says "complete" may still have a fourth pod of three, and that one holds the
//! old key. So it is done only when no pod is left without our annotation, terminating ones
//! included. Facts: Kubernetes' API reference, and a real API server.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::{Direction, Move, Outside, Progress, Rollout, RolloutError, Started};
use crate::cluster::{self, Cluster};
use crate::config::{ConfigError, Section};
use crate::http::{Method, Request};
use crate::store::rest::{self, Rest};

const ANNOTATION: &str = "skewer/rotation";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// `deployment/NAME`, `statefulset/NAME` or `daemonset/NAME`.
    workload: String,
}

struct Workload {
    target: String,
    cluster: Cluster,
    rest: Rest,
    /// As in addresses: `deployments`.
    plural: &'static str,
    name: String,
}

/// Opens what a section describes.
pub(super) fn open(
    section: &Section,
    outside: &Outside<'_>,
) -> Result<Box<dyn Rollout>, ConfigError> {
    let settings: Settings = section.clone().without(cluster::NAMES).read()?;
    let cluster = Cluster::open(section, &outside.surroundings, outside.http)?;
    let (kind, name) = settings.workload.split_once('/').unwrap_or_default();
    let plural = match kind {
        "deployment" => "deployments",
        "statefulset" => "statefulsets",
        "daemonset" => "daemonsets",
        _ => "",
    };
    if plural.is_empty() || name.is_empty() {
        return Err(section
            .invalid("`workload` is `deployment/NAME`, `statefulset/NAME` or `daemonset/NAME`"));
    }
    let target = format!(
        "kubernetes {}, {kind} {}/{name}",
        cluster.address.host(),
        cluster.namespace
    );
    let rest = Rest::new(
        cluster.client.clone(),
        cluster.address.clone(),
        &target,
        &rights(plural, name, &cluster.namespace),
    );
    Ok(Box::new(Workload {
        target,
        rest,
        plural,
        name: name.to_owned(),
        cluster,
    }))
}

fn rights(plural: &str, name: &str, namespace: &str) -> Vec<String> {
    vec![
        format!("get, patch: {plural} {name} in {namespace}"),
        format!("list: pods in {namespace}"),
    ]
}

#[derive(Deserialize)]
struct Object {
    metadata: Metadata,
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    name: String,
    #[serde(default)]
    generation: u64,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    #[serde(default)]
    deletion_timestamp: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    selector: Selector,
    #[serde(default)]
    paused: bool,
    /// A Deployment's, and what the others call theirs.
    #[serde(default, alias = "updateStrategy")]
    strategy: Strategy,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Strategy {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    rolling_update: Option<Rolling>,
}

#[derive(Deserialize)]
struct Rolling {
    #[serde(default)]
    partition: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Selector {
    #[serde(default)]
    match_labels: BTreeMap<String, String>,
    #[serde(default)]
    match_expressions: Vec<Expression>,
}

#[derive(Deserialize)]
struct Expression {
    key: String,
    operator: String,
    #[serde(default)]
    values: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    #[serde(default)]
    observed_generation: u64,
    #[serde(default)]
    conditions: Vec<Condition>,
}

#[derive(Deserialize)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct Pods {
    items: Vec<Pod>,
}

#[derive(Deserialize)]
struct Pod {
    metadata: Metadata,
    #[serde(default)]
    status: PodStatus,
}

#[derive(Default, Deserialize)]
struct PodStatus {
    #[serde(default)]
    phase: String,
    #[serde(default)]
    conditions: Vec<Condition>,
}

#[derive(Deserialize)]
struct Scale {
    spec: Wanted,
}

/// How many pods there should be; a DaemonSet has its number in its status.
#[derive(Deserialize)]
struct Wanted {
    #[serde(default = "one")]
    replicas: u64,
}

fn one() -> u64 {
    1
}

impl Selector {
    /// As the parameter `labelSelector` has it.
    fn text(&self) -> String {
        let labels = self
            .match_labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"));
        let expressions = self.match_expressions.iter().map(|e| {
            let values = e.values.join(",");
            match e.operator.as_str() {
                "In" => format!("{} in ({values})", e.key),
                "NotIn" => format!("{} notin ({values})", e.key),
                "DoesNotExist" => format!("!{}", e.key),
                _ => e.key.clone(),
            }
        });
        labels.chain(expressions).collect::<Vec<_>>().join(",")
    }
}

impl Pod {
    /// Whether a process may run in it.
    fn is_alive(&self) -> bool {
        !matches!(self.status.phase.as_str(), "Succeeded" | "Failed")
    }

    fn is_ready(&self) -> bool {
        let mut conditions = self.status.conditions.iter();
        self.metadata.deletion_timestamp.is_none()
            && conditions.any(|c| c.kind == "Ready" && c.status == "True")
    }
}

impl Workload {
    fn path(&self) -> [&str; 5] {
        [
            "apis/apps/v1/namespaces",
            &self.cluster.namespace,
            self.plural,
            &self.name,
            "",
        ]
    }

    fn request(&self, method: Method) -> Request {
        self.cluster.request(method, &self.path()[..4])
    }

    /// The workload, and how many pods it should have.
    fn look(&self) -> Result<(Object, u64), RolloutError> {
        let doing = "look at it";
        let answer = self.rest.send(doing, self.request(Method::Get))?;
        let object: Object = self.rest.parse(doing, &answer)?;
        let wanted = match self.plural {
            "daemonsets" => {
                let all: serde_json::Value = self.rest.parse(doing, &answer)?;
                let number = &all["status"]["desiredNumberScheduled"];
                number.as_u64().unwrap_or_default()
            }
            _ => self.rest.parse::<Scale>(doing, &answer)?.spec.replicas,
        };
        Ok((object, wanted))
    }

    fn pods(&self, selector: &Selector) -> Result<Vec<Pod>, RolloutError> {
        let doing = "list its pods";
        let address = self
            .cluster
            .at(&["api/v1/namespaces", &self.cluster.namespace, "pods"]);
        let address = address.query("labelSelector", &selector.text());
        let request = self.cluster.dress(Request::new(Method::Get, address));
        let pods: Pods = self.rest.parse(doing, &self.rest.send(doing, request)?)?;
        Ok(pods.items)
    }

    fn failed(&self, reason: &str) -> RolloutError {
        RolloutError::Failed {
            target: self.target.clone(),
            reason: reason.to_owned(),
        }
    }
}

impl Rollout for Workload {
    fn target(&self) -> String {
        self.target.clone()
    }

    fn calls(&self, direction: Direction) -> Vec<String> {
        let word = match direction {
            Direction::Forward => "ROTATION-forward",
            Direction::Back => "ROTATION-back",
        };
        let (plural, name) = (self.plural, &self.name);
        vec![
            format!("PATCH {plural}/{name}: annotate the pod template, {ANNOTATION}={word}"),
            format!("GET {plural}/{name} and its pods, until each one has the annotation"),
        ]
    }

    fn rights(&self) -> Vec<String> {
        rights(self.plural, &self.name, &self.cluster.namespace)
    }

    fn preflight(&self) -> Result<Vec<String>, RolloutError> {
        let (object, wanted) = self.look()?;
        if object.spec.paused {
            return Err(self.failed("it is paused; `kubectl rollout resume` it first"));
        }
        if object.spec.strategy.kind == "OnDelete" {
            return Err(
                self.failed("its pods are replaced only when somebody deletes them (OnDelete)")
            );
        }
        if object
            .spec
            .strategy
            .rolling_update
            .is_some_and(|rolling| rolling.partition > 0)
        {
            return Err(self.failed(
                "its updates end at a partition, so that some pods would keep the old key",
            ));
        }
        let pods = self.pods(&object.spec.selector)?;
        let ready = pods.iter().filter(|pod| pod.is_ready()).count() as u64;
        Ok(match ready < wanted {
            true => vec![format!("{ready} of {wanted} pods are ready now")],
            false => Vec::new(),
        })
    }

    fn start(&self, to: Move<'_>) -> Result<Started, RolloutError> {
        let doing = "annotate its pod template";
        let name = to.to_string();
        let (_, body) = rest::json(&json!({
            "spec": { "template": { "metadata": { "annotations": { ANNOTATION: name } } } },
        }));
        let request = self
            .request(Method::Patch)
            .body("application/merge-patch+json", body);
        let object: Object = self.rest.parse(doing, &self.rest.send(doing, request)?)?;
        Ok(Started::new(format!(
            "{} {name}",
            object.metadata.generation
        )))
    }

    fn progress(&self, started: &Started) -> Result<Progress, RolloutError> {
        let (generation, name) = started.as_str().split_once(' ').unwrap_or_default();
        let generation: u64 = generation.parse().unwrap_or_default();
        let (object, wanted) = self.look()?;
        if object.status.observed_generation < generation {
            return Ok(Progress::Moving(
                "the controller has not seen it yet".to_owned(),
            ));
        }
        let stuck =
            |c: &&Condition| c.kind == "Progressing" && c.reason == "ProgressDeadlineExceeded";
        if let Some(condition) = object.status.conditions.iter().find(stuck) {
            return Ok(Progress::Failed(condition.message.clone()));
        }
        let pods = self.pods(&object.spec.selector)?;
        let is_ours = |pod: &&Pod| {
            pod.metadata
                .annotations
                .get(ANNOTATION)
                .is_some_and(|n| n == name)
        };
        let old: Vec<&Pod> = pods
            .iter()
            .filter(|pod| pod.is_alive() && !is_ours(pod))
            .collect();
        let ready = pods
            .iter()
            .filter(is_ours)
            .filter(|pod| pod.is_ready())
            .count() as u64;
        Ok(match (ready < wanted, old.first()) {
            (true, _) => Progress::Moving(format!("{ready} of {wanted} new pods are ready")),
            (false, Some(pod)) => Progress::Moving(format!(
                "{} old pods are not gone yet, {} among them",
                old.len(),
                pod.metadata.name
            )),
            (false, None) => Progress::Done,
        })
    }
}

#[cfg(test)]
mod tests;
