//! Putting shims into a directory of hooks and taking them out, so that what was there before is
//! there again, byte for byte.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::shim::{self, recognise};
use super::{HookError, HookType, Layout};

/// What is added to the name of a hook that was there before.
pub const KEPT_SUFFIX: &str = ".skewer-kept";

/// What was done to one hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was put in.
    Installed,
    /// It was ours, of another version or for another program, and was replaced.
    Updated,
    /// It was just so already.
    Unchanged,
    /// It was taken out.
    Removed,
    /// It was taken out, and what was there before is back.
    Restored,
    /// It is not ours, and was left alone.
    Foreign,
    /// There was none.
    Absent,
}

/// One hook, and what was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// The hook.
    pub hook: HookType,
    /// Its file.
    pub path: PathBuf,
    /// What was done.
    pub change: Change,
    /// The file of the hook that was there before and is run too.
    pub kept: Option<PathBuf>,
}

/// Installs hooks in a repository. `program` is the absolute path of skewer. Doing it again
/// changes nothing; everything is checked before anything is changed.
///
/// # Errors
/// Where `core.hooksPath` leads git elsewhere, unless to `global`, our own directory, which
/// passes on.
pub fn install(
    layout: &Layout,
    hooks: &[HookType],
    program: &Path,
    global: Option<&Path>,
) -> Result<Vec<Done>, HookError> {
    let dir = layout.hooks();
    let passes_on = global.is_some_and(|dir| super::layout::same_dir(&layout.used, dir));
    if !layout.uses_own_hooks() && !passes_on {
        return Err(overridden(layout));
    }
    for hook in hooks {
        let (path, kept) = paths(&dir, *hook);
        if exists(&kept) && exists(&path) && recognise(&path).is_none() && !same_file(&path, &kept)
        {
            return Err(HookError::TwoHooks { hook: path, kept });
        }
    }
    fs::create_dir_all(&dir).map_err(HookError::io("make the directory", &dir))?;
    hooks
        .iter()
        .map(|hook| install_one(&dir, *hook, program))
        .collect()
}

fn install_one(dir: &Path, hook: HookType, program: &Path) -> Result<Done, HookError> {
    let (path, kept) = paths(dir, hook);
    let text = shim::local(hook, program)?;
    let change = match recognise(&path) {
        Some(_)
            if fs::read(&path).is_ok_and(|now| now == text.as_bytes()) && is_runnable(&path) =>
        {
            Change::Unchanged
        }
        Some(_) => Change::Updated,
        None => {
            if exists(&path) && !exists(&kept) {
                keep(&path, &kept)?;
            }
            Change::Installed
        }
    };
    if change != Change::Unchanged {
        write_script(&path, &text)?;
    }
    Ok(Done {
        hook,
        path,
        change,
        kept: exists(&kept).then_some(kept),
    })
}

/// Takes our hooks out and puts back what was there before.
pub fn uninstall(layout: &Layout, hooks: &[HookType]) -> Result<Vec<Done>, HookError> {
    let dir = layout.hooks();
    let one = |hook: &HookType| {
        let (path, kept) = paths(&dir, *hook);
        let mut left = None;
        let change = if recognise(&path).is_none() {
            left = exists(&kept).then(|| kept.clone());
            if exists(&path) {
                Change::Foreign
            } else {
                Change::Absent
            }
        } else if exists(&kept) {
            fs::rename(&kept, &path).map_err(HookError::io("put back", &path))?;
            Change::Restored
        } else {
            fs::remove_file(&path).map_err(HookError::io("remove", &path))?;
            Change::Removed
        };
        Ok(Done {
            hook: *hook,
            path,
            change,
            kept: left,
        })
    };
    hooks.iter().map(one).collect()
}

/// A second name for the old hook before the shim takes the first one over: at no time is there
/// no hook. File systems without hard links get a rename.
fn keep(path: &Path, kept: &Path) -> Result<(), HookError> {
    let link = fs::symlink_metadata(path).is_ok_and(|meta| meta.is_symlink());
    if !link && fs::hard_link(path, kept).is_ok() {
        return Ok(());
    }
    fs::rename(path, kept).map_err(HookError::io("keep the old hook as", kept))
}

/// Writes an executable script in one step.
pub(super) fn write_script(path: &Path, text: &str) -> Result<(), HookError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let fail = |error| HookError::io("write the hook", path)(error);
    let mut file = tempfile::Builder::new()
        .prefix(".skewer-")
        .tempfile_in(dir)
        .map_err(fail)?;
    file.write_all(text.as_bytes()).map_err(fail)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::Permissions::from_mode(0o755);
        file.as_file().set_permissions(mode).map_err(fail)?;
    }
    file.as_file().sync_all().map_err(fail)?;
    file.persist(path).map_err(|error| fail(error.error))?;
    Ok(())
}

pub(super) fn paths(dir: &Path, hook: HookType) -> (PathBuf, PathBuf) {
    (
        dir.join(hook.as_str()),
        dir.join(format!("{hook}{KEPT_SUFFIX}")),
    )
}

/// Whether there is anything of that name, be it a link to nowhere.
pub(super) fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Whether git would run it.
pub(super) fn is_runnable(path: &Path) -> bool {
    let Ok(meta) = fs::metadata(path) else {
        return false;
    };
    #[cfg(unix)]
    let mode_fits = {
        use std::os::unix::fs::PermissionsExt;
        meta.permissions().mode() & 0o111 != 0
    };
    #[cfg(not(unix))]
    let mode_fits = true;
    meta.is_file() && mode_fits
}

/// An interrupted installation leaves two names for one hook.
fn same_file(a: &Path, b: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let id = |path| {
            fs::symlink_metadata(path)
                .map(|meta| (meta.dev(), meta.ino()))
                .ok()
        };
        id(a) == id(b)
    }
    #[cfg(not(unix))]
    {
        matches!((fs::read(a), fs::read(b)), (Ok(a), Ok(b)) if a == b)
    }
}

/// Why the repository's own hooks are not run, and what to do about it.
pub(super) fn overridden(layout: &Layout) -> HookError {
    let (scope, origin) = layout.hooks_paths.last().map_or_else(
        || ("environment".to_owned(), "of this command".to_owned()),
        |setting| (setting.scope.clone(), setting.origin.clone()),
    );
    let husky = layout.used.iter().any(|part| part == ".husky");
    let hint = if husky {
        "husky runs your hooks: add the line `skewer hook run pre-commit \"$@\"` to \
         .husky/pre-commit, and likewise for pre-merge-commit, commit-msg and pre-push"
    } else {
        "add `skewer hook run TYPE \"$@\"` to the hooks there, or unset core.hooksPath, or use \
         `skewer hook install --global`, which passes on to a directory set before"
    };
    HookError::Overridden {
        hooks: layout.hooks(),
        scope,
        origin,
        used: layout.used.clone(),
        hint: hint.to_owned(),
    }
}
