//! `/_sandbox/…`: what a drill may do to the organisation, and is no part of the API. Answers are
//! JSON. Keys are shown whole where asked for by id: they are synthetic, and open nothing but this.

use axum::Json;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};

use super::fault::Fault;
use super::forms::{Form, redacted};
use super::parts::{Key, NewKey, Owner};
use super::server::Shared;
use super::world::World;

/// The endpoints.
pub(super) fn router() -> Router<Shared> {
    Router::new()
        .route("/_sandbox/state", get(state))
        .route("/_sandbox/requests", get(requests))
        .route("/_sandbox/clock", get(clock).post(move_clock))
        .route("/_sandbox/settings", get(settings).post(change_settings))
        .route(
            "/_sandbox/faults",
            get(faults).post(add_fault).delete(clear_faults),
        )
        .route("/_sandbox/keys", post(make_key))
        .route("/_sandbox/keys/{id}", get(key).delete(delete_key))
}

/// What was wrong with a request to this endpoint.
struct Wrong(StatusCode, String);

impl IntoResponse for Wrong {
    fn into_response(self) -> Response {
        (self.0, Json(json!({"error": {"message": self.1}}))).into_response()
    }
}

type Outcome = Result<Json<Value>, Wrong>;

fn bad(error: impl std::fmt::Display) -> Wrong {
    Wrong(StatusCode::BAD_REQUEST, error.to_string())
}

fn missing(what: &str, id: &str) -> Wrong {
    Wrong(StatusCode::NOT_FOUND, format!("no {what} {id}"))
}

fn key_json(world: &World, key: &Key) -> Value {
    let (kind, owner) = match &key.owner {
        Owner::User(id) => ("user", id),
        Owner::ServiceAccount(id) => ("service_account", id),
    };
    json!({
        "id": key.id,
        "name": key.name,
        "form": key.form,
        "redacted_value": redacted(&key.value),
        "project": key.project,
        "owner": {"type": kind, "id": owner},
        "scopes": key.scopes,
        "lives": world.lives(&key.id),
        "created_at_ms": key.created,
        "expires_at_ms": key.expires,
        "deleted_at_ms": key.deleted,
        "last_used_at_ms": key.uses.iter().max(),
    })
}

async fn state(State(shared): State<Shared>) -> Json<Value> {
    let world = shared.lock();
    let projects = world.projects.iter().map(|p| {
        json!({"id": p.id, "name": p.name, "archived_at_ms": p.archived, "spend_limit": p.spend_limit,
            "members": p.members.iter().map(|m| &m.user).collect::<Vec<_>>()})
    });
    let accounts = world.service_accounts.iter().map(
        |a| json!({"id": a.id, "name": a.name, "project": a.project, "deleted_at_ms": a.deleted}),
    );
    Json(json!({
        "now_ms": world.now(),
        "organisation": {"id": world.organisation.id, "slug": world.organisation.slug},
        "projects": projects.collect::<Vec<_>>(),
        "service_accounts": accounts.collect::<Vec<_>>(),
        "keys": world.keys.iter().map(|key| key_json(&world, key)).collect::<Vec<_>>(),
        "requests": world.requests.len(),
        "settings": world.settings,
        "faults": world.faults,
    }))
}

async fn requests(State(shared): State<Shared>) -> Json<Value> {
    let world = shared.lock();
    let seen = world.requests.iter().map(|seen| {
        json!({"at_ms": seen.at, "method": seen.method, "path": seen.path, "query": seen.query,
            "key": seen.key, "bearer": seen.bearer, "status": seen.status})
    });
    Json(seen.collect())
}

async fn clock(State(shared): State<Shared>) -> Json<Value> {
    Json(json!({"now_ms": shared.lock().now()}))
}

/// Moves the clock by seconds, or sets it to seconds since 1970.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum Move {
    Advance(f64),
    Set(i64),
}

async fn move_clock(State(shared): State<Shared>, Json(how): Json<Value>) -> Outcome {
    let world = shared.lock();
    match serde_json::from_value(how).map_err(bad)? {
        Move::Advance(seconds) => world.clock().jump((seconds * 1000.0) as i64),
        Move::Set(seconds) => world.clock().set(seconds),
    }
    Ok(Json(json!({"now_ms": world.now()})))
}

async fn settings(State(shared): State<Shared>) -> Json<Value> {
    Json(json!(shared.lock().settings))
}

async fn change_settings(State(shared): State<Shared>, Json(changes): Json<Value>) -> Outcome {
    let mut world = shared.lock();
    world.settings = world.settings.changed(&changes).map_err(bad)?;
    Ok(Json(json!(world.settings)))
}

async fn faults(State(shared): State<Shared>) -> Json<Value> {
    Json(json!(shared.lock().faults))
}

async fn add_fault(State(shared): State<Shared>, Json(fault): Json<Value>) -> Outcome {
    let fault: Fault = serde_json::from_value(fault).map_err(bad)?;
    let mut world = shared.lock();
    world.faults.push(fault);
    Ok(Json(json!(world.faults)))
}

async fn clear_faults(State(shared): State<Shared>) -> Json<Value> {
    let mut world = shared.lock();
    world.faults.clear();
    Json(json!(world.faults))
}

/// A key that the API can't make: a user's.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Minted {
    name: String,
    form: Form,
    user: Option<String>,
    service_account: Option<String>,
    project: Option<String>,
    #[serde(default)]
    scopes: Vec<String>,
    expires_in_seconds: Option<i64>,
}

async fn make_key(State(shared): State<Shared>, Json(wanted): Json<Value>) -> Outcome {
    let wanted: Minted = serde_json::from_value(wanted).map_err(bad)?;
    let mut world = shared.lock();
    let owner = match (wanted.user, wanted.service_account) {
        (Some(id), None) if world.user(&id).is_some() => Owner::User(id),
        (None, Some(id)) if world.service_account(&id).is_some() => Owner::ServiceAccount(id),
        (Some(id), None) | (None, Some(id)) => return Err(missing("owner", &id)),
        _ => return Err(bad("name a user or a service account")),
    };
    if let Some(id) = wanted
        .project
        .as_deref()
        .filter(|id| world.project(id).is_none())
    {
        return Err(missing("project", id));
    }
    let new = NewKey {
        name: &wanted.name,
        form: wanted.form,
        owner,
        project: wanted.project.as_deref(),
        scopes: wanted.scopes,
        expires_in: wanted.expires_in_seconds,
    };
    let at = world.make_key(new, None);
    Ok(Json(whole(&world, &world.keys[at])))
}

fn whole(world: &World, key: &Key) -> Value {
    let mut row = key_json(world, key);
    row["value"] = json!(String::from_utf8_lossy(key.value.expose()));
    row
}

async fn key(State(shared): State<Shared>, Path(id): Path<String>) -> Outcome {
    let world = shared.lock();
    let key = world.key(&id).ok_or_else(|| missing("key", &id))?;
    Ok(Json(whole(&world, key)))
}

async fn delete_key(State(shared): State<Shared>, Path(id): Path<String>) -> Outcome {
    let mut world = shared.lock();
    let at = world
        .keys
        .iter()
        .position(|key| key.id == id)
        .ok_or_else(|| missing("key", &id))?;
    world.delete_key(at, None);
    Ok(Json(key_json(&world, &world.keys[at])))
}
