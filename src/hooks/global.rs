//! One directory of hooks for all of a user's repositories, through git's global
//! `core.hooksPath`. Git then looks nowhere else, so the directory holds a script for *every*
//! hook, and each passes on to the hook that it hides.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::git::path_from;
use super::install::{exists, write_script};
use super::layout::same_dir;
use super::shim::{self, recognise};
use super::{Git, HookError, HookType};

/// Every hook that git knows, from githooks(5) of git 2.47.
pub const HOOK_NAMES: [&str; 28] = [
    "applypatch-msg",
    "commit-msg",
    "fsmonitor-watchman",
    "p4-changelist",
    "p4-post-changelist",
    "p4-pre-submit",
    "p4-prepare-changelist",
    "post-applypatch",
    "post-checkout",
    "post-commit",
    "post-index-change",
    "post-merge",
    "post-receive",
    "post-rewrite",
    "post-update",
    "pre-applypatch",
    "pre-auto-gc",
    "pre-commit",
    "pre-merge-commit",
    "pre-push",
    "pre-rebase",
    "pre-receive",
    "prepare-commit-msg",
    "proc-receive",
    "push-to-checkout",
    "reference-transaction",
    "sendemail-validate",
    "update",
];

/// Where the previous values of `core.hooksPath` are written down.
const BEFORE: &str = "before.json";

/// What the global configuration said before us.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// The values of `core.hooksPath` as written, in order; the last one counted.
    pub values: Vec<String>,
    /// The last one with `~` expanded: its hooks are passed on to.
    pub dir: Option<PathBuf>,
}

/// A global installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Global {
    /// Our directory.
    pub dir: PathBuf,
    /// What was there before.
    pub before: Before,
    /// Whether the global configuration leads, or led, to our directory.
    pub active: bool,
}

impl Global {
    /// Looks at what is installed in `dir`; `None` if nothing is.
    pub fn find(git: &Git, dir: &Path) -> Result<Option<Self>, HookError> {
        let before = match fs::read(dir.join(BEFORE)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| HookError::Io {
                doing: "understand",
                path: dir.join(BEFORE),
                error: error.into(),
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(HookError::io("read", dir.join(BEFORE))(error)),
        };
        let active = configured(git, dir)?
            .dir
            .is_some_and(|now| same_dir(&now, dir));
        Ok(Some(Self {
            dir: dir.to_owned(),
            before,
            active,
        }))
    }
}

/// Makes `dir` with a script for every hook, of which `scanning` scan, and points the global
/// `core.hooksPath` at it. Doing it again brings the scripts up to date.
pub fn install_global(
    git: &Git,
    dir: &Path,
    scanning: &[HookType],
    program: &Path,
) -> Result<Global, HookError> {
    fs::create_dir_all(dir).map_err(HookError::io("make the directory", dir))?;
    let now = configured(git, dir)?;
    let ours = now.dir.as_deref().is_some_and(|set| same_dir(set, dir));
    let before = match Global::find(git, dir)? {
        Some(old) if ours => old.before,
        _ => now,
    };
    let own = before.dir.as_deref().is_some_and(|set| same_dir(set, dir));
    let before = if own { Before::default() } else { before };
    for name in HOOK_NAMES {
        let scans = scanning.iter().copied().find(|hook| hook.as_str() == name);
        let text = shim::global(name, scans, program, before.dir.as_deref())?;
        let path = dir.join(name);
        if !fs::read(&path).is_ok_and(|now| now == text.as_bytes()) {
            write_script(&path, &text)?;
        }
    }
    // Written before the configuration is changed: an interruption leaves the old value known.
    let record = serde_json::to_string_pretty(&before).expect("strings alone always serialise");
    let path = dir.join(BEFORE);
    fs::write(&path, record).map_err(HookError::io("write", &path))?;
    if !ours {
        let value = dir
            .to_str()
            .ok_or_else(|| HookError::UnfitPath(dir.to_owned()))?;
        let value = if cfg!(windows) {
            value.replace('\\', "/")
        } else {
            value.to_owned()
        };
        git.ask(
            dir,
            &[
                "config",
                "--global",
                "--replace-all",
                "core.hooksPath",
                &value,
            ],
        )?;
    }
    Ok(Global {
        dir: dir.to_owned(),
        before,
        active: true,
    })
}

/// Puts the old values of `core.hooksPath` back and removes our scripts; `None` if nothing was
/// installed. A value that somebody has set since stays ([`Global::active`] is false then).
pub fn uninstall_global(git: &Git, dir: &Path) -> Result<Option<Global>, HookError> {
    let Some(global) = Global::find(git, dir)? else {
        return Ok(None);
    };
    if global.active {
        git.ask(
            dir,
            &["config", "--global", "--unset-all", "core.hooksPath"],
        )?;
        for value in &global.before.values {
            git.ask(
                dir,
                &["config", "--global", "--add", "core.hooksPath", value],
            )?;
        }
    }
    for name in HOOK_NAMES {
        let path = dir.join(name);
        if recognise(&path).is_some() {
            fs::remove_file(&path).map_err(HookError::io("remove", &path))?;
        }
    }
    let record = dir.join(BEFORE);
    if exists(&record) {
        fs::remove_file(&record).map_err(HookError::io("remove", &record))?;
    }
    // Fails if somebody put more into it, which then stays.
    let _ = fs::remove_dir(dir);
    Ok(Some(global))
}

/// What the global configuration says now.
fn configured(git: &Git, dir: &Path) -> Result<Before, HookError> {
    let args = ["config", "--global", "-z", "--get-all", "core.hooksPath"];
    let values: Vec<String> = git
        .ask_maybe(dir, &args)?
        .unwrap_or_default()
        .split(|b| *b == 0)
        .filter(|value| !value.is_empty())
        .map(|value| String::from_utf8_lossy(value).into_owned())
        .collect();
    let args = [
        "config",
        "--global",
        "--type=path",
        "--get",
        "core.hooksPath",
    ];
    let last = git.ask_maybe(dir, &args)?.map(|path| path_from(&path));
    Ok(Before {
        values,
        dir: last.filter(|path| !path.as_os_str().is_empty()),
    })
}
