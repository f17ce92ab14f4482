//! Looking around an anchor, with a record of what was looked at: that record decides whether more
//! input is needed, and lets the history room carry an outcome over to where the same bytes stand.

use std::ops::Range;

use super::{Examined, REACH, Text};

pub(super) struct Reach<'t> {
    text: Text<'t>,
    anchor: Range<usize>,
    touched: Range<usize>,
    cut_left: bool,
    cut_right: bool,
}

impl<'t> Reach<'t> {
    pub(super) fn new(text: Text<'t>, anchor: Range<usize>) -> Self {
        Self {
            text,
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

    /// How far to the left of `at` bytes of `class` go on without a gap, `most` at the most.
    pub(super) fn run_left(&mut self, at: usize, most: usize, class: impl Fn(u8) -> bool) -> usize {
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
}
