//! Where a zip's directory is, and what it lists.

use std::io;

use super::header::{Entry, central, u16_at, u32_at, u64_at};
use crate::unpack::{ReadAt, TAIL};

/// The directory's last record (4.3.16) without its comment.
const END: usize = 22;

/// Stands for a number that does not fit into four bytes.
const WIDE: u64 = u32::MAX as u64;

/// What a directory says.
#[derive(Debug, Default)]
pub(super) struct Directory {
    pub(super) entries: Vec<Entry>,
    /// Its own bytes.
    pub(super) range: std::ops::Range<u64>,
    pub(super) comment: Vec<u8>,
    /// It said that there were more entries.
    pub(super) cut: bool,
}

/// Where a last record stands in a blob's tail, the last one first.
pub(super) fn ends(tail: &[u8]) -> impl Iterator<Item = usize> {
    memchr::memmem::rfind_iter(tail, b"PK\x05\x06").filter(|at| {
        let comment = tail.len().checked_sub(at + END);
        comment.is_some_and(|left| usize::from(u16_at(tail, at + 20)) <= left)
    })
}

/// No directory is read that is larger: 4 million entries.
const LARGEST: u64 = 512 << 20;

/// Reads the last directory there is. `None` if there is none that makes sense.
pub(super) fn read(
    source: &dyn ReadAt,
    reserve: &mut dyn FnMut(u64) -> bool,
) -> io::Result<Option<Directory>> {
    let size = source.size();
    let from = size.saturating_sub(TAIL as u64);
    let mut tail = vec![0; (size - from) as usize];
    let read = source.read_full(&mut tail, from)?;
    tail.truncate(read);
    for at in ends(&tail) {
        let end = from + at as u64;
        let mut count = u64::from(u16_at(&tail, at + 10));
        let mut length = u64::from(u32_at(&tail, at + 12));
        let mut start = u64::from(u32_at(&tail, at + 16));
        let mut behind = end;
        if let Some((wide_at, wide)) = zip64(source, end)?
            && (count == 0xffff || length == WIDE || start == WIDE)
        {
            (count, length, start) = wide;
            behind = wide_at;
        }
        // Places are counted from the zip's first byte, which may stand behind a program; some
        // writers count from the file's.
        let Some(real) = behind.checked_sub(length) else {
            continue;
        };
        if length > LARGEST || length > (1 << 20) && !reserve(length * 3) {
            continue;
        }
        let base = real.saturating_sub(start);
        let mut bytes = vec![0; length as usize];
        let read = source.read_full(&mut bytes, real)?;
        bytes.truncate(read);
        let entries = list(&bytes, source, base)?;
        if entries.is_empty() && count > 0 {
            continue;
        }
        let comment = at + END..at + END + usize::from(u16_at(&tail, at + 20));
        return Ok(Some(Directory {
            cut: (entries.len() as u64) < count,
            entries,
            range: real..end + END as u64 + comment.len() as u64,
            comment: tail[comment].to_vec(),
        }));
    }
    Ok(None)
}

/// The record of zip64 that a locator before the last record points to (4.3.14, 4.3.15): where it
/// stands, and its count of entries, their length and their place.
#[allow(clippy::type_complexity)] // one caller
fn zip64(source: &dyn ReadAt, end: u64) -> io::Result<Option<(u64, (u64, u64, u64))>> {
    let Some(locator_at) = end.checked_sub(20) else {
        return Ok(None);
    };
    let mut locator = [0; 20];
    source.read_full(&mut locator, locator_at)?;
    if !locator.starts_with(b"PK\x06\x07") {
        return Ok(None);
    }
    // Where it says, or, behind a program, right before the locator.
    for at in [Some(u64_at(&locator, 8)), locator_at.checked_sub(56)] {
        let Some(at) = at.filter(|at| *at < end) else {
            continue;
        };
        let mut record = [0; 56];
        if source.read_full(&mut record, at)? == 56 && record.starts_with(b"PK\x06\x06") {
            let fields = (
                u64_at(&record, 32),
                u64_at(&record, 40),
                u64_at(&record, 48),
            );
            return Ok(Some((at, fields)));
        }
    }
    Ok(None)
}

fn list(mut bytes: &[u8], source: &dyn ReadAt, base: u64) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    while let Some((entry, next)) = central(bytes) {
        entries.push(entry);
        bytes = &bytes[next..];
    }
    // Where the first one's header stands tells from where places are counted.
    if let (Some(first), true) = (entries.first(), base > 0) {
        let mut signature = [0; 4];
        source.read_full(&mut signature, first.at.saturating_add(base))?;
        if signature == *b"PK\x03\x04" {
            for entry in &mut entries {
                entry.at = entry.at.saturating_add(base);
            }
        }
    }
    Ok(entries)
}
