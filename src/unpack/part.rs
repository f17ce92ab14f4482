//! What the readers of archives share: members of known length within a stream, their checksums, what
//! goes from one decoder to the next, and what to do with a stream that should be read at random.

use std::io::{self, Read};

use super::codec::broken;
use super::{Damage, Input, Members, ReadAt};

/// What goes from one decoder to the next that stands upon it. Only what the last one makes is
/// counted, and it may make nothing of terabytes, in which a few packed kilobytes end.
pub(super) struct Between<R> {
    decoder: R,
    left: u64,
}

/// As many times the packed bytes, as the limit on what all of them become.
const RATIO: u64 = 1000;

/// So much is always let through: 64 MiB.
const ALWAYS: u64 = if cfg!(test) { 1 << 20 } else { 64 << 20 };

impl<R: Read> Between<R> {
    /// `packed` is how many bytes the first decoder has.
    pub(super) fn new(decoder: R, packed: u64) -> Self {
        Self {
            decoder,
            left: packed.saturating_mul(RATIO).max(ALWAYS),
        }
    }
}

impl<R: Read> Read for Between<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(broken(
                "there is a thousand times as much between its decoders",
            ));
        }
        let read = self.decoder.read(to)?;
        self.left = self.left.saturating_sub(read as u64);
        Ok(read)
    }
}

/// So many of a stream's next bytes.
pub(super) struct Part<'a, R> {
    input: &'a mut R,
    left: u64,
    /// Whether its reader was told that the stream ended too early.
    told: bool,
}

impl<'a, R: Read> Part<'a, R> {
    pub(super) fn new(input: &'a mut R, length: u64) -> Self {
        Self {
            input,
            left: length,
            told: false,
        }
    }

    /// How much was not read yet.
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    /// Goes to its end. `false` if the stream ended before, and its reader knows.
    ///
    /// # Errors
    /// The stream ended, and nobody knows; or it can't be read.
    pub(super) fn finish(mut self) -> Result<bool, Damage> {
        if self.told {
            return Ok(false);
        }
        io::copy(&mut self, &mut io::sink())?;
        Ok(true)
    }
}

impl<R: Read> Read for Part<'_, R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let most = self.left.min(to.len() as u64) as usize;
        if most == 0 {
            return Ok(0);
        }
        match self.input.read(&mut to[..most]) {
            Ok(0) => {
                self.told = true;
                Err(io::ErrorKind::UnexpectedEof.into())
            }
            Ok(read) => {
                self.left -= read as u64;
                Ok(read)
            }
            Err(error) => {
                self.told |= error.kind() != io::ErrorKind::Interrupted;
                Err(error)
            }
        }
    }
}

/// A content with its checksum, which is compared at the end.
pub(super) struct Checked<R> {
    inner: R,
    sum: libdeflater::Crc,
    expected: Option<u32>,
    read: u64,
    size: Option<u64>,
}

impl<R: Read> Checked<R> {
    /// `None` stands for what is not known before the end.
    pub(super) fn new(inner: R, expected: Option<u32>, size: Option<u64>) -> Self {
        Self {
            inner,
            sum: libdeflater::Crc::new(),
            expected,
            read: 0,
            size,
        }
    }
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(to)?;
        self.sum.update(&to[..read]);
        self.read += read as u64;
        if read == 0 && !to.is_empty() {
            if self.size.is_some_and(|size| size > self.read) {
                return Err(broken("it holds less than it says"));
            }
            if self.expected.is_some_and(|sum| sum != self.sum.sum()) {
                return Err(broken("its checksum is wrong"));
            }
        }
        Ok(read)
    }
}

/// Fills `to`, or as much of it as there is, and returns how much that is.
pub(super) fn fill(input: &mut impl Read, to: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < to.len() {
        match input.read(&mut to[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The input of a format that reads at random, and that stores most bytes as they are: if it is a
/// stream, since it is too large to be held, it is at least searched as it is.
///
/// # Errors
/// It is a stream.
pub(super) fn random<'a>(
    input: Input<'a>,
    out: &mut dyn Members,
) -> Result<&'a dyn ReadAt, Damage> {
    match input {
        Input::Random(source) => Ok(source),
        Input::Stream(stream) => {
            out.raw(0, stream)?;
            Err(Damage::TooLarge)
        }
    }
}
