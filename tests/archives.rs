//! Archives as users meet them: where a key is, what could not be read, and what it takes to pass.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

#[path = "support/git.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod git;

use std::io::Write;
use std::path::Path;
use std::process::Command;

use git::Scratch;
use sha2::{Digest, Sha256};
use skewer::rules::Template;

fn key(seed: u64) -> String {
    let template = Template::parse("sk-proj-{long:74,74}").unwrap();
    template.fill(seed).key
}

fn skewer(here: &Path, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skewer"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("GIT_") || name.starts_with("SKEWER_") {
            command.env_remove(name);
        }
    }
    let output = command
        .current_dir(here)
        .env("HOME", here)
        .env("XDG_CONFIG_HOME", here)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .args(arguments)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(!text.contains(&key(1)[8..40]), "a key was printed");
    (output.status.code().unwrap(), text)
}

/// A zip with one stored member.
fn zip(name: &str, flags: u8, bytes: &[u8]) -> Vec<u8> {
    let mut sum = libdeflater::Crc::new();
    sum.update(bytes);
    let size = (bytes.len() as u32).to_le_bytes();
    let mut fields = vec![20, 0, flags, 0, 0, 0, 0, 0, 0, 0];
    fields.extend(sum.sum().to_le_bytes());
    fields.extend([size, size].concat());
    fields.extend((name.len() as u16).to_le_bytes());
    fields.extend([0; 2]);
    let local = [b"PK\x03\x04", &fields[..], name.as_bytes(), bytes].concat();
    let entry = [b"PK\x01\x02\x14\0", &fields[..], &[0; 14], name.as_bytes()].concat();
    let end = [
        &b"PK\x05\x06\0\0\0\0\x01\0\x01\0"[..],
        &(entry.len() as u32).to_le_bytes(),
        &(local.len() as u32).to_le_bytes(),
        &[0; 2],
    ];
    [local, entry, end.concat()].concat()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    to.write_all(bytes).unwrap();
    to.finish().unwrap()
}

fn settings() -> Vec<u8> {
    format!("# ours\nOPENAI_API_KEY={}\n", key(1)).into_bytes()
}

#[test]
fn a_report_names_the_way_in_whatever_its_format() {
    let here = tempfile::tempdir().unwrap();
    let packed = gzip(&zip("conf/.env", 0, &settings()));
    std::fs::write(here.path().join("a.bin"), packed).unwrap();
    let (status, text) = skewer(here.path(), &["scan", "."]);
    assert_eq!(status, 1, "{text}");
    assert!(text.contains("a.bin → conf/.env:2:16"), "{text}");
    let (_, json) = skewer(here.path(), &["scan", ".", "--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    let location = &report["findings"][0]["location"];
    let members = serde_json::json!([{"kind": "gzip"}, {"kind": "file", "name": "conf/.env"}]);
    assert_eq!(location["members"], members);
    assert_eq!(
        (&location["line"], &location["offset"]),
        (&2.into(), &22.into())
    );
    for format in ["jsonl", "sarif", "gitlab", "github", "junit", "csv"] {
        let (_, text) = skewer(here.path(), &["scan", ".", "--format", format]);
        assert!(text.contains("conf/.env"), "{format}: {text}");
    }
}

#[test]
fn what_can_not_be_read_fails_the_run_until_somebody_answers_for_it() {
    let here = tempfile::tempdir().unwrap();
    let locked = zip("secret.txt", 1, b"whatever it is");
    std::fs::write(here.path().join("a.zip"), &locked).unwrap();
    let (status, text) = skewer(here.path(), &["scan", "a.zip"]);
    assert_eq!(status, 3, "{text}");
    assert!(
        text.contains("a.zip → secret.txt: it is encrypted"),
        "{text}"
    );
    assert_eq!(
        skewer(here.path(), &["scan", "a.zip", "--accept", "*.zip"]).0,
        0
    );
    assert_eq!(
        skewer(here.path(), &["scan", "a.zip", "--on-incomplete", "warn"]).0,
        0
    );
    let (status, text) = skewer(here.path(), &["scan", "a.zip", "--max-depth", "0"]);
    assert_eq!(status, 3, "{text}");
    assert!(text.contains("(--max-depth)"), "{text}");

    let hash: String = Sha256::digest(&locked)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    for name in ["a.zip!secret.txt", "a.zip"] {
        let allow = [
            "allow",
            "--unreadable",
            name,
            "--sha256",
            &hash,
            "--reason",
            "theirs",
        ];
        let (status, text) = skewer(here.path(), &allow);
        assert_eq!(status, 0, "{text}");
        let (status, text) = skewer(here.path(), &["scan", "a.zip"]);
        assert_eq!(status, 0, "{name}: {text}");
        assert!(text.contains("as accepted beforehand"), "{text}");
        // Another file of that name is another matter.
        std::fs::write(here.path().join("a.zip"), zip("secret.txt", 1, b"other")).unwrap();
        assert_eq!(skewer(here.path(), &["scan", "a.zip"]).0, 3);
        std::fs::write(here.path().join("a.zip"), &locked).unwrap();
        std::fs::remove_file(here.path().join("skewer-baseline.toml")).unwrap();
    }
}

#[test]
fn staged_archives_and_those_of_history_are_unpacked_and_hooks_only_warn() {
    let scratch = Scratch::new(&[]);
    let here = scratch.root();
    std::fs::write(here.join("locked.zip"), zip("a", 1, b"?")).unwrap();
    scratch.git(&["add", "locked.zip"]);
    let (status, text) = skewer(here, &["hook", "run", "pre-commit"]);
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("locked.zip → a: it is encrypted"), "{text}");
    assert_eq!(skewer(here, &["staged"]).0, 3);
    scratch.commit("locked");

    std::fs::write(
        here.join("app.tgz"),
        gzip(&zip("conf/.env", 0, &settings())),
    )
    .unwrap();
    scratch.git(&["add", "app.tgz"]);
    let (status, text) = skewer(here, &["staged"]);
    assert_eq!(status, 1, "{text}");
    assert!(text.contains("app.tgz → conf/.env:2:16"), "{text}");
    scratch.commit("packed");
    for packed in [false, true] {
        if packed {
            scratch.git(&["gc", "-q"]);
        }
        let (status, text) = skewer(here, &["history"]);
        assert_eq!(status, 1, "{text}");
        assert!(text.contains(":app.tgz → conf/.env:2:16"), "{text}");
        assert!(text.contains("→ a: it is encrypted"), "{text}");
    }
}

#[test]
fn what_was_acknowledged_is_so_in_history_too() {
    let scratch = Scratch::new(&[]);
    let here = scratch.root();
    let locked = zip("a", 1, b"?");
    std::fs::create_dir(here.join("dist")).unwrap();
    std::fs::write(here.join("dist/locked.zip"), &locked).unwrap();
    scratch.git(&["add", "dist"]);
    scratch.commit("locked");
    let hash: String = Sha256::digest(&locked)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    let member = "dist/locked.zip!a";
    let allow = [
        "allow",
        "--unreadable",
        member,
        "--sha256",
        &hash,
        "--reason",
        "theirs",
    ];
    for packed in [false, true] {
        if packed {
            scratch.git(&["gc", "-q"]);
        }
        let (status, text) = skewer(here, &["history"]);
        assert_eq!(status, 3);
        assert!(
            text.contains(" (dist/locked.zip) → a: it is encrypted"),
            "{text}"
        );
        let range = ["history", "--range", "HEAD", "--accept", "dist/*.zip"];
        for accepts in [&range[..], &["history", "--accept", "*.zip"]] {
            assert_eq!(skewer(here, accepts).0, 0);
        }
        assert_eq!(skewer(here, &["history", "--accept", "locked/*.zip"]).0, 3);
        assert_eq!(skewer(here, &allow).0, 0);
        // An audit that only remembers another one says the same.
        for again in [false, true] {
            let (status, text) = skewer(here, &["history"]);
            assert_eq!(status, 0, "{text}");
            assert!(text.contains("as accepted beforehand"), "{text}");
            assert!(text.contains(" (dist/locked.zip) → a"), "{text}");
            assert!(
                !again || text.contains("of them in an earlier run"),
                "{text}"
            );
        }
        std::fs::remove_file(here.join("skewer-baseline.toml")).unwrap();
        assert_eq!(skewer(here, &["history"]).0, 3);
    }
}
