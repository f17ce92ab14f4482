//! Keys of a project.

use serde_json::{Value, json};

use super::projects;
use crate::sandbox::call::{Answer, Call, seconds};
use crate::sandbox::forms::{Form, redacted};
use crate::sandbox::parts::{Key, NewKey, Owner};
use crate::sandbox::refusal::Refusal;
use crate::sandbox::settings::Generation;
use crate::sandbox::world::World;

/// The longest that a key may be given, in seconds: a year.
const LONGEST: i64 = 31_536_000;

/// What `expires_in_seconds` says, checked against the generation and the organisation's policy.
pub(super) fn expires_in(world: &World, call: &Call) -> Result<Option<i64>, Refusal> {
    const NAME: &str = "expires_in_seconds";
    let settings = &world.settings;
    let wrong = |code, message: String| Err(Refusal::bad_parameter(NAME, code, message));
    let wanted = call.integer(NAME)?;
    let policy = match settings.longest_expiry_s {
        0 => LONGEST,
        longest => longest.min(LONGEST),
    };
    match wanted {
        Some(_) if settings.generation < Generation::September => {
            wrong("unknown_parameter", format!("Unknown parameter: '{NAME}'."))
        }
        Some(wanted) if !(1..=LONGEST).contains(&wanted) => wrong(
            "integer_out_of_range",
            format!(
                "Invalid '{NAME}': integer out of range. Expected a value from 1 to {LONGEST}, but got {wanted} instead."
            ),
        ),
        Some(wanted) if wanted > policy => wrong(
            "expiry_policy",
            format!("Your organization's policy allows keys of at most {policy} seconds."),
        ),
        None if settings.require_expiry => wrong(
            "expiry_policy",
            "Your organization's policy requires API keys to expire.".to_owned(),
        ),
        wanted => Ok(wanted),
    }
}

/// Makes a key of a service account.
pub(super) fn make(
    world: &mut World,
    call: &Call,
    account: &str,
    name: &str,
    scopes: Vec<String>,
    expires_in: Option<i64>,
) -> usize {
    let actor = world.keys[call.key].id.clone();
    let new = NewKey {
        name,
        form: Form::ServiceAccount,
        owner: Owner::ServiceAccount(account.to_owned()),
        project: Some(call.hole("project")),
        scopes,
        expires_in,
    };
    world.make_key(new, Some(&actor))
}

/// Whether the key's owner can still get into its project.
fn has_access(world: &World, key: &Key) -> bool {
    match &key.owner {
        Owner::ServiceAccount(_) => true,
        Owner::User(id) => {
            let project = key.project.as_deref().and_then(|id| world.project(id));
            let member = project.is_some_and(|p| p.members.iter().any(|m| m.user == *id));
            member && world.user(id).is_some_and(|user| user.removed.is_none())
        }
    }
}

fn owner(world: &World, key: &Key) -> Value {
    match &key.owner {
        Owner::User(id) => {
            let user = world.user(id);
            let project = key.project.as_deref().and_then(|id| world.project(id));
            let member = project.and_then(|p| p.members.iter().find(|m| m.user == *id));
            json!({"type": "user", "user": {
                "id": id,
                "email": user.map_or("", |user| &user.email),
                "name": user.map_or("", |user| &user.name),
                "created_at": user.map_or(0, |user| seconds(user.added)),
                "role": member.map_or("member", |member| &member.role),
            }})
        }
        Owner::ServiceAccount(id) => {
            let account = world.service_account(id);
            json!({"type": "service_account", "service_account": {
                "id": id,
                "name": account.map_or("", |account| &account.name),
                "created_at": account.map_or(0, |account| seconds(account.created)),
                "role": account.map_or("member", |account| &account.role),
            }})
        }
    }
}

fn json(world: &World, key: &Key) -> Value {
    let mut row = json!({
        "object": "organization.project.api_key",
        "id": key.id,
        "name": key.name,
        "redacted_value": redacted(&key.value),
        "created_at": seconds(key.created),
        "last_used_at": world.last_used(key).map(seconds),
        "owner": owner(world, key),
    });
    if world.settings.generation >= Generation::July {
        row["owner_project_access"] = json!(if has_access(world, key) {
            "active"
        } else {
            "inactive"
        });
    }
    if world.settings.generation >= Generation::September {
        row["expires_at"] = json!(key.expires.map(seconds));
    }
    row
}

/// The place of the key that the path names, if it belongs to the project and listings know it.
fn named(world: &World, call: &Call) -> Result<usize, Refusal> {
    let project = projects::named(world, call)?.id.as_str();
    let id = call.hole("key");
    let fits = |key: &Key| {
        key.id == id
            && key.project.as_deref() == Some(project)
            && world.is_listed(key.created, key.deleted)
    };
    world
        .keys
        .iter()
        .position(fits)
        .ok_or_else(|| Refusal::missing("API key", id))
}

pub(super) fn list(world: &mut World, call: &Call) -> Answer {
    let project = projects::named(world, call)?.id.clone();
    let access = call.choice("owner_project_access", &["active", "inactive", "any"])?;
    // What an API does not know yet, it ignores.
    let access = access.filter(|_| world.settings.generation >= Generation::July);
    let shown = |key: &Key| {
        let seen = match access {
            Some("any") => true,
            Some("inactive") => !has_access(world, key),
            Some(_) => has_access(world, key),
            None => !world.settings.hides_inactive || has_access(world, key),
        };
        let expired = key.expires.is_some_and(|expires| expires <= world.now());
        seen && !expired && world.is_listed(key.created, key.deleted)
    };
    let of_project: Vec<&Key> = world
        .keys
        .iter()
        .filter(|key| key.project.as_ref() == Some(&project))
        .collect();
    let rows: Vec<_> = of_project
        .iter()
        .map(|key| (key.id.as_str(), shown(key)))
        .collect();
    call.list(world, &rows, |at| json(world, of_project[at]))
}

pub(super) fn get(world: &mut World, call: &Call) -> Answer {
    let at = named(world, call)?;
    Ok(json(world, &world.keys[at]))
}

pub(super) fn update(world: &mut World, call: &Call) -> Answer {
    call.only(&["scopes", "expires_in_seconds"])?;
    let given = call.body.as_object().map_or(0, serde_json::Map::len);
    if given == 0
        || call
            .body
            .as_object()
            .is_some_and(|b| b.values().any(Value::is_null))
    {
        return Err(Refusal::bad(
            "Provide 'scopes' or 'expires_in_seconds', and no nulls.",
        ));
    }
    projects::active(world, call)?;
    let at = named(world, call)?;
    let now = world.now();
    if world.keys[at].expires.is_some_and(|expires| expires <= now) {
        return Err(Refusal::bad("An expired API key can't be updated."));
    }
    let scopes = call.texts("scopes")?;
    let expires = match call.body.get("expires_in_seconds") {
        Some(_) => expires_in(world, call)?,
        None => None,
    };
    let key = &mut world.keys[at];
    if let Some(scopes) = &scopes {
        key.scopes.clone_from(scopes);
    }
    if let Some(expires) = expires {
        key.expires = Some(now.saturating_add(expires.saturating_mul(1000)));
    }
    let (id, project) = (key.id.clone(), key.project.clone());
    let actor = world.keys[call.key].id.clone();
    let changes = match scopes {
        Some(scopes) => json!({"scopes": scopes}),
        None => json!({}),
    };
    let detail = json!({"id": id, "changes_requested": changes});
    world.log(
        "api_key.updated",
        &id,
        project.as_deref(),
        Some(&actor),
        detail,
    );
    Ok(json(world, &world.keys[at]))
}

pub(super) fn delete(world: &mut World, call: &Call) -> Answer {
    let at = named(world, call)?;
    let key = &world.keys[at];
    if matches!(key.owner, Owner::ServiceAccount(_)) && world.settings.generation < Generation::New
    {
        return Err(Refusal::bad(
            "API keys that belong to a service account can't be deleted. Delete the service account instead.",
        ));
    }
    let id = key.id.clone();
    let actor = world.keys[call.key].id.clone();
    world.delete_key(at, Some(&actor));
    Ok(json!({"object": "organization.project.api_key.deleted", "id": id, "deleted": true}))
}
