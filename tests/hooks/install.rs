//! Installing, and what stands in the way.

use std::fs;

use crate::sandbox::{SKEWER, Sandbox, key, script};

#[test]
fn a_missing_program_stops_the_commit_and_says_how_to_get_it() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repository("repo", &[]);
    let away = sandbox.path("it's away").join("skewer");
    fs::create_dir(away.parent().unwrap()).unwrap();
    fs::copy(SKEWER, &away).unwrap();
    let mut install = sandbox.command(away.to_str().unwrap(), &repo);
    assert!(
        install
            .args(["hook", "install"])
            .status()
            .unwrap()
            .success()
    );
    sandbox.stage(&repo, "k", &key(1));
    sandbox
        .git(&repo, &["commit", "-qm", "k"])
        .stopped_by(&key(1));
    fs::remove_file(&away).unwrap();
    let path = "/usr/bin:/bin";
    let said = sandbox.git_with(&repo, &["commit", "-qm", "k"], &[("PATH", path)]);
    assert_ne!(said.code, 0);
    for part in [
        "nothing was checked",
        "cargo install",
        "--no-verify",
        "rm \".git/hooks/pre-commit\"",
    ] {
        assert!(said.text.contains(part), "{part}: {}", said.text);
    }
    // Found in PATH, it runs.
    let dir = std::path::Path::new(SKEWER).parent().unwrap().display();
    let path = format!("{dir}:{path}");
    sandbox
        .git_with(&repo, &["commit", "-qm", "k"], &[("PATH", &path)])
        .stopped_by(&key(1));
    let said = sandbox.skewer(&repo, &["hook", "status"]).passes();
    assert!(said.contains("is gone"), "{said}");
    let said = sandbox.skewer(&repo, &["hook", "install"]).passes();
    assert_eq!(said.matches("updated").count(), 4, "{said}");
}

#[test]
fn a_hooks_path_that_leads_elsewhere_is_an_error_and_shown() {
    let sandbox = Sandbox::new();
    let repo = sandbox.guarded("repo", &[]);
    fs::create_dir(repo.join(".husky")).unwrap();
    sandbox
        .git(&repo, &["config", "core.hooksPath", ".husky/_"])
        .passes();
    let said = sandbox.skewer(&repo, &["hook", "install"]);
    assert_eq!(said.code, 2);
    assert!(
        said.text.contains("core.hooksPath (local") && said.text.contains("husky"),
        "{}",
        said.text
    );
    let said = sandbox.skewer(&repo, &["hook", "status"]);
    assert_eq!(said.code, 3);
    assert!(said.text.contains("OVERRIDDEN"), "{}", said.text);
    assert_eq!(sandbox.skewer(&repo, &["hook", "test"]).code, 2);
    // Unless it leads back.
    sandbox
        .git(&repo, &["config", "core.hooksPath", ".git/hooks"])
        .passes();
    sandbox.skewer(&repo, &["hook", "test"]).passes();
}

#[test]
fn another_tools_hook_over_ours_is_seen_and_nothing_is_lost() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repository("repo", &[]);
    let hook = repo.join(".git/hooks/pre-commit");
    script(&hook, "#!/bin/sh\n# the first\n");
    sandbox.skewer(&repo, &["hook", "install"]).passes();
    script(&hook, "#!/bin/sh\n# the second\n");
    let said = sandbox.skewer(&repo, &["hook", "install"]);
    assert_eq!(said.code, 2);
    assert!(said.text.contains("merge the two"), "{}", said.text);
    let said = sandbox.skewer(&repo, &["hook", "uninstall"]).passes();
    assert!(said.contains("left alone"), "{said}");
    assert_eq!(
        fs::read_to_string(&hook).unwrap(),
        "#!/bin/sh\n# the second\n"
    );
    let kept = repo.join(".git/hooks/pre-commit.skewer-kept");
    assert_eq!(
        fs::read_to_string(kept).unwrap(),
        "#!/bin/sh\n# the first\n"
    );
}

#[test]
fn a_hook_that_does_nothing_fails_the_test() {
    let sandbox = Sandbox::new();
    let repo = sandbox.guarded("repo", &[]);
    // As if the program had become another one.
    let hook = repo.join(".git/hooks/pre-commit");
    let text = fs::read_to_string(&hook).unwrap();
    for (program, step) in [
        ("/bin/true", "a commit with a key"),
        ("/bin/false", "a clean commit"),
    ] {
        script(&hook, &text.replace(SKEWER, program));
        let said = sandbox.skewer(&repo, &["hook", "test"]);
        assert_eq!(said.code, 1, "{}", said.text);
        assert!(
            said.text.contains(&format!("FAILED  {step}")),
            "{}",
            said.text
        );
    }
    sandbox.skewer(&repo, &["hook", "uninstall"]).passes();
    assert_eq!(sandbox.skewer(&repo, &["hook", "test"]).code, 2);
}

#[test]
fn a_shim_starts_nothing_but_the_program() {
    let sandbox = Sandbox::new();
    let repo = sandbox.guarded("repo", &[]);
    let empty = sandbox.path("empty");
    fs::create_dir(&empty).unwrap();
    for hook in ["pre-commit", "pre-merge-commit", "commit-msg", "pre-push"] {
        // Nothing is in PATH: whatever is no built-in would fail, the program included.
        let shim = repo.join(".git/hooks").join(hook);
        let text = fs::read_to_string(&shim).unwrap();
        script(&shim, &text.replace(SKEWER, "/bin/echo"));
        let mut run = sandbox.command(shim.to_str().unwrap(), &repo);
        let output = run.arg("a b").env("PATH", &empty).output().unwrap();
        assert!(output.stderr.is_empty(), "{output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        let kept = repo.join(format!(".git/hooks/{hook}.skewer-kept"));
        assert_eq!(
            said,
            format!("hook run --kept {} {hook} -- a b\n", kept.display())
        );
    }
}
