//! Loose objects: one zlib stream each, in a file named after the id.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::ZlibDecoder;

use super::damage::Damage;
use crate::repo::{ObjectId, ObjectKind as Kind};

/// `commit 18446744073709551615\0`
const LONGEST_HEADER: usize = 32;

/// A loose object that was opened: its kind, its size as it says, and its bytes to be read.
pub(super) struct Loose {
    pub(super) kind: Kind,
    pub(super) size: u64,
    /// At most `size` bytes, and one more if it says too little.
    pub(super) body: Box<dyn Read>,
}

/// A loose object that is there.
pub(super) struct Found {
    pub(super) id: ObjectId,
    pub(super) kind: Kind,
}

/// Opens the file of a loose object.
pub(super) fn open(path: &Path) -> Result<Loose, Damage> {
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

/// Reads a loose object of at most `most` bytes; `None` if no directory has it.
pub(super) fn read(
    directories: &[PathBuf],
    id: &ObjectId,
    most: u64,
) -> Result<Option<(Kind, Vec<u8>)>, Damage> {
    let hex = id.to_string();
    for directory in directories {
        let loose = match open(&directory.join(&hex[..2]).join(&hex[2..])) {
            Ok(loose) => loose,
            Err(Damage::Unreadable(error)) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(damage) => return Err(damage),
        };
        if loose.size > most {
            return Err(Damage::TooLarge(loose.size));
        }
        let mut bytes = Vec::new();
        let mut body = loose.body;
        body.read_to_end(&mut bytes)
            .map_err(|_| Damage::Compressed)?;
        if bytes.len() as u64 != loose.size {
            return Err(Damage::Size);
        }
        return Ok(Some((loose.kind, bytes)));
    }
    Ok(None)
}

/// All loose objects of a directory, and other files that git leaves there: objects half written.
pub(super) fn list(
    directory: &Path,
    mut object: impl FnMut(ObjectId, PathBuf),
    mut damaged: impl FnMut(PathBuf, io::Error),
) {
    for first in 0..=255u8 {
        let name = format!("{first:02x}");
        let directory = directory.join(&name);
        let entries = match std::fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                damaged(directory, error);
                continue;
            }
        };
        for entry in entries {
            match entry {
                Ok(entry) => {
                    let hex = format!("{name}{}", entry.file_name().to_string_lossy());
                    if let Some(id) = ObjectId::from_hex(hex.as_bytes()) {
                        object(id, entry.path());
                    }
                }
                Err(error) => damaged(directory.clone(), error),
            }
        }
    }
}
