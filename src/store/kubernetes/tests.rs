//! The store against an imitation of the API server that keeps Secrets as the real one does:
//! resource versions, merge patches, preconditions, 409.

use std::sync::{Arc, Mutex};

use serde_json::Map;

use super::*;
use crate::config::Surroundings;
use crate::config::tests::section;
use crate::http::scripted::{self, Asked, Scripted};
use crate::store::contract::{self, key, note};
use crate::store::open;

#[derive(Default)]
struct Imitation {
    secrets: BTreeMap<String, Value>,
    version: u64,
    /// Verbs that we may not use.
    denied: Vec<&'static str>,
    /// Somebody else writes between our next read and our write, that often.
    meddle: usize,
}

const SECRETS: &str = "/api/v1/namespaces/prod/secrets";

impl Imitation {
    fn stamp(&mut self, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        object
    }

    fn answer(&mut self, asked: &Asked) -> Vec<u8> {
        if !asked.head.contains("authorization: bearer given") {
            return status(401, "Unauthorized");
        }
        let body: Value = serde_json::from_str(&asked.body).unwrap_or_default();
        if asked.target.ends_with("selfsubjectaccessreviews") {
            let verb = body["spec"]["resourceAttributes"]["verb"].as_str().unwrap();
            return ok(&json!({ "status": { "allowed": !self.denied.contains(&verb) } }));
        }
        let name = asked
            .target
            .strip_prefix(SECRETS)
            .unwrap()
            .trim_start_matches('/');
        let there = self.secrets.get(name).cloned();
        match (asked.method.as_str(), there) {
            ("POST", _) => {
                let name = body["metadata"]["name"].as_str().unwrap().to_owned();
                if self.secrets.contains_key(&name) {
                    return status(409, "AlreadyExists");
                }
                let mut body = self.stamp(body);
                prune(&mut body);
                self.secrets.insert(name, body.clone());
                ok(&body)
            }
            (_, None) => status(404, "NotFound"),
            ("GET", Some(object)) => {
                if self.meddle > 0 && name == "api" {
                    self.meddle -= 1;
                    let mut changed = self.stamp(object.clone());
                    changed["data"]["other"] = json!("Mw==");
                    self.secrets.insert(name.to_owned(), changed);
                }
                ok(&object)
            }
            ("PATCH", Some(mut object)) => {
                assert!(asked.head.contains("application/merge-patch+json"));
                let wanted = &body["metadata"]["resourceVersion"];
                if *wanted != object["metadata"]["resourceVersion"] {
                    return status(409, "Conflict");
                }
                merge(&mut object, &body);
                let object = self.stamp(object);
                self.secrets.insert(name.to_owned(), object.clone());
                ok(&object)
            }
            ("DELETE", Some(object)) => {
                let wanted = &body["preconditions"]["resourceVersion"];
                if *wanted != object["metadata"]["resourceVersion"] {
                    return status(409, "Conflict");
                }
                self.secrets.remove(name);
                ok(&json!({ "status": "Success" }))
            }
            _ => status(405, "MethodNotAllowed"),
        }
    }
}

/// RFC 7386.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    for (name, value) in patch {
        let members = target.as_object_mut().unwrap();
        match value.is_null() {
            true => drop(members.remove(name)),
            false => merge(members.entry(name.clone()).or_insert(Value::Null), value),
        }
    }
}

/// The API server drops members that are null.
fn prune(value: &mut Value) {
    if let Value::Object(members) = value {
        members.retain(|_, value| !value.is_null());
        members.values_mut().for_each(prune);
    }
}

fn ok(body: &Value) -> Vec<u8> {
    scripted::json(200, &body.to_string())
}

fn status(code: u16, reason: &str) -> Vec<u8> {
    let body = json!({ "kind": "Status", "status": "Failure", "message": reason, "code": code });
    scripted::json(code, &body.to_string())
}

struct Bench {
    server: Scripted,
    state: Arc<Mutex<Imitation>>,
}

impl Bench {
    fn new() -> Self {
        let mut state = Imitation::default();
        let object = json!({
            "metadata": { "name": "api", "annotations": { "theirs": "1" } },
            "data": { "OPENAI_API_KEY": STANDARD.encode(key(1).expose()), "other": "MQ==" },
        });
        let object = state.stamp(object);
        state.secrets.insert("api".to_owned(), object);
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        let server = Scripted::new(move |_, asked| shared.lock().unwrap().answer(asked));
        Self { server, state }
    }

    fn store(&self) -> Box<dyn Store> {
        let address = self.server.address("").to_string();
        let text = format!(
            "kind = 'kubernetes'\naddress = '{address}'\nnamespace = 'prod'\ntoken = {{ env = 'TOKEN' }}\nsecret = 'api'\nkey = 'OPENAI_API_KEY'\n"
        );
        let variable = |name: &str| (name == "TOKEN").then(|| Secret::new(b"given".to_vec()));
        let outside = Outside {
            surroundings: Surroundings {
                variable: &variable,
            },
            ..Outside::for_tests()
        };
        open(&section(&text), &outside).unwrap()
    }
}

#[test]
fn the_contract_holds() {
    let benches = Mutex::new(Vec::new());
    contract::check(|| {
        let bench = Bench::new();
        let store = bench.store();
        benches.lock().unwrap().push(bench);
        store
    });
}

#[test]
fn all_else_in_the_secret_stays_and_ours_goes() {
    let bench = Bench::new();
    let store = bench.store();
    let over = store.preflight().unwrap().current;
    let note = note("r1", &key(2));
    store.stage(&key(2), &note).unwrap();
    bench.state.lock().unwrap().meddle = 2;
    store.promote(&key(2), &note, &over).unwrap();
    store.forget("r1").unwrap();
    let state = bench.state.lock().unwrap();
    assert_eq!(state.secrets.keys().collect::<Vec<_>>(), ["api"]);
    let object = &state.secrets["api"];
    assert_eq!(
        object["data"]["other"], "Mw==",
        "what somebody else wrote meanwhile is kept"
    );
    assert_eq!(object["metadata"]["annotations"], json!({ "theirs": "1" }));
    assert_eq!(
        object["data"]["OPENAI_API_KEY"],
        STANDARD.encode(key(2).expose())
    );
}

#[test]
fn what_can_not_work_is_found_before_anything_is_written() {
    let said = |prepare: &dyn Fn(&mut Imitation)| {
        let bench = Bench::new();
        prepare(&mut bench.state.lock().unwrap());
        let outcome = bench.store().preflight();
        let reads = |asked: &Asked| asked.method == "GET" || asked.target.ends_with("reviews");
        assert!(bench.server.asked().iter().all(reads));
        outcome
    };
    assert!(matches!(
        said(&|s| s.secrets.clear()),
        Err(StoreError::NotFound { .. })
    ));
    for verb in ["create", "patch", "delete"] {
        let denied = said(&|state| state.denied.push(verb)).unwrap_err();
        assert!(denied.to_string().contains(verb), "{denied}");
    }
    let immutable = said(&|s| s.secrets.get_mut("api").unwrap()["immutable"] = true.into());
    assert!(matches!(immutable, Err(StoreError::Refused { .. })));
    let owned = said(&|state| {
        state.secrets.get_mut("api").unwrap()["metadata"]["ownerReferences"] =
            json!([{ "kind": "ExternalSecret", "name": "x" }]);
    });
    assert!(owned.unwrap().remarks[0].contains("ExternalSecret x"));
}

#[test]
fn a_value_that_somebody_else_wrote_is_a_conflict() {
    let bench = Bench::new();
    let store = bench.store();
    let over = store.preflight().unwrap().current;
    let note = note("r1", &key(2));
    store.stage(&key(2), &note).unwrap();
    {
        let mut state = bench.state.lock().unwrap();
        let mut object = state.secrets["api"].clone();
        object["data"]["OPENAI_API_KEY"] = STANDARD.encode(b"theirs").into();
        let object = state.stamp(object);
        state.secrets.insert("api".to_owned(), object);
    }
    let outcome = store.promote(&key(2), &note, &over);
    assert!(matches!(outcome, Err(StoreError::Conflict { .. })));
}

#[test]
#[cfg(unix)]
fn a_real_api_server_keeps_the_contract_with_the_least_rights() {
    use crate::cluster::real::{Real, surroundings};
    let Some(real) = Real::start() else {
        return;
    };
    let open_as = |secret: &str| {
        let text = format!(
            "kind = 'kubernetes'\n{}secret = '{secret}'\nkey = 'OPENAI_API_KEY'\n",
            real.settings()
        );
        surroundings(|surroundings| {
            let outside = Outside {
                surroundings,
                ..Outside::for_tests()
            };
            open(&section(&text), &outside).unwrap()
        })
    };
    let number = std::cell::Cell::new(0);
    let make = || {
        number.set(number.get() + 1);
        let name = format!("api{}", number.get());
        let state = format!("{name}-skewer");
        let value = STANDARD.encode(key(1).expose());
        let secret = json!({
            "metadata": { "name": name }, "data": { "OPENAI_API_KEY": value, "other": "MQ==" },
        });
        real.call(Method::Post, "api/v1/namespaces/prod/secrets", &secret);
        // What README says, and no more.
        let rules = json!([
            { "apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "patch"], "resourceNames": [name, state] },
            { "apiGroups": [""], "resources": ["secrets"], "verbs": ["delete"], "resourceNames": [state] },
            { "apiGroups": [""], "resources": ["secrets"], "verbs": ["create"] },
        ]);
        let store = open_as(&name);
        assert!(matches!(store.preflight(), Err(StoreError::Denied { .. })));
        real.grant(&name, &rules);
        real.until("the rights are known", || store.preflight().is_ok());
        store
    };
    contract::check(make);

    // The rest of the Secret stays, and somebody else's write is heeded.
    let store = make();
    let name = format!("api{}", number.get());
    let path = format!("api/v1/namespaces/prod/secrets/{name}");
    let over = store.preflight().unwrap().current;
    let ours = note("r1", &key(2));
    store.stage(&key(2), &ours).unwrap();
    let theirs = json!({ "data": { "OPENAI_API_KEY": STANDARD.encode(key(5).expose()) } });
    real.call(Method::Patch, &path, &theirs);
    let stale = store.promote(&key(2), &ours, &over);
    assert!(
        matches!(stale, Err(StoreError::Conflict { .. })),
        "{stale:?}"
    );
    let over = store.preflight().unwrap().current;
    store.promote(&key(2), &ours, &over).unwrap();
    store.forget("r1").unwrap();
    let secret = real.call(Method::Get, &path, &Value::Null);
    assert_eq!(secret["data"]["other"], "MQ==");
    real.call(Method::Patch, &path, &json!({ "immutable": true }));
    assert!(matches!(store.preflight(), Err(StoreError::Refused { .. })));
}
