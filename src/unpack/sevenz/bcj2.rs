//! BCJ2: x86 code whose jump targets were taken out into streams of their own, since they compress
//! better there. This puts them back.
//!
//! Source: `Bcj2.c` and `Bcj2.h` of the LZMA SDK.

use std::io::{self, BufReader, Read};

/// Its four inputs.
pub(super) struct Bcj2<R> {
    main: BufReader<R>,
    /// Targets of calls (`e8`), and of other jumps (`e9`, `0f 8x`).
    calls: BufReader<R>,
    jumps: BufReader<R>,
    /// Which of what looks like a jump is one, arithmetically coded.
    coded: BufReader<R>,
    range: u32,
    code: u32,
    odds: [u16; 258],
    started: bool,
    /// Bytes put out.
    at: u32,
    previous: u8,
    /// A target that did not fit in.
    target: [u8; 4],
    target_left: usize,
}

const TOP: u32 = 1 << 24;
const MODEL_BITS: u32 = 11;
const MOVE_BITS: u32 = 5;

impl<R: Read> Bcj2<R> {
    pub(super) fn new([main, calls, jumps, coded]: [R; 4]) -> Self {
        Self {
            main: BufReader::new(main),
            calls: BufReader::new(calls),
            jumps: BufReader::new(jumps),
            coded: BufReader::new(coded),
            range: u32::MAX,
            code: 0,
            odds: [1 << (MODEL_BITS - 1); 258],
            started: false,
            at: 0,
            previous: 0,
            target: [0; 4],
            target_left: 0,
        }
    }

    fn bit(&mut self, index: usize) -> io::Result<bool> {
        let odds = u32::from(self.odds[index]);
        let bound = (self.range >> MODEL_BITS) * odds;
        let bit = self.code >= bound;
        let odds = if bit {
            self.range -= bound;
            self.code -= bound;
            odds - (odds >> MOVE_BITS)
        } else {
            self.range = bound;
            odds + (((1 << MODEL_BITS) - odds) >> MOVE_BITS)
        };
        self.odds[index] = odds as u16;
        if self.range < TOP {
            self.range <<= 8;
            self.code = self.code << 8 | u32::from(self.next_coded()?);
        }
        Ok(bit)
    }

    fn next_coded(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.coded.read_exact(&mut byte)?;
        Ok(byte[0])
    }
}

impl<R: Read> Read for Bcj2<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if !self.started {
            self.started = true;
            for _ in 0..5 {
                self.code = self.code << 8 | u32::from(self.next_coded()?);
            }
        }
        let mut done = 0;
        while done < to.len() {
            let byte = if self.target_left > 0 {
                self.target_left -= 1;
                to[done] = self.target[3 - self.target_left];
                self.previous = to[done];
                done += 1;
                continue;
            } else {
                let mut byte = [0];
                if self.main.read(&mut byte)? == 0 {
                    break;
                }
                byte[0]
            };
            to[done] = byte;
            done += 1;
            self.at = self.at.wrapping_add(1);
            let index = match (self.previous, byte) {
                (previous, 0xe8) => usize::from(previous),
                (_, 0xe9) => 256,
                (0x0f, 0x80..=0x8f) => 257,
                _ => {
                    self.previous = byte;
                    continue;
                }
            };
            self.previous = byte;
            // Nothing is coded for a jump that ends the content, and nothing follows it.
            let is_coded = match self.bit(index) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                other => other?,
            };
            if is_coded {
                let mut target = [0; 4];
                match byte {
                    0xe8 => self.calls.read_exact(&mut target)?,
                    _ => self.jumps.read_exact(&mut target)?,
                }
                self.at = self.at.wrapping_add(4);
                self.target = u32::from_be_bytes(target)
                    .wrapping_sub(self.at)
                    .to_le_bytes();
                self.target_left = 4;
            }
        }
        Ok(done)
    }
}
