//! Text from outside, made fit to be shown: keys masked, in plain and in encoded form, and other
//! secrets on the same line.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};
use regex::bytes::Regex;

use super::{Matcher, looks};
use crate::secret::{Masked, mask};

/// A masked line and where in it the key of interest stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redacted {
    /// The masked text.
    pub text: Masked,
    /// The masked key, in bytes of `text`.
    pub key: Range<usize>,
}

/// Values that are called secrets, credentials in URLs and in headers. Compiled when the first
/// finding is shown, never for a clean scan.
static NAMED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r#"(?i)(?:passw(?:or)?d|passwd|pwd|secret|credential|token|api[_-]?key|private[_-]?key)[a-z0-9_-]*\\?["']?\s*(?:=>|[:=])\s*\\?["']?([^\s"'\\,;&<>)}]+)"#,
        r#"|(?i)\b(?:bearer|basic)\s+([^\s"'\\,;<>)}]+)"#,
        r#"|://[^\s/:@]*:([^\s/@]+)@"#,
    ))
    .expect("a constant that a test compiles")
});

/// The shortest word that may be a secret just by its looks.
const SHORTEST_SECRET: usize = 16;

impl Matcher {
    /// Masks the keys in a name, a path, a message.
    pub fn redact(&self, text: &[u8]) -> Masked {
        Masked::vouched(replace(text, self.keys(text), 0..0).0)
    }

    /// Where keys stand, each wherever it stands: without the name beside it, some are keys to
    /// nobody, and are shown all the same.
    fn keys(&self, text: &[u8]) -> Vec<(Range<usize>, bool)> {
        let hits = self.search_all(text);
        let mut spans: Vec<_> = hits.iter().map(|hit| hit.span.clone()).collect();
        if !hits.is_empty() {
            let known: HashSet<Range<usize>> = spans.iter().cloned().collect();
            let keys = AhoCorasick::builder()
                .match_kind(MatchKind::LeftmostLongest)
                .build(hits.iter().map(|hit| hit.secret.expose()))
                .expect("fewer keys than an automaton has room for");
            let again = keys.find_iter(text).map(|found| found.range());
            spans.extend(again.filter(|span| !known.contains(span)));
        }
        spans.into_iter().map(|span| (span, true)).collect()
    }

    /// Masks the key at `key` in a piece of a line, all other keys there, and whatever else looks
    /// like a secret; then cuts it to about `width` bytes around the key.
    pub fn redact_line(&self, line: &[u8], key: Range<usize>, width: usize) -> Redacted {
        let mut spans = vec![(key.clone(), true)];
        spans.extend(self.keys(line));
        for groups in NAMED.captures_iter(line) {
            spans.extend(
                groups
                    .iter()
                    .skip(1)
                    .flatten()
                    .map(|value| (value.start()..value.end(), false)),
            );
        }
        spans.extend(random_words(line).map(|word| (word, true)));
        let (text, key) = replace(line, spans, key);
        cut(text, key, width)
    }
}

/// Replaces each span by its mask (or by `…` alone); spans that come first win over spans that
/// overlap them, but whatever they leave uncovered is hidden as well.
fn replace(
    text: &[u8],
    spans: Vec<(Range<usize>, bool)>,
    key: Range<usize>,
) -> (Vec<u8>, Range<usize>) {
    let mut chosen: Vec<(Range<usize>, bool)> = Vec::with_capacity(spans.len());
    for (mut span, ends_shown) in spans {
        // The parts of it that nothing covers yet.
        let mut covered: Vec<Range<usize>> = chosen
            .iter()
            .map(|(c, _)| c.clone())
            .filter(|c| c.start < span.end && span.start < c.end)
            .collect();
        if covered.is_empty() {
            chosen.push((span, ends_shown));
            continue;
        }
        covered.sort_by_key(|c| c.start);
        for c in covered {
            if span.start < c.start {
                chosen.push((span.start..c.start, false));
            }
            span.start = span.start.max(c.end);
        }
        if span.start < span.end {
            chosen.push((span, false));
        }
    }
    chosen.sort_by_key(|(c, _)| c.start);
    let mut out = Vec::with_capacity(text.len());
    let (mut from, mut shown) = (0, 0..0);
    for (span, ends_shown) in chosen {
        out.extend_from_slice(&text[from..span.start]);
        let start = out.len();
        match ends_shown {
            true => out.extend(mask(&text[span.clone()])),
            false => out.extend_from_slice("…".as_bytes()),
        }
        if span == key {
            shown = start..out.len();
        }
        from = span.end;
    }
    out.extend_from_slice(&text[from..]);
    (out, shown)
}

/// Words that look random: long, of letters and digits, with entropy.
fn random_words(line: &[u8]) -> impl Iterator<Item = Range<usize>> + '_ {
    let is_word = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'+');
    let mut from = 0;
    std::iter::from_fn(move || {
        loop {
            let start = from + line.get(from..)?.iter().position(is_word)?;
            let length = line[start..].iter().take_while(|b| is_word(b)).count();
            from = start + length;
            let word = &line[start..from];
            let digits = word.iter().filter(|b| b.is_ascii_digit()).count();
            let letters = word.iter().filter(|b| b.is_ascii_alphabetic()).count();
            if length >= SHORTEST_SECRET
                && digits >= 1
                && letters >= 4
                && looks::entropy(word) > 3.0
            {
                return Some(start..from);
            }
        }
    })
}

/// Keeps about `width` bytes around the key, at borders of characters.
fn cut(text: Vec<u8>, key: Range<usize>, width: usize) -> Redacted {
    let room = width.saturating_sub(key.len());
    let mut start = key.start.saturating_sub(room / 2);
    let mut end = (key.end + (room - (key.start - start))).min(text.len());
    let inside = |at: usize| text.get(at).is_some_and(|b| b & 0xc0 == 0x80);
    while inside(start) {
        start += 1;
    }
    while end < text.len() && inside(end) {
        end -= 1;
    }
    let mut out = Vec::new();
    if start > 0 {
        out.extend_from_slice("…".as_bytes());
    }
    let shift = out.len();
    out.extend_from_slice(&text[start..end.max(key.end)]);
    let key = key.start - start + shift..key.end - start + shift;
    if end < text.len() {
        out.extend_from_slice("…".as_bytes());
    }
    Redacted {
        text: Masked::vouched(out),
        key,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Template;
    use proptest::prelude::*;

    fn key(seed: u64) -> String {
        Template::parse("sk-proj-{long:74,74}")
            .unwrap()
            .fill(seed)
            .key
    }

    fn line(text: &str, key: &str) -> String {
        let at = text.find(key).unwrap();
        let matcher = Matcher::shared();
        let redacted = matcher.redact_line(text.as_bytes(), at..at + key.len(), 160);
        assert_eq!(
            &redacted.text.as_bytes()[redacted.key.clone()],
            mask(key.as_bytes())
        );
        redacted.text.to_string()
    }

    #[test]
    fn other_secrets_of_the_line_are_masked_too() {
        let k = key(1);
        let masked = String::from_utf8(mask(k.as_bytes())).unwrap();
        let text = format!(
            "curl -u me:hunter2 https://bob:pa55w0rd@host/x -H 'Authorization: Bearer {k}' password=tiger \"db_secret\": \"s3cr3t\" ghp_a8sd7f6a8s7d6f8a7sd6f8a7sdf"
        );
        let shown = line(&text, &k);
        assert!(shown.contains(&format!("Bearer {masked}")), "{shown}");
        for hidden in [
            "pa55w0rd",
            "tiger",
            "s3cr3t",
            "a8sd7f6a8s7d6f8a7sd6f8a7sdf",
            &k,
        ] {
            assert!(!shown.contains(hidden), "{hidden}: {shown}");
        }
    }

    #[test]
    fn a_key_that_only_its_name_tells_is_hidden_where_it_stands_without_it() {
        let matcher = Matcher::shared();
        let rules = crate::rules::Rules::built_in();
        let azure = rules.iter().find(|rule| rule.info.id == "azure-openai");
        let one = azure.unwrap().must_match[0].fill(3);
        let text = format!("{}; before: {}, {0}", one.text, one.key);
        let shown = matcher.redact(text.as_bytes()).to_string();
        assert!(!shown.contains(&one.key[4..28]), "{shown}");
        assert_eq!(shown.matches("before: ").count(), 1, "{shown}");
    }

    #[test]
    fn two_keys_glued_by_a_value_are_both_hidden() {
        let (a, b) = (key(1), key(2));
        let shown = line(&format!("token={a},{b}"), &a);
        assert!(
            !shown.contains(&a[8..160]) && !shown.contains(&b[8..160]),
            "{shown}"
        );
        assert!(!shown.contains(&b[20..60]));
    }

    proptest! {
        #[test]
        fn no_cut_lets_a_part_of_a_key_through(seed in 0u64..500, before in "\\PC{0,300}", after in "\\PC{0,300}", width in 20usize..300) {
            let k = key(seed);
            let text = format!("{before} {k}\u{20}{after} {}", key(seed + 1000));
            let at = before.len() + 1;
            let matcher = Matcher::shared();
            let redacted = matcher.redact_line(text.as_bytes(), at..at + k.len(), width);
            let shown = redacted.text.text().into_owned();
            prop_assert!(!shown.contains(&k[8..24]));
            prop_assert!(!shown.contains(&key(seed + 1000)[10..26]));
            prop_assert_eq!(&redacted.text.as_bytes()[redacted.key.clone()], &mask(k.as_bytes())[..]);
        }
    }
}
