//! `compress` (`.Z`): LZW with codes of 9 to 16 bits, as ncompress writes it.

use std::io::{self, BufRead, Read};

use super::codec::{self, Decoder, broken, window};
use super::{Damage, Format, Input, Members, Window};

pub(super) struct Compress;

const MAGIC: [u8; 2] = [0x1f, 0x9d];

/// Forgets all words.
const CLEAR: u16 = 256;

impl Format for Compress {
    fn name(&self) -> &'static str {
        "compress"
    }

    fn recognises(&self, head: &[u8], _name: &[u8]) -> bool {
        // Two flags are reserved, and the first code is a byte.
        matches!(head, [0x1f, 0x9d, flags, _, code, ..]
            if flags & 0x60 == 0 && (9..=16).contains(&(flags & 0x1f)) && code & 1 == 0)
    }

    fn unpack(&self, input: Input<'_>, out: &mut dyn Members) -> Result<(), Damage> {
        codec::unpack::<Words<'_>>(self.name(), window(input), out)
    }
}

struct Words<'a> {
    from: Window<'a>,
    most_bits: u32,
    clears: bool,
    bits: u32,
    /// Codes come in groups of eight; of a group that is cut short by a change of width, the rest
    /// is padding.
    group: u32,
    held: u32,
    held_bits: u32,
    /// The word before this one, with its first byte.
    last: Option<(u16, u8)>,
    next: u32,
    /// Each word is another one and a byte.
    before: Vec<u16>,
    byte: Vec<u8>,
    /// The word at hand, backward.
    word: Vec<u8>,
}

impl<'a> Decoder<'a> for Words<'a> {
    fn open(mut from: Window<'a>) -> io::Result<Self> {
        let [a, b, flags] = from.take_array()?;
        let most_bits = u32::from(flags & 0x1f);
        if [a, b] != MAGIC || !(9..=16).contains(&most_bits) {
            return Err(broken("its header makes no sense"));
        }
        let clears = flags & 0x80 != 0;
        Ok(Self {
            from,
            most_bits,
            clears,
            bits: 9,
            group: 0,
            held: 0,
            held_bits: 0,
            last: None,
            next: if clears { 257 } else { 256 },
            before: vec![0; 1 << 16],
            byte: (0..1 << 16).map(|code| code as u8).collect(),
            word: Vec::new(),
        })
    }

    fn close(self) -> Window<'a> {
        self.from
    }

    fn follows(_: &mut Window<'a>) -> io::Result<bool> {
        Ok(false)
    }
}

impl Words<'_> {
    /// The next code. `None` at the end: bits that are left over are padding.
    fn code(&mut self) -> io::Result<Option<u16>> {
        while self.held_bits < self.bits {
            let Some(byte) = self.from.fill_buf()?.first().copied() else {
                return Ok(None);
            };
            self.from.consume(1);
            self.held |= u32::from(byte) << self.held_bits;
            self.held_bits += 8;
        }
        let code = self.held & ((1 << self.bits) - 1);
        self.held >>= self.bits;
        self.held_bits -= self.bits;
        self.group = (self.group + 1) % 8;
        Ok(Some(code as u16))
    }

    /// Codes of another width begin with a group of their own.
    fn set_bits(&mut self, bits: u32) -> io::Result<()> {
        while self.group != 0 {
            if self.code()?.is_none() {
                break;
            }
        }
        (self.held, self.held_bits) = (0, 0);
        self.bits = bits;
        Ok(())
    }

    /// Reads a word. `false` at the end.
    fn word(&mut self) -> io::Result<bool> {
        if self.next > (1 << self.bits) - 1 && self.bits < self.most_bits {
            self.set_bits(self.bits + 1)?;
        }
        let Some(code) = self.code()? else {
            return Ok(false);
        };
        if code == CLEAR && self.clears {
            self.set_bits(9)?;
            self.next = 256;
            self.last = None;
            return Ok(true);
        }
        let Some((last, first)) = self.last else {
            if code > 255 {
                return Err(broken("its first code is no byte"));
            }
            // After a clear, the code 256 stays what it was.
            self.next = self.next.max(if self.clears { 257 } else { 256 });
            self.word.push(code as u8);
            self.last = Some((code, code as u8));
            return Ok(true);
        };
        let mut at = code;
        if u32::from(code) >= self.next {
            if u32::from(code) > self.next {
                return Err(broken("a code is of no word yet"));
            }
            self.word.push(first);
            at = last;
        }
        while at > 255 {
            self.word.push(self.byte[usize::from(at)]);
            at = self.before[usize::from(at)];
        }
        self.word.push(at as u8);
        if self.next < 1 << self.most_bits {
            self.before[self.next as usize] = last;
            self.byte[self.next as usize] = at as u8;
            self.next += 1;
        }
        self.last = Some((code, at as u8));
        Ok(true)
    }
}

impl Read for Words<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let mut read = 0;
        while read < to.len() {
            match self.word.pop() {
                Some(byte) => {
                    to[read] = byte;
                    read += 1;
                }
                None => match self.word() {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) if read == 0 => return Err(error),
                    // It is met again.
                    Err(_) => break,
                },
            }
        }
        Ok(read)
    }
}
