//! Zlib streams (RFC 1950, 1951) of a kilobyte or less, which most entries of a pack are. Libdeflate
//! is faster where there is much to do; here it would spend half of its time on tables: it makes
//! those of 2,048 places for each stream, and goes over all symbols several times for that. Whatever
//! is odd about a stream is left to it as well, so that it alone says what is wrong.

use std::sync::LazyLock;

use super::bits::Bits;
use super::codes::{Code, Entry, LONGEST as LONGEST_CODE, SYMBOLS, Table};

/// So many bits are looked up in one step: fewer would send more codes to the tables below.
const LITERAL_BITS: u32 = 11;
const DISTANCE_BITS: u32 = 8;

/// No table of these widths has more places: 2,342 and 402 (zlib's `examples/enough.c` counts them;
/// libdeflate has the same in its `deflate_decompress.c`).
const LITERAL_PLACES: usize = 4096;
const DISTANCE_PLACES: usize = 512;

/// What tells the lengths of codes has codes of up to 7 bits itself.
const RUN_BITS: u32 = 7;
const RUN_PLACES: usize = 128;

/// More than there are symbols of both alphabets, by the longest run and what is written ahead.
const CODES: usize = SYMBOLS + 32 + 16;

/// The longest that is repeated at once.
const LONGEST: usize = 258;

/// How much more room for output is needed than the stream fills: repeated bytes are copied in blocks.
pub(super) const SPARE: usize = 320;

/// As many bytes are looked up before more bits are read: 44 bits at most, so that what comes next can
/// be looked up before, too.
const BYTES: usize = 4;

/// The tables of a block.
struct Tables {
    literals: Table<LITERAL_PLACES>,
    distances: Table<DISTANCE_PLACES>,
}

/// Symbols of the first alphabet: bytes, the end of the block, lengths (RFC 1951, 3.2.5).
const LITERALS: [Entry; SYMBOLS] = {
    let mut entries = [Entry::NONE; SYMBOLS];
    let mut byte = 0;
    while byte < 256 {
        entries[byte] = Entry::of_byte(byte as u8);
        byte += 1;
    }
    entries[256] = Entry::END;
    let (mut n, mut least) = (0, 3);
    while n < 28 {
        let further = if n < 8 { 0 } else { n as u32 / 4 - 1 };
        entries[257 + n] = Entry::of_number(least, further);
        least += 1 << further;
        n += 1;
    }
    entries[257 + n] = Entry::of_number(LONGEST as u16, 0);
    entries
};

/// Symbols of the second alphabet: distances.
const DISTANCES: [Entry; 32] = {
    let mut entries = [Entry::NONE; 32];
    let (mut n, mut least) = (0, 1);
    while n < 30 {
        let further = if n < 2 { 0 } else { n as u32 / 2 - 1 };
        entries[n] = Entry::of_number(least, further);
        least = least.wrapping_add(1 << further);
        n += 1;
    }
    entries
};

/// In which order the lengths of the codes for lengths stand (RFC 1951, 3.2.7).
const ORDER: [u8; 19] = [
    16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15,
];

/// Symbols of the alphabet that tells the lengths of codes (RFC 1951, 3.2.7): a length, or
/// [`AS_BEFORE`], times 256, and how many symbols have it.
const RUNS: [Entry; 19] = {
    let mut entries = [Entry::NONE; 19];
    let mut length = 0;
    while length <= LONGEST_CODE {
        entries[length] = Entry::of_number((length as u16) << 8 | 1, 0);
        length += 1;
    }
    entries[16] = Entry::of_number((AS_BEFORE as u16) << 8 | 3, 2);
    entries[17] = Entry::of_number(3, 3);
    entries[18] = Entry::of_number(11, 7);
    entries
};

/// The length of the symbol before.
const AS_BEFORE: usize = 16;

/// The tables that need not be sent (RFC 1951, 3.2.6).
static FIXED: LazyLock<Box<Tables>> = LazyLock::new(|| {
    let mut tables = Tables::new();
    let literal = |symbol| match symbol {
        144..256 => Code::new(symbol, 9),
        256..280 => Code::new(symbol, 7),
        _ => Code::new(symbol, 8),
    };
    let literals: Vec<Code> = (0..SYMBOLS).map(literal).collect();
    let distances = (0..DISTANCES.len()).map(|symbol| Code::new(symbol, 5));
    let distances: Vec<Code> = distances.collect();
    let made = tables.make(&literals, &distances, &mut [Code::default(); SYMBOLS]);
    made.expect("both codes are complete");
    tables
});

impl Tables {
    fn new() -> Box<Self> {
        Box::new(Self {
            literals: Table::new(),
            distances: Table::new(),
        })
    }

    fn make(
        &mut self,
        literals: &[Code],
        distances: &[Code],
        scratch: &mut [Code; SYMBOLS],
    ) -> Option<()> {
        self.distances
            .make(DISTANCE_BITS, distances, &DISTANCES, scratch)?;
        self.literals
            .make(LITERAL_BITS, literals, &LITERALS, scratch)
    }
}

/// What a thread uses for stream after stream.
pub(super) struct Small {
    tables: Box<Tables>,
    /// Of both alphabets, one after the other; some more may be written behind them.
    codes: [Code; CODES],
    scratch: [Code; SYMBOLS],
    runs: Table<RUN_PLACES>,
}

impl Default for Small {
    fn default() -> Self {
        Self {
            tables: Tables::new(),
            codes: [Code::default(); CODES],
            scratch: [Code::default(); SYMBOLS],
            runs: Table::new(),
        }
    }
}

impl Small {
    /// Inflates the zlib stream at the start of `from` to `size` bytes of `to`, which has room for
    /// [`SPARE`] more. `None` if that is not what it inflates to, if it is wrong or odd, or if there
    /// are not some bytes more behind it: then nothing is said of it, and `to` holds anything.
    pub(super) fn inflate(&mut self, from: &[u8], to: &mut [u8], size: usize) -> Option<()> {
        let (head, body) = from.split_first_chunk::<2>()?;
        let [method, flags] = *head;
        let is_plain = method & 15 == 8 && method >> 4 <= 7 && flags & 0x20 == 0;
        if !is_plain || !u16::from_be_bytes(*head).is_multiple_of(31) {
            return None;
        }
        let (mut bits, mut done) = (Bits::new(body), 0);
        loop {
            bits.fill()?;
            let is_last = bits.take(1) == 1;
            match bits.take(2) {
                0 => {
                    let (lengths, rest) = bits.bytes(from)?.split_first_chunk::<4>()?;
                    let [a, b, c, d] = *lengths;
                    let length = u16::from_le_bytes([a, b]);
                    if length != !u16::from_le_bytes([c, d]) {
                        return None;
                    }
                    let (bytes, rest) = rest.split_at_checked(length.into())?;
                    let end = done + bytes.len();
                    to.get_mut(..size)?
                        .get_mut(done..end)?
                        .copy_from_slice(bytes);
                    (bits, done) = (Bits::new(rest), end);
                }
                1 => done = block(&FIXED, &mut bits, to, done, size)?,
                2 => {
                    self.read_tables(&mut bits)?;
                    done = block(&self.tables, &mut bits, to, done, size)?;
                }
                _ => return None,
            }
            if is_last {
                break;
            }
        }
        let sum = u32::from_be_bytes(*bits.bytes(from)?.first_chunk()?);
        (done == size && sum == libdeflater::adler32(&to[..size])).then_some(())
    }

    /// Reads a block's tables (RFC 1951, 3.2.7), of which 17 bits or less were taken. The lengths of
    /// codes are told one by one or as runs; nothing is decided by that, since nobody could foresee it.
    fn read_tables(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        let literals = 257 + bits.take(5) as usize;
        let distances = 1 + bits.take(5) as usize;
        let stated = 4 + bits.take(4) as usize;
        if literals > 286 {
            return None;
        }
        self.read_runs(bits, stated)?;
        let all = literals + distances;
        // How many symbols were told of, and how many of them are used.
        let (mut at, mut used) = (0, 0);
        // There is none yet.
        let mut last = AS_BEFORE;
        while at < all {
            bits.fill()?;
            // There are bits for four: each takes up to 14.
            for _ in 0..4 {
                let found = self.runs.look(bits.next);
                let run = found.number(bits.next);
                bits.skip(found.bits());
                let (length, times) = (run >> 8, run & 0xff);
                let length = if length == AS_BEFORE { last } else { length };
                last = length;
                // Only runs of zero are longer.
                let codes: &mut [Code; 8] = self.codes.get_mut(used..)?.first_chunk_mut()?;
                for (n, code) in codes.iter_mut().enumerate() {
                    *code = Code::new(at + n, length);
                }
                used += if length == 0 { 0 } else { times };
                at += times;
                if at >= all {
                    break;
                }
            }
        }
        let codes = &mut self.codes[..used];
        if at != all || codes.first()?.length() == AS_BEFORE {
            return None;
        }
        let first = codes.partition_point(|code| code.symbol() < literals);
        let (literal, distance) = codes.split_at_mut(first);
        for code in &mut *distance {
            *code = Code::new(code.symbol() - literals, code.length());
        }
        self.tables.make(literal, distance, &mut self.scratch)
    }

    /// Reads the code of the codes' lengths, of which so many are stated.
    fn read_runs(&mut self, bits: &mut Bits<'_>, stated: usize) -> Option<()> {
        let mut lengths = [0; RUNS.len()];
        let mut read = |bits: &mut Bits<'_>, symbol: u8| {
            lengths[usize::from(symbol)] = bits.take(3) as usize;
        };
        // There are bits for eighteen, and there may be one more.
        bits.fill()?;
        let (some, others) = ORDER[..stated].split_at(stated.min(18));
        some.iter().for_each(|symbol| read(bits, *symbol));
        bits.fill()?;
        others.iter().for_each(|symbol| read(bits, *symbol));
        let mut used = 0;
        for (symbol, length) in lengths.into_iter().enumerate() {
            self.codes[used] = Code::new(symbol, length);
            used += usize::from(length != 0);
        }
        let codes = &self.codes[..used];
        self.runs.make(RUN_BITS, codes, &RUNS, &mut self.scratch)
    }
}

/// Inflates a block of codes, from `done` on; returns how many bytes are done then: `size` at most.
#[inline(never)]
fn block(
    tables: &Tables,
    stream: &mut Bits<'_>,
    to: &mut [u8],
    mut done: usize,
    size: usize,
) -> Option<usize> {
    let Tables {
        literals,
        distances,
    } = tables;
    let mut bits = *stream;
    bits.fill()?;
    let mut found = literals.look(bits.next);
    loop {
        // There are 56 bits, and `found` is what they begin with.
        let room: &mut [u8; BYTES] = to.get_mut(done..)?.first_chunk_mut()?;
        let mut bytes = 0;
        while found.is_byte() && bytes < BYTES {
            bits.skip(found.bits());
            room[bytes] = found.byte();
            found = literals.look(bits.next);
            bytes += 1;
        }
        done += bytes;
        if bytes == BYTES {
            bits.fill()?;
            continue;
        }
        // A length takes up to 20 bits, a distance up to 28.
        let mut begin = bits.next;
        bits.skip(found.bits());
        if found.is_special() && !found.is_end() {
            begin = bits.next;
            found = literals.look_below(found, begin);
            bits.skip(found.bits());
            if found.is_byte() {
                *to.get_mut(done)? = found.byte();
                done += 1;
                bits.fill()?;
                found = literals.look(bits.next);
                continue;
            }
        }
        if found.is_special() {
            *stream = bits;
            return (found.is_end() && done <= size).then_some(done);
        }
        let length = found.number(begin);
        if bits.left & 63 < 28 {
            bits.fill()?;
        }
        let mut far = distances.look(bits.next);
        let mut begin = bits.next;
        bits.skip(far.bits());
        if far.is_special() {
            begin = bits.next;
            far = distances.look_below(far, begin);
            bits.skip(far.bits());
        }
        let distance = far.number(begin);
        bits.fill()?;
        found = literals.look(bits.next);
        repeat(to, done, distance, length)?;
        done += length;
    }
}

/// Repeats `length` bytes from `distance` before `done`, and some more.
#[inline(always)]
fn repeat(to: &mut [u8], done: usize, distance: usize, length: usize) -> Option<()> {
    if distance == 0 || length == 0 {
        return None;
    }
    let bytes = to.get_mut(done.checked_sub(distance)?..done + LONGEST + 32)?;
    match distance {
        // Most of them, and nothing to be gone over.
        32.. if length <= 32 => {
            let (from, to) = bytes.split_at_mut_checked(distance)?;
            *to.first_chunk_mut::<32>()? = *from.first_chunk()?;
        }
        16.. => by_blocks::<16>(bytes, distance, length),
        8.. => by_blocks::<8>(bytes, distance, length),
        _ => by_blocks::<1>(bytes, distance, length),
    }
    Some(())
}

/// The same, so many bytes at once, which are no more than the distance.
#[inline(always)]
fn by_blocks<const SIZE: usize>(bytes: &mut [u8], distance: usize, length: usize) {
    let mut block = [0; SIZE];
    for at in (0..length).step_by(SIZE) {
        block.copy_from_slice(&bytes[at..at + SIZE]);
        bytes[at + distance..at + distance + SIZE].copy_from_slice(&block);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compress, Compression, FlushCompress};
    use proptest::prelude::*;

    /// As many bytes behind a stream as are read ahead.
    const AHEAD: [u8; 16] = [0x55; 16];

    /// A zlib stream of these parts, each of which ends a block.
    fn compressed(parts: &[Vec<u8>], level: u32) -> Vec<u8> {
        let mut state = Compress::new(Compression::new(level), true);
        let mut stream = Vec::with_capacity(1 << 20);
        for part in parts {
            let flush = FlushCompress::Full;
            state.compress_vec(part, &mut stream, flush).unwrap();
        }
        let end = FlushCompress::Finish;
        state.compress_vec(&[], &mut stream, end).unwrap();
        stream
    }

    /// What this makes of a stream, and what libdeflate does.
    fn both(small: &mut Small, stream: &[u8], size: usize) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
        let mut to = vec![0xaa; size + SPARE];
        let ours = small.inflate(stream, &mut to, size);
        let ours = ours.map(|()| to[..size].to_vec());
        let mut to = vec![0; size];
        let written = libdeflater::Decompressor::new().zlib_decompress(stream, &mut to);
        (ours, (written == Ok(size)).then_some(to))
    }

    /// Bytes with so few of some values that their codes are longer than a table is wide.
    fn skewed() -> Vec<u8> {
        let (mut a, mut b, mut bytes) = (1, 1, Vec::new());
        for byte in 0..22 {
            bytes.extend(std::iter::repeat_n(byte * 7, a));
            (a, b) = (b, a + b);
        }
        // Shuffled, so that few runs of them stay.
        let mut state = 1u64;
        for last in (1..bytes.len()).rev() {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            bytes.swap(last, (state >> 33) as usize % (last + 1));
        }
        bytes
    }

    #[test]
    fn long_codes_are_looked_up_below() {
        let bytes = skewed();
        let huffman = {
            let mut compressor = libdeflater::Compressor::new(libdeflater::CompressionLvl::best());
            let mut stream = vec![0; compressor.zlib_compress_bound(bytes.len())];
            let length = compressor.zlib_compress(&bytes, &mut stream).unwrap();
            stream.truncate(length);
            stream
        };
        let mut small = Small::default();
        for stream in [huffman, compressed(std::slice::from_ref(&bytes), 9)] {
            let ours = both(&mut small, &[&stream[..], &AHEAD].concat(), bytes.len()).0;
            assert_eq!(ours.as_ref(), Some(&bytes));
            let longest = small.codes.iter().map(|code| code.length()).max();
            assert!(longest.unwrap() > LITERAL_BITS as usize, "{longest:?}");
        }
    }

    #[test]
    fn every_distance_and_length_is_repeated() {
        let mut small = Small::default();
        for distance in (1..70).chain([255, 4096, 24_577, 32_768]) {
            for length in (3..40).chain([100, 257, 258, 259, 300]) {
                let noise = |n: usize| (n.wrapping_mul(0x9e37_79b9) >> 13) as u8;
                let mut bytes: Vec<u8> = (0..distance).map(noise).collect();
                (0..length).for_each(|n| bytes.push(bytes[n]));
                let stream = compressed(std::slice::from_ref(&bytes), 6);
                let ours = both(&mut small, &[&stream[..], &AHEAD].concat(), bytes.len()).0;
                assert!(ours == Some(bytes), "{distance} {length}");
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_compressed_is_inflated(
            parts in proptest::collection::vec(
                proptest::collection::vec(prop_oneof![4 => 97u8..105, 1 => any::<u8>()], 0..900),
                0..4,
            ),
            level in 0u32..10,
        ) {
            let stream = [&compressed(&parts, level)[..], &AHEAD].concat();
            let size = parts.iter().map(Vec::len).sum();
            let (ours, theirs) = both(&mut Small::default(), &stream, size);
            prop_assert_eq!(&ours, &Some(parts.concat()));
            prop_assert_eq!(ours, theirs);
            // Of no other size, and not where less is behind it than is read ahead.
            for other in [size + 1, size.wrapping_sub(1), size / 2] {
                if other != size && other < usize::MAX {
                    prop_assert_eq!(both(&mut Small::default(), &stream, other).0, None);
                }
            }
            let (ours, theirs) = both(&mut Small::default(), &stream[..stream.len() - 12], size);
            prop_assert!(ours.is_none() || ours == theirs);
        }

        #[test]
        fn nothing_is_taken_that_libdeflate_refuses(
            bytes in proptest::collection::vec(97u8..110, 1..400),
            level in 0u32..10,
            changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..4),
            more in 0usize..3,
        ) {
            let mut stream = [&compressed(std::slice::from_ref(&bytes), level)[..], &AHEAD].concat();
            for (at, byte) in changes {
                // Not the header of the stream, which most changes would spoil.
                let at = 2 + at % (stream.len() - 2);
                stream[at] = byte;
            }
            let mut small = Small::default();
            for size in [bytes.len(), bytes.len() + more, bytes.len().saturating_sub(more)] {
                let (ours, theirs) = both(&mut small, &stream, size);
                prop_assert!(ours.is_none() || ours == theirs);
            }
        }

        #[test]
        fn noise_is_refused_or_agreed_on(
            noise in proptest::collection::vec(any::<u8>(), 0..400),
            size in 0usize..2000,
        ) {
            // A right sum can't be guessed: so blocks are tried as they are.
            let mut small = Small::default();
            let mut to = vec![0; size + SPARE];
            let mut bits = Bits::new(&noise);
            if bits.fill().is_some() && small.read_tables(&mut bits).is_some() {
                let done = block(&small.tables, &mut bits, &mut to, 0, size);
                prop_assert!(done.is_none_or(|done| done <= size));
            }
            let done = block(&FIXED, &mut Bits::new(&noise), &mut to, 0, size);
            prop_assert!(done.is_none_or(|done| done <= size));
            let stream = [&[0x78, 0x9c], &noise[..]].concat();
            let (ours, theirs) = both(&mut small, &stream, size);
            prop_assert!(ours.is_none() || ours == theirs);
        }
    }
}
