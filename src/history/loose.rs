//! Loose objects: one zlib stream each, in a file named after the id.

use std::fs::{File, ReadDir};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::ZlibDecoder;
use rayon::prelude::*;

use super::damage::Damage;
use crate::repo::{ObjectId, ObjectKind as Kind};

/// `commit 18446744073709551615\0`
const LONGEST_HEADER: usize = 32;

/// An object that was opened: its kind, its size as it says, and its bytes to be read.
pub(super) struct Loose<'a> {
    pub(super) kind: Kind,
    pub(super) size: u64,
    /// At most `size` bytes, and one more if it says too little.
    pub(super) body: Box<dyn Read + 'a>,
}

/// A loose object that was searched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Found {
    pub(super) id: ObjectId,
    pub(super) kind: Kind,
    /// How many bytes were read.
    pub(super) bytes: u64,
    /// Whether they are a compressed archive or file.
    pub(super) packed: bool,
    /// Whether they are all that it should have.
    pub(super) whole: bool,
}

/// The file of a loose object in a directory of objects.
pub(super) fn path(directory: &Path, id: &ObjectId) -> PathBuf {
    let hex = id.to_string();
    directory.join(&hex[..2]).join(&hex[2..])
}

/// Opens the file of a loose object.
pub(super) fn open(path: &Path) -> Result<Loose<'static>, Damage> {
    let file = BufReader::with_capacity(32 << 10, File::open(path)?);
    let mut stream = BufReader::with_capacity(32 << 10, ZlibDecoder::new(file));
    let mut header = Vec::new();
    (&mut stream)
        .take(LONGEST_HEADER as u64)
        .read_until(0, &mut header)
        .map_err(|_| Damage::Compressed)?;
    let (kind, size) = header
        .strip_suffix(b"\0")
        .and_then(|header| {
            let space = header.iter().position(|b| *b == b' ')?;
            let size = std::str::from_utf8(&header[space + 1..])
                .ok()?
                .parse()
                .ok()?;
            Some((Kind::from_name(&header[..space])?, size))
        })
        .ok_or(Damage::NotA("loose object"))?;
    Ok(Loose {
        kind,
        size,
        body: Box::new(stream.take(u64::saturating_add(size, 1))),
    })
}

/// Opens a loose object; `None` if no directory has it.
pub(super) fn find(
    directories: &[PathBuf],
    id: &ObjectId,
) -> Result<Option<Loose<'static>>, Damage> {
    for directory in directories {
        match open(&path(directory, id)) {
            Err(Damage::Unreadable(error)) if error.kind() == io::ErrorKind::NotFound => {}
            opened => return opened.map(Some),
        }
    }
    Ok(None)
}

/// Reads a loose object of at most `most` bytes; `None` if no directory has it.
pub(super) fn read(
    directories: &[PathBuf],
    id: &ObjectId,
    most: u64,
) -> Result<Option<(Kind, Vec<u8>)>, Damage> {
    let Some(Loose {
        kind,
        size,
        mut body,
    }) = find(directories, id)?
    else {
        return Ok(None);
    };
    if size > most {
        return Err(Damage::TooLarge(size));
    }
    let mut bytes = Vec::new();
    body.read_to_end(&mut bytes)
        .map_err(|_| Damage::Compressed)?;
    if bytes.len() as u64 != size {
        return Err(Damage::Size);
    }
    Ok(Some((kind, bytes)))
}

/// What loose objects a directory holds.
#[derive(Default)]
pub(super) struct Listed {
    pub(super) ids: Vec<ObjectId>,
    pub(super) failed: Vec<(PathBuf, io::Error)>,
}

/// Lists the loose objects of a directory, in no order. There may be a million of them: all cores
/// list.
pub(super) fn list(directory: &Path) -> Listed {
    let fans = (0..=255u8).into_par_iter().map(|first| {
        let mut listed = Listed::default();
        let name = format!("{first:02x}");
        let fan = directory.join(&name);
        match std::fs::read_dir(&fan) {
            Ok(entries) => listed.fan(name, &fan, entries),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => listed.failed.push((fan, error)),
        }
        listed
    });
    fans.reduce(Listed::default, |mut all, mut part| {
        all.ids.append(&mut part.ids);
        all.failed.append(&mut part.failed);
        all
    })
}

impl Listed {
    fn fan(&mut self, mut name: String, fan: &Path, entries: ReadDir) {
        for entry in entries {
            match entry {
                Ok(entry) => {
                    name.truncate(2);
                    name.push_str(&entry.file_name().to_string_lossy());
                    self.ids.extend(ObjectId::from_hex(name.as_bytes()));
                }
                Err(error) => self.failed.push((fan.to_owned(), error)),
            }
        }
    }
}
