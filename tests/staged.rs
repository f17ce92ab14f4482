//! What is staged, against real repositories of every kind, with git as the judge.
#![allow(clippy::unwrap_used)]

#[path = "support/git.rs"]
mod git;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Stdio;

use git::Scratch;
use proptest::prelude::*;
use skewer::repo::{
    GitEnvironment, Known, ObjectId, ObjectKind, RepoError, Repository, Staged, StagedHow,
};
use skewer::source::staged::Change;

fn open(path: &Path) -> Repository {
    Repository::discover(path, &GitEnvironment::default()).unwrap()
}

fn staged(path: &Path) -> Staged {
    let repository = open(path);
    repository.staged(&mut repository.objects()).unwrap()
}

/// `path=content` of every staged blob.
fn contents(repository: &Repository) -> Vec<String> {
    let mut change = Change::staged(repository).unwrap();
    let read = change.blobs().map(|(blob, content)| {
        let mut text = String::new();
        content.unwrap().read_to_string(&mut text).unwrap();
        format!("{}={text}", String::from_utf8_lossy(&blob.path))
    });
    read.collect()
}

fn before(repository: &Repository) -> Vec<String> {
    let mut change = Change::staged(repository).unwrap();
    let read = change
        .before()
        .map(|(_, content)| String::from_utf8(content.unwrap().into_memory().unwrap()).unwrap());
    let mut all: Vec<String> = read.collect();
    all.sort();
    all
}

type Sides = (BTreeSet<(Vec<u8>, ObjectId)>, BTreeSet<ObjectId>);

/// What git says, as (path, new blob) and old blobs.
fn oracle(scratch: &Scratch, index: Option<&Path>) -> Option<Sides> {
    let head = scratch.try_git(&["rev-parse", "-q", "--verify", "HEAD"]);
    let empty = scratch.line(&["hash-object", "-t", "tree", "/dev/null"]);
    let tree = if head.status.success() {
        "HEAD"
    } else {
        &empty
    };
    let mut command = scratch.command(&[
        "diff-index",
        "--cached",
        "--raw",
        "-z",
        "--no-renames",
        "--no-abbrev",
        "--ita-invisible-in-index",
        tree,
    ]);
    if let Some(index) = index {
        command.env("GIT_INDEX_FILE", index);
    }
    let output = command.output().unwrap();
    if !output.status.success() {
        return None;
    }
    let mut sides = Sides::default();
    let fields: Vec<&[u8]> = output.stdout.split(|b| *b == 0).collect();
    for pair in fields.chunks_exact(2) {
        let words: Vec<&[u8]> = pair[0][1..].split(|b| *b == b' ').collect();
        let blob = |mode: &[u8]| mode != b"000000" && mode != b"160000";
        if blob(words[0]) {
            sides.1.insert(ObjectId::from_hex(words[2]).unwrap());
        }
        if blob(words[1]) {
            let id = ObjectId::from_hex(words[3]).unwrap();
            sides.0.insert((pair[1].to_vec(), id));
        }
    }
    Some(sides)
}

fn sides(staged: &Staged) -> Sides {
    let blobs = staged.blobs.iter();
    (
        blobs.map(|blob| (blob.path.clone(), blob.id)).collect(),
        staged.before.iter().copied().collect(),
    )
}

fn assert_as_git(scratch: &Scratch) {
    let ours = staged(scratch.root());
    assert_eq!(Some(sides(&ours)), oracle(scratch, None));
}

/// Nested directories, two commits, and a change of every kind on top.
fn changed(init: &[&str]) -> Scratch {
    let scratch = Scratch::new(init);
    for n in 0..40 {
        let path = format!("d{}/e{}/f{n}.txt", n % 5, n % 3);
        scratch.write(&path, &format!("content {n}\n"));
    }
    scratch.write("a-b", "1");
    scratch.write("a/b", "2");
    scratch.write("a0", "3");
    scratch.git(&["add", "-A"]);
    scratch.commit("start");
    scratch.add("d0/e0/f0.txt", "modified\n");
    scratch.add("d0/new/deep/er.txt", "added\n");
    scratch.git(&["rm", "-q", "d1/e1/f1.txt"]);
    scratch.git(&["mv", "d2/e2/f2.txt", "d3/moved.txt"]);
    scratch.git(&["rm", "-q", "-r", "d4"]);
    scratch.git(&["rm", "-q", "a/b"]);
    scratch.add("a", "a file where a directory was\n");
    scratch
}

#[test]
fn every_kind_of_change_is_seen_as_git_sees_it() {
    let scratch = changed(&[]);
    assert_as_git(&scratch);
    let ours = staged(scratch.root());
    let names: Vec<_> = ours
        .blobs
        .iter()
        .map(|b| (b.path.as_slice(), b.how))
        .collect();
    assert_eq!(
        names,
        [
            (b"a".as_slice(), StagedHow::Added),
            (b"d0/e0/f0.txt", StagedHow::Modified),
            (b"d0/new/deep/er.txt", StagedHow::Added),
            (b"d3/moved.txt", StagedHow::Added),
        ]
    );
    assert!(
        ours.before.contains(&ours.blobs[3].id),
        "the move's old side"
    );
}

#[test]
fn versions_and_forms_of_the_index() {
    for version in ["2", "3", "4"] {
        let scratch = changed(&[]);
        scratch.write("wanted", "later");
        scratch.git(&["add", "-N", "wanted"]);
        scratch.git(&["update-index", "--skip-worktree", "d3/moved.txt"]);
        scratch.git(&["update-index", "--assume-unchanged", "d0/e0/f0.txt"]);
        scratch.git(&["update-index", "--index-version", version]);
        let index = std::fs::read(scratch.root().join(".git/index")).unwrap();
        let written = index[7].to_string();
        // Version 2 has no room for these flags: git raises it to 3.
        assert_eq!(written, version.replace('2', "3"));
        assert_as_git(&scratch);
        assert!(
            !staged(scratch.root())
                .blobs
                .iter()
                .any(|b| b.path == b"wanted")
        );
    }
    let split = changed(&[]);
    split.git(&["update-index", "--split-index"]);
    split.add("after", "the split");
    let index = std::fs::read(split.root().join(".git/index")).unwrap();
    assert!(memchr::memmem::find(&index, b"link").is_some());
    assert_as_git(&split);
    assert_eq!(staged(split.root()).blobs.len(), 5);
    let tracked = open(split.root()).tracked().unwrap();
    assert!(tracked.contains(b"after") && tracked.any_below(b"d0/new"));
}

/// Adds paths to the index without files behind them.
fn add_entries(scratch: &Scratch, id: &str, paths: &[String]) {
    let mut command = scratch.command(&["update-index", "-z", "--index-info"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let lines: String = paths
        .iter()
        .map(|path| format!("100644 {id}\t{path}\0"))
        .collect();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(lines.as_bytes()).unwrap();
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

/// The index is read through a small window, and most of an unchanged directory is leapt over.
#[test]
fn an_index_larger_than_what_is_read_of_it_at_once() {
    for version in ["2", "3", "4"] {
        let scratch = Scratch::new(&[]);
        scratch.add("one", "one\n");
        scratch.add("two", "two\n");
        let [one, two] = ["one", "two"].map(|n| scratch.line(&["rev-parse", &format!(":{n}")]));
        let sizes = [1, 2, 62, 63, 64, 65, 127, 128, 129, 500, 1, 40, 300, 3];
        let path = |d: usize, f: usize| format!("dir{d:02}/sub{}/file-{f:05}.txt", f % 2);
        let mut all: Vec<String> = Vec::new();
        for (d, size) in sizes.into_iter().enumerate() {
            all.extend((0..size).map(|f| path(d, f)));
        }
        let long = |length: usize| vec!["x".repeat(200); length / 201 + 1].join("/");
        all.extend(
            [300, 1500, 9000, 90_000].map(|length| format!("dir05/{length}/{}", long(length))),
        );
        add_entries(&scratch, &one, &all);
        scratch.commit("start");
        scratch.git(&["update-index", "--index-version", version]);
        let untouched = staged(scratch.root());
        assert!(untouched.blobs.is_empty() && untouched.before.is_empty());
        let mut changed = [(2, 61), (4, 0), (8, 128), (9, 250), (12, 299), (13, 1)]
            .map(|(d, f)| path(d, f))
            .to_vec();
        changed.push("dir07/new".to_owned());
        add_entries(&scratch, &two, &changed);
        scratch.git(&["update-index", "--force-remove", &path(6, 5)]);
        assert_as_git(&scratch);
        assert_eq!(staged(scratch.root()).blobs.len(), changed.len());
        let tracked = open(scratch.root()).tracked().unwrap();
        assert_eq!(tracked.len(), all.len() + 2);
        let listed = scratch.git(&["ls-files", "-z"]);
        let listed = listed.split(|b| *b == 0).filter(|path| !path.is_empty());
        assert!(listed.eq(tracked.iter()));
    }
}

#[test]
fn sparse_checkouts_and_sparse_indexes() {
    let scratch = changed(&[]);
    scratch.commit("all");
    scratch.git(&["sparse-checkout", "set", "--cone", "--sparse-index", "d0"]);
    scratch.add("d0/e0/f0.txt", "again\n");
    let index = std::fs::read(scratch.root().join(".git/index")).unwrap();
    assert!(memchr::memmem::find(&index, b"sdir").is_some());
    assert_as_git(&scratch);
    assert_eq!(contents(&open(scratch.root())), ["d0/e0/f0.txt=again\n"]);
    let tracked = open(scratch.root()).tracked().unwrap();
    assert!(
        tracked.contains(b"d3/moved.txt"),
        "outside the cone, but tracked"
    );
    scratch.git(&["sparse-checkout", "reapply", "--no-sparse-index"]);
    assert_as_git(&scratch);
}

#[test]
fn other_hashes_and_ref_stores() {
    for init in [["--object-format=sha256"], ["--ref-format=reftable"]] {
        let probe = Scratch::new(&[]);
        let supported = probe
            .try_git(&["init", "-q", init[0], "probe"])
            .status
            .success();
        assert!(supported || init[0].contains("reftable"));
        if !supported {
            continue;
        }
        let scratch = changed(&init);
        assert_as_git(&scratch);
        let repository = open(scratch.root());
        assert_eq!(contents(&repository).len(), 4);
        assert!(before(&repository).contains(&"content 0\n".to_owned()));
        let listed = scratch.git(&["ls-files", "-z"]);
        let tracked: Vec<u8> = repository
            .tracked()
            .unwrap()
            .iter()
            .collect::<Vec<_>>()
            .join(&0);
        assert_eq!(tracked, listed[..listed.len() - 1]);
        let first = scratch.line(&["rev-parse", "HEAD"]);
        let head = repository.head().unwrap().unwrap();
        assert_eq!(head.to_string(), first);
        scratch.commit("next");
        let between = repository.changed_between(&first, "HEAD").unwrap();
        assert_eq!(between.blobs.len(), 4);
    }
    let unborn = Scratch::new(&["--object-format=sha256"]);
    unborn.add("a", "first");
    assert_eq!(contents(&open(unborn.root())), ["a=first"]);
}

#[test]
fn before_the_first_commit_everything_is_new() {
    let scratch = Scratch::new(&[]);
    assert_eq!(staged(scratch.root()), Staged::default());
    scratch.add("a", "1");
    scratch.add("b/c", "2");
    assert_eq!(contents(&open(scratch.root())), ["a=1", "b/c=2"]);
    assert_as_git(&scratch);
    scratch.commit("first");
    assert_eq!(staged(scratch.root()), Staged::default());
    scratch.git(&["checkout", "-q", "--detach"]);
    scratch.add("b/c", "3");
    assert_eq!(contents(&open(scratch.root())), ["b/c=3"]);
    scratch.git(&["pack-refs", "--all"]);
    scratch.git(&["gc", "-q"]);
    scratch.git(&["checkout", "-q", "main"]);
    assert_eq!(contents(&open(scratch.root())), ["b/c=3"]);
}

#[test]
fn a_head_that_cannot_be_read_is_an_error() {
    let scratch = changed(&[]);
    std::fs::write(scratch.root().join(".git/refs/heads/main"), "garbage\n").unwrap();
    let outcome = Repository::discover(scratch.root(), &GitEnvironment::default())
        .and_then(|repository| repository.staged(&mut repository.objects()));
    assert!(outcome.is_err(), "{outcome:?}");
}

#[test]
fn nothing_that_git_attributes_or_filters_say_blinds() {
    let scratch = Scratch::new(&[]);
    scratch.write(
        ".gitattributes",
        "*.dat binary\n*.f filter=upper\n*.f -diff\n",
    );
    scratch.git(&["config", "filter.upper.clean", "tr a-z A-Z"]);
    scratch.git(&["config", "filter.upper.smudge", "cat"]);
    scratch.git(&["config", "diff.external", "false"]);
    scratch.git(&["add", "-A"]);
    scratch.commit("start");
    scratch.add("x.dat", "in binary");
    scratch.add("x.f", "filtered");
    assert_eq!(
        contents(&open(scratch.root())),
        ["x.dat=in binary", "x.f=FILTERED"]
    );
}

#[cfg(unix)]
#[test]
fn any_name_and_symbolic_links() {
    use std::os::unix::ffi::OsStrExt;
    let scratch = Scratch::new(&[]);
    let names: [&[u8]; 5] = [
        b"new\nline",
        b"quo\"te",
        b"tab\t\\",
        b"\xff\xfe",
        b"a b.txt",
    ];
    for name in names {
        scratch.write(Path::new(std::ffi::OsStr::from_bytes(name)), "x");
    }
    std::os::unix::fs::symlink("the target", scratch.root().join("link")).unwrap();
    scratch.git(&["add", "-A"]);
    assert_as_git(&scratch);
    let ours = staged(scratch.root());
    let found: BTreeSet<&[u8]> = ours.blobs.iter().map(|b| b.path.as_slice()).collect();
    assert!(names.iter().all(|name| found.contains(name)));
    let link = ours.blobs.iter().find(|b| b.symlink).unwrap();
    assert_eq!(link.path, b"link");
    assert!(contents(&open(scratch.root())).contains(&"link=the target".to_owned()));
    // The same through git alone.
    scratch.git(&["update-index", "--split-index"]);
    assert_eq!(staged(scratch.root()), ours);
}

#[test]
fn linked_worktrees_and_submodules_have_indexes_of_their_own() {
    let scratch = changed(&[]);
    scratch.commit("all");
    let linked = scratch.beside("linked");
    scratch.git(&["worktree", "add", "-q", linked.to_str().unwrap()]);
    std::fs::write(linked.join("only here"), "linked").unwrap();
    scratch.git(&["-C", linked.to_str().unwrap(), "add", "-A"]);
    assert_eq!(contents(&open(&linked)), ["only here=linked"]);
    assert_eq!(staged(scratch.root()), Staged::default());
    let repository = open(&linked.join("d0"));
    assert_eq!(repository.top().unwrap().canonicalize().unwrap(), linked);
    assert_ne!(repository.git_dir(), repository.common_dir());

    let url = scratch.root().to_str().unwrap().to_owned();
    let outer = Scratch::new(&[]);
    outer.git(&["submodule", "--quiet", "add", &url, "sub"]);
    let ours = staged(outer.root());
    assert_eq!(ours.submodules, [b"sub"]);
    assert_eq!(ours.blobs.len(), 1, ".gitmodules");
    outer.commit("with a submodule");
    outer.write("sub/x", "in the submodule");
    outer.git(&["-C", "sub", "add", "x"]);
    assert_eq!(
        contents(&open(&outer.root().join("sub"))),
        ["x=in the submodule"]
    );
    assert_eq!(staged(outer.root()), Staged::default());
}

#[test]
fn unmerged_paths_are_read_in_both_versions() {
    for split in [false, true] {
        let scratch = Scratch::new(&[]);
        scratch.add("f", "base\n");
        scratch.commit("base");
        scratch.git(&["checkout", "-q", "-b", "side"]);
        scratch.add("f", "theirs\n");
        scratch.commit("theirs");
        scratch.git(&["checkout", "-q", "main"]);
        scratch.add("f", "ours\n");
        scratch.commit("ours");
        assert!(!scratch.try_git(&["cherry-pick", "side"]).status.success());
        if split {
            scratch.git(&["update-index", "--split-index"]);
        }
        let ours = staged(scratch.root());
        let how: Vec<StagedHow> = ours.blobs.iter().map(|blob| blob.how).collect();
        assert_eq!(how, [StagedHow::UnmergedOurs, StagedHow::UnmergedTheirs]);
        let repository = open(scratch.root());
        assert_eq!(contents(&repository), ["f=ours\n", "f=theirs\n"]);
        assert_eq!(before(&repository), ["ours\n"]);
    }
}

#[test]
fn a_merge_is_compared_with_every_parent() {
    let scratch = Scratch::new(&[]);
    scratch.add("both", "1\n2\n3\n4\n5\n6\n7\n");
    scratch.add("left", "base\n");
    scratch.add("moved", "a\nb\nc\nd\ne\nf\n");
    scratch.commit("base");
    scratch.git(&["checkout", "-q", "-b", "side"]);
    scratch.add("both", "1\n2\n3\n4\n5\n6\n7\ntheirs\n");
    scratch.add("right", "of the side branch\n");
    scratch.add("moved", "a\nb\nc\nd\ne\nf\ntheir line\n");
    scratch.commit("side");
    scratch.git(&["checkout", "-q", "main"]);
    scratch.add("both", "ours\n1\n2\n3\n4\n5\n6\n7\n");
    scratch.add("left", "of main\n");
    scratch.git(&["mv", "moved", "away"]);
    scratch.commit("main");
    scratch.git(&["merge", "-q", "--no-commit", "--no-ff", "side"]);
    let repository = open(scratch.root());
    // Only what differs from both sides, and each side vouches for its own lines.
    let names = |repository: &Repository| -> Vec<String> {
        let staged = repository.staged(&mut repository.objects()).unwrap();
        let paths = staged.blobs.iter().map(|b| b.path.clone());
        paths.map(|p| String::from_utf8(p).unwrap()).collect()
    };
    assert_eq!(names(&repository), ["away", "both"]);
    let old = before(&repository).concat();
    assert!(old.contains("their line") && old.contains("theirs") && old.contains("ours"));
    // What neither side had is seen, in an old file and in a new one.
    scratch.add("left", "evil\n");
    scratch.add("evil", "evil\n");
    assert_eq!(names(&repository), ["away", "both", "evil", "left"]);
    assert!(!before(&repository).concat().contains("evil"));
    // The same through git alone.
    scratch.git(&["update-index", "--split-index"]);
    assert_eq!(
        names(&open(scratch.root())),
        ["away", "both", "evil", "left"]
    );
}

#[test]
fn what_cannot_be_read_is_an_error_and_never_nothing() {
    let scratch = changed(&[]);
    let index = scratch.root().join(".git/index");
    let whole = std::fs::read(&index).unwrap();
    let head = scratch.line(&["rev-parse", "HEAD"]);
    for length in (0..whole.len()).step_by(97) {
        std::fs::write(&index, &whole[..length]).unwrap();
        let repository = open(scratch.root());
        let outcome = repository.staged(&mut repository.objects());
        assert!(outcome.is_err(), "{length} bytes: {outcome:?}");
        assert!(repository.tracked().is_err(), "{length} bytes");
    }
    std::fs::write(&index, &whole).unwrap();
    // An index that is named must be there.
    let named = GitEnvironment {
        index_file: Some(".git/no-such-index".into()),
        ..GitEnvironment::default()
    };
    let repository = Repository::discover(scratch.root(), &named).unwrap();
    let outcome = repository.staged(&mut repository.objects());
    assert!(matches!(outcome, Err(RepoError::Io { .. })), "{outcome:?}");
    // A blob that isn't there.
    let id = staged(scratch.root()).blobs[0].id.to_string();
    let object = scratch
        .root()
        .join(".git/objects")
        .join(&id[..2])
        .join(&id[2..]);
    std::fs::remove_file(object).unwrap();
    let repository = open(scratch.root());
    let mut change = Change::staged(&repository).unwrap();
    let failed: Vec<_> = change
        .blobs()
        .filter_map(|(_, content)| content.err())
        .collect();
    assert!(
        matches!(failed.as_slice(), [RepoError::Missing { .. }]),
        "{failed:?}"
    );
    drop(change);
    // HEAD's commit.
    let object = scratch
        .root()
        .join(".git/objects")
        .join(&head[..2])
        .join(&head[2..]);
    std::fs::remove_file(object).unwrap();
    let outcome = Repository::discover(scratch.root(), &GitEnvironment::default())
        .and_then(|repository| repository.staged(&mut repository.objects()));
    assert!(outcome.is_err(), "{outcome:?}");

    let bare = Scratch::new(&["--bare"]);
    let repository = open(bare.root());
    let outcome = repository.staged(&mut repository.objects());
    assert!(
        matches!(outcome, Err(RepoError::Bare { .. })),
        "{outcome:?}"
    );

    let nowhere = tempfile::tempdir().unwrap();
    for path in [nowhere.path().to_owned(), nowhere.path().join("none")] {
        assert!(Repository::discover(&path, &GitEnvironment::default()).is_err());
    }
    // A format that nobody knows yet.
    scratch.git(&["config", "core.repositoryFormatVersion", "1"]);
    scratch.git(&["config", "extensions.fromTheFuture", "1"]);
    let outcome = Repository::discover(scratch.root(), &GitEnvironment::default());
    assert!(matches!(outcome, Err(RepoError::NotARepository { .. })));
}

#[test]
fn a_partial_clone_fetches_nothing() {
    let origin = changed(&[]);
    origin.git(&["config", "uploadpack.allowFilter", "true"]);
    let url = format!("file://{}", origin.root().display());
    let clone = origin.beside("clone");
    let to = clone.to_str().unwrap();
    origin.git(&[
        "clone",
        "-q",
        "--filter=blob:none",
        "--no-checkout",
        &url,
        to,
    ]);
    origin.git(&["-C", to, "read-tree", "HEAD"]);
    std::fs::write(clone.join("new"), "mine").unwrap();
    origin.git(&["-C", to, "add", "new"]);
    origin.git(&["-C", to, "rm", "-q", "--cached", "d0/e0/f0.txt"]);
    let repository = open(&clone);
    assert_eq!(contents(&repository), ["new=mine"]);
    let mut change = Change::staged(&repository).unwrap();
    let old: Vec<_> = change
        .before()
        .map(|(_, content)| content.map(|_| ()))
        .collect();
    assert!(
        matches!(old.as_slice(), [Err(RepoError::Missing { .. })]),
        "{old:?}"
    );
}

#[test]
fn large_blobs_are_streamed_whole() {
    let scratch = Scratch::new(&[]);
    let line = "0123456789abcdef\n";
    let large = line.repeat((skewer::repo::STREAMED_FROM as usize) / line.len() + 1000);
    scratch.add("large", &large);
    let repository = open(scratch.root());
    let mut change = Change::staged(&repository).unwrap();
    let (_, content) = change.blobs().next().unwrap();
    let content = content.unwrap();
    assert_eq!(content.size(), large.len() as u64);
    let mut stream = content.into_memory().unwrap_err();
    let mut read = String::new();
    stream.read_to_string(&mut read).unwrap();
    assert!(read == large);
}

#[test]
fn other_questions_about_a_repository() {
    let scratch = changed(&[]);
    let repository = open(&scratch.root().join("d0"));
    assert_eq!(repository.excludes_file().unwrap(), None);
    assert_eq!(repository.hooks_path().unwrap(), None);
    scratch.git(&["config", "core.excludesFile", "/x/y z"]);
    scratch.git(&["config", "core.hooksPath", ".husky"]);
    assert_eq!(repository.excludes_file().unwrap(), Some("/x/y z".into()));
    assert_eq!(repository.hooks_path().unwrap(), Some(".husky".into()));
    let old = repository.file_at("main", b"d0/e0/f0.txt").unwrap();
    assert_eq!(old.as_deref(), Some(b"content 0\n".as_slice()));
    assert_eq!(repository.file_at("main", b"d0/e0").unwrap(), None);
    assert_eq!(repository.file_at("main", b"d0/e0/f0.txt/x").unwrap(), None);
    for name in ["no-such-branch", "--all", ""] {
        let outcome = repository.file_at(name, b"a");
        assert!(
            matches!(outcome, Err(RepoError::Revision { .. })),
            "{name}: {outcome:?}"
        );
    }
    assert!(repository.info_exclude().ends_with(".git/info/exclude"));
}

#[test]
fn a_push_adds_commits_tags_and_blobs() {
    let scratch = Scratch::new(&[]);
    scratch.add("a", "old\n");
    scratch.commit("one");
    let old = scratch.line(&["rev-parse", "HEAD"]);
    scratch.add("a", "new\n");
    scratch.commit("two");
    scratch.git(&["revert", "--no-edit", "HEAD"]);
    scratch.git(&["tag", "-a", "-m", "the tag's message", "v1"]);
    let repository = open(scratch.root());
    let id = |hex: &str| ObjectId::from_hex(hex.as_bytes()).unwrap();
    let tip = id(&scratch.line(&["rev-parse", "v1"]));
    let unknown = id(&"12".repeat(20));
    let known = Known::Tips(vec![id(&old), unknown]);
    let new = repository
        .new_objects(&[tip, id(&"0".repeat(40))], &known)
        .unwrap();
    let mut objects = repository.objects();
    let mut seen: Vec<String> = Vec::new();
    for object in &new {
        let reader = objects.open(object.id).unwrap();
        let kind = reader.kind();
        let data = reader.into_memory().unwrap();
        let text = String::from_utf8_lossy(&data).into_owned();
        match kind {
            ObjectKind::Blob => {
                assert_eq!(object.path.as_deref(), Some(b"a".as_slice()));
                seen.push(text);
            }
            ObjectKind::Tag => assert!(text.contains("the tag's message")),
            _ => {}
        }
    }
    assert_eq!(
        seen,
        ["new\n"],
        "in the middle of the push, gone at its end"
    );
    assert_eq!(repository.new_objects(&[tip], &Known::AllRefs).unwrap(), []);
    let all = Known::Remote {
        name: "origin".to_owned(),
        tips: vec![],
    };
    assert_eq!(repository.new_objects(&[tip], &all).unwrap().len(), 8);
}

/// Run by the hooks of the tests below, with git's variables set; does nothing on its own.
#[test]
#[ignore = "the hooks below call it"]
fn probe() {
    let Some(out) = std::env::var_os("PROBE_OUT") else {
        return;
    };
    let environment = GitEnvironment::from_lookup(|name| std::env::var_os(name));
    let repository = Repository::discover(Path::new("."), &environment).unwrap();
    let lines = if std::env::var_os("PROBE_PUSH").is_some() {
        let line = std::io::read_to_string(std::io::stdin()).unwrap();
        let tip = ObjectId::from_hex(line.split(' ').nth(1).unwrap().as_bytes()).unwrap();
        let mut objects = repository.objects();
        let new = repository.new_objects(&[tip], &Known::AllRefs).unwrap();
        let blobs = new.iter().filter_map(|object| {
            let reader = objects.open(object.id).unwrap();
            (reader.kind() == ObjectKind::Blob)
                .then(|| String::from_utf8(reader.into_memory().unwrap()).unwrap())
        });
        blobs.collect()
    } else {
        contents(&repository)
    };
    std::fs::write(out, lines.join("|")).unwrap();
}

/// Installs a hook that runs [`probe`], and returns the file it writes.
#[cfg(unix)]
fn install(scratch: &Scratch, hooks: &str, name: &str, push: bool) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let out = scratch.beside("probed");
    let hook = scratch.root().join(hooks).join(name);
    let exe = std::env::current_exe().unwrap();
    let push = if push { "PROBE_PUSH=1 " } else { "" };
    let text = format!(
        "#!/bin/sh\n{push}PROBE_OUT='{}' exec '{}' --ignored --exact probe\n",
        out.display(),
        exe.display()
    );
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    std::fs::write(&hook, text).unwrap();
    std::fs::set_permissions(&hook, PermissionsExt::from_mode(0o755)).unwrap();
    out
}

#[cfg(unix)]
#[test]
fn hooks_see_the_index_that_git_hands_them() {
    use std::io::Write;
    use std::process::Stdio;
    let scratch = Scratch::new(&[]);
    scratch.write("sub/other", "x");
    scratch.add("a", "1\n");
    scratch.add("b", "1\n");
    scratch.git(&["add", "-A"]);
    scratch.commit("start");
    let out = install(&scratch, ".git/hooks", "pre-commit", false);
    let probed = || {
        let text = std::fs::read_to_string(&out).unwrap();
        std::fs::remove_file(&out).unwrap();
        text
    };
    scratch.add("a", "plain\n");
    scratch.git(&["commit", "-q", "-m", "x"]);
    assert_eq!(probed(), "a=plain\n");
    scratch.write("b", "all\n");
    scratch.git(&["commit", "-q", "-a", "-m", "x"]);
    assert_eq!(probed(), "b=all\n");
    // A named file alone, from a subdirectory, while another is staged.
    scratch.add("a", "staged but left out\n");
    scratch.write("b", "named\n");
    scratch.git(&["-C", "sub", "commit", "-q", "-m", "x", "--", "../b"]);
    assert_eq!(probed(), "b=named\n");
    scratch.git(&["commit", "-q", "--amend", "--no-edit"]);
    assert_eq!(probed(), "a=staged but left out\n");
    scratch.write("b", "patched\n");
    let mut child = scratch
        .command(&["commit", "-q", "-p", "-m", "x"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"y\n").unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(probed(), "b=patched\n");
    // A linked worktree: GIT_DIR is set, too.
    let linked = scratch.beside("linked");
    scratch.git(&["worktree", "add", "-q", linked.to_str().unwrap()]);
    std::fs::write(linked.join("a"), "linked\n").unwrap();
    scratch.git(&[
        "-C",
        linked.to_str().unwrap(),
        "commit",
        "-q",
        "-a",
        "-m",
        "x",
    ]);
    assert_eq!(probed(), "a=linked\n");
    // GIT_DIR and GIT_WORK_TREE from elsewhere.
    scratch.add("b", "from elsewhere\n");
    let elsewhere = GitEnvironment {
        git_dir: Some("repo/.git".into()),
        work_tree: Some("repo".into()),
        index_file: Some(".git/index".into()),
        ..GitEnvironment::default()
    };
    let above = scratch.root().parent().unwrap();
    let repository = Repository::discover(above, &elsewhere).unwrap();
    assert_eq!(contents(&repository), ["b=from elsewhere\n"]);
}

#[cfg(unix)]
#[test]
fn pre_receive_reads_the_quarantine() {
    let server = Scratch::new(&["--bare"]);
    let out = install(&server, "hooks", "pre-receive", true);
    let scratch = Scratch::new(&[]);
    scratch.add("a", "one");
    scratch.commit("one");
    let url = server.root().to_str().unwrap();
    scratch.git(&["push", "-q", url, "main"]);
    assert_eq!(std::fs::read_to_string(&out).unwrap(), "one");
    scratch.add("a", "two");
    scratch.commit("two");
    scratch.git(&["push", "-q", url, "main"]);
    assert_eq!(std::fs::read_to_string(&out).unwrap(), "two");
}

/// One repository for each version of the index, made once.
fn damaged_base(version: u8) -> &'static Scratch {
    static BASES: [std::sync::OnceLock<Scratch>; 3] = [const { std::sync::OnceLock::new() }; 3];
    BASES[usize::from(version - 2)].get_or_init(|| {
        let scratch = changed(&[]);
        scratch.git(&["update-index", "--index-version", &version.to_string()]);
        scratch
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_changes_are_seen_as_git_sees_them(
        steps in prop::collection::vec((0..5u8, 0..12usize, 0..12usize), 1..12),
        version in 2..5u8,
    ) {
        let paths = ["a", "a-b", "a/b", "a/c/d", "a/c/e", "a0", "b/x", "b.c", "b/x/y", "c", "c/d", "é"];
        let scratch = Scratch::new(&[]);
        scratch.git(&["update-index", "--index-version", &version.to_string()]);
        for (n, (step, from, to)) in steps.iter().enumerate() {
            let (from, to) = (paths[*from], paths[*to]);
            let content = scratch.beside("content");
            match step {
                // Straight into the index: files and directories replace each other.
                0 | 1 => {
                    std::fs::write(&content, format!("{n}")).unwrap();
                    let id = scratch.line(&["hash-object", "-w", content.to_str().unwrap()]);
                    let entry = format!("100644,{id},{to}");
                    scratch.git(&["update-index", "--add", "--replace", "--cacheinfo", &entry]);
                }
                2 => drop(scratch.git(&["update-index", "--force-remove", from])),
                3 => drop(scratch.git(&["commit", "-q", "--allow-empty", "-m", "step"])),
                // Fails where the path isn't tracked.
                _ => drop(scratch.try_git(&["update-index", "--chmod=+x", "--", from])),
            }
        }
        assert_as_git(&scratch);
    }

    #[test]
    fn a_damaged_index_never_hides_a_change(
        flips in prop::collection::vec((any::<prop::sample::Index>(), 1..=255u8), 1..4),
        version in 2..5u8,
    ) {
        let scratch = damaged_base(version);
        let mut bytes = std::fs::read(scratch.root().join(".git/index")).unwrap();
        for (at, change) in &flips {
            let at = at.index(bytes.len());
            bytes[at] ^= change;
        }
        let file = scratch.beside("damaged");
        std::fs::write(&file, bytes).unwrap();
        let environment = GitEnvironment {
            index_file: Some(file.clone()),
            ..GitEnvironment::default()
        };
        let repository = Repository::discover(scratch.root(), &environment).unwrap();
        let ours = repository.staged(&mut repository.objects());
        match (ours, oracle(scratch, Some(&file))) {
            (Err(_), _) => {}
            (Ok(ours), Some(git)) => {
                let ours = sides(&ours);
                prop_assert!(git.0.is_subset(&ours.0), "{:?} {:?}", git.0, ours.0);
            }
            (Ok(ours), None) => prop_assert!(false, "git refuses what we read: {ours:?}"),
        }
    }
}
