//! Where the pages of a database, a write-ahead log or a rollback journal lie in its file.

use std::collections::HashMap;
use std::io;

use crate::unpack::{Damage, ReadAt};

/// A database's first bytes.
const DATABASE: &[u8] = b"SQLite format 3\0";
/// A write-ahead log's, with little-endian and big-endian sums.
const LOGS: [&[u8]; 2] = [b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83"];
/// A rollback journal's.
const JOURNAL: &[u8] = b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7";

pub(super) fn is_known(head: &[u8]) -> bool {
    head.starts_with(DATABASE)
        || LOGS.iter().any(|log| head.starts_with(log))
        || head.starts_with(JOURNAL)
}

/// The pages of a file, in its order.
pub(super) struct Pages<'a> {
    file: &'a dyn ReadAt,
    size: usize,
    usable: usize,
    layout: Layout,
    count: usize,
    /// In logs and journals: which of the file's pages hold a page of the database, in order.
    copies: HashMap<u32, Vec<u32>>,
}

/// How pages follow one another.
struct Layout {
    /// Where the first one stands.
    from: u64,
    /// What stands before each.
    before: u64,
    /// What stands behind each.
    behind: u64,
}

impl<'a> Pages<'a> {
    /// Reads the header.
    pub(super) fn open(file: &'a dyn ReadAt) -> Result<Self, Damage> {
        let mut head = [0; 100];
        let got = file.read_full(&mut head, 0)?;
        let head = &head[..got];
        if head.starts_with(DATABASE) {
            return Self::database(file, head);
        }
        let (size, layout) = if head.starts_with(JOURNAL) {
            let sector = be32(head, 20).ok_or_else(cut)?;
            let from = u64::from(sector.clamp(28, 1 << 16));
            let layout = Layout {
                from,
                before: 4,
                behind: 4,
            };
            (be32(head, 24).ok_or_else(cut)?, layout)
        } else {
            let layout = Layout {
                from: 32,
                before: 24,
                behind: 0,
            };
            (be32(head, 8).ok_or_else(cut)?, layout)
        };
        let size = page_size(size)?;
        // Neither says how much is reserved at a page's end: only the database's first page does.
        Ok(Self::new(file, size, size, layout))
    }

    /// How much memory [`index`](Self::index) and a byte for each page take.
    pub(super) fn memory(&self) -> u64 {
        let each = if self.is_database() { 1 } else { 64 };
        self.count as u64 * each
    }

    /// Notes which pages there are, in logs and journals.
    pub(super) fn index(&mut self) -> io::Result<()> {
        if self.is_database() {
            return Ok(());
        }
        for at in 0..self.count {
            let mut number = [0; 4];
            let start = self.layout.from + at as u64 * self.stride();
            if self.file.read_full(&mut number, start)? < number.len() {
                break;
            }
            let copies = self.copies.entry(u32::from_be_bytes(number));
            copies.or_default().push(at as u32);
        }
        Ok(())
    }

    fn is_database(&self) -> bool {
        self.layout.before == 0
    }

    fn database(file: &'a dyn ReadAt, head: &[u8]) -> Result<Self, Damage> {
        let size = head.get(16..21).ok_or_else(cut)?;
        let reserved = usize::from(size[4]);
        // 65,536 does not fit, and is written as 1.
        let size = match u16::from_be_bytes([size[0], size[1]]) {
            1 => 65_536,
            size => u32::from(size),
        };
        let size = page_size(size)?;
        let layout = Layout {
            from: 0,
            before: 0,
            behind: 0,
        };
        match size - reserved {
            usable if usable >= 480 => Ok(Self::new(file, size, usable, layout)),
            _ => Err(Damage::broken(
                "it reserves more of each page than there may be",
            )),
        }
    }

    fn new(file: &'a dyn ReadAt, size: usize, usable: usize, layout: Layout) -> Self {
        let mut pages = Self {
            file,
            size,
            usable,
            layout,
            count: 0,
            copies: HashMap::new(),
        };
        let bytes = file.size().saturating_sub(pages.layout.from);
        // A database has at most 2^32 - 2 pages. The last one may be cut.
        pages.count = bytes.div_ceil(pages.stride()).min(u32::MAX.into()) as usize;
        pages
    }

    fn stride(&self) -> u64 {
        self.layout.before + self.size as u64 + self.layout.behind
    }

    /// How many pages the file holds.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// A page's size in bytes: 512 to 65,536.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Its size less what is reserved at its end.
    pub(super) fn usable(&self) -> usize {
        self.usable
    }

    /// Where the header of the b-tree stands in this page: behind the file's own, in the first.
    pub(super) fn header(&self, page: &[u8]) -> usize {
        match page.starts_with(DATABASE) {
            true => 100,
            false => 0,
        }
    }

    /// Where the file's page `at` begins, in the file.
    pub(super) fn offset(&self, at: usize) -> u64 {
        self.layout.from + at as u64 * self.stride() + self.layout.before
    }

    /// Reads the file's page `at`; how much of it there is.
    pub(super) fn read(&self, at: usize, page: &mut [u8]) -> io::Result<usize> {
        self.file.read_full(page, self.offset(at))
    }

    /// Which of the file's pages is page `number` of the database, as the page `from` sees it: in a
    /// log the copy that was written next, since a value's pages are written together, or the last
    /// one before it.
    pub(super) fn find(&self, number: u32, from: usize) -> Option<usize> {
        if self.is_database() {
            return (number > 0 && number as usize <= self.count).then(|| number as usize - 1);
        }
        let copies = self.copies.get(&number)?;
        let next = copies.partition_point(|at| (*at as usize) < from);
        let found = copies.get(next).or_else(|| copies.last())?;
        Some(*found as usize)
    }
}

fn cut() -> Damage {
    Damage::broken("it ends within its header")
}

fn page_size(size: u32) -> Result<usize, Damage> {
    match size {
        512..=65_536 if size.is_power_of_two() => Ok(size as usize),
        _ => Err(Damage::broken(
            "its page size is no power of two from 512 to 65,536",
        )),
    }
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}
