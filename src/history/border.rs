//! Could a literal stand across the border of two segments? Mostly two bytes say no.

use crate::matcher::{AnchorId, Anchors};

fn pair(left: u8, right: u8) -> u16 {
    u16::from_be_bytes([left, right])
}

/// A set of pairs of bytes.
struct Pairs(Box<[u64]>);

impl Default for Pairs {
    fn default() -> Self {
        Self(vec![0; 1024].into())
    }
}

impl Pairs {
    fn has(&self, left: u8, right: u8) -> bool {
        let pair = usize::from(pair(left, right));
        self.0[pair >> 6] >> (pair & 63) & 1 != 0
    }

    fn add(&mut self, left: u8, right: u8) {
        let pair = usize::from(pair(left, right));
        self.0[pair >> 6] |= 1 << (pair & 63);
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
    /// For each word of `pairs`, how many pairs are in the words before it.
    before: Box<[u32]>,
    /// For each pair, in order, where its cuts begin; at the end where the last ones end.
    first: Vec<u32>,
    list: Vec<Cut>,
}

impl Cuts {
    fn new(anchors: &Anchors) -> Self {
        let mut all: Vec<(u16, Cut)> = Vec::new();
        for anchor in anchors.ids() {
            let literal = anchors.literal(anchor);
            let cut = |before| {
                let beside = pair(literal[before - 1], literal[before]);
                (beside, Cut { anchor, before })
            };
            all.extend((1..literal.len()).map(cut));
        }
        all.sort_unstable();
        let (mut pairs, mut first) = (Pairs::default(), Vec::new());
        for (n, (beside, _)) in all.iter().enumerate() {
            if n == 0 || all[n - 1].0 != *beside {
                let [left, right] = beside.to_be_bytes();
                pairs.add(left, right);
                first.push(n as u32);
            }
        }
        first.push(all.len() as u32);
        let mut sum = 0;
        let before = pairs.0.iter().map(|word| {
            let before = sum;
            sum += word.count_ones();
            before
        });
        Self {
            before: before.collect(),
            pairs,
            first,
            list: all.into_iter().map(|(_, cut)| cut).collect(),
        }
    }

    /// The cuts between these two bytes.
    fn between(&self, left: u8, right: u8) -> &[Cut] {
        if !self.pairs.has(left, right) {
            return &[];
        }
        let pair = usize::from(pair(left, right));
        let lower = self.pairs.0[pair >> 6] & ((1 << (pair & 63)) - 1);
        let at = self.before[pair >> 6] as usize + lower.count_ones() as usize;
        &self.list[self.first[at] as usize..self.first[at + 1] as usize]
    }
}

const NOT_FIRST: u8 = 1;
const NOT_LAST: u8 = 2;

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

    /// Whether a literal may go on with these bytes behind a border.
    pub(super) fn may_follow(&self, bytes: &[u8]) -> bool {
        match bytes {
            [a, b, ..] => self.after.has(*a, *b),
            [a] => self.inner[usize::from(*a)] & NOT_FIRST != 0,
            [] => true,
        }
    }

    /// Whether a literal may begin with the last of these bytes before a border.
    pub(super) fn may_precede(&self, bytes: &[u8]) -> bool {
        match bytes {
            [.., a, b] => self.before.has(*a, *b),
            [b] => self.inner[usize::from(*b)] & NOT_LAST != 0,
            [] => true,
        }
    }

    /// How far a literal that crosses a border can reach to either side of it.
    pub(super) fn reach(&self) -> u32 {
        self.anchors.longest() as u32 - 1
    }

    /// How the literals would be cut that may stand across a border between these two bytes. Mostly
    /// there is none.
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
