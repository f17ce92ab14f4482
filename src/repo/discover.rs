//! Finding and opening a repository.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use git2::RepositoryOpenFlags;

use super::git::Git;
use super::objects::split_alternates;
use super::{GitEnvironment, Native, ObjectFormat, RepoError, Repository, path_from_bytes};

impl Repository {
    /// Finds the repository that `path` (a directory that exists) lies in, or the one that the
    /// variables name.
    ///
    /// # Errors
    /// [`RepoError::NotARepository`] if there is none, or git refuses it (a stranger owns it, its
    /// format is newer than the installed git).
    pub fn discover(path: &Path, environment: &GitEnvironment) -> Result<Self, RepoError> {
        let path = path.canonicalize().map_err(|source| RepoError::Io {
            path: path.to_owned(),
            source,
        })?;
        match open_native(&path, environment) {
            // A variable that libgit2 knows nothing of.
            Ok(opened) if environment.common_dir.is_none() => Ok(opened),
            _ => open_with_git(&path, environment),
        }
    }
}

/// Where things are.
struct Layout {
    git_dir: PathBuf,
    common_dir: PathBuf,
    top: Option<PathBuf>,
    format: ObjectFormat,
}

fn open_native(path: &Path, set: &GitEnvironment) -> Result<Repository, git2::Error> {
    let none: [&OsStr; 0] = [];
    let repository = match &set.git_dir {
        Some(git_dir) => {
            let flags = RepositoryOpenFlags::NO_SEARCH | RepositoryOpenFlags::NO_DOTGIT;
            git2::Repository::open_ext(path.join(git_dir), flags, none)?
        }
        None => {
            let flags = RepositoryOpenFlags::empty();
            let ceilings = set
                .ceiling_directories
                .iter()
                .flat_map(std::env::split_paths);
            git2::Repository::open_ext(path, flags, ceilings.collect::<Vec<_>>())?
        }
    };
    let own = || repository.workdir().map(Path::to_owned);
    let top = match (&set.work_tree, &set.git_dir) {
        (Some(top), _) => Some(path.join(top)),
        (None, None) => own(),
        (None, Some(_)) if repository.is_bare() => None,
        // git's rule: GIT_DIR alone makes the current directory the top.
        (None, Some(_)) => match repository.config()?.get_path("core.worktree") {
            Ok(_) => own(),
            Err(_) => Some(path.to_owned()),
        },
    };
    let layout = Layout {
        git_dir: repository.path().to_owned(),
        common_dir: repository.commondir().to_owned(),
        top,
        format: ObjectFormat::Sha1,
    };
    Ok(assemble(path, set, layout, Some(repository)))
}

/// Everything as git sees it, for whatever libgit2 doesn't open.
fn open_with_git(path: &Path, set: &GitEnvironment) -> Result<Repository, RepoError> {
    let git = Git {
        directory: path.to_owned(),
        environment: set.clone(),
    };
    // One question each: a path may hold a line feed.
    let ask = |question: &[&str]| -> Result<Vec<u8>, String> {
        let args = [&["rev-parse"], question].concat();
        let outcome = git.outcome(git.command(args), Vec::new());
        match outcome.map_err(|error| error.to_string())? {
            (Some(0), mut out, _) => {
                out.pop_if(|last| *last == b'\n');
                Ok(out)
            }
            (_, _, said) => Err(said),
        }
    };
    let refused = |reason| RepoError::NotARepository {
        path: path.to_owned(),
        reason,
    };
    let git_dir = path_from_bytes(&ask(&["--absolute-git-dir"]).map_err(refused)?);
    let common_dir = path_from_bytes(&ask(&["--git-common-dir"]).map_err(refused)?);
    let format = match ask(&["--show-object-format=storage"])
        .map_err(refused)?
        .as_slice()
    {
        b"sha1" => ObjectFormat::Sha1,
        b"sha256" => ObjectFormat::Sha256,
        other => {
            let name = String::from_utf8_lossy(other);
            return Err(refused(format!("unknown object format {name}")));
        }
    };
    let layout = Layout {
        common_dir: path.join(common_dir),
        // Fails where there is none: in a bare repository, or inside a git directory.
        top: ask(&["--show-toplevel"])
            .ok()
            .map(|top| path_from_bytes(&top)),
        git_dir,
        format,
    };
    Ok(assemble(path, set, layout, None))
}

/// Resolves the variables that remain, and sets up how git is started here.
fn assemble(
    path: &Path,
    set: &GitEnvironment,
    layout: Layout,
    repository: Option<git2::Repository>,
) -> Repository {
    let base = match &layout.top {
        Some(top) => top.clone(),
        None if set.git_dir.is_some() => path.to_owned(),
        None => layout.git_dir.clone(),
    };
    let absolute = |value: &Option<PathBuf>| value.as_ref().map(|value| base.join(value));
    let index_file = absolute(&set.index_file);
    let object_directory = absolute(&set.object_directory);
    let native = repository.map(|repository| {
        let main = object_directory
            .clone()
            .unwrap_or_else(|| layout.common_dir.join("objects"));
        let alternates = match &set.alternate_object_directories {
            Some(list) => split_alternates(list, &base),
            None => Some(Vec::new()),
        };
        Native {
            repository: Mutex::new(repository),
            objects: alternates.map(|more| std::iter::once(main).chain(more).collect()),
        }
    });
    let git = Git {
        directory: base.clone(),
        environment: GitEnvironment {
            // Named, so that git need not search and can't find another; it was willing to open
            // this one when it was found.
            git_dir: Some(layout.git_dir.clone()),
            work_tree: layout.top.clone(),
            common_dir: set.common_dir.as_ref().map(|_| layout.common_dir.clone()),
            index_file: index_file.clone(),
            object_directory,
            alternate_object_directories: set.alternate_object_directories.clone(),
            quarantine_path: absolute(&set.quarantine_path),
            ceiling_directories: None,
        },
    };
    Repository {
        index_file: index_file.unwrap_or_else(|| layout.git_dir.join("index")),
        git_dir: layout.git_dir,
        common_dir: layout.common_dir,
        top: layout.top,
        format: layout.format,
        native,
        git,
    }
}
