//! The store against an imitation of Secrets Manager that keeps what AWS documents, and against a
//! real ministack.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::*;
use crate::config::Surroundings;
use crate::config::tests::section;
use crate::http::scripted::{self, Asked, Scripted};
use crate::http::{Address, Request};
use crate::store::contract::{self, Exchanges, key, note};
use crate::store::open;

/// A secret as AWS keeps it.
#[derive(Clone, Default)]
struct Kept {
    versions: BTreeMap<String, String>,
    /// Each label is at one version.
    labels: BTreeMap<String, String>,
    /// What is told of it besides.
    more: Value,
    deleted: bool,
}

#[derive(Default)]
struct Imitation {
    secrets: BTreeMap<String, Kept>,
    /// For this action: how many go through yet, then this status and this error, once. Without
    /// an error the call is carried out, and its answer is lost.
    fault: Option<(&'static str, usize, u16, &'static str)>,
    /// Another tool makes a version pending just behind the next one that is written.
    has_rival: bool,
    /// Accepted session tokens.
    tokens: Vec<String>,
    logins: usize,
    exchanges: Exchanges,
}

fn error(status: u16, kind: &str, words: &str) -> Vec<u8> {
    let body = json!({ "__type": kind, "Message": words });
    scripted::json(status, &body.to_string())
}

fn wrong(kind: &str, words: &str) -> Vec<u8> {
    error(400, kind, words)
}

fn ok(body: &Value) -> Vec<u8> {
    scripted::json(200, &body.to_string())
}

impl Imitation {
    fn answer(&mut self, asked: &Asked) -> Vec<u8> {
        if let Some(given) = self.gives(asked) {
            return given;
        }
        let header = |name: &str| {
            let line = asked.head.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_default().trim().to_owned()
        };
        let signed = header(
            "authorization: aws4-hmac-sha256 credential=akid/20270115/eu-central-1/secretsmanager/aws4_request",
        );
        assert!(signed.contains("x-amz-target"), "{}", asked.head);
        if !self.tokens.contains(&header("x-amz-security-token:")) {
            return wrong(
                "ExpiredTokenException",
                "The security token included in the request is expired",
            );
        }
        let target = header("x-amz-target: secretsmanager.");
        let answer = self.act_or_fail(asked, &target);
        self.exchanges.keep(asked, &answer);
        answer
    }

    fn act_or_fail(&mut self, asked: &Asked, target: &str) -> Vec<u8> {
        let body: Value = serde_json::from_str(&asked.body).unwrap();
        if let Some((action, pass, status, kind)) = &mut self.fault
            && target == action.to_lowercase()
        {
            let (status, kind) = (*status, *kind);
            match pass.checked_sub(1) {
                Some(left) => *pass = left,
                None => {
                    self.fault = None;
                    if kind.is_empty() {
                        self.act(target, &body);
                        return error(status, "InternalServiceError", "lost");
                    }
                    return error(status, kind, "no");
                }
            }
        }
        let answer = self.act(target, &body);
        if self.has_rival && target == "putsecretvalue" {
            self.has_rival = false;
            for kept in self.secrets.values_mut() {
                kept.versions.insert("theirs".to_owned(), "x".to_owned());
                kept.labels.insert(PENDING.to_owned(), "theirs".to_owned());
            }
        }
        answer
    }

    /// Who gives keys: STS, the instance, the task.
    fn gives(&mut self, asked: &Asked) -> Option<Vec<u8>> {
        let keys = json!({
            "AccessKeyId": "AKID", "SecretAccessKey": "s", "Token": "session",
            "Expiration": "2027-01-15T09:00:00Z",
        });
        let answer = match (asked.method.as_str(), asked.target.as_str()) {
            ("PUT", "/latest/api/token") => scripted::answer(200, &[], "imds"),
            ("GET", "/latest/meta-data/iam/security-credentials/") => {
                assert!(asked.head.contains("x-aws-ec2-metadata-token: imds"));
                scripted::answer(200, &[], "role\n")
            }
            ("GET", "/latest/meta-data/iam/security-credentials/role") => ok(&keys),
            ("GET", "/v1/credentials") => {
                assert!(asked.head.contains("authorization: pod"));
                ok(&keys)
            }
            ("POST", "/") if asked.body.starts_with("Action=") => {
                assert!(
                    asked
                        .body
                        .contains("&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr&")
                );
                if !asked.body.ends_with("&WebIdentityToken=jwt%3D") {
                    return Some(wrong("InvalidIdentityToken", "no"));
                }
                scripted::answer(
                    200,
                    &[],
                    "<A><Credentials><AccessKeyId>AKID</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>session</SessionToken><Expiration>2027-01-15T09:00:00Z</Expiration></Credentials></A>",
                )
            }
            _ => return None,
        };
        if !asked.target.contains("token") && !asked.target.ends_with("s/") {
            self.logins += 1;
        }
        Some(answer)
    }

    fn act(&mut self, target: &str, body: &Value) -> Vec<u8> {
        let text = |name: &str| body[name].as_str().map(str::to_owned);
        if target == "createsecret" {
            let name = text("Name").unwrap();
            if let Some(there) = self.secrets.get(&name) {
                return match there.deleted {
                    true => wrong(
                        "InvalidRequestException",
                        "You can't create this secret because a secret with this name is already scheduled for deletion.",
                    ),
                    false => wrong("ResourceExistsException", "it already exists"),
                };
            }
            let id = text("ClientRequestToken").unwrap();
            let mut kept = Kept::default();
            kept.versions
                .insert(id.clone(), text("SecretString").unwrap());
            kept.labels.insert(CURRENT.to_owned(), id.clone());
            self.secrets.insert(name, kept);
            return ok(&json!({ "VersionId": id }));
        }
        let Some(kept) = self.secrets.get_mut(&text("SecretId").unwrap()) else {
            return wrong(
                "ResourceNotFoundException",
                "Secrets Manager can't find the specified secret.",
            );
        };
        if kept.deleted && target != "describesecret" {
            return wrong(
                "InvalidRequestException",
                "You can't perform this operation on the secret because it was marked for deletion.",
            );
        }
        match target {
            "describesecret" => {
                let mut told = kept.more.clone();
                let mut stages: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
                for (label, id) in &kept.labels {
                    stages.entry(id).or_default().push(label);
                }
                told["VersionIdsToStages"] = json!(stages);
                ok(&told)
            }
            "getsecretvalue" => {
                let id = text("VersionId")
                    .or_else(|| kept.labels.get(&text("VersionStage").unwrap()).cloned());
                match id.as_ref().and_then(|id| kept.versions.get_key_value(id)) {
                    Some((id, text)) => ok(&json!({ "VersionId": id, "SecretString": text })),
                    None => wrong(
                        "ResourceNotFoundException",
                        "can't find the specified secret value",
                    ),
                }
            }
            "putsecretvalue" => kept.put(body),
            "updatesecretversionstage" => kept.move_label(body),
            other => panic!("{other}"),
        }
    }
}

impl Kept {
    fn put(&mut self, body: &Value) -> Vec<u8> {
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        let (id, new) = (text("ClientRequestToken"), text("SecretString"));
        assert!((32..=64).contains(&id.len()));
        match self.versions.get(&id) {
            Some(there) if *there != new => {
                return wrong(
                    "ResourceExistsException",
                    "a version with this token has other contents",
                );
            }
            // It is ignored, labels and all.
            Some(_) => {}
            None => {
                self.versions.insert(id.clone(), new);
                for label in body["VersionStages"].as_array().unwrap() {
                    self.labels
                        .insert(label.as_str().unwrap().to_owned(), id.clone());
                }
            }
        }
        assert!(self.labels.len() <= 20, "{:?}", self.labels);
        ok(&json!({ "VersionId": id }))
    }

    fn move_label(&mut self, body: &Value) -> Vec<u8> {
        let text = |name: &str| body[name].as_str().map(str::to_owned);
        let label = text("VersionStage").unwrap();
        let (from, to) = (text("RemoveFromVersionId"), text("MoveToVersionId"));
        let there = self.labels.get(&label).cloned();
        let fits = match (&there, &from, &to) {
            (None, None, Some(_)) => true,
            (Some(there), None, Some(to)) => there == to,
            (Some(there), Some(from), _) => there == from,
            _ => false,
        };
        if !fits {
            return wrong("InvalidParameterException", "the label is elsewhere");
        }
        match to {
            Some(to) => {
                assert!(self.versions.contains_key(&to));
                if label == CURRENT && there.as_ref() != Some(&to) {
                    self.labels.insert("AWSPREVIOUS".to_owned(), there.unwrap());
                }
                self.labels.insert(label, to);
            }
            None => {
                assert_ne!(label, CURRENT, "AWS refuses this");
                self.labels.remove(&label);
            }
        }
        ok(&json!({}))
    }
}

struct Bench {
    server: Scripted,
    state: Arc<Mutex<Imitation>>,
}

const KEYS: &str =
    "{ keys = { id = { env = 'ID' }, secret = { env = 'S' }, session-token = { env = 'T' } } }";
/// The id of the version that is there from the start.
const FIRST: &str = "00000000-0000-0000-0000-000000000001";
const NAME: &str = "prod/openai";

fn text_of(secret: &Secret) -> String {
    String::from_utf8(secret.expose().to_vec()).unwrap()
}

impl Bench {
    fn new(text: &str) -> Self {
        let mut kept = Kept {
            more: json!({}),
            ..Kept::default()
        };
        kept.versions.insert(FIRST.to_owned(), text.to_owned());
        // As AWS' own rotations leave it.
        for label in [CURRENT, PENDING] {
            kept.labels.insert(label.to_owned(), FIRST.to_owned());
        }
        let mut state = Imitation::default();
        state.secrets.insert(NAME.to_owned(), kept);
        state.tokens.push("session".to_owned());
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        let server = Scripted::new(move |_, asked| shared.lock().unwrap().answer(asked));
        Self { server, state }
    }

    fn plain() -> Self {
        Self::new(&text_of(&key(1)))
    }

    fn address(&self) -> String {
        self.server.address("").to_string()
    }

    fn store(&self, more: &str, auth: &str) -> Box<dyn Store> {
        store(&format!(
            "kind = 'aws'\nregion = 'eu-central-1'\nsecret = '{NAME}'\naddress = '{}'\n{more}\nauth = {auth}\n",
            self.address()
        ))
        .unwrap()
    }

    fn kept<T>(&self, change: impl FnOnce(&mut Kept) -> T) -> T {
        change(self.state.lock().unwrap().secrets.get_mut(NAME).unwrap())
    }

    fn fault(&self, action: &'static str, pass: usize, status: u16, kind: &'static str) {
        self.state.lock().unwrap().fault = Some((action, pass, status, kind));
    }
}

fn store(text: &str) -> Result<Box<dyn Store>, ConfigError> {
    let variable = |name: &str| {
        let value = match name {
            "ID" => "AKID",
            "S" => "s",
            "T" => "session",
            "JWT" => "jwt=",
            "POD" => "pod",
            _ => return None,
        };
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
    for field in [false, true] {
        contract::check(|| {
            let value = text_of(&key(1));
            let bench = match field {
                true => Bench::new(&format!("{{\"user\": 1,\n \"api_key\":\"{value}\"}}")),
                false => Bench::new(&value),
            };
            let store = bench.store(if field { "field = 'api_key'" } else { "" }, KEYS);
            benches.lock().unwrap().push(bench);
            store
        });
    }
    let benches = benches.into_inner().unwrap().into_iter();
    let kept = benches.map(|bench| std::mem::take(&mut bench.state.lock().unwrap().exchanges));
    Exchanges::lay_out(kept, "aws.jsonl");
}

#[test]
fn labels_say_what_a_version_is_and_ours_go() {
    let bench = Bench::plain();
    let store = bench.store("", KEYS);
    let over = store.preflight().unwrap().current;
    let ours = note("r1", &key(2));
    let staged = store.stage(&key(2), &ours).unwrap();
    let id = staged.as_str().to_owned();
    bench.kept(|kept| {
        assert_eq!(
            (&kept.labels[CURRENT], &kept.labels[PENDING]),
            (&FIRST.to_owned(), &id)
        );
    });
    let promoted = store.promote(&key(2), &ours, &over).unwrap();
    assert_eq!(promoted, staged, "the version that was proved, and no copy");
    bench.kept(|kept| {
        let labels = &kept.labels;
        assert_eq!(
            (&labels[CURRENT], &labels["AWSPREVIOUS"]),
            (&id, &FIRST.to_owned())
        );
        assert_eq!(labels["skewer-previous/r1"], FIRST);
    });
    let back = store.restore(None, &ours, &promoted).unwrap();
    assert_eq!(back.as_str(), FIRST, "A's own version is given back");
    store.forget("r1").unwrap();
    bench.kept(|kept| {
        let labels: Vec<&String> = kept.labels.keys().collect();
        assert_eq!(labels, [CURRENT, "AWSPREVIOUS"]);
        assert_eq!(kept.versions.len(), 2);
    });
}

#[test]
fn other_fields_stay_as_they_are_even_if_they_change_meanwhile() {
    let text = |user: &str, key: &Secret| {
        format!(
            "{{ \"user\" : {user},\n\t\"k\": {{\"v\":\"{}\"}} }}",
            text_of(key)
        )
    };
    let bench = Bench::new(&text("1.0", &key(1)));
    let store = bench.store("field = ['k', 'v']", KEYS);
    let ours = note("r1", &key(2));
    store.stage(&key(2), &ours).unwrap();
    let current = || bench.kept(|kept| kept.versions[&kept.labels[CURRENT]].clone());
    let edit = |user: &str, key: &Secret| {
        bench.kept(|kept| {
            kept.versions.insert(user.to_owned(), text(user, key));
            kept.labels.insert(CURRENT.to_owned(), user.to_owned());
        });
    };
    edit("\"two\"", &key(1));
    let over = store.preflight().unwrap().current;
    let promoted = store.promote(&key(2), &ours, &over).unwrap();
    assert_eq!(current(), text("\"two\"", &key(2)));
    assert_eq!(store.read(Slot::Next).unwrap().unwrap().value, Some(key(2)));
    assert_eq!(store.promote(&key(2), &ours, &over).unwrap(), promoted);
    edit("3", &key(2));
    let over = store.read(Slot::Current).unwrap().unwrap().version;
    store.restore(None, &ours, &over).unwrap();
    assert_eq!(current(), text("3", &key(1)));
    store.forget("r1").unwrap();
    bench.kept(|kept| assert!(!kept.labels.keys().any(|l| l.contains("skewer"))));
}

#[test]
fn a_write_that_was_cut_off_is_done_again() {
    // Each call of a staging and a promotion is lost, before or after it was carried out.
    for (kind, status) in [
        ("", 500),
        ("InternalServiceError", 500),
        ("ThrottlingException", 400),
    ] {
        for (action, most) in [("PutSecretValue", 1), ("UpdateSecretVersionStage", 3)] {
            for pass in 0..most {
                let bench = Bench::plain();
                let store = bench.store("", KEYS);
                let over = store.preflight().unwrap().current;
                let ours = note("r1", &key(2));
                bench.fault(action, pass, status, kind);
                let run = || {
                    store.stage(&key(2), &ours)?;
                    store.promote(&key(2), &ours, &over)
                };
                let error = run().unwrap_err();
                assert!(error.is_passing(), "{error}");
                assert_eq!(error.may_have_changed(), status == 500, "{error}");
                let promoted = run().unwrap();
                let pending = bench.kept(|kept| kept.labels[PENDING].clone());
                assert_eq!(pending, promoted.as_str(), "{action} {pass} {kind}");
                store.restore(None, &ours, &promoted).unwrap();
                store.forget("r1").unwrap();
                bench.kept(|kept| {
                    assert!(!kept.labels.contains_key(PENDING), "{:?}", kept.labels);
                    assert!(!kept.labels.keys().any(|l| l.contains("skewer")));
                });
            }
        }
    }
}

#[test]
fn what_others_do_meanwhile_is_a_conflict() {
    let bench = Bench::plain();
    let store = bench.store("", KEYS);
    let over = store.preflight().unwrap().current;
    let ours = note("r1", &key(2));
    store.stage(&key(2), &ours).unwrap();
    bench.kept(|kept| {
        kept.versions.insert("theirs".to_owned(), "x".to_owned());
        kept.labels.insert(CURRENT.to_owned(), "theirs".to_owned());
    });
    let outcome = store.promote(&key(2), &ours, &over);
    assert!(
        matches!(outcome, Err(StoreError::Conflict { .. })),
        "{outcome:?}"
    );
    // Another tool's version is pending.
    let bench = Bench::plain();
    let store = bench.store("", KEYS);
    bench.kept(|kept| {
        kept.versions.insert("theirs".to_owned(), "x".to_owned());
        kept.labels.insert(PENDING.to_owned(), "theirs".to_owned());
    });
    let outcome = store.preflight().unwrap_err().to_string();
    assert!(outcome.contains("not put there by a rotation"), "{outcome}");
    assert!(store.stage(&key(2), &ours).is_err());
    // It becomes pending between our two calls.
    let bench = Bench::plain();
    let store = bench.store("", KEYS);
    bench.state.lock().unwrap().has_rival = true;
    let outcome = store.stage(&key(2), &ours);
    assert!(
        matches!(outcome, Err(StoreError::Conflict { .. })),
        "{outcome:?}"
    );
    assert_eq!(bench.kept(|kept| kept.labels[PENDING].clone()), "theirs");
    // The token of our write was used for something else.
    let bench = Bench::plain();
    let store = bench.store("", KEYS);
    let id = store.stage(&key(2), &ours).unwrap().as_str().to_owned();
    store.forget("r1").unwrap();
    bench.kept(|kept| kept.versions.insert(id, "x".to_owned()));
    let outcome = store.stage(&key(2), &ours);
    assert!(
        matches!(outcome, Err(StoreError::Refused { .. })),
        "{outcome:?}"
    );
    assert_eq!(store.preflight().unwrap().pending, None);
}

#[test]
fn what_can_not_work_is_found_before_anything_is_written() {
    let said = |prepare: &dyn Fn(&Bench)| {
        let bench = Bench::plain();
        prepare(&bench);
        let error = bench.store("", KEYS).preflight().unwrap_err();
        let wrote = bench.server.asked().iter().any(|asked| {
            ["putsecret", "createsecret", "updatesecret"]
                .iter()
                .any(|action| {
                    asked
                        .head
                        .contains(&format!("x-amz-target: secretsmanager.{action}"))
                })
        });
        assert!(!wrote);
        error
    };
    let told = |name: &'static str, value: Value| {
        said(&|bench| bench.kept(|kept| kept.more[name] = value.clone())).to_string()
    };
    assert!(told("RotationEnabled", json!(true)).contains("cancel-rotate-secret"));
    assert!(told("OwningService", json!("rds")).contains("managed by rds"));
    assert!(told("PrimaryRegion", json!("eu-west-1")).contains("replica"));
    let gone = said(&|bench| bench.state.lock().unwrap().secrets.clear());
    assert!(matches!(gone, StoreError::NotFound { .. }), "{gone}");
    let deleted = said(&|bench| bench.kept(|kept| kept.deleted = true)).to_string();
    assert!(deleted.contains("restore-secret"), "{deleted}");
    let denied = said(&|bench| bench.fault("DescribeSecret", 0, 400, "AccessDeniedException"));
    assert!(
        matches!(&denied, StoreError::Denied { rights, .. } if rights.contains("UpdateSecretVersionStage")),
        "{denied}"
    );
    let ended = said(&|bench| bench.state.lock().unwrap().tokens.clear());
    assert!(matches!(&ended, StoreError::Denied { reason, .. } if reason.contains("expired")));
    let slow = said(&|bench| bench.fault("GetSecretValue", 0, 400, "ThrottlingException"));
    assert!(slow.is_passing() && !slow.may_have_changed());
    // A field that is not there, and a text that is no JSON.
    let bench = Bench::new("{\"a\":\"b\"}");
    let field = bench.store("field = 'api_key'", KEYS).preflight();
    assert!(matches!(field, Err(StoreError::NotFound { .. })));
    let bare = Bench::plain().store("field = 'api_key'", KEYS).preflight();
    assert!(matches!(bare, Err(StoreError::Malformed { .. })));
}

#[test]
fn settings_that_can_not_be_meant_are_refused() {
    let said = |text: &str| {
        let text = format!("kind = 'aws'\n{text}\nauth = {KEYS}\n");
        store(&text).err().unwrap().to_string()
    };
    let name = "secret = 'x'";
    assert!(
        said(&format!("{name}\nregion = 'eu-central-1'\nfeild = 'x'"))
            .contains("did you mean `field`?")
    );
    assert!(said(&format!("{name}\nregion = 'eu_central_1/'")).contains("`region`"));
    assert!(
        said("region = 'eu-west-1'\nsecret = 'arn:aws:secretsmanager:us-east-1:1:secret:x-abcdef'")
            .contains("another region")
    );
    assert!(said(&format!("{name}\nregion = 'eu-central-1'\nlock = 'x'")).contains("of its own"));
    assert!(
        said(&format!(
            "{name}\nregion = 'eu-central-1'\naddress = 'http://aws.example'"
        ))
        .contains("https")
    );
    let bare = "kind = 'aws'\nregion = 'cn-north-1'\nsecret = 'x'\nauth = { instance = {} }\n";
    assert!(store(bare).is_ok());
    let arn = "arn:aws:secretsmanager:eu-central-1:1:secret:prod/open-ai-AbCdEf";
    assert_eq!(name_of(arn), "prod/open-ai");
    assert_eq!(domain("cn-north-1"), "amazonaws.com.cn");
}

#[test]
fn every_way_in_works_and_keys_that_ended_are_asked_for_anew() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let printed = json!({
        "Version": 1, "AccessKeyId": "AKID", "SecretAccessKey": "s", "SessionToken": "session",
        "Expiration": "2027-01-15T09:00:00Z",
    });
    std::fs::write(file.path(), printed.to_string()).unwrap();
    let path = file.path().display().to_string();
    for name in ["process", "web_identity", "instance", "container"] {
        let bench = Bench::plain();
        let at = bench.address();
        let address = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(address.path(), format!("{at}v1/credentials")).unwrap();
        let address = address.path().display();
        let inner = match name {
            "process" => format!("{{ file = '{path}' }}"),
            "web_identity" => format!(
                "{{ role = 'arn:aws:iam::1:role/r', token = {{ env = 'JWT' }}, address = '{at}' }}"
            ),
            "instance" => format!("{{ address = '{at}' }}"),
            _ => format!("{{ address = {{ file = '{address}' }}, token = {{ env = 'POD' }} }}"),
        };
        let auth = format!("{{ {name} = {inner} }}");
        let store = bench.store("", &auth);
        store.preflight().unwrap();
        store.preflight().unwrap();
        if name != "process" {
            assert_eq!(bench.state.lock().unwrap().logins, 1, "{name}");
        }
        bench.state.lock().unwrap().tokens.clear();
        let denied = store.preflight();
        assert!(
            matches!(denied, Err(StoreError::Denied { .. })),
            "{denied:?}"
        );
        if name != "process" {
            assert!(bench.state.lock().unwrap().logins > 1, "{name}");
        }
    }
    std::fs::write(file.path(), "none").unwrap();
    let bench = Bench::plain();
    let none = bench
        .store("", &format!("{{ process = {{ file = '{path}' }} }}"))
        .preflight();
    assert!(none.unwrap_err().to_string().contains("export-credentials"));
    let refused = bench.store("", &format!("{{ web_identity = {{ role = 'arn:aws:iam::1:role/r', token = {{ env = 'ID' }}, address = '{}' }} }}", bench.address())).preflight();
    assert!(
        matches!(refused, Err(StoreError::Denied { .. })),
        "{refused:?}"
    );
}

/// A ministack of our own, on loopback, in memory.
struct Ministack {
    child: std::process::Child,
    address: String,
}

impl Drop for Ministack {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ministack {
    /// `None`, loudly, where there is none; `.ci/run` brings one.
    fn start() -> Option<Self> {
        let Some(program) = std::env::var_os("SKEWER_TEST_MINISTACK") else {
            eprintln!(
                "SKIPPED: no ministack here; SKEWER_TEST_MINISTACK names its program (see .ci/run)"
            );
            return None;
        };
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let home = tempfile::tempdir().unwrap();
        let child = std::process::Command::new(program)
            .env("BIND_HOST", "127.0.0.1")
            .env("GATEWAY_PORT", port.to_string())
            .env("SERVICES", "secretsmanager")
            .env("HOME", home.path())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let stack = Self {
            child,
            address: format!("http://127.0.0.1:{port}"),
        };
        for _ in 0..600 {
            if stack.try_call("ListSecrets", &json!({})).is_some() {
                return Some(stack);
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("ministack did not start within 30 s");
    }

    fn try_call(&self, action: &str, body: &Value) -> Option<Value> {
        let address = Address::parse(&self.address).unwrap();
        let text = |text: &str| rest::Text(Secret::new(text.into()));
        let keys = sign::Keys {
            access_key_id: "AKID".to_owned(),
            secret_access_key: text("s"),
            session_token: None,
        };
        let scope = sign::Scope {
            region: "eu-central-1",
            service: "secretsmanager",
            at: (Outside::for_tests().now)(),
        };
        let (_, body) = rest::json(body);
        let target = format!("secretsmanager.{action}");
        let request: Request = sign::request(&keys, &scope, &address, &target, &body);
        let answer = scripted::client().send(request).ok()?;
        (answer.status == 200).then(|| serde_json::from_slice(&answer.body).unwrap())
    }

    fn call(&self, action: &str, body: &Value) -> Value {
        self.try_call(action, body)
            .unwrap_or_else(|| panic!("{action}"))
    }

    fn store(&self, name: &str, more: &str) -> Box<dyn Store> {
        store(&format!(
            "kind = 'aws'\nregion = 'eu-central-1'\nsecret = '{name}'\naddress = '{}'\n{more}\nauth = {KEYS}\n",
            self.address
        ))
        .unwrap()
    }
}

#[test]
fn a_real_ministack_keeps_the_contract() {
    let Some(stack) = Ministack::start() else {
        return;
    };
    let number = std::cell::Cell::new(0);
    contract::check(|| {
        number.set(number.get() + 1);
        let name = format!("prod/openai{}", number.get());
        let value = text_of(&key(1));
        // Every other one is a field, and every other one is known by its ARN.
        let is_field = number.get() % 2 == 0;
        let text = if is_field {
            format!("{{\"k\":\"{value}\"}}")
        } else {
            value
        };
        let made = stack.call(
            "CreateSecret",
            &json!({ "Name": name, "SecretString": text }),
        );
        match is_field {
            true => stack.store(made["ARN"].as_str().unwrap(), "field = 'k'"),
            false => stack.store(&name, ""),
        }
    });
}

#[test]
fn a_real_ministack_refuses_and_deletes_as_we_think() {
    let Some(stack) = Ministack::start() else {
        return;
    };
    let missing = stack.store("p", "").preflight();
    assert!(
        matches!(missing, Err(StoreError::NotFound { .. })),
        "{missing:?}"
    );
    let id = json!({ "SecretId": "p" });
    stack.call(
        "CreateSecret",
        &json!({ "Name": "p", "SecretString": "one" }),
    );
    let opened = stack.store("p", "");
    let over = opened.preflight().unwrap().current;
    let two = Secret::new(b"two".to_vec());
    let ours = note("r1", &two);
    opened.stage(&two, &ours).unwrap();
    stack.call(
        "PutSecretValue",
        &json!({ "SecretId": "p", "SecretString": "three" }),
    );
    let outcome = opened.promote(&two, &ours, &over);
    assert!(
        matches!(outcome, Err(StoreError::Conflict { .. })),
        "{outcome:?}"
    );
    opened.forget("r1").unwrap();
    let told = stack.call("DescribeSecret", &id).to_string();
    assert!(!told.contains("skewer"), "{told}");
    stack.call("DeleteSecret", &id);
    let deleted = opened.preflight().unwrap_err().to_string();
    assert!(deleted.contains("restore-secret"), "{deleted}");
}
