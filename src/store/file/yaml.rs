//! YAML: the scalar at a path of names and, in lists, of numbers; in a list also the rest of an
//! element `NAME=value`, as Compose has them. The file is read with a parser of the whole language,
//! and only the scalar's own bytes are replaced.

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError};

use super::{Found, Problem};
use crate::secret::Secret;

/// A collection that the parser is in.
struct Level {
    is_map: bool,
    /// In a map: whether the next node is a key. In a list: unused.
    wants_key: bool,
    /// How many nodes of it have begun (in a map: values).
    count: usize,
    /// The name of the node that it is at; `None` if that is no plain name.
    name: Option<String>,
    /// How often the wanted name was met as a key.
    met: usize,
}

/// What stands at the path: its bytes with its quotes, its text, its style.
struct Scalar {
    characters: std::ops::Range<usize>,
    text: String,
    style: ScalarStyle,
    /// How much of the text stands before the value.
    before: usize,
}

pub(super) fn find(bytes: &[u8], key: &[String]) -> Result<Found, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|_| unusable("the file is no UTF-8 text"))?;
    // Its words would quote the file.
    let broken = |error: ScanError| {
        let line = error.marker().line();
        unusable(&format!(
            "the file is no YAML: line {line} can't be understood"
        ))
    };
    for event in Parser::new_from_str(text) {
        event.map_err(broken)?;
    }
    let mut found: Option<Scalar> = None;
    let mut levels: Vec<Level> = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(broken)?;
        match &event {
            Event::SequenceEnd | Event::MappingEnd => {
                levels.pop();
            }
            Event::Scalar(..)
            | Event::Alias(_)
            | Event::SequenceStart(..)
            | Event::MappingStart(..) => {
                let is_key = enter(&mut levels, &event, key)?;
                if let (false, Some(before)) = (is_key, place(&levels, &event, key)) {
                    let scalar = scalar(&event, span.start.index()..span.end.index(), before)?;
                    if found.replace(scalar).is_some() {
                        return Err(unusable("there is more than one such place"));
                    }
                }
                if let Event::SequenceStart(..) | Event::MappingStart(..) = event {
                    let is_map = matches!(event, Event::MappingStart(..));
                    levels.push(Level {
                        is_map,
                        wants_key: is_map,
                        count: 0,
                        name: None,
                        met: 0,
                    });
                    if is_key && let Some(level) = levels.last_mut() {
                        // Nothing inside of a key is on the way to a value.
                        level.met = usize::MAX;
                    }
                }
            }
            _ => {}
        }
    }
    written(text, found.ok_or(Problem::Absent)?)
}

fn unusable(reason: &str) -> Problem {
    Problem::Unusable(reason.to_owned())
}

/// Takes note that a node begins in the innermost collection; whether it is a key.
fn enter(levels: &mut [Level], event: &Event<'_>, key: &[String]) -> Result<bool, Problem> {
    let on_the_way = is_on_the_way(levels, key);
    let depth = levels.len();
    let Some(level) = levels.last_mut() else {
        return Ok(false);
    };
    if !level.is_map {
        level.name = (level.met != usize::MAX).then(|| level.count.to_string());
        level.count += 1;
        return Ok(false);
    }
    level.wants_key = !level.wants_key;
    let is_key = !level.wants_key;
    if is_key {
        level.name = match event {
            Event::Scalar(text, ..) if level.met != usize::MAX => Some(text.to_string()),
            _ => None,
        };
        if on_the_way && level.name.as_ref() == key.get(depth - 1) {
            level.met += 1;
            if level.met > 1 {
                return Err(unusable(
                    "a name on the path stands there twice, and readers differ",
                ));
            }
        }
    } else {
        level.count += 1;
    }
    Ok(is_key)
}

/// Whether all collections but the innermost are at the names of the path.
fn is_on_the_way(levels: &[Level], key: &[String]) -> bool {
    let outer = levels.len().saturating_sub(1);
    let names = levels[..outer].iter().map(|level| level.name.as_ref());
    levels.len() <= key.len() && names.eq(key[..outer].iter().map(Some))
}

/// Whether a value is the wanted one; if so, how many bytes of its text stand before that.
fn place(levels: &[Level], event: &Event<'_>, key: &[String]) -> Option<usize> {
    if levels.len() != key.len() || !is_on_the_way(levels, key) {
        return None;
    }
    let (level, last) = (levels.last()?, key.last()?);
    if level.name.as_ref() == Some(last) {
        return Some(0);
    }
    match event {
        Event::Scalar(text, ..) if !level.is_map && level.met != usize::MAX => {
            let rest = text.strip_prefix(last.as_str())?;
            rest.starts_with('=').then_some(last.len() + 1)
        }
        _ => None,
    }
}

fn scalar(
    event: &Event<'_>,
    characters: std::ops::Range<usize>,
    before: usize,
) -> Result<Scalar, Problem> {
    match event {
        Event::Scalar(text, style, 0, None) => Ok(Scalar {
            characters,
            text: text.to_string(),
            style: *style,
            before,
        }),
        Event::Scalar(_, _, 0, Some(_)) => Err(unusable(
            "the value has a tag, so that it may not be what it seems",
        )),
        Event::Scalar(..) => Err(unusable(
            "the value has an anchor: what refers to it would change, too",
        )),
        Event::Alias(_) => Err(unusable(
            "the value is an alias; name the place that it refers to",
        )),
        _ => Err(unusable("what stands there is no single value")),
    }
}

/// Where the scalar's value stands in bytes.
fn written(text: &str, scalar: Scalar) -> Result<Found, Problem> {
    let byte = |character: usize| {
        let mut starts = text.char_indices().map(|(at, _)| at);
        starts.nth(character).unwrap_or(text.len())
    };
    let (start, end) = (byte(scalar.characters.start), byte(scalar.characters.end));
    let raw = &text[start..end];
    let (inner, write): (_, fn(&Secret) -> Option<Vec<u8>>) = match scalar.style {
        ScalarStyle::Plain if raw == scalar.text => (start..end, plain),
        ScalarStyle::SingleQuoted => (start + 1..start + closing(raw, b'\'')?, single),
        ScalarStyle::DoubleQuoted => (start + 1..start + closing(raw, b'"')?, double),
        _ => return Err(one_line()),
    };
    if scalar.before > 0 && text[inner.clone()] != scalar.text {
        return Err(unusable("the element has escapes in it"));
    }
    let value = scalar.text[scalar.before..].as_bytes().to_vec();
    if value.is_empty() {
        return Err(unusable("the value is empty"));
    }
    Ok(Found {
        span: inner.start + scalar.before..inner.end,
        value: Secret::new(value),
        write,
    })
}

fn one_line() -> Problem {
    unusable("write the value on one line, plain or in quotes")
}

/// Where the quote stands that ends a quoted scalar; the parser lets it reach over the blanks and
/// the comment behind it.
fn closing(raw: &str, quote: u8) -> Result<usize, Problem> {
    let bytes = raw.as_bytes();
    let mut at = 1;
    while let Some(byte) = bytes.get(at) {
        at += match *byte {
            b'\\' if quote == b'"' => 2,
            b'\'' if quote == b'\'' && bytes.get(at + 1) == Some(&quote) => 2,
            byte if byte == quote => return Ok(at),
            b'\n' => break,
            _ => 1,
        };
    }
    Err(one_line())
}

/// Text that no version of YAML takes for anything but text, without quotes.
fn plain(value: &Secret) -> Option<Vec<u8>> {
    const WORDS: &[&str] = &["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    let bytes = value.expose();
    let text = std::str::from_utf8(bytes).ok()?;
    let is_word = WORDS.iter().any(|word| text.eq_ignore_ascii_case(word));
    let fits = bytes.first()?.is_ascii_alphabetic()
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
        && !is_word;
    fits.then(|| bytes.to_vec())
}

fn single(value: &Secret) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(value.expose()).ok()?;
    let fits = text
        .chars()
        .all(|c| c == ' ' || !c.is_control() && !c.is_whitespace());
    fits.then(|| text.replace('\'', "''").into_bytes())
}

fn double(value: &Secret) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(value.expose()).ok()?;
    // JSON's escapes are YAML's, too.
    let quoted = serde_json::to_string(text).ok()?;
    Some(quoted[1..quoted.len() - 1].into())
}
