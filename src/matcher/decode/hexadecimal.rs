//! Hexadecimal: digits in a row, pairs between spaces or colons, and arrays of `0x54, 0x33`.

use super::{Decoded, Decoder, Trace, hex_pair, units};

/// Pairs of digits, and what stands between two of them.
pub(in crate::matcher) struct Hexadecimal {
    name: &'static str,
    /// What comes before each pair.
    lead: &'static [u8],
    /// What may stand between two; `None` for nothing.
    between: Option<fn(u8) -> bool>,
    /// How that may look, in traces.
    usual: &'static [&'static str],
}

/// `5433426c`
pub(in crate::matcher) static PAIRS: Hexadecimal = Hexadecimal {
    name: "hex",
    lead: b"",
    between: None,
    usual: &[""],
};

/// `54 33 42 6c`, `54:33:42:6c`
pub(in crate::matcher) static SPACED: Hexadecimal = Hexadecimal {
    name: "hex",
    lead: b"",
    between: Some(|b| b" :-\r\n\t".contains(&b)),
    usual: &[" ", ":"],
};

/// `0x54, 0x33, 0x42`
pub(in crate::matcher) static ARRAY: Hexadecimal = Hexadecimal {
    name: "hex-array",
    lead: b"0x",
    between: Some(|b| b", \r\n\t".contains(&b)),
    usual: &[","],
};

impl Decoder for Hexadecimal {
    fn name(&self) -> &'static str {
        self.name
    }

    fn traces(&self, marker: &[u8]) -> Vec<Trace> {
        // OpenAI's marker begins with three bytes and a half that have no letters in hexadecimal:
        // one trace for both cases.
        let digits = format!(
            "{:02x}{:02x}{:02x}{:02x}",
            marker[0], marker[1], marker[2], marker[3]
        );
        let pairs: Vec<&str> =
            [&digits[0..2], &digits[2..4], &digits[4..6], &digits[6..7]].to_vec();
        let lead = std::str::from_utf8(self.lead).expect("a constant of this file");
        self.usual
            .iter()
            .map(|between| {
                let text = pairs.join(&format!("{between}{lead}"));
                // An array's first member and its comma are rare enough.
                let literal = match lead {
                    "" => text,
                    _ => format!("{lead}{}{between}", pairs[0]),
                };
                Trace {
                    literal: literal.into_bytes(),
                    offset: 0,
                }
            })
            .collect()
    }

    fn decode(&self, window: &[u8], at: usize, _offset: usize) -> Decoded {
        let between = |b: &u8| self.between.is_some_and(|f| f(*b));
        let unit = self.lead.len() + 2;
        let pair = |start: usize| {
            let pair = window.get(start..start + unit)?;
            hex_pair(pair.strip_prefix(self.lead)?)
        };
        // What stands between belongs to the unit before it.
        let gap = |end: usize| {
            window[end..]
                .iter()
                .take(8)
                .take_while(|b| between(b))
                .count()
        };
        let after = |start: usize| pair(start).map(|byte| (byte, unit + gap(start + unit)));
        let before = |end: usize| {
            let gap = window[..end]
                .iter()
                .rev()
                .take(8)
                .take_while(|b| between(b))
                .count();
            let start = end.checked_sub(gap + unit)?;
            if self.between.is_some() && gap == 0 {
                return None;
            }
            pair(start).map(|byte| (byte, gap + unit))
        };
        units(window, at, after, before)
    }
}
