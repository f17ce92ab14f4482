//! git's index, versions 2 to 4, read through a small window that moves over the file: no
//! allocation for an entry or for the file, every offset checked. (A buffer as large as the index
//! would cost more than all else that is done with it: each of its pages is new.)
//! The format is git's `Documentation/gitformat-index.adoc`.
//!
//! The checksum at the end is not verified, as git itself doesn't: what is read here is what a
//! commit would take from it.

use std::cmp::Ordering;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

use super::cache_tree::CacheTree;
use super::{ObjectFormat, ObjectId};

/// Why an index was not understood.
#[derive(Debug)]
pub(super) enum IndexError {
    /// It breaks its own format.
    Damaged(&'static str),
    /// It is in a form that only git knows (split, sparse, newer).
    Unsupported,
    /// The file can't be read.
    Io(io::Error),
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

/// How much is read at once by a walk over everything, and by one that leaps.
const BLOCK: usize = 64 << 10;
const LEAPING_BLOCK: usize = 8 << 10;
/// An entry is seldom longer; where it is, more is read.
const USUAL_ENTRY: usize = 256;
/// Far beyond any path that a system knows: longer ones, and larger cache trees, are left to git.
const LONGEST_ENTRY: usize = 1 << 20;
const LARGEST_CACHE_TREE: usize = 256 << 20;
/// Where every so many entries begin is noted down.
const LEAP: usize = 64;

/// An index that was walked once: its entries are in bounds and in order.
pub(super) struct Index<'a> {
    file: &'a File,
    /// Where the checksum begins.
    end: u64,
    version: u32,
    count: u32,
    format: ObjectFormat,
    /// Where the entries 0, [`LEAP`], 2 [`LEAP`] … begin; empty if they can't be read by
    /// themselves.
    marks: Vec<u64>,
    cache_tree: Option<Vec<u8>>,
}

impl<'a> Index<'a> {
    /// Checks all entries and looks through all extensions.
    pub(super) fn read(file: &'a File, format: ObjectFormat) -> Result<Self> {
        let length = file.metadata().map_err(IndexError::Io)?.len();
        let trailer = format.bytes() as u64;
        if length < HEADER as u64 + trailer {
            return Err(Damaged("shorter than a header and a checksum"));
        }
        let mut header = [0; HEADER];
        read_at(file, 0, &mut header)?;
        if &header[..4] != b"DIRC" {
            return Err(Damaged("no DIRC signature"));
        }
        let version = u32_at(&header, 4);
        if !(2..=4).contains(&version) {
            return Err(Unsupported);
        }
        let mut index = Self {
            file,
            end: length - trailer,
            version,
            count: u32_at(&header, 8),
            format,
            marks: Vec::new(),
            cache_tree: None,
        };
        let mut marks = Vec::new();
        let mut entries = index.walk(BLOCK);
        let mut nameless = false;
        for number in 0..index.len() {
            // From version 4 on, a name can't be read without the one before.
            if number % LEAP == 0 && version < 4 {
                marks.push(entries.base + entries.at as u64);
            }
            entries.advance()?;
            nameless |= entries.path().is_empty();
        }
        let entries_end = entries.base + entries.at as u64;
        index.marks = marks;
        index.extensions(entries_end)?;
        // Only a split index has such entries, and is gone by now.
        if nameless {
            return Err(Damaged("an entry without a name"));
        }
        Ok(index)
    }

    fn extensions(&mut self, mut at: u64) -> Result<()> {
        while at < self.end {
            let mut head = [0; 8];
            if self.end - at < head.len() as u64 {
                return Err(Damaged("bytes after the last extension"));
            }
            read_at(self.file, at, &mut head)?;
            at += head.len() as u64;
            let size = u32_at(&head, 4) as usize;
            if self.end - at < size as u64 {
                return Err(Damaged("an extension is cut off"));
            }
            match &head[..4] {
                b"TREE" if size > LARGEST_CACHE_TREE => return Err(Unsupported),
                b"TREE" => {
                    let mut body = vec![0; size];
                    read_at(self.file, at, &mut body)?;
                    self.cache_tree = Some(body);
                }
                b"link" => return Err(Unsupported),
                b"sdir" => return Err(Unsupported),
                // Only those that start with a capital may be passed over.
                name if name[0].is_ascii_uppercase() => {}
                _ => return Err(Unsupported),
            }
            at += size as u64;
        }
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.count as usize
    }

    pub(super) fn cache_tree(&self) -> Result<Option<CacheTree<'_>>> {
        let body = self.cache_tree.as_deref();
        body.map(|body| CacheTree::parse(body, self.format))
            .transpose()
    }

    /// A walk from the first entry over all of them.
    pub(super) fn entries(&self) -> Entries<'_> {
        self.walk(BLOCK)
    }

    /// A walk from the first entry that will pass over most of them.
    pub(super) fn leaping_entries(&self) -> Entries<'_> {
        let all = self.marks.is_empty();
        self.walk(if all { BLOCK } else { LEAPING_BLOCK })
    }

    fn walk(&self, block: usize) -> Entries<'_> {
        Entries {
            file: self.file,
            end: self.end,
            marks: &self.marks,
            block,
            version: self.version,
            hash: self.format.bytes(),
            count: self.count,
            left: self.count,
            base: HEADER as u64,
            buffer: vec![0; block],
            filled: 0,
            at: 0,
            start: 0,
            name: 0..0,
            rebuilt: Vec::new(),
            mode: 0,
            flags: 0,
            extended: 0,
        }
    }
}

/// Stands on one entry at a time; on none before the first [`Entries::advance`].
pub(super) struct Entries<'a> {
    file: &'a File,
    end: u64,
    marks: &'a [u64],
    block: usize,
    version: u32,
    hash: usize,
    count: u32,
    left: u32,
    /// Where in the file the buffer begins; all places below are in the buffer.
    base: u64,
    buffer: Vec<u8>,
    filled: usize,
    /// Where the next entry starts.
    at: usize,
    /// Where this one does.
    start: usize,
    /// This entry's name in the buffer, before version 4.
    name: Range<usize>,
    /// This entry's name, from version 4 on: a suffix put on the name before.
    rebuilt: Vec<u8>,
    mode: u32,
    flags: u16,
    extended: u16,
}

impl Entries<'_> {
    /// Goes to the next entry; `false` if there is none.
    #[inline]
    pub(super) fn advance(&mut self) -> Result<bool> {
        if self.left == 0 {
            return Ok(false);
        }
        let stage_before = self.stage();
        let mut wanted = USUAL_ENTRY;
        let order = loop {
            if self.filled - self.at < wanted {
                self.fill(wanted)?;
            }
            if let Some(order) = self.read()? {
                break order;
            }
            if self.base + self.filled as u64 == self.end {
                return Err(Damaged("an entry is cut off"));
            }
            if wanted >= LONGEST_ENTRY {
                return Err(Unsupported);
            }
            wanted *= 4;
        };
        let in_order = match order {
            Ordering::Less => true,
            Ordering::Equal if self.path().is_empty() => true,
            Ordering::Equal => stage_before != 0 && stage_before < self.stage(),
            Ordering::Greater => false,
        };
        if !in_order {
            return Err(Damaged("entries are out of order"));
        }
        if self.mode & 0o170_000 == MODE_DIRECTORY {
            return Err(Unsupported);
        }
        self.left -= 1;
        Ok(true)
    }

    /// Goes on by so many entries; `false` if there are fewer. Not all of them are looked at.
    pub(super) fn leap(&mut self, by: usize) -> Result<bool> {
        if by > self.left as usize {
            return Ok(false);
        }
        let left = self.left - by as u32;
        // The last noted place that is neither behind us nor beyond the entry wanted.
        let noted = (self.count - left).saturating_sub(1) as usize / LEAP;
        let number = (noted * LEAP) as u32;
        if let Some(place) = self.marks.get(noted)
            && self.count - self.left < number
        {
            match place.checked_sub(self.base).map(usize::try_from) {
                Some(Ok(at)) if at <= self.filled => self.at = at,
                _ => {
                    self.base = *place;
                    self.filled = 0;
                    self.at = 0;
                }
            }
            self.start = self.at;
            // The order was checked by the first walk.
            self.name = self.at..self.at;
            self.left = self.count - number;
        }
        while self.left > left {
            self.advance()?;
        }
        Ok(true)
    }

    /// Reads on until so many bytes are there from the next entry on, or the file ends. This
    /// entry stays in the buffer.
    #[cold]
    fn fill(&mut self, wanted: usize) -> Result<()> {
        let keep = self.start;
        self.buffer.copy_within(keep..self.filled, 0);
        self.base += keep as u64;
        self.filled -= keep;
        self.at -= keep;
        self.start = 0;
        self.name = self.name.start.saturating_sub(keep)..self.name.end.saturating_sub(keep);
        let room = (self.at + wanted).max(self.block);
        if self.buffer.len() < room {
            self.buffer.resize(room, 0);
        }
        let from = self.base + self.filled as u64;
        let left = usize::try_from(self.end - from).unwrap_or(usize::MAX);
        let to = self.buffer.len().min(self.filled.saturating_add(left));
        read_at(self.file, from, &mut self.buffer[self.filled..to])?;
        self.filled = to;
        Ok(())
    }

    /// Reads the next entry, if all of it is in the buffer, and tells how the name before stands
    /// to its name.
    #[inline]
    fn read(&mut self) -> Result<Option<Ordering>> {
        let fixed = STAT + self.hash + 2;
        let entry = &self.buffer[self.at..self.filled];
        if entry.len() < fixed + 2 {
            return Ok(None);
        }
        let mode = u32_at(entry, MODE_AT);
        let flags = u16_at(entry, STAT + self.hash);
        let mut head = fixed;
        let mut extended = 0;
        if flags & EXTENDED != 0 {
            if self.version < 3 {
                return Err(Damaged("extended flags in version 2"));
            }
            extended = u16_at(entry, fixed);
            if extended & !(INTENT_TO_ADD | SKIP_WORKTREE) != 0 {
                return Err(Unsupported);
            }
            head += 2;
        }
        let named = usize::from(flags & NAME_MASK);
        let order = if self.version < 4 {
            self.padded_name(head, named)?
        } else {
            self.prefixed_name(head, named)?
        };
        if order.is_some() {
            self.mode = mode;
            self.flags = flags;
            self.extended = extended;
        }
        Ok(order)
    }

    /// Versions 2 and 3: the whole name, then 1 to 8 NULs up to a multiple of 8.
    #[inline]
    fn padded_name(&mut self, head: usize, named: usize) -> Result<Option<Ordering>> {
        let first = self.at + head;
        let Some(length) = memchr::memchr(0, &self.buffer[first..self.filled]) else {
            return Ok(None);
        };
        if named != length.min(usize::from(NAME_MASK)) {
            return Err(Damaged("a name's length is wrong"));
        }
        let next = self.at + ((head + length + 8) & !7);
        if next > self.filled {
            return Ok(None);
        }
        let name = first..first + length;
        let order = self.buffer[self.name.clone()].cmp(&self.buffer[name.clone()]);
        (self.start, self.at, self.name) = (self.at, next, name);
        Ok(Some(order))
    }

    /// Version 4: how much to cut from the name before, then what to append, then one NUL.
    fn prefixed_name(&mut self, mut head: usize, named: usize) -> Result<Option<Ordering>> {
        let entry = &self.buffer[self.at..self.filled];
        let mut cut = 0usize;
        loop {
            let Some(byte) = entry.get(head).copied() else {
                return Ok(None);
            };
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
        let Some(length) = memchr::memchr(0, &entry[head..]) else {
            return Ok(None);
        };
        let suffix = &entry[head..head + length];
        if named != (keep + length).min(usize::from(NAME_MASK)) {
            return Err(Damaged("a name's length is wrong"));
        }
        let order = self.rebuilt[keep..].cmp(suffix);
        self.rebuilt.truncate(keep);
        self.rebuilt.extend_from_slice(suffix);
        self.start = self.at;
        self.at += head + length + 1;
        Ok(Some(order))
    }

    /// The path from the top of the working tree, with `/` between its parts.
    #[inline]
    pub(super) fn path(&self) -> &[u8] {
        if self.version < 4 {
            &self.buffer[self.name.clone()]
        } else {
            &self.rebuilt
        }
    }

    pub(super) fn mode(&self) -> u32 {
        self.mode
    }

    pub(super) fn id(&self) -> ObjectId {
        let at = self.start + STAT;
        ObjectId::from_bytes(&self.buffer[at..at + self.hash]).expect("the format's own length")
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

fn read_at(mut file: &File, at: u64, into: &mut [u8]) -> Result<()> {
    let read = file
        .seek(SeekFrom::Start(at))
        .and_then(|_| file.read_exact(into));
    read.map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => Damaged("it became shorter while it was read"),
        _ => IndexError::Io(error),
    })
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(*bytes[at..].first_chunk().expect("checked to be there"))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(*bytes[at..].first_chunk().expect("checked to be there"))
}
