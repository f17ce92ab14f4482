//! Containment: a project's limits are lowered at once, so that a leaked key does little until it
//! is gone. What they were is in the journal before the first is touched, and is given back.

use rusqlite::{OptionalExtension, params};
use serde::{Deserialize, Serialize};

use super::journal::{Journal, JournalError};
use crate::openai::{Admin, Error, RateLimit};

/// What a project's limits were.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// By model.
    pub rates: Vec<RateLimit>,
    /// In US cents a month; none if there was none.
    pub spend: Option<u64>,
}

/// To what they are lowered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ceiling {
    /// Requests a minute for each model.
    pub requests: u64,
    /// Tokens a minute for each model.
    pub tokens: u64,
    /// US cents a month.
    pub cents: u64,
}

impl Default for Ceiling {
    /// The least that the API takes.
    fn default() -> Self {
        Self {
            requests: 1,
            tokens: 1,
            cents: 1,
        }
    }
}

/// Why a project is not contained, or not restored.
#[derive(Debug, thiserror::Error)]
pub enum ContainError {
    /// The journal failed, so nothing more was changed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The API failed; what was changed before is in the journal.
    #[error("{0}; what the limits were is in the journal: run it again, or restore them")]
    Api(#[from] Error),
    /// Nothing to give back.
    #[error("project {0} is not contained, as far as this journal knows")]
    NotContained(String),
}

impl Limits {
    /// What they are now.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn of(admin: &Admin, project: &str) -> Result<Self, Error> {
        let spend = admin.spend_limit(project)?;
        Ok(Self {
            rates: admin.rate_limits(project).all()?,
            spend: spend.map(|limit| limit.threshold_amount),
        })
    }

    /// What they become under a ceiling: nothing is raised.
    pub fn under(&self, ceiling: Ceiling) -> Self {
        let lower = |limit: &RateLimit| RateLimit {
            max_requests_per_1_minute: limit
                .max_requests_per_1_minute
                .map(|n| n.min(ceiling.requests)),
            max_tokens_per_1_minute: limit.max_tokens_per_1_minute.map(|n| n.min(ceiling.tokens)),
            ..limit.clone()
        };
        Self {
            rates: self.rates.iter().map(lower).collect(),
            spend: Some(self.spend.map_or(ceiling.cents, |n| n.min(ceiling.cents))),
        }
    }

    fn set(&self, admin: &Admin, project: &str, now: &Self) -> Result<(), Error> {
        // Money first: one call stops most of the damage.
        if self.spend != now.spend {
            admin.set_spend_limit(project, self.spend)?;
        }
        for limit in self.rates.iter().filter(|limit| !now.rates.contains(limit)) {
            admin.set_rate_limit(project, limit)?;
        }
        Ok(())
    }
}

/// Lowers a project's limits. Done again, it goes on where it was cut off, and what the limits
/// were before the first time is kept.
///
/// # Errors
/// See [`ContainError`].
pub fn contain(
    journal: &mut Journal,
    admin: &Admin,
    project: &str,
    ceiling: Ceiling,
    at: i64,
) -> Result<Limits, ContainError> {
    let now = Limits::of(admin, project)?;
    let before = match journal.contained(project)? {
        Some(before) => before,
        None => {
            journal.keep_limits(project, &now, at)?;
            now.clone()
        }
    };
    before.under(ceiling).set(admin, project, &now)?;
    Ok(before)
}

/// Gives a project the limits back that it had.
///
/// # Errors
/// See [`ContainError`].
pub fn restore(
    journal: &mut Journal,
    admin: &Admin,
    project: &str,
) -> Result<Limits, ContainError> {
    let before = journal
        .contained(project)?
        .ok_or_else(|| ContainError::NotContained(project.to_owned()))?;
    before.set(admin, project, &Limits::of(admin, project)?)?;
    journal.forget_limits(project)?;
    Ok(before)
}

impl Journal {
    /// The limits that a contained project had before.
    ///
    /// # Errors
    /// The journal can't be read.
    pub fn contained(&self, project: &str) -> Result<Option<Limits>, JournalError> {
        let found: Option<String> = self
            .connection
            .query_row(
                "SELECT limits FROM containment WHERE project = ?1 AND restored = 0",
                [project],
                |row| row.get(0),
            )
            .optional()?;
        Ok(found.map(|text| serde_json::from_str(&text)).transpose()?)
    }

    fn keep_limits(&mut self, project: &str, limits: &Limits, at: i64) -> Result<(), JournalError> {
        self.connection.execute(
            "INSERT INTO containment (project, at, limits) VALUES (?1, ?2, ?3)",
            params![project, at, serde_json::to_string(limits)?],
        )?;
        Ok(())
    }

    fn forget_limits(&mut self, project: &str) -> Result<(), JournalError> {
        self.connection.execute(
            "UPDATE containment SET restored = 1 WHERE project = ?1",
            [project],
        )?;
        Ok(())
    }
}
