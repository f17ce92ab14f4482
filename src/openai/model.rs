//! What the API answers with. Only what is used is read; texts are redacted already. Times are
//! seconds since 1970.

use std::collections::BTreeMap;

use serde::de::{Deserializer, Error as _, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::secret::Secret;

/// A project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// Its id.
    pub id: String,
    /// Its name.
    #[serde(default)]
    pub name: Option<String>,
    /// When it was made.
    #[serde(default)]
    pub created_at: Option<i64>,
    /// When it was archived, if it was.
    #[serde(default)]
    pub archived_at: Option<i64>,
    /// `active`, `archived`, or what comes next.
    #[serde(default)]
    pub status: Option<String>,
}

impl Project {
    /// Whether it was archived: its keys work no more, and no new ones can be made.
    pub fn is_archived(&self) -> bool {
        self.archived_at.is_some() || self.status.as_deref() == Some("archived")
    }
}

/// A key of a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// Its id.
    pub id: String,
    /// Its name.
    #[serde(default)]
    pub name: Option<String>,
    /// Its masked form.
    #[serde(default)]
    pub redacted_value: Option<String>,
    /// When it was made.
    #[serde(default)]
    pub created_at: Option<i64>,
    /// When it was last used; `None`: never.
    #[serde(default)]
    pub last_used_at: Option<i64>,
    /// When it ends; `None`: never, or an API of before September 2026.
    #[serde(default)]
    pub expires_at: Option<i64>,
    /// Whether its owner still has access to the project: `active`, `inactive`. `None`: an API of
    /// before July 2026.
    #[serde(default)]
    pub owner_project_access: Option<String>,
    /// Whose it is.
    #[serde(default)]
    pub owner: Option<KeyOwner>,
}

/// Whose a project's key is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyOwner {
    /// `user`, `service_account`, or what comes next.
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    /// The user, if it is one.
    #[serde(default)]
    pub user: Option<Person>,
    /// The service account, if it is one.
    #[serde(default)]
    pub service_account: Option<Person>,
}

impl KeyOwner {
    /// The user or the service account.
    pub fn person(&self) -> Option<&Person> {
        self.service_account.as_ref().or(self.user.as_ref())
    }

    /// Whether it is a service account.
    pub fn is_service_account(&self) -> bool {
        match self.kind.as_deref() {
            Some(kind) => kind == "service_account",
            None => self.service_account.is_some(),
        }
    }
}

/// A user or a service account, as far as a key tells of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// The id. It doesn't tell what it is: a service account's may look like a user's.
    #[serde(default)]
    pub id: Option<String>,
    /// The name.
    #[serde(default)]
    pub name: Option<String>,
    /// The address, of a user.
    #[serde(default)]
    pub email: Option<String>,
    /// The role.
    #[serde(default)]
    pub role: Option<String>,
    /// `user`, `service_account`: admin keys tell it here.
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
}

/// A key of the organisation's administration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdminKey {
    /// Its id.
    pub id: String,
    /// Its name.
    #[serde(default)]
    pub name: Option<String>,
    /// Its masked form.
    #[serde(default)]
    pub redacted_value: Option<String>,
    /// When it was made.
    #[serde(default)]
    pub created_at: Option<i64>,
    /// When it was last used; `None`: never.
    #[serde(default)]
    pub last_used_at: Option<i64>,
    /// When it ends; `None`: never.
    #[serde(default)]
    pub expires_at: Option<i64>,
    /// Whose it is.
    #[serde(default)]
    pub owner: Option<Person>,
}

/// A key that was just made: the only time that its value is told.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// Its id.
    pub id: String,
    /// The key.
    pub value: Secret,
    /// Its name.
    pub name: Option<String>,
    /// When it was made.
    pub created_at: Option<i64>,
    /// When it ends, if the answer says so.
    pub expires_at: Option<i64>,
}

/// [`NewKey`] as it comes in. The value goes straight into a [`Secret`].
#[derive(Deserialize)]
pub(super) struct NewKeyWire {
    id: String,
    value: KeyValue,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    created_at: Option<i64>,
    #[serde(default)]
    expires_at: Option<i64>,
}

impl From<NewKeyWire> for NewKey {
    fn from(wire: NewKeyWire) -> Self {
        Self {
            id: wire.id,
            value: wire.value.0,
            name: wire.name,
            created_at: wire.created_at,
            expires_at: wire.expires_at,
        }
    }
}

struct KeyValue(Secret);

impl<'de> Deserialize<'de> for KeyValue {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = KeyValue;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a key")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<KeyValue, E> {
                match text.is_empty() {
                    true => Err(E::custom("the key is empty")),
                    false => Ok(KeyValue(Secret::new(text.as_bytes().to_vec()))),
                }
            }
        }
        from.deserialize_str(Text)
    }
}

/// A service account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceAccount {
    /// Its id.
    pub id: String,
    /// Its name.
    #[serde(default)]
    pub name: Option<String>,
    /// `owner`, `member`, `none`, or what comes next.
    #[serde(default)]
    pub role: Option<String>,
    /// When it was made.
    #[serde(default)]
    pub created_at: Option<i64>,
}

/// A service account that was just made, and its first key, unless none was wanted.
#[derive(Clone, Debug)]
pub struct NewServiceAccount {
    /// The account.
    pub account: ServiceAccount,
    /// Its key.
    pub key: Option<NewKey>,
}

/// The key alone: `flatten` would keep a copy of everything it reads.
#[derive(Deserialize)]
struct ItsKeyWire {
    #[serde(default)]
    api_key: Option<NewKeyWire>,
}

impl NewServiceAccount {
    pub(super) fn read(body: &[u8]) -> Result<Self, serde_json::Error> {
        let key: ItsKeyWire = serde_json::from_slice(body)?;
        let account: ServiceAccount = serde_json::from_slice(body)?;
        Ok(Self {
            account,
            key: key.api_key.map(NewKey::from),
        })
    }
}

/// What the API says of something that was to be deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deleted {
    /// Its id.
    pub id: String,
    /// Whether it is.
    pub deleted: bool,
}

/// A user of the organisation or of a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The id.
    pub id: String,
    /// The name.
    #[serde(default)]
    pub name: Option<String>,
    /// The address.
    #[serde(default)]
    pub email: Option<String>,
    /// `owner`, `reader`, `member`, or what comes next.
    #[serde(default)]
    pub role: Option<String>,
    /// When the user came.
    #[serde(default)]
    pub added_at: Option<i64>,
}

/// An event of the audit log.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct AuditEvent {
    /// Its id.
    pub id: String,
    /// What happened, such as `api_key.created`.
    #[serde(rename = "type")]
    pub kind: String,
    /// When.
    pub effective_at: i64,
    /// Who did it.
    #[serde(default)]
    pub actor: Option<AuditActor>,
    /// Everything else; the details stand under the event's kind.
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

impl AuditEvent {
    fn details(&self) -> Option<&Value> {
        self.rest.get(&self.kind)
    }

    /// The id of what it happened to.
    pub fn resource(&self) -> Option<&str> {
        self.details()?.get("id")?.as_str()
    }

    /// The scopes that a key was made with, or given later.
    pub fn scopes(&self) -> Option<Vec<String>> {
        let details = self.details()?;
        let payload = details.get("data").or(details.get("changes_requested"))?;
        let scopes = payload.get("scopes")?.as_array()?;
        Some(
            scopes
                .iter()
                .filter_map(|s| Some(s.as_str()?.to_owned()))
                .collect(),
        )
    }

    /// The project that it belongs to.
    pub fn project(&self) -> Option<&str> {
        self.rest.get("project")?.get("id")?.as_str()
    }
}

/// Who did what the audit log tells.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct AuditActor {
    /// `session`, `api_key`, or what comes next.
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    /// The session, for a person at the dashboard.
    #[serde(default)]
    session: Option<Value>,
    /// The key that did it.
    #[serde(default)]
    api_key: Option<Value>,
}

impl AuditActor {
    /// The id of the key that acted, if a key did.
    pub fn key(&self) -> Option<&str> {
        self.api_key.as_ref()?.get("id")?.as_str()
    }

    /// The person, as an address or an id.
    pub fn person(&self) -> Option<&str> {
        let whole = self.session.as_ref().or(self.api_key.as_ref())?;
        let user = whole.get("user").or(whole.get("service_account"))?;
        user.get("email").or(user.get("id"))?.as_str()
    }

    /// The network address that it came from.
    pub fn address(&self) -> Option<&str> {
        self.session.as_ref()?.get("ip_address")?.as_str()
    }
}

/// What was used in a span of time.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Bucket<T> {
    /// Its beginning.
    pub start_time: i64,
    /// Its end, which is not in it.
    pub end_time: i64,
    /// What was used, by the groups that were asked for.
    #[serde(default = "Vec::new", alias = "result")]
    pub results: Vec<T>,
}

/// What was used of one capability. Which numbers there are depends on the capability.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// The project.
    pub project_id: Option<String>,
    /// The key.
    pub api_key_id: Option<String>,
    /// The model.
    pub model: Option<String>,
    /// Calls of a model.
    pub num_model_requests: Option<u64>,
    /// Calls of a tool: searches in files or in the web.
    pub num_requests: Option<u64>,
    /// Sessions of the code interpreter.
    pub num_sessions: Option<u64>,
    /// Tokens sent.
    pub input_tokens: Option<u64>,
    /// Tokens received.
    pub output_tokens: Option<u64>,
    /// Images made.
    pub images: Option<u64>,
    /// Characters spoken.
    pub characters: Option<u64>,
    /// Seconds of audio written down.
    pub seconds: Option<u64>,
}

impl Usage {
    /// Requests of any kind.
    pub fn requests(&self) -> u64 {
        let each = [
            self.num_model_requests,
            self.num_requests,
            self.num_sessions,
        ];
        each.into_iter().flatten().max().unwrap_or(0)
    }
}

/// What was spent.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Cost {
    /// How much.
    pub amount: Option<Amount>,
    /// For what, such as `gpt-4o-mini, input`.
    pub line_item: Option<String>,
    /// The project.
    pub project_id: Option<String>,
    /// The key.
    pub api_key_id: Option<String>,
}

/// An amount of money.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Amount {
    /// How much. Some answers have it as a text.
    #[serde(deserialize_with = "number")]
    pub value: f64,
    /// In what, such as `usd`.
    #[serde(default)]
    pub currency: Option<String>,
}

fn number<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    let value = Value::deserialize(from)?;
    let number = match &value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    let finite = number.filter(|number| number.is_finite());
    finite.ok_or_else(|| D::Error::custom("an amount that is no number"))
}
