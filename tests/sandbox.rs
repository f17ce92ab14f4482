//! `skewer sandbox` as its users meet it: where it puts the admin key, what it leaves, how it ends.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use skewer::matcher::Matcher;
use skewer::rules::Rules;

/// Ends the program even if the test fails.
struct Started(Child);

impl Started {
    fn new(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_skewer"));
        command.arg("sandbox").args(arguments);
        Self(
            command
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap(),
        )
    }

    fn interrupt(mut self) -> (Option<i32>, String) {
        let id = self.0.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-INT", &id])
                .status()
                .unwrap()
                .success()
        );
        let status = self.0.wait().unwrap();
        let mut text = String::new();
        self.0
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        self.0
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        (status.code(), text)
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wait_for(file: &Path) -> String {
    for _ in 0..400 {
        if let Ok(text) = std::fs::read_to_string(file) {
            return text;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    panic!("{} did not appear", file.display());
}

/// A variable of the environment file.
fn variable(text: &str, name: &str) -> String {
    let before = format!("export {name}='");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(&before))
        .unwrap();
    line.strip_suffix('\'').unwrap().to_owned()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn status(base: &str, path: &str, key: &str) -> String {
    let address = base
        .strip_prefix("http://")
        .unwrap()
        .strip_suffix("/v1")
        .unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!(
        "GET /v1{path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\nauthorization: Bearer {key}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text.split(' ').nth(1).unwrap().to_owned()
}

fn skewer(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skewer"));
    command.arg("sandbox").args(arguments).output().unwrap()
}

#[test]
fn it_runs_until_ctrl_c_and_shows_no_key() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("it's here");
    let started = Started::new(&["--dir", directory.to_str().unwrap(), "--seed", "9"]);
    let text = wait_for(&directory.join("env"));
    let (base, key) = (
        variable(&text, "OPENAI_BASE_URL"),
        variable(&text, "OPENAI_ADMIN_KEY"),
    );
    assert!(base.starts_with("http://127.0.0.1:"));
    assert_eq!(status(&base, "/organization/projects", &key), "200");
    assert_eq!(mode(&directory), 0o700);
    assert_eq!(mode(&directory.join("env")), 0o600);
    let matcher = Matcher::new(&Rules::built_in(), None);
    let mut answers = Vec::new();
    for entry in std::fs::read_dir(directory.join("leak")).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600);
        let hits = matcher.search_all(&std::fs::read(&path).unwrap());
        let leaked = String::from_utf8(hits[0].secret.expose().to_vec()).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        answers.push((name, status(&base, "/models", &leaked)));
    }
    answers.sort();
    let answers: Vec<_> = answers
        .iter()
        .map(|(name, status)| (name.as_str(), status.as_str()))
        .collect();
    let expected = [
        ("chat.env", "200"),
        ("deploy.sh", "200"),
        ("elsewhere.json", "401"),
        ("notes.md", "401"),
    ];
    assert_eq!(answers, expected);
    // A shell can read the file, whatever the directory is called.
    let shell = Command::new("sh")
        .args(["-c", ". \"$1\" && printf %s \"$SANDBOX_DIR\"", "sh"])
        .arg(directory.join("env"))
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8(shell.stdout).unwrap(),
        directory.to_str().unwrap()
    );
    let (code, said) = started.interrupt();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(&base), "{said}");
    assert!(
        matcher.search_all(said.as_bytes()).is_empty(),
        "it shows no key"
    );
    assert!(
        directory.join("env").exists(),
        "a directory that was named stays"
    );
}

#[test]
fn its_own_directory_goes_with_it() {
    let scratch = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_skewer"));
    command.arg("sandbox").env("TMPDIR", scratch.path());
    let started = Started(
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let entries = || {
        std::fs::read_dir(scratch.path())
            .unwrap()
            .map(|e| e.unwrap().path())
            .collect::<Vec<_>>()
    };
    while entries().is_empty() {
        std::thread::sleep(Duration::from_millis(25));
    }
    let directory = entries().remove(0);
    wait_for(&directory.join("env"));
    assert_eq!(mode(&directory), 0o700);
    assert_eq!(started.interrupt().0, Some(0));
    assert!(entries().is_empty());
}

#[test]
fn its_example_is_a_script_that_it_takes() {
    let scratch = tempfile::tempdir().unwrap();
    let script = scratch.path().join("drill.toml");
    let example = skewer(&["--example"]);
    let text = String::from_utf8(example.stdout).unwrap();
    assert!(text.contains("revoke_admin_key"), "{text}");
    let text = text
        .replace("page_size = 100", "page_size = 7")
        .replace("# [[faults]]", "[[faults]]\nwhat = \"server_error\"\n");
    std::fs::write(&script, text).unwrap();
    let directory = scratch.path().join("run");
    let started = Started::new(&[
        "--script",
        script.to_str().unwrap(),
        "--dir",
        directory.to_str().unwrap(),
    ]);
    let text = wait_for(&directory.join("env"));
    let (base, key) = (
        variable(&text, "OPENAI_BASE_URL"),
        variable(&text, "OPENAI_ADMIN_KEY"),
    );
    assert_eq!(status(&base, "/organization/projects", &key), "500");
    drop(started);
}

#[test]
fn mistakes_are_named() {
    let scratch = tempfile::tempdir().unwrap();
    let script = scratch.path().join("wrong.toml");
    std::fs::write(&script, "[settings]\npage_sise = 7\n").unwrap();
    let script = script.to_str().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for (arguments, words) in [
        (&["--script", script][..], &["page_sise", "--example"][..]),
        (
            &["--script", "/nowhere/drill.toml"],
            &["/nowhere/drill.toml"],
        ),
        (&["--set", "page_size"], &["page_size", "NAME=VALUE"]),
        (&["--set", "colour=red"], &["colour", "page_size"]),
        (&["--generation", "newest"], &["newest", "september"]),
        (&["--port", &port], &["127.0.0.1", &port, "--port"]),
    ] {
        let output = skewer(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        for word in words {
            assert!(
                said.contains(word),
                "{arguments:?}: {word:?} is not in {said}"
            );
        }
    }
}
