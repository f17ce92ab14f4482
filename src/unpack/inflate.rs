//! Deflate as a stream. What came out before an error is handed on before the error is.

use std::io::{self, BufRead, Read};

use flate2::{Decompress, FlushDecompress, Status};

use super::codec::broken;
use super::{Members, Reservation};

/// What makes no more than this is decompressed at once. (Half of what [`Members::reserve`] wants
/// to know of, since the compressed bytes are held, too.)
const AT_ONCE: u64 = 512 << 10;

/// What makes more, up to this, as well, if there is memory for it.
const AT_ONCE_RESERVED: u64 = 32 << 20;

/// Deflate makes no more than so many bytes of one.
const MOST_RATIO: u64 = 1032;

/// Whether deflated bytes that say what they make can be decompressed at once: the memory for it, if
/// so much has to be reserved.
pub(super) fn room(size: u64, packed: u64, out: &mut dyn Members) -> Option<Option<Reservation>> {
    let larger = size.max(packed);
    if larger > AT_ONCE_RESERVED || size / MOST_RATIO > packed {
        return None;
    }
    match larger > AT_ONCE {
        true => out.reserve(size + packed).map(Some),
        false => Some(None),
    }
}

/// One deflate stream; what follows it is left in `from`.
pub(super) struct Inflate<R> {
    pub(super) from: R,
    inflate: Decompress,
    done: bool,
    failed: bool,
}

impl<R: BufRead> Inflate<R> {
    pub(super) fn new(from: R) -> Self {
        Self {
            from,
            inflate: Decompress::new(false),
            done: false,
            failed: false,
        }
    }

    /// Another stream begins.
    pub(super) fn again(&mut self) {
        self.inflate.reset(false);
        self.done = false;
    }

    /// How much of `from` was taken since the last beginning.
    pub(super) fn taken(&self) -> u64 {
        self.inflate.total_in()
    }
}

impl<R: BufRead> Read for Inflate<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if to.is_empty() || self.done {
            return Ok(0);
        }
        loop {
            if self.failed {
                return Err(broken("its deflate data makes no sense"));
            }
            let input = self.from.fill_buf()?;
            let at_end = input.is_empty();
            let (taken, made) = (self.inflate.total_in(), self.inflate.total_out());
            let status = self.inflate.decompress(input, to, FlushDecompress::None);
            let taken = (self.inflate.total_in() - taken) as usize;
            let made = (self.inflate.total_out() - made) as usize;
            self.from.consume(taken);
            match status {
                Ok(Status::StreamEnd) => self.done = true,
                Ok(_) if made == 0 && at_end => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(_) => self.failed = true,
            }
            if made > 0 || self.done {
                return Ok(made);
            }
        }
    }
}
