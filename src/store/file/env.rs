//! `.env` files. Docker, Compose, systemd, shells and a library for each language read them, and
//! no two alike. So only what all of them agree on is touched: a name that is assigned once, and a
//! value without escapes, expansions or line breaks.

use std::ops::Range;

use super::{Found, Problem};
use crate::secret::Secret;

/// Bytes that mean something to one reader or another, wherever they stand.
const SPECIAL: &[u8] = b"\\$`\"'#;&|<>(){}*?!~";

pub(super) fn find(text: &[u8], key: &[String]) -> Result<Found, Problem> {
    let [key] = key else {
        return Err(Problem::Absent);
    };
    let mut values = assignments(text).filter(|(name, _)| &text[name.clone()] == key.as_bytes());
    let Some((_, span)) = values.next() else {
        return Err(Problem::Absent);
    };
    if values.next().is_some() {
        let reason = "the name is assigned more than once, and readers differ in which one counts";
        return Err(Problem::Unusable(reason.to_owned()));
    }
    let value = &text[span.clone()];
    if !value.iter().all(is_plain) {
        let reason = "the value has escapes, expansions, blanks or quotes in it, which readers understand differently";
        return Err(Problem::Unusable(reason.to_owned()));
    }
    if value.is_empty() {
        return Err(Problem::Unusable("the value is empty".to_owned()));
    }
    Ok(Found {
        value: Secret::new(value.to_vec()),
        span,
        write: |value| {
            let bytes = value.expose();
            (!bytes.is_empty() && bytes.iter().all(is_plain)).then(|| bytes.to_vec())
        },
    })
}

fn is_plain(byte: &u8) -> bool {
    byte.is_ascii_graphic() && !SPECIAL.contains(byte)
}

/// The names and the values (without quotes) of all assignments.
fn assignments(text: &[u8]) -> impl Iterator<Item = (Range<usize>, Range<usize>)> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < text.len() {
            let start = at;
            let end = line_end(text, start);
            at = end + 1;
            if let Some((name, value, next)) = assignment(text, start, end) {
                at = next;
                return Some((name, value));
            }
        }
        None
    })
}

fn line_end(text: &[u8], from: usize) -> usize {
    memchr::memchr(b'\n', &text[from..]).map_or(text.len(), |n| from + n)
}

fn skip_blanks(text: &[u8], mut at: usize, end: usize) -> usize {
    while at < end && matches!(text[at], b' ' | b'\t') {
        at += 1;
    }
    at
}

fn word(text: &[u8], start: usize, end: usize) -> Range<usize> {
    let is_name = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    let length = text[start..end].iter().take_while(|b| is_name(b)).count();
    start..start + length
}

/// The assignment in the line from `start` to `end`, and where the next line begins.
fn assignment(
    text: &[u8],
    start: usize,
    end: usize,
) -> Option<(Range<usize>, Range<usize>, usize)> {
    let mut name = word(text, skip_blanks(text, start, end), end);
    if &text[name.clone()] == b"export" {
        let after = skip_blanks(text, name.end, end);
        if after > name.end {
            name = word(text, after, end);
        }
    }
    let equals = skip_blanks(text, name.end, end);
    if name.is_empty() || equals >= end || text[equals] != b'=' {
        return None;
    }
    let value = skip_blanks(text, equals + 1, end);
    if let Some(quote @ (b'"' | b'\'')) = text.get(value).copied().filter(|_| value < end) {
        if let Some(close) = closing(text, value + 1, quote) {
            return Some((name, value + 1..close, line_end(text, close) + 1));
        }
    }
    let line = &text[value..end];
    // A comment begins with a blank and a number sign.
    let comment = (1..line.len()).find(|n| line[*n] == b'#' && line[n - 1].is_ascii_whitespace());
    let length = line[..comment.unwrap_or(line.len())].trim_ascii_end().len();
    Some((name, value..value + length, end + 1))
}

/// Where the quoted text that begins at `start` ends; it may have several lines.
fn closing(text: &[u8], start: usize, quote: u8) -> Option<usize> {
    let mut at = start;
    while at < text.len() {
        match text[at] {
            b'\\' if quote == b'"' => at += 1,
            b if b == quote => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}
