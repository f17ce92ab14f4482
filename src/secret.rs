//! Key bytes and what may be said of them: a [`Secret`] is wiped when dropped and shows itself
//! masked, a [`Fingerprint`] names it without revealing it, and [`Masked`] is the only text that
//! reports may print.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// The bytes of a key. `Debug` and `Display` show the masked form; [`Secret::expose`] is the one
/// way to the whole.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over; they are wiped when the last owner is dropped.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The key itself. Every call is a place to look at in a review.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The first 128 bits of the key's SHA-256.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::from_digest(Sha256::digest(self.expose()).as_slice())
    }

    /// A fingerprint that depends on `salt` too, for secrets of so little entropy that a plain
    /// hash could be tried out.
    pub fn fingerprint_salted(&self, salt: &[u8]) -> Fingerprint {
        let mut hash = Sha256::new();
        hash.update((salt.len() as u64).to_be_bytes());
        hash.update(salt);
        hash.update(self.expose());
        Fingerprint::from_digest(hash.finalize().as_slice())
    }

    /// The masked form, see [`mask`].
    pub fn mask(&self) -> Masked {
        Masked(mask(self.expose()).into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({})", self.mask())
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.mask().fmt(f)
    }
}

/// How much of a key is shown: its first and last bytes, at most 8 and 4, and never more than a
/// quarter of it. Listings of the Admin API show the same 8 and 4.
pub fn shown_ends(length: usize) -> (usize, usize) {
    let shown = (length / 4).min(12);
    let tail = shown / 3;
    (shown - tail, tail)
}

/// `bytes` with everything but the ends replaced by one `…`; bytes that are no printable ASCII
/// become `?`, so that an encoded key can't smuggle anything out.
pub fn mask(bytes: &[u8]) -> Vec<u8> {
    let (head, tail) = shown_ends(bytes.len());
    let plain = |b: &u8| if b.is_ascii_graphic() { *b } else { b'?' };
    let mut out: Vec<u8> = bytes[..head].iter().map(plain).collect();
    out.extend_from_slice("…".as_bytes());
    out.extend(bytes[bytes.len() - tail..].iter().map(plain));
    out
}

/// Names a key without revealing it: equal wherever the key is found.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 16]);

impl Fingerprint {
    fn from_digest(digest: &[u8]) -> Self {
        let mut out = [0; 16];
        out.copy_from_slice(&digest[..16]);
        Self(out)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for Fingerprint {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Fingerprint {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'_, str>>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What [`Fingerprint::from_str`] says of a text that is none.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a fingerprint: expected 32 hexadecimal digits, as reports print them")]
pub struct NotAFingerprint;

impl FromStr for Fingerprint {
    type Err = NotAFingerprint;

    fn from_str(text: &str) -> Result<Self, NotAFingerprint> {
        let digits = text.as_bytes();
        if digits.len() != 32 {
            return Err(NotAFingerprint);
        }
        let mut out = [0; 16];
        for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
            let value = |d: u8| (d as char).to_digit(16).ok_or(NotAFingerprint);
            *byte = (value(pair[0])? * 16 + value(pair[1])?) as u8;
        }
        Ok(Self(out))
    }
}

/// Text in which every key has been masked: the only text that a report may print. The bytes are
/// kept as they were (a path need not be UTF-8); `Display` replaces what isn't, and escapes
/// control characters, so that a name can't drive the reader's terminal.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Masked(Box<[u8]>);

impl Masked {
    /// Text that was redacted, or that holds no foreign bytes (a message of our own). Whoever
    /// calls this vouches for it; `matcher::redact` is the maker for all that comes from outside.
    pub fn vouched(text: impl Into<Vec<u8>>) -> Self {
        Self(text.into().into())
    }

    /// The masked bytes, as they were: for URIs.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The masked text, control characters included: for formats that escape on their own.
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Whether a character can act on a terminal, or hide what stands beside it (bidirectional
/// overrides, zero-width marks).
pub(crate) fn is_unsafe_to_show(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

impl fmt::Display for Masked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        for c in self.text().chars() {
            match c {
                '\t' => f.write_char(' ')?,
                c if is_unsafe_to_show(c) => write!(f, "{}", c.escape_unicode())?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Masked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl serde::Serialize for Masked {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_mask_shows_the_ends_and_never_more_than_a_quarter() {
        assert_eq!(shown_ends(164), (8, 4));
        assert_eq!(shown_ends(51), (8, 4));
        assert_eq!(shown_ends(35), (6, 2));
        assert_eq!(shown_ends(3), (0, 0));
        let secret =
            Secret::new(b"abcdefgh-something-else-in-the-middle-of-this-one-wxyz".to_vec());
        assert_eq!(secret.to_string(), "abcdefgh…wxyz");
        assert_eq!(format!("{secret:?}"), "Secret(abcdefgh…wxyz)");
    }

    #[test]
    fn shown_text_cannot_drive_a_terminal() {
        let text = Masked::vouched("a\x1b[31mb\u{202e}c\n\td");
        assert_eq!(text.to_string(), "a\\u{1b}[31mb\\u{202e}c\\u{a} d");
    }

    proptest! {
        #[test]
        fn masks_hide_at_least_three_quarters(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let (head, tail) = shown_ends(bytes.len());
            prop_assert!((head + tail) * 4 <= bytes.len());
            prop_assert_eq!(String::from_utf8(mask(&bytes)).unwrap().chars().count(), head + tail + 1);
        }

        #[test]
        fn fingerprints_survive_their_text(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let print = Secret::new(bytes).fingerprint();
            prop_assert_eq!(print.to_string().parse::<Fingerprint>().unwrap(), print);
        }
    }
}
