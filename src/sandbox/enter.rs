//! Who is let in: the key, its scopes, its headers, the endpoint's bucket, the query. Then the
//! endpoint itself.

use axum::extract::Query;
use axum::http::Method;
use serde_json::Value;

use super::call::{Call, base_name};
use super::forms::{Form, redacted};
use super::refusal::Refusal;
use super::routes::{Needs, ROUTES, Route};
use super::server::Incoming;
use super::world::World;
use crate::secret::Secret;

/// Lets a request in, or not, and carries it out.
pub(super) fn enter(
    world: &mut World,
    route: Option<&'static Route>,
    incoming: &Incoming,
    presented: Option<&Secret>,
) -> Result<Value, Refusal> {
    let (method, path) = (&incoming.method, incoming.uri.path());
    let generation = world.settings.generation;
    let Some(route) = route.filter(|route| route.since <= generation) else {
        // Another method of this path may be older than this one.
        let older = |other: &Route| other.since <= generation;
        let known = match route {
            Some(route) => ROUTES.iter().any(|r| r.path == route.path && older(r)),
            None => incoming.known,
        };
        return Err(Refusal::no_endpoint(known, method.as_str(), path));
    };
    let presented = presented.ok_or_else(Refusal::no_key)?;
    let at = world
        .place_of(presented)
        .ok_or_else(|| Refusal::incorrect_key(&redacted(presented)))?;
    world.admit(at)?;
    world.touch(at);
    authorise(world, route, incoming, at)?;
    throttle(world, route)?;
    let Query(query) = Query::<Vec<(String, String)>>::try_from_uri(&incoming.uri)
        .map_err(|error| Refusal::bad(format!("Invalid query: {error}")))?;
    if world.settings.strict
        && let Some((name, _)) = query
            .iter()
            .find(|(name, _)| !route.query.contains(&base_name(name).0))
    {
        return Err(Refusal::bad_parameter(
            name,
            "unknown_parameter",
            format!("Unknown parameter: '{name}'."),
        ));
    }
    let body = match incoming.body.is_empty() {
        true => Value::Null,
        false => serde_json::from_slice(&incoming.body)
            .map_err(|_| Refusal::bad("We could not parse the JSON body of your request."))?,
    };
    let call = Call {
        path: incoming.path.clone(),
        query,
        body,
        key: at,
    };
    (route.handle)(world, &call)
}

/// Whether this key may do this.
fn authorise(world: &World, route: &Route, incoming: &Incoming, at: usize) -> Result<(), Refusal> {
    let key = &world.keys[at];
    let admin = key.form == Form::Admin;
    let has = |scope: &str| key.scopes.is_empty() || key.scopes.iter().any(|s| s == scope);
    let scope = match incoming.method {
        Method::GET => "api.management.read",
        _ => "api.management.write",
    };
    match route.needs {
        Needs::Admin if admin && has(scope) => Ok(()),
        Needs::Admin => Err(Refusal::missing_scopes(401, scope)),
        Needs::Data(scope, _) if !admin && has(scope) => Ok(()),
        Needs::Data(scope, status) => Err(Refusal::missing_scopes(status, scope)),
        Needs::AnyKey if admin => Err(Refusal::missing_scopes(401, "api.model.read")),
        Needs::AnyKey => Ok(()),
    }?;
    let said = |name: &str| incoming.headers.get(name).map(|value| value.as_bytes());
    let organisation = &world.organisation;
    let ours = [organisation.id.as_bytes(), organisation.slug.as_bytes()];
    if said("openai-organization").is_some_and(|said| !ours.contains(&said)) {
        return Err(Refusal::mismatched_organization());
    }
    let project = world.working_project(at).filter(|_| !admin);
    if said("openai-project").is_some_and(|said| project.is_none_or(|p| p.id.as_bytes() != said)) {
        return Err(Refusal::mismatched_project());
    }
    Ok(())
}

/// The bucket of an endpoint of the Admin API, refilled within a minute.
fn throttle(world: &mut World, route: &'static Route) -> Result<(), Refusal> {
    let most = f64::from(world.settings.per_minute);
    if most == 0.0 || route.needs != Needs::Admin {
        return Ok(());
    }
    let now = world.now();
    let (left, since) = world
        .buckets
        .entry((route.method, route.path))
        .or_insert((most, now));
    *left = (*left + (now - *since).max(0) as f64 * most / 60_000.0).min(most);
    *since = now;
    if *left < 1.0 {
        return Err(Refusal::rate_limited("this endpoint"));
    }
    *left -= 1.0;
    Ok(())
}
