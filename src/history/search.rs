//! The search for anchors, version by version: in whole objects, in what deltas insert, across
//! the borders of their segments; elsewhere an anchor and what came of it are carried over from
//! the base.

use std::io::Read;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use super::border::{Border, Borders};
use super::damage::Damage;
use super::ends::Ends;
use super::links::Links;
use super::marks::{Mark, Marks, Results, mark};
use super::version::Version;
use super::walk::Visit;
use crate::coverage::{Limit, Progress, Tally, Unread};
use crate::examine::{Examiner, Seen, Unpacking, UnreadMember, is_packed};
use crate::matcher::{AnchorId, Hit, Matcher, REACH, Text};
use crate::repo::ObjectKind as Kind;
use crate::unpack::{HEAD, IN_TAILS, TAIL, recognise, recognise_tail};

/// How many bytes on either side an examination gets at first. Most need no more.
const FIRST_LOOK: u32 = 160;

/// How much of a version is fetched at once when all of it has to be searched.
const WINDOW: u32 = 1 << 20;

/// Searches a pack's versions.
pub(super) struct Search<'a> {
    matcher: &'a Matcher,
    borders: Borders<'a>,
    progress: &'a Progress,
    stop: &'a AtomicBool,
    unpacking: &'a Unpacking,
    links: Option<&'a Links<'a>>,
}

impl<'a> Search<'a> {
    pub(super) fn new(
        matcher: &'a Matcher,
        unpacking: &'a Unpacking,
        progress: &'a Progress,
        stop: &'a AtomicBool,
    ) -> Self {
        Self {
            matcher,
            progress,
            stop,
            unpacking,
            links: None,
            borders: Borders::new(matcher.anchors()),
        }
    }

    /// Searches what is packed in a blob, if it begins or ends like a container. Whether it is plain,
    /// see [`Marks::plain`].
    fn unpack(&self, results: &mut Results, entry: u32, bytes: &[u8]) -> bool {
        let begins = begins_packed(&bytes[..bytes.len().min(HEAD)]);
        if !begins && memchr::memchr(IN_TAILS, bytes).is_none() {
            return true;
        }
        let go_on = || !self.stop.load(Ordering::Relaxed);
        let mut found = Vec::new();
        let seen = self.examiner(&go_on).packed(b"", bytes, &mut |one| {
            // The rest is found as in any object.
            if !one.members.is_empty() {
                found.push(one.hit);
            }
        });
        match seen {
            Some(seen) => {
                let found = found.into_iter().map(|hit| (0, hit));
                self.unpacked(results, entry, seen, found);
            }
            None if begins => results.packed.add(bytes.len() as u64),
            None => {}
        }
        false
    }

    /// The same of a version. Few have to be rebuilt for it: mostly a version begins like its base,
    /// and nothing is inserted that a container could end with.
    fn unpack_version(
        &self,
        results: &mut Results,
        entry: u32,
        version: Version<'_, Marks>,
    ) -> bool {
        let delta = version.delta;
        let base_is_plain = version.base.marks.plain;
        let lacks_end = base_is_plain && memchr::memchr(IN_TAILS, delta.inserted).is_none();
        let begins_alike = match delta.segments.first() {
            Some(first) => first.copied && first.from == 0 && delta.end(0) >= HEAD as u32,
            None => false,
        };
        let mut begins = false;
        if !(begins_alike && base_is_plain) {
            results.fetched.clear();
            version.fetch(0..delta.length.min(HEAD as u32), &mut results.fetched);
            begins = begins_packed(&results.fetched);
        }
        if !begins && lacks_end {
            return true;
        }
        if !begins {
            let (mut head, mut tail) = (Vec::new(), Vec::new());
            let length = delta.length;
            version.fetch(0..length.min(HEAD as u32), &mut head);
            version.fetch(length.saturating_sub(TAIL as u32)..length, &mut tail);
            if recognise_tail(&head, &tail).is_none() {
                return false;
            }
        }
        let chain = self.unpacking.budget.chain();
        match chain.reserve(delta.length.into()) {
            Some(_memory) => {
                let mut bytes = Vec::with_capacity(delta.length as usize);
                version.fetch(0..delta.length, &mut bytes);
                return self.unpack(results, entry, &bytes);
            }
            None => results.unread.push((
                entry,
                UnreadMember {
                    members: Vec::new(),
                    why: Unread::Over(Limit::Memory),
                },
            )),
        }
        false
    }

    fn unpacked(
        &self,
        results: &mut Results,
        entry: u32,
        seen: Seen,
        found: impl Iterator<Item = (u64, Hit)>,
    ) {
        found.for_each(|(at, hit)| results.found(entry, at, hit));
        results.members.merge(seen.members);
        results.seen_before.merge(seen.seen_before);
        let unread = seen.unread.into_iter().map(|one| (entry, one));
        results.unread.extend(unread);
        if seen.packed {
            results.packed.add(seen.bytes);
        }
    }

    fn examiner<'e>(&'e self, go_on: &'e (dyn Fn() -> bool + Sync)) -> Examiner<'e> {
        Examiner {
            matcher: self.matcher,
            unpacking: self.unpacking,
            go_on,
        }
    }

    /// Has it write down, too, what is named and not held.
    pub(super) fn with_links(mut self, links: &'a Links<'a>) -> Self {
        self.links = Some(links);
        self
    }

    /// The anchors of an object whose bytes are at hand, and what comes of them.
    fn search_whole(&self, bytes: &[u8], results: &mut Results) {
        self.matcher.anchors().each(bytes, |at, id| {
            results.hits.clear();
            let examined = self
                .matcher
                .examine(Text::whole(bytes), at, id, &mut results.hits);
            let mark = mark(at, id, 0, bytes.len(), examined, &mut results.hits);
            results.add(mark);
        });
    }

    /// The anchors of a version without help of its base's.
    fn search_windows(&self, version: Version<'_, Marks>, results: &mut Results) {
        let length = version.delta.length;
        let mut window = Vec::new();
        for start in (0..length).step_by(WINDOW as usize) {
            let end = (start + WINDOW).min(length);
            window.clear();
            version.fetch(start..(end + self.borders.reach()).min(length), &mut window);
            self.matcher.anchors().each(&window, |at, id| {
                let at = start + at as u32;
                if at < end {
                    let mark = self.classify(version, at, id, results);
                    results.add(mark);
                }
            });
        }
    }

    /// The anchors of a version, and what comes of them.
    fn search_delta(&self, version: Version<'_, Marks>, carried: &[Mark], results: &mut Results) {
        let delta = version.delta;
        let inserted = &mut results.inserted;
        inserted.clear();
        let anchors = self.matcher.anchors();
        anchors.each(delta.inserted, |at, id| inserted.push((at, id)));
        let mut crossed = std::mem::take(&mut results.crossed);
        for border in self.borders.crossed(version, &mut crossed) {
            self.cross(version, *border, results);
        }
        results.crossed = crossed;
        self.carry(version, carried, results);
        let mut next = 0;
        let runs = delta.segments.iter().enumerate().filter(|s| !s.1.copied);
        for (number, segment) in runs {
            if next == results.inserted.len() {
                break;
            }
            let last = segment.from as usize + (delta.end(number) - segment.at) as usize;
            while let Some(&(at, id)) = results.inserted.get(next).filter(|(at, _)| *at < last) {
                next += 1;
                if let Some(id) = self.whole_anchor(id, last - at) {
                    let at = segment.at + (at - segment.from as usize) as u32;
                    let mark = self.classify(version, at, id, results);
                    results.add(mark);
                }
            }
        }
    }

    /// The anchor, or what is left of it within `length` bytes.
    fn whole_anchor(&self, id: AnchorId, length: usize) -> Option<AnchorId> {
        if self.matcher.anchors().literal(id).len() <= length {
            return Some(id);
        }
        self.borders.cut(id, length)
    }

    /// Anchors of the base in copied segments.
    fn carry(&self, version: Version<'_, Marks>, carried: &[Mark], results: &mut Results) {
        let (Some(first), Some(last)) = (carried.first(), carried.last()) else {
            return;
        };
        let mut next = 0;
        for (number, segment) in version.delta.segments.iter().enumerate() {
            // Most segments lie before or behind all of them.
            let until = segment.from + (version.delta.end(number) - segment.at);
            if !segment.copied || segment.from > last.at || first.at >= until {
                continue;
            }
            // They mostly go forward in the base.
            if next > 0 && carried[next - 1].at >= segment.from {
                next = carried.partition_point(|mark| mark.at < segment.from);
            }
            let source = segment.from..until;
            while let Some(mark) = carried.get(next).filter(|mark| mark.at < source.end) {
                if mark.at >= source.start {
                    self.carry_one(version, segment.at, &source, mark, results);
                }
                next += 1;
            }
        }
    }

    /// An anchor of the base in `source`, which was copied to `to`.
    fn carry_one(
        &self,
        version: Version<'_, Marks>,
        to: u32,
        source: &Range<u32>,
        mark: &Mark,
        results: &mut Results,
    ) {
        let left = (source.end - mark.at) as usize;
        let Some(anchor) = self.whole_anchor(mark.anchor, left) else {
            return;
        };
        let at = to + (mark.at - source.start);
        let (before, behind) = (u32::from(mark.before), u32::from(mark.behind));
        let same = anchor == mark.anchor
            && mark.at - before >= source.start
            && mark.at + behind <= source.end
            && (!mark.at_start || at == before)
            && (!mark.at_end || at + behind == version.delta.length);
        let mark = if same {
            Mark { at, ..mark.clone() }
        } else {
            self.classify(version, at, anchor, results)
        };
        results.add(mark);
    }

    /// Anchors across a border.
    fn cross(
        &self,
        version: Version<'_, Marks>,
        (number, last, first): Border,
        results: &mut Results,
    ) {
        let (delta, number) = (version.delta, number as usize);
        let cuts = self.borders.crossing(last, first);
        let border = delta.segments[number].at;
        // One more byte of each literal says no to nearly all.
        let (before, behind) = (version.second_before(number), version.second(number));
        for cut in cuts {
            let literal = self.matcher.anchors().literal(cut.anchor);
            let (one, other) = literal.split_at(cut.before);
            let differs = |here: Option<u8>, there: Option<&u8>| matches!((here, there), (Some(here), Some(there)) if here != *there);
            if other[0] != first
                || differs(before, one.iter().nth_back(1))
                || differs(behind, other.get(1))
            {
                continue;
            }
            let end = border + other.len() as u32;
            let Some(at) = border.checked_sub(one.len() as u32) else {
                continue;
            };
            if end > delta.length {
                continue;
            }
            results.fetched.clear();
            version.fetch(at..end, &mut results.fetched);
            if results.fetched == literal {
                let mark = self.classify(version, at, cut.anchor, results);
                results.add(mark);
            }
        }
    }

    /// Looks at what stands around an anchor.
    fn classify(
        &self,
        version: Version<'_, Marks>,
        at: u32,
        id: AnchorId,
        results: &mut Results,
    ) -> Mark {
        let length = version.delta.length;
        let behind = at + self.matcher.anchors().literal(id).len() as u32;
        let mut window = Vec::new();
        let mut look = |around: u32, hits: &mut Vec<Hit>| {
            let start = at.saturating_sub(around);
            let end = (behind + around).min(length);
            window.clear();
            version.fetch(start..end, &mut window);
            let text = Text {
                bytes: &window,
                starts: start == 0,
                ends: end == length,
            };
            hits.clear();
            let examined = self.matcher.examine(text, (at - start) as usize, id, hits);
            (start, examined)
        };
        let hits = &mut results.hits;
        let (mut start, mut examined) = look(FIRST_LOOK, hits);
        // A decoder undoes what it is given, and does not ask for more.
        let used_up = examined.touched.start == 0 && start > 0
            || start + examined.touched.end as u32 == (behind + FIRST_LOOK).min(length)
                && behind + FIRST_LOOK < length;
        if examined.cut_left || examined.cut_right || used_up {
            (start, examined) = look(REACH as u32, hits);
        }
        mark(
            (at - start) as usize,
            id,
            start,
            length as usize,
            examined,
            hits,
        )
    }
}

/// Whether a blob with these first bytes ([`HEAD`] of them, or all) is a container or compressed.
fn begins_packed(head: &[u8]) -> bool {
    recognise(head, b"").is_some() || is_packed(head)
}

impl Visit for Search<'_> {
    type Marks = Marks;
    type Local = Results;

    fn ends(&self) -> &Ends {
        self.borders.ends()
    }

    fn local(&self) -> Results {
        Results::default()
    }

    fn report(&self, results: &mut Results) {
        let Tally { items, bytes } = std::mem::take(&mut results.unreported);
        self.progress.read(items, bytes);
        results.told(|key| self.progress.found(key));
        results.read.items += items;
        results.read.bytes += bytes;
    }

    fn whole(&self, results: &mut Results, entry: u32, kind: Kind, bytes: &[u8]) -> Marks {
        results.begin(bytes.len());
        results.plain = kind != Kind::Blob || self.unpack(results, entry, bytes);
        if let Some(links) = self.links {
            links.whole(kind, bytes, &mut results.outside);
        }
        self.search_whole(bytes, results);
        results.commits += u64::from(kind == Kind::Commit);
        results.end(&self.borders, Some(entry))
    }

    fn streamed(&self, results: &mut Results, entry: u32, reader: &mut dyn Read) -> u64 {
        let mut found = Vec::new();
        let go_on = || !self.stop.load(Ordering::Relaxed);
        let examiner = self.examiner(&go_on);
        let seen = examiner.stream(b"", reader, &mut results.buffers, &mut |one| {
            found.push((one.offset, one.hit));
        });
        results.begin(0);
        let bytes = seen.bytes;
        results.unreported.bytes += bytes;
        self.unpacked(results, entry, seen, found.into_iter());
        bytes
    }

    fn delta(
        &self,
        results: &mut Results,
        entry: u32,
        kind: Kind,
        version: Version<'_, Marks>,
    ) -> Marks {
        let plain = kind != Kind::Blob || self.unpack_version(results, entry, version);
        if let Some(links) = self.links {
            let Results {
                fetched, outside, ..
            } = results;
            links.delta(kind, version, fetched, outside);
        }
        results.commits += u64::from(kind == Kind::Commit);
        match &version.base.marks.anchors {
            Some(carried) => {
                results.begin(version.delta.inserted.len());
                self.search_delta(version, carried, results);
            }
            None => {
                results.begin(version.delta.length as usize);
                self.search_windows(version, results);
            }
        }
        results.plain = plain;
        results.end(&self.borders, Some(entry))
    }

    fn borrowed(&self, results: &mut Results, _kind: Kind, bytes: &[u8]) -> Marks {
        results.begin(0);
        results.unreported.items -= 1;
        self.search_whole(bytes, results);
        results.end(&self.borders, None)
    }

    fn damaged(&self, results: &mut Results, entry: u32, damage: Damage) {
        results.damaged.push((entry, damage));
    }
}
