//! Where a rotation stands, told by what is known of it, and the way on from there.

use super::memory::Expiry;
use super::plan::Strategy;
use super::run::{Halt, Run};
use super::states::{
    Canary, Closed, Created, Limited, Preflighted, Probed, Proved, Quiet, Revoked, RevokedFirst,
    RolledOut, Rotation, Staged, Step, Stopped, Validated,
};

/// A rotation in whatever state it is.
pub enum Standing<'a> {
    /// See [`Preflighted`].
    Preflighted(Rotation<'a, Preflighted>),
    /// See [`Created`].
    Created(Rotation<'a, Created>),
    /// See [`Staged`].
    Staged(Rotation<'a, Staged>),
    /// See [`Probed`].
    Probed(Rotation<'a, Probed>),
    /// See [`Canary`].
    Canary(Rotation<'a, Canary>),
    /// See [`RolledOut`].
    RolledOut(Rotation<'a, RolledOut>),
    /// See [`Validated`].
    Validated(Rotation<'a, Validated>),
    /// See [`Limited`].
    Limited(Rotation<'a, Limited>),
    /// See [`Quiet`].
    Quiet(Rotation<'a, Quiet>),
    /// See [`RevokedFirst`].
    RevokedFirst(Rotation<'a, RevokedFirst>),
    /// See [`Revoked`].
    Revoked(Rotation<'a, Revoked>),
    /// See [`Proved`].
    Proved(Rotation<'a, Proved>),
    /// See [`Closed`].
    Closed(Rotation<'a, Closed>),
}

impl<'a> Standing<'a> {
    /// Where a rotation stands.
    ///
    /// # Errors
    /// Key B's value was lost, and what there was of it could not be removed.
    pub fn of(mut run: Box<Run<'a>>) -> Result<Self, Stopped<'a>> {
        if run.memory.key_b().is_some()
            && run.needs_value()
            && run.value().is_none()
            && let Err(halt) = run.start_over()
        {
            return Err(Stopped { run, halt });
        }
        Ok(Self::place(run))
    }

    fn place(run: Box<Run<'a>>) -> Self {
        let (memory, plan) = (&run.memory, &run.plan);
        let moved = |canary: bool| {
            let mut places = plan.places_of(canary).into_iter();
            let mut consumers = plan.consumers_of(canary).into_iter();
            places.all(|place| memory.is_promoted(&place))
                && consumers.all(|consumer| memory.rolled.contains(&consumer))
        };
        let all_moved = moved(true) && moved(false);
        let staged = plan.places.iter().all(|place| memory.is_staged(place));
        if memory.closed {
            Self::Closed(Rotation::at(run))
        } else if memory.proved {
            Self::Proved(Rotation::at(run))
        } else if memory.revoked {
            match plan.strategy {
                Strategy::Immediate if !all_moved => Self::RevokedFirst(Rotation::at(run)),
                _ => Self::Revoked(Rotation::at(run)),
            }
        } else if plan.strategy == Strategy::RevokeOnly || memory.key_b().is_none() {
            Self::Preflighted(Rotation::at(run))
        } else if !staged {
            Self::Created(Rotation::at(run))
        } else if !memory.probed {
            Self::Staged(Rotation::at(run))
        } else if !moved(true) || plan.strategy == Strategy::Immediate {
            Self::Probed(Rotation::at(run))
        } else if !all_moved {
            Self::Canary(Rotation::at(run))
        } else if !memory.validated {
            Self::RolledOut(Rotation::at(run))
        } else if plan.expire_a.is_some()
            && matches!(memory.expiry, Expiry::Unasked | Expiry::Asked)
        {
            Self::Validated(Rotation::at(run))
        } else if !memory.quiet && !memory.overruled {
            Self::Limited(Rotation::at(run))
        } else {
            Self::Quiet(Rotation::at(run))
        }
    }

    /// One step on.
    fn next(self) -> Result<Self, Stopped<'a>> {
        fn on<'a, S>(step: Step<'a, S>) -> Result<Standing<'a>, Stopped<'a>> {
            Ok(Standing::place(step?.run))
        }
        match self {
            Self::Preflighted(at) if at.run.plan.strategy == Strategy::RevokeOnly => {
                on(at.revoke_only())
            }
            Self::Preflighted(at) => on(at.create()),
            Self::Created(at) => on(at.stage()),
            Self::Staged(at) => on(at.probe()),
            Self::Probed(at) if at.run.plan.strategy == Strategy::Immediate => {
                on(at.revoke_first())
            }
            Self::Probed(at) => on(at.roll_canary()),
            Self::Canary(at) => on(at.roll_out()),
            Self::RolledOut(at) => on(at.validate()),
            Self::Validated(at) => on(at.limit_a()),
            Self::Limited(at) => on(at.wait_quiet()),
            Self::Quiet(at) => on(at.revoke()),
            Self::RevokedFirst(at) => on(at.roll_out()),
            Self::Revoked(at) => on(at.prove()),
            Self::Proved(at) => on(at.close()),
            closed @ Self::Closed(_) => Ok(closed),
        }
    }
}

impl<'a> Run<'a> {
    /// Goes on to the end: to a closed rotation, or, if it is being undone, to an undone one.
    ///
    /// # Errors
    /// It stands still; the run can be resumed.
    pub fn drive(self: Box<Self>) -> Result<Box<Self>, Stopped<'a>> {
        let mut run = self;
        if let Some(why) = run.memory.aborting.clone()
            && !run.memory.closed
        {
            return match run.abort(&why) {
                Ok(()) => Ok(run),
                Err(halt) => Err(Stopped { run, halt }),
            };
        }
        let mut standing = Standing::of(run)?;
        loop {
            if let Standing::Closed(closed) = standing {
                return Ok(closed.run);
            }
            standing = standing.next()?;
        }
    }

    /// Whether key B's value is still needed to write it somewhere, or to ask with it.
    fn needs_value(&self) -> bool {
        let memory = &self.memory;
        !memory.probed
            || self
                .plan
                .places
                .iter()
                .any(|place| !memory.is_promoted(place))
    }

    /// Somebody lets the rotation go on although key A is still used.
    ///
    /// # Errors
    /// The journal can't be written.
    pub fn overrule(&mut self, by: &str, why: &str) -> Result<(), Halt> {
        let act = super::act::Act::Overrule {
            by: by.to_owned(),
            why: why.to_owned(),
        };
        self.write(&act, super::act::Phase::Intent)?;
        let fact = super::act::Fact::default();
        self.write(&act, super::act::Phase::Done { fact })
    }
}
