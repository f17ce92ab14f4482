//! Every way by which a key gets into a repository, with the hooks in place.

use crate::sandbox::{Sandbox, fed, key, write};

fn line(key: &str) -> String {
    format!("OPENAI_API_KEY={key}\n")
}

#[test]
fn a_commit_with_a_key_is_stopped_until_the_key_is_gone() {
    for format in ["sha1", "sha256"] {
        let sandbox = Sandbox::new();
        let repo = sandbox.guarded("repo", &["--object-format", format]);
        let (key, before) = (key(1), sandbox.head(&repo));
        sandbox.stage(&repo, "a b.env", &line(&key));
        let said = sandbox
            .git(&repo, &["commit", "-qm", "add"])
            .stopped_by(&key);
        assert!(said.contains("a b.env:1:16"), "{said}");
        for step in ["1. ", "2. ", "3. ", "skewer allow"] {
            assert!(said.contains(step), "{step}: {said}");
        }
        assert_eq!(sandbox.head(&repo), before);
        // The working tree is clean by now, the index isn't: the index counts.
        write(&repo, "a b.env", "OPENAI_API_KEY from the environment\n");
        sandbox
            .git(&repo, &["commit", "-qm", "add"])
            .stopped_by(&key);
        sandbox.git(&repo, &["add", "."]).passes();
        sandbox.git(&repo, &["commit", "-qm", "add"]).passes();
    }
}

#[test]
fn the_first_commit_is_checked_too() {
    let sandbox = Sandbox::new();
    let repo = sandbox.path("repo");
    sandbox
        .git(&sandbox.path(""), &["init", "-q", "repo"])
        .passes();
    sandbox.skewer(&repo, &["hook", "install"]).passes();
    sandbox.stage(&repo, "k", &line(&key(2)));
    sandbox
        .git(&repo, &["commit", "-qm", "first"])
        .stopped_by(&key(2));
}

#[test]
fn indexes_of_their_own_are_the_ones_that_count() {
    let sandbox = Sandbox::new();
    let repo = sandbox.guarded("repo", &[]);
    let key = key(3);
    for name in ["one", "two"] {
        sandbox.stage(&repo, name, "clean\n");
    }
    sandbox.git(&repo, &["commit", "-qm", "two files"]).passes();

    write(&repo, "one", &format!("clean\n{}", line(&key)));
    sandbox
        .git(&repo, &["commit", "-qam", "all"])
        .stopped_by(&key);
    sandbox
        .git(&repo, &["commit", "-qm", "file", "one"])
        .stopped_by(&key);
    // Another file alone is clean, though the key lies in the working tree.
    write(&repo, "two", "still clean\n");
    sandbox
        .git(&repo, &["commit", "-qm", "file", "two"])
        .passes();
    // Staged, but not part of this commit.
    sandbox.git(&repo, &["add", "one"]).passes();
    write(&repo, "two", "clean again\n");
    sandbox
        .git(&repo, &["commit", "-qm", "file", "two"])
        .passes();
    sandbox
        .git(&repo, &["commit", "-q", "--amend", "--no-edit"])
        .stopped_by(&key);
    sandbox.git(&repo, &["reset", "-q"]).passes();

    let mut patch = sandbox.command("git", &repo);
    patch.args(["commit", "-q", "--patch", "-m", "patch"]);
    // Git itself shows the patch, and the key in it: only what the hook says matters.
    let said = fed(patch, b"y\n");
    assert!(
        said.code != 0 && said.text.contains("stopped"),
        "{}",
        said.text
    );
    write(&repo, "one", "clean\nand more\n");
    let mut patch = sandbox.command("git", &repo);
    patch.args(["commit", "-q", "--patch", "-m", "patch"]);
    fed(patch, b"y\n").passes();
}

#[test]
fn messages_are_checked_but_not_the_diff_below_the_scissors() {
    let sandbox = Sandbox::new();
    let repo = sandbox.guarded("repo", &[]);
    let key = key(4);
    let args = ["commit", "-q", "--allow-empty", "-m", &format!("use {key}")];
    let said = sandbox.git(&repo, &args).stopped_by(&key);
    assert!(said.contains("commit message"), "{said}");

    sandbox.stage(&repo, "k", &line(&key));
    sandbox
        .git(&repo, &["commit", "-qnm", "past the hooks"])
        .passes();
    write(&repo, "k", "gone\n");
    // The diff of a verbose commit shows the key that goes.
    let editor = "f() { printf 'take it out\\n' | cat - \"$1\" >\"$1.new\" && grep -q T3BlbkFJ \"$1\" && mv \"$1.new\" \"$1\"; }; f";
    sandbox
        .git_with(&repo, &["commit", "-qav"], &[("GIT_EDITOR", editor)])
        .passes();
    assert_eq!(
        sandbox.git(&repo, &["log", "-1", "--format=%s"]).passes(),
        "take it out\n"
    );
}

#[test]
fn a_merge_that_adds_a_key_is_stopped() {
    let sandbox = Sandbox::new();
    let repo = sandbox.guarded("repo", &[]);
    let key = key(5);
    sandbox
        .git(&repo, &["checkout", "-q", "-b", "side"])
        .passes();
    sandbox.stage(&repo, "README", "side\n");
    sandbox.git(&repo, &["commit", "-qm", "side"]).passes();
    sandbox.git(&repo, &["checkout", "-q", "main"]).passes();
    sandbox.stage(&repo, "README", "main\n");
    sandbox.git(&repo, &["commit", "-qm", "main"]).passes();
    write(&repo, ".git/info/attributes", "README merge=trial\n");
    write(&repo, "../merged", &line(&key));
    sandbox
        .git(&repo, &["config", "merge.trial.driver", "cp ../merged %A"])
        .passes();
    sandbox
        .git(&repo, &["merge", "-q", "side"])
        .stopped_by(&key);
    sandbox.git(&repo, &["reset", "-q", "--hard"]).passes();
    write(&repo, "../merged", "both\n");
    sandbox.git(&repo, &["merge", "-q", "side"]).passes();
}

#[test]
fn what_no_commit_hook_saw_is_stopped_at_the_push() {
    let sandbox = Sandbox::new();
    let remote = sandbox.repository("remote.git", &["--bare"]);
    let repo = sandbox.repository("repo", &[]);
    let key = key(6);
    sandbox
        .git(
            &repo,
            &["remote", "add", "origin", remote.to_str().unwrap()],
        )
        .passes();
    sandbox
        .git(&repo, &["checkout", "-q", "-b", "side"])
        .passes();
    sandbox.stage(&repo, "k", &line(&key));
    sandbox
        .git(&repo, &["commit", "-qm", "before the hooks"])
        .passes();
    sandbox.git(&repo, &["checkout", "-q", "main"]).passes();
    sandbox.skewer(&repo, &["hook", "install"]).passes();
    sandbox
        .git(&repo, &["push", "-q", "origin", "main"])
        .passes();

    sandbox.git(&repo, &["cherry-pick", "side"]).passes();
    let said = sandbox
        .git(&repo, &["push", "-q", "origin", "main"])
        .stopped_by(&key);
    assert!(said.contains("k:1:16"), "{said}");
    // Deleted again: the commit in between still carries it.
    sandbox.git(&repo, &["rm", "-q", "k"]).passes();
    sandbox
        .git(&repo, &["commit", "-qm", "take it out"])
        .passes();
    sandbox
        .git(&repo, &["push", "-q", "origin", "main"])
        .stopped_by(&key);
    sandbox
        .git(&repo, &["reset", "-q", "--hard", "origin/main"])
        .passes();
    sandbox
        .git(&repo, &["push", "-q", "origin", "main:refs/heads/other"])
        .passes();
    // Deleting sends nothing; names and tags' messages are sent.
    sandbox
        .git(&repo, &["push", "-q", "origin", ":other"])
        .passes();
    sandbox
        .git(&repo, &["tag", "-a", "-m", &key, "v1"])
        .passes();
    sandbox
        .git(&repo, &["push", "-q", "origin", "v1"])
        .stopped_by(&key);
    let name = format!("main:refs/heads/{key}");
    let said = sandbox.git(&repo, &["push", "-q", "origin", &name]);
    assert_ne!(said.code, 0);
    assert!(said.text.contains("name of the ref"), "{}", said.text);
    // What the other side has already is not looked at again.
    sandbox
        .git(&repo, &["push", "-q", "--no-verify", "origin", "side"])
        .passes();
    sandbox
        .git(&repo, &["push", "-q", "origin", "side:again"])
        .passes();
}

#[test]
fn a_server_refuses_a_push_and_keeps_nothing_of_it() {
    for format in ["sha1", "sha256"] {
        let sandbox = Sandbox::new();
        let server = sandbox.guarded("server.git", &["--bare", "--object-format", format]);
        let repo = sandbox.repository("repo", &["--object-format", format]);
        let key = key(7);
        let to = server.to_str().unwrap();
        sandbox.git(&repo, &["push", "-q", to, "main"]).passes();
        sandbox.stage(&repo, "k", &line(&key));
        sandbox.git(&repo, &["commit", "-qm", "key"]).passes();
        let id = sandbox.head(&repo);
        sandbox
            .git(&repo, &["push", "-q", to, "main"])
            .stopped_by(&key);
        assert_ne!(sandbox.git(&server, &["cat-file", "-e", id.trim()]).code, 0);
        // A pusher can't excuse itself.
        let skip = [("SKEWER_SKIP", "please")];
        sandbox
            .git_with(&repo, &["push", "-q", to, "main"], &skip)
            .stopped_by(&key);
        sandbox
            .git(&repo, &["reset", "-q", "--hard", "HEAD^"])
            .passes();
        sandbox
            .git(&repo, &["push", "-q", to, "main:other"])
            .passes();
    }
}

#[test]
fn a_skip_needs_a_reason_and_is_recorded() {
    let sandbox = Sandbox::new();
    let repo = sandbox.guarded("repo", &[]);
    sandbox.stage(&repo, "k", &line(&key(8)));
    let said = sandbox.git_with(&repo, &["commit", "-qm", "x"], &[("SKEWER_SKIP", " ")]);
    assert_ne!(said.code, 0);
    assert!(said.text.contains("say why"), "{}", said.text);

    let before = sandbox.head(&repo);
    let reason = format!("revoked: {}", key(9));
    let said = sandbox
        .git_with(&repo, &["commit", "-qm", "x"], &[("SKEWER_SKIP", &reason)])
        .passes();
    assert!(
        said.contains("was not checked: revoked") && !said.contains(&key(9)),
        "{said}"
    );
    let log = std::fs::read_to_string(repo.join(".git/skewer/skips.log")).unwrap();
    assert!(!log.contains(&key(9)));
    let lines: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2, "{log}");
    assert_eq!(lines[0]["hook"], "pre-commit");
    assert_eq!(lines[0]["head"], before.trim());
    assert_eq!(lines[0]["user"], "Test");
    assert_eq!(lines[1]["hook"], "commit-msg");
}

#[test]
fn a_staged_blob_that_cannot_be_read_stops_the_commit() {
    let sandbox = Sandbox::new();
    let repo = sandbox.guarded("repo", &[]);
    sandbox.stage(&repo, "lost", "content that nobody else has\n");
    let id = sandbox.git(&repo, &["rev-parse", ":lost"]).passes();
    let (dir, name) = id.trim().split_at(2);
    let object = repo.join(".git/objects").join(dir).join(name);
    std::fs::remove_file(&object).unwrap();
    let said = sandbox.skewer(&repo, &["hook", "run", "pre-commit"]);
    assert_eq!(said.code, 3, "{}", said.text);
    assert!(said.text.contains("lost"), "{}", said.text);
}

#[test]
fn worktrees_and_submodules_are_guarded() {
    let sandbox = Sandbox::new();
    let repo = sandbox.guarded("repo", &[]);
    let inner = sandbox.repository("inner", &[]);
    sandbox
        .git(&repo, &["worktree", "add", "-q", "../tree"])
        .passes();
    let tree = sandbox.path("tree");
    sandbox.stage(&tree, "k", &line(&key(10)));
    sandbox
        .git(&tree, &["commit", "-qm", "k"])
        .stopped_by(&key(10));
    assert!(
        sandbox
            .skewer(&tree, &["hook", "test"])
            .passes()
            .contains("The hooks work")
    );

    sandbox
        .git(
            &repo,
            &[
                "submodule",
                "--quiet",
                "add",
                inner.to_str().unwrap(),
                "sub",
            ],
        )
        .passes();
    sandbox.git(&repo, &["commit", "-qm", "submodule"]).passes();
    let sub = repo.join("sub");
    sandbox.skewer(&sub, &["hook", "install"]).passes();
    sandbox.stage(&sub, "k", &line(&key(11)));
    sandbox
        .git(&sub, &["commit", "-qm", "k"])
        .stopped_by(&key(11));
}

#[test]
fn what_somebody_answered_for_passes() {
    let sandbox = Sandbox::new();
    let repo = sandbox.guarded("repo", &[]);
    let (key, other) = (key(12), key(13));
    sandbox.stage(&repo, "k", &line(&key));
    let said = sandbox.git(&repo, &["commit", "-qm", "k"]).stopped_by(&key);
    let at = said.find("skewer allow ").unwrap() + "skewer allow ".len();
    let allow = ["allow", &said[at..at + 32], "--reason", "revoked"];
    sandbox.skewer(&repo, &allow).passes();
    sandbox.git(&repo, &["commit", "-qm", "k"]).passes();
    sandbox.stage(&repo, "other", &line(&other));
    sandbox
        .git(&repo, &["commit", "-qm", "other"])
        .stopped_by(&other);
}
