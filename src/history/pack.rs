//! Packs (gitformat-pack(5)): entries one after another, whole or as deltas.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::damage::Damage;
use super::idx::Index;
use super::inflate::measure;
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

/// A pack and where its entries are. An entry is named by its number in the order of offsets.
pub(super) struct Pack {
    path: PathBuf,
    map: Map,
    id_len: usize,
    /// Where each entry begins, and at the end where the last one ends.
    starts: Vec<u64>,
    /// For each entry, its position in the index; empty without one.
    positions: Vec<u32>,
    index: Option<Index>,
    /// Entries that the pack's header promises and nobody can find.
    missing: u64,
    /// Why its index is not used, if it has one.
    index_damage: Option<Damage>,
}

impl Pack {
    /// Opens a pack with ids of `id_len` bytes, and its index. Without a usable one its entries
    /// are found by inflating one after another, and have no ids.
    pub(super) fn open(path: &Path, id_len: usize) -> Result<Self, Damage> {
        let map = Map::open(path)?;
        if map.len() < 12 + id_len {
            return Err(Damage::Short);
        }
        let word = |at: usize| u32::from_be_bytes([map[at], map[at + 1], map[at + 2], map[at + 3]]);
        if !map.starts_with(b"PACK") || !matches!(word(4), 2 | 3) {
            return Err(Damage::NotA("pack of version 2 or 3"));
        }
        let count = u64::from(word(8));
        let mut pack = Self {
            path: path.to_owned(),
            id_len,
            starts: Vec::new(),
            positions: Vec::new(),
            index: None,
            missing: 0,
            index_damage: None,
            map,
        };
        let index = path.with_extension("idx");
        match Index::open(&index, id_len).and_then(|index| pack.use_index(index, count)) {
            Ok(()) => {}
            Err(damage) => {
                let absent = matches!(&damage, Damage::Unreadable(error) if error.kind() == std::io::ErrorKind::NotFound);
                pack.index_damage = (!absent).then_some(damage);
                pack.walk_entries(count);
            }
        }
        Ok(pack)
    }

    fn use_index(&mut self, index: Index, count: u64) -> Result<(), Damage> {
        let end = (self.map.len() - self.id_len) as u64;
        if index.len() as u64 != count || index.pack_checksum() != self.checksum() {
            return Err(Damage::Disagrees);
        }
        let mut order = (0..index.len())
            .into_par_iter()
            .map(|position| {
                let offset = index.offset(position).filter(|o| (12..end).contains(o));
                Ok((offset.ok_or(Damage::Disagrees)?, position as u32))
            })
            .collect::<Result<Vec<(u64, u32)>, Damage>>()?;
        order.par_sort_unstable();
        if order.windows(2).any(|pair| pair[0].0 == pair[1].0)
            || order.first().is_some_and(|first| first.0 != 12)
        {
            return Err(Damage::Disagrees);
        }
        self.starts = order.iter().map(|o| o.0).chain([end]).collect();
        self.positions = order.iter().map(|o| o.1).collect();
        self.index = Some(index);
        Ok(())
    }

    fn walk_entries(&mut self, count: u64) {
        let end = self.map.len() - self.id_len;
        let mut at = 12;
        for done in 0..count {
            self.starts.push(at as u64);
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
                    self.missing = count - done;
                    return;
                }
            }
        }
        self.starts.push(at as u64);
    }

    /// How many entries can be read.
    pub(super) fn len(&self) -> u32 {
        self.starts.len().saturating_sub(1) as u32
    }

    /// How many entries are lost, since the pack is damaged and no index helps.
    pub(super) fn missing(&self) -> u64 {
        self.missing
    }

    /// Why its index was of no use, if it has one.
    pub(super) fn index_damage(&self) -> Option<&Damage> {
        self.index_damage.as_ref()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The checksum at the end, which names the pack's content.
    pub(super) fn checksum(&self) -> &[u8] {
        &self.map[self.map.len() - self.id_len..]
    }

    /// The id of an entry; `None` in a pack without an index.
    pub(super) fn id(&self, entry: u32) -> Option<ObjectId> {
        let position = *self.positions.get(entry as usize)? as usize;
        ObjectId::from_bytes(self.index.as_ref()?.id(position))
    }

    /// Where an entry begins in the pack.
    pub(super) fn start(&self, entry: u32) -> u64 {
        self.starts[entry as usize]
    }

    /// The entry that begins at `offset`.
    pub(super) fn entry_at(&self, offset: u64) -> Option<u32> {
        let all = &self.starts[..self.len() as usize];
        all.binary_search(&offset).ok().map(|entry| entry as u32)
    }

    /// The entry of an object.
    pub(super) fn find(&self, id: &ObjectId) -> Option<u32> {
        let index = self.index.as_ref()?;
        self.entry_at(index.offset(index.find(id.as_bytes())?)?)
    }

    /// An entry's header.
    pub(super) fn header(&self, entry: u32) -> Result<Header, Damage> {
        let (start, end) = (self.starts[entry as usize], self.starts[entry as usize + 1]);
        self.header_at(start as usize, end as usize)
    }

    /// The compressed data of an entry, and perhaps more.
    pub(super) fn data(&self, entry: u32, header: &Header) -> &[u8] {
        let end = self.starts[entry as usize + 1] as usize;
        &self.map[header.data..end]
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
