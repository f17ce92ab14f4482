//! JSON: the string at a path of names and, in lists, of numbers.

use std::ops::Range;

use super::{Found, Problem};
use crate::secret::Secret;

pub(in crate::store) fn find(text: &[u8], key: &[String]) -> Result<Found, Problem> {
    let unusable = |reason: &str| Problem::Unusable(reason.to_owned());
    // From here on it is known to be JSON, so that walking it is simple, and not too deep.
    let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok();
    let text = std::str::from_utf8(text).ok().filter(|_| is_json);
    let text = text.ok_or_else(|| unusable("it is no JSON"))?.as_bytes();
    let mut at = skip_blanks(text, 0);
    for name in key {
        at = step(text, at, name)?;
    }
    if text[at] != b'"' {
        return Err(unusable("what stands there is no string"));
    }
    let end = string_end(text, at);
    let value: String = serde_json::from_slice(&text[at..end])
        .map_err(|_| unusable("the string has half of a character in it"))?;
    Ok(Found {
        span: at + 1..end - 1,
        value: Secret::new(value.into()),
        write: |value| {
            let text = std::str::from_utf8(value.expose()).ok()?;
            let quoted = serde_json::to_string(text).ok()?;
            Some(quoted[1..quoted.len() - 1].into())
        },
    })
}

/// Where the member or the element `name` of the value at `at` begins.
fn step(text: &[u8], at: usize, name: &str) -> Result<usize, Problem> {
    let mut found: Option<usize> = None;
    match text[at] {
        b'{' => {
            for (key, value) in members(text, at) {
                let key: Option<String> = serde_json::from_slice(&text[key]).ok();
                if key.as_deref() != Some(name) {
                    continue;
                }
                if found.replace(value).is_some() {
                    let reason = format!("`{name}` stands there twice, and readers differ");
                    return Err(Problem::Unusable(reason));
                }
            }
        }
        b'[' => {
            let index: usize = name.parse().map_err(|_| Problem::Absent)?;
            found = elements(text, at).nth(index);
        }
        _ => {}
    }
    found.ok_or(Problem::Absent)
}

fn members(text: &[u8], object: usize) -> impl Iterator<Item = (Range<usize>, usize)> + '_ {
    let mut at = skip_blanks(text, object + 1);
    std::iter::from_fn(move || {
        if text[at] == b'}' {
            return None;
        }
        let key = at..string_end(text, at);
        let colon = skip_blanks(text, key.end);
        let value = skip_blanks(text, colon + 1);
        at = next(text, value);
        Some((key, value))
    })
}

fn elements(text: &[u8], list: usize) -> impl Iterator<Item = usize> + '_ {
    let mut at = skip_blanks(text, list + 1);
    std::iter::from_fn(move || {
        if text[at] == b']' {
            return None;
        }
        let value = at;
        at = next(text, value);
        Some(value)
    })
}

/// Behind the value at `at` and the comma that may follow.
fn next(text: &[u8], at: usize) -> usize {
    let end = skip_blanks(text, value_end(text, at));
    match text[end] {
        b',' => skip_blanks(text, end + 1),
        _ => end,
    }
}

fn skip_blanks(text: &[u8], mut at: usize) -> usize {
    while text.get(at).is_some_and(u8::is_ascii_whitespace) {
        at += 1;
    }
    at
}

fn string_end(text: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while text[at] != b'"' {
        at += if text[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

fn value_end(text: &[u8], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0);
    loop {
        match text[at] {
            b'"' => at = string_end(text, at) - 1,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ if depth == 0 => {
                // A number or a word.
                let is_part = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
                let length = text[at..].iter().take_while(|b| is_part(b)).count();
                return at + length;
            }
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return at;
        }
    }
}
