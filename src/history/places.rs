//! Everything in a git directory that is no object: configuration, hooks, logs, messages, names
//! of refs, the index, files of LFS, worktrees' private state. Read as plain files, all of them:
//! what git or an extension may put there one day is read as well.

use std::io;
use std::path::{Path, PathBuf};

/// What a git directory holds besides its objects.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// Files to be read.
    pub(super) files: Vec<PathBuf>,
    /// Git directories of submodules, with databases of their own.
    pub(super) nested: Vec<PathBuf>,
    /// What could not be listed.
    pub(super) failed: Vec<(PathBuf, io::Error)>,
}

/// Lists a git directory, without its objects.
pub(super) fn list(git_dir: &Path) -> Places {
    let mut places = Places::default();
    let mut todo = vec![git_dir.to_owned()];
    while let Some(directory) = todo.pop() {
        let entries = match std::fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) => {
                places.failed.push((directory, error));
                continue;
            }
        };
        let in_objects = directory == git_dir.join("objects");
        for entry in entries {
            let (path, kind) = match entry.and_then(|entry| Ok((entry.path(), entry.file_type()?)))
            {
                Ok(found) => found,
                Err(error) => {
                    places.failed.push((directory.clone(), error));
                    continue;
                }
            };
            if kind.is_dir() {
                let nested = path.join("objects").is_dir() && path.join("HEAD").is_file();
                if in_objects && is_fan(&path) {
                    continue;
                } else if nested {
                    places.nested.push(path);
                } else {
                    todo.push(path);
                }
            } else if kind.is_file()
                && !(path.starts_with(git_dir.join("objects")) && is_database(&path))
            {
                places.files.push(path);
            }
        }
    }
    places.files.sort();
    places.nested.sort();
    places
}

/// `objects/xx`, where loose objects are.
fn is_fan(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    name.len() == 2 && name.iter().all(u8::is_ascii_hexdigit)
}

/// Packs, which are read as such, and tables made from them, which hold ids and numbers only.
fn is_database(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    matches!(
        &*extension,
        "pack" | "idx" | "rev" | "bitmap" | "mtimes" | "graph"
    ) || name.starts_with("tmp_pack_")
        || name.starts_with("multi-pack-index")
        || name == "commit-graph"
}
