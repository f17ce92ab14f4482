//! The steps of a rotation, once for all stores that can read, write and remove a slot: a kind of
//! store implements [`Slots`], and is a [`Store`] by that.

use std::time::Duration;

use jiff::Timestamp;

use super::types::{Capabilities, GivesBack, Held, Lease, Note, Preflight, Slot, Version};
use super::{SKEW, Store, StoreError};
use crate::secret::Secret;

/// What is to be written into a slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Put<'a> {
    /// The value.
    pub(super) value: &'a Secret,
    /// What stands beside it, where the slot has room for it; the current one need not have.
    pub(super) note: Option<&'a Note>,
}

/// What has to hold for a write.
#[derive(Clone, Copy, Debug)]
pub(super) enum Expect<'a> {
    /// The slot is empty.
    Absent,
    /// The slot is in this state.
    Version(&'a Version),
}

/// What a kind of store says of itself.
#[derive(Clone, Debug)]
pub(super) struct About {
    /// See [`Store::place`].
    pub(super) place: String,
    /// See [`Store::capabilities`].
    pub(super) can: Capabilities,
    /// See [`Store::rights`].
    pub(super) rights: Vec<String>,
}

/// A store whose slots can be read, written and removed one by one.
pub(super) trait Slots: Send + Sync {
    /// What it is.
    fn about(&self) -> &About;

    /// What can be told of the store's rules beforehand, besides what reading its slots tells.
    fn look(&self) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }

    /// Reads a slot; `None` if it is empty.
    fn get(&self, slot: Slot) -> Result<Option<Held>, StoreError>;

    /// Writes a slot, or fails with [`StoreError::Conflict`].
    fn put(&self, slot: Slot, put: Put<'_>, expect: Expect<'_>) -> Result<Version, StoreError>;

    /// Empties a slot that is in that state; an empty one is no error.
    fn remove(&self, slot: Slot, held: &Held) -> Result<(), StoreError>;

    /// See [`Store::wraps`].
    fn wraps(&self) -> bool {
        false
    }

    /// Hands out again what was current before this rotation's promotion, in stores that keep it
    /// although they don't give its value back; `None` in all others. It may be repeated, too.
    fn turn_back(&self, _: &Note, _: &Version) -> Result<Option<Version>, StoreError> {
        Ok(None)
    }

    /// See [`Store::hand_over`].
    fn hand_over(&self, _: Slot, _: Duration) -> Result<Secret, StoreError> {
        Err(StoreError::Unable {
            place: self.about().place.clone(),
            what: "hand a value over by a token".to_owned(),
        })
    }
}

/// Parts of the steps.
trait Parts: Slots {
    fn current(&self) -> Result<Held, StoreError> {
        let held = self.get(Slot::Current)?;
        held.ok_or_else(|| StoreError::NotFound {
            place: self.about().place.clone(),
            what: "the value that consumers read".to_owned(),
        })
    }

    fn conflict(&self, slot: Slot, expected: &Version, found: &Version) -> StoreError {
        conflict(self, slot, Expect::Version(expected), Some(found))
    }

    /// The slot, if it is empty or this rotation's; another's is in the way.
    fn own(&self, slot: Slot, note: &Note) -> Result<Option<Held>, StoreError> {
        let held = self.get(slot)?;
        match held.as_ref().map(|held| &held.note) {
            Some(Some(there)) if there.rotation != note.rotation => Err(StoreError::Occupied {
                place: self.about().place.clone(),
                slot: slot.name(),
                rotation: there.rotation.clone(),
            }),
            Some(None) => Err(foreign(self, slot)),
            _ => Ok(held),
        }
    }

    fn keep(&self, current: &Held, note: &Note) -> Result<(), StoreError> {
        let Some(value) = &current.value else {
            return Ok(());
        };
        let kept = Note {
            rotation: note.rotation.clone(),
            fingerprint: value.fingerprint(),
        };
        let put = Put {
            value,
            note: Some(&kept),
        };
        match self.own(Slot::Previous, note)? {
            Some(there) if there.fingerprint() == Some(kept.fingerprint) => {}
            Some(there) => {
                let expect = Expect::Version(&there.version);
                self.put(Slot::Previous, put, expect)?;
            }
            None => {
                self.put(Slot::Previous, put, Expect::Absent)?;
            }
        }
        Ok(())
    }

    fn lease(&self, held: &Held) -> Result<Lease, StoreError> {
        let text = held.value.as_ref().map_or(&b""[..], Secret::expose);
        serde_json::from_slice(text).map_err(|_| StoreError::Malformed {
            place: self.about().place.clone(),
            reason: "what stands where the lock should be is none of ours; remove it by hand"
                .to_owned(),
        })
    }

    fn locked(&self, lease: Lease) -> StoreError {
        StoreError::Locked {
            place: self.about().place.clone(),
            holder: lease.holder,
            until: lease.until,
        }
    }

    fn unable(&self, what: &str) -> StoreError {
        StoreError::Unable {
            place: self.about().place.clone(),
            what: what.to_owned(),
        }
    }
}

impl<S: Slots> Parts for S {}

/// The error of a check-and-set that failed.
pub(super) fn conflict<S: Slots + ?Sized>(
    slots: &S,
    slot: Slot,
    expected: Expect<'_>,
    found: Option<&Version>,
) -> StoreError {
    StoreError::Conflict {
        place: slots.about().place.clone(),
        slot: slot.name(),
        expected: match expected {
            Expect::Absent => "nothing".to_owned(),
            Expect::Version(version) => version.to_string(),
        },
        found: found.map_or("nothing".to_owned(), Version::to_string),
    }
}

fn foreign<S: Slots + ?Sized>(slots: &S, slot: Slot) -> StoreError {
    StoreError::Malformed {
        place: slots.about().place.clone(),
        reason: format!(
            "what stands in the {} slot was not put there by a rotation; move it away",
            slot.name()
        ),
    }
}

impl<S: Slots> Store for S {
    fn place(&self) -> String {
        self.about().place.clone()
    }

    fn capabilities(&self) -> Capabilities {
        self.about().can
    }

    fn rights(&self) -> Vec<String> {
        self.about().rights.clone()
    }

    fn preflight(&self) -> Result<Preflight, StoreError> {
        let current = self.current()?;
        let mut pending = None;
        let can = self.about().can;
        let slots = [
            (Slot::Next, can.two_versions),
            (Slot::Previous, can.gives_back == GivesBack::Itself),
        ];
        for (slot, _) in slots.into_iter().filter(|(_, has)| *has) {
            if let Some(held) = self.get(slot)? {
                let note = held.note.ok_or_else(|| foreign(self, slot))?;
                pending.get_or_insert(note);
            }
        }
        if can.locks {
            // A lock that can't be read would stop the rotation in its first step.
            self.get(Slot::Lock)?;
        }
        Ok(Preflight {
            fingerprint: current.fingerprint(),
            current: current.version,
            pending,
            remarks: self.look()?,
        })
    }

    fn read(&self, slot: Slot) -> Result<Option<Held>, StoreError> {
        match slot {
            Slot::Current => self.current().map(Some),
            slot => self.get(slot),
        }
    }

    fn stage(&self, value: &Secret, note: &Note) -> Result<Version, StoreError> {
        if !self.about().can.two_versions {
            return Err(self.unable("hold two versions, so that nothing can be staged"));
        }
        let put = Put {
            value,
            note: Some(note),
        };
        match self.own(Slot::Next, note)? {
            Some(there) if there.note.as_ref() == Some(note) && there.value.is_some() => {
                Ok(there.version)
            }
            Some(there) => self.put(Slot::Next, put, Expect::Version(&there.version)),
            None => self.put(Slot::Next, put, Expect::Absent),
        }
    }

    fn promote(&self, value: &Secret, note: &Note, over: &Version) -> Result<Version, StoreError> {
        let can = self.about().can;
        let wrong = |what: &str| StoreError::Refused {
            place: self.about().place.clone(),
            reason: format!("{what}; nothing was promoted"),
        };
        if value.fingerprint() != note.fingerprint {
            return Err(wrong("the value is not the key of the note"));
        }
        let current = self.current()?;
        if current.fingerprint() == Some(note.fingerprint) {
            return Ok(current.version); // done before
        }
        if can.two_versions {
            let staged = self.own(Slot::Next, note)?;
            let staged = staged.ok_or_else(|| wrong("nothing is staged"))?;
            if staged.fingerprint() != Some(note.fingerprint) {
                return Err(wrong("another value is staged"));
            }
        }
        if current.version != *over {
            return Err(self.conflict(Slot::Current, over, &current.version));
        }
        if can.gives_back == GivesBack::Itself {
            self.keep(&current, note)?;
        }
        let put = Put {
            value,
            note: Some(note),
        };
        self.put(Slot::Current, put, Expect::Version(over))
    }

    fn restore(
        &self,
        value: Option<&Secret>,
        note: &Note,
        over: &Version,
    ) -> Result<Version, StoreError> {
        if let Some(version) = self.turn_back(note, over)? {
            return Ok(version);
        }
        let kept = match self.about().can.gives_back {
            GivesBack::Itself => self.own(Slot::Previous, note)?.and_then(|held| held.value),
            GivesBack::WithValue => None,
        };
        let Some(value) = kept.as_ref().or(value) else {
            return Err(self.unable("give key A back: its value is neither kept nor given"));
        };
        let current = self.current()?;
        if current.fingerprint() == Some(value.fingerprint()) {
            return Ok(current.version); // done before, or never promoted
        }
        if current.version != *over {
            return Err(self.conflict(Slot::Current, over, &current.version));
        }
        let kept = Note {
            rotation: note.rotation.clone(),
            fingerprint: value.fingerprint(),
        };
        let put = Put {
            value,
            note: Some(&kept),
        };
        self.put(Slot::Current, put, Expect::Version(over))
    }

    fn wraps(&self) -> bool {
        Slots::wraps(self)
    }

    fn hand_over(&self, slot: Slot, lifetime: Duration) -> Result<Secret, StoreError> {
        Slots::hand_over(self, slot, lifetime)
    }

    fn forget(&self, rotation: &str) -> Result<(), StoreError> {
        let can = self.about().can;
        let slots = [
            (Slot::Next, can.two_versions),
            (Slot::Previous, can.gives_back == GivesBack::Itself),
        ];
        for (slot, _) in slots.into_iter().filter(|(_, has)| *has) {
            let Some(held) = self.get(slot)? else {
                continue;
            };
            if held.note.as_ref().is_some_and(|n| n.rotation == rotation) {
                self.remove(slot, &held)?;
            }
        }
        Ok(())
    }

    fn lock(&self, lease: &Lease, now: Timestamp) -> Result<(), StoreError> {
        if !self.about().can.locks {
            return Err(self.unable("be locked"));
        }
        let text = serde_json::to_vec(lease).expect("two strings can be written");
        let text = Secret::new(text);
        let put = Put {
            value: &text,
            note: None,
        };
        let held = self.get(Slot::Lock)?;
        let expect = match &held {
            None => Expect::Absent,
            Some(held) => {
                let there = self.lease(held)?;
                let ended = there.until.saturating_add(SKEW);
                if there.holder != lease.holder && ended.is_ok_and(|ended| now < ended) {
                    return Err(self.locked(there));
                }
                Expect::Version(&held.version)
            }
        };
        match self.put(Slot::Lock, put, expect) {
            Err(StoreError::Conflict { .. }) => match self.get(Slot::Lock)? {
                Some(held) => {
                    let there = self.lease(&held)?;
                    match there == *lease {
                        true => Ok(()),
                        false => Err(self.locked(there)),
                    }
                }
                None => Err(self.conflict(
                    Slot::Lock,
                    &Version::new("a free lock"),
                    &Version::new("one that changes hands"),
                )),
            },
            outcome => outcome.map(|_| ()),
        }
    }

    fn unlock(&self, holder: &str) -> Result<(), StoreError> {
        let Some(held) = self.get(Slot::Lock)? else {
            return Ok(());
        };
        match self.lease(&held)?.holder == holder {
            true => self.remove(Slot::Lock, &held),
            false => Ok(()),
        }
    }
}
