//! What was read, what was left out by policy, what isn't there, and what could not be read: the
//! account that stands beside the findings, because a scan that skips in silence is worse than
//! none.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::secret::{Fingerprint, Masked};

/// How far a run has come, for whoever shows it. Filled by many threads.
#[derive(Debug, Default)]
pub struct Progress {
    /// Items that there are; 0 as long as nobody knows.
    pub total: AtomicU64,
    /// Items read to the end.
    pub items: AtomicU64,
    /// Bytes read.
    pub bytes: AtomicU64,
    keys: Mutex<BTreeSet<Fingerprint>>,
}

impl Progress {
    /// A key was seen, perhaps again.
    pub fn found(&self, key: Fingerprint) {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.insert(key);
    }

    /// How many keys were seen.
    pub fn keys(&self) -> u64 {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.len() as u64
    }

    /// Items were read to their end.
    pub fn read(&self, items: u64, bytes: u64) {
        self.items.fetch_add(items, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Items and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub items: u64,
    /// How large; 0 where nobody looked.
    pub bytes: u64,
}

impl Tally {
    /// Adds one item.
    pub fn add(&mut self, bytes: u64) {
        self.items += 1;
        self.bytes += bytes;
    }

    /// Adds another one.
    pub fn merge(&mut self, other: Self) {
        self.items += other.items;
        self.bytes += other.bytes;
    }
}

/// Why something was not read although it was there: by policy, so no failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Excluded {
    /// A `.gitignore` names it and git does not track it.
    Ignored,
    /// Inside a repository's object database: `skewer history` reads those.
    GitObjects,
    /// A compressed archive of a format that nobody here unpacks: its bytes are searched as they
    /// are.
    Packed,
    /// A symbolic link: its target is read where it lies, if it lies in the scanned tree.
    SymbolicLink,
    /// A device, socket or named pipe.
    SpecialFile,
    /// A glob of `skewer.toml`, or `--exclude`.
    Glob,
    /// A submodule: its commit is not part of this change, its database not of this range.
    Submodule,
    /// A layer of an image that was read before in this run.
    SeenBefore,
    /// A commit outside of the range that history was limited to.
    OtherCommit,
    /// An object that no commit of the range brings.
    OtherObject,
    /// A file of a git directory (configuration, hooks, reflogs, index): no part of any range.
    GitFile,
}

impl Excluded {
    /// Stable word for machine-readable reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ignored => "ignored",
            Self::GitObjects => "git_objects",
            Self::Packed => "packed",
            Self::SymbolicLink => "symbolic_link",
            Self::SpecialFile => "special_file",
            Self::Glob => "glob",
            Self::Submodule => "submodule",
            Self::SeenBefore => "seen_before",
            Self::OtherCommit => "commit_out_of_range",
            Self::OtherObject => "object_out_of_range",
            Self::GitFile => "git_file",
        }
    }

    /// What it means, and what to do to have it read.
    pub fn explain(self) -> &'static str {
        match self {
            Self::Ignored => "ignored by git (read them with --no-ignore)",
            Self::GitObjects => "in git's object database",
            Self::Packed => "compressed, searched as they are but not unpacked",
            Self::SymbolicLink => "symbolic links (targets are read where they lie)",
            Self::SpecialFile => "devices, sockets or pipes",
            Self::Glob => "excluded by your globs",
            Self::Submodule => "submodules (scan the submodule itself)",
            Self::SeenBefore => "image layers that were read before in this run",
            Self::OtherCommit => "commits out of range: keys that only they hold are not told",
            Self::OtherObject => "objects that no commit of the range brings",
            Self::GitFile => "files of the git directory (settings, hooks, reflogs, index)",
        }
    }
}

/// What a limit bounds. Each is a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Limit {
    /// How many containers may lie in each other.
    Depth,
    /// How large one member may be, unpacked.
    MemberSize,
    /// How much one file may hold, unpacked.
    UnpackedSize,
    /// How many times its own size a file may hold, unpacked.
    Ratio,
    /// How many members one file may have.
    Members,
    /// How long one file may take.
    Seconds,
    /// How much memory windows and held members may take.
    Memory,
}

/// Why a member of a container was not read, or not to its end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unread {
    /// It can be read with a password only.
    Encrypted,
    /// It is stored in a way that no reader here knows; the text says which.
    Unsupported(String),
    /// Its bytes contradict its format; the text says how.
    Damaged(String),
    /// It is larger than a setting allows.
    Over(Limit),
}

impl Limit {
    /// The setting that gives it.
    pub fn setting(self) -> &'static str {
        match self {
            Self::Depth => "max-depth",
            Self::MemberSize => "max-member-size",
            Self::UnpackedSize => "max-unpacked-size",
            Self::Ratio => "max-ratio",
            Self::Members => "max-members",
            Self::Seconds => "max-seconds",
            Self::Memory => "max-memory",
        }
    }
}

impl Unread {
    /// Stable word for machine-readable reports.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Encrypted => "encrypted",
            Self::Unsupported(_) => "unsupported",
            Self::Damaged(_) => "damaged",
            Self::Over(Limit::Depth) => "depth",
            Self::Over(Limit::MemberSize) => "member_size",
            Self::Over(Limit::UnpackedSize) => "unpacked_size",
            Self::Over(Limit::Ratio) => "ratio",
            Self::Over(Limit::Members) => "members",
            Self::Over(Limit::Seconds) => "seconds",
            Self::Over(Limit::Memory) => "memory",
        }
    }
}

impl Unread {
    /// The same with its words made fit to be shown: they may quote what was read.
    pub(crate) fn redacted(self, redact: impl Fn(&[u8]) -> Masked) -> Self {
        match self {
            Self::Unsupported(what) => Self::Unsupported(redact(what.as_bytes()).to_string()),
            Self::Damaged(how) => Self::Damaged(redact(how.as_bytes()).to_string()),
            Self::Encrypted | Self::Over(_) => self,
        }
    }
}

impl std::fmt::Display for Unread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Encrypted => f.write_str("it is encrypted"),
            Self::Unsupported(what) => write!(f, "it can't be unpacked: {what}"),
            Self::Damaged(how) => write!(f, "it is damaged: {how}"),
            Self::Over(limit) => write!(f, "it is over the limit (--{})", limit.setting()),
        }
    }
}

/// Something that should have been read and wasn't, or not to its end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Failure {
    /// What: a path, an object.
    pub what: Masked,
    /// Why, in words.
    pub why: String,
    /// The stable word for it, if this is a member of a container ([`Unread::as_str`]).
    pub reason: Option<&'static str>,
}

/// Failures beyond this many are counted, not kept: a tree of a million unreadable files must
/// not fill the memory.
pub const KEPT_FAILURES: usize = 1000;

/// The account of a scan. Rooms return it, `scan` adds it up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Read to the end.
    pub read: Tally,
    /// What of that was read in an earlier run, and has not changed since.
    pub remembered: Tally,
    /// Members of archives and other containers that were met, and bytes that were unpacked.
    pub members: Tally,
    /// Those among the failures that are members, by reason ([`Unread::as_str`]).
    pub unread: BTreeMap<&'static str, u64>,
    /// What the search was limited to, in words, where it was: nobody should take it for a whole
    /// one.
    pub limited_to: Vec<Masked>,
    /// Left out by policy.
    pub excluded: BTreeMap<Excluded, Tally>,
    /// Known to be missing here (a shallow or partial clone), by what it is.
    pub absent: BTreeMap<&'static str, u64>,
    /// The failures that were kept, see [`KEPT_FAILURES`].
    pub failures: Vec<Failure>,
    /// How many failures there were.
    pub failed: u64,
    /// Failures that the user acknowledged beforehand: named, but they don't fail the run.
    pub accepted: Vec<Failure>,
    /// Whether the run was cut short by the user.
    pub interrupted: bool,
}

impl Coverage {
    /// Counts something left out by policy.
    pub fn exclude(&mut self, why: Excluded, bytes: u64) {
        self.excluded.entry(why).or_default().add(bytes);
    }

    /// Counts several things left out by policy.
    pub fn exclude_all(&mut self, why: Excluded, all: Tally) {
        if all != Tally::default() {
            self.excluded.entry(why).or_default().merge(all);
        }
    }

    /// Counts several things left out by policy.
    pub fn leave(&mut self, why: Excluded, items: u64) {
        if items > 0 {
            self.excluded.entry(why).or_default().items += items;
        }
    }

    /// Counts something that could not be read.
    pub fn fail(&mut self, what: Masked, why: impl Into<String>) {
        self.failed += 1;
        if self.failures.len() < KEPT_FAILURES {
            self.failures.push(Failure {
                what,
                why: why.into(),
                reason: None,
            });
        }
    }

    /// Counts a member of a container that could not be read, or not to its end.
    pub fn fail_member(&mut self, what: Masked, why: &Unread) {
        self.failed += 1;
        *self.unread.entry(why.as_str()).or_default() += 1;
        if self.failures.len() < KEPT_FAILURES {
            self.failures.push(Failure {
                what,
                why: why.to_string(),
                reason: Some(why.as_str()),
            });
        }
    }

    /// Notes a member that could not be read, as somebody acknowledged beforehand.
    pub fn accept_member(&mut self, what: Masked, why: &Unread) {
        self.accepted.push(Failure {
            what,
            why: why.to_string(),
            reason: Some(why.as_str()),
        });
    }

    /// How many items were left out for this reason.
    pub fn excluded_items(&self, why: Excluded) -> u64 {
        self.excluded.get(&why).map_or(0, |tally| tally.items)
    }

    /// Whether everything that should have been read was read.
    pub fn is_complete(&self) -> bool {
        self.failed == 0 && !self.interrupted
    }

    /// The same, but members of containers don't matter.
    pub fn is_complete_outside(&self) -> bool {
        self.failed == self.unread.values().sum::<u64>() && !self.interrupted
    }

    /// Adds another account to this one.
    pub fn merge(&mut self, other: Self) {
        self.read.merge(other.read);
        self.remembered.merge(other.remembered);
        self.members.merge(other.members);
        for (why, count) in other.unread {
            *self.unread.entry(why).or_default() += count;
        }
        self.limited_to.extend(other.limited_to);
        for (why, tally) in other.excluded {
            self.excluded.entry(why).or_default().merge(tally);
        }
        for (what, count) in other.absent {
            *self.absent.entry(what).or_default() += count;
        }
        let room = KEPT_FAILURES.saturating_sub(self.failures.len());
        self.failures.extend(other.failures.into_iter().take(room));
        self.failed += other.failed;
        self.accepted.extend(other.accepted);
        self.interrupted |= other.interrupted;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_add_up_and_failures_stay_bounded() {
        let mut all = Coverage::default();
        for part in 0..3 {
            let mut one = Coverage::default();
            one.read.add(10);
            one.exclude(Excluded::Ignored, 0);
            for n in 0..600 {
                one.fail(Masked::vouched(format!("{part}/{n}")), "gone");
            }
            all.merge(one);
        }
        assert_eq!(
            all.read,
            Tally {
                items: 3,
                bytes: 30
            }
        );
        assert_eq!(all.excluded_items(Excluded::Ignored), 3);
        assert_eq!((all.failed, all.failures.len()), (1800, KEPT_FAILURES));
        assert!(!all.is_complete());
    }
}
