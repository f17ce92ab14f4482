//! Repositories that git made: in every form it keeps them, everything that it can list is
//! searched, and the stories are right.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::asked::{Ask, walked};
use super::objects::Objects;
use super::{Layout, Outcome, loose};
use crate::finding::{InHistory, Kept, Place};
use crate::matcher::Matcher;
use crate::repo::ObjectId;
use crate::rules::{Rules, Template};
use crate::secret::Fingerprint;

pub(super) fn git(directory: &Path, args: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("git")
        .arg("-C")
        .arg(directory)
        .args(args)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .env("GIT_AUTHOR_NAME", "A U Thor")
        .env("GIT_AUTHOR_EMAIL", "author@example.com")
        .env("GIT_COMMITTER_NAME", "C O Mitter")
        .env("GIT_COMMITTER_EMAIL", "committer@example.com")
        .env("GIT_COMMITTER_DATE", "1700000000 +0000")
        .env("GIT_AUTHOR_DATE", "1700000000 +0000")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let out = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(
        out.status.success(),
        "git {args:?}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    out.stdout
}

pub(super) fn key(seed: u64) -> String {
    Template::parse("sk-proj-{long:74,74}")
        .unwrap()
        .fill(seed)
        .key
}

pub(super) fn fingerprint(seed: u64) -> Fingerprint {
    crate::secret::Secret::new(key(seed).into_bytes()).fingerprint()
}

/// Forty commits of two files: key 1 comes in commit 5 and goes in 30, key 2 is put together in
/// commit 12 from halves that commit 8 brought, key 3 comes in 20 and stays. Key 4 is in a tag's
/// message, key 5 in a note, 6 in a commit's message, 7 in a file's name, 8 in a blob that nothing
/// refers to, 9 in a dropped commit, 10 in a branch's name, 11 in the configuration.
pub(super) fn make(directory: &Path, options: &[&str]) {
    git(
        directory,
        &[&["init", "-q", "-b", "main"], options].concat(),
        b"",
    );
    let mut body: Vec<String> = (0..300)
        .map(|n| format!("line {n} {}\n", n * n * 7919))
        .collect();
    let mut stream = String::new();
    let second = key(2);
    for n in 0..40usize {
        body.insert(n * 7 % body.len(), format!("change {n}\n"));
        body.remove(n * 13 % 100);
        match n {
            5 => body.insert(150, format!("k = '{}'\n", key(1))),
            8 => {
                body.insert(10, format!("head = '{}'\n", &second[..85]));
                body.insert(200, format!("tail = '{}'\n", &second[85..]));
            }
            12 => body.push(format!("key = '{second}'\n")),
            20 => body.insert(100, format!("{}\n", key(3))),
            30 => body.retain(|line| !line.contains(&key(1))),
            _ => {}
        }
        let message = if n == 33 {
            key(6)
        } else {
            format!("change {n}")
        };
        let name = if n == 35 {
            format!("dir/{}.txt", key(7))
        } else {
            "other/plain.txt".to_owned()
        };
        let text = body.concat();
        stream.push_str(&format!(
            "commit refs/heads/main\ncommitter C <c@example.com> {} +0000\ndata {}\n{message}\nM 100644 inline src/deep/file.txt\ndata {}\n{text}\nM 100644 inline {name}\ndata 2\nx\n\n",
            1_600_000_000 + n * 60, message.len(), text.len(),
        ));
        if n == 36 {
            stream.push_str(&format!("D dir/{}.txt\n", key(7)));
        }
    }
    git(
        directory,
        &["fast-import", "--quiet", "--depth=20"],
        stream.as_bytes(),
    );
    git(directory, &["reset", "-q", "--hard"], b"");
    git(directory, &["tag", "-a", "v1", "-m", &key(4)], b"");
    git(directory, &["notes", "add", "-m", &key(5)], b"");
    git(
        directory,
        &["hash-object", "-w", "--stdin"],
        format!("x {}", key(8)).as_bytes(),
    );
    std::fs::write(directory.join("late.txt"), key(9)).unwrap();
    git(directory, &["add", "."], b"");
    git(directory, &["commit", "-q", "-m", "late"], b"");
    git(directory, &["reset", "-q", "--hard", "HEAD^"], b"");
    let short = Template::parse("sk-proj-{alnum:20}T3BlbkFJ{alnum:20}")
        .unwrap()
        .fill(10)
        .key;
    git(directory, &["branch", &short], b"");
    git(
        directory,
        &[
            "config",
            "remote.x.url",
            &format!("https://u:{}@localhost/", key(11)),
        ],
        b"",
    );
}

pub(super) fn layout(git_dir: PathBuf, id_length: usize) -> Layout {
    Layout {
        common_dir: git_dir.clone(),
        objects: git_dir.join("objects"),
        git_dir,
        alternates: Vec::new(),
        id_length,
    }
}

pub(super) type Places = BTreeSet<(ObjectId, u64, Fingerprint)>;

/// What git lists, searched object by object.
pub(super) fn listed(directory: &Path, matcher: &Matcher) -> Places {
    let out = git(
        directory,
        &["cat-file", "--batch", "--batch-all-objects"],
        b"",
    );
    let mut places = Places::new();
    let mut rest = &out[..];
    while !rest.is_empty() {
        let end = rest.iter().position(|b| *b == b'\n').unwrap();
        let fields: Vec<&[u8]> = rest[..end].split(|b| *b == b' ').collect();
        let size: usize = std::str::from_utf8(fields[2]).unwrap().parse().unwrap();
        let id = ObjectId::from_hex(fields[0]).unwrap();
        let hits = matcher.search_all(&rest[end + 1..end + 1 + size]);
        places.extend(
            hits.into_iter()
                .map(|hit| (id, hit.span.start as u64, hit.fingerprint)),
        );
        rest = &rest[end + size + 2..];
    }
    places
}

fn searched(layout: &Layout, matcher: &Matcher) -> Places {
    let objects = Objects::open(&layout.objects, &[], layout.id_length);
    let mut places = Places::new();
    for pack in &objects.packs {
        for results in walked(pack, matcher, 3) {
            assert!(results.damaged.is_empty());
            let found = results.occurrences.into_iter();
            places.extend(found.map(|o| (pack.id(o.entry).unwrap(), o.at, o.hit.fingerprint)));
        }
    }
    for id in loose::list(&layout.objects).ids {
        let (_, bytes) = objects.read(&id).unwrap().unwrap();
        let hits = matcher.search_all(&bytes).into_iter();
        places.extend(hits.map(|hit| (id, hit.span.start as u64, hit.fingerprint)));
    }
    places
}

pub(super) fn run(layout: &Layout, matcher: &Matcher) -> Outcome {
    let ask = Ask {
        matcher,
        ..Ask::default()
    };
    ask.of(layout)
}

pub(super) fn story(outcome: &Outcome, seed: u64) -> Option<&InHistory> {
    outcome
        .findings
        .iter()
        .find_map(|finding| match &finding.location.place {
            Place::Object(object) if finding.fingerprint == fingerprint(seed) => Some(&**object),
            _ => None,
        })
}

fn first(object: &InHistory) -> &str {
    object
        .first
        .as_ref()
        .unwrap()
        .summary
        .as_bytes()
        .split(|b| *b == b'\n')
        .next()
        .map(|b| std::str::from_utf8(b).unwrap())
        .unwrap()
}

/// `late` is how many commits there are beyond the forty.
fn check_stories(outcome: &Outcome, late: u64) {
    let told = |seed| story(outcome, seed).unwrap();
    assert_eq!((first(told(1)), told(1).commits.count), ("change 5", 25));
    assert_eq!(told(1).held_by.count, 0);
    assert_eq!(
        (first(told(2)), told(2).commits.count),
        ("change 12", 28 + late)
    );
    assert_eq!(
        (first(told(3)), told(3).paths[0].raw()),
        ("change 20", Path::new("src/deep/file.txt"))
    );
    assert!(told(3).kept.contains(&Kept::Branch) && told(3).held_by.count >= 2);
    assert_eq!((told(4).kind, &told(4).kept[..]), ("tag", &[Kept::Tag][..]));
    assert!(told(5).kept.contains(&Kept::Note));
    assert_eq!((told(6).kind, told(6).commits.count), ("commit", 1));
    assert_eq!((told(7).kind, first(told(7))), ("tree", "change 35"));
    assert!(told(7).path.as_ref().unwrap().raw().starts_with("dir"));
}

#[test]
fn every_form_that_git_keeps_is_searched_whole() {
    let matcher = Matcher::new(&Rules::built_in(), None);
    for (options, id_length) in [(&[][..], 20), (&["--object-format=sha256"][..], 32)] {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        make(directory, options);
        let layout = layout(directory.join(".git"), id_length);
        for repack in [
            &["status", "-s"][..],
            &["repack", "-q", "-adfk", "--depth=50", "--window=50"],
            &[
                "-c",
                "core.compression=9",
                "repack",
                "-q",
                "-adfk",
                "--depth=4000",
                "--window=10",
            ],
            &[
                "-c",
                "repack.useDeltaBaseOffset=false",
                "repack",
                "-q",
                "-adfk",
            ],
            &["-c", "pack.indexVersion=1", "repack", "-q", "-adfk"],
            &["repack", "-q", "-dk", "--geometric=2", "--write-midx"],
        ] {
            git(directory, repack, b"");
            let (found, expected) = (searched(&layout, &matcher), listed(directory, &matcher));
            assert!(expected.len() > 70);
            assert_eq!(found, expected, "{repack:?}");
        }
        let outcome = run(&layout, &matcher);
        assert!(
            outcome.coverage.is_complete(),
            "{:?}",
            outcome.coverage.failures
        );
        check_stories(&outcome, 1);
        assert_eq!(story(&outcome, 8).unwrap().kept, [Kept::Nothing]);
        assert_eq!(story(&outcome, 9).unwrap().kept, [Kept::Reflog]);
        let outside: Vec<_> = outcome
            .findings
            .iter()
            .filter(|f| !matches!(f.location.place, Place::Object(_)))
            .collect();
        assert!(outside.iter().any(|f| f.fingerprint == fingerprint(11)));
        assert!(
            outside
                .iter()
                .any(|f| matches!(f.location.place, Place::FileName(_)))
        );
    }
}

#[test]
fn copies_are_searched_for_what_they_still_have() {
    let matcher = Matcher::new(&Rules::built_in(), None);
    let directory = tempfile::tempdir().unwrap();
    let origin = directory.path().join("origin");
    std::fs::create_dir(&origin).unwrap();
    make(&origin, &[]);
    git(&origin, &["config", "uploadpack.allowFilter", "true"], b"");
    let url = format!("file://{}", origin.display());
    for (name, options) in [
        ("mirror", &["--mirror"][..]),
        ("shallow", &["--bare", "--depth=10"]),
        ("partial", &["--bare", "--filter=blob:none"]),
        ("shared", &["--bare", "--shared"]),
    ] {
        let source = if name == "shared" {
            origin.to_str().unwrap()
        } else {
            &url
        };
        git(
            directory.path(),
            &[&["clone", "-q"], options, &[source, name]].concat(),
            b"",
        );
        let outcome = run(&layout(directory.path().join(name), 20), &matcher);
        assert!(
            outcome.coverage.is_complete(),
            "{name}: {:?}",
            outcome.coverage.failures
        );
        match name {
            "mirror" => check_stories(&outcome, 0),
            "shallow" => {
                assert!(outcome.coverage.absent.values().sum::<u64>() > 0);
                assert!(story(&outcome, 3).is_some() && story(&outcome, 1).is_none());
            }
            "partial" => assert!(story(&outcome, 6).is_some() && story(&outcome, 3).is_none()),
            // The alternate lends even what no ref of the copy leads to.
            _ => assert!(story(&outcome, 1).is_some() && story(&outcome, 8).is_some()),
        }
    }
    let reftable = directory.path().join("reftable");
    std::fs::create_dir(&reftable).unwrap();
    make(&reftable, &["--ref-format=reftable"]);
    let outcome = run(&layout(reftable.join(".git"), 20), &matcher);
    assert!(
        outcome.coverage.is_complete(),
        "{:?}",
        outcome.coverage.failures
    );
    check_stories(&outcome, 1);
    assert!(
        outcome
            .findings
            .iter()
            .any(|f| matches!(f.location.place, Place::Stream(_)))
    );
}

#[test]
fn damage_is_counted_and_the_rest_is_searched() {
    let matcher = Matcher::new(&Rules::built_in(), None);
    let directory = tempfile::tempdir().unwrap();
    make(directory.path(), &[]);
    git(directory.path(), &["repack", "-q", "-adfk"], b"");
    let layout = layout(directory.path().join(".git"), 20);
    let pack = std::fs::read_dir(layout.objects.join("pack"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .find(|p| p.extension().is_some_and(|e| e == "pack"))
        .unwrap();
    let sound = std::fs::read(&pack).unwrap();
    let index = std::fs::read(pack.with_extension("idx")).unwrap();
    let keys = |outcome: &Outcome| {
        outcome
            .findings
            .iter()
            .map(|f| f.fingerprint)
            .collect::<BTreeSet<_>>()
    };
    let whole = keys(&run(&layout, &matcher));
    let write = |bytes: &[u8], index: &[u8]| {
        for (path, bytes) in [(pack.clone(), bytes), (pack.with_extension("idx"), index)] {
            let _ = std::fs::remove_file(&path);
            std::fs::write(path, bytes).unwrap();
        }
    };
    for step in 1..40 {
        let at = sound.len() * step / 40;
        let mut broken = sound.clone();
        broken[at] ^= 0x55;
        write(&broken, &index);
        let outcome = run(&layout, &matcher);
        assert!(outcome.coverage.failed > 0, "byte {at}");
        write(&sound[..at], &index);
        assert!(run(&layout, &matcher).coverage.failed > 0, "cut at {at}");
    }
    for step in 1..20 {
        let mut broken = index.clone();
        let at = index.len() * step / 20;
        broken[at] ^= 0x55;
        write(&sound, &broken);
        run(&layout, &matcher);
    }
    write(&sound, &index[..index.len() / 2]);
    let outcome = run(&layout, &matcher);
    assert!(outcome.coverage.failed > 0);
    assert_eq!(keys(&outcome), whole);
}
