//! The pre-commit framework, the real one where it is installed: `pip install pre-commit`, or its
//! path in `PRE_COMMIT_PROGRAM`.

use std::path::{Path, PathBuf};

use crate::sandbox::{SKEWER, Said, Sandbox, key, skipped, write};

/// The framework, or a loud note that it is missing.
fn pre_commit(sandbox: &Sandbox) -> Option<String> {
    let program = std::env::var("PRE_COMMIT_PROGRAM").unwrap_or_else(|_| "pre-commit".to_owned());
    let there = sandbox
        .command(&program, &sandbox.path(""))
        .arg("--version")
        .output();
    if !there.is_ok_and(|output| output.status.success()) {
        skipped(&format!(
            "{program} is not installed, so the framework was not tried"
        ));
        return None;
    }
    Some(program)
}

/// A repository with our hooks as `.pre-commit-hooks.yaml` has them, but for the language: with
/// `system` nothing is built or fetched.
fn configured(sandbox: &Sandbox) -> PathBuf {
    let repo = sandbox.repository("repo", &[]);
    let hooks = concat!(env!("CARGO_MANIFEST_DIR"), "/.pre-commit-hooks.yaml");
    let hooks = std::fs::read_to_string(hooks).unwrap();
    let hooks: String = hooks
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| format!("      {line}\n"))
        .collect();
    let hooks = hooks
        .replace("language: rust", "language: system")
        .replace("entry: skewer ", &format!("entry: {SKEWER} "));
    let config = format!("repos:\n  - repo: local\n    hooks:\n{hooks}");
    sandbox.stage(&repo, ".pre-commit-config.yaml", &config);
    sandbox
        .git(&repo, &["commit", "-qm", "configuration"])
        .passes();
    repo
}

fn run(sandbox: &Sandbox, program: &str, repo: &Path, args: &[&str]) -> Said {
    sandbox
        .command(program, repo)
        .args(args)
        .output()
        .unwrap()
        .into()
}

#[test]
fn the_framework_reads_files_messages_and_pushes() {
    let sandbox = Sandbox::new();
    let Some(program) = pre_commit(&sandbox) else {
        return;
    };
    let repo = configured(&sandbox);
    let remote = sandbox.repository("remote.git", &["--bare"]);
    sandbox
        .git(
            &repo,
            &["remote", "add", "origin", remote.to_str().unwrap()],
        )
        .passes();
    let install = [
        "install",
        "-t",
        "pre-commit",
        "-t",
        "commit-msg",
        "-t",
        "pre-push",
    ];
    run(&sandbox, &program, &repo, &install).passes();
    let all = ["run", "--all-files"];
    run(&sandbox, &program, &repo, &all).passes();

    let key = key(1);
    let refused = |said: Said| {
        assert!(
            said.code != 0 && said.text.contains(&key[..8]),
            "{}",
            said.text
        );
        assert!(!said.text.contains(&key), "the key is shown");
    };
    sandbox.stage(&repo, "a b", &key);
    refused(sandbox.git(&repo, &["commit", "-qm", "k"]));
    sandbox.git(&repo, &["rm", "-qf", "a b"]).passes();
    refused(sandbox.git(&repo, &["commit", "-q", "--allow-empty", "-m", &key]));
    // The whole history is new to the remote, then a part of it.
    for round in 0..2 {
        sandbox
            .git(&repo, &["push", "-q", "origin", "main"])
            .passes();
        sandbox.stage(&repo, "k", &key);
        sandbox.git(&repo, &["commit", "-qnm", "k"]).passes();
        refused(run(&sandbox, &program, &repo, &all));
        let range = ["run", "--from-ref", "HEAD^", "--to-ref", "HEAD"];
        refused(run(&sandbox, &program, &repo, &range));
        sandbox.git(&repo, &["rm", "-q", "k"]).passes();
        sandbox
            .git(&repo, &["commit", "-qnm", "gone again"])
            .passes();
        run(&sandbox, &program, &repo, &all).passes();
        refused(sandbox.git(&repo, &["push", "-q", "origin", "main"]));
        refused(sandbox.git(&repo, &["push", "-q", "origin", "main:fresh"]));
        sandbox
            .git(&repo, &["reset", "-q", "--hard", "HEAD~2"])
            .passes();
        write(&repo, "more", &format!("clean {round}\n"));
        sandbox.git(&repo, &["add", "."]).passes();
        sandbox.git(&repo, &["commit", "-qm", "more"]).passes();
    }
}

#[test]
fn the_framework_and_we_run_each_other() {
    let sandbox = Sandbox::new();
    let Some(program) = pre_commit(&sandbox) else {
        return;
    };
    let repo = sandbox.repository("repo", &[]);
    let config = "repos:\n  - repo: local\n    hooks:\n      - {id: mine, name: mine, entry: 'false', language: system, files: ^forbidden}\n";
    sandbox.stage(&repo, ".pre-commit-config.yaml", config);
    let commit = |name: &str, text: &str| {
        sandbox.stage(&repo, name, text);
        let said = sandbox.git(&repo, &["commit", "-qm", "x"]);
        sandbox.git(&repo, &["rm", "-q", "--cached", name]);
        said
    };
    // Beneath it (`pre-commit install` renames our hook), then above it.
    sandbox.skewer(&repo, &["hook", "install"]).passes();
    run(&sandbox, &program, &repo, &["install"]).passes();
    let said = sandbox.skewer(&repo, &["hook", "status"]).passes();
    assert!(said.contains("another tool's, which runs"), "{said}");
    for round in 0..2 {
        commit("k", &key(2)).stopped_by(&key(2));
        assert_ne!(commit("forbidden", "x\n").code, 0);
        sandbox.skewer(&repo, &["hook", "test"]).passes();
        commit("fine", &format!("{round}\n")).passes();
        sandbox.git(&repo, &["reset", "-q", "--hard"]).passes();
        run(&sandbox, &program, &repo, &["uninstall"]).passes();
        sandbox.skewer(&repo, &["hook", "uninstall"]).passes();
        run(&sandbox, &program, &repo, &["install"]).passes();
        sandbox.skewer(&repo, &["hook", "install"]).passes();
    }
}
