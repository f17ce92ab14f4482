//! The dictionary before a PDF's stream, as far as it says how the stream is to be read.

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
        let value = value(self.text, b"/Length")?;
        let length = integer(value)?;
        let digits = value.iter().take_while(|b| b.is_ascii_digit()).count();
        // `12 0 R` names another object.
        let rest = value[digits..].trim_ascii_start();
        (!rest.first().is_some_and(u8::is_ascii_digit)).then_some(length)
    }

    /// The names of its filters, the first to be undone first.
    /// `None` if another object names them.
    pub(super) fn filters(&self) -> Option<Vec<&'a [u8]>> {
        let Some(value) = value(self.text, b"/Filter") else {
            return Some(Vec::new());
        };
        if value.first().is_some_and(u8::is_ascii_digit) {
            return None;
        }
        let (names, is_array) = match value.strip_prefix(b"[") {
            Some(rest) => (
                &rest[..memchr::memchr(b']', rest).unwrap_or(rest.len())],
                true,
            ),
            None => (value, false),
        };
        let names = names.split(|b| *b == b'/').skip(1).map(|name| {
            let end = name.iter().position(|b| !b.is_ascii_alphanumeric());
            &name[..end.unwrap_or(name.len())]
        });
        let most = if is_array { usize::MAX } else { 1 };
        Some(names.take(most).collect())
    }
}

/// What follows a key in a dictionary.
fn value<'a>(text: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let found = memmem::find_iter(text, key).map(|at| &text[at + key.len()..]);
    // `/Length1` is another key.
    let mut whole = found.filter(|rest| !rest.first().is_some_and(u8::is_ascii_alphanumeric));
    whole.next().map(<[u8]>::trim_ascii_start)
}

/// Whether a dictionary has this key.
pub(super) fn has_key(text: &[u8], key: &[u8]) -> bool {
    value(text, key).is_some()
}

/// The number that a text begins with.
pub(super) fn integer(text: &[u8]) -> Option<u64> {
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    std::str::from_utf8(&text[..digits]).ok()?.parse().ok()
}
