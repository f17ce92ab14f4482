//! The journal: every intent before the act, every outcome after it, in SQLite in the user's own
//! state directory. It holds no key. What is not in it has not happened, as far as anyone can
//! say later, so an entry is on the disk before the next call is made.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::act::{Act, Entry, Phase};
use super::plan::Plan;
use crate::secret::Fingerprint;

/// What went wrong with the journal. Nothing is done that it can't record.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file or its directory can't be used.
    #[error("can't open the journal {path}: {why}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// SQLite failed.
    #[error("the journal can't be written or read: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// What is in it is not ours, or from a newer version.
    #[error("the journal holds what this version does not understand: {0}")]
    Content(#[from] serde_json::Error),
    /// There is a rotation of this key that has not ended.
    #[error("rotation {0} of this key has not ended")]
    Running(String),
    /// A rotation that would start by itself waits for another one's end.
    #[error("rotation {0} has not ended, and those that start by themselves go one at a time")]
    OneAtATime(String),
    /// Enough has started by itself.
    #[error(
        "{0} started by themselves within the last 24 hours, and the policy allows no more (`a-day`)"
    )]
    Limit(u32),
    /// Another process on this machine works on the same rotation.
    #[error("another process works on rotation {0} just now; wait for it, or stop it")]
    Busy(String),
    /// There is no such rotation.
    #[error("no rotation {0} in this journal")]
    Unknown(String),
    /// For tests: the process died here.
    #[error("killed")]
    Killed,
}

/// A rotation as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Its plan.
    pub plan: Plan,
    /// When it was begun, in seconds since 1970.
    pub begun: i64,
    /// Its entries, in order.
    pub entries: Vec<Entry>,
}

/// Held while a process works on a rotation. The file stays: removing it would let a third process
/// lock a new one while a second waits for the old.
pub(super) struct Claim(#[allow(dead_code)] fs::File);

/// The journal of one machine, or of one CI project.
pub struct Journal {
    pub(super) connection: Connection,
    path: Option<PathBuf>,
    #[cfg(test)]
    pub(super) dies_at: Option<u64>,
    #[cfg(test)]
    pub(super) written: u64,
}

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS rotation (
    id TEXT PRIMARY KEY,
    key TEXT NOT NULL,
    begun INTEGER NOT NULL,
    plan TEXT NOT NULL,
    closed INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS one_at_a_time ON rotation (key) WHERE closed = 0;
CREATE TABLE IF NOT EXISTS entry (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    rotation TEXT NOT NULL REFERENCES rotation (id),
    at INTEGER NOT NULL,
    act TEXT NOT NULL,
    phase TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS entries ON entry (rotation, number);
CREATE TABLE IF NOT EXISTS containment (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    project TEXT NOT NULL,
    at INTEGER NOT NULL,
    limits TEXT NOT NULL,
    restored INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE IF NOT EXISTS automatic (
    rotation TEXT PRIMARY KEY REFERENCES rotation (id),
    at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS one_state_before ON containment (project) WHERE restored = 0;
";

/// The seconds of the day to which starts are limited.
const A_DAY: i64 = 24 * 60 * 60;

/// The layout of the tables; a file with another number is not touched.
const VERSION: i64 = 1;

impl Journal {
    /// Opens the journal, and makes it (for this user only) if there is none.
    ///
    /// # Errors
    /// The file can't be made or read, or a newer version wrote it.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let fail = |why: String| JournalError::Open {
            path: path.to_owned(),
            why,
        };
        if let Some(directory) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
            make_private(directory).map_err(|error| fail(error.to_string()))?;
        }
        let fresh = !path.exists();
        let connection = Connection::open(path).map_err(|error| fail(error.to_string()))?;
        if fresh {
            only_ours(path).map_err(|error| fail(error.to_string()))?;
        }
        let mut journal = Self::prepare(connection).map_err(|error| match error {
            JournalError::Sqlite(error) => fail(error.to_string()),
            other => other,
        })?;
        journal.path = Some(path.to_owned());
        Ok(journal)
    }

    /// Makes sure that no other process works on a rotation, until what is returned is dropped or
    /// the process ends.
    pub(super) fn claim(&self, id: &str) -> Result<Option<Claim>, JournalError> {
        let Some(path) = &self.path else {
            return Ok(None);
        };
        let mut name = path.clone().into_os_string();
        name.push(format!(".{id}.lock"));
        let fail = |error: std::io::Error| JournalError::Open {
            path: PathBuf::from(&name),
            why: error.to_string(),
        };
        let file = fs::File::create(&name).map_err(fail)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Claim(file))),
            Err(fs::TryLockError::WouldBlock) => Err(JournalError::Busy(id.to_owned())),
            Err(fs::TryLockError::Error(error)) => Err(fail(error)),
        }
    }

    /// A journal that is gone with the process, for drills.
    ///
    /// # Errors
    /// SQLite failed.
    pub fn in_memory() -> Result<Self, JournalError> {
        Self::prepare(Connection::open_in_memory()?)
    }

    fn prepare(connection: Connection) -> Result<Self, JournalError> {
        connection.busy_timeout(std::time::Duration::from_secs(10))?;
        // On the disk before the next call: a power cut must not unwrite an intent.
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        if version != 0 && version != VERSION {
            let text = format!("its layout has number {version}, this version knows {VERSION}");
            return Err(JournalError::Content(serde::de::Error::custom(text)));
        }
        connection.execute_batch(SCHEMA)?;
        connection.pragma_update(None, "user_version", VERSION)?;
        Ok(Self {
            connection,
            path: None,
            #[cfg(test)]
            dies_at: None,
            #[cfg(test)]
            written: 0,
        })
    }

    /// Begins a rotation.
    ///
    /// # Errors
    /// One of the same key has not ended ([`JournalError::Running`]), or SQLite failed.
    pub fn begin(&mut self, plan: &Plan, now: i64) -> Result<(), JournalError> {
        if let Some(running) = self.running(&plan.key.id)? {
            return Err(JournalError::Running(running));
        }
        match insert(&self.connection, plan, now) {
            // Another process was faster.
            Err(rusqlite::Error::SqliteFailure(error, _))
                if error.code == rusqlite::ErrorCode::ConstraintViolation =>
            {
                let running = self.running(&plan.key.id)?;
                Err(JournalError::Running(
                    running.unwrap_or_else(|| plan.id.clone()),
                ))
            }
            other => Ok(other.map(drop)?),
        }
    }

    /// Begins a rotation that nobody asked for: one at a time, and so many within 24 hours. Two
    /// processes that share the journal can't both be let in.
    ///
    /// # Errors
    /// It has to wait ([`JournalError::OneAtATime`], [`JournalError::Limit`]), or SQLite failed.
    pub fn begin_automatic(
        &mut self,
        plan: &Plan,
        now: i64,
        a_day: u32,
    ) -> Result<(), JournalError> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let other = transaction
            .query_row("SELECT id FROM rotation WHERE closed = 0", [], |row| {
                row.get(0)
            })
            .optional()?;
        if let Some(other) = other {
            return Err(JournalError::OneAtATime(other));
        }
        let started: u32 = transaction.query_row(
            "SELECT count(*) FROM automatic WHERE at > ?1",
            [now.saturating_sub(A_DAY)],
            |row| row.get(0),
        )?;
        if started >= a_day {
            return Err(JournalError::Limit(started));
        }
        insert(&transaction, plan, now)?;
        transaction.execute(
            "INSERT INTO automatic (rotation, at) VALUES (?1, ?2)",
            params![plan.id, now],
        )?;
        Ok(transaction.commit()?)
    }

    /// The id of the key that a rotation made with this fingerprint: the API told both at once.
    ///
    /// # Errors
    /// The journal can't be read.
    pub fn made(&self, fingerprint: &Fingerprint) -> Result<Option<String>, JournalError> {
        let mut statement = self
            .connection
            .prepare("SELECT act, phase FROM entry WHERE instr(phase, ?1) > 0 ORDER BY number")?;
        let mut rows = statement.query([fingerprint.to_string()])?;
        while let Some(row) = rows.next()? {
            let (act, phase): (String, String) = (row.get(0)?, row.get(1)?);
            let act: Act = serde_json::from_str(&act)?;
            let phase: Phase = serde_json::from_str(&phase)?;
            if let (Act::Create { .. }, Phase::Done { fact }) = (act, phase)
                && fact.fingerprint == Some(*fingerprint)
            {
                return Ok(fact.key);
            }
        }
        Ok(None)
    }

    /// The rotation of a key that has not ended, by the ids.
    ///
    /// # Errors
    /// SQLite failed.
    pub fn running(&self, key: &str) -> Result<Option<String>, JournalError> {
        let found = self
            .connection
            .query_row(
                "SELECT id FROM rotation WHERE key = ?1 AND closed = 0",
                [key],
                |row| row.get(0),
            )
            .optional()?;
        Ok(found)
    }

    /// Writes one entry; it is on the disk when this returns.
    ///
    /// # Errors
    /// SQLite failed: then nothing may be done.
    pub fn write(&mut self, rotation: &str, entry: &Entry) -> Result<(), JournalError> {
        #[cfg(test)]
        {
            if self.dies_at == Some(2 * self.written) {
                return Err(JournalError::Killed);
            }
        }
        let transaction = self.connection.transaction()?;
        transaction.execute(
            "INSERT INTO entry (rotation, at, act, phase) VALUES (?1, ?2, ?3, ?4)",
            params![
                rotation,
                entry.at,
                serde_json::to_string(&entry.act)?,
                serde_json::to_string(&entry.phase)?
            ],
        )?;
        if entry.act == Act::Close && matches!(entry.phase, Phase::Done { .. }) {
            transaction.execute("UPDATE rotation SET closed = 1 WHERE id = ?1", [rotation])?;
        }
        transaction.commit()?;
        #[cfg(test)]
        {
            self.written += 1;
            if self.dies_at == Some(2 * self.written - 1) {
                return Err(JournalError::Killed);
            }
        }
        Ok(())
    }

    /// One rotation with all that was written of it.
    ///
    /// # Errors
    /// There is none of this id, or the journal can't be read.
    pub fn read(&self, id: &str) -> Result<Summary, JournalError> {
        let head: Option<(String, i64)> = self
            .connection
            .query_row(
                "SELECT plan, begun FROM rotation WHERE id = ?1",
                [id],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()?;
        let (plan, begun) = head.ok_or_else(|| JournalError::Unknown(id.to_owned()))?;
        let mut statement = self
            .connection
            .prepare("SELECT at, act, phase FROM entry WHERE rotation = ?1 ORDER BY number")?;
        let mut rows = statement.query([id])?;
        let mut entries = Vec::new();
        while let Some(row) = rows.next()? {
            let (act, phase): (String, String) = (row.get(1)?, row.get(2)?);
            entries.push(Entry {
                at: row.get(0)?,
                act: serde_json::from_str(&act)?,
                phase: serde_json::from_str(&phase)?,
            });
        }
        Ok(Summary {
            plan: serde_json::from_str(&plan)?,
            begun,
            entries,
        })
    }

    /// The ids of all rotations, the latest first.
    ///
    /// # Errors
    /// The journal can't be read.
    pub fn ids(&self) -> Result<Vec<String>, JournalError> {
        let mut statement = self
            .connection
            .prepare("SELECT id FROM rotation ORDER BY begun DESC, rowid DESC")?;
        let ids = statement.query_map([], |row| row.get(0))?;
        Ok(ids.collect::<Result<_, _>>()?)
    }
}

fn insert(connection: &Connection, plan: &Plan, now: i64) -> Result<usize, rusqlite::Error> {
    let text = serde_json::to_string(plan)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    connection.execute(
        "INSERT INTO rotation (id, key, begun, plan) VALUES (?1, ?2, ?3, ?4)",
        params![plan.id, plan.key.id, now, text],
    )
}

#[cfg(unix)]
fn make_private(directory: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    if !directory.exists() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
        fs::set_permissions(directory, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

#[cfg(unix)]
fn only_ours(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
}

#[cfg(not(unix))]
fn make_private(directory: &Path) -> std::io::Result<()> {
    fs::create_dir_all(directory)
}

#[cfg(not(unix))]
fn only_ours(_: &Path) -> std::io::Result<()> {
    Ok(())
}
