//! A prefix and a body of known length, perhaps with a word that must stand nearby.

use super::reach::Reach;
use super::{Candidate, Examiner, looks};
use crate::finding::Confidence;
use crate::rules::Alphabet;

/// How far a word may be from what it explains.
pub(super) const NEARBY: usize = 512;

pub(super) struct Token {
    rule: usize,
    prefix: Vec<u8>,
    alphabet: Alphabet,
    lengths: Vec<usize>,
    near: Words,
}

/// Words, matched in any case.
pub(super) struct Words(Vec<Vec<u8>>);

impl Words {
    pub(super) fn new(words: &[String]) -> Self {
        Self(
            words
                .iter()
                .map(|w| w.to_ascii_lowercase().into_bytes())
                .collect(),
        )
    }

    pub(super) fn any_in(&self, bytes: &[u8]) -> bool {
        self.0.iter().any(|word| {
            let first = [word[0], word[0].to_ascii_uppercase()];
            memchr::memchr2_iter(first[0], first[1], bytes).any(|at| {
                bytes[at..]
                    .get(..word.len())
                    .is_some_and(|b| b.eq_ignore_ascii_case(word))
            })
        })
    }

    /// Whether one of them stands within [`NEARBY`] bytes of `at`, or none is asked for. What
    /// follows is looked at last, since it may not be at hand yet.
    pub(super) fn any_near(&self, reach: &mut Reach<'_>, at: usize, end: usize) -> bool {
        self.0.is_empty()
            || self.any_in(reach.before(at, NEARBY))
            || self.any_in(reach.slice(end..end + NEARBY))
    }
}

impl Token {
    pub(super) fn new(
        rule: usize,
        prefix: &str,
        alphabet: Alphabet,
        lengths: &[usize],
        near: &[String],
    ) -> Self {
        let mut lengths = lengths.to_vec();
        lengths.sort_unstable();
        Self {
            rule,
            prefix: prefix.as_bytes().to_vec(),
            alphabet,
            lengths,
            near: Words::new(near),
        }
    }
}

impl Examiner for Token {
    fn examine(&self, reach: &mut Reach<'_>, at: usize, offset: usize, found: &mut Vec<Candidate>) {
        let Some(start) = at.checked_sub(offset) else {
            reach.before(at, offset);
            return;
        };
        let body = start + self.prefix.len();
        if reach.slice(start..body) != self.prefix || !looks::starts_a_word(reach.before(start, 16))
        {
            return;
        }
        let longest = self.lengths[self.lengths.len() - 1];
        let end = reach.run_right(body, longest + 1, |b| self.alphabet.has(b));
        if !self.lengths.contains(&(end - body)) {
            return;
        }
        // A value that goes on in a wider alphabet is something else: `…_v2` may be glued to it,
        // a digit or a letter may not.
        if reach.get(end).is_some_and(|b| b.is_ascii_alphanumeric()) {
            return;
        }
        let key = reach.slice(start..end);
        if looks::is_placeholder(&key[self.prefix.len()..])
            || !self.near.any_near(reach, start, end)
        {
            return;
        }
        found.push(Candidate::plain(
            self.rule,
            start..end,
            key.to_vec(),
            Confidence::Medium,
        ));
    }

    fn begins_in(&self, run: &[u8]) -> Option<usize> {
        memchr::memmem::find(run, &self.prefix)
    }
}
