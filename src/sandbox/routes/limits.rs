//! What a project may use: rates, models, money. A new key in the same project keeps all of it.

use serde_json::{Value, json};

use super::projects;
use crate::sandbox::call::{Answer, Call};
use crate::sandbox::parts::{ModelPermissions, Project, RateLimit};
use crate::sandbox::refusal::Refusal;
use crate::sandbox::world::World;

fn rate_json(limit: &RateLimit) -> Value {
    json!({
        "object": "project.rate_limit",
        "id": limit.id,
        "model": limit.model,
        "max_requests_per_1_minute": limit.requests,
        "max_tokens_per_1_minute": limit.tokens,
    })
}

pub(super) fn list_rates(world: &mut World, call: &Call) -> Answer {
    let limits = &projects::named(world, call)?.rate_limits;
    let rows: Vec<_> = limits
        .iter()
        .map(|limit| (limit.id.as_str(), true))
        .collect();
    call.list(world, &rows, |at| rate_json(&limits[at]))
}

pub(super) fn set_rate(world: &mut World, call: &Call) -> Answer {
    call.only(&[
        "max_requests_per_1_minute",
        "max_tokens_per_1_minute",
        "max_images_per_1_minute",
        "max_audio_megabytes_per_1_minute",
        "max_requests_per_1_day",
        "batch_1_day_max_input_tokens",
    ])?;
    let requests = call.integer("max_requests_per_1_minute")?;
    let tokens = call.integer("max_tokens_per_1_minute")?;
    let id = call.hole("limit");
    let project = projects::active_mut(world, call)?;
    let limit = project.rate_limits.iter_mut().find(|limit| limit.id == id);
    let limit = limit.ok_or_else(|| Refusal::missing("rate limit", id))?;
    limit.requests = requests.unwrap_or(limit.requests);
    limit.tokens = tokens.unwrap_or(limit.tokens);
    let (answer, project) = (rate_json(limit), project.id.clone());
    let actor = world.keys[call.key].id.clone();
    let detail = json!({"id": id, "changes_requested": {
        "max_requests_per_1_minute": answer["max_requests_per_1_minute"],
        "max_tokens_per_1_minute": answer["max_tokens_per_1_minute"],
    }});
    world.log(
        "rate_limit.updated",
        id,
        Some(&project),
        Some(&actor),
        detail,
    );
    Ok(answer)
}

fn models_json(project: &Project) -> Value {
    // Without restrictions nothing is denied.
    let none = ModelPermissions {
        allow: false,
        models: Vec::new(),
    };
    let permissions = project.model_permissions.as_ref().unwrap_or(&none);
    json!({
        "object": "project.model_permissions",
        "mode": if permissions.allow { "allow_list" } else { "deny_list" },
        "model_ids": permissions.models,
    })
}

pub(super) fn get_models(world: &mut World, call: &Call) -> Answer {
    projects::named(world, call).map(models_json)
}

pub(super) fn set_models(world: &mut World, call: &Call) -> Answer {
    call.only(&["mode", "model_ids"])?;
    let allow = match call.required("mode")? {
        "allow_list" => true,
        "deny_list" => false,
        _ => {
            return Err(Refusal::bad_parameter(
                "mode",
                "invalid_value",
                "Supported values are: allow_list, deny_list.",
            ));
        }
    };
    let models = call.texts("model_ids")?.unwrap_or_default();
    let project = projects::active_mut(world, call)?;
    project.model_permissions = Some(ModelPermissions { allow, models });
    Ok(models_json(project))
}

pub(super) fn clear_models(world: &mut World, call: &Call) -> Answer {
    projects::active_mut(world, call)?.model_permissions = None;
    Ok(json!({"object": "project.model_permissions.deleted", "deleted": true}))
}

/// A limit in cents, and what was spent of it in US dollars. `of` is `project` or `organization`.
fn spend_json(of: &str, cents: Option<i64>, spent: f64) -> Answer {
    let cents = cents.ok_or_else(|| Refusal::missing("spend limit", of))?;
    let enforcing = spent * 100.0 >= cents as f64;
    Ok(json!({
        "object": format!("{of}.spend_limit"),
        "threshold_amount": cents,
        "currency": "USD",
        "interval": "month",
        "enforcement": {"status": if enforcing { "enforcing" } else { "inactive" }},
    }))
}

/// The limit that a request sets, in cents.
fn wanted_spend(call: &Call) -> Result<i64, Refusal> {
    call.only(&["threshold_amount", "currency", "interval"])?;
    let wrong = |name, message| Err(Refusal::bad_parameter(name, "invalid_value", message));
    if call.required("currency")? != "USD" {
        return wrong("currency", "Supported values are: USD.");
    }
    if call.required("interval")? != "month" {
        return wrong("interval", "Supported values are: month.");
    }
    match call.integer("threshold_amount")? {
        Some(cents @ 1..) => Ok(cents),
        _ => wrong(
            "threshold_amount",
            "Expected a number of cents, at least 1.",
        ),
    }
}

fn cleared(of: &str, limit: Option<i64>) -> Answer {
    match limit {
        Some(_) => Ok(json!({"object": format!("{of}.spend_limit.deleted"), "deleted": true})),
        None => Err(Refusal::missing("spend limit", of)),
    }
}

pub(super) fn get_spend(world: &mut World, call: &Call) -> Answer {
    let project = projects::named(world, call)?;
    let spent = world.spent_this_month(Some(&project.id));
    spend_json("project", project.spend_limit, spent)
}

pub(super) fn set_spend(world: &mut World, call: &Call) -> Answer {
    let cents = wanted_spend(call)?;
    projects::active_mut(world, call)?.spend_limit = Some(cents);
    get_spend(world, call)
}

pub(super) fn clear_spend(world: &mut World, call: &Call) -> Answer {
    cleared(
        "project",
        projects::active_mut(world, call)?.spend_limit.take(),
    )
}

pub(super) fn get_own_spend(world: &mut World, _: &Call) -> Answer {
    spend_json(
        "organization",
        world.spend_limit,
        world.spent_this_month(None),
    )
}

pub(super) fn set_own_spend(world: &mut World, call: &Call) -> Answer {
    world.spend_limit = Some(wanted_spend(call)?);
    get_own_spend(world, call)
}

pub(super) fn clear_own_spend(world: &mut World, _: &Call) -> Answer {
    cleared("organization", world.spend_limit.take())
}
