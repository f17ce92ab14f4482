//! Settings of a scan, and where each value comes from: flags over environment over the project's
//! `skewer.toml` over the user's own file over the defaults. A file can be written by whoever can
//! change a repository, so it holds scan settings only: no host, no command, no store, no policy. Those
//! stand in the user's own file, or in one that is named on the command line: see [`Private`].
//!
//! The room reads files, nothing else: the environment, the working directory and the user's
//! directories are handed in.

mod credential;
mod file;
mod globs;
mod outer;
mod private;
mod section;
mod table;
mod value;

pub use self::credential::{Credential, NoCredential, Source, Surroundings};
pub use self::file::{FILE_NAME, File, Project, USER_FILE, find, read};
pub use self::globs::Globs;
pub use self::outer::{Audit, Automatic, Consumer, Outer, OwnerKind, Policy};
pub use self::private::{Network, OpenAi, Private, Profile};
#[cfg(test)]
pub(crate) use self::section::tests;
pub use self::section::{Section, time_span};
pub use self::table::{Described, Row, Settings, Sources, TABLE};
pub use self::value::{Glob, Many, OnIncomplete, One, Origin, Size};

/// The baseline's name, where no setting gives another: beside `skewer.toml`, or at the top of the
/// repository.
pub const BASELINE: &str = "skewer-baseline.toml";

/// Why the settings can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file is there, but can't be read.
    #[error("can't read {path}: {error}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// A value, or a name, is wrong.
    #[error("{origin}: {problem}")]
    Invalid {
        /// Where it was given.
        origin: Origin,
        /// What is wrong and what to do.
        problem: String,
    },
}
