//! A user's regular expression, tried on an anchor's surroundings and nowhere else.

use regex::bytes::{Regex, RegexBuilder};

use super::reach::Reach;
use super::token::{NEARBY, Words};
use super::{Candidate, Examiner};
use crate::finding::Confidence;

pub(super) struct Pattern {
    rule: usize,
    regex: Regex,
    near: Words,
}

impl Pattern {
    pub(super) fn new(rule: usize, regex: &str, near: &[String]) -> Self {
        let regex = RegexBuilder::new(regex)
            .size_limit(1 << 20)
            .build()
            .expect("the rule's check compiled it with the same limit");
        Self {
            rule,
            regex,
            near: Words::new(near),
        }
    }
}

impl Examiner for Pattern {
    fn examine(
        &self,
        reach: &mut Reach<'_>,
        at: usize,
        _offset: usize,
        found: &mut Vec<Candidate>,
    ) {
        let start = at.saturating_sub(NEARBY);
        reach.before(at, NEARBY);
        let around = reach.slice(start..at + NEARBY);
        for groups in self.regex.captures_iter(around) {
            let whole = groups.get(0).expect("group 0 is the match");
            if !(whole.start()..whole.end()).contains(&(at - start)) {
                continue;
            }
            let key = groups
                .name("secret")
                .or_else(|| groups.get(1))
                .unwrap_or(whole);
            if key.is_empty() {
                continue;
            }
            let span = start + key.start()..start + key.end();
            if self.near.any_near(reach, span.start, span.end) {
                found.push(Candidate::plain(
                    self.rule,
                    span,
                    key.as_bytes().to_vec(),
                    Confidence::Medium,
                ));
            }
        }
    }
}
