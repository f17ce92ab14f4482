//! `cpio`: initial RAM disks, the payload of RPM packages. Three kinds of headers: *newc* (with and
//! without sums), *odc*, and the old binary one in both byte orders.
//!
//! Sources: cpio(5) of the BSDs; `Documentation/driver-api/early-userspace/buffer-format.rst` of Linux.

use std::io::Read;

use super::part::{Part, fill};
use super::{Body, Damage, Format, Input, Members, Step};

pub(super) struct Cpio;

/// How long a path may be: as in Linux.
const PATH: u64 = 4096;

/// The last entry's name.
const TRAILER: &[u8] = b"TRAILER!!!";

/// How headers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// 110 bytes of hexadecimal digits.
    New,
    /// 76 bytes of octal digits.
    Old,
    /// 26 bytes; numbers of 16 bits, the less significant byte first, or last.
    Binary { big: bool },
}

impl Kind {
    fn of(head: &[u8]) -> Option<Self> {
        match head {
            [b'0', b'7', b'0', b'7', b'0', b'1' | b'2', ..] => Some(Self::New),
            [b'0', b'7', b'0', b'7', b'0', b'7', ..] => Some(Self::Old),
            [0xc7, 0x71, ..] => Some(Self::Binary { big: false }),
            [0x71, 0xc7, ..] => Some(Self::Binary { big: true }),
            _ => None,
        }
    }

    /// How long a header is.
    fn length(self) -> usize {
        match self {
            Self::New => 110,
            Self::Old => 76,
            Self::Binary { .. } => 26,
        }
    }

    /// Names and contents begin at multiples of this.
    fn alignment(self) -> u64 {
        match self {
            Self::New => 4,
            Self::Old => 1,
            Self::Binary { .. } => 2,
        }
    }

    /// The lengths of an entry's name, with the NUL that ends it, and of its content.
    fn lengths(self, header: &[u8]) -> Option<(u64, u64)> {
        let digits = |from: usize, length: usize, radix| {
            let text = std::str::from_utf8(header.get(from..from + length)?).ok()?;
            // `from_str_radix` would take a sign.
            let all = text.bytes().all(|b| b.is_ascii_hexdigit());
            all.then(|| u64::from_str_radix(text, radix).ok()).flatten()
        };
        let short = |from: usize| {
            let pair = [*header.get(from)?, *header.get(from + 1)?];
            Some(match self {
                Self::Binary { big: true } => u64::from(u16::from_be_bytes(pair)),
                _ => u64::from(u16::from_le_bytes(pair)),
            })
        };
        match self {
            Self::New => Some((digits(94, 8, 16)?, digits(54, 8, 16)?)),
            Self::Old => Some((digits(59, 6, 8)?, digits(65, 11, 8)?)),
            // The more significant half comes first, whatever the order of bytes.
            Self::Binary { .. } => Some((short(20)?, short(22)? << 16 | short(24)?)),
        }
    }

    /// Whether these bytes are a header that makes sense. The binary one has a magic of two bytes.
    fn fits(self, head: &[u8]) -> bool {
        let lengths = head.get(..self.length()).and_then(|h| self.lengths(h));
        let Some((name, _)) = lengths.filter(|(name, _)| (2..=PATH).contains(name)) else {
            return false;
        };
        // The name ends with a NUL, and there is none before that.
        let from = self.length();
        let end = from + name as usize;
        match head.get(from..end) {
            Some(name) => memchr::memchr(0, name) == Some(name.len() - 1),
            None => head.len() >= super::HEAD && memchr::memchr(0, &head[from..]).is_none(),
        }
    }
}

impl Format for Cpio {
    fn name(&self) -> &'static str {
        "cpio"
    }

    fn recognises(&self, head: &[u8], _name: &[u8]) -> bool {
        Kind::of(head).is_some_and(|kind| kind.fits(head))
    }

    fn unpack(&self, input: Input<'_>, out: &mut dyn Members) -> Result<(), Damage> {
        let mut input = Counting {
            input: input.into_reader(),
            read: 0,
        };
        let mut magic = [0; 6];
        loop {
            if fill(&mut input, &mut magic)? < magic.len() {
                return Err(Damage::broken("it ends without a trailer"));
            }
            let Some(kind) = Kind::of(&magic) else {
                return Err(Damage::broken("what should be an entry's header is none"));
            };
            let mut header = [0; 110];
            let header = &mut header[..kind.length()];
            header[..magic.len()].copy_from_slice(&magic);
            if fill(&mut input, &mut header[magic.len()..])? < kind.length() - magic.len() {
                return Err(Damage::broken("it ends within an entry's header"));
            }
            let Some((name, size)) = kind.lengths(header) else {
                return Err(Damage::broken("an entry's length is no number"));
            };
            if name == 0 || name > PATH {
                return Err(Damage::broken(
                    "an entry's name is longer than a path may be",
                ));
            }
            let mut path = vec![0; name as usize];
            if fill(&mut input, &mut path)? < path.len() {
                return Err(Damage::broken("it ends within an entry's name"));
            }
            path.truncate(memchr::memchr(0, &path).unwrap_or(path.len()));
            input.align(kind.alignment())?;
            if path == TRAILER && size == 0 {
                return behind(input, out);
            }
            if size > 0 {
                let mut part = Part::new(&mut input, size);
                out.member(Step::file(path), Body::Stream(&mut part, Some(size)))?;
                if !part.finish()? {
                    return Ok(());
                }
                input.align(kind.alignment())?;
            } else {
                out.text(Step::part("name"), &path);
            }
        }
    }
}

/// An archive may be followed by NULs up to a block's end, and then by another one, which may be
/// compressed: initial RAM disks are made so.
fn behind(mut input: Counting<impl Read>, out: &mut dyn Members) -> Result<(), Damage> {
    let mut first = [0];
    loop {
        match fill(&mut input, &mut first)? {
            0 => return Ok(()),
            _ if first != [0] => break,
            _ => {}
        }
    }
    let mut rest = first.chain(&mut input);
    out.member(Step::part("next archive"), Body::Stream(&mut rest, None))?;
    Ok(())
}

/// Knows how much was read, since padding counts from the archive's first byte.
struct Counting<R> {
    input: R,
    read: u64,
}

impl<R: Read> Counting<R> {
    fn align(&mut self, to: u64) -> Result<(), Damage> {
        let padding = self.read.next_multiple_of(to) - self.read;
        let mut bytes = [0; 4];
        fill(self, &mut bytes[..padding as usize])?;
        Ok(())
    }
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        let read = self.input.read(to)?;
        self.read += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::testing::{self, gzip};
    use super::*;

    /// An entry of each kind of archive.
    fn entry(kind: Kind, name: &str, data: &[u8]) -> Vec<u8> {
        let (n, s) = (name.len() + 1, data.len());
        let mut out = match kind {
            Kind::New => format!("070701{:048}{s:08x}{:032}{n:08x}{:08}", 0, 0, 0).into_bytes(),
            Kind::Old => format!("070707{:053}{n:06o}{s:011o}", 0).into_bytes(),
            Kind::Binary { big } => {
                let mut numbers = [0u16; 13];
                numbers[0] = 0o070707;
                numbers[10] = n as u16;
                numbers[11] = (s >> 16) as u16;
                numbers[12] = s as u16;
                let bytes = |n: &u16| {
                    if big {
                        n.to_be_bytes()
                    } else {
                        n.to_le_bytes()
                    }
                };
                numbers.iter().flat_map(bytes).collect()
            }
        };
        assert_eq!(out.len(), kind.length());
        let to = kind.alignment() as usize;
        out.extend_from_slice(name.as_bytes());
        out.push(0);
        out.resize(out.len().next_multiple_of(to), 0);
        out.extend_from_slice(data);
        out.resize(out.len().next_multiple_of(to), 0);
        out
    }

    /// A *newc* archive.
    pub(in super::super) fn newc(entries: &[(&str, &[u8])]) -> Vec<u8> {
        archive(Kind::New, entries)
    }

    fn archive(kind: Kind, entries: &[(&str, &[u8])]) -> Vec<u8> {
        let entries = entries.iter().map(|(name, data)| entry(kind, name, data));
        let mut all: Vec<u8> = entries.flatten().collect();
        all.extend(entry(kind, "TRAILER!!!", b""));
        all
    }

    const KINDS: [Kind; 4] = [
        Kind::New,
        Kind::Old,
        Kind::Binary { big: false },
        Kind::Binary { big: true },
    ];

    #[test]
    fn every_kind_is_read() {
        let large = vec![b'x'; 70_001];
        for kind in KINDS {
            let files: &[(&str, &[u8])] = &[
                ("dir", b""),
                ("dir/one", b"1"),
                ("two.txt", b"22\n"),
                ("large", &large),
            ];
            let bytes = archive(kind, files);
            let expected: Vec<_> = files[1..]
                .iter()
                .map(|(n, d)| ((*n).to_owned(), d.to_vec()))
                .collect();
            assert_eq!(testing::unpack("", &bytes).contents(), expected, "{kind:?}");
            assert_eq!(testing::unpack_stream("", &bytes, 5).contents(), expected);
            assert!(testing::unpack("", &bytes).unread().is_empty());
        }
    }

    #[test]
    fn what_follows_is_read_too() {
        let first = newc(&[("kernel/microcode.bin", b"early")]);
        let second = gzip(&newc(&[("etc/secret", b"late")]));
        let all = [&first[..], &[0; 300], &second].concat();
        let notes = testing::unpack("initrd", &all);
        assert!(notes.hold("early") && notes.hold("late"), "{notes:?}");
        assert!(
            notes
                .contents()
                .iter()
                .any(|(way, _)| way.ends_with("etc/secret"))
        );
    }

    #[test]
    fn damage_is_named() {
        for kind in KINDS {
            let good = archive(kind, &[("one", b"first"), ("two", b"second")]);
            let first = entry(kind, "one", b"first").len();
            for end in first + 1..good.len() - kind.alignment() as usize {
                let notes = testing::unpack("", &good[..end]);
                assert!(!notes.unread().is_empty(), "{kind:?} cut at {end}");
            }
        }
        let mut endless = newc(&[("one", b"first")]);
        endless[54..62].copy_from_slice(b"ffffffff");
        assert!(testing::unpack("", &endless).hold("first"));
        let first = entry(Kind::New, "one", b"first").len();
        let mut signed = newc(&[("one", b"first"), ("two", b"second")]);
        signed[first + 54..first + 62].copy_from_slice(b"-0000001");
        assert!(!testing::unpack("", &signed).unread().is_empty());
        assert!(!Cpio.recognises(b"\xc7\x71 two bytes are not enough to tell", b""));
    }
}
