//! What can come of a request to OpenAI, other than an answer.

use crate::clock::Stopped;
use crate::http;
use crate::secret::Masked;

/// A request that brought no answer of use.
#[derive(Clone, Debug, thiserror::Error)]
#[error("can't {asked}: {cause}")]
pub struct Error {
    /// What was tried, as in `list the projects`.
    pub asked: &'static str,
    /// Why it failed.
    pub cause: Cause,
}

/// Why a request failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Cause {
    /// The exchange itself.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// OpenAI, or something between, said no.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// An answer came that is not what the API answers.
    #[error("the answer (status {status}) is not the API's: {why}")]
    NotUnderstood {
        /// The status.
        status: u16,
        /// What is wrong with it; never a part of it.
        why: String,
    },
    /// The pages of a listing make no listing.
    #[error("the listing can't be trusted: {0}")]
    Listing(BadListing),
    /// The run is to end.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// A listing that is no listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadListing {
    /// A cursor, or a whole page, came a second time.
    #[error("it goes in circles")]
    Circle,
    /// It says that there is more, and not where.
    #[error("it says that there is more, but not where")]
    NoCursor,
    /// More pages than any organisation has.
    #[error("it did not end after {0} pages")]
    Endless(u32),
}

/// An answer with a status of 400 and above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status.
    pub status: u16,
    /// `error.type`; `None` if it was null, or if the body is not the API's.
    pub kind: Option<String>,
    /// `error.code`, likewise.
    pub code: Option<String>,
    /// `error.message`, redacted; empty if the body is not the API's.
    pub message: Masked,
    /// Whether the body was the API's: a proxy, a portal or a gateway answers otherwise.
    pub is_api: bool,
    /// `x-request-id`, for a question to OpenAI's support.
    pub request_id: Option<Masked>,
    /// The organisation, if a header names it: then the key was known.
    pub organisation: Option<String>,
    /// The project's id, likewise.
    pub project: Option<String>,
    /// How often it was tried.
    pub attempts: u32,
}

impl Refusal {
    /// The code, or the type where there is no code.
    pub fn word(&self) -> &str {
        let word = self.code.as_deref().or(self.kind.as_deref());
        word.unwrap_or_default()
    }

    /// Whether a scope or a role is missing, and not the key itself.
    pub fn is_missing_permission(&self) -> bool {
        let text = self.message.text().to_ascii_lowercase();
        self.is_api
            && matches!(self.status, 401 | 403)
            && self.word() != "invalid_api_key"
            && (text.contains("missing scope")
                || text.contains("insufficient permission")
                || self.status == 403 && self.word().contains("permission"))
    }

    /// Whether there is no money: the key works, and gets nothing for it.
    pub fn is_out_of_money(&self) -> bool {
        const CODES: [&str; 5] = [
            "insufficient_quota",
            "credit_balance_exhausted",
            "organization_spend_limit_exceeded",
            "project_spend_limit_exceeded",
            "organization_usage_limit_exceeded",
        ];
        let has = |word: &Option<String>| word.as_deref().is_some_and(|w| CODES.contains(&w));
        self.is_api && self.status == 429 && (has(&self.kind) || has(&self.code))
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "status {}", self.status)?;
        match self.is_api {
            true => {
                let word = Masked::vouched(self.word());
                let space = if word.is_empty() { "" } else { " " };
                write!(f, "{space}{word}: {}", self.message)?;
            }
            false => f.write_str(", with a body that is not the API's: a proxy or a gateway?")?,
        }
        if self.attempts > 1 {
            write!(f, " (tried {} times)", self.attempts)?;
        }
        if let Some(id) = &self.request_id {
            write!(f, " [request {id}]")?;
        }
        Ok(())
    }
}

impl Error {
    /// The refusal, if it is one.
    pub fn refusal(&self) -> Option<&Refusal> {
        match &self.cause {
            Cause::Refused(refusal) => Some(refusal.as_ref()),
            _ => None,
        }
    }

    /// Whether what was asked for may have been done although this error came: the answer was
    /// lost, or came from a server in trouble. After a create: list again, by the name.
    pub fn may_have_happened(&self) -> bool {
        match &self.cause {
            Cause::Http(error) => error.may_have_arrived,
            Cause::Refused(refusal) => refusal.status >= 500,
            Cause::NotUnderstood { status, .. } => *status < 400,
            Cause::Listing(_) | Cause::Stopped(_) => false,
        }
    }

    /// Whether the API says that there is no such thing.
    pub fn is_not_found(&self) -> bool {
        self.refusal().is_some_and(|r| r.is_api && r.status == 404)
    }

    /// Whether the key that asked is not accepted at all: it was revoked, or never was one.
    pub fn is_key_refused(&self) -> bool {
        self.refusal().is_some_and(|refusal| {
            refusal.is_api && refusal.status == 401 && !refusal.is_missing_permission()
        })
    }

    /// Whether the run is to end.
    pub fn is_stopped(&self) -> bool {
        matches!(self.cause, Cause::Stopped(_))
    }
}
