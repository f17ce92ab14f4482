//! A secret of a Docker Swarm. Its value can be neither changed nor read, so key B is another
//! secret, `NAME-ROTATION`. Consumers get what their service mounts; the target's name in the
//! container stays. Key B becomes the current one by a mark, which changes nothing for anybody:
//! the rollout of the same kind swaps the secret in each service. So a task that is started anew
//! in between still gets key A, and key A can be handed out again although nobody can read it.
//!
//! The mark and the lock are labels of a secret `NAME-skewer`, which the Engine changes only for
//! whoever names its version. It is never deleted, since that could take another holder's lock.
//!
//! Facts: Docker's Engine API reference 1.41, and a real dockerd (which answers a stale version
//! with status 500, "update out of sequence").

mod family;

use serde::Deserialize;

use super::slots::{About, Expect, Put, Slots, conflict};
use super::types::{Capabilities, CheckAndSet, GivesBack, Held, Note, Slot, Version};
use super::{Outside, Store, StoreError};
use crate::config::{ConfigError, Section};
use crate::secret::Secret;
use crate::swarm::{self, Engine};

use self::family::{
    BEFORE, CURRENT, FAMILY, FINGERPRINT, LOCK, Labels, Object, ROTATION, Seen, WAITS,
};
pub(crate) use self::family::{Family, Service, TRIES, rights};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The secret that services mount before the first rotation.
    secret: String,
    /// The services that mount it.
    services: Vec<String>,
}

struct Swarm {
    about: About,
    family: Family,
    services: Vec<String>,
}

/// Opens what a section describes.
pub(super) fn open(
    section: &Section,
    outside: &Outside<'_>,
) -> Result<Box<dyn Store>, ConfigError> {
    let settings: Settings = section.clone().without(swarm::NAMES).read()?;
    if settings.services.is_empty() {
        return Err(section.invalid("`services` names at least one service that mounts the secret"));
    }
    let engine = Engine::open(section, &outside.surroundings, outside.http)?;
    let about = About {
        place: format!("swarm {}, secret {}", engine.host, settings.secret),
        can: Capabilities {
            two_versions: true,
            reads_back: false,
            gives_back: GivesBack::Itself,
            // The mark is guarded; what services mount before the first one is only compared.
            check_and_set: CheckAndSet::Narrow,
            locks: true,
        },
        rights: rights(&engine.host),
    };
    Ok(Box::new(Swarm {
        family: Family::new(section, &engine, &settings.secret, &about.place)?,
        services: settings.services,
        about,
    }))
}

impl Swarm {
    fn refused(&self, reason: String) -> StoreError {
        StoreError::Refused {
            place: self.about.place.clone(),
            reason,
        }
    }

    /// The services of the configuration, each with the family's secret that it mounts.
    fn mounted(&self, seen: &Seen, all: &[Service]) -> Result<Vec<(String, String)>, StoreError> {
        let of = |name: &String| {
            let service = all.iter().find(|one| one.name() == name);
            let service = service.ok_or_else(|| StoreError::NotFound {
                place: self.about.place.clone(),
                what: format!("service {name}"),
            })?;
            let mut mounts = service.mounts().filter(|id| seen.member(id).is_some());
            match (mounts.next(), mounts.next()) {
                (Some(id), None) => Ok((name.clone(), id.to_owned())),
                (None, _) => Err(self.refused(format!("service {name} does not mount it"))),
                _ => Err(self.refused(format!("service {name} mounts it twice"))),
            }
        };
        self.services.iter().map(of).collect()
    }

    /// The secret that services are to get; without a mark, the one that all of them mount.
    fn current<'s>(&self, seen: &'s Seen) -> Result<Option<&'s Object>, StoreError> {
        if let Some(object) = seen.promoted() {
            return Ok(Some(object));
        }
        if seen.members.is_empty() {
            return Ok(None);
        }
        let mounted = self.mounted(seen, &self.family.services()?)?;
        let Some((first, id)) = mounted.first() else {
            return Ok(None);
        };
        if let Some((other, _)) = mounted.iter().find(|(_, other)| other != id) {
            return Err(self.refused(format!(
                "services {first} and {other} mount different secrets: give each a store of its own, or both one secret"
            )));
        }
        Ok(seen.member(id))
    }

    /// Writes key B as a secret that waits.
    fn wait(&self, put: Put<'_>, expect: Expect<'_>) -> Result<Version, StoreError> {
        let note = put
            .note
            .ok_or_else(|| self.refused("a key without a note".to_owned()))?;
        let seen = self.family.look()?;
        let there = seen.waiting();
        match (expect, there) {
            (Expect::Absent, None) => {}
            (Expect::Version(version), Some(there)) if there.id == version.as_str() => {
                if there.note().as_ref() == Some(note) {
                    return Ok(version.clone()); // no value changes
                }
                self.family.delete(&there.id)?;
            }
            (expect, there) => {
                let found = there.map(|there| Version::new(there.id.clone()));
                return Err(conflict(self, Slot::Next, expect, found.as_ref()));
            }
        }
        let label = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        let labels = Labels::from([
            label(FAMILY, &self.family.name),
            label(ROTATION, &note.rotation),
            label(FINGERPRINT, &note.fingerprint.to_string()),
            label(WAITS, "yes"),
        ]);
        let name = format!("{}-{}", self.family.name, note.rotation);
        let made = self.family.make(&name, &labels, put.value.expose())?;
        let made = made.ok_or_else(|| self.refused(format!("there is a secret {name} already")))?;
        Ok(Version::new(made))
    }

    /// Marks key B, which waits, as the one that services are to get.
    fn point(&self, put: Put<'_>, expect: Expect<'_>) -> Result<Version, StoreError> {
        self.family.mark(|seen, labels| {
            let current = self.current(seen)?;
            let found = current.map(|one| Version::new(one.id.clone()));
            let fits = match expect {
                Expect::Absent => found.is_none(),
                Expect::Version(version) => found.as_ref() == Some(version),
            };
            let (true, Some(current)) = (fits, current) else {
                return Err(conflict(self, Slot::Current, expect, found.as_ref()));
            };
            let next = seen.waiting().filter(|one| one.note().as_ref() == put.note);
            let next = next.ok_or_else(|| self.refused("key B does not wait here".to_owned()))?;
            labels.insert(CURRENT.to_owned(), next.id.clone());
            labels.insert(BEFORE.to_owned(), current.id.clone());
            labels.extend(
                next.label(ROTATION)
                    .map(|id| (ROTATION.to_owned(), id.to_owned())),
            );
            Ok(Version::new(next.id.clone()))
        })
    }

    fn lease(labels: &Labels) -> Option<Held> {
        let text = Secret::new(labels.get(LOCK)?.clone().into_bytes());
        Some(Held {
            version: Version::new(text.fingerprint().to_string()),
            value: Some(text),
            note: None,
        })
    }

    /// Writes or empties the lock.
    fn lock(&self, text: Option<&Secret>, expect: Expect<'_>) -> Result<(), StoreError> {
        let text = text.map(|text| String::from_utf8_lossy(text.expose()).into_owned());
        self.family.mark(|_, labels| {
            let found = Self::lease(labels).map(|held| held.version);
            let fits = match expect {
                Expect::Absent => found.is_none(),
                Expect::Version(version) => found.as_ref() == Some(version),
            };
            if !fits {
                return Err(conflict(self, Slot::Lock, expect, found.as_ref()));
            }
            labels.remove(LOCK);
            labels.extend(text.clone().map(|text| (LOCK.to_owned(), text)));
            Ok(())
        })
    }

    /// Ends a rotation: of the secrets that rotations made, only the current one stays.
    fn end(&self, key_b: &str) -> Result<(), StoreError> {
        let seen = self.family.look()?;
        let Some(object) = seen.member(key_b) else {
            return Ok(());
        };
        let is_current = self.current(&seen)?.is_some_and(|one| one.id == key_b);
        if is_current
            && let Some(before) = seen.marked(BEFORE)
            && before.label(FAMILY).is_some()
        {
            self.family.delete(&before.id)?;
        }
        let rotation = object.label(ROTATION).map(str::to_owned);
        self.family.mark(|seen, labels| {
            if labels.get(ROTATION) != rotation.as_ref() {
                return Ok(());
            }
            labels.remove(BEFORE);
            labels.remove(ROTATION);
            // From now on, what services mount tells.
            let mounted = self.mounted(seen, &self.family.services()?)?;
            if mounted
                .iter()
                .all(|(_, id)| labels.get(CURRENT) == Some(id))
            {
                labels.remove(CURRENT);
            }
            Ok(())
        })?;
        if !is_current {
            return self.family.delete(key_b);
        }
        let mut labels = object.labels();
        labels.remove(WAITS);
        match self.family.relabel(object, &labels)? {
            true => Ok(()),
            false => Err(self.family.rest.restless("label a secret")),
        }
    }
}

impl Slots for Swarm {
    fn about(&self) -> &About {
        &self.about
    }

    fn look(&self) -> Result<Vec<String>, StoreError> {
        let (seen, all) = (self.family.look()?, self.family.services()?);
        let mounted = self.mounted(&seen, &all)?;
        let current = self.current(&seen)?;
        if current.is_some_and(|one| !one.spec["Driver"].is_null()) {
            return Err(self.refused(
                "its value comes from a driver, and has to be rotated where that has it".to_owned(),
            ));
        }
        let behind = mounted
            .iter()
            .filter(|(_, id)| current.is_some_and(|one| one.id != *id));
        let mut remarks: Vec<String> = behind
            .map(|(name, _)| format!("service {name} mounts another secret than was promoted last"))
            .collect();
        for service in &all {
            let name = service.name();
            let ours = self.services.iter().any(|one| one == name);
            let uses = service.mounts().any(|id| seen.member(id).is_some());
            match (ours, service.spec["Labels"]["com.docker.stack.namespace"].as_str()) {
                (false, _) if uses => remarks.push(format!(
                    "service {name} mounts the secret as well, and is not in `services`: it would keep key A"
                )),
                (true, Some(stack)) => remarks.push(format!(
                    "service {name} belongs to stack {stack}: name the new secret in the stack's file, or its next deployment brings key A back"
                )),
                _ => {}
            }
        }
        Ok(remarks)
    }

    fn get(&self, slot: Slot) -> Result<Option<Held>, StoreError> {
        let seen = self.family.look()?;
        Ok(match slot {
            Slot::Current => self.current(&seen)?.map(Object::held),
            Slot::Next => seen.waiting().map(Object::held),
            // It is kept (see `turn_back`), but nobody knows its fingerprint.
            Slot::Previous => None,
            Slot::Lock => seen
                .marks
                .as_ref()
                .and_then(|one| Self::lease(&one.labels())),
        })
    }

    fn put(&self, slot: Slot, put: Put<'_>, expect: Expect<'_>) -> Result<Version, StoreError> {
        match slot {
            Slot::Next => self.wait(put, expect),
            Slot::Lock => {
                self.lock(Some(put.value), expect)?;
                Ok(Version::new(put.value.fingerprint().to_string()))
            }
            Slot::Current | Slot::Previous => self.point(put, expect),
        }
    }

    fn remove(&self, slot: Slot, held: &Held) -> Result<(), StoreError> {
        match slot {
            Slot::Lock => match self.lock(None, Expect::Version(&held.version)) {
                Err(StoreError::Conflict { found, .. }) if found == "nothing" => Ok(()),
                outcome => outcome,
            },
            _ => self.end(held.version.as_str()),
        }
    }

    fn turn_back(&self, note: &Note, over: &Version) -> Result<Option<Version>, StoreError> {
        self.family.mark(|seen, labels| {
            let current = self.current(seen)?;
            let found = current.map(|one| Version::new(one.id.clone()));
            // Without a mark of this rotation, nothing was promoted.
            let before = match labels.get(ROTATION) == Some(&note.rotation) {
                true => labels.get(BEFORE).cloned(),
                false => return Ok(found),
            };
            if current.map(|one| &one.id) == before.as_ref() {
                return Ok(found); // done before
            }
            if found.as_ref() != Some(over) {
                let expect = Expect::Version(over);
                return Err(conflict(self, Slot::Current, expect, found.as_ref()));
            }
            let before = before.filter(|id| seen.member(id).is_some());
            let before = before.ok_or_else(|| StoreError::NotFound {
                place: self.about.place.clone(),
                what: "key A's secret".to_owned(),
            })?;
            labels.insert(CURRENT.to_owned(), before.clone());
            Ok(Some(Version::new(before)))
        })
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests;
