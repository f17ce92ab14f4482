//! Bytes → anchors → candidates → keys. Pure: no input or output, nothing but the rules decides.
//!
//! Every byte pays for one multi-literal search ([`Anchors`]); all else happens around the rare
//! anchors and looks at no more than [`REACH`] bytes on either side.

mod anchors;
mod buckets;
mod compile;
mod decode;
mod disguised;
#[cfg(test)]
mod disguises;
mod joined;
mod looks;
mod marked;
mod masking;
mod near;
mod pattern;
mod reach;
mod redact;
mod token;
mod values;

use std::ops::Range;
use std::sync::Arc;

pub use self::anchors::{AnchorId, Anchors};
use self::disguised::{Undone, Work};
pub use self::masking::{MASKS_BACK, Masking, Shown};
use self::reach::Reach;
pub use self::redact::Redacted;
pub use self::values::{Named, Values};
use crate::finding::{Confidence, RuleInfo};
use crate::secret::{Fingerprint, Secret};

/// No examination looks further than this many bytes before or behind its anchor. Whoever cuts
/// input into pieces keeps that much of it at hand.
pub const REACH: usize = 4096;

/// Some bytes, and whether the blob they belong to starts and ends where they do.
#[derive(Clone, Copy)]
pub struct Text<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// Nothing stands before them.
    pub starts: bool,
    /// Nothing follows them.
    pub ends: bool,
}

impl<'a> Text<'a> {
    /// A whole blob.
    pub fn whole(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            starts: true,
            ends: true,
        }
    }
}

/// A key in a text.
#[derive(Clone, Debug)]
pub struct Hit {
    /// The rule that it satisfies.
    pub rule: Arc<RuleInfo>,
    /// Where it stands, in its encoded form if it is encoded.
    pub span: Range<usize>,
    /// The key.
    pub secret: Secret,
    /// Names the key.
    pub fingerprint: Fingerprint,
    /// How sure this is.
    pub confidence: Confidence,
    /// What had to be undone to read it, outermost first.
    pub decoders: Vec<&'static str>,
}

/// What an examination looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examined {
    /// All bytes that had a say in the outcome: where these stand again, so does the outcome.
    pub touched: Range<usize>,
    /// It wanted to look before the text's first byte, and the blob does not start there.
    pub cut_left: bool,
    /// It wanted to look behind the text's last byte, and the blob does not end there.
    pub cut_right: bool,
}

/// A key as an examiner sees it; [`Matcher`] makes a [`Hit`] of it.
struct Candidate {
    rule: usize,
    span: Range<usize>,
    key: Vec<u8>,
    confidence: Confidence,
    decoders: Vec<&'static str>,
}

impl Candidate {
    fn plain(rule: usize, span: Range<usize>, key: Vec<u8>, confidence: Confidence) -> Self {
        Self {
            rule,
            span,
            key,
            confidence,
            decoders: Vec::new(),
        }
    }
}

/// The places of the last few hits: one key may be reached from several anchors around it.
#[derive(Clone, Debug, Default)]
pub struct Recent {
    places: [(u64, u64); 16],
    next: usize,
}

impl Recent {
    /// Whether no hit of this length was seen at this offset of the blob lately.
    pub fn is_new(&mut self, offset: u64, length: u64) -> bool {
        if self.places.contains(&(offset, length)) {
            return false;
        }
        self.places[self.next] = (offset, length);
        self.next = (self.next + 1) % self.places.len();
        true
    }
}

/// One way to look at an anchor's surroundings: a file for each shape.
trait Examiner: Send + Sync {
    /// `at` is where the anchor stands, `offset` where the anchor lies in its literal (a marker,
    /// a prefix).
    fn examine(&self, reach: &mut Reach<'_>, at: usize, offset: usize, found: &mut Vec<Candidate>);

    /// Whether there may be a key at all, in plain, in pieces or between escapes: a quick look.
    fn may_hold(&self, _reach: &mut Reach<'_>, _at: usize, _offset: usize) -> bool {
        true
    }

    /// Where in a run of a key's characters, of which more may follow, one of its keys may begin.
    fn begins_in(&self, _run: &[u8]) -> Option<usize> {
        None
    }
}

/// Who looks at an anchor.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    /// The examiner of this index.
    Examiner(usize),
    /// The decoder of this index.
    Decoder(usize),
}

#[derive(PartialEq, Eq)]
struct Use {
    look: Look,
    offset: usize,
}

struct Known {
    info: Arc<RuleInfo>,
    built_in: bool,
}

/// The compiled rules. Shared by all threads; needs no scratch memory.
pub struct Matcher {
    anchors: Anchors,
    /// For each anchor, who examines it.
    uses: Vec<Vec<Use>>,
    examiners: Vec<Box<dyn Examiner>>,
    /// How many of them, the first ones, look for marked keys.
    marked: usize,
    rules: Vec<Known>,
    salt: Vec<u8>,
}

impl Matcher {
    /// The literals that are searched for.
    pub fn anchors(&self) -> &Anchors {
        &self.anchors
    }

    /// Looks at what stands around the anchor `id` at `at`, adding what it finds to `hits`.
    pub fn examine(
        &self,
        text: Text<'_>,
        at: usize,
        id: AnchorId,
        hits: &mut Vec<Hit>,
    ) -> Examined {
        self.examine_within(text, at, id, &mut Work::new(Undone::default()), hits)
    }

    fn examine_within(
        &self,
        text: Text<'_>,
        at: usize,
        id: AnchorId,
        work: &mut Work,
        hits: &mut Vec<Hit>,
    ) -> Examined {
        let mut reach = Reach::new(text, at..at + self.anchors.literal(id).len());
        reach.run = work.run;
        for used in &self.uses[id.index()] {
            match used.look {
                Look::Examiner(index) => {
                    let mut found = Vec::new();
                    if !self.examiners[index].may_hold(&mut reach, at, used.offset) {
                        continue;
                    }
                    let was_cut = std::mem::take(&mut reach.cut_right);
                    self.examiners[index].examine(&mut reach, at, used.offset, &mut found);
                    if reach.cut_right && work.depth > 0 {
                        // More was not undone; its own anchors lead to it.
                        found.clear();
                    }
                    reach.cut_right |= was_cut;
                    if found.is_empty() && index < self.marked {
                        self.undo_between(&mut reach, at, work, hits);
                    }
                    hits.extend(found.into_iter().map(|candidate| self.hit(candidate)));
                }
                Look::Decoder(index) => self.undo(&mut reach, at, index, used.offset, work, hits),
            }
        }
        work.run = reach.run;
        reach.into_examined()
    }

    /// Finds the keys whose anchors begin in `within`, and returns how far the search is settled:
    /// the first place from which to search again when more of the blob is at hand (the end of
    /// `within`, if all of it is). A key that several anchors lead to is found by each of them, see
    /// [`Recent`].
    pub fn search(&self, text: Text<'_>, within: Range<usize>, hits: &mut Vec<Hit>) -> usize {
        let tail = self.anchors.longest() - 1;
        let searched = &text.bytes[..text.bytes.len().min(within.end.saturating_add(tail))];
        let mut from = within.start;
        let mut work = Work::new(Undone::default());
        while let Some((at, id)) = self.anchors.find(searched, from) {
            if at >= within.end {
                break;
            }
            let before = hits.len();
            work.renew();
            let examined = self.examine_within(text, at, id, &mut work, hits);
            if examined.cut_right {
                hits.truncate(before);
                return at;
            }
            from = at + 1;
        }
        match text.ends {
            true => within.end,
            false => from.max(within.end.min(text.bytes.len().saturating_sub(tail))),
        }
    }

    /// The keys of a whole blob.
    pub fn search_all(&self, bytes: &[u8]) -> Vec<Hit> {
        let mut hits = Vec::new();
        self.search(Text::whole(bytes), 0..bytes.len(), &mut hits);
        let mut recent = Recent::default();
        hits.retain(|hit| recent.is_new(hit.span.start as u64, hit.span.len() as u64));
        hits
    }

    /// The embedded rules, compiled once for all tests.
    #[cfg(test)]
    pub(crate) fn shared() -> &'static Self {
        static SHARED: std::sync::LazyLock<Matcher> =
            std::sync::LazyLock::new(|| Matcher::new(&crate::rules::Rules::built_in(), None));
        &SHARED
    }

    fn hit(&self, candidate: Candidate) -> Hit {
        let Known { info, built_in } = &self.rules[candidate.rule];
        let secret = Secret::new(candidate.key);
        let fingerprint = if *built_in || looks::entropy_bits(secret.expose()) >= 96.0 {
            secret.fingerprint()
        } else {
            let mut salt = self.salt.clone();
            salt.extend_from_slice(info.id.as_bytes());
            secret.fingerprint_salted(&salt)
        };
        Hit {
            rule: Arc::clone(info),
            span: candidate.span,
            secret,
            fingerprint,
            confidence: candidate.confidence,
            decoders: candidate.decoders,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Rules;
    use proptest::prelude::*;

    fn matcher() -> &'static Matcher {
        Matcher::shared()
    }

    #[test]
    fn every_rule_finds_what_its_templates_promise_and_nothing_else() {
        let matcher = matcher();
        for rule in Rules::built_in().iter() {
            for (seed, template) in
                (0..40).flat_map(|s| rule.must_match.iter().map(move |t| (s, t)))
            {
                let filled = template.fill(seed);
                let hits = matcher.search_all(filled.text.as_bytes());
                assert_eq!(
                    hits.len(),
                    1,
                    "{} {} {seed}",
                    rule.info.id,
                    template.source()
                );
                assert_eq!(hits[0].rule.id, rule.info.id, "{}", template.source());
                assert!(
                    hits[0].secret.expose() == filled.key.as_bytes(),
                    "{} {seed}",
                    template.source()
                );
                assert_eq!(
                    &filled.text.as_bytes()[hits[0].span.clone()],
                    filled.key.as_bytes()
                );
            }
            for (seed, template) in
                (0..40).flat_map(|s| rule.must_not_match.iter().map(move |t| (s, t)))
            {
                let hits = matcher.search_all(template.fill(seed).text.as_bytes());
                assert!(
                    hits.is_empty(),
                    "{} {} {seed}",
                    rule.info.id,
                    template.source()
                );
            }
        }
    }

    #[test]
    fn anchors_neither_contain_nor_overlap_each_other() {
        // An anchor that hides behind another one would be seen only at its end; the search goes
        // on one byte after each, but the delta walk counts on it as well.
        let matcher = matcher();
        let all: Vec<&[u8]> = matcher.anchors().iter().collect();
        for (i, a) in all.iter().enumerate() {
            for (j, b) in all.iter().enumerate() {
                assert!(
                    i == j || !a.windows(b.len()).any(|w| w == *b),
                    "{a:?} contains {b:?}"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn pieces_find_what_the_whole_finds(
            seeds in proptest::collection::vec((0u64..1000, 0usize..20, "[a-z =\"\\n]{0,40}"), 1..6),
            cuts in proptest::collection::vec(0usize..4000, 0..6),
        ) {
            let matcher = matcher();
            let templates: Vec<_> = Rules::built_in().iter().flat_map(|r| r.must_match.clone()).collect();
            let mut blob = Vec::new();
            for (seed, which, between) in &seeds {
                blob.extend_from_slice(between.as_bytes());
                blob.push(b'\n');
                blob.extend_from_slice(templates[which % templates.len()].fill(*seed).text.as_bytes());
            }
            let whole: Vec<_> = matcher.search_all(&blob).into_iter().map(|h| (h.span, h.fingerprint)).collect();
            let mut pieces = Vec::new();
            let mut ends: Vec<usize> = cuts.iter().map(|c| c % (blob.len() + 1)).collect();
            ends.sort_unstable();
            ends.push(blob.len());
            let mut from = 0;
            let mut recent = Recent::default();
            for end in ends {
                let mut hits = Vec::new();
                let text = Text { bytes: &blob[..end], starts: true, ends: end == blob.len() };
                from = matcher.search(text, from..end, &mut hits);
                hits.retain(|h| recent.is_new(h.span.start as u64, h.span.len() as u64));
                pieces.extend(hits.into_iter().map(|h| (h.span, h.fingerprint)));
            }
            prop_assert_eq!(whole, pieces);
        }

        #[test]
        fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..600), at in 0usize..600) {
            let mut blob = bytes;
            let at = at % (blob.len() + 1);
            blob.splice(at..at, b"sk-T3BlbkFJek_sess-openai.azure.comkey".iter().copied());
            let matcher = matcher();
            matcher.search_all(&blob);
            let text = Text { bytes: &blob, starts: false, ends: false };
            matcher.search(text, 0..blob.len(), &mut Vec::new());
        }
    }
}
