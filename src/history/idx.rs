//! Pack indexes, versions 1 and 2 (gitformat-pack(5)): which object stands where.

use std::ops::Range;
use std::path::Path;

use super::damage::Damage;
use super::map::Map;

/// The bytes that begin version 2 and later.
const MAGIC: &[u8] = b"\xfftOc";

const FANOUT: usize = 256 * 4;

/// How often a guess is tried before a search halves what is left.
const GUESSES: u32 = 6;

/// An index whose tables lie within its file. What they say is still to be checked.
pub(super) struct Index {
    map: Map,
    id_len: usize,
    count: usize,
    /// Where the ids begin, and how far apart they are.
    ids: usize,
    stride: usize,
    fanout: usize,
    /// Where the offsets begin: 4 bytes each, and in version 2 the table of 8-byte ones.
    offsets: usize,
    large: Option<Range<usize>>,
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(four.try_into().ok()?))
}

impl Index {
    /// Opens an index with ids of `id_len` bytes.
    pub(super) fn open(path: &Path, id_len: usize) -> Result<Self, Damage> {
        let map = Map::open(path)?;
        let modern = map.starts_with(MAGIC);
        if modern && be32(&map, 4) != Some(2) {
            return Err(Damage::NotA("index of version 1 or 2"));
        }
        let fanout = if modern { 8 } else { 0 };
        let mut before = 0;
        for slot in 0..256 {
            let upto = be32(&map, fanout + slot * 4).ok_or(Damage::Short)?;
            if upto < before {
                return Err(Damage::NotA(
                    "index: its table of first bytes goes backwards",
                ));
            }
            before = upto;
        }
        let count = before as usize;
        let tables = fanout + FANOUT;
        let trailer = map.len().checked_sub(2 * id_len).ok_or(Damage::Short)?;
        let (ids, stride, offsets, end) = if modern {
            let offsets = tables + count * (id_len + 4);
            (tables, id_len, offsets, offsets + count * 4)
        } else {
            (
                tables + 4,
                id_len + 4,
                tables,
                tables + count * (id_len + 4),
            )
        };
        if end > trailer {
            return Err(Damage::Short);
        }
        Ok(Self {
            map,
            id_len,
            count,
            ids,
            stride,
            fanout,
            offsets,
            large: modern.then_some(end..trailer),
        })
    }

    /// How many objects it lists.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// The raw id at `position`, in the order of ids.
    pub(super) fn id(&self, position: usize) -> &[u8] {
        let at = self.ids + position * self.stride;
        &self.map[at..at + self.id_len]
    }

    /// Where the object at `position` begins in the pack.
    pub(super) fn offset(&self, position: usize) -> Option<u64> {
        let Some(large) = &self.large else {
            return be32(&self.map, self.offsets + position * self.stride).map(u64::from);
        };
        let small = be32(&self.map, self.offsets + position * 4)?;
        if small & 0x8000_0000 == 0 {
            return Some(u64::from(small));
        }
        let at = large.start + (small & 0x7fff_ffff) as usize * 8;
        let eight = self.map.get(at..at + 8).filter(|_| at + 8 <= large.end)?;
        Some(u64::from_be_bytes(eight.try_into().ok()?))
    }

    /// The position of an id, or of one that begins like this.
    pub(super) fn find(&self, id: &[u8]) -> Option<usize> {
        let first = usize::from(*id.first()?);
        let upto = |slot: usize| be32(&self.map, self.fanout + slot * 4).map(|n| n as usize);
        let mut low = if first == 0 { 0 } else { upto(first - 1)? };
        let mut high = upto(first)?;
        // Ids are random: what follows the first byte tells where to look. Should an index be made
        // to defeat that, halving does not depend on it.
        let next = |id: &[u8]| be32(id, 1).map_or(0, u64::from);
        let wanted = next(id);
        let (mut below, mut above) = (0, 1 << 32);
        for step in 0.. {
            if low >= high {
                break;
            }
            let room = (high - low) as u64;
            let middle = match step < GUESSES && (below..above).contains(&wanted) {
                true => low + ((wanted - below) * room / (above - below)) as usize,
                false => low + (high - low) / 2,
            };
            let found = self.id(middle);
            match found[..id.len()].cmp(id) {
                std::cmp::Ordering::Less => (low, below) = (middle + 1, next(found)),
                std::cmp::Ordering::Greater => (high, above) = (middle, next(found) + 1),
                std::cmp::Ordering::Equal => return Some(middle),
            }
        }
        None
    }

    /// The checksum of the pack it was made for.
    pub(super) fn pack_checksum(&self) -> &[u8] {
        let at = self.map.len() - 2 * self.id_len;
        &self.map[at..at + self.id_len]
    }

    /// Its own checksum, as it stands in the file.
    pub(super) fn checksum(&self) -> &[u8] {
        &self.map[self.map.len() - self.id_len..]
    }
}
