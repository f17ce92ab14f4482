//! A container while it is unpacked: takes what its format hands out.

use std::io::Read;
use std::ops::Range;

use rayon::prelude::*;

use super::inside::{At, Sink};
use crate::coverage::Unread;
use crate::finding::Member;
use crate::unpack::{Body, Damage, EachMember, Members, Reservation, Step, Stop};

/// Texts are searched together up to this size: a search of a few bytes costs as much as one of a
/// few hundred.
const TOGETHER: usize = 16 << 10;

pub(super) struct Inside<'a, 'j, 's> {
    at: At<'a, 'j>,
    sink: &'s mut Sink<'s>,
    texts: Texts,
    covered: Vec<Range<u64>>,
    /// Of a stream, what it begins with; `None` if the container can be read at random.
    head: Option<&'a [u8]>,
    /// Whether any member was handed out, other than a content.
    handed: bool,
    /// Whether all that a compressed file holds turned out to be damaged.
    damaged: bool,
}

impl<'a, 'j, 's> Inside<'a, 'j, 's> {
    pub(super) fn new(at: At<'a, 'j>, head: Option<&'a [u8]>, sink: &'s mut Sink<'_>) -> Self {
        Self {
            at,
            head,
            handed: false,
            sink,
            texts: Texts::default(),
            covered: Vec::new(),
            damaged: false,
        }
    }

    /// Searches what is left.
    pub(super) fn finish(&mut self) {
        self.flush();
    }

    /// Whether it may be no container at all: its content was damaged, or it could not be read
    /// on before any member. Then its bytes are to be searched as they are.
    pub(super) fn is_doubtful(&self, failed: bool) -> bool {
        self.damaged || failed && !self.handed
    }

    /// The first byte that was searched as it is, or noted as covered.
    pub(super) fn first_gap(&self) -> usize {
        let first = self.covered.iter().map(|range| range.start).min();
        first.map_or(usize::MAX, |at| usize::try_from(at).unwrap_or(usize::MAX))
    }

    /// What was not covered of so many bytes.
    pub(super) fn gaps(&mut self, size: u64) -> Vec<Range<u64>> {
        let mut gaps = Vec::new();
        let mut at = 0;
        self.covered.sort_unstable_by_key(|range| range.start);
        for range in self.covered.drain(..) {
            if range.start.min(size) > at {
                gaps.push(at..range.start.min(size));
            }
            at = at.max(range.end);
        }
        if at < size {
            gaps.push(at..size);
        }
        gaps
    }

    fn name(&mut self, step: &Step<'_>) {
        if !step.name.is_empty() {
            self.texts.add(step, true, &step.name);
            self.flush_if_many();
        }
    }

    fn flush_if_many(&mut self) {
        if self.texts.bytes.len() >= TOGETHER {
            self.flush();
        }
    }

    /// Searches texts; again one by one, if there is a key in any of them.
    fn flush(&mut self) {
        let texts = std::mem::take(&mut self.texts);
        let matcher = self.at.job.matcher;
        if !texts.bytes.is_empty() && !matcher.search_all(&texts.bytes).is_empty() {
            for text in &texts.each {
                let bytes = &texts.bytes[text.range.clone()];
                let name = text
                    .name
                    .clone()
                    .map_or(&b""[..], |name| &texts.bytes[name]);
                let step = Step::named(text.kind, name);
                let way = self.at.way.step(&step);
                let inner = Step::part(Member::NAME);
                let in_name = way.step(&inner);
                let way = if text.is_name { &in_name } else { &way };
                At { way, ..self.at }.search(bytes, &mut *self.sink);
            }
        }
        self.texts = texts;
        self.texts.clear();
    }

    /// Runs `then` at a member.
    fn step(&mut self, step: &Step<'_>, then: impl FnOnce(At<'_, 'j>, &mut Sink<'_>)) {
        let way = self.at.way.step(step);
        then(
            At {
                way: &way,
                ..self.at
            },
            self.sink,
        );
    }

    fn stop(&self) -> Result<(), Stop> {
        match self.at.job.goes_on() {
            true => Ok(()),
            false => Err(Stop),
        }
    }
}

impl Members for Inside<'_, '_, '_> {
    fn member(&mut self, step: Step<'_>, body: Body<'_>) -> Result<(), Stop> {
        self.stop()?;
        self.name(&step);
        let most = self.at.job.limits().member_size;
        let size = match &body {
            Body::Bytes(bytes) if bytes.len() as u64 <= most => bytes.len() as u64,
            // Counted as they come, up to the limit.
            Body::Bytes(_) | Body::Stream(..) => 0,
        };
        let is_content = step.is_content;
        let counted = self.at.job.count(u64::from(!is_content), size);
        let mut damaged = false;
        self.step(&step, |at, sink| match (counted, body) {
            (Err(fault), _) => at.fault(fault, sink),
            (Ok(()), Body::Bytes(mut bytes)) => match bytes.len() as u64 > most {
                true => damaged = at.stream(&mut bytes, None, sink),
                false => at.bytes(bytes, sink),
            },
            (Ok(()), Body::Stream(reader, size)) => damaged = at.stream(reader, size, sink),
        });
        self.damaged |= damaged && is_content;
        self.handed |= !is_content;
        self.stop()
    }

    fn unread(&mut self, step: Step<'_>, why: Unread) {
        self.name(&step);
        self.step(&step, |at, sink| at.unread(why, sink));
    }

    fn text(&mut self, step: Step<'_>, bytes: &[u8]) {
        self.texts.add(&step, false, bytes);
        self.flush_if_many();
    }

    fn raw(&mut self, offset: u64, bytes: &mut dyn Read) -> Result<(), Stop> {
        let (start, end) = match self.head {
            // All of it is going to be searched.
            None if self.damaged => return self.stop(),
            // Together with what it begins with: a key may stand across.
            Some(head) if self.damaged && offset <= head.len() as u64 => {
                let mut all = head[..offset as usize].chain(bytes);
                (0, self.at.raw(0, &mut all, self.sink))
            }
            _ => (offset, self.at.raw(offset, bytes, self.sink)),
        };
        self.covered.push(start..end);
        self.stop()
    }

    fn covers(&mut self, range: Range<u64>) {
        match self.covered.last_mut() {
            // Most formats note one piece after another.
            Some(last) if last.end == range.start => last.end = range.end,
            _ => self.covered.push(range),
        }
    }

    fn reserve(&mut self, bytes: u64) -> Option<Reservation> {
        self.at.chain.reserve(bytes)
    }

    fn seen(&mut self, identity: [u8; 32], bytes: u64) -> bool {
        self.at.job.seen(identity, bytes)
    }

    fn each(&mut self, count: usize, one: &EachMember<'_>) -> Result<(), Damage> {
        if count < 2 || rayon::current_num_threads() < 2 || self.at.chain.has_lane() {
            return (0..count).try_for_each(|number| one(number, self));
        }
        let (at, self_head) = (self.at, self.head);
        let done: Vec<_> = (0..count)
            .into_par_iter()
            .map(|number| {
                let chain = at.chain.branch();
                let at = At {
                    chain: &chain,
                    ..at
                };
                let mut events = Vec::new();
                let mut note = |event| events.push(event);
                let mut inside = Inside::new(at, self_head, &mut note);
                let result = inside.stop().map_err(Damage::from);
                let result = result.and_then(|()| one(number, &mut inside));
                inside.finish();
                let covered = std::mem::take(&mut inside.covered);
                (result, events, covered)
            })
            .collect();
        let mut first = Ok(());
        for (result, events, covered) in done {
            events.into_iter().for_each(&mut *self.sink);
            self.covered.extend(covered);
            first = first.and(result);
        }
        first
    }
}

/// Names and other short texts, one behind the other. No key goes on over a NUL.
#[derive(Default)]
struct Texts {
    bytes: Vec<u8>,
    each: Vec<Short>,
}

struct Short {
    kind: &'static str,
    /// The step's name among the bytes, if it has one.
    name: Option<Range<usize>>,
    is_name: bool,
    range: Range<usize>,
}

impl Texts {
    fn add(&mut self, step: &Step<'_>, is_name: bool, text: &[u8]) {
        let mut push = |bytes: &[u8]| {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(bytes);
            self.bytes.push(0);
            start..start + bytes.len()
        };
        let range = push(text);
        let name = match (is_name, step.name.is_empty()) {
            (true, _) => Some(range.clone()),
            (false, true) => None,
            (false, false) => Some(push(&step.name)),
        };
        self.each.push(Short {
            kind: step.kind,
            name,
            is_name,
            range,
        });
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.each.clear();
    }
}
