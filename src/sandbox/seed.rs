//! A new organisation: its people, projects, keys, and a month of their work. The same seed makes the
//! same one.

use serde::{Deserialize, Serialize};

use super::clock::Clock;
use super::forms::Form;
use super::parts::{Member, NewKey, Owner, Project, ServiceAccount, User};
use super::routes;
use super::settings::Settings;
use super::world::World;

const DAY: i64 = 86_400_000;

/// How large the organisation is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Shape {
    /// Projects that are in use.
    pub projects: usize,
    /// Projects that were archived, besides.
    pub archived: usize,
    /// Users; the first owns the organisation.
    pub users: usize,
    /// Service accounts in each project, each with a key.
    pub service_accounts: usize,
    /// Users' keys in each project.
    pub user_keys: usize,
    /// Pairs of keys of one project that listings show alike.
    pub twins: usize,
    /// Days of usage before now.
    pub days: i64,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            projects: 3,
            archived: 1,
            users: 4,
            service_accounts: 2,
            user_keys: 3,
            twins: 0,
            days: 30,
        }
    }
}

const PEOPLE: &[&str] = &[
    "Ada", "Barbara", "Edsger", "Grace", "Ken", "Margaret", "Niklaus", "Radia",
];
const PROJECTS: &[&str] = &[
    "Default project",
    "chat",
    "billing",
    "search",
    "support",
    "research",
];
const WORKERS: &[&str] = &["worker", "batch", "web", "nightly"];

/// `names[n]`, with a number once they are used up.
fn name(names: &[&str], n: usize) -> String {
    match n / names.len() {
        0 => names[n].to_owned(),
        round => format!("{} {}", names[n % names.len()], round + 1),
    }
}

pub(super) fn found(seed: u64, shape: &Shape, clock: Clock, settings: Settings) -> World {
    let mut world = World::empty(seed, clock, settings);
    let now = world.now();
    for n in 0..shape.users.max(1) {
        let name = name(PEOPLE, n);
        let user = User {
            id: world.new_id("user-{alnum:24}"),
            email: format!("{}@acme.example", name.to_lowercase().replace(' ', "")),
            name,
            role: if n == 0 { "owner" } else { "reader" }.to_owned(),
            added: now - 500 * DAY,
            removed: None,
        };
        world.users.push(user);
    }
    for (name, scopes) in [
        ("sandbox", vec![]),
        ("reporting", vec!["api.management.read".to_owned()]),
    ] {
        let owner = Owner::User(world.users[0].id.clone());
        let new = NewKey {
            name,
            form: Form::Admin,
            owner,
            project: None,
            scopes,
            expires_in: None,
        };
        let at = world.make_key(new, None);
        date(&mut world, at, now - 300 * DAY);
    }
    for n in 0..shape.projects + shape.archived {
        found_project(&mut world, shape, n);
    }
    let owner = Owner::User(world.users[world.users.len() - 1].id.clone());
    let new = NewKey {
        name: "old laptop",
        form: Form::UserLegacy,
        owner,
        project: None,
        scopes: vec![],
        expires_in: None,
    };
    let at = world.make_key(new, None);
    date(&mut world, at, now - 480 * DAY);
    world.events.sort_by_key(|event| event.at);
    work(&mut world, shape);
    world
}

fn found_project(world: &mut World, shape: &Shape, n: usize) {
    let now = world.now();
    let archived = n >= shape.projects;
    let created = now - 400 * DAY + n as i64 * 60_000;
    let members = world
        .users
        .iter()
        .enumerate()
        .filter(|(u, _)| (u + n) % 3 != 2 || *u == 0);
    let members = members.map(|(u, user)| Member {
        user: user.id.clone(),
        role: if u == 0 { "owner" } else { "member" }.to_owned(),
        added: created,
    });
    let project = Project {
        members: members.collect(),
        id: world.new_id("proj_{alnum:24}"),
        name: name(PROJECTS, n),
        created,
        archived: archived.then_some(now - 100 * DAY),
        rate_limits: routes::default_limits(world),
        model_permissions: None,
        spend_limit: None,
    };
    let id = project.id.clone();
    let members: Vec<String> = project.members.iter().map(|m| m.user.clone()).collect();
    world.projects.push(project);
    let accounts = [
        Form::ServiceAccount,
        Form::ServiceAccount,
        Form::ServiceAccountMiddle,
        Form::ServiceAccountShort,
    ];
    for k in 0..shape.service_accounts {
        let account = ServiceAccount {
            id: world.new_id("user-{alnum:24}"),
            project: id.clone(),
            name: name(WORKERS, k),
            role: "member".to_owned(),
            created: created + DAY,
            deleted: None,
        };
        let owner = Owner::ServiceAccount(account.id.clone());
        world.service_accounts.push(account);
        let scopes = match k % 2 {
            0 => vec![],
            _ => ["api.model.read", "api.responses.write", "model.request"]
                .map(str::to_owned)
                .to_vec(),
        };
        let new = NewKey {
            name: "Secret Key",
            form: accounts[k % accounts.len()],
            owner,
            project: Some(&id),
            scopes,
            expires_in: None,
        };
        let at = world.make_key(new, None);
        date(world, at, created + DAY * (k as i64 + 1));
    }
    let users = [
        Form::Project,
        Form::Project,
        Form::ProjectMiddle,
        Form::ProjectShort,
    ];
    let mut last = None;
    for k in 0..shape.user_keys.max(if shape.twins > 0 { 1 } else { 0 }) {
        let owner = Owner::User(members[k % members.len()].clone());
        let user = world.user(&members[k % members.len()]);
        let key = format!("{}'s key", user.map_or("", |user| &user.name));
        let new = NewKey {
            name: &key,
            form: users[k % users.len()],
            owner,
            project: Some(&id),
            scopes: vec![],
            expires_in: None,
        };
        let at = world.make_key(new, None);
        date(world, at, created + DAY * (k as i64 + 10));
        last = last.or(Some(at));
    }
    for k in 0..shape.twins {
        if let Some(like) = last {
            let owner = world.keys[like].owner.clone();
            let key = format!("twin {}", k + 1);
            let form = world.keys[like].form;
            let new = NewKey {
                name: &key,
                form,
                owner,
                project: Some(&id),
                scopes: vec![],
                expires_in: None,
            };
            let at = world.make_twin(like, new);
            date(world, at, created + DAY * (k as i64 + 50));
        }
    }
}

/// Dates a key back, and the event that tells of it.
fn date(world: &mut World, at: usize, created: i64) {
    world.keys[at].created = created;
    if let Some(event) = world.events.last_mut() {
        event.at = created;
    }
}

/// A month of work: most keys were used on most days, a few never.
fn work(world: &mut World, shape: &Shape) {
    let now = world.now();
    for day in (1..=shape.days).rev() {
        for key in 0..world.keys.len() {
            let of = &world.keys[key];
            let idle = of.form == Form::Admin || key % 5 == 4;
            let archived = world
                .working_project(key)
                .is_none_or(|p| p.archived.is_some());
            if idle || archived || (key as i64 + day) % 3 == 0 {
                continue;
            }
            let model = &routes::MODELS[key % 3];
            let at = now - day * DAY + (key as i64 % 1000) * 1000;
            let tokens = (800 + 13 * key as i64, 150 + 7 * day);
            world.count(key, "completions", model, tokens, at);
            world.keys[key].uses.push(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::forms::redacted;

    fn seeded(seed: u64, shape: &Shape) -> World {
        found(seed, shape, Clock::still(), Settings::default())
    }

    #[test]
    fn the_same_seed_founds_the_same_organisation() {
        let [one, same, other] = [1, 1, 2].map(|seed| seeded(seed, &Shape::default()));
        let values = |world: &World| {
            world
                .keys
                .iter()
                .map(|k| k.value.clone())
                .collect::<Vec<_>>()
        };
        let ids = |world: &World| {
            world
                .projects
                .iter()
                .map(|p| p.id.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(values(&one), values(&same));
        assert_eq!(ids(&one), ids(&same));
        assert_eq!(one.organisation.slug, same.organisation.slug);
        assert!(
            values(&one)
                .iter()
                .all(|key| other.key_with_value(key).is_none())
        );
    }

    #[test]
    fn an_organisation_has_what_its_shape_says() {
        let shape = Shape {
            projects: 7,
            archived: 2,
            service_accounts: 3,
            user_keys: 4,
            twins: 1,
            ..Shape::default()
        };
        let world = seeded(3, &shape);
        assert_eq!(world.projects.len(), 9);
        assert_eq!(world.keys.len(), 9 * (3 + 4 + 1) + 3);
        assert!(world.events.is_sorted_by_key(|e| e.at));
        assert!(world.uses.is_sorted_by_key(|u| u.at.div_euclid(DAY)));
        for project in &world.projects {
            let of = world
                .keys
                .iter()
                .filter(|key| key.project.as_deref() == Some(&project.id));
            let mut shown: Vec<_> = of.map(|key| redacted(&key.value)).collect();
            let all = shown.len();
            shown.sort_unstable();
            shown.dedup();
            assert_eq!(all - shown.len(), 1, "one pair of twins in each project");
        }
    }
}
