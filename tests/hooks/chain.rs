//! Hooks that were there before.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::sandbox::{Sandbox, key, script};

#[test]
fn a_kept_hook_gets_the_same_arguments_input_and_environment() {
    let sandbox = Sandbox::new();
    let remote = sandbox.repository("remote.git", &["--bare"]);
    let repo = sandbox.repository("repo", &[]);
    let seen = sandbox.path("seen");
    let text = format!(
        "#!/bin/sh\n{{ echo \"$# $1\"; echo \"$MARKED\"; cat; }} >'{}'\n",
        seen.display()
    );
    script(&repo.join(".git/hooks/pre-push"), &text);
    sandbox.skewer(&repo, &["hook", "install"]).passes();
    sandbox
        .git(
            &repo,
            &["remote", "add", "origin", remote.to_str().unwrap()],
        )
        .passes();
    let args = ["push", "-q", "origin", "main", "main:two"];
    sandbox
        .git_with(&repo, &args, &[("MARKED", "yes")])
        .passes();
    let head = sandbox.head(&repo);
    let (head, zero) = (head.trim(), "0".repeat(40));
    let expected = format!(
        "2 origin\nyes\nrefs/heads/main {head} refs/heads/main {zero}\nrefs/heads/main {head} refs/heads/two {zero}\n"
    );
    assert_eq!(fs::read_to_string(&seen).unwrap(), expected);
    // It might send something, so it does not run for a push that is stopped.
    fs::remove_file(&seen).unwrap();
    sandbox.stage(&repo, "k", &key(1));
    sandbox.git(&repo, &["commit", "-qnm", "k"]).passes();
    sandbox
        .git(&repo, &["push", "-q", "origin", "main"])
        .stopped_by(&key(1));
    assert!(!seen.exists());
}

#[test]
fn a_kept_hook_decides_too_and_is_checked_itself() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repository("repo", &[]);
    let hook = repo.join(".git/hooks/pre-commit");
    script(
        &hook,
        "#!/bin/sh\n[ ! -e refuse ] || exit 7\n[ ! -e adds ] || git add adds\n",
    );
    sandbox.skewer(&repo, &["hook", "install"]).passes();
    sandbox.stage(&repo, "a", "a\n");
    crate::sandbox::write(&repo, "refuse", "");
    assert_ne!(sandbox.git(&repo, &["commit", "-qm", "a"]).code, 0);
    let kept = ".git/hooks/pre-commit.skewer-kept";
    let said = sandbox.skewer(&repo, &["hook", "run", "--kept", kept, "pre-commit"]);
    assert_eq!(said.code, 7);
    fs::remove_file(repo.join("refuse")).unwrap();
    // What a kept hook stages is checked.
    crate::sandbox::write(&repo, "adds", &key(2));
    sandbox
        .git(&repo, &["commit", "-qm", "a"])
        .stopped_by(&key(2));
}

#[test]
fn no_shebang_and_much_input_are_no_trouble() {
    let sandbox = Sandbox::new();
    let server = sandbox.repository("server.git", &["--bare"]);
    let repo = sandbox.repository("repo", &[]);
    // Reads nothing, as hooks may.
    script(&server.join("hooks/pre-receive"), "echo reached\nexit 0\n");
    sandbox.skewer(&server, &["hook", "install"]).passes();
    let updates: String = (0..3000)
        .map(|n| format!("create refs/heads/b{n} HEAD\n"))
        .collect();
    let mut command = sandbox.command("git", &repo);
    command.args(["update-ref", "--stdin"]);
    crate::sandbox::fed(command, updates.as_bytes()).passes();
    let said = sandbox
        .git(&repo, &["push", "-q", "--all", server.to_str().unwrap()])
        .passes();
    assert!(said.contains("reached"), "{said}");
}

#[test]
fn uninstall_restores_what_was_there() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repository("repo", &[]);
    let hooks = repo.join(".git/hooks");
    script(
        &hooks.join("pre-commit"),
        "#!/bin/sh\n# with \u{fffd} bytes\nexit 0\n",
    );
    script(&repo.join("tool"), "#!/bin/sh\nexit 0\n");
    std::os::unix::fs::symlink("../../tool", hooks.join("pre-push")).unwrap();
    fs::write(hooks.join("commit-msg"), "not executable\n").unwrap();
    let state = || {
        let mut all: Vec<_> = fs::read_dir(&hooks)
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let mode = fs::symlink_metadata(entry.path())
                    .unwrap()
                    .permissions()
                    .mode();
                let link = fs::read_link(entry.path()).ok();
                (
                    entry.file_name(),
                    mode,
                    link,
                    fs::read(entry.path()).unwrap(),
                )
            })
            .collect();
        all.sort();
        all
    };
    let before = state();
    sandbox.skewer(&repo, &["hook", "install"]).passes();
    let installed = state();
    assert_ne!(installed, before);
    let said = sandbox.skewer(&repo, &["hook", "install"]).passes();
    assert_eq!(said.matches("unchanged").count(), 4, "{said}");
    assert_eq!(state(), installed);
    sandbox.stage(&repo, "a", "a\n");
    sandbox.git(&repo, &["commit", "-qm", "a"]).passes();
    sandbox.skewer(&repo, &["hook", "uninstall"]).passes();
    assert_eq!(state(), before);
}
