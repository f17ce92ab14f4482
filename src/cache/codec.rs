//! How entries are written: numbers of 7 bits a byte, bytes with their length before them. Whoever
//! reads gets `None` where an entry ends too early or says what can't be.

/// Writes an entry.
#[derive(Debug, Default)]
pub struct Encoder(Vec<u8>);

impl Encoder {
    /// Appends a number.
    pub fn number(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// Appends bytes, whose number the reader knows.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Appends bytes and how many there are.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.raw(bytes);
    }

    /// Appends a list: how many items there are, and each of them.
    pub fn list<T>(
        &mut self,
        items: impl ExactSizeIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) {
        self.number(items.len() as u64);
        items.for_each(|item| write(self, item));
    }

    /// The entry.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// Reads an entry.
#[derive(Debug)]
pub struct Decoder<'a>(&'a [u8]);

impl<'a> Decoder<'a> {
    /// Reads from the start.
    pub fn new(entry: &'a [u8]) -> Self {
        Self(entry)
    }

    /// The next number.
    pub fn number(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                return None;
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// The next `count` bytes.
    pub fn raw(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// The next bytes that were written with their number.
    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let count = usize::try_from(self.number()?).ok()?;
        self.raw(count)
    }

    /// The next list. What it allocates is bounded by the bytes that are there: an item has at
    /// least one.
    pub fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = usize::try_from(self.number()?).ok()?;
        if count > self.0.len() {
            return None;
        }
        (0..count).map(|_| read(self)).collect()
    }

    /// Whether all was read: an entry has nothing behind its end.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_written_is_read(numbers in proptest::collection::vec(any::<u64>(), 0..9), text in ".{0,200}") {
            let mut entry = Encoder::default();
            entry.list(numbers.iter(), |entry, number| entry.number(*number));
            entry.bytes(text.as_bytes());
            let entry = entry.into_bytes();
            let mut read = Decoder::new(&entry);
            prop_assert_eq!(read.list(Decoder::number), Some(numbers));
            prop_assert_eq!(read.bytes(), Some(text.as_bytes()));
            prop_assert!(read.is_empty());
        }

        #[test]
        fn noise_is_refused_without_panic(noise in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut read = Decoder::new(&noise);
            while read.list(Decoder::bytes).is_some() && !read.is_empty() {}
            let mut read = Decoder::new(&noise);
            while read.number().is_some() {}
        }
    }

    #[test]
    fn a_list_that_claims_too_much_is_none() {
        let mut entry = Encoder::default();
        entry.number(u64::MAX);
        let entry = entry.into_bytes();
        assert_eq!(Decoder::new(&entry).number(), Some(u64::MAX));
        assert_eq!(Decoder::new(&entry).list(Decoder::number), None);
        assert_eq!(Decoder::new(&[0xff; 10]).number(), None);
    }
}
