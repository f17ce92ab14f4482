//! Where nobody can know what is staged, the program says so and ends with 2: outside a
//! repository, in a bare one, in one that a stranger owns.
#![allow(clippy::unwrap_used)]

#[path = "support/git.rs"]
#[allow(dead_code)] // shared with other tests
mod git;

use std::path::Path;
use std::process::{Command, Output};

use git::Scratch;
use skewer::rules::Template;

fn skewer(here: &Path, home: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skewer"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("GIT_") || name.starts_with("SKEWER_") || name == "SUDO_UID" {
            command.env_remove(name);
        }
    }
    command
        .current_dir(here)
        .env("HOME", home)
        .env("XDG_CONFIG_HOME", home)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        // The search for a repository ends here, whatever the temporary directory lies in.
        .env("GIT_CEILING_DIRECTORIES", home)
        .args(args);
    command.output().unwrap()
}

/// Both ways to look at what is staged; each must refuse, and explain itself with `words`.
#[track_caller]
fn assert_refused(here: &Path, home: &Path, words: &[&str]) {
    for args in [&["staged"][..], &["hook", "run", "pre-commit"]] {
        let output = skewer(here, home, args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(output.stdout.is_empty(), "{args:?} reported something");
        for word in words.iter().chain(&["error: ", "hint: "]) {
            assert!(said.contains(word), "{args:?}: {word:?} is not in {said}");
        }
    }
}

fn with_a_key() -> Scratch {
    let scratch = Scratch::new(&[]);
    let key = Template::parse("sk-proj-{long:74,74}").unwrap().fill(5).key;
    scratch.add("settings.py", &format!("key = \"{key}\"\n"));
    scratch
}

#[test]
fn outside_a_repository() {
    let home = tempfile::tempdir().unwrap();
    let nowhere = home.path().canonicalize().unwrap().join("nowhere");
    std::fs::create_dir(&nowhere).unwrap();
    assert_refused(&nowhere, home.path(), &["no repository"]);
    let output = skewer(&nowhere, home.path(), &["staged", "missing"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[test]
fn a_bare_repository() {
    let home = tempfile::tempdir().unwrap();
    let bare = Scratch::new(&["--bare"]);
    assert_refused(
        bare.root(),
        home.path(),
        &["a bare repository has no staged"],
    );
}

/// As git refuses it (`safe.directory`); what is staged there would block a commit.
#[cfg(unix)]
#[test]
fn a_repository_that_a_stranger_owns() {
    use std::os::unix::fs::{MetadataExt, lchown};

    fn give(path: &Path, user: u32) -> std::io::Result<()> {
        if path.is_dir() {
            for entry in path.read_dir()? {
                give(&entry?.path(), user)?;
            }
        }
        lchown(path, Some(user), None)
    }

    let home = tempfile::tempdir().unwrap();
    let scratch = with_a_key();
    let me = scratch.root().metadata().unwrap().uid();
    let trusted = Command::new("git")
        .args(["config", "--system", "--get-all", "safe.directory"])
        .output()
        .unwrap();
    // What the system trusts can't be hidden from libgit2.
    if !trusted.stdout.is_empty() || give(scratch.root(), 65534).is_err() {
        eprintln!("NOT TRIED: only root can give a repository away, where none is trusted");
        return;
    }
    assert_refused(scratch.root(), home.path(), &["safe.directory"]);
    give(scratch.root(), me).unwrap();
    let output = skewer(scratch.root(), home.path(), &["staged"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}
