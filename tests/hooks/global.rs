//! A global installation disables no repository's hooks.

use std::fs;

use skewer::hooks::HOOK_NAMES;

use crate::sandbox::{Sandbox, key, script};

#[test]
fn every_repository_is_guarded_and_keeps_its_hooks() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repository("repo", &[]);
    sandbox
        .git(&repo, &["worktree", "add", "-q", "../tree"])
        .passes();
    let seen = sandbox.path("seen");
    for name in ["pre-commit", "prepare-commit-msg", "post-commit"] {
        let text = format!("#!/bin/sh\necho \"{name} $#\" >>'{}'\n", seen.display());
        script(&repo.join(".git/hooks").join(name), &text);
    }
    let config = fs::read(sandbox.path("gitconfig")).unwrap();
    for _ in 0..2 {
        sandbox
            .skewer(&repo, &["hook", "install", "--global"])
            .passes();
    }
    for (at, dir) in [repo.clone(), sandbox.path("tree")].iter().enumerate() {
        let _ = fs::remove_file(&seen);
        sandbox.stage(dir, "k", &key(at as u64));
        sandbox
            .git(dir, &["commit", "-qm", "k"])
            .stopped_by(&key(at as u64));
        sandbox.stage(dir, "k", "gone\n");
        sandbox.git(dir, &["commit", "-qm", "k"]).passes();
        let seen = fs::read_to_string(&seen).unwrap();
        assert_eq!(
            seen,
            "pre-commit 0\npre-commit 0\nprepare-commit-msg 2\npost-commit 0\n"
        );
    }
    // A repository with hooks of ours besides: checked once, its kept hook runs once.
    sandbox.skewer(&repo, &["hook", "install"]).passes();
    let _ = fs::remove_file(&seen);
    sandbox.stage(&repo, "k", &key(9));
    let said = sandbox
        .git(&repo, &["commit", "-qm", "k"])
        .stopped_by(&key(9));
    assert_eq!(said.matches("stopped").count(), 1, "{said}");
    assert_eq!(fs::read_to_string(&seen).unwrap(), "pre-commit 0\n");
    sandbox.skewer(&repo, &["hook", "test"]).passes();

    sandbox
        .skewer(&repo, &["hook", "uninstall", "--global"])
        .passes();
    assert_eq!(fs::read(sandbox.path("gitconfig")).unwrap(), config);
    assert!(!sandbox.path("home/.local/share/skewer/hooks").exists());
}

#[test]
fn a_global_hooks_path_of_before_goes_on_and_comes_back() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repository("repo", &[]);
    let seen = sandbox.path("seen");
    let text = format!("#!/bin/sh\necho before >>'{}'\n", seen.display());
    script(&sandbox.path("home/my hooks/pre-commit"), &text);
    sandbox
        .git(
            &repo,
            &["config", "--global", "core.hooksPath", "~/my hooks"],
        )
        .passes();
    sandbox
        .skewer(&repo, &["hook", "install", "--global"])
        .passes();
    sandbox.stage(&repo, "a", "a\n");
    sandbox.git(&repo, &["commit", "-qm", "a"]).passes();
    assert_eq!(fs::read_to_string(&seen).unwrap(), "before\n");
    sandbox.stage(&repo, "k", &key(1));
    sandbox
        .git(&repo, &["commit", "-qm", "k"])
        .stopped_by(&key(1));
    sandbox
        .skewer(&repo, &["hook", "uninstall", "--global"])
        .passes();
    let value = sandbox
        .git(&repo, &["config", "--global", "core.hooksPath"])
        .passes();
    assert_eq!(value, "~/my hooks\n");
    // What somebody set in the meantime stays.
    sandbox
        .skewer(&repo, &["hook", "install", "--global"])
        .passes();
    sandbox
        .git(
            &repo,
            &["config", "--global", "core.hooksPath", "/elsewhere"],
        )
        .passes();
    let said = sandbox
        .skewer(&repo, &["hook", "uninstall", "--global"])
        .passes();
    assert!(said.contains("left alone"), "{said}");
    let value = sandbox
        .git(&repo, &["config", "--global", "core.hooksPath"])
        .passes();
    assert_eq!(value, "/elsewhere\n");
}

#[test]
fn bare_repositories_and_their_hooks_are_passed_on_to() {
    let sandbox = Sandbox::new();
    let server = sandbox.repository("server.git", &["--bare"]);
    let repo = sandbox.repository("repo", &[]);
    let seen = sandbox.path("seen");
    for name in [
        "pre-receive",
        "update",
        "post-receive",
        "reference-transaction",
    ] {
        let text = format!(
            "#!/bin/sh\necho {name} >>'{}'\n[ {name} = update ] || cat >/dev/null\n",
            seen.display()
        );
        script(&server.join("hooks").join(name), &text);
    }
    sandbox
        .skewer(
            &repo,
            &[
                "hook",
                "install",
                "--global",
                "--type",
                "pre-commit,pre-receive",
            ],
        )
        .passes();
    let to = server.to_str().unwrap();
    sandbox.git(&repo, &["push", "-q", to, "main"]).passes();
    let all = fs::read_to_string(&seen).unwrap();
    for name in [
        "pre-receive",
        "update",
        "post-receive",
        "reference-transaction",
    ] {
        assert!(all.contains(name), "{name}: {all}");
    }
    sandbox.stage(&repo, "k", &key(1));
    sandbox.git(&repo, &["commit", "-qnm", "k"]).passes();
    sandbox
        .git(&repo, &["push", "-q", to, "main"])
        .stopped_by(&key(1));
}

#[test]
fn pushing_into_a_checked_out_branch_still_updates_it() {
    let sandbox = Sandbox::new();
    let there = sandbox.repository("there", &[]);
    sandbox
        .git(
            &there,
            &["config", "receive.denyCurrentBranch", "updateInstead"],
        )
        .passes();
    sandbox
        .git(&sandbox.path(""), &["clone", "-q", "there", "here"])
        .passes();
    let here = sandbox.path("here");
    sandbox
        .skewer(&here, &["hook", "install", "--global"])
        .passes();
    sandbox.stage(&here, "README", "new\n");
    sandbox.git(&here, &["commit", "-qm", "new"]).passes();
    sandbox.git(&here, &["push", "-q"]).passes();
    assert_eq!(fs::read_to_string(there.join("README")).unwrap(), "new\n");
    // As without a hook: not over changes.
    crate::sandbox::write(&there, "README", "edited\n");
    sandbox.stage(&here, "README", "newer\n");
    sandbox.git(&here, &["commit", "-qm", "newer"]).passes();
    assert_ne!(sandbox.git(&here, &["push", "-q"]).code, 0);
    assert_eq!(
        fs::read_to_string(there.join("README")).unwrap(),
        "edited\n"
    );
}

#[test]
fn every_hook_that_git_has_is_passed_on() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repository("repo", &[]);
    sandbox
        .skewer(&repo, &["hook", "install", "--global"])
        .passes();
    // A later git may know more; this one's samples and its manual are the witnesses at hand.
    let samples = fs::read_dir(repo.join(".git/hooks")).into_iter().flatten();
    for sample in samples {
        let name = sample.unwrap().file_name().into_string().unwrap();
        let name = name.trim_end_matches(".sample");
        assert!(HOOK_NAMES.contains(&name), "{name}");
    }
    for name in HOOK_NAMES {
        script(
            &repo.join(".git/hooks").join(name),
            "#!/bin/sh\ncat\necho \"$0 $1\"\nexit 5\n",
        );
        let run = [
            "-c",
            "core.hooksPath=.git/hooks",
            "hook",
            "run",
            name,
            "--",
            "one",
        ];
        let plain = sandbox.git(&repo, &run);
        let global = sandbox.git(&repo, &[&["hook", "run"], &run[4..]].concat());
        assert_eq!((global.code, &global.text), (5, &plain.text), "{name}");
    }
}
