//! Real repositories in temporary directories.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// A repository with nobody's configuration.
pub(crate) struct Scratch {
    _directory: TempDir,
    root: PathBuf,
}

impl Scratch {
    pub(crate) fn new(init: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap().join("repo");
        std::fs::create_dir(&root).unwrap();
        let scratch = Self {
            _directory: directory,
            root,
        };
        scratch.git(&[&["init", "-q", "-b", "main"], init].concat());
        scratch
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.root.parent().unwrap().join(name)
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("git");
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("GIT_") {
                command.env_remove(name);
            }
        }
        command
            .current_dir(&self.root)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .args(["-c", "user.name=Tester", "-c", "user.email=t@example.org"])
            .args([
                "-c",
                "protocol.file.allow=always",
                "-c",
                "advice.detachedHead=false",
            ])
            .args(args);
        command
    }

    pub(crate) fn try_git(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    pub(crate) fn git(&self, args: &[&str]) -> Vec<u8> {
        let output = self.try_git(args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {args:?}: {said}");
        output.stdout
    }

    pub(crate) fn line(&self, args: &[&str]) -> String {
        String::from_utf8(self.git(args)).unwrap().trim().to_owned()
    }

    pub(crate) fn write(&self, path: impl AsRef<Path>, content: &str) {
        let file = self.root.join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, content).unwrap();
    }

    /// Writes and adds.
    pub(crate) fn add(&self, path: &str, content: &str) {
        self.write(path, content);
        self.git(&["add", "--", path]);
    }

    pub(crate) fn commit(&self, message: &str) {
        self.git(&["commit", "-q", "--no-verify", "-m", message]);
    }
}
