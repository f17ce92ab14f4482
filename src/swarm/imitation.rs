//! For tests: an Engine with secrets, services and tasks, at a socket of its own. Its answers are
//! those of a real dockerd (20.10), against which the same tests run where there is one.

use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};

use crate::http::scripted::{self, Asked, Scripted};
use crate::secret::Secret;

/// An Engine.
pub(crate) struct Imitation {
    /// Ends before its socket goes.
    server: Scripted,
    state: Arc<Mutex<State>>,
    directory: tempfile::TempDir,
}

/// What it has.
#[derive(Default)]
pub(crate) struct State {
    index: u64,
    pub(crate) secrets: Vec<Value>,
    pub(crate) services: Vec<Value>,
    pub(crate) tasks: Vec<Value>,
    /// Whatever is done is answered by this.
    pub(crate) lose_answers: bool,
}

fn fail(status: u16, code: &str, text: &str) -> Vec<u8> {
    let message = format!("rpc error: code = {code} desc = {text}");
    scripted::json(status, &json!({ "message": message }).to_string())
}

fn ok(status: u16, body: &Value) -> Vec<u8> {
    scripted::json(status, &body.to_string())
}

/// The filters of a query, as `{"label": ["a=b"]}`.
fn filters(query: &str) -> Value {
    let pairs = url::form_urlencoded::parse(query.as_bytes());
    let mut filters = pairs.filter(|(name, _)| name == "filters");
    filters.next().map_or(Value::Null, |(_, text)| {
        serde_json::from_str(&text).unwrap()
    })
}

impl State {
    fn next(&mut self) -> u64 {
        self.index += 1;
        self.index
    }

    pub(crate) fn add_secret(&mut self, spec: Value) -> String {
        let (index, id) = (self.next(), format!("sec{}", self.index));
        self.secrets
            .push(json!({ "ID": id, "Version": { "Index": index }, "Spec": spec }));
        id
    }

    pub(crate) fn add_service(&mut self, spec: Value) {
        let (index, id) = (self.next(), format!("svc{}", self.index));
        self.services
            .push(json!({ "ID": id, "Version": { "Index": index }, "Spec": spec }));
        let service = self.services.last().unwrap().clone();
        self.start_tasks(&service, "running");
    }

    fn start_tasks(&mut self, service: &Value, state: &str) {
        for _ in 0..service["Spec"]["Mode"]["Replicated"]["Replicas"]
            .as_u64()
            .unwrap()
        {
            let id = format!("task{}", self.next());
            self.tasks.push(json!({
                "ID": id, "ServiceID": service["ID"], "Spec": service["Spec"]["TaskTemplate"],
                "Status": { "State": state }, "DesiredState": "running",
            }));
        }
    }

    /// The value of the secret that a service's tasks get when they are started.
    pub(crate) fn handed_out(&self, service: &str) -> Vec<u8> {
        let service = self
            .services
            .iter()
            .find(|one| one["Spec"]["Name"] == service)
            .unwrap();
        let id = &service["Spec"]["TaskTemplate"]["ContainerSpec"]["Secrets"][0]["SecretID"];
        let secret = self.secrets.iter().find(|one| one["ID"] == *id).unwrap();
        let data = secret["Spec"]["Data"].as_str().unwrap();
        base64::Engine::decode(&base64::engine::general_purpose::STANDARD, data).unwrap()
    }

    fn answer(&mut self, asked: &Asked) -> Vec<u8> {
        let (path, query) = asked.target.split_once('?').unwrap_or((&asked.target, ""));
        let body: Value = serde_json::from_str(&asked.body).unwrap_or_default();
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let version = query
            .strip_prefix("version=")
            .and_then(|n| n.parse::<u64>().ok());
        match (asked.method.as_str(), parts.as_slice()) {
            ("GET", ["secrets"]) => {
                let begin = filters(query)["name"][0]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned();
                let mut all = self.secrets.clone();
                all.retain(|one| one["Spec"]["Name"].as_str().unwrap().starts_with(&begin));
                for one in &mut all {
                    one["Spec"].as_object_mut().unwrap().remove("Data");
                }
                ok(200, &all.into())
            }
            ("POST", ["secrets", "create"]) => {
                let name = body["Name"].as_str().unwrap();
                if self.secrets.iter().any(|one| one["Spec"]["Name"] == name) {
                    let text = format!("secret {name} already exists");
                    return fail(409, "AlreadyExists", &text);
                }
                let id = self.add_secret(body);
                ok(201, &json!({ "ID": id }))
            }
            ("POST", ["secrets", id, "update"]) => {
                let index = self.next();
                let Some(there) = self.secrets.iter_mut().find(|one| one["ID"] == *id) else {
                    return fail(404, "NotFound", "secret not found");
                };
                if there["Version"]["Index"].as_u64() != version {
                    return fail(500, "Unknown", "update out of sequence");
                }
                if body["Name"] != there["Spec"]["Name"] || !body["Data"].is_null() {
                    return fail(400, "InvalidArgument", "only updates to Labels are allowed");
                }
                there["Spec"]["Labels"] = body["Labels"].clone();
                there["Version"]["Index"] = index.into();
                scripted::json(200, "")
            }
            ("DELETE", ["secrets", id]) => {
                let mounts = |one: &&Value| {
                    let template = &one["Spec"]["TaskTemplate"];
                    super::mounts(template).any(|there| there == *id)
                };
                if let Some(service) = self.services.iter().find(mounts) {
                    let name = &service["Spec"]["Name"];
                    let text = format!("secret is in use by the following service: {name}");
                    return fail(400, "InvalidArgument", &text);
                }
                let before = self.secrets.len();
                self.secrets.retain(|one| one["ID"] != *id);
                match self.secrets.len() < before {
                    true => scripted::json(204, ""),
                    false => fail(404, "NotFound", "secret not found"),
                }
            }
            ("GET", ["services"]) => ok(200, &self.services.clone().into()),
            ("GET", ["services", name]) => {
                let is_it = |one: &&Value| one["ID"] == *name || one["Spec"]["Name"] == *name;
                match self.services.iter().find(is_it) {
                    Some(service) => ok(200, service),
                    None => fail(404, "NotFound", "service not found"),
                }
            }
            ("POST", ["services", id, "update"]) => {
                let index = self.next();
                let Some(there) = self.services.iter_mut().find(|one| one["ID"] == *id) else {
                    return fail(404, "NotFound", "service not found");
                };
                if there["Version"]["Index"].as_u64() != version {
                    return fail(500, "Unknown", "update out of sequence");
                }
                there["Spec"] = body;
                there["Version"]["Index"] = index.into();
                there["UpdateStatus"] = json!({ "State": "updating" });
                let service = there.clone();
                for task in &mut self.tasks {
                    if task["ServiceID"] == service["ID"] {
                        task["DesiredState"] = "shutdown".into();
                    }
                }
                self.start_tasks(&service, "preparing");
                ok(200, &json!({ "Warnings": null }))
            }
            ("GET", ["tasks"]) => {
                let service = filters(query)["service"][0].clone();
                let all = self.tasks.iter().filter(|one| one["ServiceID"] == service);
                ok(200, &all.cloned().collect::<Vec<_>>().into())
            }
            _ => fail(404, "NotFound", "page not found"),
        }
    }
}

/// A service that mounts a secret as `openai`.
pub(crate) fn service(name: &str, secret: &str, secret_name: &str) -> Value {
    json!({
        "Name": name, "Labels": {},
        "TaskTemplate": {
            "ContainerSpec": {
                "Image": "tiny:1", "Command": ["/bin/sleep", "600"], "StopGracePeriod": 2_000_000_000_u64,
                "Secrets": [{
                    "File": { "Name": "openai", "UID": "0", "GID": "0", "Mode": 0o444 },
                    "SecretID": secret, "SecretName": secret_name,
                }],
            },
            "Networks": [{ "Target": "host" }],
        },
        "Mode": { "Replicated": { "Replicas": 2 } },
        "UpdateConfig": { "Parallelism": 1, "Monitor": 200_000_000, "Order": "start-first", "FailureAction": "pause" },
    })
}

/// A secret that somebody made by hand.
pub(crate) fn secret(name: &str, value: &Secret) -> Value {
    let data = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, value.expose());
    json!({ "Name": name, "Labels": {}, "Data": data })
}

impl Imitation {
    /// With a secret `key`, which the services `web` and `worker` mount.
    pub(crate) fn new(value: &Secret) -> Self {
        let mut state = State::default();
        let id = state.add_secret(secret("key", value));
        state.add_service(service("web", &id, "key"));
        state.add_service(service("worker", &id, "key"));
        // Somebody else's, whose name begins alike.
        state.add_secret(json!({ "Name": "keyring", "Labels": {}, "Data": "eA==" }));
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("docker.sock");
        let server = Scripted::at_socket(&socket, move |_, asked| {
            let mut state = shared.lock().unwrap();
            let answer = state.answer(asked);
            match state.lose_answers && asked.method != "GET" {
                true => Vec::new(),
                false => answer,
            }
        });
        Self {
            directory,
            state,
            server,
        }
    }

    pub(crate) fn address(&self) -> String {
        format!(
            "unix://{}",
            self.directory.path().join("docker.sock").display()
        )
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.server.asked()
    }

    /// Sets the state of the tasks that are to run, and of those that are not.
    pub(crate) fn settle(&self, new: &str, old: &str) {
        for task in &mut self.state().tasks {
            let state = match task["DesiredState"] == "running" {
                true => new,
                false => old,
            };
            task["Status"]["State"] = state.into();
        }
    }
}
