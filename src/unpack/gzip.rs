//! gzip (RFC 1952): members that follow each other are one content; what follows the last one is
//! handed out as it is.

use std::io::{self, BufRead, BufReader, Read};

use super::codec::broken;
use super::inflate::{self, Inflate};
use super::{Body, Damage, Format, Input, Members, ReadAt, Reservation, Step};

pub(super) struct Gzip;

impl Format for Gzip {
    fn name(&self) -> &'static str {
        "gzip"
    }

    fn recognises(&self, head: &[u8], _name: &[u8]) -> bool {
        // Method 8 is the only one; the three highest flags are reserved.
        matches!(head, [0x1f, 0x8b, 8, flags, ..] if flags & 0xe0 == 0)
    }

    fn unpack(&self, input: Input<'_>, out: &mut dyn Members) -> Result<(), Damage> {
        if let Input::Random(source) = input
            && let Some(whole) = Whole::read(source, out)
        {
            out.member(Step::content(self.name()), Body::Bytes(&whole.content))?;
            whole.texts.hand_out(out);
            return Ok(());
        }
        let mut content = Content::new(BufReader::with_capacity(64 << 10, input.into_reader()));
        let done = out.member(Step::content(self.name()), Body::Stream(&mut content, None));
        let read = content.taken();
        let Content { inflate, texts, .. } = content;
        texts.hand_out(out);
        done?;
        let mut from = inflate.from;
        out.raw(read, &mut from)?;
        Ok(())
    }
}

/// What a file name or comment may have: more is no name.
const LONGEST_TEXT: usize = 64 << 10;

/// So many members tell their names; later ones are read, but their names are not kept.
const MOST_TEXTS: usize = 1024;

/// The content of all members.
struct Content<R> {
    inflate: Inflate<R>,
    state: State,
    sum: libdeflater::Crc,
    length: u32,
    /// Bytes of headers and trailers, and of the members before this one.
    read: u64,
    texts: Texts,
}

/// Names, comments and extra fields.
#[derive(Default)]
struct Texts(Vec<(&'static str, Vec<u8>)>);

impl Texts {
    fn keep(&mut self, kind: &'static str, text: Vec<u8>) {
        if !text.is_empty() && self.0.len() < MOST_TEXTS {
            self.0.push((kind, text));
        }
    }

    fn hand_out(self, out: &mut dyn Members) {
        for (kind, text) in self.0 {
            out.text(Step::part(kind), &text);
        }
    }
}

/// A file of one member with nothing behind it, decompressed at once: what most are.
struct Whole {
    content: Vec<u8>,
    texts: Texts,
    _memory: Option<Reservation>,
}

impl Whole {
    /// `None` if it may be more than that, or damaged, or has no room: then it is read as a stream,
    /// which tells.
    fn read(source: &dyn ReadAt, out: &mut dyn Members) -> Option<Self> {
        let mut trailer = [0; 8];
        let end = source.size().checked_sub(trailer.len() as u64)?;
        source.read_full(&mut trailer, end).ok()?;
        let size = u32::from_le_bytes(trailer[4..].try_into().ok()?);
        let (size, packed) = (u64::from(size), source.size());
        let memory = inflate::room(size, packed, out)?;
        let mut read = Vec::new();
        let packed = match source.bytes() {
            Some(bytes) => bytes,
            None => {
                read.resize(packed as usize, 0);
                let count = source.read_full(&mut read, 0).ok()?;
                &read[..count]
            }
        };
        let mut header = Content::new(packed);
        header.header(true).ok()?;
        let mut content = vec![0; size as usize];
        let mut inflate = libdeflater::Decompressor::new();
        let made = inflate.gzip_decompress(packed, &mut content).ok()?;
        // The member ends where these stand first, and libdeflate compared them there.
        trailer[..4].copy_from_slice(&libdeflater::crc32(&content).to_le_bytes());
        let first = memchr::memmem::find(packed, &trailer)? as u64;
        (made == content.len() && first == end).then(|| Self {
            content,
            texts: header.texts,
            _memory: memory,
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before a member; whether it is the first.
    Between(bool),
    Inside,
    Done,
}

impl<R: BufRead> Content<R> {
    fn new(from: R) -> Self {
        Self {
            inflate: Inflate::new(from),
            state: State::Between(true),
            sum: libdeflater::Crc::new(),
            length: 0,
            read: 0,
            texts: Texts::default(),
        }
    }

    /// How much was taken of it all.
    fn taken(&self) -> u64 {
        match self.state {
            State::Inside => self.read + self.inflate.taken(),
            _ => self.read,
        }
    }

    /// Reads a member's header. `false` if none begins here.
    fn header(&mut self, first: bool) -> io::Result<bool> {
        if !first {
            // Two bytes decide, and must not be taken if they are something else's.
            let next = self.inflate.from.fill_buf()?;
            if !matches!(next, [0x1f] | [0x1f, 0x8b, ..]) {
                return Ok(false);
            }
        }
        let mut fixed = [0; 10];
        self.take(&mut fixed)?;
        let [0x1f, 0x8b, 8, flags, ..] = fixed else {
            return Err(broken("a member's header is none"));
        };
        if flags & 4 != 0 {
            let mut length = [0; 2];
            self.take(&mut length)?;
            let mut extra = vec![0; u16::from_le_bytes(length).into()];
            self.take(&mut extra)?;
            self.texts.keep("extra field", extra);
        }
        for (flag, kind) in [(8, "name"), (16, "comment")] {
            if flags & flag != 0 {
                let text = self.take_text()?;
                self.texts.keep(kind, text);
            }
        }
        if flags & 2 != 0 {
            self.take(&mut [0; 2])?;
        }
        self.inflate.again();
        self.sum = libdeflater::Crc::new();
        self.length = 0;
        Ok(true)
    }

    fn take(&mut self, to: &mut [u8]) -> io::Result<()> {
        self.inflate.from.read_exact(to)?;
        self.read += to.len() as u64;
        Ok(())
    }

    fn take_text(&mut self) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        let read = (&mut self.inflate.from)
            .take(LONGEST_TEXT as u64)
            .read_until(0, &mut text)?;
        self.read += read as u64;
        match text.pop() {
            Some(0) => Ok(text),
            Some(_) if read == LONGEST_TEXT => Err(broken("a name without an end")),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn trailer(&mut self) -> io::Result<()> {
        let mut trailer = [0; 8];
        self.take(&mut trailer)?;
        let mut expected = [0; 8];
        expected[..4].copy_from_slice(&self.sum.sum().to_le_bytes());
        expected[4..].copy_from_slice(&self.length.to_le_bytes());
        match trailer == expected {
            true => Ok(()),
            false => Err(broken("its checksum or length is wrong")),
        }
    }
}

impl<R: BufRead> Read for Content<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.state {
                State::Done => return Ok(0),
                State::Between(first) => {
                    self.state = match self.header(first)? {
                        true => State::Inside,
                        false => State::Done,
                    };
                }
                State::Inside => {
                    let made = self.inflate.read(to)?;
                    self.sum.update(&to[..made]);
                    self.length = self.length.wrapping_add(made as u32);
                    if made > 0 || to.is_empty() {
                        return Ok(made);
                    }
                    self.read += self.inflate.taken();
                    self.state = State::Done;
                    self.trailer()?;
                    self.state = State::Between(false);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unpack::testing::{Got, gzip, tar, tar_entry, unpack, unpack_stream};

    #[test]
    fn a_compressed_tar_is_unpacked_from_bytes_and_from_streams() {
        let packed = gzip(&tar(&[
            ("etc/app.conf", b"one\ntwo"),
            ("../../x", b"three"),
        ]));
        let expected = [
            ("gzip!etc/app.conf".to_owned(), b"one\ntwo".to_vec()),
            ("gzip!../../x".to_owned(), b"three".to_vec()),
        ];
        assert_eq!(unpack("", &packed).contents(), expected);
        for piece in [1, 7, 511, 65_536] {
            let notes = unpack_stream("", &packed, piece);
            assert_eq!(notes.contents(), expected);
            assert_eq!(notes.unread(), []);
        }
    }

    #[test]
    fn members_follow_each_other_and_what_follows_them_is_text() {
        let packed = [gzip(b"one "), gzip(b"two"), b"behind".to_vec()].concat();
        let notes = unpack("a.gz", &packed);
        assert_eq!(notes.contents(), [("gzip".to_owned(), b"one two".to_vec())]);
        let at = packed.len() as u64 - 6;
        assert!(
            notes
                .0
                .contains(&(vec![], Got::Raw(at, b"behind".to_vec())))
        );
    }

    #[test]
    fn damage_is_told_and_what_came_before_it_is_read() {
        let text = b"some text that is long enough to be cut ".repeat(50);
        let packed = gzip(&text);
        for end in 1..packed.len() {
            if !Gzip.recognises(&packed[..end], b"") {
                continue;
            }
            let notes = unpack_stream("", &packed[..end], 100);
            assert_eq!(notes.unread().len(), 1, "{end}");
            let Some((_, Got::Member(read, _))) = notes.0.first() else {
                panic!("{notes:?}");
            };
            assert!(text.starts_with(read));
        }
        let mut wrong = packed.clone();
        let sum = wrong.len() - 8;
        wrong[sum] ^= 1;
        let notes = unpack("", &wrong);
        assert!(notes.hold("some text") && notes.unread().len() == 1);
    }

    #[test]
    fn a_tar_goes_on_behind_a_wrong_checksum() {
        let mut wrong = tar_entry(b"a", b'0', b"lost text");
        wrong[0] = b'b';
        let packed = [wrong, tar(&[("c", b"kept")])].concat();
        // The first header has to be right for it to be a tar at all.
        let packed = [tar_entry(b"first", b'0', b"1"), packed].concat();
        let notes = unpack("", &packed);
        assert_eq!(notes.contents().len(), 2);
        assert!(notes.hold("lost text") && notes.hold("kept"));
        assert_eq!(
            notes.unread(),
            [(
                "header 1024".to_owned(),
                "it is damaged: its checksum is wrong".to_owned()
            )]
        );
    }

    #[test]
    fn what_stands_behind_is_read_whatever_its_last_bytes_say() {
        // A file of one member says its size in its last bytes, and so may what follows it.
        let one = gzip(b"some content");
        let trailer = &one[one.len() - 8..];
        for behind in [trailer.to_vec(), [b"behind", trailer].concat(), one.clone()] {
            let packed = [&one[..], &behind].concat();
            let notes = unpack("a.gz", &packed);
            let streamed = unpack_stream("a.gz", &packed, 7);
            assert_eq!(notes.contents(), streamed.contents());
            assert_eq!(notes.0, streamed.0);
            assert_eq!(notes.hold("behind"), behind.starts_with(b"behind"));
        }
    }
}
