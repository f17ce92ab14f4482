//! Rules that are accepted can be compiled, searched with, and keep the promises of their
//! templates; the built-in ones go on working beside them.
#![cfg_attr(fuzzing, no_main)]

use skewer::matcher::Matcher;
use skewer::rules::Rules;

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));

pub(crate) fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(rules) = Rules::with_files([("fuzz.toml", text)]) else {
        return;
    };
    let matcher = Matcher::new(&rules, Some(b"salt"));
    for rule in rules.iter() {
        for template in rule.must_match.iter().chain(&rule.must_not_match).take(50) {
            let filled = template.fill(1);
            let hits = matcher.search_all(filled.text.as_bytes());
            assert!(
                hits.iter()
                    .all(|hit| hit.span.end <= filled.text.len() && !hit.span.is_empty())
            );
            let promised = rule.built_in && rule.must_match.contains(template);
            assert!(
                !promised || !hits.is_empty(),
                "{} lost {:?}",
                rule.info.id,
                template.source()
            );
        }
    }
}
