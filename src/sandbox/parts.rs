//! What an organisation is made of. Times are in milliseconds since 1970.

use serde_json::Value;

use super::forms::Form;
use crate::secret::{Fingerprint, Secret};

/// Who the organisation is.
#[derive(Clone, Debug)]
pub struct Organisation {
    /// `org-…`
    pub id: String,
    /// What the header `openai-organization` says.
    pub slug: String,
    /// What people call it.
    pub title: String,
}

/// A project.
#[derive(Clone, Debug)]
pub struct Project {
    /// `proj_…`
    pub id: String,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: i64,
    /// When it was archived.
    pub archived: Option<i64>,
    /// Who is in it.
    pub members: Vec<Member>,
    /// What each model may be asked in it.
    pub rate_limits: Vec<RateLimit>,
    /// Which models it may use, if that is restricted.
    pub model_permissions: Option<ModelPermissions>,
    /// What it may spend in a month, in cents.
    pub spend_limit: Option<i64>,
}

/// A user's place in a project.
#[derive(Clone, Debug)]
pub struct Member {
    /// The user's id.
    pub user: String,
    /// `owner` or `member`.
    pub role: String,
    /// Since when.
    pub added: i64,
}

/// What a model may be asked in a project.
#[derive(Clone, Debug)]
pub struct RateLimit {
    /// `rl-…`
    pub id: String,
    /// The model.
    pub model: String,
    /// Requests in a minute.
    pub requests: i64,
    /// Tokens in a minute.
    pub tokens: i64,
}

/// Which models a project may use.
#[derive(Clone, Debug)]
pub struct ModelPermissions {
    /// Whether the list says what is allowed, or what is not.
    pub allow: bool,
    /// The models.
    pub models: Vec<String>,
}

/// Someone in the organisation.
#[derive(Clone, Debug)]
pub struct User {
    /// `user-…`
    pub id: String,
    /// The name.
    pub name: String,
    /// The address.
    pub email: String,
    /// `owner` or `reader`.
    pub role: String,
    /// Since when.
    pub added: i64,
    /// When the user was removed.
    pub removed: Option<i64>,
}

/// A service account.
#[derive(Clone, Debug)]
pub struct ServiceAccount {
    /// Opaque; looks like a user's.
    pub id: String,
    /// Its project.
    pub project: String,
    /// Its name.
    pub name: String,
    /// `member` or `owner`.
    pub role: String,
    /// When it was made.
    pub created: i64,
    /// When it was deleted.
    pub deleted: Option<i64>,
}

/// Whose a key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A user, by id.
    User(String),
    /// A service account, by id.
    ServiceAccount(String),
}

/// A key.
#[derive(Clone, Debug)]
pub struct Key {
    /// `key_…`
    pub id: String,
    /// The key itself.
    pub value: Secret,
    /// Its name.
    pub name: String,
    /// What it looks like.
    pub form: Form,
    /// Whose it is.
    pub owner: Owner,
    /// Its project; a user's key of the old kind and an admin key have none.
    pub project: Option<String>,
    /// What it may do; everything if empty.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created: i64,
    /// When it expires.
    pub expires: Option<i64>,
    /// When it was deleted.
    pub deleted: Option<i64>,
    /// When it was used, at most once for each second.
    pub uses: Vec<i64>,
    /// How often it was asked about while its state was changing.
    pub(super) flips: u32,
}

/// A key to be made.
pub struct NewKey<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it looks like.
    pub form: Form,
    /// Whose it is.
    pub owner: Owner,
    /// Its project.
    pub project: Option<&'a str>,
    /// What it may do; everything if empty.
    pub scopes: Vec<String>,
    /// Seconds until it expires.
    pub expires_in: Option<i64>,
}

/// A request to a model.
#[derive(Clone, Debug)]
pub struct Use {
    /// When.
    pub at: i64,
    /// The id of the key.
    pub key: String,
    /// The id of the project.
    pub project: String,
    /// The id of the owner.
    pub owner: String,
    /// Which of the usage endpoints counts it: `completions`, `embeddings`.
    pub capability: &'static str,
    /// The model.
    pub model: String,
    /// Tokens in.
    pub input: i64,
    /// Tokens out.
    pub output: i64,
    /// What it cost, in US dollars.
    pub cost: f64,
}

/// An event of the audit log.
#[derive(Clone, Debug)]
pub struct Event {
    /// `audit_log-…`
    pub id: String,
    /// When.
    pub at: i64,
    /// Such as `api_key.created`.
    pub kind: &'static str,
    /// The id of what it is about.
    pub resource: String,
    /// The project's id.
    pub project: Option<String>,
    /// The id of the admin key that did it; without one, the dashboard did.
    pub actor: Option<String>,
    /// What stands under the key named like `kind`.
    pub detail: Value,
}

/// A request that came in.
#[derive(Clone, Debug)]
pub struct Seen {
    /// When.
    pub at: i64,
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    /// The query, as it was written.
    pub query: String,
    /// The id of the key it came with, if the organisation knows it.
    pub key: Option<String>,
    /// Names the key it came with, known or not.
    pub bearer: Option<Fingerprint>,
    /// What was answered; 0 if the connection was cut.
    pub status: u16,
    /// The body, if it was JSON.
    pub body: Value,
}
