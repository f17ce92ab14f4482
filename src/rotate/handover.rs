//! Key B for a consumer that no rollout reaches: a token that is opened once, within a time, so that
//! the key passes through nobody's hands.

use std::time::Duration;

use super::journal::Summary;
use super::memory::Memory;
use crate::secret::Secret;
use crate::store::{Slot, Store, StoreError};

/// Why key B is not handed over.
#[derive(Debug, thiserror::Error)]
pub enum NoHandOver {
    /// The rotation has no such place.
    #[error("rotation {rotation} does not use {place}; its places are {places}")]
    NoPlace {
        /// Its id.
        rotation: String,
        /// What was named.
        place: String,
        /// What there is.
        places: String,
    },
    /// There is no key B waiting.
    #[error(
        "no key B waits at {place}: it does from when it is written there until the rotation is closed"
    )]
    Nothing {
        /// Where.
        place: String,
    },
    /// The store failed, or gives no such tokens.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A token for key B, which waits at a place of a rotation that is under way. Whoever opens it has
/// key B, and if it was opened before, that shows.
///
/// # Errors
/// See [`NoHandOver`].
pub fn hand_over(
    summary: &Summary,
    place: &str,
    store: &dyn Store,
    lifetime: Duration,
) -> Result<Secret, NoHandOver> {
    let plan = &summary.plan;
    if !plan.places.iter().any(|one| one == place) {
        return Err(NoHandOver::NoPlace {
            rotation: plan.id.clone(),
            place: place.to_owned(),
            places: plan.places.join(", "),
        });
    }
    let memory = Memory::of(&summary.entries);
    let known = memory.key_b().map(|made| made.fingerprint);
    let waits = match known.filter(|_| !memory.closed && memory.aborting.is_none()) {
        Some(print) => {
            let held = store.read(Slot::Next)?;
            held.and_then(|held| held.fingerprint()) == Some(print)
        }
        None => false,
    };
    match waits {
        true => Ok(store.hand_over(Slot::Next, lifetime)?),
        false => Err(NoHandOver::Nothing {
            place: place.to_owned(),
        }),
    }
}
