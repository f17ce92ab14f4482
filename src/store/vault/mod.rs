//! Vault and OpenBao, KV version 2. An unversioned read returns the newest version at once, so key
//! B waits in a secret of its own, and is promoted with check-and-set; which version is A stands in
//! the custom metadata of the secret that consumers read.
//!
//! Facts: Vault's HTTP API documentation of KV v2, tried with OpenBao 2.7.

mod login;
mod rights;
mod secret;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use self::login::{Auth, Session};
use self::secret::Contents;
use super::rest::{self, Rest};
use super::slots::{About, Expect, Put, Slots, conflict};
use super::types::{Held, Note, Slot, Version};
use super::{Outside, Store, StoreError};
use crate::config::{ConfigError, Section};
use crate::http::{Answer, Method, Request};
use crate::secret::Secret;

/// Names in custom metadata and in staged secrets.
const ROTATION: &str = "skewer_rotation";
const FINGERPRINT: &str = "skewer_fingerprint";
const PREVIOUS: &str = "skewer_previous_version";

/// The field of the lock's secret.
const LEASE: &str = "lease";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The server, without `/v1`.
    address: String,
    /// Certificates to trust besides the system's, as PEM.
    ca: Option<String>,
    /// The namespace.
    namespace: Option<String>,
    /// Where the secrets engine is.
    #[serde(default = "default_mount")]
    mount: String,
    /// The secret that consumers read.
    path: String,
    /// Its field.
    field: String,
    /// Below which path key B waits, and the lock is.
    staging: Option<String>,
    /// How to get in.
    auth: Auth,
}

fn default_mount() -> String {
    "secret".to_owned()
}

/// A secret in Vault or OpenBao.
pub(super) struct Vault {
    about: About,
    rest: Rest,
    session: Session,
    mount: String,
    path: String,
    field: String,
    staging: String,
}

/// Opens what a section describes.
pub(super) fn open(
    section: &Section,
    outside: &Outside<'_>,
) -> Result<Box<dyn Store>, ConfigError> {
    let settings: Settings = section.read()?;
    let base = rest::address(section, &settings.address)?;
    let client = rest::client(section, settings.ca.as_deref(), outside)?;
    let trim = |text: &str| text.trim_matches('/').to_owned();
    let (mount, path) = (trim(&settings.mount), trim(&settings.path));
    let staging = settings
        .staging
        .as_deref()
        .map_or(format!("{path}-skewer"), trim);
    if mount.is_empty() || path.is_empty() || staging.is_empty() || staging == path {
        return Err(
            section.invalid("`mount`, `path` and `staging` have to be three different places")
        );
    }
    let about = rights::about(&base.host(), &mount, &path, &settings.field, &staging);
    let rest = Rest::new(client, base.join(["v1"]), &about.place, &about.rights);
    let session = Session::new(section, outside, settings.namespace, settings.auth)?;
    Ok(Box::new(Vault {
        about,
        rest,
        session,
        mount,
        path,
        field: settings.field,
        staging,
    }))
}

impl Vault {
    fn send(&self, doing: &str, make: impl Fn() -> Request) -> Result<Answer, StoreError> {
        self.session.send(&self.rest, doing, make)
    }

    fn secret_path(&self, slot: Slot) -> String {
        match slot {
            Slot::Current | Slot::Previous => self.path.clone(),
            slot => format!("{}/{}", self.staging, slot.name()),
        }
    }

    /// What a secret holds, in its newest version or in `version`.
    fn read_secret(&self, path: &str, version: Option<&str>) -> Result<Contents, StoreError> {
        let doing = "read the secret";
        let address = self.rest.address(&[&self.mount, "data", path]);
        let answer = self.send(doing, || {
            let address = match version {
                Some(version) => address.clone().query("version", version),
                None => address.clone(),
            };
            Request::new(Method::Get, address)
        })?;
        match answer.status {
            // A deleted version is told of, one that never was is not.
            404 => Ok(serde_json::from_slice(&answer.body).unwrap_or_default()),
            _ => self.rest.parse(doing, &answer),
        }
    }

    fn write_secret(
        &self,
        slot: Slot,
        data: &impl Serialize,
        cas: u64,
        expect: Expect<'_>,
    ) -> Result<Version, StoreError> {
        #[derive(Deserialize)]
        struct Written {
            data: Number,
        }
        #[derive(Deserialize)]
        struct Number {
            version: u64,
        }
        #[derive(Serialize)]
        struct Body<'a, D> {
            options: Value,
            data: &'a D,
        }
        let doing = "write the secret";
        let path = self.secret_path(slot);
        let body = Body {
            options: json!({ "cas": cas }),
            data,
        };
        let (kind, body) = rest::json(&body);
        let answer = self.send(doing, || {
            let request = self
                .rest
                .request(Method::Post, &[&self.mount, "data", &path]);
            request.body(kind, body.clone())
        })?;
        if answer.status == 400 && contains(&answer, b"check-and-set") {
            let found = self.read_secret(&path, None)?.version();
            return Err(conflict(self, slot, expect, found.as_ref()));
        }
        let written: Written = self.rest.parse(doing, &answer)?;
        Ok(Version::new(written.data.version.to_string()))
    }

    /// The custom metadata of the secret that consumers read, and how many versions it keeps.
    fn metadata(&self) -> Result<Metadata, StoreError> {
        #[derive(Deserialize)]
        struct Body {
            data: Metadata,
        }
        let doing = "read the secret's metadata";
        let answer = self.send(doing, || {
            self.rest
                .request(Method::Get, &[&self.mount, "metadata", &self.path])
        })?;
        let body: Body = self.rest.parse(doing, &answer)?;
        Ok(body.data)
    }

    /// Sets names in the custom metadata; `null` takes one out, the others stay.
    fn patch_metadata(&self, changes: &Value) -> Result<(), StoreError> {
        let doing = "note the role of the version in the secret's metadata";
        let (_, body) = rest::json(&json!({ "custom_metadata": changes }));
        let answer = self.send(doing, || {
            let request = self
                .rest
                .request(Method::Patch, &[&self.mount, "metadata", &self.path]);
            request.body("application/merge-patch+json", body.clone())
        })?;
        self.rest.done(doing, &answer)
    }

    fn previous(&self) -> Result<Option<Held>, StoreError> {
        let custom = match self.metadata() {
            Err(StoreError::NotFound { .. }) => return Ok(None),
            outcome => outcome?.custom_metadata.unwrap_or_default(),
        };
        let text = |name: &str| custom.get(name).and_then(Value::as_str);
        let Some(version) = text(PREVIOUS) else {
            return Ok(None);
        };
        let note = note(text(ROTATION), text(FINGERPRINT));
        let contents = self.read_secret(&self.path, Some(version))?;
        Ok(Some(Held {
            version: Version::new(version),
            value: contents.text(&self.field),
            note,
        }))
    }

    /// Which number a write has to name, so that it replaces what is expected and nothing else.
    fn cas(&self, slot: Slot, expect: Expect<'_>) -> Result<u64, StoreError> {
        match expect {
            Expect::Version(version) => version
                .as_str()
                .parse()
                .map_err(|_| conflict(self, slot, expect, None)),
            // A secret that was deleted keeps its number.
            Expect::Absent => {
                let contents = self.read_secret(&self.secret_path(slot), None)?;
                match contents.has(self.marker(slot)) {
                    true => Err(conflict(self, slot, expect, contents.version().as_ref())),
                    false => Ok(contents.number()),
                }
            }
        }
    }

    /// The field without which a slot is empty.
    fn marker(&self, slot: Slot) -> &str {
        match slot {
            Slot::Lock => LEASE,
            _ => &self.field,
        }
    }

    fn put_previous(&self, put: Put<'_>, expect: Expect<'_>) -> Result<Version, StoreError> {
        let there = self.previous()?;
        let fits = match (&there, expect) {
            (None, Expect::Absent) => true,
            (Some(held), Expect::Version(version)) => held.version == *version,
            _ => false,
        };
        if !fits {
            let found = there.as_ref().map(|held| &held.version);
            return Err(conflict(self, Slot::Previous, expect, found));
        }
        let contents = self.read_secret(&self.path, None)?;
        let version = contents.version();
        let (Some(version), Some(value)) = (version, contents.text(&self.field)) else {
            return Err(conflict(self, Slot::Current, expect, None));
        };
        if value != *put.value {
            return Err(conflict(self, Slot::Current, expect, Some(&version)));
        }
        let note = put.note.expect("what a rotation keeps has its note");
        self.patch_metadata(&json!({
            PREVIOUS: version.as_str(),
            ROTATION: note.rotation,
            FINGERPRINT: note.fingerprint.to_string(),
        }))?;
        Ok(version)
    }
}

/// What is asked of a secret's metadata.
#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    custom_metadata: Option<Map<String, Value>>,
    #[serde(default)]
    max_versions: u64,
    #[serde(default)]
    delete_version_after: Option<String>,
}

fn note(rotation: Option<&str>, fingerprint: Option<&str>) -> Option<Note> {
    Some(Note {
        rotation: rotation?.to_owned(),
        fingerprint: fingerprint?.parse().ok()?,
    })
}

fn contains(answer: &Answer, words: &[u8]) -> bool {
    memchr::memmem::find(&answer.body, words).is_some()
}

impl Slots for Vault {
    fn about(&self) -> &About {
        &self.about
    }

    fn look(&self) -> Result<Vec<String>, StoreError> {
        let metadata = self.metadata()?;
        let refused = |reason: &str| StoreError::Refused {
            place: self.about.place.clone(),
            reason: reason.to_owned(),
        };
        if metadata.max_versions == 1 {
            return Err(refused(
                "the secret keeps one version only, so that key A would be lost; raise its max_versions",
            ));
        }
        let mut remarks = Vec::new();
        let after = metadata.delete_version_after.unwrap_or_default();
        if !matches!(after.as_str(), "" | "0s") {
            remarks.push(format!(
                "its versions are deleted after {after}, key A, too"
            ));
        }
        remarks.extend(self.look_at_rights()?);
        Ok(remarks)
    }

    fn get(&self, slot: Slot) -> Result<Option<Held>, StoreError> {
        if slot == Slot::Previous {
            return self.previous();
        }
        let contents = self.read_secret(&self.secret_path(slot), None)?;
        let (Some(version), true) = (contents.version(), contents.has(self.marker(slot))) else {
            return Ok(None);
        };
        let value = contents.text(self.marker(slot));
        if value.is_none() {
            return Err(StoreError::Malformed {
                place: self.about.place.clone(),
                reason: format!("the field in the {} slot is no text", slot.name()),
            });
        }
        let text = |name: &str| contents.text(name);
        let (rotation, fingerprint) = (text(ROTATION), text(FINGERPRINT));
        let text = |secret: &Option<Secret>| {
            let secret = secret.as_ref()?;
            String::from_utf8(secret.expose().to_vec()).ok()
        };
        let note = note(text(&rotation).as_deref(), text(&fingerprint).as_deref());
        Ok(Some(Held {
            version,
            value,
            // In the secret that consumers read, only its custom metadata are ours.
            note: note.filter(|_| slot == Slot::Next),
        }))
    }

    fn put(&self, slot: Slot, put: Put<'_>, expect: Expect<'_>) -> Result<Version, StoreError> {
        if slot == Slot::Previous {
            return self.put_previous(put, expect);
        }
        let cas = self.cas(slot, expect)?;
        let mut contents = match slot {
            // The other fields stay. If they change before the write, that fails.
            Slot::Current => self.read_secret(&self.path, None)?,
            _ => Contents::default(),
        };
        if slot == Slot::Current && contents.number() != cas {
            return Err(conflict(self, slot, expect, contents.version().as_ref()));
        }
        contents.set(self.marker(slot), put.value);
        if let (Slot::Next, Some(note)) = (slot, put.note) {
            contents.set(ROTATION, &Secret::new(note.rotation.clone().into()));
            let fingerprint = note.fingerprint.to_string();
            contents.set(FINGERPRINT, &Secret::new(fingerprint.into()));
        }
        self.write_secret(slot, contents.fields(), cas, expect)
    }

    fn remove(&self, slot: Slot, held: &Held) -> Result<(), StoreError> {
        if slot == Slot::Previous {
            return self.patch_metadata(&json!({
                PREVIOUS: null, ROTATION: null, FINGERPRINT: null,
            }));
        }
        let expect = Expect::Version(&held.version);
        if slot == Slot::Lock {
            // Another holder's lock must not go, so it is emptied with check-and-set.
            let cas = self.cas(slot, expect)?;
            return self
                .write_secret(slot, &Map::new(), cas, expect)
                .map(|_| ());
        }
        let doing = "remove what was staged";
        let path = self.secret_path(slot);
        let there = self.read_secret(&path, None)?.version();
        if there.as_ref().is_some_and(|there| *there != held.version) {
            return Err(conflict(self, slot, expect, there.as_ref()));
        }
        // With all its versions: a deletion of one could be taken back.
        let answer = self.send(doing, || {
            self.rest
                .request(Method::Delete, &[&self.mount, "metadata", &path])
        })?;
        match answer.status {
            404 => Ok(()),
            _ => self.rest.done(doing, &answer),
        }
    }

    fn wraps(&self) -> bool {
        true
    }

    fn hand_over(&self, slot: Slot, lifetime: Duration) -> Result<Secret, StoreError> {
        #[derive(Deserialize)]
        struct Body {
            wrap_info: Wrapped,
        }
        #[derive(Deserialize)]
        struct Wrapped {
            token: rest::Text,
        }
        let doing = "wrap the secret for a handover";
        let path = self.secret_path(slot);
        let lifetime = format!("{}s", lifetime.as_secs().max(1));
        let answer = self.send(doing, || {
            let request = self
                .rest
                .request(Method::Get, &[&self.mount, "data", &path]);
            request.header("x-vault-wrap-ttl", &lifetime)
        })?;
        let body: Body = self.rest.parse(doing, &answer)?;
        Ok(body.wrap_info.token.0)
    }
}

#[cfg(test)]
mod tests;
