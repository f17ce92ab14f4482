//! OpenAI's Admin API and the one call that tells whether a key lives: the only room that knows
//! their addresses. Typed answers of both generations of the API, pages with guards, pacing,
//! retries, and errors that say what was refused and whether it may have happened anyway.
//!
//! Facts: the official OpenAPI document of August 2026 and the SDKs' later calls. Unknown fields
//! and values are let pass; a missing field that something depends on is an error. Every text that
//! comes in is redacted before anybody sees it, since people name keys after themselves; only
//! [`NewKey::value`] is a key.

mod admin;
mod call;
mod error;
mod model;
mod observe;
mod pace;
mod pages;
mod probe;
mod spending;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

pub use self::admin::{Access, Admin, KeyChange, NewAccount, NewAccountKey};
pub use self::call::Service;
pub use self::error::{BadListing, Cause, Error, Refusal};
pub use self::model::*;
pub use self::observe::{AuditFilter, Capability, Period};
pub use self::pages::{Page, Pages, Row};
pub use self::probe::Probe;
pub use self::spending::{ModelPermissions, RateLimit, SpendLimit};
use crate::http::Address;
use crate::secret::Masked;

/// Where OpenAI is, unless somebody says otherwise.
pub const BASE: &str = "https://api.openai.com/v1";

/// Masks the keys in a text: [`crate::matcher::Matcher::redact`].
pub type Redact = Arc<dyn Fn(&[u8]) -> Masked + Send + Sync>;

/// How to deal with the API. What nobody documents is a setting.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The base address, see [`BASE`].
    pub base: Address,
    /// Requests to one endpoint of the Admin API within any minute; 0 is no limit. About 7 to 10
    /// were measured, without a header that would tell.
    pub per_minute: u32,
    /// Probes within any minute; 0 is no limit.
    pub probes_per_minute: u32,
    /// How often a request is sent before it counts as failed.
    pub attempts: u32,
    /// The longest pause that the server may ask for.
    pub longest_pause: Duration,
    /// Rows asked for at once: at most 100.
    pub page: u32,
    /// A listing of more pages than this never ends.
    pub most_pages: u32,
    /// Where the jitter starts.
    pub seed: u64,
}

impl Settings {
    /// The defaults, for this address.
    pub fn new(base: Address) -> Self {
        Self {
            base,
            per_minute: 7,
            probes_per_minute: 60,
            attempts: 6,
            longest_pause: Duration::from_secs(300),
            page: 100,
            most_pages: 1000,
            seed: 0,
        }
    }
}

/// What happens while a caller waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Nothing is sent for so long, since no more is allowed in a minute.
    Pacing(Duration),
    /// The server, or the network, is given time before the next attempt.
    Retrying {
        /// How long.
        pause: Duration,
        /// Attempts so far.
        attempts: u32,
    },
    /// A part of a longer work is done.
    Step {
        /// What is done, as in `projects listed`.
        what: &'static str,
        /// How many.
        done: u64,
        /// Of how many.
        total: u64,
        /// How long the rest takes at least, as the pacing has it.
        left: Duration,
    },
}

/// Who wants to hear [`News`].
pub trait Progress: Send + Sync {
    /// Hears it. Returns soon.
    fn tell(&self, news: News);
}

/// Nobody does.
impl Progress for () {
    fn tell(&self, _: News) {}
}
