//! What a rotation does to the world, one act at a time, as the journal keeps it: ids, names,
//! versions and fingerprints, never a key.

use serde::{Deserialize, Serialize};

use crate::secret::Fingerprint;
use crate::store::Version;

/// Something that changes the world, or a finding out that later acts rest upon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum Act {
    /// Take the lock in a store, so that no other machine rotates the same key.
    Lock {
        /// The place whose store holds the lock.
        place: String,
    },
    /// Make key B.
    Create {
        /// Its name, or that of its new account; unlike that of every other attempt.
        name: String,
        /// The ids of the keys that the project had before: an orphan is none of them.
        before: Vec<String>,
        /// The ids of the service accounts that it had before.
        accounts: Vec<String>,
        /// What the API's own clock said, in seconds since 1970, if it told.
        api_time: Option<i64>,
    },
    /// Write key B where it can be probed, but nothing reads it yet.
    Stage {
        /// Where.
        place: String,
    },
    /// Ask with key B until it has answered often enough in a row.
    Probe,
    /// Make key B the one that readers get.
    Promote {
        /// Where.
        place: String,
        /// The version that readers get until then.
        over: Version,
    },
    /// Move a consumer to key B.
    RollOut {
        /// Which.
        consumer: String,
    },
    /// Find out that key B is used and nothing fails.
    Validate,
    /// Let key A end by itself, whatever becomes of the rotation. It can't be taken back.
    Expire {
        /// So many seconds from now on.
        seconds: u64,
    },
    /// Wait until key A has stood still for long enough.
    Quiet {
        /// From when on, in seconds since 1970.
        since: i64,
        /// When key A was last used, as the API told then.
        last_used: Option<i64>,
    },
    /// A person, or the policy, lets the rotation go on although key A is still used.
    Overrule {
        /// Who.
        by: String,
        /// Why.
        why: String,
    },
    /// Delete key A.
    Revoke,
    /// Find out that key A is dead.
    Prove,
    /// From here on everything is undone.
    Abort {
        /// Why.
        why: String,
    },
    /// Give readers key A again.
    Restore {
        /// Where.
        place: String,
        /// The version that readers get until then.
        over: Version,
    },
    /// Move a consumer back to key A.
    RollBack {
        /// Which.
        consumer: String,
    },
    /// Take out of a store what this rotation put beside the current version.
    Forget {
        /// Where.
        place: String,
    },
    /// Delete a key that this rotation made, and that nothing uses any more.
    Remove {
        /// The name of its [`Act::Create`].
        name: String,
    },
    /// Give the lock back.
    Unlock {
        /// The place whose store holds the lock.
        place: String,
    },
    /// The end.
    Close,
}

/// What came of an act.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum Phase {
    /// It is about to be done.
    Intent,
    /// It is done.
    Done {
        /// What became known by it.
        #[serde(flatten)]
        fact: Fact,
    },
    /// It is certain that it was not done.
    NotDone {
        /// Why, without a key.
        why: String,
    },
    /// Nobody can say whether it was done; what it may have left behind is looked for later.
    Unsure {
        /// Why, without a key.
        why: String,
    },
}

/// What became known by an act.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// The id of the key that was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The id of the service account that was made for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The fingerprint of the key that was made.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "print")]
    pub fingerprint: Option<Fingerprint>,
    /// The version that a store now has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// What a person should know, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When, in seconds since 1970.
    pub at: i64,
    /// What.
    pub act: Act,
    /// Before or after.
    pub phase: Phase,
}

impl Act {
    /// In words, for the plan, the progress and the record.
    pub fn describe(&self) -> String {
        match self {
            Self::Lock { place } => format!("take the lock at {place}"),
            Self::Create { name, .. } => format!("create key B, named {name}"),
            Self::Stage { place } => format!("write key B to the staging side of {place}"),
            Self::Probe => "probe key B".to_owned(),
            Self::Promote { place, .. } => format!("make key B the current one at {place}"),
            Self::RollOut { consumer } => format!("roll {consumer} out to key B"),
            Self::Validate => "validate that key B is used".to_owned(),
            Self::Expire { seconds } => format!("let key A end by itself in {seconds} s"),
            Self::Quiet { .. } => "wait until key A stands still".to_owned(),
            Self::Overrule { by, why } => {
                format!("go on although key A is used: {by} says: {why}")
            }
            Self::Revoke => "revoke key A".to_owned(),
            Self::Prove => "prove that key A is dead".to_owned(),
            Self::Abort { why } => format!("undo everything: {why}"),
            Self::Restore { place, .. } => format!("make key A the current one again at {place}"),
            Self::RollBack { consumer } => format!("roll {consumer} back to key A"),
            Self::Forget { place } => format!("tidy {place} up"),
            Self::Remove { name } => {
                format!("delete the key named {name}, which this rotation made")
            }
            Self::Unlock { place } => format!("give the lock at {place} back"),
            Self::Close => "close the rotation".to_owned(),
        }
    }
}

pub(super) mod print {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::secret::Fingerprint;

    pub(in crate::rotate) fn serialize<S: Serializer>(
        value: &Option<Fingerprint>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        value.serialize(to)
    }

    pub(in crate::rotate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Fingerprint>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| text.parse().map_err(serde::de::Error::custom))
            .transpose()
    }
}
