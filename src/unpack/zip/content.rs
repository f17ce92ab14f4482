//! A member's bytes: stored, or compressed in one of the ways that zips know.

use std::io::{self, BufRead, Chain, Cursor, Read};

use liblzma::bufread::XzDecoder;
use liblzma::stream::Stream as Lzma;

use super::header::Entry;
use crate::coverage::{Limit, Unread};
use crate::unpack::codec::broken;
use crate::unpack::inflate::Inflate;
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
            other => {
                let name = match other {
                    1 => "shrink",
                    2..=5 => "reduce",
                    6 => "implode",
                    96 => "jpeg",
                    97 => "wavpack",
                    98 => "PPMd",
                    99 => return Err(Unread::Encrypted),
                    _ => "no known one",
                };
                return Err(Unread::Unsupported(format!(
                    "its compression is number {other} ({name})"
                )));
            }
        };
        Ok(Self {
            method,
            _memory: memory,
        })
    }
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

/// A content with its checksum, which is compared at the end.
pub(super) struct Checked<R> {
    inner: R,
    sum: libdeflater::Crc,
    expected: Option<u32>,
    pub(super) read: u64,
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
