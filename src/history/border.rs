//! Could a literal stand across the border of two segments? Mostly two bytes say no.

use super::ends::{Ends, Pairs};
use super::version::Version;
use crate::matcher::{AnchorId, Anchors};

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
        let (mut pairs, mut first) = (Pairs::none(), Vec::new());
        for (n, (beside, _)) in all.iter().enumerate() {
            if n == 0 || all[n - 1].0 != *beside {
                pairs.add(beside.0, beside.1);
                first.push(n as u32);
            }
        }
        first.push(all.len() as u32);
        let (mut before, mut sum) = (Box::new([0; 256]), 0);
        for (before, word) in before.iter_mut().zip(pairs.rows()) {
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
        let lower = self.pairs.row(left) & ((1 << (right & 63)) - 1);
        let at = (self.before[usize::from(left)] + lower.count_ones()) as usize;
        &self.list[self.first[at] as usize..self.first[at + 1] as usize]
    }
}

/// A border: the number of the segment behind it, and the bytes before and behind it.
pub(super) type Border = (u32, u8, u8);

/// What the literals say about borders.
pub(super) struct Borders<'a> {
    anchors: &'a Anchors,
    /// What a delta's own bytes say of its borders.
    ends: Ends,
    /// Every way to cut a literal in two.
    cuts: Cuts,
    /// For each literal, how many others the search prefers to it.
    ranks: Vec<u16>,
    /// For each literal, the literals that it begins with.
    shorter: Vec<Vec<AnchorId>>,
}

impl<'a> Borders<'a> {
    pub(super) fn new(anchors: &'a Anchors) -> Self {
        let mut borders = Self {
            anchors,
            ends: Ends::of(anchors),
            cuts: Cuts::new(anchors),
            ranks: vec![0; anchors.iter().count()],
            shorter: Vec::new(),
        };
        for (rank, id) in anchors.ids().enumerate() {
            borders.ranks[id.index()] = rank as u16;
        }
        for literal in anchors.iter() {
            let begins = |id: &AnchorId| {
                let other = anchors.literal(*id);
                other.len() < literal.len() && literal.starts_with(other)
            };
            borders.shorter.push(anchors.ids().filter(begins).collect());
        }
        borders
    }

    /// Lists the borders that a literal may cross, for all that the bytes on either side tell. Mostly
    /// there is none.
    #[inline(never)]
    pub(super) fn crossed<'l, M>(
        &self,
        version: Version<'_, M>,
        crossed: &'l mut Vec<Border>,
    ) -> &'l [Border] {
        let open = version.delta.open.len();
        if crossed.len() < open {
            crossed.resize(open, (0, 0, 0));
        }
        let mut count = 0;
        version.beside(|number, left, right| {
            crossed[count] = (number, left, right);
            count += usize::from(self.cuts.pairs.may_have(left, right));
        });
        &crossed[..count]
    }

    pub(super) fn ends(&self) -> &Ends {
        &self.ends
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
