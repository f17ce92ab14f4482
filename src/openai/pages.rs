//! Listings, page by page. A listing that goes in circles, or never ends, is an error, and one that
//! says it is over although its last page was full is asked once more: "not in this organisation"
//! hangs on it.

use std::collections::HashSet;

use serde::Deserialize;

use super::error::{BadListing, Cause, Error};
use super::model::{AdminKey, ApiKey, AuditEvent, Project, ServiceAccount, User};
use super::spending::RateLimit;

/// What has an id that pages go by: every kind of row the API lists.
pub trait Row {
    /// The id.
    fn id(&self) -> &str;
}

macro_rules! rows {
    ($($kind:ty),+ $(,)?) => {$(
        impl Row for $kind {
            fn id(&self) -> &str {
                &self.id
            }
        }
    )+};
}

rows!(
    Project,
    ApiKey,
    AdminKey,
    ServiceAccount,
    User,
    AuditEvent,
    RateLimit
);

/// A page as it comes in. `has_more` is not optional: without it nobody knows whether it is whole.
#[derive(Deserialize)]
pub(super) struct PageWire<T> {
    data: Vec<T>,
    has_more: bool,
    #[serde(default)]
    last_id: Option<String>,
}

/// A part of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows, none of which stood in an earlier page.
    pub rows: Vec<T>,
    /// Where a later run may go on; `None` behind the last page.
    pub next: Option<String>,
}

type Fetch<'a, T> = Box<dyn Fn(Option<&str>) -> Result<PageWire<T>, Error> + 'a>;

/// A listing that is read page by page. It ends with `None`, or with an error.
pub struct Pages<'a, T> {
    asked: &'static str,
    fetch: Fetch<'a, T>,
    /// How many rows a full page has.
    full: usize,
    most: u32,
    read: u32,
    after: Option<String>,
    seen: HashSet<String>,
    over: bool,
}

impl<'a, T> Pages<'a, T> {
    pub(super) fn new(asked: &'static str, full: u32, most: u32, fetch: Fetch<'a, T>) -> Self {
        Self {
            asked,
            fetch,
            full: full as usize,
            most,
            read: 0,
            after: None,
            seen: HashSet::new(),
            over: false,
        }
    }

    /// Goes on behind a [`Page::next`] of an earlier run.
    #[must_use]
    pub fn resume(mut self, after: Option<String>) -> Self {
        self.after = after;
        self
    }
}

impl<T: Row> Pages<'_, T> {
    /// All rows.
    ///
    /// # Errors
    /// What the first page that failed says; what was read before is lost.
    pub fn all(self) -> Result<Vec<T>, Error> {
        let mut all = Vec::new();
        for page in self {
            all.extend(page?.rows);
        }
        Ok(all)
    }

    fn page(&mut self) -> Result<Page<T>, Error> {
        let bad = |what| Error {
            asked: self.asked,
            cause: Cause::Listing(what),
        };
        if self.read == self.most {
            return Err(bad(BadListing::Endless(self.most)));
        }
        self.read += 1;
        let PageWire {
            data,
            has_more,
            last_id,
        } = (self.fetch)(self.after.as_deref())?;
        let came = data.len();
        let last = last_id.or_else(|| data.last().map(|row| row.id().to_owned()));
        let new = |row: &T| self.seen.insert(row.id().to_owned());
        let rows: Vec<T> = data.into_iter().filter(new).collect();
        let next = match last {
            // A full page may be the last one by chance, or by a lie.
            Some(last) if has_more || came >= self.full => {
                if self.after.as_ref() == Some(&last) || rows.is_empty() && came > 0 {
                    return Err(bad(BadListing::Circle));
                }
                Some(last)
            }
            None if has_more => return Err(bad(BadListing::NoCursor)),
            _ => None,
        };
        if next.is_some() && came == 0 {
            return Err(bad(BadListing::NoCursor));
        }
        Ok(Page { rows, next })
    }
}

impl<T: Row> Iterator for Pages<'_, T> {
    type Item = Result<Page<T>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let page = self.page();
        match &page {
            Ok(Page { next, .. }) => {
                self.over = next.is_none();
                self.after.clone_from(next);
            }
            Err(_) => self.over = true,
        }
        Some(page)
    }
}
