//! The forms a key can have. Each form is examined by a file of its own in `matcher`.

use serde::Deserialize;

/// Which bytes a part of a key is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Alphabet {
    /// `A-Z a-z 0-9`
    Alnum,
    /// `0-9 a-f A-F`
    Hex,
    /// `0-9 a-f`
    LowerHex,
    /// `A-Z a-z 0-9 _ -`
    Base64url,
    /// `A-Z a-z 0-9 + / =`
    Base64,
}

impl Alphabet {
    /// Whether `byte` belongs to it.
    pub const fn has(self, byte: u8) -> bool {
        match self {
            Self::Alnum => byte.is_ascii_alphanumeric(),
            Self::Hex => byte.is_ascii_hexdigit(),
            Self::LowerHex => byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'),
            Self::Base64url => byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-',
            Self::Base64 => byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='),
        }
    }
}

/// The lengths before and after a marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Halves(pub usize, pub usize);

/// What a marked key begins with.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum Prefix {
    /// These bytes.
    Literal(String),
    /// A name of 1 to 42 characters between two literals: `sk-{slug}-`.
    Slug(String, String),
}

/// The longest name inside a key, see `sk-<slug>-` in the table of formats.
pub const LONGEST_SLUG: usize = 42;

impl From<String> for Prefix {
    fn from(text: String) -> Self {
        match text.split_once("{slug}") {
            Some((before, after)) => Self::Slug(before.to_owned(), after.to_owned()),
            None => Self::Literal(text),
        }
    }
}

/// A value that a `near` rule looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Value {
    /// What it is made of.
    pub alphabet: Alphabet,
    /// How long it is, exactly.
    pub length: usize,
}

/// What stands around an anchor if it is a key.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Shape {
    /// A marker between two halves, behind a prefix. The anchors are parts of the marker.
    #[serde(rename = "marked")]
    Marked {
        /// The literal in the middle.
        marker: String,
        /// What the key begins with, the more special ones first.
        prefixes: Vec<Prefix>,
        /// Known lengths of halves of letters and digits.
        #[serde(default)]
        alnum_halves: Vec<Halves>,
        /// Known lengths of base64url halves.
        #[serde(default)]
        halves: Vec<Halves>,
    },
    /// A prefix and a body of known length. The prefix contains the anchor.
    #[serde(rename = "token")]
    Token {
        /// What the key begins with.
        prefix: String,
        /// What the body is made of.
        alphabet: Alphabet,
        /// The body's lengths.
        lengths: Vec<usize>,
        /// Words of which one must stand nearby, in any case; none needed if empty.
        #[serde(default)]
        near: Vec<String>,
    },
    /// A value without a form of its own, called a key, near an anchor that names its service.
    #[serde(rename = "near")]
    Near {
        /// Words of which one must stand before the value on its line, in any case.
        names: Vec<String>,
        /// What the value looks like.
        values: Vec<Value>,
    },
    /// A regular expression, tried on the surroundings of an anchor only. The group `secret`, else
    /// the first group, else the whole match is the key.
    #[serde(rename = "pattern")]
    Pattern {
        /// In the syntax of the `regex` crate, over bytes.
        regex: String,
        /// Words of which one must stand nearby, in any case; none needed if empty.
        #[serde(default)]
        near: Vec<String>,
    },
}

/// The longest body a shape may ask for: bounds what is looked at around an anchor.
const LONGEST_BODY: usize = 1024;

impl Shape {
    /// Says what is wrong with it, for the given anchors.
    pub(super) fn check(&self, anchors: &[String]) -> Result<(), String> {
        let contained = |whole: &str| match anchors.iter().find(|a| !whole.contains(a.as_str())) {
            Some(anchor) => Err(format!(
                "its anchor {anchor:?} is no part of {whole:?}, so it would never be found there"
            )),
            None => Ok(()),
        };
        let bounded = |length: usize| match length {
            1..=LONGEST_BODY => Ok(()),
            _ => Err(format!(
                "a length of {length}; it must be 1 to {LONGEST_BODY}"
            )),
        };
        match self {
            Self::Marked {
                marker,
                prefixes,
                alnum_halves,
                halves,
            } => {
                contained(marker)?;
                if prefixes.is_empty() {
                    return Err("it has no prefix".to_owned());
                }
                if alnum_halves.is_empty() && halves.is_empty() {
                    return Err("it knows no lengths of halves".to_owned());
                }
                alnum_halves
                    .iter()
                    .chain(halves)
                    .try_for_each(|h| bounded(h.0).and(bounded(h.1)))
            }
            Self::Token {
                prefix, lengths, ..
            } => {
                contained(prefix)?;
                if lengths.is_empty() {
                    return Err("it has no length".to_owned());
                }
                lengths.iter().try_for_each(|n| bounded(*n))
            }
            Self::Near { names, values } => {
                if names.is_empty() || values.is_empty() {
                    return Err("it needs names and values".to_owned());
                }
                values.iter().try_for_each(|v| bounded(v.length))
            }
            Self::Pattern { regex, .. } => regex::bytes::RegexBuilder::new(regex)
                .size_limit(1 << 20)
                .build()
                .map(drop)
                .map_err(|error| error.to_string()),
        }
    }
}
