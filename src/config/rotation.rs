//! How keys are rotated: the tables `[rotation]` and `[[consumers]]` of the user's own
//! configuration. What a consumer's rollout needs is read by `rollout`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::{ConfigError, Section, time_span};

/// Names in a consumer's table that its rollout does not read.
pub const OF_CONSUMER: &[&str] = &["store", "canary"];

/// `[rotation]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Rotation {
    /// The template of key B's name; the rotation's id is added.
    pub name: Option<String>,
    /// What the words of the template stand for.
    pub words: BTreeMap<String, String>,
    /// How long key A must stand still.
    #[serde(deserialize_with = "time_span")]
    pub quiet: Duration,
    /// How long key A's death is watched.
    #[serde(deserialize_with = "time_span")]
    pub proof: Duration,
    /// How long a new key may take to work, and to show.
    #[serde(deserialize_with = "time_span")]
    pub settling: Duration,
    /// The time between two answers.
    #[serde(deserialize_with = "time_span")]
    pub between: Duration,
    /// Answers in a row that prove something.
    pub answers: u32,
    /// Tries of one step before the rotation pauses.
    pub tries: u32,
    /// How old a key may become, in days.
    pub cadence_days: u32,
    /// The journal's file.
    pub journal: Option<PathBuf>,
    /// The audit trail's file.
    pub trail: Option<PathBuf>,
}

impl Default for Rotation {
    fn default() -> Self {
        Self {
            name: None,
            words: BTreeMap::new(),
            quiet: Duration::from_secs(15 * 60),
            proof: Duration::from_secs(5 * 60),
            settling: Duration::from_secs(60),
            between: Duration::from_secs(2),
            answers: 3,
            tries: 5,
            cadence_days: 90,
            journal: None,
            trail: None,
        }
    }
}

/// What `[[consumers]]` says besides how the consumer is moved.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct OfConsumer {
    /// The store that it reads its key from, by its name in `[stores]`.
    pub store: String,
    /// Whether it goes first.
    #[serde(default)]
    pub canary: bool,
}

impl Rotation {
    /// Reads the table; the defaults if there is none. Relative paths are relative to the file.
    ///
    /// # Errors
    /// A name or a value that can't be used, with its line.
    pub fn read(whole: &Section) -> Result<Self, ConfigError> {
        let Some(section) = whole.table("rotation")? else {
            return Ok(Self::default());
        };
        let mut read: Self = section.read()?;
        for path in [&mut read.journal, &mut read.trail].into_iter().flatten() {
            *path = section.resolve(&path.to_string_lossy());
        }
        if read.answers == 0 || read.tries == 0 {
            return Err(section.invalid("`answers` and `tries` are at least 1"));
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::super::section::tests::section;
    use super::*;

    #[test]
    fn the_table_is_read_and_typos_are_named() {
        let read = Rotation::read(&section("threads = 1")).unwrap();
        assert_eq!(read, Rotation::default());
        let text = "[rotation]\nquiet = '1h'\njournal = 'j.sqlite'\n[rotation.words]\nenv = 'prod'";
        let read = Rotation::read(&section(text)).unwrap();
        assert_eq!(read.quiet, Duration::from_secs(3600));
        assert_eq!(read.journal, Some("/base/j.sqlite".into()));
        for (text, word) in [
            ("[rotation]\nquite = '1h'", "quite"),
            ("[rotation]\nquiet = '1 hour'", "time span"),
            ("[rotation]\nanswers = 0", "at least 1"),
        ] {
            let said = Rotation::read(&section(text)).unwrap_err().to_string();
            assert!(said.contains(word), "{said}");
        }
    }
}
