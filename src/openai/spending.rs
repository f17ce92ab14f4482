//! What a project may do: its limits and its models. They belong to the project, so that a new key
//! in the same project keeps them.

use serde::{Deserialize, Serialize};

use super::admin::Admin;
use super::error::Error;
use super::pages::Pages;
use crate::http::Method;

/// How much of a model a project may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimit {
    /// Its id.
    pub id: String,
    /// The model.
    pub model: String,
    /// Requests in a minute.
    #[serde(default)]
    pub max_requests_per_1_minute: Option<u64>,
    /// Tokens in a minute.
    #[serde(default)]
    pub max_tokens_per_1_minute: Option<u64>,
    /// Requests in a day.
    #[serde(default)]
    pub max_requests_per_1_day: Option<u64>,
}

/// What may be spent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpendLimit {
    /// How much, in hundredths of the currency.
    pub threshold_amount: u64,
    /// In what, such as `USD`.
    #[serde(default)]
    pub currency: Option<String>,
    /// In which time, such as `month`.
    #[serde(default)]
    pub interval: Option<String>,
    /// What is done about it.
    #[serde(default)]
    pub enforcement: Option<Enforcement>,
}

/// Whether a limit holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enforcement {
    /// `inactive`, `enforcing`, or what comes next.
    #[serde(default)]
    pub status: Option<String>,
}

/// Which models a project may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelPermissions {
    /// `allow_list`, `deny_list`, or what comes next.
    pub mode: String,
    /// The models.
    #[serde(default)]
    pub model_ids: Vec<String>,
}

impl ModelPermissions {
    /// Whether a model may be used; `None` if the mode is not one we know. A dated version of a
    /// listed model (`gpt-x-2026-01-31`) counts as the model.
    pub fn allows(&self, model: &str) -> Option<bool> {
        let is = |listed: &String| {
            model == listed
                || model
                    .strip_prefix(listed.as_str())
                    .and_then(|rest| rest.strip_prefix('-'))
                    .is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit() || b == b'-'))
        };
        let listed = self.model_ids.iter().any(is);
        match self.mode.as_str() {
            "allow_list" => Some(listed),
            "deny_list" => Some(!listed),
            _ => None,
        }
    }
}

impl Admin {
    /// The limits of a project, a row for each model.
    pub fn rate_limits(&self, project: &str) -> Pages<'_, RateLimit> {
        let address = self.at(["projects", project, "rate_limits"]);
        self.pages("list the rate limits", address)
    }

    /// Sets a model's limits; what is `None` stays.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn set_rate_limit(&self, project: &str, limit: &RateLimit) -> Result<(), Error> {
        let mut body = serde_json::Map::new();
        let numbers = [
            ("max_requests_per_1_minute", limit.max_requests_per_1_minute),
            ("max_tokens_per_1_minute", limit.max_tokens_per_1_minute),
            ("max_requests_per_1_day", limit.max_requests_per_1_day),
        ];
        for (name, number) in numbers {
            if let Some(number) = number {
                body.insert(name.to_owned(), number.into());
            }
        }
        let address = self.at(["projects", project, "rate_limits", &limit.id]);
        self.post("set a rate limit", address, body.into())?;
        Ok(())
    }

    /// Sets the most that a project may spend in a month, in US cents, at least 1; `None` takes
    /// the limit away.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn set_spend_limit(&self, project: &str, cents: Option<u64>) -> Result<(), Error> {
        let address = self.at(["projects", project, "spend_limit"]);
        match cents {
            Some(cents) => {
                let body = serde_json::json!({
                    "threshold_amount": cents, "currency": "USD", "interval": "month",
                });
                self.post("set the spend limit", address, body)?;
                Ok(())
            }
            None => match self.ask("take the spend limit away", Method::Delete, address, None) {
                Err(error) if error.is_not_found() => Ok(()),
                other => other.map(drop),
            },
        }
    }

    /// The spend limit of a project; `None` if it has none.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn spend_limit(&self, project: &str) -> Result<Option<SpendLimit>, Error> {
        let address = self.at(["projects", project, "spend_limit"]);
        or_none(self.get("read the spend limit", address))
    }

    /// The spend limit of the organisation; `None` if it has none.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn organisation_spend_limit(&self) -> Result<Option<SpendLimit>, Error> {
        let address = self.at(["spend_limit"]);
        or_none(self.get("read the organisation's spend limit", address))
    }

    /// The models that a project may use; `None` if it may use all.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn model_permissions(&self, project: &str) -> Result<Option<ModelPermissions>, Error> {
        let address = self.at(["projects", project, "model_permissions"]);
        or_none(self.get("read the allowed models", address))
    }
}

fn or_none<T>(found: Result<T, Error>) -> Result<Option<T>, Error> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}
