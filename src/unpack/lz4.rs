//! lz4: frames (LZ4 Frame Format 1.6.4), skippable ones, and the legacy ones of Linux kernels. Read
//! here, since lz4_flex takes a frame that is cut off between two blocks for whole.

use std::io::{self, Read};

use super::codec::{self, Decoder, broken, window};
use super::{Damage, Format, Input, Members, Step, Window};
use crate::coverage::{Limit, Unread};

pub(super) struct Lz4;

const FRAME: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
const LEGACY: [u8; 4] = [0x02, 0x21, 0x4c, 0x18];

/// What blocks of a legacy frame hold, and no others more.
const LARGEST_BLOCK: usize = 8 << 20;

/// How far back a block can refer into those before it.
const HISTORY: usize = 64 << 10;

/// A block, compressed and not.
const MEMORY: u64 = 2 * LARGEST_BLOCK as u64 + (1 << 20);

impl Format for Lz4 {
    fn name(&self) -> &'static str {
        "lz4"
    }

    fn recognises(&self, head: &[u8], _name: &[u8]) -> bool {
        // The version in the flags is always 1; legacy blocks have a length that makes sense.
        match head.split_first_chunk::<4>() {
            Some((&FRAME, [flags, ..])) => flags >> 6 == 1,
            Some((&LEGACY, [size @ .., _])) => {
                let size = size.first_chunk().map(|size| u32::from_le_bytes(*size));
                size.is_some_and(|size| {
                    (1..=most_compressed(LARGEST_BLOCK)).contains(&(size as usize))
                })
            }
            _ => false,
        }
    }

    fn unpack(&self, input: Input<'_>, out: &mut dyn Members) -> Result<(), Damage> {
        let Some(_memory) = out.reserve(MEMORY) else {
            out.unread(Step::content(self.name()), Unread::Over(Limit::Memory));
            return Ok(());
        };
        codec::unpack::<Frame<'_>>(self.name(), window(input), out)
    }
}

/// What a block of incompressible bytes may take.
fn most_compressed(size: usize) -> usize {
    size + size / 255 + 16
}

/// One frame.
struct Frame<'a> {
    from: Window<'a>,
    legacy: bool,
    linked: bool,
    block_sums: bool,
    content_sum: bool,
    block: usize,
    packed: Vec<u8>,
    /// History, and behind it the block at hand, of which all before `next` was given out.
    held: Vec<u8>,
    next: usize,
    done: bool,
}

impl<'a> Decoder<'a> for Frame<'a> {
    fn open(mut from: Window<'a>) -> io::Result<Self> {
        let mut frame = Self {
            legacy: from.take_array()? == LEGACY,
            linked: false,
            block_sums: false,
            content_sum: false,
            block: LARGEST_BLOCK,
            packed: Vec::new(),
            held: Vec::new(),
            next: 0,
            done: false,
            from,
        };
        if !frame.legacy {
            let [flags, sizes] = frame.from.take_array()?;
            frame.linked = flags & 0x20 == 0;
            frame.block_sums = flags & 0x10 != 0;
            frame.content_sum = flags & 0x04 != 0;
            let number = sizes >> 4 & 7;
            if flags >> 6 != 1 || number < 4 {
                return Err(broken("its header makes no sense"));
            }
            frame.block = 1 << (8 + 2 * number);
            let size = if flags & 0x08 != 0 { 8 } else { 0 };
            let dictionary = if flags & 1 != 0 { 4 } else { 0 };
            frame.from.skip(size + dictionary + 1)?;
            if dictionary > 0 {
                return Err(broken("it needs a dictionary that is elsewhere"));
            }
        }
        Ok(frame)
    }

    fn close(self) -> Window<'a> {
        self.from
    }

    fn follows(from: &mut Window<'a>) -> io::Result<bool> {
        loop {
            match from.peek(8)? {
                [0x50..=0x5f, 0x2a, 0x4d, 0x18, size @ ..] => {
                    let size = size
                        .first_chunk()
                        .map_or(0, |size| u32::from_le_bytes(*size));
                    from.skip(8 + u64::from(size))?;
                }
                next => return Ok(next.starts_with(&FRAME) || next.starts_with(&LEGACY)),
            }
        }
    }
}

impl Frame<'_> {
    /// Reads the next block. `false` at the frame's end.
    fn block(&mut self) -> io::Result<bool> {
        if self.legacy {
            // Such a frame ends with the file, or where another one begins.
            let next = self.from.peek(4)?;
            if next.is_empty() || next.starts_with(&FRAME) || next.starts_with(&LEGACY) {
                return Ok(false);
            }
        }
        let size = u32::from_le_bytes(self.from.take_array()?);
        if size == 0 && !self.legacy {
            let sum = if self.content_sum { 4 } else { 0 };
            return match self.from.skip(sum)? == sum {
                true => Ok(false),
                false => Err(io::ErrorKind::UnexpectedEof.into()),
            };
        }
        let stored = size >> 31 != 0 && !self.legacy;
        let size = (size & 0x7fff_ffff) as usize;
        if size > most_compressed(self.block) || stored && size > self.block {
            return Err(broken("a block is larger than it can be"));
        }
        self.packed.resize(size, 0);
        self.from.read_exact(&mut self.packed)?;
        if self.block_sums {
            self.from.take_array::<4>()?;
        }
        // What is far behind is referred to no more.
        let keep = if self.linked { HISTORY } else { 0 };
        let drop = self.held.len().saturating_sub(keep);
        self.held.drain(..drop);
        let start = self.held.len();
        self.next = start;
        if stored {
            self.held.extend_from_slice(&self.packed);
            return Ok(true);
        }
        self.held.resize(start + self.block, 0);
        let (history, to) = self.held.split_at_mut(start);
        let made = lz4_flex::block::decompress_into_with_dict(&self.packed, to, history)
            .map_err(|_| broken("a block makes no sense"));
        self.held
            .truncate(start + made.as_ref().map_or(0, |made| *made));
        made.map(|_| true)
    }
}

impl Read for Frame<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        while self.next == self.held.len() && !self.done {
            self.done = !self.block()?;
        }
        let read = (&self.held[self.next..]).read(to)?;
        self.next += read;
        Ok(read)
    }
}
