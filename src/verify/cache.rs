//! Listings on disk, so that a thousand projects are not listed for every run, and so that a listing
//! that was cut short goes on where it was. They hold what the API lists, redacted: masked forms,
//! ids, names, no key. Only the owner may read them, since they say who has which key.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::openai::{AdminKey, ApiKey, Project};

/// The name and version of the form: another one is not read.
const SCHEMA: &str = "skewer.listing/1";

/// A listing, or as much of it as there is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Part<T> {
    /// When it was begun, in seconds since 1970.
    pub(super) at: i64,
    /// What came so far.
    pub(super) rows: Vec<T>,
    /// Where it goes on.
    pub(super) next: Option<String>,
    /// Whether that is all.
    pub(super) whole: bool,
}

impl<T> Part<T> {
    pub(super) fn begun(at: i64) -> Self {
        Self {
            at,
            rows: Vec::new(),
            next: None,
            whole: false,
        }
    }
}

/// All that is known of an organisation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Stock {
    schema: String,
    /// The address that was asked.
    base: String,
    /// As headers name it.
    pub(super) organisation: Option<String>,
    pub(super) projects: Option<Part<Project>>,
    pub(super) admin_keys: Option<Part<AdminKey>>,
    /// By the project's id.
    pub(super) keys: BTreeMap<String, Part<ApiKey>>,
    /// Whether the API refused to be asked for all keys.
    pub(super) unsaid: bool,
}

impl Stock {
    pub(super) fn empty(base: &str) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            base: base.to_owned(),
            organisation: None,
            projects: None,
            admin_keys: None,
            keys: BTreeMap::new(),
            unsaid: false,
        }
    }

    /// Forgets what is older than `oldest`, and what comes from the future: a clock was wrong.
    pub(super) fn forget(&mut self, oldest: i64, now: i64) {
        let fresh = |at: i64| (oldest..=now).contains(&at);
        self.projects = self.projects.take().filter(|part| fresh(part.at));
        self.admin_keys = self.admin_keys.take().filter(|part| fresh(part.at));
        self.keys.retain(|_, part| fresh(part.at));
    }

    /// When its oldest part was begun.
    pub(super) fn oldest(&self) -> Option<i64> {
        let projects = self.projects.iter().map(|part| part.at);
        let admin = self.admin_keys.iter().map(|part| part.at);
        let keys = self.keys.values().map(|part| part.at);
        projects.chain(admin).chain(keys).min()
    }
}

/// Reads a stock of this address. What can't be read, or is of another form, is none: it is a cache.
pub(super) fn load(path: &Path, base: &str) -> Stock {
    let read = std::fs::read(path).ok();
    let stock: Option<Stock> = read.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    stock
        .filter(|stock| stock.schema == SCHEMA && stock.base == base)
        .unwrap_or_else(|| Stock::empty(base))
}

/// Writes a stock. It takes the old one's place when it is whole; only its owner may read it.
pub(super) fn save(path: &Path, stock: &Stock) -> io::Result<()> {
    let directory = path.parent().map_or_else(PathBuf::new, Path::to_owned);
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(&directory)?;
    // A temporary file is its owner's alone, and stays so.
    let mut file = tempfile::NamedTempFile::new_in(&directory)?;
    file.write_all(&serde_json::to_vec(stock)?)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}
