//! A world for tests: an organisation, stores and consumers in memory, with faults at any call, and
//! a process that dies at any entry of the journal.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::act::Entry;
use super::journal::{Journal, JournalError, Summary};
use super::organisation::{Answer, CallError, Minted, Organisation, Owner, Row, Scopes, Use};
use super::plan::{Consumer, Making, Plan, Revoking, Strategy, Waits};
use super::run::{Halt, Run, World};
use super::states::Stopped;
use crate::clock::Clock;
use crate::clock::manual::Manual;
use crate::rollout::{Direction, Health, RolloutError, Simulated, Stage};
use crate::rules::Template;
use crate::secret::Secret;
use crate::store::{Faulty, Memory, Slot, Store};

pub(super) const PROJECT: &str = "proj_1";
pub(super) const START: i64 = 1_790_000_000;

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

struct Issued {
    row: Row,
    value: Secret,
    shows_from: Duration,
}

#[derive(Default)]
struct State {
    keys: Vec<Issued>,
    accounts: BTreeMap<String, String>,
    deleted: Vec<String>,
    made: u64,
    calls: u64,
    faults: BTreeMap<u64, Fault>,
    requests: BTreeMap<String, u64>,
    pub(super) scopes: BTreeMap<String, Scopes>,
}

/// An organisation in memory.
pub(super) struct Fake {
    state: Mutex<State>,
    clock: Arc<Manual>,
    old_generation: bool,
}

impl Fake {
    fn state(&self) -> MutexGuard<'_, State> {
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

    fn issue(&self, name: &str, account: &str, delay: Duration) -> Minted {
        let now = self.clock.now().as_second();
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
        self.state().keys.iter().map(|k| k.value.clone()).collect()
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
        let minted = self.issue(name, account, Duration::ZERO);
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
        let shown = state.keys.iter().filter(|k| k.shows_from <= now);
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
    ) -> Result<Minted, CallError> {
        assert_ne!(*scopes, Scopes::Some(Vec::new()), "an empty list means all");
        self.change(|delay| Ok(self.issue(name, account, delay)))
    }

    fn create_account(&self, _: &str, name: &str) -> Result<Minted, CallError> {
        self.change(|delay| {
            let id = format!("sa_{name}");
            self.state().accounts.insert(id.clone(), name.to_owned());
            let mut minted = self.issue(name, &id, delay);
            minted.account = Some(id);
            Ok(minted)
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

    fn deletes_single_keys(&self, _: &str, _: &str) -> Result<bool, CallError> {
        self.asked()?;
        Ok(!self.old_generation)
    }

    fn saw_deletion(&self, id: &str) -> Result<Option<bool>, CallError> {
        self.asked()?;
        Ok(Some(self.state().deleted.iter().any(|gone| gone == id)))
    }
}

type Held = Arc<Mutex<Secret>>;

/// Everything a rotation needs, and what it does to it.
pub(super) struct Bench {
    pub(super) organisation: Fake,
    pub(super) clock: Arc<Manual>,
    pub(super) places: BTreeMap<String, Arc<Faulty<Memory>>>,
    stores: BTreeMap<String, Arc<dyn Store>>,
    rollouts: BTreeMap<String, Stage>,
    pub(super) held: BTreeMap<String, Held>,
    pub(super) plan: Plan,
    pub(super) key_a: Secret,
    pub(super) bystanders: BTreeSet<String>,
    /// Requests of consumers with a key that is dead, seen after each entry.
    pub(super) failed: Mutex<u64>,
    /// In memory: thousands of rotations would wait for the disk else.
    pub(super) journal: Mutex<Journal>,
}

impl Bench {
    /// Two places, each with two consumers, one of them the canary's.
    pub(super) fn new(strategy: Strategy, old_generation: bool) -> Self {
        Self::with(strategy, old_generation, &Memory::new)
    }

    /// The same with stores that `store` makes.
    pub(super) fn with(
        strategy: Strategy,
        old_generation: bool,
        store: &dyn Fn(Secret) -> Memory,
    ) -> Self {
        let clock = Arc::new(Manual::new(START));
        let organisation = Fake {
            state: Mutex::default(),
            clock: clock.clone(),
            old_generation,
        };
        organisation.add_key("somebody else's", "sa_other");
        let (row, key_a) = organisation.add_key("key A", "sa_a");
        organisation.state().accounts = [("sa_other", "other"), ("sa_a", "a")]
            .map(|(id, name)| (id.to_owned(), name.to_owned()))
            .into();
        let bystanders = organisation.ids().into_iter().filter(|id| *id != row.id);
        let bystanders = bystanders.collect();
        let mut bench = Self {
            plan: plan(row, strategy, old_generation),
            organisation,
            clock,
            places: BTreeMap::new(),
            stores: BTreeMap::new(),
            rollouts: BTreeMap::new(),
            held: BTreeMap::new(),
            key_a,
            bystanders,
            failed: Mutex::new(0),
            journal: Mutex::new(Journal::in_memory().unwrap()),
        };
        bench.plan.fingerprint = Some(bench.key_a.fingerprint());
        if strategy == Strategy::RevokeOnly {
            bench.plan.places.clear();
            bench.plan.consumers.clear();
            bench.plan.lock = None;
        }
        for place in bench.plan.places.clone() {
            let store = Arc::new(Faulty::new(store(bench.key_a.clone())));
            bench.stores.insert(place.clone(), store.clone());
            bench.places.insert(place, store);
        }
        for consumer in bench.plan.consumers.clone() {
            bench.add_consumer(&consumer);
        }
        bench
    }

    /// One consumer in three stages, one after the other, that read from one place. `ill` is not
    /// healthy with any key but key A. Tells in which order they were moved.
    pub(super) fn in_three_stages(ill: &str) -> (Self, Arc<Mutex<Vec<String>>>) {
        let mut bench = Self::new(Strategy::Graceful, false);
        bench.plan.places.retain(|place| place == "main");
        (bench.held, bench.rollouts) = Default::default();
        bench.places.remove("canary");
        let moves = Arc::new(Mutex::new(Vec::new()));
        bench.plan.consumers = ["api/canary", "api/quarter", "api/rest"]
            .map(|name| Consumer {
                name: name.to_owned(),
                place: "main".to_owned(),
                canary: name.ends_with("canary"),
            })
            .to_vec();
        for consumer in bench.plan.consumers.clone() {
            bench.add_consumer(&consumer);
            let held = bench.held[&consumer.name].clone();
            let (name, log) = (consumer.name.clone(), Arc::clone(&moves));
            let store = bench.places["main"].clone();
            let (of_health, key_a) = (held.clone(), bench.key_a.clone());
            let stage = bench.rollouts.get_mut(&consumer.name).unwrap();
            let restart = move |direction: Direction| {
                log.lock().unwrap().push(format!("{name} {direction:?}"));
                *held.lock().unwrap() = store.inner().handed_out().unwrap();
            };
            stage.rollout = Box::new(Simulated::done_after(1).calling(restart));
            if consumer.name == ill {
                stage.health = vec![Box::new(Only(of_health, key_a))];
            }
        }
        (bench, moves)
    }

    fn add_consumer(&mut self, consumer: &Consumer) {
        let held: Held = Arc::new(Mutex::new(self.key_a.clone()));
        self.held.insert(consumer.name.clone(), held.clone());
        let store = self.places[&consumer.place].clone();
        let restart = move |_: Direction| {
            *held.lock().unwrap() = store.inner().handed_out().unwrap();
        };
        let stage = Stage {
            name: consumer.name.clone(),
            rollout: Box::new(Simulated::done_after(1).calling(restart)),
            health: Vec::new(),
            limit: Duration::from_secs(60),
            pause: Duration::from_secs(1),
            healthy_after: 1,
        };
        self.rollouts.insert(consumer.name.clone(), stage);
    }

    pub(super) fn summary(&self) -> Summary {
        self.journal.lock().unwrap().read(&self.plan.id).unwrap()
    }

    fn world<'a>(&'a self, watch: &'a dyn Fn(&Plan, &Entry)) -> World<'a> {
        World {
            organisation: &self.organisation,
            stores: &self.stores,
            rollouts: &self.rollouts,
            clock: &*self.clock,
            key_a: Some(&self.key_a),
            handed: None,
            watch,
        }
    }

    /// Consumers send a request each; those with a dead key fail.
    fn load(&self) {
        let live = self.organisation.live();
        let dead = self
            .held
            .values()
            .filter(|held| !live.contains(&held.lock().unwrap()));
        *self.failed.lock().unwrap() += dead.count() as u64;
    }

    /// Begins or goes on, in one process that dies at this step of the journal.
    pub(super) fn process(&self, dies_at: Option<u64>, work: Work) -> (Result<(), Halt>, u64) {
        let mut journal = self.journal.lock().unwrap();
        (journal.dies_at, journal.written) = (dies_at, 0);
        let watch = |_: &Plan, _: &Entry| self.load();
        let world = self.world(&watch);
        let begun = journal.ids().unwrap().contains(&self.plan.id);
        let run = match begun {
            true => Run::resume(&self.plan.id, &mut journal, world),
            false => Run::begin(self.plan.clone(), &mut journal, world),
        };
        let outcome = match run {
            Err(halt) => Err(halt),
            Ok(run) => match work {
                Work::Drive => Box::new(run)
                    .drive()
                    .map(drop)
                    .map_err(|Stopped { halt, .. }| halt),
                Work::Abort => {
                    let mut run = run;
                    run.abort("a test").map(drop)
                }
                Work::Overrule => {
                    let mut run = run;
                    run.overrule("a test", "it is known")
                }
            },
        };
        (outcome, journal.written)
    }

    /// What must hold at the end, whatever happened.
    pub(super) fn assert_ended(&self, strategy: Strategy) {
        let summary = self.summary();
        let memory = super::memory::Memory::of(&summary.entries);
        assert!(memory.closed, "not closed: {memory:#?}");
        let ids = self.organisation.ids();
        assert!(self.bystanders.is_subset(&ids), "a bystander was deleted");
        let ours: Vec<&String> = ids.difference(&self.bystanders).collect();
        let live = self.organisation.live();
        if strategy == Strategy::RevokeOnly {
            assert!(!live.contains(&self.key_a) || memory.aborting.is_some());
            return;
        }
        assert_eq!(ours.len(), 1, "exactly one key lives: {ours:?}");
        for (name, held) in &self.held {
            let held = held.lock().unwrap().clone();
            assert!(live.contains(&held), "{name} holds a dead key");
        }
        for (name, store) in &self.places {
            assert!(
                live.contains(&store.inner().handed_out().unwrap()),
                "{name}"
            );
            assert_eq!(store.inner().read(Slot::Next).unwrap(), None, "{name}");
            assert_eq!(store.inner().read(Slot::Previous).unwrap(), None, "{name}");
            assert_eq!(store.inner().read(Slot::Lock).unwrap(), None, "{name}");
        }
        if memory.aborting.is_some() {
            assert!(live.contains(&self.key_a), "an undo keeps key A");
        } else {
            assert!(!live.contains(&self.key_a), "key A lives");
        }
    }
}

/// Well with one key only.
struct Only(Held, Secret);

impl Health for Only {
    fn question(&self) -> String {
        "is it well?".to_owned()
    }

    fn check(&self) -> Result<(), RolloutError> {
        match *self.0.lock().unwrap() == self.1 {
            true => Ok(()),
            false => Err(RolloutError::Failed {
                target: "a consumer".to_owned(),
                reason: "it does not like its key".to_owned(),
            }),
        }
    }
}

pub(super) enum Work {
    Drive,
    Abort,
    Overrule,
}

fn plan(row: Row, strategy: Strategy, old_generation: bool) -> Plan {
    let consumer = |name: &str, place: &str, canary| Consumer {
        name: name.to_owned(),
        place: place.to_owned(),
        canary,
    };
    Plan {
        id: "0123abcd".to_owned(),
        project: PROJECT.to_owned(),
        fingerprint: None,
        strategy,
        making: match old_generation {
            true => Making::NewAccount,
            false => Making::OnAccount {
                account: "sa_a".to_owned(),
                scopes: Scopes::All,
            },
        },
        revoking: match old_generation {
            true => Revoking::Account("sa_a".to_owned()),
            false => Revoking::Key,
        },
        name: "26-11-acme-app-prod-0123abcd".to_owned(),
        places: vec!["canary".to_owned(), "main".to_owned()],
        lock: Some("main".to_owned()),
        consumers: vec![
            consumer("first", "canary", true),
            consumer("web", "main", false),
            consumer("worker", "main", false),
        ],
        waits: Waits::default(),
        who: "tests".to_owned(),
        key: row,
    }
}

/// Whether a process died because it was to.
pub(super) fn was_killed(outcome: &Result<(), Halt>) -> bool {
    matches!(outcome, Err(Halt::Journal(JournalError::Killed)))
}
