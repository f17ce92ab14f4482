//! The one search that every byte pays for: many short literals at once.

use aho_corasick::{AhoCorasick, MatchKind, packed};

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
}

impl Anchors {
    pub(super) fn new(literals: Vec<Vec<u8>>) -> Self {
        let literals: Vec<Box<[u8]>> = literals.into_iter().map(Into::into).collect();
        let searcher = packed::Config::new()
            .match_kind(packed::MatchKind::LeftmostFirst)
            .builder()
            .extend(&literals)
            .build();
        let engine = match searcher {
            Some(searcher) => Engine::Packed(searcher),
            None => Engine::Automaton(
                AhoCorasick::builder()
                    .match_kind(MatchKind::LeftmostFirst)
                    .build(&literals)
                    .expect("the rules bound number and length of anchors"),
            ),
        };
        Self {
            longest: literals.iter().map(|l| l.len()).max().unwrap_or(1),
            literals,
            engine,
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
        Some((at, AnchorId(pattern.as_usize() as u16)))
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
    pub fn ids(&self) -> impl Iterator<Item = AnchorId> + use<> {
        (0..self.literals.len()).map(|id| AnchorId(id as u16))
    }

    /// The literals, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.literals.iter().map(|l| &**l)
    }
}
