//! Searching a blob piece by piece finds what searching it whole finds, and what was found is
//! masked by redaction.
#![cfg_attr(fuzzing, no_main)]

use std::sync::LazyLock;

use skewer::matcher::{Hit, Matcher, Recent, Text};
use skewer::rules::{Rules, Template};

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));

static MATCHER: LazyLock<Matcher> = LazyLock::new(|| Matcher::new(&Rules::built_in(), None));

static TEMPLATES: LazyLock<Vec<Template>> = LazyLock::new(|| {
    let rules = Rules::built_in();
    let all = rules
        .iter()
        .flat_map(|r| r.must_match.iter().chain(&r.must_not_match));
    all.cloned().collect()
});

/// The first bytes say where to cut and which synthetic keys to put where: a fuzzer does not find
/// a whole key by chance.
pub(crate) fn check(data: &[u8]) {
    let Some((control, body)) = data.split_at_checked(8) else {
        return;
    };
    let mut blob = Vec::new();
    for byte in body {
        // Keys alone, without what else their templates say.
        match byte {
            0xfe | 0xff => {
                let at = usize::from(byte & 1) * 2;
                let template = &TEMPLATES[usize::from(control[at]) % TEMPLATES.len()];
                let filled = template.fill(u64::from(control[at + 1]));
                blob.extend(filled.key.into_bytes());
            }
            _ => blob.push(*byte),
        }
    }
    for pair in control[..4].chunks_exact(2) {
        let template = &TEMPLATES[pair[0] as usize % TEMPLATES.len()];
        let at = pair[1] as usize * (blob.len() + 1) / 256;
        blob.splice(at..at, template.fill(u64::from(pair[1])).text.into_bytes());
    }
    let place = |b: &u8| *b as usize * (blob.len() + 1) / 256;
    let mut ends: Vec<usize> = control[4..].iter().map(place).collect();
    ends.sort_unstable();
    ends.push(blob.len());

    let whole = MATCHER.search_all(&blob);
    let mut pieces = Vec::new();
    let mut from = 0;
    for end in ends {
        let text = Text {
            bytes: &blob[..end],
            starts: true,
            ends: end == blob.len(),
        };
        let settled = MATCHER.search(text, from..end, &mut pieces);
        assert!(
            from <= settled && settled <= end,
            "went from {from} to {settled} of {end}"
        );
        from = settled;
    }
    let mut recent = Recent::default();
    pieces.retain(|hit| recent.is_new(hit.span.start as u64, hit.span.len() as u64));
    let places = |hits: &[Hit]| -> Vec<_> {
        hits.iter()
            .map(|hit| (hit.span.clone(), hit.fingerprint, hit.rule.id.clone()))
            .collect()
    };
    assert_eq!(places(&whole), places(&pieces));

    let shown = MATCHER.redact(&blob);
    for hit in &whole {
        let key = hit.secret.expose();
        assert!(
            !shown.as_bytes().windows(key.len()).any(|w| w == key),
            "{} is shown",
            hit.rule.id
        );
        let line = MATCHER.redact_line(&blob, hit.span.clone(), 120);
        assert!(line.key.end <= line.text.as_bytes().len());
        assert!(
            !line.text.as_bytes().windows(key.len()).any(|w| w == key),
            "{} is shown",
            hit.rule.id
        );
    }
}
