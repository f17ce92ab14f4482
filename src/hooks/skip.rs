//! `SKEWER_SKIP="reason"`: a way through for whoever has to, on the record.

use std::ffi::OsStr;
use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{HookError, HookType};
use crate::secret::Masked;

/// The record, within the directory that all worktrees share: a JSON object a line.
pub const SKIPS: &str = "skewer/skips.log";

/// A check that was skipped.
#[derive(Clone, Debug)]
pub struct Skip {
    /// When.
    pub time: jiff::Timestamp,
    /// Which check.
    pub hook: HookType,
    /// The reason given.
    pub reason: Masked,
    /// The commit that was checked out.
    pub head: Option<String>,
    /// Git's `user.name`.
    pub user: Option<Masked>,
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    hook: &'static str,
    reason: std::borrow::Cow<'a, str>,
    head: Option<&'a str>,
    user: Option<std::borrow::Cow<'a, str>>,
}

/// The reason in the variable's value, if it is set.
pub fn skip_reason(value: Option<&OsStr>) -> Result<Option<String>, HookError> {
    let Some(value) = value else { return Ok(None) };
    let reason = value.to_string_lossy().trim().to_owned();
    if reason.is_empty() {
        return Err(HookError::NoReason);
    }
    Ok(Some(reason))
}

/// Appends a line to the record, which only its owner can read, and returns where it is. Whoever
/// can't record must not skip.
pub fn record_skip(common_dir: &Path, skip: &Skip) -> Result<PathBuf, HookError> {
    let path = common_dir.join(SKIPS);
    let mut dir = DirBuilder::new();
    dir.recursive(true);
    let mut file = OpenOptions::new();
    file.append(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
        dir.mode(0o700);
        file.mode(0o600);
    }
    let parent = path.parent().unwrap_or(common_dir);
    dir.create(parent)
        .map_err(HookError::io("make the directory", parent))?;
    let mut line = serde_json::to_vec(&Line {
        time: skip.time.to_string(),
        hook: skip.hook.as_str(),
        reason: skip.reason.text(),
        head: skip.head.as_deref(),
        user: skip.user.as_ref().map(Masked::text),
    })
    .expect("strings alone always serialise");
    line.push(b'\n');
    // One write of an appending file: lines of hooks that run side by side don't mix.
    file.open(&path)
        .and_then(|mut file| file.write_all(&line))
        .map_err(HookError::io("record the skipped check in", &path))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skip_needs_a_reason() {
        assert_eq!(skip_reason(None).unwrap(), None);
        for empty in ["", "  \t"] {
            assert!(matches!(
                skip_reason(Some(empty.as_ref())),
                Err(HookError::NoReason)
            ));
        }
        assert_eq!(skip_reason(Some(" why ".as_ref())).unwrap().unwrap(), "why");
    }

    #[test]
    fn skips_are_appended_for_the_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let mut skip = Skip {
            time: jiff::Timestamp::from_second(0).unwrap(),
            hook: HookType::PreCommit,
            reason: Masked::vouched("a \"reason\"\nof two lines"),
            head: None,
            user: Some(Masked::vouched("Ann")),
        };
        record_skip(dir.path(), &skip).unwrap();
        skip.head = Some("ab".repeat(20));
        let path = record_skip(dir.path(), &skip).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["time"], "1970-01-01T00:00:00Z");
        assert_eq!(lines[0]["reason"], "a \"reason\"\nof two lines");
        assert_eq!(lines[0]["head"], serde_json::Value::Null);
        assert_eq!(lines[1]["head"], "ab".repeat(20));
        assert_eq!(lines[1]["user"], "Ann");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }
}
