//! A world for tests: an organisation, stores and consumers in memory, with faults at any call, and
//! a process that dies at any entry of the journal.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::act::Entry;
use super::fake::Fake;
use super::journal::{Journal, JournalError, Summary};
use super::organisation::{Row, Scopes};
use super::plan::{Consumer, Making, Plan, Revoking, Strategy, Waits};
use super::run::{Halt, Run, World};
use super::states::Stopped;
use crate::clock::manual::Manual;
use crate::rollout::{Direction, Health, RolloutError, Simulated, Stage};
use crate::secret::Secret;
use crate::store::{Faulty, Memory, Slot, Store};

pub(super) const PROJECT: &str = "proj_1";
pub(super) const START: i64 = 1_790_000_000;

/// A way to rotate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) strategy: Strategy,
    pub(super) old: bool,
    pub(super) expire_a: Option<u64>,
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
        Self::of(Way {
            strategy,
            old: old_generation,
            expire_a: None,
        })
    }

    pub(super) fn of(way: Way) -> Self {
        Self::with(way, &Memory::new)
    }

    /// The same with stores that `store` makes.
    pub(super) fn with(way: Way, store: &dyn Fn(Secret) -> Memory) -> Self {
        let Way {
            strategy,
            old: old_generation,
            expire_a,
        } = way;
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
        bench.plan.expire_a = expire_a;
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
            let state = self.organisation.state();
            assert!(
                state.keys.iter().all(|key| key.row.expires.is_none()),
                "key A is given back, and ends"
            );
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
        expire_a: None,
        expire_b: None,
        waits: Waits::default(),
        who: "tests".to_owned(),
        key: row,
    }
}

/// Whether a process died because it was to.
pub(super) fn was_killed(outcome: &Result<(), Halt>) -> bool {
    matches!(outcome, Err(Halt::Journal(JournalError::Killed)))
}
