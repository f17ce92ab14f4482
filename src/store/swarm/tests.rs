//! The store against an imitation of the Engine, and against a real dockerd where there is one.

use std::sync::Mutex;

use super::*;
use crate::config::tests::section;
use crate::store::contract::{self, key, note};
use crate::store::open;
use crate::swarm::imitation::{Imitation, secret, service};

pub(super) fn store(address: &str, name: &str, services: &str) -> Box<dyn Store> {
    let text = format!(
        "kind = 'swarm'\naddress = '{address}'\nsecret = '{name}'\nservices = [{services}]\n"
    );
    open(&section(&text), &Outside::for_tests()).unwrap()
}

fn names(bench: &Imitation) -> Vec<String> {
    let state = bench.state();
    let names = state
        .secrets
        .iter()
        .map(|one| one["Spec"]["Name"].as_str().unwrap().to_owned());
    names.filter(|name| name != "keyring").collect()
}

#[test]
fn the_contract_holds() {
    let benches = Mutex::new(Vec::new());
    contract::check(|| {
        let bench = Imitation::new(&key(1));
        let store = store(&bench.address(), "key", "'web', 'worker'");
        benches.lock().unwrap().push(bench);
        store
    });
}

#[test]
fn promoting_changes_no_service_and_key_a_comes_back_without_its_value() {
    let bench = Imitation::new(&key(1));
    let store = store(&bench.address(), "key", "'web', 'worker'");
    let over = store.preflight().unwrap().current;
    let note = note("r1", &key(2));
    store.stage(&key(2), &note).unwrap();
    assert_eq!(
        names(&bench),
        ["key", "key-r1"],
        "the name says whose it is"
    );
    let promoted = store.promote(&key(2), &note, &over).unwrap();
    assert_ne!(promoted, over);
    assert_eq!(bench.state().handed_out("web"), key(1).expose());
    assert!(
        store
            .preflight()
            .unwrap()
            .remarks
            .iter()
            .any(|remark| remark.contains("web"))
    );
    assert_eq!(store.restore(None, &note, &promoted).unwrap(), over);
    assert_eq!(
        store.restore(None, &note, &promoted).unwrap(),
        over,
        "again is as once"
    );
    store.forget("r1").unwrap();
    assert_eq!(
        names(&bench),
        ["key", "key-skewer"],
        "key B is gone, the lock's place stays"
    );
    let value = String::from_utf8(key(2).expose().to_vec()).unwrap();
    let sent = bench.asked();
    assert!(
        sent.iter()
            .all(|asked| !asked.target.contains(&value) && !asked.head.contains(&value))
    );
}

#[test]
fn only_what_rotations_made_is_deleted_and_only_what_nobody_mounts() {
    let bench = Imitation::new(&key(1));
    let store = store(&bench.address(), "key", "'web', 'worker'");
    for (number, rotation) in ["r1", "r2"].into_iter().enumerate() {
        let b = key(2 + number as u64);
        let note = note(rotation, &b);
        let over = store.preflight().unwrap().current;
        store.stage(&b, &note).unwrap();
        let promoted = store.promote(&b, &note, &over).unwrap();
        for service in &mut bench.state().services {
            let mounted = &mut service["Spec"]["TaskTemplate"]["ContainerSpec"]["Secrets"][0];
            mounted["SecretID"] = promoted.as_str().into();
        }
        store.forget(rotation).unwrap();
        assert_eq!(store.preflight().unwrap().current, promoted);
        assert_eq!(
            store.preflight().unwrap().fingerprint,
            Some(b.fingerprint())
        );
    }
    let left = names(&bench);
    assert_eq!(
        left,
        ["key", "key-skewer", "key-r2"],
        "the first one is somebody's own"
    );
}

#[test]
fn what_stands_in_the_way_is_found_beforehand() {
    let bench = Imitation::new(&key(1));
    let preflight = |services: &str| store(&bench.address(), "key", services).preflight();
    assert!(matches!(
        preflight("'nobody'"),
        Err(StoreError::NotFound { .. })
    ));
    let remarks = preflight("'web'").unwrap().remarks;
    assert!(
        remarks
            .iter()
            .any(|text| text.contains("worker") && text.contains("key A"))
    );
    {
        let mut state = bench.state();
        let other = state.add_secret(secret("key-old", &key(7)));
        state.add_service(service("other", &other, "key-old"));
        state.services[0]["Spec"]["Labels"]["com.docker.stack.namespace"] = "shop".into();
    }
    assert!(
        matches!(preflight("'web', 'other'"), Err(StoreError::Refused { .. })),
        "another secret whose name begins alike"
    );
    let remarks = preflight("'web', 'worker'").unwrap().remarks;
    assert!(
        remarks.iter().any(|text| text.contains("stack shop")),
        "{remarks:?}"
    );
    bench.state().secrets[0]["Spec"]["Driver"] = serde_json::json!({ "Name": "vault" });
    assert!(matches!(
        preflight("'web', 'worker'"),
        Err(StoreError::Refused { .. })
    ));
    bench.state().secrets.clear();
    assert!(matches!(
        preflight("'web'"),
        Err(StoreError::NotFound { .. })
    ));
}

#[test]
fn a_lost_answer_may_have_been_a_success_and_the_step_is_repeated() {
    let bench = Imitation::new(&key(1));
    let store = store(&bench.address(), "key", "'web'");
    let over = store.preflight().unwrap().current;
    let note = note("r1", &key(2));
    let lossy = |lose: bool| bench.state().lose_answers = lose;
    lossy(true);
    assert!(store.stage(&key(2), &note).unwrap_err().may_have_changed());
    lossy(false);
    store.stage(&key(2), &note).unwrap();
    lossy(true);
    assert!(
        store
            .promote(&key(2), &note, &over)
            .unwrap_err()
            .may_have_changed()
    );
    lossy(false);
    store.promote(&key(2), &note, &over).unwrap();
    lossy(true);
    assert!(store.forget("r1").unwrap_err().may_have_changed());
    lossy(false);
    store.forget("r1").unwrap();
    assert_eq!(store.preflight().unwrap().pending, None);
}

#[test]
fn wrong_settings_are_told() {
    let long = "n".repeat(56);
    for (text, why) in [
        ("secret = 'key'\nservices = []", "services"),
        ("secret = 'a b'\nservices = ['web']", "secret"),
        (&format!("secret = '{long}'\nservices = ['web']"), "55"),
        (
            "secret = 'key'\nservices = ['web']\naddress = 'tcp://10.0.0.1:2375'",
            "unix://",
        ),
        (
            "secret = 'key'\nservices = ['web']\ncertificate = 'cert.pem'",
            "together",
        ),
    ] {
        let text = format!("kind = 'swarm'\n{text}\n");
        let said = open(&section(&text), &Outside::for_tests())
            .err()
            .unwrap()
            .to_string();
        assert!(said.contains(why), "{said}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_real_dockerd_keeps_the_contract() {
    let Some(engine) = crate::swarm::real::Dockerd::start() else {
        return;
    };
    let number = std::cell::Cell::new(0);
    contract::check(|| {
        number.set(number.get() + 1);
        let name = format!("key{}", number.get());
        let id = engine.post("secrets/create", &secret(&name, &key(1)))["ID"].clone();
        let id = id.as_str().unwrap();
        // No tasks: the store never looks at them.
        let mut spec = service(&format!("web{}", number.get()), id, &name);
        spec["Mode"]["Replicated"]["Replicas"] = 0.into();
        engine.post("services/create", &spec);
        store(&engine.address(), &name, &format!("'web{}'", number.get()))
    });
}
