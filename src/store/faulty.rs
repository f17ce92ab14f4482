//! A store that fails when it is told to: for the tests of what uses stores.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::types::{Capabilities, Held, Lease, Note, Preflight, Slot, Version};
use super::{Store, StoreError};
use crate::secret::Secret;

/// A call to a store that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)] // each has the name of the trait's method
pub enum Call {
    Preflight,
    Read,
    Stage,
    Promote,
    Restore,
    Forget,
    Lock,
    Unlock,
}

impl Call {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Preflight,
        Self::Read,
        Self::Stage,
        Self::Promote,
        Self::Restore,
        Self::Forget,
        Self::Lock,
        Self::Unlock,
    ];
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The request never arrives.
    BeforeCommit,
    /// It is carried out, and the answer is lost.
    AfterCommit,
    /// Somebody else wrote meanwhile.
    Conflict,
    /// The store does not let us.
    Denied,
    /// What is read is not what was written.
    Mismatch,
}

/// A store around another, with faults that were ordered.
pub struct Faulty<S> {
    inner: S,
    /// By call: how many go through yet, then the fault, then how often.
    orders: Mutex<BTreeMap<Call, (usize, Fault, usize)>>,
}

impl<S: Store> Faulty<S> {
    /// A store without faults, for now.
    pub fn new(inner: S) -> Self {
        Self {
            inner,
            orders: Mutex::default(),
        }
    }

    /// After `pass` calls that go through, `times` of them fail. Replaces the order for this call.
    pub fn order(&self, call: Call, pass: usize, fault: Fault, times: usize) {
        self.orders().insert(call, (pass, fault, times));
    }

    /// The store inside.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    fn orders(&self) -> std::sync::MutexGuard<'_, BTreeMap<Call, (usize, Fault, usize)>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn due(&self, call: Call) -> Option<Fault> {
        let mut orders = self.orders();
        let (pass, fault, times) = orders.get_mut(&call)?;
        if *pass > 0 {
            *pass -= 1;
            return None;
        }
        *times = times.checked_sub(1)?;
        Some(*fault)
    }

    fn run<T>(
        &self,
        call: Call,
        run: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let place = self.inner.place();
        let lost = |sent| StoreError::Unreachable {
            place: place.clone(),
            doing: format!("{call:?}").to_lowercase(),
            reason: "a fault was ordered".to_owned(),
            sent,
        };
        match self.due(call) {
            None | Some(Fault::Mismatch) => run(),
            Some(Fault::BeforeCommit) => Err(lost(false)),
            Some(Fault::AfterCommit) => {
                run()?;
                Err(lost(true))
            }
            Some(Fault::Conflict) => Err(StoreError::Conflict {
                place,
                slot: Slot::Current.name(),
                expected: "one".to_owned(),
                found: "another".to_owned(),
            }),
            Some(Fault::Denied) => Err(StoreError::Denied {
                place,
                doing: format!("{call:?}").to_lowercase(),
                reason: "a fault was ordered".to_owned(),
                rights: self.inner.rights().join("; "),
            }),
        }
    }
}

impl<S: Store> Store for Faulty<S> {
    fn place(&self) -> String {
        self.inner.place()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn rights(&self) -> Vec<String> {
        self.inner.rights()
    }

    fn preflight(&self) -> Result<Preflight, StoreError> {
        self.run(Call::Preflight, || self.inner.preflight())
    }

    fn read(&self, slot: Slot) -> Result<Option<Held>, StoreError> {
        let mismatch = {
            let orders = self.orders();
            matches!(orders.get(&Call::Read), Some((0, Fault::Mismatch, times)) if *times > 0)
        };
        let mut held = self.run(Call::Read, || self.inner.read(slot))?;
        if let (true, Some(held)) = (mismatch, &mut held) {
            let mut other = held
                .value
                .as_ref()
                .map_or(Vec::new(), |v| v.expose().to_vec());
            other.push(b'~');
            held.value = Some(Secret::new(other));
        }
        Ok(held)
    }

    fn stage(&self, value: &Secret, note: &Note) -> Result<Version, StoreError> {
        self.run(Call::Stage, || self.inner.stage(value, note))
    }

    fn promote(&self, value: &Secret, note: &Note, over: &Version) -> Result<Version, StoreError> {
        self.run(Call::Promote, || self.inner.promote(value, note, over))
    }

    fn restore(
        &self,
        value: Option<&Secret>,
        note: &Note,
        over: &Version,
    ) -> Result<Version, StoreError> {
        self.run(Call::Restore, || self.inner.restore(value, note, over))
    }

    fn forget(&self, rotation: &str) -> Result<(), StoreError> {
        self.run(Call::Forget, || self.inner.forget(rotation))
    }

    fn wraps(&self) -> bool {
        self.inner.wraps()
    }

    fn hand_over(&self, slot: Slot, lifetime: Duration) -> Result<Secret, StoreError> {
        self.run(Call::Read, || self.inner.hand_over(slot, lifetime))
    }

    fn lock(&self, lease: &Lease, now: Timestamp) -> Result<(), StoreError> {
        self.run(Call::Lock, || self.inner.lock(lease, now))
    }

    fn unlock(&self, holder: &str) -> Result<(), StoreError> {
        self.run(Call::Unlock, || self.inner.unlock(holder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Memory;
    use crate::store::contract::{self, key, note};

    #[test]
    fn without_orders_the_contract_holds() {
        contract::check(|| Box::new(Faulty::new(Memory::new(key(1)))));
    }

    #[test]
    fn faults_come_when_they_were_ordered_and_then_no_more() {
        let store = Faulty::new(Memory::new(key(1)));
        let over = store.preflight().unwrap().current;
        let note = note("r1", &key(2));
        store.order(Call::Stage, 0, Fault::BeforeCommit, 1);
        let error = store.stage(&key(2), &note).unwrap_err();
        assert!(!error.may_have_changed() && error.is_passing());
        assert_eq!(store.read(Slot::Next).unwrap(), None);
        store.stage(&key(2), &note).unwrap();

        store.order(Call::Promote, 0, Fault::AfterCommit, 1);
        let error = store.promote(&key(2), &note, &over).unwrap_err();
        assert!(error.may_have_changed());
        assert_eq!(store.inner().handed_out(), Some(key(2)));

        store.order(Call::Read, 1, Fault::Mismatch, 1);
        let values: Vec<_> = (0..3)
            .map(|_| store.read(Slot::Current).unwrap().unwrap().value.unwrap())
            .collect();
        assert!(values[0] == key(2) && values[1] != key(2) && values[2] == key(2));
    }
}
