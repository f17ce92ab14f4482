//! The dictionary before a PDF's stream, as far as it says how the stream is to be read.

use std::borrow::Cow;

use memchr::memmem;

/// An object from its number on, up to its stream.
pub(super) struct Dictionary<'a> {
    number: &'a [u8],
    text: &'a [u8],
}

impl<'a> Dictionary<'a> {
    /// `before` is what stands before the word `stream`; `None` if no dictionary ends there.
    pub(super) fn before(before: &'a [u8]) -> Option<Self> {
        let text = before.trim_ascii_end().strip_suffix(b">>")?;
        let object = memmem::rfind(text, b"obj");
        let (head, text) = match object {
            Some(at) => (&text[..at], &text[at + 3..]),
            None => (&text[..0], text),
        };
        // `12 0 ` stands before it.
        let head = head.trim_ascii_end();
        let is_part = |byte: &u8| byte.is_ascii_digit() || *byte == b' ';
        let from = head.iter().rposition(|byte| !is_part(byte));
        let number = &head[from.map_or(0, |at| at + 1)..];
        Some(Self {
            number: number.trim_ascii(),
            text,
        })
    }

    /// The object's numbers, such as `12 0`; empty if it has none.
    pub(super) fn object(&self) -> &'a [u8] {
        self.number
    }

    /// How long the stream says it is; `None` if another object says it.
    pub(super) fn length(&self) -> Option<u64> {
        number(self.text, b"/Length").ok().flatten()
    }

    /// Its filters, the first to be undone first. `None` if another object names them.
    pub(super) fn filters(&self) -> Option<Vec<Filter<'a>>> {
        let Some(value) = value(self.text, b"/Filter") else {
            return Some(Vec::new());
        };
        if value.first().is_some_and(u8::is_ascii_digit) {
            return None;
        }
        let (names, most) = match value.strip_prefix(b"[") {
            Some(rest) => (before(rest, b"]"), usize::MAX),
            None => (value, 1),
        };
        let names = names.split(|b| *b == b'/').skip(1).take(most).enumerate();
        let filters = names.map(|(n, text)| Filter {
            name: name(text),
            parameters: self.parameters(n),
        });
        Some(filters.collect())
    }

    /// What its filter of this number needs to know; `None` if another object tells it.
    pub(super) fn parameters(&self, number: usize) -> Option<Parameters> {
        let keys = [&b"/DecodeParms"[..], b"/DP"];
        let Some(given) = keys.iter().find_map(|key| value(self.text, key)) else {
            return Some(Parameters::default());
        };
        // Without brackets it is the first filter's.
        let mut left = given.strip_prefix(b"[").unwrap_or(given);
        for at in 0..=number {
            left = left.trim_ascii_start();
            let text = match left.strip_prefix(b"<<") {
                Some(rest) => before(rest, b">>"),
                None if left.starts_with(b"null") => b"",
                // A reference to an object: where the next one begins does not matter.
                None if left.first().is_some_and(u8::is_ascii_digit) => return None,
                None => break,
            };
            if at == number {
                return Parameters::of(text);
            }
            left = left.get(text.len() + 4..).unwrap_or_default();
        }
        Some(Parameters::default())
    }
}

/// One of the filters that a stream went through.
pub(super) struct Filter<'a> {
    pub(super) name: Cow<'a, [u8]>,
    /// `None` if another object holds them.
    pub(super) parameters: Option<Parameters>,
}

/// What `DecodeParms` says (ISO 32000-1, table 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parameters {
    pub(super) predictor: u64,
    pub(super) colors: u64,
    /// For each of a pixel's colours.
    pub(super) bits: u64,
    /// How many pixels a row has.
    pub(super) columns: u64,
    /// Whether LZW's codes grow one early.
    pub(super) early_change: bool,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            predictor: 1,
            colors: 1,
            bits: 8,
            columns: 1,
            early_change: true,
        }
    }
}

impl Parameters {
    fn of(text: &[u8]) -> Option<Self> {
        let usual = Self::default();
        let or = |key, usual| number(text, key).ok().map(|given| given.unwrap_or(usual));
        Some(Self {
            predictor: or(b"/Predictor", usual.predictor)?,
            colors: or(b"/Colors", usual.colors)?,
            bits: or(b"/BitsPerComponent", usual.bits)?,
            columns: or(b"/Columns", usual.columns)?,
            early_change: or(b"/EarlyChange", 1)? != 0,
        })
    }
}

/// A text up to what ends it, or all of it.
fn before<'a>(text: &'a [u8], end: &[u8]) -> &'a [u8] {
    &text[..memmem::find(text, end).unwrap_or(text.len())]
}

/// The name that a text begins with, behind its slash; `#2F` stands for a byte.
fn name(text: &[u8]) -> Cow<'_, [u8]> {
    let ends = |b: &u8| b.is_ascii_whitespace() || b"\0()<>[]{}/%".contains(b);
    let text = &text[..text.iter().position(ends).unwrap_or(text.len())];
    if !text.contains(&b'#') {
        return Cow::Borrowed(text);
    }
    let mut name = Vec::new();
    let mut left = text;
    while let [first, rest @ ..] = left {
        let digit = |at: usize| char::from(*rest.get(at)?).to_digit(16);
        let escaped = (*first == b'#').then(|| Some(digit(0)? << 4 | digit(1)?));
        match escaped.flatten() {
            Some(byte) => {
                name.push(byte as u8);
                left = &rest[2..];
            }
            None => {
                name.push(*first);
                left = rest;
            }
        }
    }
    Cow::Owned(name)
}

/// What follows a key in a dictionary.
fn value<'a>(text: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let found = memmem::find_iter(text, key).map(|at| &text[at + key.len()..]);
    // `/Length1` is another key.
    let mut whole = found.filter(|rest| !rest.first().is_some_and(u8::is_ascii_alphanumeric));
    whole.next().map(<[u8]>::trim_ascii_start)
}

/// A number in a dictionary, if it has this key.
///
/// # Errors
/// Another object holds it, or it is none.
fn number(text: &[u8], key: &[u8]) -> Result<Option<u64>, Elsewhere> {
    let Some(value) = value(text, key) else {
        return Ok(None);
    };
    let number = integer(value).ok_or(Elsewhere)?;
    let digits = value.iter().take_while(|b| b.is_ascii_digit()).count();
    // `12 0 R` names another object.
    let rest = value[digits..].trim_ascii_start();
    match rest.first().is_some_and(u8::is_ascii_digit) {
        true => Err(Elsewhere),
        false => Ok(Some(number)),
    }
}

/// Something is not where it is looked for.
struct Elsewhere;

/// Whether a dictionary has this key.
pub(super) fn has_key(text: &[u8], key: &[u8]) -> bool {
    value(text, key).is_some()
}

/// The number that a text begins with.
pub(super) fn integer(text: &[u8]) -> Option<u64> {
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    std::str::from_utf8(&text[..digits]).ok()?.parse().ok()
}
