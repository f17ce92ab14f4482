//! A store in memory: for drills, and for the tests of what uses stores.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::StoreError;
use super::slots::{About, Expect, Put, Slots, conflict};
use super::types::{Capabilities, CheckAndSet, GivesBack, Held, Note, Slot, Version};
use crate::secret::Secret;

/// A store that forgets everything when it is dropped.
pub struct Memory {
    about: About,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    slots: BTreeMap<Slot, Held>,
    writes: u64,
    /// What can be had for a token, once.
    wrapped: Vec<(Secret, Secret)>,
}

impl Memory {
    /// A store that can do everything; consumers read `current`.
    pub fn new(current: Secret) -> Self {
        Self::with(
            current,
            Capabilities {
                two_versions: true,
                reads_back: true,
                gives_back: GivesBack::Itself,
                check_and_set: CheckAndSet::Atomic,
                locks: true,
            },
        )
    }

    /// A store that can do only so much.
    pub fn with(current: Secret, can: Capabilities) -> Self {
        let mut state = State::default();
        let held = Held {
            version: Version::new("0"),
            value: Some(current),
            note: None,
        };
        state.slots.insert(Slot::Current, held);
        Self {
            about: About {
                place: "memory".to_owned(),
                can,
                rights: Vec::new(),
            },
            state: Mutex::new(state),
        }
    }

    /// What consumers get, whatever the store gives back to us.
    pub fn handed_out(&self) -> Option<Secret> {
        let state = self.state();
        state.slots.get(&Slot::Current)?.value.clone()
    }

    /// Opens a token of [`Store::hand_over`](super::Store::hand_over): it can be done once.
    pub fn unwrap_token(&self, token: &Secret) -> Option<Secret> {
        let mut state = self.state();
        let at = state.wrapped.iter().position(|(known, _)| known == token)?;
        Some(state.wrapped.remove(at).1)
    }

    /// Somebody else writes the current slot.
    pub fn meddle(&self, value: Secret) {
        let mut state = self.state();
        state.write(Slot::Current, value, None);
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn write(&mut self, slot: Slot, value: Secret, note: Option<Note>) -> Version {
        self.writes += 1;
        let version = Version::new(self.writes.to_string());
        let held = Held {
            version: version.clone(),
            value: Some(value),
            note,
        };
        self.slots.insert(slot, held);
        version
    }
}

impl Slots for Memory {
    fn about(&self) -> &About {
        &self.about
    }

    fn get(&self, slot: Slot) -> Result<Option<Held>, StoreError> {
        let mut held = self.state().slots.get(&slot).cloned();
        if !self.about.can.reads_back && slot != Slot::Lock {
            held.iter_mut().for_each(|held| held.value = None);
            if !self.about.can.two_versions {
                held.iter_mut().for_each(|held| held.note = None);
            }
        }
        Ok(held)
    }

    fn put(&self, slot: Slot, put: Put<'_>, expect: Expect<'_>) -> Result<Version, StoreError> {
        let mut state = self.state();
        let there = state.slots.get(&slot).map(|held| &held.version);
        let fits = match expect {
            Expect::Absent => there.is_none(),
            Expect::Version(version) => there == Some(version),
        };
        match fits {
            true => Ok(state.write(slot, put.value.clone(), put.note.cloned())),
            false => Err(conflict(self, slot, expect, there)),
        }
    }

    fn wraps(&self) -> bool {
        true
    }

    fn hand_over(&self, slot: Slot, _: Duration) -> Result<Secret, StoreError> {
        let mut state = self.state();
        let held = state.slots.get(&slot).and_then(|held| held.value.clone());
        let value = held.ok_or_else(|| StoreError::NotFound {
            place: self.about.place.clone(),
            what: "a value to be handed over".to_owned(),
        })?;
        state.writes += 1;
        let token = Secret::new(format!("token-{}", state.writes).into_bytes());
        state.wrapped.push((token.clone(), value));
        Ok(token)
    }

    fn remove(&self, slot: Slot, held: &Held) -> Result<(), StoreError> {
        let mut state = self.state();
        if let Some(there) = state.slots.get(&slot) {
            if there.version != held.version {
                let expect = Expect::Version(&held.version);
                return Err(conflict(self, slot, expect, Some(&there.version)));
            }
            state.slots.remove(&slot);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract::{self, key};

    #[test]
    fn the_contract_holds() {
        contract::check(|| Box::new(Memory::new(key(1))));
    }

    #[test]
    fn the_contract_holds_for_stores_that_can_do_less() {
        for (two_versions, reads_back, locks) in [
            (false, true, true),
            (true, false, true),
            (true, true, false),
            (false, false, false),
        ] {
            let can = Capabilities {
                two_versions,
                reads_back,
                gives_back: GivesBack::WithValue,
                check_and_set: CheckAndSet::Atomic,
                locks,
            };
            contract::check(|| Box::new(Memory::with(key(1), can)));
        }
    }
}
