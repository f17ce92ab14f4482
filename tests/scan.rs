//! `skewer scan` and `skewer staged` as their users meet them: exit codes, streams, bad input.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]
#![cfg(unix)]

#[path = "support/git.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod git;

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use git::Scratch;
use skewer::rules::Template;
use tempfile::TempDir;

fn key(seed: u64) -> String {
    let template = Template::parse("sk-proj-{long:74,74}").unwrap();
    template.fill(seed).key
}

/// The program with nobody's configuration, in `directory`.
fn skewer(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skewer"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if ["SKEWER_", "GIT_", "CI"]
            .iter()
            .any(|mine| name.starts_with(mine))
        {
            command.env_remove(name);
        }
    }
    command
        .current_dir(directory)
        .env("XDG_CONFIG_HOME", directory.join("none"))
        .env("HOME", directory);
    command
}

/// Runs it, and sees to it that no whole key is printed.
fn run(directory: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = skewer(directory).args(arguments).output().unwrap();
    told(&output)
}

fn told(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    for seed in 0..10 {
        assert!(
            !out.contains(&key(seed)[8..40]) && !err.contains(&key(seed)[8..40]),
            "a key was printed"
        );
    }
    (output.status.code().unwrap(), out, err)
}

fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = directory.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    directory
}

/// The report's findings, as (place, line, column).
fn places(json: &str) -> Vec<(String, u64, u64)> {
    let report: serde_json::Value = serde_json::from_str(json).unwrap();
    let mut all: Vec<_> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| {
            let at = &f["location"];
            let path = at["name"].as_str().unwrap().to_owned();
            (
                path,
                at["line"].as_u64().unwrap_or(0),
                at["column"].as_u64().unwrap_or(0),
            )
        })
        .collect();
    all.sort();
    all
}

#[test]
fn the_exit_code_says_what_came_of_it() {
    let here = directory(&[
        ("clean/a.txt", "nothing\n"),
        ("leak/b.txt", &format!("k={}\n", key(1))),
    ]);
    let code = |arguments: &[&str]| run(here.path(), arguments).0;
    assert_eq!(code(&["scan", "clean"]), 0);
    assert_eq!(code(&["scan", "."]), 1);
    assert_eq!(code(&["scan", "--exit-zero", "."]), 0);
    assert_eq!(code(&["scan", "nowhere"]), 2);
    assert_eq!(code(&["scan", "clean", "nowhere"]), 2);
    assert_eq!(code(&["scan"]), 2);
    assert_eq!(code(&["scan", "--rules", "nowhere.toml", "clean"]), 2);
    assert_eq!(code(&["staged", "clean"]), 2);
}

#[test]
#[cfg(target_os = "linux")]
fn what_cannot_be_read_is_named_and_is_not_clean() {
    // Readable by permission, not by nature: even for root.
    let here = directory(&[("leak.txt", &format!("k={}\n", key(1)))]);
    let (code, out, _) = run(here.path(), &["scan", "/proc/self/mem"]);
    assert_eq!(code, 3, "{out}");
    assert!(out.contains("/proc/self/mem"), "{out}");
    assert_eq!(
        run(
            here.path(),
            &["scan", "--on-incomplete", "warn", "/proc/self/mem"]
        )
        .0,
        0
    );
    assert_eq!(
        run(here.path(), &["scan", "/proc/self/mem", "leak.txt"]).0,
        1
    );
}

#[test]
fn places_are_exact_and_paths_with_keys_are_masked() {
    let named = format!("notes-{}.txt", &key(2));
    let here = directory(&[
        ("a/b.txt", &format!("one\ntwo é {}\n", key(1))),
        (&named, "x"),
    ]);
    let odd = here.path().join(OsStr::from_bytes(b"odd \xff\n\x1b[31m"));
    std::fs::write(odd, format!("{}\n", key(3))).unwrap();
    let (code, out, _) = run(here.path(), &["scan", "--format", "json", "."]);
    assert_eq!(code, 1);
    let places = places(&out);
    assert_eq!(places.len(), 3, "{places:?}");
    assert!(
        places
            .iter()
            .any(|(p, line, column)| p.ends_with("a/b.txt") && (*line, *column) == (2, 8))
    );
    let (_, text, _) = run(here.path(), &["scan", "."]);
    assert!(!text.contains('\x1b'), "{text}");
}

#[test]
fn ignored_files_are_counted_and_tracked_ones_are_read() {
    let repo = Scratch::new(&[]);
    repo.add("kept.log", &format!("k={}\n", key(1)));
    repo.write("out/deep/kept.bin", &format!("k={}\n", key(2)));
    repo.git(&["add", "-f", "out/deep/kept.bin"]);
    repo.write("loose.log", &format!("k={}\n", key(3)));
    repo.write("out/loose", &format!("k={}\n", key(4)));
    repo.write(".gitignore", "*.log\n/out/\n");
    let (_, out, _) = run(repo.root(), &["scan", "--format", "json", "."]);
    let found: Vec<String> = places(&out).into_iter().map(|p| p.0).collect();
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found.iter().any(|p| p.ends_with("kept.log"))
            && found.iter().any(|p| p.ends_with("out/deep/kept.bin"))
    );
    let (_, text, _) = run(repo.root(), &["scan", "."]);
    assert!(
        text.contains("2 ") && text.contains("--no-ignore"),
        "{text}"
    );
    let (_, out, _) = run(
        repo.root(),
        &["scan", "--no-ignore", "--format", "json", "."],
    );
    assert_eq!(places(&out).len(), 4);
    // A path given by name is read whatever git says of it.
    assert_eq!(run(repo.root(), &["scan", "loose.log"]).0, 1);
}

#[test]
fn a_list_of_files_may_hold_any_name() {
    let here = directory(&[("a b.txt", &key(1)), ("c\nd.txt", &key(2))]);
    std::fs::write(here.path().join("list"), b"a b.txt\0c\nd.txt\0").unwrap();
    let (code, out, _) = run(
        here.path(),
        &["scan", "--format", "json", "--files-from", "list"],
    );
    assert_eq!((code, places(&out).len()), (1, 2));
    std::fs::write(here.path().join("list"), b"gone.txt\0").unwrap();
    let (code, out, _) = run(here.path(), &["scan", "--files-from", "list"]);
    assert_eq!(code, 3);
    assert!(out.contains("gone.txt"), "{out}");
}

/// A scan of standard input that is still open.
struct Streaming(Child);

impl Streaming {
    fn start(here: &Path, arguments: &[&str]) -> Self {
        let mut command = skewer(here);
        command.args(["scan", "-"]).args(arguments);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    fn wait(mut self) -> i32 {
        let since = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code().unwrap();
            }
            assert!(since.elapsed() < Duration::from_secs(60), "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_pipe_that_never_ends_is_told_of_at_once_and_ctrl_c_ends_it() {
    for format in ["text", "jsonl"] {
        let here = directory(&[]);
        let mut run = Streaming::start(here.path(), &["--format", format]);
        let mut stdin = run.0.stdin.take().unwrap();
        writeln!(stdin, "no key yet\nBearer {}", key(1)).unwrap();
        let mut told = BufReader::new(run.0.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains("sk-proj-") {
            line.clear();
            assert_ne!(told.read_line(&mut line).unwrap(), 0, "it ended");
        }
        Command::new("kill")
            .args(["-INT", &run.0.id().to_string()])
            .status()
            .unwrap();
        // A key was found, and that always wins.
        assert_eq!(run.wait(), 1);
        drop(stdin);
    }
}

#[test]
fn ctrl_c_without_a_finding_is_130_and_the_report_says_so() {
    let here = directory(&[]);
    let mut run = Streaming::start(here.path(), &["--format", "json"]);
    let mut stdin = run.0.stdin.take().unwrap();
    writeln!(stdin, "nothing").unwrap();
    let mut out = run.0.stdout.take().unwrap();
    // The handler is there before the first read.
    std::thread::sleep(Duration::from_millis(500));
    Command::new("kill")
        .args(["-INT", &run.0.id().to_string()])
        .status()
        .unwrap();
    let mut report = String::new();
    out.read_to_string(&mut report).unwrap();
    assert_eq!(run.wait(), 130);
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["complete"], false);
    drop(stdin);
}

#[test]
fn a_reader_that_goes_away_ends_the_scan() {
    let here = directory(&[]);
    let mut run = Streaming::start(here.path(), &["--format", "jsonl"]);
    drop(run.0.stdout.take());
    let mut stdin = run.0.stdin.take().unwrap();
    let _ = writeln!(stdin, "Bearer {}", key(1));
    // It need not read to the end of what never ends.
    while writeln!(stdin, "more words").is_ok() {}
    assert!([1, 141].contains(&run.wait()));
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_an_error_and_no_report() {
    let here = directory(&[("a.txt", "nothing\n")]);
    for format in ["json", "jsonl", "sarif", "text"] {
        let (code, _, err) = run(
            here.path(),
            &["scan", "a.txt", "--format", format, "--output", "/dev/full"],
        );
        assert_eq!(code, 2, "{format}");
        assert!(err.contains("can't write the report"), "{err}");
    }
    assert_eq!(
        run(here.path(), &["scan", "a.txt", "--output", "no/such/place"]).0,
        2
    );
}

#[test]
fn whole_keys_are_shown_on_request_in_json_alone_and_never_in_ci() {
    let here = directory(&[("a.txt", &key(1))]);
    assert_eq!(run(here.path(), &["scan", "--reveal", "a.txt"]).0, 2);
    let arguments = ["scan", "--reveal", "--format", "json", "a.txt"];
    let output = skewer(here.path()).args(arguments).output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["findings"][0]["secret"] == key(1));
    assert!(!output.stderr.is_empty());
    let output = skewer(here.path())
        .args(arguments)
        .env("CI", "true")
        .output()
        .unwrap();
    assert_eq!(told(&output).0, 2);
}

#[test]
fn a_line_of_four_gigabytes_is_read_in_bounded_memory() {
    let here = directory(&[]);
    let path = here.path().join("huge");
    let mut file = std::fs::File::create(&path).unwrap();
    let size = 4 << 30;
    file.set_len(size).unwrap();
    std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0)).unwrap();
    write!(file, "x {}", key(1)).unwrap();
    let (code, out, _) = run(here.path(), &["scan", "--format", "json", "huge"]);
    assert_eq!(code, 1);
    assert_eq!(places(&out)[0].1, 1);
    assert_eq!(places(&out)[0].2, size + 3);
}

#[test]
fn devices_links_and_pipes_are_accounted_for_and_not_waited_for() {
    let here = directory(&[("a.txt", "x"), ("elsewhere/b.txt", &key(1))]);
    std::os::unix::fs::symlink("elsewhere", here.path().join("link")).unwrap();
    Command::new("mkfifo")
        .arg(here.path().join("pipe"))
        .status()
        .unwrap();
    std::os::unix::net::UnixListener::bind(here.path().join("socket")).unwrap();
    let (code, out, _) = run(here.path(), &["scan", "--format", "json", "."]);
    assert_eq!((code, places(&out).len()), (1, 1));
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    let excluded = report["coverage"]["excluded"].to_string();
    assert!(
        excluded.contains("symbolic_link") && excluded.contains("special_file"),
        "{excluded}"
    );
}

#[test]
fn staged_blobs_are_searched_as_git_keeps_them() {
    let repo = Scratch::new(&[]);
    repo.add("old.txt", &format!("k={}\n", key(1)));
    repo.commit("old");
    repo.git(&["mv", "old.txt", "moved.txt"]);
    assert_eq!(
        run(repo.root(), &["staged"]).0,
        0,
        "a key that only moved is a note"
    );
    repo.add("new.txt", &format!("k={}\n", key(2)));
    // The working tree is not what is committed.
    repo.write("new.txt", "clean\n");
    let (code, out, _) = run(repo.root(), &["staged", "--format", "jsonl"]);
    assert_eq!(code, 1);
    let statuses: Vec<String> = out
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter_map(|line| Some(line["status"].as_str()?.to_owned()))
        .collect();
    assert_eq!(
        statuses.iter().filter(|s| *s == "counts").count(),
        1,
        "{statuses:?}"
    );
    assert_eq!(
        statuses.iter().filter(|s| *s == "before").count(),
        1,
        "{statuses:?}"
    );
}

#[test]
fn history_tells_the_story_of_a_key_in_the_report() {
    let repo = Scratch::new(&[]);
    repo.add("src/app.py", &format!("api_key = \"{}\"\n", key(1)));
    repo.commit("add the client");
    repo.git(&["tag", "v1"]);
    repo.add("src/app.py", "api_key = read()\n");
    repo.commit("take the key out");
    assert_eq!(run(repo.root(), &["scan", "."]).0, 0);
    let (code, text, _) = run(repo.root(), &["history"]);
    assert_eq!(code, 1, "{text}");
    for said in [
        "add the client",
        "src/app.py:1:12",
        "kept by",
        "refs/heads/main",
        "refs/tags/v1",
        "rotate first",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    let (_, json, _) = run(repo.root(), &["history", "--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    let story = &report["findings"][0]["location"]["history"];
    assert_eq!(story["first"]["summary"], "add the client");
    assert_eq!(
        story["held_by"]["named"],
        serde_json::json!(["refs/tags/v1"])
    );
    assert_eq!(story["reached_from"]["count"], 3);
    // A marker is no excuse in history.
    let fingerprint = report["findings"][0]["fingerprint"]
        .as_str()
        .unwrap()
        .to_owned();
    repo.add(
        "b.txt",
        &format!("{} # skewer:allow={fingerprint}\n", key(1)),
    );
    repo.commit("excused");
    assert_eq!(run(repo.root(), &["scan", "b.txt"]).0, 0);
    assert_eq!(run(repo.root(), &["history"]).0, 1);
}

#[test]
fn history_runs_nothing_that_a_repository_names() {
    let repo = Scratch::new(&[]);
    if !repo
        .try_git(&["init", "-q", "--ref-format=reftable", "other"])
        .status
        .success()
    {
        eprintln!("NOT TRIED: this git has no reftable");
        return;
    }
    let other = repo.root().join("other");
    let git = |arguments: &[&str]| {
        let inside = [&["-C", "other"], arguments].concat();
        assert!(repo.try_git(&inside).status.success(), "{arguments:?}");
    };
    std::fs::write(other.join("a.txt"), "x").unwrap();
    git(&["add", "a.txt"]);
    git(&["commit", "-q", "-m", "one"]);
    let trap = repo.root().join("trap.sh");
    std::fs::write(
        &trap,
        format!("#!/bin/sh\ntouch {}/sprung\n", repo.root().display()),
    )
    .unwrap();
    Command::new("chmod").arg("+x").arg(&trap).status().unwrap();
    let trap = trap.to_str().unwrap();
    for name in [
        "gpg.program",
        "core.fsmonitor",
        "core.pager",
        "diff.external",
        "core.sshCommand",
    ] {
        git(&["config", name, trap]);
    }
    git(&["config", "log.showSignature", "true"]);
    // A commit that claims to be signed.
    let tree = String::from_utf8(repo.git(&["-C", "other", "rev-parse", "HEAD^{tree}"])).unwrap();
    let person = "A <a@example.org> 1700000000 +0000";
    let commit = format!(
        "tree {}\nauthor {person}\ncommitter {person}\ngpgsig -----BEGIN PGP SIGNATURE-----\n \n -----END PGP SIGNATURE-----\n\nsigned\n",
        tree.trim()
    );
    std::fs::write(repo.root().join("commit"), commit).unwrap();
    let id = repo.git(&[
        "-C",
        "other",
        "hash-object",
        "-t",
        "commit",
        "-w",
        "../commit",
    ]);
    git(&[
        "update-ref",
        "refs/heads/main",
        String::from_utf8(id).unwrap().trim(),
    ]);
    let (code, text, _) = run(repo.root(), &["history", "other"]);
    assert_eq!(code, 0, "{text}");
    assert!(
        !repo.root().join("sprung").exists(),
        "it ran a program that the repository names"
    );
}
