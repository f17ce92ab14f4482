//! The purge plan, and what the real git-filter-repo makes of it. Where that can be had is said by
//! `SKEWER_FILTER_REPO` (`.ci/run` installs it); without it that part is skipped, loudly.
#![allow(clippy::unwrap_used)]

#[path = "support/git.rs"]
mod git;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use git::Scratch;
use skewer::rules::Template;

fn key(seed: u64) -> String {
    let template = Template::parse("sk-proj-{long:74,74}").unwrap();
    template.fill(seed).key
}

/// One that fits into the name of a branch or a file, beside others.
fn short_key(seed: u64) -> String {
    let template = Template::parse("sk-proj-{alnum:20}T3BlbkFJ{alnum:20}").unwrap();
    template.fill(seed).key
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |group: &[u8]| {
        let bits = (0..3).fold(0u32, |bits, n| {
            bits << 8 | u32::from(group.get(n).copied().unwrap_or(0))
        });
        let digit = |n: usize| match n <= group.len() {
            true => char::from(DIGITS[(bits >> (18 - 6 * n)) as usize & 63]),
            false => '=',
        };
        (0..4).map(digit).collect::<String>()
    };
    bytes.chunks(3).map(group).collect()
}

fn skewer(directory: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_skewer"))
        .arg("history")
        .args(args)
        .current_dir(directory)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", directory.parent().unwrap())
        .env("XDG_CACHE_HOME", directory.parent().unwrap().join("cache"))
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Keys in plain, twice encoded, wrapped, in UTF-16, in a commit's and a tag's message, in names of
/// files, of people, of a branch; one was deleted long ago.
fn leaky() -> Scratch {
    let scratch = Scratch::new(&[]);
    scratch.add("keep.txt", "nothing\n# a comment\n");
    scratch.commit("begin");
    scratch.add("src/client.py", &format!("key = '{}'  # mine\n", key(1)));
    scratch.commit("a key");
    let encoded = base64(format!("token: {}\n", key(2)).as_bytes());
    let wrapped: Vec<&str> = (0..encoded.len())
        .step_by(60)
        .map(|at| &encoded[at..(at + 60).min(encoded.len())])
        .collect();
    scratch.add(
        "conf/a.yaml",
        &format!("a: {encoded}\nb: |\n{}\n", wrapped.join("\n")),
    );
    scratch.commit("encoded");
    let wide: Vec<u8> = format!("$key = '{}'\r\n", key(3))
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    std::fs::write(scratch.root().join("set.ps1"), wide).unwrap();
    scratch.git(&["add", "set.ps1"]);
    scratch.commit(&format!("use {}\n\nand {} # too", key(4), key(5)));
    scratch.git(&["rm", "-q", "src/client.py"]);
    scratch.add(&format!("dir/{}.txt", short_key(6)), "x\n");
    scratch.add(&format!("dir/{}.txt", short_key(7)), "y\n");
    scratch.commit("names");
    scratch.git(&["tag", "-a", "v1", "-m", &format!("with {}", key(8))]);
    scratch.git(&["branch", &short_key(9)]);
    assert_eq!(scratch.line(&["rev-list", "--count", "--all"]), "5");
    scratch.add("late.txt", "late\n");
    scratch.git(&[
        "-c",
        &format!("user.name=Ann {}", short_key(10)),
        "commit",
        "-q",
        "-m",
        "by Ann",
    ]);
    scratch
}

#[test]
fn a_plan_is_refused_where_it_would_do_harm() {
    let scratch = leaky();
    let full = scratch.beside("full");
    std::fs::create_dir(&full).unwrap();
    std::fs::write(full.join("mine.txt"), "mine").unwrap();
    for (directory, why) in [
        (full.to_str().unwrap(), "has something in it"),
        ("plan", "lies in the repository"),
        (".git/plan", "lies in the repository"),
    ] {
        let output = skewer(scratch.root(), &["--purge-plan", directory]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(why), "{directory}: {said}");
        assert!(output.stdout.is_empty());
    }
    assert!(!scratch.root().join("plan").exists());
    assert!(full.join("mine.txt").exists());
}

#[test]
fn a_clean_history_needs_no_plan() {
    let scratch = Scratch::new(&[]);
    scratch.add("a.txt", "nothing\n");
    scratch.commit("begin");
    let plan = scratch.beside("plan");
    let output = skewer(scratch.root(), &["--purge-plan", plan.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stderr).contains("nothing to purge"));
    assert_eq!(std::fs::read_dir(plan).unwrap().count(), 0);
}

fn plan(scratch: &Scratch) -> PathBuf {
    let plan = scratch.beside("plan");
    let output = skewer(scratch.root(), &["--purge-plan", plan.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("Rotate every key first"));
    for shown in [text(&output.stdout), text(&output.stderr)] {
        assert!(
            (1..11).all(|seed| !shown.contains(&key(seed)) && !shown.contains(&short_key(seed)))
        );
    }
    plan
}

#[test]
fn the_plan_is_its_owners_alone_and_has_no_comments() {
    let scratch = leaky();
    // What an earlier audit remembers does not make the plan smaller.
    assert_eq!(skewer(scratch.root(), &[]).status.code(), Some(1));
    let plan = plan(&scratch);
    let read = |name: &str| std::fs::read_to_string(plan.join(name)).unwrap();
    assert!(read("text.txt").contains(&format!("literal:{}==>REMOVED-", key(1))));
    for list in ["text.txt", "messages.txt", "renames.txt"] {
        for line in read(list).lines() {
            assert!(
                line.starts_with("literal:") || line.starts_with("regex:"),
                "{list}"
            );
            assert!(line.contains("==>REMOVED-"), "{list}");
        }
    }
    assert!(!read("purge.sh").contains("sk-"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&plan), 0o700);
        for file in std::fs::read_dir(&plan).unwrap() {
            assert_eq!(mode(&file.unwrap().path()), 0o600);
        }
    }
}

#[test]
fn the_real_tool_takes_every_key_out() {
    let Some(tool) = std::env::var_os("SKEWER_FILTER_REPO").map(PathBuf::from) else {
        return println!("SKIPPED: SKEWER_FILTER_REPO does not name git-filter-repo");
    };
    let scratch = leaky();
    let plan = plan(&scratch);
    let mirror = scratch.beside("mirror.git");
    let source = format!("file://{}", scratch.root().display());
    scratch.git(&["clone", "-q", "--mirror", &source, mirror.to_str().unwrap()]);
    let paths = std::env::var_os("PATH").unwrap();
    let paths = [tool.parent().unwrap().to_owned()]
        .into_iter()
        .chain(std::env::split_paths(&paths));
    let output = Command::new("sh")
        .arg(plan.join("purge.sh"))
        .current_dir(&mirror)
        .env("PATH", std::env::join_paths(paths).unwrap())
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .output()
        .unwrap();
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{said}");
    let output = skewer(&mirror, &["."]);
    // git-filter-repo's own notes of what it renamed hold the old names.
    std::fs::remove_dir_all(mirror.join("filter-repo")).unwrap();
    let clean = skewer(&mirror, &["."]);
    assert_eq!(
        clean.status.code(),
        Some(0),
        "{}\nbefore:\n{}",
        text(&clean.stdout),
        text(&output.stdout)
    );
    let show = |args: &[&str]| {
        let mut command = scratch.command(args);
        text(&command.current_dir(&mirror).output().unwrap().stdout)
    };
    // Nothing else has changed.
    assert_eq!(show(&["show", "main:keep.txt"]), "nothing\n# a comment\n");
    assert_eq!(show(&["rev-list", "--count", "main"]).trim(), "6");
    assert_eq!(
        show(&["ls-tree", "--name-only", "-r", "main:dir"])
            .lines()
            .count(),
        2
    );
    let wide = scratch
        .command(&["show", "main:set.ps1"])
        .current_dir(&mirror)
        .output()
        .unwrap()
        .stdout;
    assert_eq!(wide.len(), 2 * format!("$key = '{}'\r\n", key(3)).len());
    assert!(show(&["log", "-1", "--format=%an", "main"]).starts_with("Ann REMOVED-"));
}
