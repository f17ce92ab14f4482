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
#[cfg(test)]
mod tests;

use std::io::Read;

use self::coders::Cannot;
use self::header::{Bytes, Content, Folder, Header, ROOM, Streams, id};
use super::part::{Checked, Part};
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
        let memory = size.saturating_mul(ROOM);
        let held = (size <= MOST_HEADER).then(|| out.reserve(memory)).flatten();
        let opened = match held.is_some() {
            true => coders::open(file, &streams.packed, SIGNATURE_HEADER, folder, out),
            false => Err(Cannot::TooLarge),
        };
        match opened {
            Ok((reader, _memory)) => {
                let mut unpacked = Vec::new();
                reader.take(size).read_to_end(&mut unpacked)?;
                bytes = unpacked;
            }
            Err(why) => {
                out.unread(Step::part("header"), why.into());
                return Ok(None);
            }
        }
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
        let opened = coders::open(file, &streams.packed, SIGNATURE_HEADER, folder, out);
        let why: Unread = match opened {
            Ok((mut reader, _memory)) => return read(&mut reader, folder, &name, out),
            Err(why) => why.into(),
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
    for (n, Content { size, sum }) in folder.files.iter().enumerate() {
        let mut part = Part::new(reader, *size);
        let mut checked = Checked::new(&mut part, *sum, None);
        out.member(name(n), Body::Stream(&mut checked, Some(*size)))?;
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
            Cannot::TooLarge => Self::Over(Limit::Memory),
        }
    }
}
