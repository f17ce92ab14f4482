//! The one search that every byte pays for: many short literals at once.

use aho_corasick::{AhoCorasick, MatchKind, packed};

use super::buckets;

/// Which literal was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AnchorId(u16);

impl AnchorId {
    /// Its place in the order of the literals.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

enum Engine {
    /// SIMD fingerprints of the literals' first bytes, for up to 64 of them.
    Packed(packed::Searcher),
    /// Where there is no SIMD, and for users with many rules.
    Automaton(AhoCorasick),
}

/// The literals and their search.
pub struct Anchors {
    literals: Vec<Box<[u8]>>,
    longest: usize,
    engine: Engine,
    /// A byte that stands in no literal, if there is one.
    foreign: Option<u8>,
    /// The engine's own numbers of the literals → ours.
    ids: Vec<AnchorId>,
}

/// Beyond this many literals the packed search stops too often, however they are ordered.
const MOST_PACKED: usize = 64;

/// The packed search compares 32 places at once with the first four bytes of literals. At the first
/// three of a text it knows nothing of what stands before, stops for almost any of them, and looks at
/// literals one by one. If the last places are no full 32 it goes over 32 of them again, in the same
/// way. Short texts would be little else: so they are put into a frame of bytes that stand in no
/// literal, four before and as many behind as make it 3 bytes more than a multiple of 32.
const FRONT: usize = 4;
const SHORT: usize = 3 + 32 - FRONT;
const MIDDLE: usize = 3 + 64 - FRONT;

impl Anchors {
    pub(super) fn new(literals: Vec<Vec<u8>>) -> Self {
        let order = buckets::order(&literals);
        let in_order = order.iter().map(|n| &literals[*n]);
        // The narrow form of the search looks at twice as many bytes at once as the wide one. It
        // is not the one that is taken for more than 32 literals, since literals in any order
        // would stop it too often; ours are in an order that doesn't. (The method is public but
        // not stable: without it the build would fail, nothing would be missed.)
        let searcher = packed::Config::new()
            .match_kind(packed::MatchKind::LeftmostFirst)
            .only_teddy_fat(Some(false))
            .heuristic_pattern_limits(literals.len() > MOST_PACKED)
            .builder()
            .extend(in_order)
            .build();
        let (engine, order) = match searcher {
            Some(searcher) => (Engine::Packed(searcher), order),
            None => {
                let automaton = AhoCorasick::builder()
                    .match_kind(MatchKind::LeftmostFirst)
                    .build(&literals)
                    .expect("the rules bound number and length of anchors");
                (Engine::Automaton(automaton), (0..literals.len()).collect())
            }
        };
        let literals: Vec<Box<[u8]>> = literals.into_iter().map(Into::into).collect();
        let is_foreign = |byte: &u8| !literals.iter().any(|literal| literal.contains(byte));
        Self {
            foreign: (0..=u8::MAX).rev().find(is_foreign),
            longest: literals.iter().map(|l| l.len()).max().unwrap_or(1),
            literals,
            engine,
            ids: order.into_iter().map(|n| AnchorId(n as u16)).collect(),
        }
    }

    /// The first anchor that stands at `from` or later. To see them all, go on one byte after each:
    /// one anchor may hide another.
    pub fn find(&self, bytes: &[u8], from: usize) -> Option<(usize, AnchorId)> {
        let (at, pattern) = match &self.engine {
            Engine::Packed(searcher) => {
                let found = searcher.find_in(bytes, (from..bytes.len()).into())?;
                (found.start(), found.pattern())
            }
            Engine::Automaton(automaton) => {
                let input = aho_corasick::Input::new(bytes).range(from..);
                let found = automaton.find(input)?;
                (found.start(), found.pattern())
            }
        };
        Some((at, self.ids[pattern.as_usize()]))
    }

    /// Tells all anchors in `bytes`, in order.
    pub fn each(&self, bytes: &[u8], mut tell: impl FnMut(usize, AnchorId)) {
        match (bytes.len(), self.foreign) {
            (0, _) => {}
            (1..=SHORT, Some(foreign)) => {
                self.each_framed::<{ FRONT + SHORT }>(bytes, foreign, &mut tell);
            }
            (1..=MIDDLE, Some(foreign)) => {
                self.each_framed::<{ FRONT + MIDDLE }>(bytes, foreign, &mut tell);
            }
            _ => self.each_behind(0, bytes, &mut tell),
        }
    }

    fn each_framed<const SIZE: usize>(
        &self,
        bytes: &[u8],
        foreign: u8,
        tell: &mut impl FnMut(usize, AnchorId),
    ) {
        let mut framed = [foreign; SIZE];
        framed[FRONT..FRONT + bytes.len()].copy_from_slice(bytes);
        self.each_behind(FRONT, &framed, tell);
    }

    /// Tells all anchors, and where they are behind `front` bytes in which none begins.
    fn each_behind(&self, front: usize, bytes: &[u8], tell: &mut impl FnMut(usize, AnchorId)) {
        let mut from = 0;
        while let Some((at, id)) = self.find(bytes, from) {
            tell(at - front, id);
            from = at + 1;
        }
    }

    /// The bytes of a literal.
    pub fn literal(&self, id: AnchorId) -> &[u8] {
        &self.literals[id.index()]
    }

    /// The length of the longest literal.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// All ids, as the search prefers them: of several literals at one place the first is found.
    pub fn ids(&self) -> impl Iterator<Item = AnchorId> {
        let is_first = |(n, id): &(usize, &AnchorId)| !self.ids[..*n].contains(id);
        self.ids
            .iter()
            .enumerate()
            .filter(is_first)
            .map(|(_, id)| *id)
    }

    /// The literals, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.literals.iter().map(|l| &**l)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matcher::Matcher;
    use crate::rules::Rules;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn each_anchor_is_told_wherever_it_stands(
            front in proptest::collection::vec(any::<u8>(), 0..80),
            picked in proptest::collection::vec((any::<usize>(), 0usize..4), 0..4),
            all_bytes in any::<bool>(),
        ) {
            let mut literals: Vec<Vec<u8>> = ["abcd", "abcde", "bcd", "xyz!", "zzz"].map(Into::into).into();
            if all_bytes {
                literals.extend((0..=u8::MAX).map(|byte| vec![byte, 1, 2]));
            }
            let mut text = front;
            for (n, gap) in picked {
                text.extend_from_slice(&literals[n % literals.len()]);
                text.resize(text.len() + gap, b'z');
            }
            let anchors = Anchors::new(literals);
            prop_assert_eq!(anchors.foreign.is_none(), all_bytes);
            let mut told = Vec::new();
            anchors.each(&text, |at, id| told.push((at, id)));
            // At each place the one that the search prefers.
            let first = |at: usize| {
                let stands = |id: &AnchorId| text[at..].starts_with(anchors.literal(*id));
                anchors.ids().find(stands).map(|id| (at, id))
            };
            let all: Vec<_> = (0..text.len()).filter_map(first).collect();
            prop_assert_eq!(told, all);
        }
    }

    /// Else everything is still found, several times slower.
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    #[test]
    fn the_built_in_rules_are_searched_by_the_packed_search() {
        let matcher = Matcher::new(&Rules::built_in(), None);
        assert!(matches!(matcher.anchors.engine, Engine::Packed(_)));
    }
}
