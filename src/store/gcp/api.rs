//! The calls of Secret Manager that a rotation makes.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{FINGERPRINT, Gcp, ROTATION};
use crate::http::{Address, Answer, Method, Request};
use crate::secret::Secret;
use crate::store::StoreError;
use crate::store::rest::{self, Text};
use crate::store::types::Note;

/// A secret, without its value.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Told {
    #[serde(default)]
    pub(super) etag: String,
    #[serde(default)]
    pub(super) annotations: BTreeMap<String, String>,
    /// Numbers, as texts.
    #[serde(default)]
    pub(super) version_aliases: Map<String, Value>,
    #[serde(default)]
    replication: Option<Value>,
    #[serde(default)]
    customer_managed_encryption: Option<Value>,
    #[serde(default)]
    pub(super) expire_time: Option<String>,
    #[serde(default)]
    pub(super) version_destroy_ttl: Option<String>,
}

impl Told {
    pub(super) fn note(&self) -> Option<Note> {
        Some(Note {
            rotation: self.annotations.get(ROTATION)?.clone(),
            fingerprint: self.annotations.get(FINGERPRINT)?.parse().ok()?,
        })
    }

    pub(super) fn alias(&self, name: &str) -> Option<String> {
        match self.version_aliases.get(name)? {
            Value::String(number) => Some(number.clone()),
            number => Some(number.to_string()),
        }
    }
}

pub(super) fn note_annotations(note: &Note) -> Value {
    json!({ ROTATION: note.rotation, FINGERPRINT: note.fingerprint.to_string() })
}

/// The last part of a resource's name.
fn last(name: &str) -> String {
    name.rsplit('/').next().unwrap_or_default().to_owned()
}

/// CRC-32C, by which the server and we find out what was changed on the way.
pub(super) fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc: u32, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg())
        })
    })
}

/// Whether an etag was stale.
fn is_stale(answer: &Answer) -> bool {
    let has = |words: &[u8]| memchr::memmem::find(&answer.body, words).is_some();
    match answer.status {
        400 => has(b"FAILED_PRECONDITION"),
        409 => has(b"ABORTED"),
        status => status == 412,
    }
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    data: Option<Text>,
    #[serde(rename = "dataCrc32c")]
    data_crc32c: Option<String>,
}

impl Gcp {
    fn send(&self, doing: &str, make: impl Fn() -> Request) -> Result<Answer, StoreError> {
        self.session.send_bearer(&self.rest, doing, make)
    }

    fn address(&self, secret: &str) -> Address {
        self.rest.address(&[&self.parent, "secrets", secret])
    }

    pub(super) fn describe(&self, secret: &str) -> Result<Option<Told>, StoreError> {
        let doing = "read about the secret";
        let answer = self.send(doing, || Request::new(Method::Get, self.address(secret)))?;
        match answer.status {
            404 => Ok(None),
            _ => self.rest.parse(doing, &answer).map(Some),
        }
    }

    /// A version's number and text.
    pub(super) fn access(
        &self,
        secret: &str,
        version: &str,
    ) -> Result<Option<(String, Secret)>, StoreError> {
        #[derive(Deserialize)]
        struct Body {
            name: String,
            #[serde(default)]
            payload: Payload,
        }
        let doing = "read the secret";
        let version = format!("{version}:access");
        let address = self.address(secret).join(["versions", version.as_str()]);
        let answer = self.send(doing, || Request::new(Method::Get, address.clone()))?;
        if answer.status == 404 {
            return Ok(None);
        }
        let body: Body = self.rest.parse(doing, &answer)?;
        let data = body.payload.data.map(|Text(data)| data);
        let text = data.map_or(Ok(Vec::new()), |data| BASE64_STANDARD.decode(data.expose()));
        let text = Secret::new(text.map_err(|_| self.rest.malformed(doing))?);
        let sum = body.payload.data_crc32c;
        if sum.is_some_and(|sum| sum != crc32c(text.expose()).to_string()) {
            return Err(self
                .rest
                .unusable("the value does not have the checksum that came with it"));
        }
        Ok(Some((last(&body.name), text)))
    }

    /// Adds a version; its number.
    pub(super) fn add(&self, secret: &str, text: &Secret) -> Result<String, StoreError> {
        #[derive(Serialize)]
        struct Body {
            payload: Payload,
        }
        #[derive(Deserialize)]
        struct Made {
            name: String,
        }
        let doing = "add a version to the secret";
        let data = BASE64_STANDARD.encode(text.expose());
        let (kind, body) = rest::json(&Body {
            payload: Payload {
                data: Some(Text(Secret::new(data.into()))),
                data_crc32c: Some(crc32c(text.expose()).to_string()),
            },
        });
        let address =
            self.rest
                .address(&[&self.parent, "secrets", &format!("{secret}:addVersion")]);
        let answer = self.send(doing, || {
            Request::new(Method::Post, address.clone()).body(kind, body.clone())
        })?;
        let made: Made = self.rest.parse(doing, &answer)?;
        Ok(last(&made.name))
    }

    /// Makes a secret without a version, as the one that consumers read is kept; `None` if there is
    /// one.
    pub(super) fn create(
        &self,
        secret: &str,
        annotations: &Value,
    ) -> Result<Option<Told>, StoreError> {
        let like = self.describe(&self.secret)?.ok_or_else(|| self.gone())?;
        let mut body = json!({ "annotations": annotations });
        // A regional secret is nowhere else.
        if !self.is_regional {
            body["replication"] = like
                .replication
                .unwrap_or_else(|| json!({ "automatic": {} }));
        }
        if let Some(key) = like.customer_managed_encryption {
            body["customerManagedEncryption"] = key;
        }
        let doing = "make a secret";
        let address = self.rest.address(&[&self.parent, "secrets"]);
        let address = address.query("secretId", secret);
        let (kind, body) = rest::json(&body);
        let answer = self.send(doing, || {
            Request::new(Method::Post, address.clone()).body(kind, body.clone())
        })?;
        match answer.status {
            409 => Ok(None),
            _ => self.rest.parse(doing, &answer).map(Some),
        }
    }

    /// Changes a field of a secret that has this etag; `None` if it has another.
    pub(super) fn patch(
        &self,
        secret: &str,
        field: &str,
        value: &Value,
        etag: &str,
    ) -> Result<Option<Told>, StoreError> {
        let doing = "change what stands beside the secret";
        let address = self.address(secret).query("updateMask", field);
        let (kind, body) = rest::json(&json!({ field: value, "etag": etag }));
        let answer = self.send(doing, || {
            Request::new(Method::Patch, address.clone()).body(kind, body.clone())
        })?;
        match is_stale(&answer) {
            true => Ok(None),
            false => self.rest.parse(doing, &answer).map(Some),
        }
    }

    /// Removes a secret that has this etag; `false` if it has another.
    pub(super) fn delete(&self, secret: &str, etag: &str) -> Result<bool, StoreError> {
        let doing = "remove a secret of ours";
        let address = self.address(secret).query("etag", etag);
        let answer = self.send(doing, || Request::new(Method::Delete, address.clone()))?;
        match answer.status {
            404 => Ok(true),
            _ if is_stale(&answer) => Ok(false),
            _ => self.rest.done(doing, &answer).map(|()| true),
        }
    }

    /// What of this it takes is not allowed.
    pub(super) fn lacking(&self) -> Result<Option<String>, StoreError> {
        #[derive(Deserialize)]
        struct Ours {
            #[serde(default)]
            permissions: Vec<String>,
        }
        let mut needed = vec![
            "secretmanager.secrets.get",
            "secretmanager.versions.access",
            "secretmanager.versions.add",
        ];
        if self.alias.is_some() {
            needed.push("secretmanager.secrets.update");
        }
        let doing = "ask for our rights";
        let name = format!("{}:testIamPermissions", self.secret);
        let (kind, body) = rest::json(&json!({ "permissions": needed }));
        let answer = self.send(doing, || {
            let path = [self.parent.as_str(), "secrets", name.as_str()];
            self.rest
                .request(Method::Post, &path)
                .body(kind, body.clone())
        })?;
        let told: Ours = self.rest.parse(doing, &answer)?;
        let lacks = |right: &&str| !told.permissions.iter().any(|told| told == right);
        Ok(needed.into_iter().find(lacks).map(str::to_owned))
    }
}
