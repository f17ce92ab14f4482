//! Where a container's bytes come from: a stream, or something that can be read at any place.

use std::io::{self, Read};
use std::ops::Range;

/// Bytes that can be read at any place, from many threads.
pub trait ReadAt: Sync {
    /// How many there are.
    fn size(&self) -> u64;

    /// Reads from `offset` on, as much as there is room for or less; 0 at the end.
    ///
    /// # Errors
    /// As reading does.
    fn read_at(&self, to: &mut [u8], offset: u64) -> io::Result<usize>;

    /// All of them, if they are in memory.
    fn bytes(&self) -> Option<&[u8]> {
        None
    }
}

impl ReadAt for &[u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, to: &mut [u8], offset: u64) -> io::Result<usize> {
        let from = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(self.len());
        let most = to.len().min(self.len() - from);
        to[..most].copy_from_slice(&self[from..from + most]);
        Ok(most)
    }

    fn bytes(&self) -> Option<&[u8]> {
        Some(self)
    }
}

impl dyn ReadAt + '_ {
    /// Fills `to` from `offset` on, or as much of it as there is, and returns how much that is.
    ///
    /// # Errors
    /// As reading does.
    pub fn read_full(&self, to: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < to.len() {
            match self.read_at(&mut to[filled..], offset.saturating_add(filled as u64)) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    /// A part of it as a stream. What lies behind its end is not there.
    pub fn section(&self, range: Range<u64>) -> Section<'_> {
        let end = range.end.min(self.size());
        Section {
            source: self,
            at: range.start.min(end),
            end,
        }
    }
}

/// A part of a [`ReadAt`] as a stream.
pub struct Section<'a> {
    source: &'a dyn ReadAt,
    at: u64,
    end: u64,
}

impl<'a> Section<'a> {
    /// What is left of it, if it is in memory.
    pub fn bytes(&self) -> Option<&'a [u8]> {
        self.source
            .bytes()?
            .get(self.at as usize..self.end as usize)
    }

    /// How much is left of it.
    pub fn left(&self) -> u64 {
        self.end - self.at
    }
}

impl Read for Section<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let most = (self.end - self.at).min(to.len() as u64) as usize;
        let read = self.source.read_at(&mut to[..most], self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// A container's bytes.
pub enum Input<'a> {
    /// To be read once. A format of [`Access::Random`](super::Access) gets one only if it is too
    /// large to be held.
    Stream(&'a mut dyn Read),
    /// To be read at any place. A format of [`Access::Sequential`](super::Access) may get one as
    /// well, and can make use of it.
    Random(&'a dyn ReadAt),
}

impl<'a> Input<'a> {
    /// All bytes, if they are in memory.
    pub fn bytes(&self) -> Option<&'a [u8]> {
        match self {
            Self::Stream(_) => None,
            Self::Random(source) => source.bytes(),
        }
    }

    /// As a stream from the first byte on.
    pub fn into_reader(self) -> Reader<'a> {
        match self {
            Self::Stream(reader) => Reader::Stream(reader),
            Self::Random(source) => Reader::Section(source.section(0..source.size())),
        }
    }
}

/// An [`Input`] that is read as a stream.
pub enum Reader<'a> {
    /// A stream.
    Stream(&'a mut dyn Read),
    /// What could be read at random.
    Section(Section<'a>),
}

impl Read for Reader<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Stream(reader) => reader.read(to),
            Self::Section(section) => section.read(to),
        }
    }
}
