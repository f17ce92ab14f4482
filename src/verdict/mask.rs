//! The masked form by which listings show a key: the first 8 characters, a `*` for each hidden one,
//! the last 4 (captured listings of 2024 to 2026), or `...` in place of the stars, as the
//! documentation has it.

/// What a masked form shows of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    head: Vec<u8>,
    tail: Vec<u8>,
    /// The key's length, if each hidden character is shown.
    length: Option<usize>,
}

/// A masked form as reports show keys: the stars of a long key make two lines.
pub fn in_short(masked: &str) -> String {
    let parts = masked.split('*').filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("…")
}

/// Less than this shows nothing that could tell keys apart.
const LEAST: usize = 6;

impl Mask {
    /// Reads a masked form; `None` if it hides nothing, or shows too little.
    pub fn parse(text: &str) -> Option<Self> {
        let star = text.find('*');
        let (head, tail, length) = match star {
            Some(at) => {
                let tail = text[at..].trim_start_matches('*');
                (&text[..at], tail, Some(text.len()))
            }
            None => {
                let hidden = |dots: &'static str| text.split_once(dots);
                let (head, tail) = hidden("...").or_else(|| hidden("…"))?;
                (head, tail, None)
            }
        };
        let plain = |part: &str| {
            part.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        let sound = plain(head) && plain(tail) && head.len() + tail.len() >= LEAST;
        (sound && !tail.is_empty()).then(|| Self {
            head: head.into(),
            tail: tail.into(),
            length,
        })
    }

    /// Whether this key would be shown so.
    pub fn fits(&self, key: &[u8]) -> bool {
        let hidden = self.head.len() + self.tail.len();
        key.len() > hidden
            && self.length.is_none_or(|length| length == key.len())
            && key.starts_with(&self.head)
            && key.ends_with(&self.tail)
    }

    /// The end that is shown.
    pub fn tail(&self) -> &[u8] {
        &self.tail
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_form_is_shown_in_short() {
        assert_eq!(in_short("sk-proj-*****abcA"), "sk-proj-…abcA");
        assert_eq!(in_short("sk-...abcA"), "sk-...abcA");
    }
    use proptest::prelude::*;

    fn masked(key: &[u8], head: usize, tail: usize) -> String {
        let text = std::str::from_utf8(key).unwrap();
        let stars = "*".repeat(key.len() - head - tail);
        format!("{}{stars}{}", &text[..head], &text[key.len() - tail..])
    }

    #[test]
    fn forms_that_show_nothing_are_none() {
        for text in [
            "",
            "sk-",
            "****",
            "sk-abc",
            "sk-***",
            "*** ***abcdefgh",
            "sk-proj-…",
            "...abcd",
            "sk-proj-***\u{1b}abcd",
        ] {
            assert_eq!(Mask::parse(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_key_fits_its_own_mask_and_no_other(
            key in "[A-Za-z0-9_-]{20,180}",
            other in "[A-Za-z0-9_-]{20,180}",
        ) {
            let (key, other) = (key.as_bytes(), other.as_bytes());
            let stars = Mask::parse(&masked(key, 8, 4)).unwrap();
            prop_assert!(stars.fits(key));
            let dots = String::from_utf8(key.to_vec()).unwrap();
            let dots = Mask::parse(&format!("{}...{}", &dots[..8], &dots[key.len() - 4..])).unwrap();
            prop_assert!(dots.fits(key));
            let alike = other[..8] == key[..8] && other[other.len() - 4..] == key[key.len() - 4..];
            prop_assert_eq!(dots.fits(other), alike);
            prop_assert_eq!(stars.fits(other), alike && other.len() == key.len());
        }

        #[test]
        fn no_text_breaks_it(text: String, key in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(mask) = Mask::parse(&text) {
                mask.fits(&key);
            }
        }
    }
}
