//! AWS Secrets Manager. A version is what its staging labels say: `AWSCURRENT` is what consumers
//! read, key B waits under `AWSPENDING`, and a label of ours keeps key A. A label moves from one
//! version to another under check-and-set.
//!
//! Facts: AWS' API reference of Secrets Manager 2017-10-17 and its quotas (20 labels in all
//! versions of a secret), tried with ministack 1.5. `UpdateSecretVersionStage` fails if the label is
//! not where `RemoveFromVersionId` says, or, without it, if it is anywhere else. A client request
//! token names the version that it makes: sent again it makes none, and is refused with other
//! contents. Versions are read by explicit stage or id, never by default.

mod api;
mod lock;
mod login;
mod sign;

use serde::Deserialize;

use self::api::{Api, Described};
use super::document::{Document, Field};
use super::rest;
use super::session::Door;
use super::slots::{About, Expect, Put, Slots, conflict};
use super::types::{Capabilities, CheckAndSet, GivesBack, Held, Note, Slot, Version};
use super::{Outside, Store, StoreError};
use crate::config::{ConfigError, Section};
use crate::secret::Secret;

/// AWS' labels.
const CURRENT: &str = "AWSCURRENT";
const PENDING: &str = "AWSPENDING";

/// Ours, in front of the rotation's id.
const NEXT: &str = "skewer-next/";
const PREVIOUS: &str = "skewer-previous/";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The region, such as `eu-central-1`.
    region: String,
    /// The secret's name, or its ARN.
    secret: String,
    /// The field of it that is the value, if it is JSON.
    #[serde(default)]
    field: Field,
    /// The lock's secret.
    lock: Option<String>,
    /// The service's address, if it is not the region's own.
    address: Option<String>,
    /// Certificates to trust besides the system's, as PEM.
    ca: Option<String>,
    /// How to get in.
    auth: login::Auth,
}

struct Aws {
    about: About,
    api: Api,
    /// The secret, by name or ARN.
    secret: String,
    lock: String,
    document: Document,
}

/// What the addresses of a region end with.
fn domain(region: &str) -> &'static str {
    match region.starts_with("cn-") {
        true => "amazonaws.com.cn",
        false => "amazonaws.com",
    }
}

/// The name in an ARN, which ends with six random characters.
fn name_of(secret: &str) -> &str {
    let Some(rest) = secret.strip_prefix("arn:") else {
        return secret;
    };
    let name = rest.splitn(6, ':').last().unwrap_or(rest);
    match name.rsplit_once('-') {
        Some((name, random)) if random.len() == 6 => name,
        _ => name,
    }
}

/// Opens what a section describes.
pub(super) fn open(
    section: &Section,
    outside: &Outside<'_>,
) -> Result<Box<dyn Store>, ConfigError> {
    let settings: Settings = section.read()?;
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let region = settings.region;
    if region.is_empty() || !region.chars().all(is_name) {
        return Err(section.invalid("`region` is written like `eu-central-1`"));
    }
    let arn_region = settings.secret.strip_prefix("arn:");
    let arn_region = arn_region.and_then(|rest| rest.split(':').nth(2));
    if arn_region.is_some_and(|named| named != region) {
        return Err(section.invalid("`secret` is in another region than `region`"));
    }
    if settings.secret.is_empty() {
        return Err(section.invalid("`secret` is the secret's name or its ARN"));
    }
    let address = settings
        .address
        .unwrap_or_else(|| format!("https://secretsmanager.{region}.{}", domain(&region)));
    let base = rest::address(section, &address)?;
    let client = rest::client(section, settings.ca.as_deref(), outside)?;
    let name = name_of(&settings.secret);
    let lock = settings
        .lock
        .unwrap_or_else(|| format!("{name}-skewer-lock"));
    if lock == settings.secret || lock == name {
        return Err(section.invalid("`lock` has to be a secret of its own"));
    }
    let document = Document::new(settings.field);
    let about = about(&region, name, &document, &lock);
    let door = Door {
        section,
        outside,
        client: &client,
        place: &about.place,
    };
    let session = login::open(&door, &region, settings.auth)?;
    let rest = rest::Rest::new(client, base, &about.place, &about.rights);
    Ok(Box::new(Aws {
        api: Api::new(rest, session, outside.now, region),
        about,
        secret: settings.secret,
        lock,
        document,
    }))
}

fn about(region: &str, name: &str, document: &Document, lock: &str) -> About {
    About {
        place: format!("aws {region}, {name}{}", document.suffix()),
        can: Capabilities {
            two_versions: true,
            reads_back: true,
            gives_back: GivesBack::Itself,
            check_and_set: CheckAndSet::Atomic,
            locks: true,
        },
        rights: vec![
            format!(
                "secretsmanager:DescribeSecret, GetSecretValue, PutSecretValue, UpdateSecretVersionStage on the secrets {name} and {lock}"
            ),
            format!("secretsmanager:CreateSecret on the secret {lock}"),
            "kms:Decrypt, GenerateDataKey, if the secret has a key of its own".to_owned(),
        ],
    }
}

/// A version with a label of ours.
struct Ours {
    id: String,
    rotation: String,
}

impl Aws {
    /// The version with one of our labels.
    fn ours(described: &Described, label: &str) -> Option<Ours> {
        described.versions().find_map(|(id, labels)| {
            let rotation = labels.iter().find_map(|l| l.strip_prefix(label))?;
            Some(Ours {
                id: id.to_owned(),
                rotation: rotation.to_owned(),
            })
        })
    }

    fn describe(&self) -> Result<Described, StoreError> {
        self.api.describe(&self.secret)
    }

    fn value_of(&self, id: &str) -> Result<Secret, StoreError> {
        let text = self.api.get(&self.secret, "VersionId", id)?.text;
        self.document.value(&self.about.place, &text)
    }

    fn held(&self, id: String, rotation: Option<String>) -> Result<Held, StoreError> {
        let value = self.value_of(&id)?;
        let note = rotation.map(|rotation| Note {
            rotation,
            fingerprint: value.fingerprint(),
        });
        Ok(Held {
            version: Version::new(id),
            value: Some(value),
            note,
        })
    }

    fn next(&self) -> Result<Option<Held>, StoreError> {
        let described = self.describe()?;
        let pending = described.with(PENDING);
        if let Some(ours) = Self::ours(&described, NEXT) {
            // Once it is the current one, it need not be pending any more.
            let is_whole = [pending, described.with(CURRENT)].contains(&Some(&ours.id));
            let mut held = self.held(ours.id, Some(ours.rotation))?;
            // A write that was cut off between its two calls: it has to be done again.
            held.value = held.value.filter(|_| is_whole);
            return Ok(Some(held));
        }
        // AWS' own rotations leave the label at the version that became the current one.
        match pending {
            Some(id) if described.with(CURRENT) != Some(id) => {
                self.held(id.to_owned(), None).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn previous(&self) -> Result<Option<Held>, StoreError> {
        match Self::ours(&self.describe()?, PREVIOUS) {
            Some(ours) => self.held(ours.id, Some(ours.rotation)).map(Some),
            None => Ok(None),
        }
    }

    fn current(&self) -> Result<(String, Secret), StoreError> {
        let got = self.api.get(&self.secret, "VersionStage", CURRENT)?;
        Ok((got.version_id, got.text))
    }

    fn expect(
        &self,
        slot: Slot,
        expect: Expect<'_>,
        there: Option<&str>,
    ) -> Result<(), StoreError> {
        let fits = match (expect, there) {
            (Expect::Absent, None) => true,
            (Expect::Version(version), Some(there)) => version.as_str() == there,
            _ => false,
        };
        match fits {
            true => Ok(()),
            false => Err(self.conflict(slot, expect, there)),
        }
    }

    fn conflict(&self, slot: Slot, expect: Expect<'_>, there: Option<&str>) -> StoreError {
        conflict(self, slot, expect, there.map(Version::new).as_ref())
    }

    fn put_next(&self, put: Put<'_>, expect: Expect<'_>) -> Result<Version, StoreError> {
        let there = self.next()?.map(|held| held.version);
        self.expect(Slot::Next, expect, there.as_ref().map(Version::as_str))?;
        let note = put.note.expect("what is staged has its note");
        let (_, text) = self.current()?;
        let text = self.document.with(&self.about.place, &text, put.value)?;
        let there = there.as_ref().map(Version::as_str);
        self.stage(&text, &note.rotation, there).map(Version::new)
    }

    /// Makes a version of this text that is pending, in place of `there`; its id.
    fn stage(
        &self,
        text: &Secret,
        rotation: &str,
        there: Option<&str>,
    ) -> Result<String, StoreError> {
        let label = format!("{NEXT}{rotation}");
        let id = self.make(text, &label)?;
        let described = self.describe()?;
        let pending = described.with(PENDING);
        if pending == Some(&id) {
            return Ok(id);
        }
        // What became pending since we looked is somebody else's.
        let is_free = pending.is_none() || [there, described.with(CURRENT)].contains(&pending);
        if is_free
            && self
                .api
                .move_label(&self.secret, PENDING, pending, Some(&id))?
        {
            return Ok(id);
        }
        let found = self.describe()?.with(PENDING).map(str::to_owned);
        Err(self.conflict(Slot::Next, Expect::Absent, found.as_deref()))
    }

    /// Makes a version of this text with this label, and takes the label from any other.
    fn make(&self, text: &Secret, label: &str) -> Result<String, StoreError> {
        let token = api::token(&[label.as_bytes(), text.expose()]);
        let id = self.api.put(&self.secret, &token, text, label)?;
        let described = self.describe()?;
        let others = described
            .versions()
            .filter(|(other, labels)| *other != id && labels.iter().any(|there| there == label));
        for (other, _) in others {
            self.api
                .move_label(&self.secret, label, Some(other), None)?;
        }
        // A token that was used before makes no version, and gives it no label.
        if described.with(label) != Some(&id) {
            self.api.move_label(&self.secret, label, None, Some(&id))?;
        }
        Ok(id)
    }

    fn put_previous(&self, put: Put<'_>, expect: Expect<'_>) -> Result<Version, StoreError> {
        let described = self.describe()?;
        let there = Self::ours(&described, PREVIOUS);
        let there = there.as_ref();
        self.expect(Slot::Previous, expect, there.map(|ours| ours.id.as_str()))?;
        let (id, text) = self.current()?;
        if self.document.value(&self.about.place, &text)? != *put.value {
            return Err(self.conflict(Slot::Current, expect, Some(&id)));
        }
        let note = put.note.expect("what a rotation keeps has its note");
        let label = format!("{PREVIOUS}{}", note.rotation);
        let from = there.map(|ours| ours.id.as_str());
        match self.api.move_label(&self.secret, &label, from, Some(&id))? {
            true => Ok(Version::new(id)),
            false => Err(self.conflict(Slot::Previous, expect, from)),
        }
    }

    /// The version that is to become the current one: one that is there, if it has the right text.
    fn version_for(&self, put: Put<'_>, current: &Secret) -> Result<String, StoreError> {
        let text = self.document.with(&self.about.place, current, put.value)?;
        let described = self.describe()?;
        let next = Self::ours(&described, NEXT);
        for ours in [&next, &Self::ours(&described, PREVIOUS)]
            .into_iter()
            .flatten()
        {
            if self.api.get(&self.secret, "VersionId", &ours.id)?.text == text {
                return Ok(ours.id.clone());
            }
        }
        // Other fields were edited since it was staged, or it is not there.
        if let Some(next) = next.filter(|_| !self.document.is_whole())
            && self.value_of(&next.id)? == *put.value
        {
            return self.stage(&text, &next.rotation, Some(&next.id));
        }
        let note = put.note.expect("what a rotation promotes has its note");
        self.make(&text, &format!("{PREVIOUS}{}", note.rotation))
    }

    fn put_current(&self, put: Put<'_>, expect: Expect<'_>) -> Result<Version, StoreError> {
        let (from, current) = self.current()?;
        self.expect(Slot::Current, expect, Some(&from))?;
        let to = self.version_for(put, &current)?;
        if self
            .api
            .move_label(&self.secret, CURRENT, Some(&from), Some(&to))?
        {
            return Ok(Version::new(to));
        }
        let (found, _) = self.current()?;
        Err(self.conflict(Slot::Current, expect, Some(&found)))
    }

    fn refused(&self, reason: &str) -> StoreError {
        StoreError::Refused {
            place: self.about.place.clone(),
            reason: reason.to_owned(),
        }
    }
}

impl Slots for Aws {
    fn about(&self) -> &About {
        &self.about
    }

    fn look(&self) -> Result<Vec<String>, StoreError> {
        let described = self.describe()?;
        if described.rotation_enabled {
            return Err(self.refused(
                "AWS rotates this secret itself, which would move the same labels; turn that off (aws secretsmanager cancel-rotate-secret)",
            ));
        }
        if let Some(service) = &described.owning_service {
            let why = format!("the secret is managed by {service}, which alone may change it");
            return Err(self.refused(&why));
        }
        if described
            .primary_region
            .as_ref()
            .is_some_and(|primary| *primary != self.api.region)
        {
            let why =
                "the secret is a replica, which can't be written; name the region of its primary";
            return Err(self.refused(why));
        }
        // Whether the value can be replaced at all.
        let (_, text) = self.current()?;
        let value = self.document.value(&self.about.place, &text)?;
        self.document.with(&self.about.place, &text, &value)?;
        let mut remarks = vec![format!(
            "its lock is the secret {}, which stays there, empty, and costs what a secret costs",
            self.lock
        )];
        if !described.replication_status.is_empty() {
            remarks
                .push("it has replicas in other regions, which follow a little later".to_owned());
        }
        remarks.push(
            "consumers that cache (the SDKs' caches do, for an hour) get key B later: set their stages' `pause` to that"
                .to_owned(),
        );
        Ok(remarks)
    }

    fn get(&self, slot: Slot) -> Result<Option<Held>, StoreError> {
        match slot {
            Slot::Current => {
                let (id, text) = self.current()?;
                Ok(Some(Held {
                    version: Version::new(id),
                    value: Some(self.document.value(&self.about.place, &text)?),
                    note: None,
                }))
            }
            Slot::Next => self.next(),
            Slot::Previous => self.previous(),
            Slot::Lock => self.held_lock(),
        }
    }

    fn put(&self, slot: Slot, put: Put<'_>, expect: Expect<'_>) -> Result<Version, StoreError> {
        match slot {
            Slot::Current => self.put_current(put, expect),
            Slot::Next => self.put_next(put, expect),
            Slot::Previous => self.put_previous(put, expect),
            Slot::Lock => self.put_lock(put.value, expect),
        }
    }

    fn remove(&self, slot: Slot, held: &Held) -> Result<(), StoreError> {
        let id = held.version.as_str();
        let prefix = match slot {
            Slot::Next => NEXT,
            Slot::Previous => PREVIOUS,
            Slot::Lock => return self.unlock(held),
            Slot::Current => return Err(self.refused("the current value is never removed")),
        };
        let described = self.describe()?;
        let labels = described.labels(id).iter();
        let mut labels: Vec<&str> = labels
            .map(String::as_str)
            .filter(|l| l.starts_with(prefix) || (slot == Slot::Next && *l == PENDING))
            .collect();
        // Ours goes last: without it the slot would look empty.
        labels.sort_by_key(|label| label.starts_with(prefix));
        for label in labels {
            self.api.move_label(&self.secret, label, Some(id), None)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
