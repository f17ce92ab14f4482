//! A home, a configuration and repositories that nothing outside can reach.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use skewer::rules::Template;

pub(crate) const SKEWER: &str = env!("CARGO_BIN_EXE_skewer");

/// A synthetic key.
pub(crate) fn key(seed: u64) -> String {
    Template::parse("sk-proj-{long:74,74}")
        .unwrap()
        .fill(seed)
        .key
}

pub(crate) struct Sandbox {
    dir: tempfile::TempDir,
}

/// What a command did.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) text: String,
}

impl Said {
    #[track_caller]
    pub(crate) fn passes(self) -> String {
        assert_eq!(self.code, 0, "{}", self.text);
        self.text
    }

    /// Stopped because of a key, which is not shown.
    #[track_caller]
    pub(crate) fn stopped_by(self, key: &str) -> String {
        assert_ne!(self.code, 0, "{}", self.text);
        assert!(self.text.contains("stopped"), "{}", self.text);
        assert!(self.text.contains(&key[..8]), "{}", self.text);
        assert!(
            !self.text.contains(key) && !self.text.contains(&key[8..40]),
            "the key is shown"
        );
        self.text
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = [output.stdout, output.stderr].concat();
        Self {
            code: output.status.code().unwrap_or(-1),
            text: String::from_utf8_lossy(&text).into_owned(),
        }
    }
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("home")).unwrap();
        let config = "[user]\n\tname = Test\n\temail = test@localhost\n[init]\n\tdefaultBranch = main\n[protocol \"file\"]\n\tallow = always\n";
        std::fs::write(dir.path().join("gitconfig"), config).unwrap();
        Self { dir }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join(name)
    }

    /// A repository with one clean commit.
    pub(crate) fn repository(&self, name: &str, init: &[&str]) -> PathBuf {
        let path = self.path(name);
        self.git(self.dir.path(), &[&["init", "-q", name], init].concat())
            .passes();
        if !init.contains(&"--bare") {
            write(&path, "README", "clean\n");
            self.git(&path, &["add", "."]).passes();
            self.git(&path, &["commit", "-qm", "first"]).passes();
        }
        path
    }

    /// A repository with one commit and the hooks that are offered.
    pub(crate) fn guarded(&self, name: &str, init: &[&str]) -> PathBuf {
        let path = self.repository(name, init);
        self.skewer(&path, &["hook", "install"]).passes();
        path
    }

    pub(crate) fn command(&self, program: &str, dir: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(dir).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy().into_owned();
            if ["GIT_", "PRE_COMMIT", "SKEWER_", "XDG_"]
                .iter()
                .any(|start| text.starts_with(start))
            {
                command.env_remove(&name);
            }
        }
        command
            .env("GIT_CONFIG_GLOBAL", self.path("gitconfig"))
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .env("GIT_MERGE_AUTOEDIT", "no")
            .env("HOME", self.path("home"));
        command
    }

    pub(crate) fn git(&self, dir: &Path, args: &[&str]) -> Said {
        self.command("git", dir).args(args).output().unwrap().into()
    }

    pub(crate) fn git_with(&self, dir: &Path, args: &[&str], set: &[(&str, &str)]) -> Said {
        let mut command = self.command("git", dir);
        command
            .args(args)
            .envs(set.iter().copied())
            .output()
            .unwrap()
            .into()
    }

    pub(crate) fn skewer(&self, dir: &Path, args: &[&str]) -> Said {
        self.command(SKEWER, dir)
            .args(args)
            .output()
            .unwrap()
            .into()
    }

    pub(crate) fn stage(&self, dir: &Path, name: &str, text: &str) {
        write(dir, name, text);
        self.git(dir, &["add", name]).passes();
    }

    pub(crate) fn head(&self, dir: &Path) -> String {
        self.git(dir, &["rev-parse", "HEAD"]).passes()
    }
}

pub(crate) fn write(dir: &Path, name: &str, text: &str) {
    std::fs::write(dir.join(name), text).unwrap();
}

/// An executable script.
#[cfg(unix)]
pub(crate) fn script(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o751)).unwrap();
}

/// Runs a command with these bytes on its standard input.
pub(crate) fn fed(mut command: Command, input: &[u8]) -> Said {
    use std::io::Write;
    let piped = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap().into()
}

/// Says past the test harness, which swallows what a passing test prints, that something was not
/// tried.
pub(crate) fn skipped(why: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}
