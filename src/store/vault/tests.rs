//! The store against a stateful imitation, and against a real OpenBao where there is one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::*;
use crate::config::Surroundings;
use crate::config::tests::section;
use crate::http::scripted::{self, Asked, Scripted};
use crate::store::contract::{self, key, note};
use crate::store::open;

/// A KV engine, version 2, and what it takes to get in.
#[derive(Default)]
struct Imitation {
    secrets: BTreeMap<String, Kept>,
    /// Tokens that count.
    tokens: Vec<String>,
    logins: usize,
    /// The token of a wrapped secret id that nobody has opened yet.
    wrapped: bool,
    refuse: Option<(&'static str, u16)>,
}

#[derive(Default)]
struct Kept {
    versions: Vec<Option<Value>>,
    custom: Map<String, Value>,
    max_versions: u64,
}

impl Imitation {
    fn answer(&mut self, asked: &Asked) -> Vec<u8> {
        let (path, query) = asked.target.split_once('?').unwrap_or((&asked.target, ""));
        let path = path.strip_prefix("/v1/").unwrap_or_default().to_owned();
        let body: Value = serde_json::from_str(&asked.body).unwrap_or_default();
        let token = asked
            .head
            .lines()
            .find_map(|line| line.strip_prefix("x-vault-token: "))
            .unwrap_or_default()
            .to_owned();
        if let Some((part, status)) = self.refuse
            && path.contains(part)
        {
            return error(status, "refused by the test");
        }
        if path.starts_with("auth/") {
            return self.login(&path, &body);
        }
        if path == "sys/wrapping/unwrap" {
            return match (token == "wrapping", std::mem::take(&mut self.wrapped)) {
                (true, true) => ok(&json!({ "data": { "secret_id": "sid" } })),
                _ => error(400, "wrapping token is not valid or does not exist"),
            };
        }
        if !self.tokens.contains(&token) {
            return error(403, "permission denied");
        }
        if path == "sys/capabilities-self" {
            let paths = body["paths"].as_array().unwrap().iter();
            let all = paths.map(|p| (p.as_str().unwrap().to_owned(), json!(["root"])));
            return ok(&Value::Object(all.collect()));
        }
        let Some((kind, name)) = path
            .strip_prefix("team/kv/")
            .and_then(|rest| rest.split_once('/'))
        else {
            return error(404, "");
        };
        match (kind, asked.method.as_str()) {
            ("data", "GET") => self.read(name, query, asked.head.contains("x-vault-wrap-ttl: 60s")),
            ("data", "POST") => self.write(name, &body),
            ("metadata", method) => self.metadata(name, method, &body),
            _ => error(405, "unsupported operation"),
        }
    }

    fn login(&mut self, path: &str, body: &Value) -> Vec<u8> {
        let fits = match path {
            "auth/approle/login" => body["role_id"] == "rid" && body["secret_id"] == "sid",
            "auth/k8s/login" | "auth/jwt/login" => body["role"] == "r" && body["jwt"] == "signed",
            _ => false,
        };
        if !fits {
            return error(400, "invalid role or secret ID");
        }
        self.logins += 1;
        let token = format!("t{}", self.logins);
        self.tokens.push(token.clone());
        ok(&json!({ "auth": { "client_token": token, "lease_duration": 60 } }))
    }

    fn read(&self, name: &str, query: &str, wrap: bool) -> Vec<u8> {
        let Some(kept) = self.secrets.get(name) else {
            return error(404, "");
        };
        let number = match query.strip_prefix("version=") {
            Some(number) => number.parse().unwrap(),
            None => kept.versions.len(),
        };
        let data = kept.versions.get(number - 1).cloned().flatten();
        let status = if data.is_some() { 200 } else { 404 };
        let body = json!({ "data": { "data": data, "metadata": { "version": number } } });
        match wrap {
            true => ok(&json!({ "wrap_info": { "token": "once" }, "data": null })),
            false => scripted::json(status, &body.to_string()),
        }
    }

    fn write(&mut self, name: &str, body: &Value) -> Vec<u8> {
        let kept = self.secrets.entry(name.to_owned()).or_default();
        if body["options"]["cas"].as_u64() != Some(kept.versions.len() as u64) {
            return error(
                400,
                "check-and-set parameter did not match the current version",
            );
        }
        kept.versions.push(Some(body["data"].clone()));
        ok(&json!({ "data": { "version": kept.versions.len() } }))
    }

    fn metadata(&mut self, name: &str, method: &str, body: &Value) -> Vec<u8> {
        let Some(kept) = self.secrets.get_mut(name) else {
            return error(404, "");
        };
        match method {
            "GET" => ok(&json!({ "data": {
                "custom_metadata": kept.custom, "max_versions": kept.max_versions,
                "delete_version_after": "0s" } })),
            "PATCH" => {
                for (name, value) in body["custom_metadata"].as_object().unwrap() {
                    match value.is_null() {
                        true => kept.custom.remove(name),
                        false => kept.custom.insert(name.clone(), value.clone()),
                    };
                }
                scripted::json(204, "")
            }
            "DELETE" => {
                self.secrets.remove(name);
                scripted::json(204, "")
            }
            _ => error(405, "unsupported operation"),
        }
    }
}

fn ok(body: &Value) -> Vec<u8> {
    scripted::json(200, &body.to_string())
}

fn error(status: u16, words: &str) -> Vec<u8> {
    let errors: Vec<&str> = Some(words).filter(|w| !w.is_empty()).into_iter().collect();
    scripted::json(status, &json!({ "errors": errors }).to_string())
}

struct Bench {
    server: Scripted,
    state: Arc<Mutex<Imitation>>,
}

impl Bench {
    /// The secret has the field, and one more.
    fn new() -> Self {
        let state = Arc::new(Mutex::new(Imitation::default()));
        let value = String::from_utf8(key(1).expose().to_vec()).unwrap();
        let secret = Kept {
            versions: vec![Some(json!({ "api_key": value, "other": { "n": 1 } }))],
            ..Kept::default()
        };
        {
            let mut state = state.lock().unwrap();
            state.secrets.insert("openai/prod".to_owned(), secret);
            state.tokens.push("given".to_owned());
        }
        let shared = Arc::clone(&state);
        let server = Scripted::new(move |_, asked| shared.lock().unwrap().answer(asked));
        Self { server, state }
    }

    fn store(&self, auth: &str) -> Box<dyn Store> {
        let address = self.server.address("");
        let address = address.to_string();
        let address = address.trim_end_matches('/');
        let text = format!(
            "kind = 'vault'\naddress = '{address}'\nnamespace = 'ns'\nmount = 'team/kv'\npath = 'openai/prod'\nfield = 'api_key'\nauth = {auth}\n"
        );
        store(&text)
    }
}

fn store(text: &str) -> Box<dyn Store> {
    let secret = |text: &str| Some(Secret::new(text.into()));
    let variable = |name: &str| match name {
        "TOKEN" => secret("given"),
        "SID" => secret("sid"),
        "WRAPPED" => secret("wrapping"),
        "JWT" => secret("signed"),
        name => std::env::var(name).ok().and_then(|text| secret(&text)),
    };
    let outside = Outside {
        surroundings: Surroundings {
            variable: &variable,
        },
        ..Outside::for_tests()
    };
    open(&section(text), &outside).unwrap()
}

const TOKEN: &str = "{ token = { env = 'TOKEN' } }";

#[test]
fn the_contract_holds() {
    let benches = Mutex::new(Vec::new());
    contract::check(|| {
        let bench = Bench::new();
        let store = bench.store(TOKEN);
        benches.lock().unwrap().push(bench);
        store
    });
}

#[test]
fn other_fields_stay_and_nothing_is_left_but_the_empty_lock() {
    let bench = Bench::new();
    let store = bench.store(TOKEN);
    let over = store.preflight().unwrap().current;
    let note = note("r1", &key(2));
    store.stage(&key(2), &note).unwrap();
    assert_eq!(
        store
            .hand_over(Slot::Next, Duration::from_secs(60))
            .unwrap()
            .expose(),
        b"once"
    );
    store.promote(&key(2), &note, &over).unwrap();
    {
        let state = bench.state.lock().unwrap();
        let kept = &state.secrets["openai/prod"];
        assert_eq!(
            kept.versions[1].as_ref().unwrap()["other"],
            json!({ "n": 1 })
        );
        assert_eq!(kept.custom[PREVIOUS], "1", "the version of A is named");
    }
    store.forget("r1").unwrap();
    let state = bench.state.lock().unwrap();
    assert_eq!(state.secrets.keys().collect::<Vec<_>>(), ["openai/prod"]);
    assert!(state.secrets["openai/prod"].custom.is_empty());
    assert!(
        bench
            .server
            .asked()
            .iter()
            .all(|asked| asked.head.contains("x-vault-namespace: ns"))
    );
}

#[test]
fn every_way_in_works_and_a_token_that_ended_is_asked_for_anew() {
    for auth in [
        "{ approle = { role_id = 'rid', secret_id = { env = 'SID' } } }",
        "{ approle = { role_id = 'rid', secret_id = { env = 'WRAPPED' }, wrapped = true } }",
        "{ kubernetes = { role = 'r', jwt = { env = 'JWT' }, mount = 'k8s' } }",
        "{ jwt = { role = 'r', jwt = { env = 'JWT' } } }",
    ] {
        let bench = Bench::new();
        bench.state.lock().unwrap().wrapped = true;
        let store = bench.store(auth);
        store.preflight().unwrap();
        store.preflight().unwrap();
        assert_eq!(bench.state.lock().unwrap().logins, 1, "{auth}");
        bench.state.lock().unwrap().tokens.clear();
        store.preflight().unwrap();
        assert_eq!(bench.state.lock().unwrap().logins, 2, "{auth}");
    }
    let bench = Bench::new(); // the wrapped secret id is gone
    let store = bench.store(
        "{ approle = { role_id = 'rid', secret_id = { env = 'WRAPPED' }, wrapped = true } }",
    );
    let stolen = store.preflight().unwrap_err().to_string();
    assert!(stolen.contains("find out who"), "{stolen}");
}

#[test]
fn what_can_not_work_is_found_before_anything_is_written() {
    let said = |prepare: &dyn Fn(&mut Imitation)| {
        let bench = Bench::new();
        prepare(&mut bench.state.lock().unwrap());
        let error = bench.store(TOKEN).preflight().unwrap_err();
        let wrote = bench
            .server
            .asked()
            .iter()
            .any(|asked| asked.method != "GET" && !asked.target.contains("capabilities-self"));
        assert!(!wrote);
        error
    };
    let gone = said(&|state| state.secrets.clear());
    assert!(matches!(gone, StoreError::NotFound { .. }));
    let denied = said(&|state| state.tokens.clear());
    assert!(matches!(&denied, StoreError::Denied { rights, .. } if rights.contains("\"patch\"")));
    let one = said(&|state| state.secrets.get_mut("openai/prod").unwrap().max_versions = 1);
    assert!(one.to_string().contains("max_versions"), "{one}");
    let sealed = said(&|state| state.refuse = Some(("data/", 503)));
    assert!(sealed.is_passing());
    let field = said(&|state| {
        state.secrets.get_mut("openai/prod").unwrap().versions =
            vec![Some(json!({ "api_key": 3 }))];
    });
    assert!(field.to_string().contains("no text"), "{field}");
}

#[test]
fn a_write_in_between_is_a_conflict_and_a_lost_answer_is_told() {
    let bench = Bench::new();
    let store = bench.store(TOKEN);
    let over = store.preflight().unwrap().current;
    let note = note("r1", &key(2));
    store.stage(&key(2), &note).unwrap();
    bench
        .state
        .lock()
        .unwrap()
        .secrets
        .get_mut("openai/prod")
        .unwrap()
        .versions
        .push(Some(json!({ "api_key": "x" })));
    let outcome = store.promote(&key(2), &note, &over);
    assert!(
        matches!(outcome, Err(StoreError::Conflict { .. })),
        "{outcome:?}"
    );
    let over = store.preflight().unwrap().current;
    bench.state.lock().unwrap().refuse = Some(("metadata/", 500));
    assert!(
        store
            .promote(&key(2), &note, &over)
            .unwrap_err()
            .may_have_changed()
    );
}

/// An OpenBao of our own, on loopback, in memory.
struct Bao {
    child: std::process::Child,
    address: String,
}

impl Drop for Bao {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Bao {
    /// `None`, loudly, where there is none; `.ci/run` brings one.
    fn start() -> Option<Self> {
        let Some(program) = std::env::var_os("SKEWER_TEST_BAO") else {
            eprintln!("SKIPPED: no OpenBao here; SKEWER_TEST_BAO names its program (see .ci/run)");
            return None;
        };
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let home = tempfile::tempdir().unwrap();
        let child = std::process::Command::new(program)
            .args([
                "server",
                "-dev",
                "-dev-no-store-token",
                "-dev-root-token-id=given",
            ])
            .arg(format!("-dev-listen-address=127.0.0.1:{port}"))
            .env("HOME", home.path())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let bao = Self {
            child,
            address: format!("http://127.0.0.1:{port}"),
        };
        for _ in 0..200 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
                && bao
                    .try_call("given", Method::Get, "secret/config", &json!({}))
                    .is_some()
            {
                return Some(bao);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("OpenBao did not start within 10 s");
    }

    fn try_call(&self, token: &str, method: Method, path: &str, body: &Value) -> Option<Value> {
        let address = crate::http::Address::parse(&format!("{}/v1", self.address)).unwrap();
        let (kind, body) = rest::json(body);
        let request =
            Request::new(method, address.join(path.split('/'))).header("x-vault-token", token);
        let request = match method {
            Method::Get => request,
            _ => request.body(kind, body),
        };
        let answer = scripted::client().send(request).ok()?;
        (answer.status < 300).then(|| serde_json::from_slice(&answer.body).unwrap_or_default())
    }

    fn call(&self, method: Method, path: &str, body: &Value) -> Value {
        self.try_call("given", method, path, body)
            .unwrap_or_else(|| panic!("{method} {path}"))
    }

    fn settings(&self, path: &str, auth: &str) -> String {
        format!(
            "kind = 'vault'\naddress = '{}'\npath = '{path}'\nfield = 'api_key'\nauth = {auth}\n",
            self.address
        )
    }
}

#[test]
fn a_real_openbao_keeps_the_contract_with_the_least_rights() {
    let Some(bao) = Bao::start() else { return };
    bao.call(
        Method::Post,
        "sys/auth/approle",
        &json!({ "type": "approle" }),
    );
    let number = std::cell::Cell::new(0);
    let value = String::from_utf8(key(1).expose().to_vec()).unwrap();
    contract::check(|| {
        number.set(number.get() + 1);
        let path = format!("openai/prod{}", number.get());
        bao.call(
            Method::Post,
            &format!("secret/data/{path}"),
            &json!({ "data": { "api_key": value, "other": 1 } }),
        );
        // Exactly the rights that the plan prints, and no more.
        let rights = store(&bao.settings(&path, TOKEN)).rights().join("\n");
        let name = format!("role{}", number.get());
        bao.call(
            Method::Put,
            &format!("sys/policies/acl/{name}"),
            &json!({ "policy": rights }),
        );
        bao.call(
            Method::Post,
            &format!("auth/approle/role/{name}"),
            &json!({ "token_policies": name }),
        );
        let role = bao.call(
            Method::Get,
            &format!("auth/approle/role/{name}/role-id"),
            &json!({}),
        );
        let secret = bao.call(
            Method::Post,
            &format!("auth/approle/role/{name}/secret-id"),
            &json!({}),
        );
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), secret["data"]["secret_id"].as_str().unwrap()).unwrap();
        let auth = format!(
            "{{ approle = {{ role_id = {}, secret_id = {{ file = '{}' }} }} }}",
            role["data"]["role_id"],
            file.path().display()
        );
        store(&bao.settings(&path, &auth))
    });
}

#[test]
fn a_real_openbao_refuses_wraps_and_deletes_as_we_think() {
    let Some(bao) = Bao::start() else { return };
    let settings = bao.settings("p", TOKEN);
    let missing = store(&settings).preflight();
    assert!(
        matches!(missing, Err(StoreError::NotFound { .. })),
        "{missing:?}"
    );
    bao.call(
        Method::Post,
        "secret/data/p",
        &json!({ "data": { "api_key": "one" } }),
    );
    let opened = store(&settings);
    let over = opened.preflight().unwrap().current;
    let two = Secret::new(b"two".to_vec());
    let ours = note("r1", &two);
    opened.stage(&two, &ours).unwrap();
    let token = opened
        .hand_over(Slot::Next, Duration::from_secs(60))
        .unwrap();
    let token = String::from_utf8(token.expose().to_vec()).unwrap();
    let unwrap = || bao.try_call(&token, Method::Post, "sys/wrapping/unwrap", &json!({}));
    assert_eq!(unwrap().unwrap()["data"]["data"]["api_key"], "two");
    assert!(unwrap().is_none(), "once only");
    bao.call(
        Method::Post,
        "secret/data/p",
        &json!({ "data": { "api_key": "three" } }),
    );
    let outcome = opened.promote(&two, &ours, &over);
    assert!(
        matches!(outcome, Err(StoreError::Conflict { .. })),
        "{outcome:?}"
    );
    // Somebody deletes what was staged, softly: it counts as gone, and can be staged again.
    bao.call(Method::Delete, "secret/data/p-skewer/next", &json!({}));
    assert_eq!(opened.read(Slot::Next).unwrap(), None);
    opened.stage(&two, &ours).unwrap();
    opened.forget("r1").unwrap();
    assert!(
        bao.try_call(
            "given",
            Method::Get,
            "secret/metadata/p-skewer/next",
            &json!({})
        )
        .is_none()
    );
    // A token without rights.
    bao.call(
        Method::Put,
        "sys/policies/acl/none",
        &json!({ "policy": "path \"x\" { capabilities = [\"read\"] }" }),
    );
    let weak = bao.call(
        Method::Post,
        "auth/token/create",
        &json!({ "policies": ["none"] }),
    );
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), weak["auth"]["client_token"].as_str().unwrap()).unwrap();
    let auth = format!("{{ token = {{ file = '{}' }} }}", file.path().display());
    let denied = store(&bao.settings("p", &auth)).preflight();
    assert!(
        matches!(denied, Err(StoreError::Denied { .. })),
        "{denied:?}"
    );
}
