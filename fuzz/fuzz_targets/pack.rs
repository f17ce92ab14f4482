//! A pack of any entries: bases that are not there or go round in circles, sizes and offsets that
//! lie, a pack that is cut, an index of any of three kinds; commits, trees and tags that name each
//! other, with keys in them. It is read to an end, what can't be read is counted, and what can be
//! is searched.
#![cfg_attr(fuzzing, no_main)]

#[path = "../scratch.rs"]
mod scratch;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use scratch::{
    Bytes, MATCHER, Scratch, apply, distance, follow, header, id, index, pack, sizes, stored,
};
use skewer::history::{Chosen, Outcome, Way};
use skewer::repo::ObjectId;
use skewer::rules::Template;
use skewer::secret::Fingerprint;

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));

/// No version is made larger.
const MOST: usize = 1 << 20;

static KEYS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let template = Template::parse("sk-proj-{long:74,74}").expect("a constant");
    (0..8).map(|seed| template.fill(seed).key).collect()
});

/// A whole object's bytes: a fuzzer finds neither keys nor ids by chance, so single bytes stand for
/// them. Up to 0xf7 a key, up to 0xfb an id as trees have it, then as commits have it.
fn grown(content: &[u8]) -> Vec<u8> {
    let (mut bytes, mut out) = (Bytes(content), Vec::new());
    while !bytes.0.is_empty() {
        match bytes.byte() {
            byte @ 0xf0..=0xf7 => out.extend(KEYS[usize::from(byte & 7)].bytes()),
            0xf8..=0xfb => out.extend(id(bytes.byte().into())),
            0xfc..=0xff => out.extend(name(bytes.byte()).bytes()),
            byte => out.push(byte),
        }
    }
    out
}

fn name(number: u8) -> String {
    ObjectId::from_bytes(&id(number.into()))
        .expect("it has 20 bytes")
        .to_string()
}

/// Each entry: its kind, what is wrong with it, its base, its length and its bytes.
pub(crate) fn check(data: &[u8]) {
    let mut bytes = Bytes(data);
    let (how, cut) = (bytes.byte(), bytes.byte());
    let (mut entries, mut starts, mut at) = (Vec::new(), Vec::new(), 12);
    let (mut versions, mut commits) = (Vec::<Option<Vec<u8>>>::new(), Vec::new());
    while !bytes.0.is_empty() && entries.len() < 64 {
        let (kind, wrong, base, length) = (bytes.byte(), bytes.byte(), bytes.byte(), bytes.byte());
        let content = bytes.some(length.into());
        let known = versions.get(usize::from(base)).and_then(Option::as_deref);
        let content = match (kind & 7, wrong & 7, known) {
            (1..=4, ..) => grown(content),
            // The sizes are what its instructions come to.
            (_, 5 | 6, Some(base)) => {
                let made = follow(base, content, MOST).map_or(0, |made| made.len());
                [&sizes(base.len(), made), content].concat()
            }
            _ => content.to_vec(),
        };
        let size = match wrong & 7 {
            1 => u64::from(bytes.byte()) << (wrong >> 3),
            2 => u64::MAX >> (wrong >> 3),
            _ => content.len() as u64,
        };
        let mut entry = header(kind, size);
        match kind & 7 {
            6 => {
                let base = starts.get(usize::from(base)).copied();
                entry.extend(distance(
                    base.map_or(usize::from(wrong), |start| at - start),
                ));
            }
            7 => entry.extend(id(base.into())),
            _ => {}
        }
        let mut stream = stored(&content);
        match wrong & 7 {
            3 => stream.truncate(stream.len() / 2),
            4 => stream[2] = wrong,
            _ => {}
        }
        entry.extend(stream);
        if kind & 7 == 1 {
            commits.push(name(entries.len() as u8));
        }
        versions.push(match (kind & 7, wrong & 7) {
            (_, 1..=4) => None,
            (1..=4, _) => Some(content),
            (6 | 7, _) => known.and_then(|base| apply(base, &content)),
            _ => None,
        });
        starts.push(at);
        at += entry.len();
        entries.push(entry);
    }
    let (mut whole, offsets) = pack(&entries);
    let repository = Scratch::new();
    match how & 3 {
        0 => {}
        1 => repository.write(
            "objects/pack/pack-x.idx",
            &index(&offsets[..offsets.len() / 2]),
        ),
        _ => repository.write("objects/pack/pack-x.idx", &index(&offsets)),
    }
    if how & 4 != 0 {
        whole.truncate(whole.len().saturating_sub(cut.into()));
    }
    if let (true, Some(count)) = (how & 8 != 0, whole.get_mut(8)) {
        // Far more than there are.
        *count = cut;
    }
    repository.write("objects/pack/pack-x.pack", &whole);
    let mut files = 0;
    if how & 16 != 0 {
        repository.write("HEAD", b"ref: refs/heads/main");
        repository.write("refs/heads/main", name(cut).as_bytes());
        files = 2;
    }
    let outcome = repository.asked(how & 32 != 0, None);
    let read = outcome.coverage.read.items;
    let all = entries.len() as u64 + files;
    assert!(read <= all, "{read} of {all}");
    if outcome.coverage.is_complete() {
        assert!(read == all, "{read} of {all}");
        let versions = versions.iter().flatten();
        let expected = versions.flat_map(|version| MATCHER.search_all(version));
        let found = keys(&outcome);
        for hit in expected {
            assert!(found.contains(&hit.fingerprint), "a key is not found");
        }
    }
    if how & 64 != 0 && !commits.is_empty() {
        limited(&repository, &commits, &versions);
    }
}

/// Whether all commits come after their parents: ids that are hashes can't do otherwise, and of
/// circles nobody can say what brought what.
fn is_in_order(versions: &[Option<Vec<u8>>]) -> bool {
    let names: Vec<_> = (0..64).map(name).collect();
    versions.iter().enumerate().all(|(number, version)| {
        let lines = version
            .iter()
            .flat_map(|bytes| bytes.split(|b| *b == b'\n'));
        let mut parents = lines.filter_map(|line| line.strip_prefix(b"parent "));
        parents.all(|parent| {
            names
                .iter()
                .skip(number)
                .all(|one| one.as_bytes() != parent)
        })
    })
}

/// What some commits bring is the same in both ways to find it.
fn limited(repository: &Scratch, commits: &[String], versions: &[Option<Vec<u8>>]) {
    let commits = commits.iter().rev().take(1 + commits.len() / 2);
    let commits = commits.filter_map(|name| ObjectId::from_hex(name.as_bytes()));
    let mut chosen = Chosen {
        commits: commits.collect(),
        words: "some".to_owned(),
        way: Way::Compare,
    };
    let compared = repository.asked(false, Some(&chosen));
    chosen.way = Way::Everything;
    let searched = repository.asked(false, Some(&chosen));
    let complete = compared.coverage.is_complete() && searched.coverage.is_complete();
    if complete && is_in_order(versions) {
        assert_eq!(keys(&compared), keys(&searched));
    }
}

fn keys(outcome: &Outcome) -> BTreeSet<Fingerprint> {
    outcome.findings.iter().map(|one| one.fingerprint).collect()
}
