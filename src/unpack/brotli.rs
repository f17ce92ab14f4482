//! brotli (RFC 7932). It has no signature: files are known by their name.

use std::io::{self, Read};

use brotli_decompressor::Decompressor;

use super::codec::{self, Decoder, window};
use super::{Damage, Format, Input, Members, Step, Window};
use crate::coverage::{Limit, Unread};

pub(super) struct Brotli;

/// The largest window, its ring buffer's slack, and the tables.
const MEMORY: u64 = 34 << 20;

impl Format for Brotli {
    fn name(&self) -> &'static str {
        "brotli"
    }

    fn recognises(&self, head: &[u8], name: &[u8]) -> bool {
        let named = name.len() > 3 && name[name.len() - 3..].eq_ignore_ascii_case(b".br");
        // Text with such a name is none.
        let is_text = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~');
        named && !head.iter().take(64).all(is_text)
    }

    fn unpack(&self, input: Input<'_>, out: &mut dyn Members) -> Result<(), Damage> {
        let Some(_memory) = out.reserve(MEMORY) else {
            out.unread(Step::content(self.name()), Unread::Over(Limit::Memory));
            return Ok(());
        };
        codec::unpack::<Stream<'_>>(self.name(), window(input), out)
    }
}

struct Stream<'a>(Decompressor<Window<'a>>);

impl Read for Stream<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.0.read(to)
    }
}

impl<'a> Decoder<'a> for Stream<'a> {
    fn open(from: Window<'a>) -> io::Result<Self> {
        Ok(Self(Decompressor::new(from, 16 << 10)))
    }

    fn close(self) -> Window<'a> {
        self.0.into_inner()
    }

    fn follows(_: &mut Window<'a>) -> io::Result<bool> {
        Ok(false)
    }
}
