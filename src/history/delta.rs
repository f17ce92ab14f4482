//! Delta instructions: which bytes of a version come from its base, and which are new.

use std::cell::Cell;
use std::ops::Range;

use super::copies::SHAPES;
use super::damage::Damage;
use super::ends::Ends;
use super::room::{Ahead, Room, give_back};

/// Versions and bases beyond this are not handled as deltas; git makes none over 512 MiB.
const LARGEST: u64 = u32::MAX as u64 / 2;

/// A delta of more segments is not read: a few megabytes can unpack to hundreds of millions, and each
/// takes 12 bytes of memory. Git looks for copies by windows of 16 bytes (`RABIN_WINDOW` in its
/// `diff-delta.c`), so that what comes near this is a version of hundreds of megabytes.
const MOST_SEGMENTS: usize = if cfg!(test) { 1 << 16 } else { 1 << 25 };

/// A stretch of a version, up to where the next one begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// Where it begins in the version.
    pub(super) at: u32,
    /// Where its bytes begin: in the base if they are copied, else among the inserted bytes.
    pub(super) from: u32,
    /// Whether they are copied.
    pub(super) copied: bool,
}

/// A version as a delta says it. Inserts that follow each other are joined, as are copies of
/// adjoining ranges: where nothing changes there is no border.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delta<'a> {
    pub(super) segments: &'a [Segment],
    /// All inserted bytes, in order.
    pub(super) inserted: &'a [u8],
    /// The segments behind borders that a literal may cross, for all that inserted bytes tell.
    pub(super) open: &'a [u32],
    /// The version's length.
    pub(super) length: u32,
}

impl<'a> Delta<'a> {
    /// Where segment `number` ends in the version.
    #[inline]
    pub(super) fn end(&self, number: usize) -> u32 {
        self.segments
            .get(number + 1)
            .map_or(self.length, |next| next.at)
    }

    /// Where the bytes of each segment come from, and whether they are copied.
    #[inline]
    pub(super) fn ranges(&self) -> impl Iterator<Item = (Range<u32>, bool)> {
        self.segments.iter().enumerate().map(|(number, segment)| {
            let Segment { at, from, copied } = *segment;
            (from..from + (self.end(number) - at), copied)
        })
    }

    /// The segment that holds the byte at `at`, which lies in the version. Mostly it is the one
    /// that was asked for last, which `cursor` knows, or one soon after it.
    #[inline]
    pub(super) fn segment_at(&self, at: u32, cursor: &Cell<usize>) -> usize {
        let begins = |s: &Segment| s.at <= at;
        let last = cursor.get().min(self.segments.len() - 1);
        let next = self.segments.get(last + 1);
        let found = match begins(&self.segments[last]) && !next.is_some_and(begins) {
            true => last,
            false => self.search(at, last),
        };
        cursor.set(found);
        found
    }

    /// The same, with longer and longer steps from `last` on.
    fn search(&self, at: u32, last: usize) -> usize {
        let begins = |s: &Segment| s.at <= at;
        let (mut low, mut high) = (0, last);
        if begins(&self.segments[last]) {
            (low, high) = (last, last + 1);
            let mut step = 1;
            while self.segments.get(high).is_some_and(begins) {
                low = high;
                high += step;
                step *= 2;
            }
            high = high.min(self.segments.len());
        }
        low + self.segments[low..high].partition_point(begins) - 1
    }
}

/// Room for one parsed delta, used again and again.
#[derive(Default)]
pub(super) struct Parsed {
    segments: Vec<Segment>,
    /// All inserted bytes.
    inserted: Room,
    /// How many there are.
    used: usize,
    /// Open borders, and whatever is behind them.
    open: Vec<u32>,
    /// How many there are.
    opened: usize,
    length: u32,
}

/// So many inserted bytes or less are copied as so many: most inserts are short, and a call for each
/// would take longer than the copying.
pub(super) const BLOCK: usize = 32;

/// What tells copies from inserts while a delta is parsed, beside where their bytes begin.
const COPIED: u64 = 1 << 63;

impl Parsed {
    /// Parses a delta against a base of `base` bytes. Borders are open or not by `ends`.
    pub(super) fn parse(&mut self, delta: Ahead<'_>, base: u64, ends: &Ends) -> Result<(), Damage> {
        give_back(&mut self.segments);
        give_back(&mut self.open);
        self.segments.clear();
        let mut rest = delta.own();
        let inserted = self.inserted.of(rest.len() + BLOCK);
        let (claimed, length) = (number(&mut rest)?, number(&mut rest)?);
        if claimed != base || base > LARGEST {
            return Err(Damage::Delta);
        }
        if length > LARGEST {
            return Err(Damage::TooLarge(length));
        }
        let instructions = Instructions {
            bytes: &delta.all()[delta.own().len() - rest.len()..],
            behind: delta.all().len() - delta.own().len(),
            base,
            ends,
        };
        let followed = instructions.follow(length, inserted, &mut self.segments, &mut self.open);
        let Some((used, opened)) = followed else {
            let many = self.segments.len() == MOST_SEGMENTS;
            return Err(if many {
                Damage::Instructions
            } else {
                Damage::Delta
            });
        };
        (self.used, self.opened) = (used, opened);
        self.length = length as u32;
        Ok(())
    }

    pub(super) fn view(&self) -> Delta<'_> {
        Delta {
            segments: &self.segments,
            inserted: self.inserted.first(self.used).own(),
            open: &self.open[..self.opened],
            length: self.length,
        }
    }
}

/// What a delta says after the two lengths.
struct Instructions<'a> {
    /// The instructions, and what is ahead of them.
    bytes: &'a [u8],
    /// How many bytes are behind them.
    behind: usize,
    /// The length of the base.
    base: u64,
    ends: &'a Ends,
}

impl Instructions<'_> {
    /// Makes a version of `length` bytes. Returns how many are inserted, and how many of the first of
    /// `open` are borders; `None` if the instructions are wrong, or say too much ([`MOST_SEGMENTS`]).
    /// Here each instruction counts: what is seldom is elsewhere.
    #[inline(never)]
    fn follow(
        &self,
        length: u64,
        to: &mut [u8],
        segments: &mut Vec<Segment>,
        open: &mut Vec<u32>,
    ) -> Option<(usize, usize)> {
        let (mut rest, mut left, mut used, mut opened) = (self.bytes, length, 0, 0);
        // Where the bytes would have to come from to go on with the last segment, and whether a literal
        // may begin with its last ones.
        let (mut follows, mut begins) = (u64::MAX, false);
        while rest.len() > self.behind {
            let word = match rest.first_chunk() {
                Some(eight) => u64::from_le_bytes(*eight),
                None => short(rest),
            };
            let code = word as u8;
            let (from, size, taken, (goes_on, begins_anew)) = if code & 0x80 != 0 {
                let shape = &SHAPES[usize::from(code & 0x7f)];
                let (from, size) = shape.copy(code, word >> 8);
                if from + size > self.base {
                    return None;
                }
                // The base is asked later, once for all borders.
                let open = (true, true);
                (from | COPIED, size, usize::from(shape.stated), open)
            } else {
                let size = usize::from(code);
                if size == 0 || size >= rest.len() - self.behind {
                    return None;
                }
                let (first, second, only) = ((word >> 8) as u8, (word >> 16) as u8, size == 1);
                let goes_on = self.ends.go_on(first, second, only);
                let begins_anew = self.ends.begin(rest[size - 1], rest[size], only);
                insert(to.get_mut(used..)?, &rest[1..], size);
                used += size;
                let open = (goes_on, begins_anew);
                ((used - size) as u64, size as u64, size, open)
            };
            // The last bytes of a copy may be missing.
            rest = rest.get(1 + taken..)?;
            if from != follows {
                let number = segments.len();
                if number == MOST_SEGMENTS {
                    return None;
                }
                // Whether it is open nobody could foresee.
                match open.get_mut(opened) {
                    Some(place) => *place = number as u32,
                    None => open.push(number as u32),
                }
                opened += usize::from(begins & goes_on);
                segments.push(Segment {
                    at: (length - left) as u32,
                    from: from as u32,
                    copied: from & COPIED != 0,
                });
            }
            (follows, begins) = (from + size, begins_anew);
            left = left.checked_sub(size)?;
        }
        (left == 0 && rest.len() == self.behind).then_some((used, opened))
    }
}

/// Eight bytes of which the last are not there, and taken to be zero.
#[cold]
fn short(bytes: &[u8]) -> u64 {
    let mut eight = [0; 8];
    eight[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(eight)
}

/// Copies the first `size` bytes of `from`, of which most are few.
#[inline]
fn insert(to: &mut [u8], from: &[u8], size: usize) {
    match (to.first_chunk_mut::<BLOCK>(), from.first_chunk()) {
        (Some(to), Some(from)) if size <= BLOCK => *to = *from,
        _ => to[..size].copy_from_slice(&from[..size]),
    }
}

/// Appends a range of `from`; a short one as a block that is cut off behind it.
#[inline]
pub(super) fn append(out: &mut Vec<u8>, from: &[u8], range: Range<u32>) {
    let (start, end) = (range.start as usize, range.end as usize);
    let block = from.get(start..).and_then(<[u8]>::first_chunk::<BLOCK>);
    match block.filter(|_| end - start <= BLOCK) {
        Some(block) => {
            let length = out.len() + (end - start);
            out.extend_from_slice(block);
            out.truncate(length);
        }
        None => out.extend_from_slice(&from[start..end]),
    }
}

/// A size, 7 bits a byte, least significant first.
fn number(rest: &mut &[u8]) -> Result<u64, Damage> {
    let (mut value, mut shift) = (0, 0);
    loop {
        let (&byte, tail) = rest.split_first().ok_or(Damage::Delta)?;
        *rest = tail;
        if shift > 56 {
            return Err(Damage::Delta);
        }
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ends::NO_ENDS;
    use super::super::forge::{self, Step};
    use super::*;
    use crate::matcher::Matcher;
    use crate::rules::Rules;
    use proptest::prelude::*;

    #[test]
    fn adjoining_instructions_become_one_segment() {
        let mut parsed = Parsed::default();
        // 10 → 9 bytes: copy 0..4, copy 4..6, insert "a", insert "b", copy 9..10
        let delta = [10, 9, 0x90, 4, 0x91, 4, 2, 1, b'a', 1, b'b', 0x91, 9, 1];
        parsed.parse(delta[..].into(), 10, &NO_ENDS).unwrap();
        let view = parsed.view();
        let segment = |at, from, copied| Segment { at, from, copied };
        assert_eq!(
            view.segments,
            [
                segment(0, 0, true),
                segment(6, 0, false),
                segment(8, 9, true)
            ]
        );
        assert_eq!(
            (
                view.inserted,
                view.end(2),
                view.segment_at(7, &Cell::new(0))
            ),
            (&b"ab"[..], 9, 1)
        );
    }

    #[test]
    fn borders_are_open_where_what_is_inserted_allows_it() {
        let matcher = Matcher::new(&Rules::built_in(), None);
        let ends = Ends::of(matcher.anchors());
        let mut parsed = Parsed::default();
        let steps = [
            Step::Copy(0, 4),
            Step::Copy(5, 2),
            // No anchor goes on with the first one, and none begins with the last one.
            Step::Insert(b"\0.\0"),
            Step::Copy(0, 2),
            Step::Insert(b"k"),
            Step::Copy(2, 2),
        ];
        let delta = forge::delta(10, 14, &steps);
        parsed.parse(delta[..].into(), 10, &ends).unwrap();
        assert_eq!(parsed.view().open, [1, 4, 5]);
    }

    #[test]
    fn a_segment_is_found_from_wherever_the_last_one_was() {
        let segments: Vec<Segment> = (0..100)
            .map(|n| Segment {
                at: n * 3,
                from: 0,
                copied: true,
            })
            .collect();
        let delta = Delta {
            segments: &segments,
            inserted: &[],
            open: &[],
            length: 300,
        };
        for last in [0, 1, 50, 98, 99, 1000] {
            for at in 0..300 {
                let cursor = Cell::new(last);
                assert_eq!(delta.segment_at(at, &cursor), at as usize / 3);
                assert_eq!(cursor.get(), at as usize / 3);
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut parsed = Parsed::default();
        for delta in [
            &[10, 4, 0x91, 8, 4][..], // beyond the base
            &[10, 4, 0],              // reserved
            &[10, 4, 4, b'a'],        // insert cut short
            &[10, 4, 1, b'a'],        // too short a result
            &[10, 1, 2, b'a', b'a'],  // too long a result
            &[9, 1, 1, b'a'],         // another base
            &[10],
            &[
                0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1,
            ],
        ] {
            assert!(
                parsed.parse(delta.into(), 10, &NO_ENDS).is_err(),
                "{delta:?}"
            );
        }
    }

    #[test]
    fn millions_of_instructions_are_refused() {
        let mut parsed = Parsed::default();
        let delta = |segments: usize| {
            // Copies of one byte, from here and there.
            let copies = (0..segments).flat_map(|n| [0x91, (n % 2 * 5) as u8, 1]);
            let length = [0, 7, 14].map(|shift| (segments >> shift) as u8 | 0x80);
            let sizes = [10].into_iter().chain(length).chain([0]);
            sizes.chain(copies).collect::<Vec<u8>>()
        };
        let most = delta(MOST_SEGMENTS);
        parsed.parse(most[..].into(), 10, &NO_ENDS).unwrap();
        assert_eq!(parsed.view().segments.len(), MOST_SEGMENTS);
        let more = delta(MOST_SEGMENTS + 1);
        let refused = parsed.parse(more[..].into(), 10, &NO_ENDS);
        assert!(matches!(refused, Err(Damage::Instructions)), "{refused:?}");
    }

    proptest! {
        #[test]
        fn noise_never_panics(delta in proptest::collection::vec(any::<u8>(), 0..80), base in 0u64..300) {
            let mut parsed = Parsed::default();
            let mut framed = vec![(base % 128) as u8, 60];
            framed.extend(delta);
            if parsed.parse(framed[..].into(), base % 128, &NO_ENDS).is_ok() {
                let view = parsed.view();
                prop_assert!(view.segments.windows(2).all(|s| s[0].at < s[1].at));
            }
        }
    }
}
