//! A stream that arrives in arbitrary pieces, longer than any buffer, gives the keys, offsets,
//! lines and columns that the whole gives.
#![cfg_attr(fuzzing, no_main)]

use std::io::{self, Read};
use std::sync::LazyLock;

use skewer::examine::{self, Buffers};
use skewer::matcher::Matcher;
use skewer::rules::{Rules, Template};

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));

static MATCHER: LazyLock<Matcher> = LazyLock::new(|| Matcher::new(&Rules::built_in(), None));

static TEMPLATES: LazyLock<Vec<Template>> = LazyLock::new(|| {
    let rules = Rules::built_in();
    rules
        .iter()
        .flat_map(|rule| rule.must_match.iter().cloned())
        .collect()
});

/// Hands out pieces of the sizes that `sizes` says, over and over.
struct Pieces<'a> {
    left: &'a [u8],
    sizes: std::iter::Cycle<std::slice::Iter<'a, u8>>,
}

impl Read for Pieces<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let size = self.sizes.next().map_or(1, |s| 1 + usize::from(*s).pow(2));
        let size = size.min(to.len()).min(self.left.len());
        let (now, later) = self.left.split_at(size);
        to[..size].copy_from_slice(now);
        self.left = later;
        Ok(size)
    }
}

/// Each pair of bytes is a filler's length and a template; what follows the eighth pair stands
/// between them.
pub(crate) fn check(data: &[u8]) {
    let Some((control, between)) = data.split_at_checked(16) else {
        return;
    };
    let mut blob = Vec::new();
    for pair in control.chunks_exact(2) {
        let filler = usize::from(pair[0]).pow(2);
        match between.is_empty() {
            true => blob.resize(blob.len() + filler, b' '),
            false => blob.extend(between.iter().cycle().take(filler)),
        }
        let template = &TEMPLATES[usize::from(pair[1]) % TEMPLATES.len()];
        blob.extend_from_slice(template.fill(u64::from(pair[1])).text.as_bytes());
    }
    let whole: Vec<_> = MATCHER
        .search_all(&blob)
        .into_iter()
        .map(|hit| {
            let before = &blob[..hit.span.start];
            let line = 1 + before.iter().filter(|b| **b == b'\n').count() as u64;
            let starts = before
                .iter()
                .rposition(|b| *b == b'\n')
                .map_or(0, |at| at + 1);
            (
                hit.span.start as u64,
                hit.fingerprint,
                line,
                (hit.span.start - starts) as u64 + 1,
            )
        })
        .collect();
    let mut streamed = Vec::new();
    let reader = Pieces {
        left: &blob,
        sizes: control.iter().cycle(),
    };
    let seen = examine::stream(
        &MATCHER,
        reader,
        &mut Buffers::default(),
        &|| true,
        &mut |found| {
            streamed.push((
                found.offset,
                found.hit.fingerprint,
                found.line,
                found.column,
            ));
        },
    );
    seen.result.expect("the reader never fails");
    assert_eq!(seen.bytes, blob.len() as u64);
    assert_eq!(whole, streamed);
}
