//! How text travels: JSON that no terminal acts on, paths as URIs.

use std::fmt::Write as _;
use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter, Serializer};

use crate::secret::{Masked, is_unsafe_to_show};

/// JSON need not escape C1 controls and bidirectional overrides, so serde_json doesn't; a terminal
/// acts on them. Escaped they mean the same.
struct Tame<F>(F);

macro_rules! passed_on {
    ($($method:ident($($argument:ident: $type:ty),*);)*) => {
        $(fn $method<W: ?Sized + Write>(&mut self, out: &mut W, $($argument: $type),*) -> io::Result<()> {
            self.0.$method(out, $($argument),*)
        })*
    };
}

impl<F: Formatter> Formatter for Tame<F> {
    passed_on! {
        begin_array();
        end_array();
        begin_array_value(first: bool);
        end_array_value();
        begin_object();
        end_object();
        begin_object_key(first: bool);
        begin_object_value();
        end_object_value();
    }

    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        out: &mut W,
        text: &str,
    ) -> io::Result<()> {
        let mut rest = text;
        while let Some((at, c)) = rest.char_indices().find(|(_, c)| is_unsafe_to_show(*c)) {
            out.write_all(&rest.as_bytes()[..at])?;
            write!(out, "\\u{:04x}", u32::from(c))?;
            rest = &rest[at + c.len_utf8()..];
        }
        out.write_all(rest.as_bytes())
    }
}

/// One JSON document, indented, with a line feed behind it.
pub(super) fn write_json(out: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    value.serialize(&mut Serializer::with_formatter(
        &mut *out,
        Tame(PrettyFormatter::new()),
    ))?;
    out.write_all(b"\n")
}

/// One JSON value on a line of its own.
pub(super) fn write_json_line(out: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    value.serialize(&mut Serializer::with_formatter(
        &mut *out,
        Tame(CompactFormatter),
    ))?;
    out.write_all(b"\n")
}

/// A path as a URI reference.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Uri {
    /// Relative to what was scanned.
    Relative(String),
    /// A `file:` URI.
    Absolute(String),
}

/// Encodes a path byte by byte, so that one that isn't UTF-8 survives.
pub(super) fn uri(path: &[u8]) -> Uri {
    let mut rest = path;
    while let Some(shorter) = rest.strip_prefix(b"./") {
        rest = shorter;
    }
    let drive = cfg!(windows) && rest.get(1) == Some(&b':');
    let mut out = String::with_capacity(rest.len());
    for &byte in rest {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(byte.into())
            }
            b'\\' if cfg!(windows) => out.push('/'),
            _ => write!(out, "%{byte:02X}").expect("a String takes all"),
        }
    }
    match (out.starts_with('/'), drive) {
        (true, _) => Uri::Absolute(format!("file://{out}")),
        (_, true) => Uri::Absolute(format!("file:///{out}")),
        _ => Uri::Relative(out),
    }
}

/// Text that was written by the user or by us (a rule's title, an error's words): no key is to be
/// hidden in it, but it may still hold a control character.
pub(super) fn tame(text: &str) -> Masked {
    Masked::vouched(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relative(path: &[u8]) -> String {
        match uri(path) {
            Uri::Relative(text) => text,
            Uri::Absolute(text) => panic!("{text} is absolute"),
        }
    }

    #[test]
    fn uris_are_encoded_byte_by_byte() {
        assert_eq!(relative(b"./src/a b.rs"), "src/a%20b.rs");
        assert_eq!(relative("ä/…".as_bytes()), "%C3%A4/%E2%80%A6");
        assert_eq!(relative(b"\xff\n%"), "%FF%0A%25");
        // A colon in the first segment would make a scheme of it.
        assert_eq!(relative(b"c:d/e"), "c%3Ad/e");
        assert_eq!(relative(b"[id]?#"), "%5Bid%5D%3F%23");
        assert_eq!(uri(b"/tmp/x y"), Uri::Absolute("file:///tmp/x%20y".into()));
    }

    #[test]
    fn json_holds_nothing_that_a_terminal_acts_on() {
        let text = "\u{1b}[31m\u{9b}31m\u{202e}\u{7f} é\u{200b}";
        let mut out = Vec::new();
        write_json_line(&mut out, &[text]).unwrap();
        let shown = String::from_utf8(out).unwrap();
        assert!(
            !shown.trim_end().chars().any(is_unsafe_to_show),
            "{shown:?}"
        );
        assert_eq!(serde_json::from_str::<Vec<String>>(&shown).unwrap(), [text]);
        let mut out = Vec::new();
        write_json(
            &mut out,
            &serde_json::json!({"a": [1, {"b": text}], "c": []}),
        )
        .unwrap();
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["a"][1]["b"], text);
    }
}
