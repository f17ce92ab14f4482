//! The endpoints. A file for each part of the API, and a line for each endpoint below.

mod admin_keys;
mod audit;
mod costs;
mod data;
mod keys;
mod limits;
mod projects;
mod service_accounts;
mod usage;
mod users;

pub(super) use self::data::MODELS;
pub(super) use self::projects::default_limits;

use super::call::{Answer, Call};
use super::settings::Generation;
use super::world::World;

/// What a key needs for an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// An admin key; its scopes must hold `api.management.read` or `.write`.
    Admin,
    /// Any other key, with this scope and this status for the lack of it.
    Data(&'static str, u16),
    /// Any other key.
    AnyKey,
}

/// An endpoint.
pub(super) struct Route {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) needs: Needs,
    /// The query parameters that it knows.
    pub(super) query: &'static [&'static str],
    /// Since when it exists.
    pub(super) since: Generation,
    pub(super) handle: fn(&mut World, &Call) -> Answer,
}

const fn admin(
    method: &'static str,
    path: &'static str,
    query: &'static [&'static str],
    handle: fn(&mut World, &Call) -> Answer,
) -> Route {
    Route {
        method,
        path,
        needs: Needs::Admin,
        query,
        since: Generation::Old,
        handle,
    }
}

const fn data(
    method: &'static str,
    path: &'static str,
    needs: Needs,
    handle: fn(&mut World, &Call) -> Answer,
) -> Route {
    Route {
        method,
        path,
        needs,
        query: &[],
        since: Generation::Old,
        handle,
    }
}

const fn since(generation: Generation, route: Route) -> Route {
    Route {
        since: generation,
        ..route
    }
}

const PAGE: &[&str] = &["limit", "after"];
const ORDERED: &[&str] = &["limit", "after", "order"];
const BOTH_WAYS: &[&str] = &["limit", "after", "before"];

/// All of them.
#[rustfmt::skip] // a line for each
pub(super) const ROUTES: &[Route] = &[
    admin("GET", "/v1/organization/projects", &["limit", "after", "include_archived"], projects::list),
    admin("POST", "/v1/organization/projects", &[], projects::create),
    admin("GET", "/v1/organization/projects/{project}", &[], projects::get),
    admin("POST", "/v1/organization/projects/{project}", &[], projects::update),
    admin("POST", "/v1/organization/projects/{project}/archive", &[], projects::archive),
    admin("GET", "/v1/organization/projects/{project}/api_keys", &["limit", "after", "owner_project_access"], keys::list),
    admin("GET", "/v1/organization/projects/{project}/api_keys/{key}", &[], keys::get),
    since(Generation::New, admin("POST", "/v1/organization/projects/{project}/api_keys/{key}", &[], keys::update)),
    admin("DELETE", "/v1/organization/projects/{project}/api_keys/{key}", &[], keys::delete),
    admin("GET", "/v1/organization/projects/{project}/service_accounts", PAGE, service_accounts::list),
    admin("POST", "/v1/organization/projects/{project}/service_accounts", &[], service_accounts::create),
    admin("GET", "/v1/organization/projects/{project}/service_accounts/{account}", &[], service_accounts::get),
    admin("POST", "/v1/organization/projects/{project}/service_accounts/{account}", &[], service_accounts::update),
    admin("DELETE", "/v1/organization/projects/{project}/service_accounts/{account}", &[], service_accounts::delete),
    since(Generation::July, admin("POST", "/v1/organization/projects/{project}/service_accounts/{account}/api_keys", &[], service_accounts::create_key)),
    admin("GET", "/v1/organization/admin_api_keys", ORDERED, admin_keys::list),
    admin("POST", "/v1/organization/admin_api_keys", &[], admin_keys::create),
    admin("GET", "/v1/organization/admin_api_keys/{key}", &[], admin_keys::get),
    admin("DELETE", "/v1/organization/admin_api_keys/{key}", &[], admin_keys::delete),
    admin("GET", "/v1/organization/users", &["limit", "after", "emails"], users::list),
    admin("GET", "/v1/organization/users/{user}", &[], users::get),
    admin("DELETE", "/v1/organization/users/{user}", &[], users::delete),
    admin("GET", "/v1/organization/projects/{project}/users", PAGE, users::list_members),
    admin("POST", "/v1/organization/projects/{project}/users", &[], users::add_member),
    admin("GET", "/v1/organization/projects/{project}/users/{user}", &[], users::get_member),
    admin("DELETE", "/v1/organization/projects/{project}/users/{user}", &[], users::remove_member),
    admin("GET", "/v1/organization/audit_logs", audit::QUERY, audit::list),
    admin("GET", "/v1/organization/usage/{capability}", usage::QUERY, usage::get),
    admin("GET", "/v1/organization/costs", costs::QUERY, costs::get),
    admin("GET", "/v1/organization/projects/{project}/rate_limits", BOTH_WAYS, limits::list_rates),
    admin("POST", "/v1/organization/projects/{project}/rate_limits/{limit}", &[], limits::set_rate),
    admin("GET", "/v1/organization/projects/{project}/model_permissions", &[], limits::get_models),
    admin("POST", "/v1/organization/projects/{project}/model_permissions", &[], limits::set_models),
    admin("DELETE", "/v1/organization/projects/{project}/model_permissions", &[], limits::clear_models),
    admin("GET", "/v1/organization/projects/{project}/spend_limit", &[], limits::get_spend),
    admin("POST", "/v1/organization/projects/{project}/spend_limit", &[], limits::set_spend),
    admin("DELETE", "/v1/organization/projects/{project}/spend_limit", &[], limits::clear_spend),
    admin("GET", "/v1/organization/spend_limit", &[], limits::get_own_spend),
    admin("POST", "/v1/organization/spend_limit", &[], limits::set_own_spend),
    admin("DELETE", "/v1/organization/spend_limit", &[], limits::clear_own_spend),
    data("GET", "/v1/models", Needs::Data("api.model.read", 403), data::models),
    data("GET", "/v1/me", Needs::AnyKey, data::me),
    data("POST", "/v1/responses", Needs::Data("api.responses.write", 401), data::responses),
    data("POST", "/v1/chat/completions", Needs::Data("model.request", 401), data::chat),
    data("POST", "/v1/embeddings", Needs::Data("model.request", 401), data::embeddings),
];
