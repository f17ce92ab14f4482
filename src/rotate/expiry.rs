//! The dead man's switch: once key B is proved, key A is given an end of its own, so that it dies
//! even if nobody goes on with the rotation. It can't be taken back, and sent again the time begins
//! anew: so it is not sent again where the listing shows that it came through.

use std::time::Duration;

use super::act::{Act, Fact};
use super::memory::Expiry;
use super::run::{Halt, Run};

impl Run<'_> {
    /// Lets key A end by itself, if the plan says so. If the API refuses, the rotation goes on: to
    /// stop would let a leaked key live longer.
    pub(super) fn limit_a(&mut self) -> Result<(), Halt> {
        let Some(seconds) = self.plan.expire_a else {
            return Ok(());
        };
        let set = self.perform(Act::Expire { seconds }, |run| {
            run.keep_lock()?;
            let note = |text: &str| Fact {
                notes: vec![text.to_owned()],
                ..Fact::default()
            };
            let organisation = run.world.organisation;
            let Some(row) = run.row_a()? else {
                return Ok(note("key A was not in the listing any more"));
            };
            if row.expires != run.plan.key.expires {
                return Ok(note(
                    "key A has its end already, from a try whose answer was lost",
                ));
            }
            let clock = run.world.clock.now().as_second();
            let now = organisation.time().unwrap_or(clock);
            let end = now.saturating_add(i64::try_from(seconds).unwrap_or(i64::MAX));
            if row.expires.is_some_and(|at| at <= end) {
                return Ok(note("key A ends earlier by itself, and keeps that end"));
            }
            organisation.expire_key(&run.plan.project, &row.id, Duration::from_secs(seconds))?;
            Ok(Fact::default())
        });
        match set {
            Err(Halt::Refused { .. }) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Whether key A ends by itself because of this rotation. Where an answer was lost, what shows
    /// within the settling time decides.
    pub(super) fn has_set_an_end(&mut self) -> Result<bool, Halt> {
        match self.memory.expiry {
            Expiry::Unasked => return Ok(false),
            Expiry::Set => return Ok(true),
            Expiry::Asked | Expiry::Refused => {}
        }
        let clock = self.world.clock;
        let (from, settling) = (
            clock.uptime(),
            Duration::from_secs(self.plan.waits.settling),
        );
        loop {
            let row = self.ask("look at key A", |run| run.row_a())?;
            if row.is_none_or(|row| row.expires != self.plan.key.expires) {
                return Ok(true);
            }
            if clock.uptime().saturating_sub(from) >= settling {
                return Ok(false);
            }
            self.wait(settling.min(Duration::from_secs(5)))?;
        }
    }
}
