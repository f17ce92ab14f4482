//! Packs (gitformat-pack(5)): entries one after another, whole or as deltas.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::damage::Damage;
use super::idx::Index;
use super::inflate::{AHEAD, measure};
use super::map::Map;
use crate::repo::{ObjectId, ObjectKind as Kind};

/// What an entry's data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Whole(Kind),
    /// A delta against the entry that begins at this offset.
    Offset(u64),
    /// A delta against the object of this id.
    Reference(ObjectId),
}

/// An entry's header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) form: Form,
    /// How many bytes the data inflates to, so it says.
    pub(super) size: u64,
    /// Where the compressed data begins.
    pub(super) data: usize,
}

/// A pack and where its entries are. An entry is named by its number in the order of offsets, or,
/// where nobody needs to know all of them, by its offset.
pub(super) struct Pack {
    path: PathBuf,
    map: Map,
    id_len: usize,
    /// How many entries there are, so the header says.
    count: u32,
    /// One that is whole and says that it was made for this pack.
    index: Result<Index, Damage>,
    table: OnceLock<Table>,
    /// An earlier run has compared the index with the pack.
    vouched: AtomicBool,
    promised: bool,
}

/// All entries of a pack, made when somebody asks for one by its number.
struct Table {
    /// Where each entry begins, and at the end where the last one ends.
    starts: Vec<u64>,
    /// Where to look for an offset.
    blocks: Blocks,
    /// For each entry, its position in the index; empty without one.
    positions: Vec<u32>,
    /// Entries that the pack's header promises and nobody can find.
    missing: u64,
    /// Whether the index disagrees with the pack after all.
    disagrees: bool,
}

impl Pack {
    /// Opens a pack with ids of `id_len` bytes, and its index.
    pub(super) fn open(path: &Path, id_len: usize) -> Result<Self, Damage> {
        let map = Map::open(path)?;
        if map.len() < 12 + id_len {
            return Err(Damage::Short);
        }
        let word = |at: usize| u32::from_be_bytes([map[at], map[at + 1], map[at + 2], map[at + 3]]);
        if !map.starts_with(b"PACK") || !matches!(word(4), 2 | 3) {
            return Err(Damage::NotA("pack of version 2 or 3"));
        }
        let count = word(8);
        let checksum = &map[map.len() - id_len..];
        let index = Index::open(&path.with_extension("idx"), id_len).and_then(|index| {
            match index.len() as u64 == u64::from(count) && index.pack_checksum() == checksum {
                true => Ok(index),
                false => Err(Damage::Disagrees),
            }
        });
        Ok(Self {
            path: path.to_owned(),
            id_len,
            count,
            index,
            table: OnceLock::new(),
            vouched: AtomicBool::new(false),
            promised: path.with_extension("promisor").exists(),
            map,
        })
    }

    /// All entries. Without a usable index they are found by inflating one after another, and have
    /// no ids.
    fn table(&self) -> &Table {
        self.table.get_or_init(|| {
            let listed = self.index.as_ref().ok().map(|index| self.listed(index));
            let disagrees = listed.as_ref().is_some_and(Option::is_none);
            listed.flatten().unwrap_or_else(|| {
                let (starts, missing) = self.walk_entries();
                let end = starts.last().copied().unwrap_or_default();
                Table {
                    blocks: Blocks::of(end, starts.iter().copied()),
                    starts,
                    positions: Vec::new(),
                    missing,
                    disagrees,
                }
            })
        })
    }

    /// The entries that an index lists: where they begin, and their positions in the index; none is
    /// missing. `None` if they can't be those of this pack.
    fn listed(&self, index: &Index) -> Option<Table> {
        let end = self.end() as u64;
        let offset = |position| index.offset(position).filter(|at| (12..end).contains(at));
        // What can't be one is counted as any, and refused below.
        let offsets = (0..index.len()).map(|position| offset(position).unwrap_or_default());
        let blocks = Blocks::of(end, offsets);
        // Each goes to where its stretch has room, so that only those of one stretch are to be sorted.
        let mut next = blocks.before.clone();
        let (mut starts, mut positions) = (vec![end; index.len() + 1], vec![0; index.len()]);
        for position in 0..index.len() {
            let start = offset(position)?;
            // Should the index change meanwhile, it is not this pack's.
            let place = next.get_mut(blocks.stretch(start))?;
            *starts.get_mut(*place as usize)? = start;
            *positions.get_mut(*place as usize)? = position as u32;
            *place += 1;
        }
        for stretch in blocks.before.windows(2) {
            let stretch = stretch[0] as usize..stretch[1] as usize;
            sort(&mut starts[stretch.clone()], &mut positions[stretch]);
        }
        let follow = starts.windows(2).all(|pair| pair[0] < pair[1]);
        (follow && starts[0] == 12).then_some(Table {
            starts,
            blocks,
            positions,
            missing: 0,
            disagrees: false,
        })
    }

    /// Where entries begin, found by inflating one after another; and how many are missing.
    fn walk_entries(&self) -> (Vec<u64>, u64) {
        let mut starts = Vec::new();
        let end = self.end();
        let mut at = 12;
        for done in 0..self.count {
            starts.push(at as u64);
            let size = self.header_at(at, end).and_then(|header| {
                let (taken, inflated) = measure(&self.map[header.data..end])?;
                if inflated != header.size {
                    return Err(Damage::Size);
                }
                Ok(header.data - at + taken)
            });
            match size {
                Ok(size) => at += size,
                Err(_) => {
                    // Where the next one begins is not known any more.
                    return (starts, u64::from(self.count - done));
                }
            }
        }
        starts.push(at as u64);
        (starts, 0)
    }

    /// Where the entries end and the checksum begins.
    fn end(&self) -> usize {
        self.map.len() - self.id_len
    }

    /// More entries than there can be.
    pub(super) fn bound(&self) -> usize {
        self.map.len().min(self.count as usize)
    }

    /// How many entries can be read.
    pub(super) fn len(&self) -> u32 {
        self.table().starts.len().saturating_sub(1) as u32
    }

    /// How many entries are lost, since the pack is damaged and no index helps.
    pub(super) fn missing(&self) -> u64 {
        self.table().missing
    }

    /// Why its index is of no use, if it has one.
    pub(super) fn index_damage(&self) -> Option<&Damage> {
        match &self.index {
            Err(Damage::Unreadable(error)) if error.kind() == io::ErrorKind::NotFound => None,
            Err(damage) => Some(damage),
            Ok(_) => self.table().disagrees.then_some(&Damage::Disagrees),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it came from a promisor: what it names may be left out of a partial clone.
    pub(super) fn is_promised(&self) -> bool {
        self.promised
    }

    /// Whether it holds an object whose id begins like this.
    pub(super) fn holds_head(&self, head: u64) -> bool {
        self.index
            .as_ref()
            .is_ok_and(|index| index.find(&head.to_be_bytes()).is_some())
    }

    /// What names the pack's content, and what its index says of it: both checksums, as they stand
    /// in the files, and the sizes. `None` without an index.
    pub(super) fn identity(&self) -> Option<Vec<u8>> {
        let index = self.index.as_ref().ok()?;
        let sizes = [self.map.len() as u64, u64::from(self.count)];
        let sizes = sizes.iter().flat_map(|size| size.to_be_bytes());
        let sums = [&self.map[self.end()..], index.checksum()];
        Some(sizes.chain(sums.concat()).collect())
    }

    /// Takes an earlier run's word for it that the index agrees with the pack.
    pub(super) fn vouch(&self) {
        self.vouched.store(true, Ordering::Relaxed);
    }

    /// The index, if it agrees with the pack.
    fn index(&self) -> Option<&Index> {
        let index = self.index.as_ref().ok()?;
        let agrees = self.vouched.load(Ordering::Relaxed) || !self.table().disagrees;
        agrees.then_some(index)
    }

    /// The id of an entry; `None` in a pack without an index.
    pub(super) fn id(&self, entry: u32) -> Option<ObjectId> {
        let position = *self.table().positions.get(entry as usize)? as usize;
        ObjectId::from_bytes(self.index.as_ref().ok()?.id(position))
    }

    /// Where an entry begins in the pack.
    pub(super) fn start(&self, entry: u32) -> u64 {
        self.table().starts[entry as usize]
    }

    /// The entry that begins at `offset`.
    pub(super) fn entry_at(&self, offset: u64) -> Option<u32> {
        let Table { starts, blocks, .. } = self.table();
        let near = blocks.near(offset);
        let found = starts[near.clone()].binary_search(&offset).ok()?;
        let entry = near.start + found;
        (entry + 1 < starts.len()).then_some(entry as u32)
    }

    /// The entry of an object.
    pub(super) fn find(&self, id: &ObjectId) -> Option<u32> {
        self.entry_at(self.offset(id)?)
    }

    /// Where the entry of an object begins.
    pub(super) fn offset(&self, id: &ObjectId) -> Option<u64> {
        let index = self.index()?;
        index.offset(index.find(id.as_bytes())?)
    }

    /// Where an entry begins in the pack and where it ends.
    pub(super) fn range(&self, entry: u32) -> Range<u64> {
        let starts = &self.table().starts;
        starts[entry as usize]..starts[entry as usize + 1]
    }

    /// The entry that begins at `start` is read soon.
    pub(super) fn expect(&self, start: u64) {
        self.map.expect(start as usize);
    }

    /// The header of the entry that stands at `range`.
    pub(super) fn header(&self, range: &Range<u64>) -> Result<Header, Damage> {
        self.header_at(range.start as usize, range.end as usize)
    }

    /// The compressed data of the entry that ends at `end`, and a little of what follows it: see
    /// [`AHEAD`].
    pub(super) fn data(&self, header: &Header, end: u64) -> &[u8] {
        &self.map[header.data..(end as usize + AHEAD).min(self.map.len())]
    }

    /// The header of the entry that begins at `offset`, and its compressed data with whatever
    /// follows it.
    pub(super) fn entry(&self, offset: u64) -> Result<(Header, &[u8]), Damage> {
        let end = self.end();
        let start = usize::try_from(offset)
            .ok()
            .filter(|at| (12..end).contains(at));
        let header = self.header_at(start.ok_or(Damage::Header)?, end)?;
        // Where an entry ends is looked up only if somebody has sorted them all.
        let next = self.table.get().and_then(|table| {
            let next = table.starts.partition_point(|start| *start <= offset);
            table.starts.get(next).map(|next| *next as usize)
        });
        let end = next.unwrap_or(end).max(header.data);
        Ok((header, &self.map[header.data..end]))
    }

    fn header_at(&self, start: usize, end: usize) -> Result<Header, Damage> {
        let bytes = &self.map[..end];
        let next = |at: &mut usize| {
            let byte = *bytes.get(*at).ok_or(Damage::Short)?;
            *at += 1;
            Ok::<u8, Damage>(byte)
        };
        let mut at = start;
        let first = next(&mut at)?;
        let mut size = u64::from(first & 0x0f);
        let (mut shift, mut more) = (4, first & 0x80 != 0);
        while more {
            let byte = next(&mut at)?;
            let part = u64::from(byte & 0x7f);
            if shift > 57 {
                return Err(Damage::Header);
            }
            size |= part << shift;
            shift += 7;
            more = byte & 0x80 != 0;
        }
        let form = match (first >> 4) & 7 {
            1 => Form::Whole(Kind::Commit),
            2 => Form::Whole(Kind::Tree),
            3 => Form::Whole(Kind::Blob),
            4 => Form::Whole(Kind::Tag),
            6 => {
                let mut byte = next(&mut at)?;
                let mut back = u64::from(byte & 0x7f);
                while byte & 0x80 != 0 {
                    byte = next(&mut at)?;
                    if back >= 1 << 56 {
                        return Err(Damage::Header);
                    }
                    back = ((back + 1) << 7) | u64::from(byte & 0x7f);
                }
                let base = (start as u64).checked_sub(back).filter(|_| back > 0);
                Form::Offset(base.ok_or(Damage::Header)?)
            }
            7 => {
                let id = bytes.get(at..at + self.id_len).ok_or(Damage::Short)?;
                at += self.id_len;
                Form::Reference(ObjectId::from_bytes(id).ok_or(Damage::Header)?)
            }
            _ => return Err(Damage::Header),
        };
        Ok(Header {
            form,
            size,
            data: at,
        })
    }
}

/// Which entries begin in which stretch of a pack, so that few have to be compared to find one.
/// There are about as many stretches as entries.
struct Blocks {
    /// A stretch has two to the power of this many bytes.
    shift: u32,
    /// For each stretch, how many entries begin before it; at the end all.
    before: Vec<u32>,
}

impl Blocks {
    /// For entries that begin there, none behind `end`.
    fn of(end: u64, starts: impl ExactSizeIterator<Item = u64>) -> Self {
        let shift = (end / starts.len().max(1) as u64).max(1).ilog2();
        let before = vec![0; (end >> shift) as usize + 2];
        let mut blocks = Self { shift, before };
        for start in starts {
            let stretch = blocks.stretch(start);
            blocks.before[stretch + 1] += 1;
        }
        for n in 1..blocks.before.len() {
            blocks.before[n] += blocks.before[n - 1];
        }
        blocks
    }

    /// The stretch of what begins there.
    #[inline]
    fn stretch(&self, start: u64) -> usize {
        (start >> self.shift) as usize
    }

    /// The entries that begin in the same stretch as `offset`.
    fn near(&self, offset: u64) -> Range<usize> {
        let block = usize::try_from(offset >> self.shift).unwrap_or(usize::MAX);
        match self.before.get(block..).unwrap_or_default() {
            [from, to, ..] => *from as usize..*to as usize,
            _ => 0..0,
        }
    }
}

/// Sorts offsets, of which there are mostly one or two, and takes what belongs to them along.
fn sort(starts: &mut [u64], positions: &mut [u32]) {
    const FEW: usize = 24;
    if starts.len() > FEW {
        let mut pairs: Vec<(u64, u32)> = starts
            .iter()
            .copied()
            .zip(positions.iter().copied())
            .collect();
        pairs.sort_unstable();
        for (n, (start, position)) in pairs.into_iter().enumerate() {
            (starts[n], positions[n]) = (start, position);
        }
        return;
    }
    for from in 1..starts.len() {
        let mut at = from;
        while at > 0 && starts[at - 1] > starts[at] {
            starts.swap(at - 1, at);
            positions.swap(at - 1, at);
            at -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::forge::{self, Entry};
    use super::*;

    #[test]
    fn entries_are_listed_in_order_however_they_crowd() {
        // Many small ones, all in one stretch, beside a large one that can't be compressed.
        let mut state = 1u32;
        let mut noise = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        let large: Vec<u8> = (0..1 << 16).map(&mut noise).collect();
        for crowd in [1, 2, 20, 300] {
            let small = |n: usize| Entry::Blob(format!("{n}").into_bytes());
            let mut entries: Vec<Entry> = (0..crowd).map(small).collect();
            entries.push(Entry::Blob(large.clone()));
            entries.extend((crowd..2 * crowd).map(small));
            let directory = tempfile::tempdir().unwrap();
            let path = forge::write(directory.path(), &entries, 2);
            let pack = Pack::open(&path, 20).unwrap();
            assert_eq!(pack.len() as usize, entries.len());
            for entry in 0..pack.len() {
                let Range { start, end } = pack.range(entry);
                assert!(start < end);
                assert_eq!(pack.entry_at(start), Some(entry));
                assert_eq!(pack.entry_at(start + 1), None);
                let id = ObjectId::from_bytes(&forge::id(entry as usize));
                assert_eq!(pack.id(entry), id);
            }
        }
    }
}
