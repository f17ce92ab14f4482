//! What a rotation will do, decided before anything is changed, and kept in the journal: a rotation
//! that is resumed goes on with the plan that was agreed to.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::organisation::{Row, Scopes};
use crate::secret::Fingerprint;

/// When key A goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Key A lives until key B is proved and key A stands still.
    #[default]
    Graceful,
    /// Key A is being abused: it goes as soon as key B is staged and probed. Consumers fail until
    /// they are rolled out.
    Immediate,
    /// Key A has no consumers: it goes without a key B.
    RevokeOnly,
}

/// How key B comes to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Making {
    /// A second key on key A's service account, with these rights.
    OnAccount {
        /// The account's id.
        account: String,
        /// The rights.
        scopes: Scopes,
    },
    /// A new service account with a key: for the API before October 2026, which can't delete a
    /// service account's key by itself, and for keys of people.
    NewAccount,
    /// The owner hands it over.
    Handed,
}

/// What is deleted when key A is revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Revoking {
    /// The key.
    Key,
    /// Its service account, which must own no other key then.
    Account(String),
}

/// A consumer, as the plan names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consumer {
    /// Its name in the user's configuration.
    pub name: String,
    /// The place that it reads its key from.
    pub place: String,
    /// Whether it goes first.
    pub canary: bool,
}

/// How long things are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waits {
    /// Answers in a row that make key B proved, and key A dead.
    pub answers: u32,
    /// Seconds between such answers.
    pub between: u64,
    /// Seconds in which an answer must come to be believed; also how late a creation may show.
    pub settling: u64,
    /// Seconds that key A must stand still.
    pub quiet: u64,
    /// Seconds over which key A's death is watched.
    pub proof: u64,
    /// Tries of one act before the rotation pauses.
    pub tries: u32,
    /// Seconds for which the lock counts without being extended.
    pub lease: u64,
}

impl Default for Waits {
    fn default() -> Self {
        Self {
            answers: 3,
            between: 2,
            settling: 60,
            quiet: 900,
            proof: 300,
            tries: 5,
            lease: 900,
        }
    }
}

impl Waits {
    pub(super) fn between(&self) -> Duration {
        Duration::from_secs(self.between)
    }
}

/// The whole plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The rotation's id: 8 hexadecimal digits, which end key B's name.
    pub id: String,
    /// The project.
    pub project: String,
    /// Key A's row, confirmed.
    pub key: Row,
    /// Key A's fingerprint, if its value is at hand.
    #[serde(
        default,
        with = "super::act::print",
        skip_serializing_if = "Option::is_none"
    )]
    pub fingerprint: Option<Fingerprint>,
    /// When key A goes.
    pub strategy: Strategy,
    /// How key B comes to be.
    pub making: Making,
    /// What revoking deletes.
    pub revoking: Revoking,
    /// Key B's name, the id included.
    pub name: String,
    /// The places where key B is written, each once.
    pub places: Vec<String>,
    /// The place whose store holds the lock.
    pub lock: Option<String>,
    /// Who uses the key.
    pub consumers: Vec<Consumer>,
    /// So many seconds after key B was proved key A ends by itself, if it is to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expire_a: Option<u64>,
    /// So many seconds after it was made key B ends, if it is to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expire_b: Option<u64>,
    /// How long things take.
    pub waits: Waits,
    /// Who asked for it, the ticket, the host: for the trail.
    pub who: String,
}

impl Plan {
    /// The places of one stage, each once, in the plan's order.
    pub(super) fn places_of(&self, canary: bool) -> Vec<String> {
        let of_canary = |place: &&String| {
            self.consumers
                .iter()
                .any(|one| one.canary && one.place == **place)
        };
        self.places
            .iter()
            .filter(|place| of_canary(place) == canary)
            .cloned()
            .collect()
    }

    /// The consumers of one stage.
    pub(super) fn consumers_of(&self, canary: bool) -> Vec<String> {
        let of_stage = self.consumers.iter().filter(|one| one.canary == canary);
        of_stage.map(|one| one.name.clone()).collect()
    }

    /// The consumers that read from a place.
    pub(super) fn consumers_at(&self, place: &str) -> Vec<String> {
        let of_place = self.consumers.iter().filter(|one| one.place == place);
        of_place.map(|one| one.name.clone()).collect()
    }

    /// The name of an attempt to make key B: one whose answer was lost may show later, and must
    /// not be taken for the next.
    pub(super) fn attempt(&self, number: usize) -> String {
        match number {
            0 => self.name.clone(),
            n => format!("{}-{}", self.name, n + 1),
        }
    }

    /// Whether a key of this name was made by this rotation.
    pub fn made(&self, name: &str) -> bool {
        name.strip_prefix(&self.name).is_some_and(|rest| {
            rest.is_empty()
                || rest
                    .strip_prefix('-')
                    .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        })
    }
}
