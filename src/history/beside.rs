//! What stands beside the borders of a delta's segments, as far as the delta says it: told while it
//! is parsed, when the bytes are at hand.

use crate::matcher::Anchors;

/// Where a byte beside a border comes from: one number, since millions are handed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Source(u64);

impl Source {
    /// From there in the base.
    #[inline]
    pub(super) fn base(at: u32) -> Self {
        Self(u64::from(at) << 32 | 1 << 8)
    }

    /// From what is inserted: the byte itself.
    #[inline]
    pub(super) fn inserted(byte: u8) -> Self {
        Self(byte.into())
    }

    /// Where it is in the base; its start for what is inserted.
    #[inline]
    pub(super) fn at(self) -> u32 {
        (self.0 >> 32) as u32
    }

    #[inline]
    pub(super) fn is_inserted(self) -> bool {
        self.0 >> 8 & 1 == 0
    }

    #[inline]
    pub(super) fn byte(self) -> u8 {
        self.0 as u8
    }
}

/// What stands on either side of the border before segment `number`, which is not the first one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Beside {
    pub(super) number: u32,
    pub(super) before: Source,
    pub(super) behind: Source,
}

/// One side of a border: the byte that is next to it, and whether a literal can cross it there.
#[derive(Clone, Copy, Default)]
pub(super) struct Side {
    pub(super) byte: Source,
    pub(super) open: bool,
}

impl Side {
    /// What is copied: the base is asked later, once for all borders.
    #[inline(always)]
    pub(super) fn base(at: u32) -> Self {
        Self {
            byte: Source::base(at),
            open: true,
        }
    }
}

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

    /// The first of inserted bytes, behind a border. `second` is of no account if it is the only one.
    #[inline(always)]
    pub(super) fn behind(&self, first: u8, second: u8, only: bool) -> Side {
        Side {
            byte: Source::inserted(first),
            open: self.tails[usize::from(first)] & if only { u64::MAX } else { bit(second) } != 0,
        }
    }

    /// The last of inserted bytes, before a border; likewise.
    #[inline(always)]
    pub(super) fn before(&self, second: u8, last: u8, only: bool) -> Side {
        Side {
            byte: Source::inserted(last),
            open: self.heads[usize::from(last)] & if only { u64::MAX } else { bit(second) } != 0,
        }
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
                assert!(ends.behind(first, 0, true).open && ends.before(0, last, true).open);
                for any in 0..=u8::MAX {
                    let second = other.get(1).copied().unwrap_or(any);
                    let behind = ends.behind(first, second, false);
                    assert!(behind.open, "{literal:?} {cut}");
                    assert_eq!(behind.byte, Source::inserted(first));
                    let second = one.iter().nth_back(1).copied().unwrap_or(any);
                    let before = ends.before(second, last, false);
                    assert!(before.open, "{literal:?} {cut}");
                    assert_eq!(before.byte, Source::inserted(last));
                }
            }
        }
        for pair in 0..=u16::MAX {
            let [one, other] = pair.to_le_bytes();
            for side in [
                ends.behind(one, other, false),
                ends.before(one, other, false),
            ] {
                (closed, all) = (closed + u32::from(!side.open), all + 1);
            }
        }
        assert!(closed > all * 3 / 4, "{closed} of {all}");
        assert!(!Ends::none().behind(b's', b'k', false).open);
    }
}
