//! Suppressions that have lost their meaning: named in every report beside the findings. What was
//! suppressed is told by the findings themselves.

use crate::secret::Masked;

/// A baseline's entry that a report has something to say about.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Entry {
    /// The fingerprint, or the path of something acknowledged as unreadable.
    pub what: Masked,
    /// The reason that was written down.
    pub reason: Masked,
    /// Its last day, as written (`2026-12-31`).
    pub until: Option<String>,
}

/// Entries of the baseline that did not do what they were written for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suppressions {
    /// Nothing that was read matched them. Known only of a run that read everything: empty for a
    /// staged change or a part of the tree.
    pub unused: Vec<Entry>,
    /// They ran out, so what they named counts again.
    pub expired: Vec<Entry>,
}
