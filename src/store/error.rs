//! What can go wrong between us and a store, and whether something may have changed in it.

use jiff::Timestamp;

/// Why a store did not do what was asked. The text may quote the store's own words, which come
/// from outside: it goes through the redaction before anyone sees it. No value is ever in it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is nothing at that path, or not the field that was named.
    #[error("{place}: {what} is not there; check the path in the configuration")]
    NotFound {
        /// The store.
        place: String,
        /// What was looked for.
        what: String,
    },
    /// The store knows us, and does not let us.
    #[error("{place}: refused to {doing}: {reason}; the least rights are: {rights}")]
    Denied {
        /// The store.
        place: String,
        /// What was tried, as a verb.
        doing: String,
        /// The store's words.
        reason: String,
        /// What it takes.
        rights: String,
    },
    /// Somebody else wrote in between: the check-and-set failed, and nothing was changed.
    #[error(
        "{place}: {slot} was changed by somebody else meanwhile (expected {expected}, found {found}); nothing was written"
    )]
    Conflict {
        /// The store.
        place: String,
        /// Which of its slots.
        slot: &'static str,
        /// The version that was expected.
        expected: String,
        /// The version that is there.
        found: String,
    },
    /// Another rotation holds the lock.
    #[error("{place}: locked by {holder} until {until}; wait for it, or look at that rotation")]
    Locked {
        /// The store.
        place: String,
        /// Who holds it.
        holder: String,
        /// Until when, by the holder's clock.
        until: Timestamp,
    },
    /// A rotation that was not finished left its key here.
    #[error(
        "{place}: rotation {rotation} left an unfinished key in the {slot} slot; resume or abort that rotation first"
    )]
    Occupied {
        /// The store.
        place: String,
        /// Which of its slots.
        slot: &'static str,
        /// Whose key it is.
        rotation: String,
    },
    /// The store can't do that at all; its [`Capabilities`](super::Capabilities) say so.
    #[error("{place}: can't {what}")]
    Unable {
        /// The store.
        place: String,
        /// What it can't, as a verb.
        what: String,
    },
    /// The store has a rule that this breaks: a protected variable, a value that can't be masked.
    #[error("{place}: {reason}")]
    Refused {
        /// The store.
        place: String,
        /// The rule, and what to do.
        reason: String,
    },
    /// What the store says, or what stands in the file, can't be understood.
    #[error("{place}: {reason}")]
    Malformed {
        /// The store.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The store can't be reached, is overloaded, or its answer was lost.
    #[error("{place}: can't {doing}: {reason}{}", if *sent { "; it may have been done all the same" } else { "" })]
    Unreachable {
        /// The store.
        place: String,
        /// What was tried, as a verb.
        doing: String,
        /// Why.
        reason: String,
        /// Whether the request may have been carried out: then only reading tells.
        sent: bool,
    },
}

impl StoreError {
    /// Whether the call may have changed the store although it failed, so that only reading tells.
    pub fn may_have_changed(&self) -> bool {
        matches!(self, Self::Unreachable { sent: true, .. })
    }

    /// Whether the same call may succeed a little later.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}
