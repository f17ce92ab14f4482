//! `skewer redact`, `scan --follow` and `scan --places` as their users meet them.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]
#![cfg(unix)]

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use skewer::rules::Template;
use tempfile::TempDir;

fn key(seed: u64) -> String {
    let template = Template::parse("sk-proj-{long:74,74}").unwrap();
    template.fill(seed).key
}

/// The program with an environment of its own; `home` is where it starts and lives.
fn skewer(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skewer"));
    command
        .args(arguments)
        .env_clear()
        .env("HOME", home)
        .current_dir(home)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// A program that is ended with the test.
struct Running(Child);

impl Running {
    fn start(mut command: Command) -> Self {
        Self(command.spawn().unwrap())
    }

    fn interrupt(&self) {
        let pid = self.0.id().to_string();
        let sent = Command::new("kill").args(["-INT", &pid]).status();
        assert!(sent.unwrap().success());
    }

    fn give(&mut self, text: &str) {
        let input = self.0.stdin.as_mut().unwrap();
        input.write_all(text.as_bytes()).unwrap();
        input.flush().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What it writes, as it comes.
fn pieces(mut from: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (send, receive) = channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            if send.send(buffer[..count].to_vec()).is_err() {
                break;
            }
        }
    });
    receive
}

/// Waits until `wanted` was written.
fn wait_for(pieces: &Receiver<Vec<u8>>, wanted: &str) {
    let mut seen = Vec::new();
    while seen != wanted.as_bytes() {
        let piece = pieces.recv_timeout(Duration::from_secs(20));
        seen.extend(piece.unwrap_or_else(|_| panic!("only {:?}", String::from_utf8_lossy(&seen))));
        assert!(
            wanted.as_bytes().starts_with(&seen),
            "{:?}",
            String::from_utf8_lossy(&seen)
        );
    }
}

fn filtered(home: &Path, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = skewer(home, arguments).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let giver = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    let _ = giver.join().unwrap();
    output
}

#[test]
fn a_filter_masks_keys_and_nothing_else() {
    let home = tempfile::tempdir().unwrap();
    let (a, b) = (key(1), key(2));
    let hex: String = b.bytes().map(|b| format!("{b:02x}")).collect();
    let text = format!("one {a}\r\n\0\u{fe}two {hex} sk-***\nthree");
    let output = filtered(home.path(), &["redact"], text.as_bytes());
    let (stars, more) = ("*".repeat(a.len()), "*".repeat(hex.len()));
    let expected = format!("one {stars}\r\n\0\u{fe}two {more} sk-***\nthree");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "skewer: masked 2 keys\n"
    );
    let quiet = filtered(home.path(), &["redact", "-q"], text.as_bytes());
    assert!(quiet.stderr.is_empty());
}

#[test]
fn headers_and_variables_are_masked_if_asked_for() {
    let home = tempfile::tempdir().unwrap();
    let text = "Authorization: Bearer abc\nDB_PASSWORD=xyz\n";
    let out = |arguments: &[&str]| {
        let output = filtered(home.path(), arguments, text.as_bytes());
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(out(&["redact"]), text);
    assert_eq!(
        out(&["redact", "--headers"]),
        "Authorization: ****** ***\nDB_PASSWORD=xyz\n"
    );
    assert_eq!(
        out(&["redact", "--env"]),
        "Authorization: Bearer abc\nDB_PASSWORD=***\n"
    );
}

#[test]
fn files_are_copied_one_after_another() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("a"), format!("{}\n", key(1))).unwrap();
    fs::write(home.path().join("b"), "b").unwrap();
    fs::write(home.path().join("c.gz"), b"\x1f\x8b\x08rest").unwrap();
    let run = |arguments: &[&str]| filtered(home.path(), arguments, b"in\n");
    let output = run(&["redact", "a", "-", "b"]);
    assert_eq!(
        output.stdout,
        format!("{}\nin\nb", "*".repeat(164)).as_bytes()
    );
    // What is compressed is copied, but not vouched for.
    assert_eq!(run(&["redact", "c.gz"]).status.code(), Some(3));
    assert_eq!(run(&["redact", "nowhere"]).status.code(), Some(2));
}

#[test]
fn lines_come_at_once_and_a_key_in_two_pieces_does_not_come_through() {
    let home = tempfile::tempdir().unwrap();
    let mut run = Running::start(skewer(home.path(), &["redact"]));
    let told = pieces(run.0.stdout.take().unwrap());
    run.give("a line\n");
    wait_for(&told, "a line\n");
    // The beginning of a line comes after a while, but no beginning of a key.
    let key = key(3);
    run.give(&format!("prompt: {}", &key[..60]));
    wait_for(&told, &format!("prompt: {}", "*".repeat(60)));
    run.give(&format!("{} end\n", &key[60..]));
    wait_for(&told, &format!("{} end\n", "*".repeat(key.len() - 60)));
    // Waiting would end its input, and which of the two is seen first is chance.
    let _open = run.0.stdin.take();
    run.interrupt();
    assert_eq!(run.0.wait().unwrap().code(), Some(130));
}

#[test]
fn a_reader_that_goes_away_ends_it() {
    let home = tempfile::tempdir().unwrap();
    let mut run = Running::start(skewer(home.path(), &["redact"]));
    drop(run.0.stdout.take());
    let mut input = run.0.stdin.take().unwrap();
    while input.write_all(&[b'x'; 4096]).is_ok() {}
    assert_eq!(run.0.wait().unwrap().code(), Some(141));
}

#[test]
fn a_file_that_grows_is_followed_through_truncation_and_rotation() {
    let home = tempfile::tempdir().unwrap();
    let (log, other) = (home.path().join("app.log"), home.path().join("b.log"));
    fs::write(&log, format!("one\ntwo {}\n", key(1))).unwrap();
    fs::write(&other, "").unwrap();
    let arguments = ["scan", "--follow", "--format", "jsonl", "app.log", "b.log"];
    let mut run = Running::start(skewer(home.path(), &arguments));
    let mut told = BufReader::new(run.0.stdout.take().unwrap());
    let mut next = || {
        let mut line = String::new();
        told.read_line(&mut line).unwrap();
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        line
    };
    let place = |line: serde_json::Value| {
        let at = &line["location"];
        let name = at["name"].as_str().unwrap().to_owned();
        (name, at["line"].as_u64().unwrap())
    };
    let add = |path: &Path, text: &str| {
        let mut file = OpenOptions::new().append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    assert_eq!(place(next()), ("app.log".to_owned(), 2));
    // A line that comes in two pieces is one.
    let second = key(2);
    add(&log, &format!("three\nfour {}", &second[..70]));
    add(&log, &format!("{}\n", &second[70..]));
    assert_eq!(place(next()), ("app.log".to_owned(), 4));
    add(&other, &format!("{}\n", key(3)));
    assert_eq!(place(next()), ("b.log".to_owned(), 1));
    // Truncated, and longer at once than it was.
    fs::write(&log, format!("{}\n{}\n", "x".repeat(9000), key(4))).unwrap();
    assert_eq!(place(next()), ("app.log".to_owned(), 2));
    // Moved away with something added, and a new one in its place.
    add(&log, &format!("last {}\n", key(5)));
    fs::rename(&log, home.path().join("app.log.1")).unwrap();
    fs::write(&log, format!("{}\n", key(6))).unwrap();
    assert_eq!(place(next()), ("app.log".to_owned(), 3));
    assert_eq!(place(next()), ("app.log".to_owned(), 1));
    run.interrupt();
    let summary = next();
    assert!(summary.to_string().contains("summary"), "{summary}");
    // Keys were found; and being stopped is how it ends.
    assert_eq!(run.0.wait().unwrap().code(), Some(1));
}

#[test]
fn being_stopped_is_how_following_ends() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("a.log"), "nothing\n").unwrap();
    let mut run = Running::start(skewer(home.path(), &["scan", "--follow", "a.log"]));
    std::thread::sleep(Duration::from_millis(500));
    run.interrupt();
    assert_eq!(run.0.wait().unwrap().code(), Some(0));
    let directory = filtered(home.path(), &["scan", "--follow", "."], b"");
    assert_eq!(directory.status.code(), Some(2));
}

/// A home with a key in each kind of place; gives the files' names.
fn home() -> (TempDir, Vec<&'static str>) {
    let files = vec![
        ".bash_history",
        ".zshrc",
        ".python_history",
        "work/app/.env",
        "work/.ipynb_checkpoints/a-checkpoint.ipynb",
        ".claude/projects/-work/1.jsonl",
        ".codex/sessions/2026/01/02/rollout.jsonl",
        ".cursor/projects/a/agent-transcripts/1.jsonl",
        ".continue/config.yaml",
        ".aider.conf.yml",
        ".config/Code/User/History/1/a.py",
        ".viminfo",
        ".npmrc",
        ".config/pip/pip.conf",
        ".docker/config.json",
        ".kube/config",
        ".aws/credentials",
        "actions-runner/_diag/Worker_1.log",
        ".config/copyq/copyq.conf",
    ];
    let home = tempfile::tempdir().unwrap();
    for (seed, file) in files.iter().enumerate() {
        let path = home.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("key = \"{}\"\n", key(seed as u64))).unwrap();
    }
    // What git ignores counts here: dotfiles are often in a repository.
    fs::write(home.path().join(".gitignore"), "*\n").unwrap();
    fs::create_dir_all(home.path().join(".git")).unwrap();
    fs::write(home.path().join("elsewhere.txt"), key(99)).unwrap();
    (home, files)
}

#[test]
#[cfg(target_os = "linux")]
fn every_kind_of_place_is_looked_at() {
    let (home, files) = home();
    let output = filtered(
        home.path(),
        &["scan", "--places", "--format", "json", "--exit-zero"],
        b"",
    );
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut seen: Vec<String> = Vec::new();
    for finding in report["findings"].as_array().unwrap() {
        let name = finding["location"]["name"].as_str().unwrap();
        // The machine's own places may hold anything.
        if let Some(name) = name.strip_prefix(&format!("{}/", home.path().display())) {
            seen.push(name.to_owned());
        }
    }
    seen.sort();
    let mut expected = files.clone();
    expected.push("elsewhere.txt");
    expected.sort_unstable();
    assert_eq!(seen, expected);
}

#[test]
fn places_are_chosen_by_name_and_listed() {
    let (home, _) = home();
    let scan = |names: &[&str]| {
        let arguments = [&["scan", "--format", "jsonl", "--places"], names].concat();
        let output = filtered(home.path(), &arguments, b"");
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), text.lines().count().saturating_sub(1))
    };
    assert_eq!(scan(&["codex"]), (Some(1), 1));
    assert_eq!(scan(&["codex,aider", "continue"]), (Some(1), 3));
    assert_eq!(scan(&["goose"]), (Some(0), 0));
    assert_eq!(scan(&["nowhere"]).0, Some(2));
    let listed = filtered(home.path(), &["places", "agents"], b"");
    let text = String::from_utf8(listed.stdout).unwrap();
    let row = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(2).unwrap().to_owned()
    };
    assert_eq!(
        (row("codex"), row("goose")),
        ("1".to_owned(), "-".to_owned())
    );
    let json = filtered(home.path(), &["places", "--json", "codex"], b"");
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    let here = json[0]["here"][0].as_str().unwrap();
    assert!(here.ends_with("/.codex"), "{here}");
}
