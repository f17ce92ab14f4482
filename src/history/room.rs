//! Buffers that a thread uses for object after object: they grow, and what was large once is given
//! back.

/// What grew beyond this is given back before the next use that needs less.
pub(super) const KEPT: usize = 4 << 20;

/// Gives back a list that grew beyond that; what was in it is gone then.
pub(super) fn give_back<T>(list: &mut Vec<T>) {
    if list.capacity().saturating_mul(size_of::<T>()) > KEPT {
        *list = Vec::new();
    }
}

/// The least that is asked for.
const LEAST: usize = 64 << 10;

/// Bytes of which each use takes as many as it needs. Only ever grown, so that what was there before
/// need not be zeroed.
#[derive(Default)]
pub(super) struct Room(Vec<u8>);

impl Room {
    /// The first `size` bytes, with whatever is in them.
    pub(super) fn of(&mut self, size: usize) -> &mut [u8] {
        if self.0.len() > KEPT && size <= KEPT {
            self.0 = Vec::new();
        }
        if self.0.len() < size {
            self.0 = vec![0; size.next_power_of_two().max(LEAST)];
        }
        &mut self.0[..size]
    }

    /// The first `size` bytes, which were asked for before.
    pub(super) fn first(&self, size: usize) -> Ahead<'_> {
        let bytes = &self.0;
        Ahead { bytes, size }
    }
}

/// Some bytes, and more behind them that means nothing: who reads in blocks may read that, too.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ahead<'a> {
    bytes: &'a [u8],
    size: usize,
}

impl<'a> Ahead<'a> {
    /// The bytes and whatever is behind them.
    pub(super) fn all(self) -> &'a [u8] {
        self.bytes
    }

    pub(super) fn own(self) -> &'a [u8] {
        &self.bytes[..self.size]
    }
}

impl<'a> From<&'a [u8]> for Ahead<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        let size = bytes.len();
        Self { bytes, size }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_large_once_is_given_back() {
        let mut room = Room::default();
        room.of(3)[2] = 7;
        assert_eq!((room.of(2).len(), room.first(3).own()[2]), (2, 7));
        assert_eq!(room.of(KEPT + 1).len(), KEPT + 1);
        room.of(1);
        assert_eq!(room.0.len(), LEAST);
    }
}
