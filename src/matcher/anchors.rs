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
    /// The engine's own numbers of the literals → ours.
    ids: Vec<AnchorId>,
}

/// Beyond this many literals the packed search stops too often, however they are ordered.
const MOST_PACKED: usize = 64;

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
        Self {
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
        self.ids.iter().copied()
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

    /// Else everything is still found, several times slower.
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    #[test]
    fn the_built_in_rules_are_searched_by_the_packed_search() {
        let matcher = Matcher::new(&Rules::built_in(), None);
        assert!(matches!(matcher.anchors.engine, Engine::Packed(_)));
    }
}
