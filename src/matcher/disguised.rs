//! Drives the decoders: undoes an encoding around an anchor, searches what comes out, and maps it
//! back to where it stood.

use std::ops::Range;

use super::decode::{DECODERS, Decoder};
use super::reach::Reach;
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

/// What an examination has done so far, so that it comes to an end.
pub(super) struct Work {
    decodings: u32,
    depth: usize,
    pub(super) undone: Undone,
}

/// The decoder that was last at work on the text itself, and what it looked at: it need not undo
/// the same bytes again for the next anchor in them.
#[derive(Clone, Debug, Default)]
pub(super) struct Undone(Option<(usize, Range<usize>)>);

impl Work {
    pub(super) fn new(undone: Undone) -> Self {
        Self {
            decodings: MOST_DECODED,
            depth: 0,
            undone,
        }
    }
}

impl Matcher {
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
        // Escapes say themselves where they begin; digits and letters may be read from another
        // place on and then say something else, so those are undone for each anchor.
        let undone_already = decoder.mixes()
            && work.undone.0.as_ref().is_some_and(|(before, range)| {
                *before == index && range.contains(&at) && at + LONGEST_ENCODED < range.end
            });
        if undone_already || work.depth == MOST_NESTED || work.decodings == 0 {
            return;
        }
        let window = reach.window();
        let base = window.start;
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
        let outer = std::mem::take(&mut work.undone);
        let text = Text::whole(&decoded.bytes);
        let before = hits.len();
        let mut from = 0;
        while let Some((at, id)) = self.anchors().find(&decoded.bytes, from) {
            self.examine_within(text, at, id, work, hits);
            from = at + 1;
        }
        for hit in &mut hits[before..] {
            let span = decoded.span(&hit.span);
            hit.span = base + span.start..base + span.end;
            hit.decoders.insert(0, decoder.name());
        }
        work.depth -= 1;
        work.undone = if work.depth == 0 {
            Undone(Some((index, looked)))
        } else {
            outer
        };
    }
}
