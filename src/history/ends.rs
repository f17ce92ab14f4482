//! Which borders of a delta's segments a literal can cross, as far as inserted bytes tell: asked while
//! the delta is parsed, when they are at hand.

use crate::matcher::Anchors;

/// Pairs of bytes, where two that differ in the highest bits of the second byte alone are one: it is
/// asked millions of times between other things, and has to be small to stay in the fastest cache.
pub(super) struct Pairs([u64; 256]);

impl Pairs {
    pub(super) const fn none() -> Self {
        Self([0; 256])
    }

    /// The second bytes beside this first one, by their lowest six bits.
    #[inline(always)]
    pub(super) fn row(&self, first: u8) -> u64 {
        self.0[usize::from(first)]
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = &u64> {
        self.0.iter()
    }

    /// Whether the pair is in the set; a pair that is not may seem to be, too.
    #[inline(always)]
    pub(super) fn may_have(&self, first: u8, second: u8) -> bool {
        self.row(first) >> (second & 63) & 1 != 0
    }

    /// The same of any pair with this first byte, if only that is known.
    #[inline(always)]
    fn may_have_some(&self, first: u8, second: u8, only: bool) -> bool {
        self.row(first) & if only { u64::MAX } else { 1 << (second & 63) } != 0
    }

    pub(super) fn add(&mut self, first: u8, second: u8) {
        self.0[usize::from(first)] |= 1 << (second & 63);
    }

    fn add_all(&mut self, first: u8) {
        self.0[usize::from(first)] = u64::MAX;
    }
}

/// What literals begin and end with. One that is not there may seem to be.
pub(super) struct Ends {
    /// The first byte behind a border, and what may follow it in a proper tail of a literal: anything
    /// if it is a literal's last one.
    tails: Pairs,
    /// The last byte before a border, and what may stand before it, likewise.
    heads: Pairs,
}

/// Those of no literals.
pub(super) static NO_ENDS: Ends = Ends::none();

impl Ends {
    const fn none() -> Self {
        Self {
            tails: Pairs::none(),
            heads: Pairs::none(),
        }
    }

    pub(super) fn of(anchors: &Anchors) -> Self {
        let mut ends = Self::none();
        for literal in anchors.iter() {
            for pair in literal[1..].windows(2) {
                ends.tails.add(pair[0], pair[1]);
            }
            for pair in literal[..literal.len() - 1].windows(2) {
                ends.heads.add(pair[1], pair[0]);
            }
            ends.tails.add_all(literal[literal.len() - 1]);
            ends.heads.add_all(literal[0]);
        }
        ends
    }

    /// Whether a literal may go on behind a border with inserted bytes that begin with these two.
    /// `second` is of no account if there is only one.
    #[inline(always)]
    pub(super) fn go_on(&self, first: u8, second: u8, only: bool) -> bool {
        self.tails.may_have_some(first, second, only)
    }

    /// Whether a literal may begin before a border with inserted bytes that end with these two;
    /// likewise.
    #[inline(always)]
    pub(super) fn begin(&self, second: u8, last: u8, only: bool) -> bool {
        self.heads.may_have_some(last, second, only)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matcher::Matcher;
    use crate::rules::Rules;

    #[test]
    fn no_border_that_a_literal_crosses_is_closed() {
        let matcher = Matcher::new(&Rules::built_in(), None);
        let ends = Ends::of(matcher.anchors());
        let (mut closed, mut all) = (0, 0);
        for literal in matcher.anchors().iter() {
            for cut in 1..literal.len() {
                let (one, other) = literal.split_at(cut);
                let (last, first) = (one[cut - 1], other[0]);
                assert!(ends.go_on(first, 0, true) && ends.begin(0, last, true));
                for any in 0..=u8::MAX {
                    let second = other.get(1).copied().unwrap_or(any);
                    assert!(ends.go_on(first, second, false), "{literal:?} {cut}");
                    let second = one.iter().nth_back(1).copied().unwrap_or(any);
                    assert!(ends.begin(second, last, false), "{literal:?} {cut}");
                }
            }
        }
        for pair in 0..=u16::MAX {
            let [one, other] = pair.to_le_bytes();
            for open in [ends.go_on(one, other, false), ends.begin(one, other, false)] {
                (closed, all) = (closed + u32::from(!open), all + 1);
            }
        }
        assert!(closed > all * 3 / 4, "{closed} of {all}");
        assert!(!NO_ENDS.go_on(b'k', b'-', false));
    }
}
