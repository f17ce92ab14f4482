//! Asking the `git` program what only it knows for sure: where it looks for hooks, and its
//! configuration with includes and conditions.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::HookError;

/// The `git` program and what is changed in the environment it inherits.
#[derive(Clone, Debug)]
pub struct Git {
    program: PathBuf,
    changes: Vec<(OsString, Option<OsString>)>,
}

impl Git {
    /// `program` is a path, or a name that is looked up in `PATH`.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            changes: Vec::new(),
        }
    }

    /// Sets a variable, or with `None` removes it.
    #[must_use]
    pub fn with(mut self, name: impl Into<OsString>, value: Option<OsString>) -> Self {
        self.changes.push((name.into(), value));
        self
    }

    /// A command, ready for arguments, in `dir`.
    pub(super) fn command(&self, dir: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(dir).stdin(Stdio::null());
        for (name, value) in &self.changes {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    }

    /// Runs it and returns everything, whatever the exit code.
    pub(super) fn output<S: AsRef<OsStr>>(
        &self,
        dir: &Path,
        args: &[S],
    ) -> Result<Output, HookError> {
        self.command(dir)
            .args(args)
            .output()
            .map_err(|error| HookError::NoGit {
                program: self.program.clone(),
                error,
            })
    }

    /// Standard output of a run that must succeed.
    pub(super) fn ask<S: AsRef<OsStr>>(
        &self,
        dir: &Path,
        args: &[S],
    ) -> Result<Vec<u8>, HookError> {
        let output = self.output(dir, args)?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let words: Vec<_> = args
            .iter()
            .map(|arg| arg.as_ref().to_string_lossy())
            .collect();
        Err(HookError::Git {
            command: words.join(" "),
            said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }

    /// Standard output without its line break; `None` if git has no answer (exit code 1).
    pub(super) fn ask_maybe(
        &self,
        dir: &Path,
        args: &[&str],
    ) -> Result<Option<Vec<u8>>, HookError> {
        let output = self.output(dir, args)?;
        match output.status.code() {
            Some(0) => Ok(Some(output.stdout)),
            Some(1) => Ok(None),
            _ => Err(HookError::Git {
                command: args.join(" "),
                said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            }),
        }
    }

    /// The commit that `HEAD` names, and the configured name of the user: for records.
    pub fn head_and_user(&self, dir: &Path) -> (Option<String>, Option<Vec<u8>>) {
        let first = |args: &[&str]| {
            let said = self.ask_maybe(dir, args).ok().flatten()?;
            Some(said.trim_ascii().to_owned()).filter(|text| !text.is_empty())
        };
        let head = first(&["rev-parse", "--verify", "--quiet", "HEAD"]);
        (
            head.and_then(|id| String::from_utf8(id).ok()),
            first(&["config", "user.name"]),
        )
    }
}

/// A path as git printed it, without its line break.
pub(super) fn path_from(bytes: &[u8]) -> PathBuf {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        PathBuf::from(OsStr::from_bytes(bytes))
    }
    #[cfg(not(unix))]
    {
        PathBuf::from(String::from_utf8_lossy(bytes).into_owned())
    }
}
