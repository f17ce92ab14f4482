//! Versions of an object along a path of a delta tree. Any part of one can be fetched, without
//! rebuilding the rest.
//!
//! What others are deltas against is kept as bytes, or as a rope: pieces of an ancestor that was
//! rebuilt, and what was inserted since. A rope is made from the rope before it and a delta, so it
//! never leads through more than one other version, however long the chain.

use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;

use super::damage::Damage;
use super::delta::{BLOCK, Delta, Segment, append};
use super::room::give_back;

/// What putting one segment into a rope costs, in bytes that could be copied in that time.
const SEGMENT_PRICE: u64 = 128;

/// Versions beyond this (512 MiB) are never rebuilt: a few instructions can claim gigabytes, and
/// git makes no deltas of what is larger.
const LARGEST_REBUILT: u32 = 512 << 20;

/// A version that others are deltas against, with what was found in it.
pub(super) struct Node<M> {
    bytes: Arc<Vec<u8>>,
    rope: Option<Rope>,
    pub(super) marks: M,
    length: u32,
    /// What making ropes has cost since the bytes were rebuilt: once it is as much as rebuilding
    /// them would, they are.
    spent: u64,
}

/// Segments: copied ones are pieces of the bytes that were rebuilt.
#[derive(Clone, Default)]
pub(super) struct Rope {
    segments: Vec<Segment>,
    inserted: Vec<u8>,
    length: u32,
}

/// A version that was just read: a delta and its base.
pub(super) struct Version<'a, M> {
    pub(super) delta: Delta<'a>,
    pub(super) base: &'a Node<M>,
    pub(super) cursors: &'a Cursors,
}

/// Where the last bytes were fetched from: the next ones mostly come from nearby.
#[derive(Default)]
pub(super) struct Cursors {
    version: Cell<usize>,
    base: Cell<usize>,
}

/// What a thread uses for version after version.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) cursors: Cursors,
    rope: Rope,
}

impl<M> Clone for Version<'_, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M> Copy for Version<'_, M> {}

impl Rope {
    fn view(&self) -> Delta<'_> {
        Delta {
            segments: &self.segments,
            inserted: &self.inserted,
            open: &[],
            length: self.length,
        }
    }

    /// Appends a piece of the rebuilt bytes. Where it goes on with the last one there is no border.
    fn copy(&mut self, from: u32, length: u32) {
        let goes_on = self
            .segments
            .last()
            .is_some_and(|last| last.copied && last.from + (self.length - last.at) == from);
        if !goes_on && length > 0 {
            self.segments.push(Segment {
                at: self.length,
                from,
                copied: true,
            });
        }
        self.length += length;
    }

    /// Appends a range of inserted bytes.
    fn insert(&mut self, bytes: &[u8], range: Range<u32>) {
        if self.segments.last().is_none_or(|last| last.copied) && !range.is_empty() {
            self.segments.push(Segment {
                at: self.length,
                from: self.inserted.len() as u32,
                copied: false,
            });
        }
        self.length += range.end - range.start;
        append(&mut self.inserted, bytes, range);
    }

    fn clear(&mut self) {
        give_back(&mut self.segments);
        give_back(&mut self.inserted);
        self.segments.clear();
        self.inserted.clear();
        self.length = 0;
    }

    fn price(&self) -> u64 {
        self.segments.len() as u64 * SEGMENT_PRICE + self.inserted.len() as u64
    }
}

impl<M> Node<M> {
    /// A version whose bytes are at hand.
    pub(super) fn whole(bytes: Vec<u8>, marks: M) -> Result<Self, Damage> {
        let length =
            u32::try_from(bytes.len()).map_err(|_| Damage::TooLarge(bytes.len() as u64))?;
        Ok(Self {
            bytes: bytes.into(),
            rope: None,
            marks,
            length,
            spent: 0,
        })
    }

    /// A version as a delta against `base`.
    pub(super) fn delta(
        base: &Self,
        delta: Delta<'_>,
        marks: M,
        scratch: &mut Scratch,
    ) -> Result<Self, Damage> {
        let length = delta.length;
        let left = u64::from(length).saturating_sub(base.spent);
        if base.rope_with(delta, left, scratch) {
            return Ok(Self {
                bytes: Arc::clone(&base.bytes),
                marks,
                length,
                spent: base.spent + scratch.rope.price(),
                rope: Some(scratch.rope.clone()),
            });
        }
        if length > LARGEST_REBUILT {
            return Err(Damage::TooLarge(length.into()));
        }
        let mut bytes = Vec::with_capacity(length as usize + BLOCK);
        for (from, copied) in delta.ranges() {
            match copied {
                true => base.fetch(from, &scratch.cursors, &mut bytes),
                false => append(&mut bytes, delta.inserted, from),
            }
        }
        Self::whole(bytes, marks)
    }

    /// Makes the rope of a version that is a delta against this one in `scratch`, unless its price
    /// is above `most`: whether it did.
    fn rope_with(&self, delta: Delta<'_>, most: u64, scratch: &mut Scratch) -> bool {
        let own = delta.segments.len() as u64 * SEGMENT_PRICE + delta.inserted.len() as u64;
        if own + self.rope.as_ref().map_or(0, Rope::price) > most {
            return false;
        }
        let Scratch { rope, cursors } = scratch;
        rope.clear();
        for (from, copied) in delta.ranges() {
            if !copied {
                rope.insert(delta.inserted, from);
                continue;
            }
            self.pieces(from, cursors, |piece| match piece {
                Piece::Copied(range) => rope.copy(range.start, range.end - range.start),
                Piece::Inserted(bytes, range) => rope.insert(bytes, range),
            });
            // What is copied twice is paid twice.
            if rope.price() > most {
                return false;
            }
        }
        true
    }

    pub(super) fn length(&self) -> u32 {
        self.length
    }

    /// The byte at `at`.
    #[inline]
    fn byte(&self, at: u32, cursors: &Cursors) -> u8 {
        match &self.rope {
            Some(rope) => self.byte_of(rope, at, cursors),
            None => self.bytes[at as usize],
        }
    }

    #[inline(never)]
    fn byte_of(&self, rope: &Rope, at: u32, cursors: &Cursors) -> u8 {
        let rope = rope.view();
        let segment = &rope.segments[rope.segment_at(at, &cursors.base)];
        let from = (segment.from + (at - segment.at)) as usize;
        match segment.copied {
            true => self.bytes[from],
            false => rope.inserted[from],
        }
    }

    /// Appends the bytes of `range` to `out`.
    #[inline]
    fn fetch(&self, range: Range<u32>, cursors: &Cursors, out: &mut Vec<u8>) {
        if self.rope.is_none() {
            return append(out, &self.bytes, range);
        }
        self.pieces(range, cursors, |piece| match piece {
            Piece::Copied(range) => append(out, &self.bytes, range),
            Piece::Inserted(bytes, range) => append(out, bytes, range),
        });
    }

    /// What a range consists of, in order.
    #[inline(always)]
    fn pieces(&self, range: Range<u32>, cursors: &Cursors, mut piece: impl FnMut(Piece<'_>)) {
        let Some(rope) = &self.rope else {
            return piece(Piece::Copied(range));
        };
        let rope = rope.view();
        parts(rope, range, &cursors.base, |from, copied| {
            piece(match copied {
                true => Piece::Copied(from),
                false => Piece::Inserted(rope.inserted, from),
            });
        });
    }
}

enum Piece<'a> {
    /// Of the bytes that were rebuilt.
    Copied(Range<u32>),
    /// Of these that were inserted.
    Inserted(&'a [u8], Range<u32>),
}

/// Where the bytes of a range come from: each part, and whether it is copied.
#[inline(always)]
fn parts(
    delta: Delta<'_>,
    range: Range<u32>,
    cursor: &Cell<usize>,
    mut part: impl FnMut(Range<u32>, bool),
) {
    if range.is_empty() {
        return;
    }
    let mut number = delta.segment_at(range.start, cursor);
    let mut at = range.start;
    while at < range.end {
        let segment = &delta.segments[number];
        let end = delta.end(number).min(range.end);
        let from = segment.from + (at - segment.at);
        part(from..from + (end - at), segment.copied);
        at = end;
        number += 1;
    }
    // What is asked for next mostly begins where this ended.
    cursor.set(number - 1);
}

impl<M> Version<'_, M> {
    /// Tells the bytes on either side of borders that are open. They come from all over the base: to ask
    /// for all of them before anything depends on one lets the processor wait for many at once.
    #[inline]
    pub(super) fn beside(&self, tell: impl FnMut(u32, u8, u8)) {
        if self.base.rope.is_some() {
            return self.beside_each(|from, copied| self.one(from, copied), tell);
        }
        let (base, inserted): (&[u8], _) = (&self.base.bytes, self.delta.inserted);
        // Which of them are inserted nobody could foresee.
        let one = |from: u32, copied| {
            let bytes = if copied { base } else { inserted };
            bytes[from as usize]
        };
        self.beside_each(one, tell);
    }

    #[inline(always)]
    fn beside_each(&self, one: impl Fn(u32, bool) -> u8, mut tell: impl FnMut(u32, u8, u8)) {
        for &number in self.delta.open {
            let number = number as usize;
            let [before, behind] = [number - 1, number].map(|number| self.delta.segments[number]);
            let last = before.from + (behind.at - before.at) - 1;
            let (left, right) = (one(last, before.copied), one(behind.from, behind.copied));
            tell(number as u32, left, right);
        }
    }

    /// The byte before that one, if it is at hand.
    pub(super) fn second_before(&self, number: usize) -> Option<u8> {
        let Segment { at, from, copied } = self.delta.segments[number - 1];
        let second = (self.delta.segments[number].at - at).checked_sub(2)?;
        Some(self.one(from + second, copied))
    }

    /// The byte after the first one of segment `number`, if it is at hand.
    pub(super) fn second(&self, number: usize) -> Option<u8> {
        let Segment { at, from, copied } = self.delta.segments[number];
        (self.delta.end(number) - at > 1).then(|| self.one(from + 1, copied))
    }

    #[inline]
    fn one(&self, from: u32, copied: bool) -> u8 {
        match copied {
            true => self.base.byte(from, self.cursors),
            false => self.delta.inserted[from as usize],
        }
    }

    /// Appends the bytes of `range`, which lies in the version, to `out`.
    pub(super) fn fetch(&self, range: Range<u32>, out: &mut Vec<u8>) {
        parts(self.delta, range, &self.cursors.version, |from, copied| {
            if !copied {
                return append(out, self.delta.inserted, from);
            }
            self.base.fetch(from, self.cursors, out);
        });
    }
}
