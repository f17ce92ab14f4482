//! Masks keys in place, in a text of which more may come: what `skewer redact` does to its input.
//!
//! Keys are looked for in the text as it came, so that no mask hides a key beside it. But a mask
//! changes what stands beside it, and a text that was no key may have become one (a session glued to
//! a key, say). So whoever looked at bytes that are masked is asked again, about what is shown: a
//! search of what comes out finds nothing. All of it depends on the text alone, never on the pieces
//! in which it came.

use std::collections::VecDeque;
use std::ops::Range;

use super::disguised::{Undone, Work};
use super::{AnchorId, Hit, Matcher, REACH, Text};
use crate::rules::Alphabet;

/// How far before a place that was reached something may still be masked: an anchor there has its
/// reach, one that is asked again lies within the reach of that, and has its own.
pub const MASKS_BACK: usize = 3 * REACH + SLACK;

/// More than the longest anchor has.
const SLACK: usize = 64;

/// How many anchors are remembered that led to nothing: a text that is made of them costs time for
/// each. Honest ones have a few within reach.
const MOST_TRIED: usize = 32;

/// What stands for each byte of a key.
const MASK: u8 = b'*';

/// A key's beginning of so many bytes behind its prefix is worth hiding.
const WORTH_HIDING: usize = 16;

/// How far back an unfinished key may begin.
const LONGEST_UNFINISHED: usize = 320;

/// Covers bytes, whatever they are, but for line breaks and the zeros of wide characters: lines
/// stay lines, and UTF-16 stays UTF-16.
pub(super) fn cover(bytes: &mut [u8]) {
    for byte in bytes.iter_mut().filter(|b| shows(**b)) {
        *byte = MASK;
    }
}

/// Whether a byte would be masked.
fn shows(byte: u8) -> bool {
    !matches!(byte, MASK | b'\n' | b'\r' | 0)
}

/// An anchor that led to nothing, and what it looked at.
#[derive(Clone)]
struct Tried {
    at: usize,
    id: AnchorId,
    touched: Range<usize>,
}

/// The state of masking one text.
#[derive(Clone)]
pub struct Masking<'m> {
    matcher: &'m Matcher,
    tried: VecDeque<Tried>,
    /// The furthest anchor that was looked at.
    reached: usize,
    undone: Undone,
    masked: u64,
}

/// A text, and what is shown of it: the same but for the masks.
pub struct Shown<'t> {
    /// The text as it came.
    pub text: &'t [u8],
    /// What is shown of it.
    pub shown: &'t mut [u8],
    /// As in [`Text`].
    pub starts: bool,
    /// As in [`Text`].
    pub ends: bool,
}

impl Shown<'_> {
    fn original(&self) -> Text<'_> {
        Text {
            bytes: self.text,
            starts: self.starts,
            ends: self.ends,
        }
    }

    fn masked(&self) -> Text<'_> {
        Text {
            bytes: self.shown,
            ..self.original()
        }
    }
}

impl<'m> Masking<'m> {
    /// Nothing was looked at yet.
    pub fn new(matcher: &'m Matcher) -> Self {
        Self {
            matcher,
            tried: VecDeque::new(),
            reached: 0,
            undone: Undone::default(),
            masked: 0,
        }
    }

    /// How many keys were masked.
    pub fn masked(&self) -> u64 {
        self.masked
    }

    /// Before where nothing of the text changes any more, if it was searched up to `from`.
    pub fn certain(&self, from: usize) -> usize {
        self.reached.max(from).saturating_sub(MASKS_BACK)
    }

    /// The first `count` bytes of the text are let go. They lie before what is
    /// [certain](Self::certain).
    pub fn forget(&mut self, count: usize) {
        self.tried.retain(|tried| tried.at >= count);
        for tried in &mut self.tried {
            tried.at -= count;
            let touched = &mut tried.touched;
            *touched = touched.start.saturating_sub(count)..touched.end - count;
        }
        self.reached = self.reached.saturating_sub(count);
        self.undone = Undone::default();
    }

    /// Masks every key whose anchor begins at `from` or later, and returns the place to go on from
    /// when there is more of the text.
    pub fn mask(&mut self, of: &mut Shown<'_>, from: usize) -> usize {
        let anchors = self.matcher.anchors();
        let mut from = from;
        while let Some((at, id)) = anchors.find(of.text, from) {
            self.reached = self.reached.max(at);
            let oldest = self.reached.saturating_sub(2 * REACH + SLACK);
            while self.tried.front().is_some_and(|tried| tried.at < oldest) {
                self.tried.pop_front();
            }
            let mut hits = Vec::new();
            let mut work = Work::new(std::mem::take(&mut self.undone));
            let text = of.original();
            let examined = self
                .matcher
                .examine_within(text, at, id, &mut work, &mut hits);
            if examined.cut_right {
                return at;
            }
            self.undone = work.undone;
            let spans = self.cover(of.shown, hits);
            let touched = examined.touched;
            if spans.is_empty() && of.shown[touched.clone()] == of.text[touched.clone()] {
                self.remember(at, id, touched);
            } else {
                let mut again = vec![(at, id)];
                self.touching(&spans, &mut again);
                if let Some(back) = self.ask_again(of, again) {
                    return back;
                }
            }
            from = at + 1;
        }
        match of.ends {
            true => of.text.len(),
            false => from.max((of.text.len() + 1).saturating_sub(anchors.longest())),
        }
    }

    /// Asks anchors about what is shown. Returns where to go on if one of them needs more of the
    /// text than is at hand.
    fn ask_again(
        &mut self,
        of: &mut Shown<'_>,
        mut again: Vec<(usize, AnchorId)>,
    ) -> Option<usize> {
        while let Some((at, id)) = again.pop() {
            if !of.shown[at..].starts_with(self.matcher.anchors().literal(id)) {
                continue;
            }
            let mut hits = Vec::new();
            let examined = self.matcher.examine(of.masked(), at, id, &mut hits);
            if examined.cut_right {
                let back = again.iter().map(|(at, _)| *at).fold(at, usize::min);
                self.tried.retain(|tried| tried.at < back);
                return Some(back);
            }
            let spans = self.cover(of.shown, hits);
            if spans.is_empty() {
                self.remember(at, id, examined.touched);
            } else {
                again.push((at, id));
                self.touching(&spans, &mut again);
            }
        }
        None
    }

    /// Covers what was found, and returns what of it was to be seen until now.
    fn cover(&mut self, shown: &mut [u8], hits: Vec<Hit>) -> Vec<Range<usize>> {
        let mut spans = Vec::new();
        for span in hits.into_iter().map(|hit| hit.span) {
            if shown[span.clone()].iter().any(|b| shows(*b)) {
                cover(&mut shown[span.clone()]);
                spans.push(span);
            }
        }
        self.masked += spans.len() as u64;
        spans
    }

    fn remember(&mut self, at: usize, id: AnchorId, touched: Range<usize>) {
        if self.tried.len() == MOST_TRIED {
            self.tried.pop_front();
        }
        self.tried.push_back(Tried { at, id, touched });
    }

    /// Moves those who looked at one of the spans to `again`.
    fn touching(&mut self, spans: &[Range<usize>], again: &mut Vec<(usize, AnchorId)>) {
        let touches = |tried: &Tried| {
            let touched = &tried.touched;
            spans
                .iter()
                .any(|s| touched.start < s.end && s.start < touched.end)
        };
        again.extend(
            self.tried
                .iter()
                .filter(|t| touches(t))
                .map(|t| (t.at, t.id)),
        );
        self.tried.retain(|t| !touches(t));
    }

    /// Covers what may be the beginning of a key at the end of a text that waits for its rest.
    pub fn cover_unfinished(&self, of: &mut Shown<'_>) {
        let most = of.text.len().saturating_sub(LONGEST_UNFINISHED);
        let run = of.text[most..]
            .iter()
            .rev()
            .take_while(|b| Alphabet::Base64url.has(**b));
        let start = of.text.len() - run.count();
        let run = &of.text[start..];
        let begins = self.matcher.examiners.iter();
        if let Some(at) = begins.filter_map(|examiner| examiner.begins_in(run)).min()
            && run.len() - at >= WORTH_HIDING
        {
            cover(&mut of.shown[start + at..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{Rules, Template};
    use proptest::prelude::*;

    fn masked(text: &[u8]) -> Vec<u8> {
        let mut bytes = text.to_vec();
        let mut of = Shown {
            text,
            shown: &mut bytes,
            starts: true,
            ends: true,
        };
        let end = Masking::new(Matcher::shared()).mask(&mut of, 0);
        assert_eq!(end, text.len());
        bytes
    }

    #[test]
    fn lines_and_wide_characters_stay_what_they_are() {
        let key = Template::parse("sk-proj-{long:74,74}").unwrap().fill(1).key;
        let (head, tail) = key.split_at(50);
        let stars = |n: usize| "*".repeat(n);
        assert_eq!(
            masked(format!("a {head}\r\n{tail} b").as_bytes()),
            format!("a {}\r\n{} b", stars(50), stars(114)).as_bytes()
        );
        let wide = |text: &str| text.bytes().flat_map(|b| [b, 0]).collect::<Vec<u8>>();
        assert_eq!(
            masked(&wide(&format!("k={key};"))),
            wide(&format!("k={};", stars(164)))
        );
    }

    #[test]
    fn what_becomes_a_key_when_its_neighbour_is_masked_is_masked_too() {
        // 40 letters and digits and no more are a session; glued to a key they are not.
        let session = Template::parse("sess-{alnum:40}").unwrap().fill(2).key;
        let key = Template::parse("sk-proj-{long:74,74}").unwrap().fill(3).key;
        let text = format!("openai {session}{key}\n");
        assert_eq!(Matcher::shared().search_all(text.as_bytes()).len(), 1);
        assert_eq!(
            masked(text.as_bytes()),
            format!("openai {}\n", "*".repeat(session.len() + key.len())).as_bytes()
        );
    }

    #[test]
    fn a_beginning_is_covered_where_a_key_may_go_on() {
        let masking = Masking::new(Matcher::shared());
        let key = Template::parse("sk-proj-{long:74,74}").unwrap().fill(4).key;
        for (text, covered) in [
            (format!("key={}", &key[..40]), 40),
            (format!("key={}", &key[..90]), 90),
            ("the task-runner".to_owned(), 0),
            (format!("key={} ", &key[..40]), 0),
        ] {
            let mut bytes = text.clone().into_bytes();
            masking.cover_unfinished(&mut Shown {
                text: text.as_bytes(),
                shown: &mut bytes,
                starts: true,
                ends: false,
            });
            let same = text.len() - covered;
            assert_eq!(bytes[..same], text.as_bytes()[..same]);
            assert!(bytes[same..].iter().all(|b| *b == MASK));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]
        #[test]
        fn nothing_is_left_and_nothing_else_is_touched(
            parts in proptest::collection::vec((0u64..500, 0usize..40, "[a-z =\"\\n*_-]{0,20}", any::<bool>()), 1..8),
        ) {
            let rules = Rules::built_in();
            let templates: Vec<_> = rules.iter().flat_map(|r| r.must_match.iter().chain(&r.must_not_match)).collect();
            let mut text = Vec::new();
            for (seed, which, between, key_only) in parts {
                text.extend_from_slice(between.as_bytes());
                let filled = templates[which % templates.len()].fill(seed);
                text.extend_from_slice(if key_only { &filled.key } else { &filled.text }.as_bytes());
            }
            let out = masked(&text);
            prop_assert_eq!(Matcher::shared().search_all(&out).len(), 0);
            prop_assert!(text.iter().zip(&out).all(|(a, b)| a == b || *b == MASK));
            for hit in Matcher::shared().search_all(&text) {
                prop_assert!(out[hit.span].iter().all(|b| !shows(*b)));
            }
        }
    }
}
