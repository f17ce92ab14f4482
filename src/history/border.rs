//! Could a literal stand across the border of two segments? Mostly two bytes say no.

use crate::matcher::{AnchorId, Anchors};

fn pair(left: u8, right: u8) -> u16 {
    u16::from_be_bytes([left, right])
}

/// A set of pairs of bytes.
struct Pairs(Box<[u64]>);

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

const NOT_FIRST: u8 = 1;
const NOT_LAST: u8 = 2;

/// What the literals say about borders.
pub(super) struct Borders<'a> {
    anchors: &'a Anchors,
    /// Bytes that stand next to each other in a literal.
    pairs: Pairs,
    /// First two bytes of what may follow a border: a proper tail of a literal, or its last byte
    /// and then anything.
    after: Pairs,
    /// Last two bytes of what may stand before a border.
    before: Pairs,
    /// Whether a byte stands in a literal as [`NOT_FIRST`] or [`NOT_LAST`].
    inner: [u8; 256],
    /// Every way to cut a literal in two, by the bytes beside the cut: the literal, and how much
    /// of it stands before the cut.
    cuts: Vec<(u16, AnchorId, u16)>,
    /// For each literal, how many others the search prefers to it.
    ranks: Vec<u16>,
    /// For each literal, the literals that it begins with.
    shorter: Vec<Vec<AnchorId>>,
}

impl<'a> Borders<'a> {
    pub(super) fn new(anchors: &'a Anchors) -> Self {
        let empty = || Pairs(vec![0; 1024].into());
        let mut borders = Self {
            anchors,
            pairs: empty(),
            after: empty(),
            before: empty(),
            inner: [0; 256],
            cuts: Vec::new(),
            ranks: vec![0; anchors.iter().count()],
            shorter: Vec::new(),
        };
        for (rank, id) in anchors.ids().enumerate() {
            borders.ranks[id.index()] = rank as u16;
            let literal = anchors.literal(id);
            let cuts = (1..literal.len()).map(|n| (pair(literal[n - 1], literal[n]), id, n as u16));
            borders.cuts.extend(cuts);
        }
        borders.cuts.sort_unstable_by_key(|cut| cut.0);
        for literal in anchors.iter() {
            for pair in literal.windows(2) {
                borders.pairs.add(pair[0], pair[1]);
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

    /// Whether a literal has these two bytes next to each other.
    pub(super) fn may_meet(&self, left: u8, right: u8) -> bool {
        self.pairs.has(left, right)
    }

    /// How far a literal that crosses a border can reach to either side of it.
    pub(super) fn reach(&self) -> u32 {
        self.anchors.longest() as u32 - 1
    }

    /// The literals that stand across `border` in `bytes`, with bytes on both sides of it.
    pub(super) fn crossing(
        &self,
        bytes: &[u8],
        border: usize,
        mut found: impl FnMut(usize, AnchorId),
    ) {
        let beside = pair(bytes[border - 1], bytes[border]);
        let first = self.cuts.partition_point(|cut| cut.0 < beside);
        for &(_, id, before) in self.cuts[first..].iter().take_while(|cut| cut.0 == beside) {
            let Some(at) = border.checked_sub(usize::from(before)) else {
                continue;
            };
            if bytes[at..].starts_with(self.anchors.literal(id)) {
                found(at, id);
            }
        }
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
