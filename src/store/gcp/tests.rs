//! The store against an imitation of Secret Manager, whose exchanges `tests/schemas/stores.py`
//! holds against the published discovery document.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use ring::signature::{KeyPair, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;

use super::api::crc32c;
use super::*;
use crate::config::Surroundings;
use crate::config::tests::section;
use crate::http::scripted::{self, Asked, Scripted};
use crate::store::contract::{self, Exchanges, key, note};
use crate::store::open;

/// Made for this test.
const SIGNER: &str = include_str!("signer.pem");

#[derive(Clone)]
struct Kept {
    about: Value,
    versions: Vec<Secret>,
    disabled: bool,
}

#[derive(Default)]
struct Imitation {
    secrets: BTreeMap<String, Kept>,
    /// Counts up with each change of a secret.
    etag: u64,
    /// For what the target has in it: this status, once. After 599, the call is carried out.
    fault: Option<(&'static str, u16)>,
    denied: Option<&'static str>,
    tokens: Vec<String>,
    logins: usize,
    /// How long a token lasts, in seconds.
    lifetime: i64,
    exchanges: Exchanges,
}

const SECRETS: &str = "/v1/projects/acme/secrets";

fn error(code: u16, status: &str) -> Vec<u8> {
    let body = json!({ "error": { "code": code, "message": format!("about {status}"), "status": status } });
    scripted::json(code, &body.to_string())
}

fn ok(body: &Value) -> Vec<u8> {
    scripted::json(200, &body.to_string())
}

fn decoded(text: &str) -> String {
    url::form_urlencoded::parse(format!("x={text}").as_bytes())
        .next()
        .unwrap()
        .1
        .into_owned()
}

impl Imitation {
    fn answer(&mut self, asked: &Asked) -> Vec<u8> {
        if let Some(given) = self.gives(asked) {
            return given;
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
            return error(401, "UNAUTHENTICATED");
        }
        let fault = self.fault.filter(|(what, _)| asked.target.contains(what));
        let answer = match fault {
            Some((_, status)) => {
                self.fault = None;
                if status > 599 {
                    self.act(asked);
                }
                error(status.min(599), "UNAVAILABLE")
            }
            None => self.act(asked),
        };
        self.exchanges.keep(asked, &answer);
        answer
    }

    fn gives(&mut self, asked: &Asked) -> Option<Vec<u8>> {
        if asked.target == "/computeMetadata/v1/instance/service-accounts/default/token" {
            assert!(asked.head.contains("metadata-flavor: google"));
        } else if asked.target == "/token" {
            let fields = url::form_urlencoded::parse(asked.body.as_bytes());
            let (_, assertion) = fields.last().unwrap();
            if !is_signed(&assertion) {
                return Some(scripted::json(400, r#"{"error":"invalid_grant"}"#));
            }
        } else {
            return None;
        }
        self.logins += 1;
        let token = format!("made{}", self.logins);
        self.tokens.push(token.clone());
        let body =
            json!({ "access_token": token, "expires_in": self.lifetime, "token_type": "Bearer" });
        Some(ok(&body))
    }

    fn next_etag(&mut self) -> Value {
        self.etag += 1;
        format!("\"{}\"", self.etag).into()
    }

    fn act(&mut self, asked: &Asked) -> Vec<u8> {
        let body: Value = serde_json::from_str(&asked.body).unwrap_or_default();
        let rest = asked.target.strip_prefix(SECRETS).unwrap();
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let query = |name: &str| {
            let mut all = query.split('&').filter_map(|pair| pair.split_once('='));
            all.find(|(n, _)| *n == name)
                .map(|(_, value)| decoded(value))
        };
        if path.is_empty() {
            assert_eq!(asked.method, "POST");
            let name = query("secretId").unwrap();
            assert!(body["replication"].is_object());
            if self.secrets.contains_key(&name) {
                return error(409, "ALREADY_EXISTS");
            }
            let mut about = body;
            about["etag"] = self.next_etag();
            about["name"] = format!("projects/7/secrets/{name}").into();
            let kept = Kept {
                about: about.clone(),
                versions: Vec::new(),
                disabled: false,
            };
            self.secrets.insert(name, kept);
            return ok(&about);
        }
        let path = path.trim_start_matches('/');
        let (name, what) = path
            .find(['/', ':'])
            .map_or((path, ""), |at| path.split_at(at));
        let etag = self.next_etag();
        let denied = self.denied;
        let Some(kept) = self.secrets.get_mut(name) else {
            return error(404, "NOT_FOUND");
        };
        let is_stale =
            |given: Option<&str>| given.is_some_and(|given| kept.about["etag"] != *given);
        match (asked.method.as_str(), what) {
            ("GET", "") => ok(&kept.about),
            ("PATCH", "") => {
                if is_stale(body["etag"].as_str()) {
                    return error(400, "FAILED_PRECONDITION");
                }
                let field = query("updateMask").unwrap();
                kept.about[&field] = body[&field].clone();
                kept.about["etag"] = etag;
                ok(&kept.about)
            }
            ("DELETE", "") => {
                if is_stale(query("etag").as_deref()) {
                    return error(400, "FAILED_PRECONDITION");
                }
                self.secrets.remove(name);
                ok(&json!({}))
            }
            ("POST", ":addVersion") => {
                let data = body["payload"]["data"].as_str().unwrap();
                let data = BASE64_STANDARD.decode(data).unwrap();
                assert_eq!(body["payload"]["dataCrc32c"], crc32c(&data).to_string());
                kept.versions.push(Secret::new(data));
                let name = format!("projects/7/secrets/{name}/versions/{}", kept.versions.len());
                ok(&json!({ "name": name, "state": "ENABLED" }))
            }
            ("POST", ":testIamPermissions") => {
                let asked = body["permissions"].as_array().unwrap();
                let may: Vec<&Value> = asked
                    .iter()
                    .filter(|r| Some(r.as_str().unwrap()) != denied)
                    .collect();
                ok(&json!({ "permissions": may }))
            }
            ("GET", what) => {
                let which = what.strip_prefix("/versions/").unwrap();
                let which = which.strip_suffix(":access").unwrap();
                let number = match which {
                    "latest" => kept.versions.len(),
                    alias => match kept.about["versionAliases"][alias].as_str() {
                        Some(number) => number.parse().unwrap(),
                        None => return error(404, "NOT_FOUND"),
                    },
                };
                if kept.disabled {
                    return error(400, "FAILED_PRECONDITION");
                }
                let Some(text) = number.checked_sub(1).and_then(|n| kept.versions.get(n)) else {
                    return error(404, "NOT_FOUND");
                };
                let name = format!("projects/7/secrets/{name}/versions/{number}");
                ok(&json!({ "name": name, "payload": {
                    "data": BASE64_STANDARD.encode(text.expose()),
                    "dataCrc32c": crc32c(text.expose()).to_string(),
                }}))
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Whether an assertion is as RFC 7523 has it, and signed by our key.
fn is_signed(assertion: &str) -> bool {
    let (text, signature) = assertion.rsplit_once('.').unwrap();
    let decode = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).unwrap();
    let (head, claims) = text.split_once('.').unwrap();
    let head: Value = serde_json::from_slice(&decode(head)).unwrap();
    let claims: Value = serde_json::from_slice(&decode(claims)).unwrap();
    assert_eq!(
        (&head["alg"], &head["kid"]),
        (&"RS256".into(), &"k1".into())
    );
    assert!(claims["aud"].as_str().unwrap().ends_with("/token"));
    assert_eq!(claims["iat"], 1_800_000_000);
    let der = PrivatePkcs8KeyDer::from_pem_slice(SIGNER.as_bytes()).unwrap();
    let pair = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).unwrap();
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref());
    public.verify(text.as_bytes(), &decode(signature)).is_ok()
}

struct Bench {
    server: Scripted,
    state: Arc<Mutex<Imitation>>,
}

const TOKEN: &str = "{ token = { env = 'T' } }";

impl Bench {
    fn new(text: &Secret) -> Self {
        let kept = Kept {
            about: json!({
                "etag": "\"0\"", "name": "projects/7/secrets/openai",
                "replication": { "userManaged": { "replicas": [{ "location": "europe-west3" }] } },
                "versionAliases": { "other": "1", "prod": "1" },
            }),
            versions: vec![text.clone()],
            disabled: false,
        };
        let mut state = Imitation {
            lifetime: 3600,
            ..Imitation::default()
        };
        state.secrets.insert("openai".to_owned(), kept);
        state.tokens.push("given".to_owned());
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        let server = Scripted::new(move |_, asked| shared.lock().unwrap().answer(asked));
        Self { server, state }
    }

    fn store(&self, more: &str, auth: &str) -> Box<dyn Store> {
        let address = self.server.address("").to_string();
        store(&format!(
            "kind = 'gcp'\nproject = 'acme'\nsecret = 'openai'\naddress = '{address}'\n{more}\nauth = {auth}\n"
        ))
        .unwrap()
    }

    fn kept<T>(&self, change: impl FnOnce(&mut Kept) -> T) -> T {
        change(
            self.state
                .lock()
                .unwrap()
                .secrets
                .get_mut("openai")
                .unwrap(),
        )
    }
}

fn store(text: &str) -> Result<Box<dyn Store>, ConfigError> {
    let variable = |_: &str| Some(Secret::new(b"given".to_vec()));
    let outside = Outside {
        surroundings: Surroundings {
            variable: &variable,
        },
        ..Outside::for_tests()
    };
    open(&section(text), &outside)
}

fn json_text(key: &Secret) -> Secret {
    let key = String::from_utf8(key.expose().to_vec()).unwrap();
    Secret::new(format!("{{ \"a\" : 1,\"k\":\"{key}\"}}\n").into())
}

#[test]
fn the_contract_holds() {
    let benches = Mutex::new(Vec::new());
    for (more, text) in [
        ("", key(1)),
        ("alias = 'prod'", key(1)),
        ("alias = 'prod'\nfield = 'k'", json_text(&key(1))),
    ] {
        contract::check(|| {
            let bench = Bench::new(&text);
            let store = bench.store(more, TOKEN);
            benches.lock().unwrap().push(bench);
            store
        });
    }
    let benches = benches.into_inner().unwrap().into_iter();
    let kept = benches.map(|bench| std::mem::take(&mut bench.state.lock().unwrap().exchanges));
    Exchanges::lay_out(kept, "gcp.jsonl");
}

#[test]
fn an_alias_moves_and_nothing_of_ours_stays() {
    let bench = Bench::new(&json_text(&key(1)));
    let store = bench.store("alias = 'prod'\nfield = 'k'", TOKEN);
    let over = store.preflight().unwrap().current;
    let ours = note("r1", &key(2));
    store.stage(&key(2), &ours).unwrap();
    {
        let state = bench.state.lock().unwrap();
        let next = &state.secrets["openai-skewer-next"];
        assert_eq!(
            next.about["replication"],
            state.secrets["openai"].about["replication"]
        );
    }
    store.promote(&key(2), &ours, &over).unwrap();
    store.forget("r1").unwrap();
    bench.kept(|kept| {
        assert_eq!(
            kept.about["versionAliases"],
            json!({ "other": "1", "prod": "2" })
        );
        assert_eq!(kept.versions[1], json_text(&key(2)));
    });
    assert_eq!(bench.state.lock().unwrap().secrets.len(), 1);
    // Somebody moves an alias between our look and our write.
    let over = store.preflight().unwrap().current;
    let ours = note("r2", &key(3));
    store.stage(&key(3), &ours).unwrap();
    bench.kept(|kept| kept.about["versionAliases"]["prod"] = "1".into());
    let outcome = store.promote(&key(3), &ours, &over);
    assert!(
        matches!(outcome, Err(StoreError::Conflict { .. })),
        "{outcome:?}"
    );
}

#[test]
fn a_write_that_was_cut_off_is_done_again() {
    for status in [503, 600] {
        for what in [
            "secretId=openai-skewer-next",
            "next:addVersion",
            "openai:addVersion",
            "versionAliases",
        ] {
            let bench = Bench::new(&key(1));
            let store = bench.store("alias = 'prod'", TOKEN);
            let over = store.preflight().unwrap().current;
            let ours = note("r1", &key(2));
            bench.state.lock().unwrap().fault = Some((what, status));
            let run = || {
                store.stage(&key(2), &ours)?;
                store.promote(&key(2), &ours, &over)
            };
            let error = run().unwrap_err();
            assert!(error.may_have_changed(), "{error}");
            if run().is_err() {
                // A secret that was made is found by the next look.
                run().unwrap();
            }
            assert_eq!(bench.kept(|kept| kept.versions.len()), 2, "{what} {status}");
            store.forget("r1").unwrap();
            assert_eq!(bench.state.lock().unwrap().secrets.len(), 1);
        }
    }
}

#[test]
fn what_can_not_work_is_found_before_anything_is_written() {
    let said = |more: &str, prepare: &dyn Fn(&Bench)| {
        let bench = Bench::new(&key(1));
        prepare(&bench);
        let error = bench.store(more, TOKEN).preflight().unwrap_err();
        let asked = bench.server.asked();
        let is_look = |asked: &Asked| asked.method == "GET" || asked.target.contains("testIam");
        assert!(asked.iter().all(is_look));
        error
    };
    let gone = said("", &|bench| bench.state.lock().unwrap().secrets.clear());
    assert!(matches!(gone, StoreError::NotFound { .. }), "{gone}");
    let alias = said("alias = 'gone'", &|_| ());
    assert!(matches!(alias, StoreError::NotFound { .. }), "{alias}");
    let right = said("alias = 'prod'", &|bench| {
        bench.state.lock().unwrap().denied = Some("secretmanager.secrets.update");
    });
    assert!(
        matches!(&right, StoreError::Denied { doing, .. } if doing.contains("secrets.update")),
        "{right}"
    );
    let disabled = said("", &|bench| bench.kept(|kept| kept.disabled = true)).to_string();
    assert!(disabled.contains("about FAILED_PRECONDITION"), "{disabled}");
    let denied = said("", &|bench| bench.state.lock().unwrap().tokens.clear());
    assert!(matches!(denied, StoreError::Denied { .. }), "{denied}");
    let busy = said("", &|bench| {
        bench.state.lock().unwrap().fault = Some(("access", 429))
    });
    assert!(busy.is_passing() && !busy.may_have_changed());
    let field = said("field = 'k'", &|_| ());
    assert!(matches!(field, StoreError::Malformed { .. }), "{field}");
    let bench = Bench::new(&key(1));
    bench.kept(|kept| kept.about["expireTime"] = "2027-02-01T00:00:00Z".into());
    let remarks = bench.store("", TOKEN).preflight().unwrap().remarks;
    assert!(
        remarks[0].contains("deleted at 2027") && remarks.len() == 2,
        "{remarks:?}"
    );
}

#[test]
fn settings_that_can_not_be_meant_are_refused() {
    let said = |text: &str| {
        let text = format!("kind = 'gcp'\nproject = 'p'\n{text}\nauth = {TOKEN}\n");
        store(&text).err().unwrap().to_string()
    };
    assert!(said("secret = 'projects/p/secrets/s'").contains("no path"));
    assert!(said("secret = 's'\nalias = '3'").contains("no version's number"));
    assert!(said("secret = 's'\nsecrt = 's'").contains("did you mean `secret`?"));
    let bare = "kind = 'gcp'\nproject = 'p'\nsecret = 's'\nauth = { metadata = {} }\n";
    assert!(store(bare).is_ok());
    let regional = "kind = 'gcp'\nproject = 'p'\nsecret = 's'\nlocation = 'europe-west3'\n";
    let regional = store(&format!("{regional}auth = {TOKEN}\n")).unwrap();
    assert!(
        regional
            .place()
            .contains("projects/p/locations/europe-west3")
    );
}

#[test]
fn every_way_in_works_and_a_token_that_ended_is_asked_for_anew() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let account = format!(
        "{{ service_account = {{ file = '{}' }} }}",
        file.path().display()
    );
    for name in ["account", "metadata"] {
        let bench = Bench::new(&key(1));
        let address = bench.server.address("").to_string();
        let uri = bench.server.address("/token").to_string();
        let text = json!({
            "type": "service_account", "client_email": "a@b", "private_key_id": "k1",
            "private_key": SIGNER, "token_uri": uri,
        });
        std::fs::write(file.path(), text.to_string()).unwrap();
        let auth = match name {
            "account" => account.clone(),
            _ => format!("{{ metadata = {{ address = '{address}' }} }}"),
        };
        let store = bench.store("", &auth);
        store.preflight().unwrap();
        store.preflight().unwrap();
        let logins = || bench.state.lock().unwrap().logins;
        assert_eq!(logins(), 1, "{name}");
        bench.state.lock().unwrap().tokens.clear();
        store.preflight().unwrap();
        assert_eq!(logins(), 2, "{name}");
        // One that ends within the next minute is not used any more.
        bench.state.lock().unwrap().lifetime = 60;
        bench.state.lock().unwrap().tokens.clear();
        store.read(Slot::Current).unwrap();
        store.read(Slot::Current).unwrap();
        assert_eq!(logins(), 4, "{name}");
    }
    std::fs::write(file.path(), "{}").unwrap();
    let text = format!("kind = 'gcp'\nproject = 'p'\nsecret = 's'\nauth = {account}\n");
    let said = store(&text).err().unwrap().to_string();
    assert!(said.contains("no key file"), "{said}");
}

#[test]
fn checksums_are_castagnoli_s() {
    // The check value of CRC-32C.
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
}
