//! The plan: everything is looked at and nothing is changed. What would fail later is found here
//! wherever it can be, and all of it is told at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::organisation::{CallError, Organisation, Owner, Row, Scopes};
use super::plan::{Consumer, Making, Plan, Revoking, Strategy, Waits};
use crate::rollout::Stage;
use crate::secret::{Fingerprint, Secret};
use crate::store::Store;

/// What the user wants.
pub struct Wish {
    /// The new rotation's id.
    pub id: String,
    /// The project.
    pub project: String,
    /// The id of key A.
    pub key: String,
    /// Key A, if its value is at hand.
    pub value: Option<Secret>,
    /// When key A goes.
    pub strategy: Strategy,
    /// Rights of key B, if the user names them.
    pub scopes: Option<Scopes>,
    /// Whether key B is handed over by its owner.
    pub handed: bool,
    /// Whether a person's key may be replaced by a service account's.
    pub new_account: bool,
    /// Key B's name, the id included.
    pub name: String,
    /// Who uses the key.
    pub consumers: Vec<Consumer>,
    /// So many seconds after key B was proved key A ends by itself, if it is to.
    pub expire_a: Option<u64>,
    /// So many seconds after it was made key B ends, if it is to.
    pub expire_b: Option<u64>,
    /// How long things take.
    pub waits: Waits,
    /// Who asked for it.
    pub who: String,
}

/// A plan that can be carried out, and what to know before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// The plan.
    pub plan: Plan,
    /// What will be called, in order.
    pub steps: Vec<String>,
    /// What should be known.
    pub warnings: Vec<String>,
    /// What can't be undone.
    pub final_steps: Vec<String>,
    /// What happens if a step fails.
    pub on_failure: Vec<String>,
    /// The least rights that it takes, by place or consumer.
    pub rights: BTreeMap<String, Vec<String>>,
    /// How long it takes at least, in seconds.
    pub least_seconds: u64,
}

/// Looks at everything.
///
/// # Errors
/// Everything that stands in the way, each with what to do.
pub fn prepare(
    wish: &Wish,
    organisation: &dyn Organisation,
    stores: &BTreeMap<String, Arc<dyn Store>>,
    rollouts: &BTreeMap<String, Stage>,
) -> Result<Prepared, Vec<String>> {
    let mut look = Look {
        wish,
        organisation,
        stores,
        rollouts,
        wrong: Vec::new(),
        warnings: Vec::new(),
        rights: BTreeMap::new(),
        single: None,
    };
    match look.plan() {
        Some(plan) if look.wrong.is_empty() => Ok(look.tell(plan)),
        _ => Err(look.wrong),
    }
}

pub(super) struct Look<'a> {
    pub(super) wish: &'a Wish,
    pub(super) organisation: &'a dyn Organisation,
    pub(super) stores: &'a BTreeMap<String, Arc<dyn Store>>,
    pub(super) rollouts: &'a BTreeMap<String, Stage>,
    pub(super) wrong: Vec<String>,
    pub(super) warnings: Vec<String>,
    pub(super) rights: BTreeMap<String, Vec<String>>,
    /// Whether the API changes single keys, once it was asked.
    single: Option<bool>,
}

impl Look<'_> {
    fn plan(&mut self) -> Option<Plan> {
        let wish = self.wish;
        let answer = self.organisation.keys(&wish.project);
        let rows = self.asked("list the project's keys", answer)?;
        let Some(key) = rows.iter().find(|row| row.id == wish.key).cloned() else {
            self.wrong(format!(
                "project {} has no key {}: run `skewer keys list --project {}`",
                wish.project, wish.key, wish.project
            ));
            return None;
        };
        if let Some(value) = &wish.value
            && !super::make::fits(&key.masked, value)
        {
            self.wrong(format!(
                "the key at hand does not look like {} ({}): nothing is done for a record that is not its own",
                key.id, key.shown()
            ));
        }
        let alike = |value: &Secret| {
            let mut others = rows.iter().filter(|row| row.id != key.id);
            others.find(|row| super::make::fits(&row.masked, value))
        };
        if let Some(other) = wish.value.as_ref().and_then(alike) {
            self.wrong(format!(
                "the key at hand looks like {} and like {} ({}): nobody can say which of them it is, so neither is deleted",
                key.id, other.id, other.shown()
            ));
        }
        self.unfinished(&rows);
        let (making, revoking) = self.making(&key, &rows)?;
        let (expire_a, expire_b) = self.ends(&key, &making)?;
        let places = self.places();
        self.movers();
        let fingerprint = wish.value.as_ref().map(Secret::fingerprint);
        let lock = self.look_at_stores(&places, fingerprint);
        Some(Plan {
            id: wish.id.clone(),
            project: wish.project.clone(),
            fingerprint,
            strategy: wish.strategy,
            making,
            revoking,
            name: wish.name.clone(),
            places,
            lock,
            consumers: match wish.strategy {
                Strategy::RevokeOnly => Vec::new(),
                _ => wish.consumers.clone(),
            },
            expire_a,
            expire_b,
            waits: wish.waits,
            who: wish.who.clone(),
            key,
        })
    }

    fn wrong(&mut self, text: impl Into<String>) {
        self.wrong.push(text.into());
    }

    fn asked<T>(&mut self, what: &str, answer: Result<T, CallError>) -> Option<T> {
        answer
            .map_err(|error| self.wrong(format!("can't {what}: {error}")))
            .ok()
    }

    /// A key B that another rotation has left is in the way: its owner has to end it.
    fn unfinished(&mut self, rows: &[Row]) {
        let stem = self.wish.name.strip_suffix(&self.wish.id);
        let left = rows.iter().find(|row| {
            stem.and_then(|stem| row.name.strip_prefix(stem))
                .is_some_and(|rest| {
                    rest.len() == self.wish.id.len()
                        && rest.bytes().all(|b| b.is_ascii_hexdigit())
                        && row.last_used.is_none()
                        && row.id != self.wish.key
                })
        });
        if let Some(row) = left {
            self.wrong(format!(
                "key {} ({}) looks like the key B of a rotation that was not finished, perhaps on another machine: resume or abort that one, or delete the key",
                row.id, row.name
            ));
        }
    }

    /// How key B comes to be, and what goes with key A.
    fn making(&mut self, key: &Row, rows: &[Row]) -> Option<(Making, Revoking)> {
        let wish = self.wish;
        let answer = self.organisation.is_archived(&wish.project);
        let archived = self.asked("look at the project", answer)?;
        if archived && wish.strategy != Strategy::RevokeOnly {
            self.wrong(format!(
                "project {} is archived: no key can be made in it. `skewer revoke {}` deletes the leaked one",
                wish.project, key.id
            ));
        }
        match &key.owner {
            Owner::ServiceAccount(account) => {
                let single = self.changes_single(key)?;
                let revoking = match single {
                    true => Revoking::Key,
                    false => self.whole_account(account, key, rows),
                };
                let making = match (wish.handed, single) {
                    (true, _) => Making::Handed,
                    (false, true) => Making::OnAccount {
                        account: account.clone(),
                        scopes: self.scopes(key)?,
                    },
                    (false, false) => {
                        self.warnings.push(format!(
                            "this API can't delete a single key of a service account: key B comes on a new account, and {account} goes with key A. A role that was given to it has to be given again"
                        ));
                        self.all_scopes(key)?;
                        Making::NewAccount
                    }
                };
                Some((making, revoking))
            }
            Owner::User(user) => {
                // An admin key that may only read is refused here, and not when it has to delete.
                self.changes_single(key)?;
                let making = match (wish.handed, wish.new_account, wish.strategy) {
                    (_, _, Strategy::RevokeOnly) | (true, _, _) => Making::Handed,
                    (false, true, _) => {
                        self.warnings.push(format!(
                            "key A is {user}'s, key B will be a service account's: what the API logs names another identity"
                        ));
                        self.all_scopes(key)?;
                        Making::NewAccount
                    }
                    (false, false, _) => {
                        self.wrong(format!(
                            "key {} is a person's ({user}), and no call of the API makes one. Either have its owner make a new key in the same project and hand it over (--handed, on standard input), or move to a service account (--to-service-account)",
                            key.id
                        ));
                        return None;
                    }
                };
                Some((making, Revoking::Key))
            }
        }
    }

    fn changes_single(&mut self, key: &Row) -> Option<bool> {
        if self.single.is_none() {
            let answer = self
                .organisation
                .changes_single_keys(&self.wish.project, &key.id);
            self.single = self.asked("see whether the admin key may change keys", answer);
        }
        self.single
    }

    /// The ends that keys are given.
    fn ends(&mut self, key: &Row, making: &Making) -> Option<(Option<u64>, Option<u64>)> {
        let wish = self.wish;
        // Where key A goes at once, it needs no end.
        let expire_a = wish
            .expire_a
            .filter(|_| wish.strategy == Strategy::Graceful);
        let expire_b = wish
            .expire_b
            .filter(|_| wish.strategy != Strategy::RevokeOnly);
        if expire_a.is_some() && !self.changes_single(key)? {
            self.wrong(
                "this API can't let a key end by itself (that came with October 2026): take `expire-a` out of your policy",
            );
        }
        if let Some(seconds) = expire_a
            && seconds <= wish.waits.quiet
        {
            self.wrong(format!(
                "key A would end after {seconds} s, before anybody knows that it stands still ({} s): `expire-a` has to be longer than `quiet`",
                wish.waits.quiet
            ));
        }
        if expire_b.is_some() && *making == Making::Handed {
            self.warnings
                .push("key B's owner sees to its end: `expire-b` is not heeded".to_owned());
        }
        if expire_b.is_some() && self.single == Some(false) {
            self.warnings.push(
                "this API may not know `expire-b` (that came with September 2026): then key B can't be made, and nothing is changed"
                    .to_owned(),
            );
        }
        Some((expire_a, expire_b.filter(|_| *making != Making::Handed)))
    }

    /// The account goes with key A, so it must own no other.
    fn whole_account(&mut self, account: &str, key: &Row, rows: &[Row]) -> Revoking {
        let others: Vec<&str> = rows
            .iter()
            .filter(|row| row.owner == key.owner && row.id != key.id)
            .map(|row| row.id.as_str())
            .collect();
        if !others.is_empty() {
            self.wrong(format!(
                "this API can delete key {} only with its service account {account}, which owns other keys as well: {}. Rotate those first, or ask OpenAI for the newer API",
                key.id,
                others.join(", ")
            ));
        }
        Revoking::Account(account.to_owned())
    }

    /// Key B gets what key A has, and never more by accident.
    fn scopes(&mut self, key: &Row) -> Option<Scopes> {
        if self.wish.strategy == Strategy::RevokeOnly {
            return Some(Scopes::All);
        }
        if let Some(scopes) = &self.wish.scopes {
            return Some(scopes.clone());
        }
        let answer = self.organisation.scopes(&key.id);
        match self.asked("read the audit log", answer)? {
            Some(scopes) => Some(scopes),
            None => {
                self.wrong(format!(
                    "nobody knows what key {} may do: the audit log does not tell of its creation. Say --scopes NAME,… or --accept-all-scopes",
                    key.id
                ));
                None
            }
        }
    }

    /// A service account's first key may do everything: nothing can be said about it when it is
    /// made.
    fn all_scopes(&mut self, key: &Row) -> Option<()> {
        if self.wish.strategy == Strategy::RevokeOnly {
            return Some(());
        }
        match self.wish.scopes {
            Some(Scopes::All) => Some(()),
            Some(Scopes::Some(_)) => {
                self.wrong(
                    "this API makes keys on new service accounts without scopes: --scopes can't be kept, only --accept-all-scopes",
                );
                None
            }
            None => match self.scopes(key)? {
                Scopes::All => Some(()),
                Scopes::Some(scopes) => {
                    self.wrong(format!(
                        "key A is restricted to {}, and this API makes keys on new service accounts without scopes: --accept-all-scopes says that key B may do everything",
                        scopes.join(", ")
                    ));
                    None
                }
            },
        }
    }

    fn places(&mut self) -> Vec<String> {
        let wish = self.wish;
        if wish.strategy == Strategy::RevokeOnly {
            return Vec::new();
        }
        if wish.consumers.is_empty() {
            self.wrong(
                "nobody is known to use this key: name its consumers in your config.toml, or delete it with `skewer revoke`",
            );
        }
        let mut seen = BTreeSet::new();
        let places = wish.consumers.iter().map(|one| one.place.clone());
        let places: Vec<String> = places.filter(|place| seen.insert(place.clone())).collect();
        for place in &places {
            let uses = |canary| {
                let mut of_place = wish.consumers.iter().filter(|one| one.place == *place);
                of_place.any(|one| one.canary == canary)
            };
            if uses(true) && uses(false) {
                self.warnings.push(format!(
                    "{place} serves the canary and others: who restarts by itself gets key B before the canary is done"
                ));
            }
        }
        places
    }

    fn movers(&mut self) {
        if self.wish.strategy == Strategy::RevokeOnly {
            return;
        }
        for consumer in &self.wish.consumers {
            let Some(stage) = self.rollouts.get(&consumer.name) else {
                self.wrong(format!(
                    "nothing says how {} is rolled out: add it to your config.toml",
                    consumer.name
                ));
                continue;
            };
            match stage.rollout.preflight() {
                Ok(remarks) => self.remark(&consumer.name, remarks),
                Err(error) => self.wrong(error.to_string()),
            }
            self.rights
                .insert(consumer.name.clone(), stage.rollout.rights());
            if stage.health.is_empty() {
                self.warnings.push(format!(
                    "{} has no health check: that it was restarted is all that is known",
                    consumer.name
                ));
            }
        }
    }

    fn remark(&mut self, name: &str, remarks: Vec<String>) {
        let remarks = remarks.into_iter().map(|text| format!("{name}: {text}"));
        self.warnings.extend(remarks);
    }

    /// Looks at each store; returns the place that can hold the lock.
    fn look_at_stores(&mut self, places: &[String], a: Option<Fingerprint>) -> Option<String> {
        let mut lock = None;
        for place in places {
            let Some(store) = self.stores.get(place) else {
                self.wrong(format!("{place} is not in your config.toml"));
                continue;
            };
            let can = store.capabilities();
            if can.locks && lock.is_none() {
                lock = Some(place.clone());
            }
            self.rights.insert(place.clone(), store.rights());
            if store.wraps() {
                self.warnings.push(format!(
                    "a consumer of {place} that no rollout reaches gets key B by a one-time token: `skewer rotate hand-over {} {place} -o FILE`, from when it is written there until the end",
                    self.wish.id
                ));
            }
            let limits = can.limits().into_iter();
            self.remark(place, limits.map(str::to_owned).collect());
            match store.preflight() {
                Err(error) => self.wrong(error.to_string()),
                Ok(found) => {
                    self.remark(place, found.remarks);
                    if let Some(pending) = found.pending {
                        self.wrong(format!(
                            "{place}: rotation {} left its key there: resume or abort that one first",
                            pending.rotation
                        ));
                    }
                    if let (Some(a), Some(there)) = (a, found.fingerprint)
                        && a != there
                    {
                        self.wrong(format!(
                            "{place} does not hold key A: its consumers use another key, so they are not part of this leak"
                        ));
                    }
                }
            }
        }
        if lock.is_none() && !places.is_empty() {
            self.warnings.push(
                "no store can hold a lock: see to it that nobody rotates this key elsewhere"
                    .to_owned(),
            );
        }
        lock
    }
}
