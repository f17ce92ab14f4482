//! The cells of one b-tree page, as far as they go on elsewhere; and the columns of a record.

use std::ops::Range;

/// A row or an index entry of which a part lies on overflow pages.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cell {
    /// The row's number, if it is one of a table.
    pub(super) row: Option<i64>,
    /// How long the record is, in bytes.
    pub(super) length: u64,
    /// The part of it that lies in the page.
    pub(super) local: Range<usize>,
    /// The first overflow page, counted from 1.
    pub(super) next: u32,
}

/// No page has room for more cells than this: a cell takes at least 4 bytes and a pointer of 2.
const MOST_CELLS: usize = 65_536 / 6;

/// The cells of a page that have overflow pages; none if the page is no leaf and no index. `usable`
/// is the page's size less what is reserved at its end, `header` where the page's header stands.
pub(super) fn overflowing(page: &[u8], usable: usize, header: usize) -> Vec<Cell> {
    let page = &page[..usable.min(page.len())];
    let Some(&kind) = page.get(header) else {
        return Vec::new();
    };
    // Interior index, leaf index, leaf table; interior pages of tables hold no records.
    let (pointers, child) = match kind {
        0x02 => (header + 12, 4),
        0x0a | 0x0d => (header + 8, 0),
        _ => return Vec::new(),
    };
    let is_table = kind == 0x0d;
    let count = be16(page, header + 3).unwrap_or(0).min(MOST_CELLS);
    (0..count)
        .filter_map(|n| {
            let at = be16(page, pointers + 2 * n)?;
            cell(page, usable, at + child, is_table)
        })
        .collect()
}

fn cell(page: &[u8], usable: usize, at: usize, is_table: bool) -> Option<Cell> {
    let (length, mut from) = varint(page, at)?;
    let mut row = None;
    if is_table {
        let (number, after) = varint(page, from)?;
        (row, from) = (Some(number as i64), after);
    }
    // How much stays in the page is laid down in "B-tree Cell Format", section 1.6.
    let most = match is_table {
        true => usable - 35,
        false => (usable - 12) * 64 / 255 - 23,
    };
    if length <= most as u64 {
        return None;
    }
    let least = (usable - 12) * 32 / 255 - 23;
    let rest = (length - least as u64) % (usable as u64 - 4);
    let local = match least + rest as usize {
        fits if fits <= most => fits,
        _ => least,
    };
    let end = from.checked_add(local)?;
    let next = page.get(end..end.checked_add(4)?)?;
    Some(Cell {
        row,
        length,
        local: from..end,
        next: u32::from_be_bytes([next[0], next[1], next[2], next[3]]),
    })
}

fn be16(page: &[u8], at: usize) -> Option<usize> {
    let bytes = page.get(at..at.checked_add(2)?)?;
    Some(usize::from(u16::from_be_bytes([bytes[0], bytes[1]])))
}

/// A number of 1 to 9 bytes at `at`, and where it ends.
fn varint(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let mut value = 0u64;
    for n in 0..8 {
        let byte = *bytes.get(at.checked_add(n)?)?;
        value = value << 7 | u64::from(byte & 0x7f);
        if byte < 0x80 {
            return Some((value, at + n + 1));
        }
    }
    let last = *bytes.get(at.checked_add(8)?)?;
    Some((value << 8 | u64::from(last), at + 9))
}

/// Where the texts and blobs of a record lie in it, with their columns' numbers from 1. `start` is
/// as much of the record as is at hand; `None` if its header goes on behind that, or is none.
pub(super) fn columns(start: &[u8], length: u64) -> Option<Vec<(usize, Range<u64>)>> {
    let (header, mut at) = varint(start, 0)?;
    let end = usize::try_from(header).ok().filter(|e| *e <= start.len())?;
    let mut from = header;
    let mut columns = Vec::new();
    let mut number = 0;
    while at < end {
        let (kind, after) = varint(&start[..end], at)?;
        (at, number) = (after, number + 1);
        let size = match kind {
            0 | 8 | 9 => 0,
            1..=4 => kind,
            5 => 6,
            6 | 7 => 8,
            10 | 11 => return None,
            long => (long - 12) / 2,
        };
        let to = from.checked_add(size).filter(|to| *to <= length)?;
        if kind >= 12 && size > 0 {
            columns.push((number, from..to));
        }
        from = to;
    }
    (from == length).then_some(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_one_to_nine_bytes() {
        assert_eq!(varint(&[0x7f], 0), Some((127, 1)));
        assert_eq!(varint(&[0x81, 0x00], 0), Some((128, 2)));
        assert_eq!(varint(&[0xff; 9], 0), Some((u64::MAX, 9)));
        assert_eq!(varint(&[0xff; 8], 0), None);
        assert_eq!(varint(&[1], usize::MAX), None);
    }

    #[test]
    fn a_record_names_its_texts_and_blobs() {
        // header: 5 bytes, NULL, integer of one byte, text of 3, blob of 2
        let record = [5, 0, 1, 19, 16, 7, b'a', b'b', b'c', 1, 2];
        assert_eq!(columns(&record, 11), Some(vec![(3, 6..9), (4, 9..11)]));
        assert_eq!(columns(&record, 12), None, "it does not add up");
        assert_eq!(columns(&record[..3], 11), None, "its header is cut");
        assert_eq!(columns(&[3, 0xff, 0xff], 11), None);
    }

    #[test]
    fn noise_has_cells_of_no_harm() {
        for seed in 0..2000u32 {
            let noise: Vec<u8> = (0..512u32)
                .map(|n| (n.wrapping_mul(seed | 1).wrapping_mul(2_654_435_761) >> 13) as u8)
                .collect();
            for kind in [2, 10, 13] {
                let mut page = noise.clone();
                page[0] = kind;
                for cell in overflowing(&page, 480, 0) {
                    assert!(cell.local.end + 4 <= 480);
                    columns(&page[cell.local], cell.length);
                }
            }
        }
    }
}
