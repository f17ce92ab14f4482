//! zstd (RFC 8878): frames, and skippable ones, which follow each other.

use std::io::{self, Read};

use zstd::stream::read::Decoder as Frames;

use super::codec::{self, Decoder, TooMuchMemory, window};
use super::{Damage, Format, Input, Members, Step, Window};
use crate::coverage::{Limit, Unread};

pub(super) struct Zstd;

const MAGIC: &[u8] = b"\x28\xb5\x2f\xfd";

/// What a decompressor takes besides its window.
const OVERHEAD: u64 = 1 << 20;

/// More than that no decompressor takes.
const LARGEST_WINDOW: u32 = 31;

impl Format for Zstd {
    fn name(&self) -> &'static str {
        "zstd"
    }

    fn recognises(&self, head: &[u8], _name: &[u8]) -> bool {
        head.starts_with(MAGIC)
            || skippable(head).is_some_and(|size| {
                let behind = usize::try_from(size)
                    .ok()
                    .and_then(|size| head.get(8 + size..));
                behind.is_some_and(|behind| behind.starts_with(MAGIC))
            })
    }

    fn unpack(&self, input: Input<'_>, out: &mut dyn Members) -> Result<(), Damage> {
        let mut from = window(input);
        skip(&mut from)?;
        let size = frame_window(from.peek(18)?);
        let Some(_memory) = out.reserve(size + OVERHEAD) else {
            out.unread(Step::content(self.name()), Unread::Over(Limit::Memory));
            io::copy(&mut from, &mut io::sink())?;
            return Ok(());
        };
        codec::unpack::<Frame<'_>>(self.name(), from, out)
    }
}

/// The size of a skippable frame, without its header.
fn skippable(head: &[u8]) -> Option<u64> {
    match head {
        [0x50..=0x5f, 0x2a, 0x4d, 0x18, size @ ..] => {
            let size = size.first_chunk::<4>()?;
            Some(u32::from_le_bytes(*size).into())
        }
        _ => None,
    }
}

/// Passes over skippable frames.
fn skip(from: &mut Window<'_>) -> io::Result<()> {
    while let Some(size) = skippable(from.peek(8)?) {
        from.skip(8 + size)?;
    }
    Ok(())
}

/// The window that a frame needs, by its header.
pub(super) fn frame_window(head: &[u8]) -> u64 {
    let Some(&[descriptor, next, ..]) = head.get(4..) else {
        return 0;
    };
    if descriptor & 0x20 == 0 {
        let base = 1 << (10 + (next >> 3));
        return base + base / 8 * u64::from(next & 7);
    }
    // One segment: the window is the content, whose size follows the dictionary's number.
    let from = 5 + [0, 1, 2, 4][usize::from(descriptor & 3)];
    let length = [1, 2, 4, 8][usize::from(descriptor >> 6)];
    let mut size = [0; 8];
    let Some(bytes) = head.get(from..from + length) else {
        return 0;
    };
    size[..length].copy_from_slice(bytes);
    let size = u64::from_le_bytes(size);
    match length {
        2 => size + 256,
        _ => size,
    }
    .min(1 << LARGEST_WINDOW)
}

struct Frame<'a> {
    frames: Frames<'static, Window<'a>>,
}

impl Read for Frame<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.frames.read(to).map_err(|error| {
            // The library has no better name for it.
            match error.to_string().contains("too much memory") {
                true => io::Error::other(TooMuchMemory),
                false => error,
            }
        })
    }
}

impl<'a> Decoder<'a> for Frame<'a> {
    fn open(mut from: Window<'a>) -> io::Result<Self> {
        // Later frames get no more than the first one asked for.
        let size = frame_window(from.peek(18)?).max(1 << 10);
        let mut frames = Frames::with_buffer(from)?.single_frame();
        let bits = 64 - (size - 1).leading_zeros();
        frames.window_log_max(bits.clamp(10, LARGEST_WINDOW))?;
        Ok(Self { frames })
    }

    fn close(self) -> Window<'a> {
        self.frames.finish()
    }

    fn follows(from: &mut Window<'a>) -> io::Result<bool> {
        skip(from)?;
        Ok(from.peek(MAGIC.len())?.starts_with(MAGIC))
    }
}
