//! Admin keys.

use serde_json::{Value, json};

use super::keys;
use crate::sandbox::call::{Answer, Call, seconds};
use crate::sandbox::forms::{Form, redacted};
use crate::sandbox::parts::{Key, NewKey, Owner};
use crate::sandbox::refusal::Refusal;
use crate::sandbox::world::World;

fn json(world: &World, key: &Key) -> Value {
    let user = match &key.owner {
        Owner::User(id) | Owner::ServiceAccount(id) => world.user(id),
    };
    json!({
        "object": "organization.admin_api_key",
        "id": key.id,
        "name": key.name,
        "redacted_value": redacted(&key.value),
        "created_at": seconds(key.created),
        "expires_at": key.expires.map(seconds),
        "last_used_at": world.last_used(key).map(seconds),
        "owner": {
            "type": "user",
            "object": "organization.user",
            "id": user.map_or("", |user| &user.id),
            "name": user.map_or("", |user| &user.name),
            "created_at": user.map_or(0, |user| seconds(user.added)),
            "role": user.map_or("", |user| &user.role),
        },
    })
}

fn named(world: &World, call: &Call) -> Result<usize, Refusal> {
    let id = call.hole("key");
    let fits = |key: &Key| {
        key.id == id && key.form == Form::Admin && world.is_listed(key.created, key.deleted)
    };
    world
        .keys
        .iter()
        .position(fits)
        .ok_or_else(|| Refusal::missing("admin API key", id))
}

pub(super) fn list(world: &mut World, call: &Call) -> Answer {
    let order = call.choice("order", &["asc", "desc"])?;
    let mut keys: Vec<&Key> = world
        .keys
        .iter()
        .filter(|key| key.form == Form::Admin)
        .collect();
    if order == Some("desc") {
        keys.reverse();
    }
    let rows = keys
        .iter()
        .map(|key| (key.id.as_str(), world.is_listed(key.created, key.deleted)));
    let rows: Vec<_> = rows.collect();
    call.list(world, &rows, |at| json(world, keys[at]))
}

pub(super) fn get(world: &mut World, call: &Call) -> Answer {
    let at = named(world, call)?;
    Ok(json(world, &world.keys[at]))
}

pub(super) fn create(world: &mut World, call: &Call) -> Answer {
    call.only(&["name", "expires_in_seconds"])?;
    let name = call.required("name")?;
    let expires_in = keys::expires_in(world, call)?;
    // The new key has its maker's owner and, since the request can't say otherwise, all scopes.
    let owner = world.keys[call.key].owner.clone();
    let actor = world.keys[call.key].id.clone();
    let new = NewKey {
        name,
        form: Form::Admin,
        owner,
        project: None,
        scopes: Vec::new(),
        expires_in,
    };
    let at = world.make_key(new, Some(&actor));
    let mut answer = json(world, &world.keys[at]);
    answer["value"] = json!(String::from_utf8_lossy(world.keys[at].value.expose()));
    Ok(answer)
}

pub(super) fn delete(world: &mut World, call: &Call) -> Answer {
    let at = named(world, call)?;
    let id = world.keys[at].id.clone();
    let actor = world.keys[call.key].id.clone();
    world.delete_key(at, Some(&actor));
    Ok(json!({"object": "organization.admin_api_key.deleted", "id": id, "deleted": true}))
}
