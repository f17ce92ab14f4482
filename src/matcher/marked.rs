//! Keys with a marker between two halves.
//!
//! A key is delimited by its alphabet, never by a list of what may follow. Where it is glued to
//! more of the same alphabet (`…A_backup`, `\nsk-…`, `%3Dsk-…`), the known lengths and the
//! structure check decide where it begins and ends.

use super::joined::Joined;
use super::reach::Reach;
use super::{Candidate, Examiner, looks};
use crate::finding::Confidence;
use crate::rules::{Alphabet, Halves, LONGEST_SLUG, Prefix};

/// Halves shorter than this are masked, cut or made up: nobody can use what is left.
const SHORTEST_HALF: usize = 16;

/// Halves longer than this were never seen; the longest known has 74.
const LONGEST_HALF: usize = 120;

/// How far a key's alphabet is followed on either side of the marker: the longest prefix with a
/// name in it and the longest half.
pub(super) const LONGEST_SIDE: usize = LONGEST_HALF + LONGEST_SLUG + 16;

/// All rules that share a marker: one of them classifies the key.
pub(super) struct Family {
    marker: Vec<u8>,
    /// What all prefixes begin with.
    head: Vec<u8>,
    members: Vec<Member>,
}

struct Member {
    rule: usize,
    prefix: Prefix,
    alnum_halves: Vec<Halves>,
    halves: Vec<Halves>,
}

/// How well a beginning fits; the better one wins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    /// A literal prefix, and a first half of a length that was not seen before.
    Unusual,
    /// A prefix with any name in it, and a first half of a known length.
    Named,
    /// A literal prefix and a first half of a known length.
    Known,
}

struct Beginning<'f> {
    member: &'f Member,
    start: usize,
    body: usize,
    fit: Fit,
}

impl Family {
    pub(super) fn new(marker: &str) -> Self {
        Self {
            marker: marker.as_bytes().to_vec(),
            head: Vec::new(),
            members: Vec::new(),
        }
    }

    pub(super) fn marker(&self) -> &[u8] {
        &self.marker
    }

    pub(super) fn add(
        &mut self,
        rule: usize,
        prefixes: &[Prefix],
        alnum_halves: &[Halves],
        halves: &[Halves],
    ) {
        for prefix in prefixes {
            let head = prefix.head().as_bytes();
            if self.members.is_empty() && self.head.is_empty() {
                self.head = head.to_vec();
            }
            let common = self.head.iter().zip(head).take_while(|(a, b)| a == b);
            let common = common.count();
            self.head.truncate(common);
        }
        self.members.extend(prefixes.iter().map(|prefix| Member {
            rule,
            prefix: prefix.clone(),
            alnum_halves: alnum_halves.to_vec(),
            halves: halves.to_vec(),
        }));
    }

    /// The best beginning in `left`, which ends where the marker starts.
    fn beginning(&self, left: &[u8]) -> Option<Beginning<'_>> {
        // Most markers that are no key's have no prefix at all before them.
        memchr::memmem::find(left, &self.head)?;
        let mut best: Option<Beginning<'_>> = None;
        for member in &self.members {
            for start in memchr::memmem::find_iter(left, member.prefix.head().as_bytes()) {
                let Some((body, fit)) = member.begins(left, start) else {
                    continue;
                };
                // Of two that fit alike the later one has less glued to it; a longer literal
                // says more than a shorter one at the same place.
                let better = best
                    .as_ref()
                    .is_none_or(|b| (fit, start, body) > (b.fit, b.start, b.body));
                if better {
                    best = Some(Beginning {
                        member,
                        start,
                        body,
                        fit,
                    });
                }
            }
        }
        best
    }
}

impl Prefix {
    fn head(&self) -> &str {
        match self {
            Self::Literal(text) => text,
            Self::Slug(before, _) => before,
        }
    }
}

impl Member {
    /// Where the first half begins if the key begins at `start`, and how well that fits.
    fn begins(&self, left: &[u8], start: usize) -> Option<(usize, Fit)> {
        let known = |body: usize| {
            let half = &left[body..];
            let of = |halves: &[Halves]| halves.iter().any(|h| h.0 == half.len());
            of(&self.halves)
                || (of(&self.alnum_halves) && half.iter().all(u8::is_ascii_alphanumeric))
        };
        let after = start + self.prefix.head().len();
        match &self.prefix {
            Prefix::Literal(literal) => {
                let half = left.len() - after;
                if known(after) {
                    Some((after, Fit::Known))
                } else if literal.len() > 3 && (SHORTEST_HALF..=LONGEST_HALF).contains(&half) {
                    Some((after, Fit::Unusual))
                } else {
                    None
                }
            }
            Prefix::Slug(_, tail) => {
                // Only the short form has a name in it.
                let body = self.alnum_halves.iter().find_map(|h| {
                    let body = left.len().checked_sub(h.0)?;
                    let slug = left.get(after..body)?.strip_suffix(tail.as_bytes())?;
                    ((1..=LONGEST_SLUG).contains(&slug.len())
                        && slug[0].is_ascii_alphanumeric()
                        && known(body))
                    .then_some(body)
                })?;
                Some((body, Fit::Named))
            }
        }
    }

    /// How long the second half is, of the `right` that follows the marker, and how sure that is.
    fn end(&self, before: &[u8], right: &[u8], fit: Fit) -> Option<(usize, Confidence)> {
        let holds = |end: usize| looks::ends_in_zero(before, &right[..end]);
        let alnum = right
            .iter()
            .take_while(|b| Alphabet::Alnum.has(**b))
            .count();
        if fit != Fit::Unusual {
            let short = self
                .alnum_halves
                .iter()
                .filter(|h| h.0 == before.len() && h.1 <= alnum);
            if let Some(short) = short.map(|h| h.1).max() {
                // A short key that goes on in letters and digits is glued to something, or a form
                // nobody has seen; the known length is the better guess.
                let exact = alnum == short;
                return Some((
                    short,
                    if exact {
                        Confidence::High
                    } else {
                        Confidence::Medium
                    },
                ));
            }
            let long = self
                .halves
                .iter()
                .filter(|h| h.0 == before.len() && h.1 <= right.len())
                .map(|h| h.1);
            if let Some(end) = long.clone().filter(|end| holds(*end)).max() {
                return Some((end, Confidence::High));
            }
            if let Some(end) = long.max() {
                return Some((end, Confidence::Medium));
            }
        }
        if right.len() < SHORTEST_HALF {
            return None;
        }
        let most = right.len().min(LONGEST_HALF);
        if right.len() <= LONGEST_HALF && holds(right.len()) {
            return Some((right.len(), Confidence::Medium));
        }
        // Glued on the right, and no known length helps: the structure check finds the end, else
        // halves tend to be alike.
        let glued = right.len() > before.len() + 2;
        match (SHORTEST_HALF.max(before.len().saturating_sub(20))..=most)
            .find(|end| glued && holds(*end))
        {
            Some(end) => Some((end, Confidence::Medium)),
            None if right.len() > LONGEST_HALF => {
                Some((before.len().clamp(SHORTEST_HALF, most), Confidence::Low))
            }
            None => Some((right.len(), Confidence::Low)),
        }
    }
}

/// What a text around a marker is classified as.
pub(super) struct Classified {
    pub(super) rule: usize,
    /// Where the key begins, in what stands before the marker.
    pub(super) start: usize,
    /// How much of what follows the marker belongs to it.
    pub(super) length: usize,
    pub(super) confidence: Confidence,
    /// Prefix and both lengths are known ones, and the structure check, where there is one, holds.
    pub(super) exact: bool,
}

impl Family {
    /// Whether a key may begin in what stands before the marker.
    pub(super) fn begins(&self, left: &[u8]) -> bool {
        self.beginning(left).is_some()
    }

    /// What `left` and `right` make with the marker between them.
    pub(super) fn classify(&self, left: &[u8], right: &[u8]) -> Option<Classified> {
        let Beginning {
            member,
            start,
            body,
            fit,
        } = self.beginning(left)?;
        let before = &left[body..];
        let (length, confidence) = member.end(before, right, fit)?;
        if looks::is_placeholder(before) || looks::is_placeholder(&right[..length]) {
            return None;
        }
        let exact = fit != Fit::Unusual && confidence == Confidence::High;
        Some(Classified {
            rule: member.rule,
            start,
            length,
            confidence,
            exact,
        })
    }
}

impl Examiner for Family {
    fn examine(&self, reach: &mut Reach<'_>, at: usize, offset: usize, found: &mut Vec<Candidate>) {
        let Some(marker) = at.checked_sub(offset) else {
            reach.before(at, offset);
            return;
        };
        let end = marker + self.marker.len();
        let whole = reach.slice(marker..end) == self.marker;
        if whole {
            let left = reach.key_left(marker, LONGEST_SIDE);
            let right = reach.key_right(end, LONGEST_SIDE);
            let long_enough = marker - left >= SHORTEST_HALF && right - end >= SHORTEST_HALF;
            let key = long_enough
                .then(|| self.classify(reach.slice(left..marker), reach.slice(end..right)))
                .flatten();
            if let Some(key) = key {
                let span = left + key.start..end + key.length;
                let bytes = reach.slice(span.clone()).to_vec();
                let plain = Candidate::plain(key.rule, span, bytes, key.confidence);
                if key.exact || !self.joined(reach, at, offset, found) {
                    found.push(plain);
                }
                return;
            }
        }
        self.joined(reach, at, offset, found);
    }

    fn may_hold(&self, reach: &mut Reach<'_>, at: usize, offset: usize) -> bool {
        // As much of the marker as stands in one piece with its half has to be the marker.
        let is_key = |b: &&u8| Alphabet::Base64url.has(**b);
        let (before, behind) = self.marker.split_at(offset);
        let right = reach.slice(at..at + behind.len());
        let right = &right[..right.iter().take_while(is_key).count()];
        let left = reach.before(at, before.len() + 1);
        let piece = left.iter().rev().take_while(is_key).count();
        let mut first = &left[left.len() - piece..];
        if let [.., b'\\'] = left[..left.len() - piece]
            && let [b'n' | b'r' | b't', rest @ ..] = first
        {
            // The letter of an escaped line break.
            first = rest;
        }
        let least = first.len().min(before.len());
        // An escape ends in digits, which are no part of the marker.
        let escaped = first.last().is_some_and(u8::is_ascii_hexdigit);
        behind.starts_with(right)
            && (escaped || first[first.len() - least..] == before[before.len() - least..])
    }

    fn begins_in(&self, run: &[u8]) -> Option<usize> {
        let heads = self.members.iter().map(|m| m.prefix.head().as_bytes());
        heads
            .filter_map(|head| memchr::memmem::find(run, head))
            .min()
    }
}

impl Family {
    /// Whether there is a gap near enough for a key in pieces.
    fn is_cut_near(reach: &mut Reach<'_>, at: usize) -> bool {
        at - reach.key_left(at, LONGEST_SIDE) < LONGEST_SIDE
            || reach.key_right(at, LONGEST_SIDE) - at < LONGEST_SIDE
    }

    /// Whether pieces around the marker make a key.
    fn joined(
        &self,
        reach: &mut Reach<'_>,
        at: usize,
        offset: usize,
        found: &mut Vec<Candidate>,
    ) -> bool {
        let window = reach.window();
        let base = window.start;
        if !Self::is_cut_near(reach, at) {
            return false;
        }
        let joined = Joined::around(reach.peek(window), at - base);
        reach.slice(base + joined.looked.start..base + joined.looked.end);
        let Some((rule, key)) = joined.key(self, at - base, offset) else {
            return false;
        };
        let span = base + joined.at[key.start] as usize..base + joined.at[key.end - 1] as usize + 1;
        let bytes = joined.bytes[key].to_vec();
        found.push(Candidate {
            decoders: vec!["joined"],
            ..Candidate::plain(rule, span, bytes, Confidence::Medium)
        });
        true
    }
}

#[cfg(test)]
mod tests {
    use crate::finding::Confidence;
    use crate::matcher::Matcher;
    use crate::rules::Template;

    /// Puts the key of `template` into `around` (at `%`) and expects exactly it to be found.
    fn check(template: &str, around: &str) -> Confidence {
        let matcher = Matcher::shared();
        let mut least = Confidence::High;
        for seed in 0..25 {
            let key = Template::parse(template).unwrap().fill(seed).key;
            let text = around.replace('%', &key);
            let hits = matcher.search_all(text.as_bytes());
            assert_eq!(hits.len(), 1, "{around} {seed}");
            assert!(
                hits[0].secret.expose() == key.as_bytes(),
                "{around} {seed}: {:?}",
                hits[0]
            );
            least = least.min(hits[0].confidence);
        }
        least
    }

    const LONG: &str = "sk-proj-{long:74,74}";
    const SHORT: &str = "sk-{alnum:20}T3BlbkFJ{alnum:20}";

    #[test]
    fn what_surrounds_a_key_is_no_part_of_it() {
        for around in [
            "\"%\"",
            "(%)",
            "%.",
            "%,",
            "/%/",
            "\\n%\\n",
            "\x1b[31m%\x1b[0m",
            "é%é",
            "=%\r\n",
            "%&x=1",
        ] {
            assert_eq!(check(LONG, around), Confidence::High, "{around}");
            assert_eq!(check(SHORT, around), Confidence::High, "{around}");
        }
    }

    #[test]
    fn known_lengths_end_a_key_that_is_glued_to_more() {
        for around in ["%_backup", "old-%", "key_%", "%-2", "%abc123", "%_sk-"] {
            assert!(check(LONG, around) >= Confidence::Medium, "{around}");
        }
        assert!(check(SHORT, "%_backup") >= Confidence::Medium);
    }

    #[test]
    fn lengths_are_flexible_around_the_marker() {
        assert_eq!(check("sk-proj-{long:66,66}", " % "), Confidence::Medium);
        assert_eq!(check("sk-admin-{long:80,90}", " % "), Confidence::Medium);
        assert_eq!(
            check("sk-svcacct-{base64url:41}T3BlbkFJ{alnum:39}B", "\"%\""),
            Confidence::Low
        );
    }
}
