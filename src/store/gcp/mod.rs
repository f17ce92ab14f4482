//! Google Cloud's Secret Manager. `latest` is the newest version at once, so key B and key A wait
//! in secrets of their own. Where consumers read an alias, it is moved under check-and-set (etags);
//! where they read `latest`, nothing can be compared in the step that adds a version. The lock is
//! a secret without a version: made only if it is not there, and changed by etag.
//!
//! Facts: the REST reference of Secret Manager v1 and its page on etags (a stale one is
//! `FAILED_PRECONDITION`, status 400); shapes are those of the published discovery document.

mod api;
mod login;

use serde::Deserialize;
use serde_json::{Value, json};

use self::api::{Told, note_annotations};
use super::document::{Document, Field};
use super::rest::{self, Rest};
use super::session::{Door, Session};
use super::slots::{About, Expect, Put, Slots, conflict};
use super::types::{Capabilities, CheckAndSet, GivesBack, Held, Slot, Version};
use super::{Outside, Store, StoreError};
use crate::config::{ConfigError, Section};
use crate::secret::Secret;

/// Annotations of ours.
const ROTATION: &str = "skewer-rotation";
const FINGERPRINT: &str = "skewer-fingerprint";
const LEASE: &str = "skewer-lease";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The project's id or number.
    project: String,
    /// The secret.
    secret: String,
    /// Its region, if it is a regional secret.
    location: Option<String>,
    /// The alias that consumers read; `latest`, if there is none.
    alias: Option<String>,
    /// The field of it that is the value, if it is JSON.
    #[serde(default)]
    field: Field,
    /// The service's address, if it is not Google's own.
    address: Option<String>,
    /// Certificates to trust besides the system's, as PEM.
    ca: Option<String>,
    /// How to get in.
    auth: login::Auth,
}

struct Gcp {
    about: About,
    rest: Rest,
    session: Session<Secret>,
    /// Where secrets are: `projects/P`, or `projects/P/locations/L`.
    parent: String,
    is_regional: bool,
    secret: String,
    alias: Option<String>,
    document: Document,
}

/// Opens what a section describes.
pub(super) fn open(
    section: &Section,
    outside: &Outside<'_>,
) -> Result<Box<dyn Store>, ConfigError> {
    let settings: Settings = section.read()?;
    let is_name = |text: &str| {
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        !text.is_empty() && text.chars().all(is_part)
    };
    let location = settings.location.as_deref();
    let alias = settings.alias.as_deref();
    for (name, text) in [
        ("secret", Some(settings.secret.as_str())),
        ("location", location),
        ("alias", alias),
    ] {
        if text.is_some_and(|text| !is_name(text)) {
            let what = format!("`{name}` is letters, digits, `-` and `_`, and no path");
            return Err(section.invalid(what));
        }
    }
    if alias.is_some_and(|alias| alias.starts_with(|c: char| c.is_ascii_digit())) {
        return Err(section.invalid("`alias` is the name of an alias, and no version's number"));
    }
    let alias = settings.alias.filter(|alias| alias != "latest");
    let (parent, address) = match location {
        None => (
            format!("projects/{}", settings.project),
            "https://secretmanager.googleapis.com".to_owned(),
        ),
        Some(location) => (
            format!("projects/{}/locations/{location}", settings.project),
            format!("https://secretmanager.{location}.rep.googleapis.com"),
        ),
    };
    let address = settings.address.unwrap_or(address);
    let base = rest::address(section, &address)?;
    let client = rest::client(section, settings.ca.as_deref(), outside)?;
    let document = Document::new(settings.field);
    let about = about(&parent, &settings.secret, alias.as_deref(), &document);
    let door = Door {
        section,
        outside,
        client: &client,
        place: &about.place,
    };
    let session = login::open(&door, settings.auth)?;
    Ok(Box::new(Gcp {
        rest: Rest::new(client, base.join(["v1"]), &about.place, &about.rights),
        session,
        is_regional: settings.location.is_some(),
        parent,
        secret: settings.secret,
        alias,
        document,
        about,
    }))
}

fn about(parent: &str, secret: &str, alias: Option<&str>, document: &Document) -> About {
    let which = alias.unwrap_or("latest");
    let also = alias.map_or("", |_| ", secrets.update");
    About {
        place: format!("gcp {parent}, {secret}, {which}{}", document.suffix()),
        can: Capabilities {
            two_versions: true,
            reads_back: true,
            gives_back: GivesBack::Itself,
            check_and_set: match alias {
                Some(_) => CheckAndSet::Atomic,
                None => CheckAndSet::Narrow,
            },
            locks: true,
        },
        rights: vec![
            format!(
                "secretmanager.secrets.get, versions.access, versions.add{also} on the secret {secret}"
            ),
            format!(
                "secretmanager.secrets.get, update, delete, versions.access, versions.add on {secret}-skewer-* (an IAM condition on the name)"
            ),
            "secretmanager.secrets.create in the project".to_owned(),
        ],
    }
}

impl Gcp {
    fn name(&self, slot: Slot) -> String {
        match slot {
            Slot::Current => self.secret.clone(),
            slot => format!("{}-skewer-{}", self.secret, slot.name()),
        }
    }

    fn gone(&self) -> StoreError {
        StoreError::NotFound {
            place: self.about.place.clone(),
            what: "the secret".to_owned(),
        }
    }

    fn current(&self) -> Result<(String, Secret), StoreError> {
        let which = self.alias.as_deref().unwrap_or("latest");
        self.access(&self.secret, which)?.ok_or_else(|| self.gone())
    }

    /// A secret of ours that holds a key, and what is told of it.
    fn side(&self, slot: Slot) -> Result<Option<(Told, Held)>, StoreError> {
        let name = self.name(slot);
        let Some(about) = self.describe(&name)? else {
            return Ok(None);
        };
        // Without a version, its making was cut off: it has to be done again.
        let value = self.access(&name, "latest")?.map(|(_, text)| text);
        let version = value
            .as_ref()
            .map_or("empty".to_owned(), |value| value.fingerprint().to_string());
        let held = Held {
            version: Version::new(version),
            value,
            note: about.note(),
        };
        Ok(Some((about, held)))
    }

    fn put_side(
        &self,
        slot: Slot,
        put: Put<'_>,
        expect: Expect<'_>,
    ) -> Result<Version, StoreError> {
        let name = self.name(slot);
        let note = put.note.expect("what a rotation keeps has its note");
        let annotations = note_annotations(note);
        let done = match (expect, self.side(slot)?) {
            (Expect::Absent, None) => self.create(&name, &annotations)?,
            (Expect::Version(version), Some((about, held))) if held.version == *version => {
                self.patch(&name, "annotations", &annotations, &about.etag)?
            }
            (_, there) => {
                let there = there.map(|(_, held)| held.version);
                return Err(conflict(self, slot, expect, there.as_ref()));
            }
        };
        if done.is_none() {
            let there = self.side(slot)?.map(|(_, held)| held.version);
            return Err(conflict(self, slot, expect, there.as_ref()));
        }
        self.add(&name, put.value)?;
        Ok(Version::new(put.value.fingerprint().to_string()))
    }

    fn put_current(&self, put: Put<'_>, expect: Expect<'_>) -> Result<Version, StoreError> {
        let about = match &self.alias {
            Some(_) => Some(self.describe(&self.secret)?.ok_or_else(|| self.gone())?),
            None => None,
        };
        let (number, text) = self.current()?;
        let found = Version::new(number.as_str());
        if !matches!(expect, Expect::Version(version) if *version == found) {
            return Err(conflict(self, Slot::Current, expect, Some(&found)));
        }
        let new = self.document.with(&self.about.place, &text, put.value)?;
        let (Some(alias), Some(about)) = (&self.alias, about) else {
            return self.add(&self.secret, &new).map(Version::new);
        };
        if about.alias(alias).as_ref() != Some(&number) {
            return Err(conflict(self, Slot::Current, expect, None));
        }
        // It was added before, if the move of the alias was cut off.
        let newest = self.access(&self.secret, "latest")?;
        let to = match newest.filter(|(_, text)| *text == new) {
            Some((number, _)) => number,
            None => self.add(&self.secret, &new)?,
        };
        let mut aliases = about.version_aliases;
        aliases.insert(alias.clone(), to.as_str().into());
        let moved = self.patch(
            &self.secret,
            "versionAliases",
            &Value::Object(aliases),
            &about.etag,
        )?;
        match moved {
            Some(_) => Ok(Version::new(to)),
            None => {
                let found = Version::new(self.current()?.0);
                Err(conflict(self, Slot::Current, expect, Some(&found)))
            }
        }
    }

    fn put_lock(&self, text: &Secret, expect: Expect<'_>) -> Result<Version, StoreError> {
        let name = self.name(Slot::Lock);
        let lease = String::from_utf8_lossy(text.expose());
        let annotations = json!({ LEASE: lease });
        let done = match expect {
            Expect::Absent => self.create(&name, &annotations)?,
            Expect::Version(etag) => {
                self.patch(&name, "annotations", &annotations, etag.as_str())?
            }
        };
        match done {
            Some(about) => Ok(Version::new(about.etag)),
            None => {
                let there = self.describe(&name)?;
                let there = there.map(|about| Version::new(about.etag));
                Err(conflict(self, Slot::Lock, expect, there.as_ref()))
            }
        }
    }
}

impl Slots for Gcp {
    fn about(&self) -> &About {
        &self.about
    }

    fn look(&self) -> Result<Vec<String>, StoreError> {
        let about = self.describe(&self.secret)?.ok_or_else(|| self.gone())?;
        if let Some(right) = self.lacking()? {
            return Err(StoreError::Denied {
                place: self.about.place.clone(),
                doing: format!("use {right}"),
                reason: "no role of ours has it".to_owned(),
                rights: self.about.rights.join("; "),
            });
        }
        let (_, text) = self.current()?;
        let value = self.document.value(&self.about.place, &text)?;
        self.document.with(&self.about.place, &text, &value)?;
        let mut remarks = Vec::new();
        if let Some(time) = about.expire_time {
            remarks.push(format!(
                "the secret is deleted at {time}, with all versions"
            ));
        }
        if let Some(ttl) = about.version_destroy_ttl {
            remarks.push(format!(
                "a version that is destroyed can be brought back for {ttl}"
            ));
        }
        if self.alias.is_none() {
            remarks.push("consumers that name a version by its number never get key B".to_owned());
        }
        Ok(remarks)
    }

    fn get(&self, slot: Slot) -> Result<Option<Held>, StoreError> {
        match slot {
            Slot::Current => {
                let (number, text) = self.current()?;
                Ok(Some(Held {
                    version: Version::new(number),
                    value: Some(self.document.value(&self.about.place, &text)?),
                    note: None,
                }))
            }
            Slot::Lock => {
                let there = self.describe(&self.name(slot))?;
                Ok(there.map(|about| Held {
                    version: Version::new(about.etag),
                    value: about
                        .annotations
                        .get(LEASE)
                        .map(|lease| Secret::new(lease.clone().into())),
                    note: None,
                }))
            }
            slot => Ok(self.side(slot)?.map(|(_, held)| held)),
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
        let expect = Expect::Version(&held.version);
        let name = self.name(slot);
        let etag = match slot {
            Slot::Lock => held.version.as_str().to_owned(),
            slot => match self.side(slot)? {
                None => return Ok(()),
                Some((about, there)) if there.version == held.version => about.etag,
                Some((_, there)) => {
                    return Err(conflict(self, slot, expect, Some(&there.version)));
                }
            },
        };
        match self.delete(&name, &etag)? {
            true => Ok(()),
            false => Err(conflict(self, slot, expect, None)),
        }
    }
}

#[cfg(test)]
mod tests;
