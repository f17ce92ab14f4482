//! Could a literal stand across the border of two segments? Mostly two bytes say no.

use super::delta::{Delta, Segment};
use super::version::{Beside, Source, Version};
use crate::matcher::{AnchorId, Anchors};

/// Pairs of bytes, where two that differ in the highest bits of the second byte alone are one: it is
/// asked millions of times between other things, and has to be small to stay in the fastest cache.
struct Pairs(Box<[u64; 256]>);

impl Default for Pairs {
    fn default() -> Self {
        Self(Box::new([0; 256]))
    }
}

impl Pairs {
    /// Whether the pair is in the set; a pair that is not may seem to be, too.
    #[inline]
    fn may_have(&self, left: u8, right: u8) -> bool {
        self.0[usize::from(left)] >> (right & 63) & 1 != 0
    }

    fn add(&mut self, left: u8, right: u8) {
        self.0[usize::from(left)] |= 1 << (right & 63);
    }
}

/// A way to cut a literal in two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cut {
    pub(super) anchor: AnchorId,
    /// How many of its bytes stand before the cut.
    pub(super) before: usize,
}

/// Cuts of literals by the two bytes beside them.
struct Cuts {
    pairs: Pairs,
    /// For each first byte of pairs, how many pairs have a smaller one.
    before: Box<[u32; 256]>,
    /// For each pair, in order, where its cuts begin; at the end where the last ones end.
    first: Vec<u32>,
    list: Vec<Cut>,
}

impl Cuts {
    fn new(anchors: &Anchors) -> Self {
        let mut all: Vec<((u8, u8), Cut)> = Vec::new();
        for anchor in anchors.ids() {
            let literal = anchors.literal(anchor);
            let cut = |before| {
                let beside = (literal[before - 1], literal[before] & 63);
                (beside, Cut { anchor, before })
            };
            all.extend((1..literal.len()).map(cut));
        }
        all.sort_unstable();
        let (mut pairs, mut first) = (Pairs::default(), Vec::new());
        for (n, (beside, _)) in all.iter().enumerate() {
            if n == 0 || all[n - 1].0 != *beside {
                pairs.add(beside.0, beside.1);
                first.push(n as u32);
            }
        }
        first.push(all.len() as u32);
        let (mut before, mut sum) = (Box::new([0; 256]), 0);
        for (before, word) in before.iter_mut().zip(pairs.0.iter()) {
            *before = sum;
            sum += word.count_ones();
        }
        Self {
            before,
            pairs,
            first,
            list: all.into_iter().map(|(_, cut)| cut).collect(),
        }
    }

    /// The cuts between these two bytes, and those beside which others stand that seem to be these.
    #[inline]
    fn between(&self, left: u8, right: u8) -> &[Cut] {
        if !self.pairs.may_have(left, right) {
            return &[];
        }
        let lower = self.pairs.0[usize::from(left)] & ((1 << (right & 63)) - 1);
        let at = (self.before[usize::from(left)] + lower.count_ones()) as usize;
        &self.list[self.first[at] as usize..self.first[at + 1] as usize]
    }
}

const NOT_FIRST: u8 = 1;
const NOT_LAST: u8 = 2;

/// A border: the number of the segment behind it, and the bytes before and behind it.
pub(super) type Border = (u32, u8, u8);

/// What the literals say about borders.
pub(super) struct Borders<'a> {
    anchors: &'a Anchors,
    /// Every way to cut a literal in two.
    cuts: Cuts,
    /// First two bytes of what may follow a border: a proper tail of a literal, or its last byte
    /// and then anything.
    after: Pairs,
    /// Last two bytes of what may stand before a border.
    before: Pairs,
    /// Whether a byte stands in a literal as [`NOT_FIRST`] or [`NOT_LAST`].
    inner: [u8; 256],
    /// For each literal, how many others the search prefers to it.
    ranks: Vec<u16>,
    /// For each literal, the literals that it begins with.
    shorter: Vec<Vec<AnchorId>>,
}

impl<'a> Borders<'a> {
    pub(super) fn new(anchors: &'a Anchors) -> Self {
        let mut borders = Self {
            anchors,
            cuts: Cuts::new(anchors),
            after: Pairs::default(),
            before: Pairs::default(),
            inner: [0; 256],
            ranks: vec![0; anchors.iter().count()],
            shorter: Vec::new(),
        };
        for (rank, id) in anchors.ids().enumerate() {
            borders.ranks[id.index()] = rank as u16;
        }
        for literal in anchors.iter() {
            for pair in literal.windows(2) {
                borders.inner[usize::from(pair[0])] |= NOT_LAST;
                borders.inner[usize::from(pair[1])] |= NOT_FIRST;
            }
            for pair in literal[1..].windows(2) {
                borders.after.add(pair[0], pair[1]);
            }
            for pair in literal[..literal.len() - 1].windows(2) {
                borders.before.add(pair[0], pair[1]);
            }
            for any in 0..=255 {
                borders.after.add(literal[literal.len() - 1], any);
                borders.before.add(any, literal[0]);
            }
            let begins = |id: &AnchorId| {
                let other = anchors.literal(*id);
                other.len() < literal.len() && literal.starts_with(other)
            };
            borders.shorter.push(anchors.ids().filter(begins).collect());
        }
        borders
    }

    /// Lists the borders that a literal may cross, for all that the bytes on either side tell. Mostly
    /// there is none. `open` is scratch.
    #[inline(never)]
    pub(super) fn crossed<'l, M>(
        &self,
        version: Version<'_, M>,
        open: &mut Vec<Beside>,
        crossed: &'l mut Vec<Border>,
    ) -> &'l [Border] {
        let open = self.open(version.delta, open);
        if crossed.len() < open.len() {
            crossed.resize(open.len(), (0, 0, 0));
        }
        let mut count = 0;
        version.beside(open, |number, left, right| {
            crossed[count] = (number, left, right);
            count += usize::from(self.cuts.pairs.may_have(left, right));
        });
        &crossed[..count]
    }

    /// Lists the borders that a literal may cross, for all that inserted bytes tell; the last one first,
    /// since a segment's end is where the next one begins. Nothing is decided border by border: nobody
    /// could foresee it.
    #[inline(never)]
    fn open<'l>(&self, delta: Delta<'_>, list: &'l mut Vec<Beside>) -> &'l [Beside] {
        if list.len() < delta.segments.len() {
            list.resize(delta.segments.len(), Beside::default());
        }
        let list = &mut list[..delta.segments.len()];
        let (mut end, mut behind, mut follows) = (delta.length, Source::default(), false);
        let mut count = 0;
        for (number, segment) in delta.segments.iter().enumerate().rev() {
            let Segment { at, from, copied } = *segment;
            let until = from + (end - at);
            let (first, goes_on, before, precedes) = if copied {
                (Source::base(from), true, Source::base(until - 1), true)
            } else {
                self.inserted(&delta.inserted[from as usize..until as usize])
            };
            list[count] = Beside {
                number: number as u32 + 1,
                before,
                behind,
            };
            count += usize::from(precedes & follows);
            (end, behind, follows) = (at, first, goes_on);
        }
        &list[..count]
    }

    /// The first of inserted bytes, and whether a literal may go on with them behind a border; the last
    /// of them, and whether a literal may begin with them before one.
    #[inline]
    fn inserted(&self, bytes: &[u8]) -> (Source, bool, Source, bool) {
        let (first, goes_on, last, precedes) = match (bytes, bytes) {
            ([a, b, ..], [.., c, d]) => {
                let (goes_on, precedes) =
                    (self.after.may_have(*a, *b), self.before.may_have(*c, *d));
                (*a, goes_on, *d, precedes)
            }
            ([one], _) => {
                let inner = self.inner[usize::from(*one)];
                (*one, inner & NOT_FIRST != 0, *one, inner & NOT_LAST != 0)
            }
            _ => (0, true, 0, true),
        };
        (
            Source::inserted(first),
            goes_on,
            Source::inserted(last),
            precedes,
        )
    }

    /// How far a literal that crosses a border can reach to either side of it.
    pub(super) fn reach(&self) -> u32 {
        self.anchors.longest() as u32 - 1
    }

    /// How the literals would be cut that may stand across a border between these two bytes; some of
    /// them have another byte behind it. Mostly there is none.
    #[inline]
    pub(super) fn crossing(&self, left: u8, right: u8) -> &[Cut] {
        self.cuts.between(left, right)
    }

    /// How many literals the search prefers to this one, where both stand at one place.
    pub(super) fn rank(&self, id: AnchorId) -> u16 {
        self.ranks[id.index()]
    }

    /// The literal that is left of `id` when only `length` bytes of it are there.
    pub(super) fn cut(&self, id: AnchorId, length: usize) -> Option<AnchorId> {
        let fits = |shorter: &&AnchorId| self.anchors.literal(**shorter).len() <= length;
        self.shorter[id.index()].iter().find(fits).copied()
    }
}
