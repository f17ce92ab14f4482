//! The secrets that take each other's place in a Swarm, and the requests that it takes: for the
//! store and for the rollout.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::config::{ConfigError, Section};
use crate::http::{Answer, Method, Request};
use crate::secret::Fingerprint;
use crate::store::StoreError;
use crate::store::rest::{self, Rest};
use crate::store::types::{Held, Note, Version};
use crate::swarm::{Engine, mounts};

/// How often a change is tried again that somebody else's came before.
pub(crate) const TRIES: usize = 5;

/// A secret's name has 64 characters at most, and ours append a rotation's id.
const LONGEST_NAME: usize = 55;

/// Labels: of the family's secrets, but for the first, which somebody else made …
pub(super) const FAMILY: &str = "skewer.secret";
pub(super) const ROTATION: &str = "skewer.rotation";
pub(super) const FINGERPRINT: &str = "skewer.fingerprint";
/// … while it waits, and until its rotation is closed …
pub(super) const WAITS: &str = "skewer.waits";
/// … and of the one that holds marks: the secret that is current, the one before it, the lock.
pub(super) const CURRENT: &str = "skewer.current";
pub(super) const BEFORE: &str = "skewer.before";
pub(super) const LOCK: &str = "skewer.lock";

pub(super) type Labels = BTreeMap<String, String>;

/// The least rights, for stores and rollouts alike.
pub(crate) fn rights(host: &str) -> Vec<String> {
    vec![format!(
        "the Engine API of a manager ({host}): Docker knows no finer rights, so whoever has it is root there"
    )]
}

/// The secrets that take each other's place: the first one, and those that rotations made.
pub(crate) struct Family {
    pub(crate) rest: Rest,
    pub(super) name: String,
}

/// A secret as the Engine tells it: without its value.
#[derive(Deserialize)]
pub(crate) struct Object {
    #[serde(rename = "ID")]
    pub(crate) id: String,
    #[serde(rename = "Version")]
    version: Index,
    #[serde(rename = "Spec")]
    pub(super) spec: Value,
}

/// What a change has to name.
#[derive(Deserialize)]
pub(crate) struct Index {
    #[serde(rename = "Index")]
    pub(crate) index: u64,
}

/// A service.
#[derive(Deserialize)]
pub(crate) struct Service {
    #[serde(rename = "ID")]
    pub(crate) id: String,
    #[serde(rename = "Version")]
    pub(crate) version: Index,
    #[serde(rename = "Spec")]
    pub(crate) spec: Value,
    #[serde(rename = "UpdateStatus")]
    pub(crate) update: Option<Update>,
}

/// How far the update of a service is.
#[derive(Deserialize)]
pub(crate) struct Update {
    #[serde(rename = "State", default)]
    pub(crate) state: String,
    #[serde(rename = "Message", default)]
    pub(crate) message: String,
}

impl Object {
    pub(crate) fn name(&self) -> &str {
        self.spec["Name"].as_str().unwrap_or_default()
    }

    pub(super) fn label(&self, name: &str) -> Option<&str> {
        self.spec["Labels"][name].as_str()
    }

    pub(super) fn note(&self) -> Option<Note> {
        Some(Note {
            rotation: self.label(ROTATION)?.to_owned(),
            fingerprint: self.label(FINGERPRINT)?.parse::<Fingerprint>().ok()?,
        })
    }

    pub(super) fn labels(&self) -> Labels {
        serde_json::from_value(self.spec["Labels"].clone()).unwrap_or_default()
    }

    pub(super) fn held(&self) -> Held {
        Held {
            version: Version::new(self.id.clone()),
            value: None,
            note: self.note(),
        }
    }
}

impl Service {
    pub(crate) fn name(&self) -> &str {
        self.spec["Name"].as_str().unwrap_or_default()
    }

    /// The ids of the secrets that its tasks mount.
    pub(crate) fn mounts(&self) -> impl Iterator<Item = &str> {
        mounts(&self.spec["TaskTemplate"])
    }
}

/// The family as it was seen at a time.
pub(crate) struct Seen {
    pub(crate) members: Vec<Object>,
    pub(super) marks: Option<Object>,
}

impl Seen {
    /// The secret that a mark names, if it is there.
    pub(super) fn marked(&self, mark: &str) -> Option<&Object> {
        self.member(self.marks.as_ref()?.label(mark)?)
    }

    pub(crate) fn member(&self, id: &str) -> Option<&Object> {
        self.members.iter().find(|one| one.id == id)
    }

    /// The secret that services are to be given.
    pub(crate) fn promoted(&self) -> Option<&Object> {
        self.marked(CURRENT)
    }

    pub(super) fn waiting(&self) -> Option<&Object> {
        self.members.iter().find(|one| one.label(WAITS).is_some())
    }
}

impl Family {
    pub(crate) fn new(
        section: &Section,
        engine: &Engine,
        name: &str,
        place: &str,
    ) -> Result<Self, ConfigError> {
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(is_part) {
            return Err(section.invalid(format!(
                "`secret` is 1 to {LONGEST_NAME} letters, digits, `_`, `-` and `.`"
            )));
        }
        let (client, address) = (engine.client.clone(), engine.address.clone());
        Ok(Self {
            rest: Rest::new(client, address, place, &rights(&engine.host)),
            name: name.to_owned(),
        })
    }

    pub(crate) fn look(&self) -> Result<Seen, StoreError> {
        let doing = "list the secrets";
        // By the beginning of their names.
        let filter = json!({ "name": [self.name] }).to_string();
        let address = self.rest.address(&["secrets"]).query("filters", &filter);
        let answer = self.rest.send(doing, Request::new(Method::Get, address))?;
        let all: Vec<Object> = self.rest.parse(doing, &answer)?;
        let is_ours = |one: &Object| one.label(FAMILY) == Some(&self.name);
        let all = all
            .into_iter()
            .filter(|one| one.name() == self.name || is_ours(one));
        let (marks, members) = all.partition::<Vec<_>, _>(|one| one.name() == self.marks());
        Ok(Seen {
            members,
            marks: marks.into_iter().next(),
        })
    }

    fn marks(&self) -> String {
        format!("{}-skewer", self.name)
    }

    pub(crate) fn services(&self) -> Result<Vec<Service>, StoreError> {
        let doing = "list the services";
        let answer = self
            .rest
            .send(doing, self.rest.request(Method::Get, &["services"]))?;
        self.rest.parse(doing, &answer)
    }

    /// Makes a secret; `None` if there is one of that name.
    pub(super) fn make(
        &self,
        name: &str,
        labels: &Labels,
        value: &[u8],
    ) -> Result<Option<String>, StoreError> {
        #[derive(Deserialize)]
        struct Made {
            #[serde(rename = "ID")]
            id: String,
        }
        let doing = "make a secret";
        let body = json!({ "Name": name, "Labels": labels, "Data": STANDARD.encode(value) });
        let answer = self.post(doing, &["secrets", "create"], None, &body)?;
        match answer.status {
            409 => Ok(None),
            _ => Ok(Some(self.rest.parse::<Made>(doing, &answer)?.id)),
        }
    }

    /// Gives a secret other labels; false if it was changed since it was seen.
    pub(super) fn relabel(&self, object: &Object, labels: &Labels) -> Result<bool, StoreError> {
        let mut spec = object.spec.clone();
        spec["Labels"] = json!(labels);
        let path = ["secrets", &object.id, "update"];
        self.update("label a secret", &path, &object.version, &spec)
    }

    /// Changes something that is as it was seen; false if it is not.
    pub(crate) fn update(
        &self,
        doing: &str,
        path: &[&str],
        seen: &Index,
        spec: &Value,
    ) -> Result<bool, StoreError> {
        let answer = self.post(doing, path, Some(seen), spec)?;
        if answer.status >= 400 && holds(&answer.body, b"out of sequence") {
            return Ok(false);
        }
        self.rest.done(doing, &answer).map(|()| true)
    }

    fn post(
        &self,
        doing: &str,
        path: &[&str],
        seen: Option<&Index>,
        body: &Value,
    ) -> Result<Answer, StoreError> {
        let address = self.rest.address(path);
        let address = match seen {
            Some(seen) => address.query("version", &seen.index.to_string()),
            None => address,
        };
        let (kind, body) = rest::json(body);
        self.rest
            .send(doing, Request::new(Method::Post, address).body(kind, body))
    }

    /// Deletes a secret, unless it is gone or a service mounts it.
    pub(super) fn delete(&self, id: &str) -> Result<(), StoreError> {
        let doing = "delete a secret";
        let answer = self
            .rest
            .send(doing, self.rest.request(Method::Delete, &["secrets", id]))?;
        match answer.status {
            404 => Ok(()),
            400 if holds(&answer.body, b"in use") => Ok(()),
            _ => self.rest.done(doing, &answer),
        }
    }

    /// Changes the marks in one step, by what is seen.
    pub(super) fn mark<T>(
        &self,
        mut step: impl FnMut(&Seen, &mut Labels) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        for _ in 0..TRIES {
            let seen = self.look()?;
            let there = seen.marks.as_ref().map(Object::labels);
            let mut labels = there.clone().unwrap_or_default();
            let outcome = step(&seen, &mut labels)?;
            if there.as_ref().unwrap_or(&Labels::new()) == &labels {
                return Ok(outcome);
            }
            labels.insert(FAMILY.to_owned(), self.name.clone());
            let done = match &seen.marks {
                Some(marks) => self.relabel(marks, &labels)?,
                // A value is needed, and this one tells nothing.
                None => self.make(&self.marks(), &labels, b"-")?.is_some(),
            };
            if done {
                return Ok(outcome);
            }
        }
        Err(self.rest.restless("mark a secret"))
    }
}

fn holds(text: &[u8], words: &[u8]) -> bool {
    text.windows(words.len()).any(|part| part == words)
}
