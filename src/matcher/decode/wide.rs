//! UTF-16 and UTF-32 of either byte order, at any alignment: characters with zeros between them.

use std::cell::Cell;

use super::{Decoded, Decoder, Trace, units};

/// Characters every so many bytes.
pub(in crate::matcher) struct Wide {
    name: &'static str,
    stride: usize,
    /// How many characters of the marker make a trace.
    traced: usize,
}

/// `T\0 3\0 B\0 l`: the zero before or behind a character, both orders hold this.
pub(in crate::matcher) static UTF16: Wide = Wide {
    name: "utf-16",
    stride: 2,
    traced: 4,
};

/// `T\0\0\0 3\0\0\0 B`
pub(in crate::matcher) static UTF32: Wide = Wide {
    name: "utf-32",
    stride: 4,
    traced: 3,
};

impl Decoder for Wide {
    fn name(&self) -> &'static str {
        self.name
    }

    fn traces(&self, marker: &[u8]) -> Vec<Trace> {
        let mut literal: Vec<u8> = Vec::new();
        for byte in &marker[..self.traced] {
            literal.push(*byte);
            literal.extend(std::iter::repeat_n(0, self.stride - 1));
        }
        literal.truncate(literal.len() - (self.stride - 1));
        vec![Trace { literal, offset: 0 }]
    }

    fn decode(&self, window: &[u8], at: usize, _offset: usize) -> Decoded {
        // A character and the zeros up to the next one; the last one's zeros may stand before it.
        let is_text = |b: u8| b.is_ascii_graphic() || matches!(b, b' ' | b'\t' | b'\r' | b'\n');
        let zeros = |from: usize| {
            window
                .get(from..from + self.stride - 1)
                .is_some_and(|gap| gap.iter().all(|b| *b == 0))
        };
        // Behind a character without its zeros (the last of a big-endian text) other bytes stand.
        let last = Cell::new(false);
        let after = |start: usize| {
            let byte = *window.get(start).filter(|byte| is_text(**byte))?;
            if last.get() {
                return None;
            }
            last.set(!zeros(start + 1));
            Some((byte, if last.get() { 1 } else { self.stride }))
        };
        let before = |end: usize| {
            let start = end.checked_sub(self.stride)?;
            (zeros(start + 1) && is_text(window[start])).then(|| (window[start], self.stride))
        };
        units(window, at, after, before)
    }
}
