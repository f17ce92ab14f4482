//! What a rotation has to see before it goes on: key B answering, consumers well, key A standing
//! still, key A dead.

use std::time::Duration;

use super::act::{Act, Fact, Phase};
use super::memory::Expiry;
use super::organisation::{Answer, CallError, Row, Use};
use super::plan::{Revoking, Strategy};
use super::run::{Halt, Run};
use crate::rollout::{self, Direction, Move};

impl Run<'_> {
    /// Key B has to answer several times in a row, within the time that a new key may need.
    pub(super) fn probe_b(&mut self) -> Result<(), Halt> {
        self.perform(Act::Probe, |run| {
            let key = run
                .value()
                .ok_or_else(|| CallError::Refused("no store gives key B back".to_owned()))?;
            let (clock, waits) = (run.world.clock, run.plan.waits);
            let from = clock.uptime();
            let mut row = 0;
            loop {
                let why = match run.world.organisation.probe(&key) {
                    Answer::Live => {
                        row += 1;
                        String::new()
                    }
                    Answer::Dead => {
                        row = 0;
                        "the API says that key B does not exist".to_owned()
                    }
                    Answer::Unknown(why) => {
                        row = 0;
                        why
                    }
                };
                if row >= waits.answers {
                    return Ok(Fact::default());
                }
                if clock.uptime().saturating_sub(from) > Duration::from_secs(waits.settling)
                    && row == 0
                {
                    return Err(CallError::NotDone(why));
                }
                run.pause(waits.between())?;
            }
        })?;
        Ok(())
    }

    /// Has a consumer read its key again, and asks whether it is well.
    pub(super) fn roll(&mut self, consumer: &str, direction: Direction) -> Result<Fact, CallError> {
        let stage = self.rollout(consumer)?;
        // Consumers go back once for each time that their place was restored.
        let of_consumer = self.plan.consumers.iter().find(|one| one.name == consumer);
        let place = of_consumer.and_then(|one| self.memory.places.get(&one.place));
        let round = match direction {
            Direction::Forward => 1,
            Direction::Back => place.map_or(1, |versions| versions.restored.max(1)),
        };
        let started = stage.start(Move {
            round,
            ..Move::first(&self.plan.id, direction)
        })?;
        rollout::wait(stage, &started, self.world.clock, |_| {})?;
        Ok(Fact::default())
    }

    /// Every consumer is well, and key B is the one that every place hands out.
    pub(super) fn validate(&mut self) -> Result<(), Halt> {
        self.perform(Act::Validate, |run| {
            for consumer in &run.plan.consumers {
                for health in &run.rollout(&consumer.name)?.health {
                    health.check()?;
                }
            }
            let mut fact = Fact::default();
            let made = run.memory.key_b().cloned();
            let rows = run.world.organisation.keys(&run.plan.project)?;
            let b = made.and_then(|made| rows.iter().find(|row| row.id == made.key));
            match b {
                None => {
                    let text = "key B is not in the listing".to_owned();
                    return Err(CallError::NotDone(text));
                }
                Some(row) if row.last_used.is_none() => fact.notes.push(
                    "the API does not tell yet that key B was used; what it tells lags".to_owned(),
                ),
                Some(_) => {}
            }
            Ok(fact)
        })?;
        Ok(())
    }

    /// Key A's row, from a fresh listing; `None` if it is gone.
    pub(super) fn row_a(&self) -> Result<Option<Row>, CallError> {
        let rows = self.world.organisation.keys(&self.plan.project)?;
        Ok(rows.into_iter().find(|row| row.id == self.plan.key.id))
    }

    /// Waits until key A has stood still for long enough.
    pub(super) fn wait_quiet(&mut self) -> Result<(), Halt> {
        if self.memory.overruled {
            return Ok(());
        }
        // A wait that was interrupted is not begun anew.
        let act = match self.memory.pending.clone() {
            Some(act @ Act::Quiet { .. }) => act,
            _ => {
                let row = self.ask("look at key A", |run| run.row_a())?;
                Act::Quiet {
                    since: self.world.clock.now().as_second(),
                    last_used: row.and_then(|row| row.last_used),
                }
            }
        };
        let Act::Quiet { since, last_used } = act else {
            return Ok(());
        };
        self.write(&act, Phase::Intent)?;
        let end = since.saturating_add(self.plan.waits.quiet as i64);
        loop {
            let left = end.saturating_sub(self.world.clock.now().as_second());
            if left <= 0 {
                break;
            }
            // In parts, so that Ctrl-C is heeded.
            self.wait(Duration::from_secs(left.clamp(1, 5) as u64))?;
        }
        let (used, row) = self.ask("ask what key A did", |run| {
            let (project, id) = (&run.plan.project, &run.plan.key.id);
            // Usage comes by the minute: one that had begun would tell of what was before, and so
            // would one that begins with the very second.
            let whole = since.saturating_add(60).div_euclid(60) * 60;
            let used = match whole < end {
                true => run.world.organisation.used(project, id, whole)?,
                false => Use::default(),
            };
            Ok((used, run.row_a()?))
        })?;
        let latest = row.and_then(|row| row.last_used);
        if used.requests == 0 && latest == last_used {
            return self.write(
                &act,
                Phase::Done {
                    fact: Fact::default(),
                },
            );
        }
        let models: Vec<String> = used
            .models
            .iter()
            .map(|(model, count)| format!("{model} {count}"))
            .collect();
        let ends = match self.memory.expiry {
            Expiry::Set => {
                " Key A ends by itself all the same, within the time that the plan says."
            }
            _ => "",
        };
        let why = format!(
            "key A is still used: {} requests in {} seconds ({}), last used {}.{ends} All {} consumers of the plan were moved and are well, so this is a consumer that the plan does not know, or somebody else. Look at it; then resume, or resume --overrule REASON, or abort",
            used.requests,
            self.plan.waits.quiet,
            if models.is_empty() {
                "usage lags".to_owned()
            } else {
                models.join(", ")
            },
            latest.map_or_else(|| "never".to_owned(), |at| format!("at {at}")),
            self.plan.consumers.len(),
        );
        self.write(&act, Phase::NotDone { why: why.clone() })?;
        Err(Halt::Human(why))
    }

    /// Deletes key A, after a look at a fresh listing.
    pub(super) fn revoke(&mut self) -> Result<(), Halt> {
        if self.memory.revoked {
            return Ok(());
        }
        self.take_lock()?;
        self.perform(Act::Revoke, |run| {
            run.keep_lock()?;
            let (organisation, project) = (run.world.organisation, run.plan.project.clone());
            let rows = organisation.keys(&project)?;
            let Some(row) = rows.iter().find(|row| row.id == run.plan.key.id) else {
                return Ok(Fact {
                    notes: vec!["key A was not in the listing any more".to_owned()],
                    ..Fact::default()
                });
            };
            let planned = &run.plan.key;
            if (&row.masked, &row.owner, row.created)
                != (&planned.masked, &planned.owner, planned.created)
            {
                return Err(CallError::Refused(format!(
                    "the record of {} is not what the plan was made for",
                    row.id
                )));
            }
            if run.memory.key_b().is_some_and(|made| made.key == row.id) {
                return Err(CallError::Refused("key A and key B are one".to_owned()));
            }
            match &run.plan.revoking {
                Revoking::Key => organisation.delete_key(&project, &row.id)?,
                Revoking::Account(account) => {
                    run.owns_only(&rows, account, Some(&row.id))?;
                    organisation.delete_account(&project, account)?;
                }
            }
            Ok(Fact::default())
        })?;
        Ok(())
    }

    /// Key A is absent from the listing and, where its value is at hand, refused several times in
    /// a row over the time that the plan says, while key B is answered.
    pub(super) fn prove(&mut self) -> Result<(), Halt> {
        self.perform(Act::Prove, |run| {
            let mut notes = Vec::new();
            if run.row_a()?.is_some() {
                return Err(CallError::NotDone("key A is still listed".to_owned()));
            }
            match run.world.organisation.saw_deletion(&run.plan.key.id) {
                Ok(Some(true)) => {}
                Ok(Some(false)) => {
                    notes.push("the audit log does not tell of the deletion yet".to_owned())
                }
                Ok(None) => notes.push("there is no audit log to tell of the deletion".to_owned()),
                Err(error) => notes.push(format!("the audit log could not be asked: {error}")),
            }
            let Some(key_a) = run.world.key_a.cloned() else {
                notes.push(
                    "key A's value was not at hand: nobody tried whether it still works".to_owned(),
                );
                return Ok(Fact {
                    notes,
                    ..Fact::default()
                });
            };
            let key_b = run.value();
            if key_b.is_none() && run.plan.strategy != Strategy::RevokeOnly {
                notes.push(
                    "no store gives key B back: an outage would look like key A's death".to_owned(),
                );
            }
            run.watch_death(&key_a, key_b.as_ref())?;
            Ok(Fact {
                notes,
                ..Fact::default()
            })
        })?;
        Ok(())
    }

    fn watch_death(
        &self,
        key_a: &crate::secret::Secret,
        key_b: Option<&crate::secret::Secret>,
    ) -> Result<(), CallError> {
        let (clock, waits) = (self.world.clock, self.plan.waits);
        let organisation = self.world.organisation;
        let over = Duration::from_secs(waits.proof);
        let begun = clock.uptime();
        let mut first = None;
        let mut row = 0;
        loop {
            let why = match (
                organisation.probe(key_a),
                key_b.map(|b| organisation.probe(b)),
            ) {
                (Answer::Dead, None | Some(Answer::Live)) => {
                    row += 1;
                    first.get_or_insert_with(|| clock.uptime());
                    None
                }
                (Answer::Live, _) => Some("key A still works".to_owned()),
                (Answer::Unknown(why), _) => Some(format!("key A: {why}")),
                (Answer::Dead, Some(Answer::Dead)) => Some("key B is refused as well".to_owned()),
                (Answer::Dead, Some(Answer::Unknown(why))) => Some(format!("key B: {why}")),
            };
            if let Some(why) = why {
                (first, row) = (None, 0);
                // Deleted keys worked on for a while; nobody knows how long.
                if clock.uptime().saturating_sub(begun)
                    > 4 * over + Duration::from_secs(waits.settling)
                {
                    return Err(CallError::NotDone(why));
                }
            }
            if let Some(first) = first
                && row >= waits.answers
                && clock.uptime().saturating_sub(first) >= over
            {
                return Ok(());
            }
            self.pause(waits.between().max(over / (2 * waits.answers.max(1))))?;
        }
    }
}
