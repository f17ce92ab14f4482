//! The bits of a deflate stream (RFC 1951, 3.1.1): each byte from its lowest bit on.

/// What is left of a stream: some bits that were read from it, and the rest.
#[derive(Clone, Copy)]
pub(super) struct Bits<'a> {
    rest: &'a [u8],
    pub(super) next: u64,
    /// How many bits of `next` are there for sure.
    pub(super) left: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(rest: &'a [u8]) -> Self {
        Self {
            rest,
            next: 0,
            left: 0,
        }
    }

    /// At least 56 bits; `None` if there are not as many, and a few bytes behind them.
    #[inline(always)]
    pub(super) fn fill(&mut self) -> Option<()> {
        let eight = self.rest.first_chunk()?;
        self.next |= u64::from_le_bytes(*eight) << (self.left & 63);
        self.rest = &self.rest[(63u32.wrapping_sub(self.left) >> 3) as usize & 7..];
        self.left |= 56;
        Some(())
    }

    #[inline(always)]
    pub(super) fn skip(&mut self, bits: u32) {
        self.next >>= bits & 63;
        self.left = self.left.wrapping_sub(bits);
    }

    #[inline(always)]
    pub(super) fn take(&mut self, bits: u32) -> u32 {
        let taken = self.next & ((1 << bits) - 1);
        self.skip(bits);
        taken as u32
    }

    /// What comes after the byte of which bits were taken last.
    pub(super) fn bytes(self, all: &'a [u8]) -> Option<&'a [u8]> {
        let ahead = (self.left >> 3) as usize;
        all.get((all.len() - self.rest.len()).checked_sub(ahead)?..)
    }
}
