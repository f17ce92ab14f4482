//! PNG: texts that are compressed (`zTXt`, `iTXt`, and the profile in `iCCP`). Those that are not
//! lie there as they are, and are found without this: so an image that is cut off is no damage, as
//! long as no such text is.
//!
//! Source: Portable Network Graphics Specification (third edition), sections 5.3 and 11.3.

use std::io::Read;

use flate2::read::ZlibDecoder;

use super::{Access, Body, Damage, Format, Input, Members, Step, part};

pub(super) struct Png;

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// A keyword is shorter than this, and so are two language tags that anybody would write.
const KEYWORDS: usize = 512;

impl Format for Png {
    fn name(&self) -> &'static str {
        "png"
    }

    fn access(&self) -> Access {
        Access::Random
    }

    fn recognises(&self, head: &[u8], _name: &[u8]) -> bool {
        head.starts_with(SIGNATURE)
    }

    fn unpack(&self, input: Input<'_>, out: &mut dyn Members) -> Result<(), Damage> {
        let file = part::random(input, out)?;
        let mut at = SIGNATURE.len() as u64;
        let mut header = [0; 8];
        loop {
            if file.read_full(&mut header, at)? < header.len() {
                return Ok(());
            }
            let [a, b, c, d, kind @ ..] = header;
            let length = u64::from(u32::from_be_bytes([a, b, c, d]));
            let from = at + header.len() as u64;
            let end = from + length;
            if let b"zTXt" | b"iTXt" | b"iCCP" = &kind {
                if end > file.size() {
                    return Err(Damage::broken(format!("the chunk at {at} is cut off")));
                }
                let mut start = [0; KEYWORDS];
                let start = &mut start[..KEYWORDS.min(length as usize)];
                let got = file.read_full(start, from)?;
                if let Some((keyword, before)) = packed(kind, &start[..got]) {
                    let packed = from + before as u64..end;
                    out.covers(packed.clone());
                    let mut text = ZlibDecoder::new(file.section(packed));
                    let step = Step::named("text", keyword);
                    out.member(step, Body::Stream(&mut text as &mut dyn Read, None))?;
                }
            }
            // Behind the data stands a sum of 4 bytes.
            at = end + 4;
            if &kind == b"IEND" {
                return Ok(());
            }
        }
    }
}

/// The keyword of a chunk whose text is compressed with deflate, and where the text begins.
fn packed(kind: [u8; 4], start: &[u8]) -> Option<(&[u8], usize)> {
    let nul = |from: usize| Some(from + memchr::memchr(0, start.get(from..)?)?);
    let keyword = nul(0)?;
    let text = match &kind {
        b"iTXt" => {
            if start.get(keyword + 1..keyword + 3)? != [1, 0] {
                return None;
            }
            let language = nul(keyword + 3)?;
            nul(language + 1)? + 1
        }
        _ => {
            if *start.get(keyword + 1)? != 0 {
                return None;
            }
            keyword + 2
        }
    };
    Some((&start[..keyword], text))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, Got};
    use super::*;
    use std::io::Write;

    fn zlib(text: &str) -> Vec<u8> {
        let mut to = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        to.write_all(text.as_bytes()).unwrap();
        to.finish().unwrap()
    }

    fn chunk(kind: &[u8], data: &[u8]) -> Vec<u8> {
        let length = (data.len() as u32).to_be_bytes();
        [&length, kind, data, b"sum "].concat()
    }

    fn png(chunks: &[Vec<u8>]) -> Vec<u8> {
        let start = [SIGNATURE, &chunk(b"IHDR", &[0; 13])].concat();
        [start, chunks.concat(), chunk(b"IEND", b"")].concat()
    }

    #[test]
    fn compressed_texts_are_members_and_the_rest_is_searched_as_it_is() {
        let text = |n: u8| format!("a text that repeats, repeats, repeats: {n}");
        let image = png(&[
            chunk(b"tEXt", &[b"Comment\0", text(1).as_bytes()].concat()),
            chunk(b"zTXt", &[b"Title\0\0", &zlib(&text(2))[..]].concat()),
            chunk(
                b"iTXt",
                &[b"XML\0\x01\0en\0Titel\0", &zlib(&text(3))[..]].concat(),
            ),
            chunk(b"iTXt", &[b"Plain\0\0\0\0\0", text(4).as_bytes()].concat()),
        ]);
        let notes = testing::unpack("a.png", &[&image[..], b"behind"].concat());
        assert_eq!(
            notes.contents(),
            [
                ("text Title".to_owned(), text(2).into_bytes()),
                ("text XML".to_owned(), text(3).into_bytes())
            ]
        );
        assert!(notes.unread().is_empty());
        let raw = |needle: &str| {
            notes.0.iter().any(|(_, got)| {
                matches!(got, Got::Raw(_, b) if memchr::memmem::find(b, needle.as_bytes()).is_some())
            })
        };
        assert!(raw(&text(1)) && raw(&text(4)) && raw("behind"));
    }

    #[test]
    fn damage_is_named() {
        let good = png(&[chunk(
            b"zTXt",
            &[b"Title\0\0", &zlib("text, text, text")[..]].concat(),
        )]);
        let cut = &good[..good.len() - 25];
        assert!(!testing::unpack("", cut).unread().is_empty());
        let noise = png(&[chunk(b"zTXt", b"Title\0\0no deflate")]);
        assert_eq!(testing::unpack("", &noise).unread().len(), 1);
        for end in 8..good.len() {
            testing::unpack("", &good[..end]);
        }
    }
}
