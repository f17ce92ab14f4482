//! A value without a form of its own, near an anchor that names its service, and called a key on
//! its own line.

use super::reach::Reach;
use super::token::{NEARBY, Words};
use super::{Candidate, Examiner, looks};
use crate::finding::Confidence;
use crate::rules::Value;

/// How far before the value its name may stand: `api-key: `, `"key1": "`, `AZURE_OPENAI_API_KEY=`.
const NAME_WITHIN: usize = 48;

pub(super) struct Near {
    rule: usize,
    names: Words,
    values: Vec<Value>,
}

impl Near {
    pub(super) fn new(rule: usize, names: &[String], values: &[Value]) -> Self {
        Self {
            rule,
            names: Words::new(names),
            values: values.to_vec(),
        }
    }
}

impl Examiner for Near {
    fn examine(
        &self,
        reach: &mut Reach<'_>,
        at: usize,
        _offset: usize,
        found: &mut Vec<Candidate>,
    ) {
        let longest = self.values.iter().map(|v| v.length).max().unwrap_or(0);
        let wide = NEARBY + longest + 1;
        let start = at.saturating_sub(wide);
        reach.before(at, wide);
        let around = reach.slice(start..at + wide);
        // A word that touches the border of what was looked at may be part of a longer one.
        let (first, last) = (
            usize::from(at > wide),
            if start + around.len() == at + wide {
                around.len() - 1
            } else {
                around.len()
            },
        );
        // An anchor just before has led to most of these words.
        let mut from = match reach.known.values {
            Some((rule, begin, done)) if rule == self.rule && (begin..=done).contains(&start) => {
                done - start
            }
            _ => 0,
        };
        let begin = match from {
            0 => start,
            _ => reach.known.values.map_or(start, |(_, begin, _)| begin),
        };
        let mut done = start + around.len();
        while from < around.len() {
            let Some(skipped) = around[from..].iter().position(u8::is_ascii_alphanumeric) else {
                break;
            };
            let word = from + skipped;
            let length = around[word..]
                .iter()
                .take_while(|b| b.is_ascii_alphanumeric())
                .count();
            from = word + length;
            if from > last {
                done = start + word;
            }
            if word < first || from > last {
                continue;
            }
            let key = &around[word..from];
            if !self
                .values
                .iter()
                .any(|v| v.length == length && key.iter().all(|b| v.alphabet.has(*b)))
            {
                continue;
            }
            let name = &around[word.saturating_sub(NAME_WITHIN)..word];
            let name = memchr::memrchr(b'\n', name).map_or(name, |line| &name[line..]);
            if !self.names.any_in(name) || looks::is_placeholder(key) {
                continue;
            }
            let span = start + word..start + from;
            found.push(Candidate::plain(
                self.rule,
                span,
                key.to_vec(),
                Confidence::Medium,
            ));
        }
        reach.known.values = Some((self.rule, begin, done));
    }
}
