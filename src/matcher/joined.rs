//! A key that was cut in pieces: wrapped at any column, a sum of string literals, continued lines,
//! a folded value. The pieces are put together around a half of the marker that is whole; what
//! comes out must be exact, since everything else about it is guessed.

use std::ops::Range;

use super::marked::{Family, LONGEST_SIDE};
use crate::rules::Alphabet;

/// How many bytes may stand between two pieces.
const LONGEST_GAP: usize = 64;

/// How many pieces a side may have.
const MOST_PIECES: usize = 24;

/// The pieces around a place, joined.
#[derive(Debug, Default)]
pub(super) struct Joined {
    pub(super) bytes: Vec<u8>,
    /// For each byte, where it stood.
    pub(super) at: Vec<u32>,
    /// Where in `bytes` pieces end.
    ends: Vec<usize>,
    /// What was looked at.
    pub(super) looked: Range<usize>,
}

/// What may stand between two pieces of a key: white space, quotes, operators, brackets of a join,
/// a comment's or a quotation's mark at a line's start, an escaped line break.
fn gap_after(window: &[u8], at: usize) -> Option<usize> {
    let (mut n, mut parts) = (0, false);
    while n <= LONGEST_GAP {
        let rest = &window[at + n..];
        n += match rest {
            [b'\\', b'n' | b'r' | b't', ..] => {
                parts = true;
                2
            }
            [b, ..] if parts_pieces(*b) => {
                parts = true;
                1
            }
            [b'=', after @ ..] if ends_line(after) => 1,
            [b, ..] if joins_pieces(*b) => 1,
            _ => break,
        };
    }
    (parts && n <= LONGEST_GAP).then_some(n)
}

/// The same, for a gap that ends at `at`.
fn gap_before(window: &[u8], at: usize) -> Option<usize> {
    let (mut n, mut parts) = (0, false);
    while n <= LONGEST_GAP {
        n += match &window[..at - n] {
            [.., b'\\', b'n' | b'r' | b't'] => {
                parts = true;
                2
            }
            [.., b] if parts_pieces(*b) => {
                parts = true;
                1
            }
            [.., b'='] if ends_line(&window[at - n..]) => 1,
            [.., b] if joins_pieces(*b) => 1,
            _ => break,
        };
    }
    (parts && n <= LONGEST_GAP).then_some(n)
}

/// What ends a piece: nobody writes a key with a line break or a quote in it.
fn parts_pieces(byte: u8) -> bool {
    b"\r\n\"'`".contains(&byte)
}

/// What else may stand in a gap.
fn joins_pieces(byte: u8) -> bool {
    b" \t+.,\\&|()[]${}#/>*".contains(&byte)
}

/// Whether a line ends there, escaped or not: before it, an equals sign is quoted-printable's soft
/// line break (RFC 2045, 6.7). Elsewhere it assigns, and the name before it is no piece of a key.
fn ends_line(rest: &[u8]) -> bool {
    matches!(rest, [b'\r' | b'\n', ..] | [b'\\', b'r' | b'n', ..])
}

impl Joined {
    /// Joins what stands around `at`.
    pub(super) fn around(window: &[u8], at: usize) -> Self {
        let is_key = |b: &u8| Alphabet::Base64url.has(*b);
        let mut left: Vec<(u8, u32)> = Vec::new();
        let mut borders = Vec::new();
        let mut start = at;
        while left.len() < LONGEST_SIDE && borders.len() < MOST_PIECES {
            let run = window[..start]
                .iter()
                .rev()
                .take_while(|b| is_key(b))
                .count()
                .min(LONGEST_SIDE);
            // The letter of an escaped line break is no part of the piece behind it.
            let escaped = run > 0
                && start > run
                && window[start - run - 1] == b'\\'
                && matches!(window[start - run], b'n' | b'r' | b't');
            let run = run - usize::from(escaped);
            left.extend((start - run..start).rev().map(|p| (window[p], p as u32)));
            start -= run;
            if run == 0 && !borders.is_empty() {
                break;
            }
            match gap_before(window, start) {
                Some(gap) => start -= gap,
                None => break,
            }
            borders.push(left.len());
        }
        left.reverse();
        let split = left.len();
        let mut all = left;
        let mut ends: Vec<usize> = borders.into_iter().map(|b| split - b).rev().collect();
        let mut end = at;
        while all.len() < split + LONGEST_SIDE && ends.len() < 2 * MOST_PIECES {
            let run = window[end..]
                .iter()
                .take_while(|b| is_key(b))
                .count()
                .min(LONGEST_SIDE);
            all.extend((end..end + run).map(|p| (window[p], p as u32)));
            end += run;
            ends.push(all.len());
            if run == 0 {
                break;
            }
            match gap_after(window, end) {
                Some(gap) => end += gap,
                None => break,
            }
        }
        let (bytes, at) = all.into_iter().unzip();
        Self {
            bytes,
            at,
            ends,
            looked: start.saturating_sub(LONGEST_GAP + 1)..end + LONGEST_GAP + 1,
        }
    }

    /// The key that the pieces make, around a marker that begins at `marker` of the window's byte
    /// `at`: only if it has a known length, ends where a piece ends, and holds more than one.
    pub(super) fn key(
        &self,
        family: &Family,
        at: usize,
        offset: usize,
    ) -> Option<(usize, Range<usize>)> {
        let here = self.at.iter().position(|p| *p as usize == at)?;
        let marker = here.checked_sub(offset)?;
        let behind = marker + family.marker().len();
        if self.bytes.get(marker..behind)? != family.marker() {
            return None;
        }
        let left = &self.bytes[marker.saturating_sub(LONGEST_SIDE)..marker];
        if !family.begins(left) {
            return None;
        }
        let shift = marker - left.len();
        self.ends
            .iter()
            .filter(|end| **end > behind)
            .find_map(|end| {
                let right = &self.bytes[behind..*end];
                let key = family.classify(left, right)?;
                let range = shift + key.start..behind + key.length;
                let cut = self.ends.iter().any(|e| range.start < *e && *e < range.end);
                (key.exact && key.length == right.len() && cut).then_some((key.rule, range))
            })
    }
}
