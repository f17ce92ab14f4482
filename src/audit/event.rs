//! What a line of the trail says.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::trail::Hash;
use crate::secret::{Fingerprint, Masked};

/// The name of the form, and its version.
pub(super) const SCHEMA: &str = "skewer.trail/1";

/// Who acts, and on whose behalf. Whoever runs the program says so; the trail only writes it down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Who {
    /// The user or the service.
    #[serde(with = "text")]
    pub actor: Masked,
    /// The machine.
    #[serde(with = "text")]
    pub host: Masked,
    /// The CI job's address or number.
    #[serde(with = "optional", default, skip_serializing_if = "Option::is_none")]
    pub job: Option<Masked>,
    /// The ticket that asks for it.
    #[serde(with = "optional", default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<Masked>,
    /// Who approved of it.
    #[serde(with = "optional", default, skip_serializing_if = "Option::is_none")]
    pub approver: Option<Masked>,
}

/// A line of the trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Always `skewer.trail/1`.
    pub schema: String,
    /// The number of the line, from 1.
    pub seq: u64,
    /// When it was written, by the clock of that machine.
    #[serde(with = "moment")]
    pub time: Timestamp,
    /// The hash of the record before.
    pub prev: Hash,
    /// If torn lines stand between that record and this one, since their writers were ended in
    /// the middle: the hash of all their bytes but the last line feed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub torn: Option<Hash>,
    /// Who acted.
    pub who: Who,
    /// What happened.
    pub event: Event,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Event {
    /// A leaked key was found, and what became of the question whether it lives.
    Leak(Leak),
    /// A step of a rotation, a revocation, a containment.
    Step(Step),
}

/// A leaked key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leak {
    /// Which key.
    pub key: Fingerprint,
    /// How it looks, masked.
    #[serde(with = "text")]
    pub mask: Masked,
    /// The rule that found it.
    pub rule: String,
    /// The rule's severity, in its word.
    pub severity: String,
    /// Where the key stands.
    #[serde(with = "text")]
    pub place: Masked,
    /// `live`, `dead` or `unknown`, if that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// Its id in the Admin API, once confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
}

/// A step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The rotation's id; of a containment the project's.
    pub rotation: String,
    /// The step's name: a state of the machine, `lock`, `plan` and so on.
    pub step: String,
    /// What is done to the entity.
    pub activity: Activity,
    /// What it is done to.
    pub entity: Entity,
    /// What came of it.
    pub outcome: Outcome,
    /// Why, or what went wrong, for people.
    #[serde(with = "optional", default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Masked>,
    /// What was seen: versions, counts, request ids, times. Evidence, not prose.
    #[serde(with = "map", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub facts: BTreeMap<String, Masked>,
}

/// What is done to an entity, in OCSF's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // the words are OCSF's
pub enum Activity {
    Create,
    Read,
    Update,
    Delete,
    Move,
    Enable,
    Disable,
    Activate,
    Deactivate,
    Suspend,
    Resume,
    /// None of these: the step's name says it.
    Other,
}

/// What a step is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entity {
    /// What kind of thing.
    pub kind: EntityKind,
    /// Its id or its place.
    #[serde(with = "text")]
    pub id: Masked,
    /// Its name.
    #[serde(with = "optional", default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Masked>,
    /// Which key it is, or holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Fingerprint>,
}

/// Kinds of things.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntityKind {
    /// A key of the API.
    ApiKey,
    /// A place in a store.
    Secret,
    /// What uses a key.
    Consumer,
    /// A project of the organisation.
    Project,
    /// A service account.
    ServiceAccount,
    /// The rotation itself.
    Rotation,
}

impl EntityKind {
    /// The word, as it is in the trail.
    pub fn name(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key",
            Self::Secret => "secret",
            Self::Consumer => "consumer",
            Self::Project => "project",
            Self::ServiceAccount => "service_account",
            Self::Rotation => "rotation",
        }
    }
}

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is about to be done; its outcome follows.
    Intended,
    /// It is done.
    Success,
    /// It is not done.
    Failure,
    /// Nobody knows yet: the answer was lost.
    Unknown,
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

/// A text. Records are read from lines that went through the redaction as a whole (see
/// [`records`](super::records)), so that the texts in them are masked.
mod text {
    use crate::secret::Masked;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(text: &Masked, to: S) -> Result<S::Ok, S::Error> {
        text.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Masked, D::Error> {
        String::deserialize(from).map(Masked::vouched)
    }
}

/// A text that may be missing.
mod optional {
    use crate::secret::Masked;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(
        text: &Option<Masked>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        text.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Masked>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        Ok(text.map(Masked::vouched))
    }
}

/// Named texts.
mod map {
    use crate::secret::Masked;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::collections::BTreeMap;

    pub(super) fn serialize<S: Serializer>(
        texts: &BTreeMap<String, Masked>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        texts.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<String, Masked>, D::Error> {
        let texts = BTreeMap::<String, String>::deserialize(from)?;
        let vouched = |(name, text): (String, String)| (name, Masked::vouched(text));
        Ok(texts.into_iter().map(vouched).collect())
    }
}
