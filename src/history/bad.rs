//! Packs that lie, go round in circles, claim gigabytes, or vanish while they are read: counted,
//! within bounds, and the rest is searched.

use std::path::Path;

use super::asked::{Ask, walked};
use super::forge::{self, Entry, Step};
use super::objects::Objects;
use super::pack::Pack;
use super::{Layout, Outcome};
use crate::finding::Place;
use crate::matcher::Matcher;
use crate::repo::{ObjectId, ObjectKind as Kind};
use crate::rules::Template;

fn key() -> String {
    let template = Template::parse("sk-proj-{long:74,74}").unwrap();
    template.fill(1).key
}

/// What an audit of a directory of objects tells.
pub(super) fn audit(objects: &Path) -> Outcome {
    let git_dir = objects.parent().unwrap().to_owned();
    std::fs::create_dir_all(git_dir.join("refs")).unwrap();
    Ask::default().of(&Layout {
        common_dir: git_dir.clone(),
        git_dir,
        objects: objects.to_owned(),
        alternates: Vec::new(),
        id_length: 20,
    })
}

#[test]
fn circles_are_counted_and_what_is_beside_them_is_searched() {
    let directory = tempfile::tempdir().unwrap();
    let packs = directory.path().join("objects/pack");
    std::fs::create_dir_all(&packs).unwrap();
    let text = format!("'{}'\n", key()).into_bytes();
    let copy = || forge::delta(text.len(), text.len(), &[Step::Copy(0, text.len())]);
    let entries = [
        Entry::Blob(text.clone()),
        Entry::Reference(2, copy()),
        Entry::Reference(3, copy()),
        Entry::Reference(1, copy()),
        Entry::Reference(4, copy()),
        Entry::Offset(4, copy()),
        Entry::Reference(0, copy()),
    ];
    forge::write(&packs, &entries, 2);
    let outcome = audit(&directory.path().join("objects"));
    // Three in a circle, one that is its own base, and one made from that.
    assert_eq!(
        (outcome.coverage.failed, outcome.coverage.read.items),
        (5, 2)
    );
    assert_eq!(outcome.findings.len(), 1);
}

#[test]
fn what_stands_in_a_pack_without_an_index_has_its_name_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let packs = directory.path().join("objects/pack");
    std::fs::create_dir_all(&packs).unwrap();
    let text = key().into_bytes();
    let delta = forge::delta(text.len(), text.len() - 1, &[Step::Copy(1, text.len() - 1)]);
    let entries = [Entry::Blob(text.clone()), Entry::Offset(0, delta)];
    forge::write(&packs, &entries, 0);
    let outcome = audit(&directory.path().join("objects"));
    let Place::Object(object) = &outcome.findings[0].location.place else {
        panic!("{:?}", outcome.findings[0].location.place);
    };
    let named = ObjectId::of(Kind::Blob, &text, 20).unwrap();
    assert_eq!(
        (object.object.clone(), object.objects),
        (named.to_string(), 1)
    );
}

#[test]
fn a_pack_that_vanishes_is_read_on_or_counted() {
    let directory = tempfile::tempdir().unwrap();
    let packs = directory.path().join("objects/pack");
    std::fs::create_dir_all(&packs).unwrap();
    let path = forge::write(&packs, &[Entry::Blob(key().into_bytes())], 2);
    let objects = Objects::open(&directory.path().join("objects"), &[], 20);
    std::fs::remove_file(&path).unwrap();
    std::fs::remove_file(path.with_extension("idx")).unwrap();
    let found: usize = walked(&objects.packs[0], Matcher::shared(), 2)
        .iter()
        .map(|r| r.occurrences.len())
        .sum();
    assert_eq!(found, 1, "what is mapped stays");
    #[cfg(unix)]
    {
        // Listed, and gone before it was opened.
        std::os::unix::fs::symlink("nowhere", &path).unwrap();
        let outcome = audit(&directory.path().join("objects"));
        assert_eq!(
            outcome.coverage.failed, 1,
            "{:?}",
            outcome.coverage.failures
        );
    }
}

/// A few hundred bytes that stand for gigabytes: nothing of that size is ever made.
#[test]
fn what_claims_gigabytes_stays_small() {
    let directory = tempfile::tempdir().unwrap();
    let base = vec![b'x'; 60_000];
    let mut lengths = vec![base.len()];
    let mut entries = vec![Entry::Blob(base)];
    for times in [100usize, 100, 3, 1, 1] {
        let from = lengths[lengths.len() - 1];
        let steps: Vec<Step<'_>> = (0..times).map(|_| Step::Copy(0, from)).collect();
        let delta = forge::delta(from, from * times, &steps);
        entries.push(Entry::Offset(entries.len() - 1, delta));
        lengths.push(from * times);
    }
    assert!(lengths[lengths.len() - 1] > 1_700_000_000);
    let path = forge::write(directory.path(), &entries, 2);
    let results = walked(&Pack::open(&path, 20).unwrap(), Matcher::shared(), 2);
    let read: u64 = results.iter().map(|r| r.read.items).sum();
    assert_eq!(read, 6);
    assert!(results.iter().all(|r| r.damaged.is_empty()));
}
