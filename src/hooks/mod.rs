//! Git hooks: putting them into a repository or before all of a user's repositories, taking them
//! out again, telling what stands in their way, and what they need while they run.
//!
//! A hook is a small shell script (a *shim*) that becomes `skewer hook run TYPE`, one process and
//! nothing else. A hook that was there before is *kept* beside it and run with the same arguments,
//! environment and standard input. Nothing here prints or reads the environment: `cli` does.

mod chain;
mod git;
mod global;
mod install;
mod layout;
mod prove;
mod refs;
mod shim;
mod skip;
mod status;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

pub use self::chain::{Input, MOST_INPUT, kept_hook, read_input, run_kept};
pub use self::git::Git;
pub use self::global::{Before, Global, HOOK_NAMES, install_global, uninstall_global};
pub use self::install::{Change, Done, KEPT_SUFFIX, install, uninstall};
pub use self::layout::{HooksPath, Layout};
pub use self::prove::{Proof, Step, prove};
pub use self::refs::{RefUpdate, parse_pre_push, parse_pre_receive};
pub use self::skip::{SKIPS, Skip, record_skip, skip_reason};
pub use self::status::{HookStatus, Manager, State, Status, status};

/// The hooks that scan. Git has more (see [`HOOK_NAMES`]); none of those can stop a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HookType {
    /// Before a commit: what is staged.
    PreCommit,
    /// Before the commit of a merge without conflicts, for which git runs no `pre-commit`.
    PreMergeCommit,
    /// The message of a commit.
    CommitMsg,
    /// Before a push: the commits that the other side lacks. The only hook that sees what a
    /// cherry-pick, a rebase or `--no-verify` has made.
    PrePush,
    /// On a server, before a push is accepted.
    PreReceive,
}

impl HookType {
    /// All of them, in the order in which a change meets them.
    pub const ALL: [Self; 5] = [
        Self::PreCommit,
        Self::PreMergeCommit,
        Self::CommitMsg,
        Self::PrePush,
        Self::PreReceive,
    ];

    /// Git's name for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PreCommit => "pre-commit",
            Self::PreMergeCommit => "pre-merge-commit",
            Self::CommitMsg => "commit-msg",
            Self::PrePush => "pre-push",
            Self::PreReceive => "pre-receive",
        }
    }

    /// What is installed where nobody chose: a repository that people push to gets the server's
    /// hook, any other the four that run where people work.
    pub fn offered(bare: bool) -> &'static [Self] {
        if bare {
            &Self::ALL[4..]
        } else {
            &Self::ALL[..4]
        }
    }

    /// Whether git hands it lines on standard input.
    pub fn reads_input(self) -> bool {
        matches!(self, Self::PrePush | Self::PreReceive)
    }

    /// Whether a kept hook runs before the scan. Hooks of a commit may stage files or change the
    /// message, so the scan comes last; hooks of a push may send something (git-lfs uploads), so
    /// the scan comes first.
    pub fn kept_runs_first(self) -> bool {
        !self.reads_input()
    }

    /// Whether `SKEWER_SKIP` lets it pass. Not on a server: over a local path or ssh the pusher's
    /// environment can reach the hook, and a push must not excuse itself.
    pub fn can_be_skipped(self) -> bool {
        self != Self::PreReceive
    }
}

impl fmt::Display for HookType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for HookType {
    type Err = HookError;

    fn from_str(text: &str) -> Result<Self, HookError> {
        Self::ALL
            .into_iter()
            .find(|hook| hook.as_str() == text)
            .ok_or_else(|| HookError::UnknownType(text.to_owned()))
    }
}

/// Why something about hooks could not be done, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// Not one of [`HookType::ALL`].
    #[error(
        "there is no hook {0:?} here: choose pre-commit, pre-merge-commit, commit-msg, pre-push or pre-receive"
    )]
    UnknownType(String),
    /// Git could not be started.
    #[error("can't run {program}: {error}; hooks need git 2.31 or newer in PATH")]
    NoGit {
        /// What was started.
        program: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// Git said no.
    #[error("`git {command}` failed: {said}")]
    Git {
        /// Its arguments.
        command: String,
        /// Its standard error.
        said: String,
    },
    /// A file could not be read or written.
    #[error("can't {doing} {path}: {error}")]
    Io {
        /// The attempt.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// Git would not run what is installed.
    #[error(
        "git runs no hook from {hooks}: core.hooksPath ({scope}: {origin}) sends it to {used}; \
         {hint}"
    )]
    Overridden {
        /// The repository's own directory of hooks.
        hooks: PathBuf,
        /// The scope of the setting: local, global, system, worktree, command.
        scope: String,
        /// The file that holds it.
        origin: String,
        /// Where git looks instead.
        used: PathBuf,
        /// What to do.
        hint: String,
    },
    /// Both a foreign hook and a kept one are there: only a person knows which one counts.
    #[error(
        "{hook} is not skewer's, and {kept} keeps an older one already (another tool has replaced \
         the hook since): merge the two into {hook}, delete {kept}, and install again"
    )]
    TwoHooks {
        /// The hook that git runs.
        hook: PathBuf,
        /// The kept one.
        kept: PathBuf,
    },
    /// The path of the program can't be written into a script.
    #[error(
        "{0} can't be written into a shell script: it is no valid Unicode or has a line break; move it"
    )]
    UnfitPath(PathBuf),
    /// Git handed over something else than documented.
    #[error("line {line} of {hook}'s input is not `{expected}`, so what is pushed is not known")]
    Input {
        /// The hook.
        hook: HookType,
        /// Which line, from 1.
        line: usize,
        /// The form.
        expected: &'static str,
    },
    /// More input than is kept in memory.
    #[error("more than {} MiB of refs in one push: push them in parts", MOST_INPUT >> 20)]
    TooMuchInput,
    /// `SKEWER_SKIP` without a reason.
    #[error("SKEWER_SKIP is empty: say why, such as SKEWER_SKIP=\"revoked test key\" git commit …")]
    NoReason,
    /// No hook to prove anything with.
    #[error("no hook of skewer is installed here: skewer hook install")]
    NothingInstalled,
}

impl HookError {
    /// For `map_err`: what was being done to which file.
    pub(crate) fn io(
        doing: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |error| Self::Io { doing, path, error }
    }
}
