//! An organisation in memory, for tests, with faults at any call.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::organisation::{Answer, CallError, Minted, Organisation, Owner, Row, Scopes, Use};
use crate::clock::Clock;
use crate::clock::manual::Manual;
use crate::rules::Template;
use crate::secret::Secret;

/// How a call to the organisation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It never arrives.
    Before,
    /// It never arrives, but nobody can say.
    Unsure,
    /// It is carried out, and the answer is lost.
    After,
    /// It is carried out so late that nothing shows for a while, and the answer is lost.
    Late,
}

pub(super) fn key(seed: u64) -> Secret {
    let template = Template::parse("sk-svcacct-{long:74,74}").unwrap();
    Secret::new(template.fill(seed).key.into_bytes())
}

fn masked(value: &Secret) -> String {
    let text = String::from_utf8(value.expose().to_vec()).unwrap();
    let (head, tail) = (&text[..8], &text[text.len() - 4..]);
    format!("{head}{}{tail}", "*".repeat(text.len() - 12))
}

pub(super) struct Issued {
    pub(super) row: Row,
    pub(super) value: Secret,
    shows_from: Duration,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) keys: Vec<Issued>,
    pub(super) accounts: BTreeMap<String, String>,
    deleted: Vec<String>,
    made: u64,
    calls: u64,
    faults: BTreeMap<u64, Fault>,
    requests: BTreeMap<String, u64>,
    pub(super) scopes: BTreeMap<String, Scopes>,
    /// How often a key was given an end.
    pub(super) expiries: u64,
    pub(super) refuses_expiry: bool,
}

/// An organisation in memory.
pub(super) struct Fake {
    pub(super) state: Mutex<State>,
    pub(super) clock: Arc<Manual>,
    pub(super) old_generation: bool,
}

impl Fake {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Counts a call; tells how it fails, if it does.
    fn call(&self) -> Option<Fault> {
        let mut state = self.state();
        state.calls += 1;
        let number = state.calls;
        state.faults.remove(&number)
    }

    fn asked(&self) -> Result<(), CallError> {
        match self.call() {
            Some(_) => Err(CallError::NotDone("a fault was ordered".to_owned())),
            None => Ok(()),
        }
    }

    fn change<T>(
        &self,
        late: impl FnOnce(Duration) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        let lost = |text: &str| CallError::Unsure(format!("{text} was ordered"));
        match self.call() {
            None => late(Duration::ZERO),
            Some(Fault::Before) => Err(CallError::NotDone("a fault was ordered".to_owned())),
            Some(Fault::Unsure) => Err(lost("a time-out")),
            Some(Fault::After) => late(Duration::ZERO).and(Err(lost("a lost answer"))),
            Some(Fault::Late) => late(Duration::from_secs(20)).and(Err(lost("a late effect"))),
        }
    }

    fn issue(&self, name: &str, account: &str, delay: Duration, end: Option<Duration>) -> Minted {
        let now = self.clock.now().as_second();
        let expires = end.map(|end| now + end.as_secs() as i64);
        let shows_from = self.clock.uptime() + delay;
        let mut state = self.state();
        state.made += 1;
        let value = key(1000 + state.made);
        let id = format!("key_{}", state.made);
        let row = Row {
            id: id.clone(),
            name: name.to_owned(),
            masked: masked(&value),
            owner: Owner::ServiceAccount(account.to_owned()),
            created: now,
            last_used: None,
            expires,
        };
        state.keys.push(Issued {
            row,
            value: value.clone(),
            shows_from,
        });
        Minted {
            id,
            account: None,
            value,
        }
    }

    pub(super) fn live(&self) -> Vec<Secret> {
        let now = self.clock.now().as_second();
        let state = self.state();
        let live = |k: &&Issued| k.row.expires.is_none_or(|end| end > now);
        let live = state.keys.iter().filter(live);
        live.map(|k| k.value.clone()).collect()
    }

    pub(super) fn ids(&self) -> BTreeSet<String> {
        self.state().keys.iter().map(|k| k.row.id.clone()).collect()
    }

    pub(super) fn deleted(&self) -> Vec<String> {
        self.state().deleted.clone()
    }

    pub(super) fn calls(&self) -> u64 {
        self.state().calls
    }

    pub(super) fn order(&self, call: u64, fault: Fault) {
        self.state().faults.insert(call, fault);
    }

    /// Somebody uses a key.
    pub(super) fn use_key(&self, id: &str, requests: u64) {
        let now = self.clock.now().as_second();
        let mut state = self.state();
        *state.requests.entry(id.to_owned()).or_default() += requests;
        for issued in state.keys.iter_mut().filter(|k| k.row.id == id) {
            issued.row.last_used = Some(now);
        }
    }

    pub(super) fn add_key(&self, name: &str, account: &str) -> (Row, Secret) {
        let minted = self.issue(name, account, Duration::ZERO, None);
        let state = self.state();
        let issued = state.keys.iter().find(|k| k.row.id == minted.id).unwrap();
        (issued.row.clone(), minted.value)
    }
}

impl Organisation for Fake {
    fn keys(&self, _: &str) -> Result<Vec<Row>, CallError> {
        self.asked()?;
        let now = self.clock.uptime();
        let state = self.state();
        let time = self.clock.now().as_second();
        let shown = state.keys.iter().filter(|k| k.shows_from <= now);
        let shown = shown.filter(|k| k.row.expires.is_none_or(|end| end > time));
        Ok(shown.map(|k| k.row.clone()).collect())
    }

    fn time(&self) -> Option<i64> {
        Some(self.clock.now().as_second())
    }

    fn accounts(&self, _: &str) -> Result<Vec<(String, String)>, CallError> {
        self.asked()?;
        let state = self.state();
        Ok(state.accounts.clone().into_iter().collect())
    }

    fn create_key(
        &self,
        _: &str,
        account: &str,
        name: &str,
        scopes: &Scopes,
        end: Option<Duration>,
    ) -> Result<Minted, CallError> {
        assert_ne!(*scopes, Scopes::Some(Vec::new()), "an empty list means all");
        self.change(|delay| Ok(self.issue(name, account, delay, end)))
    }

    fn create_account(
        &self,
        _: &str,
        name: &str,
        end: Option<Duration>,
    ) -> Result<Minted, CallError> {
        self.change(|delay| {
            let id = format!("sa_{name}");
            self.state().accounts.insert(id.clone(), name.to_owned());
            let mut minted = self.issue(name, &id, delay, end);
            minted.account = Some(id);
            Ok(minted)
        })
    }

    fn expire_key(&self, _: &str, id: &str, time: Duration) -> Result<(), CallError> {
        self.change(|_| {
            let now = self.clock.now().as_second();
            let mut state = self.state();
            if self.old_generation || state.refuses_expiry {
                return Err(CallError::Refused("it knows no expiry".to_owned()));
            }
            state.expiries += 1;
            let found = state.keys.iter_mut().find(|k| k.row.id == id);
            let issued = found.ok_or_else(|| CallError::Refused("404".to_owned()))?;
            issued.row.expires = Some(now + time.as_secs() as i64);
            Ok(())
        })
    }

    fn delete_key(&self, _: &str, id: &str) -> Result<(), CallError> {
        self.change(|_| {
            if self.old_generation {
                return Err(CallError::Refused("400".to_owned()));
            }
            let mut state = self.state();
            state.keys.retain(|k| k.row.id != id);
            state.deleted.push(id.to_owned());
            Ok(())
        })
    }

    fn delete_account(&self, _: &str, id: &str) -> Result<(), CallError> {
        self.change(|_| {
            let mut state = self.state();
            let owner = Owner::ServiceAccount(id.to_owned());
            let gone = state.keys.iter().filter(|k| k.row.owner == owner);
            let gone: Vec<String> = gone.map(|k| k.row.id.clone()).collect();
            state.keys.retain(|k| k.row.owner != owner);
            state.deleted.extend(gone);
            state.accounts.remove(id);
            Ok(())
        })
    }

    fn probe(&self, value: &Secret) -> Answer {
        if self.call().is_some() {
            return Answer::Unknown("a fault was ordered".to_owned());
        }
        let now = self.clock.now().as_second();
        let mut state = self.state();
        match state.keys.iter_mut().find(|k| k.value == *value) {
            Some(issued) if issued.row.expires.is_some_and(|end| end <= now) => Answer::Dead,
            Some(issued) => {
                issued.row.last_used = Some(now);
                Answer::Live
            }
            None => Answer::Dead,
        }
    }

    fn used(&self, _: &str, id: &str, _: i64) -> Result<Use, CallError> {
        self.asked()?;
        let requests = self.state().requests.remove(id).unwrap_or(0);
        let models = BTreeMap::from([("gpt-5".to_owned(), requests)]);
        Ok(Use { requests, models })
    }

    fn is_archived(&self, project: &str) -> Result<bool, CallError> {
        self.asked()?;
        Ok(project == "proj_archived")
    }

    fn scopes(&self, key: &str) -> Result<Option<Scopes>, CallError> {
        self.asked()?;
        Ok(self.state().scopes.get(key).cloned())
    }

    fn changes_single_keys(&self, _: &str, _: &str) -> Result<bool, CallError> {
        self.asked()?;
        Ok(!self.old_generation)
    }

    fn saw_deletion(&self, id: &str) -> Result<Option<bool>, CallError> {
        self.asked()?;
        Ok(Some(self.state().deleted.iter().any(|gone| gone == id)))
    }
}
