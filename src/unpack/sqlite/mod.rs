//! `SQLite`: databases, their write-ahead logs and rollback journals. A search of the file as it is
//! finds what lies within a page, in deleted rows, too. What is put together here are the values
//! that a page's border cuts: texts and blobs that go on over *overflow pages*.
//!
//! Pages are gone through in the order of the file, not down from the roots: what no root leads to
//! any more is read, too, and no circle of links can hold the reader up.
//!
//! Source: "Database File Format", sections 1.6, 3 (journals) and 4 (logs), at sqlite.org.

mod cells;
mod pages;

use std::io::{self, Read};

use self::cells::Cell;
use self::pages::Pages;
use super::{Access, Body, Damage, Format, Input, Members, Step, part};

pub(super) struct Sqlite;

impl Format for Sqlite {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn access(&self) -> Access {
        Access::Random
    }

    fn recognises(&self, head: &[u8], _name: &[u8]) -> bool {
        pages::is_known(head)
    }

    fn unpack(&self, input: Input<'_>, out: &mut dyn Members) -> Result<(), Damage> {
        let file = part::random(input, out)?;
        let mut pages = Pages::open(file)?;
        let Some(_table) = out.reserve(pages.memory()) else {
            return Err(Damage::TooLarge);
        };
        pages.index()?;
        let mut visits = vec![0; pages.count()];
        let mut page = vec![0; pages.size()];
        for at in 0..pages.count() {
            let there = pages.read(at, &mut page)?;
            let page = &page[..there];
            for cell in cells::overflowing(page, pages.usable(), pages.header(page)) {
                hand_out(&pages, at, page, &cell, &mut visits, out)?;
            }
        }
        Ok(())
    }
}

/// Each overflow page belongs to one value. Deleted rows may still point at pages that others use
/// by now, so a few visits are allowed; a file made to be slow gets no further.
const VISITS: u8 = 4;

/// Hands out the columns of one record that a page's border cuts, or the whole record if it does
/// not say what its columns are.
fn hand_out(
    pages: &Pages<'_>,
    at: usize,
    page: &[u8],
    cell: &Cell,
    visits: &mut [u8],
    out: &mut dyn Members,
) -> Result<(), Damage> {
    let Some(parts) = follow(pages, at, page, cell, visits)? else {
        return Ok(());
    };
    let start = pages.offset(at);
    let mut length = cell.local.len() as u64;
    out.covers(start + cell.local.start as u64..start + cell.local.end as u64);
    for part in &parts {
        let from = pages.offset(*part) + 4;
        let there = (pages.usable() as u64 - 4).min(cell.length - length);
        out.covers(from..from + there);
        length += there;
    }
    let local = &page[cell.local.clone()];
    let number = at as u64 + 1;
    let place = match cell.row {
        Some(row) => format!("{number}, row {row}"),
        None => number.to_string(),
    };
    let record = Record {
        pages,
        local,
        parts: &parts,
        length,
        at: 0,
        page: Vec::new(),
        held: None,
    };
    match cells::columns(local, cell.length) {
        Some(columns) => {
            for (number, range) in columns {
                let step = format!("{place}, column {number}").into_bytes();
                let end = range.end.min(length);
                let mut column = record.part(range.start.min(end), end);
                let size = Some(end - range.start.min(end));
                out.member(Step::named("page", step), Body::Stream(&mut column, size))?;
            }
        }
        None => {
            let mut whole = record.part(0, length);
            let step = Step::named("page", place.into_bytes());
            out.member(step, Body::Stream(&mut whole, Some(length)))?;
        }
    }
    Ok(())
}

/// The file's pages over which a record goes on; `None` if the first is not one.
fn follow(
    pages: &Pages<'_>,
    at: usize,
    page: &[u8],
    cell: &Cell,
    visits: &mut [u8],
) -> Result<Option<Vec<usize>>, Damage> {
    let mut parts = Vec::new();
    let mut length = cell.local.len() as u64;
    let mut next = cell.next;
    let mut from = at;
    debug_assert!(cell.local.end <= page.len(), "cells lie in their page");
    while length < cell.length {
        let Some(found) = pages.find(next, from) else {
            break;
        };
        if visits[found] == VISITS || found == at {
            break;
        }
        visits[found] += 1;
        let mut link = [0; 4];
        if pages.read(found, &mut link)? < link.len() {
            break;
        }
        parts.push(found);
        (next, from) = (u32::from_be_bytes(link), found);
        length += pages.usable() as u64 - 4;
    }
    Ok((!parts.is_empty()).then_some(parts))
}

/// A record, or a part of it, as a stream.
#[derive(Clone)]
struct Record<'a> {
    pages: &'a Pages<'a>,
    local: &'a [u8],
    parts: &'a [usize],
    /// Where it ends.
    length: u64,
    /// How far it was read.
    at: u64,
    page: Vec<u8>,
    /// Which of the parts is in `page`.
    held: Option<usize>,
}

impl Record<'_> {
    fn part(&self, from: u64, to: u64) -> Self {
        Self {
            length: to,
            at: from,
            ..self.clone()
        }
    }
}

impl Read for Record<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let left = self.length - self.at;
        let local = self.local.len() as u64;
        let there = if self.at < local {
            &self.local[self.at as usize..]
        } else {
            let each = self.pages.usable() as u64 - 4;
            let part = ((self.at - local) / each) as usize;
            let Some(&page) = self.parts.get(part) else {
                return Ok(0);
            };
            if self.held != Some(part) {
                self.page.resize(self.pages.usable(), 0);
                let read = self.pages.read(page, &mut self.page)?;
                self.page.truncate(read);
                self.held = Some(part);
            }
            let from = 4 + ((self.at - local) % each) as usize;
            self.page.get(from..).unwrap_or_default()
        };
        let most = (there.len() as u64).min(left).min(to.len() as u64) as usize;
        to[..most].copy_from_slice(&there[..most]);
        self.at += most as u64;
        Ok(most)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, Notes};
    use rusqlite::Connection;

    /// Text in which every few bytes are unlike all others.
    fn text(seed: usize, length: usize) -> String {
        let words = (0..).map(|n| format!("{seed}-{n:05} "));
        words
            .flat_map(|w| w.into_bytes())
            .map(char::from)
            .take(length)
            .collect()
    }

    fn database(page: usize, setup: &str) -> (tempfile::TempDir, Connection) {
        let dir = tempfile::tempdir().unwrap();
        let db = Connection::open(dir.path().join("a.db")).unwrap();
        db.execute_batch(&format!("PRAGMA page_size = {page}; {setup}"))
            .unwrap();
        (dir, db)
    }

    fn read(dir: &tempfile::TempDir, name: &str) -> Vec<u8> {
        std::fs::read(dir.path().join(name)).unwrap()
    }

    fn values(notes: &Notes) -> Vec<(String, usize)> {
        let contents = notes.contents().into_iter();
        contents.map(|(way, bytes)| (way, bytes.len())).collect()
    }

    #[test]
    fn values_are_put_together_over_pages_of_every_size() {
        for page in [512, 1024, 4096, 65_536] {
            let (dir, db) = database(page, "CREATE TABLE t (a, b, c)");
            let texts: Vec<String> = [40, 500, 5_000, 200_000]
                .iter()
                .enumerate()
                .map(|(seed, length)| text(seed, *length))
                .collect();
            for text in &texts {
                let row = (1, text, text.as_bytes());
                db.execute("INSERT INTO t VALUES (?, ?, ?)", row).unwrap();
            }
            drop(db);
            let notes = testing::unpack("a.db", &read(&dir, "a.db"));
            assert!(notes.unread().is_empty(), "{page}");
            for text in &texts {
                assert!(notes.hold(text), "{page}: a value of {} bytes", text.len());
            }
            let values = values(&notes);
            let is_last = |(way, length): &(String, usize)| {
                way.ends_with("row 4, column 3") && *length == 200_000
            };
            assert!(values.iter().any(is_last), "{page}: {values:?}");
        }
    }

    #[test]
    fn indexes_utf16_and_rows_without_numbers_are_read() {
        let setup = "PRAGMA encoding = 'UTF-16be';
            CREATE TABLE t (k TEXT PRIMARY KEY, v) WITHOUT ROWID; CREATE INDEX i ON t (v)";
        let (dir, db) = database(1024, setup);
        let long = text(1, 4_000);
        db.execute("INSERT INTO t VALUES (?, ?)", ("key", &long))
            .unwrap();
        drop(db);
        let notes = testing::unpack("", &read(&dir, "a.db"));
        let wide: Vec<u8> = long.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let whole = notes
            .contents()
            .into_iter()
            .filter(|(_, bytes)| *bytes == wide);
        assert_eq!(whole.count(), 2, "once in the table, once in the index");
    }

    #[test]
    fn logs_and_journals_are_read() {
        let setup = "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (a)";
        let (dir, db) = database(1024, setup);
        let (one, two) = (text(1, 9_000), text(2, 9_000));
        for value in [&one, &two] {
            db.execute("INSERT INTO t VALUES (?)", [value]).unwrap();
        }
        let log = read(&dir, "a.db-wal");
        let notes = testing::unpack("a.db-wal", &log);
        assert!(notes.hold(&one) && notes.hold(&two), "{:?}", values(&notes));
        drop(db);

        // Without waiting for the disk the journal's header is whole at once; what is wiped is
        // kept in the journal until the change is done.
        let setup = "PRAGMA synchronous = OFF; PRAGMA secure_delete = ON; CREATE TABLE t (a)";
        let (dir, db) = database(1024, setup);
        db.execute("INSERT INTO t VALUES (?)", [&one]).unwrap();
        db.execute_batch("BEGIN; DELETE FROM t").unwrap();
        let journal = read(&dir, "a.db-journal");
        let notes = testing::unpack("a.db-journal", &journal);
        assert!(notes.hold(&one), "{:?}", values(&notes));
    }

    #[test]
    fn links_in_circles_and_cut_files_end() {
        let (dir, db) = database(512, "CREATE TABLE t (a)");
        db.execute("INSERT INTO t VALUES (?)", [text(1, 40_000)])
            .unwrap();
        drop(db);
        let good = read(&dir, "a.db");
        for page in 2..good.len() / 512 {
            // Each overflow page points at itself, or back at the first one.
            for target in [page as u32 + 1, 3] {
                let mut bad = good.clone();
                bad[page * 512..page * 512 + 4].copy_from_slice(&target.to_be_bytes());
                testing::unpack("", &bad);
            }
        }
        for end in (0..good.len()).step_by(97) {
            let end = end.max(16);
            testing::unpack("", &good[..end]);
        }
        let mut bad = good;
        for (at, value) in [(16, 0), (16, 0xff), (20, 0xff)] {
            let was = std::mem::replace(&mut bad[at], value);
            assert_eq!(testing::unpack("", &bad).unread().len(), 1);
            bad[at] = was;
        }
    }
}
