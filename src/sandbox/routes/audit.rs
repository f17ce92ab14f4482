//! The audit log, newest first.

use serde_json::{Value, json};

use crate::sandbox::call::{Answer, Call, base_name, seconds};
use crate::sandbox::parts::{Event, Owner};
use crate::sandbox::refusal::Refusal;
use crate::sandbox::world::World;

pub(super) const QUERY: &[&str] = &[
    "effective_at",
    "project_ids",
    "event_types",
    "actor_ids",
    "actor_emails",
    "resource_ids",
    "tenant_only",
    "limit",
    "after",
    "before",
];

/// The user behind an event: an admin key's owner, or the first of the organisation.
fn user<'a>(world: &'a World, event: &Event) -> Option<&'a crate::sandbox::parts::User> {
    let key = event.actor.as_deref().and_then(|id| world.key(id));
    match key.map(|key| &key.owner) {
        Some(Owner::User(id)) => world.user(id),
        _ => world.users.first(),
    }
}

fn json(world: &World, event: &Event) -> Value {
    let person = user(world, event).map(|user| json!({"id": user.id, "email": user.email}));
    let person = person.unwrap_or_else(|| json!({}));
    let actor = match &event.actor {
        Some(key) => {
            json!({"type": "api_key", "api_key": {"id": key, "type": "user", "user": person}})
        }
        None => json!({"type": "session", "session": {"user": person, "ip_address": "192.0.2.7"}}),
    };
    let mut row = json!({
        "id": event.id,
        "type": event.kind,
        "effective_at": seconds(event.at),
        "actor": actor,
    });
    row[event.kind] = event.detail.clone();
    if let Some(project) = event.project.as_deref().and_then(|id| world.project(id)) {
        row["project"] = json!({"id": project.id, "name": project.name});
    }
    row
}

/// The bounds that `effective_at[…]` sets.
fn bounds(call: &Call) -> Result<Vec<(&str, i64)>, Refusal> {
    let mut all = Vec::new();
    for (name, value) in &call.query {
        let ("effective_at", bound) = base_name(name) else {
            continue;
        };
        let wrong = || {
            let message = format!("Invalid value for '{name}'.");
            Refusal::bad_parameter(name, "invalid_value", message)
        };
        let bound = bound
            .filter(|b| matches!(*b, "gt" | "gte" | "lt" | "lte"))
            .ok_or_else(wrong)?;
        all.push((bound, value.parse().map_err(|_| wrong())?));
    }
    Ok(all)
}

pub(super) fn list(world: &mut World, call: &Call) -> Answer {
    let bounds = bounds(call)?;
    let [projects, kinds, resources, actors, emails] = [
        "project_ids",
        "event_types",
        "resource_ids",
        "actor_ids",
        "actor_emails",
    ]
    .map(|name| call.many(name));
    let any = |wanted: &[&str], has: &str| wanted.is_empty() || wanted.contains(&has);
    let known = world.now().saturating_sub(world.settings.audit_lag_ms);
    let shown = |event: &Event| {
        let at = seconds(event.at);
        let in_time = bounds.iter().all(|(bound, limit)| match *bound {
            "gt" => at > *limit,
            "gte" => at >= *limit,
            "lt" => at < *limit,
            _ => at <= *limit,
        });
        let person = user(world, event);
        world.settings.audit_log
            && event.at <= known
            && in_time
            && any(&projects, event.project.as_deref().unwrap_or_default())
            && any(&kinds, event.kind)
            && any(&resources, &event.resource)
            && any(&actors, person.map_or("", |user| &user.id))
            && any(&emails, person.map_or("", |user| &user.email))
    };
    let events: Vec<&Event> = world.events.iter().rev().collect();
    let rows: Vec<_> = events
        .iter()
        .map(|event| (event.id.as_str(), shown(event)))
        .collect();
    call.list(world, &rows, |at| json(world, events[at]))
}
