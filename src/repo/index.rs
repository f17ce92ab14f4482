//! git's index, versions 2 to 4, read in place: no allocation for an entry, every offset checked.
//! The format is git's `Documentation/gitformat-index.adoc`.
//!
//! The checksum at the end is not verified, as git itself doesn't: what is read here is what a
//! commit would take from it.

use std::cmp::Ordering;

use super::cache_tree::CacheTree;
use super::{ObjectFormat, ObjectId};

/// Why an index was not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IndexError {
    /// It breaks its own format.
    Damaged(&'static str),
    /// It is in a form that only git knows (split, sparse, newer).
    Unsupported(&'static str),
}

use IndexError::{Damaged, Unsupported};

pub(super) type Result<T> = std::result::Result<T, IndexError>;

/// Times, device, inode, mode, owner, size: what stands before the id.
const STAT: usize = 40;
const MODE_AT: usize = 24;
const HEADER: usize = 12;

const EXTENDED: u16 = 0x4000;
const NAME_MASK: u16 = 0x0fff;
const INTENT_TO_ADD: u16 = 0x2000;
const SKIP_WORKTREE: u16 = 0x4000;
/// A directory as an entry: the mark of a sparse index.
const MODE_DIRECTORY: u32 = 0o040_000;

/// An index that was walked once: its entries are in bounds and in order.
pub(super) struct Index<'a> {
    bytes: &'a [u8],
    version: u32,
    count: u32,
    format: ObjectFormat,
    cache_tree: Option<CacheTree<'a>>,
}

impl<'a> Index<'a> {
    /// Checks all entries and extensions of the whole file in `bytes`.
    pub(super) fn parse(bytes: &'a [u8], format: ObjectFormat) -> Result<Self> {
        let trailer = format.bytes();
        if bytes.len() < HEADER + trailer {
            return Err(Damaged("shorter than a header and a checksum"));
        }
        if &bytes[..4] != b"DIRC" {
            return Err(Damaged("no DIRC signature"));
        }
        let version = u32_at(bytes, 4);
        if !(2..=4).contains(&version) {
            return Err(Unsupported("version"));
        }
        let mut index = Self {
            bytes: &bytes[..bytes.len() - trailer],
            version,
            count: u32_at(bytes, 8),
            format,
            cache_tree: None,
        };
        let mut entries = index.entries();
        while entries.advance()? {}
        index.extensions(entries.at)?;
        // Only a split index has such entries, and is gone by now.
        if entries.nameless {
            return Err(Damaged("an entry without a name"));
        }
        Ok(index)
    }

    fn extensions(&mut self, mut at: usize) -> Result<()> {
        while at < self.bytes.len() {
            let rest = &self.bytes[at..];
            if rest.len() < 8 {
                return Err(Damaged("bytes after the last extension"));
            }
            let size = u32_at(rest, 4) as usize;
            let body = rest
                .get(8..8 + size)
                .ok_or(Damaged("an extension is cut off"))?;
            match &rest[..4] {
                b"TREE" => self.cache_tree = Some(CacheTree::parse(body, self.format)?),
                b"link" => return Err(Unsupported("split index")),
                b"sdir" => return Err(Unsupported("sparse index")),
                // Only those that start with a capital may be passed over.
                name if name[0].is_ascii_uppercase() => {}
                _ => return Err(Unsupported("a required extension")),
            }
            at += 8 + size;
        }
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.count as usize
    }

    pub(super) fn cache_tree(&self) -> Option<&CacheTree<'a>> {
        self.cache_tree.as_ref()
    }

    /// A walk from the first entry.
    pub(super) fn entries(&self) -> Entries<'a> {
        Entries {
            bytes: self.bytes,
            version: self.version,
            hash: self.format.bytes(),
            left: self.count,
            at: HEADER,
            start: 0,
            name: 0..0,
            rebuilt: Vec::new(),
            flags: 0,
            extended: 0,
            nameless: false,
        }
    }
}

/// Stands on one entry at a time; on none before the first [`Entries::advance`].
pub(super) struct Entries<'a> {
    bytes: &'a [u8],
    version: u32,
    hash: usize,
    left: u32,
    /// Where the next entry starts.
    at: usize,
    /// Where this one does.
    start: usize,
    /// This entry's name in the file, before version 4.
    name: std::ops::Range<usize>,
    /// This entry's name, from version 4 on: a suffix put on the name before.
    rebuilt: Vec<u8>,
    flags: u16,
    extended: u16,
    /// Whether any entry so far had no name.
    nameless: bool,
}

impl Entries<'_> {
    /// Goes to the next entry; `false` if there is none.
    #[inline]
    pub(super) fn advance(&mut self) -> Result<bool> {
        if self.left == 0 {
            return Ok(false);
        }
        let first = self.start == 0;
        let stage_before = self.stage();
        let bytes = self.bytes;
        let fixed = STAT + self.hash + 2;
        let entry = bytes
            .get(self.at..)
            .filter(|rest| rest.len() >= fixed + 2)
            .ok_or(Damaged("an entry is cut off"))?;
        self.flags = u16_at(entry, STAT + self.hash);
        let mut head = fixed;
        self.extended = 0;
        if self.flags & EXTENDED != 0 {
            if self.version < 3 {
                return Err(Damaged("extended flags in version 2"));
            }
            self.extended = u16_at(entry, fixed);
            if self.extended & !(INTENT_TO_ADD | SKIP_WORKTREE) != 0 {
                return Err(Unsupported("an entry's flags"));
            }
            head += 2;
        }
        self.start = self.at;
        let named = usize::from(self.flags & NAME_MASK);
        let order = if self.version < 4 {
            self.padded_name(entry, head, named)?
        } else {
            self.prefixed_name(entry, head, named)?
        };
        let in_order = match order {
            _ if first => true,
            Ordering::Less => true,
            Ordering::Equal if self.path().is_empty() => true,
            Ordering::Equal => stage_before != 0 && stage_before < self.stage(),
            Ordering::Greater => false,
        };
        if !in_order {
            return Err(Damaged("entries are out of order"));
        }
        self.nameless |= self.path().is_empty();
        if self.mode() & 0o170_000 == MODE_DIRECTORY {
            return Err(Unsupported("a directory entry"));
        }
        self.left -= 1;
        Ok(true)
    }

    /// Versions 2 and 3: the whole name, then 1 to 8 NULs up to a multiple of 8.
    #[inline]
    fn padded_name(&mut self, entry: &[u8], head: usize, named: usize) -> Result<Ordering> {
        let length = memchr::memchr(0, &entry[head..]).ok_or(Damaged("a name without an end"))?;
        if named != length.min(usize::from(NAME_MASK)) {
            return Err(Damaged("a name's length is wrong"));
        }
        let name = self.start + head..self.start + head + length;
        let before = &self.bytes[std::mem::replace(&mut self.name, name.clone())];
        self.at = self.start + ((head + length + 8) & !7);
        if self.at > self.bytes.len() {
            return Err(Damaged("an entry is cut off"));
        }
        Ok(before.cmp(&self.bytes[name]))
    }

    /// Version 4: how much to cut from the name before, then what to append, then one NUL.
    fn prefixed_name(&mut self, entry: &[u8], mut head: usize, named: usize) -> Result<Ordering> {
        let mut cut = 0usize;
        loop {
            let byte = *entry.get(head).ok_or(Damaged("an entry is cut off"))?;
            head += 1;
            cut |= usize::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                break;
            }
            cut = (cut + 1)
                .checked_mul(128)
                .ok_or(Damaged("a prefix is too long"))?;
        }
        let keep = self
            .rebuilt
            .len()
            .checked_sub(cut)
            .ok_or(Damaged("a prefix is longer than the name before"))?;
        let length = memchr::memchr(0, &entry[head..]).ok_or(Damaged("a name without an end"))?;
        let suffix = &entry[head..head + length];
        if named != (keep + length).min(usize::from(NAME_MASK)) {
            return Err(Damaged("a name's length is wrong"));
        }
        let order = self.rebuilt[keep..].cmp(suffix);
        self.rebuilt.truncate(keep);
        self.rebuilt.extend_from_slice(suffix);
        self.at = self.start + head + length + 1;
        Ok(order)
    }

    /// The path from the top of the working tree, with `/` between its parts.
    #[inline]
    pub(super) fn path(&self) -> &[u8] {
        if self.version < 4 {
            &self.bytes[self.name.clone()]
        } else {
            &self.rebuilt
        }
    }

    pub(super) fn mode(&self) -> u32 {
        u32_at(self.bytes, self.start + MODE_AT)
    }

    pub(super) fn id(&self) -> ObjectId {
        let at = self.start + STAT;
        ObjectId::from_bytes(&self.bytes[at..at + self.hash]).expect("the format's own length")
    }

    /// 0, or 1 to 3 for the base, our and their version of an unmerged path.
    pub(super) fn stage(&self) -> u8 {
        (self.flags >> 12) as u8 & 3
    }

    /// `git add --intent-to-add`: known to be wanted, not part of a commit.
    pub(super) fn is_intent_to_add(&self) -> bool {
        self.extended & INTENT_TO_ADD != 0
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}
