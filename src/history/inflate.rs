//! Inflating: whole entries in one go, since their sizes are known; streams where they are not.

use super::damage::Damage;

/// Deflate can't do better than 1032 to 1; whoever claims more lies.
const BEST_RATIO: u64 = 1032;

/// A buffer that grew beyond this is given back before the next entry that needs less.
const KEPT: usize = 4 << 20;

/// A reusable inflater and its buffer; one for each thread.
pub(super) struct Inflater {
    decompressor: libdeflater::Decompressor,
    /// Only ever grown, so that what it held before need not be zeroed.
    buffer: Vec<u8>,
}

impl Default for Inflater {
    fn default() -> Self {
        Self {
            decompressor: libdeflater::Decompressor::new(),
            buffer: Vec::new(),
        }
    }
}

impl Inflater {
    /// Inflates the zlib stream at the start of `from` to exactly `size` bytes. What it allocates
    /// is bounded by the compressed bytes that are there.
    pub(super) fn inflate(&mut self, from: &[u8], size: u64) -> Result<&[u8], Damage> {
        if size > (from.len() as u64).saturating_mul(BEST_RATIO) {
            return Err(Damage::Size);
        }
        let size = usize::try_from(size).map_err(|_| Damage::TooLarge(size))?;
        if self.buffer.len() > KEPT && size <= KEPT {
            self.buffer = Vec::new();
        }
        if self.buffer.len() < size {
            self.buffer = vec![0; size.next_power_of_two().max(64 * 1024)];
        }
        let out = &mut self.buffer[..size];
        match self.decompressor.zlib_decompress(from, out) {
            Ok(written) if written == size => Ok(&self.buffer[..size]),
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
