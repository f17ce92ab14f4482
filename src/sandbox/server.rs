//! From a connection to an endpoint and back: who is let in, what goes wrong on purpose, and what an
//! answer looks like.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, RawPathParams, State};
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri, header};
use axum::routing::{MethodFilter, on};
use serde_json::{Value, json};

use super::control;
use super::enter::enter;
use super::fault::{Fault, Instead, Target, What};
use super::forms::{Form, redacted};
use super::parts::Seen;
use super::routes::{Needs, ROUTES, Route};
use super::wire::{Cut, Scissors};
use super::world::World;
use crate::secret::Secret;

/// The world, shared by the server and whoever tests with it.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<World>>);

impl Shared {
    pub(super) fn new(world: World) -> Self {
        Self(Arc::new(Mutex::new(world)))
    }

    /// A test that panicked while it looked leaves the world as it was.
    pub(super) fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request, read whole.
pub(super) struct Incoming {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) path: HashMap<String, String>,
    pub(super) body: Bytes,
    /// Whether its path is one of the API's, whatever the method.
    pub(super) known: bool,
}

/// What is done about it.
struct Outcome {
    response: Response<Body>,
    cut: Cut,
}

pub(super) fn router(shared: Shared) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        let method =
            MethodFilter::try_from(method_of(route)).expect("the methods here are known ones");
        let serve = move |State(shared): State<Shared>,
                          ConnectInfo(scissors): ConnectInfo<Scissors>,
                          path: RawPathParams,
                          method: Method,
                          uri: Uri,
                          headers: HeaderMap,
                          body: Bytes| async move {
            let path = path
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()));
            let path = path.collect();
            let incoming = Incoming {
                method,
                uri,
                headers,
                path,
                body,
                known: true,
            };
            serve(&shared, Some(route), &scissors, &incoming).await
        };
        router = router.route(route.path, on(method, serve));
    }
    router
        .merge(control::router())
        .fallback(|shared, from, method, uri, headers, body| {
            stray(shared, from, method, uri, headers, body, false)
        })
        .method_not_allowed_fallback(|shared, from, method, uri, headers, body| {
            stray(shared, from, method, uri, headers, body, true)
        })
        .with_state(shared)
}

/// What is none of the endpoints; `known` says that others have its path.
async fn stray(
    State(shared): State<Shared>,
    ConnectInfo(scissors): ConnectInfo<Scissors>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
    known: bool,
) -> Response<Body> {
    let incoming = Incoming {
        method,
        uri,
        headers,
        path: HashMap::new(),
        body,
        known,
    };
    serve(&shared, None, &scissors, &incoming).await
}

fn method_of(route: &Route) -> Method {
    Method::from_bytes(route.method.as_bytes()).expect("the methods here are known ones")
}

async fn serve(
    shared: &Shared,
    route: Option<&'static Route>,
    scissors: &Scissors,
    incoming: &Incoming,
) -> Response<Body> {
    let presented = bearer(&incoming.headers);
    let fault = strike(&mut shared.lock(), incoming, presented.as_ref());
    let wait = |what| {
        fault
            .as_ref()
            .filter(|f| f.what == what)
            .map(|f| Duration::from_millis(f.delay_ms))
    };
    if let Some(delay) = wait(What::Slow) {
        tokio::time::sleep(delay).await;
    }
    let outcome = respond(
        &mut shared.lock(),
        route,
        incoming,
        presented.as_ref(),
        fault.as_ref(),
    );
    if let Some(delay) = wait(What::SlowAnswer) {
        tokio::time::sleep(delay).await;
    }
    if outcome.cut != Cut::No {
        scissors.cut(outcome.cut);
    }
    outcome.response
}

fn bearer(headers: &HeaderMap) -> Option<Secret> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, key) = value.split_at_checked(7)?;
    (scheme.eq_ignore_ascii_case(b"bearer ") && !key.is_empty()).then(|| Secret::new(key.to_vec()))
}

/// The first fault that strikes this request.
fn strike(world: &mut World, incoming: &Incoming, presented: Option<&Secret>) -> Option<Fault> {
    let key = presented
        .and_then(|key| world.key_with_value(key))
        .map(|key| key.id.clone());
    let target = Target {
        method: incoming.method.as_str(),
        path: incoming.uri.path(),
        key: key.as_deref(),
        now: world.since_start(),
    };
    let mut faults = std::mem::take(&mut world.faults);
    let struck = faults
        .iter_mut()
        .find_map(|fault| fault.strikes(&target).then(|| fault.clone()));
    world.faults = faults;
    struck
}

fn respond(
    world: &mut World,
    route: Option<&'static Route>,
    incoming: &Incoming,
    presented: Option<&Secret>,
    fault: Option<&Fault>,
) -> Outcome {
    let at = presented.and_then(|key| world.place_of(key));
    let what = fault.map(|fault| fault.what);
    let cut = match what {
        Some(What::Reset) => Cut::Reset,
        Some(What::HangUp | What::LoseAnswer) => Cut::Close,
        Some(What::CutBody) => Cut::Body,
        _ => Cut::No,
    };
    let answer = match what {
        Some(What::Reset | What::HangUp) => Ok(Value::Null),
        Some(What::RevokeAdminKey) => {
            if let Some(at) = at {
                world.delete_key(at, None);
            }
            enter(world, route, incoming, presented)
        }
        Some(what) => match instead(world, what, route, presented, at) {
            Some(Instead::Refusal(refusal)) => Err(refusal),
            Some(Instead::Json(value)) => Ok(value),
            Some(Instead::Text(status, text)) => {
                return finish(
                    world,
                    incoming,
                    presented,
                    at,
                    cut,
                    status,
                    Text::Html(text),
                );
            }
            Some(Instead::Redirect(to)) => {
                return finish(
                    world,
                    incoming,
                    presented,
                    at,
                    cut,
                    302,
                    Text::Elsewhere(to),
                );
            }
            None => {
                world.page_fault = Some(what);
                let answer = enter(world, route, incoming, presented);
                world.page_fault = None;
                answer
            }
        },
        None => enter(world, route, incoming, presented),
    };
    let (status, body) = match answer {
        Ok(mut body) => {
            let settings = &world.settings;
            if settings.unknown_fields || settings.unknown_values {
                decorate(&mut body, settings.unknown_fields, settings.unknown_values);
            }
            (200, body)
        }
        Err(refusal) => (refusal.status, refusal.body()),
    };
    finish(
        world,
        incoming,
        presented,
        at,
        cut,
        status,
        Text::Json(body),
    )
}

fn instead(
    world: &World,
    what: What,
    route: Option<&Route>,
    presented: Option<&Secret>,
    at: Option<usize>,
) -> Option<Instead> {
    let masked = presented.map_or_else(String::new, redacted);
    let project = at
        .and_then(|at| world.working_project(at))
        .map_or("", |p| &p.id);
    let scope = match route.map(|route| route.needs) {
        Some(Needs::Data(scope, _)) => scope,
        _ => "api.management.read",
    };
    what.instead(&masked, project, scope)
}

/// Fields that no document knows in every object, and values that none knows in fields that have few.
fn decorate(value: &mut Value, with_fields: bool, with_values: bool) {
    const FEW: [&str; 4] = ["type", "role", "status", "owner_project_access"];
    match value {
        Value::Object(fields) => {
            for (name, value) in fields.iter_mut() {
                match value {
                    Value::String(text) if with_values && FEW.contains(&name.as_str()) => {
                        "unheard_of".clone_into(text);
                    }
                    value => decorate(value, with_fields, with_values),
                }
            }
            if with_fields {
                fields.insert("x_new".to_owned(), json!({"list": [1, null, {}]}));
            }
        }
        Value::Array(all) => {
            for one in all {
                decorate(one, with_fields, with_values);
            }
        }
        _ => {}
    }
}

enum Text {
    Json(Value),
    Html(&'static str),
    Elsewhere(&'static str),
}

fn finish(
    world: &mut World,
    incoming: &Incoming,
    presented: Option<&Secret>,
    at: Option<usize>,
    cut: Cut,
    status: u16,
    text: Text,
) -> Outcome {
    let request_id = world.new_id("req_{hex:32}");
    let date = jiff::Timestamp::from_millisecond(world.now()).unwrap_or_default();
    let date = date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let code = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut builder = Response::builder()
        .status(code)
        .header(header::DATE, date)
        .header("x-request-id", request_id);
    // A stranger's key says nothing about the organisation.
    if let Some(at) = at.filter(|_| status != 401 && matches!(text, Text::Json(_))) {
        builder = builder
            .header("openai-version", "2020-10-01")
            .header("openai-processing-ms", "7")
            .header("openai-organization", &world.organisation.slug);
        if let Some(project) = world
            .working_project(at)
            .filter(|_| world.keys[at].form != Form::Admin)
        {
            builder = builder.header("openai-project", &project.id);
        }
    }
    if status == 429 && world.settings.retry_after {
        builder = builder.header(header::RETRY_AFTER, "9");
    }
    let (kind, body) = match text {
        Text::Json(value) => ("application/json", value.to_string()),
        Text::Html(text) => ("text/html; charset=utf-8", text.to_owned()),
        Text::Elsewhere(to) => {
            builder = builder.header(header::LOCATION, to);
            ("text/html", String::new())
        }
    };
    let response = builder
        .header(header::CONTENT_TYPE, kind)
        .body(Body::from(body));
    let seen = Seen {
        at: world.now(),
        method: incoming.method.to_string(),
        path: incoming.uri.path().to_owned(),
        query: incoming.uri.query().unwrap_or_default().to_owned(),
        key: at.map(|at| world.keys[at].id.clone()),
        bearer: presented.map(Secret::fingerprint),
        status: if matches!(cut, Cut::Close | Cut::Reset) {
            0
        } else {
            status
        },
        body: serde_json::from_slice(&incoming.body).unwrap_or_default(),
    };
    world.remember(seen);
    Outcome {
        response: response.expect("the headers are made of plain words"),
        cut,
    }
}
