//! The rollout against an imitation of the Engine, and against a real dockerd where there is one.

use std::time::Duration;

use serde_json::Value;

use super::*;
use crate::config::tests::section;
use crate::rollout::open;
use crate::store::contract::{key, note};
use crate::store::{self, Store};
use crate::swarm::imitation::Imitation;

const FORWARD: Move<'static> = Move::first("r1", Direction::Forward);
const BACK: Move<'static> = Move::first("r1", Direction::Back);

fn rollout(address: &str, service: &str) -> Box<dyn Rollout> {
    let text =
        format!("kind = 'swarm'\naddress = '{address}'\nservice = '{service}'\nsecret = 'key'\n");
    open(&section(&text), &Outside::for_tests()).unwrap()
}

fn store(address: &str) -> Box<dyn Store> {
    let text =
        format!("kind = 'swarm'\naddress = '{address}'\nsecret = 'key'\nservices = ['web']\n");
    store::open(&section(&text), &Outside::for_tests()).unwrap()
}

/// Promotes key B; says what it was promoted over, and as what.
fn promoted(store: &dyn Store) -> (store::Version, store::Version) {
    let over = store.preflight().unwrap().current;
    let note = note("r1", &key(2));
    store.stage(&key(2), &note).unwrap();
    let promoted = store.promote(&key(2), &note, &over).unwrap();
    (over, promoted)
}

fn is_moving(rollout: &dyn Rollout, started: &Started, why: &str) {
    let progress = rollout.progress(started).unwrap();
    assert!(
        matches!(&progress, Progress::Moving(what) if what.contains(why)),
        "{progress:?}"
    );
}

fn has_failed(rollout: &dyn Rollout, started: &Started, why: &str) {
    let progress = rollout.progress(started).unwrap();
    assert!(
        matches!(&progress, Progress::Failed(what) if what.contains(why)),
        "{progress:?}"
    );
}

#[test]
fn it_is_done_only_when_no_task_has_the_old_secret() {
    let bench = Imitation::new(&key(1));
    let (store, rollout) = (store(&bench.address()), rollout(&bench.address(), "web"));
    assert!(rollout.preflight().unwrap().is_empty());
    assert!(rollout.start(FORWARD).is_err(), "nothing is promoted yet");
    promoted(&*store);
    let before: Value = bench.state().services[0]["Spec"].clone();
    let started = rollout.start(FORWARD).unwrap();
    assert_eq!(bench.state().handed_out("web"), key(2).expose());
    assert_eq!(
        bench.state().handed_out("worker"),
        key(1).expose(),
        "only this service"
    );
    let after: Value = bench.state().services[0]["Spec"].clone();
    let mounted = |spec: &Value| spec["TaskTemplate"]["ContainerSpec"]["Secrets"][0].clone();
    assert_eq!(
        mounted(&after)["File"],
        mounted(&before)["File"],
        "the target stays"
    );
    assert_eq!(mounted(&after)["SecretName"], "key-r1");
    assert_eq!(
        after["UpdateConfig"], before["UpdateConfig"],
        "and all the rest"
    );

    is_moving(&*rollout, &started, "0 of 2 new tasks");
    bench.settle("running", "running");
    bench.state().services[0]["UpdateStatus"]["State"] = "completed".into();
    is_moving(&*rollout, &started, "2 tasks still have the other secret");
    bench.settle("running", "shutdown");
    assert_eq!(rollout.progress(&started).unwrap(), Progress::Done);

    let index = bench.state().services[0]["Version"].clone();
    assert_eq!(rollout.start(FORWARD).unwrap(), started);
    assert_eq!(
        bench.state().services[0]["Version"],
        index,
        "again is as once"
    );
}

#[test]
fn the_way_back_mounts_what_was_there_before() {
    let bench = Imitation::new(&key(1));
    let (store, rollout) = (store(&bench.address()), rollout(&bench.address(), "web"));
    let (_, version) = promoted(&*store);
    rollout.start(FORWARD).unwrap();
    bench.settle("running", "shutdown");
    store.restore(None, &note("r1", &key(2)), &version).unwrap();
    let back = rollout.start(BACK).unwrap();
    assert_eq!(bench.state().handed_out("web"), key(1).expose());
    is_moving(&*rollout, &back, "0 of 2");
    bench.settle("running", "shutdown");
    assert_eq!(rollout.progress(&back).unwrap(), Progress::Done);
    store.forget("r1").unwrap();
}

#[test]
fn updates_that_go_wrong_are_failures() {
    let bench = Imitation::new(&key(1));
    let (store, rollout) = (store(&bench.address()), rollout(&bench.address(), "web"));
    promoted(&*store);
    let started = rollout.start(FORWARD).unwrap();
    let paused = json!({ "State": "paused", "Message": "update paused due to failure" });
    bench.state().services[0]["UpdateStatus"] = paused;
    has_failed(&*rollout, &started, "due to failure");
    // The service went back by itself.
    let first = bench.state().secrets[0]["ID"].clone();
    bench.state().services[0]["Spec"]["TaskTemplate"]["ContainerSpec"]["Secrets"][0]["SecretID"] =
        first;
    let back = json!({ "State": "rollback_completed", "Message": "rollback completed" });
    bench.state().services[0]["UpdateStatus"] = back;
    has_failed(&*rollout, &started, "rollback completed");
}

#[test]
fn what_can_not_work_is_found_beforehand() {
    let bench = Imitation::new(&key(1));
    let preflight = |service: &str| rollout(&bench.address(), service).preflight();
    assert!(matches!(
        preflight("nobody"),
        Err(RolloutError::NotFound { .. })
    ));
    bench.settle("starting", "shutdown");
    assert_eq!(preflight("web").unwrap(), ["0 of 2 tasks run now"]);
    bench.state().services[0]["Spec"]["Mode"] = json!({ "ReplicatedJob": {} });
    assert!(preflight("web").unwrap_err().to_string().contains("job"));
    bench.state().services[1]["Spec"]["TaskTemplate"]["ContainerSpec"]["Secrets"] = json!([]);
    assert!(
        preflight("worker")
            .unwrap_err()
            .to_string()
            .contains("does not mount")
    );
}

/// The whole way on a real Swarm, whose containers read the secret: there and back.
#[test]
#[cfg(target_os = "linux")]
fn a_real_swarm_moves_its_tasks_and_brings_them_back() {
    use crate::swarm::imitation::{secret, service};

    let Some(engine) = crate::swarm::real::Dockerd::start() else {
        return;
    };
    let id = engine.post("secrets/create", &secret("key", &key(1)))["ID"].clone();
    engine.post(
        "services/create",
        &service("web", id.as_str().unwrap(), "key"),
    );
    let (store, rollout) = (store(&engine.address()), rollout(&engine.address(), "web"));
    let until = |started: &Started| {
        let mut seen = Vec::new();
        for _ in 0..600 {
            match rollout.progress(started).unwrap() {
                Progress::Done => return seen,
                Progress::Moving(what) => seen.push(what),
                Progress::Failed(why) => panic!("{why}"),
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("not done in a minute: {seen:?}");
    };
    engine.until_running(2);
    assert!(rollout.preflight().unwrap().is_empty());
    let (_, version) = promoted(&*store);
    let started = rollout.start(FORWARD).unwrap();
    let seen = until(&started);
    assert!(
        seen.iter()
            .any(|what| what.contains("still have the other secret")),
        "start-first: old tasks run beside the new ones: {seen:?}"
    );
    assert_eq!(
        engine.read_in_containers("/run/secrets/openai"),
        [key(2).expose(), key(2).expose()]
    );
    assert_eq!(rollout.start(FORWARD).unwrap(), started, "again is as once");

    store.restore(None, &note("r1", &key(2)), &version).unwrap();
    until(&rollout.start(BACK).unwrap());
    assert_eq!(
        engine.read_in_containers("/run/secrets/openai"),
        [key(1).expose(), key(1).expose()]
    );
    store.forget("r1").unwrap();
    assert_eq!(store.preflight().unwrap().pending, None);
    promoted(&*store);
    until(&rollout.start(FORWARD).unwrap());
    store.forget("r1").unwrap();
    let found = store.preflight().unwrap();
    assert_eq!(found.fingerprint, Some(key(2).fingerprint()));
    assert!(found.remarks.is_empty(), "{:?}", found.remarks);
}
