//! tar: ustar, GNU (long names, sparse files) and pax. A header whose checksum is wrong is counted,
//! and the search goes on at the next one that is right.
//!
//! A sparse file is handed out without its holes, which hold nothing but zeros: lines are where they
//! are in the file, offsets are not.

pub(super) mod header;
mod tape;

use std::io::Read;

use self::header::{BLOCK, Header};
use self::tape::Tape;
use super::{Damage, Format, Input, Members, Step};
use crate::coverage::Unread;

pub(super) struct Tar;

impl Format for Tar {
    fn name(&self) -> &'static str {
        "tar"
    }

    fn recognises(&self, head: &[u8], _name: &[u8]) -> bool {
        let Some(block) = head.first_chunk::<BLOCK>() else {
            return false;
        };
        // Version 7 has no magic, but its checksum says enough of bytes that hold a number.
        Header::parse(block).is_some_and(|header| header.has_magic() || header.is_plausible())
    }

    fn unpack(&self, input: Input<'_>, out: &mut dyn Members) -> Result<(), Damage> {
        let mut tape = Tape::new(input);
        let mut next = Next::default();
        let mut ended = false;
        let mut lost = false;
        while let Some(block) = tape.block()? {
            if block.iter().all(|byte| *byte == 0) {
                ended = true;
                continue;
            }
            let Some(header) = Header::parse(&block) else {
                // What follows the end is no damage.
                if !ended && !lost {
                    let at = tape.at() - BLOCK as u64;
                    out.unread(
                        Step::numbered("header", at),
                        Unread::Damaged("its checksum is wrong".to_owned()),
                    );
                    lost = true;
                }
                tape.back(block);
                let offset = tape.at();
                let result = out.raw(offset, &mut tape.until_header());
                tape.skip_to_header()?;
                result?;
                continue;
            };
            (ended, lost) = (false, false);
            entry(&header, &mut tape, &mut next, out)?;
        }
        Ok(())
    }
}

/// What earlier entries said of the next one.
#[derive(Default)]
struct Next {
    path: Option<Vec<u8>>,
    size: Option<u64>,
    /// A sparse file in pax form 1.0: its map stands before its data.
    map: bool,
}

/// What a long name or a pax header may have.
const LONGEST: u64 = 1 << 20;

fn entry(
    header: &Header<'_>,
    tape: &mut Tape<'_>,
    next: &mut Next,
    out: &mut dyn Members,
) -> Result<(), Damage> {
    let Some(size) = header.size() else {
        out.unread(
            Step::file(header.path()),
            Unread::Damaged("its size makes no sense".to_owned()),
        );
        return Ok(());
    };
    match header.kind() {
        kind @ (b'L' | b'K' | b'x' | b'g' | b'X') => {
            let mut text = Vec::new();
            tape.body(size).take(LONGEST).read_to_end(&mut text)?;
            tape.skip_body()?;
            match kind {
                b'L' => next.path = Some(until_nul(&text).to_vec()),
                b'K' => out.text(Step::part("link target"), until_nul(&text)),
                _ => pax(&text, next, kind == b'g', out),
            }
            return Ok(());
        }
        b'S' => {
            let mut more = header.is_extended();
            while more {
                let Some(block) = tape.block()? else {
                    return Err(cut());
                };
                more = block[504] != 0;
            }
        }
        _ => {}
    }
    let next = std::mem::take(next);
    let path = next.path.unwrap_or_else(|| header.path());
    let target = header.link();
    if !target.is_empty() {
        out.text(Step::part("link target"), target);
    }
    // Links, devices and directories have no bytes, whatever their size says.
    let size = match header.kind() {
        b'1'..=b'6' => 0,
        _ => next.size.unwrap_or(size),
    };
    if matches!(header.kind(), b'2'..=b'6') && size == 0 {
        out.text(Step::part("name"), &path);
        return Ok(());
    }
    let result = tape.with_body(size, |body| {
        if next.map {
            // What is left of it starts at the next block.
            return body.without_map(|body| out.member(Step::file(path), body));
        }
        body.whole(|body| out.member(Step::file(path), body))
    });
    result?;
    tape.skip_body()
}

fn cut() -> Damage {
    Damage::broken("it ends in the middle of a member")
}

fn until_nul(text: &[u8]) -> &[u8] {
    &text[..memchr::memchr(0, text).unwrap_or(text.len())]
}

/// Reads pax records, `LENGTH KEY=VALUE\n`, and hands their values out as text. Records that are
/// none end the reading; the rest is text as well.
fn pax(mut records: &[u8], next: &mut Next, is_global: bool, out: &mut dyn Members) {
    let mut sparse = (false, false);
    while let Some((key, value, rest)) = record(records) {
        match key {
            _ if is_global => {}
            b"path" if next.path.is_none() || !sparse.0 => next.path = Some(value.to_vec()),
            b"GNU.sparse.name" => {
                next.path = Some(value.to_vec());
                sparse.0 = true;
            }
            b"GNU.sparse.major" => sparse.1 = value == b"1",
            b"size" => next.size = number(value),
            _ => {}
        }
        if key != b"path" && key != b"size" {
            out.text(Step::named("pax record", key), value);
        }
        records = rest;
    }
    next.map = sparse.1;
    if !records.is_empty() {
        out.text(Step::part("pax records"), records);
    }
}

fn record(records: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let blank = records.iter().take(20).position(|byte| *byte == b' ')?;
    let length = usize::try_from(number(&records[..blank])?).ok()?;
    let record = records.get(blank + 1..length)?.strip_suffix(b"\n")?;
    let equals = memchr::memchr(b'=', record)?;
    Some((&record[..equals], &record[equals + 1..], &records[length..]))
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}
