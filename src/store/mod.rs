//! Where key B is put, proved from, handed out and taken back: a file for each kind of store, one
//! [trait](Store) and one contract test for all.
//!
//! A store has [slots](Slot). Consumers read the current one. B is written to the next one, since
//! a value in the current slot is handed out at once; it is probed from there, and only then
//! promoted. A waits in the previous slot until the rotation is closed. Each write names the
//! version that it replaces, each step may be repeated, and what is there can be read again:
//! whoever was cut off in the middle finds out where it stands.

mod aws;
mod document;
mod error;
mod faulty;
mod file;
mod github;
mod gitlab;
mod kubernetes;
mod memory;
mod program;
pub(crate) mod rest;
mod session;
mod slots;
pub(crate) mod swarm;
mod types;
mod vault;

#[cfg(test)]
pub(crate) mod contract;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

pub use self::error::StoreError;
pub use self::faulty::{Call, Fault, Faulty};
pub use self::memory::Memory;
pub use self::types::{
    Capabilities, CheckAndSet, GivesBack, Held, Lease, Note, Preflight, Slot, Version,
};
use crate::config::{ConfigError, Section, Surroundings};
use crate::http;
use crate::secret::Secret;

/// How long a lease is heeded beyond its end, since clocks differ.
pub const SKEW: SignedDuration = SignedDuration::from_secs(60);

/// What a store is given besides its settings.
#[derive(Clone, Copy)]
pub struct Outside<'a> {
    /// Where credentials come from.
    pub surroundings: Surroundings<'a>,
    /// How servers are reached; a store may trust further certificates.
    pub http: &'a http::Settings,
    /// The time of day: requests and tokens are signed with it, and tokens end.
    pub now: fn() -> Timestamp,
}

/// Makes what a section describes.
pub(crate) type Open<T> = fn(&Section, &Outside<'_>) -> Result<Box<T>, ConfigError>;

/// A kind of store.
pub struct Kind {
    /// What `kind` says in the configuration.
    pub name: &'static str,
    /// One line about it.
    pub help: &'static str,
    open: Open<dyn Store>,
}

/// The kinds. A new one is one file and one line here.
#[rustfmt::skip]
pub const KINDS: &[Kind] = &[
    Kind { name: "file", help: "a value in a .env, YAML or JSON file, or in a file of its own", open: file::open },
    Kind { name: "vault", help: "a field of a secret in Vault or OpenBao, KV version 2", open: vault::open },
    Kind { name: "kubernetes", help: "a key of a Kubernetes Secret", open: kubernetes::open },
    Kind { name: "gitlab", help: "a CI/CD variable of a GitLab project or group", open: gitlab::open },
    Kind { name: "github", help: "a secret of GitHub Actions", open: github::open },
    Kind { name: "swarm", help: "a secret of a Docker Swarm", open: swarm::open },
    Kind { name: "aws", help: "a secret of AWS Secrets Manager, or a field of it", open: aws::open },
    Kind { name: "program", help: "a program of your own (protocol skewer.store/1)", open: program::open },
];

/// Opens the store that a section of the configuration describes. Nothing is asked of it yet.
///
/// # Errors
/// A setting is wrong, or a credential can't be had.
pub fn open(section: &Section, outside: &Outside<'_>) -> Result<Box<dyn Store>, ConfigError> {
    let kind = section.choose(KINDS, |kind| kind.name)?;
    (kind.open)(section, outside)
}

#[cfg(test)]
impl Outside<'_> {
    /// Nothing is there.
    pub(crate) fn for_tests() -> Self {
        static HTTP: std::sync::LazyLock<http::Settings> =
            std::sync::LazyLock::new(Default::default);
        Self {
            http: &HTTP,
            now: || Timestamp::from_second(1_800_000_000).unwrap(),
            surroundings: Surroundings {
                variable: &|_| None,
            },
        }
    }
}

/// A store for one key. Every step names its rotation and may be repeated: done twice, it has the
/// same outcome as once. After an error whose [`may_have_changed`](StoreError::may_have_changed)
/// holds, [`read`](Store::read) tells what became of it.
pub trait Store: Send + Sync {
    /// What it is and where, for people; holds no credential.
    fn place(&self) -> String;

    /// What it can do and what it can't.
    fn capabilities(&self) -> Capabilities;

    /// The least rights that a rotation needs, one a line, in the store's own words.
    fn rights(&self) -> Vec<String>;

    /// Looks whether a rotation can work here, without changing anything.
    ///
    /// # Errors
    /// A wrong path, a refused access, a rule of the store that B would break.
    fn preflight(&self) -> Result<Preflight, StoreError>;

    /// What a slot holds; `None` if it is empty.
    ///
    /// # Errors
    /// It can't be read. A current slot that does not exist is [`StoreError::NotFound`].
    fn read(&self, slot: Slot) -> Result<Option<Held>, StoreError>;

    /// Writes key B into the next slot.
    ///
    /// # Errors
    /// [`StoreError::Occupied`] if another rotation's key is there; [`StoreError::Unable`] if the
    /// store can't hold two versions.
    fn stage(&self, value: &Secret, note: &Note) -> Result<Version, StoreError>;

    /// Makes key B the current one, if the current slot is still as `over` says, and keeps A in
    /// the previous slot, where the store can. `value` must be what was staged. B stays in the
    /// next slot, too, until it is [forgotten](Store::forget).
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if somebody else wrote meanwhile.
    fn promote(&self, value: &Secret, note: &Note, over: &Version) -> Result<Version, StoreError>;

    /// Makes key A the current one again, if the current slot is still as `over` says. `value` is
    /// A's, for stores that can't [give it back](GivesBack) themselves.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if somebody else wrote meanwhile; [`StoreError::Unable`] if A is
    /// neither kept here nor given.
    fn restore(
        &self,
        value: Option<&Secret>,
        note: &Note,
        over: &Version,
    ) -> Result<Version, StoreError>;

    /// Empties the next and the previous slot of what this rotation put there.
    ///
    /// # Errors
    /// The store refuses, or can't be reached.
    fn forget(&self, rotation: &str) -> Result<(), StoreError>;

    /// Whether [`hand_over`](Self::hand_over) works here.
    fn wraps(&self) -> bool {
        false
    }

    /// Gives a token that whoever is to have a slot's value opens once, within `lifetime`, so that
    /// the value itself passes through nobody's hands; if it was opened before, that shows.
    ///
    /// # Errors
    /// [`StoreError::Unable`] in stores that don't know such tokens.
    fn hand_over(&self, slot: Slot, lifetime: Duration) -> Result<Secret, StoreError>;

    /// Takes or extends the lock, or takes over one that has ended ([`SKEW`] included).
    ///
    /// # Errors
    /// [`StoreError::Locked`] while another holder has it; [`StoreError::Unable`] where there are
    /// no locks.
    fn lock(&self, lease: &Lease, now: Timestamp) -> Result<(), StoreError>;

    /// Gives the lock up. Not to hold it any more is no error.
    ///
    /// # Errors
    /// The store refuses, or can't be reached.
    fn unlock(&self, holder: &str) -> Result<(), StoreError>;
}
