//! 7z: files behind each other in *folders*, each of which is packed as one, by methods that may
//! stand on each other. Folders are decoded at once, on all cores.
//!
//! The reader is ours, and liblzma decodes: the crates there are take memory and recurse as the
//! header says, before they look whether that can be.
//!
//! Source: `7zFormat.txt` and `Methods.txt` of the LZMA SDK.

mod bcj2;
mod coders;
mod header;

use std::io::Read;

use self::coders::Cannot;
use self::header::{Bytes, Folder, Header, ROOM, Streams, id};
use super::part::Part;
use super::{Access, Body, Damage, Format, Input, Members, ReadAt, Step};
use crate::coverage::{Limit, Unread};

pub(super) struct SevenZ;

const SIGNATURE: &[u8] = b"7z\xbc\xaf\x27\x1c";
/// What stands before the first packed stream.
const SIGNATURE_HEADER: u64 = 32;
/// How large a header may be, unpacked: a million files have no larger one.
const MOST_HEADER: u64 = 64 << 20;
/// Headers may be packed, and packed again.
const MOST_PACKINGS: usize = 4;

impl Format for SevenZ {
    fn name(&self) -> &'static str {
        "7z"
    }

    fn access(&self) -> Access {
        Access::Random
    }

    fn recognises(&self, head: &[u8], _name: &[u8]) -> bool {
        head.starts_with(SIGNATURE)
    }

    fn unpack(&self, input: Input<'_>, out: &mut dyn Members) -> Result<(), Damage> {
        let Input::Random(file) = input else {
            return Err(Damage::TooLarge);
        };
        let mut start = [0; SIGNATURE_HEADER as usize];
        if file.read_full(&mut start, 0)? < start.len() {
            return Err(Damage::broken("it ends within its header"));
        }
        let number = |at: usize| {
            let bytes = start[at..at + 8].iter().rev();
            bytes.fold(0, |all, byte| all << 8 | u64::from(*byte))
        };
        let from = SIGNATURE_HEADER.saturating_add(number(12));
        let size = number(20);
        let to = from.saturating_add(size);
        if to > file.size() {
            return Err(Damage::broken(
                "its header, which stands at its end, is cut off",
            ));
        }
        let Some(_held) = out.reserve(size.saturating_mul(ROOM)) else {
            return Err(Damage::TooLarge);
        };
        let mut bytes = Vec::new();
        file.section(from..to).read_to_end(&mut bytes)?;
        let Some(header) = header(file, bytes, out)? else {
            return Ok(());
        };
        unpack(file, &header, out)
    }
}

/// Reads the header, which may be packed; `None` if that can't be undone, and was told.
fn header(
    file: &dyn ReadAt,
    mut bytes: Vec<u8>,
    out: &mut dyn Members,
) -> Result<Option<Header>, Damage> {
    for _ in 0..MOST_PACKINGS {
        let mut left = Bytes::new(&bytes);
        if left.left.is_empty() {
            return Ok(Some(Header::default()));
        }
        match left.number()? {
            id::HEADER => return Header::parse(&mut left).map(Some),
            id::ENCODED_HEADER => {}
            _ => return Err(Damage::broken("what should be its header is none")),
        }
        let streams = Streams::parse(&mut left)?;
        let [folder] = &streams.folders[..] else {
            return Err(Damage::broken(
                "its packed header is in several folders, or in none",
            ));
        };
        for packed in &streams.packed {
            let at = |place: u64| SIGNATURE_HEADER.saturating_add(place).min(file.size());
            out.covers(at(packed.start)..at(packed.end));
        }
        let size = folder.size();
        let memory = size
            .saturating_mul(ROOM)
            .saturating_add(coders::memory(folder));
        let held = (size <= MOST_HEADER).then(|| out.reserve(memory)).flatten();
        let why = match (
            held,
            coders::open(file, &streams.packed, SIGNATURE_HEADER, folder),
        ) {
            (None, _) => Unread::Over(Limit::Memory),
            (_, Err(why)) => why.into(),
            (Some(_held), Ok(reader)) => {
                let mut unpacked = Vec::new();
                reader.take(size).read_to_end(&mut unpacked)?;
                bytes = unpacked;
                continue;
            }
        };
        out.unread(Step::part("header"), why);
        return Ok(None);
    }
    Err(Damage::broken("its header is packed again and again"))
}

/// Hands out all files.
fn unpack(file: &dyn ReadAt, header: &Header, out: &mut dyn Members) -> Result<(), Damage> {
    let Header { streams, files } = header;
    for packed in &streams.packed {
        let at = |place: u64| SIGNATURE_HEADER.saturating_add(place).min(file.size());
        out.covers(at(packed.start)..at(packed.end));
    }
    for file in files.iter().filter(|file| !file.has_stream) {
        out.text(Step::part("name"), &file.name);
    }
    let names: Vec<&[u8]> = files
        .iter()
        .filter(|file| file.has_stream)
        .map(|file| &file.name[..])
        .collect();
    // Where each folder's names begin.
    let firsts: Vec<usize> = streams
        .folders
        .iter()
        .scan(0, |next, folder| {
            let first = *next;
            *next += folder.files.len();
            Some(first)
        })
        .collect();
    out.each(streams.folders.len(), &|number, out| {
        let folder = &streams.folders[number];
        let name = |n: usize| Step::file(names.get(firsts[number] + n).copied().unwrap_or(b""));
        let held = out.reserve(coders::memory(folder));
        let opened = coders::open(file, &streams.packed, SIGNATURE_HEADER, folder);
        let why: Unread = match (held, opened) {
            (Some(_held), Ok(mut reader)) => return read(&mut reader, folder, &name, out),
            (None, Ok(_)) => Unread::Over(Limit::Memory),
            (_, Err(why)) => why.into(),
        };
        for n in 0..folder.files.len() {
            out.unread(name(n), why.clone());
        }
        Ok(())
    })
}

/// Hands out a folder's files.
fn read<'a>(
    reader: &mut impl Read,
    folder: &Folder,
    name: &dyn Fn(usize) -> Step<'a>,
    out: &mut dyn Members,
) -> Result<(), Damage> {
    for (n, size) in folder.files.iter().enumerate() {
        let mut part = Part::new(reader, *size);
        out.member(name(n), Body::Stream(&mut part, Some(*size)))?;
        // Files behind one that can't be decoded can't be, either.
        let why = match part.finish() {
            Ok(true) => continue,
            Ok(false) => "what stands before it is damaged".to_owned(),
            Err(damage) => damage.to_string(),
        };
        for n in n + 1..folder.files.len() {
            out.unread(name(n), Unread::Damaged(why.clone()));
        }
        break;
    }
    Ok(())
}

impl From<Cannot> for Unread {
    fn from(why: Cannot) -> Self {
        match why {
            Cannot::Encrypted => Self::Encrypted,
            Cannot::Unsupported(what) => Self::Unsupported(what),
            Cannot::Damaged(how) => Self::Damaged(how),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::testing::{self, Notes};

    /// An archive that 7-Zip 16 made of [`files`], see `tests/archives/README.md`.
    fn archive(name: &str) -> Vec<u8> {
        let path = format!("{}/tests/archives/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read(path).unwrap()
    }

    const ALL: &[&str] = &[
        "bcj-lzma.7z",
        "bcj2.7z",
        "copy.7z",
        "deflate.7z",
        "deflate64.7z",
        "delta-bzip2.7z",
        "lzma-plain-header.7z",
        "lzma2.7z",
    ];

    /// What the archives hold: code with calls and jumps to the same places, and texts.
    fn files() -> Vec<(String, Vec<u8>)> {
        let mut code = Vec::new();
        for n in 0..400 {
            for (opcode, target) in [([0x90, 0xe8], 0x4000), ([0x0f, 0x84], 0x2000 + n % 7)] {
                let distance = target - (code.len() as i32 + 6);
                code.extend(opcode);
                code.extend(distance.to_le_bytes());
            }
        }
        let lines: String = (0..40).map(|n| format!("first file, line {n}\n")).collect();
        vec![
            ("code.bin".into(), code),
            ("one.txt".into(), lines.into_bytes()),
            ("two.txt".into(), b"second file\n".to_vec()),
        ]
    }

    fn sorted(notes: &Notes) -> Vec<(String, Vec<u8>)> {
        let mut contents = notes.contents();
        contents.retain(|(way, _)| !way.is_empty());
        contents.sort();
        contents
    }

    #[test]
    fn every_method_gives_the_same_files() {
        for name in ALL {
            let notes = testing::unpack(name, &archive(name));
            assert_eq!(notes.unread(), [], "{name}");
            assert!(sorted(&notes) == files(), "{name}: {:?}", notes.0.len());
        }
    }

    #[test]
    fn what_needs_a_password_or_an_unknown_method_is_named() {
        let unread = |name: &str| testing::unpack(name, &archive(name)).unread();
        let each = |why: &str| -> Vec<_> {
            let names = files().into_iter().map(|(name, _)| name);
            names.map(|name| (name, why.to_owned())).collect()
        };
        let mut encrypted = unread("encrypted.7z");
        encrypted.sort();
        assert_eq!(encrypted, each("it is encrypted"));
        let header = [("header".to_owned(), "it is encrypted".to_owned())];
        assert_eq!(unread("encrypted-header.7z"), header);
        let mut unknown = unread("ppmd.7z");
        unknown.sort();
        assert_eq!(unknown, each("it can't be unpacked: compressed with PPMd"));
    }

    #[test]
    fn damage_is_named() {
        for name in ALL {
            let good = archive(name);
            for end in (6..good.len()).step_by(11) {
                let notes = testing::unpack(name, &good[..end]);
                assert_eq!(notes.unread().len(), 1, "{name} cut at {end}");
            }
            // Every byte of the header, which stands at the end, is changed in a few ways.
            let header = good.len().saturating_sub(220).max(12);
            for at in (12..32).chain(header..good.len()) {
                for change in [0x01, 0x80, 0xff] {
                    let mut bad = good.clone();
                    bad[at] ^= change;
                    testing::unpack(name, &bad);
                }
            }
        }
    }

    #[test]
    fn a_window_is_no_larger_than_what_it_is_for() {
        let mut large = archive("lzma-plain-header.7z");
        let properties = [0x23, 3, 1, 1, 5, 0x5d];
        let at = memchr::memmem::rfind(&large, &properties).unwrap() + properties.len();
        large[at..at + 4].fill(0xff);
        let notes = testing::unpack("", &large);
        assert_eq!(
            notes.unread(),
            [],
            "a window of 4 GiB, of content of a few kilobytes"
        );
        assert!(sorted(&notes) == files());
    }

    #[test]
    fn a_header_that_states_anything_costs_nothing() {
        // A plain header: one packed stream, and a count that is larger than any memory.
        let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
        let heads: [&[u8]; 4] = [
            &[1, 4, 6, 0],          // packed streams
            &[1, 4, 7, 0x0b],       // folders
            &[1, 4, 7, 0x0b, 1, 0], // coders
            &[1, 5],                // files
        ];
        for head in heads {
            let notes = testing::unpack("", &plain(&[head, &huge].concat()));
            assert_eq!(notes.unread().len(), 1);
        }
    }

    /// An archive of a header alone.
    fn plain(header: &[u8]) -> Vec<u8> {
        let mut bytes = b"7z\xbc\xaf\x27\x1c\0\x04\0\0\0\0".to_vec();
        bytes.extend(0u64.to_le_bytes());
        bytes.extend((header.len() as u64).to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(header);
        bytes
    }

    #[test]
    fn what_goes_over_all_that_was_counted_comes_once() {
        let lists: [&[u8]; 4] = [
            &[1, 5, 1, 0, 5, 1, 0, 0],                            // files
            &[1, 5, 1, 0x11, 1, 0, 0x11, 1, 0, 0, 0],             // names
            &[1, 4, 6, 0, 0, 0, 6, 0, 0, 0, 0, 0],                // packed streams
            &[1, 4, 7, 0x0b, 0, 0, 0x0c, 0, 8, 0, 8, 0, 0, 0, 0], // files in folders
        ];
        for list in lists {
            let unread = testing::unpack("", &plain(list)).unread();
            assert!(unread[0].1.ends_with("twice"), "{unread:?}");
        }
        // Fillers may stand between any two.
        let notes = testing::unpack("", &plain(&[1, 5, 1, 0x19, 0, 0x19, 0, 0, 0]));
        assert_eq!(notes.unread(), []);
    }

    #[test]
    fn folders_of_three_bytes_each_take_no_more_than_what_was_reserved() {
        let header = |count: u32| {
            let size = count.to_le_bytes();
            let folders = [1u8, 0].repeat(count as usize);
            let sizes = vec![0; count as usize];
            let start = [1, 4, 7, 0x0b, 0xe0, size[0], size[1], size[2], 0];
            plain(&[&start, &folders[..], &[0x0c], &sizes, &[0, 0, 0]].concat())
        };
        let unread = |count| testing::unpack("", &header(count)).unread();
        // Each lacks its packed stream.
        assert_eq!(unread(1000).len(), 1000);
        let unread = unread(100_000);
        assert!(unread.len() == 1 && unread[0].1.contains("more than"));
    }

    #[test]
    fn what_comes_to_nothing_in_the_end_is_bounded() {
        let deflate = |bytes: &[u8]| {
            let mut to =
                flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
            to.write_all(bytes).unwrap();
            to.finish().unwrap()
        };
        let nothing = b"\0\0\0\xff\xff".repeat(500_000);
        let packed = deflate(&deflate(&nothing));
        let size = |size: usize| [0xc0 | (size >> 16) as u8, size as u8, (size >> 8) as u8];
        let (start, length) = (packed.len() as u64, packed.len() as u8);
        let coder = [3, 4, 1, 8];
        // Three coders, the second upon the first, the third upon that.
        let folder = [&[3][..], &coder, &coder, &coder, &[1, 0, 2, 1]].concat();
        let header = [
            &[1, 4, 6, 0, 1, 9, length, 0, 7, 0x0b, 1, 0][..],
            &folder,
            &[0x0c],
            &[size(3000), size(nothing.len()), size(9)].concat(),
            &[0, 0, 0],
        ];
        let mut bytes = plain(&header.concat());
        bytes[12..20].copy_from_slice(&start.to_le_bytes());
        bytes.splice(32..32, packed);
        let unread = testing::unpack("", &bytes).unread();
        assert!(
            unread.len() == 1 && unread[0].1.contains("between its decoders"),
            "{unread:?}"
        );
    }
}
