//! Does it look random, and does it end as OpenAI's long keys do?

/// Shannon entropy of the bytes, in bits a byte.
pub(super) fn entropy(bytes: &[u8]) -> f64 {
    let mut counts = [0u32; 256];
    for b in bytes {
        counts[usize::from(*b)] += 1;
    }
    let total = bytes.len() as f64;
    counts
        .iter()
        .filter(|n| **n > 0)
        .map(|n| f64::from(*n) / total)
        .map(|p| -p * p.log2())
        .sum()
}

/// Shannon entropy of all the bytes together, in bits: an upper bound of what a guesser faces.
pub(super) fn entropy_bits(bytes: &[u8]) -> f64 {
    entropy(bytes) * bytes.len() as f64
}

/// Words that people write where a key should be. They are long enough that no random key holds
/// one by chance (the shortest: twice in 10 million).
const PLACEHOLDERS: &[&[u8]] = &[
    b"example",
    b"placeholder",
    b"redacted",
    b"xxxxx",
    b"changeme",
    b"insert",
    b"your-",
    b"your_",
];

/// Whether this is a stand-in and no random text: too few different characters for its length, a
/// keyboard or alphabet sequence, or a word that says so.
pub(super) fn is_placeholder(body: &[u8]) -> bool {
    if body.is_empty() {
        return true;
    }
    // Random base64url of 20 characters has 4.0 bits on average and never came below 3.2 in 10^8
    // draws; random hexadecimal of 32 has 3.6 and not below 2.7.
    let least: f64 = if body.iter().all(u8::is_ascii_hexdigit) {
        2.2
    } else {
        2.6
    };
    if entropy(body) < least.min((body.len() as f64).log2() * 0.6) {
        return true;
    }
    let steps = body.windows(2).filter(|w| w[1].abs_diff(w[0]) <= 1).count();
    if body.len() >= 8 && steps * 2 > body.len() {
        return true;
    }
    PLACEHOLDERS.iter().any(|word| {
        body.windows(word.len()).any(|w| {
            w == *word
                || w.iter()
                    .zip(*word)
                    .all(|(a, b)| *a == b.to_ascii_uppercase())
        })
    })
}

/// OpenAI's structure check: the base64url text that `before` and `after` form without the marker
/// stands for bytes of which the last is zero. Undocumented; so it was in every whole long key
/// that was seen. It may raise confidence, never reject.
pub(super) fn ends_in_zero(before: &[u8], after: &[u8]) -> bool {
    let length = before.len() + after.len();
    let nth_last = |n: usize| {
        let c = if n <= after.len() {
            after[after.len() - n]
        } else {
            before[length - n]
        };
        match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'-' => 62,
            _ => 63,
        }
    };
    if length < 2 {
        return false;
    }
    let (last, but_last) = (nth_last(1), nth_last(2));
    match length % 4 {
        0 => last == 0 && but_last & 0b11 == 0,
        3 => last == 0 && but_last & 0b1111 == 0,
        2 => last == 0 && but_last == 0,
        _ => false,
    }
}

/// Whether a word that begins at `at` is a word of its own there: what stands before is no part
/// of it. Escapes count as borders (`\n`, `%3D`, `[31m`), or `\nsess-…` would be missed.
pub(super) fn starts_a_word(before: &[u8]) -> bool {
    let is_word = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_' || *b == b'-';
    let Some(last) = before.last() else {
        return true;
    };
    if !is_word(last) {
        return true;
    }
    let tail = |n: usize| before.len().checked_sub(n).map(|at| &before[at..]);
    let hex = |digits: &[u8]| digits.iter().all(u8::is_ascii_hexdigit);
    matches!(
        tail(2),
        Some([
            b'\\',
            b'n' | b't' | b'r' | b'b' | b'f' | b'v' | b'a' | b'0'..=b'7'
        ])
    ) || matches!(tail(3), Some([b'%', rest @ ..]) if hex(rest))
        || matches!(tail(4), Some([b'\\', b'x', rest @ ..]) if hex(rest))
        || matches!(tail(6), Some([b'\\', b'u', rest @ ..]) if hex(rest))
        || (*last == b'm'
            && before
                .iter()
                .rev()
                .skip(1)
                .take(12)
                .find(|b| !b.is_ascii_digit() && **b != b';')
                == Some(&b'['))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Template;

    fn filled(template: &str, seed: u64) -> Vec<u8> {
        Template::parse(template)
            .unwrap()
            .fill(seed)
            .key
            .into_bytes()
    }

    #[test]
    fn random_text_is_no_placeholder() {
        for seed in 0..20_000 {
            for template in ["{alnum:20}", "{hex:32}", "{base64url:74}", "{alnum:40}"] {
                assert!(
                    !is_placeholder(&filled(template, seed)),
                    "{template} {seed}"
                );
            }
        }
    }

    #[test]
    fn stand_ins_are() {
        for text in [
            "xxxxxxxxxxxxxxxxxxxx",
            "abcdefghijklmnopqrst",
            "01234567890123456789",
            "aaaaaaaaaabbbbbbbbbb",
            "your-api-key-goes-in",
            "EXAMPLEKEY7fh3k9dk2l",
            "00000000000000000000000000000000",
        ] {
            assert!(is_placeholder(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn the_structure_check_holds_for_every_length() {
        for (before, after) in [
            (58, 58),
            (74, 74),
            (46, 46),
            (57, 58),
            (59, 60),
            (70, 70),
            (74, 58),
            (57, 57),
        ] {
            let key = filled(&format!("{{long:{before},{after}}}"), 5);
            assert!(
                ends_in_zero(&key[..before], &key[before + 8..]),
                "{before} {after}"
            );
            let mut other = key.clone();
            *other.last_mut().unwrap() = b'B';
            assert!(!ends_in_zero(&other[..before], &other[before + 8..]));
        }
    }

    #[test]
    fn words_start_after_escapes_too() {
        for yes in [
            "",
            " ",
            "\"",
            "\\n",
            "=",
            "%3D",
            "\\u0022",
            "\\x22",
            "\x1b[1;31m",
            "é",
        ] {
            assert!(starts_a_word(yes.as_bytes()), "{yes:?}");
        }
        for no in ["n", "proc", "a_", "x-", "3D", "m"] {
            assert!(!starts_a_word(no.as_bytes()), "{no:?}");
        }
    }
}
