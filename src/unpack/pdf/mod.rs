//! PDF: the streams that are compressed or written in other characters. All else lies there as it is.
//! The table of objects is not needed for it, so damaged files are read as well.
//!
//! Not read: what is encrypted, images, and text that is set in the numbers of a font's glyphs.
//!
//! Source: ISO 32000-1, sections 7.3.8 (streams), 7.4 (filters) and 7.5.8 (encryption in trailers).

mod dictionary;
mod filters;

use std::ops::Range;

use memchr::memmem;

use self::dictionary::Dictionary;
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
            let mut first = [0; 2];
            file.read_full(&mut first, range.start)?;
            match first {
                [0x78, _] if u16::from_be_bytes(first) % 31 == 0 => vec![&b"FlateDecode"[..]],
                _ => vec![],
            }
        }
    };
    let step = Step::named("object", about.object().to_owned());
    match filters::open(file.section(range.clone()), &filters) {
        filters::Opened::Plain => Ok(()),
        filters::Opened::Unknown(name) => {
            out.unread(step, Unread::Unsupported(format!("filter {name}")));
            Ok(())
        }
        filters::Opened::Decoded(mut reader) => {
            out.covers(range);
            out.member(step, Body::Stream(&mut reader, None))?;
            Ok(())
        }
    }
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

#[cfg(test)]
mod tests {
    use super::super::testing::{self, Got};
    use super::*;
    use std::io::Write;

    fn zlib(text: &[u8]) -> Vec<u8> {
        let mut to = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        to.write_all(text).unwrap();
        to.finish().unwrap()
    }

    fn object(number: u32, dictionary: &str, stream: &[u8]) -> Vec<u8> {
        let head = format!("{number} 0 obj\n<< {dictionary} >>\nstream\r\n");
        [head.as_bytes(), stream, b"\nendstream\nendobj\n"].concat()
    }

    fn pdf(objects: &[Vec<u8>], trailer: &str) -> Vec<u8> {
        let tail = format!("trailer << /Size 9 {trailer} >>\nstartxref\n0\n%%EOF\n");
        [b"%PDF-1.7\n", &objects.concat()[..], tail.as_bytes()].concat()
    }

    fn text(n: usize) -> Vec<u8> {
        format!("BT (a text that is shown, shown, shown: {n}) Tj ET\n").into_bytes()
    }

    fn base85(bytes: &[u8]) -> Vec<u8> {
        let mut out = b"<~".to_vec();
        for group in bytes.chunks(4) {
            let mut four = [0; 4];
            four[..group.len()].copy_from_slice(group);
            let value = u32::from_be_bytes(four);
            let digits = [52_200_625, 614_125, 7_225, 85, 1].map(|p| (value / p % 85) as u8 + b'!');
            match (value, group.len()) {
                (0, 4) => out.push(b'z'),
                (_, length) => out.extend(&digits[..=length]),
            }
            out.push(b'\n');
        }
        out.extend(b"~>");
        out
    }

    fn hexadecimal(bytes: &[u8]) -> Vec<u8> {
        let digits = bytes.iter().map(|byte| format!("{byte:02X} "));
        (digits.collect::<String>() + ">").into_bytes()
    }

    /// LZW that never makes use of its table, and clears it before codes grow.
    fn lzw(bytes: &[u8]) -> Vec<u8> {
        let (mut bits, mut count, mut out) = (0u64, 0, Vec::new());
        let mut put = |code: u64| {
            bits = bits << 9 | code;
            count += 9;
            while count >= 8 {
                count -= 8;
                out.push((bits >> count) as u8);
            }
        };
        for chunk in bytes.chunks(200) {
            put(256);
            chunk.iter().for_each(|byte| put(u64::from(*byte)));
        }
        put(257);
        put(0);
        out
    }

    #[test]
    fn streams_are_decoded_whatever_their_filters() {
        let objects = [
            object(1, "/Length 9999 /Filter /FlateDecode", &zlib(&text(1))),
            object(
                2,
                "/Filter [/ASCII85Decode /FlateDecode] /Length 7 0 R",
                &base85(&zlib(&text(2))),
            ),
            object(3, "/Filter[/AHx]/Length 5", &hexadecimal(&text(3))),
            object(
                4,
                "/Type /ObjStm /N 1 /First 4 /Filter/Fl",
                &zlib(b"12 0 << /Author (somebody) >>"),
            ),
            object(5, "/Length1 5 /Filter /LZWDecode", &lzw(&text(5).repeat(9))),
            object(
                6,
                "/Filter /RunLengthDecode",
                &[&[text(6).len() as u8 - 1][..], &text(6), &[254, b'!', 128]].concat(),
            ),
            object(7, "", &text(7)),
            object(8, "/Filter /DCTDecode", b"\xff\xd8 a comment in an image"),
            object(9, "/Filter /Crypt", b"unknown"),
            object(10, "/Filter 5 0 R /ColorSpace 6 0 R", b"\xff\xd8 an image"),
            object(11, "/Filter 5 0 R /ColorSpace 6 0 R", &zlib(&text(11))),
        ];
        let file = pdf(&objects, "");
        let notes = testing::unpack("a.pdf", &file);
        let mut contents = notes.contents();
        contents.sort();
        let ways: Vec<_> = contents.iter().map(|(way, _)| way.as_str()).collect();
        let all = [
            "object 1 0",
            "object 11 0",
            "object 2 0",
            "object 3 0",
            "object 4 0",
            "object 5 0",
            "object 6 0",
        ];
        assert_eq!(ways, all);
        for (at, n) in [(0, 1), (1, 11), (2, 2), (3, 3)] {
            assert_eq!(contents[at].1, text(n));
        }
        assert_eq!(contents[5].1, text(5).repeat(9));
        assert_eq!(contents[6].1, [text(6), b"!!!".to_vec()].concat());
        assert!(notes.hold("/Author (somebody)"));
        let why = "it can't be unpacked: filter Crypt".to_owned();
        assert_eq!(notes.unread(), [("object 9 0".to_owned(), why)]);
        let raw = |text: &[u8]| {
            notes
                .0
                .iter()
                .any(|(_, got)| matches!(got, Got::Raw(_, b) if memmem::find(b, text).is_some()))
        };
        assert!(raw(&text(7)) && raw(b"a comment in an image") && !raw(&zlib(&text(1))));
    }

    #[test]
    fn streams_are_found_across_windows() {
        for filler in [WINDOW - 40, WINDOW - 4200, 3 * WINDOW - 30] {
            let objects = [
                object(1, "", &vec![b'x'; filler]),
                object(2, "/Filter /FlateDecode", &zlib(&text(2))),
                object(3, "/Filter /FlateDecode /Length 12 0 R", &{
                    let noise =
                        (0..WINDOW * 2).map(|n| (n as u32).wrapping_mul(2_654_435_761) >> 24);
                    zlib(&noise.map(|n| n as u8).collect::<Vec<_>>())
                }),
                object(4, "/Filter /FlateDecode", &zlib(&text(4))),
            ];
            let notes = testing::unpack("a.pdf", &pdf(&objects, ""));
            let ways: Vec<_> = notes.contents().into_iter().map(|(way, _)| way).collect();
            assert_eq!(ways, ["object 2 0", "object 3 0", "object 4 0"], "{filler}");
        }
    }

    #[test]
    fn encrypted_files_are_named() {
        let objects = [object(1, "/Filter /FlateDecode", &zlib(&text(1)))];
        let file = pdf(&objects, "/Encrypt 5 0 R");
        let streams = [("streams".to_owned(), "it is encrypted".to_owned())];
        assert_eq!(testing::unpack("", &file).unread(), streams);
        // Newer files have a stream for a trailer.
        let table = object(9, "/Type /XRef /Encrypt 5 0 R", b"\0\0");
        let body = [b"%PDF-1.7\n", &objects.concat()[..]].concat();
        let tail = format!("startxref\n{}\n%%EOF", body.len());
        let file = [body, table, tail.into_bytes()].concat();
        assert_eq!(testing::unpack("", &file).unread(), streams);
        let plain = pdf(&objects, "/EncryptMetadata false");
        assert!(testing::unpack("", &plain).unread().is_empty());
    }

    #[test]
    fn damage_is_named() {
        let good = pdf(
            &[
                object(1, "/Filter /FlateDecode", &zlib(&text(1))),
                object(2, "/Filter [/A85 /Fl]", &base85(&zlib(&text(2)))),
                object(5, "/Filter /LZW", &lzw(&text(5))),
            ],
            "",
        );
        for end in 5..good.len() {
            testing::unpack("", &good[..end]);
        }
        for at in 9..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x55;
            testing::unpack("", &bad);
        }
        let bad = [
            object(1, "/Filter /Fl", b"no deflate"),
            object(2, "/Filter /A85", b"\x7f\x7f"),
            object(3, "/Filter /AHx", b"no digits"),
            object(4, "/Filter /LZW", &[0xff; 8]),
            object(5, &format!("/Filter [{}]", "/Fl ".repeat(1000)), b"deep"),
        ];
        assert_eq!(
            testing::unpack("", &pdf(&bad, "")).unread().len(),
            bad.len()
        );
    }

    #[test]
    fn what_comes_to_nothing_in_the_end_is_bounded() {
        // Stored blocks that hold nothing.
        let nothing = [&[0x78, 0x01][..], &b"\0\0\0\xff\xff".repeat(500_000)].concat();
        let once = "/Filter [/Fl /Fl /Fl]";
        let packed = zlib(&zlib(&nothing));
        assert!(packed.len() < 200);
        let file = pdf(
            &[
                object(1, once, &packed),
                object(2, "/Filter /Fl", &zlib(&text(1))),
            ],
            "",
        );
        let notes = testing::unpack("", &file);
        assert_eq!(notes.unread().len(), 1, "{:?}", notes.unread());
        assert!(notes.unread()[0].1.contains("between its decoders"));
        assert!(notes.hold("shown, shown"));
    }
}
