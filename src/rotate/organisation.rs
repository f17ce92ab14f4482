//! What a rotation asks of the organisation that issued the key: the few calls of the Admin API
//! that it makes, told apart by whether a failed one may have happened after all.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::secret::Secret;
use crate::verdict::in_short;

/// Who owns a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(tag = "kind", content = "id", rename_all = "snake_case")]
pub enum Owner {
    /// A service account, by id.
    ServiceAccount(String),
    /// A person, by id.
    User(String),
}

/// A row of a listing.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Row {
    /// The key's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its masked form.
    pub masked: String,
    /// Who owns it.
    pub owner: Owner,
    /// When it was created, in seconds since 1970.
    pub created: i64,
    /// When it was last used, if ever.
    pub last_used: Option<i64>,
    /// When it ends by itself, if it does and the listing tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<i64>,
}

impl Row {
    /// The masked form, in short.
    pub fn shown(&self) -> String {
        in_short(&self.masked)
    }
}

/// A key as it comes from its creation: the only time that its value is told.
pub struct Minted {
    /// Its id.
    pub id: String,
    /// The service account that was made with it.
    pub account: Option<String>,
    /// The key.
    pub value: Secret,
}

/// What a new key may do.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scopes {
    /// Everything: the API takes an empty list for that, so it is never sent by accident.
    All,
    /// These; never empty.
    Some(Vec<String>),
}

/// What came of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The key works.
    Live,
    /// The API says that there is no such key.
    Dead,
    /// Nobody knows; with the reason.
    Unknown(String),
}

/// What a key did in a window of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Use {
    /// Requests, over all capabilities.
    pub requests: u64,
    /// Requests by model.
    pub models: BTreeMap<String, u64>,
}

/// Why a call failed, and what is known of its effect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The other side refused: nothing has happened, and asking again won't help.
    #[error("{0}")]
    Refused(String),
    /// Nothing has happened, and asking again may help.
    #[error("{0}")]
    NotDone(String),
    /// It may have happened.
    #[error("{0}")]
    Unsure(String),
}

/// The organisation, as far as a rotation asks it. Listings are fresh and whole, or an error:
/// they decide what is deleted.
pub trait Organisation {
    /// All keys of a project, used or not, whoever owns them.
    ///
    /// # Errors
    /// The listing failed, or was not whole.
    fn keys(&self, project: &str) -> Result<Vec<Row>, CallError>;

    /// What the API's clock said with its last answer, in seconds since 1970.
    fn time(&self) -> Option<i64>;

    /// The ids and names of a project's service accounts.
    ///
    /// # Errors
    /// The listing failed, or was not whole.
    fn accounts(&self, project: &str) -> Result<Vec<(String, String)>, CallError>;

    /// Makes a key on a service account, which may end by itself.
    ///
    /// # Errors
    /// See [`CallError`]: an unsure one may have made the key.
    fn create_key(
        &self,
        project: &str,
        account: &str,
        name: &str,
        scopes: &Scopes,
        expires_in: Option<Duration>,
    ) -> Result<Minted, CallError>;

    /// Makes a service account with a key, which may end by itself.
    ///
    /// # Errors
    /// See [`CallError`]: an unsure one may have made both.
    fn create_account(
        &self,
        project: &str,
        name: &str,
        expires_in: Option<Duration>,
    ) -> Result<Minted, CallError>;

    /// Lets a key end by itself, so long from now: it can't be taken back, and sent again the time
    /// begins anew.
    ///
    /// # Errors
    /// See [`CallError`]. A key that has ended can't be changed.
    fn expire_key(&self, project: &str, key: &str, time: Duration) -> Result<(), CallError>;

    /// Deletes a key.
    ///
    /// # Errors
    /// See [`CallError`].
    fn delete_key(&self, project: &str, key: &str) -> Result<(), CallError>;

    /// Deletes a service account and its keys.
    ///
    /// # Errors
    /// See [`CallError`].
    fn delete_account(&self, project: &str, account: &str) -> Result<(), CallError>;

    /// Asks with a key, for free.
    fn probe(&self, key: &Secret) -> Answer;

    /// What a key has done since a time in seconds since 1970.
    ///
    /// # Errors
    /// See [`CallError`].
    fn used(&self, project: &str, key: &str, since: i64) -> Result<Use, CallError>;

    /// Whether the audit log tells that the key was deleted; `None` if there is no such log.
    ///
    /// # Errors
    /// See [`CallError`].
    fn saw_deletion(&self, key: &str) -> Result<Option<bool>, CallError>;

    /// Whether the project is archived: then no key can be made in it.
    ///
    /// # Errors
    /// See [`CallError`].
    fn is_archived(&self, project: &str) -> Result<bool, CallError>;

    /// What a key may do, as the audit log tells of its creation; `None` if nothing does.
    ///
    /// # Errors
    /// See [`CallError`].
    fn scopes(&self, key: &str) -> Result<Option<Scopes>, CallError>;

    /// Whether a service account's key can be deleted without the account, and a key's end be set: both
    /// came with October 2026.
    ///
    /// # Errors
    /// See [`CallError`].
    fn changes_single_keys(&self, project: &str, key: &str) -> Result<bool, CallError>;
}
