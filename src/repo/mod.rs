//! Git repositories: finding and opening them, the index, objects, what a change or a push adds.
//! The only room that imports git crates.
//!
//! libgit2 opens what it can, and decides then which repositories are ordinary; the index is
//! read by a reader of our own. What either doesn't know (reftable, SHA-256 objects, split and
//! sparse indexes, owners it refuses) `git` itself is asked for, and what git refuses is an
//! error: nothing here takes "could not look" for "nothing there".

mod cache_tree;
mod compare;
mod discover;
mod error;
mod git;
mod id;
mod index;
mod objects;
mod push;
mod range;
mod raw;
mod staged;
mod tracked;
mod tree;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use self::compare::{Change, Side};
pub use self::error::RepoError;
use self::git::Git;
pub use self::id::{ObjectFormat, ObjectId};
pub use self::objects::{ObjectKind, ObjectReader, Objects, STREAMED_FROM};
pub use self::push::{Known, NewObject};
pub use self::range::Range;
pub use self::staged::{Staged, StagedBlob, StagedHow};
pub use self::tracked::Tracked;

/// git's own variables, as they were found; the default is "none set".
///
/// As in git, GIT_DIR, GIT_WORK_TREE and GIT_COMMON_DIR are relative to the directory that the
/// program works in (here: the path given to [`Repository::discover`]), the others to the top of
/// the working tree, which is where git starts hooks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GitEnvironment {
    /// GIT_DIR.
    pub git_dir: Option<PathBuf>,
    /// GIT_WORK_TREE.
    pub work_tree: Option<PathBuf>,
    /// GIT_COMMON_DIR.
    pub common_dir: Option<PathBuf>,
    /// GIT_INDEX_FILE: `git commit -a`, `-p` and `FILE` hand an index of their own to hooks.
    pub index_file: Option<PathBuf>,
    /// GIT_OBJECT_DIRECTORY: in pre-receive, the quarantine.
    pub object_directory: Option<PathBuf>,
    /// GIT_ALTERNATE_OBJECT_DIRECTORIES, a list as in PATH.
    pub alternate_object_directories: Option<OsString>,
    /// GIT_QUARANTINE_PATH.
    pub quarantine_path: Option<PathBuf>,
    /// GIT_CEILING_DIRECTORIES, a list as in PATH.
    pub ceiling_directories: Option<OsString>,
}

impl GitEnvironment {
    /// Reads the variables through `lookup`, such as `std::env::var_os`. Empty ones count as not
    /// set.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<OsString>) -> Self {
        let list = |name| lookup(name).filter(|value| !value.is_empty());
        let path = |name| list(name).map(PathBuf::from);
        Self {
            git_dir: path("GIT_DIR"),
            work_tree: path("GIT_WORK_TREE"),
            common_dir: path("GIT_COMMON_DIR"),
            index_file: path("GIT_INDEX_FILE"),
            object_directory: path("GIT_OBJECT_DIRECTORY"),
            alternate_object_directories: list("GIT_ALTERNATE_OBJECT_DIRECTORIES"),
            quarantine_path: path("GIT_QUARANTINE_PATH"),
            ceiling_directories: list("GIT_CEILING_DIRECTORIES"),
        }
    }
}

/// An opened repository. Threads may share it; each takes its own [`Objects`].
pub struct Repository {
    git_dir: PathBuf,
    common_dir: PathBuf,
    top: Option<PathBuf>,
    index_file: PathBuf,
    format: ObjectFormat,
    /// `None`: only git reads this repository.
    native: Option<Native>,
    git: Git,
}

/// What libgit2 is used for.
struct Native {
    repository: Mutex<git2::Repository>,
    /// Object directories; `None` if only git can use them all.
    objects: Option<Vec<PathBuf>>,
}

impl Repository {
    /// The top of the working tree; `None` in a bare repository.
    pub fn top(&self) -> Option<&Path> {
        self.top.as_deref()
    }

    /// The git directory: of a linked worktree, its own.
    pub fn git_dir(&self) -> &Path {
        &self.git_dir
    }

    /// The git directory that linked worktrees share.
    pub fn common_dir(&self) -> &Path {
        &self.common_dir
    }

    /// The repository's own list of ignored paths, which need not exist.
    pub fn info_exclude(&self) -> PathBuf {
        self.common_dir.join("info").join("exclude")
    }

    /// Which hash names its objects.
    pub fn format(&self) -> ObjectFormat {
        self.format
    }

    /// A reader of objects.
    pub fn objects(&self) -> Objects {
        let directories = self.native.as_ref().and_then(|n| n.objects.as_ref());
        let odb = directories.and_then(|directories| objects::odb(directories));
        Objects::new(odb, self.git.clone())
    }

    /// The commit that is checked out; `None` before the first one.
    ///
    /// # Errors
    /// If HEAD can't be read. Only a branch that doesn't exist yet is `None`.
    pub fn head(&self) -> Result<Option<ObjectId>, RepoError> {
        if let Some(native) = &self.native {
            let repository = native.repository.lock().unwrap_or_else(|e| e.into_inner());
            match repository.head().map(|head| head.target()) {
                Ok(Some(id)) => return Ok(ObjectId::from_bytes(id.as_bytes())),
                Err(error) if error.code() == git2::ErrorCode::UnbornBranch => return Ok(None),
                _ => {}
            }
        }
        // Not for libgit2.
        let args = ["rev-parse", "--verify", "--quiet", "HEAD^{commit}"];
        let (status, out, said) = self.git.outcome(self.git.command(args), Vec::new())?;
        if status == Some(0) {
            return self.parse_id(&out).map(Some);
        }
        let branch = self.git.run(&["symbolic-ref", "--quiet", "HEAD"])?;
        let branch = String::from_utf8_lossy(branch.trim_ascii_end()).into_owned();
        let args = ["show-ref", "--verify", "--quiet", &branch];
        let (exists, ..) = self.git.outcome(self.git.command(args), Vec::new())?;
        // show-ref also fails on a ref that it can't resolve; a loose one is then still a file.
        let file = self.common_dir.join(&branch);
        if exists == Some(1) && file.symlink_metadata().is_err() {
            return Ok(None);
        }
        Err(RepoError::Git {
            command: "rev-parse HEAD".to_owned(),
            reason: if said.is_empty() {
                format!("HEAD names {branch}, which can't be read")
            } else {
                said
            },
        })
    }

    /// The commit or tree that a name stands for.
    ///
    /// # Errors
    /// [`RepoError::Revision`] if it stands for none.
    pub fn resolve(&self, name: &str) -> Result<ObjectId, RepoError> {
        let spec = format!("{name}^{{}}");
        let args = [
            "rev-parse",
            "--verify",
            "--quiet",
            "--end-of-options",
            &spec,
        ];
        let (status, out, _) = self.git.outcome(self.git.command(args), Vec::new())?;
        match status {
            Some(0) => self.parse_id(&out),
            _ => Err(RepoError::Revision {
                name: name.to_owned(),
            }),
        }
    }

    /// The file at `path` (from the top, with `/`) in a commit or tree; `None` if there is none.
    /// Read through the commit, never through the working tree.
    ///
    /// # Errors
    /// [`RepoError::Revision`] if `revision` stands for nothing.
    pub fn file_at(&self, revision: &str, path: &[u8]) -> Result<Option<Vec<u8>>, RepoError> {
        let tree = self.resolve(&format!("{revision}^{{tree}}"))?;
        let mut objects = self.objects();
        let found = tree::lookup(&mut objects, self.format, tree, path)?;
        match found.filter(|(mode, _)| mode & 0o170_000 == 0o100_000) {
            Some((_, id)) => Ok(Some(objects.read(id)?.1)),
            None => Ok(None),
        }
    }

    /// The file that `core.excludesFile` names, with `~` resolved by git; `None` if it isn't set,
    /// and git would look in the user's configuration directory.
    ///
    /// # Errors
    /// If git can't say.
    pub fn excludes_file(&self) -> Result<Option<PathBuf>, RepoError> {
        self.configured_path("core.excludesFile")
    }

    /// The value of `core.hooksPath`; a relative one is relative to the top of the working tree.
    ///
    /// # Errors
    /// If git can't say.
    pub fn hooks_path(&self) -> Result<Option<PathBuf>, RepoError> {
        self.configured_path("core.hooksPath")
    }

    fn configured_path(&self, name: &str) -> Result<Option<PathBuf>, RepoError> {
        // Not through `Git::run`, which overrides this very setting.
        let args = ["config", "--type=path", "-z", "--get", name];
        let (status, mut out, said) = self.git.outcome(self.git.plain(args), Vec::new())?;
        match status {
            Some(0) => {
                out.pop_if(|last| *last == 0);
                Ok(Some(path_from_bytes(&out)).filter(|path| !path.as_os_str().is_empty()))
            }
            Some(1) => Ok(None),
            _ => Err(RepoError::Git {
                command: format!("config {name}"),
                reason: said,
            }),
        }
    }

    fn parse_id(&self, out: &[u8]) -> Result<ObjectId, RepoError> {
        ObjectId::from_hex(out.trim_ascii()).ok_or_else(|| RepoError::Git {
            command: "rev-parse".to_owned(),
            reason: format!("printed `{}`", String::from_utf8_lossy(out.trim_ascii())),
        })
    }
}

/// A path as git spells it. Where the system's paths aren't bytes, git's are UTF-8.
pub fn path_from_bytes(bytes: &[u8]) -> PathBuf {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
    }
    #[cfg(not(unix))]
    {
        PathBuf::from(String::from_utf8_lossy(bytes).into_owned())
    }
}
