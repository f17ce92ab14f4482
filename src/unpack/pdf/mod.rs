//! PDF: the streams that are compressed or written in other characters. All else lies there as it is.
//! The table of objects is not needed for it, so damaged files are read as well.
//!
//! Not read: what is encrypted, images, and text that is set in the numbers of a font's glyphs.
//!
//! Source: ISO 32000-1, sections 7.3.8 (streams), 7.4 (filters) and 7.5.8 (encryption in trailers).

mod dictionary;
mod filters;
mod predictor;
#[cfg(test)]
mod tests;

use std::ops::Range;

use memchr::memmem;

use self::dictionary::{Dictionary, Filter};
use super::{Access, Body, Damage, Format, Input, Members, ReadAt, Step, part};
use crate::coverage::Unread;

pub(super) struct Pdf;

/// How much is looked through at once.
const WINDOW: usize = 256 << 10;
/// How long an object's dictionary may be before its stream.
const DICTIONARY: usize = 4096;
/// Where trailers are looked for, from the end.
const TRAILER: u64 = 2048;

impl Format for Pdf {
    fn name(&self) -> &'static str {
        "pdf"
    }

    fn access(&self) -> Access {
        Access::Random
    }

    fn recognises(&self, head: &[u8], _name: &[u8]) -> bool {
        // Readers allow for something before it.
        let at = memmem::find(head, b"%PDF-");
        at.is_some_and(|at| head.get(at + 5).is_some_and(u8::is_ascii_digit))
    }

    fn unpack(&self, input: Input<'_>, out: &mut dyn Members) -> Result<(), Damage> {
        let file = part::random(input, out)?;
        if is_encrypted(file)? {
            out.unread(Step::part("streams"), Unread::Encrypted);
            return Ok(());
        }
        let finder = memmem::Finder::new(b"stream");
        let mut window = vec![0; WINDOW];
        let mut at = 0;
        loop {
            let read = file.read_full(&mut window, at)?;
            let mut from = 0;
            // Where the last stream ends: what looks like another one within it is none.
            let mut behind = at;
            while let Some(found) = finder.find(&window[from..read]) {
                let place = from + found;
                from = place + b"stream".len();
                let before = &window[place.saturating_sub(DICTIONARY)..place];
                let (Some(line), Some(about)) =
                    (line_end(&window[from..read]), Dictionary::before(before))
                else {
                    continue;
                };
                let range = range(file, at + (from + line) as u64, &about)?;
                behind = range.end;
                stream(file, range, &about, out)?;
                match usize::try_from(behind - at) {
                    Ok(next) if next < read => from = next,
                    _ => break,
                }
            }
            if read < WINDOW {
                return Ok(());
            }
            // The next window takes along what may be a dictionary and the word behind it.
            at = behind.max(at + (WINDOW - DICTIONARY - 16) as u64);
        }
    }
}

/// How long the end of a line is that must follow the word `stream`.
fn line_end(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [b'\r', b'\n', ..] => Some(2),
        [b'\n' | b'\r', ..] => Some(1),
        _ => None,
    }
}

/// Where a stream lies: as long as it says, if its end is there, or up to the next end.
fn range(file: &dyn ReadAt, start: u64, about: &Dictionary<'_>) -> Result<Range<u64>, Damage> {
    const END: &[u8] = b"endstream";
    if let Some(end) = about.length().and_then(|length| start.checked_add(length)) {
        let mut behind = [0; END.len() + 2];
        let read = file.read_full(&mut behind, end)?;
        if behind[..read]
            .trim_ascii_start()
            .starts_with(&END[..END.len() - 2])
        {
            return Ok(start..end);
        }
    }
    // Most streams are short.
    let mut window = vec![0; 4096];
    let mut at = start;
    loop {
        let read = file.read_full(&mut window, at)?;
        if let Some(found) = memmem::find(&window[..read], END) {
            return Ok(start..at + found as u64);
        }
        if read < window.len() {
            return Ok(start..at + read as u64);
        }
        at += (read - END.len()) as u64;
        window.resize(WINDOW, 0);
    }
}

/// Hands out a stream, unless it can be searched as it is.
fn stream(
    file: &dyn ReadAt,
    range: Range<u64>,
    about: &Dictionary<'_>,
    out: &mut dyn Members,
) -> Result<(), Damage> {
    let filters = match about.filters() {
        Some(filters) => filters,
        None => {
            // It is what it begins like.
            let mut first = [0; 12];
            let read = file.read_full(&mut first, range.start)?;
            let first = &first[..read.min((range.end - range.start) as usize)];
            let name: &[u8] = match first {
                [0x78, next, ..] if u16::from_be_bytes([0x78, *next]).is_multiple_of(31) => {
                    b"FlateDecode"
                }
                [0xff, 0xd8, ..] => b"DCTDecode",
                [0, 0, 0, 12, b'j', b'P', ..] => b"JPXDecode",
                _ => b"that another object names",
            };
            vec![Filter {
                name: name.into(),
                parameters: about.parameters(0),
            }]
        }
    };
    let step = || Step::named("object", about.object().to_owned());
    let unsupported = |filter: String| Unread::Unsupported(format!("filter {filter}"));
    match filters::open(file.section(range.clone()), &filters) {
        filters::Opened::Plain => {}
        filters::Opened::Unknown(name) => out.unread(step(), unsupported(name)),
        filters::Opened::Decoded(mut reader, left) => {
            out.covers(range);
            out.member(step(), Body::Stream(&mut reader, None))?;
            if let Some(left) = left {
                out.unread(step(), unsupported(left));
            }
        }
    }
    Ok(())
}

/// Whether the last trailer, or the stream that takes its place, says that the file is encrypted.
fn is_encrypted(file: &dyn ReadAt) -> Result<bool, Damage> {
    let from = file.size().saturating_sub(TRAILER);
    let mut tail = vec![0; TRAILER as usize];
    let read = file.read_full(&mut tail, from)?;
    tail.truncate(read);
    if dictionary::has_key(&tail, b"/Encrypt") {
        return Ok(true);
    }
    let Some(last) = memmem::rfind(&tail, b"startxref") else {
        return Ok(false);
    };
    let number = tail[last + b"startxref".len()..].trim_ascii_start();
    let Some(at) = dictionary::integer(number) else {
        return Ok(false);
    };
    let mut table = vec![0; TRAILER as usize];
    let read = file.read_full(&mut table, at)?;
    let table = &table[..read];
    let table = &table[..memmem::find(table, b"stream").unwrap_or(table.len())];
    Ok(dictionary::has_key(table, b"/Encrypt"))
}
