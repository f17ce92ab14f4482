//! What is said of a store and of what it holds.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::secret::{Fingerprint, Secret};

/// The places of a store. Consumers read the current slot only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Slot {
    /// What consumers get.
    Current,
    /// Where key B waits until it is proved.
    Next,
    /// Where key A stays until the rotation is closed.
    Previous,
    /// Who works on it; holds no key.
    Lock,
}

impl Slot {
    /// Its name, for people and for the names of things in stores.
    pub fn name(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Next => "next",
            Self::Previous => "previous",
            Self::Lock => "lock",
        }
    }
}

/// Names a state of a slot: the store's own number for it or, where there is none, a fingerprint.
/// Equal only if the slot holds the same. It reveals nothing of the value, so that it may be
/// journaled.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(String);

impl Version {
    /// Takes over the store's own name.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The store's own name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Stands beside a value that a rotation wrote: whose it is, and which key it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Note {
    /// The rotation's id.
    pub rotation: String,
    /// The fingerprint of the key that the slot holds.
    pub fingerprint: Fingerprint,
}

/// What a slot holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The state that it is in.
    pub version: Version,
    /// The value; `None` in stores that never give one back.
    pub value: Option<Secret>,
    /// Whose it is, if a rotation wrote it.
    pub note: Option<Note>,
}

impl Held {
    /// The fingerprint of the value or, where it is not given back, what the note says of it.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        match &self.value {
            Some(value) => Some(value.fingerprint()),
            None => self.note.as_ref().map(|note| note.fingerprint),
        }
    }
}

/// How far a store protects a write from being lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckAndSet {
    /// The store itself refuses a write over a version that it has no more.
    Atomic,
    /// We compare, then write: another writer may come in between.
    Narrow,
    /// Nothing can be compared.
    None,
}

/// How key A can be given back after the promotion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivesBack {
    /// The store keeps it until the rotation is closed.
    Itself,
    /// Only if whoever asks has the value of key A.
    WithValue,
}

/// What a store can do, and what it can't: the plan prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Whether key B can wait beside key A. If not, it is promoted as it is written, and can be
    /// probed only after that.
    pub two_versions: bool,
    /// Whether a value can be read.
    pub reads_back: bool,
    /// How key A is restored.
    pub gives_back: GivesBack,
    /// How well a write is protected.
    pub check_and_set: CheckAndSet,
    /// Whether two rotations exclude each other through this store.
    pub locks: bool,
}

impl Capabilities {
    /// What the plan has to warn of, as sentences without their full stop.
    pub fn limits(&self) -> Vec<&'static str> {
        let limits = [
            (
                !self.two_versions,
                "holds one version only: key B is handed out as soon as it is written",
            ),
            (
                !self.reads_back,
                "gives no value back: what was written can't be compared, nor found again after a crash",
            ),
            (
                self.gives_back == GivesBack::WithValue,
                "can't give key A back by itself: an undo needs its value (abort ID --key-a, on standard input)",
            ),
            (
                self.check_and_set == CheckAndSet::Narrow,
                "compares before it writes, but not in one step: don't edit it during the rotation",
            ),
            (
                self.check_and_set == CheckAndSet::None,
                "can't compare before it writes: don't edit it during the rotation",
            ),
            (
                !self.locks,
                "can't be locked: see to it yourself that no second rotation begins elsewhere",
            ),
        ];
        let true_ones = limits.into_iter().filter(|(holds, _)| *holds);
        true_ones.map(|(_, text)| text).collect()
    }
}

/// What a look at a store told, before anything was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preflight {
    /// The state that the promotion will expect.
    pub current: Version,
    /// Which key consumers get now, where that can be told.
    pub fingerprint: Option<Fingerprint>,
    /// A rotation that was not finished left its key here: no other may begin.
    pub pending: Option<Note>,
    /// What else should be known, as sentences without their full stop.
    pub remarks: Vec<String>,
}

/// Who works on a store, and until when others keep away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    /// Names one holder among all machines: the rotation's id, and who runs it where.
    pub holder: String,
    /// The end, by the holder's clock. Others wait a little longer, see
    /// [`SKEW`](super::SKEW).
    #[serde(with = "moment")]
    pub until: Timestamp,
}

/// A time as RFC 3339 has it.
mod moment {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(time)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
