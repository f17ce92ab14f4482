//! gzip and zlib inside base64: what is compressed and then put into JSON, YAML or a program.
//!
//! Compressed data has no trace of a marker, so its header is one: RFC 1952 (2.3.1) begins gzip with
//! `1f 8b 08`, RFC 1950 (2.2) zlib with `78 9c` at the usual level. Both stand at the start of the
//! base64, so there is one face of each. zlib's has three characters that are certain, which is too
//! few for a trace, so the quote before it is one of them. What looks like a header is tried, and a
//! bounded beginning of it is searched.

use std::io::Read;

use flate2::bufread::{GzDecoder, ZlibDecoder};

use super::{Decoded, Decoder, Trace, base64};
use crate::matcher::looks;

/// A compressed form.
pub(in crate::matcher) struct Deflated {
    name: &'static str,
    /// What its base64 begins with.
    traces: &'static [&'static str],
    /// How much of a trace stands before the base64.
    lead: usize,
}

/// `H4sI…`
pub(in crate::matcher) static GZIP: Deflated = Deflated {
    name: "gzip",
    traces: &["H4sI"],
    lead: 0,
};

/// `"eJw…`: the last two bits of the third character belong to what follows the header.
pub(in crate::matcher) static ZLIB: Deflated = Deflated {
    name: "zlib",
    traces: &[
        "\"eJw", "\"eJx", "\"eJy", "\"eJz", "'eJw", "'eJx", "'eJy", "'eJz",
    ],
    lead: 1,
};

/// No key, compressed, has fewer characters.
const SHORTEST: usize = 56;

/// How much of what comes out is searched, and how often as long as what goes in it may be: text
/// shrinks to a third or a tenth, and what shrinks to less is made to waste time.
const MOST_OUT: usize = 64 << 10;
const MOST_RATIO: usize = 32;

impl Decoder for Deflated {
    fn name(&self) -> &'static str {
        "base64"
    }

    fn traces(&self, _marker: &[u8]) -> Vec<Trace> {
        let traces = self.traces.iter().map(|literal| Trace {
            literal: literal.as_bytes().to_vec(),
            offset: self.lead,
        });
        traces.collect()
    }

    fn decode(&self, window: &[u8], at: usize, offset: usize) -> Decoded {
        let start = at + offset;
        let before = &window[..start];
        let nothing = Decoded {
            looked: at.saturating_sub(16)..start + SHORTEST,
            ..Decoded::default()
        };
        if !looks::starts_a_word(&before[before.len().saturating_sub(16)..]) {
            return nothing;
        }
        let (digits, end) = base64::digits(window, start, SHORTEST);
        let nothing = Decoded {
            looked: at.saturating_sub(16)..end + 66,
            ..nothing
        };
        if digits.len() < SHORTEST || !self.begins(&base64::bytes(&digits).0) {
            return nothing;
        }
        let (digits, end) = base64::digits(window, start, window.len());
        let looked = at.saturating_sub(16)..end + 66;
        let (packed, _) = base64::bytes(&digits);
        let mut bytes = vec![0; (packed.len() * MOST_RATIO).min(MOST_OUT)];
        let count = match self.name {
            "gzip" => fill(GzDecoder::new(&packed[..]), &mut bytes),
            _ => fill(ZlibDecoder::new(&packed[..]), &mut bytes),
        };
        bytes.truncate(count);
        Decoded {
            bytes,
            looked,
            from: std::iter::once(start as u32..end as u32).collect(),
            ended: true,
            // What lies beyond has no anchors of its own: a key that is cut there is told as it is.
            goes_on: false,
            then: Some(self.name),
        }
    }
}

impl Deflated {
    /// Whether a header and a block of deflate can begin so: in gzip's, three flags are reserved, and
    /// the byte for the level has three values that are in use (RFC 1952, 2.3.1); of the four kinds
    /// of blocks one is reserved, and a stored one has its length twice (RFC 1951, 3.2.3 and 3.2.4).
    fn begins(&self, bytes: &[u8]) -> bool {
        let block = match (self.name, bytes) {
            ("gzip", [_, _, _, flags, _, _, _, _, 0 | 2 | 4, _, block @ ..]) => match flags {
                0 => block,
                // Names and the like come first.
                flags => return flags & 0xe0 == 0,
            },
            ("zlib", [_, _, block @ ..]) => block,
            _ => return false,
        };
        match block {
            [first, a, b, not_a, not_b, ..] if first & 6 == 0 => *a == !not_a && *b == !not_b,
            [first, ..] => first & 6 != 6,
            [] => false,
        }
    }
}

/// Reads as much as there is, up to what is damaged or cut off.
fn fill(mut reader: impl Read, to: &mut [u8]) -> usize {
    let mut filled = 0;
    while filled < to.len() {
        match reader.read(&mut to[filled..]) {
            Ok(count @ 1..) => filled += count,
            _ => break,
        }
    }
    filled
}
