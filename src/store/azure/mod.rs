//! Azure Key Vault. A secret's newest version is handed out at once, and nothing is compared before
//! it is written. So key B and key A wait in secrets of their own. A secret that is deleted keeps
//! its name for days, so such a slot is emptied by disabling its version, which takes no right to
//! delete and can't be read any more.
//!
//! Facts: Microsoft's REST reference of Key Vault secrets, version 7.4.

mod lock;
mod login;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::document::{Document, Field, plain};
use super::rest::{self, Rest, Text};
use super::session::{Door, Session};
use super::slots::{About, Expect, Put, Slots, conflict};
use super::types::{Capabilities, CheckAndSet, GivesBack, Held, Note, Slot, Version};
use super::{Outside, Store, StoreError};
use crate::config::{ConfigError, Section};
use crate::http::{Address, Answer, Method, Request};
use crate::secret::Secret;

/// The form of the API that is spoken.
const API: &str = "7.4";

/// Tags of ours.
const ROTATION: &str = "skewer-rotation";
const FINGERPRINT: &str = "skewer-fingerprint";
const LEASE: &str = "skewer-lease";

/// The longest name of a secret.
const LONGEST: usize = 127;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The vault, such as `https://name.vault.azure.net`.
    address: String,
    /// The secret.
    secret: String,
    /// The field of it that is the value, if it is JSON.
    #[serde(default)]
    field: Field,
    /// What tokens are for, if the vault's address does not tell.
    resource: Option<String>,
    /// Certificates to trust besides the system's, as PEM.
    ca: Option<String>,
    /// How to get in.
    auth: login::Auth,
}

struct Azure {
    about: About,
    rest: Rest,
    session: Session<Secret>,
    secret: String,
    document: Document,
}

/// What a vault's tokens are for: its address without its own name.
fn resource(base: &Address) -> String {
    let host = base.host();
    match host.split_once('.') {
        Some((_, domain)) if domain.starts_with("vault.") => format!("https://{domain}"),
        _ => "https://vault.azure.net".to_owned(),
    }
}

/// Opens what a section describes.
pub(super) fn open(
    section: &Section,
    outside: &Outside<'_>,
) -> Result<Box<dyn Store>, ConfigError> {
    let settings: Settings = section.read()?;
    let secret = settings.secret;
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if secret.is_empty() || !secret.chars().all(is_name) {
        return Err(section.invalid("`secret` is letters, digits and `-`"));
    }
    if secret.len() + "-skewer-previous".len() > LONGEST {
        return Err(section.invalid("`secret` is so long that there is no room for names of ours"));
    }
    let base = rest::address(section, &settings.address)?;
    let client = rest::client(section, settings.ca.as_deref(), outside)?;
    let document = Document::new(settings.field);
    let about = About {
        place: format!("azure {}, {secret}{}", base.host(), document.suffix()),
        can: Capabilities {
            two_versions: true,
            reads_back: true,
            gives_back: GivesBack::Itself,
            check_and_set: CheckAndSet::Narrow,
            locks: true,
        },
        rights: vec![format!(
            "get, set and list secrets: the role Key Vault Secrets Officer on {secret} and {secret}-skewer-next, -previous and -lock, or an access policy with these three"
        )],
    };
    let resource = settings.resource.unwrap_or_else(|| resource(&base));
    let door = Door {
        section,
        outside,
        client: &client,
        place: &about.place,
    };
    let session = login::open(&door, &resource, settings.auth)?;
    Ok(Box::new(Azure {
        rest: Rest::new(client, base, &about.place, &about.rights),
        session,
        secret,
        document,
        about,
    }))
}

/// What is told of a version.
#[derive(Deserialize)]
struct Properties {
    /// Its address.
    id: String,
    #[serde(default)]
    attributes: Attributes,
    /// `null`, if there are none.
    #[serde(default)]
    tags: Option<BTreeMap<String, String>>,
    /// Whether it belongs to a certificate.
    #[serde(default)]
    managed: Option<bool>,
}

#[derive(Default, Deserialize)]
struct Attributes {
    #[serde(default)]
    enabled: bool,
    /// Since 1970, in seconds.
    #[serde(default)]
    exp: Option<i64>,
}

/// A version with its value.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    #[serde(flatten)]
    properties: Properties,
    value: Text,
    #[serde(default)]
    content_type: Option<String>,
}

impl Properties {
    /// The last part of its address.
    fn id(&self) -> String {
        self.id.rsplit('/').next().unwrap_or_default().to_owned()
    }

    fn tag(&self, name: &str) -> Option<&str> {
        self.tags.as_ref()?.get(name).map(String::as_str)
    }

    fn note(&self) -> Option<Note> {
        Some(Note {
            rotation: self.tag(ROTATION)?.to_owned(),
            fingerprint: self.tag(FINGERPRINT)?.parse().ok()?,
        })
    }
}

fn has(answer: &Answer, words: &[u8]) -> bool {
    memchr::memmem::find(&answer.body, words).is_some()
}

impl Azure {
    fn name(&self, slot: Slot) -> String {
        match slot {
            Slot::Current => self.secret.clone(),
            slot => format!("{}-skewer-{}", self.secret, slot.name()),
        }
    }

    fn address(&self, path: &[&str]) -> Address {
        self.rest.address(path).query("api-version", API)
    }

    fn send(
        &self,
        doing: &str,
        method: Method,
        address: &Address,
        body: Option<&Value>,
    ) -> Result<Answer, StoreError> {
        let body = body.map(rest::json);
        self.session.send_bearer(&self.rest, doing, || {
            let request = Request::new(method, address.clone());
            match &body {
                Some((kind, body)) => request.body(kind, body.clone()),
                None => request,
            }
        })
    }

    /// The newest version; `None` if there is none, or if it is disabled.
    fn newest(&self, slot: Slot) -> Result<Option<Bundle>, StoreError> {
        let doing = "read the secret";
        let address = self.address(&["secrets", &self.name(slot)]);
        let answer = self.send(doing, Method::Get, &address, None)?;
        let is_disabled = answer.status == 403 && has(&answer, b"SecretDisabled");
        match answer.status {
            404 => Ok(None),
            403 if is_disabled && slot != Slot::Current => Ok(None),
            403 if is_disabled => Err(self.refused(
                "the newest version of the secret is disabled: nobody can read it; enable it first",
            )),
            _ => self.rest.parse(doing, &answer).map(Some),
        }
    }

    fn current(&self) -> Result<Bundle, StoreError> {
        if let Some(bundle) = self.newest(Slot::Current)? {
            return Ok(bundle);
        }
        let doing = "look among deleted secrets";
        let address = self.address(&["deletedsecrets", &self.secret]);
        let answer = self.send(doing, Method::Get, &address, None)?;
        match answer.status {
            200 => {
                Err(self
                    .refused("the secret is deleted; bring it back (az keyvault secret recover)"))
            }
            _ => Err(StoreError::NotFound {
                place: self.about.place.clone(),
                what: "the secret".to_owned(),
            }),
        }
    }

    fn held(&self, slot: Slot) -> Result<Option<Held>, StoreError> {
        let bundle = match slot {
            Slot::Current => Some(self.current()?),
            slot => self.newest(slot)?,
        };
        let Some(bundle) = bundle else {
            return Ok(None);
        };
        let is_current = slot == Slot::Current;
        let Text(text) = &bundle.value;
        Ok(Some(Held {
            version: Version::new(bundle.properties.id()),
            value: Some(match is_current {
                true => self.document.value(&self.about.place, text)?,
                false => text.clone(),
            }),
            note: bundle.properties.note().filter(|_| !is_current),
        }))
    }

    /// Writes a version; its id.
    fn write(&self, slot: Slot, body: &Value) -> Result<String, StoreError> {
        let doing = "write the secret";
        let address = self.address(&["secrets", &self.name(slot)]);
        let answer = self.send(doing, Method::Put, &address, Some(body))?;
        if answer.status == 409 {
            let why = format!(
                "{} is deleted, and keeps its name until it is recovered or purged (az keyvault secret recover, or purge)",
                self.name(slot)
            );
            return Err(self.refused(&why));
        }
        let made: Properties = self.rest.parse(doing, &answer)?;
        Ok(made.id())
    }

    /// Changes what is told of a version; its id.
    fn update(&self, slot: Slot, id: &str, body: &Value) -> Result<String, StoreError> {
        let doing = "change a version of the secret";
        let address = self.address(&["secrets", &self.name(slot), id]);
        let answer = self.send(doing, Method::Patch, &address, Some(body))?;
        let made: Properties = self.rest.parse(doing, &answer)?;
        Ok(made.id())
    }

    fn disable(&self, slot: Slot, id: &str) -> Result<(), StoreError> {
        let body = json!({ "attributes": { "enabled": false } });
        match self.update(slot, id, &body) {
            Err(StoreError::NotFound { .. }) => Ok(()),
            outcome => outcome.map(|_| ()),
        }
    }

    fn refused(&self, reason: &str) -> StoreError {
        StoreError::Refused {
            place: self.about.place.clone(),
            reason: reason.to_owned(),
        }
    }

    fn put_current(&self, put: Put<'_>, expect: Expect<'_>) -> Result<Version, StoreError> {
        let bundle = self.current()?;
        let found = Version::new(bundle.properties.id());
        if !matches!(expect, Expect::Version(version) if *version == found) {
            return Err(conflict(self, Slot::Current, expect, Some(&found)));
        }
        let Text(text) = &bundle.value;
        let new = self.document.with(&self.about.place, text, put.value)?;
        let mut body = json!({ "value": Text(new), "tags": bundle.properties.tags });
        if let Some(kind) = bundle.content_type {
            body["contentType"] = kind.into();
        }
        self.write(Slot::Current, &body).map(Version::new)
    }

    fn put_side(
        &self,
        slot: Slot,
        put: Put<'_>,
        expect: Expect<'_>,
    ) -> Result<Version, StoreError> {
        let there = self.newest(slot)?;
        let there = there.map(|bundle| Version::new(bundle.properties.id()));
        let fits = match (expect, &there) {
            (Expect::Absent, None) => true,
            (Expect::Version(version), Some(there)) => version == there,
            _ => false,
        };
        if !fits {
            return Err(conflict(self, slot, expect, there.as_ref()));
        }
        let note = put.note.expect("what a rotation keeps has its note");
        let value = plain(&self.about.place, put.value)?;
        let id = self.write(
            slot,
            &json!({
                "value": Text(value.clone()),
                "tags": { ROTATION: note.rotation, FINGERPRINT: note.fingerprint.to_string() },
            }),
        )?;
        // What it replaces holds a key, too.
        if let Some(there) = there {
            self.disable(slot, there.as_str())?;
        }
        Ok(Version::new(id))
    }
}

impl Slots for Azure {
    fn about(&self) -> &About {
        &self.about
    }

    fn look(&self) -> Result<Vec<String>, StoreError> {
        let bundle = self.current()?;
        if bundle.properties.managed == Some(true) {
            return Err(
                self.refused("the secret belongs to a certificate, which alone may change it")
            );
        }
        let Text(text) = &bundle.value;
        let value = self.document.value(&self.about.place, text)?;
        self.document.with(&self.about.place, text, &value)?;
        for slot in [Slot::Next, Slot::Previous, Slot::Lock] {
            let name = self.name(slot);
            let address = self.address(&["deletedsecrets", &name]);
            let doing = "look among deleted secrets";
            if self.send(doing, Method::Get, &address, None)?.status == 200 {
                let why = format!(
                    "{name} is deleted, and keeps its name until it is recovered or purged (az keyvault secret recover, or purge)"
                );
                return Err(self.refused(&why));
            }
        }
        let mut remarks = vec![
            "old versions keep their values: key A's stays readable in the secret's history, but is revoked"
                .to_owned(),
        ];
        if bundle.properties.attributes.exp.is_some() {
            remarks
                .push("the secret has an expiry, which key B's version will not have".to_owned());
        }
        Ok(remarks)
    }

    fn get(&self, slot: Slot) -> Result<Option<Held>, StoreError> {
        match slot {
            Slot::Lock => self.lease(),
            slot => self.held(slot),
        }
    }

    fn put(&self, slot: Slot, put: Put<'_>, expect: Expect<'_>) -> Result<Version, StoreError> {
        match slot {
            Slot::Current => self.put_current(put, expect),
            Slot::Lock => self.put_lock(put.value, expect),
            slot => self.put_side(slot, put, expect),
        }
    }

    fn remove(&self, slot: Slot, held: &Held) -> Result<(), StoreError> {
        match slot {
            Slot::Lock => self.unlock(held),
            slot => self.disable(slot, held.version.as_str()),
        }
    }
}

#[cfg(test)]
mod tests;
