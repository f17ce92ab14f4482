//! Searching in the delta domain finds just what searching every rebuilt object finds.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::asked::walked;
use super::forge::{self, Entry, Step};
use super::pack::Pack;
use crate::matcher::Matcher;
use crate::rules::{Rules, Template};
use crate::secret::{Fingerprint, Secret};
use crate::unpack::testing::zip;

type Places = BTreeSet<(u32, u64, Fingerprint)>;

fn searched(pack: &Pack, matcher: &Matcher, threads: usize) -> Places {
    let results = walked(pack, matcher, threads);
    assert!(
        results.iter().all(|r| r.damaged.is_empty()),
        "{:?}",
        results[0].damaged
    );
    assert_eq!(
        results.iter().map(|r| r.read.items).sum::<u64>(),
        u64::from(pack.len())
    );
    let found = results.into_iter().flat_map(|r| r.occurrences);
    found.map(|o| (o.entry, o.at, o.hit.fingerprint)).collect()
}

fn rebuilt(versions: &[Vec<u8>], matcher: &Matcher) -> Places {
    let mut places = Places::new();
    for (number, bytes) in versions.iter().enumerate() {
        let hits = matcher.search_all(bytes).into_iter();
        places.extend(hits.map(|hit| (number as u32, hit.span.start as u64, hit.fingerprint)));
    }
    places
}

/// How a version comes from another one: pieces of it (from, length, in shares of 1000), and new
/// text between them.
#[derive(Clone, Debug)]
struct Edit {
    base: usize,
    by_reference: bool,
    parts: Vec<(usize, usize, Text)>,
}

/// New text: filler, or a key cut at two places.
#[derive(Clone, Debug)]
enum Text {
    Filler(String),
    Key(u64, usize, usize, usize),
}

fn text() -> impl Strategy<Value = Text> {
    prop_oneof![
        "[ a-z=\"_\n-]{0,60}".prop_map(Text::Filler),
        (0u64..6, 0usize..20, 0usize..400, 0usize..400)
            .prop_map(|(seed, which, a, b)| Text::Key(seed, which, a, b)),
        Just(Text::Filler(String::new())),
        Just(Text::Filler("openai seek_ ek_ T3Bl bkFJ ".to_owned())),
    ]
}

fn edit() -> impl Strategy<Value = Edit> {
    let part = (0usize..1000, prop_oneof![0usize..1000, 0usize..40], text());
    (
        0usize..100,
        any::<bool>(),
        proptest::collection::vec(part, 0..7),
    )
        .prop_map(|(base, by_reference, parts)| Edit {
            base,
            by_reference,
            parts,
        })
}

fn write(text: &Text, templates: &[Template]) -> Vec<u8> {
    match text {
        Text::Filler(text) => text.clone().into_bytes(),
        Text::Key(seed, which, a, b) => {
            let text = whole(*seed, *which, templates);
            let (a, b) = (a % (text.len() + 1), b % (text.len() + 1));
            text[a.min(b)..a.max(b)].to_vec()
        }
    }
}

/// A text with a key in it: plain, in hexadecimal, or in UTF-16.
fn whole(seed: u64, which: usize, templates: &[Template]) -> Vec<u8> {
    let text = templates[which % templates.len()].fill(seed).text;
    match seed % 4 {
        1 => text
            .bytes()
            .flat_map(|b| format!("{b:02x}").into_bytes())
            .collect(),
        2 => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        _ => text.into_bytes(),
    }
}

fn templates() -> Vec<Template> {
    Rules::built_in()
        .iter()
        .flat_map(|rule| rule.must_match.clone())
        .collect()
}

/// The versions that the edits make, and the pack that holds them as deltas.
fn history(first: &[Text], edits: &[Edit]) -> (Vec<Vec<u8>>, Vec<Entry>) {
    let templates = templates();
    let first = first.iter().flat_map(|text| match text {
        Text::Key(seed, which, ..) => whole(*seed, *which, &templates),
        filler => write(filler, &templates),
    });
    let mut versions = vec![first.collect::<Vec<u8>>()];
    let mut entries = vec![Entry::Blob(versions[0].clone())];
    for edit in edits {
        // Mostly the last version, for long chains.
        let number = if edit.base < 60 {
            versions.len() - 1
        } else {
            edit.base % versions.len()
        };
        let base = &versions[number];
        let mut next = Vec::new();
        let mut steps = Vec::new();
        let texts: Vec<Vec<u8>> = edit
            .parts
            .iter()
            .map(|part| write(&part.2, &templates))
            .collect();
        for ((from, length, _), text) in edit.parts.iter().zip(&texts) {
            let from = from * base.len() / 1000;
            let length = (length * base.len() / 1000).min(base.len() - from);
            next.extend_from_slice(&base[from..from + length]);
            next.extend_from_slice(text);
            steps.push(Step::Copy(from, length));
            steps.push(Step::Insert(text));
        }
        let delta = forge::delta(base.len(), next.len(), &steps);
        entries.push(match edit.by_reference {
            true => Entry::Reference(number, delta),
            false => Entry::Offset(number, delta),
        });
        versions.push(next);
    }
    (versions, entries)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn the_delta_domain_finds_what_rebuilding_finds(
        first in proptest::collection::vec(text(), 1..8),
        edits in proptest::collection::vec(edit(), 1..12),
        version in 1u32..3,
    ) {
        let (versions, entries) = history(&first, &edits);
        let directory = tempfile::tempdir().unwrap();
        let path = forge::write(directory.path(), &entries, version);
        let matcher = Matcher::new(&Rules::built_in(), None);
        let pack = Pack::open(&path, 20).unwrap();
        prop_assert!(pack.index_damage().is_none());
        prop_assert_eq!(searched(&pack, &matcher, 2), rebuilt(&versions, &matcher));
    }
}

#[test]
fn a_chain_longer_than_any_limit_is_walked() {
    let template = Template::parse("sk-proj-{long:74,74}").unwrap();
    let mut versions = vec![format!("{}\n{}\n", "x".repeat(50), template.fill(1).key).into_bytes()];
    let mut entries = vec![Entry::Blob(versions[0].clone())];
    for n in 1..5000usize {
        let base = &versions[n - 1];
        // Every version puts something before the key, and now and then cuts it or mends it.
        let at = 20 + n % 30;
        let new = format!("{n}\n");
        let mut next = base[..at].to_vec();
        next.extend_from_slice(new.as_bytes());
        next.extend_from_slice(&base[at..]);
        let steps = [
            Step::Copy(0, at),
            Step::Insert(new.as_bytes()),
            Step::Copy(at, base.len() - at),
        ];
        entries.push(Entry::Offset(
            n - 1,
            forge::delta(base.len(), next.len(), &steps),
        ));
        versions.push(next);
    }
    let directory = tempfile::tempdir().unwrap();
    let path = forge::write(directory.path(), &entries, 2);
    let matcher = Matcher::new(&Rules::built_in(), None);
    let found = searched(&Pack::open(&path, 20).unwrap(), &matcher, 2);
    assert_eq!(found.len(), versions.len());
    assert_eq!(found, rebuilt(&versions, &matcher));
}

#[test]
fn a_pack_without_an_index_is_walked_too() {
    let (versions, entries) = history(
        &[Text::Key(1, 0, 0, 0), Text::Filler(" end".to_owned())],
        &[],
    );
    let directory = tempfile::tempdir().unwrap();
    let path = forge::write(directory.path(), &entries, 0);
    let matcher = Matcher::new(&Rules::built_in(), None);
    let pack = Pack::open(&path, 20).unwrap();
    assert_eq!((pack.len(), pack.missing(), pack.id(0)), (1, 0, None));
    let found = searched(&pack, &matcher, 1);
    assert_eq!((found.len(), found), (1, rebuilt(&versions, &matcher)));
}

#[test]
fn large_objects_are_streamed() {
    let key = Template::parse("sk-proj-{long:74,74}").unwrap().fill(1).key;
    let blob = format!("{}\n{key}\n{key}\n", "x".repeat(200_000)).into_bytes();
    let directory = tempfile::tempdir().unwrap();
    let path = forge::write(directory.path(), &[Entry::Blob(blob.clone())], 2);
    let matcher = Matcher::new(&Rules::built_in(), None);
    let found = searched(&Pack::open(&path, 20).unwrap(), &matcher, 1);
    assert_eq!((found.len(), found), (2, rebuilt(&[blob], &matcher)));
}

#[test]
fn a_zip_behind_something_is_unpacked_whichever_delta_put_it_there() {
    let template = Template::parse("sk-proj-{long:74,74}").unwrap();
    let packed = |seed| zip(&[("a.txt", 8, template.fill(seed).text.as_bytes())]);
    let lines = "echo nothing to see\n".repeat(30);
    let script = format!("#!/bin/sh\n{lines}");
    let (one, other) = (packed(1), packed(2));
    let mut versions: Vec<Vec<u8>> = vec![script.clone().into_bytes()];
    let mut entries = vec![Entry::Blob(versions[0].clone())];
    let mut add = |base: usize, keep: std::ops::Range<usize>, before: &[u8], behind: &[u8]| {
        let from = versions[base].clone();
        let next = [before, &from[keep.clone()], behind].concat();
        let steps = [
            Step::Insert(before),
            Step::Copy(keep.start, keep.len()),
            Step::Insert(behind),
        ];
        let delta = forge::delta(from.len(), next.len(), &steps);
        entries.push(Entry::Offset(base, delta));
        versions.push(next);
        versions.len() - 1
    };
    let all = script.len();
    let longer = add(0, 0..all, b"", b"exit 0\n");
    let zipped = add(longer, 0..all, b"", &one);
    let edited = add(zipped, 0..all + one.len(), b"#!/bin/bash\n", b"");
    let gone = add(edited, 0..all, b"", b"");
    let again = add(gone, 0..all, b"", &other);
    // A text that becomes a program.
    let text = add(0, 10..all, b"not a program\n", b"");
    let packed_text = add(text, 0..all, b"", &one);
    let program = add(packed_text, 14..all + one.len(), b"#!/bin/sh\n", b"");
    let directory = tempfile::tempdir().unwrap();
    let path = forge::write(directory.path(), &entries, 2);
    let matcher = Matcher::new(&Rules::built_in(), None);
    let found = searched(&Pack::open(&path, 20).unwrap(), &matcher, 2);
    let found: Vec<(usize, Fingerprint)> = found
        .into_iter()
        .map(|(entry, _, key)| (entry as usize, key))
        .collect();
    let print = |seed| Secret::new(template.fill(seed).key.into_bytes()).fingerprint();
    let expected = [
        (zipped, 1),
        (edited, 1),
        (again, 2),
        (packed_text, 1),
        (program, 1),
    ];
    assert_eq!(found, expected.map(|(entry, seed)| (entry, print(seed))));
}
