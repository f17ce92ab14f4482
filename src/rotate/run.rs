//! One rotation under way: each act is written down, done, and written down again. What fails is
//! tried again with growing pauses; what can't be known is found out, or left for later.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::act::{Act, Entry, Fact, Phase};
use super::journal::{Claim, Journal, JournalError};
use super::memory::Memory;
use super::organisation::{CallError, Organisation};
use super::plan::Plan;
use crate::clock::Clock;
use crate::rollout::{RolloutError, Stage};
use crate::secret::{Fingerprint, Secret};
use crate::store::{Lease, Note, Slot, Store, StoreError};

/// Everything outside that a rotation works with.
#[derive(Clone, Copy)]
pub struct World<'a> {
    /// Who issues keys.
    pub organisation: &'a dyn Organisation,
    /// The stores, by the plan's names of places.
    pub stores: &'a BTreeMap<String, Arc<dyn Store>>,
    /// What moves consumers, by their names.
    pub rollouts: &'a BTreeMap<String, Stage>,
    /// The time; its waits end early when the user wants to stop.
    pub clock: &'a dyn Clock,
    /// Key A, if its value is at hand.
    pub key_a: Option<&'a Secret>,
    /// Key B, if its owner handed it over.
    pub handed: Option<&'a Secret>,
    /// Is told of each entry.
    pub watch: &'a dyn Fn(&Plan, &Entry),
}

/// Why a rotation stands still. All can be resumed.
#[derive(Debug, thiserror::Error)]
pub enum Halt {
    /// The journal failed: nothing more is done.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The user stopped it.
    #[error("stopped; resume or abort it")]
    Interrupted,
    /// The other side refused.
    #[error("can't {what}: {why}")]
    Refused {
        /// What was tried.
        what: String,
        /// Why not.
        why: String,
    },
    /// It did not work in as many tries as the plan allows.
    #[error("can't {what}: {why}; tried {tries} times")]
    Spent {
        /// What was tried.
        what: String,
        /// The last reason.
        why: String,
        /// How often.
        tries: u32,
    },
    /// A person has to decide.
    #[error("{0}")]
    Human(String),
}

/// A rotation under way.
pub struct Run<'a> {
    pub(super) plan: Plan,
    pub(super) memory: Memory,
    pub(super) world: World<'a>,
    pub(super) key_b: Option<Secret>,
    journal: &'a mut Journal,
    _claim: Option<Claim>,
}

impl<'a> Run<'a> {
    /// Begins a rotation with this plan.
    ///
    /// # Errors
    /// One of the same key is under way, or the journal can't be written.
    pub fn begin(plan: Plan, journal: &'a mut Journal, world: World<'a>) -> Result<Self, Halt> {
        let claim = journal.claim(&plan.id)?;
        journal.begin(&plan, world.clock.now().as_second())?;
        Ok(Self::new(plan, journal, world, claim))
    }

    /// Begins a rotation that nobody asked for: the policy allows so many within 24 hours.
    ///
    /// # Errors
    /// See [`Journal::begin_automatic`].
    pub fn begin_automatic(
        plan: Plan,
        journal: &'a mut Journal,
        world: World<'a>,
        a_day: u32,
    ) -> Result<Self, Halt> {
        let claim = journal.claim(&plan.id)?;
        journal.begin_automatic(&plan, world.clock.now().as_second(), a_day)?;
        Ok(Self::new(plan, journal, world, claim))
    }

    fn new(plan: Plan, journal: &'a mut Journal, world: World<'a>, claim: Option<Claim>) -> Self {
        Self {
            plan,
            memory: Memory::default(),
            world,
            key_b: None,
            _claim: claim,
            journal,
        }
    }

    /// Goes on with a rotation that is in the journal.
    ///
    /// # Errors
    /// There is none of this id, or the journal can't be read.
    pub fn resume(id: &str, journal: &'a mut Journal, world: World<'a>) -> Result<Self, Halt> {
        let claim = journal.claim(id)?;
        let summary = journal.read(id)?;
        Ok(Self {
            memory: Memory::of(&summary.entries),
            plan: summary.plan,
            world,
            key_b: None,
            _claim: claim,
            journal,
        })
    }

    /// Whether it stands still where everybody is better off with key A than with half of a
    /// rotation: a consumer did not become healthy while key A lives, or somebody else holds the
    /// lock and nothing was done yet.
    pub fn is_better_undone(&self, halt: &Halt) -> bool {
        let at_the_door = self.memory.attempts.is_empty() && self.memory.locks.is_empty();
        let hopeless = match self.memory.refused {
            Some(Act::RollOut { .. }) => true,
            Some(Act::Lock { .. }) => at_the_door,
            _ => false,
        };
        matches!(halt, Halt::Refused { .. })
            && hopeless
            && !self.memory.revoked
            && self.memory.aborting.is_none()
    }

    /// Whether it stands still because key A is still used, which can be overruled.
    pub fn is_still_used(&self, halt: &Halt) -> bool {
        matches!(halt, Halt::Human(_)) && matches!(self.memory.refused, Some(Act::Quiet { .. }))
    }

    /// What is known so far.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Does one act: intent, effect, outcome. `effect` may be asked again.
    pub(super) fn perform(
        &mut self,
        act: Act,
        mut effect: impl FnMut(&mut Self) -> Result<Fact, CallError>,
    ) -> Result<Fact, Halt> {
        let tries = self.plan.waits.tries.max(1);
        let mut last = String::new();
        self.write(&act, Phase::Intent)?;
        for attempt in 0..tries {
            self.rest(attempt)?;
            match effect(self) {
                Ok(fact) => {
                    self.write(&act, Phase::Done { fact: fact.clone() })?;
                    return Ok(fact);
                }
                Err(CallError::Refused(why)) => {
                    self.write(&act, Phase::NotDone { why: why.clone() })?;
                    let what = act.describe();
                    return Err(Halt::Refused { what, why });
                }
                Err(CallError::NotDone(why) | CallError::Unsure(why)) => last = why,
            }
        }
        self.write(&act, Phase::Unsure { why: last.clone() })?;
        Err(Halt::Spent {
            what: act.describe(),
            why: last,
            tries,
        })
    }

    /// Does one act that must not be repeated blindly: once.
    pub(super) fn perform_once(
        &mut self,
        act: &Act,
        effect: impl FnOnce(&mut Self) -> Result<Fact, CallError>,
    ) -> Result<Result<Fact, CallError>, Halt> {
        self.write(act, Phase::Intent)?;
        let outcome = effect(self);
        let phase = match &outcome {
            Ok(fact) => Phase::Done { fact: fact.clone() },
            Err(CallError::Unsure(why)) => Phase::Unsure { why: why.clone() },
            Err(error) => Phase::NotDone {
                why: error.to_string(),
            },
        };
        self.write(act, phase)?;
        Ok(outcome)
    }

    /// Writes one entry down, then believes it.
    pub(super) fn write(&mut self, act: &Act, phase: Phase) -> Result<(), Halt> {
        let entry = Entry {
            at: self.world.clock.now().as_second(),
            act: act.clone(),
            phase,
        };
        self.journal.write(&self.plan.id, &entry)?;
        self.memory.add(&entry);
        (self.world.watch)(&self.plan, &entry);
        Ok(())
    }

    /// The pause before a try: none before the first, then twice as long each time.
    pub(super) fn rest(&self, attempt: u32) -> Result<(), Halt> {
        let seconds = match attempt {
            0 => 0,
            n => 1 << n.min(6),
        };
        self.wait(Duration::from_secs(seconds))
    }

    /// Waits, unless the user wants to stop.
    pub(super) fn wait(&self, time: Duration) -> Result<(), Halt> {
        self.world.clock.sleep(time).map_err(|_| Halt::Interrupted)
    }

    /// Waits within an act.
    pub(super) fn pause(&self, time: Duration) -> Result<(), CallError> {
        // The next try finds out that the user wants to stop.
        self.wait(time)
            .map_err(|_| CallError::NotDone("stopped".to_owned()))
    }

    /// The store of a place.
    pub(super) fn store(&self, place: &str) -> Result<&'a dyn Store, CallError> {
        let found = self.world.stores.get(place).map(Arc::as_ref);
        found.ok_or_else(|| {
            CallError::Refused(format!("the configuration has no place {place} any more"))
        })
    }

    /// What moves a consumer.
    pub(super) fn rollout(&self, consumer: &str) -> Result<&'a Stage, CallError> {
        self.world.rollouts.get(consumer).ok_or_else(|| {
            CallError::Refused(format!(
                "the configuration has no consumer {consumer} any more"
            ))
        })
    }

    /// Takes the lock, or makes sure that we still have it.
    pub(super) fn lease(&self, place: &str) -> Result<(), CallError> {
        let now = self.world.clock.now();
        let lease = Lease {
            holder: self.plan.id.clone(),
            until: now + jiff::SignedDuration::from_secs(self.plan.waits.lease as i64),
        };
        Ok(self.store(place)?.lock(&lease, now)?)
    }

    /// Key B's value: what is remembered, or what a store gives back.
    pub(super) fn value(&mut self) -> Option<Secret> {
        let print = self.memory.key_b()?.fingerprint;
        if self.key_b.is_none() {
            let handed = self.world.handed.cloned().into_iter();
            let found = handed
                .chain(self.held_values())
                .find(|value| value.fingerprint() == print);
            self.key_b = found;
        }
        self.key_b.clone()
    }

    /// The values that the plan's places hold now.
    fn held_values(&self) -> impl Iterator<Item = Secret> {
        let stores = self.plan.places.iter().filter_map(|p| self.store(p).ok());
        let slots = [Slot::Next, Slot::Current];
        stores
            .flat_map(move |store| slots.map(|slot| store.read(slot)))
            .filter_map(|held| held.ok().flatten()?.value)
    }

    /// What stands beside key B in a store.
    pub(super) fn note(&self, fingerprint: Fingerprint) -> Note {
        Note {
            rotation: self.plan.id.clone(),
            fingerprint,
        }
    }
}

impl From<StoreError> for CallError {
    fn from(error: StoreError) -> Self {
        let text = error.to_string();
        if error.may_have_changed() {
            Self::Unsure(text)
        } else if error.is_passing() {
            Self::NotDone(text)
        } else {
            Self::Refused(text)
        }
    }
}

impl From<RolloutError> for CallError {
    fn from(error: RolloutError) -> Self {
        let text = error.to_string();
        match error {
            RolloutError::Unreachable { .. } | RolloutError::Stopped { .. } => Self::NotDone(text),
            _ => Self::Refused(text),
        }
    }
}
