//! Limited searches: whichever way they go, they tell of the objects that git's own lists of trees
//! say the chosen commits bring. And what is not here, though something names it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use super::asked::Ask;
use super::attribution::Tracer;
use super::keys::{Keys, Source};
use super::objects::Objects;
use super::real::{fingerprint, git, key, layout, run, story};
use super::{Chosen, Layout, Outcome, Way, refs};
use crate::coverage::Excluded;
use crate::finding::{Kept, Place};
use crate::matcher::Matcher;
use crate::repo::{GitEnvironment, ObjectId, Range, Repository};
use crate::rules::Rules;
use crate::secret::Fingerprint;

fn text(directory: &Path, args: &[&str]) -> String {
    String::from_utf8(git(directory, args, b"")).unwrap()
}

fn ids(directory: &Path, args: &[&str]) -> BTreeSet<String> {
    text(directory, args)
        .split_whitespace()
        .map(str::to_owned)
        .collect()
}

/// Thirty commits on two lines that meet twice. Files with keys come, are moved, go, and come
/// back; every sixth commit's clock is a day late; the last one's message has key 50.
fn make(directory: &Path) {
    git(directory, &["init", "-q", "-b", "main"], b"");
    let mut stream = String::new();
    for n in 0..30u64 {
        let branch = if n % 10 > 4 && n % 10 < 9 {
            "side"
        } else {
            "main"
        };
        let time = 1_600_000_000 + n * 3600 - if n % 6 == 5 { 86_400 } else { 0 };
        let message = if n == 29 {
            key(50)
        } else {
            format!("change {n}")
        };
        stream += &format!(
            "commit refs/heads/{branch}\nmark :{}\ncommitter C <c@example.com> {time} +0000\ndata {}\n{message}\n",
            n + 1,
            message.len(),
        );
        match n {
            0 => {}
            _ if n % 10 == 5 => stream += &format!("from :{n}\n"),
            _ if n % 10 == 9 => stream += &format!("from :{}\nmerge :{n}\n", n - 4),
            _ => {}
        }
        let body = format!("{}\nline {n}\n", key(n % 7));
        let folder = ["a", "a/b", "c"][n as usize % 3];
        stream += &format!(
            "M 100644 inline {folder}/{}.txt\ndata {}\n{body}\n",
            n % 11,
            body.len()
        );
        let again = format!("{}\n", key(40 + n % 3));
        stream += &format!(
            "M 100644 inline {branch}.txt\ndata {}\n{again}\n",
            again.len()
        );
        match n % 8 {
            3 => stream += "R a moved\n",
            6 => stream += "D c\n",
            7 => stream += &format!("M 100644 inline {}.name\ndata 1\nx\n", key(60 + n)),
            _ => {}
        }
        stream.push('\n');
    }
    stream += &format!(
        "tag old\nfrom :12\ntagger T <t@example.com> 1600000000 +0000\ndata {}\n{}\n",
        key(51).len(),
        key(51)
    );
    git(
        directory,
        &["fast-import", "--quiet", "--depth=9"],
        stream.as_bytes(),
    );
}

/// What git says of a repository: of each commit its parents, its ancestors and all objects of its
/// tree; of each object that holds keys, which.
struct Oracle {
    parents: BTreeMap<String, BTreeSet<String>>,
    ancestors: BTreeMap<String, BTreeSet<String>>,
    trees: BTreeMap<String, BTreeSet<String>>,
    tags: Vec<(String, String)>,
    keys: BTreeMap<String, BTreeSet<Fingerprint>>,
}

impl Oracle {
    fn ask(directory: &Path, matcher: &Matcher) -> Self {
        let of_all = |ask: &dyn Fn(&str) -> BTreeSet<String>| -> BTreeMap<_, _> {
            let commits = ids(directory, &["rev-list", "--all"]);
            commits
                .into_iter()
                .map(|id| (id.clone(), ask(&id)))
                .collect()
        };
        let tree = |commit: &str| {
            let listed = text(
                directory,
                &["ls-tree", "-r", "-t", "--format=%(objectname)", commit],
            );
            let root = text(directory, &["rev-parse", &format!("{commit}^{{tree}}")]);
            (listed + &root)
                .split_whitespace()
                .map(str::to_owned)
                .collect()
        };
        let tagged = text(
            directory,
            &["for-each-ref", "--format=%(objectname) %(*objectname)"],
        );
        let tags = tagged.lines().filter_map(|line| line.split_once(' '));
        let places = super::real::listed(directory, matcher);
        let mut keys: BTreeMap<String, BTreeSet<Fingerprint>> = BTreeMap::new();
        for (id, _, key) in places {
            keys.entry(id.to_string()).or_default().insert(key);
        }
        Self {
            parents: of_all(&|id| ids(directory, &["rev-parse", &format!("{id}^@")])),
            ancestors: of_all(&|id| ids(directory, &["rev-list", id])),
            trees: of_all(&tree),
            tags: tags
                .map(|(tag, id)| (tag.to_owned(), id.to_owned()))
                .collect(),
            keys,
        }
    }

    /// How many objects hold each key, of those that the commits bring.
    fn expected(&self, chosen: &BTreeSet<String>) -> BTreeMap<Fingerprint, u64> {
        let (mut brought, mut known) = (BTreeSet::new(), BTreeSet::new());
        for commit in chosen {
            let mut own = self.trees[commit].clone();
            for parent in &self.parents[commit] {
                let theirs = &self.trees[parent];
                own.retain(|id| !theirs.contains(id));
                if self.ancestors[parent].is_disjoint(chosen) {
                    known.extend(theirs.iter().cloned());
                }
            }
            brought.extend(own);
            brought.insert(commit.clone());
            let tags = self.tags.iter().filter(|tag| tag.1 == *commit);
            brought.extend(tags.map(|tag| tag.0.clone()));
        }
        let mut counts = BTreeMap::new();
        let held = brought
            .difference(&known)
            .filter_map(|id| self.keys.get(id));
        held.flatten()
            .for_each(|key| *counts.entry(*key).or_default() += 1);
        counts
    }
}

fn limited(layout: &Layout, chosen: &Chosen, matcher: &Matcher) -> Outcome {
    search(layout, Some(chosen), false, matcher)
}

/// Has it look up everything that objects name.
fn demanding(layout: &Layout, matcher: &Matcher) -> Outcome {
    search(layout, None, true, matcher)
}

fn search(
    layout: &Layout,
    chosen: Option<&Chosen>,
    require_complete: bool,
    matcher: &Matcher,
) -> Outcome {
    let ask = Ask {
        matcher,
        chosen,
        require_complete,
        ..Ask::default()
    };
    ask.of(layout)
}

fn told(outcome: &Outcome) -> BTreeMap<Fingerprint, u64> {
    let objects = outcome
        .findings
        .iter()
        .filter_map(|f| match &f.location.place {
            Place::Object(object) => Some((f.fingerprint, object.objects)),
            _ => None,
        });
    objects.collect()
}

#[test]
fn either_way_a_range_tells_what_its_commits_bring() {
    let matcher = Matcher::new(&Rules::built_in(), None);
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    make(directory);
    let repository = Repository::discover(directory, &GitEnvironment::default()).unwrap();
    let layout = Layout::of(&repository, &GitEnvironment::default());
    let range = |revisions: &[&str]| Range {
        revisions: revisions.iter().map(|r| (*r).to_owned()).collect(),
        ..Range::default()
    };
    let since = |since| Range {
        since: Some(since),
        ..Range::default()
    };
    let ranges = [
        Range::default(),
        Range {
            reachable_only: true,
            ..Range::default()
        },
        Range {
            branches: vec!["side".to_owned()],
            ..Range::default()
        },
        Range {
            most: Some(4),
            ..range(&["main"])
        },
        range(&["main~2..main"]),
        range(&["main~3", "^side"]),
        range(&["main~2...side"]),
        range(&["^main~1"]),
        range(&["old^!"]),
        range(&["main..main"]),
        since(1_600_000_000 + 20 * 3600),
        since(1_600_000_000 - 80_000),
        Range {
            revisions: vec!["^side~4".to_owned()],
            ..since(1_600_000_000 + 5 * 3600)
        },
    ];
    let mut seen = BTreeSet::new();
    let oracle = Oracle::ask(directory, &matcher);
    for repack in [false, true] {
        if repack {
            git(directory, &["repack", "-q", "-adf"], b"");
        }
        for range in &ranges {
            let commits = repository.commits(range).unwrap();
            let hex: BTreeSet<String> = commits.iter().map(ObjectId::to_string).collect();
            let expected = oracle.expected(&hex);
            for way in [Way::Compare, Way::Everything] {
                let chosen = Chosen {
                    commits: commits.clone(),
                    words: String::new(),
                    way,
                };
                let outcome = limited(&layout, &chosen, &matcher);
                assert_eq!(outcome.coverage.failures, [], "{range:?}");
                assert_eq!(told(&outcome), expected, "{range:?}, {way:?}");
            }
            seen.insert((hex.len(), expected.len()));
        }
    }
    assert!(seen.contains(&(0, 0)) && seen.len() >= 9, "{seen:?}");
}

#[test]
fn times_are_compared_one_by_one_and_mistakes_are_errors() {
    let directory = tempfile::tempdir().unwrap();
    make(directory.path());
    let repository = Repository::discover(directory.path(), &GitEnvironment::default()).unwrap();
    let count = |range: &Range| repository.commits(range).unwrap().len();
    // The clock of commit 29 is late; git's own --since would stop there.
    let since = 1_600_000_000 + 24 * 3600;
    let late = Range {
        since: Some(since),
        ..Range::default()
    };
    assert_eq!(count(&late), 5);
    assert_eq!(
        count(&Range {
            most: Some(2),
            ..late
        }),
        2
    );
    assert_eq!(count(&Range::default()), 30);
    let tree = text(directory.path(), &["rev-parse", "main^{tree}"]);
    for bad in [
        "nope",
        "main..nope",
        "nope..main",
        "--all",
        "",
        tree.trim(),
        &"12".repeat(20),
    ] {
        let range = Range {
            revisions: vec![bad.to_owned()],
            ..Range::default()
        };
        assert!(repository.commits(&range).is_err(), "{bad}");
        let range = Range {
            branches: vec![bad.to_owned()],
            ..Range::default()
        };
        assert!(repository.commits(&range).is_err(), "branch {bad}");
    }
}

#[test]
fn a_limited_search_says_what_it_left_out() {
    let matcher = Matcher::new(&Rules::built_in(), None);
    let directory = tempfile::tempdir().unwrap();
    make(directory.path());
    let repository = Repository::discover(directory.path(), &GitEnvironment::default()).unwrap();
    let layout = Layout::of(&repository, &GitEnvironment::default());
    let range = Range {
        revisions: vec!["old^!".to_owned()],
        ..Range::default()
    };
    let mut chosen = Chosen {
        commits: repository.commits(&range).unwrap(),
        words: format!("--range {}", key(3)),
        way: Way::Quickest,
    };
    let outcome = limited(&layout, &chosen, &matcher);
    assert!(story(&outcome, 51).is_some_and(|tag| tag.kind == "tag"));
    let coverage = &outcome.coverage;
    let said = coverage.limited_to[0].to_string();
    assert!(
        said.starts_with("what 1 commit brings (--range") && !said.contains(&key(3)),
        "{said}"
    );
    assert!(coverage.excluded_items(Excluded::GitFile) > 3);
    let all = ids(
        directory.path(),
        &[
            "cat-file",
            "--batch-all-objects",
            "--batch-check=%(objectname)",
        ],
    );
    let left = coverage.excluded_items(Excluded::OtherObject);
    assert_eq!(left + coverage.read.items, all.len() as u64);
    chosen.way = Way::Everything;
    let outcome = limited(&layout, &chosen, &matcher);
    assert_eq!(outcome.coverage.excluded_items(Excluded::OtherCommit), 29);
}

#[test]
fn a_run_that_is_stopped_tells_no_story() {
    let matcher = Matcher::new(&Rules::built_in(), None);
    let directory = tempfile::tempdir().unwrap();
    make(directory.path());
    let objects = Objects::open(&directory.path().join(".git/objects"), &[], 20);
    let refs = refs::read(
        &directory.path().join(".git"),
        &directory.path().join(".git"),
    );
    let holder = ids(directory.path(), &["rev-parse", "main:main.txt"]);
    let holder = ObjectId::from_hex(holder.first().unwrap().as_bytes()).unwrap();
    for stopped in [false, true] {
        let stop = AtomicBool::new(stopped);
        let tracer = Tracer {
            objects: &objects,
            loose: &[],
            refs: &refs,
            index: &[],
            threads: 2,
            stop: &stop,
        };
        let mut keys = Keys::default();
        for hit in matcher.search_all(key(40).as_bytes()) {
            keys.add(Source::Object(holder), 0, hit.into());
        }
        let (told, _) = keys.trace(&tracer, Vec::new());
        assert_eq!(told[0].story.cut, stopped);
        assert_eq!(told[0].kept().contains(&Kept::Branch), !stopped);
        assert!(!told[0].kept().contains(&Kept::Nothing));
    }
}

#[test]
fn what_is_too_large_to_rebuild_is_told_with_its_line() {
    let matcher = Matcher::new(&Rules::built_in(), None);
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    git(directory, &["init", "-q", "-b", "main"], b"");
    let mut body: String = (0..300_000u64).map(|n| format!("{}\n", n * n)).collect();
    body += &format!("key = {}\n", key(1));
    std::fs::write(directory.join("large.txt"), body).unwrap();
    git(directory, &["add", "."], b"");
    git(directory, &["commit", "-q", "-m", "large"], b"");
    for repack in [false, true] {
        if repack {
            git(directory, &["repack", "-q", "-adf"], b"");
        }
        let outcome = run(&layout(directory.join(".git"), 20), &matcher);
        let place = &outcome.findings[0].location;
        assert_eq!((place.line, place.column), (300_001, 7));
        assert_eq!(story(&outcome, 1).unwrap().rewrite.commits, 1);
    }
}

#[test]
fn what_is_lost_is_a_failure_and_what_was_left_out_is_counted() {
    let matcher = Matcher::new(&Rules::built_in(), None);
    let directory = tempfile::tempdir().unwrap();
    let origin = directory.path().join("origin");
    std::fs::create_dir(&origin).unwrap();
    make(&origin);
    git(&origin, &["config", "uploadpack.allowFilter", "true"], b"");
    // A submodule's commit is never here.
    let link = format!("160000,{},sub", "12".repeat(20));
    git(&origin, &["read-tree", "main"], b"");
    git(
        &origin,
        &["update-index", "--add", "--cacheinfo", &link],
        b"",
    );
    let tree = text(&origin, &["write-tree"]);
    let commit = text(
        &origin,
        &["commit-tree", "-m", "link", "-p", "main", tree.trim()],
    );
    git(
        &origin,
        &["update-ref", "refs/heads/main", commit.trim()],
        b"",
    );
    let url = format!("file://{}", origin.display());
    let clone = |name: &str, options: &[&str]| {
        let args = [&["clone", "-q", "--bare"], options, &[&url, name]].concat();
        git(directory.path(), &args, b"");
        directory.path().join(name)
    };
    let absent = |outcome: &Outcome| outcome.coverage.absent.values().sum::<u64>();
    let whole = demanding(&layout(origin.join(".git"), 20), &matcher);
    assert_eq!(
        (whole.coverage.failed, absent(&whole)),
        (0, 0),
        "{:?}",
        whole.coverage.failures
    );

    // git counts what a partial clone lacks.
    for (name, filter) in [("blobless", "blob:none"), ("treeless", "tree:0")] {
        let copy = clone(name, &["--filter", filter]);
        let outcome = run(&layout(copy.clone(), 20), &matcher);
        assert_eq!(outcome.coverage.failures, [], "{name}");
        let missing = text(
            &copy,
            &["rev-list", "--all", "--objects", "--missing=print"],
        );
        let missing = missing.lines().filter(|line| line.starts_with('?')).count();
        assert!(missing > 20);
        assert_eq!(absent(&outcome), missing as u64, "{name}");
        // One that the promisor never had is lost, there as well.
        let tree = format!("100644 blob {}\tlost\n", "34".repeat(20));
        git(&copy, &["mktree", "--missing"], tree.as_bytes());
        assert_eq!(
            run(&layout(copy, 20), &matcher).coverage.failed,
            1,
            "{name}"
        );
    }
    let copy = clone("shallow", &["--depth=3"]);
    let ends = std::fs::read(copy.join("shallow")).unwrap();
    let ends = ends.iter().filter(|b| **b == b'\n').count() as u64;
    for search in [run, demanding] {
        let outcome = search(&layout(copy.clone(), 20), &matcher);
        assert_eq!(outcome.coverage.failures, []);
        assert_eq!(absent(&outcome), ends);
    }

    // Any object that a branch needs, deleted: in packs and loose, as delta or whole. Unless
    // somebody asks, only what refs name is missed.
    let tips = ids(&origin, &["for-each-ref", "--format=%(objectname)"]);
    for depth in ["--depth=0", "--depth=50"] {
        let copy = clone(depth.trim_start_matches('-'), &[]);
        let pack = text(&copy, &["rev-list", "--objects", "--all"]);
        let all: Vec<&str> = pack
            .lines()
            .map(|line| line.split(' ').next().unwrap())
            .collect();
        for skip in (0..all.len()).step_by(9) {
            for entry in std::fs::read_dir(copy.join("objects/pack")).unwrap() {
                std::fs::remove_file(entry.unwrap().path()).unwrap();
            }
            let kept = all.iter().enumerate().filter(|(n, _)| *n != skip);
            let list: String = kept.map(|(_, id)| format!("{id}\n")).collect();
            let base = copy.join("objects/pack/pack");
            git(
                &origin,
                &["pack-objects", "-q", depth, base.to_str().unwrap()],
                list.as_bytes(),
            );
            let lost = format!("object {}…", &all[skip][..16]);
            for (search, misses) in [
                (
                    run as fn(&Layout, &Matcher) -> Outcome,
                    tips.contains(all[skip]),
                ),
                (demanding, true),
            ] {
                let outcome = search(&layout(copy.clone(), 20), &matcher);
                let failures = outcome.coverage.failures.iter();
                let failures: Vec<String> = failures.map(|f| f.what.to_string()).collect();
                let expected: &[String] = if misses {
                    std::slice::from_ref(&lost)
                } else {
                    &[]
                };
                assert_eq!(failures, expected, "{depth}");
            }
        }
    }
    // Loose.
    let lost = text(&origin, &["rev-parse", "main:main.txt"]);
    git(&origin, &["unpack-objects", "-q"], &{
        let pack = std::fs::read_dir(origin.join(".git/objects/pack")).unwrap();
        let pack = pack
            .map(|e| e.unwrap().path())
            .find(|p| p.extension().is_some_and(|e| e == "pack"));
        let pack = pack.unwrap();
        let bytes = std::fs::read(&pack).unwrap();
        std::fs::remove_file(pack.with_extension("idx")).unwrap();
        std::fs::remove_file(pack).unwrap();
        bytes
    });
    let file = origin
        .join(".git/objects")
        .join(&lost[..2])
        .join(lost[2..].trim());
    std::fs::remove_file(file).unwrap();
    let origin = layout(origin.join(".git"), 20);
    assert_eq!(run(&origin, &matcher).coverage.failed, 0);
    let outcome = demanding(&origin, &matcher);
    assert_eq!(outcome.coverage.failed, 1);
    assert_eq!(
        outcome.coverage.failures[0].what.to_string(),
        format!("object {}…", &lost[..16])
    );
    assert!(told(&outcome).contains_key(&fingerprint(3)));
}
