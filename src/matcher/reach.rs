//! Looking around an anchor, with a record of what was looked at: that record decides whether more
//! input is needed, and lets the history room carry an outcome over to where the same bytes stand.

use std::ops::Range;

use super::{Examined, REACH, Text};
use crate::rules::Alphabet;

/// A run of a key's characters in a text, as far as it was followed: the next anchor may stand in it,
/// too.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Run {
    start: usize,
    end: usize,
    /// Whether it is known to begin and to end there.
    starts: bool,
    ends: bool,
}

impl Run {
    /// The run that `at` stands in or beside.
    fn around(self, at: usize) -> Self {
        match (self.start..=self.end).contains(&at) {
            true => self,
            false => Self {
                start: at,
                end: at,
                ..Self::default()
            },
        }
    }
}

/// What a key is made of, for one look-up a byte.
static IS_KEY: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = Alphabet::Base64url.has(byte as u8);
        byte += 1;
    }
    table
};

pub(super) struct Reach<'t> {
    text: Text<'t>,
    /// What is known of the text's runs.
    pub(super) run: Run,
    anchor: Range<usize>,
    touched: Range<usize>,
    cut_left: bool,
    pub(super) cut_right: bool,
}

impl<'t> Reach<'t> {
    pub(super) fn new(text: Text<'t>, anchor: Range<usize>) -> Self {
        Self {
            text,
            run: Run::default(),
            touched: anchor.clone(),
            anchor,
            cut_left: false,
            cut_right: false,
        }
    }

    pub(super) fn into_examined(self) -> Examined {
        Examined {
            touched: self.touched,
            cut_left: self.cut_left,
            cut_right: self.cut_right,
        }
    }

    /// The bytes of `range` as far as they exist and lie within [`REACH`]. Asking is touching.
    pub(super) fn slice(&mut self, range: Range<usize>) -> &'t [u8] {
        self.bytes(range.start as isize, range.end)
    }

    /// As much as may be looked at.
    pub(super) fn window(&self) -> Range<usize> {
        let start = self.anchor.start.saturating_sub(REACH);
        start..(self.anchor.end + REACH).min(self.text.bytes.len())
    }

    /// Whether the text goes on there.
    pub(super) fn goes_on_behind(&self, end: usize) -> bool {
        end < self.text.bytes.len() || !self.text.ends
    }

    /// The bytes of a range within [`Self::window`], without a record: the caller asks for what it
    /// really looked at afterwards.
    pub(super) fn peek(&self, range: Range<usize>) -> &'t [u8] {
        &self.text.bytes[range]
    }

    /// The byte at `at`, if the text has one there.
    pub(super) fn get(&mut self, at: usize) -> Option<u8> {
        self.slice(at..at + 1).first().copied()
    }

    /// Up to `count` bytes before `at`.
    pub(super) fn before(&mut self, at: usize, count: usize) -> &'t [u8] {
        self.bytes(at as isize - count as isize, at)
    }

    /// Where the run of `class` that begins at `at` ends, `most` bytes later at the most.
    pub(super) fn run_right(
        &mut self,
        at: usize,
        most: usize,
        class: impl Fn(u8) -> bool,
    ) -> usize {
        let bytes = self.text.bytes.get(at..).unwrap_or_default();
        let seen = bytes.iter().take(most).take_while(|b| class(**b)).count();
        let looked = if seen < most { seen + 1 } else { seen };
        self.slice(at..at + looked);
        at + seen
    }

    /// How far to the left of `at` a key's characters go on without a gap, `most` at the most. They
    /// are followed once for many anchors.
    pub(super) fn key_left(&mut self, at: usize, most: usize) -> usize {
        let mut run = self.run.around(at);
        let limit = at.saturating_sub(most);
        if run.start > limit && !run.starts {
            let bytes = &self.text.bytes[limit..run.start];
            let seen = bytes.iter().rev().take_while(|b| IS_KEY[usize::from(**b)]);
            run.start -= seen.count();
            run.starts = run.start > limit || limit == 0;
        }
        self.run = run;
        let seen = at - run.start.max(limit);
        // The byte that ended the run had a say as well.
        let looked = if seen < most { seen + 1 } else { seen };
        self.before(at, looked);
        at - seen
    }

    /// [`Self::run_right`] of a key's characters.
    pub(super) fn key_right(&mut self, at: usize, most: usize) -> usize {
        let mut run = self.run.around(at);
        let limit = (at + most).min(self.text.bytes.len());
        if run.end < limit && !run.ends {
            let bytes = &self.text.bytes[run.end..limit];
            let seen = bytes.iter().take_while(|b| IS_KEY[usize::from(**b)]);
            run.end += seen.count();
            run.ends = run.end < limit || limit == self.text.bytes.len();
        }
        self.run = run;
        let seen = run.end.min(limit).max(at) - at;
        let looked = if seen < most { seen + 1 } else { seen };
        self.slice(at..at + looked);
        at + seen
    }

    fn bytes(&mut self, start: isize, end: usize) -> &'t [u8] {
        let least = self.anchor.start as isize - REACH as isize;
        let start = start.max(least);
        let end = end.min(self.anchor.end + REACH);
        self.cut_left |= start < 0 && !self.text.starts;
        self.cut_right |= end > self.text.bytes.len() && !self.text.ends;
        let start = (start.max(0) as usize).min(self.text.bytes.len());
        let end = end.min(self.text.bytes.len()).max(start);
        if start < end {
            self.touched = self.touched.start.min(start)..self.touched.end.max(end);
        }
        &self.text.bytes[start..end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    impl Reach<'_> {
        /// [`Self::key_left`] of any class, each time anew.
        fn run_left(&mut self, at: usize, most: usize, class: impl Fn(u8) -> bool) -> usize {
            let seen = self.text.bytes[..at]
                .iter()
                .rev()
                .take(most)
                .take_while(|b| class(**b))
                .count();
            // The byte that ended the run had a say as well.
            let looked = if seen < most { seen + 1 } else { seen };
            self.before(at, looked);
            at - seen
        }
    }

    #[test]
    fn wanting_more_than_there_is_counts_only_where_the_blob_goes_on() {
        for (starts, ends) in [(true, true), (false, false), (true, false)] {
            let text = Text {
                bytes: b"aaXXbb",
                starts,
                ends,
            };
            let mut reach = Reach::new(text, 2..4);
            assert_eq!(reach.run_left(2, 10, |b| b == b'a'), 0);
            assert_eq!(reach.run_right(4, 10, |b| b == b'b'), 6);
            let examined = reach.into_examined();
            assert_eq!(
                examined,
                Examined {
                    touched: 0..6,
                    cut_left: !starts,
                    cut_right: !ends
                }
            );
        }
    }

    #[test]
    fn a_run_touches_the_byte_that_ends_it() {
        let mut reach = Reach::new(Text::whole(b"..aXb.."), 3..4);
        assert_eq!(
            (
                reach.run_left(3, 9, |b| b == b'a'),
                reach.run_right(4, 9, |b| b == b'b')
            ),
            (2, 5)
        );
        assert_eq!(reach.into_examined().touched, 1..6);
    }

    proptest! {
        #[test]
        fn remembered_runs_are_those_that_are_followed(
            bytes in proptest::collection::vec(proptest::sample::select(&b"aB9-_ ."[..]), 0..80),
            starts: bool,
            ends: bool,
            asked in proptest::collection::vec((0usize..81, 0usize..40, any::<bool>()), 1..12),
        ) {
            let text = Text { bytes: &bytes, starts, ends };
            let is_key = |b| Alphabet::Base64url.has(b);
            let mut run = Run::default();
            for (at, most, left) in asked {
                let at = at.min(bytes.len());
                let (mut one, mut other) = (Reach::new(text, at..at), Reach::new(text, at..at));
                one.run = run;
                let (a, b) = match left {
                    true => (one.key_left(at, most), other.run_left(at, most, is_key)),
                    false => (one.key_right(at, most), other.run_right(at, most, is_key)),
                };
                run = one.run;
                prop_assert_eq!(a, b);
                prop_assert_eq!(one.into_examined(), other.into_examined());
            }
        }
    }
}
