//! The way back, from every state that has one, and the end of both ways.

use std::time::Duration;

use super::act::{Act, Fact, Phase};
use super::memory::Versions;
use super::organisation::CallError;
use super::run::{Halt, Run};
use super::states::replaced;
use crate::rollout::Direction;
use crate::store::{Held, Slot, StoreError};

/// Between two looks at a place that hands out neither key.
const AGAIN: Duration = Duration::from_secs(2);

impl Run<'_> {
    /// Undoes everything: consumers get key A again, then key B is deleted.
    ///
    /// # Errors
    /// Key A is deleted, so that there is no way back; or see [`Halt`]: what is not undone yet is
    /// when this is called again.
    pub fn abort(&mut self, why: &str) -> Result<(), Halt> {
        if self.memory.revoked {
            return Err(Halt::Human(
                "key A is deleted, which can't be undone: resume, so that all consumers get key B"
                    .to_owned(),
            ));
        }
        // Whether a deletion went through has to be known before anything is built upon key A.
        if self.memory.pending == Some(Act::Revoke) || self.is_a_gone()? {
            return Err(Halt::Human(
                "key A is deleted, or may be: resume, so that all consumers get key B".to_owned(),
            ));
        }
        if self.has_set_an_end()? {
            return Err(Halt::Human(
                "key A was given an end, which can't be taken back: resume, so that all consumers keep key B"
                    .to_owned(),
            ));
        }
        if self.memory.aborting.is_none() {
            let act = Act::Abort {
                why: why.to_owned(),
            };
            self.write(&act, Phase::Intent)?;
            self.write(
                &act,
                Phase::Done {
                    fact: Fact::default(),
                },
            )?;
        }
        for place in self.plan.places.clone() {
            let touched = self.memory.places.get(&place);
            if touched.is_some_and(|versions| versions.touched) || self.still_hands_out_b(&place)? {
                self.restore(place)?;
            }
        }
        for consumer in self.memory.touched.clone() {
            let act = Act::RollBack {
                consumer: consumer.clone(),
            };
            self.perform(act, |run| run.roll(&consumer, Direction::Back))?;
        }
        self.tidy()?;
        let attempt = self.memory.attempts.last().cloned();
        if let Some(attempt) = attempt.filter(|one| !one.gone && one.made.is_some()) {
            let act = Act::Remove {
                name: attempt.name.clone(),
            };
            self.perform(act, |run| run.remove(&attempt))?;
        }
        self.end()
    }

    fn is_a_gone(&mut self) -> Result<bool, Halt> {
        self.ask("look at key A", |run| {
            let rows = run.world.organisation.keys(&run.plan.project)?;
            Ok(!rows.iter().any(|row| row.id == run.plan.key.id))
        })
    }

    /// Whether a place that counts as restored hands key B out all the same: it may have told
    /// something else when it was asked, or somebody brought key B back. Then its consumers may
    /// have been moved back to key B, and have to be moved once more: that is written down before
    /// the place is restored, since nothing tells it afterwards.
    fn still_hands_out_b(&mut self, place: &str) -> Result<bool, Halt> {
        let Some(print_b) = self.memory.key_b().map(|made| made.fingerprint) else {
            return Ok(false);
        };
        let held = self.ask(&format!("read {place}"), |run| {
            Ok(run.store(place)?.read(Slot::Current)?)
        })?;
        if held.and_then(|held| held.fingerprint()) != Some(print_b) {
            return Ok(false);
        }
        for consumer in self.plan.consumers_at(place) {
            self.write(&Act::RollBack { consumer }, Phase::Intent)?;
        }
        Ok(true)
    }

    fn restore(&mut self, place: String) -> Result<(), Halt> {
        let over = match &self.memory.pending {
            Some(Act::Restore { place: of, over }) if *of == place => over.clone(),
            _ => self.ask(&format!("read {place}"), |run| {
                let held = run.store(&place)?.read(Slot::Current)?;
                held.map(|held| held.version)
                    .ok_or_else(|| CallError::Refused(format!("{place} holds no key")))
            })?,
        };
        let act = Act::Restore {
            place: place.clone(),
            over: over.clone(),
        };
        let mut doubtful = self.memory.pending.as_ref() == Some(&act);
        let versions = self.memory.places.get(&place).cloned().unwrap_or_default();
        self.perform(act, |run| {
            let store = run.store(&place)?;
            let Some(print_b) = run.memory.key_b().map(|made| made.fingerprint) else {
                return Ok(Fact::default());
            };
            let held = store.read(Slot::Current)?;
            // The promotion may not have happened.
            let is_b = held.as_ref().is_some_and(|held| match held.fingerprint() {
                Some(print) => print == print_b,
                None => Some(&held.version) != versions.over.as_ref(),
            });
            if !is_b {
                return run.leave(&place, &versions, held);
            }
            run.keep_lock()?;
            let note = run.note(print_b);
            let over = replaced(store, &over, doubtful)?;
            let restored = store.restore(run.world.key_a, &note, &over);
            doubtful |= restored.as_ref().is_err_and(StoreError::may_have_changed);
            let version = restored?;
            let held = store.read(Slot::Current)?;
            if held.and_then(|held| held.fingerprint()) == Some(print_b) {
                let text = format!("{place} still hands out key B");
                return Err(CallError::Unsure(text));
            }
            Ok(Fact {
                version: Some(version),
                ..Fact::default()
            })
        })?;
        Ok(())
    }

    /// A place is not restored where it does not hand out key B. If it is not key A either, that
    /// has to be said twice: our own version under another value is a lie, and what somebody else
    /// wrote is theirs.
    fn leave(
        &self,
        place: &str,
        versions: &Versions,
        held: Option<Held>,
    ) -> Result<Fact, CallError> {
        let is_a = held.as_ref().is_none_or(|held| {
            Some(&held.version) == versions.over.as_ref()
                || (self.plan.fingerprint.is_some() && held.fingerprint() == self.plan.fingerprint)
        });
        if is_a {
            return Ok(Fact::default());
        }
        let said = |held: Option<Held>| held.map(|held| (held.fingerprint(), held.version));
        let first = said(held);
        self.pause(AGAIN)?;
        let second = said(self.store(place)?.read(Slot::Current)?);
        let is_ours = |(_, version): &(_, _)| versions.promoted.as_ref() == Some(version);
        if first != second || first.as_ref().is_some_and(is_ours) {
            let text = format!("{place} told something else than it was given");
            return Err(CallError::NotDone(text));
        }
        Ok(Fact {
            notes: vec![format!(
                "{place} hands out neither key A nor key B, as far as can be told: it was left as it is"
            )],
            ..Fact::default()
        })
    }

    /// Takes out of the stores what stands beside the current version.
    fn tidy(&mut self) -> Result<(), Halt> {
        for place in self.plan.places.clone() {
            if self.memory.places.get(&place).is_some_and(|one| one.untidy) {
                let act = Act::Forget {
                    place: place.clone(),
                };
                self.perform(act, |run| {
                    run.store(&place)?.forget(&run.plan.id)?;
                    Ok(Fact::default())
                })?;
            }
        }
        Ok(())
    }

    /// Tidies up after key A's death.
    pub(super) fn close(&mut self) -> Result<(), Halt> {
        self.tidy()?;
        self.end()
    }

    fn end(&mut self) -> Result<(), Halt> {
        self.sweep(true)?;
        // A lock whose answer was lost may be ours, too.
        let mut locks = self.memory.locks.clone();
        locks.extend(self.plan.lock.clone());
        for place in locks {
            let act = Act::Unlock {
                place: place.clone(),
            };
            self.perform(act, |run| {
                run.store(&place)?.unlock(&run.plan.id)?;
                Ok(Fact::default())
            })?;
        }
        self.perform(Act::Close, |_| Ok(Fact::default()))?;
        Ok(())
    }

    /// Key B's value was lost before every store had it: what there is of it goes, and another
    /// one is made.
    pub(super) fn start_over(&mut self) -> Result<(), Halt> {
        let mut places = self.memory.places.iter();
        if let Some((place, _)) = places.find(|(_, versions)| versions.touched) {
            return Err(Halt::Human(format!(
                "key B's value is lost, and {place} may hand it out already: abort; or, if a consumer can tell you key B, hand it over (resume {} --handed, on standard input)",
                self.plan.id
            )));
        }
        self.tidy()?;
        let attempt = self.memory.attempts.last().cloned();
        if let Some(attempt) = attempt.filter(|one| !one.gone) {
            let act = Act::Remove {
                name: attempt.name.clone(),
            };
            self.perform(act, |run| run.remove(&attempt))?;
        }
        Ok(())
    }
}
