//! Service accounts of a project, and their keys.

use serde_json::{Value, json};

use super::{keys, projects};
use crate::sandbox::call::{Answer, Call, seconds};
use crate::sandbox::parts::{Owner, ServiceAccount};
use crate::sandbox::refusal::Refusal;
use crate::sandbox::settings::Generation;
use crate::sandbox::world::World;

fn json(account: &ServiceAccount) -> Value {
    json!({
        "object": "organization.project.service_account",
        "id": account.id,
        "name": account.name,
        "role": account.role,
        "created_at": seconds(account.created),
    })
}

/// A key with its value: the one time that it is shown.
fn key_json(world: &World, at: usize) -> Value {
    let key = &world.keys[at];
    let mut row = json!({
        "object": "organization.project.service_account.api_key",
        "id": key.id,
        "name": key.name,
        "value": String::from_utf8_lossy(key.value.expose()),
        "created_at": seconds(key.created),
    });
    if world.settings.generation >= Generation::September {
        row["expires_at"] = json!(key.expires.map(seconds));
    }
    row
}

fn named(world: &World, call: &Call) -> Result<usize, Refusal> {
    let project = &projects::named(world, call)?.id;
    let id = call.hole("account");
    let fits = |account: &ServiceAccount| {
        account.id == id
            && account.project == *project
            && world.is_listed(account.created, account.deleted)
    };
    let place = world.service_accounts.iter().position(fits);
    place.ok_or_else(|| Refusal::missing("service account", id))
}

pub(super) fn list(world: &mut World, call: &Call) -> Answer {
    let project = &projects::named(world, call)?.id;
    let of_project = world
        .service_accounts
        .iter()
        .filter(|a| a.project == *project);
    let of_project: Vec<&ServiceAccount> = of_project.collect();
    let shown = |a: &ServiceAccount| world.is_listed(a.created, a.deleted);
    let rows: Vec<_> = of_project
        .iter()
        .map(|a| (a.id.as_str(), shown(a)))
        .collect();
    call.list(world, &rows, |at| json(of_project[at]))
}

pub(super) fn get(world: &mut World, call: &Call) -> Answer {
    let at = named(world, call)?;
    Ok(json(&world.service_accounts[at]))
}

pub(super) fn create(world: &mut World, call: &Call) -> Answer {
    let project = projects::active(world, call)?.id.clone();
    call.only(&["name", "create_service_account_only", "expires_in_seconds"])?;
    let name = call.required("name")?.to_owned();
    let only = call.body["create_service_account_only"] == json!(true);
    let mut accounts = world.service_accounts.iter();
    if world.settings.unique_names
        && accounts.any(|a| a.project == project && a.name == name && a.deleted.is_none())
    {
        return Err(Refusal::bad_parameter(
            "name",
            "name_taken",
            format!("A service account named {name:?} already exists in this project."),
        ));
    }
    let expires = match only {
        true => None,
        false => keys::expires_in(world, call)?,
    };
    let account = ServiceAccount {
        id: world.new_id("user-{alnum:24}"),
        project: project.clone(),
        name,
        role: "member".to_owned(),
        created: world.now(),
        deleted: None,
    };
    let mut answer = json(&account);
    let id = account.id.clone();
    let actor = world.keys[call.key].id.clone();
    let detail = json!({"id": id, "data": {"role": account.role}});
    world.service_accounts.push(account);
    world.log(
        "service_account.created",
        &id,
        Some(&project),
        Some(&actor),
        detail,
    );
    answer["api_key"] = match only {
        true => Value::Null,
        false => {
            let at = keys::make(world, call, &id, "Secret Key", Vec::new(), expires);
            key_json(world, at)
        }
    };
    Ok(answer)
}

pub(super) fn update(world: &mut World, call: &Call) -> Answer {
    projects::active(world, call)?;
    call.only(&["name", "role"])?;
    let at = named(world, call)?;
    let (name, role) = (call.text("name")?, call.text("role")?);
    if role.is_some_and(|role| !matches!(role, "member" | "owner")) {
        return Err(Refusal::bad_parameter(
            "role",
            "invalid_value",
            "Supported values are: member, owner.",
        ));
    }
    let account = &mut world.service_accounts[at];
    if let Some(name) = name {
        account.name = name.to_owned();
    }
    if let Some(role) = role {
        account.role = role.to_owned();
    }
    let (answer, id, project) = (json(account), account.id.clone(), account.project.clone());
    let actor = world.keys[call.key].id.clone();
    let detail = json!({"id": id, "changes_requested": {"role": answer["role"]}});
    world.log(
        "service_account.updated",
        &id,
        Some(&project),
        Some(&actor),
        detail,
    );
    Ok(answer)
}

pub(super) fn delete(world: &mut World, call: &Call) -> Answer {
    let at = named(world, call)?;
    let now = world.now();
    let account = &mut world.service_accounts[at];
    account.deleted = Some(now);
    let (id, project) = (account.id.clone(), account.project.clone());
    let actor = world.keys[call.key].id.clone();
    let owner = Owner::ServiceAccount(id.clone());
    for key in 0..world.keys.len() {
        if world.keys[key].owner == owner {
            world.delete_key(key, Some(&actor));
        }
    }
    world.log(
        "service_account.deleted",
        &id,
        Some(&project),
        Some(&actor),
        json!({"id": id}),
    );
    Ok(json!({"object": "organization.project.service_account.deleted", "id": id, "deleted": true}))
}

pub(super) fn create_key(world: &mut World, call: &Call) -> Answer {
    projects::active(world, call)?;
    call.only(&["name", "scopes", "expires_in_seconds"])?;
    let at = named(world, call)?;
    let expires = keys::expires_in(world, call)?;
    let scopes = call.texts("scopes")?.unwrap_or_default();
    let name = call.text("name")?.unwrap_or("Secret Key").to_owned();
    let account = world.service_accounts[at].id.clone();
    let key = keys::make(world, call, &account, &name, scopes, expires);
    Ok(key_json(world, key))
}
