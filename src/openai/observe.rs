//! What happened: the audit log, usage and costs. All of it lags, nobody says by how much.

use std::collections::HashSet;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::admin::Admin;
use super::error::{BadListing, Cause, Error};
use super::model::{AuditEvent, Bucket, Cost, Usage};
use super::pages::Pages;
use crate::http::Address;

/// Which events of the audit log; empty lists and `None` don't restrict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter<'a> {
    /// Kinds, such as `api_key.deleted`.
    pub kinds: &'a [&'a str],
    /// What it happened to: ids of keys, projects, accounts.
    pub resources: &'a [&'a str],
    /// Who did it: ids of users, accounts, keys.
    pub actors: &'a [&'a str],
    /// In which projects.
    pub projects: &'a [&'a str],
    /// From when on, in seconds since 1970.
    pub since: Option<i64>,
}

/// What can be used, each with usage of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Capability {
    /// Text, by far the most.
    Completions,
    /// Embeddings.
    Embeddings,
    /// Moderations.
    Moderations,
    /// Images.
    Images,
    /// Speech made.
    AudioSpeeches,
    /// Speech written down.
    AudioTranscriptions,
    /// Searches in files.
    FileSearchCalls,
    /// Searches in the web.
    WebSearchCalls,
    /// Vector stores; the API doesn't say of which key.
    VectorStores,
    /// Sessions of the code interpreter; the API doesn't say of which key.
    CodeInterpreterSessions,
}

impl Capability {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Completions,
        Self::Embeddings,
        Self::Moderations,
        Self::Images,
        Self::AudioSpeeches,
        Self::AudioTranscriptions,
        Self::FileSearchCalls,
        Self::WebSearchCalls,
        Self::VectorStores,
        Self::CodeInterpreterSessions,
    ];

    /// Its name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completions => "completions",
            Self::Embeddings => "embeddings",
            Self::Moderations => "moderations",
            Self::Images => "images",
            Self::AudioSpeeches => "audio_speeches",
            Self::AudioTranscriptions => "audio_transcriptions",
            Self::FileSearchCalls => "file_search_calls",
            Self::WebSearchCalls => "web_search_calls",
            Self::VectorStores => "vector_stores",
            Self::CodeInterpreterSessions => "code_interpreter_sessions",
        }
    }

    /// Whether usage can be told apart by key.
    pub fn by_key(self) -> bool {
        !matches!(self, Self::VectorStores | Self::CodeInterpreterSessions)
    }

    /// Whether usage can be told apart by model.
    pub fn by_model(self) -> bool {
        self.by_key() && self != Self::FileSearchCalls
    }

    /// What is paced together: each capability is an endpoint.
    fn asked(self) -> &'static str {
        match self {
            Self::Completions => "read the usage of completions",
            Self::Embeddings => "read the usage of embeddings",
            Self::Moderations => "read the usage of moderations",
            Self::Images => "read the usage of images",
            Self::AudioSpeeches => "read the usage of speech",
            Self::AudioTranscriptions => "read the usage of transcriptions",
            Self::FileSearchCalls => "read the usage of file searches",
            Self::WebSearchCalls => "read the usage of web searches",
            Self::VectorStores => "read the usage of vector stores",
            Self::CodeInterpreterSessions => "read the usage of code interpreters",
        }
    }
}

/// A span of time, cut into buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// Its beginning, in seconds since 1970.
    pub from: i64,
    /// Its end, which is not in it; `None`: now.
    pub to: Option<i64>,
    /// How long a bucket is: a day, an hour or a minute, whichever is nearest below.
    pub bucket: std::time::Duration,
}

impl Period {
    /// The width's name, and how many buckets a page may have.
    fn width(self) -> (&'static str, u32) {
        match self.bucket.as_secs() {
            0..3600 => ("1m", 1440),
            3600..86_400 => ("1h", 168),
            _ => ("1d", 31),
        }
    }
}

#[derive(Deserialize)]
struct BucketsWire<T> {
    data: Vec<Bucket<T>>,
    has_more: bool,
    #[serde(default)]
    next_page: Option<String>,
}

/// Arrays, as the SDKs write them.
fn all(address: Address, name: &str, values: &[&str]) -> Address {
    let name = format!("{name}[]");
    values
        .iter()
        .fold(address, |address, value| address.query(&name, value))
}

impl Admin {
    /// Events of the audit log, the newest first. It has to be switched on for the organisation;
    /// until then it is empty or refused.
    pub fn audit_log(&self, filter: &AuditFilter<'_>) -> Pages<'_, AuditEvent> {
        let mut address = self.at(["audit_logs"]);
        address = all(address, "event_types", filter.kinds);
        address = all(address, "resource_ids", filter.resources);
        address = all(address, "actor_ids", filter.actors);
        address = all(address, "project_ids", filter.projects);
        if let Some(since) = filter.since {
            address = address.query("effective_at[gte]", &since.to_string());
        }
        self.pages("read the audit log", address)
    }

    /// What these keys (none: all) used of one capability, by key and model where the API knows.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn usage(
        &self,
        capability: Capability,
        period: Period,
        keys: &[&str],
    ) -> Result<Vec<Bucket<Usage>>, Error> {
        let (width, most) = period.width();
        let mut address = self
            .at(["usage", capability.as_str()])
            .query("bucket_width", width);
        let mut groups = vec!["project_id"];
        if capability.by_key() {
            address = all(address, "api_key_ids", keys);
            groups.push("api_key_id");
        }
        if capability.by_model() {
            groups.push("model");
        }
        address = all(address, "group_by", &groups);
        self.buckets(capability.asked(), address, period, most)
    }

    /// What these keys (none: all) cost, by day, key and line of the bill. Buckets are days,
    /// whatever the period says.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn costs(&self, period: Period, keys: &[&str]) -> Result<Vec<Bucket<Cost>>, Error> {
        let address = self.at(["costs"]).query("bucket_width", "1d");
        let address = all(address, "api_key_ids", keys);
        let groups = ["project_id", "line_item", "api_key_id"];
        let address = all(address, "group_by", &groups);
        self.buckets("read the costs", address, period, 180)
    }

    fn buckets<T: DeserializeOwned>(
        &self,
        asked: &'static str,
        address: Address,
        period: Period,
        most: u32,
    ) -> Result<Vec<Bucket<T>>, Error> {
        let bad = |what| Error {
            asked,
            cause: Cause::Listing(what),
        };
        let mut address = address
            .query("start_time", &period.from.to_string())
            .query("limit", &most.to_string());
        if let Some(to) = period.to {
            address = address.query("end_time", &to.to_string());
        }
        let most_pages = self.service().settings().most_pages;
        let mut found = Vec::new();
        let mut seen = HashSet::new();
        let mut at = address.clone();
        for _ in 0..most_pages {
            let page: BucketsWire<T> = self.get(asked, at)?;
            found.extend(page.data);
            match (page.has_more, page.next_page) {
                (false, _) => return Ok(found),
                (true, None) => return Err(bad(BadListing::NoCursor)),
                (true, Some(next)) => {
                    at = address.clone().query("page", &next);
                    if !seen.insert(next) {
                        return Err(bad(BadListing::Circle));
                    }
                }
            }
        }
        Err(bad(BadListing::Endless(most_pages)))
    }
}
