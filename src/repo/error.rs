//! What can go wrong between us and a repository.

use std::io;
use std::path::PathBuf;

use super::ObjectId;

/// A repository, or something in it, that could not be read. The text may quote paths and git's
/// own messages: it comes from outside and goes through the redaction before anyone sees it.
#[derive(Debug, thiserror::Error)]
pub enum RepoError {
    /// Neither libgit2 nor git opens it.
    #[error("{path}: git finds no repository that it would read here: {reason}")]
    NotARepository {
        /// Where the search began.
        path: PathBuf,
        /// git's own words.
        reason: String,
    },
    /// It has no working tree, so nothing can be staged in it.
    #[error(
        "{path}: a bare repository has no staged changes; name a working tree, or set GIT_WORK_TREE"
    )]
    Bare {
        /// The git directory.
        path: PathBuf,
    },
    /// `git` was needed and could not be started.
    #[error("this repository can only be read with the help of `git`, which did not start: {0}")]
    NoGit(#[source] io::Error),
    /// `git` was asked and failed.
    #[error("`git {command}` failed: {reason}")]
    Git {
        /// The subcommand.
        command: String,
        /// What it said on standard error.
        reason: String,
    },
    /// A file of the repository could not be read.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of the repository is not what it should be.
    #[error("{path}: damaged: {reason}")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An object that is named but not here: a partial clone, or a damaged repository.
    #[error("object {id} is missing here; in a partial clone, `git cat-file -p {id}` fetches it")]
    Missing {
        /// Which.
        id: ObjectId,
    },
    /// An object that is here but can't be understood.
    #[error("object {id}: {reason}")]
    Object {
        /// Which.
        id: ObjectId,
        /// What is wrong with it.
        reason: String,
    },
    /// A name that stands for no commit.
    #[error("`{name}` names no commit or tree in this repository")]
    Revision {
        /// The name.
        name: String,
    },
    /// A revision, range or branch that stands for no commit.
    #[error("`{name}` stands for no commit that is in this repository")]
    NoCommit {
        /// Its name.
        name: String,
    },
}
