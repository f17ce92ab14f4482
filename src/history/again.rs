//! A second audit says what the first one said, whatever has happened to the repository or to the
//! cache in between.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::asked::Ask;
use super::forge::{self, Entry, Step};
use super::objects::Objects;
use super::real::{fingerprint, git, key, layout, make, story};
use super::{Layout, Memory, Outcome, loose, refs};
use crate::cache::Cache;
use crate::coverage::Coverage;
use crate::examine::Unpacking;
use crate::matcher::Matcher;
use crate::repo::ObjectId;
use crate::rules::Rules;
use crate::unpack::testing::zip;

fn memory(directory: &Path, rules: &Rules) -> Memory {
    let cache = Cache::open(directory, 64 << 20, SystemTime::now()).unwrap();
    Memory::new(cache, rules, &Unpacking::default().limits)
}

fn run(layout: &Layout, memory: Option<&Memory>, stop: bool) -> Outcome {
    let ask = Ask {
        memory,
        stop,
        ..Ask::default()
    };
    ask.of(layout)
}

/// What a report would say, but for what was remembered.
fn said(mut outcome: Outcome) -> String {
    outcome.coverage.remembered = Default::default();
    format!("{:#?}", (outcome.findings, outcome.coverage))
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_second_audit_says_the_same_and_reads_only_what_is_new() {
    let rules = Rules::built_in();
    for (options, id_length) in [(&[][..], 20), (&["--object-format=sha256"][..], 32)] {
        let directory = tempfile::tempdir().unwrap();
        let (repo, cache) = (
            directory.path().join("repo"),
            directory.path().join("cache"),
        );
        fs::create_dir(&repo).unwrap();
        make(&repo, options);
        let layout = layout(repo.join(".git"), id_length);
        let memory = memory(&cache, &rules);
        let check = |what: &str| {
            let (full, outcome) = (
                run(&layout, None, false),
                run(&layout, Some(&memory), false),
            );
            let remembered = outcome.coverage.remembered;
            assert!(full.coverage.is_complete(), "{:?}", full.coverage.failures);
            assert_eq!(said(outcome), said(full), "{what}");
            remembered.items
        };
        assert_eq!(check("the first audit"), 0);
        let objects = check("the second audit");
        assert!(objects > 70);
        // With a key in a path, stories are traced again; objects are not read again.
        fs::write(repo.join("new.txt"), format!("k = '{}'\n", key(20))).unwrap();
        git(&repo, &["add", "."], b"");
        git(&repo, &["commit", "-q", "-m", "new"], b"");
        assert_eq!(check("another commit"), objects);
        assert_eq!(check("as it was"), objects + 3);
        git(&repo, &["repack", "-q", "-d"], b"");
        check("loose objects packed");
        assert!(check("as it was again") >= objects);
        git(&repo, &["repack", "-q", "-adk"], b"");
        assert_eq!(check("all in one pack"), 0);
        let entries = entries(&cache);
        assert!(entries.len() >= 3);
        for entry in &entries {
            let bytes = fs::read(entry).unwrap();
            assert!(Matcher::shared().search_all(&bytes).is_empty());
        }
        for entry in &entries {
            let bytes = fs::read(entry).unwrap();
            fs::write(entry, &bytes[..bytes.len() / 2]).unwrap();
        }
        assert_eq!(check("a cut cache"), 0);
        let mine = "[[rule]]\nid = \"mine\"\ntitle = \"t\"\nkind = \"k\"\nseverity = \"low\"\nremedy = \"r\"\nanchors = [\"mine_\"]\n[rule.shape.token]\nprefix = \"mine_\"\nalphabet = \"alnum\"\nlengths = [24]\n";
        let more = Rules::with_files([("mine.toml", mine)]).unwrap();
        let outcome = run(&layout, Some(&self::memory(&cache, &more)), false);
        assert_eq!(outcome.coverage.remembered.items, 0, "other rules");
    }
}

/// A repository of a few commits and no key in a name, so that stories are remembered, too.
fn small(repo: &Path) -> Layout {
    fs::create_dir(repo).unwrap();
    git(repo, &["init", "-q", "-b", "main"], b"");
    for n in 0..3 {
        fs::write(repo.join("a.txt"), format!("{n} '{}'\n", key(n))).unwrap();
        git(repo, &["add", "."], b"");
        git(repo, &["commit", "-q", "-m", "change"], b"");
    }
    layout(repo.join(".git"), 20)
}

#[test]
fn stories_are_remembered_while_nothing_changes() {
    let directory = tempfile::tempdir().unwrap();
    let (repo, cache) = (
        directory.path().join("repo"),
        directory.path().join("cache"),
    );
    let layout = small(&repo);
    let memory = memory(&cache, &Rules::built_in());
    let first = said(run(&layout, Some(&memory), false));
    assert_eq!(entries(&cache).len(), 2);
    let second = run(&layout, Some(&memory), false);
    let objects = loose::list(&layout.objects).ids.len() as u64;
    assert_eq!(second.coverage.remembered.items, objects);
    assert_eq!(said(second), first);
    git(&repo, &["branch", "another"], b"");
    let third = run(&layout, Some(&memory), false);
    assert_eq!(story(&third, 2).unwrap().held_by.count, 3);
    git(&repo, &["rm", "-q", "a.txt"], b"");
    let fourth = run(&layout, Some(&memory), false);
    assert_eq!(said(fourth), said(run(&layout, None, false)));
}

#[test]
fn names_with_keys_are_remembered_by_where_they_stand() {
    let directory = tempfile::tempdir().unwrap();
    let (repo, cache) = (
        directory.path().join("repo"),
        directory.path().join("cache"),
    );
    let layout = small(&repo);
    let deep = repo.join("deep");
    fs::create_dir_all(deep.join(key(7))).unwrap();
    fs::write(
        deep.join(key(7)).join("a.txt"),
        format!("k = '{}'\n", key(1)),
    )
    .unwrap();
    git(&repo, &["add", "."], b"");
    git(&repo, &["commit", "-q", "-m", "named"], b"");
    git(&repo, &["branch", &key(8)], b"");
    git(&repo, &["checkout", "-q", "--detach"], b"");
    let memory = memory(&cache, &Rules::built_in());
    let first = said(run(&layout, Some(&memory), false));
    for entry in entries(&cache) {
        let bytes = fs::read(entry).unwrap();
        assert!(Matcher::shared().search_all(&bytes).is_empty());
    }
    let objects = Objects::open(&layout.objects, &[], 20);
    let refs = refs::read(&layout.git_dir, &layout.common_dir);
    let mut ids = loose::list(&layout.objects).ids;
    ids.sort_unstable();
    let index = fs::read(layout.git_dir.join("index")).unwrap();
    let state = memory.state(&objects, &ids, &refs, &index).unwrap();
    let whole = memory.whole(&layout, &state, &objects, &refs).unwrap();
    let told = |n| whole.told.iter().find(|told| told.key == fingerprint(n));
    let (path, branch) = (
        format!("deep/{}/a.txt", key(7)),
        format!("refs/heads/{}", key(8)),
    );
    let story = &told(1).unwrap().story;
    assert!(story.paths.contains_key(path.as_bytes()));
    assert!(
        story.held_by.contains(&branch.into_bytes()) && story.held_by.contains(&b"HEAD".to_vec())
    );
    assert!(told(7).is_some());
    assert_eq!(said(run(&layout, Some(&memory), false)), first);
    // A tree that is not there any more leads nowhere.
    let tree = git(&repo, &["rev-parse", "HEAD:deep"], b"");
    let tree = ObjectId::from_hex(tree.trim_ascii()).unwrap();
    fs::remove_file(loose::path(&layout.objects, &tree)).unwrap();
    assert!(memory.whole(&layout, &state, &objects, &refs).is_none());
}

#[test]
fn what_is_not_so_any_more_is_not_believed() {
    let directory = tempfile::tempdir().unwrap();
    let (repo, cache) = (
        directory.path().join("repo"),
        directory.path().join("cache"),
    );
    let layout = small(&repo);
    let memory = memory(&cache, &Rules::built_in());
    let stopped = run(&layout, Some(&memory), true);
    assert!(stopped.coverage.interrupted && entries(&cache).is_empty());
    let first = run(&layout, Some(&memory), false);
    let id = &story(&first, 1).unwrap().object;
    // Git would never do that: an object that holds something else than when it was searched.
    let object = ObjectId::from_hex(id.as_bytes()).unwrap();
    let path = loose::path(&layout.objects, &object);
    fs::remove_file(&path).unwrap();
    let other = git(&repo, &["hash-object", "-w", "--stdin"], b"harmless\n");
    let other = ObjectId::from_hex(other.trim_ascii()).unwrap();
    fs::rename(loose::path(&layout.objects, &other), &path).unwrap();
    let second = run(&layout, Some(&memory), false);
    assert_eq!(second.coverage.remembered.items, 0);
    assert!(story(&second, 1).is_none() && story(&second, 2).is_some());
    assert_eq!(said(second), said(run(&layout, None, false)));
    // And what can't be read any more is a failure, whatever was remembered.
    let two = ObjectId::from_hex(story(&first, 2).unwrap().object.as_bytes()).unwrap();
    let path = loose::path(&layout.objects, &two);
    fs::remove_file(&path).unwrap();
    fs::write(&path, b"no object").unwrap();
    let third = run(&layout, Some(&memory), false);
    assert_eq!(
        (third.coverage.failed, third.coverage.remembered.items),
        (1, 0)
    );
}

#[test]
fn a_pack_that_needs_another_one_is_remembered_only_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let git_dir = directory.path().join("repo.git");
    fs::create_dir_all(git_dir.join("objects/pack")).unwrap();
    fs::create_dir_all(git_dir.join("refs")).unwrap();
    let lender = directory.path().join("lender");
    fs::create_dir_all(lender.join("pack")).unwrap();
    let text = format!("k = '{}'\n", key(1)).into_bytes();
    let blobs: Vec<Entry> = (0..6).map(|_| Entry::Blob(text.clone())).collect();
    forge::write(&lender.join("pack"), &blobs, 2);
    let delta = forge::delta(
        text.len(),
        text.len() + 2,
        &[Step::Copy(0, text.len()), Step::Insert(b"x\n")],
    );
    let thin = [Entry::Reference(5, delta)];
    forge::write(&git_dir.join("objects/pack"), &thin, 2);
    let memory = memory(&directory.path().join("cache"), &Rules::built_in());
    let alone = layout(git_dir, 20);
    let with = Layout {
        alternates: vec![lender],
        ..alone.clone()
    };
    let first = run(&with, Some(&memory), false);
    assert!(
        first
            .findings
            .iter()
            .any(|f| f.fingerprint == fingerprint(1))
    );
    assert_eq!(
        run(&with, Some(&memory), false).coverage.remembered.items,
        7
    );
    let second = run(&alone, Some(&memory), false);
    assert_eq!(second.coverage.remembered.items, 0);
    assert!(!second.coverage.is_complete());
    assert_eq!(said(second), said(run(&alone, None, false)));
}

#[test]
fn an_audit_that_asks_more_does_not_believe_one_that_asked_less() {
    let directory = tempfile::tempdir().unwrap();
    let (repo, cache) = (
        directory.path().join("repo"),
        directory.path().join("cache"),
    );
    let layout = small(&repo);
    let memory = memory(&cache, &Rules::built_in());
    let audit = |require_complete| {
        let [outcome, full] = [Some(&memory), None].map(|memory| {
            let ask = Ask {
                memory,
                require_complete,
                ..Ask::default()
            };
            ask.of(&layout)
        });
        let Coverage {
            remembered, failed, ..
        } = outcome.coverage;
        assert_eq!(said(outcome), said(full), "{require_complete}");
        (remembered.items, failed)
    };
    git(&repo, &["repack", "-q", "-ad"], b"");
    // Of the repository as it was, then of its pack: nobody has asked what they name.
    assert_eq!([false, false].map(audit), [(0, 0), (9, 0)]);
    assert_eq!([true, true, false].map(audit), [(0, 0), (9, 0), (9, 0)]);
    let pack = layout.objects.join("pack");
    let listed = git(&repo, &["rev-list", "--objects", "--all"], b"");
    let lost = git(&repo, &["rev-parse", "HEAD~1:a.txt"], b"");
    let kept = listed.split_inclusive(|b| *b == b'\n');
    let kept: Vec<u8> = kept
        .filter(|line| !line.starts_with(lost.trim_ascii()))
        .flatten()
        .copied()
        .collect();
    let base = directory.path().join("pack");
    git(
        &repo,
        &["pack-objects", "-q", base.to_str().unwrap()],
        &kept,
    );
    for entry in entries(&pack) {
        fs::remove_file(entry).unwrap();
    }
    for entry in entries(directory.path()) {
        if entry.extension().is_some() {
            fs::rename(&entry, pack.join(entry.file_name().unwrap())).unwrap();
        }
    }
    assert_eq!([false, false].map(audit), [(0, 0), (8, 0)]);
    assert_eq!([true, true, false].map(audit), [(0, 1), (8, 1), (8, 0)]);
    // Whoever comes from a promisor may name what is not here, in whichever run.
    let packs = entries(&pack);
    let path = packs
        .iter()
        .find(|p| p.extension().is_some_and(|e| e == "pack"));
    fs::write(path.unwrap().with_extension("promisor"), b"").unwrap();
    for _ in 0..2 {
        let outcome = run(&layout, Some(&memory), false);
        assert_eq!(outcome.coverage.absent.values().sum::<u64>(), 1);
        assert_eq!(audit(true), (8, 0));
    }
}

#[test]
fn what_could_not_be_unpacked_and_cannot_be_read_any_more_is_a_failure() {
    let directory = tempfile::tempdir().unwrap();
    let repo = directory.path().join("repo");
    let layout = small(&repo);
    let memory = memory(&directory.path().join("cache"), &Rules::built_in());
    let mut archive = zip(&[("a.txt", 8, &b"nothing to see\n".repeat(20))]);
    archive[40..50].fill(0xff);
    fs::write(repo.join("broken.zip"), archive).unwrap();
    git(&repo, &["add", "broken.zip"], b"");
    git(&repo, &["commit", "-q", "-m", "an archive"], b"");
    let id = git(&repo, &["rev-parse", "HEAD:broken.zip"], b"");
    let id = String::from_utf8(id.trim_ascii().to_vec()).unwrap();
    let told = || {
        let coverage = run(&layout, Some(&memory), false).coverage;
        let failures = coverage.failures.iter();
        let failures: Vec<String> = failures.map(|one| format!("{one:?}")).collect();
        (
            coverage.remembered.items > 0,
            coverage.failed,
            failures.join(""),
        )
    };
    let (first, second) = (told(), told());
    assert_eq!((first.0, second.0), (false, true));
    assert_eq!((first.1, &first.2), (1, &second.2));
    assert!(
        first.2.contains("a.txt") && first.2.contains("broken.zip"),
        "{first:?}"
    );
    let file = layout.objects.join(&id[..2]).join(&id[2..]);
    fs::remove_file(&file).unwrap();
    fs::write(&file, b"no object").unwrap();
    let (remembered, failed, why) = told();
    assert_eq!((remembered, failed), (true, 1));
    assert!(why.contains(&id) && !why.contains("a.txt"), "{why}");
}
