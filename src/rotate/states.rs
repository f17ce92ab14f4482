//! The states of a rotation as types: a transition consumes the state that it leaves, so that an
//! order which is wrong does not compile.
//!
//! Key A can't be revoked before key B is validated:
//! ```compile_fail,E0599
//! fn hasty(created: skewer::rotate::Rotation<'_, skewer::rotate::Created>) {
//!     let _ = created.revoke();
//! }
//! ```
//! while this order does:
//! ```no_run
//! use skewer::rotate::{Rotation, Preflighted, Quiet, Step, Revoked};
//! fn patient<'a>(quiet: Rotation<'a, Quiet>) -> Step<'a, Revoked> {
//!     quiet.revoke()
//! }
//! ```

use std::marker::PhantomData;

use super::act::{Act, Fact};
use super::organisation::CallError;
use super::plan::Strategy;
use super::run::{Halt, Run};
use crate::rollout::Direction;
use crate::store::{Slot, Store, StoreError, Version};

/// A rotation in the state `S`.
pub struct Rotation<'a, S> {
    pub(super) run: Box<Run<'a>>,
    state: PhantomData<S>,
}

/// A rotation that could not make its next step: it can be resumed or aborted.
pub struct Stopped<'a> {
    /// What is known.
    pub run: Box<Run<'a>>,
    /// Why it stands still.
    pub halt: Halt,
}

/// The next state, or why there is none.
pub type Step<'a, S> = Result<Rotation<'a, S>, Stopped<'a>>;

macro_rules! states {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        $($(#[$doc])* pub enum $name {})+
    };
}
states! {
    /// Nothing is changed but that the lock is held.
    Preflighted,
    /// Key B is there.
    Created,
    /// Key B is in every store, where nobody reads it yet.
    Staged,
    /// Key B answers.
    Probed,
    /// The canary uses key B.
    Canary,
    /// All consumers use key B.
    RolledOut,
    /// Key B is used, and nothing fails.
    Validated,
    /// Key A ends by itself, if the plan says so: from here on there is no way back.
    Limited,
    /// Key A stands still.
    Quiet,
    /// Key A is deleted, before the consumers were moved.
    RevokedFirst,
    /// Key A is deleted.
    Revoked,
    /// Key A is dead.
    Proved,
    /// It is over.
    Closed,
}

impl<'a, S> Rotation<'a, S> {
    pub(super) fn at(run: Box<Run<'a>>) -> Self {
        Self {
            run,
            state: PhantomData,
        }
    }

    pub(super) fn step<T>(
        mut self,
        work: impl FnOnce(&mut Run<'a>) -> Result<(), Halt>,
    ) -> Step<'a, T> {
        match work(&mut self.run) {
            Ok(()) => Ok(Rotation::at(self.run)),
            Err(halt) => Err(Stopped {
                run: self.run,
                halt,
            }),
        }
    }

    /// What is known.
    pub fn run(&self) -> &Run<'a> {
        &self.run
    }
}

impl<'a> Rotation<'a, Preflighted> {
    /// Makes key B.
    ///
    /// # Errors
    /// See [`Halt`].
    pub fn create(self) -> Step<'a, Created> {
        self.step(|run| {
            run.take_lock()?;
            run.make()
        })
    }

    /// Deletes a key that has no consumers.
    ///
    /// # Errors
    /// See [`Halt`]; the plan has to say so.
    pub fn revoke_only(self) -> Step<'a, Revoked> {
        self.step(|run| {
            run.is_planned(Strategy::RevokeOnly)?;
            run.revoke()
        })
    }
}

impl<'a> Rotation<'a, Created> {
    /// Writes key B to every store, where nobody reads it yet.
    ///
    /// # Errors
    /// See [`Halt`].
    pub fn stage(self) -> Step<'a, Staged> {
        self.step(|run| {
            for place in run.plan.places.clone() {
                if !run.memory.is_staged(&place) {
                    run.stage(place)?;
                }
            }
            Ok(())
        })
    }
}

impl<'a> Rotation<'a, Staged> {
    /// Asks with key B until it has answered often enough in a row.
    ///
    /// # Errors
    /// See [`Halt`].
    pub fn probe(self) -> Step<'a, Probed> {
        self.step(Run::probe_b)
    }
}

impl<'a> Rotation<'a, Probed> {
    /// Moves the canary to key B.
    ///
    /// # Errors
    /// See [`Halt`].
    pub fn roll_canary(self) -> Step<'a, Canary> {
        self.step(|run| run.move_stage(true))
    }

    /// Deletes key A at once, because it is being abused.
    ///
    /// # Errors
    /// See [`Halt`]; the plan has to say so.
    pub fn revoke_first(self) -> Step<'a, RevokedFirst> {
        self.step(|run| {
            run.is_planned(Strategy::Immediate)?;
            run.revoke()
        })
    }
}

impl<'a> Rotation<'a, RevokedFirst> {
    /// Moves all consumers to key B.
    ///
    /// # Errors
    /// See [`Halt`].
    pub fn roll_out(self) -> Step<'a, Revoked> {
        self.step(|run| {
            run.move_stage(true)?;
            run.move_stage(false)
        })
    }
}

impl<'a> Rotation<'a, Canary> {
    /// Moves the other consumers to key B.
    ///
    /// # Errors
    /// See [`Halt`].
    pub fn roll_out(self) -> Step<'a, RolledOut> {
        self.step(|run| run.move_stage(false))
    }
}

impl<'a> Rotation<'a, RolledOut> {
    /// Finds out that key B is used and nothing fails.
    ///
    /// # Errors
    /// See [`Halt`].
    pub fn validate(self) -> Step<'a, Validated> {
        self.step(Run::validate)
    }
}

impl<'a> Rotation<'a, Validated> {
    /// Lets key A end by itself, if the plan says so.
    ///
    /// # Errors
    /// See [`Halt`]. That the API refuses it is none: key A is deleted all the same.
    pub fn limit_a(self) -> Step<'a, Limited> {
        self.step(Run::limit_a)
    }
}

impl<'a> Rotation<'a, Limited> {
    /// Waits until key A has stood still for long enough, or somebody has overruled that.
    ///
    /// # Errors
    /// See [`Halt`]; [`Halt::Human`] if key A is still used.
    pub fn wait_quiet(self) -> Step<'a, Quiet> {
        self.step(Run::wait_quiet)
    }
}

impl<'a> Rotation<'a, Quiet> {
    /// Deletes key A.
    ///
    /// # Errors
    /// See [`Halt`].
    pub fn revoke(self) -> Step<'a, Revoked> {
        self.step(Run::revoke)
    }
}

impl<'a> Rotation<'a, Revoked> {
    /// Finds out that key A is dead.
    ///
    /// # Errors
    /// See [`Halt`].
    pub fn prove(self) -> Step<'a, Proved> {
        self.step(Run::prove)
    }
}

impl<'a> Rotation<'a, Proved> {
    /// Tidies up.
    ///
    /// # Errors
    /// See [`Halt`].
    pub fn close(self) -> Step<'a, Closed> {
        self.step(Run::close)
    }
}

impl Run<'_> {
    pub(super) fn is_planned(&self, strategy: Strategy) -> Result<(), Halt> {
        match self.plan.strategy == strategy {
            true => Ok(()),
            false => Err(Halt::Human(format!(
                "the plan's strategy is {:?}, not {strategy:?}",
                self.plan.strategy
            ))),
        }
    }

    pub(super) fn take_lock(&mut self) -> Result<(), Halt> {
        let Some(place) = self.plan.lock.clone() else {
            return Ok(());
        };
        if self.memory.locks.contains(&place) {
            return Ok(());
        }
        let act = Act::Lock {
            place: place.clone(),
        };
        self.perform(act, |run| {
            run.lease(&place)?;
            Ok(Fact::default())
        })?;
        Ok(())
    }

    /// Nothing is changed for others without the lock.
    pub(super) fn keep_lock(&self) -> Result<(), CallError> {
        match &self.plan.lock {
            Some(place) => self.lease(place),
            None => Ok(()),
        }
    }

    fn stage(&mut self, place: String) -> Result<(), Halt> {
        let act = Act::Stage {
            place: place.clone(),
        };
        self.perform(act, |run| {
            let value = run.value().ok_or_else(lost)?;
            let store = run.store(&place)?;
            run.keep_lock()?;
            let note = run.note(value.fingerprint());
            let can = store.capabilities();
            if !can.two_versions {
                return Ok(Fact {
                    notes: vec![format!("{place} holds one version: key B goes there last")],
                    ..Fact::default()
                });
            }
            let version = store.stage(&value, &note)?;
            if can.reads_back {
                let held = store.read(Slot::Next)?;
                if held.and_then(|held| held.fingerprint()) != Some(value.fingerprint()) {
                    let text = format!("{place} gave back something else than was written");
                    return Err(CallError::NotDone(text));
                }
            }
            Ok(Fact {
                version: Some(version),
                ..Fact::default()
            })
        })?;
        Ok(())
    }

    /// Hands key B out at the places of a stage, and moves its consumers.
    fn move_stage(&mut self, canary: bool) -> Result<(), Halt> {
        for place in self.plan.places_of(canary) {
            if !self.memory.is_promoted(&place) {
                self.promote(place)?;
            }
        }
        for consumer in self.plan.consumers_of(canary) {
            if !self.memory.rolled.contains(&consumer) {
                let act = Act::RollOut {
                    consumer: consumer.clone(),
                };
                self.perform(act, |run| {
                    run.keep_lock()?;
                    run.roll(&consumer, Direction::Forward)
                })?;
            }
        }
        Ok(())
    }

    fn promote(&mut self, place: String) -> Result<(), Halt> {
        let over = self.version_under(&place)?;
        let act = Act::Promote {
            place: place.clone(),
            over: over.clone(),
        };
        let mut doubtful = self.memory.pending.as_ref() == Some(&act);
        self.perform(act, |run| {
            let value = run.value().ok_or_else(lost)?;
            let store = run.store(&place)?;
            run.keep_lock()?;
            let note = run.note(value.fingerprint());
            let over = replaced(store, &over, doubtful)?;
            let promoted = store.promote(&value, &note, &over);
            doubtful |= promoted.as_ref().is_err_and(StoreError::may_have_changed);
            let version = promoted?;
            let held = store.read(Slot::Current)?;
            let is_there = held.is_some_and(|held| match held.fingerprint() {
                Some(print) => print == value.fingerprint(),
                None => held.version == version,
            });
            if !is_there {
                let text = format!("{place} hands out something else than was promoted");
                return Err(CallError::Unsure(text));
            }
            Ok(Fact {
                version: Some(version),
                ..Fact::default()
            })
        })?;
        Ok(())
    }

    /// The version that a promotion replaces: what the last intent said, if there was one, so
    /// that a promotion whose answer was lost is known again.
    fn version_under(&mut self, place: &str) -> Result<Version, Halt> {
        if let Some(Act::Promote { place: of, over }) = &self.memory.pending
            && of == place
        {
            return Ok(over.clone());
        }
        self.ask(&format!("read {place}"), |run| {
            let held = run.store(place)?.read(Slot::Current)?;
            held.map(|held| held.version)
                .ok_or_else(|| CallError::Refused(format!("{place} holds no key")))
        })
    }

    /// Asks something that changes nothing, as often as the plan allows.
    pub(super) fn ask<T>(
        &mut self,
        what: &str,
        mut question: impl FnMut(&mut Self) -> Result<T, CallError>,
    ) -> Result<T, Halt> {
        let tries = self.plan.waits.tries.max(1);
        let mut last = String::new();
        for attempt in 0..tries {
            self.rest(attempt)?;
            match question(self) {
                Ok(answer) => return Ok(answer),
                Err(CallError::Refused(why)) => return Err(self.refused(what, why)),
                Err(error) => last = error.to_string(),
            }
        }
        Err(Halt::Spent {
            what: what.to_owned(),
            why: last,
            tries,
        })
    }
}

/// What a write is to replace. A store that tells nothing of what it holds may hold what we wrote
/// ourselves, where one write may have gone through.
pub(super) fn replaced(
    store: &dyn Store,
    over: &Version,
    doubtful: bool,
) -> Result<Version, StoreError> {
    let held = match doubtful {
        true => store.read(Slot::Current)?,
        false => None,
    };
    Ok(match held {
        Some(held) if held.fingerprint().is_none() => held.version,
        _ => over.clone(),
    })
}

/// Key B's value was only in memory, and that is gone.
fn lost() -> CallError {
    CallError::Refused("key B's value is lost; resume: another one is made".to_owned())
}
