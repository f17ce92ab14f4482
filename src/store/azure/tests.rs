//! The store against an imitation of Key Vault.

use std::sync::{Arc, Mutex};

use jiff::Timestamp;

use super::*;
use crate::config::Surroundings;
use crate::config::tests::section;
use crate::http::scripted::{self, Asked, Scripted};
use crate::store::contract::{self, Exchanges, key, note};
use crate::store::open;
use crate::store::types::Lease;

#[derive(Clone)]
struct Kept {
    id: String,
    value: Value,
    kind: Value,
    tags: Value,
    enabled: bool,
    exp: Option<i64>,
    managed: Option<bool>,
}

#[derive(Default)]
struct Imitation {
    secrets: BTreeMap<String, Vec<Kept>>,
    deleted: Vec<String>,
    numbers: u64,
    /// For what the target has in it: this status, once. Above 599, the call is carried out.
    fault: Option<(&'static str, u16)>,
    tokens: Vec<String>,
    logins: usize,
    /// Somebody else's lease, written just behind the next write of a lock.
    other: Option<Value>,
    exchanges: Exchanges,
}

fn error(status: u16, code: &str, inner: &str) -> Vec<u8> {
    let body = json!({ "error": { "code": code, "message": format!("about {inner}"), "innererror": { "code": inner } } });
    scripted::json(status, &body.to_string())
}

fn ok(body: &Value) -> Vec<u8> {
    scripted::json(200, &body.to_string())
}

impl Kept {
    fn told(&self, name: &str) -> Value {
        json!({
            "id": format!("https://v.vault.azure.net/secrets/{name}/{}", self.id),
            "attributes": { "enabled": self.enabled, "exp": self.exp, "recoveryLevel": "Recoverable" },
            "tags": self.tags, "managed": self.managed,
        })
    }

    fn bundle(&self, name: &str) -> Value {
        let mut told = self.told(name);
        told["value"] = self.value.clone();
        told["contentType"] = self.kind.clone();
        told
    }
}

impl Imitation {
    fn answer(&mut self, asked: &Asked) -> Vec<u8> {
        if asked.target.contains("/oauth2/") {
            return self.gives(asked);
        }
        let bearer = asked
            .head
            .lines()
            .find_map(|line| line.strip_prefix("authorization: bearer "));
        if !self
            .tokens
            .iter()
            .any(|token| Some(token.as_str()) == bearer)
        {
            return error(401, "Unauthorized", "AKV10022");
        }
        assert!(asked.target.contains("api-version=7.4"), "{}", asked.target);
        let fault = self.fault.filter(|(what, _)| asked.target.contains(what));
        let answer = match fault {
            Some((_, status)) => {
                self.fault = None;
                if status > 599 {
                    self.act(asked);
                }
                error(status.min(599), "Busy", "Busy")
            }
            None => self.act(asked),
        };
        self.exchanges.keep(asked, &answer);
        answer
    }

    fn gives(&mut self, asked: &Asked) -> Vec<u8> {
        let fits = match asked.method.as_str() {
            "GET" => {
                assert!(asked.head.contains("metadata: true"));
                asked
                    .target
                    .contains("resource=https%3A%2F%2Fvault.azure.net")
            }
            _ => {
                assert!(asked.body.starts_with("grant_type=client_credentials&client_id=app&scope=https%3A%2F%2Fvault.azure.net%2F.default&"));
                asked.body.ends_with("client_secret=given")
                    || asked.body.ends_with("Ajwt-bearer&client_assertion=given")
            }
        };
        if !fits {
            return scripted::json(400, r#"{"error":"invalid_client"}"#);
        }
        self.logins += 1;
        let token = format!("made{}", self.logins);
        self.tokens.push(token.clone());
        // Microsoft's machines say the seconds as a text.
        ok(&json!({ "access_token": token, "expires_in": "3599" }))
    }

    fn add(&mut self, name: &str, body: &Value) -> Value {
        self.numbers += 1;
        let kept = Kept {
            id: format!("v{}", self.numbers),
            value: body["value"].clone(),
            kind: body["contentType"].clone(),
            tags: body["tags"].clone(),
            enabled: true,
            exp: None,
            managed: None,
        };
        let told = kept.bundle(name);
        self.secrets.entry(name.to_owned()).or_default().push(kept);
        told
    }

    fn act(&mut self, asked: &Asked) -> Vec<u8> {
        let body: Value = serde_json::from_str(&asked.body).unwrap_or_default();
        let (path, query) = asked.target.split_once('?').unwrap();
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let missing = || error(404, "SecretNotFound", "SecretNotFound");
        match (asked.method.as_str(), parts.as_slice()) {
            ("GET", ["deletedsecrets", name]) => match self.deleted.iter().any(|d| d == name) {
                true => ok(&json!({})),
                false => missing(),
            },
            (method, ["secrets", name, ..]) if self.deleted.iter().any(|d| d == name) => {
                match method {
                    "GET" => missing(),
                    _ => error(409, "Conflict", "ObjectIsDeletedButRecoverable"),
                }
            }
            ("GET", ["secrets", name]) => {
                match self.secrets.get(*name).and_then(|all| all.last()) {
                    None => missing(),
                    Some(kept) if !kept.enabled => error(403, "Forbidden", "SecretDisabled"),
                    Some(kept) => ok(&kept.bundle(name)),
                }
            }
            ("GET", ["secrets", name, "versions"]) => {
                let all = self.secrets.get(*name).map_or(&[][..], Vec::as_slice);
                // Two a page.
                let from = query
                    .split_once("skiptoken=")
                    .map_or(0, |(_, n)| n.parse().unwrap());
                let page: Vec<Value> = all
                    .iter()
                    .skip(from)
                    .take(2)
                    .map(|kept| kept.told(name))
                    .collect();
                let next = (from + 2 < all.len()).then(|| {
                    format!(
                        "https://elsewhere.example/x?api-version=7.4&%24skiptoken={}",
                        from + 2
                    )
                });
                ok(&json!({ "value": page, "nextLink": next }))
            }
            ("PUT", ["secrets", name]) => {
                let made = self.add(name, &body);
                if name.ends_with("-lock")
                    && let Some(other) = self.other.take()
                {
                    self.add(name, &other);
                }
                ok(&made)
            }
            ("PATCH", ["secrets", name, id]) => {
                let all = self.secrets.get_mut(*name).unwrap();
                let kept = all.iter_mut().find(|kept| kept.id == *id).unwrap();
                if let Some(enabled) = body["attributes"]["enabled"].as_bool() {
                    kept.enabled = enabled;
                }
                if let Some(tags) = body.get("tags") {
                    kept.tags = tags.clone();
                }
                ok(&kept.told(name))
            }
            other => panic!("{other:?}"),
        }
    }
}

struct Bench {
    server: Scripted,
    state: Arc<Mutex<Imitation>>,
}

const TOKEN: &str = "{ token = { env = 'T' } }";

impl Bench {
    fn new(text: &Secret) -> Self {
        let mut state = Imitation::default();
        let text = String::from_utf8(text.expose().to_vec()).unwrap();
        state.add(
            "openai",
            &json!({ "value": text, "tags": { "team": "a" }, "contentType": "key" }),
        );
        state.tokens.push("given".to_owned());
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        let server = Scripted::new(move |_, asked| shared.lock().unwrap().answer(asked));
        Self { server, state }
    }

    fn store(&self, more: &str, auth: &str) -> Box<dyn Store> {
        let address = self.server.address("").to_string();
        store(&format!(
            "kind = 'azure'\naddress = '{address}'\nsecret = 'openai'\n{more}\nauth = {auth}\n"
        ))
        .unwrap()
    }
}

fn store(text: &str) -> Result<Box<dyn Store>, ConfigError> {
    let variable = |name: &str| {
        let value = if name == "BAD" { "bad" } else { "given" };
        Some(Secret::new(value.into()))
    };
    let outside = Outside {
        surroundings: Surroundings {
            variable: &variable,
        },
        ..Outside::for_tests()
    };
    open(&section(text), &outside)
}

#[test]
fn the_contract_holds() {
    let benches = Mutex::new(Vec::new());
    let value = String::from_utf8(key(1).expose().to_vec()).unwrap();
    let json = Secret::new(format!("{{ \"a\" : 1,\"k\":\"{value}\"}}\n").into());
    for (more, text) in [("", key(1)), ("field = 'k'", json)] {
        contract::check(|| {
            let bench = Bench::new(&text);
            let store = bench.store(more, TOKEN);
            benches.lock().unwrap().push(bench);
            store
        });
    }
    let benches = benches.into_inner().unwrap().into_iter();
    let kept = benches.map(|bench| std::mem::take(&mut bench.state.lock().unwrap().exchanges));
    Exchanges::lay_out(kept, "azure.jsonl");
}

#[test]
fn what_else_is_set_stays_and_what_waited_can_not_be_read_any_more() {
    let bench = Bench::new(&key(1));
    let store = bench.store("", TOKEN);
    let over = store.preflight().unwrap().current;
    let ours = note("r1", &key(2));
    store.stage(&key(2), &ours).unwrap();
    store.promote(&key(2), &ours, &over).unwrap();
    store.forget("r1").unwrap();
    let state = bench.state.lock().unwrap();
    let newest = state.secrets["openai"].last().unwrap();
    assert_eq!(
        (&newest.tags["team"], &newest.kind),
        (&"a".into(), &"key".into())
    );
    for (name, versions) in &state.secrets {
        assert!(
            name == "openai" || versions.iter().all(|kept| !kept.enabled),
            "{name}"
        );
    }
}

fn lease(holder: &str, second: i64) -> Lease {
    Lease {
        holder: holder.to_owned(),
        until: at(second),
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

#[test]
fn of_two_who_want_the_lock_at_once_neither_or_one_gets_it() {
    let bench = Bench::new(&key(1));
    let store = bench.store("", TOKEN);
    let theirs = serde_json::to_string(&lease("theirs", 60)).unwrap();
    let claim = json!({ "value": "none", "tags": { LEASE: theirs } });
    bench.state.lock().unwrap().other = Some(claim.clone());
    let outcome = store.lock(&lease("ours", 60), at(0));
    assert!(
        matches!(&outcome, Err(StoreError::Locked { holder, .. }) if holder == "theirs"),
        "{outcome:?}"
    );
    let locked = store.lock(&lease("ours", 70), at(1));
    assert!(matches!(locked, Err(StoreError::Locked { .. })));
    // It has ended, and two want it.
    let later = serde_json::to_string(&lease("third", 400)).unwrap();
    bench.state.lock().unwrap().other = Some(json!({ "value": "none", "tags": { LEASE: later } }));
    let outcome = store.lock(&lease("ours", 300), at(200));
    assert!(
        matches!(&outcome, Err(StoreError::Locked { holder, .. }) if holder == "third"),
        "{outcome:?}"
    );
    // It has ended, and we alone want it; many versions are many pages.
    store.lock(&lease("ours", 900), at(800)).unwrap();
    store.lock(&lease("ours", 1000), at(900)).unwrap();
    let enabled = |bench: &Bench| {
        let state = bench.state.lock().unwrap();
        let all = &state.secrets["openai-skewer-lock"];
        (all.len(), all.iter().filter(|kept| kept.enabled).count())
    };
    assert_eq!(
        enabled(&bench),
        (5, 1),
        "our own lease is extended in place"
    );
    store.unlock("ours").unwrap();
    assert_eq!(enabled(&bench), (5, 0));
    assert_eq!(store.read(Slot::Lock).unwrap(), None);
}

#[test]
fn a_write_that_was_cut_off_is_done_again() {
    for status in [503, 600, 429] {
        for what in [
            "secrets/openai-skewer-next?",
            "secrets/openai-skewer-previous?",
        ] {
            let bench = Bench::new(&key(1));
            let store = bench.store("", TOKEN);
            let over = store.preflight().unwrap().current;
            let ours = note("r1", &key(2));
            bench.state.lock().unwrap().fault = Some((what, status));
            let run = || {
                store.stage(&key(2), &ours)?;
                store.promote(&key(2), &ours, &over)
            };
            assert!(run().unwrap_err().is_passing());
            let promoted = run().unwrap();
            store.restore(None, &ours, &promoted).unwrap();
            store.forget("r1").unwrap();
            assert_eq!(store.preflight().unwrap().pending, None);
        }
    }
    let bench = Bench::new(&key(1));
    let store = bench.store("", TOKEN);
    let over = store.preflight().unwrap().current;
    let ours = note("r1", &key(2));
    store.stage(&key(2), &ours).unwrap();
    let theirs = json!({ "value": "theirs" });
    bench.state.lock().unwrap().add("openai", &theirs);
    let outcome = store.promote(&key(2), &ours, &over);
    assert!(
        matches!(outcome, Err(StoreError::Conflict { .. })),
        "{outcome:?}"
    );
}

#[test]
fn what_can_not_work_is_found_before_anything_is_written() {
    let said = |more: &str, prepare: &dyn Fn(&mut Imitation)| {
        let bench = Bench::new(&key(1));
        prepare(&mut bench.state.lock().unwrap());
        let error = bench.store(more, TOKEN).preflight().unwrap_err();
        assert!(
            bench
                .server
                .asked()
                .iter()
                .all(|asked| asked.method == "GET")
        );
        error
    };
    let gone = said("", &|state| state.secrets.clear());
    assert!(matches!(gone, StoreError::NotFound { .. }), "{gone}");
    let deleted = said("", &|state| state.deleted.push("openai".to_owned())).to_string();
    assert!(deleted.contains("keyvault secret recover"), "{deleted}");
    let ours = said("", &|state| {
        state.deleted.push("openai-skewer-next".to_owned())
    })
    .to_string();
    assert!(ours.contains("openai-skewer-next is deleted"), "{ours}");
    let disabled = said("", &|state| {
        state.secrets.get_mut("openai").unwrap()[0].enabled = false
    });
    assert!(disabled.to_string().contains("enable it"), "{disabled}");
    let managed = said("", &|state| {
        state.secrets.get_mut("openai").unwrap()[0].managed = Some(true);
    });
    assert!(managed.to_string().contains("certificate"), "{managed}");
    let denied = said("", &|state| state.fault = Some(("secrets/openai?", 403)));
    assert!(
        matches!(&denied, StoreError::Denied { rights, .. } if rights.contains("Secrets Officer")),
        "{denied}"
    );
    let ended = said("", &|state| state.tokens.clear());
    assert!(matches!(ended, StoreError::Denied { .. }));
    let field = said("field = 'k'", &|_| ());
    assert!(matches!(field, StoreError::Malformed { .. }));
    let bench = Bench::new(&key(1));
    bench
        .state
        .lock()
        .unwrap()
        .secrets
        .get_mut("openai")
        .unwrap()[0]
        .exp = Some(1_900_000_000);
    let remarks = bench.store("", TOKEN).preflight().unwrap().remarks;
    assert!(remarks[1].contains("expiry"), "{remarks:?}");
    // A deletion that is not known of before the write.
    bench
        .state
        .lock()
        .unwrap()
        .deleted
        .push("openai-skewer-next".to_owned());
    let outcome = bench.store("", TOKEN).stage(&key(2), &note("r", &key(2)));
    assert!(outcome.unwrap_err().to_string().contains("purge"));
}

#[test]
fn settings_that_can_not_be_meant_are_refused() {
    let said = |text: &str| {
        let text = format!(
            "kind = 'azure'\naddress = 'https://v.vault.azure.net'\n{text}\nauth = {TOKEN}\n"
        );
        store(&text).err().unwrap().to_string()
    };
    assert!(said("secret = 'a_b'").contains("letters, digits and `-`"));
    assert!(said(&format!("secret = '{}'", "a".repeat(120))).contains("so long"));
    assert!(said("secret = 'a'\nvalut = 'x'").contains("there is no setting `valut`"));
    let bare = "kind = 'azure'\naddress = 'https://v.vault.azure.net'\nsecret = 's'\nauth = { managed_identity = {} }\n";
    assert!(store(bare).is_ok());
    for (address, expected) in [
        ("https://v.vault.azure.net", "https://vault.azure.net"),
        ("https://v.vault.azure.cn", "https://vault.azure.cn"),
        (
            "https://v.vault.usgovcloudapi.net",
            "https://vault.usgovcloudapi.net",
        ),
        ("http://127.0.0.1:1", "https://vault.azure.net"),
    ] {
        assert_eq!(resource(&Address::parse(address).unwrap()), expected);
    }
}

#[test]
fn every_way_in_works_and_a_token_that_ended_is_asked_for_anew() {
    let ways: [fn(&str) -> String; 3] = [
        |at| {
            format!(
                "{{ client_secret = {{ tenant = 't', client-id = 'app', secret = {{ env = 'S' }}, authority = '{at}' }} }}"
            )
        },
        |at| {
            format!(
                "{{ workload_identity = {{ tenant = 't', client-id = 'app', token = {{ env = 'S' }}, authority = '{at}' }} }}"
            )
        },
        |at| format!("{{ managed_identity = {{ address = '{at}' }} }}"),
    ];
    for way in ways {
        let bench = Bench::new(&key(1));
        let auth = way(&bench.server.address("").to_string());
        let store = bench.store("", &auth);
        store.preflight().unwrap();
        store.preflight().unwrap();
        assert_eq!(bench.state.lock().unwrap().logins, 1, "{auth}");
        bench.state.lock().unwrap().tokens.clear();
        store.preflight().unwrap();
        assert_eq!(bench.state.lock().unwrap().logins, 2, "{auth}");
    }
    let bench = Bench::new(&key(1));
    let at = bench.server.address("").to_string();
    let refused = bench
        .store("", &ways[0](&at).replace("'S'", "'BAD'"))
        .preflight();
    assert!(
        matches!(refused, Err(StoreError::Denied { .. })),
        "{refused:?}"
    );
}
