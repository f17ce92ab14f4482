//! The lock: a secret of its own, made only if it is not there, and changed by moving the label of
//! its current version under check-and-set. It is emptied, never deleted, since a deletion could
//! take another holder's.

use super::{Aws, CURRENT, api};
use crate::secret::Secret;
use crate::store::StoreError;
use crate::store::slots::Expect;
use crate::store::types::{Held, Slot, Version};

/// Ours, in the lock's secret: a version without any label may be removed.
const LEASE: &str = "skewer-lease";

/// A lock that nobody holds.
const FREE: &[u8] = b"{}";

impl Aws {
    pub(super) fn held_lock(&self) -> Result<Option<Held>, StoreError> {
        let there = self.lease()?;
        Ok(there.and_then(|(id, text)| {
            Some(Held {
                version: Version::new(id),
                value: Some(text?),
                note: None,
            })
        }))
    }

    pub(super) fn unlock(&self, held: &Held) -> Result<(), StoreError> {
        let free = Secret::new(FREE.to_vec());
        let expect = Expect::Version(&held.version);
        self.put_lock(&free, expect).map(|_| ())
    }

    /// The lock's version, and its text unless it is free.
    fn lease(&self) -> Result<Option<(String, Option<Secret>)>, StoreError> {
        match self.api.get(&self.lock, "VersionStage", CURRENT) {
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
            Ok(got) => {
                let text = Some(got.text).filter(|text| text.expose() != FREE);
                Ok(Some((got.version_id, text)))
            }
        }
    }

    pub(super) fn put_lock(
        &self,
        text: &Secret,
        expect: Expect<'_>,
    ) -> Result<Version, StoreError> {
        let from = match expect {
            Expect::Version(version) => version.as_str().to_owned(),
            Expect::Absent => {
                let token = api::token(&[text.expose()]);
                if let Some(id) = self.api.create(&self.lock, &token, text)? {
                    return Ok(Version::new(id));
                }
                match self.lease()? {
                    Some((id, None)) => id,
                    there => {
                        let id = there.as_ref().map(|(id, _)| id.as_str());
                        return Err(self.conflict(Slot::Lock, expect, id));
                    }
                }
            }
        };
        // The version that it follows has a say, so that a lease may come again.
        let token = api::token(&[from.as_bytes(), text.expose()]);
        let id = self.api.put(&self.lock, &token, text, LEASE)?;
        if self
            .api
            .move_label(&self.lock, CURRENT, Some(&from), Some(&id))?
        {
            return Ok(Version::new(id));
        }
        let there = self.lease()?;
        let there = there.as_ref().map(|(id, _)| id.as_str());
        Err(self.conflict(Slot::Lock, expect, there))
    }
}
