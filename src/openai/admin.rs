//! The Admin API's objects: projects, keys, service accounts, admin keys, users.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::call::{Call, Reply, Service, not_understood};
use super::error::Error;
use super::model::{
    AdminKey, ApiKey, Deleted, NewKey, NewKeyWire, NewServiceAccount, Project, ServiceAccount, User,
};
use super::pages::{PageWire, Pages, Row};
use crate::http::{Address, Method};
use crate::secret::Secret;

/// Which keys of a project are listed, by their owner's access to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// All enabled keys. An API of before July 2026 takes no notice, and
    /// [`ApiKey::owner_project_access`] is missing from its answer: it may leave keys out.
    Any,
    /// Those whose owner has access.
    Active,
    /// Those whose owner has none.
    Inactive,
    /// Not said: what an API that refuses the parameter lists. It may leave keys out.
    Unsaid,
}

impl Access {
    fn as_str(self) -> Option<&'static str> {
        match self {
            Self::Any => Some("any"),
            Self::Active => Some("active"),
            Self::Inactive => Some("inactive"),
            Self::Unsaid => None,
        }
    }
}

/// A change of a key: one at a time, as the API has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyChange {
    /// These scopes. An empty list means **all** permissions.
    Scopes(Vec<String>),
    /// It ends so long from now: 1 s to a year. Sent again, the time begins again.
    ExpiresIn(Duration),
}

/// A service account to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAccount<'a> {
    /// Its name. It may have to be unique in the project.
    pub name: &'a str,
    /// No first key, please.
    pub without_key: bool,
    /// When the first key ends.
    pub expires_in: Option<Duration>,
}

/// A key to be made for a service account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewAccountKey<'a> {
    /// Its name.
    pub name: Option<&'a str>,
    /// Its scopes; `None`: not mentioned.
    pub scopes: Option<&'a [String]>,
    /// When it ends.
    pub expires_in: Option<Duration>,
}

/// The administration of one organisation, by an admin key of its.
pub struct Admin {
    service: Arc<Service>,
    key: Secret,
    /// As the answers' headers name it.
    organisation: Mutex<Option<String>>,
}

impl Admin {
    /// Asks nothing yet.
    pub fn new(service: Arc<Service>, key: Secret) -> Self {
        Self {
            service,
            key,
            organisation: Mutex::default(),
        }
    }

    /// What it asks.
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// The organisation, as the headers of an earlier answer named it.
    pub fn organisation(&self) -> Option<String> {
        let name = self.organisation.lock();
        name.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The admin key that is used, to tell it apart from others.
    pub fn key(&self) -> &Secret {
        &self.key
    }

    /// All projects, archived ones too if wanted.
    pub fn projects(&self, archived: bool) -> Pages<'_, Project> {
        let address = self.at(["projects"]);
        let address = match archived {
            true => address.query("include_archived", "true"),
            false => address,
        };
        self.pages("list the projects", address)
    }

    /// One project.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn project(&self, project: &str) -> Result<Project, Error> {
        self.get("look at the project", self.at(["projects", project]))
    }

    /// The keys of a project.
    pub fn api_keys(&self, project: &str, access: Access) -> Pages<'_, ApiKey> {
        let address = self.at(["projects", project, "api_keys"]);
        let address = match access.as_str() {
            Some(access) => address.query("owner_project_access", access),
            None => address,
        };
        self.pages("list a project's keys", address)
    }

    /// One key of a project.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::is_not_found`] for one that is gone.
    pub fn api_key(&self, project: &str, key: &str) -> Result<ApiKey, Error> {
        let address = self.at(["projects", project, "api_keys", key]);
        self.get("look at a key", address)
    }

    /// Changes a key: since October 2026; before, there is no such call (404 or 405).
    ///
    /// # Errors
    /// See [`Error`]. An expired key can't be changed.
    pub fn update_api_key(
        &self,
        project: &str,
        key: &str,
        change: &KeyChange,
    ) -> Result<ApiKey, Error> {
        let body = match change {
            KeyChange::Scopes(scopes) => json!({ "scopes": scopes }),
            KeyChange::ExpiresIn(time) => json!({ "expires_in_seconds": seconds(*time) }),
        };
        let address = self.at(["projects", project, "api_keys", key]);
        self.service
            .read(&self.post("change a key", address, body)?)
    }

    /// Whether the API is that of October 2026, which changes single keys, and deletes those of
    /// service accounts. A change without content tells: that API refuses it, an older one does
    /// not know the call. The key has to be there.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn changes_keys(&self, project: &str, key: &str) -> Result<bool, Error> {
        let address = self.at(["projects", project, "api_keys", key]);
        match self.post("see what the API can do", address, json!({})) {
            Ok(_) => Ok(true),
            Err(error) => match error.refusal().map(|refusal| refusal.status) {
                Some(400 | 422) => Ok(true),
                Some(404 | 405) => Ok(false),
                _ => Err(error),
            },
        }
    }

    /// Deletes a key. Before October 2026: 400 for a service account's.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn delete_api_key(&self, project: &str, key: &str) -> Result<Deleted, Error> {
        let address = self.at(["projects", project, "api_keys", key]);
        self.delete("delete a key", address)
    }

    /// The service accounts of a project.
    pub fn service_accounts(&self, project: &str) -> Pages<'_, ServiceAccount> {
        let address = self.at(["projects", project, "service_accounts"]);
        self.pages("list the service accounts", address)
    }

    /// One service account.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn service_account(&self, project: &str, account: &str) -> Result<ServiceAccount, Error> {
        let address = self.at(["projects", project, "service_accounts", account]);
        self.get("look at a service account", address)
    }

    /// Makes a service account, and its first key unless none is wanted. Never sent twice.
    ///
    /// # Errors
    /// See [`Error`]. If it [may have happened](Error::may_have_happened), list the accounts and
    /// look for the name.
    pub fn create_service_account(
        &self,
        project: &str,
        new: &NewAccount<'_>,
    ) -> Result<NewServiceAccount, Error> {
        let mut body = Map::new();
        body.insert("name".to_owned(), new.name.into());
        if new.without_key {
            body.insert("create_service_account_only".to_owned(), true.into());
        }
        put_expiry(&mut body, new.expires_in);
        let address = self.at(["projects", project, "service_accounts"]);
        let reply = self.post("make a service account", address, body.into())?;
        NewServiceAccount::read(&reply.body).map_err(|_| unreadable_key(&reply))
    }

    /// Gives a service account another role, such as `member` or `owner`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn set_service_account_role(
        &self,
        project: &str,
        account: &str,
        role: &str,
    ) -> Result<ServiceAccount, Error> {
        let address = self.at(["projects", project, "service_accounts", account]);
        let reply = self.post("change a service account", address, json!({ "role": role }))?;
        self.service.read(&reply)
    }

    /// Deletes a service account **and all of its keys**.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn delete_service_account(&self, project: &str, account: &str) -> Result<Deleted, Error> {
        let address = self.at(["projects", project, "service_accounts", account]);
        self.delete("delete a service account", address)
    }

    /// Makes a key for a service account: since July 2026. Never sent twice.
    ///
    /// # Errors
    /// See [`Error`]. If it [may have happened](Error::may_have_happened), list the keys and look
    /// for the name.
    pub fn create_service_account_key(
        &self,
        project: &str,
        account: &str,
        new: &NewAccountKey<'_>,
    ) -> Result<NewKey, Error> {
        let mut body = Map::new();
        if let Some(name) = new.name {
            body.insert("name".to_owned(), name.into());
        }
        if let Some(scopes) = new.scopes {
            body.insert("scopes".to_owned(), scopes.into());
        }
        put_expiry(&mut body, new.expires_in);
        let parts = ["projects", project, "service_accounts", account, "api_keys"];
        let reply = self.post(
            "make a key for a service account",
            self.at(parts),
            body.into(),
        )?;
        new_key(&reply)
    }

    /// The organisation's admin keys.
    pub fn admin_keys(&self) -> Pages<'_, AdminKey> {
        self.pages("list the admin keys", self.at(["admin_api_keys"]))
    }

    /// One admin key.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn admin_key(&self, key: &str) -> Result<AdminKey, Error> {
        self.get("look at an admin key", self.at(["admin_api_keys", key]))
    }

    /// Makes an admin key. Its scopes can't be asked for. Never sent twice.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn create_admin_key(
        &self,
        name: &str,
        expires_in: Option<Duration>,
    ) -> Result<NewKey, Error> {
        let mut body = Map::new();
        body.insert("name".to_owned(), name.into());
        put_expiry(&mut body, expires_in);
        let address = self.at(["admin_api_keys"]);
        new_key(&self.post("make an admin key", address, body.into())?)
    }

    /// Deletes an admin key.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn delete_admin_key(&self, key: &str) -> Result<Deleted, Error> {
        self.delete("delete an admin key", self.at(["admin_api_keys", key]))
    }

    /// The users of the organisation.
    pub fn users(&self) -> Pages<'_, User> {
        self.pages("list the users", self.at(["users"]))
    }

    /// The users of a project.
    pub fn project_users(&self, project: &str) -> Pages<'_, User> {
        let address = self.at(["projects", project, "users"]);
        self.pages("list a project's users", address)
    }

    /// An address below `/organization`.
    pub(super) fn at<'p>(&self, parts: impl IntoIterator<Item = &'p str>) -> Address {
        let parts = std::iter::once("organization").chain(parts);
        self.service.settings().base.join(parts)
    }

    /// All calls with the admin key come through here.
    pub(super) fn ask(
        &self,
        asked: &'static str,
        method: Method,
        address: Address,
        body: Option<Value>,
    ) -> Result<Reply, Error> {
        let reply = self.service.ask(&Call {
            asked,
            key: &self.key,
            method,
            address,
            body,
            per_minute: self.service.settings().per_minute,
        })?;
        if let Some(name) = &reply.names.organisation {
            let mut known = self
                .organisation
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            known.get_or_insert_with(|| name.clone());
        }
        Ok(reply)
    }

    pub(super) fn get<T: DeserializeOwned>(
        &self,
        asked: &'static str,
        address: Address,
    ) -> Result<T, Error> {
        let reply = self.ask(asked, Method::Get, address, None)?;
        self.service.read(&reply)
    }

    pub(super) fn post(
        &self,
        asked: &'static str,
        address: Address,
        body: Value,
    ) -> Result<Reply, Error> {
        self.ask(asked, Method::Post, address, Some(body))
    }

    fn delete(&self, asked: &'static str, address: Address) -> Result<Deleted, Error> {
        let reply = self.ask(asked, Method::Delete, address, None)?;
        self.service.read(&reply)
    }

    pub(super) fn pages<T: DeserializeOwned + Row>(
        &self,
        asked: &'static str,
        address: Address,
    ) -> Pages<'_, T> {
        let settings = self.service.settings();
        let limit = settings.page.clamp(1, 100);
        let address = address.query("limit", &limit.to_string());
        let fetch = move |after: Option<&str>| {
            let address = address.clone();
            let address = match after {
                Some(after) => address.query("after", after),
                None => address,
            };
            self.get::<PageWire<T>>(asked, address)
        };
        Pages::new(asked, limit, settings.most_pages, Box::new(fetch))
    }
}

/// Whole seconds, as the API takes them: 1 s to a year.
fn seconds(time: Duration) -> u64 {
    time.as_secs().clamp(1, 31_536_000)
}

fn put_expiry(body: &mut Map<String, Value>, expires_in: Option<Duration>) {
    if let Some(time) = expires_in {
        body.insert("expires_in_seconds".to_owned(), seconds(time).into());
    }
}

fn new_key(reply: &Reply) -> Result<NewKey, Error> {
    let wire: NewKeyWire =
        serde_json::from_slice(&reply.body).map_err(|_| unreadable_key(reply))?;
    Ok(wire.into())
}

fn unreadable_key(reply: &Reply) -> Error {
    let why = "it does not hold the new key; one may have been made all the same";
    not_understood(reply, why.to_owned())
}
