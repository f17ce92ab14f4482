//! Running the hook that was there before, as git would have run it.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::install::{KEPT_SUFFIX, is_runnable};
use super::shim::recognise;
use super::{HookError, HookType};

/// How much of git's lines to a push hook is kept in memory, in bytes: about a million refs.
pub const MOST_INPUT: usize = 256 << 20;

/// `ENOEXEC`, the same number on every Unix.
const NO_EXEC: i32 = 8;

/// A hook's standard input.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Left alone: the kept hook gets ours.
    Untouched,
    /// Read already; the kept hook gets the same bytes.
    Read(&'a [u8]),
}

/// Reads a push hook's whole standard input.
pub fn read_input(from: impl Read) -> Result<Vec<u8>, HookError> {
    let mut bytes = Vec::new();
    from.take(MOST_INPUT as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(HookError::io("read", "the hook's standard input"))?;
    if bytes.len() > MOST_INPUT {
        return Err(HookError::TooMuchInput);
    }
    Ok(bytes)
}

/// The hook to run beside ours: `path`, or, where that is a shim of ours too (a repository with
/// hooks of its own under a global installation), the one that it keeps, so that nothing is
/// scanned twice. `None` if git would not run it either.
pub fn kept_hook(path: &Path, hook: HookType) -> Option<PathBuf> {
    let path = match recognise(path) {
        Some(_) => path.with_file_name(format!("{hook}{KEPT_SUFFIX}")),
        None => path.to_owned(),
    };
    (is_runnable(&path) && recognise(&path).is_none()).then_some(path)
}

/// Runs a kept hook and returns its exit code, 128 and the signal's number if one ended it.
pub fn run_kept(path: &Path, args: &[OsString], input: Input<'_>) -> Result<i32, HookError> {
    let fail = |error| HookError::io("run the kept hook", path)(error);
    let spawn = |command: &mut Command| {
        if let Input::Read(_) = input {
            command.stdin(Stdio::piped());
        }
        command.args(args).spawn()
    };
    let started = if cfg!(windows) {
        // The system can't start scripts there; git's own shell can, and heeds the `#!` line.
        spawn(
            Command::new("sh")
                .args(["-c", r#"exec "$0" "$@""#])
                .arg(path),
        )
    } else {
        // A bare name would be looked up in PATH.
        let path = match path.components().count() {
            1 => Path::new(".").join(path),
            _ => path.to_owned(),
        };
        match spawn(&mut Command::new(&path)) {
            // No `#!` line: git falls back to the shell as well.
            Err(error) if error.raw_os_error() == Some(NO_EXEC) => {
                spawn(Command::new("sh").arg(&path))
            }
            other => other,
        }
    };
    let mut child = started.map_err(fail)?;
    if let (Input::Read(bytes), Some(mut pipe)) = (input, child.stdin.take()) {
        // A hook need not read its input: git ignores that, so do we. What it prints goes
        // straight to the terminal, so that a full pipe can't stop both.
        let _ = pipe.write_all(bytes);
    }
    let status = child.wait().map_err(fail)?;
    #[cfg(unix)]
    {
        use std::os::unix::process::ExitStatusExt;
        if let Some(signal) = status.signal() {
            return Ok(128 + signal);
        }
    }
    Ok(status.code().unwrap_or(1))
}
