//! A secret of GitHub Actions, of a repository or of one of its environments. GitHub gives no value
//! back, so nothing can be staged or read again; what can be compared is when it was last written.
//! The lock is a variable, which GitHub makes only if it is not there. Values are sealed for the
//! repository's public key before they leave.
//!
//! Facts: GitHub's REST API, version 2022-11-28 (Actions secrets, Actions variables).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crypto_box::PublicKey;
use crypto_box::aead::OsRng;
use serde::Deserialize;
use serde_json::json;

use super::rest::{self, Rest, Text};
use super::slots::{About, Expect, Put, Slots, conflict};
use super::types::{Capabilities, CheckAndSet, GivesBack, Held, Slot, Version};
use super::{Outside, Store, StoreError};
use crate::config::{ConfigError, Credential, Section};
use crate::http::{Method, Request};
use crate::secret::Secret;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default = "github")]
    address: String,
    ca: Option<String>,
    token: Credential,
    /// `OWNER/NAME`.
    repository: String,
    environment: Option<String>,
    /// The secret's name.
    secret: String,
}

fn github() -> String {
    "https://api.github.com".to_owned()
}

struct Github {
    about: About,
    rest: Rest,
    token: Secret,
    /// What secrets and variables are below.
    base: String,
    secret: String,
}

/// Opens what a section describes.
pub(super) fn open(
    section: &Section,
    outside: &Outside<'_>,
) -> Result<Box<dyn Store>, ConfigError> {
    let settings: Settings = section.read()?;
    let repository = &settings.repository;
    let is_word = |text: &str| {
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        !text.is_empty() && text.chars().all(is_part)
    };
    if !repository
        .split_once('/')
        .is_some_and(|(owner, name)| is_word(owner) && is_word(name))
    {
        return Err(section.invalid("`repository` is OWNER/NAME"));
    }
    if !is_word(&settings.secret) || settings.secret.contains(['-', '.']) {
        return Err(section.invalid("`secret` is letters, digits and `_`"));
    }
    let (base, where_) = match &settings.environment {
        Some(name) if is_word(name) => (
            format!("repos/{repository}/environments/{name}"),
            format!("environment {name}"),
        ),
        Some(_) => {
            return Err(section.invalid("`environment` is letters, digits, `_`, `-` and `.` here"));
        }
        None => (
            format!("repos/{repository}/actions"),
            "repository".to_owned(),
        ),
    };
    let address = rest::address(section, &settings.address)?;
    let client = rest::client(section, settings.ca.as_deref(), outside)?;
    let about = About {
        place: format!("github {repository}, {where_} secret {}", settings.secret),
        can: Capabilities {
            two_versions: false,
            reads_back: false,
            gives_back: GivesBack::WithValue,
            check_and_set: CheckAndSet::Narrow,
            locks: true,
        },
        rights: vec![format!(
            "a fine-grained token for {repository}: {} read and write",
            match settings.environment {
                Some(_) => "environments",
                None => "secrets and variables",
            }
        )],
    };
    Ok(Box::new(Github {
        rest: Rest::new(client, address, &about.place, &about.rights),
        token: rest::credential(section, "token", &settings.token, outside)?,
        base,
        secret: settings.secret,
        about,
    }))
}

impl Github {
    fn request(&self, method: Method, path: &[&str]) -> Request {
        let path = [&[self.base.as_str()], path].concat();
        self.rest
            .request(method, &path)
            .secret_header("authorization", "Bearer", &self.token)
            .header("accept", "application/vnd.github+json")
            .header("x-github-api-version", "2022-11-28")
    }

    fn lock_name(&self) -> String {
        format!("{}_SKEWER_LOCK", self.secret)
    }

    /// Seals a value for the repository.
    fn seal(&self, value: &Secret) -> Result<serde_json::Value, StoreError> {
        #[derive(Deserialize)]
        struct Key {
            key_id: String,
            key: String,
        }
        let doing = "get the public key";
        let request = self.request(Method::Get, &["secrets", "public-key"]);
        let key: Key = self.rest.parse(doing, &self.rest.send(doing, request)?)?;
        let bytes: Option<[u8; 32]> = STANDARD
            .decode(&key.key)
            .ok()
            .and_then(|b| b.try_into().ok());
        let public = PublicKey::from(bytes.ok_or_else(|| self.rest.malformed(doing))?);
        let sealed = public.seal(&mut OsRng, value.expose());
        let sealed = sealed.map_err(|_| self.rest.malformed("take a sealed value"))?;
        Ok(json!({ "encrypted_value": STANDARD.encode(sealed), "key_id": key.key_id }))
    }

    fn lock_held(&self) -> Result<Option<Held>, StoreError> {
        #[derive(Deserialize)]
        struct Variable {
            value: Text,
        }
        let doing = "read the lock";
        let request = self.request(Method::Get, &["variables", &self.lock_name()]);
        let answer = self.rest.send(doing, request)?;
        if answer.status == 404 {
            return Ok(None);
        }
        let variable: Variable = self.rest.parse(doing, &answer)?;
        Ok(Some(Held {
            version: Version::new(variable.value.0.fingerprint().to_string()),
            value: Some(variable.value.0),
            note: None,
        }))
    }

    fn put_lock(&self, put: Put<'_>, expect: Expect<'_>) -> Result<Version, StoreError> {
        let doing = "write the lock";
        let name = self.lock_name();
        let there = self.lock_held()?.map(|held| held.version);
        let request = match (expect, &there) {
            (Expect::Absent, None) => self.request(Method::Post, &["variables"]),
            (Expect::Version(version), Some(there)) if version == there => {
                self.request(Method::Patch, &["variables", &name])
            }
            _ => return Err(conflict(self, Slot::Lock, expect, there.as_ref())),
        };
        let (kind, body) = rest::json(&json!({ "name": name, "value": Text(put.value.clone()) }));
        let answer = self.rest.send(doing, request.body(kind, body))?;
        if answer.status == 409 {
            return Err(conflict(self, Slot::Lock, expect, None));
        }
        self.rest.done(doing, &answer)?;
        Ok(Version::new(put.value.fingerprint().to_string()))
    }
}

impl Slots for Github {
    fn about(&self) -> &About {
        &self.about
    }

    fn look(&self) -> Result<Vec<String>, StoreError> {
        // Needs the right to read secrets, and shows that the key can be used.
        self.seal(&Secret::new(Vec::new()))?;
        Ok(vec![
            "a workflow that is running goes on with the key that it was started with".to_owned(),
        ])
    }

    fn get(&self, slot: Slot) -> Result<Option<Held>, StoreError> {
        #[derive(Deserialize)]
        struct Listed {
            updated_at: String,
        }
        match slot {
            Slot::Lock => return self.lock_held(),
            Slot::Next | Slot::Previous => return Ok(None),
            Slot::Current => {}
        }
        let doing = "look at the secret";
        let answer = self
            .rest
            .send(doing, self.request(Method::Get, &["secrets", &self.secret]))?;
        if answer.status == 404 {
            return Ok(None);
        }
        let listed: Listed = self.rest.parse(doing, &answer)?;
        Ok(Some(Held {
            version: Version::new(listed.updated_at),
            value: None,
            note: None,
        }))
    }

    fn put(&self, slot: Slot, put: Put<'_>, expect: Expect<'_>) -> Result<Version, StoreError> {
        if slot == Slot::Lock {
            return self.put_lock(put, expect);
        }
        let doing = "write the secret";
        let there = self.get(slot)?.map(|held| held.version);
        if !matches!((expect, &there), (Expect::Version(version), Some(there)) if version == there)
        {
            return Err(conflict(self, slot, expect, there.as_ref()));
        }
        let (kind, body) = rest::json(&self.seal(put.value)?);
        let request = self
            .request(Method::Put, &["secrets", &self.secret])
            .body(kind, body);
        self.rest.done(doing, &self.rest.send(doing, request)?)?;
        let written = self.get(slot)?.map(|held| held.version);
        written.ok_or_else(|| self.rest.malformed(doing))
    }

    fn remove(&self, slot: Slot, held: &Held) -> Result<(), StoreError> {
        let doing = "remove the lock";
        match self.get(slot)? {
            None => return Ok(()),
            Some(there) if there.version != held.version => {
                let expect = Expect::Version(&held.version);
                return Err(conflict(self, slot, expect, Some(&there.version)));
            }
            Some(_) => {}
        }
        let request = self.request(Method::Delete, &["variables", &self.lock_name()]);
        let answer = self.rest.send(doing, request)?;
        match answer.status {
            404 => Ok(()),
            _ => self.rest.done(doing, &answer),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use crypto_box::SecretKey;
    use serde_json::Value;

    use super::*;
    use crate::config::Surroundings;
    use crate::config::tests::section;
    use crate::http::scripted::{self, Asked, Scripted};
    use crate::store::contract::{self, key, note};
    use crate::store::open;

    /// A repository that opens what is sealed for it.
    struct Imitation {
        secret_key: SecretKey,
        value: Option<Vec<u8>>,
        written: u64,
        lock: Option<Value>,
    }

    const TIME: &str = "2026-11-23T08:00:00Z";

    impl Imitation {
        fn new() -> Self {
            Self {
                secret_key: SecretKey::generate(&mut OsRng),
                value: Some(key(1).expose().to_vec()),
                written: 1,
                lock: None,
            }
        }

        /// When the secret was last written.
        fn written(&self) -> String {
            format!("2026-11-23T08:00:{:02}Z", self.written)
        }

        fn variable(&self, asked: &Value) -> Value {
            let (name, value) = (&asked["name"], &asked["value"]);
            json!({ "name": name, "value": value, "created_at": TIME, "updated_at": TIME })
        }

        fn answer(&mut self, asked: &Asked) -> Vec<u8> {
            let say = |status: u16, body: Value| scripted::json(status, &body.to_string());
            if !asked.head.contains("authorization: bearer given") {
                return say(403, json!({ "message": "Resource not accessible" }));
            }
            let body: Value = serde_json::from_str(&asked.body).unwrap_or_default();
            let path = asked
                .target
                .strip_prefix("/repos/acme/app/actions/")
                .unwrap();
            match (asked.method.as_str(), path) {
                ("GET", "secrets/public-key") => {
                    let public = STANDARD.encode(self.secret_key.public_key().as_bytes());
                    say(200, json!({ "key_id": "7", "key": public }))
                }
                ("GET", "secrets/KEY") if self.value.is_some() => say(
                    200,
                    json!({ "name": "KEY", "created_at": TIME, "updated_at": self.written() }),
                ),
                ("PUT", "secrets/KEY") => {
                    assert_eq!(body["key_id"], "7");
                    let sealed = STANDARD
                        .decode(body["encrypted_value"].as_str().unwrap())
                        .unwrap();
                    self.value = Some(self.secret_key.unseal(&sealed).unwrap());
                    self.written += 1;
                    scripted::json(204, "")
                }
                ("POST", "variables") => match self.lock {
                    Some(_) => say(409, json!({ "message": "Already exists" })),
                    None => {
                        self.lock = Some(self.variable(&body));
                        say(201, json!({}))
                    }
                },
                ("GET", "variables/KEY_SKEWER_LOCK") if self.lock.is_some() => {
                    say(200, self.lock.clone().unwrap())
                }
                ("PATCH", "variables/KEY_SKEWER_LOCK") if self.lock.is_some() => {
                    self.lock = Some(self.variable(&body));
                    scripted::json(204, "")
                }
                ("DELETE", "variables/KEY_SKEWER_LOCK") if self.lock.is_some() => {
                    self.lock = None;
                    scripted::json(204, "")
                }
                _ => say(404, json!({ "message": "Not Found" })),
            }
        }
    }

    struct Bench {
        server: Scripted,
        state: Arc<Mutex<Imitation>>,
    }

    impl Bench {
        fn new() -> Self {
            let state = Arc::new(Mutex::new(Imitation::new()));
            let shared = Arc::clone(&state);
            let server = Scripted::new(move |_, asked| shared.lock().unwrap().answer(asked));
            Self { server, state }
        }

        fn store(&self) -> Box<dyn Store> {
            Self::store_at(&self.server.address("").to_string())
        }

        fn store_at(address: &str) -> Box<dyn Store> {
            let text = format!(
                "kind = 'github'\naddress = '{address}'\ntoken = {{ env = 'T' }}\nrepository = 'acme/app'\nsecret = 'KEY'\n"
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

    /// Prism stands between us and the imitation, and holds both against GitHub's own description
    /// of its API: a request that breaks it gets 422, an answer that does becomes a 500.
    #[test]
    fn github_would_understand_us_and_answer_like_the_imitation() {
        let variable = |name: &str| std::env::var_os(name);
        let (Some(prism), Some(document)) = (
            variable("SKEWER_TEST_PRISM"),
            variable("SKEWER_TEST_GITHUB"),
        ) else {
            eprintln!(
                "SKIPPED: no Prism here; SKEWER_TEST_PRISM names its program, SKEWER_TEST_GITHUB GitHub's OpenAPI document (see .ci/run)"
            );
            return;
        };
        struct Prism(std::process::Child);
        impl Drop for Prism {
            fn drop(&mut self) {
                let _ = self.0.kill();
                let _ = self.0.wait();
            }
        }
        let bench = Bench::new();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let upstream = bench.server.address("").to_string();
        let _prism = Prism(
            std::process::Command::new(prism)
                .args([
                    "proxy",
                    "--errors",
                    "-h",
                    "127.0.0.1",
                    "-p",
                    &port.to_string(),
                ])
                .arg(document)
                .arg(upstream.trim_end_matches('/'))
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .spawn()
                .unwrap(),
        );
        let here = format!("http://127.0.0.1:{port}");
        let listens = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        let started = (0..1200).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(100));
            listens()
        });
        assert!(started, "Prism did not start within two minutes");

        // It sees mistakes, of ours and of the imitation.
        let client = crate::http::Client::new(Default::default()).unwrap(); // the first answer takes its time
        let send = |method, path: &str, body: &str| {
            let address = crate::http::Address::parse(&here).unwrap();
            let request = Request::new(method, address.join(path.split('/')))
                .header("authorization", "Bearer given")
                .body("application/json", Secret::new(body.as_bytes().to_vec()));
            client.send(request).unwrap().status
        };
        let wrong = r#"{"encrypted_value":7}"#;
        assert_eq!(
            send(Method::Put, "repos/acme/app/actions/secrets/KEY", wrong),
            422
        );
        bench.state.lock().unwrap().lock = Some(json!({ "name": "KEY_SKEWER_LOCK" }));
        let lock = "repos/acme/app/actions/variables/KEY_SKEWER_LOCK";
        assert_eq!(send(Method::Get, lock, ""), 500);

        contract::check(|| {
            *bench.state.lock().unwrap() = Imitation::new();
            Bench::store_at(&here)
        });
    }

    #[test]
    fn what_is_sealed_is_the_value_and_nobody_else_sees_it() {
        let bench = Bench::new();
        let store = bench.store();
        let over = store.preflight().unwrap().current;
        store.promote(&key(2), &note("r1", &key(2)), &over).unwrap();
        assert_eq!(
            bench.state.lock().unwrap().value.as_deref(),
            Some(key(2).expose())
        );
        let value = String::from_utf8(key(2).expose().to_vec()).unwrap();
        let sent = bench.server.asked();
        assert!(
            sent.iter()
                .all(|asked| !asked.body.contains(&value) && !asked.target.contains(&value))
        );
        // Somebody else has written meanwhile.
        let stale = store.promote(&key(3), &note("r2", &key(3)), &over);
        assert!(matches!(stale, Err(StoreError::Conflict { .. })));
    }

    #[test]
    fn wrong_settings_and_missing_secrets_are_told() {
        let bench = Bench::new();
        bench.state.lock().unwrap().value = None;
        assert!(matches!(
            bench.store().preflight(),
            Err(StoreError::NotFound { .. })
        ));
        for (repository, secret) in [("acme", "KEY"), ("a/b/c", "KEY"), ("a/b", "K-E")] {
            let text = format!(
                "kind = 'github'\ntoken = {{ env = 'T' }}\nrepository = '{repository}'\nsecret = '{secret}'\n"
            );
            assert!(
                open(&section(&text), &Outside::for_tests()).is_err(),
                "{repository} {secret}"
            );
        }
    }
}
