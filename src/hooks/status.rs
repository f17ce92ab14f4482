//! Which hooks are in place, and what else lays its hands on hooks here.

use std::path::{Path, PathBuf};

use super::install::{exists, is_runnable, overridden, paths};
use super::layout::same_dir;
use super::shim::recognise;
use super::{Git, Global, HookError, HookType, Layout};

/// What stands at a hook's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing.
    Absent,
    /// Our shim.
    Ours {
        /// The program it was made for.
        program: PathBuf,
        /// Whether that program is still there.
        found: bool,
        /// Whether this version made it.
        current: bool,
    },
    /// Another hook, which runs ours that it found when it was installed.
    Beneath {
        /// Our shim's file now.
        ours: PathBuf,
    },
    /// Another hook.
    Foreign,
    /// A file that git ignores because it isn't executable.
    NotExecutable,
}

/// One hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookStatus {
    /// Which.
    pub hook: HookType,
    /// Its place in the repository's own directory.
    pub path: PathBuf,
    /// What stands there.
    pub state: State,
    /// The hook that was there before and is run too.
    pub kept: Option<PathBuf>,
    /// Whether git, by whatever way, scans at this point.
    pub scans: bool,
}

/// Another tool that manages hooks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manager {
    /// Its name.
    pub name: &'static str,
    /// The file or directory by which it was known.
    pub file: PathBuf,
    /// What it does to our hooks and what to do about it.
    pub advice: &'static str,
}

/// Everything about hooks here.
#[derive(Debug)]
pub struct Status {
    /// The repository.
    pub layout: Layout,
    /// The hooks that scan.
    pub hooks: Vec<HookStatus>,
    /// The global installation.
    pub global: Option<Global>,
    /// Set if git doesn't look into the repository's own hooks, nor into ours.
    pub overridden: Option<HookError>,
    /// Other tools.
    pub managers: Vec<Manager>,
}

/// Name, files by which it is known, advice. A new tool is one line here.
const MANAGERS: &[(&str, &[&str], &str)] = &[
    (
        "husky",
        &[".husky"],
        "it sets core.hooksPath to .husky/_: add `skewer hook run pre-commit \"$@\"` to .husky/pre-commit (and the like for other types)",
    ),
    (
        "lefthook",
        &[
            "lefthook.yml",
            ".lefthook.yml",
            "lefthook.yaml",
            ".lefthook.yaml",
            "lefthook.toml",
            "lefthook.json",
        ],
        "`lefthook install` replaces hooks (ours is renamed to .old): add a command with `run: skewer hook run pre-commit` to its configuration",
    ),
    (
        "pre-commit",
        &[".pre-commit-config.yaml"],
        "`pre-commit install` moves our hook to .legacy and still runs it; or list skewer's own .pre-commit-hooks.yaml in its configuration",
    ),
    (
        "overcommit",
        &[".overcommit.yml"],
        "`overcommit --install` replaces hooks: add a custom hook that runs `skewer hook run pre-commit`",
    ),
];

/// Looks at the repository that `dir` is in; `global` is the directory that
/// [`super::install_global`] uses.
pub fn status(git: &Git, dir: &Path, global: &Path) -> Result<Status, HookError> {
    let layout = Layout::find(git, dir)?;
    let through_global = same_dir(&layout.used, global);
    let reached = layout.uses_own_hooks() || through_global;
    let hooks = HookType::ALL.map(|hook| {
        let (path, kept) = paths(&layout.hooks(), hook);
        let state = state(&path);
        let local = matches!(state, State::Ours { .. } | State::Beneath { .. });
        let by_global = through_global
            && recognise(&global.join(hook.as_str())).is_some_and(|shim| shim.program.is_some());
        HookStatus {
            hook,
            path,
            scans: reached && local || by_global,
            state,
            kept: exists(&kept).then_some(kept),
        }
    });
    let managers = MANAGERS.iter().filter_map(|(name, files, advice)| {
        let tree = layout.worktree.as_ref()?;
        let file = files
            .iter()
            .map(|file| tree.join(file))
            .find(|file| exists(file))?;
        Some(Manager { name, file, advice })
    });
    Ok(Status {
        hooks: hooks.to_vec(),
        global: Global::find(git, global)?,
        overridden: (!reached).then(|| overridden(&layout)),
        managers: managers.collect(),
        layout,
    })
}

fn state(path: &Path) -> State {
    if !exists(path) {
        return State::Absent;
    }
    if !is_runnable(path) {
        return State::NotExecutable;
    }
    if let Some(shim) = recognise(path) {
        let program = shim.program.unwrap_or_default();
        return State::Ours {
            found: is_runnable(&program),
            program,
            current: shim.current,
        };
    }
    // pre-commit renames what it finds, and runs it; lefthook's .old is never run.
    let mut legacy = path.as_os_str().to_owned();
    legacy.push(".legacy");
    let legacy = PathBuf::from(legacy);
    match recognise(&legacy) {
        Some(_) if is_runnable(&legacy) => State::Beneath { ours: legacy },
        _ => State::Foreign,
    }
}
