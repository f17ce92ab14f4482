//! Escapes that stand for one character each, as URLs, JSON, programs and HTML write them. Plain
//! characters of a key may stand between them.

use super::{Decoded, Decoder, Ends, Trace, hex_pair, units};
use crate::rules::Alphabet;

/// One way to write a character.
pub(in crate::matcher) struct Escape {
    name: &'static str,
    /// The escape of a byte.
    write: fn(u8) -> String,
    /// What the escape at the start of these bytes stands for, and how long it is.
    read: fn(&[u8]) -> Option<(u8, usize)>,
    /// What each escape begins with.
    first: u8,
}

/// The longest escape, `&#x0054;`, and a little.
const LONGEST: usize = 10;

/// How many backslashes more than one an escape may begin with: JSON in JSON in JSON has three.
const MOST_SLASHES: usize = 3;

/// `%54`
pub(in crate::matcher) static PERCENT: Escape = Escape {
    name: "percent",
    write: |b| format!("%{b:02X}"),
    read: |bytes| fixed(bytes, b"%", 2, 16),
    first: b'%',
};

/// `\x54`
pub(in crate::matcher) static HEX_ESCAPE: Escape = Escape {
    name: "hex-escape",
    write: |b| format!("\\x{b:02x}"),
    read: |bytes| fixed(bytes, b"\\x", 2, 16),
    first: b'\\',
};

/// `\u0054`
pub(in crate::matcher) static UNICODE_ESCAPE: Escape = Escape {
    name: "unicode-escape",
    write: |b| format!("\\u{b:04x}"),
    read: |bytes| fixed(bytes, b"\\u00", 2, 16),
    first: b'\\',
};

/// `\124`
pub(in crate::matcher) static OCTAL_ESCAPE: Escape = Escape {
    name: "octal-escape",
    write: |b| format!("\\{b:03o}"),
    read: |bytes| fixed(bytes, b"\\", 3, 8),
    first: b'\\',
};

/// `&#84;`
pub(in crate::matcher) static DECIMAL_ENTITY: Escape = Escape {
    name: "html-entity",
    write: |b| format!("&#{b};"),
    read: |bytes| entity(bytes, b"&#", 10),
    first: b'&',
};

/// `&#x54;`
pub(in crate::matcher) static HEX_ENTITY: Escape = Escape {
    name: "html-entity",
    write: |b| format!("&#x{b:02x};"),
    read: |bytes| entity(bytes, b"&#x", 16),
    first: b'&',
};

/// A lead and so many digits.
fn fixed(bytes: &[u8], lead: &[u8], digits: usize, radix: u32) -> Option<(u8, usize)> {
    let digits_at = bytes.strip_prefix(lead)?.get(..digits)?;
    let value = match radix {
        16 => hex_pair(digits_at)?,
        _ => u8::from_str_radix(std::str::from_utf8(digits_at).ok()?, radix).ok()?,
    };
    Some((value, lead.len() + digits))
}

/// A lead, some digits and a semicolon.
fn entity(bytes: &[u8], lead: &[u8], radix: u32) -> Option<(u8, usize)> {
    let rest = bytes.strip_prefix(lead)?;
    let length = rest.iter().take(6).position(|b| *b == b';')?;
    let digits = std::str::from_utf8(&rest[..length]).ok()?;
    Some((
        u8::from_str_radix(digits, radix).ok()?,
        lead.len() + length + 1,
    ))
}

impl Decoder for Escape {
    fn name(&self) -> &'static str {
        self.name
    }

    fn traces(&self, marker: &[u8]) -> Vec<Trace> {
        // Two characters in a row, without the byte that every escape of the language begins
        // with. The marker's first two have no letters among their digits, so case is no matter.
        let text = format!("{}{}", (self.write)(marker[0]), (self.write)(marker[1]));
        let cut = usize::from(self.first != b'%' && self.name != "octal-escape");
        let end = text.len() - usize::from(text.ends_with(';'));
        let mut traces = vec![Trace {
            literal: text.as_bytes()[cut..end].to_vec(),
            offset: cut,
        }];
        if self.first == b'%' {
            // A URL within a URL: `%2554%2533`.
            let literal = text.replace('%', "%25").as_bytes()[..6].to_vec();
            traces.push(Trace { literal, offset: 0 });
        }
        traces
    }

    fn decode(&self, window: &[u8], at: usize, offset: usize) -> Decoded {
        let start = at.saturating_sub(offset);
        let is_plain = window
            .get(start)
            .is_some_and(|b| Alphabet::Base64url.has(*b));
        if is_plain && offset > 0 {
            // What the trace leaves out of its escape is not there.
            return Decoded {
                looked: start..at,
                ..Decoded::default()
            };
        }
        let plain = |b: u8| Alphabet::Base64url.has(b).then_some((b, 1));
        // JSON in JSON escapes the backslash of an escape.
        let more = |slashes: usize| match self.first {
            b'\\' => slashes.min(MOST_SLASHES),
            _ => 0,
        };
        let slashes = |b: &&u8| **b == b'\\';
        let after = |start: usize| {
            let rest = &window[start.min(window.len())..];
            let skipped = more(rest.iter().take_while(slashes).count().saturating_sub(1));
            let escape = (self.read)(&rest[skipped..]).map(|(b, n)| (b, n + skipped));
            escape.or_else(|| plain(*rest.first()?))
        };
        let before = |end: usize| {
            let from = end.saturating_sub(LONGEST);
            let escape = window[from..end]
                .iter()
                .rposition(|b| *b == self.first)
                .and_then(|at| {
                    let start = from + at;
                    let skipped = more(window[..start].iter().rev().take_while(slashes).count());
                    let read = (self.read)(&window[start..end]);
                    read.filter(|(_, n)| start + n == end)
                        .map(|(b, n)| (b, n + skipped))
                });
            escape.or_else(|| plain(window[end.checked_sub(1)?]))
        };
        units(window, start, after, before)
    }

    fn mixes(&self) -> Option<Ends> {
        Some(Ends {
            first: self.first,
            last: (self.first == b'&').then_some(b';'),
        })
    }
}
