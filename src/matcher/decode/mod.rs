//! Keys in disguise. A decoder names the literals that OpenAI's marker becomes in its encoding,
//! and undoes the encoding around one of them, at most [`REACH`](super::REACH) bytes to either
//! side; the result is searched like any other text, so that encodings may be nested.
//!
//! A decoder is a file here and a line in [`DECODERS`].

mod base64;
mod deflated;
mod escapes;
mod hexadecimal;
mod wide;

use std::ops::Range;

/// All decoders.
pub(super) static DECODERS: &[&dyn Decoder] = &[
    &base64::Base64,
    &deflated::GZIP,
    &deflated::ZLIB,
    &hexadecimal::PAIRS,
    &hexadecimal::SPACED,
    &hexadecimal::ARRAY,
    &wide::UTF16,
    &wide::UTF32,
    &escapes::PERCENT,
    &escapes::HEX_ESCAPE,
    &escapes::UNICODE_ESCAPE,
    &escapes::OCTAL_ESCAPE,
    &escapes::DECIMAL_ENTITY,
    &escapes::HEX_ENTITY,
];

/// A literal that betrays an encoded marker.
pub(super) struct Trace {
    /// The bytes.
    pub(super) literal: Vec<u8>,
    /// For the decoder: how the literal lies in the encoding.
    pub(super) offset: usize,
}

/// The byte that each escape of an encoding begins with, and the last one, if that is always the
/// same.
#[derive(Clone, Copy)]
pub(super) struct Ends {
    pub(super) first: u8,
    pub(super) last: Option<u8>,
}

/// One encoding.
pub(super) trait Decoder: Sync {
    /// The word that findings use.
    fn name(&self) -> &'static str;
    /// What the marker looks like in it.
    fn traces(&self, marker: &[u8]) -> Vec<Trace>;
    /// Undoes it around a trace that stands at `at` of `window`.
    fn decode(&self, window: &[u8], at: usize, offset: usize) -> Decoded;
    /// What its escapes begin and end with, if only parts of a text may be in this encoding, so that
    /// a marker in plain sight can stand between characters that are not.
    fn mixes(&self) -> Option<Ends> {
        None
    }
    /// Whether a text that was read so, from these bytes of its window, was read as a trace at `at`
    /// asks for: digits and letters may be read from another place on and then say something else.
    fn reads_alike(&self, from: &[Range<u32>], at: usize, offset: usize) -> bool {
        let unit = at.checked_sub(offset).map(|start| start as u32);
        unit.is_some_and(|start| from.binary_search_by_key(&start, |f| f.start).is_ok())
    }
}

/// A decoded stretch of a window.
#[derive(Debug, Default)]
pub(super) struct Decoded {
    /// What it says.
    pub(super) bytes: Vec<u8>,
    /// For each byte, which bytes of the window it was made from; one range if all were made from
    /// all of it.
    pub(super) from: Vec<Range<u32>>,
    /// What was looked at: the stretch and the bytes that ended it.
    pub(super) looked: Range<usize>,
    /// Whether the encoding ends there, and was not only left to be undone.
    pub(super) ended: bool,
    /// Whether it goes on behind what was undone, although the window does, too.
    pub(super) goes_on: bool,
    /// What else was undone on the way.
    pub(super) then: Option<&'static str>,
}

impl Decoded {
    /// The bytes of the window that a range of the decoded bytes was made from.
    pub(super) fn span(&self, of: &Range<usize>) -> Range<usize> {
        match &self.from[..] {
            [all] => all.start as usize..all.end as usize,
            each => each[of.start].start as usize..each[of.end - 1].end as usize,
        }
    }
}

/// Reads units to the right and to the left of a place, where each stands for one byte.
///
/// `after` and `before` say what the unit that begins or ends there stands for, and how long it is.
fn units(
    window: &[u8],
    at: usize,
    after: impl Fn(usize) -> Option<(u8, usize)>,
    before: impl Fn(usize) -> Option<(u8, usize)>,
) -> Decoded {
    let (mut start, mut end) = (at, at);
    let mut left = Vec::with_capacity(window.len());
    while let Some((byte, length)) = before(start).filter(|(_, n)| (1..=start).contains(n)) {
        left.push((byte, (start - length) as u32..start as u32));
        start -= length;
    }
    left.reverse();
    while let Some((byte, length)) = after(end).filter(|(_, n)| *n > 0 && end + n <= window.len()) {
        left.push((byte, end as u32..(end + length) as u32));
        end += length;
    }
    let (bytes, from) = left.into_iter().unzip();
    // The longest unit is 10 bytes: that much of what follows had a say in where it ends.
    Decoded {
        bytes,
        from,
        looked: start.saturating_sub(10)..end + 10,
        // The window was long enough for all of it.
        ended: end + 10 < window.len(),
        goes_on: false,
        then: None,
    }
}

/// The value of two hexadecimal digits.
fn hex_pair(digits: &[u8]) -> Option<u8> {
    let value = |d: u8| (d as char).to_digit(16);
    match digits {
        [high, low] => Some((value(*high)? * 16 + value(*low)?) as u8),
        _ => None,
    }
}
