//! Key B's birth, and the search for what an attempt whose answer was lost may have left behind.

use super::act::{Act, Fact};
use super::memory::Attempt;
use super::organisation::{CallError, Minted, Row};
use super::plan::Making;
use super::run::{Halt, Run};
use crate::secret::Secret;
use crate::verdict::Mask;

impl Run<'_> {
    /// Makes key B. Each attempt has a name of its own, so that one that shows late is not taken
    /// for another.
    pub(super) fn make(&mut self) -> Result<(), Halt> {
        let tries = self.plan.waits.tries.max(1);
        let mut last = String::new();
        for attempt in 0..tries {
            self.rest(attempt)?;
            self.sweep(false)?;
            let act = match self.intent_to_make() {
                Ok(act) => act,
                Err(CallError::Refused(why)) => return Err(self.refused("list the keys", why)),
                Err(error) => {
                    last = error.to_string();
                    continue;
                }
            };
            let made = self.perform_once(&act, |run| run.mint(&act))?;
            match made {
                Ok(_) => return Ok(()),
                Err(CallError::Refused(why)) => return Err(self.refused(&act.describe(), why)),
                Err(error) => last = error.to_string(),
            }
        }
        Err(Halt::Spent {
            what: "create key B".to_owned(),
            why: last,
            tries,
        })
    }

    pub(super) fn refused(&self, what: &str, why: String) -> Halt {
        Halt::Refused {
            what: what.to_owned(),
            why,
        }
    }

    /// What is there before, so that an orphan can be told from everybody else's keys.
    fn intent_to_make(&self) -> Result<Act, CallError> {
        let organisation = self.world.organisation;
        let keys = organisation.keys(&self.plan.project)?;
        let accounts = match self.plan.making {
            Making::NewAccount => organisation.accounts(&self.plan.project)?,
            _ => Vec::new(),
        };
        Ok(Act::Create {
            name: self.plan.attempt(self.memory.attempts.len()),
            before: keys.into_iter().map(|row| row.id).collect(),
            accounts: accounts.into_iter().map(|(id, _)| id).collect(),
            api_time: organisation.time(),
        })
    }

    fn mint(&mut self, act: &Act) -> Result<Fact, CallError> {
        let Act::Create { name, before, .. } = act else {
            return Err(CallError::Refused("this act makes no key".to_owned()));
        };
        let (organisation, project) = (self.world.organisation, self.plan.project.as_str());
        let end = self.plan.expire_b.map(std::time::Duration::from_secs);
        let minted = match &self.plan.making {
            Making::OnAccount { account, scopes } => {
                organisation.create_key(project, account, name, scopes, end)?
            }
            Making::NewAccount => organisation.create_account(project, name, end)?,
            Making::Handed => self.handed_over()?,
        };
        if before.contains(&minted.id) && self.plan.making != Making::Handed {
            let text = format!(
                "the API answered with a key that was there before, {}",
                minted.id
            );
            return Err(CallError::Refused(text));
        }
        let fact = Fact {
            key: Some(minted.id),
            account: minted.account,
            fingerprint: Some(minted.value.fingerprint()),
            ..Fact::default()
        };
        self.key_b = Some(minted.value);
        Ok(fact)
    }

    /// The key that its owner hands over must be another one, of the same project.
    fn handed_over(&self) -> Result<Minted, CallError> {
        let refuse = |text: &str| CallError::Refused(text.to_owned());
        let value = self
            .world
            .handed
            .ok_or_else(|| refuse("key B has to be handed over on standard input"))?;
        let print = value.fingerprint();
        if self.plan.fingerprint == Some(print) || fits(&self.plan.key.masked, value) {
            return Err(refuse(
                "that is key A: make a new key and hand that one over",
            ));
        }
        let rows = self.world.organisation.keys(&self.plan.project)?;
        let mut fitting = rows.iter().filter(|row| fits(&row.masked, value));
        match (fitting.next(), fitting.next()) {
            (Some(row), None) => Ok(Minted {
                id: row.id.clone(),
                account: None,
                value: value.clone(),
            }),
            (None, _) => Err(refuse(
                "no key of this project looks like the one that was handed over; make it in the project of key A",
            )),
            (Some(_), Some(_)) => Err(refuse(
                "several keys of this project look like the one that was handed over; make another",
            )),
        }
    }

    /// Deletes what attempts other than key B's have left behind. `last` is the last chance: then
    /// what does not show within the settling time is believed to be nothing.
    pub(super) fn sweep(&mut self, last: bool) -> Result<(), Halt> {
        let orphans: Vec<Attempt> = self.memory.orphans().cloned().collect();
        for orphan in orphans {
            let act = Act::Remove {
                name: orphan.name.clone(),
            };
            if orphan.made.is_some() || self.shows(&orphan)? {
                self.perform(act, |run| run.remove(&orphan))?;
            } else if last {
                self.perform(act, |run| run.await_nothing(&orphan))?;
            }
        }
        Ok(())
    }

    /// Whether the listing shows an orphan; a listing that fails shows nothing yet.
    fn shows(&self, orphan: &Attempt) -> Result<bool, Halt> {
        let organisation = self.world.organisation;
        let keys = organisation.keys(&self.plan.project).unwrap_or_default();
        let accounts = match self.plan.making {
            Making::NewAccount => organisation
                .accounts(&self.plan.project)
                .unwrap_or_default(),
            _ => Vec::new(),
        };
        Ok(keys.iter().any(|row| row.name == orphan.name)
            || accounts.iter().any(|(_, name)| *name == orphan.name))
    }

    /// Watches until the settling time is over that nothing shows; if something does, deletes it.
    fn await_nothing(&mut self, orphan: &Attempt) -> Result<Fact, CallError> {
        let clock = self.world.clock;
        let from = clock.uptime();
        let settling = std::time::Duration::from_secs(self.plan.waits.settling);
        loop {
            let fact = self.remove(orphan)?;
            if fact.key.is_some() || fact.account.is_some() {
                return Ok(fact);
            }
            if clock.uptime().saturating_sub(from) >= settling {
                return Ok(Fact {
                    notes: vec![format!(
                        "the attempt to make {} left nothing behind within {} seconds",
                        orphan.name, self.plan.waits.settling
                    )],
                    ..Fact::default()
                });
            }
            self.pause(settling.min(std::time::Duration::from_secs(5)))?;
        }
    }

    /// Deletes what an attempt made, after a look at a fresh listing. Tells what it deleted.
    pub(super) fn remove(&mut self, attempt: &Attempt) -> Result<Fact, CallError> {
        let (organisation, project) = (self.world.organisation, self.plan.project.clone());
        let mut fact = Fact::default();
        let rows = organisation.keys(&project)?;
        let ours = rows.iter().find(|row| match &attempt.made {
            Some(made) => row.id == made.key,
            None => row.name == attempt.name,
        });
        if let Some(row) = ours {
            self.may_remove(attempt, row)?;
        }
        if self.plan.making == Making::Handed {
            // It is its owner's, who made it.
            return Ok(fact);
        }
        if self.plan.making == Making::NewAccount {
            let accounts = organisation.accounts(&project)?;
            let account = accounts.iter().find(|(id, name)| {
                let known = attempt.made.as_ref().and_then(|made| made.account.as_ref());
                match known {
                    Some(known) => id == known,
                    None => *name == attempt.name && !attempt.accounts.contains(id),
                }
            });
            if let Some((id, _)) = account {
                self.owns_only(&rows, id, ours.map(|row| row.id.as_str()))?;
                organisation.delete_account(&project, id)?;
                fact.account = Some(id.clone());
            }
        } else if let Some(row) = ours {
            organisation.delete_key(&project, &row.id)?;
            fact.key = Some(row.id.clone());
        }
        Ok(fact)
    }

    /// Refuses unless everything says that this key is what the attempt made.
    fn may_remove(&self, attempt: &Attempt, row: &Row) -> Result<(), CallError> {
        let refuse = |why: &str| {
            let text = format!("key {} is not deleted: {why}", row.id);
            Err(CallError::Refused(text))
        };
        if row.id == self.plan.key.id {
            return refuse("it is key A");
        }
        if attempt.made.is_none() {
            if attempt.before.contains(&row.id) {
                return refuse("it was there before");
            }
            if row.created < attempt.since {
                return refuse("it is older than the attempt to make it");
            }
            if row.last_used.is_some() {
                return refuse("somebody has used it");
            }
        }
        for place in &self.plan.places {
            let held = self.store(place)?.read(crate::store::Slot::Current)?;
            let made = attempt.made.as_ref().map(|made| made.fingerprint);
            let is_it = held.is_some_and(|held| match &held.value {
                Some(value) => fits(&row.masked, value),
                None => made.is_some() && held.fingerprint() == made,
            });
            if is_it {
                return refuse(&format!("{place} hands it out"));
            }
        }
        Ok(())
    }

    /// Refuses if a service account owns a key other than this one.
    pub(super) fn owns_only(
        &self,
        rows: &[Row],
        account: &str,
        key: Option<&str>,
    ) -> Result<(), CallError> {
        let owner = super::organisation::Owner::ServiceAccount(account.to_owned());
        let other = rows
            .iter()
            .find(|row| row.owner == owner && Some(row.id.as_str()) != key);
        match other {
            Some(other) => Err(CallError::Refused(format!(
                "service account {account} owns another key, {}: it is not deleted",
                other.id
            ))),
            None => Ok(()),
        }
    }
}

/// Whether a key has this masked form.
pub(super) fn fits(masked: &str, value: &Secret) -> bool {
    Mask::parse(masked).is_some_and(|mask| mask.fits(value.expose()))
}
