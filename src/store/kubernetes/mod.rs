//! A key of a Kubernetes Secret. Key B and key A wait in a Secret of their own, beside it, which
//! no pod mounts. Each write names the resource version that it was read with, so that the API
//! server refuses it (409) if anything was changed in between.
//!
//! Facts: Kubernetes' API reference (Secret v1, SelfSubjectAccessReview v1) and API concepts
//! (resource versions in patches).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

use super::rest::{self, Rest, Text};
use super::slots::{About, Expect, Put, Slots, conflict};
use super::types::{Capabilities, CheckAndSet, GivesBack, Held, Note, Slot, Version};
use super::{Outside, Store, StoreError};
use crate::cluster::{self, Cluster};
use crate::config::{ConfigError, Section};
use crate::http::{Method, Request};
use crate::secret::Secret;

/// How often a write is tried again whose Secret was changed elsewhere than in its slot.
const TRIES: usize = 5;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The Secret's name.
    secret: String,
    /// The key in it.
    key: String,
}

struct Kubernetes {
    about: About,
    cluster: Cluster,
    rest: Rest,
    secret: String,
    key: String,
}

/// Opens what a section describes.
pub(super) fn open(
    section: &Section,
    outside: &Outside<'_>,
) -> Result<Box<dyn Store>, ConfigError> {
    let settings: Settings = section.clone().without(cluster::NAMES).read()?;
    let cluster = Cluster::open(section, &outside.surroundings, outside.http)?;
    let (secret, key, namespace) = (settings.secret, settings.key, &cluster.namespace);
    let about = About {
        place: format!(
            "kubernetes {}, secret {namespace}/{secret}, {key}",
            cluster.address.host()
        ),
        can: Capabilities {
            two_versions: true,
            reads_back: true,
            gives_back: GivesBack::Itself,
            check_and_set: CheckAndSet::Atomic,
            locks: true,
        },
        rights: vec![
            format!("get, patch: secrets {secret}, {secret}-skewer in {namespace}"),
            format!("delete: secrets {secret}-skewer in {namespace}"),
            format!("create: secrets in {namespace}"),
        ],
    };
    let rest = Rest::new(
        cluster.client.clone(),
        cluster.address.clone(),
        &about.place,
        &about.rights,
    );
    Ok(Box::new(Kubernetes {
        about,
        cluster,
        rest,
        secret,
        key,
    }))
}

/// A Secret, as the API server tells it.
#[derive(Deserialize)]
struct Object {
    metadata: Metadata,
    #[serde(default)]
    data: BTreeMap<String, Text>,
    #[serde(default)]
    immutable: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    resource_version: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    #[serde(default)]
    owner_references: Vec<Owner>,
}

#[derive(Deserialize)]
struct Owner {
    kind: String,
    name: String,
}

impl Kubernetes {
    /// The Secret that a slot is in, and its key there.
    fn cell(&self, slot: Slot) -> (String, &str) {
        match slot {
            Slot::Current => (self.secret.clone(), &self.key),
            slot => (format!("{}-skewer", self.secret), slot.name()),
        }
    }

    fn request(&self, method: Method, name: Option<&str>) -> Request {
        let namespace = &self.cluster.namespace;
        let all = ["api/v1/namespaces", namespace, "secrets"];
        match name {
            Some(name) => self.cluster.request(method, &[&all[..], &[name]].concat()),
            None => self.cluster.request(method, &all),
        }
    }

    fn object(&self, name: &str) -> Result<Option<Object>, StoreError> {
        let doing = "read the Secret";
        let answer = self
            .rest
            .send(doing, self.request(Method::Get, Some(name)))?;
        match answer.status {
            404 => Ok(None),
            _ => self.rest.parse(doing, &answer).map(Some),
        }
    }

    fn held(&self, object: &Object, slot: Slot) -> Result<Option<Held>, StoreError> {
        let (_, key) = self.cell(slot);
        let Some(text) = object.data.get(key) else {
            return Ok(None);
        };
        let value = STANDARD.decode(text.0.expose());
        let value = Secret::new(value.map_err(|_| self.rest.malformed("read the Secret"))?);
        Ok(Some(Held {
            version: Version::new(value.fingerprint().to_string()),
            note: match slot {
                Slot::Current | Slot::Lock => None,
                slot => note(&object.metadata.annotations, slot),
            },
            value: Some(value),
        }))
    }

    /// Writes or empties a slot, if it is as expected; whatever else is in the Secret stays.
    fn change(
        &self,
        slot: Slot,
        put: Option<Put<'_>>,
        expect: Expect<'_>,
    ) -> Result<Option<Version>, StoreError> {
        let (name, key) = self.cell(slot);
        let doing = "write the Secret";
        for _ in 0..TRIES {
            let object = self.object(&name)?;
            let held = match &object {
                Some(object) => self.held(object, slot)?,
                None => None,
            };
            let found = held.as_ref().map(|held| &held.version);
            let fits = match expect {
                Expect::Absent => found.is_none(),
                Expect::Version(version) => found == Some(version),
            };
            if !fits {
                return Err(conflict(self, slot, expect, found));
            }
            let request = match (&object, put) {
                (None, None) => return Ok(None),
                (None, Some(put)) => self.make(&name, key, slot, put),
                (Some(object), None) if slot != Slot::Current && object.data.len() == 1 => {
                    self.unmake(&name, object)
                }
                (Some(object), put) => self.patch(&name, key, slot, object, put),
            };
            let answer = self.rest.send(doing, request)?;
            match answer.status {
                409 => {} // look again: perhaps another slot was written
                404 if put.is_none() => return Ok(None),
                _ => {
                    self.rest.done(doing, &answer)?;
                    let version = put.map(|put| put.value.fingerprint().to_string());
                    return Ok(version.map(Version::new));
                }
            }
        }
        Err(self.rest.restless(doing))
    }

    fn make(&self, name: &str, key: &str, slot: Slot, put: Put<'_>) -> Request {
        let body = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
            "metadata": {
                "name": name,
                "labels": { "app.kubernetes.io/managed-by": "skewer" },
                "annotations": annotations(slot, put.note),
            },
            "data": { key: STANDARD.encode(put.value.expose()) },
        });
        let (kind, body) = rest::json(&body);
        self.request(Method::Post, None).body(kind, body)
    }

    fn patch(
        &self,
        name: &str,
        key: &str,
        slot: Slot,
        object: &Object,
        put: Option<Put<'_>>,
    ) -> Request {
        let mut metadata = json!({ "resourceVersion": object.metadata.resource_version });
        if slot != Slot::Current {
            metadata["annotations"] = annotations(slot, put.and_then(|put| put.note));
        }
        let value = put.map(|put| STANDARD.encode(put.value.expose()));
        let (_, body) = rest::json(&json!({ "metadata": metadata, "data": { key: value } }));
        let request = self.request(Method::Patch, Some(name));
        request.body("application/merge-patch+json", body)
    }

    fn unmake(&self, name: &str, object: &Object) -> Request {
        let (kind, body) = rest::json(&json!({
            "preconditions": { "resourceVersion": object.metadata.resource_version },
        }));
        self.request(Method::Delete, Some(name)).body(kind, body)
    }

    fn may(&self, verb: &str, name: Option<&str>) -> Result<bool, StoreError> {
        #[derive(Deserialize)]
        struct Review {
            status: Status,
        }
        #[derive(Deserialize)]
        struct Status {
            allowed: bool,
        }
        let doing = "ask for our rights";
        let (kind, body) = rest::json(&json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": { "resourceAttributes": {
                "namespace": self.cluster.namespace, "resource": "secrets", "verb": verb, "name": name,
            } },
        }));
        let path = "apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        let request = self.cluster.request(Method::Post, &[path]).body(kind, body);
        let review: Review = self.rest.parse(doing, &self.rest.send(doing, request)?)?;
        Ok(review.status.allowed)
    }
}

/// What stands beside a slot's value; `null` takes it away.
fn annotations(slot: Slot, note: Option<&Note>) -> Value {
    let name = slot.name();
    json!({
        format!("skewer/{name}-rotation"): note.map(|note| &note.rotation),
        format!("skewer/{name}-fingerprint"): note.map(|note| note.fingerprint.to_string()),
    })
}

fn note(annotations: &BTreeMap<String, String>, slot: Slot) -> Option<Note> {
    let get = |what: &str| annotations.get(&format!("skewer/{}-{what}", slot.name()));
    Some(Note {
        rotation: get("rotation")?.clone(),
        fingerprint: get("fingerprint")?.parse().ok()?,
    })
}

impl Slots for Kubernetes {
    fn about(&self) -> &About {
        &self.about
    }

    fn look(&self) -> Result<Vec<String>, StoreError> {
        let mut remarks = Vec::new();
        if let Some(object) = self.object(&self.secret)? {
            if object.immutable {
                return Err(StoreError::Refused {
                    place: self.about.place.clone(),
                    reason: "the Secret is immutable; consumers have to be given another one"
                        .to_owned(),
                });
            }
            let owners = object.metadata.owner_references.iter();
            remarks.extend(owners.map(|owner| {
                format!(
                    "{} {} owns the Secret and may write it over",
                    owner.kind, owner.name
                )
            }));
        }
        let state = format!("{}-skewer", self.secret);
        for (verb, name) in [
            ("patch", Some(self.secret.as_str())),
            ("create", None),
            ("patch", Some(&state)),
            ("delete", Some(&state)),
        ] {
            if !self.may(verb, name)? {
                return Err(StoreError::Denied {
                    place: self.about.place.clone(),
                    doing: format!("{verb} secrets {}", name.unwrap_or_default())
                        .trim()
                        .to_owned(),
                    reason: "the API server says that we may not".to_owned(),
                    rights: self.about.rights.join("; "),
                });
            }
        }
        Ok(remarks)
    }

    fn get(&self, slot: Slot) -> Result<Option<Held>, StoreError> {
        match self.object(&self.cell(slot).0)? {
            Some(object) => self.held(&object, slot),
            None => Ok(None),
        }
    }

    fn put(&self, slot: Slot, put: Put<'_>, expect: Expect<'_>) -> Result<Version, StoreError> {
        let version = self.change(slot, Some(put), expect)?;
        version.ok_or_else(|| self.rest.malformed("write the Secret"))
    }

    fn remove(&self, slot: Slot, held: &Held) -> Result<(), StoreError> {
        let outcome = self.change(slot, None, Expect::Version(&held.version));
        match outcome {
            // Somebody has emptied it.
            Err(StoreError::Conflict { found, .. }) if found == "nothing" => Ok(()),
            outcome => outcome.map(|_| ()),
        }
    }
}

#[cfg(test)]
mod tests;
