//! The one call that uses a key of unknown fate: `GET /models`. It is free, and changes nothing but
//! the key's `last_used_at`.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::call::{Call, Service};
use super::error::{Error, Refusal};
use crate::http::Method;
use crate::secret::Secret;

/// A key that was let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The organisation, as a header names it.
    pub organisation: Option<String>,
    /// The project's id, as a header names it.
    pub project: Option<String>,
}

#[derive(Deserialize)]
struct Models {
    #[serde(rename = "data")]
    _data: Vec<IgnoredAny>,
}

impl Service {
    /// Asks for the list of models with this key: it goes to the configured address and nowhere
    /// else. No `OpenAI-…` header is sent, so nothing but the key decides.
    ///
    /// # Errors
    /// See [`Error`]; what a [`Refusal`] means for the key is `verify`'s to say. Answers that
    /// pass, such as a limit or trouble of the server, are waited out first.
    pub fn probe(&self, key: &Secret) -> Result<Probe, Error> {
        let reply = self.ask(&Call {
            asked: "probe the key",
            key,
            method: Method::Get,
            address: self.settings().base.join(["models"]),
            body: None,
            per_minute: self.settings().probes_per_minute,
        })?;
        self.read::<Models>(&reply)?;
        Ok(Probe {
            organisation: reply.names.organisation,
            project: reply.names.project,
        })
    }
}

impl Refusal {
    /// The project that a message names, as in "Project `proj_…` does not have access".
    pub fn named_project(&self) -> Option<String> {
        let text = self.message.text();
        let at = text.find("proj_")?;
        let rest = &text[at..];
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'));
        Some(rest[..end.unwrap_or(rest.len())].to_owned())
    }
}
