//! Which borders of a delta's segments a literal can cross, as far as inserted bytes tell: asked while
//! the delta is parsed, when they are at hand.

use crate::matcher::Anchors;

/// What literals begin and end with, by pairs of bytes of which one tells the row and the lowest six
/// bits of the other the bit: it is asked millions of times between other things, and has to be small
/// to stay in the fastest cache. A literal that is not there may seem to be.
pub(super) struct Ends {
    /// By the first byte behind a border: what may follow it in a proper tail of a literal, or
    /// anything if it is a literal's last one.
    tails: [u64; 256],
    /// By the last byte before a border: what may stand before it, likewise.
    heads: [u64; 256],
}

/// Bytes that are alike to [`Ends`].
#[inline(always)]
fn bit(byte: u8) -> u64 {
    1 << (byte & 63)
}

impl Ends {
    /// Of no literals.
    pub(super) const fn none() -> Self {
        Self {
            tails: [0; 256],
            heads: [0; 256],
        }
    }

    pub(super) fn of(anchors: &Anchors) -> Self {
        let mut ends = Self::none();
        for literal in anchors.iter() {
            let (first, last) = (literal[0], literal[literal.len() - 1]);
            for pair in literal[1..].windows(2) {
                ends.tails[usize::from(pair[0])] |= bit(pair[1]);
            }
            for pair in literal[..literal.len() - 1].windows(2) {
                ends.heads[usize::from(pair[1])] |= bit(pair[0]);
            }
            ends.tails[usize::from(last)] = u64::MAX;
            ends.heads[usize::from(first)] = u64::MAX;
        }
        ends
    }

    /// Whether a literal may go on behind a border with inserted bytes that begin with these two.
    /// `second` is of no account if there is only one.
    #[inline(always)]
    pub(super) fn go_on(&self, first: u8, second: u8, only: bool) -> bool {
        self.tails[usize::from(first)] & if only { u64::MAX } else { bit(second) } != 0
    }

    /// Whether a literal may begin before a border with inserted bytes that end with these two;
    /// likewise.
    #[inline(always)]
    pub(super) fn begin(&self, second: u8, last: u8, only: bool) -> bool {
        self.heads[usize::from(last)] & if only { u64::MAX } else { bit(second) } != 0
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
        assert!(!Ends::none().go_on(b'k', b'-', false));
    }
}
