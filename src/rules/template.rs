//! Templates from which synthetic keys are made at run time, so that no key stands in a file.
//!
//! `{alnum:20}`, `{hex:32}`, `{base64url:9}` random text · `{long:58,58}` two base64url halves
//! around OpenAI's marker, ending as real ones do · `{repeat:x,74}` one character again and again ·
//! `[[…]]` the key, where the template holds more than it.

use std::fmt;

/// OpenAI's marker: base64 of its name.
pub const MARKER: &str = "T3BlbkFJ";

const ALNUM: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const BASE64URL: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const HEX: &[u8] = b"0123456789abcdef";

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Random(&'static [u8], usize),
    Long(usize, usize),
    Repeat(char, usize),
    KeyStarts,
    KeyEnds,
}

/// A text with holes that random keys fill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    source: String,
    parts: Vec<Part>,
}

/// A template, filled: a synthetic key that nobody ever issued, and the text around it.
#[derive(Clone, PartialEq, Eq)]
pub struct Filled {
    /// The whole text.
    pub text: String,
    /// The key in it.
    pub key: String,
}

/// What is wrong with a template.
#[derive(Debug, thiserror::Error)]
#[error("the template {template:?}: {problem}")]
pub struct TemplateError {
    template: String,
    problem: String,
}

impl Template {
    /// Reads a template, see the module's head for the language.
    pub fn parse(source: &str) -> Result<Self, TemplateError> {
        let wrong = |problem: String| TemplateError {
            template: source.to_owned(),
            problem,
        };
        let mut parts = Vec::new();
        let mut rest = source;
        while let Some(at) = rest.find(['{', '[', ']']) {
            let (before, after) = rest.split_at(at);
            let (part, used) = if after.starts_with("[[") {
                (Part::KeyStarts, 2)
            } else if after.starts_with("]]") {
                (Part::KeyEnds, 2)
            } else if let Some((hole, end)) = after
                .find('}')
                .and_then(|end| Some((hole(&after[1..end])?, end)))
            {
                (hole.map_err(&wrong)?, end + 1)
            } else {
                (Part::Literal(after[..1].to_owned()), 1)
            };
            if !before.is_empty() {
                parts.push(Part::Literal(before.to_owned()));
            }
            parts.push(part);
            rest = &after[used..];
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.to_owned()));
        }
        let brackets = parts
            .iter()
            .filter(|p| matches!(p, Part::KeyStarts | Part::KeyEnds));
        if !matches!(
            brackets.collect::<Vec<_>>()[..],
            [] | [Part::KeyStarts, Part::KeyEnds]
        ) {
            return Err(wrong(
                "it needs one [[ and one ]] after it, or neither".to_owned(),
            ));
        }
        Ok(Self {
            source: source.to_owned(),
            parts,
        })
    }

    /// The text it was read from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Fills the holes. The same seed makes the same text.
    pub fn fill(&self, seed: u64) -> Filled {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5eed);
        let mut text = String::new();
        let mut key = None;
        let mut end = None;
        for part in &self.parts {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Random(alphabet, length) => random.push(&mut text, alphabet, *length),
                Part::Repeat(c, count) => text.extend(std::iter::repeat_n(*c, *count)),
                Part::Long(before, after) => random.push_long(&mut text, *before, *after),
                Part::KeyStarts => key = Some(text.len()),
                Part::KeyEnds => end = Some(text.len()),
            }
        }
        let key = text[key.unwrap_or(0)..end.unwrap_or(text.len())].to_owned();
        Filled { text, key }
    }
}

fn hole(text: &str) -> Option<Result<Part, String>> {
    let (name, numbers) = text.split_once(':')?;
    if !name
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    {
        return None;
    }
    let number = |n: &str| match n.parse() {
        Ok(n @ 1..=4096) => Ok(n),
        _ => Err(format!("{n:?} is no length from 1 to 4096")),
    };
    let random = |alphabet| number(numbers).map(|n| Part::Random(alphabet, n));
    let pair = || {
        numbers
            .split_once(',')
            .ok_or_else(|| format!("{{{name}}} takes two values"))
    };
    Some(match name {
        "alnum" => random(ALNUM),
        "hex" => random(HEX),
        "base64url" => random(BASE64URL),
        "long" => pair().and_then(|(b, a)| Ok(Part::Long(number(b)?, number(a)?))),
        "repeat" => {
            pair().and_then(|(c, n)| Ok(Part::Repeat(c.chars().next().unwrap_or('x'), number(n)?)))
        }
        _ => Err(format!(
            "{{{name}}} is none of alnum, hex, base64url, long, repeat"
        )),
    })
}

impl fmt::Debug for Filled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Filled({})",
            String::from_utf8_lossy(&crate::secret::mask(self.key.as_bytes()))
        )
    }
}

/// SplitMix64: enough for texts that only have to look random, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn push(&mut self, text: &mut String, alphabet: &[u8], length: usize) {
        text.extend(
            (0..length).map(|_| alphabet[(self.next() % alphabet.len() as u64) as usize] as char),
        );
    }

    /// Base64url of random bytes of which the last is zero, cut in two by the marker.
    fn push_long(&mut self, text: &mut String, before: usize, after: usize) {
        let mut body = String::new();
        self.push(&mut body, BASE64URL, before + after);
        let zeroed = zero_last_byte(body.into_bytes());
        let body = String::from_utf8(zeroed).expect("base64url is ASCII");
        text.push_str(&body[..before]);
        text.push_str(MARKER);
        text.push_str(&body[before..]);
    }
}

/// Changes the end of a base64url text so that the last whole byte it stands for is zero.
fn zero_last_byte(mut body: Vec<u8>) -> Vec<u8> {
    let n = body.len();
    let value = |c: u8| {
        BASE64URL
            .iter()
            .position(|v| *v == c)
            .expect("made from this alphabet")
    };
    // (bits of the last byte in the last but one character, in the last one)
    let (kept_before, kept_last) = match n % 4 {
        0 => (0b11_1100, 0b00_0000),
        3 => (0b11_0000, 0b00_0000),
        2 => (0b00_0000, 0b00_0000),
        _ => return body,
    };
    if n >= 2 {
        body[n - 2] = BASE64URL[value(body[n - 2]) & kept_before];
        body[n - 1] = BASE64URL[value(body[n - 1]) & kept_last];
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_make_the_same_key_from_the_same_seed() {
        let template = Template::parse("a=[[sk-{alnum:20}T3BlbkFJ{alnum:20}]];").unwrap();
        let one = template.fill(7);
        assert_eq!(one, template.fill(7));
        assert_ne!(one, template.fill(8));
        assert_eq!(one.key.len(), 51);
        assert_eq!(one.text, format!("a={};", one.key));
        assert!(!format!("{one:?}").contains(&one.key));
    }

    #[test]
    fn json_braces_are_text_and_mistakes_are_named() {
        let template = Template::parse("{\"a\": {\"b\": \"{hex:4}\"}}").unwrap();
        assert_eq!(
            template.fill(1).text.len(),
            "{\"a\": {\"b\": \"1234\"}}".len()
        );
        for wrong in ["{hex:0}", "{hex:x}", "{words:4}", "[[a", "{long:4}"] {
            assert!(Template::parse(wrong).is_err(), "{wrong}");
        }
    }
}
