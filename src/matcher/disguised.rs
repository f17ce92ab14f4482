//! Drives the decoders: undoes an encoding around an anchor, searches what comes out, and maps it
//! back to where it stood.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::LazyLock;

use super::decode::{DECODERS, Decoder, Ends};
use super::marked::LONGEST_SIDE;
use super::reach::{Known, Reach};
use super::{Hit, Matcher, Text};

/// How deep encodings may be nested, and how often one examination may decode: what no honest
/// input reaches, and a hostile one can't go beyond.
const MOST_NESTED: usize = 4;
const MOST_DECODED: u32 = 64;

/// Anchors this close before the end of what a decoder has undone already may belong to a key that
/// goes on behind it.
const LONGEST_ENCODED: usize = 1400;

/// No key is shorter than this.
const SHORTEST_KEY: usize = 32;

/// The decoders whose escapes may stand between plain characters.
static MIXING: LazyLock<Vec<(usize, Ends)>> = LazyLock::new(|| {
    let decoders = DECODERS.iter().enumerate();
    decoders
        .filter_map(|(index, decoder)| Some((index, decoder.mixes()?)))
        .collect()
});

/// What an examination has done so far, so that it comes to an end.
pub(super) struct Work {
    decodings: u32,
    pub(super) depth: usize,
    pub(super) undone: Undone,
    pub(super) known: Known,
}

/// What was undone of a text lately: its bytes need not be undone in the same way again for the
/// next anchor in them.
#[derive(Clone, Debug, Default)]
pub(super) struct Undone(VecDeque<Reading>);

/// One way in which a stretch of a text was read.
#[derive(Clone, Debug)]
struct Reading {
    decoder: usize,
    /// Where the window began that its `from` counts from.
    base: usize,
    from: Vec<Range<u32>>,
    looked: Range<usize>,
    /// Whether it ended by itself, so that nothing of it goes on behind what was looked at.
    ended: bool,
}

/// How many readings are remembered: base64 has four of the same text, hexadecimal two.
const MOST_READINGS: usize = 16;

impl Undone {
    /// Whether this decoder has undone what stands around a trace at `at` in the way that the trace
    /// asks for, as far as a key may reach.
    fn covers(&self, decoder: usize, at: usize, offset: usize) -> bool {
        self.0.iter().any(|reading| {
            reading.decoder == decoder
                && reading.looked.contains(&at)
                && (reading.ended || at + LONGEST_ENCODED < reading.looked.end)
                && at >= reading.base
                && DECODERS[decoder].reads_alike(&reading.from, at - reading.base, offset)
        })
    }

    /// How many bytes of what was undone need not be searched, since they were when the text before
    /// it was undone in the same way.
    fn searched(&self, decoder: usize, base: usize, from: &[Range<u32>]) -> usize {
        let searched = |reading: &Reading| {
            let first = from.first()?.start as usize + base;
            let there = |at: usize| at.checked_sub(reading.base).map(|at| at as u32);
            let until = reading.looked.end.checked_sub(LONGEST_ENCODED)?;
            if reading.decoder != decoder || from.len() < 2 || reading.from.len() < 2 {
                return None;
            }
            // What begins alike goes on alike.
            let start = there(first.max(reading.from[0].start as usize + reading.base))?;
            let mine = start as usize + reading.base - base;
            let mine = from
                .binary_search_by_key(&(mine as u32), |f| f.start)
                .ok()?;
            let other = reading
                .from
                .binary_search_by_key(&start, |f| f.start)
                .ok()?;
            let shift =
                |f: &Range<u32>, base: usize| f.start as usize + base..f.end as usize + base;
            if shift(&from[mine], base) != shift(&reading.from[other], reading.base) {
                return None;
            }
            let covered = from.partition_point(|f| f.start as usize + base < until);
            // What stands before is new, unless nothing does.
            (mine == 0).then_some(covered)
        };
        self.0.iter().filter_map(searched).max().unwrap_or(0)
    }

    fn add(&mut self, reading: Reading) {
        if self.0.len() == MOST_READINGS {
            self.0.pop_front();
        }
        self.0.push_back(reading);
    }
}

impl Work {
    pub(super) fn new(undone: Undone) -> Self {
        Self {
            decodings: MOST_DECODED,
            depth: 0,
            undone,
            known: Known::default(),
        }
    }

    /// For another examination of the same text.
    pub(super) fn renew(&mut self) {
        self.decodings = MOST_DECODED;
        self.depth = 0;
    }
}

impl Matcher {
    /// Looks at a marker in plain sight, between escapes: `sk%2Dproj%2D…`.
    pub(super) fn undo_between(
        &self,
        reach: &mut Reach<'_>,
        at: usize,
        work: &mut Work,
        hits: &mut Vec<Hit>,
    ) {
        // If there are any in the key, one stands where the plain characters end.
        let left = reach.key_left(at, LONGEST_SIDE);
        let right = reach.key_right(at, LONGEST_SIDE);
        let before = reach.before(left, 1).first().copied();
        let after = reach.get(right);
        for &(index, Ends { first, last }) in MIXING.iter() {
            if after == Some(first) || before == Some(first) || last.is_some() && before == last {
                self.undo(reach, at, index, 0, work, hits);
            }
        }
    }

    /// Undoes an encoding around an anchor and searches what comes out.
    pub(super) fn undo(
        &self,
        reach: &mut Reach<'_>,
        at: usize,
        index: usize,
        offset: usize,
        work: &mut Work,
        hits: &mut Vec<Hit>,
    ) {
        let decoder: &dyn Decoder = DECODERS[index];
        if work.depth == MOST_NESTED || work.decodings == 0 || work.undone.covers(index, at, offset)
        {
            return;
        }
        let window = reach.window();
        let (base, end) = (window.start, window.end);
        let decoded = decoder.decode(reach.peek(window), at - base, offset);
        let looked = base + decoded.looked.start..base + decoded.looked.end;
        reach.slice(looked.clone());
        // Where nothing was undone, the text says what it said before.
        let undone = decoded.from.iter().any(|from| from.len() > 1);
        if !undone || decoded.bytes.len() < SHORTEST_KEY {
            return;
        }
        work.decodings -= 1;
        work.depth += 1;
        let mut outer = std::mem::take(&mut work.undone);
        work.known = Known::default();
        // A key that the end of the window may have cut off is none: its own anchors lead to it.
        let at_end = end == reach.text_end() && reach.text_ends();
        let is_cut = decoded.goes_on || !(decoded.ended || at_end);
        let text = Text {
            ends: !is_cut,
            ..Text::whole(&decoded.bytes)
        };
        let before = hits.len();
        let mut from = outer.searched(index, base, &decoded.from);
        while let Some((at, id)) = self.anchors().find(&decoded.bytes, from) {
            self.examine_within(text, at, id, work, hits);
            from = at + 1;
        }
        for hit in &mut hits[before..] {
            let span = decoded.span(&hit.span);
            hit.span = base + span.start..base + span.end;
            if let Some(then) = decoded.then {
                hit.decoders.insert(0, then);
            }
            hit.decoders.insert(0, decoder.name());
        }
        work.depth -= 1;
        outer.add(Reading {
            decoder: index,
            base,
            from: decoded.from,
            looked,
            // Nothing of this text is left to be undone.
            ended: decoded.ended || !decoded.goes_on && end == reach.text_end(),
        });
        work.undone = outer;
    }
}
