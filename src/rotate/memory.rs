//! What a rotation knows: the journal's entries, added up. Nothing else is remembered, so a
//! rotation that is resumed knows exactly what one that was never stopped does.

use std::collections::{BTreeMap, BTreeSet};

use super::act::{Act, Entry, Fact, Phase};
use crate::secret::Fingerprint;
use crate::store::Version;

/// An attempt to make key B.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The name that it was to have.
    pub name: String,
    /// The keys that were there before.
    pub before: Vec<String>,
    /// The service accounts that were there before.
    pub accounts: Vec<String>,
    /// When it was tried, by the API's clock if it told, in seconds since 1970.
    pub since: i64,
    /// What was made; none if the answer was lost.
    pub made: Option<Made>,
    /// Whether it is certain that nothing is left of it.
    pub gone: bool,
}

/// A key that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Its id.
    pub key: String,
    /// The account that was made for it.
    pub account: Option<String>,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
}

/// The versions at a place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Versions {
    /// Key B waits beside the current one.
    pub staged: bool,
    /// Something of ours may stand there beside the current version.
    pub untidy: bool,
    /// Key B's version, once readers get it.
    pub promoted: Option<Version>,
    /// Readers may get key B: it was at least tried.
    pub touched: bool,
    /// What readers got before that.
    pub over: Option<Version>,
    /// How often readers were given key A again.
    pub restored: u32,
}

/// What is known of key A's end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expiry {
    /// Nobody asked for one.
    #[default]
    Unasked,
    /// It was asked for, and nobody knows what came of it.
    Asked,
    /// Key A ends by itself.
    Set,
    /// The API refused; an earlier try may still have gone through.
    Refused,
}

/// Everything that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Places whose lock is held.
    pub locks: BTreeSet<String>,
    /// Attempts to make key B, in order.
    pub attempts: Vec<Attempt>,
    /// The versions, by place.
    pub places: BTreeMap<String, Versions>,
    /// Consumers that use key B.
    pub rolled: BTreeSet<String>,
    /// Consumers that were moved at all, and not moved back.
    pub touched: BTreeSet<String>,
    /// Key B has answered.
    pub probed: bool,
    /// Key B is used and nothing fails.
    pub validated: bool,
    /// Whether key A ends by itself.
    pub expiry: Expiry,
    /// Key A has stood still.
    pub quiet: bool,
    /// Somebody let the rotation go on although key A is used.
    pub overruled: bool,
    /// Key A is deleted.
    pub revoked: bool,
    /// Key A is dead.
    pub proved: bool,
    /// Everything is being undone.
    pub aborting: Option<String>,
    /// It is over.
    pub closed: bool,
    /// An act that was begun, and of which nobody knows how it ended.
    pub pending: Option<Act>,
    /// The last act that was refused or not done.
    pub refused: Option<Act>,
    /// What a person should know.
    pub notes: Vec<String>,
}

impl Memory {
    /// Adds up entries.
    pub fn of<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Self {
        let mut memory = Self::default();
        entries.into_iter().for_each(|entry| memory.add(entry));
        memory
    }

    /// Adds one entry.
    pub fn add(&mut self, entry: &Entry) {
        match &entry.phase {
            Phase::Intent => {
                if let Act::Create {
                    name,
                    before,
                    accounts,
                    api_time,
                } = &entry.act
                {
                    self.attempts.push(Attempt {
                        name: name.clone(),
                        before: before.clone(),
                        accounts: accounts.clone(),
                        since: api_time.unwrap_or(entry.at),
                        made: None,
                        gone: false,
                    });
                }
                // A consumer that may have been moved has to be moved back.
                if let Act::RollOut { consumer } | Act::RollBack { consumer } = &entry.act {
                    self.touched.insert(consumer.clone());
                }
                if let Act::Promote { place, over } = &entry.act {
                    let versions = self.versions(place);
                    versions.touched = true;
                    versions.over.get_or_insert_with(|| over.clone());
                }
                // A restoration is over when it is written down that it is.
                if let Act::Restore { place, .. } = &entry.act {
                    self.versions(place).touched = true;
                }
                if let Act::Stage { place } | Act::Promote { place, .. } = &entry.act {
                    self.versions(place).untidy = true;
                }
                if let Act::Expire { .. } = &entry.act {
                    self.expiry = Expiry::Asked;
                }
                self.pending = Some(entry.act.clone());
            }
            Phase::NotDone { why } => {
                if let Act::Expire { .. } = &entry.act {
                    self.expiry = Expiry::Refused;
                    self.notes
                        .push(format!("key A does not end by itself: {why}"));
                }
                if let Act::Create { .. } = &entry.act
                    && let Some(attempt) = self.attempts.last_mut()
                {
                    attempt.gone = true;
                }
                self.pending = None;
                self.refused = Some(entry.act.clone());
            }
            Phase::Unsure { .. } => self.pending = None,
            Phase::Done { fact } => {
                self.pending = None;
                self.notes.extend(fact.notes.iter().cloned());
                self.done(&entry.act, fact);
            }
        }
    }

    fn done(&mut self, act: &Act, fact: &Fact) {
        match act {
            Act::Lock { place } => drop(self.locks.insert(place.clone())),
            Act::Unlock { place } => drop(self.locks.remove(place)),
            Act::Create { .. } => {
                if let (Some(attempt), Some(key), Some(fingerprint)) =
                    (self.attempts.last_mut(), &fact.key, fact.fingerprint)
                {
                    attempt.made = Some(Made {
                        key: key.clone(),
                        account: fact.account.clone(),
                        fingerprint,
                    });
                }
            }
            Act::Stage { place } => self.versions(place).staged = true,
            Act::Promote { place, .. } => self.versions(place).promoted = fact.version.clone(),
            Act::Restore { place, .. } => {
                let versions = self.versions(place);
                (versions.promoted, versions.touched, versions.over) = (None, false, None);
                versions.restored += 1;
            }
            Act::Forget { place } => {
                let versions = self.versions(place);
                (versions.staged, versions.untidy) = (false, false);
            }
            Act::Probe => self.probed = true,
            Act::RollOut { consumer } => drop(self.rolled.insert(consumer.clone())),
            Act::RollBack { consumer } => {
                self.rolled.remove(consumer);
                self.touched.remove(consumer);
            }
            Act::Validate => self.validated = true,
            Act::Expire { .. } => self.expiry = Expiry::Set,
            Act::Quiet { .. } => self.quiet = true,
            Act::Overrule { .. } => self.overruled = true,
            Act::Revoke => self.revoked = true,
            Act::Prove => self.proved = true,
            Act::Abort { why } => self.aborting = Some(why.clone()),
            Act::Remove { name } => {
                let of_name = self.attempts.iter_mut().filter(|one| one.name == *name);
                of_name.for_each(|one| one.gone = true);
                // What was found out of it says nothing of the next.
                self.probed = false;
            }
            Act::Close => self.closed = true,
        }
    }

    fn versions(&mut self, place: &str) -> &mut Versions {
        self.places.entry(place.to_owned()).or_default()
    }

    /// Key B, if there is one.
    pub fn key_b(&self) -> Option<&Made> {
        let last = self.attempts.last().filter(|one| !one.gone)?;
        last.made.as_ref()
    }

    /// Attempts of which something may be left, other than key B.
    pub fn orphans(&self) -> impl Iterator<Item = &Attempt> {
        let b = self.key_b().map(|made| made.key.clone());
        self.attempts.iter().filter(move |one| {
            let is_b = one.made.as_ref().map(|made| &made.key) == b.as_ref() && b.is_some();
            !one.gone && !is_b
        })
    }

    /// Whether a place's readers get key B, as far as anybody knows.
    pub fn is_promoted(&self, place: &str) -> bool {
        self.places
            .get(place)
            .is_some_and(|versions| versions.promoted.is_some())
    }

    /// Whether key B is staged at a place.
    pub fn is_staged(&self, place: &str) -> bool {
        self.places
            .get(place)
            .is_some_and(|versions| versions.staged)
    }
}
