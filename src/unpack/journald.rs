//! systemd's journal files: the fields that they keep compressed. What is not compressed lies there
//! in one piece, and a search of the file as it is finds it.
//!
//! Objects follow one another, each with its size; the links between them are not needed.
//!
//! Source: "Journal File Format" in systemd's documentation, and its `journal-def.h`.

use std::io::{self, Read};

use super::{Access, Body, Damage, Format, Input, Members, ReadAt, Step, part};
use crate::coverage::{Limit, Unread};

pub(super) struct Journald;

const SIGNATURE: &[u8] = b"LPKSHHRH";
/// Data objects have 8 bytes more.
const COMPACT: u32 = 1 << 4;
/// The type of the objects that hold fields.
const DATA: u8 = 1;
/// What stands before an object's own fields: type, flags, size.
const OBJECT_HEADER: u64 = 16;
/// What stands before a field in a data object.
const DATA_HEADER: u64 = 64;

impl Format for Journald {
    fn name(&self) -> &'static str {
        "journal"
    }

    fn access(&self) -> Access {
        Access::Random
    }

    fn recognises(&self, head: &[u8], _name: &[u8]) -> bool {
        head.starts_with(SIGNATURE)
    }

    fn unpack(&self, input: Input<'_>, out: &mut dyn Members) -> Result<(), Damage> {
        let file = part::random(input, out)?;
        let mut head = [0; 96];
        if file.read_full(&mut head, 0)? < head.len() {
            return Err(Damage::broken("it ends within its header"));
        }
        let compact = le(&head[12..16]) as u32 & COMPACT != 0;
        let before = DATA_HEADER + if compact { 8 } else { 0 };
        let mut at = le(&head[88..96]);
        if at < head.len() as u64 {
            return Err(Damage::broken("its header is shorter than any"));
        }
        let mut object = [0; OBJECT_HEADER as usize];
        while file.read_full(&mut object, at)? == object.len() {
            let size = le(&object[8..16]);
            if size == 0 {
                // Space that was set aside and is not used yet.
                break;
            }
            let end = at.checked_add(size).filter(|_| size >= OBJECT_HEADER);
            let Some(end) = end.filter(|end| *end <= file.size()) else {
                return Err(Damage::broken(format!(
                    "the object at {at} ends behind its end"
                )));
            };
            if object[0] == DATA && object[1] != 0 && size > before {
                out.covers(at + before..end);
                field(file, at, object[1], at + before..end, out)?;
            }
            at = end.next_multiple_of(8);
        }
        Ok(())
    }
}

/// Hands out one compressed field.
fn field(
    file: &dyn ReadAt,
    object: u64,
    flags: u8,
    range: std::ops::Range<u64>,
    out: &mut dyn Members,
) -> Result<(), Damage> {
    let step = |name: &[u8]| {
        let name = [name, b" at ", object.to_string().as_bytes()].concat();
        Step::named("field", name)
    };
    let mut packed = file.section(range);
    match flags {
        1 => {
            let Some(_window) = out.reserve(XZ_MEMORY) else {
                out.unread(step(b""), Unread::Over(Limit::Memory));
                return Ok(());
            };
            let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, 0);
            let stream = stream.map_err(io::Error::from)?;
            named(
                &mut liblzma::read::XzDecoder::new_stream(packed, stream),
                step,
                out,
            )
        }
        2 => {
            // How long it is, then a block.
            let mut size = [0; 8];
            part::fill(&mut packed, &mut size)?;
            let size = u64::from_le_bytes(size);
            // A block of LZ4 grows 255 times at most.
            let possible = size <= packed.left().saturating_mul(255);
            let memory = size.saturating_add(packed.left());
            let Some(_held) = possible.then(|| out.reserve(memory)).flatten() else {
                let why = match possible {
                    true => Unread::Over(Limit::Memory),
                    false => Unread::Damaged("it states more than its block can hold".into()),
                };
                out.unread(step(b""), why);
                return Ok(());
            };
            let mut block = Vec::new();
            packed.read_to_end(&mut block)?;
            match lz4_flex::block::decompress(&block, size as usize) {
                Ok(bytes) => named(&mut &bytes[..], step, out),
                Err(error) => {
                    out.unread(step(b""), Unread::Damaged(error.to_string()));
                    Ok(())
                }
            }
        }
        4 => {
            let Some(_window) = out.reserve(1 << ZSTD_WINDOW_LOG) else {
                out.unread(step(b""), Unread::Over(Limit::Memory));
                return Ok(());
            };
            let mut decoder = zstd::stream::read::Decoder::new(packed)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            named(&mut decoder, step, out)
        }
        other => {
            let why = Unread::Unsupported(format!("compression {other}"));
            out.unread(step(b""), why);
            Ok(())
        }
    }
}

/// The window of xz's preset 6, and some more: journals are written with preset 0.
const XZ_MEMORY: u64 = 16 << 20;

/// Fields are compressed one by one: their windows are as small as they are.
const ZSTD_WINDOW_LOG: u32 = 23;

/// No field's name is longer.
const NAME: usize = 64;

/// Hands out a field under its name, which stands before the first `=`.
fn named<'a>(
    field: &mut dyn Read,
    step: impl Fn(&[u8]) -> Step<'a>,
    out: &mut dyn Members,
) -> Result<(), Damage> {
    let mut start = Vec::new();
    // An error comes again, or there is less behind it: whoever reads the member tells.
    let failed = (&mut *field)
        .take(NAME as u64 + 1)
        .read_to_end(&mut start)
        .err();
    let name = memchr::memchr(b'=', &start).map_or(&b""[..], |end| &start[..end]);
    let name = step(name);
    let mut rest: Box<dyn Read + '_> = match failed {
        None => Box::new(field),
        Some(error) => Box::new(Failing(Some(error))),
    };
    out.member(name, Body::Stream(&mut start.chain(&mut rest), None))?;
    Ok(())
}

/// Nothing but an error.
struct Failing(Option<io::Error>);

impl Read for Failing {
    fn read(&mut self, _to: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

fn le(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |value, byte| value << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, Notes};
    use super::*;
    use std::io::Write;

    fn journal(compact: bool, objects: &[(u8, u8, Vec<u8>)]) -> Vec<u8> {
        let mut out = SIGNATURE.to_vec();
        out.extend(0u32.to_le_bytes());
        out.extend((if compact { COMPACT } else { 0 }).to_le_bytes());
        out.resize(88, 0);
        out.extend(256u64.to_le_bytes());
        out.resize(256, 0);
        for (kind, flags, payload) in objects {
            let before = if compact { 72 } else { 64 };
            let start = out.len();
            out.extend([*kind, *flags, 0, 0, 0, 0, 0, 0]);
            out.extend((before as u64 + payload.len() as u64).to_le_bytes());
            out.resize(start + before, 0);
            out.extend_from_slice(payload);
            out.resize(out.len().next_multiple_of(8), 0);
        }
        out.resize(out.len() + 4096, 0);
        out
    }

    fn xz(bytes: &[u8]) -> Vec<u8> {
        let mut to = liblzma::write::XzEncoder::new(Vec::new(), 0);
        to.write_all(bytes).unwrap();
        to.finish().unwrap()
    }

    fn lz4(bytes: &[u8]) -> Vec<u8> {
        let size = (bytes.len() as u64).to_le_bytes();
        [&size[..], &lz4_flex::block::compress(bytes)].concat()
    }

    fn message(n: u8) -> Vec<u8> {
        format!("MESSAGE=a message that goes on and on and on and on, {n}\nand on").into_bytes()
    }

    fn objects() -> Vec<(u8, u8, Vec<u8>)> {
        vec![
            (DATA, 0, message(0)),
            (DATA, 1, xz(&message(1))),
            (5, 0, vec![0; 13]),
            (DATA, 2, lz4(&message(2))),
            (DATA, 4, zstd::encode_all(&message(3)[..], 0).unwrap()),
            (DATA, 8, b"by a method to come".to_vec()),
        ]
    }

    fn holds(notes: &Notes, n: u8) -> bool {
        notes.hold(&String::from_utf8(message(n)).unwrap())
    }

    #[test]
    fn compressed_fields_are_members_and_the_rest_is_searched_as_it_is() {
        for compact in [false, true] {
            let notes = testing::unpack("system.journal", &journal(compact, &objects()));
            assert!((0..4).all(|n| holds(&notes, n)));
            let ways: Vec<_> = notes.contents().into_iter().map(|(way, _)| way).collect();
            assert_eq!(ways.len(), 3);
            assert!(
                ways.iter().all(|way| way.starts_with("field MESSAGE at ")),
                "{ways:?}"
            );
            assert_eq!(notes.unread().len(), 1, "{:?}", notes.unread());
        }
    }

    #[test]
    fn damage_is_named() {
        let good = journal(false, &objects());
        for end in (8..good.len() - 4096).step_by(7) {
            testing::unpack("", &good[..end]);
        }
        assert_eq!(testing::unpack("", &good[..100]).unread().len(), 0);
        assert_eq!(testing::unpack("", &good[..300]).unread().len(), 1);
        for (flags, payload) in [
            (1, b"no xz".to_vec()),
            (2, vec![0xff; 20]),
            (2, vec![1]),
            (2, [&[0xff; 4][..], &[0; 4], b"block"].concat()),
            (4, b"no zstd".to_vec()),
        ] {
            let objects = [(DATA, flags, payload), (DATA, 1, xz(&message(1)))];
            let notes = testing::unpack("", &journal(false, &objects));
            assert!(!notes.unread().is_empty(), "{flags}");
            assert!(
                holds(&notes, 1),
                "what follows is read: {:?}",
                notes.contents()
            );
        }
        let mut endless = good.clone();
        endless[256 + 8..256 + 16].fill(0xff);
        assert_eq!(testing::unpack("", &endless).unread().len(), 1);
    }
}
