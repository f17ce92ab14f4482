//! A stream that can be looked ahead in, and that knows how much of it was consumed.

use std::io::{self, BufRead, Read};

use super::input::Reader;

/// How much is read at once.
const BLOCK: usize = 64 << 10;

/// A stream with what is about to come.
pub struct Window<'a> {
    from: Reader<'a>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    at: u64,
}

impl<'a> Window<'a> {
    /// Nothing of it is consumed yet.
    pub fn new(from: Reader<'a>) -> Self {
        Self {
            from,
            buffer: vec![0; BLOCK],
            start: 0,
            end: 0,
            at: 0,
        }
    }

    /// How much was consumed.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// The next bytes, at least `wanted` of them (64 KiB at most) unless the stream ends before.
    ///
    /// # Errors
    /// As reading does. What is at hand is still there.
    pub fn peek(&mut self, wanted: usize) -> io::Result<&[u8]> {
        let wanted = wanted.min(BLOCK);
        while self.end - self.start < wanted {
            if self.buffer.len() - self.start < wanted {
                self.buffer.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            }
            match self.from.read(&mut self.buffer[self.end..]) {
                Ok(0) => break,
                Ok(read) => self.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(&self.buffer[self.start..self.end])
    }

    /// The next `N` bytes, consumed.
    ///
    /// # Errors
    /// As reading does; there are fewer.
    pub fn take_array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Passes over `bytes`, or what there is of them, and returns how many there were.
    ///
    /// # Errors
    /// As reading does.
    pub fn skip(&mut self, bytes: u64) -> io::Result<u64> {
        io::copy(&mut self.take(bytes), &mut io::sink())
    }
}

impl BufRead for Window<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            self.end = self.from.read(&mut self.buffer)?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    fn consume(&mut self, bytes: usize) {
        self.start += bytes;
        self.at += bytes as u64;
    }
}

impl Read for Window<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.start == self.end && to.len() >= BLOCK {
            let read = self.from.read(to)?;
            self.at += read as u64;
            return Ok(read);
        }
        let read = self.fill_buf()?.read(to)?;
        self.consume(read);
        Ok(read)
    }
}
