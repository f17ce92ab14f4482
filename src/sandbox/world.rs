//! The organisation: what exists, who owns it, and what may be done with a key right now.

use std::collections::{HashMap, VecDeque};

use serde_json::{Value, json};

use super::clock::Clock;
use super::fault::{Fault, What};
use super::forms;
use super::parts::{
    Event, Key, NewKey, Organisation, Owner, Project, Seen, ServiceAccount, Use, User,
};
use super::refusal::Refusal;
use super::settings::Settings;
use crate::secret::{Fingerprint, Secret};

/// How many requests are remembered.
const REMEMBERED: usize = 100_000;

/// Everything.
#[derive(Debug)]
pub struct World {
    /// Who the organisation is.
    pub organisation: Organisation,
    /// How it behaves.
    pub settings: Settings,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// Its projects, oldest first, archived ones too.
    pub projects: Vec<Project>,
    /// Its users, removed ones too.
    pub users: Vec<User>,
    /// Its service accounts, deleted ones too.
    pub service_accounts: Vec<ServiceAccount>,
    /// Its keys of all kinds, admin keys and deleted ones too.
    pub keys: Vec<Key>,
    /// What the organisation may spend in a month, in cents.
    pub spend_limit: Option<i64>,
    /// The audit log, oldest first.
    pub events: Vec<Event>,
    /// What the models were asked.
    pub uses: Vec<Use>,
    /// The requests that came in, the last 100,000.
    pub requests: VecDeque<Seen>,
    pub(super) buckets: HashMap<(&'static str, &'static str), (f64, i64)>,
    pub(super) page_fault: Option<What>,
    clock: Clock,
    started: i64,
    by_value: HashMap<Fingerprint, usize>,
    seed: u64,
    made: u64,
}

impl World {
    pub(super) fn empty(seed: u64, clock: Clock, settings: Settings) -> Self {
        let started = clock.seconds();
        let mut world = Self {
            started,
            organisation: Organisation {
                id: String::new(),
                slug: String::new(),
                title: "Acme Sandbox".to_owned(),
            },
            settings,
            faults: Vec::new(),
            projects: Vec::new(),
            users: Vec::new(),
            service_accounts: Vec::new(),
            keys: Vec::new(),
            spend_limit: None,
            events: Vec::new(),
            uses: Vec::new(),
            requests: VecDeque::new(),
            buckets: HashMap::new(),
            page_fault: None,
            clock,
            by_value: HashMap::new(),
            seed,
            made: 0,
        };
        world.organisation.id = world.new_id("org-{alnum:24}");
        world.organisation.slug = format!("acme-sandbox-{}", world.new_id("{hex:6}"));
        world
    }

    /// Now, in milliseconds since 1970.
    pub fn now(&self) -> i64 {
        self.clock.milliseconds()
    }

    /// Seconds since the organisation was founded: what faults go by.
    pub fn since_start(&self) -> i64 {
        self.clock.seconds() - self.started
    }

    /// The clock that it lives by.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    fn next(&mut self) -> u64 {
        self.made += 1;
        // Far apart for each seed, so that two organisations share nothing.
        self.seed
            .wrapping_mul(0xd134_2543_de82_ef95)
            .wrapping_add(self.made)
    }

    pub(super) fn new_id(&mut self, template: &str) -> String {
        let next = self.next();
        forms::fill(template, next)
    }

    /// Makes a key, and has the audit log say so. Its place in [`World::keys`].
    pub fn make_key(&mut self, new: NewKey<'_>, actor: Option<&str>) -> usize {
        let seed = self.next();
        let value = new.form.make(seed);
        self.add_key(new, value, actor)
    }

    /// A key that listings show like the one at `like`: the same form and tail.
    pub fn make_twin(&mut self, like: usize, new: NewKey<'_>) -> usize {
        let seed = self.next();
        let value = forms::with_tail_of(&new.form.make(seed), &self.keys[like].value);
        self.add_key(new, value, None)
    }

    fn add_key(&mut self, new: NewKey<'_>, value: Secret, actor: Option<&str>) -> usize {
        let now = self.now();
        let at = self.keys.len();
        let id = self.new_id("key_{alnum:16}");
        self.by_value.insert(value.fingerprint(), at);
        let detail = json!({"id": id, "data": {"scopes": new.scopes}});
        self.keys.push(Key {
            id: id.clone(),
            value,
            name: new.name.to_owned(),
            form: new.form,
            owner: new.owner,
            project: new.project.map(str::to_owned),
            scopes: new.scopes,
            created: now,
            expires: new
                .expires_in
                .map(|seconds| now.saturating_add(seconds.saturating_mul(1000))),
            deleted: None,
            uses: Vec::new(),
            flips: 0,
        });
        self.log("api_key.created", &id, new.project, actor, detail);
        at
    }

    /// Deletes the key at `at`, unless it is deleted already.
    pub fn delete_key(&mut self, at: usize, actor: Option<&str>) {
        let now = self.now();
        let key = &mut self.keys[at];
        if key.deleted.is_none() {
            key.deleted = Some(now);
            let (id, project) = (key.id.clone(), key.project.clone());
            self.log(
                "api_key.deleted",
                &id,
                project.as_deref(),
                actor,
                json!({"id": id}),
            );
        }
    }

    /// Writes an event into the audit log.
    pub(super) fn log(
        &mut self,
        kind: &'static str,
        resource: &str,
        project: Option<&str>,
        actor: Option<&str>,
        detail: Value,
    ) {
        let id = self.new_id("audit_log-{alnum:24}");
        self.events.push(Event {
            id,
            at: self.now(),
            kind,
            resource: resource.to_owned(),
            project: project.map(str::to_owned),
            actor: actor.map(str::to_owned),
            detail,
        });
    }

    /// The key with this id, deleted ones too.
    pub fn key(&self, id: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.id == id)
    }

    /// The key with this value, deleted ones too.
    pub fn key_with_value(&self, value: &Secret) -> Option<&Key> {
        self.place_of(value).map(|at| &self.keys[at])
    }

    pub(super) fn place_of(&self, value: &Secret) -> Option<usize> {
        self.by_value.get(&value.fingerprint()).copied()
    }

    /// The project with this id.
    pub fn project(&self, id: &str) -> Option<&Project> {
        self.projects.iter().find(|project| project.id == id)
    }

    pub(super) fn project_mut(&mut self, id: &str) -> Option<&mut Project> {
        self.projects.iter_mut().find(|project| project.id == id)
    }

    /// The user with this id.
    pub fn user(&self, id: &str) -> Option<&User> {
        self.users.iter().find(|user| user.id == id)
    }

    /// The service account with this id.
    pub fn service_account(&self, id: &str) -> Option<&ServiceAccount> {
        self.service_accounts
            .iter()
            .find(|account| account.id == id)
    }

    /// Whether a key with this id is of use, once all delays are over.
    pub fn lives(&self, id: &str) -> bool {
        let now = self.now();
        self.key(id).is_some_and(|key| {
            key.deleted.is_none()
                && key.expires.is_none_or(|expires| now < expires)
                && self.owner_bars(key).is_none()
        })
    }

    /// The ids of the keys that live, admin keys too.
    pub fn live_keys(&self) -> Vec<&str> {
        let ids = self.keys.iter().map(|key| key.id.as_str());
        ids.filter(|id| self.lives(id)).collect()
    }

    /// Why the key's project or owner keeps it from working.
    fn owner_bars(&self, key: &Key) -> Option<Refusal> {
        let project = key.project.as_deref().and_then(|id| self.project(id));
        if project.is_some_and(|project| project.archived.is_some()) {
            return Some(Refusal::archived());
        }
        match &key.owner {
            Owner::User(id) => match self.user(id) {
                Some(user) if user.removed.is_none() => None,
                _ => Some(Refusal::no_organization()),
            },
            // Its keys are deleted with it.
            Owner::ServiceAccount(_) => None,
        }
    }

    /// Whether the key at `at` is let in now. While a creation or a deletion spreads, the answer may
    /// be that of the state before.
    ///
    /// # Errors
    ///
    /// What is answered if it is not.
    pub(super) fn admit(&mut self, at: usize) -> Result<(), Refusal> {
        let now = self.now();
        let key = &mut self.keys[at];
        let settings = &self.settings;
        let changing_until = match key.deleted {
            Some(deleted) => deleted.saturating_add(settings.delete_delay_ms),
            None => key.created.saturating_add(settings.create_delay_ms),
        };
        let mut works = key.deleted.is_none();
        if now < changing_until {
            let turn = key.flips % 2 == 1;
            key.flips = key.flips.wrapping_add(1);
            works = if settings.flapping && turn {
                works
            } else {
                !works
            };
        }
        works &= key.expires.is_none_or(|expires| now < expires);
        if !works {
            return Err(Refusal::incorrect_key(&forms::redacted(&key.value)));
        }
        match self.owner_bars(&self.keys[at]) {
            Some(refusal) => Err(refusal),
            None => Ok(()),
        }
    }

    /// Notes that the key at `at` was used.
    pub(super) fn touch(&mut self, at: usize) {
        let now = self.now();
        let uses = &mut self.keys[at].uses;
        if uses
            .last()
            .is_none_or(|last| last.div_euclid(1000) != now.div_euclid(1000))
        {
            uses.push(now);
        }
    }

    /// When the key was last used, as far as listings know yet.
    pub(super) fn last_used(&self, key: &Key) -> Option<i64> {
        let known = self.now().saturating_sub(self.settings.last_used_lag_ms);
        key.uses.iter().copied().filter(|at| *at <= known).max()
    }

    /// Whether listings show what was made at `created` and perhaps deleted.
    pub(super) fn is_listed(&self, created: i64, deleted: Option<i64>) -> bool {
        let known = self.now().saturating_sub(self.settings.listing_delay_ms);
        created <= known && deleted.is_none_or(|deleted| known < deleted)
    }

    pub(super) fn remember(&mut self, seen: Seen) {
        if self.requests.len() == REMEMBERED {
            self.requests.pop_front();
        }
        self.requests.push_back(seen);
    }
}
