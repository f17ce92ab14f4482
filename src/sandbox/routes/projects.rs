//! Projects.

use serde_json::{Value, json};

use crate::sandbox::call::{Answer, Call, seconds};
use crate::sandbox::parts::{Project, RateLimit};
use crate::sandbox::refusal::Refusal;
use crate::sandbox::world::World;

/// What each model may be asked in a new project.
pub(in crate::sandbox) fn default_limits(world: &mut World) -> Vec<RateLimit> {
    let limit = |model: &str, id| RateLimit {
        id,
        model: model.to_owned(),
        requests: 10_000,
        tokens: 2_000_000,
    };
    let models = super::data::MODELS.iter();
    models
        .map(|model| limit(model.id, world.new_id("rl-{alnum:24}")))
        .collect()
}

fn json(project: &Project) -> Value {
    json!({
        "object": "organization.project",
        "id": project.id,
        "name": project.name,
        "created_at": seconds(project.created),
        "archived_at": project.archived.map(seconds),
        "status": if project.archived.is_some() { "archived" } else { "active" },
    })
}

/// The project that the path names.
pub(super) fn named<'a>(world: &'a World, call: &Call) -> Result<&'a Project, Refusal> {
    let id = call.hole("project");
    world
        .project(id)
        .ok_or_else(|| Refusal::missing("project", id))
}

/// The same, and it can still be changed.
pub(super) fn active<'a>(world: &'a World, call: &Call) -> Result<&'a Project, Refusal> {
    let project = named(world, call)?;
    match project.archived {
        None => Ok(project),
        Some(_) => Err(Refusal::bad(format!(
            "Project {} is archived and can't be used or updated.",
            project.id
        ))),
    }
}

/// The same, to change it.
pub(super) fn active_mut<'a>(
    world: &'a mut World,
    call: &Call,
) -> Result<&'a mut Project, Refusal> {
    active(world, call)?;
    let id = call.hole("project");
    world
        .project_mut(id)
        .ok_or_else(|| Refusal::missing("project", id))
}

pub(super) fn list(world: &mut World, call: &Call) -> Answer {
    let archived = call.flag("include_archived")?;
    let shown =
        |p: &Project| world.is_listed(p.created, None) && (archived || p.archived.is_none());
    let rows: Vec<_> = world
        .projects
        .iter()
        .map(|p| (p.id.as_str(), shown(p)))
        .collect();
    call.list(world, &rows, |at| json(&world.projects[at]))
}

pub(super) fn get(world: &mut World, call: &Call) -> Answer {
    named(world, call).map(json)
}

pub(super) fn create(world: &mut World, call: &Call) -> Answer {
    call.only(&["name", "residency", "external_key_id"])?;
    let name = call.required("name")?.to_owned();
    let id = world.new_id("proj_{alnum:24}");
    let project = Project {
        id: id.clone(),
        created: world.now(),
        archived: None,
        members: Vec::new(),
        rate_limits: default_limits(world),
        model_permissions: None,
        spend_limit: None,
        name,
    };
    let answer = json(&project);
    let actor = world.keys[call.key].id.clone();
    let detail = json!({"id": id, "data": {"name": project.name, "title": project.name}});
    world.projects.push(project);
    world.log("project.created", &id, Some(&id), Some(&actor), detail);
    Ok(answer)
}

pub(super) fn update(world: &mut World, call: &Call) -> Answer {
    call.only(&["name", "external_key_id"])?;
    let name = call.text("name")?.map(str::to_owned);
    let project = active_mut(world, call)?;
    if let Some(name) = name {
        project.name = name;
    }
    let (answer, id) = (json(project), project.id.clone());
    let detail = json!({"id": id, "changes_requested": {"title": answer["name"]}});
    let actor = world.keys[call.key].id.clone();
    world.log("project.updated", &id, Some(&id), Some(&actor), detail);
    Ok(answer)
}

pub(super) fn archive(world: &mut World, call: &Call) -> Answer {
    let now = world.now();
    let project = active_mut(world, call)?;
    project.archived = Some(now);
    let (answer, id) = (json(project), project.id.clone());
    let actor = world.keys[call.key].id.clone();
    world.log(
        "project.archived",
        &id,
        Some(&id),
        Some(&actor),
        json!({"id": id}),
    );
    Ok(answer)
}
