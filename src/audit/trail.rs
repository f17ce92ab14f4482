//! Writing the trail, line by line, whoever else writes it at the same time.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use super::check;
use super::event::{Event, Record, SCHEMA, Who};
use crate::disk::{self, Guard};

/// The longest line, its line feed included, in bytes.
pub const LONGEST_LINE: usize = 64 << 10;

/// What the first line names as the hash of the one before.
pub const GENESIS: Hash = Hash([0; 32]);

/// The SHA-256 of a line without its line feed; 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// The hash of a line.
    pub fn of(line: &[u8]) -> Self {
        let mut out = [0; 32];
        out.copy_from_slice(Sha256::digest(line).as_slice());
        Self(out)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash {
    type Err = TrailError;

    fn from_str(text: &str) -> Result<Self, TrailError> {
        let digits = text.as_bytes();
        let mut out = [0; 32];
        if digits.len() != 64 {
            return Err(TrailError::NotAHead);
        }
        for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
            let value = |d: u8| (d as char).to_digit(16).ok_or(TrailError::NotAHead);
            *byte = (value(pair[0])? * 16 + value(pair[1])?) as u8;
        }
        Ok(Self(out))
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// How far a trail goes: kept elsewhere, it proves later that nothing before it was changed or
/// cut. As text: `skewer.trail/1 LINES HASH`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The number of lines.
    pub lines: u64,
    /// The hash of the last one; [`GENESIS`] if there is none.
    pub hash: Hash,
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEMA} {} {}", self.lines, self.hash)
    }
}

impl FromStr for Head {
    type Err = TrailError;

    fn from_str(text: &str) -> Result<Self, TrailError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        match words[..] {
            [SCHEMA, lines, hash] => Ok(Self {
                lines: lines.parse().map_err(|_| TrailError::NotAHead)?,
                hash: hash.parse()?,
            }),
            _ => Err(TrailError::NotAHead),
        }
    }
}

/// Why a line could not be added, or a head not be read.
#[derive(Debug, thiserror::Error)]
pub enum TrailError {
    /// The file can't be read or written.
    #[error("the audit trail {}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The record is longer than any line.
    #[error("the audit trail {}: a record of {length} bytes is too long for a line", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Its length.
        length: usize,
    },
    /// What a head should be is none.
    #[error(
        "not a head of a trail: expected `skewer.trail/1 LINES HASH`, as `skewer audit head` prints it"
    )]
    NotAHead,
}

/// A trail that can be written.
#[derive(Clone, Debug)]
pub struct Trail {
    path: PathBuf,
    who: Who,
}

impl Trail {
    /// The trail in that file, which is made with the first line; `who` stands in each line.
    pub fn new(path: impl Into<PathBuf>, who: Who) -> Self {
        Self {
            path: path.into(),
            who,
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a line; when this returns, it is on the disk. Other processes may add lines to the
    /// same trail. Never hand it a text that is not masked.
    ///
    /// # Errors
    /// It could not be written; then the step that it tells of should not be taken.
    pub fn append(&self, time: Timestamp, event: &Event) -> Result<Head, TrailError> {
        self.add(time, event).map(|(head, _)| head)
    }

    /// The same, with the record that was written, for whoever sends it on.
    ///
    /// # Errors
    /// See [`append`](Self::append).
    pub fn add(&self, time: Timestamp, event: &Event) -> Result<(Head, Record), TrailError> {
        let wrong = |error| TrailError::Io {
            path: self.path.clone(),
            error,
        };
        let guard = Guard::take(&self.path).map_err(wrong)?;
        let file = guard.file();
        let end = end(file).map_err(wrong)?;
        let record = Record {
            schema: SCHEMA.to_owned(),
            seq: end.lines + 1,
            time,
            prev: end.hash,
            torn: end.torn,
            who: self.who.clone(),
            event: event.clone(),
        };
        let line = serde_json::to_vec(&record).expect("texts and numbers can be written");
        if line.len() >= LONGEST_LINE {
            return Err(TrailError::TooLong {
                path: self.path.clone(),
                length: line.len(),
            });
        }
        let head = Head {
            lines: record.seq,
            hash: Hash::of(&line),
        };
        let mut bytes = Vec::with_capacity(line.len() + 2);
        if end.open {
            bytes.push(b'\n');
        }
        bytes.extend_from_slice(&line);
        bytes.push(b'\n');
        (&mut &*file).write_all(&bytes).map_err(wrong)?;
        file.sync_all().map_err(wrong)?;
        if end.lines == 0 {
            let directory = self.path.parent().filter(|p| !p.as_os_str().is_empty());
            disk::sync(directory.unwrap_or(Path::new("."))).map_err(wrong)?;
        }
        Ok((head, record))
    }
}

/// Where the next line begins.
struct End {
    lines: u64,
    /// Of the last record.
    hash: Hash,
    /// Of what is torn behind it.
    torn: Option<Hash>,
    /// The last line has no line feed.
    open: bool,
}

/// Reads the last line only, unless that is torn.
fn end(mut file: &File) -> io::Result<End> {
    let length = file.metadata()?.len();
    let from = length.saturating_sub(2 * LONGEST_LINE as u64);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    file.take(2 * LONGEST_LINE as u64).read_to_end(&mut tail)?;
    let last = tail.strip_suffix(b"\n").unwrap_or(&tail);
    let start = last.iter().rposition(|b| *b == b'\n').map_or(0, |n| n + 1);
    let last = &last[start..];
    let open = tail.last().is_some_and(|b| *b != b'\n');
    // A record that lacks its line feed only is whole.
    if let Ok(record) = check::parse(last) {
        return Ok(End {
            lines: record.seq,
            hash: Hash::of(last),
            torn: None,
            open,
        });
    }
    file.seek(SeekFrom::Start(0))?;
    let mut chain = Chain::default();
    for line in check::lines(io::BufReader::new(file)) {
        let line = line.map_err(io::Error::other)?;
        chain.step(&line.bytes, check::parse(&line.bytes).is_ok());
    }
    Ok(End {
        lines: chain.lines,
        hash: chain.record,
        torn: chain.torn(),
        open,
    })
}

/// What the next record has to name.
pub(super) struct Chain {
    /// Lines so far.
    pub(super) lines: u64,
    /// The hash of the last record.
    pub(super) record: Hash,
    torn: Option<Sha256>,
}

impl Default for Chain {
    fn default() -> Self {
        Self {
            lines: 0,
            record: GENESIS,
            torn: None,
        }
    }
}

impl Chain {
    /// One line on, which is a record or torn.
    pub(super) fn step(&mut self, line: &[u8], is_record: bool) {
        self.lines += 1;
        if is_record {
            (self.record, self.torn) = (Hash::of(line), None);
        } else if let Some(torn) = &mut self.torn {
            torn.update(b"\n");
            torn.update(line);
        } else {
            self.torn = Some(Sha256::new_with_prefix(line));
        }
    }

    /// The hash of what is torn behind the last record.
    pub(super) fn torn(&self) -> Option<Hash> {
        let digest = self.torn.clone()?.finalize();
        let mut out = [0; 32];
        out.copy_from_slice(digest.as_slice());
        Some(Hash(out))
    }
}
