//! A window that slides over a blob: as much behind as an examination may look back, as much ahead
//! as is unsettled, and the count of lines that have left it.

use std::io::{self, Read};

use super::packed::{HEAD, is_packed};
use super::{Buffers, Found, LINE_WITHIN};
use crate::matcher::{Hit, Matcher, REACH, Recent, Text};

/// How much is read at once. Small enough to stay in the second-level cache until it is searched.
const BLOCK: usize = 128 << 10;

/// What stays behind the unsettled part: the reach of an examination, and the line around a key.
const BEHIND: usize = REACH + LINE_WITHIN;

pub(super) struct Slider<'a> {
    matcher: &'a Matcher,
    buffer: &'a mut Vec<u8>,
    hits: &'a mut Vec<Hit>,
    filled: usize,
    /// Offset in the blob of the buffer's first byte.
    base: u64,
    /// The first place in the buffer whose anchors were not examined.
    from: usize,
    lines: Lines,
    recent: Recent,
    packed: bool,
}

/// Where lines begin, counted up to a place in the blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lines {
    /// Line feeds since the place where the count began; negative before it.
    pub(super) before: i64,
    /// Offset in the blob where the line begins, if that was seen.
    pub(super) start: Option<u64>,
}

impl Lines {
    /// At the start of a blob.
    pub(super) const FIRST: Self = Self {
        before: 0,
        start: Some(0),
    };

    /// Goes on over `bytes`, which begin at `base`.
    pub(super) fn pass(&mut self, bytes: &[u8], base: u64) {
        if let Some(last) = memchr::memrchr(b'\n', bytes) {
            self.before += memchr::memchr_iter(b'\n', &bytes[..last]).count() as i64 + 1;
            self.start = Some(base + last as u64 + 1);
        }
    }
}

impl<'a> Slider<'a> {
    pub(super) fn new(matcher: &'a Matcher, buffers: &'a mut Buffers) -> Self {
        Self::resume(matcher, buffers, 0, &[])
    }

    /// A window that begins at `start` of the blob; `behind` is what stands right before it, there
    /// only to be looked back at. Lines are counted from `start`.
    pub(super) fn resume(
        matcher: &'a Matcher,
        buffers: &'a mut Buffers,
        start: u64,
        behind: &[u8],
    ) -> Self {
        buffers.bytes.resize(BEHIND + REACH + BLOCK, 0);
        buffers.bytes[..behind.len()].copy_from_slice(behind);
        buffers.hits.clear();
        let mut lines = Lines::FIRST;
        if start > 0 {
            let back = memchr::memchr_iter(b'\n', behind).count() as i64;
            lines = Lines {
                before: -back,
                start: None,
            };
        }
        Self {
            matcher,
            buffer: &mut buffers.bytes,
            hits: &mut buffers.hits,
            filled: behind.len(),
            base: start - behind.len() as u64,
            from: behind.len(),
            lines,
            recent: Recent::default(),
            packed: false,
        }
    }

    /// As if nothing was read.
    pub(super) fn restart(&mut self) {
        (self.filled, self.base, self.from) = (0, 0, 0);
        self.lines = Lines::FIRST;
        self.recent = Recent::default();
        self.packed = false;
    }

    /// The last bytes that were read, at most so many.
    pub(super) fn tail(&self, most: usize) -> &[u8] {
        &self.buffer[self.filled.saturating_sub(most)..self.filled]
    }

    /// Reads once, as much as there is room for. 0 means the end, as with any reader.
    pub(super) fn fill(&mut self, reader: &mut (impl Read + ?Sized)) -> io::Result<usize> {
        if self.buffer.len() - self.filled < BLOCK / 2 {
            let drop = self.from.min(self.filled).saturating_sub(BEHIND);
            self.lines.pass(&self.buffer[..drop], self.base);
            self.buffer.copy_within(drop..self.filled, 0);
            self.filled -= drop;
            self.from -= drop;
            self.base += drop as u64;
        }
        let read = reader.read(&mut self.buffer[self.filled..])?;
        let had = self.base + self.filled as u64;
        self.filled += read;
        if had < HEAD as u64 {
            self.packed = self.base == 0 && is_packed(&self.buffer[..self.filled]);
        }
        Ok(read)
    }

    /// What was read so far of a blob that is not searched yet.
    pub(super) fn so_far(&self) -> &[u8] {
        &self.buffer[..self.filled]
    }

    /// Whether what was read began like a compressed file.
    pub(super) fn is_packed(&self) -> bool {
        self.packed
    }

    /// Searches what is at hand and not settled.
    pub(super) fn search(&mut self, found: &mut dyn FnMut(Found)) {
        self.search_until(usize::MAX, false, found);
    }

    /// Searches what is at hand as if the blob ended there, and goes on from the same place later.
    pub(super) fn search_so_far(&mut self, found: &mut dyn FnMut(Found)) {
        let from = self.from;
        self.search_until(usize::MAX, true, found);
        self.from = from;
    }

    /// Searches the rest, and returns where the blob ends.
    pub(super) fn finish(mut self, found: &mut dyn FnMut(Found)) -> u64 {
        self.search_until(usize::MAX, true, found);
        self.base + self.filled as u64
    }

    /// Offset in the blob where the buffer's bytes end.
    pub(super) fn end(&self) -> u64 {
        self.base + self.filled as u64
    }

    /// Searches for anchors that begin before `until` (an offset in the blob); `ends` says that
    /// the blob ends with the buffer.
    pub(super) fn search_before(&mut self, until: u64, ends: bool, found: &mut dyn FnMut(Found)) {
        let until = until.saturating_sub(self.base).min(usize::MAX as u64) as usize;
        self.search_until(until, ends, found);
    }

    fn search_until(&mut self, until: usize, ends: bool, found: &mut dyn FnMut(Found)) {
        let bytes = &self.buffer[..self.filled];
        let until = until.min(self.filled);
        if self.from >= until {
            return;
        }
        let text = Text {
            bytes,
            starts: self.base == 0,
            ends,
        };
        self.from = self.matcher.search(text, self.from..until, self.hits);
        if !self.hits.is_empty() {
            let mut place = Placing {
                bytes,
                base: self.base,
                lines: self.lines,
                passed: 0,
            };
            for hit in self.hits.drain(..) {
                let offset = self.base + hit.span.start as u64;
                if self.recent.is_new(offset, hit.span.len() as u64) {
                    found(place.found(self.matcher, hit));
                }
            }
        }
    }

    /// The lines up to `until`, an offset that has not left the window.
    pub(super) fn into_lines(mut self, until: u64) -> Lines {
        let within = (until.saturating_sub(self.base) as usize).min(self.filled);
        self.lines.pass(&self.buffer[..within], self.base);
        self.lines
    }
}

/// A blob that is all at hand.
pub(super) fn search_whole(matcher: &Matcher, bytes: &[u8], found: &mut dyn FnMut(Found)) {
    let mut place = Placing {
        bytes,
        base: 0,
        lines: Lines::FIRST,
        passed: 0,
    };
    for hit in matcher.search_all(bytes) {
        found(place.found(matcher, hit));
    }
}

/// Finds the lines of hits that come in order, without counting from the start for each.
struct Placing<'a> {
    bytes: &'a [u8],
    base: u64,
    lines: Lines,
    passed: usize,
}

impl Placing<'_> {
    fn found(&mut self, matcher: &Matcher, hit: Hit) -> Found {
        let start = hit.span.start;
        let offset = self.base + start as u64;
        let mut lines = self.lines;
        if start >= self.passed {
            lines.pass(
                &self.bytes[self.passed..start],
                self.base + self.passed as u64,
            );
            (self.lines, self.passed) = (lines, start);
        } else {
            // A value before one that was placed already (found from an anchor behind both).
            let back = memchr::memchr_iter(b'\n', &self.bytes[start..self.passed]).count() as i64;
            lines.before -= back;
            lines.start = match memchr::memrchr(b'\n', &self.bytes[..start]) {
                Some(last) => Some(self.base + last as u64 + 1),
                None if back > 0 => (self.base == 0).then_some(0),
                None => lines.start,
            };
        }
        let from = start.saturating_sub(LINE_WITHIN);
        let from =
            memchr::memrchr(b'\n', &self.bytes[from..start]).map_or(from, |at| from + at + 1);
        let to = (hit.span.end + LINE_WITHIN).min(self.bytes.len());
        let to =
            memchr::memchr(b'\n', &self.bytes[hit.span.end..to]).map_or(to, |at| hit.span.end + at);
        let key = start - from..hit.span.end - from;
        let place = (
            lines.before + 1,
            lines.start.map(|start| offset - start + 1),
        );
        Found::new(matcher, hit, offset, place, &self.bytes[from..to], key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{Rules, Template};
    use proptest::prelude::*;

    /// Gives out the bytes in pieces of the given sizes, again and again.
    struct Pieces<'a>(&'a [u8], Vec<usize>, usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
            let most = self.1[self.2 % self.1.len()].max(1);
            self.2 += 1;
            let n = most.min(to.len()).min(self.0.len());
            to[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    fn places(mut run: impl FnMut(&mut dyn FnMut(Found))) -> Vec<(u64, u64, u64, String)> {
        let mut out = Vec::new();
        run(&mut |f: Found| out.push((f.offset, f.line, f.column, f.hit.fingerprint.to_string())));
        out
    }

    #[test]
    fn a_key_is_handed_on_before_the_stream_ends() {
        let key = Template::parse("sk-proj-{long:74,74}").unwrap().fill(3).key;
        let text = format!("a\nb {key}\n");
        let matcher = Matcher::shared();
        let mut buffers = Buffers::default();
        let mut slider = Slider::new(matcher, &mut buffers);
        slider.fill(&mut text.as_bytes()).unwrap();
        let found = places(|out| slider.search(out));
        assert_eq!(
            found.iter().map(|f| (f.0, f.1, f.2)).collect::<Vec<_>>(),
            [(4, 2, 3)]
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn streams_find_what_the_whole_blob_holds(
            parts in proptest::collection::vec((0u64..300, 0usize..12, 0usize..90_000, any::<bool>()), 1..8),
            sizes in proptest::collection::vec(1usize..70_000, 1..5),
        ) {
            let matcher = Matcher::shared();
            let templates: Vec<_> = Rules::built_in().iter().flat_map(|r| r.must_match.clone()).collect();
            let mut blob = Vec::new();
            for (seed, which, gap, lines) in parts {
                let unit: &[u8] = if lines { b"some words of a line\n" } else { b"one long line that never ends " };
                blob.extend(unit.iter().copied().cycle().take(gap));
                blob.extend_from_slice(templates[which % templates.len()].fill(seed).text.as_bytes());
            }
            let whole = places(|out| search_whole(matcher, &blob, out));
            let streamed = places(|out| {
                let mut buffers = Buffers::default();
                let pieces = Pieces(&blob, sizes.clone(), 0);
                let seen = super::super::stream(matcher, pieces, &mut buffers, &|| true, out);
                assert_eq!(seen.bytes, blob.len() as u64);
                seen.result.unwrap();
            });
            prop_assert_eq!(whole, streamed);
        }
    }
}
