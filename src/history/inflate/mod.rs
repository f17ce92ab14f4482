//! Inflating: whole entries in one go, since their sizes are known; streams where they are not.

mod bits;
mod codes;
mod small;

use self::small::Small;
use super::damage::Damage;
use super::room::{Ahead, Room};

/// Deflate can't do better than 1032 to 1; whoever claims more lies.
const BEST_RATIO: u64 = 1032;

/// Near the end of its input, or of the room for its output, the decompressor takes one symbol at a
/// time and watches both, which takes twice as long. Most entries are small enough to be all end:
/// with this much more to read and to write than is needed none is (libdeflate's
/// `FASTLOOP_MAX_BYTES_READ`, about 30, and `FASTLOOP_MAX_BYTES_WRITTEN`, 299).
pub(super) const AHEAD: usize = 64;
const SPARE: usize = small::SPARE;

/// Up to here our own way is faster, or nearly as fast: measured on git/git, see
/// `benches/results/2026-11-29-inflate.md`.
const SMALL: usize = 1024;

/// A reusable inflater and its buffer; one for each thread.
pub(super) struct Inflater {
    small: Small,
    decompressor: libdeflater::Decompressor,
    room: Room,
}

impl Default for Inflater {
    fn default() -> Self {
        Self {
            small: Small::default(),
            decompressor: libdeflater::Decompressor::new(),
            room: Room::default(),
        }
    }
}

impl Inflater {
    /// Inflates the zlib stream at the start of `from` to exactly `size` bytes. What it allocates
    /// is bounded by the compressed bytes that are there.
    pub(super) fn inflate(&mut self, from: &[u8], size: u64) -> Result<Ahead<'_>, Damage> {
        if size > (from.len() as u64).saturating_mul(BEST_RATIO) {
            return Err(Damage::Size);
        }
        let size = usize::try_from(size).map_err(|_| Damage::TooLarge(size))?;
        let out = self.room.of(size.saturating_add(SPARE));
        let is_small = from.len() <= SMALL + AHEAD;
        if is_small && self.small.inflate(from, out, size).is_some() {
            return Ok(self.room.first(size));
        }
        match self.decompressor.zlib_decompress(from, out) {
            Ok(written) if written == size => Ok(self.room.first(size)),
            Ok(_) | Err(libdeflater::DecompressionError::InsufficientSpace) => Err(Damage::Size),
            Err(libdeflater::DecompressionError::BadData) => Err(Damage::Compressed),
        }
    }
}

/// How many bytes the zlib stream at the start of `from` has, compressed and inflated.
pub(super) fn measure(from: &[u8]) -> Result<(usize, u64), Damage> {
    let mut state = flate2::Decompress::new(true);
    let mut sink = [0; 16 * 1024];
    loop {
        let before = (state.total_in(), state.total_out());
        let rest = &from[before.0 as usize..];
        let status = state
            .decompress(rest, &mut sink, flate2::FlushDecompress::None)
            .map_err(|_| Damage::Compressed)?;
        if status == flate2::Status::StreamEnd {
            return Ok((state.total_in() as usize, state.total_out()));
        }
        if (state.total_in(), state.total_out()) == before {
            return Err(Damage::Short);
        }
    }
}
