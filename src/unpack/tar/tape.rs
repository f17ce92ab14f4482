//! A tar's bytes, block by block: from a stream, or in memory, so that members need no copy.

use std::io::{self, BufReader, Read};

use super::header::{BLOCK, Header};
use crate::unpack::input::Reader;
use crate::unpack::{Body, Damage, Input, Stop};

pub(super) struct Tape<'a> {
    from: From<'a>,
    /// Bytes taken.
    at: u64,
    /// A block that was given back.
    kept: Option<[u8; BLOCK]>,
    /// Bytes of the current body, and of its padding, that are left.
    body: u64,
    padding: u64,
    /// Whoever read the last body knows that it is cut.
    told: bool,
}

enum From<'a> {
    Stream(BufReader<Reader<'a>>),
    Bytes(&'a [u8]),
}

impl Read for From<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Stream(reader) => reader.read(to),
            Self::Bytes(bytes) => bytes.read(to),
        }
    }
}

impl<'a> Tape<'a> {
    pub(super) fn new(input: Input<'a>) -> Self {
        let from = match input.bytes() {
            Some(bytes) => From::Bytes(bytes),
            None => From::Stream(BufReader::with_capacity(64 << 10, input.into_reader())),
        };
        Self {
            from,
            at: 0,
            kept: None,
            body: 0,
            padding: 0,
            told: false,
        }
    }

    /// Where the next block stands.
    pub(super) fn at(&self) -> u64 {
        match self.kept {
            Some(_) => self.at - BLOCK as u64,
            None => self.at,
        }
    }

    /// The next block; `None` at the end. A last one that is cut is filled up with zeros.
    pub(super) fn block(&mut self) -> io::Result<Option<[u8; BLOCK]>> {
        if let Some(block) = self.kept.take() {
            return Ok(Some(block));
        }
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.from.read(&mut block[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.at += filled as u64;
        // Places of kept blocks are counted in whole ones.
        self.at = match filled {
            0 => self.at,
            _ => self.at.next_multiple_of(BLOCK as u64),
        };
        Ok((filled > 0).then_some(block))
    }

    /// Gives the last block back.
    pub(super) fn back(&mut self, block: [u8; BLOCK]) {
        self.kept = Some(block);
    }

    /// Everything before the next header that is right, or block of zeros.
    pub(super) fn until_header(&mut self) -> UntilHeader<'_, 'a> {
        UntilHeader {
            tape: self,
            block: [0; BLOCK],
            from: BLOCK,
        }
    }

    /// Passes over what nobody read of it.
    pub(super) fn skip_to_header(&mut self) -> io::Result<()> {
        io::copy(&mut self.until_header(), &mut io::sink()).map(drop)
    }

    /// The next `size` bytes, which padding follows.
    pub(super) fn body(&mut self, size: u64) -> BodyReader<'_, 'a> {
        self.body = size;
        self.padding = size.wrapping_neg() % BLOCK as u64;
        BodyReader { tape: self }
    }

    /// Passes over what nobody read of a body.
    ///
    /// # Errors
    /// There is less than it should have had, and nobody knows yet.
    pub(super) fn skip_body(&mut self) -> Result<(), Damage> {
        let left = std::mem::take(&mut self.body);
        let padding = std::mem::take(&mut self.padding);
        let skipped = match &mut self.from {
            From::Bytes(bytes) => {
                let skipped = (left.saturating_add(padding)).min(bytes.len() as u64);
                *bytes = &bytes[skipped as usize..];
                skipped
            }
            From::Stream(reader) => io::copy(
                &mut reader.take(left.saturating_add(padding)),
                &mut io::sink(),
            )?,
        };
        self.at += skipped;
        match skipped < left && !self.told {
            true => Err(super::cut()),
            false => Ok(()),
        }
    }

    /// Gives the next `size` bytes to `take`. Less than that is damage, told behind them.
    pub(super) fn with_body(
        &mut self,
        size: u64,
        take: impl FnOnce(Whole<'_, 'a>) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        self.body(size);
        take(Whole { tape: self })
    }
}

/// A body that nobody has read.
pub(super) struct Whole<'t, 'a> {
    tape: &'t mut Tape<'a>,
}

impl Whole<'_, '_> {
    /// As it is.
    pub(super) fn whole(self, take: impl FnOnce(Body<'_>) -> Result<(), Stop>) -> Result<(), Stop> {
        let size = self.tape.body;
        if let From::Bytes(bytes) = self.tape.from
            && let Some(body) = usize::try_from(size)
                .ok()
                .and_then(|size| bytes.get(..size))
        {
            return take(Body::Bytes(body));
        }
        let mut reader = BodyReader { tape: self.tape };
        take(Body::Stream(&mut reader, Some(size)))
    }

    /// Without the map of a sparse file (pax form 1.0): lines of numbers, the first of which says how
    /// many follow, filled up to a block.
    pub(super) fn without_map(
        self,
        take: impl FnOnce(Body<'_>) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let mut reader = BodyReader { tape: self.tape };
        let (mut lines, mut block, mut left) = (0u64, [0; BLOCK], None);
        let mut first = 0u64;
        while left != Some(lines) && reader.read_exact(&mut block).is_ok() {
            for byte in block {
                match (byte, left) {
                    (b'\n', None) => left = Some(first.saturating_mul(2)),
                    (b'\n', Some(_)) => lines += 1,
                    (b'0'..=b'9', None) => {
                        first = first
                            .saturating_mul(10)
                            .saturating_add((byte - b'0').into());
                    }
                    _ => {}
                }
                if left == Some(lines) {
                    break;
                }
            }
        }
        Whole { tape: self.tape }.whole(take)
    }
}

/// What is left of the current body.
pub(super) struct BodyReader<'t, 'a> {
    tape: &'t mut Tape<'a>,
}

impl Read for BodyReader<'_, '_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let most = self.tape.body.min(to.len() as u64) as usize;
        if most == 0 {
            return Ok(0);
        }
        let read = self.tape.from.read(&mut to[..most])?;
        self.tape.body -= read as u64;
        self.tape.at += read as u64;
        match read {
            0 => {
                self.tape.told = true;
                Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the archive ends in the middle of it",
                ))
            }
            _ => Ok(read),
        }
    }
}

/// See [`Tape::until_header`].
pub(super) struct UntilHeader<'t, 'a> {
    tape: &'t mut Tape<'a>,
    block: [u8; BLOCK],
    from: usize,
}

impl Read for UntilHeader<'_, '_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.from == BLOCK {
            let Some(block) = self.tape.block()? else {
                return Ok(0);
            };
            if block.iter().all(|byte| *byte == 0) || Header::parse(&block).is_some() {
                self.tape.back(block);
                return Ok(0);
            }
            (self.block, self.from) = (block, 0);
        }
        let read = (&self.block[self.from..]).read(to)?;
        self.from += read;
        Ok(read)
    }
}
