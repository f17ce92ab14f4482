//! The rollout against an imitation of the API server, above all the pod that is one too many.

use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::*;
use crate::config::Surroundings;
use crate::config::tests::section;
use crate::http::scripted::{self, Asked, Scripted};
use crate::rollout::open;
use crate::secret::Secret;

struct Imitation {
    workload: Value,
    pods: Vec<Value>,
}

impl Imitation {
    fn answer(&mut self, asked: &Asked) -> Vec<u8> {
        let ok = |body: &Value| scripted::json(200, &body.to_string());
        let denied = |message: &str| {
            scripted::json(
                403,
                &json!({ "kind": "Status", "message": message }).to_string(),
            )
        };
        if !asked.head.contains("authorization: bearer given") {
            return denied("who?");
        }
        if asked.target
            == "/api/v1/namespaces/prod/pods?labelSelector=app%3Dapi%2Ctier+in+%28a%2Cb%29"
        {
            return ok(&json!({ "items": self.pods }));
        }
        if asked.target != "/apis/apps/v1/namespaces/prod/deployments/api" {
            return scripted::json(404, "{}");
        }
        if asked.method == "PATCH" {
            let body: Value = serde_json::from_str(&asked.body).unwrap();
            let to = &body["spec"]["template"]["metadata"]["annotations"][ANNOTATION];
            let template =
                &mut self.workload["spec"]["template"]["metadata"]["annotations"][ANNOTATION];
            if template != to {
                *template = to.clone();
                let generation = self.workload["metadata"]["generation"].as_u64().unwrap();
                self.workload["metadata"]["generation"] = (generation + 1).into();
            }
        }
        ok(&self.workload)
    }
}

fn pod(name: &str, by: Option<&str>, ready: bool) -> Value {
    let ready = if ready { "True" } else { "False" };
    json!({
        "metadata": { "name": name, "annotations": by.map(|by| json!({ ANNOTATION: by })).unwrap_or(json!({})) },
        "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": ready }] },
    })
}

struct Bench {
    server: Scripted,
    state: Arc<Mutex<Imitation>>,
}

impl Bench {
    fn new() -> Self {
        let state = Arc::new(Mutex::new(Imitation {
            workload: json!({
                "metadata": { "name": "api", "generation": 4 },
                "spec": {
                    "replicas": 2,
                    "selector": {
                        "matchLabels": { "app": "api" },
                        "matchExpressions": [{ "key": "tier", "operator": "In", "values": ["a", "b"] }],
                    },
                    "template": { "metadata": { "annotations": {} } },
                    "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": "25%" } },
                },
                "status": { "observedGeneration": 4 },
            }),
            pods: vec![pod("old-1", None, true), pod("old-2", None, true)],
        }));
        let shared = Arc::clone(&state);
        let server = Scripted::new(move |_, asked| shared.lock().unwrap().answer(asked));
        Self { server, state }
    }

    fn rollout(&self, workload: &str) -> Box<dyn Rollout> {
        let text = format!(
            "kind = 'kubernetes'\naddress = '{}'\nnamespace = 'prod'\ntoken = {{ env = 'T' }}\nworkload = '{workload}'\n",
            self.server.address("")
        );
        let variable = |_: &str| Some(Secret::new(b"given".to_vec()));
        let outside = Outside {
            surroundings: Surroundings {
                variable: &variable,
            },
            ..Outside::for_tests()
        };
        open(&section(&text), &outside).unwrap()
    }

    fn set(&self, change: impl FnOnce(&mut Imitation)) {
        change(&mut self.state.lock().unwrap());
    }
}

const FORWARD: Move<'static> = Move::first("r1", Direction::Forward);

#[test]
fn it_is_done_only_when_the_last_old_pod_is_gone() {
    let bench = Bench::new();
    let rollout = bench.rollout("deployment/api");
    assert!(rollout.preflight().unwrap().is_empty());
    let started = rollout.start(FORWARD).unwrap();
    assert_eq!(started.as_str(), "5 r1-forward");
    assert_eq!(
        rollout.start(FORWARD).unwrap(),
        started,
        "the same move is not made twice"
    );
    let moving = |why: &str| match rollout.progress(&started).unwrap() {
        Progress::Moving(what) => assert!(what.contains(why), "{what}"),
        other => panic!("{other:?} while {why}"),
    };
    moving("not seen it yet");
    bench.set(|state| state.workload["status"]["observedGeneration"] = 5.into());
    moving("0 of 2 new pods");
    bench.set(|state| {
        state.pods = vec![
            pod("new-1", Some("r1-forward"), true),
            pod("new-2", Some("r1-forward"), false),
            pod("old-2", None, true),
        ];
    });
    moving("1 of 2 new pods");
    // The Deployment is complete, and a fourth pod of three is still there.
    bench.set(|state| {
        state.pods[1] = pod("new-2", Some("r1-forward"), true);
        state.pods[2]["metadata"]["deletionTimestamp"] = "2026-11-23T08:00:00Z".into();
        state.workload["status"]["conditions"] = json!([
            { "type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable" },
        ]);
    });
    moving("1 old pods are not gone yet, old-2");
    // One that has ended runs nothing any more.
    bench.set(|state| state.pods[2]["status"]["phase"] = "Failed".into());
    assert_eq!(rollout.progress(&started).unwrap(), Progress::Done);
    // And back again: what is new now is old then.
    let back = Move {
        direction: Direction::Back,
        ..FORWARD
    };
    let started = rollout.start(back).unwrap();
    bench.set(|state| state.workload["status"]["observedGeneration"] = 6.into());
    assert!(matches!(
        rollout.progress(&started).unwrap(),
        Progress::Moving(_)
    ));
}

#[test]
fn a_deadline_that_is_over_is_a_failure() {
    let bench = Bench::new();
    let rollout = bench.rollout("deployment/api");
    let started = rollout.start(FORWARD).unwrap();
    bench.set(|state| {
        state.workload["status"] = json!({ "observedGeneration": 5, "conditions": [
            { "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "timed out" },
        ] });
    });
    assert_eq!(
        rollout.progress(&started).unwrap(),
        Progress::Failed("timed out".to_owned())
    );
}

#[test]
fn what_can_not_work_is_found_beforehand() {
    let said = |prepare: &dyn Fn(&mut Imitation)| {
        let bench = Bench::new();
        bench.set(|state| prepare(state));
        bench.rollout("deployment/api").preflight()
    };
    let paused = said(&|state| state.workload["spec"]["paused"] = true.into());
    assert!(paused.unwrap_err().to_string().contains("paused"));
    let by_hand = said(&|state| state.workload["spec"]["strategy"] = json!({ "type": "OnDelete" }));
    assert!(by_hand.unwrap_err().to_string().contains("OnDelete"));
    let partly = said(&|state| {
        state.workload["spec"]["strategy"] =
            json!({ "type": "RollingUpdate", "rollingUpdate": { "partition": 1 } });
    });
    assert!(partly.unwrap_err().to_string().contains("partition"));
    let few = said(&|state| state.pods.truncate(1));
    assert_eq!(few.unwrap(), ["1 of 2 pods are ready now"]);
    let bench = Bench::new();
    let gone = bench.rollout("deployment/other").preflight();
    assert!(
        matches!(gone, Err(RolloutError::NotFound { .. })),
        "{gone:?}"
    );
    for bad in ["job/x", "deployment", "deployment/"] {
        let text = format!(
            "kind = 'kubernetes'\naddress = 'http://127.0.0.1:1'\nnamespace = 'p'\ntoken = {{ command = ['echo', 't'] }}\nworkload = '{bad}'\n"
        );
        assert!(
            open(&section(&text), &Outside::for_tests()).is_err(),
            "{bad}"
        );
    }
}

/// Controllers of a real cluster replace the pods; the test is their kubelet.
#[test]
#[cfg(unix)]
fn a_real_deployment_is_moved_with_the_least_rights() {
    use crate::cluster::real::{Real, surroundings};
    let Some(real) = Real::start() else {
        return;
    };
    let deployments = "apis/apps/v1/namespaces/prod/deployments";
    let deployment = json!({
        "metadata": { "name": "api" },
        "spec": {
            "replicas": 3,
            "selector": { "matchLabels": { "app": "api" } },
            "template": {
                "metadata": { "labels": { "app": "api" } },
                "spec": { "containers": [{ "name": "api", "image": "example.com/api:1" }] },
            },
        },
    });
    real.call(Method::Post, deployments, &deployment);
    let text = format!(
        "kind = 'kubernetes'\n{}workload = 'deployment/api'\n",
        real.settings()
    );
    let rollout = surroundings(|surroundings| {
        let outside = Outside {
            surroundings,
            ..Outside::for_tests()
        };
        open(&section(&text), &outside).unwrap()
    });
    assert!(matches!(
        rollout.preflight(),
        Err(RolloutError::Denied { .. })
    ));
    // What `rights` says, and no more.
    real.grant(
        "rotator",
        &json!([
            { "apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "patch"], "resourceNames": ["api"] },
            { "apiGroups": [""], "resources": ["pods"], "verbs": ["list"] },
        ]),
    );
    real.until("all pods are ready", || {
        real.serve_pods();
        rollout.preflight().is_ok_and(|remarks| remarks.is_empty()) && real.pods().len() == 3
    });
    for direction in [Direction::Forward, Direction::Back] {
        let to = Move::first("r1", direction);
        let started = rollout.start(to).unwrap();
        assert_eq!(
            rollout.start(to).unwrap(),
            started,
            "the same move is not made twice"
        );
        // Old pods end, but for those of the last step, which take their time.
        let mut seen = Vec::new();
        real.until("only old pods are left to wait for", || {
            real.serve_pods();
            let progress = rollout.progress(&started).unwrap();
            let Progress::Moving(what) = progress else {
                panic!("{progress:?} after {seen:?}");
            };
            let waits = what.contains("old pods are not gone");
            if !waits {
                real.let_pods_go();
            }
            seen.push(what);
            let path = format!("{deployments}/api");
            let status = real.call(Method::Get, &path, &Value::Null)["status"].clone();
            let complete = ["replicas", "updatedReplicas", "availableReplicas"];
            waits && complete.iter().all(|name| status[name] == 3)
        });
        assert!(real.pods().len() > 3, "complete, says the Deployment");
        real.let_pods_go();
        real.until("no old pod is left", || {
            rollout.progress(&started).unwrap() == Progress::Done
        });
        assert_eq!(real.pods().len(), 3);
    }
    real.call(
        Method::Patch,
        &format!("{deployments}/api"),
        &json!({ "spec": { "paused": true } }),
    );
    assert!(
        rollout
            .preflight()
            .unwrap_err()
            .to_string()
            .contains("paused")
    );
}
