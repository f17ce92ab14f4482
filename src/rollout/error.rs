//! What can go wrong when consumers are moved.

use std::time::Duration;

use crate::store::StoreError;

/// Why a stage did not get where it should. The text may quote the words of a server or a program,
/// which come from outside: it goes through the redaction before anyone sees it.
#[derive(Debug, thiserror::Error)]
pub enum RolloutError {
    /// What is to be moved is not there.
    #[error("{target}: {what} is not there; check the configuration")]
    NotFound {
        /// What is moved.
        target: String,
        /// What was looked for.
        what: String,
    },
    /// We are known, and not let.
    #[error("{target}: refused to {doing}: {reason}; the least rights are: {rights}")]
    Denied {
        /// What is moved.
        target: String,
        /// What was tried, as a verb.
        doing: String,
        /// The words that came back.
        reason: String,
        /// What it takes.
        rights: String,
    },
    /// It can't be reached, or its answer was lost.
    #[error("{target}: can't {doing}: {reason}{}", if *sent { "; it may have been done all the same" } else { "" })]
    Unreachable {
        /// What is moved.
        target: String,
        /// What was tried, as a verb.
        doing: String,
        /// Why.
        reason: String,
        /// Whether it may have been done.
        sent: bool,
    },
    /// It was started and went wrong, or its health check did.
    #[error("{target}: {reason}")]
    Failed {
        /// What is moved.
        target: String,
        /// What went wrong.
        reason: String,
    },
    /// It did not end, or did not become healthy, in time.
    #[error("{target}: not done after {} s: {last}", limit.as_secs())]
    TooLate {
        /// What is moved.
        target: String,
        /// The time limit.
        limit: Duration,
        /// What was seen last.
        last: String,
    },
    /// An answer, or a setting, can't be understood.
    #[error("{target}: {reason}")]
    Malformed {
        /// What is moved.
        target: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The run is to end. What was started goes on; it can be waited for again.
    #[error("{target}: stopped while waiting; what was started goes on")]
    Stopped {
        /// What is moved.
        target: String,
    },
}

impl From<StoreError> for RolloutError {
    /// Servers are talked to as stores are; here, the place is a target.
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound { place, what } => Self::NotFound {
                target: place,
                what,
            },
            StoreError::Denied {
                place,
                doing,
                reason,
                rights,
            } => Self::Denied {
                target: place,
                doing,
                reason,
                rights,
            },
            StoreError::Unreachable {
                place,
                doing,
                reason,
                sent,
            } => Self::Unreachable {
                target: place,
                doing,
                reason,
                sent,
            },
            StoreError::Malformed { place, reason } => Self::Malformed {
                target: place,
                reason,
            },
            StoreError::Refused { place, reason } => Self::Failed {
                target: place,
                reason,
            },
            other => Self::Failed {
                target: String::new(),
                reason: other.to_string(),
            },
        }
    }
}

impl RolloutError {
    /// Whether the same question may be answered a little later.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}
