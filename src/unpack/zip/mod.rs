//! zip, and all that is zips: jar, war, whl, egg, apk, ipa, nupkg, vsix, crx, xpi, office documents.
//!
//! The directory at the end says where members are. What it doesn't mention is walked by the headers
//! that stand before each member: a directory that is cut off, a second one, members that were left
//! behind. What is no member either is searched as it is.

mod content;
mod directory;
mod header;
#[cfg(test)]
mod tests;
mod walk;

use std::io;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use self::content::Content;
use self::header::{Entry, LOCAL, u16_at};
use super::part::Checked;
use super::{Access, Body, Damage, Format, Input, Members, ReadAt, Section, Step, Window, inflate};
use crate::coverage::Unread;

pub(super) struct Zip;

impl Format for Zip {
    fn name(&self) -> &'static str {
        "zip"
    }

    fn access(&self) -> Access {
        Access::Random
    }

    fn recognises(&self, head: &[u8], _name: &[u8]) -> bool {
        // An empty one is only its end; one in several parts begins with a mark of its own.
        header::local(head).is_some()
            || head.starts_with(b"PK\x05\x06")
            || head.starts_with(b"PK\x07\x08PK\x03\x04")
            || head.starts_with(b"PK00PK\x03\x04")
    }

    fn recognises_tail(&self, _head: &[u8], tail: &[u8]) -> bool {
        // Without a comment it is quickly told; with one, there has to be a directory in the tail.
        let last = tail.len().checked_sub(22);
        last.is_some_and(|last| tail[last..].starts_with(b"PK\x05\x06"))
            || memchr::memmem::find(tail, b"PK\x01\x02").is_some()
                && directory::ends(tail).next().is_some()
    }

    fn unpack(&self, input: Input<'_>, out: &mut dyn Members) -> Result<(), Damage> {
        let source = match input {
            Input::Random(source) => source,
            Input::Stream(reader) => {
                let mut window = Window::new(super::input::Reader::Stream(reader));
                return walk::walk(&mut window, 0, out);
            }
        };
        let mut memory = None;
        let directory = directory::read(source, &mut |bytes| {
            memory = out.reserve(bytes);
            memory.is_some()
        })?;
        let directory = directory.unwrap_or_default();
        if !directory.comment.is_empty() {
            out.text(Step::part("comment"), &directory.comment);
        }
        if directory.cut {
            out.unread(
                Step::part("directory"),
                Unread::Damaged("it lists fewer members than it says".to_owned()),
            );
        }
        let entries = &directory.entries;
        let scratch = Mutex::new(Vec::new());
        let covered = Mutex::new(Vec::with_capacity(entries.len()));
        out.each(entries.len(), &|number, out| {
            let mut mine = pop(&scratch).unwrap_or_default();
            let member = Member {
                source,
                entry: &entries[number],
            };
            let result = member.unpack(&mut mine, out);
            push(&scratch, mine);
            push(&covered, result?);
            Ok(())
        })?;
        drop(memory);
        let mut covered = covered.into_inner().unwrap_or_else(PoisonError::into_inner);
        covered.push(directory.range);
        // What the walk meets in between is searched by it.
        out.covers(0..source.size());
        for gap in gaps(covered, source.size()) {
            let start = gap.start;
            let section = super::input::Reader::Section(source.section(gap));
            walk::walk(&mut Window::new(section), start, out)?;
        }
        Ok(())
    }
}

fn pop<T>(pool: &Mutex<Vec<T>>) -> Option<T> {
    pool.lock().unwrap_or_else(PoisonError::into_inner).pop()
}

fn push<T>(pool: &Mutex<Vec<T>>, one: T) {
    pool.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(one);
}

/// What is left of so many bytes.
fn gaps(mut covered: Vec<Range<u64>>, size: u64) -> Vec<Range<u64>> {
    covered.sort_unstable_by_key(|range| range.start);
    let mut gaps = Vec::new();
    let mut at = 0;
    for range in covered {
        if range.start > at {
            gaps.push(at..range.start.min(size));
        }
        at = at.max(range.end);
    }
    if at < size {
        gaps.push(at..size);
    }
    gaps
}

/// Memory that one member after another uses.
#[derive(Default)]
struct Scratch {
    inflate: Option<libdeflater::Decompressor>,
    packed: Vec<u8>,
    unpacked: Vec<u8>,
}

/// No key is shorter: shorter texts need not be looked at.
const SHORTEST_TEXT: usize = 16;

/// A member that the directory lists.
struct Member<'a> {
    source: &'a dyn ReadAt,
    entry: &'a Entry,
}

impl Member<'_> {
    fn step(&self) -> Step<'static> {
        Step::file(self.entry.utf8_name())
    }

    /// Hands it out, and says where it stands.
    fn unpack(&self, scratch: &mut Scratch, out: &mut dyn Members) -> Result<Range<u64>, Damage> {
        let entry = self.entry;
        texts(entry, out);
        let mut local = [0; LOCAL];
        let read = self.source.read_full(&mut local, entry.at)?;
        let range = match read == LOCAL && local.starts_with(b"PK\x03\x04") {
            true => {
                let behind = u64::from(u16_at(&local, 26)) + u64::from(u16_at(&local, 28));
                let start = (entry.at + LOCAL as u64 + behind).min(self.source.size());
                start..start.saturating_add(entry.packed)
            }
            false => {
                let why = "the directory points to no member".to_owned();
                out.unread(self.step(), Unread::Damaged(why));
                return Ok(entry.at..entry.at);
            }
        };
        let end = range.end.min(self.source.size());
        let whole = entry.at..end;
        if entry.is_directory() {
            out.text(Step::part("name"), &entry.name);
        } else if entry.is_encrypted() {
            out.unread(self.step(), Unread::Encrypted);
        } else if end < range.end {
            let why = "the archive ends in the middle of it".to_owned();
            self.streamed(range.start..end, out)?;
            out.unread(self.step(), Unread::Damaged(why));
        } else {
            self.content(range, scratch, out)?;
        }
        Ok(whole)
    }

    fn content(
        &self,
        range: Range<u64>,
        scratch: &mut Scratch,
        out: &mut dyn Members,
    ) -> Result<(), Damage> {
        let entry = self.entry;
        let held = self.source.bytes().map(|bytes| {
            let (from, to) = (range.start as usize, range.end as usize);
            &bytes[from..to.max(from)]
        });
        if entry.method == 0
            && let Some(bytes) = held
        {
            out.member(self.step(), Body::Bytes(bytes))?;
            return self.compare(bytes, out);
        }
        let room = match entry.method {
            8 => inflate::room(entry.size, entry.packed, out),
            _ => None,
        };
        let Some(memory) = room else {
            return self.streamed(range, out);
        };
        let packed = match held {
            Some(bytes) => bytes,
            None => {
                scratch.packed.resize(entry.packed as usize, 0);
                let read = self.source.read_full(&mut scratch.packed, range.start)?;
                &scratch.packed[..read]
            }
        };
        let decompressor = scratch
            .inflate
            .get_or_insert_with(libdeflater::Decompressor::new);
        let size = entry.size as usize;
        if scratch.unpacked.len() < size {
            scratch.unpacked.resize(size, 0);
        }
        let made = decompressor.deflate_decompress(packed, &mut scratch.unpacked[..size]);
        if let Ok(made) = made {
            let bytes = &scratch.unpacked[..made];
            out.member(self.step(), Body::Bytes(bytes))?;
            self.compare(bytes, out)?;
        }
        if memory.is_some() {
            // What was reserved is not to be kept.
            scratch.unpacked = Vec::new();
            scratch.packed = Vec::new();
        }
        match made {
            Ok(_) => Ok(()),
            // More than it says, or nonsense: as much of it as there is.
            Err(_) => self.streamed(range, out),
        }
    }

    fn compare(&self, bytes: &[u8], out: &mut dyn Members) -> Result<(), Damage> {
        let mut sum = libdeflater::Crc::new();
        sum.update(bytes);
        if sum.sum() != self.entry.sum {
            let why = "its checksum is wrong".to_owned();
            out.unread(self.step(), Unread::Damaged(why));
        }
        Ok(())
    }

    fn streamed(&self, range: Range<u64>, out: &mut dyn Members) -> Result<(), Damage> {
        let section: Section<'_> = self.source.section(range);
        let mut window = Window::new(super::input::Reader::Section(section));
        let head = first(&mut window)?;
        match Content::open(self.entry, &head, &mut window, out) {
            Ok(content) => {
                let size = self.entry.size;
                let mut content = Checked::new(content, Some(self.entry.sum), Some(size));
                out.member(self.step(), Body::Stream(&mut content, Some(size)))?;
            }
            Err(why) => out.unread(self.step(), why),
        }
        Ok(())
    }
}

/// Hands out a member's comment and extra field.
fn texts(entry: &Entry, out: &mut dyn Members) {
    for (kind, text) in [("comment", &entry.comment), ("extra field", &entry.extra)] {
        if text.len() >= SHORTEST_TEXT {
            out.text(Step::named(kind, &entry.name[..]), text);
        }
    }
}

/// The first bytes of a member.
fn first(window: &mut Window<'_>) -> io::Result<[u8; content::HEAD]> {
    let mut head = [0; content::HEAD];
    let bytes = window.peek(content::HEAD)?;
    let most = bytes.len().min(head.len());
    head[..most].copy_from_slice(&bytes[..most]);
    Ok(head)
}

/// An error of a member's own bytes, in words.
fn in_words(error: &io::Error) -> Unread {
    Unread::Damaged(error.to_string())
}
