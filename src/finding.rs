//! What was found, and where: the words that every room and every report share.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::secret::{Fingerprint, Masked, Secret};

/// How bad it is if this key is in strangers' hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth a look.
    Low,
    /// A credential that is short-lived or narrow.
    Medium,
    /// A credential that costs money.
    High,
    /// A credential that makes or deletes others.
    Critical,
}

impl Severity {
    /// The word used in rules and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// How sure the matcher is that these bytes are a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// The shape fits, but not a length that was seen before: perhaps cut, perhaps new.
    Low,
    /// A known length; the structure check has nothing to say, or the context speaks for it.
    Medium,
    /// A known length, and the structure check holds where there is one.
    High,
}

impl Confidence {
    /// The word used in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// What a report says of a rule: the part of it that a finding carries along.
#[derive(Debug, PartialEq, Eq)]
pub struct RuleInfo {
    /// Stable id, such as `openai-project`.
    pub id: String,
    /// One line for people.
    pub title: String,
    /// The kind of credential, such as `service_account`.
    pub kind: String,
    /// How bad a leak is.
    pub severity: Severity,
    /// What to do about it, in a sentence or two.
    pub remedy: String,
}

/// A path as it was read and as it may be shown (a file's name can hold a key).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShownPath {
    raw: PathBuf,
    shown: Masked,
}

impl ShownPath {
    /// `shown` is `raw` after redaction.
    pub fn new(raw: PathBuf, shown: Masked) -> Self {
        Self { raw, shown }
    }

    /// The path itself, for opening and for comparing with globs; never for printing.
    pub fn raw(&self) -> &Path {
        &self.raw
    }

    /// The path for people.
    pub fn shown(&self) -> &Masked {
        &self.shown
    }
}

impl fmt::Debug for ShownPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.shown, f)
    }
}

/// Where the outermost bytes came from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// A file of a working tree, or one named by the user.
    File(ShownPath),
    /// The name of a file or directory itself holds the key.
    FileName(ShownPath),
    /// Standard input, or another stream, by name.
    Stream(String),
    /// A blob of the index.
    Staged {
        /// Path in the index.
        path: ShownPath,
        /// The blob's id, hexadecimal.
        blob: String,
    },
    /// An object of git's database.
    Object(Arc<InHistory>),
}

/// What keeps a key in a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// A branch, or what is checked out.
    Branch,
    /// A tag.
    Tag,
    /// What is known of another repository's branch.
    Remote,
    /// The latest stash.
    Stash,
    /// A note.
    Note,
    /// Another ref, such as `refs/pull/…`.
    OtherRef,
    /// The record of what refs stood for earlier: amended and reset commits, older stashes.
    Reflog,
    /// What is staged.
    Index,
    /// Nothing: unreachable, until git collects its garbage.
    Nothing,
}

impl Kept {
    /// The words used in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Branch => "branch",
            Self::Tag => "tag",
            Self::Remote => "remote branch",
            Self::Stash => "stash",
            Self::Note => "note",
            Self::OtherRef => "other ref",
            Self::Reflog => "reflog",
            Self::Index => "index",
            Self::Nothing => "nothing (unreachable)",
        }
    }
}

/// A commit, as far as a report names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitInfo {
    /// Its id, hexadecimal.
    pub id: String,
    /// Its author's name and address.
    pub author: Masked,
    /// When it was written, in seconds since 1970.
    pub time: i64,
    /// The first line of its message.
    pub summary: Masked,
}

/// Some of several things, and how many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Counted<T> {
    /// The first ones.
    pub named: Vec<T>,
    /// How many there are.
    pub count: u64,
}

/// What a rewrite of history would change, to take a key out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Rewrite {
    /// Commits that hold the key or come from one that does, and that a ref leads to.
    pub commits: u64,
    /// Branches that lead to them.
    pub branches: u64,
    /// Tags that do.
    pub tags: u64,
}

/// Where in git's database a key is, and what the history says of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InHistory {
    /// The object, hexadecimal; empty if its pack has no index that would name it.
    pub object: String,
    /// What it is: `blob`, `tree`, `commit`, `tag`.
    pub kind: &'static str,
    /// Its path in the first commit, if it has one.
    pub path: Option<ShownPath>,
    /// The first commit in time that holds the key.
    pub first: Option<CommitInfo>,
    /// The commits that hold it.
    pub commits: Counted<String>,
    /// Where it stands: in the first commit and in what refs hold now.
    pub paths: Vec<ShownPath>,
    /// How many objects hold it.
    pub objects: u64,
    /// Refs (and `HEAD`) whose newest content holds it.
    pub held_by: Counted<Masked>,
    /// Refs from which a commit that holds it can be reached: a rewrite changes them all.
    pub reached_from: Counted<Masked>,
    /// What that comes to.
    pub rewrite: Rewrite,
    /// What keeps it.
    pub kept: Vec<Kept>,
}

impl Place {
    /// The path, where the place has one.
    pub fn path(&self) -> Option<&ShownPath> {
        match self {
            Self::File(path) | Self::FileName(path) | Self::Staged { path, .. } => Some(path),
            Self::Object(object) => object.path.as_ref(),
            Self::Stream(_) => None,
        }
    }

    /// Its name for people.
    pub fn masked(&self) -> Masked {
        match self {
            Self::Stream(name) => Masked::vouched(name.as_str()),
            Self::Object(_) => Masked::vouched(self.to_string()),
            Self::File(path) | Self::FileName(path) | Self::Staged { path, .. } => {
                path.shown.clone()
            }
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) | Self::Staged { path, .. } => path.shown.fmt(f),
            Self::FileName(path) => write!(f, "{} (in the name itself)", path.shown),
            Self::Stream(name) => Masked::vouched(name.as_str()).fmt(f),
            Self::Object(object) => object.fmt(f),
        }
    }
}

impl fmt::Display for InHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |id: &str| id.get(..12).unwrap_or(id).to_owned();
        match (&self.first, &self.path) {
            (Some(first), _) if self.kind == "commit" => write!(f, "commit {}", short(&first.id)),
            (Some(first), Some(path)) => write!(f, "{}:{}", short(&first.id), path.shown),
            _ => write!(f, "{} {}", self.kind, short(&self.object)),
        }
    }
}

/// One step into an archive or another container.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member {
    /// What is stepped into, in a word: `file`, `layer`, `comment`, `gzip`.
    pub kind: &'static str,
    /// Its name, masked; empty if it has none.
    pub name: Masked,
    /// Whether it is all that a compressed file holds: people take both for one thing.
    pub is_content: bool,
}

impl Member {
    /// The kind of members with a path.
    pub const FILE: &'static str = "file";
    /// The kind of a step to what stands in a member's name.
    pub const NAME: &'static str = "name";
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.kind, self.name.as_bytes()) {
            (Self::FILE, _) => self.name.fmt(f),
            (kind, b"") => f.write_str(kind),
            (kind, _) => write!(f, "{kind} {}", self.name),
        }
    }
}

/// The way into a container, for people: ` → layer 3 → app/lib.jar`. Nothing, if it leads nowhere.
#[derive(Clone, Copy)]
pub struct Way<'a>(pub &'a [Member]);

impl fmt::Display for Way<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.0.iter().filter(|member| !member.is_content);
        shown.try_for_each(|member| write!(f, " → {member}"))
    }
}

/// Where a key is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// The outermost bytes.
    pub place: Place,
    /// The way in, outermost first, if the key is in a member of a container; offset, line and
    /// column are then places in the innermost one.
    pub members: Vec<Member>,
    /// Byte offset of the key (or of its encoded form) in the place.
    pub offset: u64,
    /// Length in bytes there; longer than the key if it is encoded.
    pub length: u64,
    /// Line, from 1; lines end with a line feed.
    pub line: u64,
    /// Column in bytes, from 1.
    pub column: u64,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = Way(&self.members);
        match self.has_lines() {
            false => write!(f, "{}{way}", self.place),
            true => write!(f, "{}{way}:{}:{}", self.place, self.line, self.column),
        }
    }
}

impl Location {
    /// Whether line and column say something: a name has neither.
    pub fn has_lines(&self) -> bool {
        let in_name = self.members.last().is_some_and(|m| m.kind == Member::NAME);
        !in_name && !matches!(self.place, Place::FileName(_))
    }

    /// Place and way, for people.
    pub fn named(&self) -> Masked {
        match self.members.is_empty() {
            true => self.place.masked(),
            false => Masked::vouched(format!("{}{}", self.place.masked(), Way(&self.members))),
        }
    }
}

/// The line around a key, masked and cut to a readable length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// The masked text.
    pub line: Masked,
    /// Where the masked key stands in it, in bytes.
    pub key: std::ops::Range<usize>,
}

/// Why a finding does not count against the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Suppression {
    /// A marker in the key's own line.
    Marker {
        /// What stood there, such as `skewer:allow`.
        marker: String,
    },
    /// An entry of the baseline.
    Baseline {
        /// The reason that was written down.
        reason: String,
    },
}

/// Whether a finding counts against the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// It does.
    Counts,
    /// The change did not add it: it was there before, or only moved. A note.
    Before,
    /// Somebody answered for it.
    Suppressed(Suppression),
}

/// A key at a place.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The rule that found it.
    pub rule: Arc<RuleInfo>,
    /// The key.
    pub secret: Secret,
    /// Names the key.
    pub fingerprint: Fingerprint,
    /// How sure the matcher is.
    pub confidence: Confidence,
    /// The decoders that led to it, outermost first; empty for a plain key.
    pub decoders: Vec<&'static str>,
    /// Where it is.
    pub location: Location,
    /// The line around it.
    pub context: Context,
    /// Whether it counts.
    pub status: Status,
}

impl Finding {
    /// Whether it counts against the run.
    pub fn counts(&self) -> bool {
        self.status == Status::Counts
    }
}
