//! What is in a container: each member is searched, and unpacked if it is a container itself.

use std::io::Read;

use super::container::Inside;
use super::limits::{Fault, Job, Metered, in_words};
use super::slider::{self, Slider};
use super::{Found, held, slide};
use crate::coverage::{Limit, Unread};
use crate::finding::Member;
use crate::unpack::{
    Access, Chain, Damage, Format, HEAD, Input, ReadAt, Step, is_program, recognise, recognise_tail,
};

/// A member that could not be read, or not to its end.
#[derive(Clone, Debug)]
pub struct UnreadMember {
    /// The way to it; empty: the outermost blob itself.
    pub members: Vec<Member>,
    /// Why.
    pub why: Unread,
}

/// What is told of a container.
pub(super) enum Event {
    Found(Found),
    Unread(UnreadMember),
}

pub(super) type Sink<'a> = dyn FnMut(Event) + 'a;

/// The way into a container, from the inside.
pub(super) struct Way<'a> {
    parent: Option<&'a Way<'a>>,
    step: &'a Step<'a>,
    /// Containers in each other.
    depth: u64,
}

impl<'a> Way<'a> {
    /// At the outermost blob, whose name is the step's.
    pub(super) fn outside(step: &'a Step<'a>) -> Self {
        Self {
            parent: None,
            step,
            depth: 0,
        }
    }

    /// One step further in.
    pub(super) fn step(&'a self, step: &'a Step<'a>) -> Self {
        Self {
            parent: Some(self),
            step,
            depth: self.depth + 1,
        }
    }

    /// The name that a format may go by: of a compressed file's content, the file's without its
    /// last extension.
    fn name(&self) -> &[u8] {
        match self.parent {
            Some(parent) if self.step.is_content => {
                let name = parent.name();
                &name[..memchr::memrchr(b'.', name).unwrap_or(0)]
            }
            _ => &self.step.name,
        }
    }

    fn members(&self, job: &Job<'_>) -> Vec<Member> {
        let Some(parent) = self.parent else {
            return Vec::new();
        };
        let mut members = parent.members(job);
        members.push(Member {
            kind: self.step.kind,
            name: job.matcher.redact(&self.step.name),
            is_content: self.step.is_content,
        });
        members
    }
}

/// A place in the tree of containers, and what is shared there.
#[derive(Clone, Copy)]
pub(super) struct At<'a, 'j> {
    pub(super) job: &'a Job<'j>,
    pub(super) way: &'a Way<'a>,
    pub(super) chain: &'a Chain,
}

impl At<'_, '_> {
    pub(super) fn unread(&self, why: Unread, sink: &mut Sink<'_>) {
        sink(Event::Unread(UnreadMember {
            members: self.way.members(self.job),
            why: why.redacted(|text| self.job.matcher.redact(text)),
        }));
    }

    pub(super) fn fault(&self, fault: Fault, sink: &mut Sink<'_>) {
        if let Fault::Untold(why) = fault {
            self.unread(why, sink);
        }
    }

    /// The format of a blob here. One that lies too deep is told of, and taken for none.
    fn recognise(
        &self,
        head: &[u8],
        whole: bool,
        sink: &mut Sink<'_>,
    ) -> Option<&'static dyn Format> {
        let start = &head[..head.len().min(HEAD)];
        let name = self.way.name();
        let format = recognise(start, name);
        let format = format.or_else(|| recognise_tail(start, head).filter(|_| whole))?;
        if !self.job.is_too_deep(self.way.depth) {
            return Some(format);
        }
        self.unread(Unread::Over(Limit::Depth), sink);
        None
    }

    /// A blob that is all at hand.
    pub(super) fn bytes(&self, bytes: &[u8], sink: &mut Sink<'_>) {
        // The content of a compressed file is told as if it had come as a stream.
        let whole = !self.way.step.is_content || bytes.len() < held::FIRST || is_program(bytes);
        match self.recognise(bytes, whole, sink) {
            Some(format) => self.random(format, &bytes, sink),
            None => self.search(bytes, sink),
        }
    }

    pub(super) fn search(&self, bytes: &[u8], sink: &mut Sink<'_>) {
        slider::search_whole(self.job.matcher, bytes, &mut |found| {
            self.found(found, 0, sink);
        });
    }

    fn found(&self, mut found: Found, base: u64, sink: &mut Sink<'_>) {
        found.members = self.way.members(self.job);
        found.offset += base;
        sink(Event::Found(found));
    }

    /// A blob that is a stream.
    pub(super) fn stream(
        &self,
        inner: &mut dyn Read,
        declared: Option<u64>,
        sink: &mut Sink<'_>,
    ) -> bool {
        let mut metered = Metered::new(inner, self.job);
        let mut first = self.job.scratch.first();
        let ended = held::fill(&mut metered, &mut first, held::FIRST);
        match ended {
            // What came before an error is a whole, too: there won't be more.
            Err(_) => self.search(&first, sink),
            Ok(true) => self.bytes(&first, sink),
            Ok(false) => {
                let format = self.recognise(&first, false, sink);
                self.rest(format, &mut first, &mut metered, declared, sink);
            }
        }
        self.job.scratch.give_first(first);
        let damaged = matches!(metered.fault, Some(Fault::Untold(Unread::Damaged(_))));
        if let Some(fault) = metered.fault.take() {
            self.fault(fault, sink);
        }
        damaged
    }

    /// A stream of which `first` has been read, and which goes on.
    pub(super) fn rest(
        &self,
        format: Option<&'static dyn Format>,
        first: &mut Vec<u8>,
        metered: &mut Metered<'_, '_>,
        declared: Option<u64>,
        sink: &mut Sink<'_>,
    ) {
        let random = match format {
            Some(format) => format.access() == Access::Random,
            None => is_program(first),
        };
        if !random || self.job.is_too_deep(self.way.depth) {
            return self.streamed(format, first, metered, sink);
        }
        // Not to be used again: it grows.
        let mut bytes = std::mem::take(first);
        let (whole, memory) = held::hold(&mut bytes, metered, declared, self.chain);
        match format {
            _ if !whole => self.streamed(format, &bytes, metered, sink),
            Some(format) => self.random(format, &&bytes[..], sink),
            None => self.bytes(&bytes, sink),
        }
        drop((bytes, memory));
    }

    fn streamed(
        &self,
        format: Option<&'static dyn Format>,
        first: &[u8],
        metered: &mut Metered<'_, '_>,
        sink: &mut Sink<'_>,
    ) {
        if format.is_some() && self.job.is_too_deep(self.way.depth) {
            self.unread(Unread::Over(Limit::Depth), sink);
        }
        let Some(format) = format.filter(|_| !self.job.is_too_deep(self.way.depth)) else {
            self.raw(0, &mut first.chain(metered), sink);
            return;
        };
        let mut inside = Inside::new(*self, Some(first), sink);
        let mut stream = first.chain(&mut *metered);
        let result = format.unpack(Input::Stream(&mut stream), &mut inside);
        inside.finish();
        let covered = inside.first_gap();
        let doubtful = inside.is_doubtful(result.is_err());
        let faulty = metered.fault.is_some();
        self.result(result, faulty, sink);
        if doubtful {
            // Perhaps it was none: then what it began with is text like any other.
            self.raw(0, &mut &first[..first.len().min(covered)], sink);
        }
    }

    /// A container that can be read at random.
    pub(super) fn random(&self, format: &dyn Format, source: &dyn ReadAt, sink: &mut Sink<'_>) {
        if self.job.is_too_deep(self.way.depth) {
            self.unread(Unread::Over(Limit::Depth), sink);
            self.raw(0, &mut source.section(0..source.size()), sink);
            return;
        }
        let mut inside = Inside::new(*self, None, sink);
        let result = format.unpack(Input::Random(source), &mut inside);
        inside.finish();
        let gaps = inside.gaps(source.size());
        let doubtful = inside.is_doubtful(result.is_err());
        self.result(result, false, sink);
        if format.access() == Access::Random || doubtful {
            for gap in gaps {
                self.raw(gap.start, &mut source.section(gap), sink);
            }
        }
    }

    /// Tells why a container could not be read on.
    fn result(&self, result: Result<(), Damage>, faulty: bool, sink: &mut Sink<'_>) {
        let why = match result {
            Ok(()) | Err(Damage::Stopped(_)) => return,
            // The stream around it is to blame, and that is told there.
            Err(_) if faulty => return,
            Err(Damage::TooLarge) => Unread::Over(Limit::Memory),
            Err(Damage::Broken(how)) => Unread::Damaged(how),
            Err(Damage::Input(error)) => Unread::Damaged(in_words(&error)),
        };
        self.unread(why, sink);
    }

    /// Bytes that are searched as they are, from `offset` on; returns where they end.
    pub(super) fn raw(&self, offset: u64, bytes: &mut dyn Read, sink: &mut Sink<'_>) -> u64 {
        let mut buffers = self.job.buffers();
        let mut slider = Slider::new(self.job.matcher, &mut buffers);
        let mut found = |found| self.found(found, offset, sink);
        let go_on = || self.job.goes_on();
        // An error ends the stream; whoever gave it out knows of it.
        let _ = slide(&mut slider, bytes, &go_on, &mut found);
        let end = offset + slider.finish(&mut found);
        self.job.scratch.give_buffers(buffers);
        end
    }
}
