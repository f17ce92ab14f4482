//! A CI/CD variable of a GitLab project or group. GitLab can't compare before it writes, but makes
//! a variable only if it is not there, which is enough for a lock. Key B, key A and the lock are
//! variables of their own, in an environment that no job has, so that no job gets them.
//!
//! Facts: GitLab's API documentation, project-level and group-level variables.

use serde::Deserialize;
use serde_json::json;

use super::rest::{self, Rest, Text};
use super::slots::{About, Expect, Put, Slots, conflict};
use super::types::{Capabilities, CheckAndSet, GivesBack, Held, Note, Slot, Version};
use super::{Outside, Store, StoreError};
use crate::config::{ConfigError, Credential, Section};
use crate::http::{Answer, Method, Request};
use crate::secret::Secret;

/// The environment of our own variables.
const NOWHERE: &str = "skewer";

/// Below this, GitLab does not mask.
const SHORTEST_MASKED: usize = 8;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The server, without `/api/v4`.
    #[serde(default = "gitlab")]
    address: String,
    ca: Option<String>,
    /// A project's or a group's access token, with the scope `api`.
    token: Credential,
    /// The project's path or number; or else the group's.
    project: Option<String>,
    group: Option<String>,
    /// The variable.
    variable: String,
    /// Its environment.
    #[serde(default = "all")]
    environment: String,
}

fn gitlab() -> String {
    "https://gitlab.com".to_owned()
}

fn all() -> String {
    "*".to_owned()
}

struct Gitlab {
    about: About,
    rest: Rest,
    token: Secret,
    /// `projects` or `groups`.
    kind: &'static str,
    /// Its path or number.
    owner: String,
    variable: String,
    environment: String,
}

/// Opens what a section describes.
pub(super) fn open(
    section: &Section,
    outside: &Outside<'_>,
) -> Result<Box<dyn Store>, ConfigError> {
    let settings: Settings = section.read()?;
    let (kind, owner) = match (settings.project, settings.group) {
        (Some(project), None) => ("projects", project),
        (None, Some(group)) => ("groups", group),
        _ => return Err(section.invalid("either `project` or `group` is needed")),
    };
    let name = &settings.variable;
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(section.invalid("`variable` is letters, digits and `_`"));
    }
    let base = rest::address(section, &settings.address)?;
    let client = rest::client(section, settings.ca.as_deref(), outside)?;
    let about = About {
        place: format!(
            "gitlab {}, {owner}, {name} ({})",
            base.host(),
            settings.environment
        ),
        can: Capabilities {
            two_versions: true,
            reads_back: true,
            gives_back: GivesBack::Itself,
            check_and_set: CheckAndSet::Narrow,
            locks: true,
        },
        rights: vec![
            "a project or group access token: role Maintainer (Owner for a group), scope api"
                .to_owned(),
        ],
    };
    let rest = Rest::new(
        client,
        base.join(["api", "v4"]),
        &about.place,
        &about.rights,
    );
    Ok(Box::new(Gitlab {
        rest,
        token: rest::credential(section, "token", &settings.token, outside)?,
        kind,
        owner,
        variable: settings.variable,
        environment: settings.environment,
        about,
    }))
}

#[derive(Deserialize)]
struct Variable {
    /// `null` if it is hidden.
    value: Option<Text>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    masked: bool,
    #[serde(default)]
    protected: bool,
    #[serde(default)]
    hidden: bool,
    #[serde(default)]
    variable_type: String,
}

impl Gitlab {
    /// A slot's variable and its environment.
    fn cell(&self, slot: Slot) -> (String, &str) {
        let name = &self.variable;
        // A group's variables have environments in some editions only.
        let nowhere = if self.kind == "projects" {
            NOWHERE
        } else {
            "*"
        };
        match slot {
            Slot::Current => (name.clone(), &self.environment),
            slot => (
                format!("{name}_SKEWER_{}", slot.name().to_uppercase()),
                nowhere,
            ),
        }
    }

    fn request(&self, method: Method, slot: Slot) -> Request {
        let (name, environment) = self.cell(slot);
        let mut address = self.all().join([name.as_str()]);
        if self.kind == "projects" {
            address = address.query("filter[environment_scope]", environment);
        }
        self.dress(Request::new(method, address))
    }

    /// The address of all variables. A project's path is one segment.
    fn all(&self) -> crate::http::Address {
        let base = self.rest.address(&[self.kind]);
        base.join([self.owner.as_str(), "variables"])
    }

    fn dress(&self, request: Request) -> Request {
        request.secret_header("private-token", "", &self.token)
    }

    fn look_up(&self, slot: Slot) -> Result<Option<Variable>, StoreError> {
        let doing = "read the variable";
        let answer = self.rest.send(doing, self.request(Method::Get, slot))?;
        match answer.status {
            404 => Ok(None),
            _ => self.rest.parse(doing, &answer).map(Some),
        }
    }

    fn refused(&self, reason: &str) -> StoreError {
        StoreError::Refused {
            place: self.about.place.clone(),
            reason: reason.to_owned(),
        }
    }

    fn write(&self, slot: Slot, put: Put<'_>, is_new: bool) -> Result<Answer, StoreError> {
        let (name, environment) = self.cell(slot);
        let value = Text(put.value.clone());
        let note = put
            .note
            .map(|note| serde_json::to_string(note).expect("two texts"));
        let body = match slot {
            // What else is set of it stays.
            Slot::Current => json!({ "value": value }),
            slot => json!({
                "key": name, "value": value, "environment_scope": environment,
                // Whatever protects the one that jobs get would keep nobody from this one: no job
                // is in its environment. A lock is no secret.
                "masked": slot != Slot::Lock, "raw": true, "description": note,
            }),
        };
        let (kind, body) = rest::json(&body);
        let request = match is_new {
            true => self.dress(Request::new(Method::Post, self.all())),
            false => self.request(Method::Put, slot),
        };
        self.rest
            .send("write the variable", request.body(kind, body))
    }
}

impl Slots for Gitlab {
    fn about(&self) -> &About {
        &self.about
    }

    fn look(&self) -> Result<Vec<String>, StoreError> {
        let mut remarks = Vec::new();
        if let Some(variable) = self.look_up(Slot::Current)? {
            if variable.variable_type == "file" {
                remarks.push("it is of the type file: consumers read a path".to_owned());
            }
            if !variable.masked {
                remarks.push("it is not masked: a job's log may show it".to_owned());
            }
            if variable.protected {
                remarks.push(
                    "it is protected: only jobs of protected branches and tags get it".to_owned(),
                );
            }
        }
        if self.kind == "groups" {
            remarks
                .push("key B waits in a variable of the group, which its jobs get, too".to_owned());
        }
        Ok(remarks)
    }

    fn get(&self, slot: Slot) -> Result<Option<Held>, StoreError> {
        let Some(variable) = self.look_up(slot)? else {
            return Ok(None);
        };
        let value = variable.value.filter(|_| !variable.hidden);
        let value = value.ok_or_else(|| {
            self.refused("the variable is hidden, so that GitLab gives its value to jobs only; make one that is masked, but not hidden")
        })?;
        let note = variable.description.filter(|_| slot != Slot::Current);
        Ok(Some(Held {
            version: Version::new(value.0.fingerprint().to_string()),
            note: note.and_then(|note| serde_json::from_str::<Note>(&note).ok()),
            value: Some(value.0),
        }))
    }

    fn put(&self, slot: Slot, put: Put<'_>, expect: Expect<'_>) -> Result<Version, StoreError> {
        let value = put.value.expose();
        let is_maskable = value.len() >= SHORTEST_MASKED && value.iter().all(u8::is_ascii_graphic);
        if slot != Slot::Lock && !is_maskable {
            return Err(self.refused("GitLab can't mask this value: it takes 8 characters or more, on one line, without blanks"));
        }
        let there = self.get(slot)?.map(|held| held.version);
        let is_new = match (expect, &there) {
            (Expect::Absent, None) => true,
            (Expect::Version(version), Some(there)) if version == there => false,
            _ => return Err(conflict(self, slot, expect, there.as_ref())),
        };
        let answer = self.write(slot, put, is_new)?;
        let is_taken = memchr::memmem::find(&answer.body, b"has already been taken").is_some();
        if is_new && answer.status == 400 && is_taken {
            let there = self.get(slot)?.map(|held| held.version);
            return Err(conflict(self, slot, expect, there.as_ref()));
        }
        self.rest.done("write the variable", &answer)?;
        Ok(Version::new(put.value.fingerprint().to_string()))
    }

    fn remove(&self, slot: Slot, held: &Held) -> Result<(), StoreError> {
        let doing = "remove the variable";
        match self.get(slot)? {
            None => return Ok(()),
            Some(there) if there.version != held.version => {
                let expect = Expect::Version(&held.version);
                return Err(conflict(self, slot, expect, Some(&there.version)));
            }
            Some(_) => {}
        }
        let answer = self.rest.send(doing, self.request(Method::Delete, slot))?;
        match answer.status {
            404 => Ok(()),
            _ => self.rest.done(doing, &answer),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};

    use serde_json::Value;

    use super::*;
    use crate::config::Surroundings;
    use crate::config::tests::section;
    use crate::http::scripted::{self, Asked, Scripted};
    use crate::store::contract::{self, key, note};
    use crate::store::open;

    /// Variables, by name and environment.
    #[derive(Default)]
    struct Imitation(BTreeMap<(String, String), Value>);

    const VARIABLES: &str = "/api/v4/projects/group%2Fapp/variables";

    impl Imitation {
        fn answer(&mut self, asked: &Asked) -> Vec<u8> {
            let say = |status: u16, message: &str| {
                scripted::json(status, &json!({ "message": message }).to_string())
            };
            if !asked.head.contains("private-token: given") {
                return say(401, "401 Unauthorized");
            }
            let body: Value = serde_json::from_str(&asked.body).unwrap_or_default();
            let text = |name: &str| body[name].as_str().map(str::to_owned);
            let rest = asked.target.strip_prefix(VARIABLES).unwrap();
            if asked.method == "POST" {
                assert!(rest.is_empty());
                let id = (text("key").unwrap(), text("environment_scope").unwrap());
                let value = text("value").unwrap();
                if body["masked"] == true
                    && (value.len() < 8 || value.contains(char::is_whitespace))
                {
                    return say(400, "value is invalid");
                }
                if self.0.contains_key(&id) {
                    let taken = json!({ "message": { "key": ["(X) has already been taken"] } });
                    return scripted::json(400, &taken.to_string());
                }
                self.0.insert(id, body.clone());
                return scripted::json(201, &body.to_string());
            }
            let (name, scope) = rest.trim_start_matches('/').split_once('?').unwrap();
            let scope = scope
                .strip_prefix("filter%5Benvironment_scope%5D=")
                .unwrap();
            let scope = scope.replace("%2A", "*");
            let id = (name.to_owned(), scope);
            let Some(there) = self.0.get_mut(&id) else {
                return say(404, "404 Variable Not Found");
            };
            match asked.method.as_str() {
                "PUT" => {
                    for (name, value) in body.as_object().unwrap() {
                        there[name] = value.clone();
                    }
                    scripted::json(200, &there.to_string())
                }
                "DELETE" => {
                    self.0.remove(&id);
                    scripted::json(204, "")
                }
                _ => scripted::json(200, &there.to_string()),
            }
        }
    }

    struct Bench {
        server: Scripted,
        state: Arc<Mutex<Imitation>>,
    }

    impl Bench {
        fn new() -> Self {
            let mut state = Imitation::default();
            let value = String::from_utf8(key(1).expose().to_vec()).unwrap();
            let id = ("OPENAI_API_KEY".to_owned(), "production".to_owned());
            state.0.insert(
                id,
                json!({
                    "key": "OPENAI_API_KEY", "value": value, "masked": true, "protected": true,
                    "raw": false, "variable_type": "env_var", "description": "ours",
                }),
            );
            let state = Arc::new(Mutex::new(state));
            let shared = Arc::clone(&state);
            let server = Scripted::new(move |_, asked| shared.lock().unwrap().answer(asked));
            Self { server, state }
        }

        fn store(&self) -> Box<dyn Store> {
            let text = format!(
                "kind = 'gitlab'\naddress = '{}'\ntoken = {{ env = 'T' }}\nproject = 'group/app'\nvariable = 'OPENAI_API_KEY'\nenvironment = 'production'\n",
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

        fn set(&self, name: &str, value: Value) {
            let mut state = self.state.lock().unwrap();
            state.0.values_mut().next().unwrap()[name] = value;
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
    fn what_else_is_set_of_it_stays_and_ours_goes() {
        let bench = Bench::new();
        let store = bench.store();
        let over = store.preflight().unwrap().current;
        let note = note("r1", &key(2));
        store.stage(&key(2), &note).unwrap();
        {
            let state = bench.state.lock().unwrap();
            let id = ("OPENAI_API_KEY_SKEWER_NEXT".to_owned(), "skewer".to_owned());
            assert_eq!(state.0[&id]["masked"], true);
        }
        store.promote(&key(2), &note, &over).unwrap();
        store.forget("r1").unwrap();
        let state = bench.state.lock().unwrap();
        assert_eq!(state.0.len(), 1);
        let variable = state.0.values().next().unwrap();
        assert_eq!(
            (&variable["protected"], &variable["description"]),
            (&true.into(), &"ours".into())
        );
    }

    #[test]
    fn rules_and_limits_are_told_beforehand() {
        let bench = Bench::new();
        let told = bench.store().preflight().unwrap().remarks;
        assert!(told.len() == 1 && told[0].contains("protected"), "{told:?}");
        bench.set("masked", false.into());
        assert!(bench.store().preflight().unwrap().remarks[0].contains("not masked"));
        let short = Secret::new(b"short".to_vec());
        let outcome = bench.store().stage(&short, &note("r", &short));
        assert!(matches!(outcome, Err(StoreError::Refused { .. })));
        bench.set("hidden", true.into());
        bench.set("value", Value::Null);
        let hidden = bench.store().preflight().unwrap_err();
        assert!(hidden.to_string().contains("hidden"));
        bench.state.lock().unwrap().0.clear();
        assert!(matches!(
            bench.store().preflight(),
            Err(StoreError::NotFound { .. })
        ));
    }
}
