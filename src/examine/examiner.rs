//! Blobs with all that is packed in them: recognises containers, and searches what is none at full
//! speed.

use std::fs::File;
use std::io::{self, Read};

use super::inside::{At, Event, Way};
use super::limits::{Job, Metered, Unpacking};
use super::packed::is_packed;
use super::segments::{self, read_at};
use super::slider::{self, Slider};
use super::{Buffers, Found, Seen, slide};
use crate::coverage::Tally;
use crate::matcher::Matcher;
use crate::unpack::{Format, HEAD, ReadAt, Step, TAIL, is_program, recognise, recognise_tail};

/// A first read of so many bytes may have more behind it than fits.
const ASKED_FROM: usize = 64 << 10;

/// Files of this size and more are worth cutting up.
const LARGE: u64 = 8 << 20;

/// As many bytes of a large file's end are looked at, unless it is a program.
const SHORT_TAIL: u64 = 1 << 10;

/// What all examinations of a run have in common.
#[derive(Clone, Copy)]
pub struct Examiner<'a> {
    /// What is looked for.
    pub matcher: &'a Matcher,
    /// How containers are unpacked.
    pub unpacking: &'a Unpacking,
    /// Asked between blocks.
    pub go_on: &'a (dyn Fn() -> bool + Sync),
}

impl Examiner<'_> {
    /// Searches bytes that are all at hand, and what is packed in them. `name` is that of their
    /// file, perhaps empty: some formats have no signature.
    pub fn bytes(&self, name: &[u8], bytes: &[u8], found: &mut dyn FnMut(Found)) -> Seen {
        self.packed(name, bytes, found).unwrap_or_else(|| {
            slider::search_whole(self.matcher, bytes, found);
            Seen::plain(bytes.len() as u64, is_packed(bytes), Ok(()))
        })
    }

    /// The same, if the bytes are a container. `None` if they are none: then nothing was searched.
    pub fn packed(&self, name: &[u8], bytes: &[u8], found: &mut dyn FnMut(Found)) -> Option<Seen> {
        let head = &bytes[..bytes.len().min(HEAD)];
        let format = recognise(head, name).or_else(|| recognise_tail(head, bytes))?;
        let unpack = |at: At<'_, '_>, sink: &mut dyn FnMut(Event)| {
            at.random(format, &bytes, sink);
            Ok(())
        };
        Some(self.container(name, bytes.len() as u64, found, unpack))
    }

    /// Searches a stream in bounded memory, and what is packed in it; what is found is handed on as
    /// soon as it is certain.
    pub fn stream(
        &self,
        name: &[u8],
        mut reader: impl Read,
        buffers: &mut Buffers,
        found: &mut dyn FnMut(Found),
    ) -> Seen {
        let mut slider = Slider::new(self.matcher, buffers);
        let mut result = Ok(());
        // A stream that lines come from must not wait until there are enough to tell a format by.
        while slider.so_far().len() < HEAD && !is_lines(slider.so_far()) && (self.go_on)() {
            match slider.fill(&mut reader) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        let head = &slider.so_far()[..slider.so_far().len().min(HEAD)];
        let format = recognise(head, name);
        if result.is_ok() && (format.is_some() || is_program(head) && !is_lines(head)) {
            let first = slider.so_far().to_vec();
            return self.packed_stream(format, name, first, &mut reader, found);
        }
        if result.is_ok() {
            slider.search(found);
            result = slide(&mut slider, &mut reader, self.go_on, found);
        }
        let packed = slider.is_packed();
        Seen::plain(slider.finish(found), packed, result)
    }

    fn packed_stream(
        &self,
        format: Option<&'static dyn Format>,
        name: &[u8],
        mut first: Vec<u8>,
        reader: &mut dyn Read,
        found: &mut dyn FnMut(Found),
    ) -> Seen {
        let mut read = first.len() as u64;
        let size = read;
        let mut seen = self.container(name, size, found, |at, sink| {
            let mut last = Ok(());
            let mut reader = Watched(reader, &mut last);
            let mut metered = Metered::outermost(&mut reader, at.job);
            at.rest(format, &mut first, &mut metered, None, sink);
            if at.job.goes_on() {
                // What no format wanted counts as well, and shows what can't be read.
                let _ = io::copy(&mut metered, &mut io::sink());
            }
            read += metered.read;
            let fault = metered.fault.take();
            if let (Ok(()), Some(fault)) = (&last, fault) {
                at.fault(fault, sink);
            }
            last
        });
        seen.bytes = read;
        seen
    }

    /// Searches an open file: in one go, or, if it is large and no container, in segments on all
    /// cores. A file that shrank meanwhile is an error, since what it held is gone unread.
    pub fn file(
        &self,
        name: &[u8],
        file: &File,
        buffers: &mut Buffers,
        found: &mut dyn FnMut(Found),
    ) -> Seen {
        let mut slider = Slider::new(self.matcher, buffers);
        let mut reader = file;
        let first = slider.fill(&mut reader);
        let head = &slider.so_far()[..slider.so_far().len().min(HEAD)];
        let mut format = recognise(head, name);
        // Most files are read whole at once, and nobody need ask how large they are.
        let size = match &first {
            Ok(read) if *read >= ASKED_FROM || format.is_some() => match file.metadata() {
                Ok(about) if about.is_file() => about.len(),
                Ok(_) => 0,
                Err(error) => return Seen::plain(0, false, Err(error)),
            },
            _ => 0,
        };
        let opened = Opened { file, size };
        if format.is_none() {
            format = match size {
                0 => recognise_tail(head, slider.so_far()),
                _ => opened.tail(head),
            };
        }
        if let Some(format) = format {
            let first = slider.so_far().to_vec();
            return match size.max(first.len() as u64) {
                // Read whole already, or no file of a known size.
                all if all == first.len() as u64 && size > 0 => self.bytes(name, &first, found),
                _ if size == 0 => self.packed_stream(Some(format), name, first, &mut reader, found),
                _ => self.container(name, size, found, |at, sink| {
                    at.random(format, &opened, sink);
                    opened.check()
                }),
            };
        }
        let mut seen = if size >= LARGE {
            segments::large_file(self.matcher, file, size, self.go_on, found)
        } else {
            let result = match first {
                Ok(0) => Ok(()),
                Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
                _ => {
                    slider.search(found);
                    slide(&mut slider, &mut reader, self.go_on, found)
                }
            };
            let packed = slider.is_packed();
            Seen::plain(slider.finish(found), packed, result)
        };
        if seen.result.is_ok() && seen.bytes < size && (self.go_on)() {
            seen.result = Err(shrank());
        }
        seen
    }

    /// Searches an open file as a container of a format that its place tells, not its bytes.
    pub fn file_as(&self, format: &dyn Format, file: &File, found: &mut dyn FnMut(Found)) -> Seen {
        let size = match file.metadata() {
            Ok(about) => about.len(),
            Err(error) => return Seen::plain(0, false, Err(error)),
        };
        let opened = Opened { file, size };
        self.container(b"", size, found, |at, sink| {
            at.random(format, &opened, sink);
            opened.check()
        })
    }

    /// Unpacks, with its account.
    fn container(
        &self,
        name: &[u8],
        size: u64,
        found: &mut dyn FnMut(Found),
        unpack: impl FnOnce(At<'_, '_>, &mut dyn FnMut(Event)) -> io::Result<()>,
    ) -> Seen {
        let job = Job::new(self.matcher, self.unpacking, self.go_on, size);
        let step = Step::file(name);
        let way = Way::outside(&step);
        let chain = self.unpacking.budget.chain();
        let at = At {
            job: &job,
            way: &way,
            chain: &chain,
        };
        let mut unread = Vec::new();
        let result = unpack(at, &mut |event| match event {
            Event::Found(one) => found(one),
            Event::Unread(one) => unread.push(one),
        });
        Seen {
            bytes: size,
            packed: false,
            members: Tally {
                items: job.members(),
                bytes: job.unpacked(),
            },
            seen_before: job.seen_before(),
            unread,
            result,
        }
    }
}

/// Whether these are the first bytes of text in lines, as far as can be seen.
fn is_lines(bytes: &[u8]) -> bool {
    let is_odd = |byte: &u8| *byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x1b);
    memchr::memchr(b'\n', bytes).is_some() && !bytes.iter().any(is_odd)
}

fn shrank() -> io::Error {
    io::Error::other("it shrank while it was read")
}

/// A file that is read at any place.
struct Opened<'a> {
    file: &'a File,
    size: u64,
}

impl ReadAt for Opened<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, to: &mut [u8], offset: u64) -> io::Result<usize> {
        read_at(self.file, to, offset)
    }
}

impl Opened<'_> {
    /// What its end says of it. One that can't be read is met again by whoever reads it all.
    fn tail(&self, head: &[u8]) -> Option<&'static dyn Format> {
        let most = match is_program(head) {
            true => TAIL as u64,
            false => SHORT_TAIL,
        };
        let most = most.min(self.size);
        let mut tail = vec![0; most as usize];
        let source: &dyn ReadAt = self;
        let read = source.read_full(&mut tail, self.size - most).ok()?;
        recognise_tail(head, &tail[..read])
    }

    /// Whether it is as long as it was.
    fn check(&self) -> io::Result<()> {
        match self.file.metadata()?.len() < self.size {
            true => Err(shrank()),
            false => Ok(()),
        }
    }
}

/// Keeps a stream's own error, which is not its format's.
struct Watched<'a>(&'a mut dyn Read, &'a mut io::Result<()>);

impl Read for Watched<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.0.read(to).inspect_err(|error| {
            if error.kind() != io::ErrorKind::Interrupted {
                *self.1 = Err(io::Error::new(error.kind(), error.to_string()));
            }
        })
    }
}
