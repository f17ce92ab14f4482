//! A member's bytes: stored, or compressed in one of the ways that zips know.

use std::io::{self, BufRead, Chain, Cursor, Read};

use liblzma::bufread::XzDecoder;
use liblzma::stream::Stream as Lzma;

use super::header::Entry;
use crate::coverage::{Limit, Unread};
use crate::unpack::codec::broken;
use crate::unpack::inflate::Inflate;
use crate::unpack::ppmd::{Parameters, Ppmd};
use crate::unpack::{Members, Reservation, bzip2, xz, zstd as frames};

/// A decompressor, and the memory that its window may take.
pub(super) struct Content<R: BufRead> {
    method: Method<R>,
    _memory: Option<Reservation>,
}

enum Method<R: BufRead> {
    Stored(io::Take<R>),
    Deflate(Box<Inflate<R>>),
    Deflate64(Box<deflate64::Deflate64Decoder<R>>),
    Bzip2(::bzip2::bufread::BzDecoder<R>),
    Lzma(XzDecoder<Chain<Cursor<Vec<u8>>, R>>),
    Xz(XzDecoder<R>),
    Zstd(Box<zstd::stream::read::Decoder<'static, R>>),
    Ppmd(Ppmd<R>),
}

/// As many of the first bytes tell which window is needed.
pub(super) const HEAD: usize = 64;

impl<R: BufRead> Content<R> {
    /// Opens what begins at `from`, with `head`.
    pub(super) fn open(
        entry: &Entry,
        head: &[u8],
        mut from: R,
        out: &mut dyn Members,
    ) -> Result<Self, Unread> {
        let damaged = |error: io::Error| Unread::Damaged(error.to_string());
        let mut memory = None;
        let mut reserve = |bytes: u64| {
            memory = out.reserve(bytes);
            memory
                .as_ref()
                .map(|_| ())
                .ok_or(Unread::Over(Limit::Memory))
        };
        let method = match entry.method {
            0 => Method::Stored(from.take(entry.packed)),
            8 => Method::Deflate(Box::new(Inflate::new(from))),
            9 => Method::Deflate64(Box::new(deflate64::Deflate64Decoder::with_buffer(from))),
            12 => {
                reserve(bzip2::MEMORY)?;
                Method::Bzip2(::bzip2::bufread::BzDecoder::new(from))
            }
            14 => {
                let header = lzma_header(entry, &mut from).map_err(damaged)?;
                let dictionary = u32::from_le_bytes([header[1], header[2], header[3], header[4]]);
                reserve(u64::from(dictionary) + (1 << 20))?;
                let lzma = Lzma::new_lzma_decoder(u64::from(dictionary) + (1 << 20));
                let lzma = lzma.map_err(|error| damaged(error.into()))?;
                Method::Lzma(XzDecoder::new_stream(Cursor::new(header).chain(from), lzma))
            }
            20 | 93 => {
                let size = frames::frame_window(head);
                reserve(size + (1 << 20))?;
                let mut decoder =
                    zstd::stream::read::Decoder::with_buffer(from).map_err(damaged)?;
                decoder.window_log_max(31).map_err(damaged)?;
                Method::Zstd(Box::new(decoder.single_frame()))
            }
            95 => {
                let size = xz::dictionary(head);
                reserve(size + (1 << 20))?;
                let lzma = Lzma::new_stream_decoder(size + (1 << 20), 0);
                let lzma = lzma.map_err(|error| damaged(error.into()))?;
                Method::Xz(XzDecoder::new_stream(from, lzma))
            }
            98 => {
                let mut bytes = [0; 2];
                from.read_exact(&mut bytes).map_err(damaged)?;
                let Some(parameters) = Parameters::of_zip(bytes) else {
                    return Err(unsupported(98, "PPMd whose model stops to learn"));
                };
                reserve(parameters.memory())?;
                Method::Ppmd(Ppmd::open(parameters, from).map_err(damaged)?)
            }
            other => {
                let name = match other {
                    1 => "shrink",
                    2..=5 => "reduce",
                    6 => "implode",
                    96 => "jpeg",
                    97 => "wavpack",
                    99 => return Err(Unread::Encrypted),
                    _ => "no known one",
                };
                return Err(unsupported(other, name));
            }
        };
        Ok(Self {
            method,
            _memory: memory,
        })
    }
}

fn unsupported(number: u16, name: &str) -> Unread {
    Unread::Unsupported(format!("its compression is number {number} ({name})"))
}

impl<R: BufRead> Read for Content<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        match &mut self.method {
            Method::Stored(from) => from.read(to),
            Method::Deflate(from) => from.read(to),
            Method::Deflate64(from) => from.read(to),
            Method::Bzip2(from) => from.read(to),
            Method::Lzma(from) => from.read(to),
            Method::Xz(from) => from.read(to),
            Method::Zstd(from) => from.read(to),
            Method::Ppmd(from) => from.read(to),
        }
    }
}

/// The header that a file of lzma alone would have (APPNOTE.TXT, 5.8.8).
fn lzma_header(entry: &Entry, from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = [0; 9];
    from.read_exact(&mut head)?;
    let [_, _, 5, 0, properties @ ..] = head else {
        return Err(broken("its LZMA properties make no sense"));
    };
    let mut header = properties.to_vec();
    // Bit 1: an end mark follows.
    let size = match entry.flags & 2 != 0 || entry.is_described_behind() {
        true => u64::MAX,
        false => entry.size,
    };
    header.extend(size.to_le_bytes());
    Ok(header)
}
