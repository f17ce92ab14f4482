//! Chains of deltas of any instructions: if they can be applied, the keys found are those of the
//! rebuilt versions; if not, that is counted.
#![cfg_attr(fuzzing, no_main)]

#[path = "../scratch.rs"]
mod scratch;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use scratch::{Bytes, MATCHER, Scratch, apply, distance, header, index, pack, sizes, stored};
use skewer::rules::Template;

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));

static BASE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let key = |seed| {
        Template::parse("sk-proj-{long:74,74}")
            .expect("a constant")
            .fill(seed)
            .key
    };
    format!("a = '{}'\n{}\nb = '{}'\n", key(1), ". ".repeat(40), key(2)).into_bytes()
});

/// Each instruction: two bytes say which, the others where and what; each delta is against one of
/// those before it.
pub(crate) fn check(data: &[u8]) {
    let mut bytes = Bytes(data);
    let mut versions = vec![Some(BASE.clone())];
    let mut entries = vec![[header(3, BASE.len() as u64), stored(&BASE)].concat()];
    let mut starts = vec![12, 12 + entries[0].len()];
    while !bytes.0.is_empty() && entries.len() < 40 {
        let number = usize::from(bytes.byte()) % versions.len();
        let base = versions[number].as_deref().unwrap_or_default();
        let (count, honest) = (bytes.byte() % 12, bytes.byte());
        let mut steps = Vec::new();
        let mut length = 0usize;
        for _ in 0..count {
            let (what, a, b) = (bytes.byte(), bytes.byte(), bytes.byte());
            if what & 1 != 0 {
                let text = bytes.some(usize::from(a & 0x3f));
                if !text.is_empty() {
                    steps.push(text.len() as u8);
                    steps.extend_from_slice(text);
                    length += text.len();
                }
                continue;
            }
            let from = usize::from(a) * base.len() / 256 + usize::from(what >> 4);
            let size = (usize::from(b) * base.len() / 256 + usize::from(what >> 1 & 7)).max(1);
            let size = if honest == 0 {
                size
            } else {
                size.min(base.len().saturating_sub(from))
            };
            if size > 0 && size < 0x10000 {
                steps.extend([
                    0xb3,
                    from as u8,
                    (from >> 8) as u8,
                    size as u8,
                    (size >> 8) as u8,
                ]);
                length += size;
            }
        }
        if length > 60_000 {
            break;
        }
        let mut delta = sizes(base.len(), length);
        delta.extend(steps);
        if honest == 1 {
            delta.extend(bytes.some(3));
        }
        let here = *starts.last().expect("one at least");
        let back = distance(here - starts[number]);
        entries.push([header(6, delta.len() as u64), back, stored(&delta)].concat());
        starts.push(here + entries[entries.len() - 1].len());
        let version = versions[number]
            .as_ref()
            .and_then(|base| apply(base, &delta));
        versions.push(version);
    }
    let (whole, offsets) = pack(&entries);
    let repository = Scratch::new();
    repository.write("objects/pack/pack-x.pack", &whole);
    repository.write("objects/pack/pack-x.idx", &index(&offsets));
    let outcome = repository.audit();
    let damaged = versions.iter().filter(|version| version.is_none()).count() as u64;
    assert_eq!(outcome.coverage.failed, damaged);
    let keys = |bytes: &Vec<u8>| {
        MATCHER
            .search_all(bytes)
            .into_iter()
            .map(|hit| hit.fingerprint)
    };
    let expected: BTreeSet<_> = versions.iter().flatten().flat_map(keys).collect();
    let found: BTreeSet<_> = outcome.findings.iter().map(|one| one.fingerprint).collect();
    assert_eq!(found, expected);
}
