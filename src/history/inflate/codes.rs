//! Tables of prefix codes (RFC 1951, 3.2.2), made in a hurry: a small entry needs two of them for a
//! few hundred symbols, so that nothing here goes over symbols that are not used.

/// A symbol that is used, and how many bits its code has: 1 to [`LONGEST`]. One number, since they
/// are written by the eight.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Code(u32);

impl Code {
    #[inline(always)]
    pub(super) fn new(symbol: usize, length: usize) -> Self {
        Self(symbol as u32 | (length as u32) << 16)
    }

    #[inline(always)]
    pub(super) fn symbol(self) -> usize {
        (self.0 & 0xffff) as usize
    }

    #[inline(always)]
    pub(super) fn length(self) -> usize {
        (self.0 >> 16) as usize
    }
}

/// No code has more bits.
pub(super) const LONGEST: usize = 15;

/// There are no more symbols in an alphabet.
pub(super) const SYMBOLS: usize = 288;

/// What a code stands for:
///
/// | bits | of a byte | of a length or a distance | of what is [`SPECIAL`] |
/// |--:|--|--|--|
/// | 31 | set | | |
/// | 16… | the byte | its least | where the table below begins |
/// | 15 | | | set |
/// | 14 | | | set for the end of a block |
/// | 8… | | bits of the code | bits to be looked up below |
/// | 0…7 | bits of the code | bits of the code, and further ones that are added to the least | bits of the code |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry(u32);

const BYTE: u32 = 1 << 31;
const SPECIAL: u32 = 1 << 15;
const END: u32 = 1 << 14;

impl Entry {
    /// Of symbols that no stream may use: a length or a distance of zero, which nobody takes.
    pub(super) const NONE: Self = Self(0);
    pub(super) const END: Self = Self(SPECIAL | END);

    pub(super) const fn of_byte(byte: u8) -> Self {
        Self(BYTE | (byte as u32) << 16)
    }

    /// A length or a distance, to which the next `further` bits are added.
    pub(super) const fn of_number(least: u16, further: u32) -> Self {
        Self((least as u32) << 16 | further)
    }

    #[inline(always)]
    fn with_code(self, bits: u32) -> Self {
        let number = self.0 & (BYTE | SPECIAL) == 0;
        Self(self.0 + bits + if number { bits << 8 } else { 0 })
    }

    #[inline(always)]
    pub(super) fn is_byte(self) -> bool {
        self.0 & BYTE != 0
    }

    #[inline(always)]
    pub(super) fn byte(self) -> u8 {
        (self.0 >> 16) as u8
    }

    /// Whether it is neither a byte nor a number.
    #[inline(always)]
    pub(super) fn is_special(self) -> bool {
        self.0 & SPECIAL != 0
    }

    #[inline(always)]
    pub(super) fn is_end(self) -> bool {
        self.0 & END != 0
    }

    /// How many bits it takes in all.
    #[inline(always)]
    pub(super) fn bits(self) -> u32 {
        self.0 & 0xff
    }

    /// The length or distance; `next` begins with the code.
    #[inline(always)]
    pub(super) fn number(self, next: u64) -> usize {
        let all = next & ((1 << (self.0 & 31)) - 1);
        (self.0 >> 16) as usize + (all >> (self.0 >> 8 & 15)) as usize
    }
}

/// A table of a complete code. `SIZE` is a power of two, with room for the tables below.
pub(super) struct Table<const SIZE: usize> {
    entries: [Entry; SIZE],
    /// The bits that are looked up first.
    mask: u64,
}

impl<const SIZE: usize> Table<SIZE> {
    pub(super) fn new() -> Self {
        const { assert!(SIZE.is_power_of_two()) };
        Self {
            entries: [Entry::NONE; SIZE],
            mask: 0,
        }
    }

    /// What the code stands for that `next` begins with, or the table below that says so.
    #[inline(always)]
    pub(super) fn look(&self, next: u64) -> Entry {
        self.entries[(next & self.mask) as usize & (SIZE - 1)]
    }

    /// The same in the table below that `above` leads to; `next` goes on behind what that took.
    #[inline(always)]
    pub(super) fn look_below(&self, above: Entry, next: u64) -> Entry {
        let low = next & ((1 << (above.0 >> 8 & 15)) - 1);
        self.entries[((above.0 >> 16) as usize + low as usize) & (SIZE - 1)]
    }

    /// Makes the table of these codes, which come in the order of their symbols; what each stands for
    /// is in `meanings`. Codes of up to `widest` bits are looked up in one step. `None` if the code is
    /// not complete, or there is no room. `sorted` is scratch.
    pub(super) fn make(
        &mut self,
        widest: u32,
        codes: &[Code],
        meanings: &[Entry],
        sorted: &mut [Code; SYMBOLS],
    ) -> Option<()> {
        let (sorted, counts) = sort(codes, sorted)?;
        let longest = sorted.last()?.length() as u32;
        let widest = widest.min(longest);
        self.mask = (1 << widest) - 1;
        let mut word = 0;
        let mut length = (sorted[0].length() as u32).min(widest);
        let mut made = 1 << length;
        let mut short = 0;
        for code in sorted {
            let own = code.length() as u32;
            if own > widest {
                break;
            }
            // So far each place tells of the bits that are looked at so far: one bit more, twice.
            while length < own {
                self.entries.copy_within(..made, made);
                (made, length) = (2 * made, length + 1);
            }
            let at = word as usize & (SIZE - 1);
            self.entries[at] = meanings[code.symbol()].with_code(own);
            word = after(word, own);
            short += 1;
        }
        while length < widest {
            self.entries.copy_within(..made, made);
            (made, length) = (2 * made, length + 1);
        }
        match &sorted[short..] {
            [] => Some(()),
            long => self.make_below(word, widest, long, counts, meanings),
        }
    }

    /// Makes the tables below, of codes of more than `widest` bits; `word` is the first of them.
    fn make_below(
        &mut self,
        mut word: u32,
        widest: u32,
        codes: &[Code],
        mut left: [u16; LONGEST + 1],
        meanings: &[Entry],
    ) -> Option<()> {
        let low = (1 << widest) - 1;
        let (mut above, mut start, mut free) = (None, 0, 1 << widest);
        for code in codes {
            let own = code.length() as u32;
            if above != Some(word & low) {
                // As wide as it has to be for those that begin alike: until they fill it.
                let mut bits = own - widest;
                let mut filled = u32::from(*left.get(own as usize)?);
                while filled < 1 << bits {
                    bits += 1;
                    filled = 2 * filled + u32::from(*left.get((widest + bits) as usize)?);
                }
                (start, free) = (free, free + (1 << bits));
                if free > SIZE {
                    return None;
                }
                let leads = SPECIAL | (start as u32) << 16 | bits << 8 | widest;
                self.entries[(word & low) as usize] = Entry(leads);
                above = Some(word & low);
            }
            let entry = meanings[code.symbol()].with_code(own - widest);
            let places = self.entries.get_mut(start..free)?.iter_mut();
            let places = places.skip((word >> widest) as usize);
            places
                .step_by(1 << (own - widest))
                .for_each(|place| *place = entry);
            left[code.length()] -= 1;
            word = after(word, own);
        }
        Some(())
    }
}

/// Codes by their lengths, and how many there are of each; `None` if they are not complete. Symbols
/// that have codes of the same length stay in their order.
fn sort<'s>(
    codes: &[Code],
    sorted: &'s mut [Code; SYMBOLS],
) -> Option<(&'s [Code], [u16; LONGEST + 1])> {
    let mut counts = [0; LONGEST + 1];
    for code in codes {
        counts[code.length() & LONGEST] += 1;
    }
    let mut places = [0; LONGEST + 2];
    let mut left = 1i32 << LONGEST;
    for length in 1..=LONGEST {
        places[length + 1] = places[length] + counts[length];
        left -= i32::from(counts[length]) << (LONGEST - length);
    }
    if left != 0 {
        return None;
    }
    for code in codes {
        let place = &mut places[code.length() & LONGEST];
        *sorted.get_mut(usize::from(*place))? = *code;
        *place += 1;
    }
    Some((&sorted[..codes.len()], counts))
}

/// The code after this one of the same length, or what longer ones of it begin with; zero after the
/// last one, which is all ones. They are read with their first bit lowest, and so counted up from the
/// other end.
#[inline(always)]
fn after(word: u32, length: u32) -> u32 {
    let zeros = word ^ ((1 << length) - 1);
    let highest = 1 << (zeros | 1).ilog2();
    if zeros == 0 {
        0
    } else {
        word & (highest - 1) | highest
    }
}
