//! The scripts that git runs: POSIX sh, built-ins only, one `exec`.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::install::KEPT_SUFFIX;
use super::{HookError, HookType};

/// By this, in its second line, a script of ours is known. The number changes with the text.
const MARK: &str = "# skewer hook 1, made by `skewer hook install`";

/// The start of [`MARK`] that every version shares.
const ANY_MARK: &str = "# skewer hook ";

/// The shim that stands in a repository's own directory of hooks.
pub(super) fn local(hook: HookType, program: &Path) -> Result<String, HookError> {
    let mut text = head(Some(program))?;
    text.push_str("case $0 in */*) here=${0%/*} ;; *) here=. ;; esac\n");
    text.push_str(&format!("kept=$here/{hook}{KEPT_SUFFIX}\n"));
    text.push_str(&run(hook, "rm \\\"$0\\\""));
    Ok(text)
}

/// The shim that `core.hooksPath` leads to: it scans if `scans`, and passes on to what git would
/// have run without it, which is `before`'s hook or the repository's own.
pub(super) fn global(
    name: &str,
    scans: Option<HookType>,
    program: &Path,
    before: Option<&Path>,
) -> Result<String, HookError> {
    let mut text = head(scans.map(|_| program))?;
    match before {
        Some(dir) => text.push_str(&format!("kept={}/{name}\n", quoted(dir)?)),
        None => text.push_str(&FIND_OWN.replace("NAME", name)),
    }
    match (scans, name) {
        (Some(hook), _) => {
            text.push_str(&run(hook, "git config --global --unset core.hooksPath"));
        }
        (None, "push-to-checkout") => {
            text.push_str(PASS);
            text.push_str(PUSH_TO_CHECKOUT);
        }
        (None, "proc-receive") => {
            text.push_str(PASS);
            text.push_str("echo 'skewer: this repository has no proc-receive hook' >&2\nexit 1\n");
        }
        (None, _) => {
            text.push_str(PASS);
            text.push_str("exit 0\n");
        }
    }
    Ok(text)
}

/// Finds the repository's own hook. Git exports `GIT_DIR` where the repository is not simply
/// `.git` under the current directory; asking git itself is the last resort, as it costs a process.
const FIND_OWN: &str = r#"dir=${GIT_COMMON_DIR:-}
if [ -z "$dir" ]; then
	dir=${GIT_DIR:-.git}
	if [ -f "$dir" ]; then
		IFS= read -r line <"$dir"
		dir=${line#gitdir: }
	fi
	if [ ! -d "$dir" ]; then
		dir=$(git rev-parse --git-common-dir) || exit 1
	elif [ -f "$dir/commondir" ]; then
		IFS= read -r line <"$dir/commondir"
		case $line in /* | ?:*) dir=$line ;; *) dir=$dir/$line ;; esac
	fi
fi
kept=$dir/hooks/NAME
"#;

const PASS: &str = "if [ -f \"$kept\" ] && [ -x \"$kept\" ]; then\n\texec \"$kept\" \"$@\"\nfi\n";

/// Where a hook of this name exists, git leaves the working tree to it: this does what git does
/// without one (`push_to_deploy` in its receive-pack).
const PUSH_TO_CHECKOUT: &str = r#"git update-index -q --ignore-submodules --refresh &&
	git diff-files --quiet --ignore-submodules -- || {
	echo 'the working tree has unstaged changes' >&2
	exit 1
}
base=HEAD
git rev-parse --verify --quiet HEAD >/dev/null || base=$(git hash-object -t tree /dev/null)
git diff-index --quiet --cached --ignore-submodules "$base" -- || {
	echo 'the working tree has staged changes' >&2
	exit 1
}
exec git read-tree -u -m "$1"
"#;

fn head(program: Option<&Path>) -> Result<String, HookError> {
    let mut text = format!("#!/bin/sh\n{MARK}; `skewer hook uninstall` takes it out.\n");
    if let Some(program) = program {
        text.push_str(&format!("program={}\n", quoted(program)?));
    }
    Ok(text)
}

/// Starts the program, or says how to get it. A check that can't run stops the change: one that
/// is passed over in silence protects nobody.
fn run(hook: HookType, remove: &str) -> String {
    let once = match hook {
        HookType::PreReceive => "",
        HookType::PrePush => "\n  once:      git push --no-verify",
        _ => "\n  once:      git commit --no-verify (or git merge --no-verify)",
    };
    format!(
        r#"[ -x "$program" ] || program=skewer
if command -v "$program" >/dev/null 2>&1; then
	exec "$program" hook run --kept "$kept" {hook} -- "$@"
fi
echo "skewer: nothing was checked, so this stops: the program is neither where it was
installed from nor in PATH.
  get it:    cargo install --locked --path DIR (DIR: a checkout of skewer), then
             skewer hook install{once}
  for good:  {remove}" >&2
exit 1
"#
    )
}

fn quoted(path: &Path) -> Result<String, HookError> {
    let text = path
        .to_str()
        .filter(|text| !text.contains(['\n', '\r']))
        .ok_or_else(|| HookError::UnfitPath(path.to_owned()))?;
    // Windows: the shell that comes with git wants forward slashes.
    let text = if cfg!(windows) {
        text.trim_start_matches(r"\\?\").replace('\\', "/")
    } else {
        text.to_owned()
    };
    Ok(format!("'{}'", text.replace('\'', r"'\''")))
}

/// What a script of ours says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shim {
    /// The program that it starts; `None` if it only passes on.
    pub(super) program: Option<PathBuf>,
    /// Whether this version of skewer wrote it.
    pub(super) current: bool,
}

/// Reads a hook and tells whether it is ours. Files that can't be read or are no files are not.
pub(super) fn recognise(path: &Path) -> Option<Shim> {
    if !fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let mut start = Vec::new();
    let file = fs::File::open(path).ok()?;
    file.take(16 << 10).read_to_end(&mut start).ok()?;
    let text = String::from_utf8_lossy(&start);
    let mut lines = text.lines().skip(1);
    let mark = lines.next().filter(|line| line.starts_with(ANY_MARK))?;
    let program = lines.next().and_then(|line| {
        let path = line.strip_prefix("program='")?.strip_suffix('\'')?;
        Some(PathBuf::from(path.replace(r"'\''", "'")))
    });
    Some(Shim {
        program,
        current: mark.starts_with(MARK),
    })
}
