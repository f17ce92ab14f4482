//! `skewer history` with a range, and `skewer scan --history`, as their users meet them.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]
#![cfg(unix)]

#[path = "support/git.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod git;

use std::path::Path;
use std::process::Command;

use git::Scratch;
use serde_json::Value;
use skewer::rules::Template;

fn key(seed: u64) -> String {
    let template = Template::parse("sk-proj-{long:74,74}").unwrap();
    template.fill(seed).key
}

/// Runs the program with nobody's configuration; exit code, output, and what it said beside it.
fn run(directory: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skewer"));
    for (name, _) in std::env::vars_os() {
        let mine = ["SKEWER_", "GIT_", "CI"];
        if mine.iter().any(|m| name.to_string_lossy().starts_with(m)) {
            command.env_remove(name);
        }
    }
    let output = command
        .current_dir(directory)
        .env("XDG_CONFIG_HOME", directory.join("none"))
        .env("XDG_CACHE_HOME", directory.parent().unwrap().join("cache"))
        .env("HOME", directory.parent().unwrap())
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    for seed in 0..10 {
        let part = &key(seed)[8..40];
        assert!(
            !out.contains(part) && !err.contains(part),
            "a key was printed"
        );
    }
    (output.status.code().unwrap(), out, err)
}

fn report(directory: &Path, arguments: &[&str]) -> (i32, Value) {
    let (code, json, err) = run(directory, &[arguments, &["--format", "json"]].concat());
    (
        code,
        serde_json::from_str(&json).unwrap_or_else(|_| panic!("{err}")),
    )
}

/// Three commits: key 1 comes, goes, and key 2 comes; key 3 is in the configuration.
fn scratch() -> Scratch {
    let repo = Scratch::new(&[]);
    repo.add("app.py", &format!("k = \"{}\"\n", key(1)));
    repo.commit("one");
    repo.git(&["tag", "v1"]);
    repo.add("app.py", "k = read()\n");
    repo.commit("two");
    repo.add("b.py", &format!("k = \"{}\"\n", key(2)));
    repo.commit("three");
    repo.git(&[
        "config",
        "remote.x.url",
        &format!("https://{}@localhost/", key(3)),
    ]);
    repo
}

#[test]
fn a_range_is_no_whole_search_and_says_so() {
    let repo = scratch();
    let found = |arguments: &[&str]| {
        let (code, report) = report(repo.root(), &[&["history"], arguments].concat());
        (code, report["keys"].as_u64().unwrap())
    };
    assert_eq!(found(&[]), (1, 3));
    assert_eq!(found(&["--range", "v1..main"]), (1, 1));
    assert_eq!(found(&["--range", "main~1", "--range", "^v1"]), (0, 0));
    assert_eq!(found(&["--since", "v1"]), (1, 1));
    assert_eq!(found(&["--since", "2 days ago"]), (1, 2));
    assert_eq!(found(&["--branch", "main", "--max-commits", "2"]), (1, 1));
    assert_eq!(found(&["--reachable-only"]), (1, 2));
    // No commit is a range, too: a pull request that was merged meanwhile.
    assert_eq!(found(&["--range", "main..v1"]), (0, 0));
    let (code, text, _) = run(repo.root(), &["history", "--range", "v1..main~1"]);
    assert_eq!(code, 0);
    for said in [
        "Limited to what 1 commit brings (--range v1..main~1).",
        "objects that no commit of the range brings",
        "files of the git directory",
        "✓ No keys found in what the search was limited to.",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    let (_, report) = report(repo.root(), &["history", "--range", "v1..main~1"]);
    let coverage = &report["coverage"];
    assert_eq!(
        coverage["limited_to"][0],
        "what 1 commit brings (--range v1..main~1)"
    );
    assert!(coverage["excluded"]["git_file"]["items"].as_u64().unwrap() > 3);
}

#[test]
fn a_mistaken_range_is_an_error_with_a_hint() {
    let repo = scratch();
    for arguments in [
        &["--range", "nope..main"][..],
        &["--range", "main..nope"],
        &["--range", "--all"],
        &["--range", ""],
        &["--range", "HEAD:app.py"],
        &["--branch", "nope"],
        &["--branch", "v1"],
        &["--since", "yesterday"],
        &["--since", "2026-02-30"],
        &["--since", "9999-01-01"],
        &["--max-commits", "0"],
        &["--range", "v1..main", "--branch", "nope"],
    ] {
        let (code, out, err) = run(repo.root(), &[&["history"], arguments].concat());
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}: {err}");
        assert!(err.contains("error:"), "{arguments:?}: {err}");
        let by_clap = arguments.contains(&"0");
        assert!(by_clap || err.contains("hint:"), "{arguments:?}: {err}");
    }
    // A shallow clone does not have the other end.
    let url = format!("file://{}", repo.root().display());
    let copy = repo.beside("copy");
    repo.git(&["clone", "-q", "--depth=1", &url, copy.to_str().unwrap()]);
    let old = repo.line(&["rev-parse", "v1"]);
    let (code, _, err) = run(&copy, &["history", "--range", &format!("{old}..HEAD")]);
    assert_eq!(code, 2);
    assert!(err.contains("fetch-depth"), "{err}");
}

#[test]
fn files_and_history_are_told_in_one_report() {
    let repo = scratch();
    repo.write("c.txt", &format!("{}\n", key(4)));
    let (code, text, _) = run(repo.root(), &["scan", "--history", "."]);
    assert_eq!(code, 1);
    assert!(text.contains("4 keys in 5 places"), "{text}");
    // Key 2 is in a file and in history: one heading, both places, one story.
    let (_, report) = report(repo.root(), &["scan", "--history", "."]);
    let findings = report["findings"].as_array().unwrap();
    let kinds = |path: &str| -> Vec<&str> {
        let here = findings
            .iter()
            .filter(|f| f["location"]["name"].as_str().unwrap().contains(path));
        here.map(|f| f["location"]["type"].as_str().unwrap())
            .collect()
    };
    assert_eq!(kinds("b.py"), ["file", "object"]);
    assert_eq!(kinds("app.py"), ["object"]);
    assert_eq!(kinds("c.txt"), ["file"]);
    assert_eq!(kinds("config"), ["file"], "what is in .git is told once");
    let excluded = &report["coverage"]["excluded"];
    assert_eq!(excluded["git_objects"], Value::Null, "they were read");
    // A path below the top, and one in no repository.
    repo.write("sub/d.txt", "x\n");
    assert_eq!(
        self::report(repo.root(), &["scan", "--history", "sub"]).1["keys"],
        3
    );
    let outside = repo.beside("outside");
    std::fs::create_dir(&outside).unwrap();
    let (code, _, err) = run(
        repo.root(),
        &["scan", "--history", ".", outside.to_str().unwrap()],
    );
    assert_eq!(code, 2);
    assert!(err.contains("hint:"), "{err}");
    assert_eq!(run(repo.root(), &["scan", "--history", "c.txt"]).0, 1);
}

#[test]
fn what_is_lost_fails_and_what_a_clone_left_out_may_be_demanded() {
    let repo = Scratch::new(&[]);
    repo.add("a/b.txt", "one\n");
    repo.commit("one");
    repo.add("a/b.txt", "two\n");
    repo.commit("two");
    assert_eq!(run(repo.root(), &["history"]).0, 0);
    let url = format!("file://{}", repo.root().display());
    repo.git(&["config", "uploadpack.allowFilter", "true"]);
    for (name, option) in [("partial", "--filter=blob:none"), ("shallow", "--depth=1")] {
        let copy = repo.beside(name);
        repo.git(&[
            "clone",
            "-q",
            "--bare",
            option,
            &url,
            copy.to_str().unwrap(),
        ]);
        for _ in 0..2 {
            // The second time, from what was remembered.
            let (code, report) = report(&copy, &["history"]);
            assert_eq!(code, 0, "{report}");
            let absent = report["coverage"]["absent"].as_object().unwrap();
            assert_eq!(absent.len(), 1, "{report}");
        }
        assert_eq!(run(&copy, &["history", "--require-complete"]).0, 3);
    }
    let id = repo.line(&["rev-parse", "HEAD~1:a/b.txt"]);
    let file = repo
        .root()
        .join(".git/objects")
        .join(&id[..2])
        .join(&id[2..]);
    std::fs::remove_file(file).unwrap();
    for _ in 0..2 {
        // Whatever the run before has remembered.
        assert_eq!(run(repo.root(), &["history"]).0, 0);
        let (code, text, _) = run(repo.root(), &["history", "--require-complete"]);
        assert_eq!(code, 3, "{text}");
        assert!(
            text.contains(&id[..16]) && text.contains("git fsck"),
            "{text}"
        );
    }
    assert_eq!(run(repo.root(), &["history", "--range", "HEAD~1"]).0, 3);
    assert_eq!(
        run(repo.root(), &["history", "--range", "HEAD~1..HEAD"]).0,
        0
    );
}
