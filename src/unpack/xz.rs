//! xz (The .xz File Format 1.2), and its older sibling, lzma alone, which has no signature: its
//! header's fields have to make sense together.

use std::io::{self, Read};

use liblzma::bufread::XzDecoder;
use liblzma::stream::{Error, Stream as Lzma};

use super::codec::{self, Decoder, TooMuchMemory, broken, window};
use super::{Damage, Format, Input, Members, Reservation, Step, Window};
use crate::coverage::{Limit, Unread};

pub(super) struct Xz;

pub(super) struct LzmaAlone;

const MAGIC: &[u8] = b"\xfd7zXZ\0";

/// What a decompressor takes besides its dictionary.
const OVERHEAD: u64 = 1 << 20;

/// The dictionary of xz's highest level, for streams whose first header doesn't say.
const USUAL: u64 = 64 << 20;

impl Format for Xz {
    fn name(&self) -> &'static str {
        "xz"
    }

    fn recognises(&self, head: &[u8], _name: &[u8]) -> bool {
        head.starts_with(MAGIC)
    }

    fn unpack(&self, input: Input<'_>, out: &mut dyn Members) -> Result<(), Damage> {
        let mut from = window(input);
        let dictionary = dictionary(from.peek(64)?);
        let Some(_memory) = reserve(dictionary, out) else {
            return too_large(self.name(), from, out);
        };
        codec::unpack::<Stream<'_>>(self.name(), from, out)
    }
}

impl Format for LzmaAlone {
    fn name(&self) -> &'static str {
        "lzma"
    }

    fn recognises(&self, head: &[u8], _name: &[u8]) -> bool {
        let Some((header, [0, ..])) = head.split_at_checked(13) else {
            return false;
        };
        let dictionary = u32::from_le_bytes([header[1], header[2], header[3], header[4]]);
        let size = u64::from_le_bytes(header[5..].try_into().unwrap_or([0; 8]));
        let usual = dictionary >= 1 << 12
            && (dictionary.is_power_of_two() || (dictionary / 3 * 2).is_power_of_two());
        // Others than lc=3 lp=0 pb=2 are as good as never seen.
        header[0] == 0x5d && usual && (size == u64::MAX || (1..1 << 38).contains(&size))
    }

    fn unpack(&self, input: Input<'_>, out: &mut dyn Members) -> Result<(), Damage> {
        let mut from = window(input);
        let head = from.peek(13)?;
        let field = head.get(1..5).and_then(|field| field.try_into().ok());
        let dictionary = field.map_or(0, u32::from_le_bytes);
        let Some(_memory) = reserve(dictionary.into(), out) else {
            return too_large(self.name(), from, out);
        };
        codec::unpack::<Alone<'_>>(self.name(), from, out)
    }
}

/// Memory for a dictionary.
pub(super) fn reserve(dictionary: u64, out: &mut dyn Members) -> Option<Reservation> {
    out.reserve(dictionary + OVERHEAD)
}

fn too_large(
    name: &'static str,
    mut from: Window<'_>,
    out: &mut dyn Members,
) -> Result<(), Damage> {
    out.unread(Step::content(name), Unread::Over(Limit::Memory));
    io::copy(&mut from, &mut io::sink())?;
    Ok(())
}

/// The dictionary that the first block of a stream needs.
pub(super) fn dictionary(head: &[u8]) -> u64 {
    // Behind the stream's header of 12 bytes: size, flags, perhaps two sizes, the filters.
    let Some([_, flags, fields @ ..]) = head.get(12..) else {
        return USUAL;
    };
    let sizes = usize::from(flags & 0x40 != 0) + usize::from(flags & 0x80 != 0);
    let mut fields = fields;
    for _ in 0..sizes {
        let Some(last) = fields.iter().position(|byte| byte & 0x80 == 0) else {
            return USUAL;
        };
        fields = &fields[last + 1..];
    }
    for _ in 0..=flags & 3 {
        match fields {
            [0x21, 1, bits, ..] => return lzma2_dictionary(*bits),
            [_, size, rest @ ..] => fields = rest.get(usize::from(*size)..).unwrap_or_default(),
            _ => break,
        }
    }
    USUAL
}

/// As LZMA2 writes it: two bits of mantissa, the rest exponent.
fn lzma2_dictionary(bits: u8) -> u64 {
    match bits {
        0..=39 => (2 | u64::from(bits & 1)) << (bits / 2 + 11),
        _ => u32::MAX.into(),
    }
}

/// An error of liblzma; a memory limit is told from damage.
fn read(decoder: &mut XzDecoder<Window<'_>>, to: &mut [u8]) -> io::Result<usize> {
    decoder.read(to).map_err(|error| {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        match inner {
            Some(Error::MemLimit | Error::Mem) => io::Error::other(TooMuchMemory),
            _ => error,
        }
    })
}

struct Stream<'a>(XzDecoder<Window<'a>>);

impl Read for Stream<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        read(&mut self.0, to)
    }
}

impl<'a> Decoder<'a> for Stream<'a> {
    fn open(mut from: Window<'a>) -> io::Result<Self> {
        // Later blocks may ask for more than the first: no more than it got.
        let most = dictionary(from.peek(64)?) + OVERHEAD;
        let lzma = Lzma::new_stream_decoder(most, 0)?;
        Ok(Self(XzDecoder::new_stream(from, lzma)))
    }

    fn close(self) -> Window<'a> {
        self.0.into_inner()
    }

    fn follows(from: &mut Window<'a>) -> io::Result<bool> {
        // Streams may be padded with zeros, four at a time.
        while from.peek(4)?.starts_with(&[0; 4]) {
            from.skip(4)?;
        }
        Ok(from.peek(MAGIC.len())?.starts_with(MAGIC))
    }
}

/// A file of the older form. Streams don't follow each other in it.
struct Alone<'a>(XzDecoder<Window<'a>>);

impl Read for Alone<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        read(&mut self.0, to)
    }
}

impl<'a> Decoder<'a> for Alone<'a> {
    fn open(mut from: Window<'a>) -> io::Result<Self> {
        let Some(dictionary) = from.peek(5)?.get(1..5) else {
            return Err(broken("it has no header"));
        };
        let dictionary = u32::from_le_bytes(dictionary.try_into().unwrap_or([0; 4]));
        let lzma = Lzma::new_lzma_decoder(u64::from(dictionary) + OVERHEAD)?;
        Ok(Self(XzDecoder::new_stream(from, lzma)))
    }

    fn close(self) -> Window<'a> {
        self.0.into_inner()
    }

    fn follows(_: &mut Window<'a>) -> io::Result<bool> {
        Ok(false)
    }
}
