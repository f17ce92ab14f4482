//! Users of the organisation, and who of them is in a project.

use serde_json::{Value, json};

use super::projects;
use crate::sandbox::call::{Answer, Call, seconds};
use crate::sandbox::parts::{Member, User};
use crate::sandbox::refusal::Refusal;
use crate::sandbox::world::World;

fn json(user: &User) -> Value {
    json!({
        "object": "organization.user",
        "id": user.id,
        "name": user.name,
        "email": user.email,
        "role": user.role,
        "added_at": seconds(user.added),
    })
}

fn member_json(world: &World, member: &Member) -> Value {
    let user = world.user(&member.user);
    json!({
        "object": "organization.project.user",
        "id": member.user,
        "name": user.map(|user| &user.name),
        "email": user.map(|user| &user.email),
        "role": member.role,
        "added_at": seconds(member.added),
    })
}

fn named(world: &World, call: &Call) -> Result<usize, Refusal> {
    let id = call.hole("user");
    let place = world
        .users
        .iter()
        .position(|user| user.id == id && user.removed.is_none());
    place.ok_or_else(|| Refusal::missing("user", id))
}

pub(super) fn list(world: &mut World, call: &Call) -> Answer {
    let emails = call.many("emails");
    let shown =
        |u: &User| u.removed.is_none() && (emails.is_empty() || emails.contains(&u.email.as_str()));
    let rows: Vec<_> = world
        .users
        .iter()
        .map(|u| (u.id.as_str(), shown(u)))
        .collect();
    call.list(world, &rows, |at| json(&world.users[at]))
}

pub(super) fn get(world: &mut World, call: &Call) -> Answer {
    let at = named(world, call)?;
    Ok(json(&world.users[at]))
}

pub(super) fn delete(world: &mut World, call: &Call) -> Answer {
    let at = named(world, call)?;
    let now = world.now();
    world.users[at].removed = Some(now);
    let id = world.users[at].id.clone();
    let actor = world.keys[call.key].id.clone();
    world.log("user.deleted", &id, None, Some(&actor), json!({"id": id}));
    Ok(json!({"object": "organization.user.deleted", "id": id, "deleted": true}))
}

pub(super) fn list_members(world: &mut World, call: &Call) -> Answer {
    let project = projects::named(world, call)?;
    let rows: Vec<_> = project
        .members
        .iter()
        .map(|m| (m.user.as_str(), true))
        .collect();
    call.list(world, &rows, |at| member_json(world, &project.members[at]))
}

fn find<'a>(world: &'a World, call: &Call) -> Result<&'a Member, Refusal> {
    let id = call.hole("user");
    let mut members = projects::named(world, call)?.members.iter();
    members
        .find(|m| m.user == id)
        .ok_or_else(|| Refusal::missing("user in this project", id))
}

pub(super) fn get_member(world: &mut World, call: &Call) -> Answer {
    Ok(member_json(world, find(world, call)?))
}

pub(super) fn add_member(world: &mut World, call: &Call) -> Answer {
    projects::active(world, call)?;
    call.only(&["user_id", "email", "role"])?;
    let role = call.required("role")?.to_owned();
    let (id, email) = (call.text("user_id")?, call.text("email")?);
    let mut users = world.users.iter().filter(|user| user.removed.is_none());
    let user = users.find(|u| Some(u.id.as_str()) == id || Some(u.email.as_str()) == email);
    let user = user.ok_or_else(|| Refusal::missing("user", id.or(email).unwrap_or_default()))?;
    let member = Member {
        user: user.id.clone(),
        role,
        added: world.now(),
    };
    let answer = member_json(world, &member);
    let project = projects::active_mut(world, call)?;
    project.members.retain(|m| m.user != member.user);
    project.members.push(member);
    Ok(answer)
}

pub(super) fn remove_member(world: &mut World, call: &Call) -> Answer {
    let id = find(world, call)?.user.clone();
    projects::active_mut(world, call)?
        .members
        .retain(|m| m.user != id);
    Ok(json!({"object": "organization.project.user.deleted", "id": id, "deleted": true}))
}
