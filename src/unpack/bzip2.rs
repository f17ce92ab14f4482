//! bzip2: streams that follow each other are one content.

use std::io::{self, Read};

use bzip2::bufread::BzDecoder;

use super::codec::{self, Decoder, window};
use super::{Damage, Format, Input, Members, Step, Window};
use crate::coverage::{Limit, Unread};

pub(super) struct Bzip2;

/// What a decompressor takes for the largest blocks.
pub(super) const MEMORY: u64 = 4 << 20;

/// A stream begins with a block, or ends at once: both have a number of their own (of π, and of its
/// square root).
fn begins(head: &[u8]) -> bool {
    matches!(head, [b'B', b'Z', b'h', b'1'..=b'9', block @ ..]
        if block.starts_with(b"\x31\x41\x59\x26\x53\x59")
            || block.starts_with(b"\x17\x72\x45\x38\x50\x90"))
}

impl Format for Bzip2 {
    fn name(&self) -> &'static str {
        "bzip2"
    }

    fn recognises(&self, head: &[u8], _name: &[u8]) -> bool {
        begins(head)
    }

    fn unpack(&self, input: Input<'_>, out: &mut dyn Members) -> Result<(), Damage> {
        let Some(_memory) = out.reserve(MEMORY) else {
            out.unread(Step::content(self.name()), Unread::Over(Limit::Memory));
            return Ok(());
        };
        codec::unpack::<Stream<'_>>(self.name(), window(input), out)
    }
}

struct Stream<'a>(BzDecoder<Window<'a>>);

impl Read for Stream<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.0.read(to)
    }
}

impl<'a> Decoder<'a> for Stream<'a> {
    fn open(from: Window<'a>) -> io::Result<Self> {
        Ok(Self(BzDecoder::new(from)))
    }

    fn close(self) -> Window<'a> {
        self.0.into_inner()
    }

    fn follows(from: &mut Window<'a>) -> io::Result<bool> {
        Ok(begins(from.peek(10)?))
    }
}
