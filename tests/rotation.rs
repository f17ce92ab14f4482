//! Rotations against the sandbox, over its real API, in every generation of it.

#![allow(clippy::unwrap_used)] // helpers of tests

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use skewer::clock::{self, Clock};
use skewer::http;
use skewer::matcher::Matcher;
use skewer::openai::{Admin, Service, Settings};
use skewer::rollout::{Simulated, Stage};
use skewer::rotate::{
    Api, Ceiling, Consumer, Expiry, Journal, Limits, Memory as Known, Run, Scopes, Strategy, Waits,
    Wish, World, contain, prepare, restore,
};
use skewer::rules::Rules;
use skewer::sandbox::{self, Generation, Options, Running, Sandbox};
use skewer::secret::Secret;
use skewer::store::{Memory, Store};

/// Lives by the sandbox's clock: waiting moves it, and takes no time.
struct Shared(sandbox::Clock);

impl Clock for Shared {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::from_second(self.0.seconds()).unwrap()
    }

    fn uptime(&self) -> Duration {
        Duration::from_millis(self.0.milliseconds().unsigned_abs())
    }

    fn sleep(&self, time: Duration) -> Result<(), clock::Stopped> {
        self.0.advance(time);
        Ok(())
    }
}

fn admin(sandbox: &Running) -> Admin {
    let matcher = Matcher::new(&Rules::built_in(), None);
    let client = http::Client::new(http::Settings::default()).unwrap();
    let base = http::Address::parse(&sandbox.url()).unwrap();
    let service = Service::new(
        client,
        Settings::new(base),
        Arc::new(Shared(sandbox.clock())),
        Arc::new(move |text: &[u8]| matcher.redact(text)),
        Arc::new(()),
    );
    Admin::new(Arc::new(service), sandbox.admin_key())
}

fn start(generation: Generation) -> Running {
    let mut options = Options::default();
    options.settings.generation = generation;
    Sandbox::start(options).unwrap()
}

/// A service account's key, of an account that owns no other, in a project that is not archived.
fn leaked(sandbox: &Running) -> (String, String, Secret) {
    sandbox.with(|world| {
        let owned = |id: &sandbox::Owner| {
            let live = world.keys.iter().filter(|key| key.deleted.is_none());
            live.filter(|key| key.owner == *id).count()
        };
        let now = world.now() / 1000;
        let key = world
            .keys
            .iter()
            .find(|key| {
                let live = key.deleted.is_none() && key.expires.is_none_or(|at| at > now);
                let archived = world.projects.iter().any(|project| {
                    Some(&project.id) == key.project.as_ref() && project.archived.is_some()
                });
                let of_account = matches!(key.owner, sandbox::Owner::ServiceAccount(_));
                live && !archived && of_account && key.project.is_some() && owned(&key.owner) == 1
            })
            .expect("the seed has such a key");
        let project = key.project.clone().unwrap();
        (project, key.id.clone(), key.value.clone())
    })
}

fn live(sandbox: &Running) -> Vec<String> {
    sandbox.with(|world| {
        let live = world.keys.iter().filter(|key| key.deleted.is_none());
        live.map(|key| key.id.clone()).collect()
    })
}

/// A consumer with a store, in front of a sandbox.
struct Scene {
    sandbox: Running,
    project: String,
    key: String,
    value: Secret,
    store: Arc<Memory>,
    held: Arc<Mutex<Secret>>,
    stores: BTreeMap<String, Arc<dyn Store>>,
    rollouts: BTreeMap<String, Stage>,
}

impl Scene {
    fn new(generation: Generation) -> Self {
        let sandbox = start(generation);
        let (project, key, value) = leaked(&sandbox);
        let store = Arc::new(Memory::new(value.clone()));
        let held = Arc::new(Mutex::new(value.clone()));
        let restart = {
            let (store, held) = (store.clone(), held.clone());
            move |_| *held.lock().unwrap() = store.handed_out().unwrap()
        };
        let stage = Stage {
            name: "web".to_owned(),
            rollout: Box::new(Simulated::done_after(1).calling(restart)),
            health: Vec::new(),
            limit: Duration::from_secs(60),
            pause: Duration::from_secs(1),
            healthy_after: 1,
        };
        Self {
            stores: BTreeMap::from([("vault".to_owned(), store.clone() as Arc<dyn Store>)]),
            rollouts: BTreeMap::from([("web".to_owned(), stage)]),
            sandbox,
            project,
            key,
            value,
            store,
            held,
        }
    }

    fn wish(&self, strategy: Strategy) -> Wish {
        Wish {
            id: "0123abcd".to_owned(),
            project: self.project.clone(),
            key: self.key.clone(),
            value: Some(self.value.clone()),
            strategy,
            scopes: Some(Scopes::All),
            handed: false,
            new_account: false,
            name: "26-11-acme-chat-prod-0123abcd".to_owned(),
            consumers: vec![Consumer {
                name: "web".to_owned(),
                place: "vault".to_owned(),
                canary: false,
            }],
            expire_a: None,
            expire_b: None,
            waits: Waits::default(),
            who: "a test".to_owned(),
        }
    }

    /// Carries a wish out to its end; tells whether key A's end was set on the way.
    fn rotate(&self, wish: &Wish) -> Known {
        let admin = admin(&self.sandbox);
        let api = Api::new(&admin);
        let before = live(&self.sandbox);
        let prepared = prepare(wish, &api, &self.stores, &self.rollouts)
            .unwrap_or_else(|wrong| panic!("{:?}: {wrong:#?}", wish.strategy));
        assert_eq!(live(&self.sandbox), before, "a plan changes nothing");
        let clock = Shared(self.sandbox.clock());
        let world = World {
            organisation: &api,
            stores: &self.stores,
            rollouts: &self.rollouts,
            clock: &clock,
            key_a: Some(&self.value),
            handed: None,
            watch: &|_, _| {},
        };
        let mut journal = Journal::in_memory().unwrap();
        let run = Run::begin(prepared.plan, &mut journal, world).unwrap();
        let run = Box::new(run).drive().map_err(|stopped| stopped.halt);
        let run = run.unwrap_or_else(|halt| panic!("{:?}: {halt}", wish.strategy));
        run.memory().clone()
    }
}

#[test]
fn a_leaked_key_is_rotated_in_every_generation_of_the_api() {
    for generation in Generation::ALL {
        for strategy in [
            Strategy::Graceful,
            Strategy::Immediate,
            Strategy::RevokeOnly,
        ] {
            let scene = Scene::new(generation);
            let before = live(&scene.sandbox);
            let known = scene.rotate(&scene.wish(strategy));
            assert!(known.closed && known.proved);
            let after = live(&scene.sandbox);
            assert!(!after.contains(&scene.key));
            let made = after.iter().filter(|id| !before.contains(id)).count();
            let lost = before.iter().filter(|id| !after.contains(id)).count();
            assert_eq!(
                (made, lost),
                (usize::from(strategy != Strategy::RevokeOnly), 1)
            );
            if strategy != Strategy::RevokeOnly {
                let handed_out = scene.store.handed_out().unwrap();
                assert_eq!(*scene.held.lock().unwrap(), handed_out);
                assert_ne!(handed_out, scene.value);
            }
        }
    }
}

#[test]
fn keys_end_by_themselves_where_the_api_knows_that() {
    for generation in Generation::ALL {
        let scene = Scene::new(generation);
        let before = live(&scene.sandbox);
        let mut wish = scene.wish(Strategy::Graceful);
        (wish.expire_a, wish.expire_b) = (Some(86_400), Some(30 * 86_400));
        if generation < Generation::New {
            let admin = admin(&scene.sandbox);
            let wrong = prepare(&wish, &Api::new(&admin), &scene.stores, &scene.rollouts);
            let wrong = wrong.unwrap_err().join("; ");
            assert!(wrong.contains("take `expire-a` out"), "{wrong}");
            assert_eq!(live(&scene.sandbox), before);
            continue;
        }
        // An organisation that demands an end.
        scene
            .sandbox
            .with(|world| world.settings.require_expiry = true);
        let begun = scene.sandbox.clock().seconds();
        let known = scene.rotate(&wish);
        assert_eq!(known.expiry, Expiry::Set);
        let after = live(&scene.sandbox);
        let made = after.iter().find(|id| !before.contains(id)).unwrap();
        let ends = |id: &str| {
            let end = scene.sandbox.with(|world| world.key(id).unwrap().expires);
            end.unwrap() / 1000 - begun
        };
        assert!((86_400..90_000).contains(&ends(&scene.key)));
        assert!((30 * 86_400..30 * 86_400 + 3600).contains(&ends(made)));
    }
    // An end that comes before anybody knows that key A stands still.
    let scene = Scene::new(Generation::New);
    let mut wish = scene.wish(Strategy::Graceful);
    wish.expire_a = Some(wish.waits.quiet);
    let admin = admin(&scene.sandbox);
    let wrong = prepare(&wish, &Api::new(&admin), &scene.stores, &scene.rollouts);
    assert!(
        wrong
            .unwrap_err()
            .join("; ")
            .contains("longer than `quiet`")
    );
    // Where key A goes at once it needs none.
    let mut wish = scene.wish(Strategy::Immediate);
    wish.expire_a = Some(86_400);
    assert_eq!(scene.rotate(&wish).expiry, Expiry::Unasked);
}

#[test]
fn what_stands_in_the_way_is_in_the_plan() {
    let wrong = |scene: &Scene, wish: &Wish, why: &str| {
        let before = live(&scene.sandbox);
        let admin = admin(&scene.sandbox);
        let outcome = prepare(wish, &Api::new(&admin), &scene.stores, &scene.rollouts);
        let told = outcome.expect_err(why).join("; ");
        assert!(told.contains(why), "{why}: {told}");
        assert_eq!(live(&scene.sandbox), before);
        told
    };
    let graceful = |scene: &Scene| scene.wish(Strategy::Graceful);
    // An admin key that may only read.
    for strategy in [Strategy::Graceful, Strategy::RevokeOnly] {
        let scene = Scene::new(Generation::New);
        let value = scene.sandbox.admin_key();
        scene.sandbox.with(|world| {
            let admin = world.keys.iter_mut().find(|key| key.value == value);
            admin.unwrap().scopes = vec!["api.management.read".to_owned()];
        });
        let told = wrong(&scene, &scene.wish(strategy), "admin key may change keys");
        assert!(told.contains("api.management.write"), "{told}");
    }
    // A person's key, which may be deleted by whoever may write.
    let mut scene = Scene::new(Generation::New);
    (scene.project, scene.key) = scene.sandbox.with(|world| {
        let person = |key: &&sandbox::Key| {
            matches!(key.owner, sandbox::Owner::User(_)) && key.deleted.is_none()
        };
        let of_project = |key: &sandbox::Key| Some((key.project.clone()?, key.id.clone()));
        world
            .keys
            .iter()
            .filter(person)
            .find_map(of_project)
            .unwrap()
    });
    scene.sandbox.with(|world| {
        let admin = world.keys.iter_mut().find(|key| key.project.is_none());
        admin.unwrap().scopes = vec!["api.management.read".to_owned()];
    });
    let mut revoke = scene.wish(Strategy::RevokeOnly);
    revoke.value = None;
    wrong(&scene, &revoke, "admin key may change keys");
    // A project that was archived meanwhile.
    let scene = Scene::new(Generation::New);
    scene.sandbox.with(|world| {
        let now = world.now();
        let project = world
            .projects
            .iter_mut()
            .find(|one| one.id == scene.project);
        project.unwrap().archived = Some(now);
    });
    wrong(&scene, &graceful(&scene), "is archived");
    // Several consumers, of which one reads from nowhere that is known.
    let mut scene = Scene::new(Generation::New);
    let mut wish = graceful(&scene);
    wish.consumers.push(Consumer {
        name: "worker".to_owned(),
        place: "kubernetes".to_owned(),
        canary: false,
    });
    let told = wrong(&scene, &wish, "kubernetes is not in your config.toml");
    assert!(
        told.contains("nothing says how worker is rolled out"),
        "{told}"
    );
    // A store that hands out something else.
    let other = Secret::new(b"something else".to_vec());
    let stranger: Arc<dyn Store> = Arc::new(Memory::new(other));
    scene.stores.insert("vault".to_owned(), stranger);
    wrong(&scene, &graceful(&scene), "does not hold key A");
    // Another key of the project whose masked form is the same.
    let scene = Scene::new(Generation::New);
    scene.sandbox.with(|world| {
        let mut twin = world.key(&scene.key).unwrap().clone();
        let mut value = twin.value.expose().to_vec();
        let middle = value.len() / 2 + 12;
        value[middle] = if value[middle] == b'x' { b'y' } else { b'x' };
        (twin.id, twin.value) = ("key_twin".to_owned(), Secret::new(value));
        world.keys.push(twin);
    });
    wrong(&scene, &graceful(&scene), "and like key_twin");
}

#[test]
fn a_contained_project_gets_its_limits_back() {
    let sandbox = start(Generation::New);
    let (project, _, _) = leaked(&sandbox);
    let admin = admin(&sandbox);
    let mut journal = Journal::in_memory().unwrap();
    let first = Limits::of(&admin, &project).unwrap();
    for _ in 0..2 {
        let kept = contain(&mut journal, &admin, &project, Ceiling::default(), 1).unwrap();
        assert_eq!(kept, first, "a second time does not forget what was");
        let now = Limits::of(&admin, &project).unwrap();
        assert_eq!(now.spend, Some(1));
        assert!(
            now.rates
                .iter()
                .all(|limit| limit.max_requests_per_1_minute == Some(1))
        );
    }
    restore(&mut journal, &admin, &project).unwrap();
    assert_eq!(Limits::of(&admin, &project).unwrap(), first);
    let again = restore(&mut journal, &admin, &project).unwrap_err();
    assert!(again.to_string().contains("not contained"), "{again}");
}
